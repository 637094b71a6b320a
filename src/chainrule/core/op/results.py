"""What an op's result is, known from what goes in: the rules of shapes and dtypes that many ops share.

A shape rule takes the inputs' shapes, a dtype rule their NumPy dtypes, one after the other, and by name the static parameters
that it needs. An operand that is None is None to both; a Python number has the shape () and, as its dtype, its class, which
is weak as in NumPy. A rule returns one shape or dtype, or a list of them for an op of several results; `DYNAMIC` stands for a
shape that values decide. All are pure functions: with them a trace runs on shapes and dtypes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import Shape, broadcast

DType = Any  # a NumPy dtype; the class of a Python number, which is weak


class Inference:
    """A rule and the static parameters that it names."""

    __slots__ = ("f", "params")

    def __init__(self, f: Callable, params: tuple[str, ...]):
        self.f, self.params = f, params
        if params:
            code = f.__code__
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            self.params = tuple([name for name in params if name in names])

    def __call__(self, given: list, params: dict) -> Any:
        """Return what the rule says for the inputs' shapes or dtypes."""
        return self.f(*given, **{name: params[name] for name in self.params})


def described(operands: Iterable[Any]) -> tuple[list, list]:
    """Return the shapes and the dtypes of raw operands, as rules take them."""
    shapes: list = []
    dtypes: list = []
    for x in operands:
        d = getattr(x, "dtype", None)
        shapes.append(None if x is None else () if d is None else tuple(x.shape))
        dtypes.append(d if x is None or d is not None else type(x))
    return shapes, dtypes


# -- shapes ------------------------------------------------------------------------------------------------------------


class _Dynamic:
    """The shape of a result that depends on values."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DYNAMIC"


DYNAMIC = _Dynamic()


def broadcasting(*shapes: Shape) -> Shape:
    """Return the shape to which all inputs broadcast."""
    return broadcast(*shapes)


def first(x: Shape, *rest: Any) -> Shape:
    """Return the first input's shape."""
    return x


def second(x: Any, y: Shape, *rest: Any) -> Shape:
    """Return the second input's shape."""
    return y


def scalar(*shapes: Any) -> Shape:
    """Return the shape of a result of one element."""
    return ()


def given(*shapes: Any, shape: Shape) -> Shape:
    """Return the shape that a static parameter names."""
    return tuple(shape)


def by_values(*shapes: Any) -> Any:
    """Say that values decide the shape."""
    return DYNAMIC


def one_or_all(x: Shape, *, axis: int | None, keepdims: bool) -> Shape:
    """Return the shape left after reducing one axis, or all (`axis` None); a 0-d input stays so."""
    if axis is None or not x:
        return (1,) * len(x) if keepdims else ()
    return (*x[:axis], *((1,) if keepdims else ()), *x[axis + 1 :])


def matrices(x: Shape, y: Shape) -> Shape:
    """Return the shape of a matrix product, leading axes broadcast."""
    return (*broadcast(x[:-2], y[:-2]), x[-2], y[-1])


def several(rule: Callable, count: int) -> Callable:
    """Return the rule of an op of so many results, each of the shape of `rule`, whose parameters are `axis` and `keepdims`."""

    def each(x: Shape, *, axis: Any, keepdims: bool) -> list:
        return [rule(x, axis=axis, keepdims=keepdims)] * count

    return each


def into_shape(x: Shape, shape: Shape) -> Shape:
    """Return the given shape; raise NumPy's error if the number of elements differs."""
    if prod(x) != prod(shape):
        raise ValueError(f"cannot reshape array of size {prod(x)} into shape {tuple(shape)}")
    return tuple(shape)


# -- dtypes ------------------------------------------------------------------------------------------------------------

BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)


def joined(*given: DType) -> np.dtype:
    """Return the dtype in which NumPy computes with all inputs; numbers are weak, absent ones leave it alone."""
    found = [d for d in given if d is not None]
    if any([d.__class__ is not type and d.isbuiltin != 1 for d in found]):  # bfloat16, to which NumPy's numbers are not weak
        found = [d for d in found if d.__class__ is not type or d is complex]
    return np.result_type(*[d() if d.__class__ is type else d for d in found])


def like_first(x: DType, *rest: DType) -> np.dtype:
    """Return the first input's dtype."""
    return x


def boolean(*given: DType) -> np.dtype:
    """Return bool."""
    return BOOL


def int64(*given: DType) -> np.dtype:
    """Return int64, of which indices and counts are."""
    return INT64


def floating(*given: DType) -> np.dtype:
    """Return the dtype of a function of real or complex numbers: integers and bools are taken in the default dtype."""
    d = joined(*given)
    return dtypes.get_default_dtype().numpy if d.kind in "biu" else d


def real_of(x: DType, *rest: DType) -> np.dtype:
    """Return the dtype of the parts of a complex number; a real one's own."""
    return np.dtype(f"f{x.itemsize // 2}") if x.kind == "c" else x


def accumulated(x: DType, *rest: DType) -> np.dtype:
    """Return the dtype in which NumPy sums: 64 bits for integers and bools."""
    if x.kind in "bi":
        return INT64
    return np.dtype(np.uint64) if x.kind == "u" else x


def with_index(x: DType, *rest: DType) -> list:
    """Return the dtypes of values and their indices."""
    return [x, INT64]


PROMOTIONS: dict[str, Callable] = {"same": joined, "float": floating, "bool": boolean}

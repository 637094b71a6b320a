"""Rules for raw arrays: the same code, with the names of ops bound to their kernels.

In a first-order pass every value is a raw array, so a rule's ``cos(x)`` need not ask what `x` is. A copy of the rule's
function, whose globals map each op to its kernel, saves that question (250 ns for each op named in a rule).
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numpy as np


def names_in(code: CodeType) -> set[str]:
    """Return the names that a function's text, and those of the functions in it, read."""
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= names_in(const)
    return names


def raw_copy(f: Callable, _inside: tuple = ()) -> Callable:
    """Return `f` with the ops it names, itself or through functions of its own module, bound to their kernels.

    `f` itself is returned where nothing would change, or where a name is not defined yet.
    """
    space = getattr(f, "__globals__", None)
    if space is None or f in _inside:
        return f
    bound: dict[str, Any] = {"__builtins__": space["__builtins__"]}
    changed = False
    for name in names_in(f.__code__):
        if name not in space:
            continue
        value = space[name]
        op = getattr(value, "op", None)
        if op is not None and hasattr(op, "kernel"):
            value, changed = op.kernel, True
        elif value.__class__ is FunctionType and value.__globals__ is space and not vars(value):  # what it has, a copy lacks
            copy = raw_copy(value, (*_inside, f))
            changed = changed or copy is not value
            value = copy
        bound[name] = value
    if not changed:
        return f
    made = FunctionType(f.__code__, bound, f.__name__, f.__defaults__, f.__closure__)
    made.__kwdefaults__ = f.__kwdefaults__
    return made


def one_plus(fresh: Any) -> Any:
    """Return ``1 + fresh`` of what was just computed; of a raw array in its own memory (see `one_minus`)."""
    return np.add(1, fresh, out=fresh) if fresh.__class__ is np.ndarray and fresh.dtype.kind in "fc" else 1 + fresh


def one_minus(fresh: Any) -> Any:
    """Return ``1 - fresh`` of what was just computed; of a raw array in its own memory.

    NumPy reuses the memory of a temporary for what is made of it and an array, but not of a number and it; and a second
    buffer of megabytes may come fresh from the system each time (a slope of tanh of 10^6 float32: 0.3 ms, or 10).
    """
    return np.subtract(1, fresh, out=fresh) if fresh.__class__ is np.ndarray and fresh.dtype.kind in "fc" else 1 - fresh


def in_c_order(x: Any) -> Any:
    """Return an array with its elements in C order, as PyTorch's kernels give most results: itself if they are."""
    return x if x.flags.c_contiguous else np.array(x, order="C")


def narrowed(out: Any, x: Any) -> Any:
    """Return a result in the half precision of the input `x`: what was computed in single, or what numbers made of bfloat16."""
    if x.__class__ is complex or x.__class__ is float:  # a number, whose results are as wide
        return out
    if x.dtype.itemsize == 2 and out.dtype is not x.dtype and x.dtype.kind in "fV" and out.dtype.kind == "f":
        return out.astype(x.dtype)
    return out


def with_poles(power: Any, x: Any, y: Any) -> Any:
    """Return a complex power ``x ** y`` with PyTorch's value where 0 is divided by: infinity and NaN; NumPy's is NaN alone."""
    pole = (x == 0) & (np.real(y) < 0)
    return np.where(pole, power.dtype.type(complex(np.inf, np.nan)), power)[()] if np.any(pole) else power


def shape_of(value: Any) -> tuple:
    """Return the shape of a raw value, tensor or Python number."""
    return tuple(value.shape) if hasattr(value, "shape") else ()


def empty_like(x: Any) -> np.ndarray:
    """Return an empty array whose axes lie in memory in the order of those of `x`, without gaps; repeated axes outermost.

    NumPy's function of the name has repeated axes, of stride 0, innermost: a batch of one tensor would lie across its examples.
    """
    if 0 not in x.strides:
        return np.empty_like(x)
    order = sorted(range(x.ndim), key=lambda axis: (x.strides[axis] != 0, -abs(x.strides[axis])))
    return np.empty([x.shape[axis] for axis in order], x.dtype).transpose(np.argsort(order))


_BITS = {np.dtype(f"f{n}"): np.dtype(f"i{n}") for n in (4, 8)}


def zero_unless(wanted: bool, condition: Any, x: Any) -> Any:
    """Return ``np.where(condition == wanted, x, 0)`` of boolean conditions.

    Of many single or double precision numbers by bits: where conditions follow no pattern, NumPy's takes 3.6 ns for an
    element, whose branch it guesses wrong half the time, and this 0.35.
    """
    bits = _BITS.get(x.dtype) if x.__class__ is np.ndarray and x.size > 512 and condition.__class__ is np.ndarray else None
    if bits is None or condition.dtype != bool:
        return np.where(condition, x, 0) if wanted else np.where(condition, 0, x)
    out = np.empty_like(condition, x.dtype)  # not a view in the end, into which a pass would not add
    kept = out.view(bits)
    kept[...] = condition.view(np.int8)
    np.negative(kept, out=kept) if wanted else np.subtract(kept, 1, out=kept)  # all bits, or none
    if out.shape != x.shape:
        out = np.empty(np.broadcast_shapes(out.shape, x.shape), x.dtype)
    np.bitwise_and(kept, x.view(bits), out=out.view(bits))
    return out

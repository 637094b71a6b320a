"""Expansions: equations whose op is a composition of others, taken apart into theirs.

Most compositions are the ops' own (``op.lowering``); here are those that only loops want, such as a small matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.declaration import TABLE
from chainrule.core.op.lowering import Expansion
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.blame import TraceError
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.inference import ShapeDtype
from chainrule.transforms.trace import graph_of


def _call(name: str) -> Callable:
    return lambda *args, **params: TABLE[name].call(*args, **params)


add, amax, amin, diagonal, eq = map(_call, ("add", "amax", "amin", "diagonal", "eq"))
logical_or, mm, mul, ne, permute, reshape = map(_call, ("logical_or", "mm", "mul", "ne", "permute", "reshape"))
total, where = map(_call, ("sum", "where"))


def _in_dtype(x: Any, dtype: Any) -> Any:
    return TABLE["to"].call(x, dtype=dtype.numpy, source=x.dtype.numpy)


def _outer(x: Any, y: Any) -> Any:
    return mul(reshape(x, shape=(*x.shape, 1)), reshape(y, shape=(1, *y.shape)))


def _dot(x: Any, y: Any) -> Any:
    return total(mul(x, y), axis=(0,), keepdims=False)


def _mv(x: Any, y: Any) -> Any:
    return total(mul(x, reshape(y, shape=(1, *y.shape))), axis=(1,), keepdims=False)


def _small(x: Any, y: Any) -> Any:
    """Return a product of matrices, axes in front broadcast, as sums."""
    x, y = reshape(x, shape=(*x.shape, 1)), reshape(y, shape=(*y.shape[:-2], 1, *y.shape[-2:]))
    product = mul(x, y)
    return total(product, axis=(product.ndim - 2,), keepdims=False)


def _bmm_sum(x: Any, y: Any) -> Any:
    b, n, k = x.shape
    return mm(reshape(permute(x, order=(1, 0, 2)), shape=(n, b * k)), reshape(y, shape=(b * k, y.shape[2])))


def _trace(x: Any) -> Any:
    return total(diagonal(x, offset=0, a=0, b=1), axis=(0,), keepdims=False)


def _kept(x: Any, axis: Any) -> tuple:
    axes = (axis,) if axis.__class__ is int else axis
    return tuple([1 if k in axes else n for k, n in enumerate(x.shape)])


def _ties(x: Any, out: Any, *, axis: tuple, keepdims: bool, nan: bool) -> Any:
    out = reshape(out, shape=_kept(x, axis))
    chosen = eq(x, out)
    if nan:
        chosen = logical_or(chosen, TABLE["logical_and"].call(ne(x, x), ne(out, out)))
    counted = total(_in_dtype(chosen, x.dtype), axis=axis, keepdims=True)
    return TABLE["div"].call(_in_dtype(chosen, x.dtype), counted)


def _argument(largest: bool) -> Callable:
    def first(x: Any, *, axis: int | None, keepdims: bool) -> Any:
        shape = tuple(x.shape)
        if axis is None:
            found = first(reshape(x, shape=(prod(shape),)), axis=0, keepdims=False)
            return reshape(found, shape=(1,) * len(shape)) if keepdims else found
        if not shape:
            return where(eq(x, x), np.int64(0), np.int64(0))
        return _place_of(x, _extreme(largest, x, (axis,)), axis, keepdims)

    return first


def _extreme(largest: bool, x: Any, axis: tuple) -> Any:
    return (amax if largest else amin)(x, axis=axis, keepdims=True)


def _place_of(x: Any, extreme: Any, axis: int, keepdims: bool) -> Any:
    n = x.shape[axis]
    places = np.arange(n).reshape([n if k == axis else 1 for k in range(len(x.shape))])
    there = logical_or(eq(x, extreme), ne(x, x))
    return amin(where(there, places, n - 1), axis=(axis,), keepdims=keepdims)


def _along(largest: bool) -> Callable:
    def both(x: Any, *, axis: int, keepdims: bool) -> tuple:
        top = _extreme(largest, x, (axis,))
        value = top if keepdims else reshape(top, shape=tuple([n for k, n in enumerate(x.shape) if k != axis]))
        return value, _place_of(x, top, axis, keepdims)

    return both


def _one_hot(x: Any, index: Any, y: Any, axis: int) -> Any:
    n = x.shape[axis]
    places = np.arange(n).reshape([n if k == axis else 1 for k in range(len(x.shape))])
    return eq(index, places)


def _scatter_add(x: Any, index: Any, y: Any, *, axis: int) -> Any:
    return add(x, where(_one_hot(x, index, y, axis), y, 0))


def _scatter(x: Any, index: Any, y: Any, *, axis: int, form: str) -> Any:
    return where(_one_hot(x, index, y, axis), y, x)


OWN: dict[str, Callable] = {
    "outer": _outer, "dot": _dot, "mv": _mv, "bmm_sum": _bmm_sum, "trace": _trace, "ties": _ties,
    "argmax": _argument(True), "argmin": _argument(False), "max_along": _along(True), "min_along": _along(False),
    "scatter_add": _scatter_add, "scatter": _scatter,
}  # fmt: skip
PRODUCTS = frozenset(("mm", "bmm", "matmul"))
SMALL = 512  # multiplications in a matrix product below which loops cost less than a call of BLAS


def expansion_of(e: Equation) -> Callable | None:
    """Return the function of tensors that an equation's op stands for, None if it is none."""
    name = e.op.name
    if name in PRODUCTS:
        return _small if _is_small(e) else None
    if name in ("scatter_add", "scatter"):
        x, index, y = e.operands
        axis = e.params["axis"]
        fits = len(index.shape) == len(x.shape) > 0 and index.shape[axis] == 1 and _fits(index.shape, x.shape, axis)
        fits = fits and (not hasattr(y, "shape") or (y.shape == index.shape and y.dtype is x.dtype))
        return OWN[name] if fits else None
    if name in ("argmax", "argmin", "max_along", "min_along"):
        x = e.operands[0]
        return OWN[name] if x.shape or name.startswith("arg") else None
    if name in OWN:
        return OWN[name]
    lowering = getattr(e.op, "lowering", None)
    return lowering.f if isinstance(lowering, Expansion) else None


def _fits(index: tuple, x: tuple, axis: int) -> bool:
    return all([n == m for k, (n, m) in enumerate(zip(index, x, strict=True)) if k != axis])


def _is_small(e: Equation) -> bool:
    x, y = e.operands
    if len(x.shape) < 2 or len(y.shape) < 2:
        return False
    m, k, n = x.shape[-2], x.shape[-1], y.shape[-1]
    return m * k * n <= SMALL or k == 1


_cache: dict[Any, Any] = {}
_MANY = 1024


def expanded(e: Equation, f: Callable) -> tuple[list[Equation], dict[Variable, Tensor]] | None:
    """Return the equations in place of one, and the constants that they use; None if they cannot be told without values.

    The results' variables are the equation's own.
    """
    given = tuple([ShapeDtype(o.shape, o.dtype) if o.__class__ is Variable else o for o in e.operands])
    try:
        key: Any = (e.op, *[(x.__class__, x) for x in given], *[(k, v.__class__, v) for k, v in e.params.items()])
        graph = _cache.get(key)
    except TypeError:
        key = graph = None
    if graph is None:
        try:
            graph = graph_of(lambda *xs: f(*xs, **e.params), given)
        except TraceError:
            graph = False
        if key is not None:
            if len(_cache) > _MANY:
                _cache.clear()
            _cache[key] = graph
    return None if graph is False else _renamed(e, graph)  # type: ignore[arg-type]


def _renamed(e: Equation, graph: Graph) -> tuple[list[Equation], dict[Variable, Tensor]] | None:
    names: dict[Any, Any] = dict(zip(graph.inputs, [o for o in e.operands if o.__class__ is Variable], strict=True))
    constants = {}
    for v, value in zip(graph.constants, graph.values, strict=True):
        names[v] = Variable(v.shape, v.dtype)
        constants[names[v]] = value
    equations, copies = [], []
    for out, result in zip(graph.outputs, e.results, strict=True):
        if out.__class__ is not Variable or (out.shape, out.dtype) != (result.shape, result.dtype):
            return None
        if out in names:
            copies.append((out, result))
        else:
            names[out] = result
    for inner in graph.equations:
        results = tuple([names.setdefault(r, Variable(r.shape, r.dtype)) for r in inner.results])
        operands = tuple([names.get(o, o) if o.__class__ is Variable else o for o in inner.operands])
        equations.append(Equation(inner.op, operands, inner.params, results, inner.several, inner.recorded))
    for out, result in copies:
        equations.append(Equation(TABLE["clone"], (names[out],), {}, (result,), False, False))
    return equations, constants

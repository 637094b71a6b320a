"""Contractions: matrix, vector and batched products, which BLAS computes.

The rules hand BLAS transposed views, which it reads in place, never transposed copies.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.batching import Batch, per_example, reshaped, shift_axes
from chainrule.core.op.declaration import bilinear, op
from chainrule.core.op.links import Link, Windows
from chainrule.core.op.raw import narrowed
from chainrule.core.op.reach import Call, along_axes, apart, by_axes, by_broadcasting, everything, in_lines
from chainrule.core.op.results import broadcasting, joined, matrices, scalar
from chainrule.core.op.samples import Sample
from chainrule.core.record.plans import conjugated
from chainrule.core.tensor.value import is_complex
from chainrule.ops.shaping.shape import broadcast_to, permute, reshape, sum_to, t, transpose

ndarray = np.ndarray
MATRICES = [((3, 4), (4, 2)), ((0, 4), (4, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1))]
BATCHES = [((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (1, 4, 1)), ((0, 3, 4), (0, 4, 2)), ((2, 3, 0), (2, 0, 2))]


# -- kernels -----------------------------------------------------------------------------------------------------------


def _dot(x: Any, y: Any) -> Any:
    """Return ``x.dot(y)``; half precision accumulates in single, as PyTorch's does."""
    if x.dtype.itemsize == 2 and x.dtype.kind in "fV":
        return x.astype(np.float32).dot(y.astype(np.float32)).astype(x.dtype)
    return x.dot(y)


def _rows(x: ndarray) -> ndarray:
    """Return an N-d array as a matrix of its last axis's rows."""
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _matmul(x: Any, y: Any) -> Any:
    if x.dtype.itemsize == 2 and x.dtype.kind in "fV":
        return _matmul(x.astype(np.float32), y.astype(np.float32)).astype(x.dtype)
    if y.ndim == 2:
        return x.dot(y) if x.ndim == 2 else _rows(x).dot(y).reshape(*x.shape[:-1], y.shape[-1])
    return np.matmul(_for_blas(x), _for_blas(y))


def _for_blas(x: ndarray) -> ndarray:
    """Return the array, copied if ``np.matmul`` would otherwise loop over it without BLAS (axes repeated by stride 0)."""
    rows, columns = x.strides[-2:]
    n, m = x.shape[-2:]
    size = x.itemsize
    if (columns == size and rows >= m * size) or (rows == size and columns >= n * size):
        return x
    return np.ascontiguousarray(x)


# -- transposes --------------------------------------------------------------------------------------------------------


def _t(x: Any) -> Any:
    """Return the transposed matrix, a view."""
    return x.T if x.__class__ is ndarray else t(x)


def _mt(x: Any) -> Any:
    """Return the array with its last two axes exchanged, a view."""
    return x.swapaxes(-1, -2) if x.__class__ is ndarray else transpose(x, a=x.ndim - 2, b=x.ndim - 1)


def _mm(x: Any, y: Any) -> Any:
    if x.__class__ is ndarray and y.__class__ is ndarray:
        return _dot(x, y)
    return mm(x, y)


def _left(g: Any, y: Any, x_shape: tuple) -> Any:
    """Return the cotangent of the left factor of a broadcast matrix product."""
    if len(x_shape) == 2 and y.ndim > 2:
        # One product of (n, batch·m) and (batch·m, k) in place of a sum over the batch of products.
        n, k = x_shape
        inner = prod(y.shape[:-2]) * y.shape[-1]
        rows = permute(g, order=(g.ndim - 2, *range(g.ndim - 2), g.ndim - 1))
        return _mm(reshape(rows, shape=(n, inner)), reshape(_mt(y), shape=(inner, k)))
    return _summed(matmul(g, _mt(y)), x_shape)


def _right(g: Any, x: Any, y_shape: tuple) -> Any:
    """Return the cotangent of the right factor of a broadcast matrix product."""
    if len(y_shape) == 2 and x.ndim > 2:
        rows = prod(x.shape[:-1])
        return _mm(_t(reshape(x, shape=(rows, x.shape[-1]))), reshape(g, shape=(rows, g.shape[-1])))
    return _summed(matmul(_mt(x), g), y_shape)


def _summed(g: Any, shape: tuple) -> Any:
    return g if g.shape == shape else sum_to(g, shape=shape)


# -- batches -----------------------------------------------------------------------------------------------------------


def _mm_examples(b: Batch, x: Any, y: Any) -> Any:
    return bmm(x, y) if all(b.on) else matmul(x, y)


def _mv_examples(b: Batch, x: Any, y: Any) -> Any:
    if not b.on[1]:
        return reshaped(mv(reshaped(x, (b.size * x.shape[1], x.shape[2])), y), x.shape[:2])
    if not b.on[0]:
        return mm(y, _t(x))
    return reshaped(bmm(x, reshaped(y, (*y.shape, 1))), x.shape[:2])


def _dot_examples(b: Batch, x: Any, y: Any) -> Any:
    if not all(b.on):
        return mv(x, y) if b.on[0] else mv(y, x)
    n, k = x.shape
    return reshaped(bmm(reshaped(x, (n, 1, k)), reshaped(y, (n, k, 1))), (n,))


def _outer_examples(b: Batch, x: Any, y: Any) -> Any:
    return reshaped(x, (*x.shape, 1)) * (reshaped(y, (b.size, 1, y.shape[1])) if b.on[1] else y)


def _bmm_examples(b: Batch, x: Any, y: Any) -> Any:
    return matmul(x, y)


def _matmul_examples(b: Batch, x: Any, y: Any) -> Any:
    ndim = max(x.ndim - b.on[0], y.ndim - b.on[1])
    return matmul(b.ranked(x, 0, ndim), b.ranked(y, 1, ndim))


def _bmm_sum_examples(b: Batch, x: Any, y: Any) -> Any:
    lead = x.ndim - 3
    many, n, k = x.shape[lead:]
    left = permute(x, order=(*range(lead), lead + 1, lead, lead + 2))
    return matmul(reshaped(left, (*x.shape[:lead], n, many * k)), reshaped(y, (*y.shape[:-3], many * k, y.shape[-1])))


# -- reach -------------------------------------------------------------------------------------------------------------


def _sums(*usual: Callable) -> Callable:
    """Return a product's rule of reach: the usual one of each factor, unless the other is a matrix with zeros that stay."""

    def rule(c: Call, i: int, o: int) -> Link:
        zeros = c.zeros(1 - i)
        if zeros is None or zeros.ndim != 2:
            return usual[i](c, i, o)
        return by_matrix(c, i, o, zeros.T if i == 0 else zeros, -1 if i == 0 or len(c.shapes[i]) == 1 else -2)

    return rule


def by_matrix(c: Call, i: int, o: int, zeros: ndarray, axis: int) -> Link:
    """Return the link of elements and results that meet along an axis, counted from the last, where no zero is at (to, of)."""
    shape, out = c.shapes[i], c.out_shape(o)
    windows = Windows.of_pairs(shape[axis], out[axis], *(~zeros).nonzero())
    axes = [(k, k + len(out) - len(shape)) for k in range(len(shape))]
    return by_axes(shape, out, axes, {len(out) + axis: windows})


# -- products ----------------------------------------------------------------------------------------------------------

mm = bilinear("mm(x, y)", _dot, kinds="ifc",
    shape=matrices,
    reach=_sums(apart(1, 1), apart(2, 2, (-1, -1))),
    batch=_mm_examples,
    x=lambda g, y: _mm(g, _t(y)),
    y=lambda g, x: _mm(_t(x), g),
    samples=lambda: [Sample(x, y) for x, y in MATRICES])  # fmt: skip

mv = bilinear("mv(x, y)", _dot, kinds="ifc",
    shape=lambda x, y: x[:1],
    reach=_sums(apart(1, 0), everything),
    batch=_mv_examples,
    x=lambda g, y: outer(g, y),
    y=lambda g, x: mv(_t(x), g),
    samples=lambda: [Sample((3, 4), (4,)), Sample((0, 4), (4,)), Sample((2, 0), (0,))])  # fmt: skip

dot = bilinear("dot(x, y)", _dot, kinds="ifc",
    shape=scalar,
    batch=_dot_examples,
    x=lambda g, y: g * y,
    y=lambda g, x: g * x,
    samples=lambda: [Sample((3,), (3,)), Sample((1,), (1,)), Sample((0,), (0,))])  # fmt: skip

outer = bilinear("outer(x, y)", lambda x, y: x[:, None] * y, kinds="ifc",
    shape=lambda x, y: (*x, *y),
    reach={"x": apart(0, 1), "y": apart(1, 1, (-1, -1))},
    batch=_outer_examples,
    x=lambda g, y: mv(g, y),
    y=lambda g, x: mv(_t(g), x),
    samples=lambda: [Sample((3,), (4,)), Sample((0,), (2,))])  # fmt: skip

bmm = bilinear("bmm(x, y)", _matmul, kinds="ifc",
    shape=matrices,
    reach=_sums(apart(1, 1), apart(2, 2, (-1, -1))),
    batch=_bmm_examples,
    x=lambda g, y: bmm(g, _mt(y)),
    y=lambda g, x: bmm(_mt(x), g),
    samples=lambda: [Sample(x, y) for x, y in BATCHES])  # fmt: skip

matmul = bilinear("matmul(x, y)", _matmul, kinds="ifc", node="UnsafeView",
    shape=matrices,
    reach=_sums(apart(1, 1), apart(2, 2, (-1, -1))),
    batch=_matmul_examples,
    x=lambda g, y, x_shape: _left(g, y, x_shape),
    y=lambda g, x, y_shape: _right(g, x, y_shape),
    samples=lambda: [Sample(x, y) for x, y in [
        *BATCHES, ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (1, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)),
        ((0, 3, 4), (4, 5)), ((3, 4), (0, 4, 5)), ((3, 4), (2, 4, 0)), ((2, 0, 4), (4, 5)), ((3, 0), (2, 0, 5)),
        ((0, 4), (2, 4, 5)),
    ]])  # fmt: skip


def _add_products(x: ndarray, y: ndarray) -> Any:
    """Return the sum over the batch of matrix products, as one product of (n, batch·k) and (batch·k, m)."""
    b, n, k = x.shape
    return _dot(x.transpose(1, 0, 2).reshape(n, b * k), y.reshape(b * k, y.shape[2]))


bmm_sum = bilinear("bmm_sum(x, y)", _add_products, kinds="ifc", node="Sum1",
    shape=lambda x, y: (x[1], y[2]),
    reach={"x": apart(3, 2, (-2, -2)), "y": apart(3, 2, (-1, -1))},
    batch=_bmm_sum_examples,
    x=lambda g, y, x_shape: bmm(broadcast_to(g, shape=(x_shape[0], *g.shape)), _mt(y)),
    y=lambda g, x, y_shape: bmm(_mt(x), broadcast_to(g, shape=(y_shape[0], *g.shape))),
    samples=lambda: [Sample(x, y) for x, y in BATCHES])  # fmt: skip

vdot = op("vdot(x, y)", lambda x, y: _dot(x.conj(), y), kinds="ifc",
    shape=scalar, dtype=joined,
    batch=per_example(lambda x, y: dot(_conj(x), y)),
    jvp=lambda x_dot, y_dot, x, y: _total(
        None if x_dot is None else vdot(x_dot, y), None if y_dot is None else vdot(x, y_dot)),
    x=lambda g, y: _conj(g) * y,
    y=lambda g, x: g * x,
    samples=lambda: [Sample((3,), (3,)), Sample((1,), (1,)), Sample((0,), (0,))])  # fmt: skip


def _other_two(c: Call, i: int, o: int) -> Link:
    """Elements reach the two others of three."""
    shape, out, axis = c.shapes[i], c.out_shape(o), c.params["axis"]
    if len(shape) != len(out):
        return in_lines(c, i, o)
    starts = np.arange(0, 6, 2)
    return along_axes(shape, out, {axis: Windows((1, 3, 1), starts, starts + 2, np.array([1, 2, 0, 2, 0, 1]))})


cross = bilinear("cross(x, y, *, axis)", lambda x, y, *, axis: np.cross(x, y, axis=axis), kinds="ifc", node="LinalgCross",
    shape=broadcasting,
    reach=_other_two,
    batch=shift_axes,
    x=lambda g, y, *, axis: cross(y, g, axis=axis),
    y=lambda g, x, *, axis: cross(g, x, axis=axis),
    samples=lambda: [Sample((4, 3), (4, 3), axis=1), Sample((3,), (3,), axis=0), Sample((0, 3), (0, 3), axis=1)])  # fmt: skip


# -- products added to a scaled input ----------------------------------------------------------------------------------


def _conj(x: Any) -> Any:
    return conjugated(x) if is_complex(x) else x


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


def _total(*terms: Any) -> Any:
    given = [term for term in terms if term is not None]
    return given[0] if len(given) == 1 else given[0] + given[1] if len(given) == 2 else given[0] + given[1] + given[2]


def _affine_dtype(x: Any, a: Any, b: Any, *, beta: Any, alpha: Any) -> np.dtype:
    """Return the dtype of ``beta * x + alpha * product``: factors are weak, 1 is none, and what 0 multiplies is not read."""
    terms = [a, b] if alpha == 1 else [a, b, type(alpha)]
    if beta != 0:
        terms += [x] if beta == 1 else [x, type(beta)]
    return joined(*terms)


def _reach_of_sum(product: Any) -> Callable:
    """Return the reach of a sum with a product: of its factors that of the product's, of what is added by broadcasting."""

    def reach(c: Call, i: int, o: int) -> Any:
        if i:
            return product.reach(c.having(product, c.args[1:]), i - 1, o)
        return by_broadcasting(c, i, o) if c.params["beta"] else None

    return reach


def _affine(name: str, product: Callable, samples: list) -> Callable:
    """Declare ``beta * x + alpha * product(a, b)``; `x` broadcasts, and is not read where beta is 0."""
    kernel = product.op.kernel  # type: ignore[attr-defined]
    left, right = (rule.f for rule in product.op.rules)  # type: ignore[attr-defined]
    shaped = len(product.op.rules[0].sources) == 2  # type: ignore[attr-defined]

    def forward(x: Any, a: Any, b: Any, *, beta: Any, alpha: Any) -> Any:
        out = narrowed(_scaled(kernel(a, b), alpha), a)
        if beta == 0:
            return out
        x = narrowed(_scaled(x, beta), x)
        return np.add(out, x, out=out) if out.__class__ is ndarray and out.dtype is x.dtype else out + x

    def jvp(x_dot: Any, a_dot: Any, b_dot: Any, a: Any, b: Any, out: Any, *, beta: Any, alpha: Any) -> Any:
        if a_dot is None and b_dot is None:
            return broadcast_to(_scaled(x_dot, beta), shape=tuple(out.shape))
        return _total(
            None if x_dot is None else _scaled(x_dot, beta),
            None if a_dot is None else _scaled(product(a_dot, b), alpha),
            None if b_dot is None else _scaled(product(a, b_dot), alpha),
        )

    def of_a(g: Any, b: Any, a_shape: tuple, *, alpha: Any) -> Any:
        g = _scaled(g, alpha.conjugate())
        return left(g, _conj(b), a_shape) if shaped else left(g, _conj(b))

    def of_b(g: Any, a: Any, b_shape: tuple, *, alpha: Any) -> Any:
        g = _scaled(g, alpha.conjugate())
        return right(g, _conj(a), b_shape) if shaped else right(g, _conj(a))

    def composed(x: Any, a: Any, b: Any, *, beta: Any, alpha: Any) -> Any:
        out = _scaled(product(a, b), alpha)
        return out if beta == 0 else out + _scaled(x, beta)

    of_product = product.op.shape.f  # type: ignore[attr-defined]
    return op(f"{name}(x, a, b, *, beta, alpha)", forward, jvp=jvp, kinds="ifc",
        shape=lambda x, a, b: of_product(a, b), dtype=_affine_dtype,
        reach=_reach_of_sum(product.op),  # type: ignore[attr-defined]
        batch=per_example(composed),
        x=lambda g, x_shape, *, beta: _summed(_scaled(g, beta.conjugate()), x_shape),
        a=of_a,
        b=of_b,
        samples=lambda: [
            Sample(*shapes, beta=beta, alpha=alpha, kinds=kinds)
            for shapes in samples for beta, alpha, kinds in ((1, 1, None), (0.5, -2.0, "fc"), (0, 1, None))
        ])  # fmt: skip


addmm = _affine("addmm", mm, [
    ((2,), (3, 4), (4, 2)), ((3, 2), (3, 4), (4, 2)), ((), (0, 4), (4, 2)), ((3,), (2, 0), (0, 3)),
])  # fmt: skip
addmv = _affine("addmv", mv, [((3,), (3, 4), (4,)), ((), (3, 4), (4,)), ((2,), (2, 0), (0,))])
addr = _affine("addr", outer, [((3, 4), (3,), (4,)), ((4,), (3,), (4,)), ((), (0,), (2,))])
baddbmm = _affine("baddbmm", bmm, [
    ((2, 3, 5), (2, 3, 4), (2, 4, 5)), ((5,), (2, 3, 4), (2, 4, 5)), ((1, 1, 1), (2, 3, 0), (2, 0, 5)),
])  # fmt: skip
addbmm = _affine("addbmm", bmm_sum, [
    ((3, 5), (2, 3, 4), (2, 4, 5)), ((5,), (2, 3, 4), (2, 4, 5)), ((), (0, 3, 4), (0, 4, 5)),
])  # fmt: skip

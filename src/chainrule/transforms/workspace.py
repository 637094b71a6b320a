"""The memory that a kernel takes while it runs, from shapes alone: NumPy's buffers, temporaries, windows as columns.

What is said here is what the kernels allocate, and a test holds them to it, op by op (``tests/func/test_workspace.py``).
NumPy's own linear algebra works in memory of its own, which nobody counts.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.lowering import Expression
from chainrule.core.op.native import NATIVE
from chainrule.core.tensor.value import numpy_dtype
from chainrule.core.types.absent import Absent
from chainrule.ops.indexing.places import CROWDED, STRETCH
from chainrule.ops.nn.sliding import Sliding, sliding

_BUFFER = 8192  # elements that NumPy's iterators copy at a time of an operand that does not lie as the result
# Elementwise kernels in several steps: their temporaries of numbers, and of truths, where no native code takes their place.
_STEPS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("gate", "nan_to_num", "sign", "sgn"), (0, 1)), "zeta": (0, 2),
    **dict.fromkeys((
        "logit", "addcmul", "addcdiv", "clamp", "hardtanh", "hardswish", "round_decimals", "frac", "isreal", "bessel_i",
        "silu_pull", "gelu_pull", "bessel_j", "bessel_y", "bessel_k", "ellipk_derivative", "ellipe_derivative",
    ), (1, 0)),
    **dict.fromkeys(("prelu", "angle"), (1, 1)), "heaviside": (1, 2),
    **dict.fromkeys(
        ("power_of_two", "polygamma", "binary_cross_entropy", "cross_entropy_with_logits", "bessel_derivative"), (2, 0)
    ),
    **dict.fromkeys((
        "elu", "sinc", "i0e_derivative", "log_quotient", "hermite", "laguerre", "chebyshev_polynomial_t",
        "shifted_chebyshev_polynomial_t", "chebyshev_polynomial_u", "shifted_chebyshev_polynomial_u", "legendre_polynomial_p",
        "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
    ), (2, 1)),
    **dict.fromkeys(("isclose", "xlogy", "xlog1py"), (2, 2)),
    **dict.fromkeys(("igamma_density", "airy_ai", "airy_ai_slope", "airy_bi", "airy_bi_slope"), (3, 0)),
    **dict.fromkeys(("lerp", "huber", "spherical_bessel_j0"), (3, 1)),
    **dict.fromkeys(("jacobi", "chebyshev_polynomial_v"), (3, 2)),
    **dict.fromkeys(("shifted_chebyshev_polynomial_v", "chebyshev_polynomial_w"), (4, 2)),
    **dict.fromkeys(("expn", "shifted_chebyshev_polynomial_w"), (5, 2)),
    "lgamma": (5, 3), "log_gamma_at_rank": (7, 1), "sinc_derivative": (8, 1), "log_ndtr_derivative": (9, 1),
}  # fmt: skip
_OF_PULLS = frozenset(("silu_pull",))  # whose kernel a pull calls past native code
_BUFFERED = frozenset(("standardized", "log_softmax_pull", "softmax_pull", "cat", "stack"))
_PRODUCTS = frozenset(("mm", "matmul", "bmm", "addmm", "baddbmm"))


def workspace(op: Op, operands: list, params: dict, results: tuple, pulled: bool = False) -> int:
    """Return how many bytes a call's kernel takes beside the results at most; `pulled` where a node's pull calls it."""
    if op.name == "random":
        return max(getattr(params["draw"], "bytes", 0) * results[0].size - _bytes(results[0]), 0)
    arrays = [x for x in operands if isinstance(x, Absent) and x.ndim]
    if op.view or not arrays or not results:
        return 0
    if op.name in _BY_PARAMS:
        return _BY_PARAMS[op.name](arrays, params)
    if op.name in _OWN:
        return _OWN[op.name](arrays, results)
    if op.name in _PRODUCTS:
        return sum([_bytes(x) for x in arrays if x.ndim > 1 and x.itemsize not in x.strides[-2:]])  # copied for BLAS
    if op.name in _BUFFERED:
        return _buffer(results[0])
    if op.kind == ELEMENTWISE:
        buffers = _buffer(results[0]) * len([x for x in arrays if x.shape != results[0].shape or not x.c_contiguous])
        return buffers + _steps(op, arrays, results[0], pulled)
    return 0


def _steps(op: Op, arrays: list, result: Absent, pulled: bool) -> int:
    """Return the bytes of an elementwise kernel's temporaries."""
    if result.size >= NATIVE and isinstance(op.lowering, Expression) and not (pulled and op.name in _OF_PULLS):
        return 0
    numbers, truths = _STEPS.get(op.name, (0, 0))
    return result.size * (numbers * max([x.itemsize for x in (*arrays, result)]) + truths)


def _of_each(x: Absent) -> int:
    """Return the bytes of one matrix of a batch."""
    return _bytes(x) // max(prod(x.shape[:-2]), 1)


def _triangular(arrays: list, results: tuple) -> int:
    a, b = arrays[0], arrays[-1]
    if prod(a.shape[:-2]) * 4 >= a.shape[-1] and a.shape[-1] <= 48:
        return 0
    turned = a.ndim > 1 and a.strides[-1] != a.itemsize  # LAPACK wants the transpose of what lies in C's order
    return _of_each(b) + (_of_each(a) if turned else 0)


def _sum_at(arrays: list, results: tuple) -> int:
    """Return the bytes of a sparse matrix of ones for whole rows, else of positions in memory."""
    x, out = arrays[0], results[0]
    row = prod(out.shape[1:])
    if len(arrays) == 2 and row >= CROWDED and x.size >= STRETCH // 4:
        return arrays[1].size * (x.itemsize + 8)
    return 24 * min(x.size, STRETCH) + (8 * x.size if out.ndim == 1 and x.itemsize < 8 else 0)


_OWN: dict[str, Callable[[list, tuple], int]] = {
    "index_sum": _sum_at,
    "spread": lambda arrays, results: _bytes(arrays[1]),
    "gather": lambda arrays, results: _bytes(arrays[1]),
    "max_pool": lambda arrays, results: 5 * _bytes(results[-1]) // 4,
    "triu": lambda arrays, results: results[0].size,  # a mask
    "tril": lambda arrays, results: results[0].size,
    "var": lambda arrays, results: 2 * _bytes(arrays[0]),
    "std": lambda arrays, results: 2 * _bytes(arrays[0]),
    "logsumexp": lambda arrays, results: _bytes(arrays[0]),
    "softmax": lambda arrays, results: _buffer(results[0]) if results[0].size < NATIVE else 0,
    "log_softmax": lambda arrays, results: _bytes(results[0]) if results[0].size < NATIVE else 0,
    "sort": lambda arrays, results: 8 * arrays[0].size,  # places
    "topk": lambda arrays, results: 8 * arrays[0].size,
    "euclidean": lambda arrays, results: 2 * _bytes(results[0]),
    "resample": lambda arrays, results: _bytes(results[0]),
    "outer": lambda arrays, results: 2 * _buffer(results[0]),
    "matrix_exp": lambda arrays, results: 6 * _bytes(arrays[0]),
    "qr": lambda arrays, results: _bytes(arrays[0]),
    "lu_factor": lambda arrays, results: _bytes(arrays[0]),
    "solve": lambda arrays, results: sum([_of_each(x) for x in arrays]),
    "solve_triangular": _triangular,
    "lstm": lambda arrays, results: _bytes(arrays[0]) // 4,
}


def pull_workspace(node: Any) -> int | None:
    """Return how many bytes a node's pull takes, its results among them, where raw arrays have a way of their own."""
    return _PULLS[node.op.name](node) if node.op is not None and node.op.name in _PULLS else None


def _of_lstm_pull(node: Any) -> int:
    """Return the bytes of what comes as columns, the cells' tanh, the cotangents of the gates, and these in C order."""
    steps = prod(node.out[0].shape) * numpy_dtype(node.out[0]).itemsize
    return steps * (1 + 1 + 4 + 4)


_PULLS: dict[str, Callable[[Any], int]] = {"lstm": _of_lstm_pull}


def _bytes(x: Absent) -> int:
    return x.size * x.itemsize


def _buffer(x: Absent) -> int:
    return min(_BUFFER, x.size) * x.itemsize


def _columns(s: Sliding, groups: int, channels: int, itemsize: int, whole: bool) -> int:
    """Return the bytes of lines, columns and results of some channels, which blocks of one size share."""
    found = 0
    for block in {(b.m - b.n, b.q - b.r): b for b in s.blocks(itemsize, whole)}.values():
        lines = s.lines(groups, block)
        positions = (block.m - block.n) * prod(s.positions(block))
        found += prod(lines) + (prod(lines[:2]) * prod(s.kernel) + channels) * positions
    return itemsize * found


def _of_standardize(arrays: list, p: dict) -> int:
    """Return the bytes of the squares; over last axes they are added up as products of rows, without being there."""
    x, axis = arrays[0], p["axis"]
    if x.size >= NATIVE:
        return 0
    last = sorted([a % x.ndim for a in axis]) == list(range(x.ndim - len(axis), x.ndim))
    return _buffer(x) if last else _bytes(x)


def _of_conv(arrays: list, p: dict) -> int:
    x, w = arrays
    s = sliding(x.shape, w.shape[2:], p["size"], p["stride"], p["padding"], p["dilation"])
    return _columns(s, p["groups"], 0, x.itemsize, True)


def _of_conv_input(arrays: list, p: dict) -> int:
    y, w = arrays
    shape = (y.shape[0], p["groups"] * w.shape[1], *p["size"])
    if max(p["stride"]) > 1:
        s = sliding(shape, w.shape[2:], y.shape[2:], p["stride"], p["padding"], p["dilation"])
        return _columns(s, p["groups"], y.shape[1], y.itemsize, False)
    ahead = tuple([d * (k - 1) - q for d, k, q in zip(p["dilation"], w.shape[2:], p["padding"], strict=True)])
    s = sliding(y.shape, w.shape[2:], p["size"], (1,) * len(ahead), ahead, p["dilation"])
    return _columns(s, p["groups"], 0, y.itemsize, True) + _bytes(w)


def _of_conv_weight(arrays: list, p: dict) -> int:
    x, y = arrays
    s = sliding(x.shape, p["size"], y.shape[2:], p["stride"], p["padding"], p["dilation"])
    return _columns(s, p["groups"], y.shape[1], x.itemsize, False) + 2 * y.shape[1] * prod(p["size"]) * x.itemsize


_BY_PARAMS: dict[str, Any] = {
    "conv": _of_conv,
    "conv_input": _of_conv_input,
    "conv_weight": _of_conv_weight,
    "standardize": _of_standardize,
}

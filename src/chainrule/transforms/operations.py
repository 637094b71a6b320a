"""How many arithmetic operations an op takes, from shapes alone: one for each addition, multiplication or function value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

import numpy as np

from chainrule.core.op.declaration import ELEMENTWISE, LINEAR, Op
from chainrule.core.op.lowering import Expression, Scalar
from chainrule.core.types.shape import Shape

# Elementwise ops and others that move, choose or compare elements compute nothing.
_NO_WORK = frozenset(("where", "clone", "copy", "contiguous", "to", "detach", "gate", "conj", "complex"))


def _of_products(x: Shape, y: Shape) -> int:
    return 2 * prod(np.broadcast_shapes(x[:-2], y[:-2])) * x[-2] * x[-1] * y[-1]


PRODUCTS: dict[str, Callable[..., int]] = {
    "linear_map": lambda x, w, params: 2 * prod(x) * w[0],
    "mm": lambda x, y, params: _of_products(x, y),
    "addmm": lambda _, x, y, params: _of_products(x, y),
    "bmm": lambda x, y, params: _of_products(x, y),
    "matmul": lambda x, y, params: _of_products(x, y),
    "baddbmm": lambda _, x, y, params: _of_products(x, y),
    "conv": lambda x, w, params: 2 * x[0] * prod(params["size"]) * prod(w),
    "conv_input": lambda y, w, params: 2 * y[0] * prod(y[2:]) * prod(w),
    "lstm": lambda gates, h, c, w, params: 2 * prod(gates) * w[1],
}
"""Operations of products and convolutions from the shapes of what they are given, two for a multiplication and addition."""

_MORE: dict[str, Callable[..., int]] = {
    "mv": lambda x, y, params: 2 * prod(x),
    "dot": lambda x, y, params: 2 * prod(x),
    "outer": lambda x, y, params: prod(x) * prod(y),
    "bmm_sum": lambda x, y, params: 2 * prod(x) * y[-1],
    "addmv": lambda _, x, y, params: 2 * prod(x),
    "addr": lambda _, x, y, params: 2 * prod(x) * prod(y),
    "conv_weight": lambda x, y, params: 2 * prod(y) * x[1] * prod(params["size"]) // max(params["groups"], 1),
}

# Of a matrix of n rows and m columns, n >= m, in units of n m² (Golub & Van Loan, Matrix Computations, 4th ed.).
_MATRICES = {
    "inv": 2.0, "solve": 2 / 3, "det": 2 / 3, "slogdet": 2 / 3, "lu_factor": 2 / 3, "cholesky": 1 / 3, "qr": 4 / 3 + 4 / 3,
    "geqrf": 4 / 3, "eigh": 9.0, "eigvalsh": 4 / 3, "eig": 25.0, "svd": 21.0, "svdvals": 4.0, "pinv": 23.0, "matrix_exp": 30.0,
    "ldl_factor": 1 / 3,
}  # fmt: skip


def operations(op: Op, operands: Sequence[Shape], params: dict, results: Sequence[Shape], dtypes: Sequence[Any]) -> int:
    """Return how many operations a call takes.

    Parameters
    ----------
    op : Op
    operands, results : sequence of tuple of int
        Their shapes.
    params : dict
    dtypes : sequence of dtype
        The operands', of a Python number its class.
    """
    count = PRODUCTS.get(op.name) or _MORE.get(op.name)
    if count is not None:
        return int(count(*operands, params=params))
    if op.view or op.selects is not None or op.name in _NO_WORK:
        return 0
    size = max([prod(r) for r in results], default=0)
    if op.kind == ELEMENTWISE:
        return size * _scalars(op, dtypes, params)
    taken = sum([prod(x) for x in operands])
    if op.name in _MATRICES and operands and len(operands[0]) >= 2:
        *lead, n, m = operands[0]
        solved = 2 * prod(operands[1]) * m if op.name == "solve" else 0
        return int(_MATRICES[op.name] * prod(lead) * max(n, m) * min(n, m) ** 2) + solved
    if op.name == "solve_triangular":
        return prod(results[0]) * operands[0][-1]
    if op.name.startswith("fft_"):
        return int(2.5 * taken * log2(max(taken, 2)))
    if op.kind == LINEAR:
        return max(taken - size, 0)  # what it adds up
    return max(taken, size)


def _scalars(op: Op, dtypes: Sequence[Any], params: dict) -> int:
    """Return how many primitives an elementwise op's expression has; one where there is no expression."""
    if not isinstance(op.lowering, Expression):
        return 1
    try:
        root = op.lowering.scalar(dtypes, params)
    except TypeError:  # of an operand that is neither array nor number
        return 1
    seen: set[int] = set()
    stack = [root]
    while stack:
        s = stack.pop()
        if s.__class__ is Scalar and s.name != "input" and id(s) not in seen:
            seen.add(id(s))
            stack += s.operands
    return len(seen)

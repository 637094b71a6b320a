"""Expansion: ops that are compositions become the ops that they are made of, so that loops can take them in.

An expansion is accurate as the op's kernel is: it is the same formula, computed with the same care for overflow. The same bits
come of those in `EXACT`; the others differ from eager by the order in which NumPy and BLAS add up, a few units in the last
place of the largest term.
"""

from __future__ import annotations

from typing import Any

from chainrule.compiler.graph.rewriting import Rewriting, Rules, frozen
from chainrule.core.op.declaration import Op
from chainrule.core.op.lowering import Expansion
from chainrule.core.types import dtype as dtypes
from chainrule.transforms.blame import TraceError
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.inference import ShapeDtype
from chainrule.transforms.trace import graph_of

EXACT = ("mean", "nansum", "aminmax", "count_nonzero", "vdot", "linear_map", "addmm", "addmv", "addr", "baddbmm", "addbmm")
CLOSE = ("logsumexp", "softmax", "softmax_pull", "log_softmax", "log_softmax_pull", "var", "std", "var_mean", "std_mean",
         "vector_norm", "dist", "nll_loss", "standardize", "standardized")  # fmt: skip

_REAL = (dtypes.float32, dtypes.float64)
_MOST = 512  # expansions kept
_traced: dict[tuple, Graph | None] = {}


def expand(r: Rewriting, e: Equation) -> Any:
    """Put an op's expansion in its place, but for half precision and complex numbers, for which loops have no code."""
    given = [o for o in e.operands if o.__class__ is Variable]
    if not all([v.dtype in _REAL or v.dtype.category < dtypes.FLOAT for v in (*e.results, *given)]):
        return None
    graph = _expansion(e.op, e.operands, e.params)
    if graph is None:
        return None
    found = r.inline(graph, given)
    expected = [(v.shape, v.dtype) for v in e.results]
    if [(getattr(v, "shape", None), getattr(v, "dtype", None)) for v in found] != expected:
        raise AssertionError(f"{e.op.name}: its expansion gives {found}, and the op {list(e.results)}")
    return found if e.several else found[0]


def _expansion(op: Op, operands: tuple, params: dict) -> Graph | None:
    """Return an op's expansion for operands like these; None if values decide its shapes, or it reads them."""
    key = (op, tuple([(o.shape, o.dtype) if o.__class__ is Variable else frozen(o) for o in operands]), frozen(params))
    if key not in _traced:
        if len(_traced) >= _MOST:
            _traced.clear()
        _traced[key] = _trace(op, operands, params)
    return _traced[key]


def _trace(op: Op, operands: tuple, params: dict) -> Graph | None:
    args = tuple([ShapeDtype(o.shape, o.dtype) if o.__class__ is Variable else o for o in operands])
    lowering: Expansion = op.lowering
    try:
        return graph_of(lambda *xs: lowering.f(*xs, **params), args)
    except TraceError:
        return None


RULES: Rules = dict.fromkeys((*EXACT, *CLOSE), (expand,))


def expanded(graph: Graph) -> Graph:
    """Return a graph in which ops that are compositions are what they are made of."""
    return Rewriting(graph, RULES).run()

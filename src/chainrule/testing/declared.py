"""Laws of what a declaration says: the shape and dtype of results, what shares memory, what is pure, how an op is lowered.

A compiler and a trace without values believe the declaration; here it is held against what the kernel does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.dispatch import promoted
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.results import DYNAMIC, described
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.testing.case import Case
from chainrule.testing.law import law
from chainrule.testing.values import on_arrays, promoted_arrays


def _raw(operands: Any) -> list:
    return [innermost(a) if isinstance(a, Tensor) else a for a in operands]


def said(op: Op, operands: list, params: dict) -> list:
    """Return (shape, dtype) of each result, as the declaration says."""
    found = op.result(*described(operands), params)
    return found if found.__class__ is list else [found]


def _differs(declared: list, actual: list) -> str | None:
    if len(declared) != len(actual):
        return f"the rule says {len(declared)} results against {len(actual)}"
    for i, ((shape, dtype), found) in enumerate(zip(declared, actual, strict=True)):
        if shape is not DYNAMIC and (shape.__class__ is not tuple or shape != found.shape):
            return f"result {i}: the rule says shape {shape} against {found.shape}"
        if dtype != found.dtype:
            return f"result {i}: the rule says dtype {dtype} against {found.dtype}"
    return None


@law("the result is what the declaration says")
def result_is_as_declared(case: Case) -> str | None:
    """Check the shape and dtype rules on arrays and on tensors; an op without them fails."""
    wrong = _differs(said(case.op, promoted_arrays(case), case.params), on_arrays(case))
    if wrong is not None:
        return wrong
    tensors = case.tensors()
    try:
        out = case.call(tensors)
    except (RuntimeError, NotImplementedError):  # of integers that the op refuses
        return None
    if case.op.kind == ELEMENTWISE:
        tensors = list(promoted(case.op, tuple(tensors)))
    outs = [np.asarray(o) for o in _raw(out if isinstance(out, (tuple, list)) else (out,))]
    wrong = _differs(said(case.op, _raw(tensors), case.params), outs)
    return None if wrong is None else f"on tensors, {wrong}"

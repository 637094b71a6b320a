"""Python's operators on tensors. An operand of a foreign type gives NotImplemented, so that its own operator is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dispatch import NUMBERS, make_call
from chainrule.core.tensor import Tensor
from chainrule.ops import arithmetic as ops

_OPERANDS = (Tensor, np.ndarray, np.generic, int, float, complex)


def _forward(op_call: Callable) -> Callable:
    call = make_call(op_call.op, public=True)  # type: ignore[attr-defined]

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ is Tensor or other.__class__ in NUMBERS or isinstance(other, _OPERANDS):
            return call(self, other)
        return NotImplemented

    return operator


def _reflected(op_call: Callable) -> Callable:
    call = make_call(op_call.op, public=True)  # type: ignore[attr-defined]

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ in NUMBERS or isinstance(other, _OPERANDS):
            return call(other, self)
        return NotImplemented

    return operator


def _attach(name: str, op_call: Callable) -> None:
    setattr(Tensor, f"__{name}__", _forward(op_call))
    setattr(Tensor, f"__r{name}__", _reflected(op_call))


for _name, _op in (("add", ops.add), ("sub", ops.sub), ("mul", ops.mul), ("truediv", ops.div), ("pow", ops.pow)):
    _attach(_name, _op)
Tensor.__neg__ = make_call(ops.neg.op, public=True)  # type: ignore[attr-defined]

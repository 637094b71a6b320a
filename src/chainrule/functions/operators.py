"""Python's operators on tensors. An operand of a foreign type gives NotImplemented, so that its own operator is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import NUMBERS, OPERANDS, declined
from chainrule.core.call.functions import make_operator, make_public, make_reflected
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import INT
from chainrule.core.write.inplace import assign_elementwise
from chainrule.ops.comparison import compare
from chainrule.ops.pointwise import arithmetic as ops


def _in_place(op_call: Callable) -> Callable:
    op = op_call.op  # type: ignore[union-attr, attr-defined]
    call = make_public(op)
    name = f"{op.name}_"

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ is Tensor or other.__class__ in NUMBERS or isinstance(other, OPERANDS):
            return assign_elementwise(self, op, call, (other,), name)
        return declined(other)

    return operator


_ARITHMETIC = {
    "add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "floordiv": ops.floor_divide, "mod": ops.remainder,
    "pow": ops.pow, "and": compare.bitwise_and, "or": compare.bitwise_or, "xor": compare.bitwise_xor,
    "lshift": compare.bitwise_left_shift, "rshift": compare.bitwise_right_shift,
}  # fmt: skip

for _name, _op in _ARITHMETIC.items():
    setattr(Tensor, f"__{_name}__", make_operator(_op.op))
    setattr(Tensor, f"__r{_name}__", make_reflected(_op.op))
    setattr(Tensor, f"__i{_name}__", _in_place(_op))

# Set after the class was made, `__eq__` leaves `__hash__` as it is: tensors hash by identity.
for _op in (compare.eq, compare.ne, compare.lt, compare.le, compare.gt, compare.ge):
    setattr(Tensor, f"__{_op.op.name}__", make_operator(_op.op))  # type: ignore[union-attr, attr-defined]

Tensor.__rdiv__ = Tensor.__rtruediv__  # type: ignore[attr-defined]  # the name of older programs, as in PyTorch
Tensor.__neg__ = make_public(ops.neg.op)  # type: ignore[union-attr, attr-defined]


def _invert(self: Tensor) -> Tensor:
    if self.dtype.category > INT:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors: the bits of a "
            f"{self.dtype} are no number's"
        )
    return TABLE["bitwise_not"].call(self)


def _absolute(self: Tensor) -> Tensor:
    return TABLE["abs"].call(self)


def _positive(self: Tensor) -> Tensor:
    return self


Tensor.__invert__ = _invert  # type: ignore[union-attr, attr-defined]
Tensor.__abs__ = _absolute  # type: ignore[union-attr, attr-defined]
Tensor.__pos__ = _positive  # type: ignore[union-attr, attr-defined]

"""Comparisons, logic and bit arithmetic: elementwise, not differentiable."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.core.op.declaration import elementwise
from chainrule.core.op.lowering import s
from chainrule.core.op.samples import Bools, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.ops.describe import binary


def _ordered(name: str, alias: str, kernel: Any, words: str, result: str) -> Any:
    example = f"cr.{name}(cr.tensor([1, 2, 3]), 2)"
    return elementwise(f"{name}(x, y)", kernel, dtype="bool", kinds="bif", calm=True, nondiff=True,
        public=True, inplace=True, aliases=(alias,),
        doc=binary(f"Tell where `input` is {words} `other`.", example, result))  # fmt: skip


eq = elementwise("eq(x, y)", operator.eq, dtype="bool", kinds="bifc", calm=True, nondiff=True,
    public=True, inplace=True,
    doc=binary("Tell where the values are equal.", "cr.eq(cr.tensor([1, 2, 3]), 2)",
               "tensor([False,  True, False])"))  # fmt: skip

ne = elementwise("ne(x, y)", operator.ne, dtype="bool", kinds="bifc", calm=True, nondiff=True,
    public=True, inplace=True, aliases=("not_equal",),
    doc=binary("Tell where the values differ.", "cr.ne(cr.tensor([1, 2, 3]), 2)",
               "tensor([ True, False,  True])"))  # fmt: skip

lt = _ordered("lt", "less", operator.lt, "less than", "tensor([ True, False, False])")
le = _ordered("le", "less_equal", operator.le, "at most", "tensor([ True,  True, False])")
gt = _ordered("gt", "greater", operator.gt, "greater than", "tensor([False, False,  True])")
ge = _ordered("ge", "greater_equal", operator.ge, "at least", "tensor([False,  True,  True])")

_TRUTHS = [Sample((3, 4), (4,)), Sample(Bools((3, 1)), Bools((4,))), Sample((), Bools(())), Sample((0, 2), (2,))]


def _logical(name: str, kernel: Any, words: str) -> Any:
    bits = getattr(s, name[8:])
    return elementwise(f"{name}(x, y)", kernel, dtype="bool", kinds="bifc", calm=True, nondiff=True, samples=lambda: _TRUTHS,
        public=True, inplace=True, lower=lambda x, y: bits(x != 0, y != 0),
        doc=binary(f"Tell where {words} nonzero.", f"cr.{name}(cr.tensor([True, False]), True)",
                   "tensor([False,  True])" if name == "logical_xor" else
                   "tensor([True, True])" if name == "logical_or" else "tensor([ True, False])"))  # fmt: skip


logical_and = _logical("logical_and", np.logical_and, "both values are")
logical_or = _logical("logical_or", np.logical_or, "either value is")
logical_xor = _logical("logical_xor", np.logical_xor, "exactly one of the values is")

_BITS = [Sample(Ints((3, 4), 0, 9), Ints((4,), 0, 9)), Sample(Ints((), 0, 9), Ints((2,), 0, 9)), Sample(Bools((2,)), Bools(()))]
_SHIFTS = [Sample(Ints((3, 4), 0, 9), Ints((4,), 0, 9)), Sample(Ints((), 0, 9), Ints((2,), 0, 9))]


def _refuse(name: str) -> Any:
    def check(*args: Any) -> None:
        for a in args:
            d = a.dtype if isinstance(a, Tensor) else dtypes.of_number(a)
            if d.category > dtypes.INT:
                raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.old_name}'")

    return check


def _bitwise(name: str, kernel: Any, words: str, result: str) -> Any:
    shift = name.endswith("shift")
    return elementwise(f"bitwise_{name}(x, y)", kernel, kinds="i" if shift else "bi", nondiff=True,
        public=True, inplace=True, samples=lambda: _SHIFTS if shift else _BITS,
        check=_refuse({"left_shift": "lshift", "right_shift": "rshift"}.get(name, f"bitwise_{name}")),
        doc=binary(words, f"cr.bitwise_{name}(cr.tensor([5, 12]), 2)", result))  # fmt: skip


bitwise_and = _bitwise("and", operator.and_, "Return the bitwise and of integers or bools.", "tensor([0, 0])")
bitwise_or = _bitwise("or", operator.or_, "Return the bitwise or of integers or bools.", "tensor([ 7, 14])")
bitwise_xor = _bitwise("xor", operator.xor, "Return the bitwise exclusive or of integers or bools.", "tensor([ 7, 14])")
bitwise_left_shift = _bitwise("left_shift", operator.lshift, "Return integers shifted left by bits.", "tensor([20, 48])")
bitwise_right_shift = _bitwise("right_shift", operator.rshift, "Return integers shifted right by bits.", "tensor([1, 3])")


def _isclose(x: Any, y: Any, *, rtol: float, atol: float, equal_nan: bool) -> Any:
    close = x == y
    if equal_nan:
        close = close | ((x != x) & (y != y))
    return close if rtol == 0 and atol == 0 else close | _is_within(x, y, np.result_type(x, y).kind, np.isfinite, rtol, atol)


def _lower_isclose(x: Any, y: Any, *, rtol: float, atol: float, equal_nan: bool) -> Any:
    close = (x == y) | ((x != x) & (y != y)) if equal_nan else x == y
    return close if rtol == 0 and atol == 0 else close | _is_within(x, y, x.kind, s.isfinite, rtol, atol)


def _is_within(x: Any, y: Any, kind: str, isfinite: Any, rtol: float, atol: float) -> Any:
    if kind in "biu":  # as floating point numbers: differences of unsigned integers wrap, and bools have none
        x, y = x / 1, y / 1
    gap = abs(x - y)
    return isfinite(gap) & (gap <= atol + abs(rtol * y))


isclose = elementwise("isclose(x, y, *, rtol, atol, equal_nan)", _isclose, dtype="bool", kinds="bifc", calm=True, nondiff=True,
    lower=_lower_isclose,
    samples=lambda: [Sample((3, 4), (4,), rtol=0.5, atol=0.1, equal_nan=False),
                     Sample((), (2,), rtol=0.0, atol=1.0, equal_nan=True)],
    doc=binary("Tell where values differ by at most ``atol + rtol * abs(other)``."))  # fmt: skip

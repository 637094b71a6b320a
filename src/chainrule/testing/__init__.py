"""PyTorch's ``testing``; and the laws that every op obeys, as functions.

`check_op` runs the laws on an op of yours as the test suite does on ours. A :class:`Case` is an op, a sample and a dtype. A law
takes a case and raises :class:`OpError`, which names the op, the law, the sample, the input and the two numbers that differ.
Laws know ops only through their declarations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.core.missing import tell_of_missing as _tell_of_missing

if TYPE_CHECKING:
    from chainrule.testing.case import Case, OpError, cases
    from chainrule.testing.check import check_op
    from chainrule.testing.close import assert_allclose, assert_close
    from chainrule.testing.make import make_tensor

__all__ = ["Case", "OpError", "assert_allclose", "assert_close", "cases", "check_op", "make_tensor"]

_HOMES = {"case": "Case OpError cases", "check": "check_op", "close": "assert_allclose assert_close", "make": "make_tensor"}
_tell_of_missing(__name__, {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names.split()})

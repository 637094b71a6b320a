"""The laws that every op obeys, as functions: `check_op` runs them on an op of yours as the test suite does on ours.

A :class:`Case` is an op, a sample and a dtype. A law takes a case and raises :class:`OpError`, which names the op, the
law, the sample, the input and the two numbers that differ. Laws know ops only through their declarations.
"""

from __future__ import annotations

from chainrule.functions import late
from chainrule.testing.case import Case, OpError, cases
from chainrule.testing.check import check_op

__all__ = ["Case", "OpError", "cases", "check_op"]

late.load()

"""Forty programs whose gradients are wrong on purpose: ten each NaN, infinite, zero and None, as users write them.

A program returns a function and its inputs; the gradient of the function's result in the input number `asked` has the
fault `fault`, first (in row-major order) in the element `at`, for the cause named by a word of `CAUSES`. The line
to be named carries the comment ``# <- cause``, the line that masks ``# <- mask``; a cause without a line has no mark. The
programs were written before the code that explains them, and are not bent to it.
"""

from __future__ import annotations

from .planted import CAUSES, Planted
from .planted_missing import NONE, ZERO
from .planted_not_finite import INFINITE, NAN

__all__ = ["CAUSES", "FAULTS", "PLANTED", "Planted"]

FAULTS = ("nan", "inf", "zero", "none")
PLANTED = [*NAN, *INFINITE, *ZERO, *NONE]

"""PyTorch's ``signal``: windows."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.signal import windows as windows

__all__ = ["windows"]

_tell_of_missing(__name__)

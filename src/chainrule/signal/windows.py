"""PyTorch's ``signal.windows``: the shapes by which signals are weighted."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.functions.creation.signal_window import *  # noqa: F403
from chainrule.functions.creation.signal_window import __all__ as __all__

_tell_of_missing(__name__)

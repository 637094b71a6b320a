"""PyTorch's ``masked``: reductions and normalisations of the elements at which a mask is True."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.masked.functions import *  # noqa: F403
from chainrule.masked.functions import __all__ as __all__

_tell_of_missing(__name__)

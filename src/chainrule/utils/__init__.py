"""PyTorch's ``utils``: what trains models with less memory (`checkpoint`), and what brings them their data (`data`)."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.utils import checkpoint

__all__ = ["checkpoint", "data"]

_tell_of_missing(__name__, late={"data": "chainrule.utils.data"})

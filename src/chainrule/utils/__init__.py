"""PyTorch's ``utils``: what trains models with less memory, brings them their data, times and logs them."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.utils import checkpoint

__all__ = ["benchmark", "checkpoint", "data"]

_tell_of_missing(
    __name__, late={name: f"chainrule.utils.{name}" for name in ("benchmark", "data", "dlpack", "hooks", "tensorboard")}
)

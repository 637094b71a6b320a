"""PyTorch's ``utils``: what trains models with less memory (:mod:`chainrule.utils.checkpoint`)."""

from __future__ import annotations

from chainrule.utils import checkpoint

__all__ = ["checkpoint"]

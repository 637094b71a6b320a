"""PyTorch's ``autograd.graph``: the nodes that `grad_fn` and `next_functions` show."""

from __future__ import annotations

from chainrule.core.graph import Node

__all__ = ["Node"]

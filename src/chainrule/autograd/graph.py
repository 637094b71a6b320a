"""PyTorch's ``autograd.graph``: the nodes that `grad_fn` and `next_functions` show, and hooks on the tensors they save."""

from __future__ import annotations

from chainrule.autograd.saved_tensors import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from chainrule.core.graph import Node

__all__ = ["Node", "disable_saved_tensors_hooks", "save_on_cpu", "saved_tensors_hooks"]

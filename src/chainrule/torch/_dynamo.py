"""PyTorch's ``_dynamo``, as far as programs turn it off."""

from __future__ import annotations

from types import SimpleNamespace

from chainrule.torch.compiler import allow_in_graph, disable, is_compiling, reset

__all__ = ["allow_in_graph", "config", "disable", "is_compiling", "reset"]

config = SimpleNamespace()

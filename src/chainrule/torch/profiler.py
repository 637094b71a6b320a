"""PyTorch's ``profiler``: its names that are autograd's too."""

from __future__ import annotations

from chainrule.autograd.profiler import profile, record_function

__all__ = ["profile", "record_function"]

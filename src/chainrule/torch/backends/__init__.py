"""PyTorch's ``backends``: settings of libraries that chainrule does not use; they can be set and read."""

from __future__ import annotations

from chainrule.torch.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "disable_global_flags", "flags_frozen", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


def disable_global_flags() -> None:
    """Leave the settings as they are: they have no effect."""


def flags_frozen() -> bool:
    """Return False."""
    return False

"""PyTorch's ``fft``: discrete Fourier transforms, their frequencies, and the order of these."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.functions.spectral.fourier import *  # noqa: F403
from chainrule.functions.spectral.fourier import __all__ as _fourier
from chainrule.functions.spectral.grid import *  # noqa: F403
from chainrule.functions.spectral.grid import __all__ as _grid

__all__ = sorted([*_fourier, *_grid])

_tell_of_missing(__name__)

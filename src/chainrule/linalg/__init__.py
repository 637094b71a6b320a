"""PyTorch's ``linalg``: factorisations, systems, spectra and norms of batches of matrices, differentiable to any order."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.functions.linalg.definite import *  # noqa: F403
from chainrule.functions.linalg.definite import __all__ as _definite
from chainrule.functions.linalg.determinant import *  # noqa: F403
from chainrule.functions.linalg.determinant import __all__ as _determinant
from chainrule.functions.linalg.factor import *  # noqa: F403
from chainrule.functions.linalg.factor import __all__ as _factor
from chainrule.functions.linalg.rank import *  # noqa: F403
from chainrule.functions.linalg.rank import __all__ as _rank
from chainrule.functions.linalg.size import *  # noqa: F403
from chainrule.functions.linalg.size import __all__ as _size
from chainrule.functions.linalg.solve import *  # noqa: F403
from chainrule.functions.linalg.solve import __all__ as _solve
from chainrule.functions.linalg.spectrum import *  # noqa: F403
from chainrule.functions.linalg.spectrum import __all__ as _spectrum
from chainrule.functions.linalg.various import *  # noqa: F403
from chainrule.functions.linalg.various import __all__ as _various
from chainrule.ops.linalg.failure import LinAlgError  # noqa: F401 - in `__all__`, which is sorted

__all__ = sorted(["LinAlgError", *_definite, *_determinant, *_factor, *_rank, *_size, *_solve, *_spectrum, *_various])

_tell_of_missing(__name__)

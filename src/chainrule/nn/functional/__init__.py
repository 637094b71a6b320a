"""PyTorch's ``nn.functional``: activations, losses and the affine map, as functions."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn.functional.classification import *  # noqa: F403
from chainrule.nn.functional.classification import __all__ as _classification
from chainrule.nn.functional.dropout import *  # noqa: F403
from chainrule.nn.functional.dropout import __all__ as _dropout
from chainrule.nn.functional.linear import *  # noqa: F403
from chainrule.nn.functional.linear import __all__ as _linear
from chainrule.nn.functional.piecewise import *  # noqa: F403
from chainrule.nn.functional.piecewise import __all__ as _piecewise
from chainrule.nn.functional.regression import *  # noqa: F403
from chainrule.nn.functional.regression import __all__ as _regression
from chainrule.nn.functional.smooth import *  # noqa: F403
from chainrule.nn.functional.smooth import __all__ as _smooth

__all__ = sorted([*_classification, *_dropout, *_linear, *_piecewise, *_regression, *_smooth])

_tell_of_missing(__name__)

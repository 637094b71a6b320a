"""PyTorch's ``nn.functional``: activations, losses, convolutions and the affine map, as functions."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn.functional.attention import *  # noqa: F403
from chainrule.nn.functional.attention import __all__ as _attention
from chainrule.nn.functional.classification import *  # noqa: F403
from chainrule.nn.functional.classification import __all__ as _classification
from chainrule.nn.functional.convolution import *  # noqa: F403
from chainrule.nn.functional.convolution import __all__ as _convolution
from chainrule.nn.functional.ctc import *  # noqa: F403
from chainrule.nn.functional.ctc import __all__ as _ctc
from chainrule.nn.functional.distance import *  # noqa: F403
from chainrule.nn.functional.distance import __all__ as _distance
from chainrule.nn.functional.dropout import *  # noqa: F403
from chainrule.nn.functional.dropout import __all__ as _dropout
from chainrule.nn.functional.embedding import *  # noqa: F403
from chainrule.nn.functional.embedding import __all__ as _embedding
from chainrule.nn.functional.folding import *  # noqa: F403
from chainrule.nn.functional.folding import __all__ as _folding
from chainrule.nn.functional.fractional import *  # noqa: F403
from chainrule.nn.functional.fractional import __all__ as _fractional
from chainrule.nn.functional.grid import *  # noqa: F403
from chainrule.nn.functional.grid import __all__ as _grid
from chainrule.nn.functional.likelihood import *  # noqa: F403
from chainrule.nn.functional.likelihood import __all__ as _likelihood
from chainrule.nn.functional.linear import *  # noqa: F403
from chainrule.nn.functional.linear import __all__ as _linear
from chainrule.nn.functional.margin import *  # noqa: F403
from chainrule.nn.functional.margin import __all__ as _margin
from chainrule.nn.functional.mean_square import *  # noqa: F403
from chainrule.nn.functional.mean_square import __all__ as _mean_square
from chainrule.nn.functional.normalization import *  # noqa: F403
from chainrule.nn.functional.normalization import __all__ as _normalization
from chainrule.nn.functional.piecewise import *  # noqa: F403
from chainrule.nn.functional.piecewise import __all__ as _piecewise
from chainrule.nn.functional.pooling import *  # noqa: F403
from chainrule.nn.functional.pooling import __all__ as _pooling
from chainrule.nn.functional.ranking import *  # noqa: F403
from chainrule.nn.functional.ranking import __all__ as _ranking
from chainrule.nn.functional.regression import *  # noqa: F403
from chainrule.nn.functional.regression import __all__ as _regression
from chainrule.nn.functional.resampling import *  # noqa: F403
from chainrule.nn.functional.resampling import __all__ as _resampling
from chainrule.nn.functional.smooth import *  # noqa: F403
from chainrule.nn.functional.smooth import __all__ as _smooth
from chainrule.nn.functional.unpooling import *  # noqa: F403
from chainrule.nn.functional.unpooling import __all__ as _unpooling

__all__ = sorted(
    [
        *_attention,
        *_classification,
        *_convolution,
        *_ctc,
        *_distance,
        *_dropout,
        *_embedding,
        *_folding,
        *_fractional,
        *_grid,
        *_likelihood,
        *_linear,
        *_margin,
        *_mean_square,
        *_normalization,
        *_piecewise,
        *_pooling,
        *_ranking,
        *_regression,
        *_resampling,
        *_smooth,
        *_unpooling,
    ]
)

_tell_of_missing(__name__)

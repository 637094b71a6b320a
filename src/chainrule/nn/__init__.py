"""PyTorch's ``nn``: modules, parameters, losses, and their functions in `functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn import functional as functional
from chainrule.nn import init as init
from chainrule.nn import utils as utils
from chainrule.nn.modules.attention import *
from chainrule.nn.modules.batchnorm import *
from chainrule.nn.modules.classification import *
from chainrule.nn.modules.container import *
from chainrule.nn.modules.convolution import *
from chainrule.nn.modules.distance import *
from chainrule.nn.modules.dropout import *
from chainrule.nn.modules.embedding import *
from chainrule.nn.modules.instancenorm import *
from chainrule.nn.modules.linear import *
from chainrule.nn.modules.module import *
from chainrule.nn.modules.normalization import *
from chainrule.nn.modules.padding import *
from chainrule.nn.modules.parameters import *
from chainrule.nn.modules.piecewise import *
from chainrule.nn.modules.pooling import *
from chainrule.nn.modules.ranking import *
from chainrule.nn.modules.recurrent import *
from chainrule.nn.modules.regression import *
from chainrule.nn.modules.resampling import *
from chainrule.nn.modules.smooth import *
from chainrule.nn.parameter import *

if _TYPE_CHECKING:
    from chainrule.nn import attention as attention
    from chainrule.nn import common_types as common_types
    from chainrule.nn import grad as grad
    from chainrule.nn import parallel as parallel
    from chainrule.nn.modules.adaptive import *
    from chainrule.nn.modules.lazy import *
    from chainrule.nn.modules.transformer import *
    from chainrule.nn.parallel import DataParallel as DataParallel

# Of each chapter that few programs need, and which is read when one of its names is first asked for: its names.
_CHAPTERS = {
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "lazy": (
        "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d "
        "LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear"
    ),
    "transformer": "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
}
_late = {n: f"chainrule.nn.modules.{c}" for c, names in _CHAPTERS.items() for n in names.split()}
_late |= {"DataParallel": f"{__name__}.parallel"} | {
    n: f"{__name__}.{n}" for n in ("attention", "common_types", "grad", "parallel")
}
_tell_of_missing(__name__, _late)

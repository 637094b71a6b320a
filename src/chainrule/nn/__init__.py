"""PyTorch's ``nn``: modules, parameters, losses, and their functions in `functional`."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn import functional as functional
from chainrule.nn import init as init
from chainrule.nn import utils as utils
from chainrule.nn.modules.attention import *
from chainrule.nn.modules.classification import *
from chainrule.nn.modules.container import *
from chainrule.nn.modules.convolution import *
from chainrule.nn.modules.distance import *
from chainrule.nn.modules.dropout import *
from chainrule.nn.modules.embedding import *
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

_tell_of_missing(__name__)

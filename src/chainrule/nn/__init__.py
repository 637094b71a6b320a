"""PyTorch's ``nn``: modules, parameters, losses, and their functions in `functional`."""

from __future__ import annotations

from chainrule.nn import functional as functional
from chainrule.nn import init as init
from chainrule.nn import utils as utils
from chainrule.nn.activation import *
from chainrule.nn.container import *
from chainrule.nn.dropout import *
from chainrule.nn.linear import *
from chainrule.nn.loss import *
from chainrule.nn.module import *
from chainrule.nn.parameter import *
from chainrule.nn.parameters import *
from chainrule.nn.piecewise import *

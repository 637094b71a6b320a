"""PyTorch's ``nn``: modules, parameters, losses, and their functions in `functional`."""

from __future__ import annotations

from chainrule.nn import functional, init, utils
from chainrule.nn.activation import *
from chainrule.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from chainrule.nn.linear import *
from chainrule.nn.loss import *
from chainrule.nn.module import Module
from chainrule.nn.parameter import Buffer, Parameter

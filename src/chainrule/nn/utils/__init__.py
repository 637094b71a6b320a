"""PyTorch's ``nn.utils``: gradients clipped, parameters as a vector, sequences packed."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn.utils import rnn as rnn
from chainrule.nn.utils.clip_grad import *
from chainrule.nn.utils.convert_parameters import *

_tell_of_missing(__name__)

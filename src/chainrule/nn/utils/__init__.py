"""PyTorch's ``nn.utils``: gradients clipped, parameters as a vector, parametrized or pruned, sequences packed."""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.nn.utils import rnn as rnn
from chainrule.nn.utils.clip_grad import *
from chainrule.nn.utils.convert_parameters import *
from chainrule.nn.utils.spectral_norm import remove_spectral_norm as remove_spectral_norm
from chainrule.nn.utils.spectral_norm import spectral_norm as spectral_norm
from chainrule.nn.utils.weight_norm import remove_weight_norm as remove_weight_norm
from chainrule.nn.utils.weight_norm import weight_norm as weight_norm

if _TYPE_CHECKING:
    from chainrule.nn.utils import (
        clip_grad as clip_grad,
    )
    from chainrule.nn.utils import (
        convert_parameters as convert_parameters,
    )
    from chainrule.nn.utils import (
        init as init,
    )
    from chainrule.nn.utils import (
        memory_format as memory_format,
    )
    from chainrule.nn.utils import (
        parametrizations as parametrizations,
    )
    from chainrule.nn.utils import (
        parametrize as parametrize,
    )
    from chainrule.nn.utils import (
        prune as prune,
    )
    from chainrule.nn.utils import (
        stateless as stateless,
    )
    from chainrule.nn.utils.fusion import *
    from chainrule.nn.utils.init import *
    from chainrule.nn.utils.memory_format import *

# The two files of norms are read at once: read later, they would stand under their functions' names.
# Of each file that few programs need, and which is read when one of its names, or it, is first asked for: its names here.
_CHAPTERS = {
    "fusion": "fuse_conv_bn_eval fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights",
    "init": "skip_init",
    "memory_format": "convert_conv2d_weight_memory_format convert_conv3d_weight_memory_format",
    "parametrizations": "",
    "parametrize": "",
    "prune": "",
    "stateless": "",
}
_late = {n: f"{__name__}.{chapter}" for chapter, names in _CHAPTERS.items() for n in (*names.split(), chapter)}
_tell_of_missing(__name__, _late)

"""chainrule: automatic differentiation as PyTorch does it, complete and correct in both modes, on NumPy.

>>> import chainrule as cr
>>> x = cr.tensor(2.0, requires_grad=True)
>>> y = cr.tensor(3.0, requires_grad=True)
>>> z = x * y + y**2
>>> z.backward()
>>> print(x.grad, y.grad)
tensor(3.) tensor(8.)
"""

from __future__ import annotations

import gc as _gc
import math as _math
from typing import Any as _Any

_collects = _gc.isenabled()
_gc.disable()  # nothing made at import is garbage, and looking for it took 8 of 31 ms
try:
    from chainrule.core.op.batching import is_warn_always_enabled, set_warn_always
    from chainrule.core.types.device import device
    from chainrule.core.types.dtype import UNHELD as _UNHELD_DTYPES
    from chainrule.core.types.dtype import (
        bool_ as bool,
        can_cast,
        complex64,
        complex128,
        dtype,
        float16,
        float32,
        float64,
        get_default_dtype,
        int8,
        int16,
        int32,
        int64,
        promote_types,
        set_default_dtype,
        uint8,
        uint16,
        uint32,
        uint64,
    )
    from chainrule.core.generator import (
        Generator,
        default_generator,
        get_rng_state,
        initial_seed,
        manual_seed,
        seed,
        set_rng_state,
    )
    from chainrule.core.mode.grad_mode import (
        enable_grad,
        inference_mode,
        is_anomaly_check_nan_enabled,
        is_anomaly_enabled,
        is_grad_enabled,
        is_inference_mode_enabled,
        no_grad,
        set_grad_enabled,
    )
    from chainrule.core.tensor.printing import get_printoptions, printoptions, set_printoptions
    from chainrule.core.call.heap import keep_pages as _keep_pages
    from chainrule.core.call.misfits import OutOfMemoryError
    from chainrule.core.op import native as _slot
    from chainrule.core.call.threads import get_num_threads, set_num_threads
    from chainrule.core.types.layout import layout, strided
    from chainrule.core.types.memory_format import (
        channels_last,
        channels_last_3d,
        contiguous_format,
        memory_format,
        preserve_format,
    )
    from chainrule.core.types.shape import Size
    from chainrule.core.tensor.tensor import Tensor
    from chainrule.functions.elementwise import *
    from chainrule.functions.pointwise.activation import *
    from chainrule.functions.pointwise.arithmetic import *
    from chainrule.functions.pointwise.extremum import *
    from chainrule.functions.indexing.select import *
    from chainrule.functions.comparison.compare import *
    from chainrule.functions.pointwise.complex import *
    from chainrule.functions.linalg.affine import *
    from chainrule.functions.linalg.contract import *
    from chainrule.functions.creation.create import *
    from chainrule.functions.pointwise.exponential import *
    from chainrule.functions.creation.fill import *
    from chainrule.functions.interop.dlpack import *
    from chainrule.functions.interop.info import *
    from chainrule.functions.interop import numpy as _numpy
    from chainrule.functions.creation.like import *
    from chainrule.functions.random.distributions import *
    from chainrule.functions.random.tensors import *
    from chainrule.functions.reduction.extrema import *
    from chainrule.functions.reduction.norm import *
    from chainrule.functions.reduction.reduce import *
    from chainrule.functions.reduction.statistics import *
    from chainrule.functions.reduction.scan import *
    from chainrule.functions.pointwise.rounding import *
    from chainrule.functions.pointwise.special import *
    from chainrule.functions.shaping.copy import *
    from chainrule.functions.indexing.index import *
    from chainrule.functions.shaping.join import *
    from chainrule.functions.indexing.scatter import *
    from chainrule.functions.shaping.shape import *
    from chainrule.functions.shaping.transpose import *
    from chainrule.functions.shaping.view import *
    from chainrule.functions.indexing.mask import *
    from chainrule.functions.indexing.select_index import *
    from chainrule.functions.indexing.part import *
    from chainrule.functions.shaping import cast as _cast
    from chainrule.functions.shaping import foreign as _foreign
    from chainrule.functions.shaping import layout as _layout
    from chainrule.functions import late as _late
    from chainrule.functions import operators as _operators
    from chainrule import autograd, return_types

    _keep_pages()
finally:
    if _collects:
        if not _gc.get_freeze_count():  # and so grows old at once: the first collection would look for it yet
            _gc.freeze()
            _gc.unfreeze()
        _gc.enable()

__version__ = "0.1.0"

_UNHELD = {**_UNHELD_DTYPES, "chalf": _UNHELD_DTYPES["complex32"]}
"""PyTorch's dtypes that no tensor here has."""
legacy_contiguous_format = contiguous_format
e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None
half, float, double = float16, float32, float64
cfloat, cdouble = complex64, complex128
short, int, long = int16, int32, int64


def _native(*asked: _Any) -> _Any:
    """Answer the first question for native code: import what makes it, if it is installed."""
    from chainrule.compiler.llvm.engine import available

    if not available():
        return _slot.offer(None)
    from chainrule.compiler.eager import native

    _slot.offer(native)
    return native(*asked)


_slot.offer(_native)

_LATE = _late.FUNCTIONS
"""Public names whose modules are imported at their first use."""
_LAZY = frozenset((
    "amp", "compiler", "cuda", "distributions", "fft", "func", "library", "linalg", "masked", "nn", "optim", "overrides",
    "random", "serialization", "signal", "special", "testing", "torch", "utils",
))  # fmt: skip
_ALIKE = frozenset((
    "_dynamo", "backends", "cpu", "distributed", "futures", "hub", "jit", "mps", "multiprocessing", "profiler", "types",
    "version", "xpu",
))  # fmt: skip
"""Modules that programs of PyTorch ask for beside the mathematics."""


def __getattr__(name: str) -> _Any:
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"chainrule.{name}")
    if name in _ALIKE:
        import importlib

        return importlib.import_module(f"chainrule.torch.{name}")
    if name in _LATE:
        import importlib

        found = globals()[name] = getattr(importlib.import_module(_LATE[name]), name)
        return found
    if name == "__all__":  # what `from chainrule import *` takes
        return [public for public in __dir__() if public[0] != "_" and public not in {*_LAZY, *_ALIKE, "bfloat16"}]
    if name[:9] == "_foreach_":
        import importlib

        return getattr(importlib.import_module("chainrule.functions.lists"), name)
    if name in _UNHELD:
        return _UNHELD[name]
    if name == "bfloat16":
        from chainrule.core.types.dtype import bfloat16_named

        return bfloat16_named()
    from chainrule.core.missing import missing

    raise missing(__name__, name)


def __dir__() -> list[str]:
    """Return the public names, those that are made at first use too."""
    inner = {"annotations", "core", "demo", "explanation", "functions", "info", "ops", "settings"}
    inner |= {"transforms", "visualization"}
    shown = {name for name in globals() if name[0] != "_" or name[:2] == "__"}
    return sorted({*shown, *_LAZY, *(name for name in (*_ALIKE, *_LATE) if name[0] != "_"), "bfloat16"} - inner)

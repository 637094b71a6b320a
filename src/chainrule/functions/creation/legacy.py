"""PyTorch's older constructors: ``FloatTensor(2, 3)``, ``LongTensor([1, 2])`` and their kin, ``Tensor.new``, ``range``."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.tensor.tensor import Tensor, legacy
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import placed
from chainrule.functions.creation.fill import finished, number, numpy_dtype

_DTYPES = {
    "FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
    "ByteTensor": "uint8", "CharTensor": "int8", "ShortTensor": "int16", "IntTensor": "int32", "LongTensor": "int64",
    "BoolTensor": "bool",
}  # fmt: skip
__all__ = [*sorted(_DTYPES), "range"]


class _TypedTensor(type):
    """The class of classes that stand for tensors of one dtype: what they make are tensors, and all such are instances."""

    _dtype: str

    @property
    def dtype(cls) -> dtypes.dtype:
        """The dtype."""
        return dtypes.named(cls._dtype)

    @property
    def is_cuda(cls) -> bool:
        """False: tensors live on the CPU."""
        return False

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.dtype

    def __call__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return legacy(cls.dtype, cls.__name__, args, kwargs)


def _typed(name: str) -> type:
    text = f"""Make tensors of dtype ``{_DTYPES[name]}``, and tell them from others, by PyTorch's older name.

    Sizes give a tensor of unspecified values, a sequence or array its values converted.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.{name}([1, 0]).dtype, cr.{name}(2, 3).shape, isinstance(cr.zeros(1), cr.FloatTensor)
    (chainrule.{_DTYPES[name]}, chainrule.Size([2, 3]), True)
    """
    return _TypedTensor(name, (), {"_dtype": _DTYPES[name], "__doc__": text, "__module__": "chainrule", "__slots__": ()})


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = map(
    _typed, ("FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor")
)
ByteTensor, CharTensor, ShortTensor, IntTensor, LongTensor, BoolTensor = map(
    _typed, ("ByteTensor", "CharTensor", "ShortTensor", "IntTensor", "LongTensor", "BoolTensor")
)


def new(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Make a tensor of this one's dtype, from sizes or data: PyTorch's older form of :meth:`new_tensor` and :meth:`new_empty`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2, dtype=cr.int64).new([1.5, 2])
    tensor([1, 2])
    """
    return legacy(self.dtype, "new", args, kwargs)


Tensor.new = new  # type: ignore[attr-defined]


@asks
@placed
def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return the numbers ``start, start + step, …`` up to `end`, which is included; :func:`arange` leaves it out.

    Parameters
    ----------
    start, end, step : number
        ``range(end)`` starts at 0.
    dtype : dtype, optional
        The default dtype if not given.
    device, requires_grad, out
        As for :func:`zeros`.

    Returns
    -------
    Tensor
        Of shape (floor((end - start) / step) + 1,).

    Raises
    ------
    RuntimeError
        If `step` is zero or leads away from `end`, or a bound is not finite.

    Examples
    --------
    >>> import warnings
    >>> import chainrule as cr
    >>> with warnings.catch_warnings(action="ignore"):
    ...     cr.range(1, 4)
    tensor([1., 2., 3., 4.])
    """
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with Python's "
        "range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=4,
    )
    if end is None:
        start, end = 0, start
    start, end, step = (number(v, "range", name) for v, name in ((start, "start"), (end, "end"), (step, "step")))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    numpy = numpy_dtype(dtype, None, out)
    if numpy.kind in "bc":
        raise NotImplementedError(f"\"range_cpu\" not implemented for '{dtypes.of(numpy).old_name}'")
    if numpy.kind in "iu":
        start, end, step = int(start), int(end), int(step)
    count = math.floor((end - start) / step) + 1
    return finished((start + step * np.arange(count)).astype(numpy), device, requires_grad, out)


def default_tensor_type(t: Any) -> dtypes.dtype:
    """Return the dtype that a class such as :class:`DoubleTensor`, or its name, stands for, if it may be the default one."""
    name = t.rpartition(".")[2] if isinstance(t, str) else getattr(t, "__name__", None)
    if "cuda" in (t if isinstance(t, str) else getattr(t, "__module__", "")):
        raise TypeError(f"type {t if isinstance(t, str) else name} not available. Torch not compiled with CUDA enabled.")
    if name not in _DTYPES or not isinstance(t, (str, _TypedTensor)):
        raise TypeError("invalid type object: only floating-point types are supported as the default type")
    d = dtypes.named(_DTYPES[name])
    if d.category != dtypes.FLOAT:
        raise TypeError("only floating-point types are supported as the default type")
    return d

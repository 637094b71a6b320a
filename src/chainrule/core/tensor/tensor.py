"""Tensor: the one public value class, and the reverse-mode values of transforms.

Ops are not known here; the rule book attaches them as methods where it declares them. What a tensor is stands in four
files: its memory (``layout``), its place in the graph (``state``), its conversions (``conversion``), and what all levels
share (``value``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.graph.nodes import new
from chainrule.core.mode.state import modes
from chainrule.core.tensor.conversion import Conversions
from chainrule.core.tensor.value import Value, disabled_torch_function, has_views
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.device import CPU, usable
from chainrule.core.types.shape import Size

if TYPE_CHECKING:
    from chainrule.core.tensor.methods import Methods
else:
    Methods = object

ndarray = np.ndarray


class Tensor(Conversions, Methods):
    """A NumPy array that remembers how it was computed.

    Make one with :func:`chainrule.tensor`; calling ``Tensor(data)`` is PyTorch's older form and gives the default
    dtype. Attributes and methods are PyTorch's.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        asks = cls.__torch_function__ is not disabled_torch_function  # type: ignore[attr-defined]
        cls._plain = not asks and cls._level.__class__ is int  # a level's class reads it from a slot
        if asks:
            import_module("chainrule.overrides")  # public functions look for overrides from now on

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        """Build a tensor of the default dtype from data, or an uninitialised one from sizes, as ``torch.Tensor`` does."""
        return legacy(dtypes.get_default_dtype(), "Tensor", args, kwargs, cls)

    def _join_transform(self) -> None:
        """Make a plain leaf that was made inside a reverse-mode transform a leaf of that transform, which records its use."""
        level = modes().recorder
        if level and self._meta.made >= level and self.__class__ is Tensor and not has_views(self):
            self.__class__ = GradTracking  # type: ignore[assignment]
            self._lv = level


def wrap(data: Any, cls: type = Tensor) -> Tensor:
    """Return a fresh tensor around a payload, which it then owns; not recorded."""
    t: Tensor = new(cls)
    t._data = data
    t._node = t._ver = t._view = None
    t._meta = modes().meta
    return t


Value._wrap = staticmethod(wrap)  # type: ignore[assignment]


def legacy(dtype: dtypes.dtype, name: str, args: tuple, kwargs: dict, cls: type = Tensor) -> Tensor:
    """Return what PyTorch's older constructors make: of sizes a tensor of unspecified values, else of the data.

    Raises
    ------
    TypeError
        For a number that is no size, a tensor of another dtype (:class:`Tensor` takes any), or further arguments.
    """
    usable(kwargs.pop("device", None) or CPU)
    if not args and kwargs:
        args = next(((kwargs.pop(name),) for name in ("size", "other", "data") if name in kwargs), ())
    if kwargs or (len(args) > 1 and not all(_is_size(a) for a in args)):
        raise TypeError(
            f"{name}() takes sizes, or data, and device=; use chainrule.tensor for dtype= and requires_grad=. Got "
            f"{', '.join([type(a).__name__ for a in args] + list(kwargs))}"
        )
    if not args:
        return wrap(np.empty(0, dtype.numpy), cls)
    data = args[0]
    if _is_size(data):
        return wrap(np.empty(args, dtype.numpy), cls)
    if data.__class__ is Size:
        return wrap(np.empty(data, dtype.numpy), cls)
    if isinstance(data, Tensor):
        if data.dtype is not dtype and name != "Tensor":
            raise TypeError(f"{name}() expected a tensor of {dtype}, got one of {data.dtype}; use to() to convert it")
        made = data.detach()  # type: ignore[attr-defined]
        return made if made.__class__ is cls else made.as_subclass(cls)
    if not hasattr(data, "__len__"):
        raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    return wrap(np.array(data, dtype.numpy), cls)


def _is_size(arg: Any) -> bool:
    return hasattr(arg, "__index__") and not isinstance(arg, (Tensor, ndarray))


class GradTracking(Tensor):
    """A tensor of a reverse-mode level above 0; its payload is a value of any lower level."""

    __slots__ = ()
    _level = Tensor._lv  # type: ignore[attr-defined]
    __torch_function__ = disabled_torch_function

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this one."""
        return wrap_at(self._level, value)


def wrap_at(level: int, data: Any, cls: type = Tensor) -> Tensor:
    """Return a fresh reverse-mode tensor of the given level around a payload."""
    if not level:
        return wrap(data, cls)
    t = wrap(data, GradTracking)
    t._level = level
    return t

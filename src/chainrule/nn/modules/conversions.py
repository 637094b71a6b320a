"""What converts all parameters and buffers of a module at once: dtypes, devices, memory formats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, TypeVar

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import spelling
from chainrule.core.types.device import CPU, device
from chainrule.core.types.memory_format import memory_format
from chainrule.functions.creation.like import empty_like
from chainrule.functions.shaping.cast import type_meant

_Self = TypeVar("_Self", bound="Convertible")


def typename(value: Any) -> str:
    """Return PyTorch's name of a value's type: a tensor's tells its dtype."""
    if isinstance(value, Tensor):
        return f"{spelling.library}.{value.dtype.old_name}Tensor"
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_DEVICE = (str, int, device, NoneType)
_DTYPE = (dtypes.dtype, type, np.dtype, NoneType)
_REST = {"non_blocking": (bool,), "copy": (bool,), "memory_format": (memory_format, NoneType)}


def parse_to(*args: Any, **kwargs: Any) -> tuple[device | None, dtypes.dtype | None, bool, memory_format | None]:
    """Return the device, dtype, haste and memory format that `Module.to` is given; raise PyTorch's error unless they fit.

    Examples
    --------
    >>> parse_to("cpu", "float64")[:2]
    Traceback (most recent call last):
    TypeError: to() received an invalid combination of arguments - got (str, str), but expected one of: ...
    >>> parse_to("cpu", dtypes.float64)
    (device(type='cpu'), chainrule.float64, False, None)
    """
    first = args[0] if args else kwargs.get("tensor")
    form: dict[str, tuple] = {"device": _DEVICE, "dtype": _DTYPE, **_REST}
    if isinstance(first, Tensor):
        form = {"tensor": (Tensor,), **_REST}
    elif args and first is not None and isinstance(first, _DTYPE):
        del form["device"]
    names = list(form)[:-1]  # the memory format is given by keyword alone
    given = dict(zip(names, args, strict=False))
    fits = len(args) <= len(names) and not given.keys() & kwargs.keys() and kwargs.keys() <= form.keys()
    given |= kwargs
    if not fits or not all(
        isinstance(a, form[name]) and (a.__class__ is bool) <= (bool in form[name]) for name, a in given.items()
    ):
        got = ", ".join([typename(a) for a in args] + [f"{name}={typename(a)}" for name, a in kwargs.items()])
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({got}), but expected one of: (device, dtype, "
            "non_blocking, copy), (dtype, non_blocking, copy), (tensor, non_blocking, copy), and memory_format by keyword"
        )
    if given.get("copy"):
        raise RuntimeError(".to() does not accept copy argument")
    place = None if given.get("device") is None else device(given["device"])
    if isinstance(first, Tensor):
        place = first.device
    asked = given.get("dtype", first if isinstance(first, Tensor) else None)
    found = asked.dtype if isinstance(asked, Tensor) else None if asked is None else dtypes.as_dtype(asked)
    return place, found, given.get("non_blocking", False), given.get("memory_format")


class Convertible:
    """What :class:`Module` has of conversions."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    children: Callable[[], Iterator[Any]]

    def _apply(self: _Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Self:
        """Replace the values of all parameters, their gradients and the buffers by `fn` of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for p in self._parameters.values():
            if p is not None:
                grad = p.grad
                p.grad = None
                with no_grad():
                    p.data = fn(p)
                    if grad is not None:
                        p.grad = fn(grad)
        for name, b in self._buffers.items():
            if b is not None:
                self._buffers[name] = fn(b)
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """Convert floating point and complex parameters and buffers to a dtype, given itself or by a tensor; return the module.

        A device is accepted if it is the CPU. ``memory_format=`` lays parameters and buffers of 4 and 5 axes out in memory.

        Raises
        ------
        TypeError
            If the dtype is neither floating point nor complex, or the arguments fit none of PyTorch's three forms:
            ``to(device, dtype, non_blocking)``, ``to(dtype, non_blocking)``, ``to(tensor, non_blocking)``.
        AssertionError, RuntimeError
            For a device other than the CPU, or a memory format that is not for the axes of a parameter or buffer.
        """
        place, found, _, form = parse_to(*args, **kwargs)
        if found is not None and found.category < dtypes.FLOAT:
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={found}")
        if found is not None and found.category > dtypes.FLOAT:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and some modules might "
                "not work as expected when using complex tensors as parameters or buffers.",
                stacklevel=2,
            )
        if found is None and form is None and (place is None or place.type == "cpu"):
            return self
        return self._apply(
            lambda t: t.to(  # type: ignore[attr-defined]
                found if t.dtype.category >= dtypes.FLOAT else None,
                device=place or CPU,
                memory_format=form if t.ndim in (4, 5) else None,
            )
        )

    def type(self: _Self, dst_type: Any) -> _Self:
        """Convert all parameters and buffers to a dtype, given as :meth:`Tensor.type` takes it; return the module."""
        d = type_meant(dst_type)
        return self._apply(lambda t: t.to(d))  # type: ignore[attr-defined]

    def _floats_to(self: _Self, d: dtypes.dtype) -> _Self:
        return self._apply(lambda t: t.to(d) if t.is_floating_point() else t)  # type: ignore[attr-defined]

    def float(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float32``; return the module."""
        return self._floats_to(dtypes.float32)

    def double(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float64``; return the module."""
        return self._floats_to(dtypes.float64)

    def half(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float16``; return the module."""
        return self._floats_to(dtypes.float16)

    def bfloat16(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``bfloat16``; return the module."""
        return self._floats_to(dtypes.bfloat16())

    def to_empty(self: _Self, *, device: Any, recurse: bool = True) -> _Self:
        """Replace all parameters and buffers by uninitialised memory; return the module.

        Parameters
        ----------
        device : str or device or None
            Only the CPU.
        recurse : bool
            Those of the modules inside, too.
        """
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def cpu(self: _Self) -> _Self:
        """Return the module: it is on the CPU."""
        return self

    def cuda(self: _Self, device: Any = None) -> _Self:
        """Raise the error of :meth:`Tensor.cuda` if there is a parameter or buffer: chainrule computes on the CPU."""
        return self._apply(lambda t: t.cuda(device))  # type: ignore[attr-defined]

    def xpu(self: _Self, device: Any = None) -> _Self:
        """Raise the error of :meth:`Tensor.xpu` if there is a parameter or buffer."""
        return self._apply(lambda t: t.xpu(device))  # type: ignore[attr-defined]

    def ipu(self: _Self, device: Any = None) -> _Self:
        """Raise the error of :meth:`Tensor.ipu` if there is a parameter or buffer."""
        return self._apply(lambda t: t.ipu(device))  # type: ignore[attr-defined]

    def mtia(self: _Self, device: Any = None) -> _Self:
        """Raise the error of :meth:`Tensor.mtia` if there is a parameter or buffer."""
        return self._apply(lambda t: t.mtia(device))  # type: ignore[attr-defined]

    def share_memory(self: _Self) -> _Self:
        """Raise the error of :meth:`Tensor.share_memory_` if there is a parameter or buffer."""
        return self._apply(lambda t: t.share_memory_())  # type: ignore[attr-defined]

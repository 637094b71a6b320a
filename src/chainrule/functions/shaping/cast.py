"""Casts: `Tensor.to` and its short forms."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import spelling
from chainrule.core.types.device import device as as_device
from chainrule.core.types.device import usable
from chainrule.core.types.memory_format import channels_last, channels_last_3d, contiguous_format
from chainrule.functions.shaping.copy import laid_out
from chainrule.ops.shaping import shape as ops

__all__: list[str] = []


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return the tensor in another dtype; itself if it has that dtype already.

    Parameters
    ----------
    *args : dtype, Tensor, or "cpu"
        The dtype; or a tensor whose dtype to take; or the one device there is, which may come before a dtype.
    dtype : dtype, optional
        The dtype, by keyword.
    device : str, optional
        ``"cpu"``.
    non_blocking : bool
        Copies within memory do not block: either value means the same.
    copy : bool
        Return a copy even if nothing changes.
    memory_format : optional
        The order of the elements of a copy; by default, as ``preserve_format``, the tensor's own.

    Raises
    ------
    AssertionError, RuntimeError
        For a device other than the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([1, 2]).to(cr.float64).dtype
    chainrule.float64
    """
    flags = [arg for arg in args if isinstance(arg, bool)]
    copy = copy or (len(flags) == 2 and flags[1])  # by position, non_blocking comes first
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, (str, int, as_device)) and not isinstance(arg, bool) and device is None:
            device = arg
        elif arg is not None and not isinstance(arg, bool):
            dtype = arg
    if device is not None:
        usable(device)
    d = self.dtype if dtype is None else dtypes.as_dtype(dtype)
    if d is self.dtype:
        if copy:
            return laid_out(ops.to(self, dtype=d.numpy, source=d.numpy), memory_format)
        as_it_is = memory_format is None or (memory_format is contiguous_format and not _is_channels_last(self))
        return self if as_it_is else laid_out(self, memory_format)
    if self.numel():
        dtypes.warn_discarding(self.dtype, d, 2)
    out = cast(self, d)
    return out if memory_format is None else laid_out(out, memory_format)


def _is_channels_last(t: Tensor) -> bool:
    """Tell whether a tensor lies in memory as one of the two formats with channels last, and not in C order."""
    return not t.is_contiguous() and (t.is_contiguous(channels_last) or t.is_contiguous(channels_last_3d))


def type_meant(spec: Any) -> dtypes.dtype:
    """Return the dtype that a dtype, a class such as ``FloatTensor``, or its full name stands for; of ``Tensor``, the default.

    Raises
    ------
    TypeError, ValueError
        If it is none of these; a Python type of numbers is none.
    RuntimeError
        If it is of another device.
    """
    if isinstance(spec, dtypes.dtype):
        return spec
    if spec is Tensor:
        return dtypes.get_default_dtype()
    meant = getattr(spec, "dtype", None) if isinstance(spec, builtins.type) else None
    if isinstance(meant, dtypes.dtype):
        return meant
    if not isinstance(spec, (str, builtins.type)):
        raise TypeError("dtype must be a type, str, or dtype object")
    name = (
        spec
        if isinstance(spec, str)
        else spec.__name__
        if spec.__module__ == "builtins"
        else f"{spec.__module__}.{spec.__name__}"
    )
    library, _, kind = name.partition(".")
    if library in ("torch", "chainrule"):
        if kind.startswith("cuda."):
            raise RuntimeError(
                f"Cannot initialize CUDA without ATen_cuda library: chainrule computes on the CPU, without {name}"
            )
        found = dtypes.of_old_name(kind.removesuffix("Tensor"))
        if found is not None and kind.endswith("Tensor"):
            return found
    raise ValueError(f"invalid type: {name!r}")


def type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Return the tensor in another dtype; without one, the name of the tensor's type.

    Parameters
    ----------
    dtype : dtype, class or str, optional
        Also a class such as ``FloatTensor``, or its full name.
    non_blocking : bool
        As for :meth:`to`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2).type(cr.int64).dtype
    chainrule.int64
    """
    if dtype is None:
        return f"{spelling.library}.{self.dtype.old_name}Tensor"
    return to(self, type_meant(dtype))


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype of another.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2).type_as(cr.tensor(1)).dtype
    chainrule.int64
    """
    return to(self, other.dtype)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor itself, which is on the CPU already.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.zeros(2).cpu().shape
    chainrule.Size([2])
    """
    return to(self, memory_format=memory_format)


Tensor.to, Tensor.type, Tensor.type_as, Tensor.cpu = to, type, type_as, cpu  # type: ignore[attr-defined]


def _short_form(name: str, target: str) -> Callable:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, dtypes.named(target), memory_format=memory_format)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"Return the tensor as ``{target}``; itself if it is already."
    return method


for _name, _target in {
    "half": "float16", "float": "float32", "double": "float64", "bfloat16": "bfloat16", "cfloat": "complex64",
    "cdouble": "complex128", "bool": "bool", "byte": "uint8", "char": "int8", "short": "int16", "int": "int32",
    "long": "int64",
}.items():  # fmt: skip
    setattr(Tensor, _name, _short_form(_name, _target))

"""DLPack: tensors on the memory of other libraries' arrays, and theirs on ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks, asks_once
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.functions.creation.create import check_device
from chainrule.ops.shaping.shape import detach

__all__ = ["from_dlpack", "to_dlpack"]

_CPU = (1, 0)


def _dlpack(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
    """Return a DLPack capsule on this tensor's memory.

    Raises
    ------
    BufferError
        If the tensor requires grad, is inside a transform, or is to go to another device.
    """
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self._level:
        raise BufferError("Can't export a value inside a transform: its derivative would be lost")
    options: dict[str, Any] = {"dl_device": dl_device} if dl_device is not None else {}
    return array_of(self).__dlpack__(stream=stream, max_version=max_version, copy=copy, **options)


def _dlpack_device(self: Tensor) -> tuple[int, int]:
    """Return DLPack's name of the CPU."""
    return _CPU


@asks_once(scan=False)
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of any object that speaks DLPack: a PyTorch or JAX CPU tensor, a NumPy array.

    Parameters
    ----------
    ext_tensor : object with ``__dlpack__``, or a capsule
        Whose memory to share; it must be on the CPU. A capsule, such as :func:`to_dlpack` gives, is used once.
    device : str, optional
        Only ``"cpu"``.
    copy : bool, optional
        True copies, False raises where sharing is impossible, None copies where it must.

    Raises
    ------
    BufferError
        If the object cannot be exported, as a tensor that requires grad.
    TypeError
        If it does not speak DLPack.

    Examples
    --------
    >>> import chainrule as cr, numpy as np
    >>> a = np.zeros(2)
    >>> t = cr.from_dlpack(a)
    >>> a[0] = 3
    >>> t
    tensor([3., 0.], dtype=chainrule.float64)
    """
    check_device(device)
    if type(ext_tensor).__name__ == "PyCapsule":
        array = np.asarray(_Writable(np.from_dlpack(_Held(ext_tensor))))
        return wrap(array.copy() if copy else array)
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack(): expected an object with __dlpack__, not {type(ext_tensor).__name__}")
    if isinstance(ext_tensor, np.ndarray):
        array = ext_tensor.copy() if copy else ext_tensor
    else:
        array = np.from_dlpack(ext_tensor, copy=copy)
    return wrap(np.asarray(array))


class _Held:
    """A capsule as what it would be had from."""

    def __init__(self, capsule: Any):
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU


class _Writable:
    """An array's memory, which NumPy takes for read-only where it comes in a capsule of old, that cannot say."""

    def __init__(self, array: np.ndarray):
        self._array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}


@asks
def to_dlpack(data: Tensor) -> object:
    """Return a DLPack capsule on a tensor's memory, for :func:`from_dlpack`: an older way than to hand over the tensor.

    Parameters
    ----------
    data : Tensor
        What becomes of it elsewhere is not recorded.

    Returns
    -------
    PyCapsule
        To be used once.

    Raises
    ------
    TypeError
        If it is no tensor.
    BufferError
        If it is inside a transform.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.from_dlpack(cr.to_dlpack(cr.ones(2)))
    tensor([1., 1.])
    """
    if not isinstance(data, Tensor):
        raise TypeError(f"to_dlpack(): argument 'data' (position 1) must be Tensor, not {type(data).__name__}")
    return _dlpack(detach(data) if not data._level else data)


Tensor.__dlpack__ = _dlpack  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = _dlpack_device  # type: ignore[attr-defined]

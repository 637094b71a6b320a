"""Tensors from data: Python numbers and nested sequences, NumPy arrays, other tensors.

This module owns PyTorch's rules for the dtype of data and its checks of ragged or unfit data. Tensors from nothing but
a shape are made in `functions.fill`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from chainrule.core.call.asking import ask_once, asking, asks_once, call_of, is_silent
from chainrule.core.call.dispatch import NUMBERS, cast
from chainrule.core.call.misfits import oversized
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import LEAF, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import check_differentiable, not_a_flag
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.device import CPU, usable
from chainrule.core.types.layout import strided

__all__ = ["as_tensor", "asarray", "from_numpy", "tensor"]

_F = TypeVar("_F", bound=Callable[..., Any])
_MOST_DIMS = 64  # NumPy's limit
_SURELY_FINITE = 6.0e4  # a Python float below this is finite in every dtype, float16 included
_SAFE_COPY = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than tensor(sourceTensor)."
)


def placed(factory: _F) -> _F:
    """Return a factory that also takes ``layout=`` and ``pin_memory=``, which can ask for what there is anyway."""

    @functools.wraps(factory)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and ("layout" in kwargs or "pin_memory" in kwargs):
            _check_placement(factory.__name__, kwargs.pop("layout", None), kwargs.pop("pin_memory", None))
        try:
            return factory(*args, **kwargs)
        except (MemoryError, ValueError) as error:
            raise oversized(error) or error from None

    call.placed = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _check_placement(name: str, layout: Any, pin_memory: bool | None) -> None:
    if layout is not None and layout is not strided:
        raise TypeError(f"{name}(): argument 'layout' must be chainrule.strided, the one layout there is, not {layout!r}")
    if pin_memory:
        raise RuntimeError(
            f"{name}(): pin_memory=True requires a CUDA or other accelerator backend; chainrule computes on the CPU only"
        )


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """Return a leaf tensor that holds a copy of data.

    Parameters
    ----------
    data : number, nested sequence of numbers, array or Tensor
        Python floats take the default dtype, ints ``int64``, complex numbers the complex dtype of the default; NumPy
        arrays and scalars keep theirs.
    dtype : dtype, optional
        Convert to this.
    device : str, optional
        Only ``"cpu"``.
    requires_grad : bool
        Record operations on the result.
    pin_memory : bool
        Lock the memory for an accelerator: there is none, so it must be False.

    Returns
    -------
    Tensor
        With memory of its own and no history.

    Raises
    ------
    TypeError
        If the data is no number or array, or is complex where `dtype` is real.
    ValueError
        If rows differ in length.
    RuntimeError
        If no dtype can be inferred, a value overflows `dtype`, or an integer tensor is to require grad.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> cr.tensor(2.5, requires_grad=True)
    tensor(2.5000, requires_grad=True)
    """
    if asking.on and not is_silent():
        return ask_once(tensor, *call_of(tensor, locals()), scan=False)
    if pin_memory:
        _check_placement("tensor", None, pin_memory)
    if data.__class__ is float and dtype is None and device is None and -_SURELY_FINITE < data < _SURELY_FINITE:
        t = new(Tensor)
        t._data = dtypes.get_default_dtype().numpy.type(data)
        t._node = t._ver = t._view = None
        t._meta = meta = modes().meta
        if requires_grad is True and meta is None:  # all that `requires_grad_` does then
            t._node = LEAF
            t._born = next_id()
            return t
        return t if requires_grad is False else leaf(t, requires_grad)
    check_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(data, Tensor):
        warnings.warn(_SAFE_COPY, UserWarning, stacklevel=2)
        return leaf(cast(data.detach(), wanted or data.dtype).clone(), requires_grad)  # type: ignore[attr-defined]
    return leaf(wrap(array_from(data, wanted)), requires_grad)


@asks_once(scan=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor of the data, sharing memory and history where possible.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        A tensor of the right dtype is returned as it is; an array of the right dtype shares its memory.
    dtype : dtype, optional
        Convert to this; a tensor's conversion is recorded.
    device : str, optional
        Only ``"cpu"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0])
    >>> cr.as_tensor(x) is x
    True
    """
    check_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(data, Tensor):
        return data if wanted is None else cast(data, wanted)
    if isinstance(data, np.ndarray):
        return cast(from_numpy(data), wanted or dtypes.of(data.dtype))
    return wrap(array_from(data, wanted))


@asks_once(scan=False)
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """Return a tensor of an object, sharing its memory unless a copy is asked for or needed.

    Parameters
    ----------
    obj : Tensor, array, object with ``__dlpack__`` or the buffer protocol, number or nested sequence
        What to convert.
    dtype : dtype, optional
        Dtype of the result; of a bare buffer, how its bytes are read (the default dtype if not given).
    device : str, optional
        Only ``"cpu"``.
    copy : bool, optional
        True always copies, False raises where sharing is impossible, None copies where it must.
    requires_grad : bool, optional
        Whether the result requires grad; by default as `obj` does. False detaches.

    Raises
    ------
    ValueError
        If `copy` is False and the memory cannot be shared.

    Examples
    --------
    >>> import chainrule as cr, numpy as np
    >>> a = np.zeros(2)
    >>> t = cr.asarray(a)
    >>> a[0] = 5
    >>> t
    tensor([5., 0.], dtype=chainrule.float64)
    """
    check_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    made = _shared(obj, wanted)
    if made is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return leaf(wrap(array_from(obj, wanted)), requires_grad)
    if requires_grad is False:
        made = made.detach()  # type: ignore[attr-defined]
    if wanted is not None and made.dtype is not wanted:
        if copy is False:
            raise ValueError(f"can't alias tensor with dtype '{made.dtype.old_name}' into dtype '{wanted.old_name}'.")
        made = cast(made, wanted)
    elif copy:
        made = made.clone()  # type: ignore[attr-defined, union-attr]
    return leaf(made, requires_grad) if requires_grad and not made.requires_grad else made


def _shared(obj: Any, wanted: dtypes.dtype | None) -> Tensor | None:
    """Return a tensor on the object's memory; None if it has none to share."""
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, np.ndarray):
        return from_numpy(obj)
    if isinstance(obj, np.generic):
        return wrap(array_from(obj, None))
    if hasattr(obj, "__dlpack__"):
        return from_numpy(np.from_dlpack(obj))
    try:
        view = memoryview(obj)
    except TypeError:
        return None
    return from_numpy(np.frombuffer(view, (wanted or dtypes.get_default_dtype()).numpy))


@asks_once(scan=False)
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """Return a tensor on the memory of a NumPy array: a write to either shows in both.

    Raises
    ------
    TypeError
        If it is no array, or of a dtype that tensors cannot hold.
    ValueError
        If it has a negative stride or a foreign byte order.

    Examples
    --------
    >>> import chainrule as cr, numpy as np
    >>> a = np.array([1.0, 2.0])
    >>> t = cr.from_numpy(a)
    >>> a[0] = 7
    >>> t
    tensor([7., 2.], dtype=chainrule.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    _checked(ndarray.dtype)
    if min(ndarray.strides, default=0) < 0:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
            "supported. (You can probably work around this by making a copy of your array with array.copy().)"
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable: writing to the tensor in place will raise. Copy the array, or use "
            "chainrule.tensor, for a tensor that can be written to.",
            UserWarning,
            stacklevel=3,
        )
    return wrap(np.asarray(ndarray))


@placed
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a leaf tensor that holds a copy of data, by default in this tensor's dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(1, dtype=cr.float64).new_tensor([1, 2])
    tensor([1., 2.], dtype=chainrule.float64)
    """
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


Tensor.new_tensor = new_tensor  # type: ignore[attr-defined]


# -- shared with the other factories -----------------------------------------------------------------------------------


def check_device(device: Any) -> None:
    """Raise unless the device is the CPU."""
    if device is not None and device is not CPU:
        usable(device)


def leaf(t: Tensor, requires_grad: bool | None) -> Tensor:
    """Return a fresh tensor, requiring grad if told."""
    if requires_grad.__class__ is not bool and requires_grad is not None:
        raise not_a_flag(requires_grad, "argument 'requires_grad'")
    if requires_grad:
        check_differentiable(t.dtype)
        return t.requires_grad_()
    return t


# -- data to arrays ----------------------------------------------------------------------------------------------------


def array_from(data: Any, wanted: dtypes.dtype | None) -> Any:
    """Return a fresh array (a NumPy scalar for 0-d data) of data that is no Tensor, in PyTorch's dtype or the wanted one."""
    if isinstance(data, np.ndarray):
        found = _checked(data.dtype.newbyteorder("="))
        token = hush()
        try:
            return _scalar(np.array(data, (wanted or found).numpy))
        finally:
            unhush(token)
    if not isinstance(data, (list, tuple, int, float, complex, np.generic)) and hasattr(data, "__array__"):
        return array_from(np.asarray(data), wanted)
    found = inferred(data, wanted)
    plain = data if data.__class__ in NUMBERS else _plain(data)
    token = hush()
    try:
        return _scalar(np.array(plain, found.numpy))
    except TypeError:
        _check_lengths(plain, _lengths(plain))
        raise TypeError(f"must be real number, not {'complex' if found.category < dtypes.COMPLEX else 'list'}") from None
    except (OverflowError, ValueError):
        _check_lengths(plain, _lengths(plain))
        return _wrapped_around(plain, found, wanted)
    finally:
        unhush(token)


def _scalar(array: np.ndarray) -> Any:
    return array if array.ndim else array[()]


def _wrapped_around(plain: Any, found: dtypes.dtype, wanted: dtypes.dtype | None) -> Any:
    """Return integers that do not fit the dtype but whose negatives would, as PyTorch wraps -1 to 255; else raise."""
    if wanted is None:
        raise ValueError("Overflow when unpacking long long")
    wide = np.array(plain)
    if found.category == dtypes.INT and wide.dtype.kind == "i":
        top = np.iinfo(found.numpy).max
        if (np.abs(wide) <= top).all():
            return _scalar(wide.astype(found.numpy))
    raise RuntimeError(f"value cannot be converted to type {found.name} without overflow")


def _checked(numpy: np.dtype) -> dtypes.dtype:
    """Return the dtype of an array; raise PyTorch's error, which names NumPy's scalar type, if there is none."""
    try:
        return dtypes.of(numpy)
    except TypeError as error:
        raise TypeError(str(error).replace(f"type {numpy}.", f"type numpy.{numpy.type.__name__}.")) from None


def inferred(data: Any, wanted: dtypes.dtype | None = None, depth: int = 0) -> dtypes.dtype:
    """Return the dtype PyTorch gives to a number or nested sequence, or `wanted`; raise if it holds anything else."""
    cls = data.__class__
    if cls in NUMBERS:
        return wanted or dtypes.of_number(data)
    if isinstance(data, (np.ndarray, np.generic)):
        return wanted or _checked(data.dtype)
    if isinstance(data, Tensor):
        return wanted or data.dtype
    if isinstance(data, (int, float, complex)):
        return wanted or dtypes.of_number(data)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{cls.__name__}'")
    if not _is_sequence(data):
        if wanted is not None:
            raise TypeError(f"must be real number, not {cls.__name__}")
        raise RuntimeError(f"Could not infer dtype of {cls.__name__}")
    if depth == _MOST_DIMS:
        raise ValueError(f"too many dimensions '{cls.__name__}'")
    found = None
    classes = set(map(type, data))
    if classes <= NUMBERS:  # the common case, at C speed
        for kind in classes:
            found = _higher(found, dtypes.of_number(kind()))
    else:
        for item in data:
            if isinstance(item, (str, bytes)):
                raise ValueError(f"too many dimensions '{type(item).__name__}'")
            found = _higher(found, inferred(item, wanted, depth + 1))
    return wanted or found or dtypes.get_default_dtype()


def _higher(a: dtypes.dtype | None, b: dtypes.dtype) -> dtypes.dtype:
    return b if a is None else dtypes.promote_types(a, b)


def _is_sequence(data: Any) -> bool:
    if isinstance(data, Sequence):
        return True
    return hasattr(data, "__getitem__") and hasattr(data, "__len__") and not hasattr(data, "keys")


def _plain(data: Any) -> Any:
    """Return nested data with its tensors replaced by numbers and its sequences by lists."""
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError(
                "only one element tensors can be converted to Python scalars; chainrule.stack makes a tensor of tensors"
            )
        if data.requires_grad or data._level:
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
                "Consider using tensor.detach() first; chainrule.stack keeps the gradient.",
                UserWarning,
                stacklevel=5,
            )
        return data.item()
    if data.__class__ in NUMBERS or isinstance(data, (np.ndarray, np.generic, int, float, complex)):
        return data
    items = data if data.__class__ is list else list(data)
    return items if set(map(type, items)) <= NUMBERS else [_plain(item) for item in items]


def _lengths(plain: Any) -> list[int]:
    """Return the shape that the first elements suggest."""
    lengths = []
    while isinstance(plain, (list, np.ndarray)):
        lengths.append(len(plain))
        if not len(plain):
            break
        plain = plain[0]
    return lengths


def _check_lengths(plain: Any, lengths: list[int], dim: int = 0) -> None:
    """Raise PyTorch's error if the nested lists are ragged."""
    if dim == len(lengths):
        if isinstance(plain, (list, np.ndarray)):
            raise TypeError("'list' object cannot be interpreted as a number: the rows are nested to different depths")
        return
    if not isinstance(plain, (list, np.ndarray)):
        raise TypeError("not a sequence")
    if len(plain) != lengths[dim]:
        raise ValueError(f"expected sequence of length {lengths[dim]} at dim {dim} (got {len(plain)})")
    for item in plain:
        _check_lengths(item, lengths, dim + 1)

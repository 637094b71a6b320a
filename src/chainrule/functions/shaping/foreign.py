"""Methods that ask for what chainrule's tensors are not: sparse, quantised, pinned, shared between processes, elsewhere.

What can be answered is; the rest raises PyTorch's type of error, and says what there is instead.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import array_of
from chainrule.core.types.device import usable
from chainrule.core.types.shape import sizes as as_sizes
from chainrule.functions.shaping.view import reshape

__all__: list[str] = []

_SPARSE = "sparse coordinate tensor layout"
_COMPRESSED = "sparse row compressed tensor layout"
_COLUMNS = "sparse column compressed tensor layout"
_OF_SPARSE = {
    "coalesce": _SPARSE, "is_coalesced": _SPARSE, "indices": _SPARSE, "values": "sparse tensor layout",
    "crow_indices": _COMPRESSED, "col_indices": _COMPRESSED, "ccol_indices": _COLUMNS, "row_indices": _COLUMNS,
}  # fmt: skip
_TO_SPARSE = ("to_sparse", "to_sparse_bsc", "to_sparse_bsr", "to_sparse_coo", "to_sparse_csc", "to_sparse_csr", "to_mkldnn")
_QUANTISED = (
    "int_repr", "q_per_channel_axis", "q_per_channel_scales", "q_per_channel_zero_points", "q_scale", "q_zero_point", "qscheme",
)  # fmt: skip
_REMOVED = {
    "symeig": "linalg.eigh", "eig": "linalg.eig", "lstsq": "linalg.lstsq", "solve": "linalg.solve",
}  # fmt: skip


def _refusing(name: str, error: type[Exception], text: str) -> None:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise error(text)

    _attach(name, method, f"Raise {error.__name__}: {text[0].lower()}{text[1:]}")


def _attach(name: str, method: Callable, text: str) -> None:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", text
    setattr(Tensor, name, method)


for _name, _layout in _OF_SPARSE.items():
    _refusing(_name, RuntimeError, f"{_name} expected {_layout} but got Strided: chainrule's tensors are dense")
for _name in _TO_SPARSE:
    _refusing(
        _name, NotImplementedError, f"{_name}: chainrule's tensors are dense; use scipy.sparse on x.numpy() outside of it"
    )
for _name in _QUANTISED:
    _refusing(
        _name, NotImplementedError, f"{_name}: chainrule's tensors are not quantised; x.to(chainrule.int8) converts values"
    )
for _name, _new in _REMOVED.items():
    _refusing(
        _name,
        RuntimeError,
        f"This function was deprecated since version 1.9 and is now removed. Use chainrule.{_new} instead of Tensor.{_name}",
    )


def _moving(kind: str) -> Callable:
    def method(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> NoReturn:
        usable(kind if device is None else device)
        raise RuntimeError(f"Invalid device, must be {kind} device")

    return method


for _name in ("cuda", "xpu", "ipu", "mtia"):
    _attach(_name, _moving(_name), f"Raise PyTorch's error: chainrule computes on the CPU only, and knows no {_name} device.")
for _name in ("pin_memory", "record_stream"):
    _refusing(_name, RuntimeError, f"Cannot access accelerator device when none is available: leave {_name}() out")
for _name in ("storage", "storage_type"):
    _refusing(
        _name,
        NotImplementedError,
        f"{_name}(): storages have no dtype here: use x.untyped_storage(), x.numpy(), x.nbytes or x.storage_offset()",
    )
_refusing("chalf", TypeError, "chalf: NumPy has no complex numbers of half precision; use cfloat()")
_refusing(
    "share_memory_", NotImplementedError,
    "share_memory_(): a tensor's memory is not shared between processes; use multiprocessing.shared_memory and from_numpy",
)  # fmt: skip
_refusing("reinforce", RuntimeError, "reinforce() was removed; use distributions and a loss, as PyTorch's own message says")


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Tell whether the memory is locked for an accelerator: never.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).is_pinned()
    False
    """
    return False


def is_shared(self: Tensor) -> bool:
    """Tell whether the memory is shared between processes: never.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).is_shared()
    False
    """
    return False


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """Return the tensor, which is dense; in another dtype if one is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).to_dense()
    tensor([1., 1.])
    """
    return self if dtype is None else self.to(dtype)


def dequantize(self: Tensor) -> Tensor:
    """Return the tensor, which is not quantised, in float32.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).dequantize()
    tensor([1., 1.])
    """
    return self.float()


def sparse_dim(self: Tensor) -> int:
    """Return the number of sparse axes: none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).sparse_dim()
    0
    """
    return 0


def dense_dim(self: Tensor) -> int:
    """Return the number of dense axes: all.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).dense_dim()
    1
    """
    return self.ndim


def dim_order(self: Tensor) -> tuple[int, ...]:
    """Return the axes from the one with the largest step in memory to the one with the smallest.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2, 3).T.dim_order()
    (1, 0)
    """
    steps = self.stride()
    return tuple(sorted(range(self.ndim), key=lambda axis: -steps[axis]))


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Tell whether two tensors show the same memory with the same shape and strides.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2)
    >>> x.is_set_to(x.view(2)), x.is_set_to(cr.ones(2))
    (True, False)
    """
    same = tuple(self.shape) == tuple(tensor.shape) and self.stride() == tensor.stride()
    return same and array_of(self).size > 0 and self.data_ptr() == tensor.data_ptr()


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """Return the elements in another shape: PyTorch's older form of :meth:`reshape`.

    Raises
    ------
    RuntimeError
        If the sizes need more or fewer elements than there are.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(4).resize(2, 2).shape
    chainrule.Size([2, 2])
    """
    shape = as_sizes(sizes)
    if prod(shape) != self.numel():
        raise RuntimeError(
            f"requested resize to {shape} ({prod(shape)} elements in total), but the given tensor has a size of "
            f"{tuple(self.shape)} ({self.numel()} elements). autograd's resize can only change the shape of a given tensor, "
            "while preserving the number of elements."
        )
    return reshape(self, shape)


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor of the same memory and another's sizes; use :meth:`reshape_as`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(4).resize_as(cr.ones(2, 2)).shape
    chainrule.Size([2, 2])
    """
    return resize(self, tuple(tensor.shape))


def _cdata(self: Tensor) -> int:
    """Tell a tensor from every other: Pyro asks whether a parameter is the one that it holds."""
    return id(self)


for _method in (is_pinned, is_shared, to_dense, dequantize, sparse_dim, dense_dim, dim_order, is_set_to, resize, resize_as):
    setattr(Tensor, _method.__name__, _method)
Tensor._cdata = property(_cdata)  # type: ignore[attr-defined]
Tensor.const_data_ptr = Tensor.data_ptr  # type: ignore[attr-defined]

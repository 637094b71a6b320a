"""Questions about tensors and dtypes that touch no values."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import common_dtype, lift
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes

__all__ = [
    "finfo", "get_device", "iinfo", "is_complex", "is_distributed", "is_floating_point", "is_inference", "is_nonzero",
    "is_same_size", "is_signed", "is_tensor", "numel", "result_type", "typename",
]  # fmt: skip


@asks
def is_inference(input: Tensor) -> bool:
    """Tell whether a tensor was made in inference mode.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.inference_mode():
    ...     x = cr.ones(2)
    >>> cr.is_inference(x)
    True
    """
    return input.is_inference()


def is_tensor(obj: Any) -> bool:
    """Tell whether an object is a Tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_tensor(cr.ones(1)), cr.is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


def _tensor(input: Any, name: str) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


@asks
def is_floating_point(input: Tensor) -> bool:
    """Tell whether the dtype is real floating point.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_floating_point(cr.tensor(1.0)), cr.is_floating_point(cr.tensor(1))
    (True, False)
    """
    return _tensor(input, "is_floating_point").is_floating_point()


@asks
def is_complex(input: Tensor) -> bool:
    """Tell whether the dtype is complex.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_complex(cr.tensor(1j))
    True
    """
    return _tensor(input, "is_complex").is_complex()


@asks
def numel(input: Tensor) -> int:
    """Return the number of elements.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.numel(cr.ones(2, 3))
    6
    """
    return _tensor(input, "numel").numel()


@asks
def is_signed(input: Tensor) -> bool:
    """Tell whether the dtype has negative values.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_signed(cr.tensor([1], dtype=cr.uint8))
    False
    """
    return _tensor(input, "is_signed").is_signed()


@asks
def is_nonzero(input: Tensor) -> bool:
    """Tell whether the one element is not zero.

    Raises
    ------
    RuntimeError
        If there is not exactly one element.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_nonzero(cr.tensor([[2.0]]))
    True
    """
    return bool(_tensor(input, "is_nonzero"))


@asks
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have the same shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_same_size(cr.ones(2), cr.ones(3))
    False
    """
    return _tensor(input, "is_same_size").shape == _tensor(other, "is_same_size").shape


@asks
def get_device(input: Tensor) -> int:
    """Return -1, the number of the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_device(cr.ones(1))
    -1
    """
    _tensor(input, "get_device")
    return -1


@asks
def is_distributed(input: Tensor) -> bool:
    """Tell whether a tensor lies in several processes: none does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_distributed(cr.ones(1))
    False
    """
    _tensor(input, "is_distributed")
    return False


def typename(obj: Any) -> str:
    """Return the name of an object's type: of a tensor its older name, of others that of the class with its module.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.typename(cr.ones(1)), cr.typename(3), cr.typename(cr.float32)
    ('chainrule.FloatTensor', 'int', 'chainrule.dtype')
    """
    if isinstance(obj, Tensor):
        return obj.type()
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None) or ""
    if module == "builtins":
        module = ""
    elif module.startswith(("chainrule.core.", "chainrule.functions")):
        module = "chainrule"
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


@asks
def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """Return the dtype in which two tensors or numbers compute together.

    Python numbers, and then 0-d tensors, matter only when their category (bool < integer < float < complex) is higher.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.result_type(cr.tensor([1, 2]), 1.0)
    chainrule.float32
    """
    return common_dtype([lift(tensor1, "result_type", 0), lift(tensor2, "result_type", 1)])


class finfo:  # noqa: N801 - PyTorch's public name
    """The limits of a floating point dtype; of a complex one, of its parts.

    Attributes
    ----------
    bits : int
        Bits of a number.
    eps : float
        Distance from 1 to the next larger number.
    max, min : float
        Largest and smallest finite number.
    tiny, smallest_normal : float
        Smallest positive normal number.
    resolution : float
        Decimal resolution.
    dtype : str
        Name of the dtype.

    Raises
    ------
    TypeError
        If the dtype is not floating point.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.finfo(cr.float32).eps
    1.1920928955078125e-07
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: Any = None):
        narrow = isinstance(type, dtypes.dtype) and type.name.startswith("float8")  # known, though no tensor has it
        d = dtypes.get_default_dtype() if type is None else type if narrow else dtypes.as_dtype(type)
        if d.category < dtypes.FLOAT:
            raise TypeError("chainrule.finfo() requires a floating point input type. Use chainrule.iinfo for integers")
        d = d.to_real()
        if narrow or d.name == "bfloat16":
            try:
                import ml_dtypes
            except ImportError as error:
                raise ImportError(f'finfo({d}) needs the package ml_dtypes: pip install "chainrule[bfloat16]"') from error
            limits: Any = ml_dtypes.finfo(d.name)
        else:
            limits = np.finfo(d.numpy)
        self.bits, self.dtype = d.itemsize * 8, d.name
        self.eps, self.max, self.min = float(limits.eps), float(limits.max), float(limits.min)
        self.tiny = self.smallest_normal = float(limits.smallest_normal)
        self.resolution = float(f"1e-{limits.precision}")

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's public name
    """The limits of an integer dtype.

    Attributes
    ----------
    bits, max, min : int
        Bits of a number, largest and smallest number.
    dtype : str
        Name of the dtype.

    Raises
    ------
    TypeError
        If the dtype is not an integer one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.iinfo(cr.int8)
    iinfo(min=-128, max=127, dtype=int8)
    """

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: Any):
        d = dtypes.as_dtype(type)
        if d.category == dtypes.BOOL:
            raise TypeError(f"{d} is not supported by chainrule.iinfo")
        if d.category > dtypes.INT:
            raise TypeError("chainrule.iinfo() requires an integer input type. Use chainrule.finfo for floating point")
        limits = np.iinfo(d.numpy)
        self.bits, self.dtype, self.max, self.min = limits.bits, d.name, int(limits.max), int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"  # rounded as PyTorch rounds them


for _predicate in (is_nonzero, is_same_size, get_device, is_distributed):
    setattr(Tensor, _predicate.__name__, _predicate)

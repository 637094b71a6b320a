"""What PyTorch's compiler makes of sizes and checks: here sizes are Python's numbers, and checks look at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NoReturn

from chainrule.core.tensor.tensor import Tensor

__all__ = [
    "SymBool", "SymFloat", "SymInt", "_assert", "_assert_async", "_check", "_check_index", "_check_is_size",
    "_check_not_implemented", "_check_tensor_all", "_check_type", "_check_value", "_check_with", "get_device_module",
    "sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip


class _OfACompiler:
    """A kind of value that only a compiler makes: nothing here is one."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"torch.{cls.__name__}: sizes are Python's numbers here, and no compiler makes others")


class SymInt(_OfACompiler):
    """An integer that a compiler does not know yet: nothing is one here."""


class SymFloat(_OfACompiler):
    """A number that a compiler does not know yet: nothing is one here."""


class SymBool(_OfACompiler):
    """A truth that a compiler does not know yet: nothing is one here."""


class Graph(_OfACompiler):
    """A graph of TorchScript: nothing is one here."""


class Value(_OfACompiler):
    """A value in a graph of TorchScript: nothing is one here."""


sym_max, sym_min = max, min


def sym_int(a: float) -> int:
    """Return a number without its fraction.

    Examples
    --------
    >>> sym_int(2.7)
    2
    """
    return int(a)


def sym_float(a: float) -> float:
    """Return a number as a float."""
    return float(a)


def sym_not(a: bool) -> bool:
    """Return the other truth."""
    return not a


def sym_ite(b: bool, t: float, f: float) -> float:
    """Return one of two values."""
    return t if b else f


def sym_sqrt(a: float) -> float:
    """Return the square root of a number."""
    return math.sqrt(a)


def sym_sum(args: Iterable[float]) -> float:
    """Return the sum of numbers."""
    return sum(args)


def _check_with(error_type: type[Exception], cond: bool, message: Callable[[], str] | None) -> None:
    """Raise an error unless a condition holds, of numbers and not of tensors.

    Examples
    --------
    >>> _check_with(ValueError, 1 > 2, lambda: "too small")
    Traceback (most recent call last):
    ...
    ValueError: too small
    """
    if isinstance(cond, Tensor):
        raise TypeError(
            "cond must be a bool, but got a Tensor. For tensor conditions, use torch._check_tensor_all() to assert that all "
            "elements are true"
        )
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        if message is not None and not callable(message):
            raise TypeError("message must be a callable")
        raise error_type("Expected cond to be True, but got False." if message is None else str(message()))


def _check(cond: bool, message: Callable[[], str] | None = None) -> None:
    """Raise RuntimeError unless a condition holds."""
    _check_with(RuntimeError, cond, message)


def _check_value(cond: bool, message: Callable[[], str] | None = None) -> None:
    """Raise ValueError unless a condition holds."""
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message: Callable[[], str] | None = None) -> None:
    """Raise TypeError unless a condition holds."""
    _check_with(TypeError, cond, message)


def _check_index(cond: bool, message: Callable[[], str] | None = None) -> None:
    """Raise IndexError unless a condition holds."""
    _check_with(IndexError, cond, message)


def _check_not_implemented(cond: bool, message: Callable[[], str] | None = None) -> None:
    """Raise NotImplementedError unless a condition holds."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: int, message: Callable[[], str] | None = None, *, max: int | None = None) -> None:
    """Raise RuntimeError unless a number can be a size, and one of at most ``max``."""
    _check(i >= 0, message)
    _check(max is None or i <= max, message)


def _check_tensor_all(cond: Tensor, message: Callable[[], str] | None = None) -> None:
    """Raise RuntimeError unless all elements are true."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    _check(bool(cond.all()), message)


def _assert(condition: Any, message: str) -> None:
    """Raise AssertionError unless a condition holds, one of a tensor too."""
    if not condition:
        raise AssertionError(message)


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """Raise RuntimeError unless a tensor's one element is true."""
    if not input:
        raise RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")


def get_device_module(device: Any = None) -> ModuleType:
    """Return the module of a kind of device: of the CPU, unless another is named."""
    from chainrule import torch
    from chainrule.core.types.device import device as device_of

    return getattr(torch, "cpu" if device is None else device_of(device).type)

"""The optimizers' options: read as numbers, checked with PyTorch's errors."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor


def number(value: Any) -> float:
    """Return an option that may be a one-element tensor as a Python number."""
    return value.item() if isinstance(value, Tensor) else value


def check_numbers(optimizer: str, **options: Any) -> None:
    """Raise TypeError for an option that is no number; a tensor of one element is one."""
    for name, value in options.items():
        if not hasattr(value, "__float__"):
            raise TypeError(f"{optimizer}: {name} must be a number, not {type(value).__name__} ({value!r})")


def check_lr(lr: Any) -> None:
    """Raise PyTorch's error for a learning rate that is negative or has several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not number(lr) >= 0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_at_least_zero(**options: Any) -> None:
    """Raise PyTorch's error for an option that is below zero."""
    for name, value in options.items():
        if not number(value) >= 0:
            raise ValueError(f"Invalid {name} value: {value}")


def check_betas(optimizer: str, betas: Any) -> None:
    """Raise PyTorch's error for shares that the running means keep, unless they are two numbers from 0 to below 1."""
    if not hasattr(betas, "__getitem__") or isinstance(betas, str):
        raise TypeError(f"{optimizer}: betas must be two numbers, not {type(betas).__name__} ({betas!r})")
    for i in (0, 1):
        if not 0 <= number(betas[i]) < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def check_eps(eps: Any) -> None:
    """Raise PyTorch's error for an addend of a denominator below zero."""
    if not eps >= 0:
        raise ValueError(f"Invalid epsilon value: {eps}")


def check_implementation(foreach: Any, fused: Any, differentiable: Any, capturable: Any = False) -> None:
    """Raise for options that contradict each other, or that need a device."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if capturable:
        raise RuntimeError("capturable=True is for graphs of CUDA, which chainrule has not: leave it out")

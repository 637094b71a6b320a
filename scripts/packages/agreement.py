"""Holding a run of a model under chainrule against one under PyTorch: from the same weights and inputs, for a few steps.

The run under PyTorch comes first. It writes the weights and buffers that a model begins with, its outputs, its losses and its
weights at the end; the run under chainrule begins with those weights, and must come to the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def agree(name: str, found: dict[str, Any], rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Write named values under PyTorch; under chainrule compare them with what was written."""
    values = {
        key: value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value) for key, value in found.items()
    }
    file = _file(name)
    if _is_real():
        np.savez(file, **values)
        return
    with np.load(file) as written:
        assert sorted(written) == sorted(values)
        for key in written:
            np.testing.assert_allclose(values[key], written[key], rtol=rtol, atol=atol, err_msg=f"{name}: {key}")


def begin(name: str, model: Any) -> None:
    """Write a model's weights and buffers under PyTorch; under chainrule load them."""
    state = model.state_dict()
    file = _file(f"{name}.begin")
    if _is_real():
        np.savez(file, **{key: value.numpy() for key, value in state.items()})
        return
    with np.load(file) as written:
        assert list(written) == list(state)
        model.load_state_dict({key: torch.from_numpy(written[key]) for key in written})


def train(
    name: str,
    model: Any,
    loss: Callable[[], Any],
    optimizer: Any = None,
    steps: int = 5,
    outputs: Callable[[], Any] | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
) -> None:
    """Train a model for a few steps and compare its losses, its gradients at the start and its state at the end."""
    begin(name, model)
    found: dict[str, Any] = {}
    if outputs is not None:
        found["outputs"] = outputs()
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=1e-2)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if step == 0:
            found |= {f"gradient of {key}": p.grad for key, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(value.item())
    found |= {f"{key} at the end": value for key, value in model.state_dict().items()}
    agree(name, {key: value.clone() for key, value in found.items()} | {"losses": losses}, rtol, atol)


def drawn(*shape: int, seed: int = 0, dtype: Any = None) -> Any:
    """Return normal numbers that are the same under both libraries."""
    numbers = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
    return numbers.to(dtype or torch.float32)


def integers(high: int, shape: Iterable[int], seed: int = 0) -> Any:
    """Return whole numbers below a bound that are the same under both libraries."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, high, tuple(shape)))


def _is_real() -> bool:
    return not torch.__name__.startswith("chainrule")


def _file(name: str) -> Path:
    return Path(os.environ["RECORD"]).parent / f"{name}.npz"

"""Layers of neural networks, forward and backward, at the sizes of small models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.kernels import Program, Step, normal


def layer(f: Callable[..., Any], *shapes: Sequence[int], scale: float = 1.0) -> Program:
    """Return the program that computes ``f(torch, *tensors)`` of leaves of the given shapes and pulls numbers back."""

    def program(torch: Any, rng: np.random.Generator) -> Step:
        leaves = [torch.tensor(scale * normal(rng, *shape), requires_grad=True) for shape in shapes]
        with torch.no_grad():
            y = f(torch, *leaves)
        g = torch.tensor(normal(rng, *y.shape))

        def step() -> tuple:
            for x in leaves:
                x.grad = None
            y = f(torch, *leaves)
            y.backward(g)
            return y, *[x.grad for x in leaves]

        return step

    return program


def batch_norm(torch: Any, x: Any, w: Any, b: Any) -> Any:
    return torch.nn.functional.batch_norm(x, torch.zeros(512), torch.ones(512), w, b, training=True)


def embedding(torch: Any, w: Any) -> Any:
    places = torch.tensor(np.random.default_rng(1).integers(0, 10_000, (64, 128)))
    return torch.nn.functional.embedding(places, w)


def lstm(torch: Any, x: Any, *weights: Any) -> Any:
    states = [torch.zeros(1, 16, 128), torch.zeros(1, 16, 128)]
    return torch.lstm(x, states, weights, True, 1, 0.0, True, False, False)[0]


PROGRAMS: dict[str, Program] = {
    "layer_norm of 64x512": layer(
        lambda torch, x, w, b: torch.nn.functional.layer_norm(x, (512,), w, b), (64, 512), (512,), (512,)
    ),
    "batch_norm of 64x512": layer(batch_norm, (64, 512), (512,), (512,)),
    "embedding of 64x128 in 10,000x256": layer(embedding, (10_000, 256)),
    "LSTM of 50 steps, 16x64 to 128": layer(lstm, (50, 16, 64), (512, 64), (512, 128), (512,), (512,), scale=0.1),
    "attention of 4x8x128x32": layer(
        lambda torch, q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v), *[(4, 8, 128, 32)] * 3
    ),
}

"""Training steps of the examples, each example's own text run with either library in its imports."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernels import Program, Step, normal

FOLDER = Path(__file__).parent.parent / "examples"


def example(torch: Any, name: str) -> types.ModuleType:
    """Return an example, loaded with the given library in the place of chainrule."""
    made = types.ModuleType(name)
    text = (FOLDER / f"{name}.py").read_text().replace("chainrule", torch.__name__)
    exec(compile(text, f"examples/{name}.py", "exec"), made.__dict__)
    return made


def training(
    name: str, build: Callable[[Any], Any], *batch: Callable[[Any, np.random.Generator], Any], random: bool = False
) -> Program:
    """Return the program that takes one step of an example's training.

    Parameters
    ----------
    name : str
        The example; its ``step(net, optimizer, *batch)`` is timed and gives the loss.
    build : callable
        Takes the example's module and gives the network.
    *batch : callable
        Take the library and a source of random numbers, and give the arguments of the step.
    random : bool
        The step draws random numbers of its library's, so there is nothing that the libraries agree on.
    """

    def program(torch: Any, rng: np.random.Generator) -> Step:
        module = example(torch, name)
        net = build(module)
        with torch.no_grad():
            for p in net.parameters():
                if p.ndim > 1:
                    p.copy_(torch.tensor(normal(rng, *p.shape) * p[0].numel() ** -0.5))
                elif p[0].item() != 1:
                    p.zero_()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        given = [make(torch, rng) for make in batch]

        def step() -> tuple:
            loss = module.step(net, optimizer, *given).detach()
            return () if random else (loss,)

        return step

    return program


def convolutional(module: Any) -> Any:
    net = module.Net()
    net.head[1].p = 0.0  # what is dropped would differ
    return net


PROGRAMS: dict[str, Program] = {
    "train the CNN of the examples": training(
        "cnn_digits",
        convolutional,
        lambda torch, rng: torch.tensor(normal(rng, 64, 1, 8, 8)),
        lambda torch, rng: torch.tensor(rng.integers(0, 10, 64)),
    ),
    "train the LSTM of the examples": training(
        "lstm_series", lambda module: module.Forecast(), lambda torch, rng: torch.tensor(normal(rng, 32, 68, 4))
    ),
    "train the transformer of the examples": training(
        "char_transformer",
        lambda module: module.Transformer(96),
        lambda torch, rng: torch.tensor(rng.integers(0, 96, (32, 65))),
    ),
    "train the VAE of the examples": training(
        "vae_digits",
        lambda module: module.Autoencoder(),
        lambda torch, rng: torch.tensor(rng.random((64, 64), np.float32)),
        random=True,
    ),
}

"""Memory of second-order programs: what lives at once, and what the graph of a gradient keeps, beside PyTorch.

Every number is taken in a process of its own, of chainrule by `tracemalloc`, which sees NumPy's buffers, and of PyTorch by the
memory events of its profiler; so both are bytes that the library asked for, and not pages that an allocator happens to hold.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.libraries import load
from benchmarks.table import environment, table

Loss = tuple[list, Callable[[], Any]]


def tensors(lib: Any, *shapes: tuple[int, ...]) -> list:
    """Return the same normal numbers in either library."""
    rng = np.random.default_rng(0)
    return [lib.tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]


def perceptron(lib: Any, activation: str) -> Loss:
    """Return the parameters and the loss of 3 layers for 2,048 examples."""
    nn = lib.nn
    act = getattr(nn, activation)
    net = nn.Sequential(nn.Linear(256, 512), act(), nn.Linear(512, 512), act(), nn.Linear(512, 10))
    x, y = tensors(lib, (2048, 256), (2048, 10))
    return list(net.parameters()), lambda: nn.functional.mse_loss(net(x), y)


def images(lib: Any) -> Loss:
    """Return the parameters and the loss of 2 convolutions for 64 images of 32 x 32."""
    nn = lib.nn
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    x, y = tensors(lib, (64, 3, 32, 32), (64, 10))
    return list(net.parameters()), lambda: nn.functional.cross_entropy(net(x), y.softmax(1))


def block(lib: Any) -> Loss:
    """Return the parameters and the loss of a block of a transformer for 16 sequences of 64."""
    nn, width, heads = lib.nn, 128, 4
    parts = nn.ModuleList([
        nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width), nn.LayerNorm(width),
        nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
    ])  # fmt: skip
    x, y = tensors(lib, (16, 64, width), (16, 64, width))

    def loss() -> Any:
        before, into, out, between, inner = parts
        split = [t.view(16, 64, heads, -1).transpose(1, 2) for t in into(before(x)).split(width, -1)]
        weights = (split[0] @ split[1].transpose(-2, -1) * (width // heads) ** -0.5).softmax(-1)
        h = x + out((weights @ split[2]).transpose(1, 2).reshape(16, 64, width))
        return nn.functional.mse_loss(h + inner(between(h)), y)

    return list(parts.parameters()), loss


NETWORKS: dict[str, Callable[[Any], Loss]] = {
    "perceptron of tanh": lambda lib: perceptron(lib, "Tanh"),
    "perceptron of ReLU": lambda lib: perceptron(lib, "ReLU"),
    "convolutions": images,
    "transformer block": block,
}


def gradient(lib: Any, params: list, loss: Callable, v: list) -> Callable:
    """Return a step that takes the gradient."""
    return lambda: lib.autograd.grad(loss(), params)


def product(lib: Any, params: list, loss: Callable, v: list) -> Callable:
    """Return a step that takes a Hessian-vector product, its graph made anew."""

    def step() -> Any:
        g = lib.autograd.grad(loss(), params, create_graph=True)
        return lib.autograd.grad(sum([(a * b).sum() for a, b in zip(g, v, strict=True)]), params)

    return step


def products(lib: Any, params: list, loss: Callable, v: list) -> Callable:
    """Return a step that takes products of one recorded gradient, as conjugate gradients do."""
    g: list = []

    def step() -> Any:
        if not g:
            g.extend(lib.autograd.grad(loss(), params, create_graph=True))
        return lib.autograd.grad(g, params, v, retain_graph=True)

    return step


WAYS = {"gradient": gradient, "product": product, "products of one graph": products}


def traced(run: Callable[[], Any], name: str) -> tuple[int, int]:
    """Return the most bytes that lived at once during a call, and those that live after it."""
    if name == "chainrule":
        tracemalloc.start()
        run()
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak, now
    from torch.autograd.profiler import profile

    with profile(profile_memory=True) as found:
        run()
    events = sorted([(e.start_ns(), e.nbytes()) for e in found.kineto_results.events() if e.name() == "[memory]"])
    live = np.cumsum([n for _, n in events])
    return int(live.max()), int(live[-1])


def measured(name: str, network: str, way: str) -> tuple[int, int]:
    """Return the peak of three steps, and what lives after them, in bytes; the collector is off."""
    lib = import_module(name)
    import_module(f"{name}.nn")
    lib.manual_seed(0)
    params, loss = NETWORKS[network](lib)
    v = tensors(lib, *[tuple(p.shape) for p in params])
    product(lib, params, loss, v)()  # what a first call makes for good
    step = WAYS[way](lib, params, loss, v)
    gc.collect()
    gc.disable()
    return traced(lambda: [step() and None for _ in range(3)], name)


def apart(*what: str) -> tuple[int, int]:
    """Return what `measured` does, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", *what]
    found = subprocess.run(command, capture_output=True, check=True, text=True, cwd=Path(__file__).parent.parent)
    peak, after = json.loads(found.stdout.splitlines()[-1])
    return peak, after


def memory(only: Iterable[str] | None, peers: tuple[str, ...], markdown: bool) -> None:
    """Measure and print the table."""
    libraries, _ = load(tuple(p for p in peers if p == "torch"))
    names = [library.name for library in libraries]
    chosen = [n for n in NETWORKS if not only or any(text.lower() in n.lower() for text in only)]
    if not chosen:
        raise SystemExit(f"no network is named like that; there are: {'; '.join(NETWORKS)}")
    print(environment(libraries))
    rows = []
    for network in chosen:
        for way in WAYS:
            found = [apart(name, network, way) for name in names]
            sizes = [f"{n / 1e6:.2f}" for peaks in found for n in peaks]
            rows.append([f"{network}: {way}", *sizes, *(f"{found[0][0] / other[0]:.2f}" for other in found[1:])])
    print("\nMegabytes that live at once, at most, in three steps, and after them; last, chainrule's most to PyTorch's.\n")
    head = ["program", *[f"{name}, {when}" for name in names for when in ("at most", "after")]]
    print(table([*head, *(f"chainrule/{name}" for name in names[1:])], rows, markdown))


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))

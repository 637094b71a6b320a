"""What chainrule's derivatives cost, against the function itself and as the graph grows.

`chains`: time and memory per operation of long chains, and that nothing is left of them. `perceptrons`, `inputs`:
reverse mode's gradient costs a small multiple of the function, however many inputs there are (the cheap gradient
principle: Griewank & Walther, *Evaluating Derivatives*, 2nd ed., chapter 3, expect 3 to 4 with the function itself).
`outputs`: forward mode's tangent does the same for any number of outputs. `imports`: what ``import chainrule`` costs.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any
from weakref import ref

import numpy as np

import chainrule as cr
from benchmarks.cases import LARGE, MIDDLE, SMALL, perceptron
from benchmarks.libraries import chainrule as load_chainrule
from benchmarks.table import duration, environment, table
from benchmarks.timing import QUICK, Effort, interleaved, ratio

Part = tuple[str, list[str], list[list[str]]]


def scaling(only: Iterable[str] | None, effort: Effort, markdown: bool) -> None:
    """Measure and print the parts whose names contain one of the given texts; all without any."""
    parts = [p for p in PARTS if not only or any(text.lower() in p.__name__ for text in only)]
    if not parts:
        raise SystemExit(f"scaling has the parts {', '.join(p.__name__ for p in PARTS)}")
    print(environment(load_chainrule()))
    for part in parts:
        title, head, rows = part(effort)
        print(f"\n{title}\n\n{table(head, rows, markdown)}")


# -- long chains -------------------------------------------------------------------------------------------------------


def chain_of_sines(x: cr.Tensor, n: int) -> cr.Tensor:
    for _ in range(n):
        x = cr.sin(x)
    return x


def timed(f: Callable, *args: Any) -> tuple[Any, float]:
    """Return a call's result and its seconds."""
    start = time.perf_counter()
    result = f(*args)
    return result, time.perf_counter() - start


def chain_times(n: int) -> tuple[float, float, float, float]:
    """Return seconds per operation: unrecorded, recorded, backward, and in forward mode."""
    x = cr.tensor(1.0, dtype=cr.float64, requires_grad=True)
    with cr.no_grad():
        _, plain = timed(chain_of_sines, x, n)
    y, recorded = timed(chain_of_sines, x, n)
    _, backward = timed(y.backward)
    one = cr.tensor(1.0, dtype=cr.float64)
    (_, tangent), forward = timed(cr.func.jvp, lambda x: chain_of_sines(x, n), (one,), (one,))
    np.testing.assert_allclose(x.grad.numpy(), tangent.numpy(), rtol=1e-6)
    return plain / n, recorded / n, backward / n, forward / n


def chain_memory(n: int) -> tuple[float, float, float, int, int]:
    """Return bytes per node of the graph, more at backward's peak, after it; bytes and objects left without the root.

    The garbage collector is off, so what is freed is freed by `backward` and by dropping the root, not by a search for
    cycles. As in PyTorch, `backward` frees the saved values, and the bare nodes stay as long as the root shows them.
    """
    x = cr.tensor(1.0, requires_grad=True)
    chain_of_sines(x, 10).backward()
    x.grad = None
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        first = chain_of_sines(x, n // 2)
        middle = cr.sin(first)
        y = chain_of_sines(middle, n - n // 2 - 1)
        watched = [ref(t) for t in (first, first.grad_fn, middle, middle.grad_fn)]
        del first, middle
        graph = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        y.backward()
        after, peak = tracemalloc.get_traced_memory()
        del y
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    alive = sum(r() is not None for r in watched)
    return (graph - before) / n, (peak - graph) / n, (after - before) / n, left - before, alive


def chains(effort: Effort) -> Part:
    """Measure chains of sines of one scalar."""
    rows = []
    for n in (1_000, 10_000) if effort is QUICK else (10_000, 100_000, 1_000_000):
        times = np.median([chain_times(n) for _ in range(3)], axis=0)
        *per_node, left, alive = chain_memory(n)
        rows.append([f"{n:,}", *map(duration, times), *(f"{b:.0f}" for b in per_node), str(left), f"{alive} of 4"])
    head = ["operations", "unrecorded", "recorded", "backward", "forward mode", "graph", "peak", "after", "left", "alive"]
    return (
        "A chain of sines of a scalar. Time per operation; then traced bytes per node: the graph, what backward() adds at its\n"
        "peak, what stays after it while the root is kept. 'left': bytes in all once the root is dropped, and 'alive': inner\n"
        "tensors and nodes that a weak reference still finds then, the garbage collector being off.",
        head,
        rows,
    )


# -- gradient against function -----------------------------------------------------------------------------------------


def against(name: str, function: Callable, derivative: Callable, effort: Effort) -> list[str]:
    """Return a row: the times of a function and of its derivative, and their ratio."""

    def unrecorded() -> Any:
        with cr.no_grad():
            return function()

    times = interleaved({"function": unrecorded, "derivative": derivative}, effort)
    medians = [duration(float(np.median(found))) for found in times.values()]
    return [name, *medians, f"{ratio(times, 'derivative', 'function'):.2f}"]


def perceptrons(effort: Effort) -> Part:
    """Measure the gradient of the perceptrons' losses, forward pass included."""
    (library,), rows = load_chainrule(), []
    for case in (SMALL, MIDDLE, LARGE):
        model, compute_loss = perceptron(library, case.data(np.random.default_rng(0)))

        def gradient(model: Any = model, compute_loss: Callable = compute_loss) -> None:
            model.zero_grad()
            compute_loss().backward()

        rows.append(against(case.name.removeprefix("train "), compute_loss, gradient, effort))
    head = ["perceptron", "loss", "loss and gradient", "ratio"]
    return "Reverse mode: the gradient of a perceptron's loss in all parameters, against the loss alone", head, rows


def sizes(effort: Effort) -> tuple[int, ...]:
    return (10, 1_000) if effort is QUICK else (10, 100, 1_000, 10_000, 100_000, 1_000_000)


def inputs(effort: Effort) -> Part:
    """Measure the gradient of a function of many inputs in reverse mode."""
    rows = []
    for n in sizes(effort):
        x = cr.tensor(np.linspace(0.0, 1.0, n), requires_grad=True)

        def function(x: cr.Tensor = x) -> cr.Tensor:
            return (cr.sin(x) * x).sum()

        def gradient(x: cr.Tensor = x, function: Callable = function) -> None:
            x.grad = None
            function().backward()

        rows.append(against(f"{n:,}", function, gradient, effort))
    head = ["inputs", "function", "function and gradient", "ratio"]
    return "Reverse mode: sum(sin(x) * x) and its gradient, as the inputs grow", head, rows


def outputs(effort: Effort) -> Part:
    """Measure the tangent of a function of many outputs in forward mode."""
    rows = []
    t, one = cr.tensor(0.5, dtype=cr.float64), cr.tensor(1.0, dtype=cr.float64)
    for n in sizes(effort):
        v = cr.tensor(np.linspace(0.0, 1.0, n))

        def function(t: cr.Tensor = t, v: cr.Tensor = v) -> cr.Tensor:
            return cr.sin(t * v) * v

        rows.append(against(f"{n:,}", function, lambda f=function: cr.func.jvp(f, (t,), (one,)), effort))
    head = ["outputs", "function", "function and tangent", "ratio"]
    return "Forward mode: sin(t * v) * v and its derivative in t, as the outputs grow", head, rows


# -- import ------------------------------------------------------------------------------------------------------------


def imports(effort: Effort) -> Part:
    """Measure ``import chainrule`` beyond ``import numpy``, in fresh interpreters that find bytecode, as after pip."""
    heavy = ("scipy", "llvmlite", "torch")
    alone, both = "import numpy", "import numpy, chainrule"
    times: dict[str, list[float]] = {alone: [], both: []}
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:
        environ["PYTHONPYCACHEPREFIX"] = cache

        def interpret(code: str) -> str:
            done = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
            return done.stdout

        loaded = interpret(f"import sys, chainrule; print(*[m for m in {heavy} if m in sys.modules])").split()
        for _ in range(2 if effort is QUICK else 11):
            for code, found in times.items():
                found.append(timed(interpret, code)[1])
    beyond = median(b - a for a, b in zip(*times.values(), strict=True))
    rows = [[code, duration(median(found))] for code, found in times.items()]
    rows.append(["chainrule beyond numpy", f"{beyond * 1e3:.1f} ms"])
    rows.append([f"loaded of {', '.join(heavy)}", ", ".join(loaded) or "none"])
    return "Import, in fresh interpreters", ["", "median"], rows


PARTS = [chains, perceptrons, inputs, outputs, imports]

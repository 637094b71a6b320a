"""Transforms of functions beside PyTorch's `torch.func` and JAX: gradients, Hessians, Jacobians of the same functions.

Each case is written once, for a library given by its module, its array function and its transforms. For a Jacobian the peers
are timed in both modes, since they leave the choice to the user; chainrule is called with no argument.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.libraries import load
from benchmarks.table import duration, environment, table
from benchmarks.timing import Effort, interleaved, ratio

Steps = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Dialect:
    """A library for functions of arrays: its functions, how it makes arrays, its transforms by what they are called here."""

    name: str
    lib: Any
    array: Callable
    grad: Callable
    hessian: Callable
    jacobians: dict[str, Callable]
    finish: Callable


def dialects(peers: tuple[str, ...]) -> tuple[list[Dialect], list, list[str]]:
    """Return chainrule and the installed peers among PyTorch and JAX; their libraries; and what is missing."""
    libraries, missing = load(tuple(p for p in peers if p != "autograd"))
    found = []
    for library in libraries:
        if library.name == "jax.jit":
            continue
        if library.name == "jax":
            import jax

            both = {"jacfwd": jax.jacfwd, "jacrev": jax.jacrev}
            found.append(Dialect("jax", library.np, library.array, jax.grad, jax.hessian, both, library.finish))
        else:
            func = library.lib.func
            own = library.name == "chainrule"
            jacobians = {"": func.jacobian} if own else {"jacfwd": func.jacfwd, "jacrev": func.jacrev}
            found.append(Dialect(library.name, library.lib, library.array, func.grad, func.hessian, jacobians, lambda x: x))
    return found, [library for library in libraries if library.name != "jax.jit"], missing


def once(d: Dialect, transform: Callable, f: Callable, *x: Any) -> Callable[[], Any]:
    """Return the step that applies a transform and calls the result, as a user writes it."""
    return lambda: d.finish(transform(f)(*x))


def scalar(d: Dialect, rng: np.random.Generator) -> Steps:
    return {d.name: once(d, d.grad, lambda x: d.lib.sin(x) * x, d.array(np.float32(0.5)))}


def perceptron(d: Dialect, rng: np.random.Generator) -> Steps:
    shapes = [(4, 16), (16,), (16, 1), (1,), (8, 4), (8, 1)]
    *params, x, y = (d.array(rng.normal(size=shape).astype(np.float32)) for shape in shapes)

    def loss(params: list) -> Any:
        w1, b1, w2, b2 = params
        r = d.lib.tanh(x @ w1 + b1) @ w2 + b2 - y
        return (r * r).sum()

    return {d.name: once(d, d.grad, loss, params)}


def rosenbrock(d: Dialect, rng: np.random.Generator) -> Steps:
    f = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return {d.name: once(d, d.hessian, f, d.array(rng.normal(size=100).astype(np.float32)))}


def between(inputs: int, outputs: int) -> Callable[[Dialect, np.random.Generator], Steps]:
    """Return the case of the Jacobian of a network from so many inputs to so many outputs."""

    def steps(d: Dialect, rng: np.random.Generator) -> Steps:
        a = d.array((rng.normal(size=(100, inputs)) / inputs**0.5).astype(np.float32))
        b = d.array(rng.normal(size=(outputs, 100)).astype(np.float32) / 10)
        f = lambda x: d.lib.sin(b @ d.lib.tanh(a @ x))
        x = d.array(rng.normal(size=inputs).astype(np.float32))
        return {f"{d.name} {name}".strip(): once(d, jacobian, f, x) for name, jacobian in d.jacobians.items()}

    return steps


CASES: dict[str, Callable[[Dialect, np.random.Generator], Steps]] = {
    "gradient of sin(x) * x": scalar,
    "gradient of a perceptron's loss": perceptron,
    "Hessian of Rosenbrock's function, n = 100": rosenbrock,
    "Jacobian, 5 inputs, 2,000 outputs": between(5, 2000),
    "Jacobian, 2,000 inputs, 5 outputs": between(2000, 5),
}


def leaves(found: Any) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in (found if isinstance(found, (list, tuple)) else [found])]


def checked(steps: Steps, name: str) -> Steps:
    """Return the steps, once all of them have given the same numbers."""
    expected = leaves(steps["chainrule"]())
    for who, step in steps.items():
        for a, b in zip(leaves(step()), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, float(np.abs(b).max())), err_msg=f"{name} in {who}")
    return steps


def transforms(only: Iterable[str] | None, peers: tuple[str, ...], effort: Effort, markdown: bool) -> None:
    """Time the cases and print the table."""
    found, libraries, missing = dialects(peers)
    print(environment(libraries))
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    rows = []
    for name, build in CASES.items():
        if only and not any(text.lower() in name.lower() for text in only):
            continue
        print(f"  {name} ...", file=sys.stderr)
        steps: Steps = {}
        for dialect in found:
            steps |= build(dialect, np.random.default_rng(0))
        times = interleaved(checked(steps, name), effort)
        row = [name, duration(float(np.median(times["chainrule"])))]
        for dialect in found[1:]:
            best = min((s for s in steps if s.split()[0] == dialect.name), key=lambda s: float(np.median(times[s])))
            row += [duration(float(np.median(times[best]))), f"{ratio(times, best, 'chainrule'):.2f}"]
        rows.append(row)
    if not rows:
        raise SystemExit(f"no case is named like that; there are: {'; '.join(CASES)}")
    print("Medians of interleaved rounds; of a Jacobian in a peer, its better mode. Above 1, chainrule is faster.\n")
    print(table(["case", "chainrule", *(f for d in found[1:] for f in (d.name, f"{d.name}/chainrule"))], rows, markdown))

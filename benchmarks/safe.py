"""Who gets the where-traps of `tests/autograd/where_traps.py` right, and what the mode that does costs.

A gradient or Hessian counts if it equals the closed form. JAX runs texts of its own of the programs, as its arrays have other
methods. The time of a run and its backward pass is the processor's, in the mode over without it.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
from tests.autograd import where_traps
from tests.autograd.where_traps import TRAPS, Trap

from benchmarks.libraries import load
from benchmarks.table import environment, table
from benchmarks.timing import Effort

WAYS = ("gradient, reverse", "gradient, forward", "Hessian")


def _in_jax() -> dict[str, Callable]:
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    w, log, sqrt, where = where_traps, jnp.log, jnp.sqrt, jnp.where

    def loss(x: Any) -> Any:
        t, valid = jnp.array(w._TARGET), jnp.array(w._VALID)
        return where(valid, -(t * log(x) + (1 - t) * log(1 - x)), 0.0).sum() / valid.sum()

    def attention(x: Any) -> Any:
        keys = jnp.array(w._KEYS)
        p = jax.nn.softmax(x + where(keys, 0.0, -jnp.inf), -1)
        return (where(keys.any(-1, keepdims=True), p, 0.0) @ jnp.array(w._VALUES)).sum()

    def segments(x: Any) -> Any:
        index, none = jnp.array(w._SEGMENT), jnp.zeros(3)
        weight, total = none.at[index].add(x), none.at[index].add(x * jnp.array(w._OF_EACH))
        return where(weight > 0, total / weight, 0.0).sum()

    def lengths(x: Any) -> Any:
        square = (x * x).sum(1)
        return where(square > 0, sqrt(square), 0.0).sum()

    def normalized(x: Any) -> Any:
        size = sqrt((x * x).sum(1, keepdims=True))
        return (where(size > 0, x / size, 0.0) * jnp.array(w._WEIGHTS)).sum()

    def spiral(x: Any) -> Any:
        r = jnp.hypot(x[:, 0], x[:, 1])
        return where(r > 0, r * jnp.arctan2(x[:, 1], x[:, 0]), 0.0).sum()

    def ratio(x: Any) -> Any:
        share = jnp.array([0.0, 3.0]) / x
        return where(jnp.isnan(share), 0.0, share).sum()

    def running(x: Any) -> Any:
        c = jnp.cumsum(x)
        return where(c > 0, sqrt(c), 0.0).sum()

    return {
        "root": lambda x: where(x > 0, sqrt(x), 0.0).sum(),
        "entropy": lambda x: -where(x > 0, x * log(x), 0.0).sum(),
        "sinc": lambda x: where(abs(x) > 1e-3, jnp.sin(x) / x, 1 - x * x / 6).sum(),
        "power": lambda x: where(x > 0, x**0.3, 0.0).sum(),
        "arcsine": lambda x: where(abs(x) < 1, jnp.arcsin(x), jnp.sign(x) * math.pi / 2).sum(),
        "filled": lambda x: where(x <= 0, -5.0, log(x)).sum(),
        "floored": lambda x: jnp.maximum(log(x), -1.0).sum(),
        "bump": lambda x: jnp.exp(-1 / where(x > 0, x, 0.0)).sum(),
        "bad_rows": lambda x: ((jnp.array(w._ROWS) @ x)[jnp.array([0, 2])] ** 2).sum(),
        "picked": lambda x: log(x)[np.array([False, False, True])].sum(),
        "gathered": lambda x: sqrt(x)[jnp.array([1, 2, 1])].sum(),
        "padded": lambda x: sqrt(jnp.pad(x, (1, 2))).sum(),
        "likelihood": loss, "attention": attention, "segments": segments, "lengths": lengths, "normalized": normalized,
        "spiral": spiral, "ratio": ratio, "running": running,
    }  # fmt: skip


def _of_jax() -> Callable:
    import jax

    texts = _in_jax()
    return lambda t: [np.asarray(d(texts[t.name])(t.at)) for d in (jax.grad, jax.jacfwd, jax.hessian)]


def _of(lib: Any, mode: Callable = nullcontext) -> Callable:
    def found(t: Trap) -> list[np.ndarray]:
        with mode():
            f, x = lambda x: t.f(lib, x), lib.tensor(t.at)
            return [d(f)(x).detach().numpy() for d in (lib.func.grad, lib.func.jacfwd, lib.func.hessian)]

    return found


def right(derivatives: Callable, t: Trap) -> list[bool]:
    """Return which derivatives of a trap are the true ones."""
    wanted = (t.gradient(t.at), t.gradient(t.at), t.hessian(t.at))
    return [
        bool(np.allclose(d.reshape(w.shape), w, rtol=1e-9, atol=1e-11)) for d, w in zip(derivatives(t), wanted, strict=True)
    ]


def _steps(cr: Any) -> dict[str, Callable]:
    def network(rows: int, width: int) -> Callable:
        nn = cr.nn
        net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
        x, y = cr.randn(rows, 64), cr.randint(0, 10, (rows,))
        return lambda: cr.autograd.grad(nn.functional.cross_entropy(net(x), y), [*net.parameters()])

    def chain() -> Any:
        y = small
        for _ in range(100):
            y = y.sin()
        return cr.autograd.grad(y.sum(), small)

    small, large = cr.randn(16).requires_grad_(), cr.rand(1000, 1000).requires_grad_()
    return {
        "a network, 8 by 64": network(8, 64),
        "a network, 512 by 512": network(512, 512),
        "100 sines of 16 elements": chain,
        "a where of a million": lambda: cr.autograd.grad(cr.where(large > 0.5, large.sqrt(), 0).mul(large).exp().sum(), large),
    }


def _seconds(step: Callable) -> float:
    begun = time.process_time()
    step()
    return time.process_time() - begun


def safe(only: Iterable[str] | None, peers: tuple[str, ...], effort: Effort, markdown: bool) -> None:
    """Print for how many traps named like one of the given texts each library's derivatives are right; what the mode costs."""
    chosen = [t for t in TRAPS if not only or any(text.lower() in t.name for text in only)]
    if not chosen:
        raise SystemExit(f"the traps are {', '.join(t.name for t in TRAPS)}")
    libraries, _ = load(tuple(peer for peer in peers if peer in ("torch", "jax")))
    print(environment(libraries))
    cr = next(library.lib for library in libraries if library.name == "chainrule")
    mode = cr.autograd.safe_derivatives
    ways = {library.name: _of(library.lib) for library in libraries if library.dialect == "tape"}
    if "jax" in peers and any(library.name.startswith("jax") for library in libraries):
        ways["jax"] = _of_jax()
    rows = []
    for name, derivatives in {**ways, "chainrule, safe": _of(cr, mode)}.items():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = [right(derivatives, t) for t in chosen]
        rows.append([name, *(str(sum(column)) for column in zip(*found, strict=True)), str(sum(map(all, found)))])
    print(f"\nof {len(chosen)} traps\n\n{table(['library', *WAYS, 'all three'], rows, markdown)}")
    costs = []
    for name, step in _steps(cr).items():
        plain, inside = [], []
        for _ in range(effort.rounds + 1):
            plain.append(_seconds(step))
            with mode():
                inside.append(_seconds(step))
        costs.append([name, f"{np.median(plain[1:]) * 1e3:.2f} ms", f"{np.median(inside[1:]) / np.median(plain[1:]):.1f}"])
    print(f"\n{table(['run and backward pass', 'without', 'in the mode, over it'], costs, markdown)}")

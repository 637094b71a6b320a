"""Sparse Jacobians and Hessians of the classic families beside dense chainrule, JAX with asdex, and CasADi.

The programs are those of `tests/func/sparse_families.py`; every library runs the same text. For each, the table shows
the colours, the seconds that finding the pattern and colouring it takes, those of the first derivative with all that it
needs (tracing, compiling), and those of one more derivative. Beside chainrule's stands its dense derivative, measured at a
smaller size and extrapolated by the square of the size where the whole would not fit; that is marked by ~.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from tests.func.sparse_families import FAMILIES, Family

import chainrule as cr
from benchmarks.libraries import Tape
from benchmarks.table import duration, environment, table
from benchmarks.timing import Effort, interleaved

PEERS = ("asdex", "casadi")
DENSE = {1: 1_000, 2: 3_000}  # by order: the size up to which the dense derivative is measured
ROUNDS = 7  # a dense derivative takes seconds
HEAD = ["family", "n", "entries", "library", "colours", "pattern", "colouring", "first", "again", "dense"]


class Taken(NamedTuple):
    """What a library needed for a derivative, and the step that takes it once more."""

    library: str
    colours: int
    pattern: float | None
    colouring: float | None
    first: float
    step: Callable[[], Any]
    times: Callable[[np.ndarray], np.ndarray]


class Library(NamedTuple):
    """The name and version of a peer."""

    name: str
    version: str


def timed(f: Callable, *args: Any) -> tuple[Any, float]:
    """Return a call's result and its seconds."""
    start = time.perf_counter()
    result = f(*args)
    return result, time.perf_counter() - start


# -- chainrule ---------------------------------------------------------------------------------------------------------


def by_chainrule(family: Family, n: int) -> Taken:
    """Take the derivative with no word about sparsity but that the result is to be sparse."""
    x = cr.tensor(family.point(n))
    taken = family.derivative(family.function(), sparse=True)
    _, first = timed(taken, x)
    plan = taken.plan.sparse
    prepared = family.derivative(family.function(), sparse=True).prepare(x)
    return Taken(
        "chainrule", plan.colours, plan.detection, plan.colouring, first, lambda: prepared(x), lambda v: prepared(x) @ v
    )  # fmt: skip


def by_compiled(family: Family, n: int) -> Taken:
    """Compile a prepared derivative; the first time is that of all together."""
    x = cr.tensor(family.point(n))
    start = time.perf_counter()
    taken = cr.compile(family.derivative(family.function(), sparse=True).prepare(x))
    taken(x)
    first = time.perf_counter() - start
    plan = taken.plan.sparse
    return Taken(
        "chainrule, compiled", plan.colours, plan.detection, plan.colouring, first, lambda: taken(x), lambda v: taken(x) @ v
    )  # fmt: skip


def dense(family: Family, n: int) -> tuple[str, Callable[[], Any], float]:
    """Return a mark, the step that takes the dense derivative at a size that is bearable, and what its time is times."""
    most = DENSE[family.order]
    small = min(n, isqrt(most) ** 2 if family.name == "nonlinear diffusion" else most)
    f = family.function()
    taken = cr.func.jacrev(f) if family.order == 1 else cr.func.jacfwd(cr.func.grad(f))
    x = cr.tensor(family.point(small))
    return "~" if small < n else "", lambda: taken(x), (n / small) ** 2


# -- JAX with asdex ----------------------------------------------------------------------------------------------------


def jax_names() -> Any:
    """Return JAX by the names that the families use."""
    import jax.numpy as jnp

    class Names:
        exp, sin, sum, cat = map(staticmethod, (jnp.exp, jnp.sin, jnp.sum, jnp.concatenate))
        pad = staticmethod(lambda x: jnp.pad(x, 1))
        grid = staticmethod(lambda x, m: x.reshape(m, m))
        flat = staticmethod(lambda x: x.reshape(-1))

    return Names


def by_asdex(family: Family, n: int) -> Taken:
    """Detect and colour by asdex, and run the compiled function that it makes."""
    import asdex
    import jax

    jax.config.update("jax_enable_x64", True)
    x, f = jax.numpy.asarray(family.point(n)), family.function(jax_names())
    start = time.perf_counter()
    if family.order == 1:
        pattern, detection = timed(asdex.jacobian_sparsity, f, x)
        colours, colouring = timed(asdex.jacobian_coloring_from_sparsity, pattern)
        taken = jax.jit(asdex.jacobian_from_coloring(f, colours))
    else:
        pattern, detection = timed(asdex.hessian_sparsity, f, x)
        colours, colouring = timed(asdex.hessian_coloring_from_sparsity, pattern)
        taken = jax.jit(asdex.hessian_from_coloring(f, colours))
    step = lambda: jax.block_until_ready(taken(x))
    step()
    first = time.perf_counter() - start
    return Taken("asdex", colours.num_colors, detection, colouring, first, step, lambda v: np.asarray(step() @ v))


# -- CasADi ------------------------------------------------------------------------------------------------------------


def casadi_names() -> Any:
    """Return CasADi's expressions of scalars by the names that the families use."""
    import casadi

    class Names:
        exp, sin, sum = map(staticmethod, (casadi.exp, casadi.sin, casadi.sum1))
        cat = staticmethod(lambda parts: casadi.vertcat(*parts))
        grid = staticmethod(lambda x, m: casadi.reshape(x, m, m))
        flat = staticmethod(casadi.vec)

        @staticmethod
        def pad(x: Any) -> Any:
            above = casadi.SX.zeros(1, x.shape[1])
            x = casadi.vertcat(above, x, above)
            if x.shape[1] == 1:
                return x
            beside = casadi.SX.zeros(x.shape[0], 1)
            return casadi.horzcat(beside, x, beside)

    return Names


def by_casadi(family: Family, n: int) -> Taken:
    """Derive an expression, in which CasADi finds and colours the pattern itself; the first time is that of all together."""
    import casadi

    x, symbol = family.point(n), casadi.SX.sym("x", n)
    start = time.perf_counter()
    expression = family.function(casadi_names())(symbol)
    derived = casadi.jacobian(expression, symbol) if family.order == 1 else casadi.hessian(expression, symbol)[0]
    taken = casadi.Function("derivative", [symbol], [derived])
    taken(x)
    first = time.perf_counter() - start
    sparsity = derived.sparsity()
    colours = (sparsity.uni_coloring() if family.order == 1 else sparsity.star_coloring()).size2()
    return Taken(
        "CasADi", colours, None, None, first, lambda: taken(x), lambda v: np.asarray(casadi.mtimes(taken(x), v)).ravel()
    )  # fmt: skip


# -- the table ---------------------------------------------------------------------------------------------------------


def rows_of(family: Family, n: int, peers: tuple[str, ...], effort: Effort) -> list[list[str]]:
    """Measure a family at a size; return the rows of the table."""
    ways = [by_chainrule, by_compiled, *({"asdex": by_asdex, "casadi": by_casadi}[peer] for peer in peers)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asdex warns where it takes as many colours as there are columns
        for take in ways:
            take(family, family.small)  # modules are loaded, and asdex's colouring compiled, before anything is measured
        found = [take(family, n) for take in ways]
    v = np.random.default_rng(0).normal(size=n)
    for other in found[1:]:
        np.testing.assert_allclose(other.times(v), found[0].times(v), rtol=1e-8, atol=1e-8, err_msg=other.library)
    mark, whole, scale = dense(family, n)
    effort = replace(effort, rounds=min(effort.rounds, ROUNDS))
    times = interleaved({**{t.library: t.step for t in found}, "dense": whole}, effort)
    again = {name: float(np.median(of)) for name, of in times.items()}
    slower = again["dense"] * scale / again["chainrule"]
    whole_of = {"chainrule": f"{mark}{duration(again['dense'] * scale)} ({slower:,.0f} x)"}
    about = [family.name, f"{n:,}", f"{family.pattern(n).nnz:,}"]
    rows = []
    for t in found:
        times_of = [t.pattern, t.colouring, t.first, again[t.library]]
        rows.append([*about, t.library, f"{t.colours:,}", *map(seconds, times_of), whole_of.get(t.library, "")])
    return rows


def seconds(value: float | None) -> str:
    """Return a time, or nothing where there is none."""
    return "" if value is None else duration(value)


def sparse(only: Iterable[str] | None, peers: tuple[str, ...], effort: Effort, markdown: bool, small: bool = False) -> None:
    """Measure and print the families whose names contain one of the given texts; at their small sizes to see that all runs."""
    families = [f for f in FAMILIES if not only or any(text.lower() in f.name for text in only)]
    if not families:
        raise SystemExit(f"the families are {', '.join(f.name for f in FAMILIES)}")
    there = tuple(peer for peer in peers if importlib.util.find_spec(peer) is not None)
    versions = [Library(peer, version(peer)) for peer in there]
    print(environment([Tape("chainrule", cr), *versions]))
    if missing := set(peers) - set(there):
        print(f"not installed: {', '.join(sorted(missing))}")
    rows: list[list[str]] = []
    for family in families:
        rows += rows_of(family, family.small if small else family.large, there, effort)
        print(f"{family.name} is measured", file=sys.stderr)
    print(f"\n{table(HEAD, rows, markdown)}")

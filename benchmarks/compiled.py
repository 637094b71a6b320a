"""Compiled functions beside PyTorch, its compiler, JAX and Dr.Jit: first calls, warm calls, gradient cost, memory.

Every first call is timed in a process of its own, once with an empty cache on disk and once with what that left there. Warm
calls of all libraries are timed in one process, in rounds. Before that their results are compared.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import adbench, cases, formulas
from benchmarks.compilers import LIBRARIES, Arrays, load, same
from benchmarks.table import duration, processor, table
from benchmarks.timing import FULL, QUICK, Effort, interleaved, ratio

Built = tuple[Callable[[], Any], Callable[[Any], Iterable]]
FORWARD = "chainrule, forward alone"
LIMIT = 300  # seconds for a first call; who takes longer is left out
ROOT = Path(__file__).parent.parent
TENSORS = ("chainrule", "eager", "torch", "torch.compile", "jax.jit")


@dataclass(frozen=True)
class Case:
    """One row of the tables.

    Attributes
    ----------
    build : callable
        Takes a library; returns the step that is timed, and what reads arrays from its result.
    libraries : tuple of str
        Those that can run it.
    forward : callable, optional
        Returns the step of the function alone, for the cost of its gradient.
    threads : int, optional
        1 to keep the process on one core.
    rounding : float
        How far results may be apart, relative to the largest number.
    """

    build: Callable[[Any], Built]
    libraries: tuple[str, ...] = TENSORS
    forward: Callable[[Any], Built] | None = None
    threads: int | None = None
    rounding: float = 1e-4


def stepped(library: Arrays, run: Callable, args: Sequence) -> Built:
    """Return the step that calls a function of made arrays, and what reads its nested results."""
    given = [library.arrays(a) if isinstance(a, list) else library.array(a) for a in args]
    return lambda: library.finish(run(*given)), leaves


def leaves(results: Any) -> list:
    """Return nested results in order."""
    return [leaf for r in results for leaf in leaves(r)] if isinstance(results, (list, tuple)) else [results]


def data_of(make: Callable) -> Any:
    return make(np.random.default_rng(0))


def gradient(f: Callable, data: Callable, *, whole: bool = True, of_library: bool = False, **how: Any) -> Case:
    """Return the case of a formula's value and gradients; `f` may depend on the library."""
    formula = f if of_library else lambda library: f
    return Case(
        lambda library: stepped(library, library.gradient(formula(library), whole), data_of(data)),
        forward=lambda library: stepped(
            library, library.compiled(lambda params, data: formula(library)(library.names, params, data)), data_of(data)
        ),
        **how,
    )


def jacobian(f: Callable, data: Callable, argnums: Any, mode: str, *, batched: bool = False, **how: Any) -> Case:
    """Return the case of a Jacobian."""
    return Case(lambda library: stepped(library, library.jacobian(f, argnums, mode, batched), data_of(data)), **how)


def training(case: cases.Case) -> Case:
    """Return a whole step of training: forward, backward and the optimiser's update."""
    return Case(case.build)


def eager(f: Callable, *, backward: bool) -> Case:
    """Return the case of a function of 10^6 numbers, not compiled."""

    def build(library: Any) -> Built:
        x = library.leaf(formulas.normal(np.random.default_rng(0), 1000, 1000))
        g = library.array(formulas.normal(np.random.default_rng(1), 1000, 1000))

        def step() -> tuple:
            if not backward:
                with library.lib.no_grad():
                    return (f(library.lib, x),)
            x.grad = None
            y = f(library.lib, x)
            y.backward(g)
            return y, x.grad

        return step, list

    return Case(build, libraries=("eager", "torch"))


EAGER = {
    "exp": lambda lib, x: lib.exp(x),
    "tanh": lambda lib, x: lib.tanh(x),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "pow": lambda lib, x: x.abs() ** 2.5,
    "gelu": lambda lib, x: lib.nn.functional.gelu(x),
    "clamp": lambda lib, x: lib.clamp(x, -1, 1),
    "where": lambda lib, x: lib.where(x > 0, x, 0.5),
    "softmax and layer_norm": lambda lib, x: lib.nn.functional.layer_norm(x.softmax(-1), (1000,)),
}
ONE_THREAD: dict[str, Any] = {"threads": 1, "rounding": 1e-7}
ELEMENTWISE = LIBRARIES
CASES: dict[str, Case] = {
    "Black-Scholes, 10^6": gradient(
        formulas.black_scholes, formulas.options, whole=False, libraries=ELEMENTWISE, rounding=1e-3
    ),
    "100 operations on a number": gradient(formulas.chain(100), formulas.scalar, libraries=ELEMENTWISE),
    "1,000 operations on a number": gradient(formulas.chain(1000), formulas.scalar, libraries=ELEMENTWISE, rounding=1e-3),
    "perceptron 784-128-10, batch 64": gradient(formulas.perceptron, formulas.digits),
    "perceptron of 5 layers of 256, batch 256": gradient(formulas.perceptron, formulas.deep),
    "perceptron of 50 layers of 256, batch 256": gradient(formulas.perceptron, lambda rng: formulas.deep(rng, layers=50)),
    "train 64-32-10, batch 16": training(cases.SMALL),
    "train 784-128-10, batch 64": training(cases.MIDDLE),
    "train 784-1024-1024-10, batch 256": training(cases.LARGE),
    "train a tanh RNN of 50 steps": training(cases.trained_recurrent(50, batch=16, hidden=64, inputs=32)),
    "transformer block, 4x128x256": gradient(formulas.transformer_block, formulas.block_data, whole=False),
    "LSTM of 50 steps, unrolled": gradient(formulas.lstm, formulas.lstm_data, whole=False),
    "GMM, d 64, K 25, n 1,000": gradient(adbench.mixture, adbench.mixture_data, **ONE_THREAD),
    "GMM, d 64, K 25, n 10,000": gradient(adbench.mixture, lambda rng: adbench.mixture_data(rng, 10_000), **ONE_THREAD),
    "LSTM of 2 layers, 1,024 steps": gradient(adbench.lstm, adbench.letters, of_library=True, **ONE_THREAD),
    "hand of 544 vertices, Jacobian": jacobian(adbench.hand, adbench.hand_data(544), 0, "forward", **ONE_THREAD),
    "hand of 10,001 vertices, Jacobian": jacobian(adbench.hand, adbench.hand_data(10_001), 0, "forward", **ONE_THREAD),
    "bundle adjustment, 31,843 Jacobians": jacobian(
        adbench.reprojection, adbench.observations, (0, 1, 2), "reverse", batched=True, **ONE_THREAD
    ),
    **{
        f"eager {name} of 10^6, {'forward and backward' if backward else 'forward'}": eager(f, backward=backward)
        for backward in (False, True)
        for name, f in EAGER.items()
    },
}

# Formulas whose memory is looked at, with data of a small and of the full size.
MEMORY: dict[str, tuple[Callable, Callable, Callable]] = {
    "50 layers of 256, batch 4,096": (
        formulas.perceptron,
        lambda rng: formulas.deep(rng, layers=50, batch=8),
        lambda rng: formulas.deep(rng, layers=50, batch=4096),
    ),
    "chain of 200 operations on 2^20 numbers": (formulas.wave, lambda rng: formulas.waves(rng, 64), formulas.waves),
    "transformer block, 16x128x256": (
        formulas.transformer_block,
        lambda rng: formulas.block_data(rng, batch=1, tokens=8),
        lambda rng: formulas.block_data(rng, batch=16),
    ),
}


# -- in a process of its own -------------------------------------------------------------------------------------------


def first_call(name: str, who: str) -> float:
    """Return the seconds of the first call of a step."""
    step, _ = CASES[name].build(load(who))
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def warm_calls(name: str, effort: Effort, *names: str) -> dict[str, list[float]]:
    """Return the times of steps in rounds, once their results are found to be the same."""
    case, steps = CASES[name], {}
    expected: list = []
    for who in names:
        library = load(who)
        step, read = case.build(library)
        for _ in range(2):
            results = [library.read(value) for value in read(step())]
        expected = expected or results
        same(results, expected, f"{name} in {who}", case.rounding)
        steps[who] = step
        if who == "chainrule" and case.forward is not None:
            steps[FORWARD] = case.forward(library)[0]
    return {who: list(times) for who, times in interleaved(steps, effort).items()}


def most_memory(name: str, who: str, outside: str) -> tuple[int, int]:
    """Return the bytes by which the process grows at most: up to the end of a gradient's first call, and in a later one.

    Its compiler is loaded before, by smaller data. With `outside` "yes" the backward pass is called on a compiled value.
    """
    formula, small, full = MEMORY[name]

    def built(data: Callable) -> Callable:
        library: Any = load(who)
        return stepped(library, library.gradient(formula, whole=False, outside=outside == "yes"), data_of(data))[0]

    for _ in range(2):
        step = built(small)
        for _ in range(2):
            step()
    step = built(full)
    gc.collect()
    before, most = resident("VmRSS"), []
    for _ in range(4):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        step()
        most.append(resident("VmHWM") - before)
    return most[0], most[-1]


def resident(what: str) -> int:
    """Return the bytes of a line of what Linux tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


# -- from outside ------------------------------------------------------------------------------------------------------


class LeftOut(Exception):  # noqa: N818 - not an error: a cell of the table
    """Why a library has no time here."""


def apart(folder: str, *what: str, limit: float = LIMIT) -> Any:
    """Return what a function of this module does, in a process of its own whose caches are in a folder.

    Raises
    ------
    LeftOut
        If it takes longer than the limit, or fails.
    """
    inside = Path(folder)
    caches = {
        "HOME": folder, "CHAINRULE_CACHE": str(inside / "chainrule"), "TORCHINDUCTOR_CACHE_DIR": str(inside / "inductor"),
        "JAX_COMPILATION_CACHE_DIR": str(inside / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.compiled", *what]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **caches}, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise LeftOut(f"> {limit:.0f} s") from None
    if found.returncode:
        raise LeftOut((found.stderr.strip().splitlines() or ["failed"])[-1])
    return json.loads(found.stdout.splitlines()[-1])


def measured(name: str, libraries: Sequence[str], effort: Effort, limit: float) -> tuple[dict, dict]:
    """Return the seconds of first calls, with an empty and a full cache, or why there are none; and the warm times."""
    first: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        for who in libraries:
            try:
                first[who] = [apart(folder, "first", name, who, limit=limit) for _ in range(2)]
            except LeftOut as why:
                first[who] = str(why)
        running = [who for who, found in first.items() if not isinstance(found, str)]
        how = "quick" if effort is QUICK else "full"
        return first, apart(folder, "warm", name, how, *running, limit=20 * limit) if running else {}


def compiled(
    only: Iterable[str] | None, libraries: Sequence[str], effort: Effort, markdown: bool, limit: float = LIMIT
) -> None:
    """Measure and print the tables."""
    chosen, peers = selected(only), [who for who in libraries if who != "chainrule"]
    print(versions(libraries))
    firsts, warms, costs, notes = [], [], [], []
    for name in chosen:
        print(f"  {name} ...", file=sys.stderr, flush=True)
        able = [who for who in libraries if who in CASES[name].libraries]
        first, warm = measured(name, able, effort, limit)
        notes += [f"{name}, {who}: {why}" for who, why in first.items() if isinstance(why, str)]
        times = {who: np.array(found) for who, found in warm.items()}
        base = "chainrule" if "chainrule" in times else "eager"
        firsts.append([name, *[first_cell(first.get(who)) for who in libraries]])
        warms.append([
            name,
            *[duration(float(np.median(times[who]))) if who in times else "" for who in libraries],
            *[f"{ratio(times, who, base):.2f}" if who in times and base in times else "" for who in peers],
        ])  # fmt: skip
        if FORWARD in times:
            costs.append([name, f"{ratio(times, 'chainrule', FORWARD):.2f}"])
    print("\nFirst calls, each in a new process: with an empty cache on disk, and with a full one.\n")
    print(table(["case", *libraries], firsts, markdown))
    print(
        f"\nWarm calls, medians of {effort.rounds} interleaved rounds; then the medians of the ratios within a round: above 1, "
        "chainrule is faster,\ncompiled (in the eager cases: eager). ADBench's objectives run on one core.\n"
    )
    print(table(["case", *libraries, *(f"{who}/chainrule" for who in peers)], warms, markdown))
    if costs:
        print("\nThe time of value and gradients, compiled, to that of the value, compiled.\n")
        print(table(["case", "gradient/forward"], costs, markdown))
    for note in notes:
        print(f"left out: {note}")


def memory(libraries: Sequence[str], markdown: bool) -> None:
    """Measure and print how much memory gradients take."""
    able = [who for who in libraries if who in TENSORS and who != "jax.jit"]
    rows = []
    for name in MEMORY:
        for outside in ("no", "yes"):
            row = [f"{name}, backward outside" if outside == "yes" else name]
            for who in able:
                with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
                    try:
                        row.append(" / ".join([f"{size / 1e6:.0f}" for size in apart(folder, "memory", name, who, outside)]))
                    except LeftOut as why:
                        row.append(str(why))
            rows.append(row)
    print("\nMegabytes that a value and its gradients take beside parameters and input, at most: in the first call / later.\n")
    print(table(["case", *able], rows, markdown))


def first_cell(found: Any) -> str:
    """Return what the table tells of a library's first calls."""
    if found is None:
        return ""
    return "left out" if isinstance(found, str) else " / ".join(duration(seconds) for seconds in found)


def selected(only: Iterable[str] | None) -> list[str]:
    """Return the cases whose names contain one of the given texts; all without any."""
    found = [name for name in CASES if not only or any(text.lower() in name.lower() for text in only)]
    if not found:
        raise SystemExit(f"no case is named like {', '.join(only or ())}; there are: {'; '.join(CASES)}")
    return found


def versions(libraries: Sequence[str]) -> str:
    """Return what is compared, and on what machine."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("chainrule", "llvmlite", "torch", "jax", "drjit", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return f"{', '.join(found)}; {os.cpu_count()} cores, {processor()}"


def main(what: str, *given: str) -> None:
    """Run what `apart` asks for, and print what it gives."""
    if what == "memory":
        print(json.dumps(most_memory(*given)))
        return
    name, *rest = given
    if CASES[name].threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    if what == "first":
        print(json.dumps(first_call(name, *rest)))
    else:
        how, *names = rest
        print(json.dumps(warm_calls(name, QUICK if how == "quick" else FULL, *names)))


if __name__ == "__main__":
    main(*sys.argv[1:])

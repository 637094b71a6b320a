"""The curves of docs/modes.md: what a Jacobian costs in forward and in reverse mode as its inputs or its outputs grow.

``python -m benchmarks.modes`` measures and writes the figures; it needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import chainrule as cr
from benchmarks.timing import QUICK, Effort, interleaved, ratio

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
FIXED, WIDTH = 32, 2000
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MODES = ("forward", "reverse")


def function(inputs: int, outputs: int) -> tuple:
    """Return a function from so many inputs to so many outputs, and where to differentiate it."""
    rng = np.random.default_rng(0)
    first = cr.tensor(rng.normal(size=(WIDTH, inputs)) / inputs**0.5)
    last = cr.tensor(rng.normal(size=(outputs, WIDTH)) / WIDTH**0.5)

    def f(x: cr.Tensor) -> cr.Tensor:
        h = first @ x
        for _ in range(4):
            h = cr.sin(h) * h
        return last @ h

    return f, cr.tensor(rng.normal(size=inputs))


def costs(inputs: int, outputs: int, effort: Effort) -> dict[str, float]:
    """Return what the Jacobian costs in each mode and as `jacobian` chooses, over the cost of the function."""
    f, x = function(inputs, outputs)
    steps = {"function": lambda: f(x), "chosen": lambda: cr.func.jacobian(f)(x)}
    for mode in MODES:
        steps[mode] = lambda mode=mode: cr.func.jacobian(f, mode=mode)(x)
    times = interleaved(steps, effort)
    return {name: ratio(times, name, "function") for name in steps if name != "function"}


def curves(what: str, effort: Effort) -> dict[str, list[float]]:
    """Return the costs as inputs or outputs grow, the other number fixed."""
    rows = [costs(n, FIXED, effort) if what == "inputs" else costs(FIXED, n, effort) for n in SIZES]
    return {name: [row[name] for row in rows] for name in rows[0]}


def draw(what: str, found: dict[str, list[float]], folder: Path) -> Path:
    """Write one figure."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "chainrule"
    import matplotlib.pyplot as plt

    other = "outputs" if what == "inputs" else "inputs"
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for name, style in (("forward", "o-"), ("reverse", "s-"), ("chosen", "k:")):
        axes.loglog(
            SIZES, found[name], style, base=2, markersize=4, label=f"{name} by func.jacobian" if name == "chosen" else name
        )
    axes.axvline(FIXED, color="grey", linewidth=0.8)
    axes.set_xlabel(f"{what} ({FIXED} {other})")
    axes.set_ylabel("cost of the Jacobian / cost of the function")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"modes-{what}.svg"
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return target


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modes", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short rounds: a smoke test, not a measurement")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write the figures (default: %(default)s)")
    given = parser.parse_args(arguments)
    effort = QUICK if given.quick else Effort(rounds=15, seconds=0.01, pause=0.0)
    for what in ("inputs", "outputs"):
        found = curves(what, effort)
        print(f"{what}: {SIZES}")
        for name, row in found.items():
            print(f"  {name:8}", *(f"{cost:7.1f}" for cost in row))
        print(f"  written to {draw(what, found, given.folder)}")


if __name__ == "__main__":
    main()

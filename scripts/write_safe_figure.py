"""Writes docs/figures/safe-bump.svg: a smooth function and its derivatives, without and with safe derivatives.

Needs matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import chainrule as cr

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
ORDERS = ("the function", "first derivative", "second derivative")


def bump(x: cr.Tensor) -> cr.Tensor:
    """Return exp(-1/x) for positive numbers, else 0."""
    return cr.exp(-1 / cr.where(x > 0, x, 0))


def curves(x: cr.Tensor, safe: bool) -> list[np.ndarray]:
    """Return the function's values and derivatives, by forward mode."""
    slope = lambda f: lambda x: cr.func.jvp(f, (x,), (cr.ones_like(x),))[1]
    with cr.autograd.safe_derivatives(safe):
        return [f(x).numpy() for f in (bump, slope(bump), slope(slope(bump)))]


def draw(folder: Path) -> Path:
    """Write the figure into a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "chainrule", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    x = cr.linspace(-1.0, 3.0, 161, dtype=cr.float64)
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), sharey=True)
    for at, safe in zip(axes, (False, True), strict=True):
        lost = 0
        for name, y in zip(ORDERS, curves(x, safe), strict=True):
            at.plot(x.numpy(), y, label=name, linewidth=1.4)
            lost += int(np.isnan(y).sum())
        at.set_title(f"{'safe_derivatives' if safe else 'as PyTorch and JAX have it'}: {lost} NaN", fontsize=10)
        if lost:
            at.axvspan(-1, 0, color="#ee667733", linewidth=0)
            at.text(-0.5, 0.25, "NaN", ha="center")
        for side in ("top", "right"):
            at.spines[side].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    target = folder / "safe-bump.svg"
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return target


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

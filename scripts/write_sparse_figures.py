"""Writes docs/figures/sparse-colours.svg: where four derivatives are other than zero, and which sweep carries each entry.

Needs matplotlib and SciPy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.func.colouring import Colouring, bidirectional, by_columns, star
from chainrule.func.pattern import Pattern

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
SIZE = 16
HUES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#994455", "#000000")


def band(x: cr.Tensor) -> cr.Tensor:
    """Return the second differences of a line and its squares."""
    return cr.nn.functional.conv1d(x[None, None], cr.tensor([[[1.0, -2.0, 1.0]]]), padding=1)[0, 0] + x**2


def arrow(x: cr.Tensor) -> cr.Tensor:
    """Return results that all hold the first input, and the first all inputs."""
    return cr.cat([(x[0] * x).sum()[None], x[0] * x[1:] ** 2])


def valley(x: cr.Tensor) -> cr.Tensor:
    """Return Rosenbrock's function, chained."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def plane(x: cr.Tensor) -> cr.Tensor:
    """Return the five-point Laplacian of a square grid and its squares."""
    stencil = cr.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    return cr.nn.functional.conv2d(x.reshape(1, 1, 4, 4), stencil[None, None], padding=1).reshape(-1) + x**2


PANELS: tuple[tuple[str, Callable, Callable, Callable[[Pattern], Colouring]], ...] = (
    ("three neighbours", cr.func.jacobian_sparsity, band, by_columns),
    ("five on a grid", cr.func.jacobian_sparsity, plane, by_columns),
    ("an arrow, both ways", cr.func.jacobian_sparsity, arrow, bidirectional),
    ("Hessian of a valley", cr.func.hessian_sparsity, valley, star),
)


def sweeps(pattern: Pattern, colours: Colouring) -> np.ndarray:
    """Return a matrix of the number of the sweep that each entry is read off, forward ones first, and NaN elsewhere."""
    height, width = pattern.shape
    sums = colours.forward * height
    found = np.full(pattern.shape, np.nan)
    found[pattern.rows, pattern.columns] = np.where(
        colours.places < sums, colours.places // height, colours.forward + (colours.places - sums) // width
    )
    return found


def draw(folder: Path) -> Path:
    """Write the figure into a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "chainrule", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 2.9))
    for at, (title, find, f, colour) in zip(axes, PANELS, strict=True):
        pattern = Pattern.of(find(f)(cr.ones(SIZE)))
        colours = colour(pattern)
        shown: Any = np.ma.masked_invalid(sweeps(pattern, colours))
        at.imshow(shown, cmap=ListedColormap(HUES), vmin=0, vmax=len(HUES) - 1, interpolation="none")
        at.set_title(f"{title}: {colours.colours}", fontsize=10)
        at.set_xticks(np.arange(SIZE + 1) - 0.5, labels=[])
        at.set_yticks(np.arange(SIZE + 1) - 0.5, labels=[])
        at.grid(color="#8888884d", linewidth=0.4)
        at.tick_params(length=0)
    figure.tight_layout()
    target = folder / "sparse-colours.svg"
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return target


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

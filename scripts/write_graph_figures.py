"""Writes docs/figures/graph-*.svg: the graphs that the tutorial and the guide show, as ``chainrule.visualize`` draws them.

A test sees that they are up to date. Needs mini-racer (``pip install ".[svg]"``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import chainrule as cr

FOLDER = Path(__file__).parents[1] / "docs" / "figures"


def first(file: Path) -> None:
    """Draw the first example of the README."""
    x = cr.tensor(2.0, requires_grad=True)
    y = cr.tensor(3.0, requires_grad=True)
    cr.visualize(lambda: x * y + y**2, file, title="z = x * y + y**2")


def masked(file: Path) -> None:
    """Draw a square root at 0 whose result is masked."""
    x = cr.tensor([4.0, 0.0], requires_grad=True)
    cr.visualize(lambda: cr.where(x > 0, x.sqrt(), x).sum(), file, title="where(x > 0, sqrt(x), x)")


def network(file: Path) -> None:
    """Draw a small network."""
    cr.manual_seed(0)
    nn = cr.nn
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    inputs, labels = cr.randn(5, 4), cr.tensor([0, 1, 2, 0, 1])
    cr.visualize(lambda: nn.functional.cross_entropy(model(inputs), labels), file, names=model, title="A perceptron")


FIGURES = {"graph-first.svg": first, "graph-masked.svg": masked, "graph-network.svg": network}


def main(folder: Path) -> None:
    """Write all figures into a folder."""
    for name, draw in FIGURES.items():
        draw(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

"""What a page of a graph costs: to write, to be painted first, and to be ready, in Chromium.

``python -m benchmarks.graph_page`` prints a table; it needs playwright and a Chromium (CHAINRULE_CHROMIUM, or on the path).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional as F


class Layer(nn.Module):
    """A layer of a transformer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = [nn.Linear(width, width) for _ in range(4)]
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads = heads

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        b, n, d = x.shape
        h = self.norm1(x)
        q, k, v = [f(h).reshape(b, n, self.heads, d // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v)]
        weights = (q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp(self.norm2(x))


def transformer(layers: int) -> tuple[Callable[[], cr.Tensor], nn.Module]:
    """Return a transformer's loss, and its modules."""
    model = nn.Sequential(nn.Embedding(30, 16), *[Layer(16, 2) for _ in range(layers)], nn.Linear(16, 30))
    tokens = cr.randint(0, 30, (2, 6))
    return lambda: F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()), model


def recurrence(steps: int) -> tuple[Callable[[], cr.Tensor], dict[str, cr.Tensor]]:
    """Return the loss of a recurrent chain, and its weights."""
    w, b = cr.randn(8, 8, requires_grad=True), cr.zeros(8, requires_grad=True)

    def loss() -> cr.Tensor:
        h = cr.ones(8)
        for _ in range(steps):
            h = cr.tanh(w @ h + b) * 0.9
        return (h * h).sum()

    return loss, {"w": w, "b": b}


def measured(browser: Any, file: Path, loss: Callable[[], cr.Tensor], names: Any, rounds: int) -> tuple:
    """Return seconds to run the loss, to write the page, and milliseconds to its first paint and until it is drawn."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        loss()
        ran = time.perf_counter() - start
        cr.visualize(loss, file, names=names)
        wrote = time.perf_counter() - start - ran
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        (paint,) = page.evaluate("performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)")
        found.append((ran, wrote, paint, page.evaluate("performance.getEntriesByName('drawn')[0].startTime")))
        page.close()
    return tuple(median(each) for each in zip(*found, strict=True))


def main(arguments: list[str] | None = None) -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="what medians are taken over (default: %(default)s)")
    given = parser.parse_args(arguments)
    chromium = os.environ.get("CHAINRULE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    cases = {
        "a perceptron": transformer(0), "a transformer, 12 layers": transformer(12),
        "a transformer, 120 layers": transformer(120), "a chain of 2,500 steps": recurrence(2500),
    }  # fmt: skip
    with sync_playwright() as running, tempfile.TemporaryDirectory() as folder:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        file = Path(folder) / "graph.html"
        print("| graph | nodes | run | write | page | first paint | drawn |\n|---|--:|--:|--:|--:|--:|--:|")
        for name, (loss, names) in cases.items():
            ran, wrote, paint, drawn = measured(browser, file, loss, names, given.rounds)
            nodes = file.read_text().count('"kind":')
            size = file.stat().st_size / 1e6
            print(
                f"| {name} | {nodes:,} | {ran * 1e3:,.0f} ms | {wrote:.2f} s | {size:.1f} MB "
                f"| {paint:,.0f} ms | {drawn:,.0f} ms |"
            )
        browser.close()


if __name__ == "__main__":
    main()

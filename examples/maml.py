"""Model-agnostic meta-learning: a network learns to learn a sine from ten points, by gradients of gradient steps.

    python examples/maml.py [--plot sines.png]

Each task is a sine of another amplitude and phase (Finn, Abbeel & Levine, arXiv 1703.03400, section 5.1). The inner step is a
gradient of a task's loss; what is trained is the start from which one such step serves best, so the outer gradient is of
second order. `vmap` adapts to 25 tasks at once. One sees the loss before and after one step on new tasks: it must fall to a
third, which a network trained on all sines together does not reach; the program exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import math
import sys

from rich.progress import Progress

import chainrule as cr
from chainrule import nn
from chainrule.func import functional_call, grad, vmap

SEEN, RATE = 10, 0.01
net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))


def loss(params: dict, x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
    return nn.functional.mse_loss(functional_call(net, params, x), y)


def adapted(params: dict, x: cr.Tensor, y: cr.Tensor) -> dict:
    """Take one step of gradient descent: an ordinary function of the parameters, with derivatives of its own."""
    slopes = grad(loss)(params, x, y)
    return {name: p - RATE * slopes[name] for name, p in params.items()}


def before_and_after(params: dict, seen: tuple, asked: tuple) -> tuple[cr.Tensor, cr.Tensor]:
    """Return the loss on a task's other points, before and after one step on those that are seen."""
    return loss(params, *asked), loss(adapted(params, *seen), *asked)


def tasks(count: int) -> tuple[tuple, tuple]:
    """Draw sines, and of each ten points to learn from and ten to be asked."""
    amplitude, phase = 0.1 + 4.9 * cr.rand(count, 1, 1), math.pi * cr.rand(count, 1, 1)
    x = 10 * cr.rand(count, 2 * SEEN, 1) - 5
    y = amplitude * cr.sin(x - phase)
    return (x[:, :SEEN], y[:, :SEEN]), (x[:, SEEN:], y[:, SEEN:])


def train(params: dict, steps: int, together: bool) -> None:
    """Fit the start by Adam on 25 tasks a step, or, `together`, the network itself to all the tasks' points."""
    optimizer = cr.optim.Adam(params.values(), lr=2e-3)
    with Progress() as bar:
        task = bar.add_task("all sines together" if together else "meta-learning", total=steps)
        for _ in range(steps):
            before, after = vmap(before_and_after, in_dims=(None, 0, 0))(params, *tasks(25))
            optimizer.zero_grad()
            (before if together else after).mean().backward()
            optimizer.step()
            bar.update(task, advance=1)


def fresh() -> dict:
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}


def draw(path: str, params: dict) -> None:
    from matplotlib.figure import Figure

    (x, y), (more, there) = (tuple(part[0] for part in pair) for pair in tasks(1))
    line = cr.linspace(-5, 5, 200)[:, None]
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot(x.flatten(), y.flatten(), "^", label="ten points of a new sine")
    axes.plot(more.flatten(), there.flatten(), ".", color="0.6", label="others of it")
    for name, p in (("start", params), ("after one step", adapted(params, x, y))):
        axes.plot(line.flatten(), functional_call(net, p, line).detach().flatten(), label=name)
    axes.legend()
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of the outer optimiser (default: 4000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="600 steps, and to two thirds will do")
    parser.add_argument("--plot", metavar="FILE", help="draw a new task, before and after the step")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    ratios = {}
    for together in (True, False):
        params = fresh()
        train(params, (600 if given.quick else given.steps) // (4 if together else 1), together)
        before, after = vmap(before_and_after, in_dims=(None, 0, 0))(params, *tasks(500))
        ratios[together] = after.mean().item() / before.mean().item()
        name = "trained on all" if together else "meta-learnt"
        print(f"{name}: loss on new sines {before.mean().item():.2f}, after one step {after.mean().item():.2f}")
    if given.plot:
        draw(given.plot, params)
    enough = 2 / 3 if given.quick else 1 / 3
    print(f"one step leaves {ratios[False]:.0%} of the loss (at most {enough:.0%}), {ratios[True]:.0%} without meta-learning")
    return 0 if ratios[False] <= enough and ratios[False] < 0.8 * ratios[True] else 1


if __name__ == "__main__":
    sys.exit(main())

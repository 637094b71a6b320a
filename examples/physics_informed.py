"""A physics-informed network solves Burgers' equation, u_t + u u_x = ν u_xx, from the equation and its edges alone.

    python examples/physics_informed.py [--plot burgers.png]

A sine steepens into a front. `func.jet` gives u_x and u_xx at all points in one run of Taylor mode along x, `func.jvp` gives
u_t, and `backward` the gradient through both (Raissi, Perdikaris & Karniadakis, J. Comput. Phys. 378, 2019). One sees the
residual fall; the program exits with 1 unless the solution is within 3 % of the exact one, which is an integral of Hopf and
Cole's. The plot lays the two over each other.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from rich.progress import Progress

import chainrule as cr
from chainrule import nn
from chainrule.func import jet, jvp

VISCOSITY = 0.1 / math.pi
ENOUGH = 0.03


class Solution(nn.Module):
    """A network times what makes the edges right: -sin(πx) at t = 0, and 0 at x = -1 and 1."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
            nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, t: cr.Tensor, x: cr.Tensor) -> cr.Tensor:
        return -cr.sin(math.pi * x) + t * (1 - x * x) * self.net(cr.stack([t, x], 1))[:, 0]


def residual(u: Solution, t: cr.Tensor, x: cr.Tensor) -> cr.Tensor:
    """Return what the equation leaves at each point. u is a function of each point alone: one direction serves all."""
    one, zero = cr.ones_like(x), cr.zeros_like(x)
    value, (u_x, u_xx) = jet(lambda x: u(t, x), (x,), ([one, zero],))
    _, u_t = jvp(lambda t: u(t, x), (t,), (one,))
    return u_t + value * u_x - VISCOSITY * u_xx


def exact(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the solution by Hopf and Cole's integral, in Gauss and Hermite's points (Basdevant et al. 1986)."""
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    y = x[..., None] - nodes * np.sqrt(4 * VISCOSITY * t)[..., None]
    f = np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY)) * weights
    return -(np.sin(np.pi * y) * f).sum(-1) / f.sum(-1)


def train(u: Solution, steps: int, points: int) -> None:
    """Make the residual small by Adam, on fresh points in each step."""
    optimizer = cr.optim.Adam(u.parameters(), lr=5e-3)
    schedule = cr.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with Progress() as bar:
        task = bar.add_task("training", total=steps)
        for _ in range(steps):
            loss = residual(u, cr.rand(points), 2 * cr.rand(points) - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update(task, advance=1, description=f"residual {loss.item():.1e}")


def draw(path: str, u: Solution) -> None:
    from matplotlib.figure import Figure

    x = np.linspace(-1, 1, 201)
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    for i, time in enumerate((0.0, 0.25, 0.5, 1.0)):
        t = np.full_like(x, time)
        axes.plot(x, exact(t, x), color=f"C{i}", label=f"t = {time}")
        found = u(cr.from_numpy(t).float(), cr.from_numpy(x).float()).detach()
        axes.plot(x[::5], found[::5], "o", color=f"C{i}", mfc="none")
    axes.set(xlabel="x", ylabel="u", title="Burgers' equation: exact (lines) and the network (circles)")
    axes.legend()
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="of Adam (default: 1500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="600 steps, and within 15 %% will do")
    parser.add_argument("--plot", metavar="FILE", help="draw the solution at four times")
    given = parser.parse_args(arguments)
    cr.manual_seed(given.seed)
    u = Solution()
    train(u, 600 if given.quick else given.steps, 256 if given.quick else 512)
    t, x = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, 51), np.linspace(-1, 1, 101)))
    with cr.no_grad():
        found = u(cr.from_numpy(t).float(), cr.from_numpy(x).float()).numpy()
    wanted = exact(t, x)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    if given.plot:
        draw(given.plot, u)
    enough = 0.15 if given.quick else ENOUGH
    print(f"relative error {error:.2%} (at most {enough:.0%})")
    return 0 if error <= enough else 1


if __name__ == "__main__":
    sys.exit(main())

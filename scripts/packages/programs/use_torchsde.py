"""torchsde: solvers of stochastic equations along a given path, their adjoint, and the latent equation in training."""

import pytest
import torch
import torchsde
from agreement import agree, begin, drawn, train
from torch import nn


class Path(torchsde.BaseBrownian):
    """A path that is the same under both libraries."""

    def __init__(self, size, seed=3):
        self._size, self.numbers = size, drawn(256, *size, seed=seed) / 16

    def _at(self, t):
        place = min(float(t), 0.999) * 255
        i = int(place)
        total = self.numbers.cumsum(0)
        return total[i] + (place - i) * (total[i + 1] - total[i])

    def __call__(self, ta, tb=None, return_U=False, return_A=False):
        w = self._at(ta) if tb is None else self._at(tb) - self._at(ta)
        return (w, w * 0.5 * (0.0 if tb is None else float(tb) - float(ta))) if return_U else w

    def __repr__(self):
        return "Path()"

    dtype = property(lambda self: torch.float32)
    device = property(lambda self: torch.device("cpu"))
    shape = property(lambda self: torch.Size(self._size))
    levy_area_approximation = property(lambda self: "space-time")


class Equation(nn.Module):
    noise_type = "diagonal"

    def __init__(self, kind="ito"):
        super().__init__()
        self.sde_type = kind
        self.drift, self.diffusion = nn.Linear(3, 3), nn.Linear(3, 3)

    def f(self, t, y):
        return torch.sin(t) + self.drift(y)

    def g(self, t, y):
        return 0.3 * torch.sigmoid(self.diffusion(t + y))


METHODS = [("ito", "euler"), ("ito", "milstein"), ("ito", "srk"), ("stratonovich", "midpoint"), ("stratonovich", "heun"),
           ("stratonovich", "milstein"), ("stratonovich", "reversible_heun"), ("stratonovich", "euler_heun")]  # fmt: skip


@pytest.mark.parametrize(("kind", "method"), METHODS)
def test_solver_trains(kind, method):
    equation, path = Equation(kind), Path((4, 3))
    times = torch.linspace(0, 1, 5)

    def loss():
        return torchsde.sdeint(equation, drawn(4, 3), times, bm=path, method=method, dt=0.05).square().mean()

    train(f"{kind}-{method}", equation, loss, steps=3)


@pytest.mark.parametrize(
    ("kind", "method"), [("ito", "euler"), ("stratonovich", "midpoint"), ("stratonovich", "reversible_heun")]
)
def test_adjoint(kind, method):
    equation, path = Equation(kind), Path((4, 3))
    begin(f"adjoint-{kind}-{method}", equation)
    y0 = drawn(4, 3).requires_grad_()
    options = {"adjoint_method": "adjoint_reversible_heun"} if method == "reversible_heun" else {}
    ys = torchsde.sdeint_adjoint(equation, y0, torch.tensor([0.0, 1.0]), bm=path, method=method, dt=0.05, **options)
    ys[-1].square().sum().backward()
    agree(
        f"by adjoint {kind} {method}",
        {"y": ys, "y0": y0.grad} | {k: p.grad for k, p in equation.named_parameters()},
        1e-3,
        1e-4,
    )


def test_drawn_paths():
    times = torch.linspace(0, 1, 3)
    bm = torchsde.BrownianInterval(0.0, 1.0, size=(2000, 1), levy_area_approximation="space-time", entropy=7)
    assert torch.allclose(bm(0.0, 0.3) + bm(0.3, 1.0), bm(0.0, 1.0), atol=1e-5)
    assert abs(bm(0.0, 0.5).var().item() - 0.5) < 0.06
    ys = torchsde.sdeint(Equation(), torch.zeros(16, 3), times, dt=0.1, adaptive=True, rtol=1e-2, atol=1e-2)
    assert ys.shape == (3, 16, 3)
    with_logqp = type("Prior", (Equation,), {"h": lambda self, t, y: -y})()
    _, logqp = torchsde.sdeint(with_logqp, torch.zeros(16, 3), times, dt=0.1, logqp=True)
    logqp.sum().backward()
    assert (logqp >= 0).all()


def test_trees_and_paths():
    tree = torchsde.BrownianTree(t0=0.0, w0=torch.zeros(2), t1=1.0, entropy=5)
    assert torch.equal(tree(0.0, 0.4), tree(0.0, 0.4))
    path = torchsde.BrownianPath(t0=0.0, w0=torch.zeros(2))
    assert torch.allclose(path(0.0, 0.4) + path(0.4, 0.7), path(0.0, 0.7), atol=1e-6)

"""torchcde: interpolation, logsignatures left out, and a neural controlled differential equation in training."""

import pytest
import torch
import torchcde
from agreement import agree, drawn, train
from torch import nn


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Softplus(), nn.Linear(16, 24), nn.Tanh())

    def forward(self, t, z):
        return self.net(z).view(z.size(0), 8, 3)


class CDE(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.field, self.readout = nn.Linear(3, 8), Field(), nn.Linear(8, 1)

    def forward(self, path, **options):
        z0 = self.start(path.evaluate(path.interval[0]))
        z = torchcde.cdeint(X=path, z0=z0, func=self.field, t=path.interval, **options)
        return self.readout(z[:, -1])


def data(missing=False):
    x = torch.cat([torch.linspace(0, 1, 9).expand(4, 9)[..., None], drawn(4, 9, 2)], -1)
    if missing:
        x[1, 3, 1] = x[2, 8, 2] = x[0, 0, 1] = float("nan")
    return x


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", ["natural", "hermite", "linear", "rectilinear"])
def test_paths(kind, missing):
    x = data(missing)
    if kind == "natural":
        path = torchcde.CubicSpline(torchcde.natural_cubic_coeffs(x))
    elif kind == "hermite":
        path = torchcde.CubicSpline(torchcde.hermite_cubic_coefficients_with_backward_differences(x))
    else:
        path = torchcde.LinearInterpolation(
            torchcde.linear_interpolation_coeffs(x, rectilinear=0 if kind == "rectilinear" else None)
        )
    times = torch.linspace(0, 7.9, 11)
    values, slopes = ([f(t) for t in times] for f in (path.evaluate, path.derivative))
    agree(f"path-{kind}-{missing}", {"values": torch.stack(values), "slopes": torch.stack(slopes), "grid": path.grid_points})


@pytest.mark.parametrize(
    "options",
    [
        {"adjoint": True, "rtol": 1e-6, "atol": 1e-7},
        {"adjoint": False, "rtol": 1e-6, "atol": 1e-7},
        {"method": "rk4", "options": {"step_size": 0.5}},
    ],
)
def test_cde_trains(options):
    path = torchcde.CubicSpline(torchcde.natural_cubic_coeffs(data()))
    model = CDE()
    target = torch.tensor([0.0, 1.0, 1.0, 0.0])

    def loss():
        found = model(path, **options).squeeze(-1)
        return nn.functional.binary_cross_entropy_with_logits(found, target)

    train(
        "cde-" + "-".join(map(str, options)) + str(options.get("adjoint")), model, loss, torch.optim.Adam(model.parameters()), 3
    )

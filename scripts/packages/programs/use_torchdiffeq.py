"""torchdiffeq: its solvers, its adjoint method, events and interpolation; a neural ODE in training."""

import pytest
import torch
from agreement import agree, begin, drawn, train
from torch import nn
from torchdiffeq import odeint, odeint_adjoint, odeint_event

METHODS = ["dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun", "euler", "midpoint", "rk4", "heun3", "explicit_adams",
           "implicit_adams"]  # fmt: skip


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, t, y):
        return self.net(y**3)


@pytest.mark.parametrize("method", METHODS)
def test_neural_ode_trains(method):
    field, y0, times = Field(), drawn(4, 2), torch.linspace(0, 1, 6)
    target = drawn(6, 4, 2, seed=1)

    def loss():
        return (odeint(field, y0, times, method=method, rtol=1e-5, atol=1e-6) - target).abs().mean()

    train(f"ode-{method}", field, loss, steps=3)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_adjoint_trains(method):
    field, y0, times = Field(), drawn(4, 2), torch.linspace(0, 1, 6)

    def loss():
        return odeint_adjoint(field, y0, times, method=method, rtol=1e-6, atol=1e-6).square().mean()

    train(f"adjoint-{method}", field, loss, torch.optim.RMSprop(field.parameters(), lr=1e-3), steps=3)


def test_adjoint_of_state_of_several_tensors():
    field = Field()
    begin("tuple", field)
    y0, logp = drawn(4, 2).requires_grad_(), torch.zeros(4, 1)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.field = field

        def forward(self, t, state):
            y, _ = state
            with torch.enable_grad():
                y = y.requires_grad_(True)
                dy = self.field(t, y)
                trace = sum(torch.autograd.grad(dy[:, i].sum(), y, create_graph=True)[0][:, i] for i in range(2))
            return dy, -trace[:, None]

    ys, logps = odeint_adjoint(Both(), (y0, logp), torch.tensor([0.0, 1.0]), rtol=1e-6, atol=1e-6)
    (ys[-1].sum() + logps[-1].sum()).backward()
    agree("flow", {"y": ys, "logp": logps, "gradient": y0.grad} | {k: p.grad for k, p in field.named_parameters()}, 1e-3, 1e-4)


def test_event_of_a_bouncing_ball():
    height, speed = torch.tensor(10.0, requires_grad=True), torch.tensor(0.0)
    fall = lambda t, state: (state[1], torch.full_like(state[1], -9.81))
    at, states = odeint_event(fall, (height, speed), torch.tensor(0.0), event_fn=lambda t, s: s[0], method="dopri5")
    at.backward()
    agree("event", {"time": at, "speed": states[1], "gradient": height.grad}, 1e-4, 1e-4)
    assert abs(at.item() - (20 / 9.81) ** 0.5) < 1e-4


def test_scipy_solver_and_dense_options():
    y0, times = drawn(3, dtype=torch.float64), torch.linspace(0, 2, 5, dtype=torch.float64)
    matrix = drawn(3, 3, seed=2, dtype=torch.float64)
    found = odeint(lambda t, y: matrix @ y * torch.cos(t), y0, times, method="scipy_solver", options={"solver": "LSODA"})
    steps = odeint(lambda t, y: matrix @ y, y0, times, method="rk4", options={"step_size": 0.1, "interp": "cubic"})
    agree("scipy", {"found": found, "steps": steps}, 1e-5, 1e-6)


def test_complex_state():
    y0 = torch.complex(drawn(3), drawn(3, seed=1))
    agree("complex", {"y": odeint(lambda t, y: 1j * y, y0, torch.linspace(0, 1, 4))}, 1e-4, 1e-4)

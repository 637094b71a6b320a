"""higher: optimisers that are differentiated through, in MAML and in learning a learning rate."""

import higher
import pytest
import torch
from agreement import agree, begin, drawn
from torch import nn
from torch.nn import functional as F

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "Adamax": lambda p: torch.optim.Adamax(p),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.01),
}


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradient_through_training(name):
    model = network()
    begin(f"higher-{name}", model)
    optimizer = OPTIMIZERS[name](model.parameters())
    x, y = drawn(6, 3), drawn(6, 2, seed=1)
    with higher.innerloop_ctx(model, optimizer) as (fmodel, diffopt):
        for _ in range(3):
            diffopt.step(F.mse_loss(fmodel(x), y))
        outer = F.mse_loss(fmodel(x[:3]), y[3:])
        grads = torch.autograd.grad(outer, list(fmodel.parameters(time=0)), allow_unused=True)
    found = {"outer": outer} | {str(i): g for i, g in enumerate(grads) if g is not None}
    agree(f"through-{name}", found, 2e-3, 1e-5)


def test_maml():
    model = network()
    begin("maml", model)
    meta = torch.optim.Adam(model.parameters(), lr=1e-2)
    inner = torch.optim.SGD(model.parameters(), lr=1e-1)
    losses = []
    for step in range(4):
        meta.zero_grad()
        total = 0.0
        for task in range(3):
            x, y = drawn(8, 3, seed=10 * step + task), drawn(8, 2, seed=100 + task)
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False, track_higher_grads=True) as (fnet, diffopt):
                for _ in range(2):
                    diffopt.step(F.mse_loss(fnet(x), y))
                loss = F.mse_loss(fnet(x), y)
                loss.backward()
                total += loss.item()
        meta.step()
        losses.append(total)
    agree("maml", {"losses": losses} | dict(model.named_parameters()), 1e-3, 1e-4)


def test_learned_learning_rate():
    model = network()
    begin("rate", model)
    rate = torch.tensor(0.1, requires_grad=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with higher.innerloop_ctx(model, optimizer, override={"lr": [rate]}) as (fmodel, diffopt):
        for _ in range(3):
            diffopt.step(F.mse_loss(fmodel(drawn(6, 3)), drawn(6, 2, seed=1)))
        F.mse_loss(fmodel(drawn(6, 3)), drawn(6, 2, seed=1)).backward()
    agree("rate", {"gradient": rate.grad}, 1e-3, 1e-5)


def test_patched_modules():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
    begin("patched", model)
    patched = higher.monkeypatch(model)
    x = drawn(2, 1, 6, 6)
    fast = [p * 1.5 for p in model.parameters()]
    agree("patched", {"same": patched(x), "other": patched(x, params=fast)}, 1e-4, 1e-5)
    assert [tuple(p.shape) for p in patched.parameters()] == [tuple(p.shape) for p in model.parameters()]

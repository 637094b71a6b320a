"""torch_ema: averages of parameters kept, stored, swapped in, saved, and copied."""

import copy

import pytest
import torch
from agreement import agree, begin, drawn
from torch import nn
from torch_ema import ExponentialMovingAverage


@pytest.mark.parametrize("use_num_updates", [True, False])
def test_average(use_num_updates):
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    begin(f"ema {use_num_updates}", model)
    ema = ExponentialMovingAverage(model.parameters(), decay=0.9, use_num_updates=use_num_updates)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-1)
    for step in range(8):
        loss = model(drawn(7, 3, seed=step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update()
    other, state = copy.deepcopy(ema), copy.deepcopy(ema.state_dict())
    model.eval()
    plain = model(drawn(4, 3))
    with ema.average_parameters():
        averaged = model(drawn(4, 3))
    assert torch.equal(model(drawn(4, 3)), plain)
    fresh = ExponentialMovingAverage(model.parameters(), decay=0.5)
    fresh.load_state_dict(state)
    for one in (fresh, other):
        one.store(model.parameters())
        one.copy_to(model.parameters())
        assert torch.equal(model(drawn(4, 3)), averaged)
        one.restore(model.parameters())
    ema.to(dtype=torch.float64)
    assert ema.shadow_params[0].dtype == torch.float64
    agree(f"averaged {use_num_updates}", {"plain": plain, "averaged": averaged}, 1e-4, 1e-5)


def test_dead_parameters_raise():
    ema = ExponentialMovingAverage(nn.Linear(2, 2).parameters(), decay=0.9)
    with pytest.raises(ValueError):
        ema.update()

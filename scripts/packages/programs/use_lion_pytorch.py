"""lion-pytorch: its optimiser, in a training that must come to PyTorch's weights."""

import pytest
import torch
from agreement import drawn, train
from lion_pytorch import Lion
from torch import nn


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"betas": (0.8, 0.95)}, {"decoupled_weight_decay": True}])
def test_training(options):
    model = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 2))
    x, y = drawn(20, 4), drawn(20, 2, seed=1)
    optimizer = Lion(model.parameters(), lr=1e-3, **options)
    train("lion-" + "-".join(options), model, lambda: nn.functional.mse_loss(model(x), y), optimizer, 12)
    assert torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5).get_last_lr() == [5e-4]

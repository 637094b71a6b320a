"""torchinfo: what it prints of models, by hooks and by shapes, must read as under PyTorch."""

import numpy as np
import pytest
import torch
from agreement import agree
from torch import nn
from torchinfo import summary


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)])
        self.rest = nn.ModuleDict(
            {"norm": nn.BatchNorm2d(4), "out": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))}
        )
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.rest["out"](self.rest["norm"](sum(conv(x) for conv in self.convs))) * self.scale


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)), {"input_size": (2, 4)}),
    "branches": (Branches, {"input_size": (2, 3, 8, 8), "depth": 4}),
    "lstm": (lambda: nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True), {"input_size": (2, 5, 4)}),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), {"input_size": [(2, 5, 8), (2, 4, 8)]}),
    "embedding": (lambda: nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)), {"input_size": (2, 5), "dtypes": [torch.long]}),
    "frozen": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.GroupNorm(3, 3)).requires_grad_(False), {"input_size": (2, 2, 9)}),
    "unrun": (Branches, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_text(name):
    make, options = MODELS[name]
    found = summary(make(), verbose=0, col_names=("input_size", "output_size", "num_params", "kernel_size", "mult_adds", "trainable")
                    if options else ("num_params",), row_settings=("var_names", "depth"), **options)  # fmt: skip
    text = str(found)
    agree(
        f"summary {name}",
        {"letters": np.frombuffer(text.encode(), np.uint8), "params": [found.total_params, found.trainable_params]},
    )

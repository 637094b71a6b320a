"""geotorch: constraints on weights by parametrizations, in training."""

import geotorch
import pytest
import torch
from agreement import drawn
from torch import nn

KINDS = {
    "sphere": lambda m: geotorch.sphere(m, "weight", radius=2.0),
    "skew": lambda m: geotorch.skew(m, "weight"),
    "symmetric": lambda m: geotorch.symmetric(m, "weight"),
    "orthogonal": lambda m: geotorch.orthogonal(m, "weight"),
    "almost orthogonal": lambda m: geotorch.almost_orthogonal(m, "weight", lam=0.3),
    "grassmannian": lambda m: geotorch.grassmannian(m, "weight"),
    "low rank": lambda m: geotorch.low_rank(m, "weight", rank=2),
    "fixed rank": lambda m: geotorch.fixed_rank(m, "weight", rank=2),
    "invertible": lambda m: geotorch.invertible(m, "weight"),
    "sln": lambda m: geotorch.sln(m, "weight"),
    "positive definite": lambda m: geotorch.positive_definite(m, "weight"),
    "positive semidefinite": lambda m: geotorch.positive_semidefinite(m, "weight"),
    "psd low rank": lambda m: geotorch.positive_semidefinite_low_rank(m, "weight", rank=2),
    "psd fixed rank": lambda m: geotorch.positive_semidefinite_fixed_rank(m, "weight", rank=2),
}
SQUARE = {
    "skew",
    "symmetric",
    "invertible",
    "sln",
    "positive definite",
    "positive semidefinite",
    "psd low rank",
    "psd fixed rank",
}


@pytest.mark.parametrize("size", [(5, 5), (6, 4), (4, 6)])
@pytest.mark.parametrize("kind", KINDS)
def test_constraint_holds_in_training(kind, size):
    if kind in SQUARE and size != (5, 5):
        return
    layer = nn.Linear(*size)
    KINDS[kind](layer)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    x, y = drawn(16, size[0]), drawn(16, size[1], seed=1)
    losses = []
    for _ in range(40):
        loss = (layer(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    weight = layer.weight.detach()
    values = torch.linalg.svdvals(weight)
    if kind in ("low rank", "fixed rank", "psd low rank", "psd fixed rank"):
        assert values[2:].max() < 1e-4
    if kind == "symmetric" or "positive" in kind or "psd" in kind:
        assert torch.allclose(weight, weight.T, atol=1e-5)
    if kind == "positive definite":
        assert torch.linalg.eigvalsh(weight).min() > 0
    if kind == "orthogonal":
        square = weight.T @ weight if size[0] <= size[1] else weight @ weight.T
        assert torch.allclose(square, torch.eye(min(size)), atol=1e-4)
    if kind == "skew":
        assert torch.allclose(weight, -weight.T)
    if kind == "sln":
        assert abs(torch.linalg.det(weight).item() - 1) < 1e-3


@pytest.mark.parametrize("triv", ["expm", "cayley"])
@pytest.mark.parametrize("cls", [geotorch.SO, geotorch.Stiefel, geotorch.Grassmannian])
def test_special_orthogonal(cls, triv):
    size = torch.Size([4, 4] if cls is geotorch.SO else [6, 4])
    manifold = cls(size=size, triv=triv)
    point = manifold.sample("uniform")
    assert manifold.in_manifold(point, eps=1e-3)
    moved = manifold(manifold.right_inverse(point))
    assert manifold.in_manifold(moved, eps=1e-3)


def test_recurrent_cell():
    cell = nn.RNNCell(4, 6)
    geotorch.orthogonal(cell, "weight_hh")
    h = torch.zeros(3, 6)
    with geotorch.parametrize.cached() if hasattr(geotorch, "parametrize") else torch.nn.utils.parametrize.cached():
        for _ in range(5):
            h = cell(drawn(3, 4), h)
    h.sum().backward()
    assert all(p.grad is not None for p in cell.parameters())

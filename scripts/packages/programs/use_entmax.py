"""entmax: sparse softmaxes, their losses, and their gradients to second order."""

import entmax
import pytest
import torch
from agreement import agree, drawn, integers
from torch.autograd import gradcheck

FUNCTIONS = {
    "sparsemax": lambda x, dim: entmax.sparsemax(x, dim=dim),
    "entmax15": lambda x, dim: entmax.entmax15(x, dim=dim),
    "entmax15 of 4": lambda x, dim: entmax.entmax15(x, dim=dim, k=4),
    "bisect": lambda x, dim: entmax.entmax_bisect(x, 1.3, dim=dim),
    "sparsemax bisect": lambda x, dim: entmax.sparsemax_bisect(x, dim=dim),
    "normmax": lambda x, dim: entmax.normmax_bisect(x, alpha=2.0, dim=dim),
    "budget": lambda x, dim: entmax.budget_bisect(x, budget=2, dim=dim),
}


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_map(name, dim):
    x = drawn(3, 5, 6).requires_grad_()
    p = FUNCTIONS[name](x, dim)
    (p * drawn(3, 5, 6, seed=1)).sum().backward()
    agree(f"{name} {dim}", {"p": p, "gradient": x.grad}, 1e-4, 1e-5)


@pytest.mark.parametrize("name", ["sparsemax", "entmax15", "bisect"])
def test_gradient(name):
    x = drawn(4, 6, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda x: FUNCTIONS[name](x, -1), x, eps=1e-5)


def test_gradient_by_alpha():
    x = drawn(4, 6, dtype=torch.float64).requires_grad_()
    alpha = torch.full((4, 1), 1.4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, a: entmax.entmax_bisect(x, a), (x, alpha), eps=1e-5)


@pytest.mark.parametrize("reduction", ["elementwise_mean", "sum", "none"])
@pytest.mark.parametrize(
    "kind", [entmax.SparsemaxLoss, entmax.Entmax15Loss, entmax.EntmaxBisectLoss, entmax.SparsemaxBisectLoss]
)
def test_loss(kind, reduction):
    x, y = drawn(7, 5).requires_grad_(), integers(5, (7,))
    loss = kind(reduction=reduction)(x, y)
    loss.sum().backward()
    agree(f"{kind.__name__} {reduction}", {"loss": loss, "gradient": x.grad})


def test_module():
    for module in (entmax.Sparsemax(dim=1), entmax.Entmax15(dim=1), entmax.EntmaxBisect(1.5, dim=1)):
        assert torch.allclose(module(drawn(2, 5, 3)).sum(1), torch.ones(2, 3), atol=1e-5)

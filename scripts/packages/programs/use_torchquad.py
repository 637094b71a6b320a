"""torchquad: integrals by rules and by sampling, and their gradients by a parameter."""

import pytest
import torch
from agreement import agree
from torchquad import VEGAS, Boole, GaussLegendre, MonteCarlo, Simpson, Trapezoid, set_log_level

set_log_level("WARNING")
RULES = {"trapezoid": Trapezoid, "simpson": Simpson, "boole": Boole, "gauss": GaussLegendre}


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("rule", RULES)
def test_rule(rule, dim):
    found = RULES[rule]().integrate(lambda x: torch.exp(-x.square().sum(1)), dim=dim, N=29**dim,
                                    integration_domain=[[-1.0, 1.0]] * dim, backend="torch")  # fmt: skip
    agree(f"{rule} {dim}", {"found": found}, 1e-5)
    assert abs(found.item() - 1.4936482656**dim) < 0.02


@pytest.mark.parametrize("rule", RULES)
def test_gradient_by_bounds(rule):
    domain = torch.tensor([[0.0, 1.0], [0.0, 2.0]], requires_grad=True)
    found = RULES[rule]().integrate(lambda x: torch.sin(x[:, 0]) * x[:, 1] ** 2, dim=2, N=1681, integration_domain=domain)
    found.backward()
    agree(f"bounds {rule}", {"found": found, "gradient": domain.grad}, 1e-4, 1e-5)


@pytest.mark.parametrize("method", [MonteCarlo, VEGAS])
def test_sampling(method):
    found = method().integrate(
        lambda x: x.square().sum(1), dim=2, N=20000, integration_domain=[[0, 1], [0, 1]], seed=1, backend="torch"
    )
    assert abs(found.item() - 2 / 3) < 0.02

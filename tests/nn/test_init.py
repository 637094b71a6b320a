"""Starting values: gains, errors and shapes as PyTorch's; distributions by their moments and bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import init


@pytest.mark.parametrize(
    ("name", "param"), [("linear", None), ("conv2d", None), ("tanh", None), ("relu", None), ("leaky_relu", 0.3), ("selu", None)]
)
def test_gain_is_pytorchs(torch, name, param):
    assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)


def test_gain_refuses_what_pytorch_refuses():
    with pytest.raises(ValueError, match="Unsupported nonlinearity nothing"):
        init.calculate_gain("nothing")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


DRAWS = [
    (lambda t: init.uniform_(t, -1, 3), (-1, 3), 4 / math.sqrt(12)),
    (lambda t: init.normal_(t, 0, 2), None, 2),
    (lambda t: init.xavier_uniform_(t, 2), (-2 * math.sqrt(6 / 300), 2 * math.sqrt(6 / 300)), 2 * math.sqrt(2 / 300)),
    (lambda t: init.xavier_normal_(t, 2), None, 2 * math.sqrt(2 / 300)),
    (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), (-math.sqrt(6 / 200), math.sqrt(6 / 200)), math.sqrt(2 / 200)),
    (lambda t: init.kaiming_normal_(t, a=1, mode="fan_out"), None, math.sqrt(1 / 100)),
    (lambda t: init.trunc_normal_(t, 0, 1, -1, 1), (-1, 1), 0.5396),
]


@pytest.mark.parametrize(("fill", "bounds", "std"), DRAWS)
def test_draws_have_the_bounds_and_spread_of_the_formula(fill, bounds, std):
    cr.manual_seed(0)
    p = cr.nn.Parameter(cr.empty(100, 200))
    assert fill(p) is p
    values = p.detach().numpy()
    assert p.is_leaf
    assert p.requires_grad
    assert p._version > 0
    assert values.std() == pytest.approx(std, rel=0.03)
    if bounds is not None:
        assert values.min() >= bounds[0]
        assert values.max() <= bounds[1]


@pytest.mark.parametrize(("mean", "a", "b"), [(0, 3, 5), (0, -9, -6), (1, 0.9, 1.1)])
def test_truncated_draws_follow_the_distribution_in_its_tails(mean, a, b):
    from scipy.stats import kstest, truncnorm

    cr.manual_seed(0)
    values = init.trunc_normal_(cr.empty(2000, dtype=cr.float64), mean, 1, a, b).numpy()
    assert kstest(values, truncnorm(a - mean, b - mean, mean).cdf).pvalue > 0.01


def test_linear_starts_as_pytorchs():
    cr.manual_seed(0)
    lin = cr.nn.Linear(400, 300)
    for p in (lin.weight, lin.bias):
        values = p.detach().numpy()
        assert abs(values).max() <= 1 / 20
        assert values.std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (4, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_orthogonal_rows_or_columns_are_orthonormal(shape, dtype):
    w = init.orthogonal_(cr.empty(shape, dtype=getattr(cr, dtype)), gain=2).numpy().astype(np.float64).reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 3e-2}[dtype]
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=tolerance)


@pytest.mark.parametrize("call", ["eye_", "dirac_", "ones_", "zeros_"])
def test_fixed_values_are_pytorchs(torch, call):
    shape = (4, 3, 3) if call == "dirac_" else (3, 4)
    ours = getattr(init, call)(cr.empty(shape)).numpy()
    np.testing.assert_array_equal(ours, getattr(torch.nn.init, call)(torch.empty(shape)).numpy())
    np.testing.assert_array_equal(init.constant_(cr.empty(2), 7).numpy(), [7, 7])


def test_dirac_in_groups_is_pytorchs(torch):
    ours = init.dirac_(cr.empty(6, 2, 3, 3), groups=3).numpy()
    np.testing.assert_array_equal(ours, torch.nn.init.dirac_(torch.empty(6, 2, 3, 3), groups=3).numpy())


def test_sparse_columns_have_their_share_of_zeros():
    values = init.sparse_(cr.empty(10, 20), 0.25).numpy()
    assert ((values == 0).sum(axis=0) == 3).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: init.xavier_normal_(cr.empty(3)), "Fan in and fan out can not be computed for tensor with fewer than 2 dim"),
        (lambda: init.kaiming_normal_(cr.empty(3, 3), mode="fan"), "Mode fan not supported, please use one of"),
        (lambda: init.eye_(cr.empty(3)), "Only tensors with 2 dimensions are supported"),
        (lambda: init.orthogonal_(cr.empty(3)), "Only tensors with 2 or more dimensions are supported"),
        (lambda: init.dirac_(cr.empty(3, 3)), "Only tensors with 3, 4, or 5 dimensions are supported"),
        (lambda: init.dirac_(cr.empty(4, 3, 3), groups=3), "dim 0 must be divisible by groups"),
    ],
)
def test_errors_are_pytorchs(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_empty_weights_are_left_with_a_warning():
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        cr.nn.Linear(0, 3)

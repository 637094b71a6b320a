"""Averages of weights against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


def net(lib):
    rng = np.random.default_rng(0)
    made = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Linear(4, 2)).double()
    for p in made.parameters():
        p.data = lib.tensor(rng.standard_normal(tuple(p.shape)))
    return made


def averages(lib):
    utils = lib.optim.swa_utils
    return [
        {},
        {"use_buffers": True},
        {"avg_fn": utils.get_ema_avg_fn(0.7)},
        {"avg_fn": utils.get_swa_avg_fn()},
        {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.7), "use_buffers": True},
        {"multi_avg_fn": utils.get_swa_multi_avg_fn()},
    ]


@pytest.mark.parametrize("index", range(6))
def test_averages_are_pytorchs(torch, index):
    def run(lib):
        rng, model = np.random.default_rng(1), net(lib)
        average = lib.optim.swa_utils.AveragedModel(model, **averages(lib)[index])
        optimizer = lib.optim.SGD(model.parameters(), lr=0.001)
        for _ in range(4):
            model(lib.tensor(rng.standard_normal((5, 3)))).pow(2).sum().backward()
            optimizer.step()
            average.update_parameters(model)
        return {key: value.numpy() for key, value in average.state_dict().items()}

    ours, theirs = run(cr), run(torch)
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        assert value.dtype == theirs[key].dtype
        np.testing.assert_allclose(value, theirs[key], rtol=1e-9, atol=1e-9)


def test_running_statistics_are_computed_anew(torch):
    def run(lib):
        rng, model = np.random.default_rng(2), net(lib)
        model.eval()
        batches = [lib.tensor(rng.standard_normal((5, 3))) for _ in range(3)]
        lib.optim.swa_utils.update_bn([batches[0], (batches[1], 0), [batches[2]]], model)
        return model[1].running_mean.numpy(), model[1].running_var.numpy(), model[1].momentum, model.training

    (mean, var, *rest), (their_mean, their_var, *theirs) = run(cr), run(torch)
    np.testing.assert_allclose(mean, their_mean, rtol=1e-12)
    np.testing.assert_allclose(var, their_var, rtol=1e-12)
    assert rest == theirs


def test_an_average_has_one_rule():
    utils = cr.optim.swa_utils
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        utils.AveragedModel(net(cr), avg_fn=utils.get_swa_avg_fn(), multi_avg_fn=utils.get_swa_multi_avg_fn())

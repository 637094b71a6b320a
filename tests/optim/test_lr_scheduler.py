"""Schedules against PyTorch's, epoch by epoch."""

from __future__ import annotations

import pytest

import chainrule as cr

SCHEDULES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 1 / (1 + epoch), lambda epoch: 0.5]}),
    ("StepLR", {"step_size": 3, "gamma": 0.2}),
    ("MultiStepLR", {"milestones": [2, 2, 7]}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 7}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.001}),
]


def started(lib, name, options):
    params = [lib.ones(1, requires_grad=True), lib.ones(1, requires_grad=True)]
    optimizer = lib.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1)
    return optimizer, getattr(lib.optim.lr_scheduler, name)(optimizer, **options)


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_rates_are_pytorchs(torch, name, options):
    (ours, a), (theirs, b) = started(cr, name, options), started(torch, name, options)
    for _ in range(17):
        rates = [group["lr"] for group in ours.param_groups]
        assert rates == pytest.approx([group["lr"] for group in theirs.param_groups], rel=1e-12, abs=1e-15)
        assert a.get_last_lr() == rates
        assert a.last_epoch == b.last_epoch
        a.step()
        b.step()


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_a_schedule_goes_on_from_saved_state(name, options):
    first, a = started(cr, name, options)
    for _ in range(4):
        a.step()
    second, b = started(cr, name, options)
    second.load_state_dict(first.state_dict())
    b.load_state_dict(a.state_dict())
    for _ in range(6):
        a.step()
        b.step()
        assert [group["lr"] for group in first.param_groups] == [group["lr"] for group in second.param_groups]


def test_a_rate_that_is_a_tensor_stays_one():
    lr = cr.tensor(0.5, dtype=cr.float64)
    optimizer = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=lr)
    cr.optim.lr_scheduler.ExponentialLR(optimizer, 0.5).step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


def test_errors_are_pytorchs():
    optimizer = cr.optim.SGD([cr.ones(1, requires_grad=True)])
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        cr.optim.lr_scheduler.StepLR(3, 1)
    with pytest.raises(ValueError, match="Expected 1 lr_lambdas, but got 2"):
        cr.optim.lr_scheduler.LambdaLR(optimizer, [abs, abs])
    with pytest.raises(ValueError, match="Starting multiplicative factor expected to be greater than 0"):
        cr.optim.lr_scheduler.LinearLR(optimizer, 0.0)
    with pytest.raises(KeyError, match="param 'initial_lr' is not specified"):
        cr.optim.lr_scheduler.StepLR(optimizer, 1, last_epoch=3)

"""Schedules against PyTorch's, epoch by epoch."""

from __future__ import annotations

from contextlib import nullcontext

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
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 1 - 1 / (2 + epoch)}),
    ("ConstantLR", {"factor": 0.3, "total_iters": 4}),
    ("PolynomialLR", {"total_iters": 6, "power": 1.7}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": [1.0, 0.5], "step_size_up": 3, "step_size_down": 2, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2, "scale_fn": lambda x: 1 / x, "cycle_momentum": False}),
    ("OneCycleLR", {"max_lr": [1.0, 2.0], "total_steps": 17}),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 6, "steps_per_epoch": 3, "anneal_strategy": "linear", "three_phase": True}),
    ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 4}),
    ("SWALR", {"swa_lr": [0.05, 0.7], "anneal_epochs": 0, "anneal_strategy": "linear"}),
    ("warmed up", {}),
    ("chained", {}),
]


def warmed_up(lib, optimizer):
    make = lib.optim.lr_scheduler
    parts = [make.LinearLR(optimizer, 0.1, total_iters=3), make.CosineAnnealingLR(optimizer, 6), make.StepLR(optimizer, 2)]
    return make.SequentialLR(optimizer, parts, [3, 9])


def chained(lib, optimizer):
    make = lib.optim.lr_scheduler
    return make.ChainedScheduler([make.ConstantLR(optimizer, 0.1, 3), make.ExponentialLR(optimizer, 0.9)], optimizer)


def started(lib, name, options, optimizer="SGD"):
    params = [lib.ones(1, requires_grad=True), lib.ones(1, requires_grad=True)]
    given = {"momentum": 0.9} if optimizer == "SGD" else {}
    made = getattr(lib.optim, optimizer)([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1, **given)
    if name in ("warmed up", "chained"):
        return made, (warmed_up if name == "warmed up" else chained)(lib, made)
    return made, getattr(lib.optim.swa_utils if name == "SWALR" else lib.optim.lr_scheduler, name)(made, **options)


def momenta(optimizer):
    return [group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups]


def plain(state):
    """Return a saved state without objects, and with its schedules' states in the place of theirs."""
    if isinstance(state, dict):
        return {k: plain(v) for k, v in state.items() if not callable(v)}
    return [plain(v) for v in state] if isinstance(state, (list, tuple)) else state


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_rates_and_states_are_pytorchs(torch, name, options, optimizer):
    (ours, a), (theirs, b) = (started(lib, name, options, optimizer) for lib in (cr, torch))
    for _ in range(17):
        rates = [group["lr"] for group in ours.param_groups]
        assert rates == pytest.approx([group["lr"] for group in theirs.param_groups], rel=1e-12, abs=1e-15)
        assert momenta(ours) == pytest.approx(momenta(theirs), rel=1e-12)
        assert a.get_last_lr() == rates
        for s in (ours, theirs, a, b):
            s.step()
    assert a.last_epoch == b.last_epoch if name != "chained" else True
    x, y = plain(a.state_dict()), plain(b.state_dict())
    assert set(x) == set(y) - {"_anneal_func"}
    for key in ("_schedulers", "_step_count", "T_cur", "base_lrs"):
        assert str(x.get(key))[:20] == str(y.get(key))[:20]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_a_schedule_goes_on_from_saved_state(name, options):
    first, a = started(cr, name, options)
    for _ in range(4):
        first.step()
        a.step()
    second, b = started(cr, name, options)
    second.load_state_dict(first.state_dict())
    b.load_state_dict(a.state_dict())
    for _ in range(6):
        for s in (first, a, second, b):
            s.step()
        assert [group["lr"] for group in first.param_groups] == [group["lr"] for group in second.param_groups]


@pytest.mark.parametrize(
    ("name", "options"), [case for case in SCHEDULES if case[0] not in ("warmed up", "chained", "OneCycleLR")]
)
def test_an_epoch_can_be_gone_to(torch, name, options):
    (ours, a), (theirs, b) = (started(lib, name, options) for lib in (cr, torch))
    warned = pytest.warns(UserWarning, match="The epoch parameter") if name != "CosineAnnealingWarmRestarts" else nullcontext()
    for s in (ours, theirs):
        s.step()
    for epoch in (7, 3):
        with warned:
            a.step(epoch)
        with warned:
            b.step(epoch)
        assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"mode": "max", "patience": 0, "threshold": 0.3, "cooldown": 1, "factor": 0.5},
        {"threshold_mode": "abs", "patience": 0, "threshold": 0.2, "min_lr": [0.05, 0.01]},
        {"mode": "max", "threshold_mode": "abs", "patience": 1, "min_lr": 0.01, "eps": 0.05},
    ],
)
def test_a_plateau_is_seen_as_pytorch_sees_it(torch, options):
    a, b = (started(lib, "ReduceLROnPlateau", options)[1] for lib in (cr, torch))
    for loss in (1.0, 0.8, 0.9, 0.81, 0.7, 0.7, float("nan"), 0.5, 2.0, 3.0, 3.1, 3.2, 1.0, 1.0, 1.0):
        a.step(cr.tensor(loss))
        b.step(torch.tensor(loss))
        assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-12)
    x, y = a.state_dict(), b.state_dict()
    assert set(x) == set(y)
    assert x["num_bad_epochs"] == y["num_bad_epochs"]
    c = started(cr, "ReduceLROnPlateau", options)[1]
    c.load_state_dict(x)
    assert c.best == a.best


def test_a_schedule_of_schedules_may_be_one_of_the_schedules():
    make = cr.optim.lr_scheduler
    optimizer = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=1.0)
    inner = make.SequentialLR(optimizer, [make.ConstantLR(optimizer, 0.5, 9), make.ConstantLR(optimizer, 0.25, 9)], [2])
    schedule = make.SequentialLR(optimizer, [make.ConstantLR(optimizer, 0.125, 9), inner], [1])
    seen = schedule.get_last_lr()
    for _ in range(4):
        optimizer.step()
        schedule.step()
        seen += schedule.get_last_lr()
    assert seen == [0.125, 0.5, 0.5, 0.25, 0.25]


def test_steps_in_the_wrong_order_and_rates_out_of_place_warn():
    optimizer = cr.optim.SGD([cr.ones(1, requires_grad=True)])
    schedule = cr.optim.lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step"):
        schedule.step()
    schedule.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        schedule.get_lr()


def bad_calls(lib):
    make, p = lib.optim.lr_scheduler, lib.ones(1, requires_grad=True)
    sgd, other = lib.optim.SGD([p], momentum=0.9), lib.optim.SGD([p], momentum=0.9)
    return [
        lambda: make.ConstantLR(sgd, 2),
        lambda: make.CosineAnnealingWarmRestarts(sgd, 0),
        lambda: make.CosineAnnealingWarmRestarts(sgd, 1, 0),
        lambda: make.CosineAnnealingWarmRestarts(sgd, 1, 1, "a"),
        lambda: make.CosineAnnealingWarmRestarts(sgd, 1).step(-1),
        lambda: make.CyclicLR(sgd, 0.1, 1, mode="x"),
        lambda: make.CyclicLR(lib.optim.Rprop([p]), 0.1, 1),
        lambda: make.CyclicLR(sgd, [0.1, 0.2], 1),
        lambda: make.OneCycleLR(sgd, 1.0),
        lambda: make.OneCycleLR(sgd, 1.0, -3),
        lambda: make.OneCycleLR(sgd, 1.0, 10, pct_start=2),
        lambda: make.OneCycleLR(sgd, 1.0, 10, anneal_strategy="x"),
        lambda: make.OneCycleLR(sgd, 1.0, epochs=0, steps_per_epoch=1),
        lambda: make.OneCycleLR(sgd, 1.0, epochs=1, steps_per_epoch=-1),
        lambda: make.OneCycleLR(lib.optim.Rprop([p]), 1.0, 10),
        lambda: make.SequentialLR(other, [make.ConstantLR(sgd)], []),
        lambda: make.SequentialLR(sgd, [make.ConstantLR(sgd)], [1]),
        lambda: make.SequentialLR(sgd, [], [1]),
        lambda: make.SequentialLR(sgd, [3], []),
        lambda: make.SequentialLR(sgd, [make.ReduceLROnPlateau(sgd)], []),
        lambda: make.ChainedScheduler([]),
        lambda: make.ChainedScheduler([make.ConstantLR(sgd), make.ConstantLR(other)]),
        lambda: make.ReduceLROnPlateau(sgd, factor=1.0),
        lambda: make.ReduceLROnPlateau(sgd, mode="x"),
        lambda: make.ReduceLROnPlateau(sgd, threshold_mode="x"),
        lambda: make.ReduceLROnPlateau(3),
        lambda: make.ReduceLROnPlateau(sgd, min_lr=[1, 2]),
        lambda: make.MultiplicativeLR(sgd, [abs, abs]),
        lambda: lib.optim.swa_utils.SWALR(sgd, 0.1, anneal_strategy="x"),
        lambda: lib.optim.swa_utils.SWALR(sgd, 0.1, -1),
        lambda: lib.optim.swa_utils.get_ema_avg_fn(2.0),
    ]


@pytest.mark.parametrize("index", range(31))
def test_bad_arguments_raise_pytorchs_errors(torch, index):
    with pytest.raises(Exception) as theirs:
        bad_calls(torch)[index]()
    with pytest.raises(theirs.type) as ours:
        bad_calls(cr)[index]()
    assert str(ours.value)[:90] == str(theirs.value)[:90]


def test_a_rate_that_is_a_tensor_stays_one():
    lr = cr.tensor(0.5, dtype=cr.float64)
    optimizer = cr.optim.SGD([cr.ones(1, requires_grad=True)], lr=lr)
    schedule = cr.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step()
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


def test_what_a_program_puts_for_the_reduction_of_a_plateau_is_called(torch):
    for library in (torch, cr):
        lone = library.nn.Parameter(library.ones(1))
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(library.optim.SGD([lone], lr=1.0), patience=0)
        epochs = []
        scheduler._reduce_lr = epochs.append
        for loss in (1.0, 1.0, 0.5, 0.5):
            scheduler.step(loss)
        assert epochs == [2, 4]
        assert scheduler.get_last_lr() == [1.0]


def test_the_first_rates_are_set_by_a_subclasss_own_step(torch):
    for library in (torch, cr):

        class Halved(library.optim.lr_scheduler.LRScheduler):
            def step(self, epoch=None):
                self.last_epoch += 1
                for group in self.optimizer.param_groups:
                    group["lr"] = 0.5**self.last_epoch
                self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

        scheduler = Halved(library.optim.SGD([library.nn.Parameter(library.ones(1))], lr=3.0))
        assert scheduler.get_last_lr() == [1.0]
        scheduler.step()
        assert (scheduler.get_last_lr(), scheduler.last_epoch) == ([0.5], 1)


def test_an_optimizer_that_skips_its_bases_init_steps_with_hooks(torch):
    for library in (torch, cr):

        class Wrapper(library.optim.Optimizer):
            def __init__(self, inner):
                self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = {}, {}
                self._patch_step_function()
                self.inner = inner

            def step(self, closure=None):
                self.inner.step(closure)

        lone = library.nn.Parameter(library.ones(1))
        lone.grad = library.ones(1)
        Wrapper(library.optim.SGD([lone], lr=1.0)).step()
        assert lone.item() == 0

"""Scaling losses as PyTorch does, step by step."""

from __future__ import annotations

import pickle

import pytest
from tests.oracle import outcome

import chainrule as cr


def fresh(lib, **options):
    w = lib.arange(3.0).requires_grad_()
    options = {"init_scale": 8.0, "growth_interval": 2, **options}
    return w, lib.optim.SGD([w], lr=0.5, momentum=0.5), lib.amp.GradScaler("cpu", **options)


def train(lib, losses):
    """Return what the scale, its state and the parameters are after each step."""
    w, optimizer, scaler = fresh(lib)
    seen = []
    for factor in losses:
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        result = scaler.step(optimizer)
        scaler.update()
        seen.append([w.tolist(), w.grad.tolist(), result, scaler.get_scale(), scaler.state_dict()])
    return seen


def unscaled(lib):
    w, optimizer, scaler = fresh(lib)
    scaler.scale((w * w).sum()).backward()
    scaler.unscale_(optimizer)
    norm = lib.nn.utils.clip_grad_norm_([w], 1.0)
    scaler.step(optimizer)
    scaler.update()
    return [norm.item(), w.tolist()]


def set_scale(lib):
    w, _, scaler = fresh(lib)
    scaled = scaler.scale([w.sum(), (w.sum(), w.prod())])
    scaler.update(4.0)
    given = scaler.get_scale()
    scaler.update(lib.tensor(16.0))
    return [
        scaled[0].item(),
        [t.item() for t in scaled[1]],
        given,
        scaler.get_scale(),
        [t.item() for t in scaler.scale(iter([w[0]]))],
    ]


def restored(lib):
    w, optimizer, scaler = fresh(lib)
    state = {"scale": 3.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 9, "_growth_tracker": 8}
    scaler.load_state_dict(state)
    before = scaler.state_dict()
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    again = pickle.loads(pickle.dumps(scaler))
    settings = [scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()]
    scaler.load_state_dict(state)
    return [before, again.state_dict(), settings, scaler.state_dict(), scaler.is_enabled()]


def two_optimizers(lib):
    w, optimizer, scaler = fresh(lib)
    v = lib.ones(2).requires_grad_()
    other = lib.optim.SGD([v], lr=0.5)
    scaler.scale(w.sum() + v.sum()).backward()
    w.grad[1] = lib.inf
    scaler.step(optimizer), scaler.step(other)
    scaler.update()
    return [w.tolist(), v.tolist(), scaler.get_scale()]


def own_scaling(lib):
    seen = []

    class Own(lib.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self):
            seen.append([self.grad_scale and self.grad_scale.item(), self.found_inf.item()])

    w, _, scaler = fresh(lib)
    optimizer = Own([w], lr=0.5)
    for unscale in (False, True):
        scaler.scale(w.sum()).backward()
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    return [seen, hasattr(optimizer, "grad_scale")]


def overflow_of_the_scale(lib):
    w, optimizer, scaler = fresh(lib, init_scale=3e38, growth_interval=1)
    scaler.scale((w * 1e-30).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return scaler.get_scale()


def twice(method):
    def program(lib):
        w, optimizer, scaler = fresh(lib)
        scaler.scale(w.sum()).backward()
        getattr(scaler, method)(optimizer)
        getattr(scaler, method)(optimizer)

    return program


def after_step(lib):
    w, optimizer, scaler = fresh(lib)
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def pickled_midway(lib):
    w, optimizer, scaler = fresh(lib)
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    pickle.dumps(scaler)


def half(lib):
    w = lib.ones(2, dtype=lib.float16).requires_grad_()
    scaler = lib.amp.GradScaler("cpu")
    scaler.scale(w.sum()).backward()
    scaler.unscale_(lib.optim.SGD([w]))


def without_gradients(lib):
    w, optimizer, scaler = fresh(lib)
    scaler.scale(w.sum())
    scaler.step(optimizer)


PROGRAMS = {
    "steps": lambda lib: train(lib, [1.0, 2.0, float("inf"), 1.0, 1.0, 1.0, float("nan")]),
    "unscaled": unscaled,
    "set": set_scale,
    "restored": restored,
    "two optimizers": two_optimizers,
    "own scaling": own_scaling,
    "overflow": overflow_of_the_scale,
    "disabled": lambda lib: [s := lib.amp.GradScaler("cpu", enabled=False), s.state_dict(), s.get_scale(), s.scale(3)][1:],
    "cuda": lambda lib: lib.amp.GradScaler().is_enabled(),
    "refused scale": lambda lib: fresh(lib)[2].update(4.0),
    "growth": lambda lib: fresh(lib, growth_factor=1.0),
    "backoff": lambda lib: fresh(lib, backoff_factor=1.0),
    "nothing scaled": lambda lib: fresh(lib)[2].step(fresh(lib)[1]),
    "nothing scaled before update": lambda lib: fresh(lib)[2].update(),
    "no tensor": lambda lib: fresh(lib)[2].scale(3),
    "closure": lambda lib: fresh(lib)[2].step(fresh(lib)[1], closure=lambda: 0),
    "stepped twice": twice("step"),
    "unscaled twice": twice("unscale_"),
    "unscaled after the step": after_step,
    "pickled midway": pickled_midway,
    "empty state": lambda lib: fresh(lib)[2].load_state_dict({}),
    "float16": half,
    "no gradients": without_gradients,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_pytorchs_does(name):
    torch = pytest.importorskip("torch")
    (ours, told), (theirs, warned) = outcome(cr, PROGRAMS[name]), outcome(torch, PROGRAMS[name])
    assert repr(ours) == repr(theirs)
    assert told == warned


def test_a_narrow_network_trains_under_autocast():
    cr.manual_seed(0)
    model = cr.nn.Sequential(cr.nn.Linear(4, 16), cr.nn.ReLU(), cr.nn.Linear(16, 1))
    optimizer, scaler = cr.optim.Adam(model.parameters(), lr=0.02), cr.amp.GradScaler("cpu")
    x = cr.randn(64, 4)
    y = x.sum(1, keepdim=True)
    losses = []
    for _ in range(60):
        with cr.autocast("cpu", dtype=cr.float16):
            loss = cr.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert {p.grad.dtype for p in model.parameters()} == {cr.float32}

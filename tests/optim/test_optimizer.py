"""The optimizers' common part against PyTorch's: groups, saving, loading, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr


def leaf(lib, n=2):
    return lib.ones(n, requires_grad=True)


def bad_calls(lib):
    optim = lib.optim
    p = leaf(lib)
    return [
        lambda: optim.SGD([]),
        lambda: optim.SGD(p),
        lambda: optim.SGD([3]),
        lambda: optim.SGD([p * 2]),
        lambda: optim.SGD([{"params": {p}}]),
        lambda: optim.SGD([{"params": [p]}, {"params": [p]}]),
        lambda: optim.SGD([("a", p), leaf(lib)]),
        lambda: optim.SGD([("a", p)]).add_param_group({"params": [leaf(lib)]}),
        lambda: optim.SGD([p]).add_param_group([leaf(lib)]),
        lambda: optim.SGD([p], lr=-1),
        lambda: optim.SGD([p], momentum=-1),
        lambda: optim.SGD([p], weight_decay=-1),
        lambda: optim.SGD([p], nesterov=True),
        lambda: optim.SGD([p], lr=lib.ones(2)),
        lambda: optim.Adam([p], lr=-1),
        lambda: optim.Adam([p], eps=-1),
        lambda: optim.Adam([p], betas=(1.0, 0.5)),
        lambda: optim.Adam([p], betas=(0.5, -1.0)),
        lambda: optim.Adam([p], betas=(0, 0.5)),
        lambda: optim.Adam([p], weight_decay=-1),
        lambda: optim.AdamW([p], lr=-0.5),
        lambda: optim.Adadelta([p], rho=2),
        lambda: optim.Adadelta([p], eps=-1),
        lambda: optim.Adagrad([p], lr_decay=-1),
        lambda: optim.Adagrad([p], initial_accumulator_value=-1),
        lambda: optim.Adamax([p], betas=(2, 0.1)),
        lambda: optim.NAdam([p], momentum_decay=-1),
        lambda: optim.RMSprop([p], momentum=-1),
        lambda: optim.RMSprop([p], alpha=-1),
        lambda: optim.Rprop([p], etas=(1, 0.5)),
        lambda: optim.ASGD([p], weight_decay=-1),
        lambda: optim.LBFGS([{"params": [p]}, {"params": [leaf(lib)]}]),
        lambda: optim.Muon([p]),
        lambda: optim.Muon([leaf(lib, (2, 2))], momentum=-1),
        lambda: optim.Muon([leaf(lib, (2, 2))], adjust_lr_fn="x"),
        lambda: optim.Muon([leaf(lib, (2, 2))], lr=-1),
        lambda: optim.Muon([leaf(lib, (2, 2))], weight_decay=-1),
        lambda: optim.Muon([leaf(lib, (2, 2))], lr=lib.ones(2)),
        lambda: optim.Adafactor([p], eps=(-1, 1)),
        lambda: optim.Adafactor([p], eps=(None, -1)),
        lambda: optim.Adafactor([p], beta2_decay=1),
        lambda: optim.Adafactor([p], d=0.5),
        lambda: optim.Adafactor([p], weight_decay=-1),
        lambda: optim.SGD([p], fused=True, foreach=True),
        lambda: optim.SGD([p], fused=True, differentiable=True),
        lambda: optim.Adam([p], fused=True, foreach=True),
        lambda: optim.Adagrad([p], fused=True, differentiable=True),
        lambda: optim.SGD([p]).load_state_dict(optim.SGD([{"params": [leaf(lib)]}, {"params": [leaf(lib)]}]).state_dict()),
        lambda: optim.SGD([p]).load_state_dict(optim.SGD([leaf(lib), leaf(lib)]).state_dict()),
        lambda: optim.Optimizer([p], {}).step(),
    ]


@pytest.mark.parametrize("index", range(50))
def test_errors_are_pytorchs(torch, index):
    with pytest.raises(Exception) as theirs:
        bad_calls(torch)[index]()
    with pytest.raises(theirs.type) as ours:
        bad_calls(cr)[index]()
    assert str(ours.value) == str(theirs.value).replace("torch.", "chainrule.")


def test_graphs_of_cuda_are_refused():
    with pytest.raises(RuntimeError, match="capturable=True is for graphs of CUDA"):
        cr.optim.Adam([leaf(cr)], capturable=True)


def test_a_parameter_twice_in_a_group_warns():
    p = leaf(cr)
    with pytest.warns(UserWarning, match="parameter group with duplicate parameters"):
        cr.optim.SGD([p, p])


def trained(name, steps, params, **options):
    optimizer = getattr(cr.optim, name)(params, **options)
    run(optimizer, steps)
    return optimizer


def run(optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2).sum() for group in optimizer.param_groups for p in group["params"]).backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "options"), [("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {})])
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_training_goes_on_from_saved_state(name, options, way):
    p = leaf(cr)
    first = trained(name, 3, [p], **options)
    if way == "state_dict":
        q = p.detach().clone().requires_grad_()
        second = getattr(cr.optim, name)([q], lr=0.5)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
    else:
        second = pickle.loads(pickle.dumps(first)) if way == "pickle" else copy.deepcopy(first)
        (q,) = second.param_groups[0]["params"]
        assert q is not p
        assert list(second.state) == [q]
    run(first, 2)
    assert (p != q).all()
    run(second, 2)
    assert (p == q).all()


def loading(lib, dtype, in_single):
    """Return what an Adam shares with the state that it loaded, its dtypes, and that state after a step of it."""
    p = leaf(lib)
    q = lib.ones(2, dtype=getattr(lib, dtype), requires_grad=True)
    first, second = lib.optim.Adam([p]), lib.optim.Adam([q])
    run(first, 1)
    saved = first.state_dict()
    saved["state"][0].update(step=saved["state"][0]["step"].double(), list=[lib.ones(2)], name=None)
    saved["param_groups"][0]["capturable"] = in_single
    second.load_state_dict(saved)
    names = ("step", "exp_avg", "exp_avg_sq")
    loaded, given = second.state[q], saved["state"][0]
    found = {name: (loaded[name] is given[name], str(loaded[name].dtype).rpartition(".")[2]) for name in names}
    found["list"] = loaded["list"] is given["list"], loaded["list"][0] is given["list"][0]
    second.param_groups[0]["capturable"] = False
    run(second, 1)
    return found, [given[name].tolist() for name in names], saved["param_groups"][0]["lr"], second.param_groups[0] is saved


@pytest.mark.parametrize("in_single", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loaded_state_is_shared_and_in_the_parameters_dtype(dtype, in_single):
    torch = pytest.importorskip("torch")
    (ours, values, *rest), (theirs, expected, *others) = [loading(lib, dtype, in_single) for lib in (cr, torch)]
    assert ours == theirs
    assert rest == others
    for a, b in zip(values, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_zero_grad_drops_or_fills():
    p = leaf(cr)
    optimizer = cr.optim.SGD([p])
    (p * p).sum().backward()
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad
    assert (grad == 0).all()
    optimizer.zero_grad()
    assert p.grad is None


def test_named_parameters_are_kept_in_the_groups(torch):
    def names(lib):
        net = lib.nn.Linear(2, 1)
        return lib.optim.SGD(net.named_parameters()).state_dict()["param_groups"]

    assert names(cr) == names(torch)


def test_a_group_added_later_is_trained_with_its_options():
    p, q = leaf(cr), leaf(cr)
    optimizer = cr.optim.SGD([p], lr=0.1)
    optimizer.add_param_group({"params": q, "lr": 0.2})
    run(optimizer, 1)
    np.testing.assert_allclose([p[0].item(), q[0].item()], [0.8, 0.6], rtol=1e-6)


def test_hooks_stand_around_steps_and_states():
    p, seen = leaf(cr), []
    optimizer = cr.optim.SGD([p], lr=0.1)

    def note(what, result=None):
        return lambda *given: seen.append(what) or result

    handles = [
        cr.optim.optimizer.register_optimizer_step_pre_hook(note("before any")),
        cr.optim.optimizer.register_optimizer_step_post_hook(note("after any")),
        optimizer.register_step_pre_hook(note("before", ((lambda: 7,), {}))),
        optimizer.register_step_post_hook(note("after")),
        optimizer.register_state_dict_pre_hook(note("saving")),
        optimizer.register_state_dict_post_hook(note("saved")),
        optimizer.register_state_dict_post_hook(note("saved first"), prepend=True),
        optimizer.register_load_state_dict_pre_hook(note("loading")),
        optimizer.register_load_state_dict_post_hook(note("loaded")),
    ]
    assert optimizer.step() == 7
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before any", "before", "after", "after any", "saving", "saved first", "saved", "loading", "loaded"]
    for handle in handles:
        handle.remove()
    assert optimizer.step() is None
    assert len(seen) == 9
    optimizer.register_step_pre_hook(lambda *given: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\)"):
        optimizer.step()


def test_hooks_stand_around_the_steps_of_users_optimizers_once():
    class Inner(cr.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    seen = []
    optimizer = Inner([leaf(cr)], lr=0.1)
    optimizer.register_step_post_hook(lambda *given: seen.append(1))
    optimizer.step()
    assert seen == [1]

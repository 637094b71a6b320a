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
        lambda: optim.SGD([p]).load_state_dict(optim.SGD([{"params": [leaf(lib)]}, {"params": [leaf(lib)]}]).state_dict()),
        lambda: optim.SGD([p]).load_state_dict(optim.SGD([leaf(lib), leaf(lib)]).state_dict()),
        lambda: optim.Optimizer([p], {}).step(),
    ]


@pytest.mark.parametrize("index", range(24))
def test_errors_are_pytorchs(torch, index):
    with pytest.raises(Exception) as theirs:
        bad_calls(torch)[index]()
    with pytest.raises(theirs.type) as ours:
        bad_calls(cr)[index]()
    assert str(ours.value) == str(theirs.value).replace("torch.", "chainrule.")


@pytest.mark.parametrize("option", ["foreach", "fused", "capturable", "differentiable"])
def test_options_that_choose_an_implementation_are_refused(option):
    p = leaf(cr)
    with pytest.raises(RuntimeError, match=f"{option}=True is not available"):
        cr.optim.Adam([p], **{option: True})
    cr.optim.Adam([p], **{option: False})


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


def test_loaded_state_is_a_copy_in_the_parameters_dtype():
    first = trained("Adam", 1, [leaf(cr)])
    q = cr.ones(2, dtype=cr.float64, requires_grad=True)
    second = cr.optim.Adam([q])
    second.load_state_dict(first.state_dict())
    assert second.state[q]["exp_avg"].dtype is cr.float64
    assert second.state[q]["step"].dtype is cr.float32
    run(second, 1)
    assert first.state_dict()["state"][0]["step"].item() == 1


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

"""Each optimizer against PyTorch's, step by step: same parameters, same gradients, same path."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

SETTINGS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True, "weight_decay": 0.1}),
    ("SGD", {"maximize": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "eps": 1e-3}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"maximize": True, "weight_decay": 0.1}),
    ("Adam", {"betas": (0.3, 0.5)}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.2}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3, "amsgrad": True, "maximize": True}),
]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "complex64": 2e-6, "complex128": 1e-14}
FAST = {"float32", "complex128"}


def draw(rng, shape, dtype):
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return np.asarray(values).astype(dtype)


@pytest.mark.parametrize("dtype", [pytest.param(d, marks=() if d in FAST else pytest.mark.slow) for d in TOLERANCE])
@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_path_and_state_are_pytorchs(torch, name, options, dtype):
    rng = np.random.default_rng(0)
    values = [draw(rng, shape, dtype) for shape in [(3, 2), (), (40_000,), (0,)]]
    ours = [cr.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]

    def optimizer(lib, params):
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
        return getattr(lib.optim, name)(groups, lr=0.01, **options)

    a, b = optimizer(cr, ours), optimizer(torch, theirs)
    for step in range(12):
        for p, q in zip(ours, theirs, strict=True):
            g = draw(rng, p.shape, dtype)
            p.grad, q.grad = cr.tensor(g), torch.tensor(g)
        if step % 5 == 2:
            ours[1].grad = theirs[1].grad = None
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            found, wanted = p.detach().numpy(), q.detach().numpy()
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert repr(a) == repr(b)
    x, y = a.state_dict(), b.state_dict()
    assert x["param_groups"] == y["param_groups"]
    assert list(x["state"]) == list(y["state"])
    for i, state in x["state"].items():
        assert list(state) == list(y["state"][i])
        for key, value in state.items():
            wanted = y["state"][i][key].numpy()
            assert value.numpy().dtype == wanted.dtype
            np.testing.assert_allclose(value.numpy(), wanted, rtol=10 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("layout", ["transposed", "strided", "scalar payload"])
def test_memory_that_is_not_contiguous_is_updated_in_place(name, layout):
    base = np.arange(12.0).reshape(3, 4)
    given = {"transposed": base.T, "strided": base[:, ::2], "scalar payload": None}[layout]
    p = cr.tensor(2.0) * 1 if given is None else cr.from_numpy(given)
    p.requires_grad_()
    plain = p.detach().clone().requires_grad_()
    for x in (p, plain):
        x.grad = cr.ones_like(x).detach()
        optimizer = getattr(cr.optim, name)([x], lr=0.1)
        optimizer.step()
        optimizer.step()
    assert (p == plain).all()
    if given is not None:
        assert (p.detach().numpy() == given).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_narrow_floats_keep_their_dtype(name, dtype):
    p = cr.ones(3, dtype=getattr(cr, dtype), requires_grad=True)
    p.grad = cr.ones(3, dtype=getattr(cr, dtype))
    getattr(cr.optim, name)([p], lr=0.5, weight_decay=0.0).step()
    assert p.dtype is getattr(cr, dtype)
    np.testing.assert_allclose(p.detach().double().numpy(), 0.5, rtol=1e-2)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_step_is_seen_by_the_version_counter(name):
    p = cr.ones(3, requires_grad=True)
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    before = p._version
    getattr(cr.optim, name)([p], lr=0.1).step()
    assert p._version == before + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_closure_is_recorded_and_its_value_returned():
    p = cr.ones(3, requires_grad=True)
    optimizer = cr.optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with cr.no_grad():
        assert optimizer.step(closure).item() == 3.0
    assert p.is_leaf
    np.testing.assert_allclose(p.detach().numpy(), 0.8, rtol=1e-6)


def test_a_learning_rate_may_be_a_tensor():
    p, q = cr.ones(2, requires_grad=True), cr.ones(2, requires_grad=True)
    for x, lr in ((p, 0.5), (q, cr.tensor(0.5))):
        x.grad = cr.ones(2)
        cr.optim.Adam([x], lr=lr).step()
    assert (p == q).all()


@pytest.mark.slow
def test_a_thousand_steps_stay_on_pytorchs_path(torch):
    rng = np.random.default_rng(3)
    start = rng.standard_normal(50)
    for name, options in SETTINGS[1:3] + SETTINGS[5:8]:
        p, q = cr.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
        a = getattr(cr.optim, name)([p], lr=0.01, **options)
        b = getattr(torch.optim, name)([q], lr=0.01, **options)
        for _ in range(1000):
            for x, optimizer in ((p, a), (q, b)):
                optimizer.zero_grad()
                ((x**4) / 4 - x**2 + 0.1 * x).sum().backward()
                optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-9)

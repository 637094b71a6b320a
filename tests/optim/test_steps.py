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
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-2, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.7), "eps": 1e-2, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "betas": (0.5, 0.7)}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "eps": 1e-2}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-2}),
    ("RMSprop", {"centered": True, "weight_decay": 0.1, "maximize": True, "alpha": 0.5, "eps": 1e-2}),
    ("RMSprop", {"momentum": 0.5}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.7), "step_sizes": (1e-3, 0.02), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"t0": 3.0, "lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1, "maximize": True}),
]
ELEMENTWISE = ["SGD", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD"]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "complex64": 2e-6, "complex128": 1e-14}
FAST = {"float32"}


def draw(rng, shape, dtype):
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return np.asarray(values).astype(dtype)


@pytest.mark.parametrize("dtype", [pytest.param(d, marks=() if d in FAST else pytest.mark.slow) for d in TOLERANCE])
@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_path_and_state_are_pytorchs(torch, name, options, dtype):
    rng = np.random.default_rng(0)
    values = [draw(rng, shape, dtype) for shape in [(3, 2), (), (33_000,), (0,)]]
    ours = [cr.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]

    def optimizer(lib, params):
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
        return getattr(lib.optim, name)(groups, lr=0.01, **options)

    a, b = optimizer(cr, ours), optimizer(torch, theirs)
    for step in range(8):
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


@pytest.mark.parametrize("name", ELEMENTWISE)
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
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Rprop", "Adafactor"])
def test_narrow_floats_keep_their_dtype(name, dtype):
    p = cr.ones(3, dtype=getattr(cr, dtype), requires_grad=True)
    p.grad = cr.ones(3, dtype=getattr(cr, dtype))
    kinds = {getattr(cr, dtype), cr.float32}
    optimizer = getattr(cr.optim, name)([p], lr=0.5)
    optimizer.step()
    assert p.dtype is getattr(cr, dtype)
    assert {t.dtype for t in optimizer.state[p].values()} <= kinds
    wanted = {"RMSprop": -4.0, "AdamW": 0.495}.get(name, 0.5)
    np.testing.assert_allclose(p.detach().double().numpy(), wanted, rtol=1e-2)


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


@pytest.mark.parametrize(("name", "options"), SETTINGS)
@pytest.mark.parametrize("dtype", ["float64", pytest.param("complex128", marks=pytest.mark.slow)])
def test_a_recorded_step_is_the_step_and_its_gradients_are_those_of_the_plain_one(name, options, dtype):
    rng = np.random.default_rng(1)
    values = [draw(rng, 3, dtype), *(draw(rng, 3, dtype) for _ in range(3))]

    def run(lr, values, differentiable):
        start, *grads = (cr.tensor(v, requires_grad=differentiable) for v in values)
        p = start.clone() if differentiable else start
        lr = cr.tensor(lr, dtype=cr.float64, requires_grad=True) if differentiable else lr
        optimizer = getattr(cr.optim, name)([p], lr=lr, differentiable=differentiable, **options)
        for g in grads:
            p.grad = g
            optimizer.step()
        loss = (p.real**2).sum() + (p.imag.sum() if p.is_complex() else 0)
        return p, loss, [lr, start, *grads]

    def plain(lr, values):
        return run(lr, values, False)[1].item()

    p, loss, leaves = run(0.01, values, True)
    np.testing.assert_allclose(p.detach().numpy(), run(0.01, values, False)[0].detach().numpy(), rtol=1e-13)
    of_lr, *of_values = (np.zeros(()) if g is None else g.numpy() for g in cr.autograd.grad(loss, leaves, allow_unused=True))
    h = 1e-6
    if name not in ("Rprop", "ASGD"):  # whose rates are kept as numbers, so that the rate is not on the record
        np.testing.assert_allclose(of_lr, (plain(0.01 + h, values) - plain(0.01 - h, values)) / (2 * h), rtol=1e-5, atol=1e-7)
    for i, g in enumerate(of_values):
        d = draw(rng, 3, dtype)
        up, down = ([*values[:i], values[i] + s * h * d, *values[i + 1 :]] for s in (1, -1))
        wanted = (plain(0.01, up) - plain(0.01, down)) / (2 * h)
        np.testing.assert_allclose((g.conj() * d).real.sum(), wanted, rtol=1e-5, atol=1e-8)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-3},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 5},
        {"line_search_fn": "strong_wolfe", "lr": 2.0, "max_eval": 12},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 10.0},
        {"lr": 1e-3, "tolerance_change": 0.1},
    ],
)
def test_lbfgs_takes_pytorchs_path(torch, options):
    def run(lib):
        a, b = (lib.tensor(v, dtype=lib.float64, requires_grad=True) for v in (np.linspace(-2, 2, 6).reshape(2, 3), [0.5, 1.5]))
        optimizer = lib.optim.LBFGS([a, b], **options)

        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(lib.cat([a.reshape(-1), b]))
            loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(3)]
        state = optimizer.state[a]
        return (
            losses,
            np.concatenate([a.detach().numpy().ravel(), b.detach().numpy()]),
            state["n_iter"],
            state["func_evals"],
            set(state),
        )

    ours, theirs = run(cr), run(torch)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5)
    assert ours[2:] == theirs[2:]


def test_lbfgs_steps_complex_parameters_and_needs_a_closure():
    z = cr.tensor([1 + 2j, -3j], requires_grad=True)
    optimizer = cr.optim.LBFGS([z], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((z - (2 - 1j)).abs() ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(z.detach().numpy(), 2 - 1j, rtol=1e-4)
    with pytest.raises(RuntimeError, match="LBFGS needs a closure"):
        optimizer.step()
    optimizer.param_groups[0]["line_search_fn"] = "golden"
    z.detach().fill_(0)
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(closure)


@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("Adafactor", [(5, 7), (4,), (), (2, 3, 4)], {}),
        ("Adafactor", [(5, 7), (4,), (), (2, 3, 4)], {"weight_decay": 0.1, "maximize": True, "d": 2.0}),
        ("Adafactor", [(5, 7), (4,), (), (2, 3, 4)], {"eps": (1e-3, 0.1), "beta2_decay": -0.5}),
        ("Muon", [(5, 7), (8, 3)], {}),
        ("Muon", [(5, 7), (8, 3)], {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}),
    ],
)
def test_steps_of_matrices_are_pytorchs(torch, name, shapes, options):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape) for shape in shapes]
    ours = [cr.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    a, b = getattr(cr.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    narrow = 2e-3 if name == "Muon" else 1e-13  # PyTorch's Muon iterates in bfloat16
    for _ in range(12):
        for p, q in zip(ours, theirs, strict=True):
            g = rng.standard_normal(p.shape)
            p.grad, q.grad = cr.tensor(g), torch.tensor(g)
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=narrow, atol=narrow)
        assert list(a.state[p]) == list(b.state[q])
        for key, value in a.state[p].items():
            np.testing.assert_allclose(value.numpy(), b.state[q][key].numpy(), rtol=1e-12)
    assert repr(a) == repr(b)

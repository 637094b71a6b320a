"""The short way of a call gives way to the long one wherever something differs that the long one heeds."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.shortcut import REFUSED
from chainrule.core.types.tree import tree_flatten

pytest.importorskip("llvmlite")
SCALE = [2.0]


def f(x, y):
    return (x * y).sin() if x.sum() > 0 else x - y * SCALE[0]


@pytest.fixture
def run():
    made = cr.compile(f)
    for _ in range(4):
        made(cr.ones(3), cr.ones(3))
    assert made._short is not None
    return made


def same(run, *args):
    found, expected = run(*args), f(*args)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6)
    assert (found.dtype, found.shape, found.requires_grad) == (expected.dtype, expected.shape, expected.requires_grad)


def test_it_serves_what_it_was_made_for(run):
    for _ in range(3):
        same(run, cr.ones(3), cr.full((3,), 2.0))
        assert run._short((cr.ones(3), cr.ones(3)), {}) is not REFUSED


@pytest.mark.parametrize(
    "args",
    [
        (cr.ones(4), cr.ones(4)), (cr.ones(3, dtype=cr.float64), cr.ones(3)), (cr.ones(3), 2.0), (-cr.ones(3), cr.ones(3)),
        (cr.ones(6)[::2], cr.ones(3)), (cr.ones(3, requires_grad=True), cr.ones(3)), (cr.ones(()), cr.ones(3)),
        (cr.nn.Parameter(cr.ones(3), requires_grad=False), cr.ones(3)), (cr.ones(2, 3), cr.ones(3)),
    ],
)  # fmt: skip
def test_other_arguments(run, args):
    for _ in range(3):
        same(run, *args)
        same(run, cr.ones(3), cr.ones(3))


def test_keywords_and_wrong_counts(run):
    np.testing.assert_allclose(run(cr.ones(3), y=cr.ones(3)).numpy(), f(cr.ones(3), cr.ones(3)).numpy())
    with pytest.raises(TypeError):
        run(cr.ones(3))
    with pytest.raises(TypeError):
        run(cr.ones(3), cr.ones(3), cr.ones(3))


def test_modes_transforms_and_stances(run):
    with cr.no_grad():
        same(run, cr.ones(3), cr.ones(3))
        same(run, cr.ones(3, requires_grad=True), cr.ones(3))
    with cr.inference_mode():
        assert run(cr.ones(3), cr.ones(3)).is_inference()
    x = cr.ones(3)
    for _ in range(3):
        found, expected = (cr.func.jvp(g, (x, x), (x, x))[1] for g in (run, f))
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    for _ in range(3):
        same(run, x, cr.ones(3))
    with cr.compiler.set_stance("force_eager"):
        assert run._short((x, cr.ones(3)), {}) is REFUSED
    with cr.enable_grad():
        same(run, x, x)


def test_state_of_python_that_changes(run):
    same(run, -cr.ones(3), cr.ones(3))
    same(run, -cr.ones(3), cr.ones(3))
    same(run, -cr.ones(3), cr.ones(3))
    SCALE[0] = 3.0
    try:
        same(run, -cr.ones(3), cr.ones(3))
        same(run, cr.ones(3), cr.ones(3))
    finally:
        SCALE[0] = 2.0


def test_results_as_the_function_puts_them_together():
    for g in (lambda x: (x + 1, x * 2), lambda x: {"a": [x + 1], "b": x * 2}, lambda x: [x.exp()], lambda x: (x, x + 1)):
        made = cr.compile(g)
        for _ in range(5):
            found, expected = made(cr.ones(2)), g(cr.ones(2))
            assert repr(found) == repr(expected)


@pytest.mark.parametrize("form", [list, tuple])
def test_lists_and_tuples_of_tensors(form):
    def g(params, data, scale):
        (a, b), (x,) = params, data
        return (a * x + b) * scale, a.sum()

    run, scale = cr.compile(g), cr.full((), 2.0)
    for k in range(4):
        params, data = form([cr.full((3,), float(k)), cr.ones(3)]), [cr.arange(3.0)]
        for found, expected in zip(run(params, data, scale), g(params, data, scale), strict=True):
            assert cr.allclose(found, expected)
    assert run._short is not None
    other = tuple if form is list else list
    assert run._short((params, data, scale), {}) is not REFUSED
    assert run._short((other(params), data, scale), {}) is REFUSED
    assert run._short((params, [*data, scale], scale), {}) is REFUSED
    assert run._short((params, data), {}) is REFUSED
    assert run._short((params, data[0], scale), {}) is REFUSED
    assert run._short((params, [2.0], scale), {}) is REFUSED
    with pytest.raises(ValueError, match="too many values"):
        run(params, [*data, scale], scale)


def test_one_tensor_twice_is_no_call_with_two():
    def g(x, y):
        return cr.autograd.grad((x * x * y).sum(), [x, y])

    run, x, y = cr.compile(g), cr.full((2,), 3.0, requires_grad=True), cr.full((2,), 2.0, requires_grad=True)
    for args in [(x, y)] * 4 + [(x, x), (x, y), (x, x), (y, x)]:
        assert [t.tolist() for t in run(*args)] == [t.tolist() for t in g(*args)]


def test_a_tensor_that_is_captured_is_no_other_argument():
    w = cr.full((2,), 5.0, requires_grad=True)

    def g(x):
        return cr.autograd.grad((x * w).sum(), x)[0]

    run, x = cr.compile(g), cr.ones(2, requires_grad=True)
    for t in [x] * 4 + [w, x, w, w]:
        assert run(t).tolist() == g(t).tolist()


def values(out):
    """Return results as text, without history."""
    return repr([t.detach() if isinstance(t, cr.Tensor) else t for t in tree_flatten(out)[0]])


def mixed(x, params, *, scale=2.0, how="sin", y=None):
    out = (x * params["w"] + params["b"][0]) * scale
    return {"out": out.sin() if how == "sin" else out.cos(), "y": [y, None, how], "x": x, "part": x[1:]}


def arguments(**changes):
    """Return the arguments of `mixed`."""
    x, w, b = cr.linspace(0, 1, 3), cr.ones(3) * 2, cr.ones(3)
    return (changes.pop("x", x), changes.pop("params", {"w": w, "b": (b,)})), {
        "scale": 2.0,
        "how": "sin",
        "y": w * 3,
        **changes,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 3.0}, {"scale": 2}, {"how": "cos"}, {"y": None}, {"y": 1.0}, {"x": 1.5}, {"z": 1},
        {"x": cr.ones(2, 3)}, {"x": cr.ones(3, dtype=cr.float64)}, {"x": cr.ones(3, requires_grad=True)},
        {"x": cr.ones(6)[::2]},
        {"params": {"b": (cr.ones(3),), "w": cr.ones(3)}}, {"params": {"w": cr.ones(3), "b": [cr.ones(3)]}},
        {"params": {"w": cr.ones(3), "b": (cr.ones(3), cr.ones(3))}}, {"params": {"w": cr.ones(3)}},
        {"params": {"w": cr.ones(3), "b": (cr.ones(3),), "c": 1}}, {"params": [cr.ones(3)]}, {"params": None},
    ],
)  # fmt: skip
def test_other_keywords_dicts_and_numbers(change):
    run = cr.compile(mixed)
    for _ in range(4):
        args, kwargs = arguments()
        found, expected = run(*args, **kwargs), mixed(*args, **kwargs)
        assert repr(found) == repr(expected)
        assert found["x"] is args[0]
        assert found["y"][0] is kwargs["y"]
    assert run._short(args, kwargs) is not REFUSED
    assert run._short(args, {k: kwargs[k] for k in reversed(kwargs)}) is not REFUSED
    args, kwargs = arguments(**change)
    assert run._short(args, kwargs) is REFUSED
    for _ in range(3):
        try:
            expected = mixed(*args, **kwargs)
        except (TypeError, KeyError, IndexError) as error:
            with pytest.raises(type(error)):
                run(*args, **kwargs)
        else:
            assert values(run(*args, **kwargs)) == values(expected)


def test_dicts_of_another_order_are_others():
    run = cr.compile(lambda p: [p["a"] * 2, *p])
    for _ in range(4):
        run({"a": cr.ones(2), "b": cr.zeros(2)})
    assert run._short(({"a": cr.ones(2), "b": cr.zeros(2)},), {}) is not REFUSED
    assert repr(run({"b": cr.zeros(2), "a": cr.ones(2)})) == repr([cr.ones(2) * 2, "b", "a"])


def test_what_is_unused_is_looked_at():
    run = cr.compile(lambda x, y: x * y.shape[0])
    for _ in range(4):
        assert run(cr.ones(2), cr.ones(3)).tolist() == [3.0, 3.0]
    assert run._short((cr.ones(2), cr.ones(3)), {}) is not REFUSED
    assert run._short((cr.ones(2), cr.ones(4)), {}) is REFUSED
    assert run(cr.ones(2), cr.ones(4)).tolist() == [4.0, 4.0]


def test_arrays_among_the_arguments_are_compared_by_content():
    run, fixed = cr.compile(lambda x, a: x * float(a[0])), np.ones(2)
    for _ in range(4):
        assert run(cr.ones(1), fixed).item() == 1
    fixed[0] = 2
    assert run(cr.ones(1), fixed).item() == 2


def test_results_that_are_none():
    total = cr.zeros(2)

    def step(x):
        total.add_(x)

    run = cr.compile(step)
    for k in range(6):
        assert run(cr.ones(2)) is None
        assert total.tolist() == [k + 1.0] * 2
    assert run._short is not None


def test_draws_are_those_of_the_function_itself():
    def g(x):
        return cr.nn.functional.dropout(x, 0.5) * cr.rand(8)

    run, x = cr.compile(g), cr.ones(8, requires_grad=True)
    for form in (x.detach(), x):
        for seed in range(6):
            made = []
            for f in (run, g):
                cr.manual_seed(seed)
                made.append([f(form), cr.rand(2)])
            assert repr(made[0][0].detach()) == repr(made[1][0].detach())
            assert made[0][1].tolist() == made[1][1].tolist()
    assert run._short((x,), {}) is not REFUSED


def test_draws_that_did_not_count_are_taken_back():
    def g(x):
        noise = cr.rand(3)
        return (x + noise).sort()[0] if x.sum() > 0 else (x - noise).sort()[0]

    run, x = cr.compile(g), cr.ones(3)
    for t in (x, x, x, -x, -x, -x, x, -x, x):
        cr.manual_seed(1)
        found = run(t)
        after = cr.rand(1)
        cr.manual_seed(1)
        assert found.tolist() == g(t).tolist()
        assert after.item() == cr.rand(1).item()


def test_errors_of_kernels_are_the_functions_own():
    run = cr.compile(lambda x: cr.linalg.cholesky(x) * 2)
    for _ in range(4):
        run(cr.eye(2))
    assert run._short is not None
    with pytest.raises(cr.linalg.LinAlgError):
        run(-cr.eye(2))
    assert run(cr.eye(2)).tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_a_module_looks_at_its_modules():
    model = cr.nn.Sequential(cr.nn.Linear(3, 3), cr.nn.Dropout(0.5), cr.nn.Linear(3, 2)).eval()
    run, x = cr.compile(model), cr.ones(2, 3)
    for _ in range(4):
        run(x)
    short = run.forward
    assert short._short((x,), {}) is not REFUSED
    seen = []
    changes = (
        lambda: model.train(), lambda: model.eval(), lambda: setattr(model[1], "p", 1.0),
        lambda: model[0].requires_grad_(False), lambda: model.__setitem__(2, cr.nn.Linear(3, 1)),
        lambda: model.append(cr.nn.Tanh()), lambda: setattr(model[0], "weight", cr.nn.Parameter(cr.ones(3, 3))),
        lambda: setattr(model[0].weight, "data", cr.zeros(3, 3)), lambda: model.double(),
        lambda: model[0].register_forward_hook(lambda m, args, out: seen.append(1) or out * 2),
    )  # fmt: skip
    for change in changes:
        change()
        at = x.to(model[0].weight.dtype)
        for _ in range(4):
            cr.manual_seed(0)
            found = run(at)
            cr.manual_seed(0)
            expected = model(at)
            assert cr.allclose(found, expected)
            assert found.requires_grad == expected.requires_grad


def test_calls_that_alternate_each_have_their_short_way():
    run = cr.compile(lambda x: x * 2 if x.sum() > 0 else x.sort()[0])
    calls = [cr.ones(3), -cr.ones(3), cr.ones(2, 2), cr.ones(3, requires_grad=True)]
    for _ in range(5):
        for x in calls:
            run(x)
    assert len({run._short, *run._shorts}) == 4
    for x in calls:
        assert sum([short((x,), {}) is not REFUSED for short in (run._short, *run._shorts)]) == 1


def test_settings_of_the_process_and_the_thread(run):
    x, y = cr.ones(3), cr.ones(3)
    cr.set_default_dtype(cr.float64)
    try:
        assert run._short((x, y), {}) is REFUSED
    finally:
        cr.set_default_dtype(cr.float32)
    cr.use_deterministic_algorithms(True)
    try:
        assert run._short((x, y), {}) is REFUSED
    finally:
        cr.use_deterministic_algorithms(False)
    with cr.autocast("cpu"):
        assert run._short((x, y), {}) is REFUSED
    with cr.no_grad():
        assert run._short((x, y), {}) is REFUSED
    assert run._short((x, y), {}) is not REFUSED


def test_lists_that_other_threads_change():
    run, params, done = cr.compile(lambda params: params[0] * params[-1]), [cr.ones(2), cr.ones(2)], threading.Event()
    for _ in range(4):
        run(params)

    def change():
        while not done.is_set():
            params.append(cr.ones(2))
            params.pop(0)

    other = threading.Thread(target=change)
    other.start()
    try:
        for _ in range(3000):
            assert run(params).tolist() == [1.0, 1.0]
    finally:
        done.set()
        other.join()


def test_calls_from_several_threads():
    model = cr.nn.Linear(4, 4)
    run = cr.compile(lambda x, *, k: model(x) * k)
    failed = []

    with cr.no_grad():
        calls = [(cr.full((2, 4), float(k)), model(cr.full((2, 4), float(k))) * 2.0) for k in range(4)]

    def call(x, expected):
        for _ in range(500):
            out = run(x, k=2.0)
            if not cr.allclose(out.detach(), expected) or not out.requires_grad:
                failed.append(x)

    threads = [threading.Thread(target=call, args=c) for c in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_nothing_is_kept_of_calls():
    run = cr.compile(lambda p, *, y: {"a": p["w"] * y, "b": y})
    p, y = {"w": cr.ones(2, requires_grad=True)}, cr.ones(2)
    for _ in range(5):
        run(p, y=y)
    gc.collect()
    counts = [sys.getrefcount(t) for t in (p, p["w"], y, None)]
    blocks = sys.getallocatedblocks()
    for _ in range(20_000):
        run(p, y=y)
    gc.collect()
    assert all([abs(sys.getrefcount(t) - n) < 50 for t, n in zip((p, p["w"], y, None), counts, strict=True)])
    assert abs(sys.getallocatedblocks() - blocks) < 2000

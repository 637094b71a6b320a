"""Large work is put off while a call is recorded: what is read of it is right, and what nobody reads is never done."""

from __future__ import annotations

from weakref import ref

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.record.record import record
from chainrule.compiler.record.recorder import DEFERRED
from chainrule.compiler.record.settling import owner
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import TABLE
from chainrule.core.types.symbol import DeferredCall

LARGE = 2 * DEFERRED


@pytest.fixture
def ran(monkeypatch):
    """The names of the ops that were put off and ran after all."""
    names = []
    run = DeferredCall.run
    monkeypatch.setattr(DeferredCall, "run", lambda call: (names.append(call.op.name), run(call))[1])
    return names


def numbers(*shape):
    return cr.from_numpy(np.random.default_rng(3).standard_normal(shape))


def test_what_a_replay_gives_is_not_computed(ran):
    x, served = numbers(LARGE), object()
    recording = record(lambda x: (cr.sin(x) * x).sum(), (x,), instead=served)
    assert recording.replayable
    assert recording.result is served
    assert ran == []


def test_a_first_call_has_the_plans_result(ran):
    x = numbers(LARGE)
    assert cr.allclose(cr.compile(lambda x: cr.sin(x) * x)(x), cr.sin(x) * x)
    assert ran == []


def test_a_value_that_is_read_is_computed_with_what_it_needs_alone(ran):
    x = numbers(LARGE)
    recording = record(lambda x: (cr.exp(x), cr.sin(x) if x.cos().sum() > -LARGE else x)[1], (x,), instead=object())
    assert sorted(ran) == ["cos", "gt", "sum"]
    assert [e.op.name for e in recording.graph.equations].count("guard") == 1


def test_a_first_call_that_writes_runs_the_plan_alone(ran):
    def training():
        w = numbers(64, 64).div(20).requires_grad_()
        optimizer = cr.optim.SGD([w], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (x @ w).tanh().sum()
            loss.backward()
            optimizer.step()
            return loss

        return w, step

    (w, step), (expected, as_it_is) = training(), training()
    step = cr.compile(step)
    x = numbers(LARGE // 64, 64)
    for _ in range(3):
        w.detach().sum()  # looked at between: a version counter is there
        assert cr.allclose(step(x), as_it_is(x))
        assert cr.allclose(w, expected)
        assert cr.allclose(w.grad, expected.grad)
        assert w._version == expected._version
    assert ran == []


def test_what_is_saved_before_a_call_tells_of_its_writes_once():
    w, x = numbers(LARGE).requires_grad_(), numbers(LARGE)
    saved = (x * w).sum()

    def step(x):
        x.add_(1)
        return x.sum()

    cr.compile(step)(x)
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        saved.backward()


def test_little_work_on_what_was_put_off_waits_for_it(ran):
    x, scale = numbers(LARGE), cr.tensor(2.0, dtype=cr.float64, requires_grad=True)

    def f(x, scale):
        loss = ((x * scale).sum() * 2).exp() + 1
        return loss, *cr.autograd.grad(loss, scale)

    recording = record(f, (x, scale), instead=(served := object()))
    assert recording.result is served
    assert ran == []


def test_scalars_that_were_put_off_can_be_written_to():
    def f(x):
        y = x.sum()
        y.mul_(2).view(1).add_(1)
        return y

    x = numbers(LARGE)
    assert cr.allclose(record(f, (x,)).result, x.sum() * 2 + 1)


def test_what_was_put_off_runs_in_the_order_of_the_program_and_dies_when_nothing_needs_it(monkeypatch):
    """Of a gradient's values no more live together than the results of its layers, and what is being computed."""
    layers, width, most = 12, 64, 0
    made, run = [], DeferredCall.run

    def counted(call):
        nonlocal most
        run(call)
        made.extend([ref(owner(a)) for a in call.results if a.shape == (LARGE // width, width)])
        most = max(most, len({id(a) for r in made if (a := r()) is not None}))

    monkeypatch.setattr(DeferredCall, "run", counted)
    weights = [(numbers(width, width) / 20).requires_grad_() for _ in range(layers)]

    def step(x):
        for w in weights:
            x = (x @ w + 0.1).tanh()
        loss = x.sum()
        loss.backward()
        for w in weights:
            w.data.sub_(w.grad)
        return loss

    record(step, (numbers(LARGE // width, width),))
    assert layers <= most <= layers + 6


def test_a_long_chain_is_computed_without_recursion():
    def f(x):
        for _ in range(5000):
            x = x + 1
        return bool(x[0] > 0)

    assert record(f, (cr.zeros(LARGE),)).result is True


def test_results_that_a_replay_cannot_give_are_computed():
    kept = []
    x = numbers(LARGE)
    recording = record(lambda x: kept.append(cr.sin(x)) or cr.cos(x), (x,), instead=object())
    assert not recording.replayable
    assert cr.allclose(recording.result, cr.cos(x))
    assert cr.allclose(kept[0], cr.sin(x))


def test_what_is_put_off_sees_values_as_they_were():
    x, y = numbers(LARGE), numbers(LARGE)
    before, kept = x.clone(), []

    def f(x):
        z = x * 2  # of x before
        kept.extend((z, (x * 3).data))
        x.mul_(y)
        return z + x

    result = record(f, (x,)).result
    assert cr.equal(x, before * y)
    assert cr.equal(kept[0], before * 2)
    assert cr.equal(kept[1], before * 3)
    assert cr.equal(result, before * 2 + before * y)


def test_effects_of_a_first_call_are_done_once():
    x, count = numbers(LARGE), cr.zeros(())

    def f(x):
        count.add_(1)
        return cr.sin(x) * count

    compiled = cr.compile(f)
    for i in (1, 2, 3):
        assert cr.allclose(compiled(x), cr.sin(x) * i)
        assert count.item() == i


def test_writes_through_views_are_put_off():
    x = numbers(4, LARGE)

    def f(x):
        y = x.exp()
        y[1].mul_(3)
        y.t()[5] = 0.0
        return y, y.sum()

    for got, expected in zip(record(f, (x,)).result, f(x), strict=True):
        assert cr.allclose(got, expected)
    compiled = cr.compile(f)
    for _ in range(3):
        for got, expected in zip(compiled(x), f(x), strict=True):
            assert cr.allclose(got, expected)


@pytest.mark.parametrize("of", [lambda x: x.t().exp(), lambda x: x[::2].t() + 1, lambda x: x.expand(3, -1, -1) * 2])
def test_strides_are_those_of_eager(of):
    x = numbers(100, 200)
    seen = []
    record(lambda x: (seen.append(of(x).stride()), of(x))[1], (x,))
    assert seen[0] == of(x).stride()


def test_errors_come_at_the_op_that_makes_them():
    def f(x):
        try:
            x @ x
        except RuntimeError as error:
            return str(error)

    x = numbers(100, 200)
    assert record(f, (x,)).result == f(x) is not None
    index = cr.tensor([0, 10**9])

    def g(x):
        try:
            return cr.gather(x.flatten(), 0, index)
        except RuntimeError as error:
            return str(error)

    assert record(g, (x,)).result == g(x)


def test_errors_of_a_call_leave_writes_and_values(ran):
    x, y = numbers(LARGE), numbers(LARGE)
    before = x.clone()

    def f(x):
        z = x + y
        x.copy_(z)
        raise KeyError

    with pytest.raises(KeyError):
        record(f, (x,))
    assert cr.equal(x, before + y)


def test_first_calls_carry_gradients():
    x = numbers(LARGE).requires_grad_()
    f = lambda x: (cr.tanh(x) * x).sum()
    (g,) = cr.autograd.grad(cr.compile(f)(x), x)
    assert cr.allclose(g, cr.autograd.grad(f(x), x)[0])
    layer = cr.nn.Linear(128, 128)
    batch = numbers(128, 128).float()
    cr.compile(layer)(batch).square().mean().backward()
    got = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(batch).square().mean().backward()
    assert cr.allclose(got, layer.weight.grad, atol=1e-6)


def test_random_numbers_are_drawn_once():
    def f(x):
        return (x * cr.rand(LARGE)).exp()

    x = numbers(LARGE)
    cr.manual_seed(5)
    expected = [f(x) for _ in range(3)]
    cr.manual_seed(5)
    compiled = cr.compile(f)
    assert all(cr.allclose(compiled(x), e) for e in expected)


def test_kernels_are_not_watched_twice():
    class Names(Watcher):
        seen: tuple = ()

        def around(self, op, payloads, params, proceed):
            self.seen += (op.name,)
            return proceed()

    x = numbers(LARGE)
    with Names() as names:
        cr.compile(lambda x: cr.exp(x))(x)
    assert names.seen.count("exp") == 1
    assert "exp" in TABLE


def test_long_loops_need_no_deep_calls():
    def f(x):
        for _ in range(500):
            x = (x * 1.01).t()
        return x

    x = cr.randn(3, 100, 100).permute(1, 2, 0)[..., 0]
    out = cr.compile(f)(x)
    assert out.stride() == f(x).stride()

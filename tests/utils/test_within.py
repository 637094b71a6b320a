"""Functions under a budget: gradients are the same bits, memory stays within it, little runs again."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.types.tree import tree_flatten
from chainrule.utils import _keeping
from chainrule.utils._revolve import advances
from chainrule.utils.checkpoint import checkpoint, within

F = cr.nn.functional
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(16, 16)), RNG.normal(size=(16, 16)) / 4
SIZE = X.nbytes


@pytest.fixture
def values_alone(monkeypatch):
    """Have budgets count values alone, so that small programs have to compute again."""
    for name in ("STEP", "SAVE", "NEW", "PULL", "OWN", "WIDE"):
        monkeypatch.setattr(_keeping, name, 0)


# -- programs ----------------------------------------------------------------------------------------------------------


def chain(x, w):
    for _ in range(24):
        x = cr.tanh(x @ w) * 1.5 + 0.1 * x
    return (x * x).sum()


def coefficients(x, w):
    for i in range(24):
        x = cr.tanh((x @ w) * (1.5 - 0.05 * i)).roll(i % 3, 0)
    return (x * x).sum()


def draws(x, w):
    for _ in range(16):
        x = F.dropout(cr.tanh(x @ w), 0.3) + 0.1 * cr.rand(16, 1, dtype=cr.float64) * x
        x = x * cr.bernoulli(cr.sigmoid(x.detach()))
    return (x * x).sum()


def views(x, w):
    for _ in range(12):
        a, b = (x @ w).chunk(2, -1)
        x = cr.cat([a.sin() * b, b.t().reshape(b.shape) * a.exp().clamp(max=2)], -1)
    return x.sum()


def writes(x, w):
    for _ in range(10):
        y = x @ w
        y.mul_(0.5).add_(1)
        y[:, 0] = 3.0
        y[0] = y[1] * 2
        x = cr.tanh(y)
    return (x * x).sum()


def buffer(x, w):
    out = cr.zeros(13, 16, 16, dtype=cr.float64)
    out[0] = x
    for i in range(12):
        out[i + 1] = cr.tanh(out[i].clone() @ w)
    return (out**2).sum()


def reused(x, w):
    state = x.detach().clone()
    for _ in range(12):
        x = cr.sin(x @ w) * state
        state = state * 0.9
        state.mul_(1.1)
    return (x * state).sum()


def unknown_length(x, w):
    steps = 0
    while float((x.detach() ** 2).sum()) < 12000 and steps < 200:
        x = x + 0.05 * cr.sin(x @ w) + 0.05 * x
        steps += 1
    return (x**3).sum()


def several_results(x, w):
    for _ in range(12):
        values, index = x.sort(-1)
        top = values.max(0)
        x = values * top.values.sigmoid() + x[:, index[0]] @ w
        x = x / (1 + x.norm())
    return x.sum()


def derivatives_inside(x, w):
    for _ in range(4):
        z = x.detach().requires_grad_()
        (g,) = cr.autograd.grad((cr.tanh(z @ w) ** 2).sum(), z)
        (h,) = cr.autograd.grad((cr.tanh(x @ w) ** 2).sum(), x, create_graph=True)
        x = x - 0.1 * g + 0.01 * h
    return (x**2).sum()


class Cube(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * g * x * x


def custom(x, w):
    for _ in range(12):
        x = Cube.apply(cr.tanh(x @ w)) + x * 0.5
    return x.sum()


def through_numpy(x, w):
    for _ in range(10):
        shift = cr.from_numpy(np.cos(x.detach().numpy()))
        x = cr.tanh(x @ w + shift) * 1.25
    return (x * x).sum()


PROGRAMS = [
    chain, coefficients, draws, views, writes, buffer,
    reused, unknown_length, several_results, derivatives_inside, custom, through_numpy,
]  # fmt: skip


def gradients(f, passes=1):
    """Return gradients and what the generator gives next."""
    cr.manual_seed(3)
    x, w = cr.tensor(X, requires_grad=True), cr.tensor(W, requires_grad=True)
    y = f(x, w) + (w * w).sum()  # another use, whose gradient is added to
    for i in range(passes):
        y.backward(retain_graph=i < passes - 1)
    return [y, x.grad, w.grad, cr.rand(3)]


def assert_same(found, wanted):
    found, wanted = tree_flatten(found)[0], tree_flatten(wanted)[0]
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(f.numpy(force=True), w.numpy(force=True))


@pytest.mark.parametrize("budget", [10**9, 24 * SIZE, 18 * SIZE])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_gradients_are_the_same_bits(program, budget, values_alone):
    f = within(budget)(program)
    assert_same(gradients(f), gradients(program))
    assert budget < 10**9 or f.plan.recomputed == 0


@pytest.mark.parametrize("program", [chain, draws, views, writes], ids=lambda f: f.__name__)
def test_so_are_those_of_a_second_pass(program, values_alone):
    assert_same(gradients(within(14 * SIZE)(program), 2), gradients(program, 2))


def test_little_room_has_much_run_again(values_alone):
    counts = []
    for budget in (10**9, 60 * SIZE, 24 * SIZE, 12 * SIZE):
        f = within(budget)(chain)
        gradients(f)
        counts.append(f.plan.recomputed)
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] > 24


# -- transforms --------------------------------------------------------------------------------------------------------

x, w = cr.tensor(X), cr.tensor(W)
func = cr.func
TRANSFORMS = {
    "grad": (14, lambda f: func.grad(f, argnums=(0, 1))(x, w)),
    "vjp": (14, lambda f: func.vjp(f, x, w)[1](cr.tensor(1.0, dtype=cr.float64))),
    "jvp": (14, lambda f: func.jvp(f, (x, w), (w, x))),
    "vmap": (40, lambda f: func.vmap(f, in_dims=(0, None))(cr.stack([x, w, x]), w)),
    "grad in vmap": (44, lambda f: func.vmap(func.grad(f), in_dims=(0, None))(cr.stack([x, w, x]), w)),
    "hessian": (17, lambda f: func.hessian(f)(x[:, 0], w)),
    "forward in reverse": (17, lambda f: func.jacrev(func.jacfwd(f))(x[:, 0], w)),
    "grad of grad": (14, lambda f: func.grad(lambda x: (func.grad(f)(x, w) ** 2).sum())(x)),
    "jvp of grad": (30, lambda f: func.jvp(lambda x: func.grad(f)(x, w), (x,), (w,))),
    "grad of jvp": (30, lambda f: func.grad(lambda x: func.jvp(lambda x: f(x, w), (x,), (w,))[1])(x)),
}


def short(x, w):
    for _ in range(10):
        x = cr.tanh(x @ w) * 1.5 + 0.1 * x
    return (x * x).sum()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_gives_the_same_bits(name, values_alone):
    values, derivative = TRANSFORMS[name]
    f = within(values * SIZE)(short)
    assert_same(derivative(f), derivative(short))
    if name not in ("jvp", "vmap"):  # which keep nothing
        assert f.plan.recomputed > 0


def test_random_numbers_of_each_example_are_drawn_again(values_alone):
    def noisy(x):
        for _ in range(12):
            x = cr.tanh(x @ w) + F.dropout(x, 0.4)
        return (x * x).sum()

    found = []
    for f in (noisy, within(30 * SIZE)(noisy)):
        cr.manual_seed(1)
        found.append(func.vmap(func.grad(f), randomness="different")(cr.stack([x, w, x])))
    assert_same(*found)


def test_a_recorded_pass_is_differentiated_again(values_alone):
    def second(f):
        a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
        first = cr.autograd.grad(f(a, b), (a, b), create_graph=True)
        return (*first, *cr.autograd.grad(sum([(g * g).sum() for g in first]), (a, b)))

    assert_same(second(within(14 * SIZE)(short)), second(short))


def test_budgets_and_checkpoints_nest(values_alone):
    def nested(x, w):
        return within(12 * SIZE)(short)(x @ w, w) + checkpoint(short, x, w, use_reentrant=False)

    def plain(x, w):
        return short(x @ w, w) + short(x, w)

    wanted = gradients(plain)
    assert_same(gradients(within(20 * SIZE)(nested)), wanted)
    assert_same(gradients(lambda x, w: checkpoint(nested, x, w, use_reentrant=False)), wanted)


def test_a_trace_sees_the_function_itself():
    assert_same(func.trace(within(10)(short))(x, w)(x, w), short(x, w))
    assert_same(cr.compile(func.grad(within(10)(short)))(x, w), cr.compile(func.grad(short))(x, w))


def test_nothing_is_kept_where_nothing_is_recorded():
    f = within(10)(short)
    with cr.no_grad():
        assert_same(f(x, w), short(x, w))
    assert f.plan is None


# -- writes after the call ---------------------------------------------------------------------------------------------


def test_an_argument_that_was_written_to_is_noticed(values_alone):
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = within(12 * SIZE)(short)(a, b)
    with cr.no_grad():
        b.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_captured_tensor_that_was_written_to_is_noticed_where_it_is_not_saved(values_alone):
    shift = cr.ones(16, dtype=cr.float64)

    def shifted(x, w):
        for _ in range(10):
            x = cr.tanh(x @ w + shift)
        return x.sum()

    a = x.clone().requires_grad_()
    y = within(10 * SIZE)(shifted)(a, w)
    shift.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_result_that_was_written_to_is_computed_again():
    def both(x, w):
        h = cr.tanh(x @ w)
        return h, (h @ w).sum()

    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    h, y = within(10**6)(both)(a, w)
    with cr.no_grad():
        h.detach().mul_(2)
    y.backward()
    both(b, w)[1].backward()
    assert_same(a.grad, b.grad)


# -- memory ------------------------------------------------------------------------------------------------------------


def recurrent(w, h, xs):
    for t in range(len(xs)):
        h = cr.tanh(w @ h + xs[t])
    return h.sum()


def while_small(w, h, xs):
    t = 0
    while float(h.detach()[0, 0]) < 2 and t < len(xs):
        h = cr.tanh(w @ h + xs[t])
        t += 1
    return h.sum()


STEPS, STATE = 300, (64, 400)


def measured(f):
    """Return the gradients, and the most bytes held in the call and its backward pass."""
    rng = np.random.default_rng(1)
    w = cr.tensor(rng.normal(size=(64, 64)) / 8, requires_grad=True)
    h = cr.tensor(rng.normal(size=STATE), requires_grad=True)
    xs = cr.tensor(rng.normal(size=(STEPS, 64, 1)))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    f(w, h, xs).backward()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return (w.grad, h.grad), peak


@pytest.mark.parametrize("program", [recurrent, while_small], ids=lambda f: f.__name__)
def test_a_recurrent_chain_under_a_tenth_of_its_memory(program, small_heap):
    measured(within(10**9)(program))  # what the first call makes for all later ones
    wanted, whole = measured(program)
    budget = whole // 10
    f = within(budget)(program)
    found, peak = measured(f)
    assert_same(found, wanted)
    assert peak <= budget
    states = budget // (8 * STATE[0] * STATE[1])
    ops = f.plan.steps / STEPS
    assert f.plan.recomputed / ops <= 1.5 * advances(STEPS, states)


@pytest.mark.slow
@pytest.mark.parametrize("program", [recurrent, while_small], ids=lambda f: f.__name__)
def test_a_thousand_steps_under_a_tenth_of_their_memory(program, small_heap, monkeypatch):
    monkeypatch.setitem(globals(), "STEPS", 1000)
    monkeypatch.setitem(globals(), "STATE", (64, 128))
    measured(within(10**9)(program))
    wanted, whole = measured(program)
    f = within(whole // 10)(program)
    found, peak = measured(f)
    assert_same(found, wanted)
    assert peak <= whole // 10
    states = whole // 10 // (8 * STATE[0] * STATE[1])
    assert f.plan.recomputed * STEPS / f.plan.steps <= 1.5 * advances(STEPS, states)


FIRST = """
import sys, tracemalloc
import chainrule as cr
from chainrule.utils.checkpoint import within

def chain(x, w):
    for _ in range(300):
        x = cr.tanh(x @ w)
    return x.sum()

x, w = cr.ones(64, 128), cr.ones(128, 128)

def peak(f):
    v = w.clone().requires_grad_()
    tracemalloc.start()
    f(x, v).backward()
    return tracemalloc.get_traced_memory()[1], tracemalloc.stop()

whole, _ = peak(chain)
known = set(sys.modules)
print(whole, peak(within(whole // 6)(chain))[0], len(set(sys.modules) - known))
"""


def test_the_first_call_of_a_process_keeps_to_its_budget_too():
    told = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout
    whole, peak, imported = map(int, told.split())
    assert peak <= whole // 6
    assert imported == 0


def test_a_budget_that_cannot_be_met_is_refused():
    with pytest.raises(RuntimeError, match=r"within\(20000\): .* bytes at least"):
        gradients(within(20_000)(chain))


def test_what_is_no_budget_is_refused():
    with pytest.raises(TypeError, match="budget must be int"):
        within("1 MB")
    with pytest.raises(ValueError, match="above 0"):
        within(0)


def test_the_plan_says_what_was_kept(values_alone):
    f = within(20 * SIZE)(chain)
    gradients(f)
    assert f.plan.budget == 20 * SIZE
    assert 0 < f.plan.held <= f.plan.peak <= 20 * SIZE
    assert str(f.plan.recomputed) in str(f.plan)
    assert f.plan.marks > 0


# -- ahead of the call -------------------------------------------------------------------------------------------------


def least(program, budget, ahead):
    """Return the budget that an error asks for, 0 if there is none, and how many steps had run."""
    f = within(budget, ahead=ahead)(program)
    try:
        f(cr.tensor(X, requires_grad=True), cr.tensor(W, requires_grad=True))
    except RuntimeError as error:
        return int(re.search(r"need (\d+) bytes", str(error))[1]), f.plan
    return 0, f.plan


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_a_budget_that_is_too_small_is_refused_before_anything_is_computed(program):
    needed, plan = least(program, 50_000, ahead=True)
    assert needed > 50_000
    if plan is not None:
        assert program in (unknown_length, through_numpy, writes, buffer, derivatives_inside)  # which cannot run without values
        return
    assert least(program, needed, ahead=False)[0] == 0
    assert least(program, int(0.9 * needed), ahead=True)[0] > 0


def test_running_ahead_draws_nothing_and_leaves_no_mark():
    seen = []

    def program(x, w):
        seen.append(x.shape)
        return draws(x, w)

    f = within(10**6)(program)
    cr.manual_seed(0)
    before = cr.get_rng_state()
    with pytest.raises(RuntimeError, match="at least"):
        within(1000)(program)(x.clone().requires_grad_(), w)
    assert_same(cr.get_rng_state(), before)
    seen.clear()
    for _ in range(3):
        f(x.clone().requires_grad_(), w)
    assert len(seen) == 4  # once for arguments of these shapes, and in each call


def test_running_ahead_writes_to_nothing():
    norm = cr.nn.BatchNorm1d(16, dtype=cr.float64)

    def program(x, w):
        norm.num_batches_tracked.fill_(7)
        return norm(x @ w).sum()

    with pytest.raises(RuntimeError, match="after"):
        within(1000)(program)(x.clone().requires_grad_(), w)
    plain = program(x.clone().requires_grad_(), w)
    assert_same(within(10**6)(program)(x.clone().requires_grad_(), w), plain)

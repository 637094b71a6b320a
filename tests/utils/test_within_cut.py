"""What a minimal cut has held: the choice is the cheapest there is, and dear ops are not run again where cheap ones do."""

from __future__ import annotations

import random
from itertools import count, product

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.utils import _ahead, _within
from chainrule.utils._choosing import Choices
from chainrule.utils._holding import ENTRY, Holding
from chainrule.utils._keeping import Keeper
from chainrule.utils._tape import Step
from chainrule.utils.checkpoint import within

F = cr.nn.functional


def recorded(function, *args):
    """Return the tape of a call."""
    keeper = Keeper(10**9)
    with keeper, saved_tensors_hooks(keeper.pack, keeper.unpack):
        result = function(*args)
    keeper.end()
    return keeper, result


# -- the choice --------------------------------------------------------------------------------------------------------


def drawn(seed):
    """Return the tape of a random function of few ops, whose times are drawn, too."""
    rng = random.Random(seed)

    def function(x):
        values = [x]
        for _ in range(rng.randint(2, 4)):
            a, b = rng.choice(values), rng.choice(values)
            values.append(rng.choice([a * b, a.exp(), a.sum(0, keepdim=True) * b, a.t(), (a * b).max(0)[0] + a]))
        return (values[-1] * values[-2]).sum()

    tape, result = recorded(function, cr.rand(3, 3, requires_grad=True))
    for step in tape.steps:
        if step.__class__ is Step:
            step.seconds = rng.choice([1.0, 2.0, 5.0]) * 1e-6
    return tape, result


def cost(tape, held, price):
    """Return what holding these variables, and computing the other ones again that are needed, costs."""
    total = 0.0
    runs, pending = set(), sorted({*tape.saves} - tape.constants.keys())
    seen = set(pending)
    for v in pending:
        step, first = tape.step_of(v)
        if v in held:
            root = tape.root(v)
            maker, begin = (None, 0) if root in tape.constants else tape.step_of(root)
            total += price * ((maker.sizes[root - begin] + ENTRY) if maker else 0)
        elif first not in runs:
            runs.add(first)
            total += step.seconds
            for o in step.operands(first):
                if o not in seen and o not in tape.constants:
                    seen.add(o)
                    pending.append(o)
    return total


@pytest.mark.parametrize("seed", range(30))
def test_no_other_choice_costs_less(seed):
    for each in count(seed, 100):
        tape, _ = drawn(each)
        choices = Choices(tape, tape.saves)
        variables = list(choices.variables)
        if 3 <= len(variables) <= 10:
            break
    for price in choices.prices()[::3]:
        held = choices.held(price)
        found = cost(tape, {v for v in variables if held[v]}, price)
        every = [
            cost(tape, {v for v, h in zip(variables, each, strict=True) if h}, price)
            for each in product((0, 1), repeat=len(variables))
        ]
        assert found == pytest.approx(min(every), rel=1e-5)


# -- what runs again ---------------------------------------------------------------------------------------------------

LAYERS = 8
NET = cr.nn.Sequential(*[m for _ in range(LAYERS) for m in (cr.nn.Linear(256, 256), cr.nn.GELU(), cr.nn.LayerNorm(256))])


def network(x):
    return NET(x).square().mean()


def of_loop(x):
    for _ in range(80):
        x = cr.tanh(x @ NET[0].weight)
    return x.sum()


def gradients(f):
    x = cr.linspace(-1, 1, 512 * 256).reshape(512, 256).requires_grad_()
    NET.zero_grad()
    f(x).backward()
    return [x.grad.numpy(), *[p.grad.numpy() for p in NET.parameters() if p.grad is not None]]


@pytest.fixture
def ran_again(monkeypatch):
    """Return the names of the ops that ran again."""
    names = []
    run = Holding._run

    def told(self, step, *rest):
        names.append(step.op.name)
        run(self, step, *rest)

    monkeypatch.setattr(Holding, "_run", told)
    return names


def test_products_are_held_and_loops_over_elements_run_again(ran_again):
    f = within(11_000_000)(network)
    for found, wanted in zip(gradients(f), gradients(network), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert f.plan.chosen >= LAYERS
    assert ran_again
    assert not {"mm", "matmul", "addmm", "linear_map"} & {*ran_again}


def test_the_second_call_chooses_by_the_times_of_the_first():
    f = within(9_000_000)(network)
    gradients(f)
    tried = []
    best = _ahead._best

    def told(keeper):
        tried.append(max([step.seconds for step in keeper.steps if step.__class__ is Step]))
        return best(keeper)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ahead, "_best", told)
        for _ in range(3):
            gradients(f)
    assert len(tried) == 1


def test_where_all_can_be_held_nothing_is_chosen(monkeypatch):
    monkeypatch.setattr(_ahead, "Choices", None)
    f = within(10**9)(network)
    gradients(f)
    gradients(f)
    assert f.plan.chosen == f.plan.recomputed == 0


def test_marks_are_kept_to_where_a_cut_is_not_better():
    f = within(9_000_000)(of_loop)
    gradients(f)
    assert f.plan.marks > 0
    assert f.plan.chosen == 0


def test_what_was_chosen_for_another_run_gives_the_same_gradients(monkeypatch):
    wanted = gradients(network)
    rng = random.Random(0)
    keepers = iter([bytes([rng.random() < share for _ in range(200)]) for share in (0.1, 0.5, 1)])
    monkeypatch.setattr(_within, "Keeper", lambda budget, *known: Keeper(budget, next(keepers)))
    for _ in range(3):
        f = within(9_500_000)(network)
        for found, each in zip(gradients(f), wanted, strict=True):
            np.testing.assert_array_equal(found, each)

"""Every op, recorded: the call has the op's value, and so have replays on other numbers; derivatives inside likewise."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.record.recorded import values_of
from tests.each import by_name

import chainrule as cr
from chainrule.compiler.record import record, replay
from chainrule.compiler.record.guards import GuardError
from chainrule.func import vmap
from chainrule.testing import cases
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import at_of, gradient, slope, wrapped

FIRST = [case for case in cases(kinds="ifc") if not case.index]
DIFFERENTIABLE = [case for case in cases(kinds="f", differentiable=True) if not case.index]
SOME = DIFFERENTIABLE[::6]  # an op's rules are the same text in each mode: the rest is for the slow set
ALL = [case for case in cases(kinds="bifc") if case.index or case.dtype.kind == "b"]
ALL_DIFFERENTIABLE = [case for case in cases(differentiable=True) if case.index or case.dtype.kind == "c"]


def holds(f, xs, moved):
    """Hold a recorded call and a replay to the function."""
    expected = values_of(f(*[x.clone() for x in xs]))
    recording = record(f, tuple(xs))
    assert recording.replayable, recording.why
    gap = first_gap(values_of(recording.result), expected, 1e-12)
    assert gap is None, f"recorded: {gap}"
    try:
        found = replay(recording, moved)
    except GuardError:  # other numbers have another shape
        assert any(e.op.kind == "guard" for e in recording.graph.equations)
        return
    gap = first_gap(values_of(found), values_of(f(*[x.clone() for x in moved])), 1e-12)
    assert gap is None, f"replayed: {gap}"


def _moved(x):
    return cr.tensor(np.asarray(x.numpy()) * 0.9) if x.dtype.is_floating_point else x.clone()


def _value(case):
    places = [i for i, a in enumerate(case.args) if isinstance(a, (np.ndarray, np.generic))]
    xs = [t for t in case.tensors() if isinstance(t, cr.Tensor)]

    def f(*tensors):
        args = list(case.args)
        for i, t in zip(places, tensors, strict=True):
            args[i] = t
        return case.op.call(*args, **case.params)

    holds(f, xs, [_moved(x) for x in xs])


def _gradient(case):
    at = case.moving
    f, weights = case.function(at), wrapped(case.weights())

    def gradients(*xs):
        leaves = [x.detach().requires_grad_() for x in xs]
        pairs = [(out, w) for out, w in zip(f(*leaves), weights, strict=True) if out.requires_grad]
        return cr.autograd.grad([o for o, _ in pairs], leaves, [w for _, w in pairs], materialize_grads=True) if pairs else ()

    xs = wrapped(at_of(case, at))
    holds(gradients, xs, [x.clone() for x in xs])


def _transforms(case):
    at = case.moving
    f = case.function(at)
    for g in (gradient(f, case.weights()), slope(f, case.directions(at))):
        xs = wrapped(at_of(case, at))
        holds(g, xs, [x.clone() for x in xs])


@by_name("case", FIRST, fast=1)
def test_the_value_is_the_ops(case):
    _value(case)


@by_name("case", SOME)
def test_a_backward_pass_inside_gives_the_ops_gradients(case):
    _gradient(case)


@by_name("case", SOME)
def test_transforms_inside_give_the_ops_derivatives(case):
    _transforms(case)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of the ops that loop
@by_name("case", SOME)
def test_a_batch_inside_is_the_ops(case):
    _batch(case)


def _batch(case):
    xs = wrapped([np.stack([x, np.roll(x, 1)]) for x in at_of(case, case.moving)])
    holds(vmap(case.function(case.moving)), xs, [x.clone() for x in xs])


@pytest.mark.slow
@by_name("case", ALL)
def test_other_samples_have_the_ops_values(case):
    _value(case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@by_name("case", DIFFERENTIABLE)
def test_other_ops_derivatives_are_recorded(case):
    _gradient(case)
    _transforms(case)
    _batch(case)


@pytest.mark.slow
@by_name("case", ALL_DIFFERENTIABLE)
def test_other_samples_have_the_ops_derivatives(case):
    _gradient(case)
    _transforms(case)

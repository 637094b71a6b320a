"""Ops of any number of inputs: what they cost, and what is kept of them, does not depend on which calls there were."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.op.declaration import TABLE

VARIADIC = [op for op in TABLE.values() if op.variadic and op.name != "assemble"]  # which has a place for each input


def call(op, count, tracked):
    """Call an op on matrices of 2 rows, those tracked requiring grad; return them and the result."""
    xs = [cr.full((2, 2), float(i + 1)).requires_grad_(i in tracked) for i in range(count)]
    params = {"axis": 0} if "axis" in op.params else {}
    return xs, op.call(*xs, **params)


@pytest.mark.parametrize("op", VARIADIC, ids=lambda op: op.name)
def test_plans_do_not_grow_with_numbers_of_inputs_nor_with_choices_among_them(op):
    for count in range(1, 12):
        for tracked in ({0}, set(range(count)), set(range(0, count, 2))):
            xs, out = call(op, count, tracked)
            cr.autograd.grad(out.sum(), [x for x in xs if x.requires_grad])
            xs, out = call(op, count, tracked)
            cr.autograd.grad(out.sum(), xs[0])
    assert len(op.plans) <= 2  # of real and of complex values


@pytest.mark.parametrize("op", VARIADIC, ids=lambda op: op.name)
def test_each_input_gets_its_own_part_of_the_cotangent(op):
    for tracked in ({0, 1, 2}, {1}, {0, 2}):
        xs, out = call(op, 3, tracked)
        weights = cr.arange(float(out.numel())).reshape(out.shape)
        (out * weights).sum().backward()
        for i, x in enumerate(xs):
            if i not in tracked:
                assert x.grad is None
                continue
            ones, _ = call(op, 3, set())
            ones = [cr.zeros(2, 2) for _ in ones]
            for row in range(2):
                for column in range(2):
                    ones[i][row, column] = 1.0
                    params = {"axis": 0} if "axis" in op.params else {}
                    expected = (op.call(*ones, **params) * weights).sum().item()
                    ones[i][row, column] = 0.0
                    assert x.grad[row, column].item() == expected


def test_a_gradient_in_some_inputs_of_a_join_leaves_the_others_alone():
    xs = [cr.ones(2, requires_grad=True) for _ in range(4)]
    found = cr.autograd.grad((cr.stack(xs) * 3).sum(), [xs[3], xs[1]])
    assert [g.tolist() for g in found] == [[3, 3], [3, 3]]
    assert all(x.grad is None for x in xs)


def test_a_growing_history_joined_at_each_step():
    x = cr.ones(2, requires_grad=True)
    history, total = [], cr.zeros(())
    for step in range(30):
        history.append(x * step)
        total = total + cr.stack(history).sum() + cr.cat(history).sum()
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * sum(step * (30 - step) for step in range(30)))

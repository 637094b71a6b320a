"""Constraints against PyTorch's: what they admit, how they read, their errors."""

from __future__ import annotations

import numpy as np
import pytest
from tests.distributions.calls import torch
from tests.each import by_name
from tests.oracle import words

import chainrule as cr

NUMBERS = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, np.inf, -np.inf, np.nan])
ROWS = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.5, 0.5, 1.0], [2.0, 1.0, 0.0], [np.nan, 0.0, 1.0]])
EYE = np.eye(3)
LOW = np.tril(np.arange(9.0).reshape(3, 3)) + EYE
CORR = np.linalg.cholesky(np.full((3, 3), 0.3) + 0.7 * EYE)
MATRICES = np.stack([EYE, LOW, LOW - 3 * EYE, LOW @ LOW.T, -LOW @ LOW.T, CORR, LOW.T, np.ones((3, 3)), np.zeros((3, 3))])
# Of each constraint: how to make it, and the values to check.
CONSTRAINTS = {
    "boolean": (lambda c, lib: c.boolean, NUMBERS), "dependent": (lambda c, lib: c.dependent, NUMBERS),
    "greater_than": (lambda c, lib: c.greater_than(0.5), NUMBERS), "positive": (lambda c, lib: c.positive, NUMBERS),
    "greater_than_eq": (lambda c, lib: c.greater_than_eq(0.5), NUMBERS), "nonnegative": (lambda c, lib: c.nonnegative, NUMBERS),
    "less_than": (lambda c, lib: c.less_than(lib.tensor(0.5)), NUMBERS), "real": (lambda c, lib: c.real, NUMBERS),
    "interval": (lambda c, lib: c.interval(-1, 0.5), NUMBERS), "unit_interval": (lambda c, lib: c.unit_interval, NUMBERS),
    "half_open_interval": (lambda c, lib: c.half_open_interval(-1, 0.5), NUMBERS),
    "integer_interval": (lambda c, lib: c.integer_interval(-1, 2), NUMBERS),
    "nonnegative_integer": (lambda c, lib: c.nonnegative_integer, NUMBERS),
    "positive_integer": (lambda c, lib: c.positive_integer, NUMBERS), "less": (lambda c, lib: c._IntegerLessThan(1), NUMBERS),
    "one_hot": (lambda c, lib: c.one_hot, ROWS), "simplex": (lambda c, lib: c.simplex, ROWS),
    "multinomial": (lambda c, lib: c.multinomial(2), ROWS), "real_vector": (lambda c, lib: c.real_vector, ROWS),
    "independent": (lambda c, lib: c.independent(c.nonnegative, 1), ROWS),
    "independent of 2": (lambda c, lib: c.independent(c.independent(c.real, 1), 1), ROWS),
    "cat": (lambda c, lib: c.cat([c.positive, c.unit_interval], -1, [1, 2]), ROWS),
    "cat of vectors": (lambda c, lib: c.cat([c.simplex, c.simplex], 0, [4, 2]), ROWS),
    "stack": (lambda c, lib: c.stack([c.positive, c.real, c.boolean], -1), ROWS),
    "stack of vectors": (lambda c, lib: c.stack([c.simplex] * 6, 0), ROWS),
    "stack inside": (lambda c, lib: c.stack([c.simplex] * 6, -2), ROWS),
    "mixture": (lambda c, lib: c.MixtureSameFamilyConstraint(c.interval(lib.tensor([0.0, 1.0]), lib.tensor([2.0, 3.0]))),
        NUMBERS),
    "mixture of vectors": (lambda c, lib: c.MixtureSameFamilyConstraint(c.simplex), ROWS),
    "lower_triangular": (lambda c, lib: c.lower_triangular, MATRICES),
    "lower_cholesky": (lambda c, lib: c.lower_cholesky, MATRICES),
    "corr_cholesky": (lambda c, lib: c.corr_cholesky, MATRICES), "square": (lambda c, lib: c.square, MATRICES),
    "no square": (lambda c, lib: c.symmetric, ROWS), "symmetric": (lambda c, lib: c.symmetric, MATRICES),
    "positive_semidefinite": (lambda c, lib: c.positive_semidefinite, MATRICES[[0, 3, 4, 8]]),
    "positive_definite": (lambda c, lib: c.positive_definite, MATRICES[[0, 3, 4, 8]]),
    "asymmetric": (lambda c, lib: c.positive_definite, MATRICES),
    "asymmetric semi": (lambda c, lib: c.positive_semidefinite, MATRICES),
    "dependent of 1": (lambda c, lib: c.dependent(is_discrete=True, event_dim=1), ROWS),
}  # fmt: skip


def asked(lib, constraint, ask):
    try:
        return ask(constraint, lib)
    except Exception as error:
        return type(error).__name__, words(str(error))


@by_name("name", CONSTRAINTS, str)
def test_constraints_are_pytorchs(name):
    make, values = CONSTRAINTS[name]
    asks = [lambda c, lib, v=v: c.check(lib.tensor(v)).numpy() for v in (values, values[:1])]
    asks += [lambda c, lib: words(repr(c)), lambda c, lib: c.is_discrete, lambda c, lib: c.event_dim]
    asks += [lambda c, lib: lib.distributions.constraints.is_dependent(c)]
    if values is NUMBERS:
        asks.append(lambda c, lib: c.check(lib.tensor(2)).numpy())
    for ask in asks:
        ours, theirs = [asked(lib, make(lib.distributions.constraints, lib), ask) for lib in (cr, torch)]
        np.testing.assert_array_equal(ours, theirs)


ERRORS = {
    "no constraint": lambda c, lib: c.independent(3, 1), "no count": lambda c, lib: c.independent(c.real, 1.0),
    "negative": lambda c, lib: c.independent(c.real, -1), "no base": lambda c, lib: c.MixtureSameFamilyConstraint(2),
    "few axes": lambda c, lib: c.independent(c.real, 2).check(lib.zeros(2)), "none to join": lambda c, lib: c.cat([3]),
    "none to stack": lambda c, lib: c.stack([3]), "lengths": lambda c, lib: c.cat([c.real], 0, [1, 2]),
    "axis": lambda c, lib: c.cat([c.real], 1).check(lib.zeros(2)),
    "axis of stack": lambda c, lib: c.stack([c.real], 1).check(lib.zeros(2)),
    "abstract": lambda c, lib: c.Constraint().check(lib.zeros(2)),
}  # fmt: skip


@by_name("name", ERRORS, str)
def test_errors_are_pytorchs(name):
    found = []
    for lib in (cr, torch):
        with pytest.raises(Exception) as caught:
            ERRORS[name](lib.distributions.constraints, lib)
        found.append((caught.type, words(str(caught.value))))
    assert found[0] == found[1]


def test_a_property_is_a_constraint_of_the_class():
    Uniform, constraints = cr.distributions.Uniform, cr.distributions.constraints
    assert constraints.is_dependent(Uniform.support)
    assert (Uniform.support.event_dim, Uniform.support.is_discrete) == (0, False)
    assert not constraints.is_dependent(Uniform(0.0, 1.0).support)


def test_names_are_pytorchs():
    theirs = torch.distributions.constraints
    assert cr.distributions.constraints.__all__ == sorted(theirs.__all__, key=lambda n: (n[0].islower(), n))

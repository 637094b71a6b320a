"""Taylor mode of every op: the derivatives along a curve are those of nested forward mode, at a polynomial cost."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.func import jet, trace
from chainrule.testing import cases
from chainrule.testing.taylor import ORDER, curve, differs_from_nested, nested

# The slow set holds every sample to this law with all columns of the matrix: test_compositions.py.
FIRST = [case for case in cases(differentiable=True) if not case.index]


@by_name("case", FIRST)
def test_jet_is_nested_forward_mode(case):
    assert differs_from_nested(case, ORDER - 1) is None  # each order takes twice the time of the one before


def test_an_op_of_several_results_may_be_called_twice():
    x, v = wrap(np.array([1.0, 2.0, 4.0])), wrap(np.array([1.0, -1.0, 0.5]))
    twice = lambda x: cr.var_mean(x)[0] * cr.var_mean(x)[1]
    expected, found = nested(twice, (x,), ((v, v),)), jet(twice, (x,), ((v, v),))[1]
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected))


# Which need all K² mixed derivatives of a function that is elementary in neither argument: K⁴.
OF_TWO = ("zeta", "zeta_derivative", "log_gamma_at_rank")
NARROW = [c for c in cases(dtypes=("float16", "float32", "complex64"), differentiable=True) if c.is_supported() and not c.index]


@by_name("case", NARROW, fast=1)
def test_dtypes_are_kept(case):
    primals, series = curve(case, 2)
    values, derivatives = jet(case.function(case.moving), primals, series)
    assert [[d.dtype for d in terms] for terms in derivatives] == [[v.dtype] * 2 for v in values]


FIRST = [c for c in cases(kinds="f", differentiable=True) if c.index == 0]


@by_name("case", FIRST[::8])
def test_cost_grows_with_a_small_power_of_the_order(case):
    cost_grows_with_a_small_power_of_the_order(case)


@pytest.mark.slow
@by_name("case", FIRST)
def test_cost_of_every_op_grows_with_a_small_power_of_the_order(case):
    cost_grows_with_a_small_power_of_the_order(case)


def cost_grows_with_a_small_power_of_the_order(case):
    """Order 8 takes at most 8 times the ops of order 4 (K³); nested forward mode takes some 80 times."""

    def ops(order):
        primals, series = curve(case, order)
        f = case.function(case.moving)
        return len(trace(lambda *x: [terms[-1] for terms in jet(f, x, series)[1]])(*primals).equations)

    power = 16 if case.op.name in OF_TWO else 8
    assert ops(8) <= power * max(ops(4), 1)

"""Every op and function compiled: equal to itself, and the whole table-driven suite again, seen through `compile`.

That compiled is eager in booleans, integers and both precisions that derivatives are checked in is a column of the matrix
(`tests/ops/test_compositions.py`); here are all other dtypes. ``pytest --compiled calls`` (or ``transforms``) lets every law of
every test file see compiled functions; here some do always, and all with ``-m sweep``.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.testing import cases, ways
from chainrule.testing.case import OpError
from chainrule.testing.compiled import compiled_equals_the_op
from chainrule.testing.composed import function_cases, functions
from chainrule.testing.matrix import COLUMNS, failures, op_cases
from chainrule.utils._pytree import tree_map

OPS = op_cases()
FUNCTIONS = function_cases(functions())
DTYPES = ("float32", "float16", cr.bfloat16.numpy, "complex64", "uint8", "int8", "int16", "int32")
CANCELLED = {"gamma_rank_slope-1-bfloat16", "standardize-4-bfloat16"}  # gradients that are differences of rounded numbers
OTHERS = [
    case
    for case in cases(dtypes=DTYPES)
    if case.op.name != "to" and repr(case) not in CANCELLED  # the `source` of `to` would be another than it says
]
LAWS = {name: column for name, column in COLUMNS.items() if name != "compiled"}
pytestmark = [
    pytest.mark.filterwarnings("ignore:(var|std).*degrees of freedom:UserWarning"),
    pytest.mark.usefixtures("small_heap"),  # a recording may look through it
]


def check_in_its_dtype(case):
    if case.is_supported():
        compiled_equals_the_op(case)


@by_name("case", OTHERS[::321])
def test_some_ops_compiled_are_eager_in_other_dtypes(case):
    check_in_its_dtype(case)


@pytest.mark.slow
@by_name("case", OTHERS[::5])
def test_ops_compiled_are_eager_in_other_dtypes(case):
    check_in_its_dtype(case)


@pytest.mark.sweep
@by_name("case", OTHERS)
def test_every_op_compiled_is_eager_in_other_dtypes(case):
    check_in_its_dtype(case)


@pytest.mark.parametrize("way", ways.WAYS)
@by_name("case", OPS[100::1500])
def test_laws_of_the_matrix_hold_of_some_compiled(way, case):
    with ways.compiled(way):
        assert failures(case, LAWS) == {}


@pytest.mark.slow
@pytest.mark.parametrize("way", ways.WAYS)
@by_name("case", [*OPS[::200], *FUNCTIONS[::200]])
def test_laws_of_the_matrix_hold_of_more_compiled(way, case):
    with ways.compiled(way):
        assert failures(case, LAWS) == {}


@pytest.mark.sweep
@pytest.mark.parametrize("way", ways.WAYS)
@by_name("case", [*OPS, *FUNCTIONS])
def test_laws_of_the_matrix_hold_of_every_op_and_function_compiled(way, case):
    with ways.compiled(way):
        assert failures(case, LAWS) == {}


# -- the switch --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_compiler(monkeypatch):
    """A compiler whose functions go wrong from their second call on, more and more."""

    def compile(f):
        calls = [0]

        def run(*args):
            calls[0] += 1
            out = f(*args)
            return tree_map(lambda o: o * calls[0], out)

        return run

    monkeypatch.setattr(cr, "compile", compile)


def case_of(name):
    return next(case for case in OPS if case.op.name == name and case.dtype == np.float64)


def test_laws_see_a_wrong_compiler(wrong_compiler):
    case = case_of("sin")
    assert failures(case, LAWS) == {}
    for way, seen in ((ways.CALLS, {"jvp", "vmap", "jvp∘vjp"}), (ways.TRANSFORMS, {"jvp", "vmap", "jvp∘vjp"})):
        with ways.compiled(way):
            assert failures(case, LAWS).keys() >= seen
    assert failures(case, LAWS) == {}
    assert failures(case).keys() == {"compiled"}
    with pytest.raises(OpError, match=r"call 1 \(draw 0\)"):
        compiled_equals_the_op(case)


def test_a_way_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="must be one of calls, transforms or None"), ways.compiled("nonsense"):
        pass

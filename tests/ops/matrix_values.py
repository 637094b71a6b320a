"""The values of the matrix's rows: an op's by its reference, a public function's by PyTorch's."""

from __future__ import annotations

import warnings

import pytest
from tests.ops.references import BY_LAWS, reference_of
from tests.ops.test_torch import Call, check_value

from chainrule.testing.law import Silent, law
from chainrule.testing.matrix import COLUMNS, Column, is_function_call
from chainrule.testing.values import differs_from


@law("value")
def value_is_right(case):
    """Check a value against what is given here, not by the package: texts of the mathematics, and PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_function_call(case):
            return _differs_from_pytorch(case)
        if case.op.name in BY_LAWS:
            return Silent(f"no second text of it, other laws determine it: {BY_LAWS[case.op.name]}")
        return _taken_otherwise(case) or differs_from(reference_of(case.op), case)


def _taken_otherwise(case):
    """Return why a value in integers is not for a reference, if it is not: the op gets other numbers, or refuses these."""
    op, kind = case.op, case.dtype.kind
    if kind in "bi" and (op.promotion == "float" or (kind == "b" and set(op.kinds) & set("ifc"))):
        return Silent("integers are brought to another dtype before they come to the op")
    try:
        case.call(case.tensors())
    except (RuntimeError, ValueError):
        return Silent("the op refuses these integers")
    return None


def _differs_from_pytorch(case):
    torch = pytest.importorskip("torch")
    function = case.op.function
    try:
        check_value(torch, Call(function, case.index, function.samples()[case.index], case.dtype.name))
    except pytest.skip.Exception as skip:
        return Silent(f"not compared: {skip}")
    except AssertionError as error:
        return f"not PyTorch's: {error}"
    return None


WITH_VALUES = {**COLUMNS, "value": Column((value_is_right,), derivative=False)}

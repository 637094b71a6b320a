"""Transforms composed in any order, for every op: the composition matrix of docs/compositions.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.each import by_name

from chainrule.core.op.declaration import TABLE, elementwise, linear
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.testing import cases, compositions

CASES = cases(differentiable=True)
PAGE = Path(__file__).parents[2] / "docs" / "compositions.md"


@pytest.mark.slow
@by_name("case", CASES)  # two minutes of one core
def test_every_composition_agrees_with_the_derivative_found_another_way(case):
    assert compositions.failures(case) == {}


@by_name("case", CASES[::24])
def test_compositions_of_some_ops_agree(case):
    assert compositions.failures(case) == {}


@pytest.fixture
def declared():
    before = set(TABLE)
    yield lambda op: cases([op.op], "f")[0]
    for name in set(TABLE) - before:
        del TABLE[name]


def constant(x):
    return x.detach() if isinstance(x, Tensor) else x


def test_a_rule_that_is_no_function_of_its_inputs_fails_in_second_order_alone(declared):
    case = declared(elementwise("frozen(x)", np.square, x=lambda g, x: g * constant(x) * 2))
    found = compositions.failures(case)
    second = {"jvp∘jvp", "jvp∘vjp", "vjp∘jvp", "vjp∘vjp", "jvp∘jvp∘jvp"}
    assert {"jvp", "vjp", "vmap", "vmap∘jvp"}.isdisjoint(found)
    assert second - {"jvp∘jvp∘jvp"} <= set(found) <= second


def test_a_wrong_batching_rule_fails_in_the_compositions_that_use_it(declared):
    case = declared(
        linear(
            "doubled(x)",
            lambda x: x * 2,
            shape=lambda x: x,
            batch=lambda b, x: x * 3,
            x=lambda g: g * 2,
            samples=lambda: [Sample((3,))],
        )
    )
    found = compositions.failures(case)
    assert set(found) == {"vmap", "vmap∘jvp", "jvp∘vmap", "vjp∘vmap", "vmap∘vmap"}  # not where vmap is outside the transpose


def test_the_page_has_every_differentiable_op_and_composition_and_no_red_cell():
    text = PAGE.read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    head = re.search(r"^\| op \|(.*)\|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == sorted({case.op.name for case in cases(differentiable=True)})
    assert [c.strip() for c in head[1].split("|")] == [*compositions.COMPOSITIONS, "samples"]
    assert {cell.strip() for _, cells in rows for cell in cells.split("|")[:-1]} == {"✓"}

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
from chainrule.testing import batched, cases, forms, taylor, traced
from chainrule.testing.case import load_table
from chainrule.testing.composed import function_cases, functions
from chainrule.testing.matrix import COLUMNS, EXCEPTIONS, failures, op_cases, row

PAGE = Path(__file__).parents[2] / "docs" / "compositions.md"
OPS = op_cases()
FUNCTIONS = function_cases(functions())
pytestmark = pytest.mark.usefixtures("small_heap")  # a recording may look through it


@pytest.mark.slow
@by_name("case", OPS, share=4)  # of all: four minutes of one core, and three for the functions
def test_every_law_of_the_matrix_holds_of_every_op(case):
    assert failures(case) == {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(var|std).*degrees of freedom:UserWarning")
@by_name("case", FUNCTIONS, share=4)
def test_every_law_of_the_matrix_holds_of_every_function(case):
    assert failures(case) == {}


@by_name("case", [*OPS[::128], *FUNCTIONS[::128]])
def test_laws_of_the_matrix_hold_of_some(case):
    assert failures(case) == {}


@pytest.fixture
def declared():
    before = set(load_table())
    yield lambda op: cases([op.op], "f")[0]
    for name in set(TABLE) - before:
        del TABLE[name]


def constant(x):
    return x.detach() if isinstance(x, Tensor) else x


def test_a_rule_that_is_no_function_of_its_inputs_fails_in_second_order_alone(declared):
    case = declared(elementwise("frozen(x)", np.square, x=lambda g, x: g * constant(x) * 2))
    found = failures(case)
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
    found = failures(case)
    assert set(found) == {"vmap", "vmap∘jvp", "jvp∘vmap", "vjp∘vmap", "vmap∘vmap"}  # not where vmap is outside the transpose


# -- faults that the other columns catch -------------------------------------------------------------------------------


def call_of(name):
    return function_cases(functions([name]), "f")[0]


def test_a_method_that_forgets_the_gradient_or_the_value_fails_in_place(monkeypatch):
    case = call_of("cumsum")
    assert row([case])["in-place"].mark == "✓"
    honest = Tensor.cumsum_
    monkeypatch.setattr(Tensor, "cumsum_", lambda self, *args: self.copy_(self.detach().cumsum(*args)))
    assert "gradient of array 0" in failures(case)["in-place"]
    monkeypatch.setattr(Tensor, "cumsum_", lambda self, *args: honest(self, *args).mul_(2))
    assert "cumsum_" in failures(case)["in-place"]
    monkeypatch.setattr(Tensor, "cumsum_", lambda self, *args: self.cumsum(*args))
    assert "did not return its tensor" in failures(case)["in-place"]


def test_a_method_that_takes_what_does_not_fit_fails_in_place(declared):
    case = next(c for c in op_cases([load_table()["lt"]]) if c.args[0].shape != np.broadcast_shapes(*[a.shape for a in c.args]))
    assert forms.in_place_is_the_function(case) is None
    taking = lambda self, other: self.set_((self < other).to(self.dtype))
    assert "took a result" in forms._in_place(case, forms.FUNCTIONS["lt"], taking)


def test_an_out_that_is_not_written_or_takes_operands_that_require_grad_fails(monkeypatch):
    case = call_of("cumsum")
    function = case.op.function
    honest = function.call
    monkeypatch.setattr(function, "call", lambda *args, out=None: honest(*args) if out is None else out)
    assert "shape (0,) against" in failures(case)["out"]

    def recording(*args, out=None):
        found = honest(*args)
        return found if out is None else out.resize_(found.shape).copy_(found.detach())

    monkeypatch.setattr(function, "call", recording)
    assert "operands that require grad were taken" in failures(case)["out"]


def test_a_coefficient_that_is_wrong_fails_in_taylor_mode(monkeypatch):
    honest = taylor.jet

    def scaled(f, primals, series):
        values, derivatives = honest(f, primals, series)
        return values, [[*terms[:2], terms[2] * 3, *terms[3:]] for terms in derivatives]

    case = cases([load_table()["sin"]], "f")[0]
    assert failures(case) == {}
    monkeypatch.setattr(taylor, "jet", scaled)
    assert "order 3" in failures(case)["jet"]


def test_a_shape_rule_that_is_wrong_fails_in_the_trace(declared):
    made = linear("added(x)", lambda x: x.sum(-1), shape=lambda x: x, x=lambda g: g, samples=lambda: [Sample((3, 2))])
    assert "(3, 2)" in failures(declared(made))["trace"]


def test_a_graph_that_freezes_a_value_fails_in_the_trace(declared):
    scale = [1.0]

    def growing(x):
        scale[0] += 1
        return x * scale[0]

    made = linear("growing(x)", growing, shape=lambda x: x, x=lambda g: g, samples=lambda: [Sample((3,))])
    assert "trace" in failures(declared(made))


def test_complex_numbers_have_a_cell_of_their_own(declared):
    made = elementwise("unconjugated(x)", np.exp, kinds="fc", x=lambda g, out: g * out)
    TABLE["unconjugated"].real_linear = True  # so that the rule is used without conjugation
    cells = row(op_cases([declared(made).op]))
    assert cells["complex"].mark.startswith("✗")
    assert "in complex128" in cells["vjp"].why


def test_what_is_not_checked_has_a_reason():
    cells = row(op_cases([load_table()["lt"]]))
    assert (cells["jvp"].mark, cells["jvp"].why) == ("—", "no derivative: its results are integers or booleans")
    assert cells["vmap"].mark == cells["out"].mark == cells["trace"].mark == "✓"
    assert row(op_cases([load_table()["nonzero"]]))["vmap"].why == batched.REFUSED
    assert row([call_of("allclose")])["trace"].why == traced.DECIDES


def test_exceptions_are_of_columns_and_names_that_exist():
    names = {case.op.name for case in OPS + FUNCTIONS}
    for of, columns, _, _ in EXCEPTIONS:
        assert set(of) <= names
        assert set(columns) <= set(COLUMNS)


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_has_every_op_function_and_column_no_red_cell_and_a_reason_for_each_that_is_not_green():
    text = PAGE.read_text()
    rows = re.findall(r"^\| (op|function) \| `([\w.]+)` \| (.*) \| \d+ \| [\d,]+ \|$", text, re.MULTILINE)
    assert {(kind, name) for kind, name, _ in rows} == {("op", name) for name in load_table()} | {
        ("function", f.name) for f in functions()
    }
    heads = set(re.findall(r"^\| kind \| name \| (.*) \| samples \| checks \|$", text, re.MULTILINE))
    assert {frozenset(head.split(" | ")) for head in heads} == {frozenset([*COLUMNS, "complex"])}
    reasons = dict(re.findall(r"^- ([⁰¹²³⁴⁵⁶⁷⁸⁹]+) (.+)$", text, re.MULTILINE))
    cells = {cell for _, _, cells in rows for cell in cells.split(" | ")}
    assert cells == {"✓"} | {f"—{n}" for n in reasons}

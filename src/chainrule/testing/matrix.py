"""The matrix of ops and laws: what of each op or public function is checked, whether it holds, and if not checked, why.

A column is one or more laws. Each case has one of three outcomes in it: it holds, it fails, or there is nothing to check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import contains
from typing import NamedTuple

from chainrule import autograd
from chainrule.core.op.declaration import Op
from chainrule.testing import declared, taylor, traced, values
from chainrule.testing.case import Case, OpError, cases, floating, is_floating, load_table
from chainrule.testing.compiled import compiled_equals_the_op
from chainrule.testing.composed import Composed, differentiated, function_cases, functions
from chainrule.testing.compositions import COMPOSITIONS
from chainrule.testing.forms import in_place_is_the_function, out_is_the_function
from chainrule.testing.law import Law, Silent


class Column(NamedTuple):
    """Laws that are told of together, and whether they are of derivatives."""

    laws: tuple[Law, ...]
    derivative: bool = True


COLUMNS: dict[str, Column] = {
    "value": Column((values.value_is_the_reference,), derivative=False),
    **{name: Column((law,), derivative=name.replace("vmap", "").strip("∘") != "") for name, law in COMPOSITIONS.items()},
    "in-place": Column((in_place_is_the_function,), derivative=False),
    "out": Column((out_is_the_function,), derivative=False),
    "jet": Column((taylor.jet_is_nested_forward_mode,)),
    "trace": Column((traced.graph_equals_the_op, declared.shapes_alone_give_the_same_graph), derivative=False),
    "compiled": Column((compiled_equals_the_op,), derivative=False),
}

RANDOM = Silent("random numbers: no two runs are alike (tests/core/test_random.py has their laws)")
DISCRETE = Silent("no derivative: its results are integers or booleans")
CONSTANT = Silent("no derivative: it is declared without one, and its result is a constant to autograd")
REFUSING = Silent("no derivative: asked for one, it raises, as in PyTorch")
GIVEN = Silent("no derivative is asked for: the arrays of its samples are integers, points given as they are, or empty")
NO_SAMPLE = Silent("it has no sample: its parameter is a path of views, or it starts at random; tests of its own hold it")
GAUGE = Silent("it depends on the vectors' phases, which are not determined: refused (tests/ops/test_linalg.py)")
NO_COMPLEX = Silent("it takes no complex numbers")
NO_SAMPLE_OF_COMPLEX = Silent("none of its samples is of complex numbers")

# Words of an error that says that there is no such derivative.
NO_RULE = r"derivative for .* is not implemented"
ABSENT: dict[str, Silent] = {
    NO_RULE: REFUSING,
    r"Trying to use forward AD with .* that does not support it": REFUSING,
    r"specified up to multiplication by": GAUGE,
}
LAYOUT = Silent("it reads memory as it lies, which is otherwise where examples stand side by side, as in PyTorch")
TIES = Silent("which of equal elements is taken is left open")
NUMERIC = tuple([name for name in COMPOSITIONS if set(name.split("∘")) == {"jvp"}])
# Names, columns and kinds of numbers that are not held to the law, and why.
EXCEPTIONS: tuple[tuple[tuple[str, ...], tuple[str, ...], str, Silent], ...] = (
    (("as_strided", "view_as_complex"), ("vmap",), "bifc", LAYOUT),
    (("linalg.svd", "svd"), NUMERIC, "c", GAUGE),
    (("topk",), ("value",), "i", TIES),
)


def exception(case: Case, name: str) -> Silent | None:
    """Return why a case is not held to a column's law; None if it is."""
    if not case.op.pure:
        return RANDOM
    of = (case.op.name, name, case.dtype.kind)
    return next((why for *places, why in EXCEPTIONS if all(map(contains, places, of))), None)


def no_derivative(case: Case) -> Silent:
    """Return why a case has no derivative."""
    if not case.op.is_differentiable:
        return CONSTANT if floating(case.call(case.args)) else DISCRETE
    return REFUSING if _refuses_derivative(case) else GIVEN


def _refuses_derivative(case: Case) -> bool:
    tensors = [t.requires_grad_() if is_floating(t) else t for t in case.tensors()]
    try:
        roots = [r for r in floating(case.call(tensors)) if r.requires_grad]
        autograd.backward(roots, [r.detach() for r in roots])
    except RuntimeError as error:
        return re.search(NO_RULE, str(error)) is not None
    return False


def outcome(case: Case, name: str, column: Column) -> Silent | OpError | None:
    """Return what a column finds of a case: None if it holds, what fails, or why there is nothing to check."""
    why = exception(case, name)
    if why is not None:
        return why
    if column.derivative:
        if not case.moving:
            return no_derivative(case)
        case = differentiated(case)
    said = []
    for law in column.laws:
        try:
            said.append(law(case))
        except OpError as error:
            return next((why for words, why in ABSENT.items() if _is_absent(error, words)), error)
    return said[0] if all(said) else None


def _is_absent(error: OpError, words: str) -> bool:
    return isinstance(error.__cause__, RuntimeError) and re.search(words, str(error.__cause__)) is not None


def failures(case: Case, columns: Mapping[str, Column] = COLUMNS) -> dict[str, str]:
    """Return what is wrong with a case, for each column that fails."""
    found = {name: outcome(case, name, column) for name, column in columns.items()}
    return {name: str(what) for name, what in found.items() if isinstance(what, OpError)}


def op_cases(ops: Iterable[Op] | None = None) -> list[Case]:
    """Return the cases of ops, all those of the table if not given, in all kinds of numbers that they take."""
    return cases(load_table().values() if ops is None else ops, "bifc")


def every_case() -> list[Case]:
    """Return the cases of all ops, and of all public functions that are not one op each."""
    return op_cases() + function_cases(functions())


class Cell(NamedTuple):
    """What a column says of all cases of an op: how many were checked, how many failed, and why one failed or none was."""

    checked: int
    failed: int
    why: str

    @property
    def mark(self) -> str:
        """A tick, a cross with the number that failed, or a dash."""
        return f"✗ {self.failed}" if self.failed else "✓" if self.checked else "—"


def cell(outcomes: Sequence[Silent | OpError | None]) -> Cell:
    """Return the cell of what a column found of an op's cases."""
    wrong = [o for o in outcomes if isinstance(o, OpError)]
    silent = [str(o) for o in outcomes if isinstance(o, Silent)]
    checked = len(outcomes) - len(silent)
    why = str(wrong[0]) if wrong else "" if checked else silent[0] if silent else NO_SAMPLE
    return Cell(checked, len(wrong), why)


def row(of: Sequence[Case], columns: Mapping[str, Column] = COLUMNS) -> dict[str, Cell]:
    """Return an op's cells; "complex" tells again of those of its cases that are of complex numbers, in all columns."""
    found = {name: [outcome(case, name, column) for case in of] for name, column in columns.items()}
    cells = {name: cell(outcomes) for name, outcomes in found.items()}
    complex_ = [o for outcomes in found.values() for o, case in zip(outcomes, of, strict=True) if case.dtype.kind == "c"]
    cells["complex"] = cell(complex_ or [NO_COMPLEX if of and "c" not in of[0].op.kinds else NO_SAMPLE_OF_COMPLEX])
    return cells


def is_function_call(case: Case) -> bool:
    """Tell whether a case is a call of a public function."""
    return isinstance(case.op, Composed)

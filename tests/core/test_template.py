"""Mutations of the template of hot paths: whatever check is left out of it, the laws of paths see it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.call import functions, template
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.op.source import Template
from chainrule.core.record.plans import needs_of
from chainrule.testing import paths
from chainrule.testing.case import OpError, cases, load_table

TEXT = template.HOT_PATH._text
CONDITION = re.compile(r"^( *)(if|elif) (.+?):(  #.*)?$")

# Conditions that are there for speed, or that another one stands behind: without them all is as it was.
SPEED = "what is left out where it is not needed: more is kept, and never read"
SLOWER = "more is left to the general path, which does the same"
NEEDLESS = {
    ("if out is not None:", "True"): SLOWER,
    ("if {x}.__class__ is Tensor:", "False"): "the next condition takes tensors, too: it is slower by 4 ns",
    ("elif {x}.__class__ in numbers:", "False"): SLOWER,
    ("elif {x}.__class__ in numbers and ({has_tensor}):", "False"): SLOWER,
    ("elif isinstance(x0, Tensor) and x0._plain and not x0._bit:", "x0._plain and not x0._bit"):
        "without it, what is no tensor is told by another error",
    ("elif isinstance(x0, Tensor) and x0._plain and not x0._bit:", "isinstance(x0, Tensor) and not x0._bit"):
        "values of transforms make a detour, which is asked about next",
    ("if d is not float32 and d is not float64:", "True"): SPEED,
    ("if d is not float32 and d is not float64:", "d is not float64"): SPEED,
    ("if d is not float32 and d is not float64:", "d is not float32"): SPEED,
    ("if d is not c and d is not float32 and d is not float64:", "d is not c and d is not float64"): SPEED,
    ("if d is not c and d is not float32 and d is not float64:", "d is not c and d is not float32"): SPEED,
    ("if d.kind in refused:", "True"): SLOWER,
    ('if out.__class__ is {"not ndarray" if view else "tuple or out.__class__ is list"}:', "True"): SLOWER,
    ("if keeps_dtype and (out.__class__ if d is c else out.dtype) is not d:", "False"):
        "of one input in a dtype that is not refused, the result is of the same",
    ('if x0._meta is not None{"" if tracked else " or t._meta is not None"}:', "True"): SPEED,
    ("if {of_inference}:", "True"): SLOWER,
    ("if saves:", "True"): SPEED,
    ("if saves_more:", "True"): SPEED,
    ("if wants_shapes:", "True"): SPEED,
    ("if plan.keeps:", "True"): SPEED,
    ("if plan.wants_shapes:", "True"): SPEED,
    ("if out.__class__ is not ndarray or a0 is input or a1 is {inputs[1][1]} or a0.shape == a1.shape:",
     "a0 is input or a1 is {inputs[1][1]} or a0.shape == a1.shape"): SPEED,
}  # fmt: skip


def operands(condition):
    """Return a condition's outermost word, "and" or "or", and what it joins."""
    for word in (" and ", " or "):
        parts = condition.split(word)
        whole = [word.join(parts[:i]) for i in range(1, len(parts)) if _is_balanced(word.join(parts[:i]))]
        if whole:
            starts = [0, *[len(w) + len(word) for w in whole]]
            return word, [condition[a:b] for a, b in zip(starts, [*map(len, whole), None], strict=True)]
    return "", [condition]


def _is_balanced(text):
    return all(text.count(a) == text.count(b) for a, b in ("()", "{}", "[]"))


class Mutant:
    """A template in which one condition is another."""

    def __init__(self, number, line, condition, replacement):
        self.line, self.replacement = line, replacement
        lines = TEXT.splitlines()
        lines[number] = lines[number].replace(f" {condition}:", f" {replacement}:")
        self.text = "\n".join(lines)

    @property
    def name(self):
        return self.line

    def __repr__(self):
        return f"{self.line} -> {self.replacement}"


def mutants():
    found = []
    for number, text in enumerate(TEXT.splitlines()):
        match = CONDITION.match(text)
        if match is None:
            continue
        _, word, condition, _ = match.groups()
        joint, parts = operands(condition)
        less = [joint.join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))] if joint else []
        found += [Mutant(number, f"{word} {condition}:", condition, other) for other in ("False", "True", *less)]
    return found


MUTANTS = mutants()


def form_of(op):
    """Return what decides of an op's path."""
    elementwise = op.kind == ELEMENTWISE
    needs = needs_of(op, tuple([rule is not None for rule in op.rules])) if op.is_differentiable else None
    promotion = op.promotion if elementwise else None
    return elementwise, promotion, op.view, op.shares, len(op.inputs), bool(op.params), "c" in op.kinds, str(needs)


def examples():
    """Return two cases in each kind of numbers of one op of each form."""
    found = {}
    for op in load_table().values():
        elementwise = op.kind == ELEMENTWISE
        has_path = (len(op.inputs) <= 3 and not op.shares) if elementwise else op.is_differentiable
        if op.pure and has_path and not (op.variadic or op.computes):
            few = [case for kind in "fcib" for case in cases([op], kind)[:2]]
            if few and form_of(op) not in found:
                found[form_of(op)] = few
    return list(found.values())


EXAMPLES = examples()


def made(op):
    return functions.make_public.__wrapped__(op) if op.kind == ELEMENTWISE else functions.make_call(op)


@pytest.fixture
def remade(monkeypatch):
    """Return a function that gives ops the paths of a template until it is called again."""
    monkeypatch.setattr(template, "_FUNCTIONS", {})

    def remake(text):
        monkeypatch.setattr(template, "HOT_PATH", Template(text, template.HOT_PATH._names))
        template.source_of.cache_clear()
        template._FUNCTIONS.clear()

    yield remake
    template.source_of.cache_clear()


def broken(monkeypatch, examples=EXAMPLES):
    """Return what paths of the template do wrong; None if nothing. The example that shows it is asked first from then on."""
    try:
        wrong = broken_otherwise()
    except Exception as error:
        return error
    if wrong is not None:
        return wrong
    for i, few in enumerate(examples):
        op = few[0].op
        try:
            with monkeypatch.context() as patch:
                patch.setattr(op, "call", made(op))
                for case in few:
                    paths.hot_path_is_the_general_path(case)
                    if case.dtype.kind == "f":
                        paths.hot_path_is_taken(case)
        except (OpError, SyntaxError, NameError) as error:
            examples.insert(0, examples.pop(i))
            return error
    return None


def broken_otherwise():
    """Check what laws of one call of an op do not: ``out=``, numbers alone, and what is left of NumPy's state."""
    op = load_table()["sin"]
    sine = functions.make_asking(op, lambda out, name, f, args, params: out.copy_(f(*args, **params)))
    x, out = cr.ones(3), cr.zeros(3)
    if sine(x, out=out) is not out or not out.equal(cr.sin(x)) or not sine(x).equal(out):
        return "out="
    if functions.make_public.__wrapped__(load_table()["add"])(1.0, 2.0).item() != 3.0:
        return "numbers alone"
    assert not load_table()["log"].backend.calm
    with np.errstate(divide="warn"):
        made(load_table()["log"])(x)
        if np.geterr()["divide"] != "warn":
            return "NumPy's way with errors"
    return None


@pytest.mark.slow
def test_the_template_itself_breaks_no_law(remade, monkeypatch):
    remade(TEXT)
    assert broken(monkeypatch, [few[::2] for few in EXAMPLES]) is None


@pytest.mark.slow
@by_name("mutant", [m for m in MUTANTS if (m.line, m.replacement) not in NEEDLESS], lambda mutant: mutant.line)
def test_a_condition_left_out_is_seen(mutant, remade, monkeypatch):
    remade(mutant.text)
    assert broken(monkeypatch) is not None


def test_what_is_needless_is_there():
    assert NEEDLESS.keys() <= {(m.line, m.replacement) for m in MUTANTS}
    assert len(MUTANTS) > 100

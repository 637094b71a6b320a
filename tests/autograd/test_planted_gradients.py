"""The planted programs have the faults that they say, under chainrule and PyTorch alike, and `explain` says why: of all."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.graph import noting

from .planted_gradients import CAUSES, FAULTS, PLANTED
from .planted_later import LATER
from .planted_training import OF_CONSTANTS, TRAINING

ALL = [*PLANTED, *LATER, *TRAINING]

HAS = {"nan": np.isnan, "inf": np.isinf, "zero": lambda g: g == 0}


def by_name(programs):
    return pytest.mark.parametrize("planted", programs, ids=lambda p: p.name)


def test_ten_programs_of_each_fault():
    assert Counter(p.fault for p in PLANTED) == dict.fromkeys(FAULTS, 10)
    assert len({p.name for p in ALL}) == 40 + len(LATER) + len(TRAINING)
    assert {p.cause for p in ALL} <= set(CAUSES)


@by_name(ALL)
def test_every_cause_but_no_use_has_a_line(planted):
    assert (planted.line() is None) == (planted.cause in ("unused", "frozen"))
    assert (planted.line("mask") is not None) == (planted.fault == "nan" and planted.cause in ("masked", "bad data"))


@by_name(ALL)
def test_the_gradient_has_the_fault(planted):
    grad = planted.gradient()
    if planted.fault == "none":
        assert grad is None
    else:
        assert tuple(np.argwhere(HAS[planted.fault](grad))[0]) == planted.at


@by_name(ALL)
def test_pytorch_has_the_same_gradient(planted, torch):
    ours, theirs = planted.gradient(), planted.gradient(torch)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@by_name(ALL)
def test_other_inputs_are_sound_where_none_is_asked(planted):
    if planted.fault == "none" and len(planted.made()[1]) > 1:
        f, inputs = planted.made()
        f(*inputs).backward()
        assert any(x.grad is not None for x in inputs)


# -- what explain says of them -----------------------------------------------------------------------------------------


def of_function(planted, **options):
    f, inputs = planted.made()
    return cr.explain(lambda: f(*inputs), inputs[planted.asked], **options)


def assert_right(planted, found, *, line=True):
    assert (found.kind, found.cause, found.element) == (planted.fault, planted.cause, planted.at), str(found)
    if planted.line() is not None and line:
        assert (found.forward.file, found.line) == (planted.program.__code__.co_filename, planted.line()), str(found)
    if planted.line("mask") is not None:
        assert found.backward.line == planted.line("mask"), str(found)
    assert found.remedy
    assert found.cause in str(found)


@by_name(ALL)
def test_explain_names_cause_line_and_element_of_a_function(planted):
    found = of_function(planted)
    assert_right(planted, found, line=planted.cause != "not a leaf")  # the function is given what was made before


@by_name(ALL)
def test_explain_names_cause_line_and_element_of_a_whole_program(planted):
    def whole():
        f, inputs = planted.made()
        return f(*inputs), inputs[planted.asked]

    (found,) = cr.explain(whole)
    assert_right(planted, found)


def as_a_graph_has_it(planted):
    return planted._replace(cause="bad data") if planted.name in OF_CONSTANTS else planted


KNOWN_LATER = [p for p in ALL if p.fault != "none" and p.cause != "custom rule"]  # whose saved tensors are freed


@by_name(KNOWN_LATER)
def test_explain_names_them_after_a_backward_pass_that_was_noted(planted):
    with noting(values=True):
        f, inputs = planted.made()
        loss = f(*inputs)
        loss.backward()
    x = inputs[planted.asked]
    found = cr.explain(x.grad)  # which looks for the loss among these variables
    assert_right(as_a_graph_has_it(planted), found, line=planted.name not in OF_CONSTANTS)


@by_name(ALL)
def test_a_graph_alone_tells_all_but_lines_and_cuts(planted):
    f, inputs = planted.made()
    found = cr.explain(f(*inputs), inputs[planted.asked])
    assert (found.kind, found.element) == (planted.fault, planted.at)
    assert found.cause == as_a_graph_has_it(planted).cause or (found.kind == "none" and found.cause == "not in the graph")
    assert found.forward is None


def test_sound_elements_are_not_called_faulty():
    asked = 0
    for planted in ALL:
        grad = planted.gradient()
        sound = [] if grad is None else np.argwhere(np.isfinite(grad) & (grad != 0)).tolist()
        for at in sound:
            found = of_function(planted, element=at)
            assert (found.kind, found.cause) == ("fine", ""), (planted.name, at, str(found))
            asked += 1
    assert asked > 40

"""The planted programs have the faults that they say, under chainrule and under PyTorch alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from .planted_gradients import CAUSES, FAULTS, PLANTED

HAS = {"nan": np.isnan, "inf": np.isinf, "zero": lambda g: g == 0}


def by_name(programs):
    return pytest.mark.parametrize("planted", programs, ids=lambda p: p.name)


def test_ten_programs_of_each_fault():
    assert Counter(p.fault for p in PLANTED) == dict.fromkeys(FAULTS, 10)
    assert len({p.name for p in PLANTED}) == 40
    assert {p.cause for p in PLANTED} <= set(CAUSES)


@by_name(PLANTED)
def test_every_cause_but_no_use_has_a_line(planted):
    assert (planted.line() is None) == (planted.cause in ("unused", "frozen"))
    assert (planted.line("mask") is not None) == (planted.fault == "nan" and planted.cause in ("masked", "bad data"))


@by_name(PLANTED)
def test_the_gradient_has_the_fault(planted):
    grad = planted.gradient()
    if planted.fault == "none":
        assert grad is None
    else:
        assert tuple(np.argwhere(HAS[planted.fault](grad))[0]) == planted.at


@by_name(PLANTED)
def test_pytorch_has_the_same_gradient(planted, torch):
    ours, theirs = planted.gradient(), planted.gradient(torch)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@by_name(PLANTED)
def test_other_inputs_are_sound_where_none_is_asked(planted):
    if planted.fault == "none" and len(planted.made()[1]) > 1:
        f, inputs = planted.made()
        f(*inputs).backward()
        assert any(x.grad is not None for x in inputs)

"""Faults planted in the compiler: a guard that always holds, a pass and kernels that are wrong are seen by what tests ask."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from tests.compiler.planted import always_holding, wrong_kernel, wrong_pass

import chainrule as cr
from chainrule.testing.case import OpError, cases
from chainrule.testing.compiled import compiled_equals_the_op

SIN, MUL = (next(case for case in cases(kinds="f") if case.op.name == name) for name in ("sin", "mul"))


def branching(x):
    return x.sin() * 2 if x.sum() > 0 else x * 3


def is_right():
    f = cr.compile(branching)
    return all(cr.allclose(f(x), branching(x)) for x in (cr.ones(3), -cr.ones(3), 2 * cr.ones(3), -2 * cr.ones(3)))


def test_without_a_fault_all_is_right():
    assert is_right()
    compiled_equals_the_op(SIN)
    compiled_equals_the_op(MUL)


def test_a_guard_that_always_holds_is_seen(monkeypatch):
    always_holding(monkeypatch)
    assert not is_right()


def test_a_wrong_pass_is_seen(monkeypatch):
    wrong_pass(monkeypatch)
    with pytest.raises(OpError, match=r"call 1 \(draw 0\): result 0"):
        compiled_equals_the_op(SIN)


def test_a_wrong_kernel_is_seen(monkeypatch):
    wrong_kernel(monkeypatch)
    with pytest.raises(OpError, match=r"call 1 \(draw 0\): result 0"):
        compiled_equals_the_op(SIN)
    assert not is_right()

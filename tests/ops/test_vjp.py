"""Reverse mode: the transpose of forward mode, and what the engine relies on in rules."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, derivatives, interface


@by_name("case", cases(differentiable=True))
def test_vjp_is_the_transpose_of_jvp(case):
    derivatives.vjp_is_the_transpose_of_jvp(case)


@by_name("case", cases(differentiable=True))
def test_backward_gives_the_vjp(case):
    interface.backward_gives_the_vjp(case)


@by_name("case", cases(differentiable=True))
def test_rules_return_fresh_arrays(case):
    interface.rules_return_fresh_arrays(case)


@by_name("case", cases(differentiable=True))
def test_rules_write_nowhere(case):
    interface.rules_write_nowhere(case)


@by_name("case", cases(kinds="f", differentiable=True))
def test_second_backward_raises(case):
    interface.second_backward_raises(case)

"""Reverse mode: the transpose of forward mode, and what the engine relies on in rules."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, derivatives, interface


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_vjp_is_the_transpose_of_jvp(case):
    derivatives.vjp_is_the_transpose_of_jvp(case)


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_backward_gives_the_vjp(case):
    interface.backward_gives_the_vjp(case)


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_rules_return_fresh_arrays(case):
    interface.rules_return_fresh_arrays(case)


@pytest.mark.parametrize("case", cases(differentiable=True), ids=repr)
def test_rules_write_nowhere(case):
    interface.rules_write_nowhere(case)


@pytest.mark.parametrize("case", cases(kinds="f", differentiable=True), ids=repr)
def test_second_backward_raises(case):
    interface.second_backward_raises(case)

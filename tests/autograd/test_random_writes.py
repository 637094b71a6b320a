"""Random programs that write in place, against numeric differentiation, without PyTorch: no gradient is silently wrong."""

from __future__ import annotations

import pytest
from tests.autograd.numeric import cut, drawn, wrong
from tests.autograd.programs import write

import chainrule as cr
from chainrule.core.graph.nodes import Version
from chainrule.core.op.declaration import TABLE
from chainrule.core.record import plans
from chainrule.core.write import inplace


def check(seeds):
    """Check the programs of seeds; return how many gradients were right, and how many refused."""
    found = [0, 0]
    for seed in seeds:
        steps = drawn(seed)
        fault, right, refused = wrong(steps)
        if fault is not None:
            steps = cut(steps)
            raise AssertionError(f"the program of seed {seed}, cut down to\n{write(steps)}\n{wrong(steps)[0]}")
        found = [found[0] + right, found[1] + refused]
    return found


@pytest.mark.parametrize("chunk", [0, 1, *[pytest.param(chunk, marks=pytest.mark.slow) for chunk in (2, 3)]])
def test_no_gradient_of_a_program_that_writes_is_silently_wrong(chunk):
    right, refused = check(range(chunk * 100, chunk * 100 + 100))
    assert right > 4 * refused > 0


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(20))
def test_none_of_ten_thousand_is(chunk):
    check(range(10_000 + chunk * 500, 10_500 + chunk * 500))


# -- planted faults ----------------------------------------------------------------------------------------------------


def finds_a_fault(seeds=range(300)):
    return any(wrong(drawn(seed))[0] is not None for seed in seeds)


def test_writes_that_count_for_nothing_are_found(monkeypatch):
    monkeypatch.setattr(Version, "bump", lambda self: None)
    assert finds_a_fault()


def test_a_reshape_without_the_version_of_its_memory_is_found(monkeypatch):
    monkeypatch.setattr(plans, "shared_version", lambda out, x: None)
    for name in ("named", "reshape"):  # their calls are made from the template, in spaces of their own
        monkeypatch.setitem(TABLE[name].call.__globals__, "shared_version", lambda out, x: None)
    assert finds_a_fault(range(2000))


def test_views_that_keep_their_history_after_a_write_are_found(monkeypatch):
    monkeypatch.setattr(inplace, "rewire", lambda target, value, name: setattr(target, "_node", value._node))
    assert finds_a_fault()


def test_a_program_of_one_write_is_checked():
    steps = [("leaf", "", 0, 0, 1), ("unary", "exp", 0, 0, 0), ("no_grad write", "number", 0, 0, 0)]
    assert wrong(steps) == (None, 1, 1)
    assert cr.ones(1)._version == 0

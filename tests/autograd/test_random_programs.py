"""Random programs of views, writes in place, branches, hooks and passes: every step gives what it gives in PyTorch."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.autograd.programs import KINDS, TABLES, cut, from_seed, made, run_both

import chainrule as cr


@st.composite
def programs(draw, length=25):
    """A program of up to so many steps; a failing one shrinks to few steps and small numbers."""
    steps = made(lambda n: draw(st.integers(0, n - 1)), 0)
    for _ in range(draw(st.integers(1, length))):
        kind = draw(st.sampled_from(KINDS))
        name = draw(st.sampled_from(list(TABLES.get(kind, ("",)))))
        steps.append((kind, name, *[draw(st.integers(0, 999)) for _ in range(3)]))
    return steps


@pytest.mark.slow
@given(programs())
@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_a_drawn_program_is_pytorchs(torch, program):
    run_both(torch, cr, program)


@pytest.mark.parametrize("chunk", range(4))
def test_programs_of_seeds_are_pytorchs(torch, chunk):
    compare(torch, range(chunk * 20, chunk * 20 + 20), 25)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(4, 10))
def test_more_programs_of_seeds_are_pytorchs(torch, chunk):
    compare(torch, range(chunk * 20, chunk * 20 + 20), 25)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(20))
def test_many_programs_of_seeds_are_pytorchs(torch, chunk):
    compare(torch, range(1000 + chunk * 100, 1100 + chunk * 100), 40)


def compare(torch, seeds, length):
    for seed in seeds:
        steps = from_seed(seed, length)
        try:
            run_both(torch, cr, steps)
        except AssertionError as error:
            short = cut(torch, cr, steps)
            raise AssertionError(f"the program of seed {seed}, cut down to\n{short}\n{error}") from None


def test_a_planted_fault_is_found_and_cut_down(torch, monkeypatch):
    """A write that leaves the views of its base as they were would be found."""
    from chainrule.core.write import inplace

    monkeypatch.setattr(inplace, "rewire", lambda target, value, name: setattr(target, "_node", value._node))
    steps = next(s for s in map(from_seed, range(200)) if fails(torch, s))
    short = cut(torch, cr, steps)
    assert fails(torch, short)
    assert len(short) < len(steps)


def fails(torch, steps):
    try:
        run_both(torch, cr, steps)
    except Exception:
        return True
    return False

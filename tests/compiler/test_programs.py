"""Drawn programs with branches, loops and writes in place: compiled, over several calls with other data, they are eager."""

from __future__ import annotations

from zlib import crc32

import pytest

pytest.importorskip("torch")  # the tables of tests.drawn are made of its functions
pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.drawn import compiling
from tests.drawn.branching import MORE_STEPS, WAYS, Branching
from tests.drawn.programs import Program, programs

import chainrule as cr

pytestmark = pytest.mark.usefixtures("small_heap")  # a recording may look through it


def check_many(order, examples, check=compiling.check, **how):
    """Check so many programs."""

    @seed(order)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(programs(order, **how))
    def run(program):
        check(program)

    run()


BRANCHING = {"least": 5, "most": 12, "writing": Branching, "steps": WAYS}


def natively(every, of=compiling.check):
    """Return a check that makes native code of one in so many programs, and replays the others, for a fifth of the cost."""

    def check(program):
        of(program, backend="eager" if crc32(str(program).encode()) % every else "chainrule")

    return check


def test_some_branching_programs_compiled_are_eager():
    check_many(0, 40, natively(every=10), **BRANCHING)


def test_no_gradient_of_some_programs_is_wrong_after_a_write():
    check_many(0, 15, natively(every=15, of=compiling.check_after_writes), **BRANCHING)


@pytest.mark.slow
def test_no_gradient_is_wrong_after_a_write():
    check_many(12, 200, natively(every=10, of=compiling.check_after_writes), **BRANCHING)


@pytest.mark.slow
@pytest.mark.parametrize("order", [*range(1, 6), *[pytest.param(order, marks=pytest.mark.sweep) for order in range(6, 11)]])
def test_a_thousand_branching_programs_compiled_are_eager(order):
    check_many(order, 200, natively(every=10), **BRANCHING)


@pytest.mark.slow
def test_programs_of_the_whole_table_compiled_are_eager():
    check_many(11, 50, natively(every=2), steps=MORE_STEPS)


@pytest.mark.sweep
@pytest.mark.parametrize("order", range(1, 11))
def test_a_thousand_branching_programs_made_native_are_eager(order):
    check_many(order, 100, **BRANCHING)


@pytest.mark.sweep
@pytest.mark.parametrize("order", range(10))
def test_a_thousand_programs_of_the_whole_table_made_native_are_eager(order):
    check_many(order, 100, steps=MORE_STEPS)


def test_programs_take_other_ways_with_other_draws_and_seldom_raise(monkeypatch):
    taken, honest, turning, raising = [], cr.Tensor.__bool__, [], []
    monkeypatch.setattr(cr.Tensor, "__bool__", lambda x: taken.append(honest(x)) or taken[-1])

    def look(program):
        ways = set()
        for draw in range(3):
            taken.clear()
            run = compiling.outside(compiling.function_of(program), program)
            raising.append(compiling.outcome(run, compiling.leaves_of(program, draw))[1] is not None)
            ways.add(tuple(taken))
        turning.append(len(ways) > 1)

    check_many(0, 60, look, **BRANCHING)
    assert sum(turning) > len(turning) / 3
    assert sum(raising) < len(raising) / 3


# -- planted faults ----------------------------------------------------------------------------------------------------

PROGRAM = Program(
    (
        "x0 = given.leaf((3,))",
        "x1 = x0 * 2",
        "if given.mass(x1) > 4.0173:",
        "    x2 = x1.sin()",
        "else:",
        "    x2 = x1 * 3",
        "x3 = x2.tanh()",
    ),
    seed=3,
    end="grad",
    calls=(),
)


def compiled_wrong(wrong):
    """Return a compiler whose functions go wrong."""

    def compile(f, **options):
        memory: list = []

        def run(*leaves):
            return wrong(f, memory, *leaves)

        return run

    return compile


def first_way(f, memory, *leaves):
    """Replay what the first call recorded, whatever the guards say: here, its values."""
    if not memory:
        memory.append(f(*leaves))
    return memory[0]


def without_gradient(f, memory, *leaves):
    return {name: x.detach().requires_grad_(x.requires_grad) for name, x in f(*leaves).items()}


def writing_to_leaves(f, memory, *leaves):
    found = f(*leaves)
    with cr.no_grad():
        leaves[0].mul_(1.001)
    return found


@pytest.mark.parametrize("wrong", [first_way, without_gradient, writing_to_leaves])
def test_a_wrong_compiler_is_found(wrong, monkeypatch):
    assert compiling.fault(PROGRAM) is None
    monkeypatch.setattr(cr, "compile", compiled_wrong(wrong))
    with pytest.raises(AssertionError, match="and cut down"):
        compiling.check(PROGRAM)


def test_a_cut_program_is_a_script(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cr, "compile", compiled_wrong(first_way))
    with pytest.raises(AssertionError) as raised:
        compiling.check(PROGRAM)
    text = "from tests." + str(raised.value).partition("from tests.")[2]
    path = tmp_path / "script.py"
    path.write_text(text)
    exec(compile(text, str(path), "exec"), {})
    assert "call 1 (draw 1)" in capsys.readouterr().out

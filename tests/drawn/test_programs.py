"""Five thousand drawn programs over the whole table: values, dtypes, shapes, gradients and errors are PyTorch's."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("hypothesis")

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.drawn import calls, running
from tests.drawn.given import Given, flat, inf, nan
from tests.drawn.programs import programs

import chainrule as cr
from chainrule.core.graph.nodes import Version

pytestmark = pytest.mark.slow


def check_many(order, examples, check=running.check):
    """Check so many programs of an order of the functions; return how often each function was called."""
    reached: Counter = Counter()

    @seed(order)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(programs(order))
    def run(program):
        check(program)
        reached.update(program.calls)

    run()
    return reached


def test_five_thousand_programs_of_the_whole_table_are_pytorchs():
    reached = sum((check_many(order, 200) for order in range(25)), Counter())
    names = {*calls.table()[0], *calls.table()[1]}
    missed = names - set(reached)
    assert len(missed) < len(names) / 50, f"{len(missed)} of {len(names)} functions were not called: {sorted(missed)}"


def test_every_function_that_pytorch_has_can_be_called_by_a_program():
    assert {name for name, why in calls.missing().items() if why != "PyTorch has none"} == set(calls.EXCLUDED)


def test_what_pytorch_lets_be_written_to_after_a_call_may_be_here():
    """A result or an input that no rule needs, or that it needs and PyTorch keeps otherwise, is free."""
    refused = set()
    for name, by_dtype in calls.table()[0].items():
        for call in by_dtype.get("float64", []):
            if call.is_recorded and call.slots:
                for k in range(len(call.results) + len(call.slots)):
                    theirs, ours = (error_of_a_write(lib, call, k) for lib in (torch, cr))
                    if theirs is None and running.MODIFIED in str(ours):
                        refused.add(name)
    assert refused <= calls.KEEPING


def error_of_a_write(lib, call, k):
    """Return the error of a pass back through a call after its k-th result, or input after those, was written to."""
    space = {"lib": lib, "given": Given(lib), "flat": flat, "inf": inf, "nan": nan}
    x = space["given"].leaf((5,))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = [eval(slot.text.format("x"), space, {"x": x}) for slot in call.slots]
        text = call.text.format(*[f"inputs[{i}]" for i in range(len(inputs))])
        results = flat(eval(text, space, {"inputs": inputs}))
        total = sum([(out * 1).abs().sum() for out in results if getattr(out, "requires_grad", False)])
        written = [*results, *inputs][k]
        if not getattr(written, "requires_grad", False):
            return None
        try:
            with lib.no_grad():
                written.detach().mul_(2)
            lib.autograd.grad(total, x)
        except RuntimeError as error:
            return error
    return None


def test_a_program_is_a_script(capsys):
    program = running.Program(("x0 = given.leaf((2,))", "x1 = lib.sin(x0)"), 3, "twice", ("sin",))
    exec(compile(str(program), "<script>", "exec"), {})
    assert "second gradient of leaf 0" in capsys.readouterr().out
    running.check(program)


# -- planted faults ----------------------------------------------------------------------------------------------------


def test_writes_that_count_for_nothing_are_found(monkeypatch):
    monkeypatch.setattr(Version, "bump", lambda self: None)
    with pytest.raises(AssertionError, match="def program"):
        check_many(0, 1000)

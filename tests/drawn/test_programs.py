"""Five thousand drawn programs over the whole table: values, dtypes, shapes, gradients and errors are PyTorch's."""

from __future__ import annotations

import itertools
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
from chainrule.core.call import dispatch
from chainrule.core.graph.nodes import Version
from chainrule.core.types import dtype
from chainrule.core.types.dtype import result_type
from chainrule.ops.pointwise import special

pytestmark = pytest.mark.slow


def check_many(order, examples, check=running.check):
    """Check so many programs of an order of the functions; return how often each function was called."""
    reached: Counter = Counter()

    @seed(order)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],  # `cut` shortens better
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
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, inputs, space = made(lib, call)
        results = called(call, inputs, space)
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


def made(lib, call):
    """Return a leaf, a call's inputs made of it, and the names that its text knows."""
    space = {"lib": lib, "given": Given(lib), "flat": flat, "inf": inf, "nan": nan}
    x = space["given"].leaf((5,))
    return x, [eval(slot.text.format("x"), space, {"x": x}) for slot in call.slots], space


def called(call, inputs, space):
    """Return a call's results, flat."""
    return flat(eval(call.text.format(*[f"inputs[{i}]" for i in range(len(inputs))]), space, {"inputs": inputs}))


def test_one_input_in_single_precision_gives_pytorchs_dtypes_or_an_error():
    different = {}
    for by_dtype in calls.table()[0].values():
        for call in by_dtype.get("float64", []):
            for k in range(len(call.slots)):
                theirs, ours = (dtypes_with_a_single(lib, call, k) for lib in (torch, cr))
                if theirs is not None and ours is not None and theirs != ours:
                    different[call.text] = theirs, ours
    assert different == {}


def dtypes_with_a_single(lib, call, k):
    """Return the dtypes of a call's results, its k-th input in single precision and the others in double; None if it raises."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, inputs, space = made(lib, call)
        inputs[k] = inputs[k].to(lib.float32)
        try:
            results = called(call, inputs, space)
        except (RuntimeError, TypeError, ValueError):
            return None
    return [str(getattr(out, "dtype", "")).rpartition(".")[2] for out in results]


def test_elementwise_functions_of_every_pair_of_dtypes_give_pytorchs_dtype_or_an_error():
    different = {}
    for where, domains in calls.elementwise().values():
        for names in itertools.product(DTYPES, repeat=len(domains)) if len(domains) < 3 else ():
            theirs, ours = (dtype_of_ones(lib, where, names) for lib in (torch, cr))
            if theirs is not None and ours is not None and theirs != ours:
                different[where, names] = theirs, ours
    assert different == {}


DTYPES = ("bool", "uint8", "int8", "int64", "float16", "float32", "float64", "complex64")


def dtype_of_ones(lib, where, names):
    """Return the dtype of a function of tensors of dtypes; None if it raises."""
    with np.errstate(all="ignore"):
        try:
            out = eval(where, {"lib": lib})(*[lib.ones(2).to(getattr(lib, name)) for name in names])
        except (RuntimeError, TypeError, NotImplementedError):
            return None
    return str(out.dtype).rpartition(".")[2]


def test_nothing_divided_by_an_integer_zero_is_nothing():
    """Found by a drawn program."""
    lines = ("x0 = given.leaf((2,))", "x1 = lib.{}(given.ints((0,), 0, 1), given.ints((1,), 0, 1))")
    for name in ("remainder", "fmod", "floor_divide"):
        running.check(running.Program((lines[0], lines[1].format(name)), 0, "grad", (name,)))
        assert cr.div(cr.ones(0, dtype=cr.int64), cr.tensor([0]), rounding_mode="floor").shape == (0,)


def test_a_program_is_a_script(capsys):
    program = running.Program(("x0 = given.leaf((2,))", "x1 = lib.sin(x0)"), 3, "twice", ("sin",))
    exec(compile(str(program), "<script>", "exec"), {})
    assert "second gradient of leaf 0" in capsys.readouterr().out
    running.check(program)


# -- planted faults ----------------------------------------------------------------------------------------------------


def finds_a_fault():
    """Return what is told of the first program that goes wrong."""
    try:
        for order in range(20):
            check_many(order, 200)
    except AssertionError as error:
        return str(error)
    return ""


def test_writes_that_count_for_nothing_are_found(monkeypatch):
    monkeypatch.setattr(Version, "bump", lambda self: None)
    assert "where PyTorch refuses" in finds_a_fault()


def test_a_wrong_derivative_is_found(monkeypatch):
    monkeypatch.setattr(special, "SQRT_PI", 1.8)  # of erf and its kin
    assert "gradient of leaf" in finds_a_fault()


def test_a_wrong_promotion_is_found(monkeypatch):
    """Tensors of no dimensions as strong as others."""
    strong = lambda dimensioned, zero_dim, numbers: result_type([*dimensioned, *zero_dim], [], numbers)
    monkeypatch.setattr(dtype, "result_type", strong)
    monkeypatch.setattr(dispatch, "_beside_a_number", lambda x, y: None)  # which is the same rule, for the common dtypes
    assert ", PyTorch: " in finds_a_fault()

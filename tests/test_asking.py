"""How public functions ask who overrides them: all of them do, once, and what they run can be stepped through."""

import inspect
import linecache
import subprocess
import sys
import warnings

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import overrides


class Noted(overrides.TorchFunctionMode):
    """Answers every question and notes who was asked about."""

    def __init__(self):
        self.asked = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.asked.append(func)
        return "the answer"


class Alike:
    """No tensor, but it has the protocol."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func


def required(function):
    """How many arguments a function cannot be called without."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


FUNCTIONS = [
    f for space, functions in overrides.get_overridable_functions().items() if inspect.ismodule(space) for f in functions
]
METHODS = overrides.get_overridable_functions()[cr.Tensor]
PROPERTIES = [p for p in overrides.get_overridable_functions() if isinstance(p, property)]
DATA = {cr.tensor, cr.as_tensor, cr.asarray, cr.from_numpy, cr.from_dlpack}


def asked_about(call, *args):
    """Whom a mode is asked about by a call that it answers; None if the call gave something else."""
    with Noted() as mode:
        return mode.asked if call(*args) == "the answer" else None


def test_every_function_asks_the_mode_about_itself():
    assert [f for f in FUNCTIONS if asked_about(f, *[object()] * required(f)) != [f]] == []


def test_what_asks_does_not_hang_on_what_was_used_before():
    used = "for name in (*late.FUNCTIONS,): getattr(cr, name)"
    count = "print(*sorted(map(overrides.resolve_name, overrides.get_overridable_functions()[cr])))"
    lines = ("import chainrule as cr", "from chainrule.functions import late", "from chainrule import overrides", count)
    fresh, later = ([*lines], [*lines[:2], used, *lines[2:]])
    said = [subprocess.run([sys.executable, "-c", "\n".join(p)], capture_output=True, text=True) for p in (fresh, later)]
    assert said[0].stdout.split() == said[1].stdout.split() != []


def test_every_function_asks_a_look_alike_but_those_of_data():
    for function in filter(required, FUNCTIONS):
        if function in DATA:
            with pytest.raises((TypeError, RuntimeError, ValueError, AttributeError)):
                function(Alike())
        else:
            assert function(Alike(), *[cr.ones(1)] * (required(function) - 1)) is function


def test_every_method_asks_about_one_method():
    x = cr.ones(1)
    for method in METHODS:
        (asked,) = asked_about(method, x, *[object()] * (required(method) - 1))
        assert asked in METHODS


def test_every_property_asks_about_its_getter():
    x = cr.ones(1)
    assert [p for p in PROPERTIES if asked_about(p.__get__, x) != [p.__get__]] == []


def test_functions_are_asked_about_with_the_arguments_that_were_given():
    seen = []

    class Seen(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append((args, kwargs))

    x = cr.ones(2)
    with Seen():
        cr.add(x, 1)
        cr.add(x, 1, alpha=2)
        cr.zeros(2, 3, dtype=cr.int64)
        cr.tensor(1.0, requires_grad=True)
        cr.sum(x, axis=0)
        cr.autograd.grad(x, x, retain_graph=True)
    assert seen == [
        ((x, 1), {}), ((x, 1), {"alpha": 2}), ((2, 3), {"dtype": cr.int64}), ((1.0,), {"requires_grad": True}),
        ((x,), {"axis": 0}), ((x, x), {"retain_graph": True}),
    ]  # fmt: skip


def test_no_code_is_exchanged_when_functions_come_to_ask():
    program = """
from types import FunctionType
import chainrule as cr, chainrule.nn.functional as F, chainrule.autograd, chainrule.transforms.reverse as reverse
from chainrule import sin
spaces = (cr, F, cr.autograd, reverse)
found = [f for s in spaces for f in vars(s).values() if isinstance(f, FunctionType)]
found += [m for m in vars(cr.Tensor).values() if isinstance(m, FunctionType)]
before = [f.__code__ for f in found]
class Named(cr.Tensor): pass
assert type(sin(Named([1.0]))) is Named
assert [f.__code__ for f in found] == before
assert all(vars(s).get(f.__name__, f) is f for s in spaces for f in vars(s).values() if f in found)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("call", [lambda x: cr.sin(x), lambda x: cr.add(x, 1), lambda x: x + 1, lambda x: x.shape, F.relu])
def test_every_line_of_an_overridden_call_can_be_stepped_through(call):
    class Named(cr.Tensor):
        pass

    lines = set()

    def trace(frame, event, argument):
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    x = Named([1.0])
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call(x)
    finally:
        sys.settrace(before)
    assert any(name.endswith("asking.py") for name, _ in lines)
    assert [line for line in lines if not linecache.getline(*line).strip()] == []


def test_hot_functions_treat_parameters_as_plain_and_subclasses_not():
    class Named(cr.Tensor):
        pass

    class Scale(cr.nn.Parameter):
        pass

    assert (cr.Tensor._plain, cr.nn.Parameter._plain, Scale._plain, Named._plain) == (True, True, True, False)
    seen = []
    cr.func.grad(lambda x: seen.append(type(x)._plain) or x.sum())(cr.ones(2))
    assert seen == [False]


def test_a_mode_is_asked_about_operators_whether_or_not_they_record():
    x, w = cr.ones(2), cr.ones(2, requires_grad=True)
    for enabled in (True, False):
        for y in (x, w):
            with cr.set_grad_enabled(enabled), Noted() as mode:
                assert (y * 2, cr.sin(y), y.sin()) == ("the answer",) * 3
            assert mode.asked == [cr.Tensor.mul, cr.sin, cr.Tensor.sin]
    assert (x * 2).tolist() == [2.0, 2.0]


def test_a_mode_is_asked_inside_transforms():
    asked = []

    class Seen(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            asked.append(func)
            return func(*args, **(kwargs or {}))

    with Seen():
        cr.func.grad(lambda x: cr.sin(x) * x)(cr.tensor(1.0))
    assert asked.count(cr.sin) == 1
    assert asked.count(cr.Tensor.mul) == 1


@pytest.mark.parametrize("call", [
    lambda: F.mse_loss(cr.ones(2), cr.ones(3, 1)), lambda: F.mse_loss(cr.ones(2), cr.ones(2), size_average=True),
    lambda: F.softmax(cr.ones(2)), lambda: F.kl_div(cr.ones(2), cr.ones(2)),
    lambda: cr.autograd.backward(cr.ones((), requires_grad=True) * 1, create_graph=True),
])  # fmt: skip
def test_warnings_of_wrapped_functions_point_at_the_caller(call):
    with overrides.DisableTorchFunction(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert [w.filename for w in caught] == [__file__]

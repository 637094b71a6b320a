"""Compiled functions do what the functions do, whatever state of Python they read or change, within calls and between."""

from __future__ import annotations

import array
import collections
import contextvars
import dataclasses
import io
import itertools
import os
import random
import types
import warnings
from threading import local

import pytest

import chainrule as cr
from chainrule.optim import lr_scheduler as schedules

VARIABLE = contextvars.ContextVar("VARIABLE", default=1)


class Slotted:
    """An object without a dict."""

    __slots__ = ("n",)

    def __init__(self):
        self.n = 1


@dataclasses.dataclass(slots=True)
class Record:
    """Its like, from a decorator."""

    n: int = 1


class Registry(dict):
    """A dict that is asked in another way."""

    def get(self, name):
        """Return what stands under a name."""
        return self[name]

    def __iter__(self):
        return iter(())


class Names:
    """An object whose slot has the name of a property that refuses."""

    __slots__ = ("inner",)


class Refusing(Names):
    """Its child."""

    __slots__ = ()

    @property
    def inner(self):
        """Raise."""
        raise TypeError("not this way")


def counted():
    """Yield whole numbers."""
    n = 0
    while True:
        n += 1
        yield n


def _add(holder):
    holder.n += 1
    return holder.n


def _put(holder, name, value):
    setattr(holder, name, value)
    return value


# What makes (what the function multiplies by, what happens between calls).
BETWEEN = {
    "slots": lambda: (s := Slotted(), (lambda: s.n, lambda i: _put(s, "n", i)))[1],
    "slots of a dataclass": lambda: (s := Record(), (lambda: s.n, lambda i: _put(s, "n", i)))[1],
    "namespace": lambda: (s := types.SimpleNamespace(n=1), (lambda: s.n, lambda i: _put(s, "n", i)))[1],
    "thread's own": lambda: (s := local(), _put(s, "n", 1), (lambda: s.n, lambda i: _put(s, "n", i)))[2],
    "queue": lambda: (d := collections.deque([1]), (lambda: len(d), d.append))[1],
    "dict of a class": lambda: (d := Registry(n=1), (lambda: d["n"], lambda i: d.__setitem__("n", i)))[1],
    "order of a dict": lambda: (
        d := collections.OrderedDict.fromkeys("ab"),
        (lambda: 1 + (next(iter(d)) == "a"), lambda i: d.move_to_end(next(iter(d)))),
    )[1],
    "slot behind a property": lambda: (
        r := Refusing(),
        (lambda: Names.inner.__get__(r) if isinstance(r, Refusing) else 0, lambda i: Names.inner.__set__(r, i)),
    )[1],
    "length of a long list": lambda: (d := [0] * 5000, (lambda: len(d), d.append))[1],
    "array": lambda: (a := array.array("d", [1.0]), (lambda: a[0], lambda i: a.__setitem__(0, i)))[1],
    "bytes": lambda: (a := bytearray(b"\1"), (lambda: a[0], lambda i: a.__setitem__(0, i)))[1],
    "context variable": lambda: (lambda: VARIABLE.get(), VARIABLE.set),
    "environment": lambda: (lambda: int(os.environ["CHAINRULE_OF_A_TEST"]), _set_environment),
}
# What makes what the function multiplies by, which changes with each call.
WITHIN = {
    "slots": lambda: (s := Slotted(), lambda: _add(s))[1],
    "queue": lambda: (d := collections.deque(), lambda: d.append(1) or len(d))[1],
    "method of a list": lambda: (d := [], add := d.append, lambda: add(1) or len(add.__self__))[2],
    "method of an iterator": lambda: (step := iter(range(9)).__next__, lambda: step())[1],
    "default dict": lambda: (d := collections.defaultdict(int), lambda: d.__setitem__(0, d[0] + 1) or d[0])[1],
    "stream": lambda: (s := io.StringIO(), lambda: s.write("a") and len(s.getvalue()))[1],
    "random": lambda: (r := random.Random(0), lambda: r.random())[1],
    "count": lambda: (it := itertools.count(), lambda: next(it))[1],
    "generator": lambda: (it := counted(), lambda: next(it))[1],
    "list iterator": lambda: (it := iter([*range(9)]), lambda: next(it))[1],
    "dict iterator": lambda: (it := iter(dict.fromkeys(range(9))), lambda: next(it))[1],
    "enumerate": lambda: (it := enumerate(range(9)), lambda: next(it)[0])[1],
    "zip": lambda: (it := zip(range(9), range(9), strict=True), lambda: next(it)[0])[1],
    "map": lambda: (it := map(abs, range(9)), lambda: next(it))[1],
    "chain": lambda: (it := itertools.chain([0], range(9)), lambda: next(it))[1],
    "cycle": lambda: (it := itertools.cycle(range(3)), lambda: next(it))[1],
    "tee": lambda: (it := itertools.tee(range(9))[0], lambda: next(it))[1],
}


def _set_environment(value):
    os.environ["CHAINRULE_OF_A_TEST"] = str(value)


def run(f, between, n=6):
    """Return what calls of a function give, with something done after each."""
    x, found = cr.ones(2), []
    for i in range(n):
        out = f(x)
        found.append(out.tolist() if isinstance(out, cr.Tensor) else out)
        between(i)
    return found


def both(make, n=6):
    """Return what a function gives by itself, and compiled; `make` returns one with what happens between its calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what runs as it is
        f, between = make()
        plain = run(f, between, n)
        f, between = make()
        return plain, run(cr.compile(f), between, n)


@pytest.mark.parametrize("name", BETWEEN)
def test_what_changes_between_calls_is_seen(name):
    def make():
        factor, change = BETWEEN[name]()
        change(1)
        return (lambda x: x * factor()), change

    plain, compiled = both(make)
    assert plain == compiled
    assert len(set(map(str, plain))) > 1


@pytest.mark.parametrize("name", WITHIN)
def test_what_changes_with_a_call_is_seen(name):
    def make():
        factor = WITHIN[name]()
        return (lambda x: x * factor()), lambda i: None

    plain, compiled = both(make)
    assert plain == compiled
    assert len(set(map(str, plain))) > 1


def test_hooks_of_all_modules_are_seen():
    net = cr.nn.Linear(2, 2)
    run, x = cr.compile(lambda x: net(x)), cr.ones(2)
    once = [run(x) for _ in range(3)][-1]
    handle = cr.nn.modules.module.register_module_forward_hook(lambda module, args, out: out * 2)
    twice = run(x)
    handle.remove()
    for found, expected in ((twice, once * 2), (run(x), once)):
        cr.testing.assert_close(found, expected)


# -- optimizers and schedules ------------------------------------------------------------------------------------------

SCHEDULES = {
    "StepLR": lambda o: schedules.StepLR(o, 2),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, 2),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.5, total_steps=20, cycle_momentum=False),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.ConstantLR(o, 0.5), schedules.ExponentialLR(o, 0.25)], milestones=[3]
    ),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler([schedules.ExponentialLR(o, 0.9), schedules.StepLR(o, 2)]),
    "SWALR": lambda o: cr.optim.swa_utils.SWALR(o, 0.05, anneal_epochs=4),
}


def training(schedule, step, optimizer=None, lr=0.1):
    """Return a function that trains one parameter, and what happens between its calls: nothing."""
    p = cr.nn.Parameter(cr.ones(2))
    o = (optimizer or cr.optim.SGD)([p], lr=lr)
    s = schedule(o)

    def train(x):
        o.zero_grad()
        loss = ((p * x) ** 2).sum()
        loss.backward()
        return step(o, s, p)

    return train, lambda i: None


def ordinary(o, s, p):
    """Step, then move on the schedule."""
    o.step()
    s.step(*([1.0] if isinstance(s, schedules.ReduceLROnPlateau) else []))
    return p.detach() * 1


@pytest.mark.parametrize("optimizer", [cr.optim.SGD, cr.optim.AdamW])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_on_within_replays(name, optimizer):
    calls = []

    def step(o, s, p):
        calls.append(1)
        return ordinary(o, s, p)

    plain, compiled = both(lambda: training(SCHEDULES[name], ordinary, optimizer), 12)
    assert cr.allclose(cr.tensor(plain), cr.tensor(compiled), rtol=1e-5)
    f, _ = training(SCHEDULES[name], ordinary, optimizer)
    g = cr.compile(f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(g, lambda i: None, 12)
    (known,) = g._known.values()
    assert 1 <= len(known.paths.all) <= 3  # replayed


def before(o, s, p):
    """Move on the schedule first."""
    s.step()
    o.step()
    return p.detach() * 1


def twice(o, s, p):
    """Step twice."""
    ordinary(o, s, p)
    return ordinary(o, s, p)


def branching(o, s, p):
    """Read the rate."""
    ordinary(o, s, p)
    return p.detach() * (2 if o.param_groups[0]["lr"] < 0.02 else 1)


def asking(o, s, p):
    """Read the rate in a function of its own, of a group that it has hold of."""
    group = next(value[0] for value in vars(o).values() if isinstance(value, list))
    rate = lambda: group["lr"]
    ordinary(o, s, p)
    return p.detach() * (2 if rate() < 0.02 else 1)


def returning(o, s, p):
    """Return the rate."""
    ordinary(o, s, p)
    return s.get_last_lr()[0] * 2


def failing(epoch):
    """Return a factor, as long as there is one."""
    if epoch > 4:
        raise ArithmeticError("no more")
    return 1.0


@pytest.mark.parametrize("step", [before, twice, branching, asking, returning])
@pytest.mark.parametrize("lr", ["number", "tensor"])
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_rates_that_the_program_reads_or_changes_itself_are_those_of_the_call(step, lr):
    plain, compiled = both(
        lambda: training(
            lambda o: schedules.ExponentialLR(o, 0.7), step, lr=0.1 if lr == "number" else cr.tensor(0.1, dtype=cr.float64)
        )
    )
    assert plain == compiled if step is returning else cr.allclose(cr.tensor(plain), cr.tensor(compiled), rtol=1e-5)


def test_a_schedule_that_fails_says_so_in_the_call_that_it_fails_in():
    f, _ = training(lambda o: schedules.LambdaLR(o, failing), ordinary)
    g = cr.compile(f)
    for _ in range(4):
        g(cr.ones(2))
    with pytest.raises(ArithmeticError, match="no more"):
        g(cr.ones(2))

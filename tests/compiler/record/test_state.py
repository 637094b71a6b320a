"""What a function reads of Python: a change by the call itself, or between calls, is seen."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler.record import record, replay
from chainrule.compiler.record.guards import GuardError

SCALE = 2.0
COUNT = 0


class Net(nn.Module):
    """A module with state of its own."""

    def __init__(self):
        super().__init__()
        self.linear, self.scale, self.calls = nn.Linear(2, 2), 1.0, 0

    def forward(self, x):
        """Return a scaled map."""
        return self.linear(x) * self.scale * (2 if self.training else 1)


class Counting(Net):
    """A module that counts its calls."""

    def forward(self, x):
        """Count, and return the map."""
        self.calls += 1
        return self.linear(x)


def by_global(x):
    return x * SCALE


def _closure():
    factor = 2.0

    def set_factor(value):
        nonlocal factor
        factor = value

    return (lambda x: x * factor), set_factor


def _set_global(value):
    globals()["SCALE"] = value


def changes():
    """Return (name, function, what changes something, whether that matters)."""
    net = Net()
    by_closure, set_factor = _closure()
    options, array, listed = {"a": 1}, np.ones(2), [1, 2]
    other = lambda x, k=3: by_global(x) * k
    return [
        ("global", by_global, lambda: _set_global(SCALE + 1), True),
        ("global of a function that it calls", other, lambda: _set_global(SCALE + 1), True),
        ("closure", by_closure, lambda: set_factor(3.0), True),
        ("equal number", by_closure, lambda: set_factor(float("2.0")), False),
        ("dict", lambda x: x * options["a"], lambda: options.update(a=2), True),
        ("new key", lambda x: x * options.get("b", 1), lambda: options.update(b=2), True),
        ("array", lambda x: x * cr.tensor(array), lambda: array.__setitem__(0, 5.0), True),
        ("list", lambda x: x * len(listed), lambda: listed.append(1), True),
        ("type of a number", lambda x: x * listed[0], lambda: listed.__setitem__(0, True), True),
        ("partial", functools.partial(lambda o, x: x * o["a"], options), lambda: options.update(a=7), True),
        ("training flag", net, net.eval, True),
        ("attribute", net, lambda: setattr(net, "scale", 3.0), True),
        ("module of a module", net, lambda: setattr(net, "linear", nn.Linear(2, 2)), True),
        ("requires_grad", net, lambda: net.linear.weight.requires_grad_(False), True),
        ("values of a parameter", net, lambda: net.linear.bias.data.zero_(), False),
        ("a hook", net, lambda: net.linear.register_forward_hook(lambda *a: None), True),
        ("method", net.forward, lambda: setattr(net, "scale", 4.0), True),
    ]


@pytest.mark.parametrize("change", range(len(changes())), ids=[c[0] for c in changes()])
def test_a_change_between_calls_is_seen(change):
    _, f, change, matters = changes()[change]
    x = cr.ones(2)
    if change is not None and f is not None:
        recording = record(f, (x,))
    assert recording.replayable, recording.why
    assert recording.state.holds([x])
    change()
    assert recording.state.holds([x]) is not matters
    if not matters:
        assert replay(recording, [x]).tolist() == f(x).tolist()


def test_a_call_that_changes_python_state_is_not_replayed():
    def counting(x):
        global COUNT
        COUNT += 1
        return x

    kept = []

    def appending(x):
        kept.append(1)
        return x

    def keeping(x):
        kept.append(x * 2)
        return x

    own = np.random.default_rng(0)
    for f in (lambda x: x * random.random(), lambda x: x * np.random.rand(), lambda x: x * own.random()):
        assert "generator" in record(f, (cr.ones(2),)).why
    for f, words in ((counting, "'COUNT'"), (appending, "list"), (Counting(), "'calls'"), (keeping, "outlives")):
        recording = record(f, (cr.ones(2),))
        assert not recording.replayable
        assert words in recording.why
    assert COUNT == 1
    assert kept[0] == 1
    assert kept[1].tolist() == [2, 2]


def test_branches_on_values_are_guards():
    def f(x):
        return x * 2 if x.sum() > 0 else x * 3

    recording = record(f, (cr.ones(2),))
    assert replay(recording, [cr.full((2,), 5.0)]).tolist() == [10, 10]
    with pytest.raises(GuardError) as caught:
        replay(recording, [-cr.ones(2)])
    assert caught.value.outcome is False
    assert recording.graph.equations[caught.value.position].op.kind == "guard"


@pytest.mark.parametrize("read", [
    lambda x: x[0].item(), lambda x: float(x[0]), lambda x: x.tolist()[0], lambda x: x.numpy()[0].item(),
    lambda x: len(x[x > 0]),
    lambda x: int(x.argmax()), lambda x: 1 if cr.allclose(x, cr.ones(2)) else 0, lambda x: float(f"{x[0]:.3f}"),
])  # fmt: skip
def test_what_python_reads_is_guarded(read):
    recording = record(lambda x: x + read(x), (cr.tensor([1.0, 1.0]),))
    assert recording.replayable
    assert replay(recording, [cr.tensor([1.0, 1.0])]).tolist() == recording.result.tolist()
    with pytest.raises(GuardError):
        replay(recording, [cr.tensor([-2.0, 3.0])])


def test_a_captured_tensor_that_is_read_is_guarded():
    flag = cr.tensor(1.0)
    recording = record(lambda x: x * 2 if flag.item() > 0 else x, (cr.ones(2),))
    flag.fill_(-1.0)
    with pytest.raises(GuardError):
        replay(recording, [cr.ones(2)])


def test_a_large_array_read_in_python_is_no_guard_but_a_reason():
    recording = record(lambda x: x * float(x.numpy().max()), (cr.ones(1 << 17),))
    assert not recording.replayable
    assert "in Python" in recording.why


def test_a_guard_that_fails_takes_random_numbers_back():
    def f(x):
        y = x + cr.randn(2)
        return y if x.sum() > 0 else -y

    recording = record(f, (cr.ones(2),))
    state = cr.get_rng_state()
    with pytest.raises(GuardError):
        replay(recording, [-cr.ones(2)])
    assert cr.get_rng_state().tolist() == state.tolist()


def test_which_arguments_are_one_tensor_is_part_of_the_state():
    w = cr.ones(2)
    both = record(lambda x, y: x + y, (w, w))
    assert both.state.holds([w, w])
    assert not both.state.holds([w, cr.zeros(2)])
    captured = record(lambda x: x + w, (w,))
    assert captured.state.holds([w])
    assert not captured.state.holds([cr.zeros(2)])
    written = record(lambda x: w.add_(x), (cr.zeros(2),))
    assert written.state.holds([cr.zeros(2)])
    assert not written.state.holds([w])
    assert not written.state.holds([w[:]])


CHECKED = {
    "classes": (lambda t: cr.nn.functional.cross_entropy(cr.ones(2, 3), t), [0, 1], [0, -1]),
    "rows": (lambda i: cr.nn.functional.embedding(i, cr.ones(3, 2)), [0, 1], [0, -1]),
    "one_hot": (lambda i: cr.nn.functional.one_hot(i, 3), [0, 1], [0, 3]),
    "probabilities": (lambda p: cr.bernoulli(p), [0.5, 0.2], [0.5, 1.5]),
    "weights": (lambda w: cr.multinomial(w, 1), [0.5, 0.2], [0.5, -1.0]),
    "rates": (lambda p: cr.poisson(p), [0.5, 0.2], [0.5, -1.0]),
    "entropy": (lambda p: cr.nn.functional.binary_cross_entropy(p, p.detach()), [0.5, 0.2], [0.5, 1.5]),
    "levels": (lambda q: cr.quantile(cr.arange(3.0), q), [0.5, 0.2], [0.5, 1.5]),
    "factors": (lambda x: cr.linalg.cholesky(cr.diag(x)), [1.0, 2.0], [1.0, -2.0]),
}


@pytest.mark.parametrize("name", CHECKED)
def test_checks_of_values_are_repeated(name):
    """Eager raises for the second values: a replay must not go on with them."""
    f, good, bad = CHECKED[name]
    recording = record(f, (cr.tensor(good),))
    assert recording.replayable
    replay(recording, [cr.tensor(good)])
    with pytest.raises((RuntimeError, IndexError)):
        f(cr.tensor(bad))
    with pytest.raises(GuardError):
        replay(recording, [cr.tensor(bad)])


def test_code_that_is_put_in_place_of_other_code_is_noticed():
    def f(x, by=2.0):
        return x * by

    compiled = cr.compile(f)
    for _ in range(3):
        assert compiled(cr.ones(1)).item() == 2.0
    f.__defaults__ = (3.0,)
    assert compiled(cr.ones(1)).item() == 3.0
    f.__code__ = (lambda x, by=0.0: x - by).__code__
    assert compiled(cr.ones(1)).item() == -2.0


def test_what_a_class_holds_is_looked_at():
    class Scale:
        by = 2.0

        @property
        def own(self):
            return self.by

        def __call__(self, x):
            return self.shifted(x * self.own)

        def shifted(self, x):
            return x + 1

    compiled = cr.compile(Scale())
    for _ in range(3):
        assert compiled(cr.ones(1)).item() == 3.0
    Scale.by = 5.0
    assert compiled(cr.ones(1)).item() == 6.0
    Scale.shifted = lambda self, x: x - 1
    assert compiled(cr.ones(1)).item() == 4.0
    Scale.own = property(lambda self: 7.0)
    assert compiled(cr.ones(1)).item() == 6.0

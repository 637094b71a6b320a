"""The native comparison finds every difference that it is told to look for, and counts references."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.llvm import compare, entry
from chainrule.compiler.llvm.runtime import runtime
from chainrule.core.graph.nodes import LEAF

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(compare.of_function() is None, reason="objects of this interpreter are laid out in another way")


def made(say, leaves=0):
    """Return the function that compares what is said to a comparison."""
    comparison = compare.Comparison()
    assert say(comparison) is not False
    return comparison.function(runtime().same, leaves)


@pytest.mark.parametrize("owner", [{}, [], set(), OrderedDict(), defaultdict(list)])
def test_empty_containers(owner):
    same = made(lambda c: c.empty(owner))
    assert same() is True
    owner.add(1) if isinstance(owner, set) else owner.append(1) if isinstance(owner, list) else owner.update(a=1)
    assert same() is False
    owner.clear()
    assert same() is True


def test_lists_and_dicts():
    a, b = object(), object()
    items, table = [a, b], {"a": a, "b": b}
    same = made(lambda c: c.items(items, [a, b]) and c.values(table, ["a", "b"], [a, b]))
    assert same() is True
    for change in (
        lambda: items.append(a), lambda: items.reverse(), lambda: items.pop(), lambda: table.update(a=b),
        lambda: table.update(c=b), lambda: table.pop("b"), lambda: (table.pop("a"), table.update(a=a)),
        lambda: (table.clear(), table.update(x=a, b=b)),
    ):  # fmt: skip
        change()
        assert same() is False
        items[:] = [a, b]
        table.clear()
        table.update(a=a, b=b)
        assert same() is True
    assert not compare.Comparison().values(OrderedDict(a=a), ["a"], [a])  # which has an order of its own


def test_keys_of_dicts():
    a, missing = object(), object()
    table = {"a": a, "z": 1}
    same = made(lambda c: c.keys(table, ["a", "b"], [a, missing], missing))
    table["z"] = 2
    assert same() is True
    for change in ({"a": object()}, {"b": 0}):
        changed = {**table, **change}
        assert made(lambda c, changed=changed: c.keys(changed, ["a", "b"], [a, missing], missing))() is False
    del table["a"]
    assert same() is False
    assert sys.exc_info() == (None, None, None)
    assert not compare.Comparison().keys({1: a}, [1], [a], missing)


def test_functions_classes_and_cells():
    held = 1.5

    def f(x=held):
        return held

    class A:
        def g(self):
            return 1

    members = list(vars(A).values())
    cell, content = f.__closure__[0], held
    same = made(lambda c: c.code(f) and c.members(A, members) and c.content(cell, content))
    assert same() is True
    code, defaults, g = f.__code__, f.__defaults__, A.g
    for change, back in (
        (lambda: setattr(f, "__code__", (lambda: held).__code__), lambda: setattr(f, "__code__", code)),
        (lambda: setattr(f, "__defaults__", (2,)), lambda: setattr(f, "__defaults__", defaults)),
        (lambda: setattr(f, "__kwdefaults__", {}), lambda: setattr(f, "__kwdefaults__", None)),
        (lambda: setattr(A, "g", lambda self: 2), lambda: setattr(A, "g", g)),
        (lambda: setattr(A, "h", 3), lambda: delattr(A, "h")),
        (lambda: setattr(cell, "cell_contents", 2.5), lambda: setattr(cell, "cell_contents", content)),
    ):
        change()
        assert same() is False
        back()
        assert same() is True
    del cell.cell_contents
    assert same() is False


def described(t):
    data = t._data
    return data.shape, data.dtype, data.strides, t._node is None, t._level


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1, 5)])
def test_tensors(shape):
    t = cr.ones(shape)
    same = made(lambda c: c.lies(t, *described(t)))
    assert same() is True
    own = t._data
    for other in (
        cr.ones((*shape, 2)), cr.ones(shape, dtype=cr.float64), cr.ones(shape, dtype=cr.int32), cr.ones((2,) * len(shape) or 2),
    ):  # fmt: skip
        t._data = other._data
        assert same() is False
    t._data = own[...]
    assert same() is True
    t._data = own
    t.requires_grad_()
    assert same() is False
    assert made(lambda c: c.lies(t, *described(t)))() is True
    if len(shape) == 2 and min(shape) > 1:
        t._data = np.asfortranarray(own)
        assert made(lambda c: c.lies(t, own.shape, own.dtype, own.strides, False, 0))() is False


def test_gradients():
    t = cr.ones(3, requires_grad=True)
    none, like = made(lambda c: c.gradient(t, None)), made(lambda c: c.gradient(t, described(cr.ones(3))))
    assert (none(), like()) == (True, False)
    (t * 2).sum().backward()
    _ = t.grad  # its payload until someone asks for it, which Python finds out
    assert (none(), like()) == (False, True)
    t.grad = cr.ones(3, requires_grad=True)
    assert (none(), like()) == (False, False)
    t.grad = None
    assert (none(), like()) == (True, False)
    held = cr.ones(3)
    t.grad = held
    before = sys.getrefcount(held)
    for _ in range(1000):
        assert like() is True
    assert sys.getrefcount(held) == before


def test_leaves():
    a, b = cr.ones(3), cr.ones(3)
    lie = made(lambda c: c.leaf(0, a, None), 1)
    assert [lie(x) for x in (a, b, cr.ones(4), a.double(), 2.0, None, cr.ones(6)[::2], cr.nn.Parameter(a))] == [
        True, True, *[NotImplemented] * 6,
    ]  # fmt: skip
    needs = made(lambda c: c.leaf(0, a, LEAF), 1)
    anything = made(lambda c: c.leaf(0, a, entry.ANY), 1)
    leaf = cr.ones(3, requires_grad=True)
    assert [f(x) for f in (needs, anything) for x in (a, leaf, leaf * 1)] == [
        NotImplemented, True, NotImplemented, True, True, True,
    ]  # fmt: skip
    assert made(lambda c: c.class_of(0, float), 1)(2.0) is True
    assert made(lambda c: c.class_of(0, float), 1)(2) is NotImplemented
    assert made(lambda c: c.leaf_is(0, a), 1)(a) is True
    assert made(lambda c: c.leaf_is(0, a), 1)(b) is NotImplemented
    assert lie() is lie(a, a) is NotImplemented


def test_leaves_beside_each_other():
    a, b, w = cr.ones(3), cr.ones(3), cr.ones(3)
    assert made(lambda c: c.same(0, 1), 2)(a, a) is True
    assert made(lambda c: c.same(0, 1), 2)(a, b) is NotImplemented
    distinct = made(lambda c: c.distinct([0, 1, 2], [0, 2], [w]), 3)
    c = cr.ones(3)
    assert distinct(a, b, c) is True
    assert distinct(a, w, c) is True
    assert [distinct(*x) for x in ((a, a, c), (a, b, a), (a, b, b), (w, b, c), (a, b, w))] == [NotImplemented] * 5
    apart = made(lambda c: c.class_of(0, cr.Tensor) or c.apart(0, [w]), 1)
    assert apart(a) is True
    assert apart(w) is False
    assert apart(w.detach()) in (None, False)
    assert apart(cr.ones(4)[1:]) is None
    assert apart(cr.sum(a)) is True
    assert apart(None) is NotImplemented


def test_results_are_counted():
    same, differs = made(lambda c: c.empty([])), made(lambda c: c.items([], [1]))
    before = [sys.getrefcount(x) for x in (True, False)]
    for _ in range(100_000):
        same()
        differs()
    assert all([abs(sys.getrefcount(x) - n) < 100 for x, n in zip((True, False), before, strict=True)])


def test_other_layouts_are_not_compared(monkeypatch):
    compare.of_function.cache_clear()
    monkeypatch.setattr(entry, "word", lambda at: 0)
    try:
        assert compare.of_function() is None
        assert compare.text() is None
    finally:
        compare.of_function.cache_clear()

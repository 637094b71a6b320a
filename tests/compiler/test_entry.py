"""The native entry: it runs what was asked for on what it was made for, refuses everything else, and counts references."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.llvm import engine, entry, executor
from chainrule.compiler.llvm.arenas import Block
from chainrule.compiler.llvm.runtime import runtime as shared
from chainrule.core.mode.state import modes
from chainrule.core.tensor.value import Value

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(entry.offsets() is None, reason="objects of this interpreter are laid out in another way")

# y = x · x for points lo to hi; waits where the first element is 49
SQUARES = """
define void @squares(ptr %params, i64 %lo, i64 %hi) {
start:
  %x = load ptr, ptr %params
  %y.at = getelementptr ptr, ptr %params, i64 1
  %y = load ptr, ptr %y.at
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %look, label %end
look:
  %first = load double, ptr %x
  %is.it = fcmp oeq double %first, 49.0
  br i1 %is.it, label %sleep, label %loop
sleep:
  %slept = call i32 @usleep(i32 200000)
  br label %loop
loop:
  %i = phi i64 [%lo, %look], [%lo, %sleep], [%next, %loop]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %square = fmul double %value, %value
  %to = getelementptr double, ptr %y, i64 %i
  store double %square, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %end
end:
  ret void
}
declare i32 @usleep(i32)
"""
DOUBLE = np.dtype(np.float64)


@pytest.fixture(scope="module")
def code():
    return engine.load(SQUARES, ["squares"])


def plan(code, shapes, *, tensors=True, single=False, release=False, guard=None, arena=0, grain=0, targets=()):
    """Return a function that squares arrays of some shapes; `guard` is what the first must hold in front.

    The first squares go into `targets`.
    """
    runtime, table, count = shared(), executor.Table(), len(shapes)
    slots = 1 + 2 * count
    template = np.zeros(slots + 1, np.int64)
    keeps = [code]
    if guard is not None:
        expected = np.array([guard], float)
        keeps.append(expected)
        template[slots] = expected.ctypes.data
        table.guard(1, 0, 8, slots, 5)
    for k, shape in enumerate(shapes):
        target = (0, 0) if arena else (1 + count + k, 0)
        size = int(np.prod(shape))
        table.call(code.address("squares"), 0, size, grain, [(1 + k, 0), target])
        if arena:
            table.call(code.address("squares"), 0, size, grain, [(0, 0), (1 + count + k, 0)])
    run = entry.Run(table.array(), template, table.widest, Block(arena), arena, release, 0, 0, tuple(keeps))
    cls = cr.Tensor if tensors else None
    inputs = [entry.Input(1 + k, DOUBLE, s, np.empty(s).strides, cls) for k, s in enumerate(shapes)]
    outputs = [entry.Output(1 + count + k, DOUBLE, s) for k, s in enumerate(shapes)]
    outputs[: len(targets)] = [o._replace(target=t) for o, t in zip(outputs, targets, strict=False)]
    return entry.function(runtime.call, inputs, outputs, run, tensors, single)


def made(shape):
    return cr.rand(shape, dtype=cr.float64)


SHAPES = [(), (1,), (5,), (3, 4), (2, 0, 3), (2, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_come_in_and_go_out(code, shape):
    f = plan(code, [shape], single=True)
    x = made(shape)
    y = f(x)
    assert type(y) is cr.Tensor
    assert (y.shape, y.dtype, y.requires_grad, y.grad_fn, y.is_leaf) == (x.shape, cr.float64, False, None, True)
    assert y.tolist() == (x * x).tolist()
    y.requires_grad_()
    (y * y).sum().backward()
    assert y.grad.tolist() == (2 * y).tolist()
    assert y.add_(1)._version == 1 if not y.requires_grad else True
    y.note = "programs may set attributes"
    assert weakref.ref(y)() is y


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_come_in_and_go_out(code, shape):
    f = plan(code, [shape, (2,)], tensors=False)
    x = np.random.rand(*shape)
    y, z = f(np.asarray(x), np.array([2.0, 3.0]))
    assert np.array_equal(y, x * x)
    assert z.tolist() == [4.0, 9.0]
    assert np.shape(y) == shape


@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_take_values_in_place(code, shape, release):
    target, x = cr.zeros(shape, dtype=cr.float64), made(shape)
    target._data = np.asarray(target._data)
    f, array = plan(code, [shape, (3,)], release=release, targets=[target]), target._data
    before = [sys.getrefcount(o) for o in (array, target, x, x._data)]
    for k in range(100):
        x._data = np.asarray(x._data) + k
        none, y = f(x, made((3,)))
        assert none is None
        assert y.shape == (3,)
        assert target._data is array
        assert array.tolist() == (x._data * x._data).tolist()
    assert [sys.getrefcount(o) for o in (array, target, x)] == before[:3]


def test_tensors_that_cannot_take_values_refuse_the_call(code):
    target, x = cr.zeros(2, 3, dtype=cr.float64), made((2, 3))
    f, array = plan(code, [(2, 3), (3,)], targets=[target], guard=7.0), target._data
    fixed = array.copy()
    fixed.flags.writeable = False
    x._data[0, 0] = 7.0
    counts = [sys.getrefcount(o) for o in (array, fixed, x, None, NotImplemented)]
    for _ in range(1000):
        for other in (
            fixed, np.zeros((2, 4)), np.zeros(6), np.zeros((2, 3), np.float32), np.zeros((3, 2)).T, np.float64(0.0), None,
            np.zeros((2, 6))[:, ::2], np.zeros((2, 3)).view(Array),
        ):  # fmt: skip
            target._data = other
            assert f(x, made((3,))) is NotImplemented
        target._data = array
        assert f(made((2, 3)), made((3,))) == 5  # the guard does not hold
        assert not array.any()
    assert f(x, made((3,)))[0] is None
    assert array.any()
    now = [sys.getrefcount(o) for o in (array, fixed, x, None, NotImplemented)]
    assert all([abs(n - count) < 500 for n, count in zip(now, counts, strict=True)])


def test_scalars_are_taken_for_arrays_without_axes(code):
    f = plan(code, [()], single=True)
    assert f(cr.tensor(3.0, dtype=cr.float64)).item() == 9.0
    scalar = cr.ones(4, dtype=cr.float64).sum()
    assert f(scalar).item() == 16.0
    g = plan(code, [()], tensors=False, single=True)
    assert g(np.float64(5.0)) == 25.0
    assert g(np.array(5.0)) == 25.0


class Sub(cr.Tensor):
    pass


class Array(np.ndarray):
    pass


def strange():
    """Return what a plan of one tensor of (2, 3) float64 is to refuse."""
    good = made((2, 3))
    unset = Value.__new__(cr.Tensor)
    unset._node = unset._meta = unset._ver = unset._view = None
    shifted = np.zeros(49, np.uint8)[1:].view(float).reshape(2, 3)
    return {
        "nothing": None, "number": 1.0, "text": "x", "type": cr.Tensor, "array": np.zeros((2, 3)), "list": [good],
        "dtype": good.float(), "integers": good.long(), "shape": made((3, 2)), "axes": made((6,)), "more axes": made((2, 3, 1)),
        "transposed": made((3, 2)).t(), "strided": made((2, 6))[:, ::2], "flipped": cr.tensor(np.zeros((2, 3))).flip(0)[:, :1],
        "expanded": made((1, 3)).expand(2, 3), "subclass": good.as_subclass(Sub), "parameter": cr.nn.Parameter(made((2, 3))),
        "requires grad": made((2, 3)).requires_grad_(), "result": made((2, 3)).requires_grad_() * 2, "without payload": unset,
        "subclass of array": Value._wrap(np.zeros((2, 3)).view(Array)), "unaligned": Value._wrap(shifted),
        "byte order": Value._wrap(np.zeros((2, 3), ">f8")), "scalar": made((6,)).sum(), "bfloat16": good.half(),
        "complex": good.to(cr.complex128), "bool": good > 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", list(strange()))
def test_what_differs_is_refused(code, kind):
    f = plan(code, [(2, 3)], single=True)
    assert f(strange()[kind]) is NotImplemented
    assert f(made((2, 3))) is not NotImplemented
    if kind not in ("array",):
        assert plan(code, [(2, 3)], tensors=False, single=True)(strange()[kind]) is NotImplemented


def test_other_numbers_of_arguments_are_refused(code):
    f = plan(code, [(2,), (2,)])
    x = made((2,))
    assert f() is f(x) is f(x, x, x) is NotImplemented
    with pytest.raises(TypeError, match="keyword"):
        f(x, other=x)
    assert plan(code, [])() == ()


def test_modes_out_of_the_ordinary_are_refused(code):
    f = plan(code, [(2,)], single=True)
    x = made((2,))
    with cr.no_grad():
        assert f(x) is not NotImplemented
    with cr.inference_mode():
        assert f(x) is NotImplemented
    assert cr.func.grad(lambda t: (t * (0.0 if f(x) is NotImplemented else 1.0)).sum())(x).tolist() == [0.0, 0.0]
    assert f(x) is not NotImplemented


def test_a_guard_that_does_not_hold_is_told(code):
    f = plan(code, [(2,)], guard=1.5)
    assert f(cr.tensor([1.5, 2.0], dtype=cr.float64))[0].tolist() == [2.25, 4.0]
    assert f(cr.tensor([2.5, 2.0], dtype=cr.float64)) == 5


@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_references_are_counted(code, release, tensors, single, shape):
    f = plan(code, [shape] if single else [shape, (2,)], tensors=tensors, single=single, release=release, guard=1.5, arena=64)
    x = cr.full(shape, 1.5, dtype=cr.float64)
    wrong = cr.full(shape, 2.5, dtype=cr.float64)
    rest = [] if single else [made((2,))]
    convert = (lambda t: t) if tensors else (lambda t: np.asarray(t._data))
    good, bad, refused = [[convert(t) for t in ts] for ts in ([x, *rest], [wrong, *rest], [made((7,)), *rest])]
    watched = [
        *good,
        *bad,
        *refused,
        *[t._data for t in (x, wrong, *rest)],
        None,
        NotImplemented,
        (),
        cr.Tensor,
        np.ndarray,
        DOUBLE,
    ]
    watched += [entry.state._current, modes(), f, f.__self__]
    for args in (good, bad, refused):
        before = [sys.getrefcount(o) for o in watched]
        for _ in range(200):
            f(*args)
        after = [sys.getrefcount(o) for o in watched]
        assert max([abs(a - b) for a, b in zip(after, before, strict=True)]) < 20  # others may come and go, not 200 times
    (result,) = (f(*good),) if single else f(*good)[:1]
    held = [sys.getrefcount(result)] + ([sys.getrefcount(result._data)] if tensors else [])
    assert held == [2] * len(held)


def test_nothing_leaks(code):
    import tracemalloc

    f = plan(code, [(100,), ()], release=True, arena=4096)
    x, y = made((100,)), made(())
    for _ in range(50):
        f(x, y)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            f(x, y)
            f(x)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_a_plan_dies_with_its_function(code):
    f = plan(code, [(2,)])
    gone = weakref.ref(f)
    table = weakref.ref(f.__self__.table)
    del f
    gc.collect()
    assert gone() is None
    assert table() is None


def test_calls_overlap_where_the_lock_is_released(code):
    f = plan(code, [(4,)], single=True, release=True, arena=64)
    slow = cr.tensor([7.0, 1.0, 2.0, 3.0], dtype=cr.float64)  # waits between its steps
    found = []
    thread = threading.Thread(target=lambda: found.append(f(slow)))
    thread.start()
    time.sleep(0.05)
    start = time.perf_counter()
    fast = f(cr.tensor([1.0, 2.0, 3.0, 4.0], dtype=cr.float64))  # in an arena of its own
    assert time.perf_counter() - start < 0.1
    slow._data = None  # what runs keeps its array
    thread.join()
    assert fast.tolist() == [1.0, 16.0, 81.0, 256.0]
    assert found[0].tolist() == [7.0**4, 1.0, 16.0, 81.0]


def test_whatever_is_thrown_at_it_it_answers(code):
    draw = random.Random(0)
    pool = [*strange().values(), made((2, 3)), made(()), made((2, 0, 3)), made((5,)), np.float64(1), np.zeros(5)]
    plans = [
        plan(code, [draw.choice(SHAPES) for _ in range(draw.randrange(4))], tensors=draw.random() < 0.7) for _ in range(20)
    ]
    answers = 0
    for _ in range(5000):
        f = draw.choice(plans)
        out = f(*[draw.choice(pool) for _ in range(draw.randrange(4))])
        assert out is NotImplemented or isinstance(out, tuple)
        answers += out is not NotImplemented
    assert answers > 20


def test_an_interpreter_with_other_objects_has_no_entry(monkeypatch):
    entry.offsets.cache_clear()
    monkeypatch.setattr(entry, "word", lambda at: 0)
    try:
        assert entry.offsets() is None
        assert entry.text() is None
    finally:
        entry.offsets.cache_clear()


def test_a_free_threaded_interpreter_has_no_entry(monkeypatch):
    entry.offsets.cache_clear()
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    try:
        assert entry.offsets() is None
    finally:
        entry.offsets.cache_clear()

"""Threads, passes inside passes, errors and interrupts: every gradient is complete, and the engine stays usable."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.mode.grad_mode import Mode, modes, set_modes
from chainrule.transforms.hook_calls import RUNNING
from chainrule.utils.checkpoint import checkpoint


def leaf(*values):
    return cr.tensor(list(values) or [1.0, 2.0, 3.0], dtype=cr.float64, requires_grad=True)


def in_threads(f, n=8):
    """Call `f(i)` in `n` threads at once; return the results."""
    start = threading.Barrier(n)

    def call(i):
        start.wait()
        return f(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(call, range(n)))


@pytest.fixture(autouse=True)
def modes_are_as_before():
    before = modes()
    yield
    assert modes() is before


@pytest.fixture
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# -- several threads ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("switching_often")
def test_passes_over_one_graph_add_up():
    x, w = leaf(), leaf(2.0, 2.0, 2.0)
    y = ((x * w).sin() * x.exp()).sum()
    y.backward(retain_graph=True)
    gx, gw = x.grad.clone(), w.grad.clone()
    in_threads(lambda i: [y.backward(retain_graph=True) for _ in range(25)])
    np.testing.assert_allclose(x.grad, 201 * gx)
    np.testing.assert_allclose(w.grad, 201 * gw)


@pytest.mark.usefixtures("switching_often")
def test_graphs_recorded_in_threads_meet_at_their_leaves():
    x = cr.tensor(3.0, dtype=cr.float64, requires_grad=True)  # its gradient is a new number each time, not added to in place

    def work(i):
        for _ in range(250):
            (x * x * (i + 1)).backward()

    in_threads(work)
    assert x.grad.item() == 250 * 36 * 2 * 3.0


def test_one_graph_recorded_by_several_threads():
    x = leaf()
    parts = in_threads(lambda i: (x * (i + 1)).sin())
    sum(parts).sum().backward()
    expected = sum((i + 1) * np.cos((i + 1) * x.detach().numpy()) for i in range(8))
    np.testing.assert_allclose(x.grad, expected)


@pytest.mark.usefixtures("switching_often")
def test_gradients_of_functions_in_threads():
    def f(x):
        return (x.sin() * x).sum()

    x = leaf().detach()
    expected = cr.func.grad(cr.func.grad(lambda t: f(t * x)))(cr.tensor(1.0, dtype=cr.float64))
    found = in_threads(
        lambda i: [cr.func.grad(cr.func.grad(lambda t: f(t * x)))(cr.tensor(1.0, dtype=cr.float64)) for _ in range(5)]
    )
    assert all(g.item() == pytest.approx(expected.item()) for gs in found for g in gs)


def test_modes_belong_to_their_threads():
    x = leaf()
    inside = threading.Barrier(2)

    def work(i):
        with cr.no_grad() if i else cr.enable_grad():
            inside.wait()
            found = (x * 2).requires_grad
            inside.wait()
        return found, cr.is_grad_enabled()

    assert in_threads(work, 2) == [(True, True), (False, True)]


@pytest.mark.parametrize("style", [True, False])
def test_checkpoints_in_threads(style):
    x = leaf()
    y = checkpoint(lambda x: (x.sin() * x).exp(), x, use_reentrant=style).sum()
    in_threads(lambda i: y.backward(retain_graph=True))
    (expected,) = cr.autograd.grad((x.sin() * x).exp().sum(), x)
    np.testing.assert_allclose(x.grad, 8 * expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_goes_on_with_the_graph():
    x = leaf()
    y = (x * x).sum()
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def child():
        y.backward()
        with cr.no_grad():
            send.send((x.grad.tolist(), (x * 2).requires_grad, cr.func.grad(lambda x: (x * x).sum())(x.detach()).tolist()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forking with threads about
        process = context.Process(target=child)
        process.start()
    assert receive.poll(30)
    assert receive.recv() == ([2.0, 4.0, 6.0], False, [2.0, 4.0, 6.0])
    process.join()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


# -- passes inside passes ----------------------------------------------------------------------------------------------


class Deeper(cr.autograd.Function):
    """Runs a pass inside its backward, one level less deep each time."""

    @staticmethod
    def forward(ctx, x, depth, lib):
        ctx.depth, ctx.lib = depth, lib
        return x * 2

    @staticmethod
    def backward(ctx, g):
        if ctx.depth:
            with cr.enable_grad():
                x = cr.ones((), dtype=cr.float64, requires_grad=True)
                deeper(x, ctx.depth - 1).backward()
            g = g + x.grad
        return g * 2, None, None


def deeper(x, depth):
    return Deeper.apply(x, depth, None)


def test_a_pass_in_a_backward():
    x = cr.ones((), requires_grad=True)
    deeper(x, 3).backward()
    assert x.grad.item() == 2 + 4 + 8 + 16


@pytest.mark.parametrize("depth", [30, 1000])
def test_passes_nest_deeply_in_hooks(depth):
    x = cr.tensor(1.0, requires_grad=True)

    @cr.enable_grad()
    def nested(n):
        y = x * 2
        if n:
            y.register_hook(lambda g: nested(n - 1).backward())
        return y

    nested(depth).backward()
    assert x.grad.item() == 2 * (depth + 1)


def test_passes_nest_deeply_in_functions():
    x = cr.ones((), dtype=cr.float64, requires_grad=True)
    deeper(x, 200).backward()
    assert x.grad.item() == pytest.approx(sum(2.0**k for k in range(1, 202)))


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("style", [True, False])
def test_checkpoints_nest_deeply(style):
    def f(x, depth):
        x = x * 1.01
        return x if not depth else checkpoint(f, x.sin(), depth - 1, use_reentrant=style)

    def plain(x, depth):
        x = x * 1.01
        return x if not depth else plain(x.sin(), depth - 1)

    x = leaf()
    f(x, 25).sum().backward()
    found, x.grad = x.grad, None
    plain(x, 25).sum().backward()
    np.testing.assert_allclose(found, x.grad)


def test_deep_passes_keep_the_modes_and_the_errors_of_their_callers():
    x = cr.tensor(1.0, requires_grad=True)
    seen = []

    def nested(n):
        with cr.enable_grad():
            y = x * 2

        def hook(g):
            if n:
                nested(n - 1).backward()
            else:
                seen.append((cr.is_grad_enabled(), cr.autograd.is_multithreading_enabled(), threading.current_thread().name))
                raise KeyError("deep inside")

        y.register_hook(hook)
        return y

    with pytest.raises(KeyError, match="deep inside"):
        nested(25).backward()
    assert seen == [(False, True, "chainrule-reentrant-backward")]
    (x * 3).backward()
    assert x.grad.item() == 3


def test_without_threads_deep_passes_stay_in_theirs():
    names = set()
    x = cr.tensor(1.0, requires_grad=True)

    @cr.enable_grad()
    def nested(n):
        y = x * 2

        def hook(g):
            names.add(threading.current_thread().name)
            if n:
                nested(n - 1).backward()

        y.register_hook(hook)
        return y

    with cr.autograd.set_multithreading_enabled(False):
        nested(15).backward()
    assert names == {threading.current_thread().name}


# -- errors ------------------------------------------------------------------------------------------------------------


class Fails(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x, error):
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        if ctx.error is not None:
            raise ctx.error
        return g, None


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), MemoryError()], ids=["error", "interrupt", "memory"]
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_an_error_in_a_backward_leaves_the_engine_usable(error, create_graph):
    x = leaf()
    y = Fails.apply(x.exp(), error).sum()
    with pytest.raises(type(error)):
        cr.autograd.grad(y, x, create_graph=create_graph)
    assert cr.is_grad_enabled()
    assert np.geterr()["divide"] == "warn"
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_a_graph_kept_through_an_error_can_be_tried_again():
    x = leaf()
    h = x.exp()
    fails = []
    h.register_hook(lambda g: fails.pop()() if fails else None)
    y = h.sum()
    fails.append(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, x.detach().exp())


def test_an_error_inside_transforms_leaves_no_level_open():
    def fail(x):
        raise ZeroDivisionError

    for take in (
        cr.func.grad(fail),
        lambda x: cr.func.jvp(fail, (x,), (x,)),
        cr.func.grad(cr.func.grad(fail)),
        cr.func.vmap(fail),
    ):
        with pytest.raises(ZeroDivisionError):
            take(cr.ones(3))


def test_an_error_in_one_thread_is_its_own():
    x = leaf()

    def work(i):
        try:
            Fails.apply(x * 1, ValueError("mine") if i % 2 else None).sum().backward()
        except ValueError:
            return "failed"
        return "passed"

    assert in_threads(work, 6) == ["passed", "failed"] * 3
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_interrupts_at_any_moment_leave_modes_and_engine_as_they_were():
    class Interrupt(BaseException):
        pass

    x = cr.rand(10, requires_grad=True)

    def program():
        with cr.no_grad(), cr.enable_grad():
            y = (x * x).sin()
        y.register_hook(lambda g: g * 1)
        cr.autograd.grad(y.sum(), x)
        cr.func.grad(lambda x: (x * x).sum())(x)

    def interrupted(moment):
        """Run the program and interrupt it at its `moment`-th chance; return in which code that was, None at its end.

        Python looks for signals where a function begins and where one written in C has returned: what a profiler is told of.
        """
        place = None

        def profile(frame, event, _):
            nonlocal moment, place
            if place is None and event in ("call", "c_return") and frame.f_code.co_name != "<genexpr>":
                moment -= 1
                if moment < 0:
                    place = f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
                    raise Interrupt

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            program()
        except Interrupt:
            pass
        finally:
            sys.setprofile(before)
        return place

    def rounds():
        places, left = 0, set()
        while place := interrupted(places):
            places += 1
            if modes() is not Mode().having() or RUNNING.get() is not None:
                left.add(place)
                set_modes(Mode().having())
                RUNNING.set(None)
        return places, left

    program()  # imports what is imported at first use
    places, left = copy_context().run(rounds)
    assert places > 500
    # Between two lines of a context manager's own code, which are core.mode's, Python cannot rule it out.
    assert {place for place in left if os.path.join("core", "mode", "") not in place} == set()
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * x.detach(), rtol=1e-6)

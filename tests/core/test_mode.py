"""Grad modes: context managers and decorators, of functions, generators and coroutines; one state per thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

import chainrule as cr


def leaf():
    return cr.tensor(2.0, requires_grad=True)


def test_no_grad_and_enable_grad_nest():
    x = leaf()
    with cr.no_grad():
        assert not (x * x).requires_grad
        with cr.enable_grad():
            assert (x * x).requires_grad
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_state_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), cr.no_grad():
        raise ZeroDivisionError
    assert cr.is_grad_enabled()


DECORATORS = {"bare": lambda: cr.no_grad, "called": lambda: cr.no_grad(), "set": lambda: cr.set_grad_enabled(False)}


@pytest.mark.parametrize("make", list(DECORATORS.values()), ids=list(DECORATORS))
def test_decorators_switch_for_the_call(make):
    @make()
    def f(x):
        return x * x

    assert not f(leaf()).requires_grad
    assert cr.is_grad_enabled()


def test_set_grad_enabled_acts_when_called():
    try:
        cr.set_grad_enabled(False)
        assert not cr.is_grad_enabled()
    finally:
        cr.set_grad_enabled(True)
    with cr.set_grad_enabled(False):
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_generators_run_in_the_mode_and_their_consumers_do_not():
    @cr.no_grad()
    def numbers():
        received = yield cr.is_grad_enabled()
        try:
            yield received
        except KeyError:
            yield cr.is_grad_enabled()

    g = numbers()
    assert next(g) is False
    assert cr.is_grad_enabled()
    assert g.send("sent") == "sent"
    assert g.throw(KeyError()) is False
    assert cr.is_grad_enabled()


def test_coroutines_run_in_the_mode_and_others_do_not():
    @cr.no_grad()
    async def quiet():
        await asyncio.sleep(0)
        return cr.is_grad_enabled()

    async def loud():
        seen = []
        for _ in range(3):
            seen.append(cr.is_grad_enabled())
            await asyncio.sleep(0)
        return all(seen)

    async def both():
        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(both()) == [False, True]


def run_together(*coroutines):
    async def all_of_them():
        return await asyncio.gather(*coroutines)

    return asyncio.run(all_of_them())


def test_blocks_of_interleaving_tasks_do_not_reach_each_other():
    # With one state per thread, when A enters, B enters, A leaves, B leaves: on inside B, and off ever after.
    seen = []

    async def quiet(turns):
        with cr.no_grad():
            for _ in range(turns):
                seen.append(("quiet", (leaf() * 2).requires_grad))
                await asyncio.sleep(0)

    async def loud(turns):
        for _ in range(turns):
            seen.append(("loud", (leaf() * 2).requires_grad))
            await asyncio.sleep(0)

    run_together(quiet(2), quiet(4), loud(6))
    assert cr.is_grad_enabled()
    assert {which: {on for w, on in seen if w == which} for which, _ in seen} == {"quiet": {False}, "loud": {True}}


def test_transforms_of_interleaving_tasks_do_not_reach_each_other():
    async def gradient(x, turns):
        async def pause():
            for _ in range(turns):
                await asyncio.sleep(0)

        with cr.autograd.forward_ad.dual_level():
            d = cr.autograd.forward_ad.make_dual(cr.tensor(x), cr.tensor(1.0))
            await pause()
            y = d * d
            await pause()
            return cr.autograd.forward_ad.unpack_dual(y).tangent.item()

    assert run_together(gradient(1.0, 1), gradient(2.0, 3), gradient(3.0, 2)) == [2.0, 4.0, 6.0]


def test_tasks_start_in_the_mode_of_their_maker():
    async def enabled():
        return cr.is_grad_enabled()

    async def parent():
        with cr.no_grad():
            return await asyncio.gather(enabled(), enabled())

    assert asyncio.run(parent()) == [False, False]
    assert cr.is_grad_enabled()


def test_asynchronous_generators_run_in_the_mode_and_their_consumers_do_not():
    closed = []

    @cr.no_grad()
    async def numbers():
        try:
            received = yield cr.is_grad_enabled()
            await asyncio.sleep(0)
            try:
                yield received, cr.is_grad_enabled()
            except KeyError:
                yield cr.is_grad_enabled()
        finally:
            closed.append(cr.is_grad_enabled())

    async def consume():
        g = numbers()
        found = [
            await g.asend(None),
            cr.is_grad_enabled(),
            await g.asend("sent"),
            await g.athrow(KeyError()),
            cr.is_grad_enabled(),
        ]
        await g.aclose()
        found += [n async for n in numbers()][:1]
        return found

    assert asyncio.run(consume()) == [False, True, ("sent", False), False, True, False]
    assert closed == [False, False]
    assert cr.is_grad_enabled()


def test_a_switch_made_inside_a_block_ends_with_it():
    with cr.no_grad():
        cr.set_grad_enabled(True)
        assert cr.is_grad_enabled()
    assert cr.is_grad_enabled()
    with cr.enable_grad():
        cr.set_grad_enabled(False)
    assert cr.is_grad_enabled()


def test_decorating_a_class_warns_as_pytorch_does():
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @cr.no_grad()
        class Model:
            def __init__(self):
                self.enabled = cr.is_grad_enabled()

    assert Model().enabled is False
    assert cr.is_grad_enabled()


def test_modes_show_what_pytorchs_show():
    mode = cr.no_grad()
    assert mode.prev is False
    with mode:
        assert mode.prev is True
        with mode.clone():
            assert not cr.is_grad_enabled()
    enabled = cr.set_grad_enabled(True)
    assert (enabled.mode, enabled.prev) == (True, True)
    assert str(enabled) == "chainrule.autograd.grad_mode.set_grad_enabled(mode=True)"
    assert cr.inference_mode(False).clone().mode is False
    with pytest.raises(TypeError, match="argument 'enabled' \\(position 1\\) must be bool, not int"):
        cr.set_grad_enabled(1)
    assert cr.is_grad_enabled()


def test_modes_are_per_thread():
    seen = []
    with cr.no_grad():
        thread = threading.Thread(target=lambda: seen.append(cr.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_inference_mode_makes_tensors_that_stay_outside():
    x = leaf()
    with cr.inference_mode():
        assert cr.is_inference_mode_enabled()
        y = x * 3
    assert y.is_inference()
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        x * y
    with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor outside InferenceMode"):
        y.requires_grad_()
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode is not allowed"):
        y.add_(1)
    assert (y.clone() * x).requires_grad

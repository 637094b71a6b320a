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

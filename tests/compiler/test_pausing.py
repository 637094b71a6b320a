"""While a call is compiled no garbage is looked for, and afterwards it is as before."""

import gc

import pytest

import chainrule as cr
from chainrule.compiler.pausing import collector_paused


@pytest.fixture(autouse=True)
def collecting():
    yield
    gc.enable()


@pytest.mark.parametrize("on", [True, False])
def test_after_the_outermost_block_the_collector_is_as_it_was(on):
    (gc.enable if on else gc.disable)()
    with collector_paused():
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is on


def test_a_function_that_is_recorded_sees_the_collector_paused_and_an_error_turns_it_on_again():
    seen = []

    def f(x):
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise ZeroDivisionError
        return x * 2

    cr.compile(f)(cr.ones(2))
    assert seen == [False]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        cr.compile(f)(cr.ones(2))
    assert gc.isenabled()

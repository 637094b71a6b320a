"""Memory by budget: functions whose backward pass computes again what a number of bytes does not hold.

What ran is on a tape (``_tape``), from whose arrays that are held others are made again (``_holding``). Which are held is for
``_keeping`` to say: those at places that few bytes cross (``_stretches``), spaced as ``_revolve`` counts; or, where the
function is known ahead (``_ahead``), those that a minimal cut chose (``_choosing``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.utils._ahead import Forecast
from chainrule.utils._keeping import Keeper


def within(budget: int, *, ahead: bool = True) -> Callable[[Callable], Callable]:
    """Return a decorator of functions that bounds the memory of their backward pass: what it does not hold is computed again.

    Parameters
    ----------
    budget : int
        Bytes for a call and its backward pass: values kept or computed again, the graph's records (some 800 bytes for each op),
        the gradients of what the function uses, and what is in flight while a node pulls. The arguments are the caller's.
    ahead : bool
        Run the function once without values before the first call with arguments of new shapes, so that a budget that is too
        small is refused before anything is computed, and what is best held is known. A function that reads values, or writes to
        what it did not make, is refused where it exceeds the budget instead.

    Returns
    -------
    callable
        Decorates a function. It runs once in each call, and never again: its ops are noted, and those run again whose results
        are needed. Results and gradients are those of the function, bit for bit, under every transform; random numbers are
        drawn again from the states that their generators had. The decorated function has an attribute `plan`: what the last
        call kept and computed again.

    Raises
    ------
    TypeError, ValueError
        If the budget is no integer, or not above 0.
    RuntimeError
        In a call, where the budget cannot be met: it says the least that can. In the backward pass, if a value from outside
        that something is computed from again was written to in place meanwhile.

    Notes
    -----
    Of a loop the states are kept that cost the fewest steps: binomially spaced where there is little room (Griewank & Walther,
    ACM TOMS 26(1), 2000, https://doi.org/10.1145/347837.347846), thinned out while the loop runs, whose length need not be
    known (Stumm & Walther, SIAM J. Sci. Comput. 32(2), 2010, https://doi.org/10.1137/080742439). Where there is room for it,
    values of many steps are computed again at a time, which takes fewer steps than the states alone would.

    Of a function that was run ahead, a minimal cut of its ops says at a price for a byte what to hold and what to compute
    again, so that dear ops are not run again where cheap ones do (after Chen et al., arXiv 1604.06174, and the partitioner of
    PyTorch's functorch). Several prices are rehearsed, and so is the way of a loop; what runs again for the least time is done,
    from the second call on by the times that the first took.

    What the function computes outside of chainrule (with NumPy), in derivatives of its own, or writes into part of a tensor is
    kept. Inside a trace (:func:`chainrule.compile`, :func:`chainrule.func.trace`) the function is called as it is.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils import checkpoint
    >>> @checkpoint.within(2_000_000)
    ... def decay(x):
    ...     for _ in range(300):
    ...         x = x - 0.01 * x.sin()
    ...     return x.sum()
    >>> x = cr.ones(10_000, requires_grad=True)
    >>> decay(x).backward()
    >>> x.grad[:2]
    tensor([0.0639, 0.0639])
    """
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise TypeError(f"checkpoint.within(): budget must be int, a number of bytes, not {type(budget).__name__}")
    if budget <= 0:
        raise ValueError(f"checkpoint.within(): budget must be above 0, but got {budget}")

    def decorate(function: Callable) -> Callable:
        forecast = Forecast(function, budget) if ahead else None

        @functools.wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            m = modes()
            if not m.record or m.tracer is not None:
                return function(*args, **kwargs)
            expected = None if forecast is None else forecast.check(args, kwargs)
            keeper = Keeper(budget) if expected is None else Keeper(budget, expected.chosen, expected.waiting)
            bounded.plan = keeper.plan  # type: ignore[attr-defined]
            with keeper, saved_tensors_hooks(keeper.pack, keeper.unpack):
                before = modes()
                switch(on_write=_both(before.on_write, keeper.before_write))
                entered = modes()
                try:
                    result = function(*args, **kwargs)
                finally:
                    back(entered, before, "on_write")
                    keeper.finish()
            keeper.end()
            if expected is not None:
                expected.learn(keeper)
            return result

        bounded.plan = None  # type: ignore[attr-defined]
        return bounded

    return decorate


def _both(first: Callable | None, second: Callable) -> Callable:
    if first is None:
        return second

    def told(target: Any) -> None:
        first(target)
        second(target)

    return told

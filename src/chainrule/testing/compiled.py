"""The law of compiling: what `compile` gives is the function, in value, in both modes, whatever data come after the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import chainrule
from chainrule import autograd, func
from chainrule.core.tensor.tensor import Tensor
from chainrule.testing.case import Case, filled, floating, like, tensor_of
from chainrule.testing.compare import first_gap, tolerance
from chainrule.testing.law import Silent, law
from chainrule.testing.values import results

CALLS = (0, 0, 1, 0, 1)
"""Which of two draws each call of a compiled function is given: one is recorded, run, and left for another, and taken up."""
NO_ARRAYS = Silent("no arrays are given")


@law("compiled = eager")
def compiled_equals_the_op(case: Case) -> str | None:
    """Check values, dtypes and errors on two draws in turn; gradients that reach leaves; pull and push, compiled whole."""
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
    if not places:
        return NO_ARRAYS
    draws = [[case.args[i] for i in places], [_other(case).args[i] for i in places]]
    if [a.shape for a in draws[0]] != [a.shape for a in draws[1]]:
        draws[1] = draws[0]
    f = lambda *values: case.op.call(*filled(case.args, values, places), **case.params)
    wrong = _differs(f, draws)
    if wrong is not None or not case.moving:
        return wrong
    moving = [places.index(i) for i in case.moving]
    return _gradients_differ(f, draws, moving, case) or _transforms_differ(f, draws, moving, case)


def _other(case: Case) -> Case:
    return Case(case.op, case.index, case.sample, case.dtype, case.seed + 1)


def _outcome(f: Callable, arrays: Sequence[np.ndarray]) -> list | Exception:
    """Return a function's results as arrays, or the error that it raises."""
    try:
        with np.errstate(all="ignore"):
            return results(f(*[tensor_of(a) for a in arrays]))
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError) as error:
        return error


def _differs(f: Callable, draws: Sequence[list], rounding: float = 1.0) -> str | None:
    """Return where a function, compiled, is not itself on one draw or another, and how."""
    run, expected = chainrule.compile(f), [_outcome(f, arrays) for arrays in draws]
    for call, k in enumerate(CALLS):
        found = _outcome(run, draws[k])
        how = _gap(found, expected[k], rounding)
        if how is not None:
            return f"call {call} (draw {k}): {how}"
    return None


def _gap(found: list | Exception, expected: list | Exception, rounding: float) -> str | None:
    if isinstance(found, Exception) or isinstance(expected, Exception):
        same = type(found) is type(expected) and str(found) == str(expected)
        return None if same else f"{found!r} against {expected!r}"
    said, due = ([(a.shape, a.dtype) for a in what] for what in (found, expected))
    if said != due:
        return f"{said} against {due}"
    coarsest = max([tolerance(a.dtype) for a in expected], default=0.0)  # a result in double may be of some in single precision
    different = first_gap(found, expected, rounding * coarsest)
    return None if different is None else f"result {different[0]}: {different[1]}"


def _gradients_differ(f: Callable, draws: Sequence[list], moving: Sequence[int], case: Case) -> str | None:
    """Return how the gradients that reach leaves through a compiled function differ from those through itself."""
    run = chainrule.compile(f)
    for call, k in enumerate(CALLS):
        found, expected = (_outcome(_leaves_gradient(g, moving, case), draws[k]) for g in (run, f))
        how = _gap(found, expected, 10)
        if how is not None:
            return f"gradients of leaves, call {call} (draw {k}): {how}"
    return None


def _leaves_gradient(f: Callable, moving: Sequence[int], case: Case) -> Callable:
    """Return the function that fills in gradients of its arguments at some places, from random cotangents, and returns them."""

    def gradient(*tensors: Tensor) -> tuple:
        leaves = [tensors[i].requires_grad_() for i in moving]
        outs = [o for o in floating(f(*tensors)) if o.requires_grad]
        rng = case.rng("weights")
        if outs:
            autograd.backward(outs, [tensor_of(like(rng, _plain(o))) for o in outs])
        return tuple([x.grad if x.grad is not None else tensor_of(np.zeros(tuple(x.shape))) for x in leaves])

    return gradient


def _plain(out: Tensor) -> np.ndarray:
    return np.empty(tuple(out.shape), out.dtype.numpy)


def _transforms_differ(f: Callable, draws: Sequence[list], moving: Sequence[int], case: Case) -> str | None:
    """Return how reverse or forward mode, compiled whole, differs from itself."""
    rng, n = case.rng("transforms"), len(moving)
    tangents = [like(rng, draws[0][i]) for i in moving]
    with np.errstate(all="ignore"):
        outs = floating(f(*[tensor_of(a) for a in draws[0]]))
    cotangents = [like(rng, _plain(o)) for o in outs]

    def of_moving(given: Sequence[Tensor]) -> Callable:
        return lambda *xs: tuple(floating(f(*filled(given[: len(draws[0])], xs, moving))))

    def pulled(*given: Tensor) -> tuple:
        return func.vjp(of_moving(given), *[given[i] for i in moving])[1](tuple(given[len(draws[0]) :]))

    def pushed(*given: Tensor) -> tuple:
        values, slopes = func.jvp(of_moving(given), tuple([given[i] for i in moving]), tuple(given[len(draws[0]) :]))
        return *values, *slopes

    for name, transform, more in (("vjp", pulled, cotangents), ("jvp", pushed, tangents)):
        wrong = _differs(transform, [[*arrays, *more] for arrays in draws], 10)
        if wrong is not None:
            return f"{name}, compiled, of {n} inputs: {wrong}"
    return None

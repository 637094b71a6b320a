"""Laws of refusals: what raises because of values says so in its declaration, and raises compiled as it does eagerly.

The values tried are of an operand that is all one number: zeros, infinities, places far outside, repeated singular values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import chainrule
from chainrule.core.tensor.tensor import Tensor
from chainrule.testing.case import Case, filled, tensor_of
from chainrule.testing.law import Silent, law
from chainrule.testing.values import results

OF_FLOATS = (0.0, 1.0, -1.0, 2.0, np.nan, np.inf)
OF_INTEGERS = (0, 1, -1, -100, 100, 1 << 40)
NOTHING = Silent("no values are refused")
ERRORS = (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError, UserWarning)


def refused(case: Case) -> Iterator[tuple[list, list]]:
    """Yield the arrays that a case gives, and others that it refuses: one for each error, where it takes those it gives."""
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray) and a.size]
    given = [case.args[i] for i in places]
    call = function_of(case)
    if not given or error_of(call, given) is not None:
        return
    seen = set()
    for k, array in enumerate(given):
        for bad in _uniform(array):
            others = filled(given, [bad], [k])
            error = error_of(call, others)
            if error is not None and not isinstance(error, MemoryError) and type(error) not in seen:
                seen.add(type(error))
                yield given, others


def _uniform(array: np.ndarray) -> Iterator[np.ndarray]:
    if array.dtype.kind == "b":
        yield from (np.zeros_like(array), np.ones_like(array))
    for number in OF_FLOATS if array.dtype.kind in "fc" else OF_INTEGERS if array.dtype.kind in "iu" else ():
        with np.errstate(all="ignore"):
            yield np.full(array.shape, number).astype(array.dtype)


def function_of(case: Case) -> Callable:
    """Return the op of a case as a function of its arrays that have elements."""
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray) and a.size]
    return lambda *values: case.op.call(*filled(case.args, values, places), **case.params)


def error_of(f: Callable, arrays: Sequence[np.ndarray]) -> Exception | None:
    """Return the error that a function raises for arrays, or its warning; None if it raises none."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)
            f(*map(tensor_of, arrays))
    except ERRORS as error:
        return error
    return None


@law("an op that refuses values says so")
def refusing_op_says_so(case: Case) -> str | None:
    """Check that the kernel raises for no values of fitting shapes and dtypes unless the declaration says that it may."""
    bad = next(refused(case), None)
    if bad is None or not case.op.pure:
        return NOTHING
    given, others = bad
    kind = results(function_of(case)(*map(tensor_of, given)))[0].dtype.kind
    if kind in case.op.refuses:
        return None
    error = error_of(function_of(case), others)
    return f"it raises {error!r}, and the declaration does not say that it refuses values of kind {kind!r}"


@law("compiled, what is refused is refused")
def compiled_refuses(case: Case) -> str | None:
    """Check that a replay raises what eager raises, whether or not anything needs the result, and is taken up again after."""
    call = function_of(case)

    def unused(*tensors: Tensor) -> Any:
        call(*tensors)
        return tensors[0].detach().clone()

    found: Silent | None = NOTHING
    for given, others in refused(case):
        found = None
        for what, f in (("a result that is used", call), ("a result that nothing needs", unused)):
            run = chainrule.compile(f)
            if any([error_of(run, given) is not None for _ in range(2)]):
                return f"{what}: compiled, it raises for values that it takes"
            error, due = error_of(run, others), error_of(f, others)
            if type(error) is not type(due) or str(error) != str(due):
                return f"{what}: it raises {error!r} against {due!r}"
            if error_of(run, given) is not None:
                return f"{what}: it raises for values that it takes, once it has refused others"
    return found

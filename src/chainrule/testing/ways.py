"""Whether laws call what they check as it is, or compiled: the one switch for the whole table-driven suite.

A law calls its op by `Case.call`, `Case.function` and `derive`; these ask here. The first call of a compiled function is also
its recording, so each call is made twice, and what the law sees is what was made of the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import chainrule
from chainrule.testing.compare import tolerance

CALLS, TRANSFORMS = "calls", "transforms"
WAYS = (CALLS, TRANSFORMS)
_way: str | None = None


@contextmanager
def compiled(way: str | None) -> Iterator[None]:
    """Let laws see compiled functions.

    Parameters
    ----------
    way : {"calls", "transforms"} or None
        ``"calls"``: every function is compiled, and transforms are applied to what `compile` gives. ``"transforms"``: the
        transformed functions are compiled, forward mode and reverse mode inside. None: nothing is.

    Examples
    --------
    >>> from chainrule.ops.pointwise import arithmetic
    >>> from chainrule.testing import check_op, ways
    >>> with ways.compiled("calls"):
    ...     check_op(arithmetic.neg)
    True
    """
    global _way
    if way is not None and way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)} or None, not {way!r}")
    before, _way = _way, way
    try:
        yield
    finally:
        _way = before


def chosen() -> str | None:
    """Return the way that laws see functions in now."""
    return _way


def call(f: Callable) -> Callable:
    """Return a function as laws are to call it."""
    return twice(f) if _way == CALLS else f


def transformed(f: Callable) -> Callable:
    """Return a transformed function as laws are to call it."""
    return twice(f) if _way == TRANSFORMS else f


def twice(f: Callable) -> Callable:
    """Return a function compiled, each of whose calls is made twice."""
    run = chainrule.compile(f)

    def called(*args: Any) -> Any:
        run(*args)
        return run(*args)

    return called


def rounding(least: float, expected: Sequence[np.ndarray]) -> float:
    """Return a tolerance for results of these dtypes: the least, unless they are of compiled code, which rounds otherwise."""
    return least if _way is None else max([least, *[tolerance(a.dtype) for a in expected]])

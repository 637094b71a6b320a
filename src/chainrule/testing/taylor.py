"""The law of Taylor mode: the derivatives along a curve are those of nested forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.func import jet, jvp
from chainrule.testing.case import Case
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import at_of, payload, wrapped
from chainrule.testing.law import law

ORDER = 4


def curve(case: Case, order: int = ORDER) -> tuple[tuple, tuple]:
    """Return the primals and, for each, random derivatives of a curve through it."""
    each = [wrapped(case.directions(case.moving, f"derivative {k}")) for k in range(order)]
    return wrapped(at_of(case, case.moving)), tuple([list(terms) for terms in zip(*each, strict=True)])


def nested(f: Callable, primals: Sequence[Tensor], series: Sequence[Sequence[Tensor]]) -> list:
    """Return the derivatives of f on the curve by forward mode on forward mode, in its parameter."""
    one = wrap(np.float64(1))

    def on_curve(s: Tensor) -> tuple:
        points = []
        for x, terms in zip(primals, series, strict=True):
            power = s
            for k, term in enumerate(terms, 1):
                x = x + power.to(x.dtype) * (term / factorial(k))  # type: ignore[operator]
                power = power * s  # type: ignore[operator]
            points.append(x)
        return f(*points)

    found, g = [], on_curve
    for _ in series[0]:
        g = (lambda h: lambda s: jvp(h, (s,), (one,))[1])(g)
        found.append(g(wrap(np.float64(0))))
    return found


@law("jet = nested forward mode")
def jet_is_nested_forward_mode(case: Case) -> str | None:
    """Check all derivatives up to the fourth along a random curve, their shapes and dtypes, and the value."""
    return differs_from_nested(case, ORDER)


def differs_from_nested(case: Case, order: int) -> str | None:
    """Return which derivative up to an order is not that of nested forward mode, and how; None if all are."""
    primals, series = curve(case, order)
    f = case.function(case.moving)
    values, derivatives = jet(f, primals, series)
    for k, expected in enumerate(nested(f, primals, series)):
        found = [terms[k] for terms in derivatives]
        different = first_gap([payload(d) for d in found], [payload(e) for e in expected], 1e-9)
        if different is not None:
            return f"order {k + 1}: result {different[0]}: {different[1]}"
        for i, (d, v) in enumerate(zip(found, values, strict=True)):
            if (d.shape, d.dtype) != (v.shape, v.dtype):
                return f"order {k + 1}: result {i}: {d.dtype} {tuple(d.shape)} against {v.dtype} {tuple(v.shape)}"
    different = first_gap([payload(v) for v in values], case.raw(), 1e-12)
    return None if different is None else f"value: result {different[0]}: {different[1]}"

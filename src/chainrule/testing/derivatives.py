"""Laws of first and second derivatives: jvp against numbers, vjp against jvp, every subset of inputs, every order of modes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from chainrule.autograd import forward_ad
from chainrule.testing.case import Case
from chainrule.testing.compare import first_gap, gap, gap_to_slope, inner
from chainrule.testing.derive import Arrays, at_of, gradient, payload, pulled, pushed, slope, wrapped
from chainrule.testing.law import law

NUMERIC, EXACT = 1e-6, 1e-8
MOST_SUBSETS = 32  # a variadic op of many inputs has too many


def _in_each_input(case: Case, check: Callable[[Case, int], str | None]) -> str | None:
    for i in case.moving:
        name = f"input {case.input_name(i)}"
        try:
            wrong = check(case, i)
        except Exception as error:
            error.add_note(name)
            raise
        if wrong is not None:
            return f"{name}: {wrong}"
    return None


@law("jvp = numeric derivative")
def jvp_is_the_numeric_derivative(case: Case) -> str | None:
    """Check the tangent along a random direction of each input alone against differences of the kernel."""
    return _in_each_input(case, _against_numbers)


def _against_numbers(case: Case, i: int) -> str | None:
    at = (i,)
    xs, along = at_of(case, at), case.directions(at)
    _, tangents = pushed(case.function(at), xs, along)
    different = gap_to_slope([payload(t) for t in tangents], lambda *x: case.raw(x, at), xs, along, NUMERIC)
    return None if different is None else f"tangent of result {different[0]} {different[1]} (numeric)"


@law("dual numbers = jvp")
def dual_numbers_give_the_jvp(case: Case) -> str | None:
    """Check that `forward_ad` carries the tangents that `func.jvp` gives, all inputs moving."""
    xs, along = at_of(case, case.moving), case.directions(case.moving)
    _, expected = pushed(case.function(case.moving), xs, along)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, t) for x, t in zip(wrapped(xs), wrapped(along), strict=True)]
        found = [forward_ad.unpack_dual(out).tangent for out in case.function(case.moving)(*duals)]
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        how = gap(np.zeros(b.shape) if a is None else payload(a), payload(b), EXACT)
        if how is not None:
            return f"tangent of result {i}: {how}"
    return None


@law("vjp = transpose of jvp")
def vjp_is_the_transpose_of_jvp(case: Case) -> str | None:
    """Check Re<g, J t> = Re<J^H g, t> for each input alone, from all results together and from each alone."""
    return _in_each_input(case, _against_jvp)


def _against_jvp(case: Case, i: int) -> str | None:
    weights, x, t = case.weights(), at_of(case, (i,)), case.directions((i,))
    _, tangents = pushed(case.function((i,)), x, t)
    for result in [None, *range(len(weights))] if len(weights) > 1 else [None]:
        ws = weights if result is None else [weights[result]]
        dots = tangents if result is None else [tangents[result]]
        (g,) = pulled(case.function((i,)), x, ws) if result is None else _pulled_one(case, i, result, ws[0])
        if (tuple(g.shape), g.dtype.numpy) != (x[0].shape, x[0].dtype):
            return f"cotangent {g.dtype} {tuple(g.shape)} against {x[0].dtype} {x[0].shape}"
        left, size = inner(ws, [payload(d) for d in dots])
        right, other_size = inner([payload(g)], t)
        if not abs(left - right) <= EXACT * max(size, other_size, 1.0) and not (np.isnan(left) and np.isnan(right)):
            return f"{'' if result is None else f'from result {result}: '}<g, J t> = {left}, <J^H g, t> = {right}"
    return None


def _pulled_one(case: Case, i: int, result: int, weight: np.ndarray) -> tuple:
    f = case.function((i,), result)
    return pulled(lambda x: (f(x),), at_of(case, (i,)), [weight])


@law("every subset of inputs")
def every_subset_of_inputs_agrees(case: Case) -> str | None:
    """Check that tracing several inputs together gives the sum of their tangents, and each its cotangent alone."""
    weights = case.weights()
    alone, dots = {}, {}
    for i in case.moving:
        x = at_of(case, (i,))
        alone[i] = payload(pulled(case.function((i,)), x, weights)[0])
        dots[i] = [payload(t) for t in pushed(case.function((i,)), x, case.directions((i,)))[1]]
    subsets = [s for n in range(len(case.moving), 1, -1) for s in combinations(case.moving, n)][:MOST_SUBSETS]
    for subset in subsets:
        f, xs = case.function(subset), at_of(case, subset)
        names = ", ".join(case.input_name(i) for i in subset)
        _, tangents = pushed(f, xs, case.directions(subset))
        expected = [sum(parts) for parts in zip(*[dots[i] for i in subset], strict=True)]
        different = first_gap([payload(t) for t in tangents], expected, EXACT)
        if different is not None:
            return f"inputs {names}: tangent of result {different[0]} {different[1]} (the sum of single ones)"
        for i, g in zip(subset, pulled(f, xs, weights), strict=True):
            how = gap(payload(g), alone[i], EXACT)
            if how is not None:
                return f"inputs {names}: cotangent of {case.input_name(i)} {how} (traced alone)"
    return None


@law("second order")
def second_order_agrees_in_all_orders(case: Case) -> str | None:
    """Check H t of <w, f>, taken as reverse or forward over reverse or forward, and from differences of the gradient."""
    at, xs = case.moving, at_of(case, case.moving)
    different = wrong_order(case.function(at), xs, case.directions(at), case.directions(at, "second"), case.weights())
    if different is None:
        return None
    order, i, how = different
    if order == FORWARD_OVER_FORWARD:
        return f"{order}: f''[t, u] of result {i} {how} (numeric, of the tangent)"
    return f"{order}: H t in input {case.input_name(at[i])} {how} (numeric, of the gradient)"


FORWARD_OVER_FORWARD = "forward over forward"


def wrong_order(f: Callable, xs: Arrays, t: Arrays, u: Arrays, w: Arrays) -> tuple[str, int, str] | None:
    """Return which order of modes gives a wrong second derivative of ``f(*xs)``, in which input or result, and how.

    H t of <w, f> is compared with differences of the gradient along t, and f''[t, u] with those of the tangent along u.
    """
    of_gradient, of_slope = gradient(f, w), slope(f, t)
    numbers = lambda *x: [payload(g) for g in of_gradient(*wrapped(x))]
    products = {
        "reverse over reverse": pulled(of_gradient, xs, t),
        "forward over reverse": pushed(of_gradient, xs, t)[1],
        "reverse over forward": pulled(of_slope, xs, w),
    }
    for order, found in products.items():
        different = gap_to_slope([payload(h) for h in found], numbers, xs, t, NUMERIC)
        if different is not None:
            return order, *different
    _, second = pushed(of_slope, xs, u)
    numbers = lambda *x: [payload(d) for d in of_slope(*wrapped(x))]
    different = gap_to_slope([payload(d) for d in second], numbers, xs, u, NUMERIC)
    return None if different is None else (FORWARD_OVER_FORWARD, *different)

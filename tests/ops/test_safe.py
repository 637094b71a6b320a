"""Safe derivatives over the op table: where a derivative is finite without the mode, the mode gives the same.

Each op stands between products with 1, whose rules make a 0 of all that the op's rule calls absent: if it is not, that shows.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.testing import cases
from chainrule.testing.derive import at_of, payload, wrapped
from chainrule.transforms.partial import _PUTS, _TAKES


def pulled(f, x, gs):
    return cr.func.vjp(f, *x)[1](wrapped(gs))


def pushed(f, x, ts):
    return cr.func.jvp(f, tuple(x), wrapped(ts))


def _times_one(values):
    return tuple(
        [v * wrap(np.ones(tuple(v.shape), v.dtype.numpy)) if v.is_floating_point() or v.is_complex() else v for v in values]
    )


def _framed(case):
    f = case.function(case.moving)
    return lambda *x: _times_one(f(*_times_one(x)))


def _thinned(arrays, case, purpose):
    """Return arrays with zeros for about half of their elements, which count as absent where they are seeds."""
    rng = case.rng(purpose)
    return [a * (rng.random(a.shape) < 0.5).astype(a.real.dtype) for a in arrays]


def _same(plain, safe, what):
    for i, (a, b) in enumerate(zip(plain, safe, strict=True)):
        a, b = np.asarray(payload(a)), np.asarray(payload(b))
        assert a.dtype == b.dtype
        kept = np.isfinite(a)
        scale = max(1.0, np.abs(a[kept]).max(initial=0))
        assert np.abs(a[kept] - b[kept]).max(initial=0) <= 1e-9 * scale, f"{what} {i}:\n{a}\n{b}"


@by_name("case", cases(differentiable=True), fast=2)
def test_finite_pullbacks_are_the_same(case):
    gs, f, x = _thinned(case.weights(), case, "thin"), _framed(case), wrapped(at_of(case, case.moving))
    plain = pulled(f, x, gs)
    with cr.autograd.safe_derivatives():
        _same(plain, pulled(f, x, gs), "cotangent")


@by_name("case", cases(differentiable=True), fast=2)
def test_finite_pushforwards_are_the_same(case):
    ts, f, x = _thinned(case.directions(case.moving), case, "thin"), _framed(case), wrapped(at_of(case, case.moving))
    _, plain = pushed(f, x, ts)
    with cr.autograd.safe_derivatives():
        _, safe = pushed(f, x, ts)
    _same(plain, safe, "tangent")


@pytest.mark.slow
@by_name("case", cases(differentiable=True))
def test_finite_second_derivatives_are_the_same(case):
    gs, f, x = _thinned(case.weights(), case, "thin"), _framed(case), wrapped(at_of(case, case.moving))
    ts = _thinned(case.directions(case.moving), case, "thin ts")
    with cr.autograd.safe_derivatives(False):
        _, plain = pushed(lambda *x: tuple(pulled(f, x, gs)), x, ts)
    with cr.autograd.safe_derivatives():
        _, safe = pushed(lambda *x: tuple(pulled(f, x, gs)), x, ts)
    _same(plain, safe, "second")


@by_name("case", [c for c in cases(kinds="f", differentiable=True) if c.op.name in (*_TAKES, *_PUTS)], fast=2)
def test_sums_of_what_is_present_cannot_cancel(case):
    for result, slopes in enumerate(_slopes(case)):
        assert not ((slopes > 0).any(0) & (slopes < 0).any(0)).any(), f"result {result} adds terms of both signs"


def _slopes(case):
    """Return, for each result, its derivatives: a row for each element that moves, a column for each of the result."""
    f, at = case.function(case.moving), wrapped(at_of(case, case.moving))
    rows = []
    for i, x in enumerate(at):
        for e in np.eye(x.numel()):
            ts = [np.zeros(tuple(a.shape)) for a in at]
            ts[i] = e.reshape(tuple(x.shape))
            rows.append([payload(d).ravel() for d in pushed(f, at, ts)[1]])
    return [np.array(columns) for columns in zip(*rows, strict=True)]

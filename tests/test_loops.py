"""Loops as functions: PyTorch's results, and derivatives through all of them."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.torch._higher_order_ops import associative_scan, scan, while_loop

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", range(1, 10))
def test_prefixes_are_those_of_a_loop(count, reverse):
    a, b = (cr.tensor(RNG.standard_normal((2, count, 3))) for _ in range(2))
    affine = lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1])
    for mode in ("pointwise", "generic"):
        found = associative_scan(affine, (a, b), 1, reverse, mode)
        rows = [(a[:, i], b[:, i]) for i in range(count)]
        kept = [rows[0 if not reverse else -1]]
        for row in rows[1:] if not reverse else rows[-2::-1]:
            kept.append(affine(kept[-1], row))
        kept = kept[::-1] if reverse else kept
        for part in (0, 1):
            np.testing.assert_allclose(found[part], cr.stack([row[part] for row in kept], 1), rtol=1e-9)


def test_prefixes_are_pytorchs(torch):
    from torch._higher_order_ops.associative_scan import associative_scan as theirs

    x = RNG.standard_normal((3, 5))
    for dim, reverse in ((0, False), (1, True)):
        np.testing.assert_allclose(
            associative_scan(lambda a, b: a + b, cr.tensor(x), dim, reverse),
            theirs(lambda a, b: a + b, torch.tensor(x), dim, reverse, "generic"),
        )


def test_loops_have_derivatives():
    x = cr.tensor(RNG.standard_normal(5), requires_grad=True)
    product = lambda x: associative_scan(lambda a, b: a * b, x, 0)
    steps = lambda x: scan(lambda c, row: (c * row, c + row), cr.ones((), dtype=cr.float64), x, reverse=True)[1]
    doubled = lambda x: while_loop(lambda n, y: n < 4, lambda n, y: (n + 1, y * x), (0, x))[1]
    for f in (product, steps, doubled):
        assert cr.autograd.gradcheck(f, x, check_forward_ad=True)
        assert cr.autograd.gradgradcheck(f, x)


def test_scans_are_pytorchs(torch):
    from torch._higher_order_ops.scan import scan as theirs

    x, step = RNG.standard_normal((4, 3)), lambda c, row: (c * 0.5 + row, {"y": c * row})
    for reverse in (False, True):
        ours = scan(step, cr.ones(3, dtype=cr.float64), cr.tensor(x), reverse=reverse)
        expected = theirs(step, torch.ones(3, dtype=torch.float64), torch.tensor(x), reverse=reverse)
        np.testing.assert_allclose(ours[0], expected[0])
        np.testing.assert_allclose(ours[1]["y"], expected[1]["y"])


def test_what_does_not_fit_raises():
    x, add = cr.ones(3), lambda a, b: a + b
    for call, error in [
        (lambda: associative_scan(3, x, 0), ValueError),
        (lambda: associative_scan(add, x, 0, combine_mode="fast"), ValueError),
        (lambda: associative_scan(add, (), 0), ValueError),
        (lambda: associative_scan(add, (x, cr.ones(4)), 0), ValueError),
        (lambda: associative_scan(add, cr.ones(()), 0), ValueError),
        (lambda: scan(add, x, ()), RuntimeError),
        (lambda: scan(add, x, cr.ones(0)), RuntimeError),
        (lambda: scan(add, x, (x, cr.ones(4))), RuntimeError),
        (lambda: while_loop(lambda a: True, lambda a: (a, a), (x,)), ValueError),
    ]:
        with pytest.raises(error):
            call()

"""``masked``: PyTorch's values, dtypes, gradients and errors; what is masked out is not even read."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr

RNG = np.random.default_rng(8)
X, MASK = RNG.normal(size=(3, 4)), np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]], bool)
REDUCTIONS = ["sum", "prod", "amax", "amin", "mean", "logsumexp", "norm", "var", "std"]
CALLS = [
    *[(name, (), options) for name in REDUCTIONS for options in ({}, {"dim": 1}, {"dim": (0, 1), "keepdim": True})],
    *[("norm", (p, 1), {}) for p in (1.0, 3.0, np.inf, -np.inf)], ("var", (1,), {"unbiased": False}),
    ("std", (0,), {"correction": 0}), ("var", (1,), {"correction": 2, "keepdim": True}), ("median", (), {}),
    ("median", (0,), {"keepdim": True}), ("argmax", (), {"dim": 1}), ("argmin", (1,), {"keepdim": True}), ("argmax", (), {}),
    *[(name, (dim,), {}) for name in ("cumsum", "cumprod", "softmax", "log_softmax", "softmin") for dim in (0, -1)],
    ("normalize", (2.0, 1), {}), ("normalize", (1.0, 0), {"eps": 3.0}),
]  # fmt: skip


def ids(value):
    return value if isinstance(value, str) else None


def run(lib, name, args, options, x, mask):
    x = lib.tensor(x, requires_grad=x.dtype.kind == "f")
    y = getattr(lib.masked, name)(x, *args, **options, **({} if mask is None else {"mask": lib.tensor(mask)}))
    if not y.requires_grad:
        return y, None
    return y.detach(), lib.autograd.grad((y * lib.where(lib.isfinite(y.detach()), lib.cos(y.detach()), 0.0)).nansum(), x)[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mask", [None, MASK, MASK[0], MASK[:, :1]])
@by_name("call", CALLS, itemgetter(0))
def test_masked_function_is_pytorch_s(torch, call, mask):
    name, args, options = call
    if name in ("logsumexp", "softmax", "log_softmax", "softmin") and mask is not None and not mask.any(-1).all():
        return  # rows of nothing have no derivative
    (y, g), (z, h) = (run(lib, name, args, options, X, mask) for lib in (cr, torch))
    assert str(y.dtype).split(".")[1] == str(z.dtype).split(".")[1]
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-12)
    if g is not None and np.isfinite(h.numpy()).all():
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize(("name", "args"), [
    ("sum", ()), ("prod", (1,)), ("amax", (0,)), ("amin", (0,)), ("argmax", (0,)), ("median", (1,)), ("cumsum", (1,)),
    ("cumprod", (0,)), ("var", ()), ("std", (1,)), ("mean", ())])  # fmt: skip
def test_integers(torch, name, args, dtype):
    x = RNG.integers(-4, 5, (3, 4))

    def call(lib):
        options = {} if dtype is None else {"dtype": getattr(lib, dtype)}
        return getattr(lib.masked, name)(lib.tensor(x), *args, **options, mask=lib.tensor(MASK))

    try:
        expected = call(torch)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)[:20].replace("(", r"\(").replace(")", r"\)")):
            call(cr)
        return
    found = call(cr)
    assert str(found.dtype).split(".")[1] == str(expected.dtype).split(".")[1]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", [*REDUCTIONS, "cumsum", "softmax", "normalize"])
def test_what_is_masked_out_is_not_read(name):
    args = {"cumsum": (1,), "softmax": (1,), "normalize": (2.0, 1)}.get(name, ())
    found = []
    for rest in (0.0, np.nan, np.inf):
        x = cr.tensor(np.where(MASK, X, rest), requires_grad=True)
        y = getattr(cr.masked, name)(x, *args, mask=cr.tensor(MASK))
        y.sum().backward()
        found.append((y.detach().numpy(), x.grad.numpy()))
    for y, g in found:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(g, found[0][1])
        assert not g[~MASK].any()


def test_logaddexp(torch):
    y = X[::-1].copy()
    ours, theirs = (
        lib.masked.logaddexp(
            lib.tensor(X), lib.tensor(y), input_mask=lib.tensor(MASK), other_mask=lib.tensor(MASK[::-1].copy())
        )
        for lib in (cr, torch)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "args", "mask"), [
    ("sum", (2,), MASK), ("sum", ((0, 0),), MASK), ("sum", (), MASK[None]), ("var", (0, True), None)])  # fmt: skip
def test_error_is_pytorch_s(torch, name, args, mask):
    def call(lib):
        options = {"correction": 1} if name == "var" else {"mask": lib.tensor(mask)}
        return getattr(lib.masked, name)(lib.tensor(X), *args, **options)

    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(theirs.type) as ours:
        call(cr)
    assert str(ours.value).split()[:4] == str(theirs.value).split()[:4]

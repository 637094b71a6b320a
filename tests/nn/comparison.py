"""One function of nn.functional under two libraries; and how the second orders of chainrule alone agree."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, jvp, vjp, vmap
from chainrule.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional

RNG = np.random.default_rng(0)


def both(name, arrays, params, wrt=(0,)):
    """Return ((value, gradients, cotangent) of chainrule, the same of PyTorch); integer arrays stay as they are."""
    xs = [cr.tensor(a, requires_grad=i in wrt) for i, a in enumerate(arrays)]
    ts = [torch.tensor(a, requires_grad=i in wrt) for i, a in enumerate(arrays)]
    y = getattr(F, name)(*xs, **given(params, cr.tensor))
    z = getattr(TF, name)(*ts, **given(params, torch.tensor))
    g = RNG.normal(size=tuple(y.shape)).astype(y.detach().numpy().dtype)
    gs = cr.autograd.grad(y, [xs[i] for i in wrt], cr.tensor(g), create_graph=True)
    hs = torch.autograd.grad(z, [ts[i] for i in wrt], torch.tensor(g), create_graph=True)
    return xs, y, gs, ts, z, hs


def given(params, tensor):
    return {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in params.items()}


def close(ours, theirs, tol):
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.numpy(force=True), rtol=tol, atol=tol)


# PyTorch has these with constants (1/6, 1e-12) in single precision, also in double.
ROUGH = {"hardsigmoid": 1e-7, "hardswish": 1e-7, "binary_cross_entropy": 1e-7}


def check(name, arrays, params, wrt=(0,), second=True):
    for dtype, tol in ((np.float64, ROUGH.get(name, 1e-12)), (np.float32, 2e-5)):
        cast = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        some = {k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in params.items()}
        xs, y, gs, ts, z, hs = both(name, cast, some, wrt)
        close(y, z, tol)
        for g, h in zip(gs, hs, strict=True):
            close(g, h, tol)
        if not second or dtype is np.float32:
            continue
        seconds(xs, gs, ts, hs, wrt, max(100 * tol, 1e-10))
        forward(name, cast, some, wrt)


def seconds(xs, gs, ts, hs, wrt, tol):
    """The gradient of the squared gradient; zeros where it does not depend on an input."""
    found = []
    for leaves, firsts, autograd, zeros in ((xs, gs, cr.autograd, cr.zeros_like), (ts, hs, torch.autograd, torch.zeros_like)):
        leaves = [leaves[i] for i in wrt]
        live = [(g * g).sum() for g in firsts if g.requires_grad]
        second = autograd.grad(sum(live), leaves, allow_unused=True) if live else [None] * len(leaves)
        found.append([zeros(x) if g is None else g for g, x in zip(second, leaves, strict=True)])
    for a, b in zip(*found, strict=True):
        close(a, b, tol)


def forward(name, arrays, params, wrt):
    """jvp agrees with the gradient: <g, J t> = <Jᵀ g, t>."""
    xs = [cr.tensor(a) for a in arrays]
    t = [cr.tensor(RNG.normal(size=arrays[i].shape)) for i in wrt]
    some = given(params, cr.tensor)

    def f(*moved):
        full = list(xs)
        for i, m in zip(wrt, moved, strict=True):
            full[i] = m
        return getattr(F, name)(*full, **some)

    out, out_dot = jvp(f, tuple(xs[i] for i in wrt), tuple(t))
    g = cr.tensor(RNG.normal(size=tuple(out.shape)))
    leaves = [xs[i].detach().clone().requires_grad_() for i in wrt]
    gs = cr.autograd.grad(f(*leaves), leaves, g)
    left = float((g * out_dot).sum())
    right = sum(float((a * b).sum()) for a, b in zip(gs, t, strict=True))
    assert left == pytest.approx(right, rel=1e-9, abs=1e-12)


def orders(f, xs, *, tol=1e-6, eps=1e-5, batched=True):
    """All four second derivatives of ``f(*xs)`` agree with differences of the gradient, and vmap with a loop."""
    xs = [np.asarray(x, float) for x in xs]
    w = RNG.normal(size=np.shape(f(*map(cr.tensor, xs)).numpy()))
    us, vs = ([RNG.normal(size=x.shape) for x in xs] for _ in range(2))
    t = lambda arrays: tuple(map(cr.tensor, arrays))
    loss = lambda *xs: (f(*xs) * cr.tensor(w)).sum()
    every = tuple(range(len(xs)))
    gradient = lambda *xs: grad(loss, every)(*xs)
    dot = lambda gs, us: sum((g * cr.tensor(u)).sum() for g, u in zip(gs, us, strict=True))

    def shifted(sign):
        return gradient(*t([x + sign * eps * v for x, v in zip(xs, vs, strict=True)]))

    expected = dot([(a - b) / (2 * eps) for a, b in zip(shifted(1), shifted(-1), strict=True)], us).item()
    forward = lambda *xs: jvp(loss, xs, t(us))[1]
    found = {
        "rev-rev": dot(vjp(lambda *xs: dot(gradient(*xs), us), *t(xs))[1](cr.tensor(1.0, dtype=cr.float64)), vs).item(),
        "fwd-rev": dot(jvp(gradient, t(xs), t(vs))[1], us).item(),
        "rev-fwd": dot(grad(forward, every)(*t(xs)), vs).item(),
        "fwd-fwd": jvp(forward, t(xs), t(vs))[1].item(),
    }
    for name, value in found.items():
        assert value == pytest.approx(expected, rel=tol, abs=tol), name
    if batched:
        stacks = [np.stack([x, x + 0.1 * u, x - 0.1 * v]) for x, u, v in zip(xs, us, vs, strict=True)]
        mapped, looped = vmap(gradient)(*t(stacks)), [gradient(*t(row)) for row in zip(*stacks, strict=True)]
        for k, g in enumerate(mapped):
            np.testing.assert_allclose(g.numpy(), np.stack([row[k].numpy() for row in looped]), rtol=1e-9, atol=1e-12)


def bound(name, **params):
    """Return a function of nn.functional with parameters given."""
    return functools.partial(getattr(F, name), **params)

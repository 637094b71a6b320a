"""What the tests of checkpoints share: a function that saves much, and transforms to take of it."""

from __future__ import annotations

import functools

import numpy as np

import chainrule as cr
from chainrule.utils.checkpoint import checkpoint

kept = functools.partial(checkpoint, use_reentrant=False)


def leaf(*values):
    return cr.tensor(list(values) or [0.5, 1.5, -1.0], dtype=cr.float64, requires_grad=True)


def layers(x, w=1.0):
    """Save inputs, results, views, several results, values written in place; draw no random numbers."""
    y = (x * w).sin() * x
    z = y.exp().reshape(-1, 1) @ y.reshape(1, -1)
    values, _ = z.sort(dim=-1)
    q = values * 0.1
    q.mul_(y)
    q[0] = y.cos()
    return q.tanh().sum(0) / (1 + y * y)


def flat(value):
    return [t for v in value for t in flat(v)] if isinstance(value, (tuple, list)) else [value]


def close(a, b):
    for x, y in zip(flat(a), flat(b), strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-12)


F = cr.func
X = cr.tensor([0.5, 1.5, -1.0], dtype=cr.float64)
T = cr.tensor([1.0, -2.0, 0.5], dtype=cr.float64)


def scalar(f):
    return lambda x: f(x).sum()


def dual_tangent(f, x):
    fwd = cr.autograd.forward_ad
    with fwd.dual_level():
        return fwd.unpack_dual(f(fwd.make_dual(x, T))).tangent


TRANSFORMS = {
    "grad": lambda f: F.grad(scalar(f))(X),
    "grad of grad": lambda f: F.grad(scalar(F.grad(scalar(f))))(X),
    "three times": lambda f: F.grad(scalar(F.grad(scalar(F.grad(scalar(f))))))(X),
    "vjp": lambda f: F.vjp(f, X)[1](T)[0],
    "vjp twice": lambda f: (lambda pull: (pull(T)[0], pull(2 * T)[0]))(F.vjp(f, X)[1]),
    "jvp": lambda f: F.jvp(f, (X,), (T,)),
    "jvp of jvp": lambda f: F.jvp(lambda x: F.jvp(f, (x,), (T,))[1], (X,), (T,)),
    "jvp of grad": lambda f: F.jvp(F.grad(scalar(f)), (X,), (T,)),
    "grad of jvp": lambda f: F.grad(lambda x: F.jvp(scalar(f), (x,), (T,))[1])(X),
    "dual level": lambda f: dual_tangent(f, X),
    "dual of grad": lambda f: dual_tangent(F.grad(scalar(f)), X),
    "vmap": lambda f: F.vmap(f)(cr.stack([X, T])),
    "vmap of grad": lambda f: F.vmap(F.grad(scalar(f)))(cr.stack([X, T])),
    "grad of vmap": lambda f: F.grad(scalar(F.vmap(f)))(cr.stack([X, T])),
    "jacrev": lambda f: F.jacrev(f)(X),
    "jacfwd": lambda f: F.jacfwd(f)(X),
    "hessian": lambda f: F.hessian(scalar(f))(X),
    "jacrev of jacrev": lambda f: F.jacrev(F.jacrev(f))(X),
    "linearize": lambda f: F.linearize(f, X)[1](T),
    "jet": lambda f: F.jet(f, (X,), ((T, T),)),
    "trace": lambda f: F.trace(f)(X)(T),
    "trace of grad": lambda f: F.trace(F.grad(scalar(f)))(X)(T),
    "vmap of jacfwd of grad": lambda f: F.vmap(F.jacfwd(F.grad(scalar(f))))(cr.stack([X, T])),
}


class Counted:
    """A function that counts its calls."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.f(*args, **kwargs)

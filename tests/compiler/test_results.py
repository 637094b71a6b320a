"""Results of replays are to each other, to arguments and to memory what those of eager calls are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.op.raw import empty_like

F = cr.nn.functional
HIDDEN = "a tensor that is not returned"


def described(outs, args):
    """Return of each result which object it is, what it is a view of, how it lies, and whether it requires grad.

    Where it is a view of what is not returned, a replay gives memory of its own, in the same order and without gaps.
    """
    outs = outs if isinstance(outs, (tuple, list)) else (outs,)
    known = [(f"{word} {i}", x) for word, xs in (("argument", args), ("result", outs)) for i, x in enumerate(xs)]
    named = lambda t: next((name for name, x in known if x is t), HIDDEN)
    return [about(o, named, known) if isinstance(o, cr.Tensor) else o for o in outs]


def about(t, named, known):
    base = None if t._base is None or named(t._base) == HIDDEN else named(t._base)
    found = {"is": named(t), "of": base, "lies": t.stride(), "grad": t.requires_grad, "leaf": t.is_leaf, "shape": t.shape}
    if t._base is None or base is not None:
        return {**found, "shares": [name for name, x in known if x is not t and memory(x) == memory(t)]}
    alike = empty_like(t.detach().numpy())
    return {**found, "lies": [s // alike.itemsize for s in alike.strides]}


def same(found, due):
    """Tell whether results are described alike; whether a view of what is not returned shares memory, is left open."""
    return all([_same(a, b) if isinstance(b, dict) else a == b for a, b in zip(found, due, strict=True)])


def _same(a, b):
    if "shares" not in b:
        a, b = ({**{key: x[key] for key in b}, "lies": _long(x)} for x in (a, b))
    return a == b


def _long(x):
    """Return the strides of axes of several elements."""
    return [s for s, n in zip(x["lies"], x["shape"], strict=True) if n > 1]


def memory(x):
    return x.untyped_storage().data_ptr() if isinstance(x, cr.Tensor) else None


def both(y):
    return y, y


PARAMETER = cr.randn(4, 4, requires_grad=True)
FROZEN = cr.ones(3, 3)


def in_no_grad(x):
    with cr.no_grad():
        return x.t(), x[1:]


def written(x):
    y = x * 2
    z = y[1:]
    z.mul_(3)
    return z, y


SQUARE = {
    "one twice": lambda x: both(x * 2),
    "one twice and a view": lambda x: (lambda y: (y, y.t(), y))(x * 2),
    "a view twice": lambda x: both(x.t()),
    "two views": lambda x: (x.t(), x.t()),
    "an argument": lambda x: x,
    "an argument, twice": both,
    "a view of an argument": lambda x: x[1:],
    "views of an argument": lambda x: x.split(2),
    "a view of a view": lambda x: (lambda y: (y, y.t(), y.t()[1]))(x * 2),
    "a view before its base": lambda x: (lambda y: (y[0], y))(x * 2),
    "views of what is made": lambda x: (lambda y: (y[0], y, y.t()))(cr.ones(3, 3)),
    "an alias": lambda x: (lambda y: (y, y.view_as(y)))(x * 2),
    "detached": lambda x: (lambda y: (y, y.detach(), y.detach().t()))(x * 2),
    "an argument, detached": lambda x: (x.detach(), x.detach().t(), x.t()),
    "views that nothing records": in_no_grad,
    "captured": lambda x: (PARAMETER, PARAMETER.t(), FROZEN, FROZEN[1:], x * PARAMETER),
    "a view that is written to": written,
    "no copy": lambda x: x.contiguous(),
    "a copy": lambda x: x.t().contiguous(),
    "a clone": lambda x: x.t().clone(),
    "a number and a list": lambda x: [x * 2, 3, None],
    "transposed": lambda x: x.t() + 1,
    "of two orders": lambda x: x.t() + x,
    "a chain": lambda x: (x.t().exp() * 2 + x.t()).tanh(),
    "used in two orders": lambda x: (lambda y: (y.t() * 2, y * 3, y.sum(0)))(x.t().sin()),
    "of half the bits": lambda x: x.t().half() * 2,
    "cast": lambda x: x.t().double(),
    "permuted": lambda x: x.reshape(2, 2, 4).permute(2, 0, 1) * 2,
    "summed": lambda x: x.reshape(2, 2, 4).permute(2, 0, 1).sum(1),
    "a mean": lambda x: x.t().mean(0, keepdim=True),
    "a product": lambda x: x.t() @ x,
    "joined": lambda x: cr.cat([x.t(), x.t()]),
    "filled in": lambda x: cr.zeros_like(x.t()),
    "of a kernel": lambda x: cr.linalg.eigh(x + x.t()),
    "sorted": lambda x: x.t().sort(),
    "normalized": lambda x: F.layer_norm(x.t(), (4,)),
    "softmax": lambda x: x.t().softmax(-1),
    "where": lambda x: cr.where(x.t() > 0, x.t(), 0),
    "a hidden view": lambda x: (x * 2).t(),
    "a hidden view of a product": lambda x: (x @ x).t(),
    "a hidden row": lambda x: (x * 2)[1],
    "a hidden column": lambda x: (x * 2)[:, 1],
    "hidden parts": lambda x: (x * 2).split(2),
    "a hidden diagonal": lambda x: (x * 2).diagonal(),
    "a hidden expansion": lambda x: x.sum(0, keepdim=True).expand(4, 4),
    "a hidden axis": lambda x: (x.t() * 2).unsqueeze(0),
    "a hidden shape": lambda x: (x @ x).reshape(2, 8),
    "a number": lambda x: x.sum(),
}
CONV = cr.nn.Conv2d(3, 4, 3)
IMAGES = {
    "conv2d": lambda x: CONV(x),
    "relu": lambda x: x.relu(),
    "a chain": lambda x: (x * 2).sigmoid() + x,
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "a mean": lambda x: x.mean((2, 3)),
    "of both orders": lambda x: x + x.contiguous(),
    "put in order": lambda x: (x * 2).contiguous(memory_format=cr.channels_last),
}


def assert_alike(f, make, **options):
    for requires_grad in (False, True):
        run = cr.compile(f, **options)
        for call in range(4):
            x = make().requires_grad_(requires_grad)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found, due = run(x), f(x)
            assert same(described(found, (x,)), described(due, (x,))), f"call {call}"


@pytest.mark.parametrize("backend", ["chainrule", "eager"])
@pytest.mark.parametrize("name", SQUARE)
def test_results_are_alike(name, backend):
    assert_alike(SQUARE[name], lambda: cr.randn(4, 4), backend=backend)


@pytest.mark.parametrize("order", [cr.contiguous_format, cr.channels_last])
@pytest.mark.parametrize("name", IMAGES)
def test_results_of_images_are_alike(name, order):
    assert_alike(IMAGES[name], lambda: cr.randn(2, 3, 6, 6).to(memory_format=order))


def test_a_description_tells_what_differs():
    x = cr.randn(3, 3)
    y = x * 2
    different = [(y, y), (y, y.view_as(y)), (y, y.clone()), (y, y.detach()), (y, y.t().contiguous().t()), (y, x), (y, x.t())]
    seen = [described(outs, (x,)) for outs in different]
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])


# -- what is done with results -----------------------------------------------------------------------------------------


def values(*tensors):
    return [t.detach().tolist() for t in tensors]


@pytest.mark.parametrize("write", range(3))
@pytest.mark.parametrize("name", ["one twice", "a view of an argument", "a view before its base", "an alias", "detached"])
def test_writes_to_results_reach_what_shares_their_memory(name, write):
    f = SQUARE[name]
    run = cr.compile(f)
    for _ in range(3):
        after = []
        for g in (run, f):
            x = cr.arange(16.0).reshape(4, 4)
            outs = g(x)
            outs = outs if isinstance(outs, tuple) else (outs,)
            outs[write % len(outs)].mul_(-1)
            after.append(values(x, *outs))
        assert after[0] == after[1]


@pytest.mark.parametrize("name", ["a view of an argument", "a view before its base", "captured", "an alias"])
def test_gradients_pass_writes_to_results(name):
    f = SQUARE[name]
    run = cr.compile(f)
    for _ in range(3):
        found = []
        for g in (run, f):
            x = cr.arange(16.0).reshape(4, 4).requires_grad_()
            PARAMETER.grad = None
            with cr.enable_grad():
                outs = g(x * 1)
                outs = outs if isinstance(outs, tuple) else (outs,)
                outs[-1].mul_(outs[-1].detach() + 2)
            sum([(o * o).sum() for o in outs]).backward()
            found.append(values(x.grad, *([] if PARAMETER.grad is None else [PARAMETER.grad])))
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, 1e-5)


@pytest.mark.parametrize("make", [lambda: cr.randn(4, 3).t(), lambda: cr.randn(2, 3, 4, 4).to(memory_format=cr.channels_last)])
@pytest.mark.parametrize(
    "f", [lambda x: (x * x).sum(), lambda x: (x.t() if x.ndim == 2 else x).sin() * 2, lambda x: x.relu() + 1]
)
def test_gradients_lie_as_those_of_eager_calls(f, make):
    def step(x):
        x.grad = None
        f(x).sum().backward()
        return x.detach().sum()

    run, whole = cr.compile(f), cr.compile(step)
    for _ in range(3):
        due, outside, inside = (make().requires_grad_() for _ in range(3))
        f(due).sum().backward()
        run(outside).sum().backward()
        whole(inside)
        assert outside.grad.stride() == due.grad.stride()
        assert inside.grad.stride() == due.grad.stride()

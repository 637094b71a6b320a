"""Programs of elementwise ops, reductions, views and products, drawn: functions of a few tensors."""

from __future__ import annotations

import random

import chainrule as cr

UNARY = ("sin", "tanh", "exp_", "sigmoid", "relu", "neg", "abs", "square", "sqrt_")
BINARY = ("add", "mul", "sub", "maximum", "where")
SHAPES = ((), (1,), (5,), (4, 5), (4, 1), (3, 4, 5), (5, 4), (1, 5), (40, 900))


def unary(rng, x):
    name = rng.choice(UNARY)
    if name == "exp_":
        return cr.exp(-x.abs())
    if name == "sqrt_":
        return cr.sqrt(x * x + 1)
    return getattr(cr, name)(x)


def fits(a, b):
    return all(n == m or 1 in (n, m) for n, m in zip(reversed(a), reversed(b), strict=False))


def binary(rng, x, pool):
    others = [y for y in pool if fits(x.shape, y.shape) and len(x.shape) + len(y.shape) < 7]
    y = rng.choice(others or [x])
    name = rng.choice(BINARY)
    return cr.where(x > y, x * 0.5, y) if name == "where" else getattr(cr, name)(x, y)


def reduction(rng, x):
    axes = rng.choice([None, *range(x.ndim)]) if x.ndim else None
    name = rng.choice(("sum", "mean", "amax", "softmax", "var", "logsumexp"))
    if axes is None:
        return x.mean() if name == "mean" else x.sum() / max(x.numel(), 1)
    if name == "softmax":
        return cr.nn.functional.softmax(x, axes)
    if name == "sum":
        return x.sum(axes, keepdim=rng.random() < 0.5) / x.shape[axes]
    if name == "var":
        return x.var(axes, correction=0, keepdim=rng.random() < 0.5)
    return getattr(x, name)(axes, keepdim=rng.random() < 0.5)


def moved(rng, x):
    kind = rng.choice(("permute", "flip", "slice", "roll", "pad", "cat", "flat", "tril", "index", "expand", "stack", "write"))
    if not x.ndim:
        return x.expand(rng.choice(((5,), (4, 5))))
    axis = rng.randrange(x.ndim)
    n = x.shape[axis]
    if kind == "permute":
        order = list(range(x.ndim))
        rng.shuffle(order)
        return x.permute(order)
    if kind == "flip":
        return x.flip(axis)
    if kind == "slice":
        return x[(slice(None),) * axis + (slice(rng.randrange(n), None, rng.choice((1, 2))),)]
    if kind == "roll":
        return x.roll(rng.randrange(1, 7), rng.choice((axis, None)))
    if kind == "pad":
        return cr.nn.functional.pad(x, (rng.choice((1, -1)) if x.shape[-1] > 2 else 1, 2), value=0.25)
    if kind == "cat":
        return cr.cat([x, x.sin()][:: rng.choice((1, -1))] * rng.choice((1, 6)), axis)
    if kind == "stack":
        return cr.stack([x, x * 2], axis)
    if kind == "flat":
        return x.reshape(-1)
    if kind == "tril" and x.ndim > 1:
        return (cr.tril if rng.random() < 0.5 else cr.triu)(x, rng.choice((-1, 0, 1)))
    if kind == "index":
        return x.index_select(axis, cr.tensor([rng.randrange(n) for _ in range(rng.choice((1, n, 3)))]))
    if kind == "write":
        out = x.clone()
        out[(slice(None),) * axis + (rng.randrange(n),)] = 0.5
        return out
    return x.unsqueeze(axis).expand(*x.shape[:axis], 2, *x.shape[axis:]) if x.ndim < 3 else x


def product(rng, x, pool):
    if x.ndim < 2:
        return x
    others = [y for y in pool if y.ndim == 2 and y.shape[0] == x.shape[-1]]
    if others and rng.random() < 0.6:
        return (x @ rng.choice(others)) * 0.2
    return (x @ x.transpose(-1, -2)) * 0.1 if x.shape[-2] < 50 else (x.transpose(-1, -2) @ x)[..., :7, :7] * 0.01


def program(seed, steps=14):
    """Return a function of tensors, and shapes of tensors for it."""
    rng = random.Random(seed)
    shapes = [rng.choice(SHAPES) for _ in range(rng.choice((2, 3, 4)))]
    plan = rng.random()

    def f(*inputs):
        again = random.Random(plan)
        pool = list(inputs)
        for _ in range(steps):
            x = again.choice(pool[-4:] if again.random() < 0.7 else pool)
            kind = again.choice("uuubbbbrrmmp")
            if kind == "u":
                made = unary(again, x)
            elif kind == "b":
                made = binary(again, x, pool)
            elif kind == "r":
                made = reduction(again, x)
            elif kind == "m":
                made = moved(again, x)
            else:
                made = product(again, x, pool)
            if made.numel() and made.numel() < 100_000:
                pool.append(made)
        kept = [p for p in pool[len(inputs) :] if again.random() < 0.3] or pool[-1:]
        return (*kept, pool[-1])

    return f, shapes

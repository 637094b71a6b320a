"""First derivatives as functions, for `gradgradcheck` to check: the gradient of reverse mode, the tangent of forward mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autograd.comparison import as_tuple, is_moving
from chainrule.autograd.forward_ad import dual_level, make_dual, unpack_dual
from chainrule.autograd.gradients import grad
from chainrule.core.tensor.tensor import Tensor, wrap


def gradient_of(func: Callable, inputs: tuple, cotangents: Any, gaps: bool) -> tuple[Callable, tuple]:
    """Return the gradient as a function of inputs and cotangents, and the cotangents: random ones if none are given."""
    rng = np.random.default_rng(4)
    if cotangents is None:
        outputs = [out for out in as_tuple(func(*inputs)) if is_moving(out)]
        cotangents = tuple(_random(rng, out, gaps).requires_grad_() for out in outputs)
    cotangents = as_tuple(cotangents)
    count, moving = len(inputs), [is_moving(t) for t in inputs + cotangents]

    def gradient(*args: Any) -> tuple:
        args = tuple(t.requires_grad_() if on else t for t, on in zip(args, moving, strict=True))
        outputs = [out for out in as_tuple(func(*args[:count])) if is_moving(out)]
        xs = [x for x, on in zip(args[:count], moving, strict=False) if on]
        found = grad(outputs, xs, args[count:], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradient, cotangents


def tangent_of(func: Callable, inputs: tuple) -> tuple[Callable, tuple]:
    """Return the tangent as a function of inputs and directions, and random directions."""
    rng = np.random.default_rng(5)
    places = [i for i, x in enumerate(inputs) if is_moving(x)]
    directions = tuple(_random(rng, inputs[i], False).requires_grad_() for i in places)
    count = len(inputs)

    def tangent(*args: Any) -> tuple:
        with dual_level():
            duals = list(args[:count])
            for i, t in zip(places, args[count:], strict=True):
                duals[i] = make_dual(args[i], t)
            found = [unpack_dual(out).tangent for out in as_tuple(func(*duals)) if isinstance(out, Tensor)]
            return tuple(t for t in found if t is not None)

    return tangent, directions


def _random(rng: np.random.Generator, like: Tensor, gaps: bool) -> Tensor:
    """Return random numbers in (-1, 1) of a tensor's shape and dtype, if asked for in memory with gaps."""
    shape = tuple(like.shape)
    drawn = rng.uniform(-1, 1, shape) + (1j * rng.uniform(-1, 1, shape) if like.is_complex() else 0)
    made = np.asarray(drawn, like.dtype.numpy)
    if gaps and shape:
        spread = np.zeros((*shape[:-1], 2 * shape[-1]), made.dtype)
        spread[..., ::2] = made
        made = spread[..., ::2]
    return wrap(made)

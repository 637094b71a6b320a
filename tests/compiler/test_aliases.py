"""Compiled functions write to the memory that the functions write to, by whatever name they have it."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


def _each(parameters, others, write):
    for p, q in zip(parameters, others, strict=True):
        write(p, q)


def _step(net, x, write):
    """Return a loss; each parameter has been written to by its gradient."""
    net.zero_grad()
    loss = net(x).pow(2).sum()
    loss.backward()
    for p in net.parameters():
        write(p)
    return loss


def _plainly(p):
    with cr.no_grad():
        p -= 0.01 * p.grad


def _through_numpy(t):
    t.numpy()[0] = 5.0
    return t


def _through_array(t):
    found = cr.from_numpy(t.numpy())
    return found.mul_(2)


def _own(x):
    p = nn.Parameter(x.detach() * 2)
    (p * p).sum().backward()
    return p.grad


def _on_its_memory(x):
    p = nn.Parameter(x)
    p.data.mul_(3)
    return p * x


# Functions of two linear maps and a tensor.
PROGRAMS = {
    "data": lambda net, other, x: (net.weight.data.mul_(0.5), net(x))[1],
    "data is bounded": lambda net, other, x: (net.weight.data.clamp_(-0.1, 0.1), net(x))[1],
    "data is read": lambda net, other, x: x @ net.weight.data.t(),
    "average": lambda net, other, x: _each(
        net.parameters(), other.parameters(), lambda p, q: p.data.mul_(0.9).add_(q.data, alpha=0.1)
    ),
    "copy": lambda net, other, x: _each(net.parameters(), other.parameters(), lambda p, q: p.data.copy_(p.data - q.data)),
    "step on data": lambda net, other, x: _step(net, x, lambda p: p.data.sub_(p.grad.data * 0.01)),
    "step": lambda net, other, x: _step(net, x, _plainly),
    "initialised": lambda net, other, x: (nn.init.normal_(net.weight), net(x))[1],
    "argument through NumPy": lambda net, other, x: _through_numpy(x.detach()),
    "result through NumPy": lambda net, other, x: _through_numpy((x * 2).detach()),
    "through an array": lambda net, other, x: _through_array(x.detach()),
    "a parameter of its own": lambda net, other, x: _own(x),
    "a parameter on an argument": lambda net, other, x: _on_its_memory(x.detach()),
    "a module of its own": lambda net, other, x: nn.Linear(3, 2)(x),
    "seed": lambda net, other, x: (cr.manual_seed(3), x + cr.rand(3))[1],
    "seed of a generator": lambda net, other, x: x + cr.rand(3, generator=cr.Generator().manual_seed(5)),
    "deep copy": lambda net, other, x: copy.deepcopy(x.detach()),
}


def trace(program, compiled):
    """Return all that calls of a program return and leave behind."""
    cr.manual_seed(0)
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    f = lambda x: PROGRAMS[program](net, other, x)
    f = cr.compile(f) if compiled else f
    found = []
    for seed in range(4):
        x = cr.tensor(np.random.default_rng(seed).normal(size=(4, 3)), dtype=cr.float32)
        out = f(x)
        found += [t.detach().clone() for t in (x, *net.parameters(), *([out] if isinstance(out, cr.Tensor) else []))]
        with cr.no_grad():
            net.weight.mul_(1.5)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_write_where_they_write_uncompiled(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what runs as it is
        for a, b in zip(trace(program, True), trace(program, False), strict=True):
            cr.testing.assert_close(a, b)


def test_a_leaf_that_a_function_makes_and_returns_is_one():
    run = cr.compile(lambda x: (x * 2).detach().requires_grad_())
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            out = run(cr.ones(2, requires_grad=True))
        out.sum().backward()
        assert out.is_leaf
        assert out.grad.tolist() == [1, 1]

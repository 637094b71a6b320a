"""Hooks on modules: the same calls, in the same order, with the same gradients as under PyTorch."""

from __future__ import annotations

import copy
import warnings

import pytest
from tests.oracle import agree, outcome

import chainrule as cr


class _Program:
    """A small module of two inputs and two outputs, and a log of what its hooks saw."""

    def __init__(self, lib):
        class Pair(lib.nn.Module):
            def forward(self, x, y=None, scale=1.0):
                if x is None:
                    raise ValueError("no input")
                return (x.sin() * scale, x if y is None else x * y)

        self.lib, self.module, self.log = lib, Pair(), []

    def leaf(self, *values):
        return self.lib.tensor(list(values), requires_grad=True)

    def seen(self, name, answer=None):
        def hook(module, *args):
            flat = lambda v: [flat(p) for p in v] if isinstance(v, (tuple, list)) else v if v is None else v.detach() * 1
            self.log.append((name, [flat(a) for a in args if not isinstance(a, dict)]))
            return None if answer is None else answer(*args)

        return hook


def forward_hooks(p):
    p.module.register_forward_pre_hook(p.seen("second", lambda args: (args[0] * 2, *args[1:])))
    p.module.register_forward_pre_hook(p.seen("first", lambda args: args[0] + 1), prepend=True)
    p.module.register_forward_hook(p.seen("after", lambda args, out: (out[0] * 10, out[1])))
    handle = p.module.register_forward_hook(p.seen("removed"))
    handle.remove()
    return p.module(p.leaf(0.5, 1.0))


def keyword_hooks(p):
    p.module.register_forward_pre_hook(p.seen("pre", lambda args, kwargs: (args, {**kwargs, "scale": 3.0})), with_kwargs=True)
    p.module.register_forward_hook(p.seen("after", lambda args, kwargs, out: out[0] * kwargs["scale"]), with_kwargs=True)
    return p.module(p.leaf(0.5, 1.0), scale=2.0)


def wrong_keyword_hook(p):
    p.module.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    return p.module(p.leaf(0.5))


def always_called(p):
    p.module.register_forward_hook(p.seen("always", lambda args, out: None), always_call=True)
    p.module.register_forward_hook(p.seen("not"))
    try:
        p.module(None)
    except ValueError as error:
        p.log.append(str(error))
    return p.log


def backward_hooks(p):
    p.module.register_full_backward_pre_hook(p.seen("pre", lambda gs: (gs[0] * 2, gs[1])))
    p.module.register_full_backward_hook(p.seen("post"))
    p.module.register_full_backward_hook(p.seen("replaces", lambda gi, go: tuple(g if g is None else g * 3 for g in gi)))
    x, y = p.leaf(0.5, 1.0), p.leaf(2.0, -1.0)
    a, b = p.module(x, y)
    (a.sum() + (b * b).sum()).backward()
    return x.grad, y.grad, a.grad_fn.name(), p.log


def one_output_used(p):
    p.module.register_full_backward_hook(p.seen("post"))
    x = p.leaf(0.5, 1.0)
    a, _ = p.module(x)
    a.sum().backward()
    return x.grad, p.log


def inputs_without_gradient(p):
    linear = p.lib.nn.Linear(2, 1)
    linear.register_full_backward_hook(p.seen("post"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear(p.lib.ones(3, 2)).sum().backward()
    return linear.bias.grad, p.log


def wrong_number(p):
    p.module.register_full_backward_hook(lambda m, gi, go: (*gi, None))
    p.module(p.leaf(0.5))[0].sum().backward()


def wrong_number_before(p):
    p.module.register_full_backward_pre_hook(lambda m, gs: gs[:1])
    p.module(p.leaf(0.5))[0].sum().backward()


def second_order(p):
    p.module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    x = p.leaf(0.5, 1.0)
    (g,) = p.lib.autograd.grad(p.module(x)[0].sum(), x, create_graph=True)
    return g, p.lib.autograd.grad(g.sum(), x)


def without_grad_mode(p):
    p.module.register_full_backward_hook(p.seen("post"))
    with p.lib.no_grad():
        return p.module(p.leaf(0.5)), p.log


PROGRAMS = [
    forward_hooks, keyword_hooks, wrong_keyword_hook, always_called, backward_hooks, one_output_used, inputs_without_gradient,
    wrong_number, wrong_number_before, second_order, without_grad_mode,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_hooks_are_pytorchs(torch, program):
    run = lambda lib: program(_Program(lib))
    agree(outcome(cr, run)[0], outcome(torch, run)[0], rtol=1e-6, full_text=False)


def test_a_module_without_hooks_has_none():
    assert cr.nn.ReLU()._hooks is None


def test_copies_keep_hooks():
    layer, calls = cr.nn.ReLU(), []
    layer.register_forward_hook(lambda m, args, out: calls.append(m))
    twin = copy.deepcopy(layer)
    twin(cr.ones(1))
    assert calls == [twin]


def test_hooks_under_transforms():
    layer, seen = cr.nn.Tanh(), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(len(gi)) or (gi[0] * 2,))
    x = cr.tensor([0.1, 0.2])
    g = cr.func.grad(lambda x: layer(x).sum())(x)
    assert seen == [1]
    assert cr.allclose(g, 2 / x.cosh() ** 2)
    each = cr.func.vmap(cr.func.grad(lambda x: layer(x).sum()))(x)
    assert seen == [1, 1]
    assert cr.allclose(each, g)

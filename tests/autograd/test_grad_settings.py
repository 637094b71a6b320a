"""`grad_dtype`, the layout of gradients, and whether passes may use other threads: as PyTorch's."""

from __future__ import annotations

import pytest
from tests.oracle import agree, outcome

import chainrule as cr

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaf(lib, dtype="float32"):
    return lib.ones(3, dtype=getattr(lib, dtype), requires_grad=True)


@program
def the_default_is_the_tensors_own(lib):
    x = leaf(lib)
    x.sum().backward()
    return x.grad_dtype == lib.float32, x.grad, lib.ones(2).grad_dtype == lib.float32


@program
def gradients_are_cast(lib):
    x = leaf(lib)
    x.grad_dtype = lib.float64
    seen = []
    x.register_hook(lambda g: seen.append(str(g.dtype).split(".")[1]))
    x.sum().backward()
    (x * 2).sum().backward()
    return x.grad, lib.autograd.grad(x.sum(), x), seen


@program
def recorded_gradients_are_cast(lib):
    x = leaf(lib)
    x.grad_dtype = lib.float64
    (g,) = lib.autograd.grad((x * x).sum(), x, create_graph=True)
    (x * x).sum().backward(create_graph=True)
    return g, x.grad


@program
def a_narrow_gradient(lib):
    x = leaf(lib, "float64")
    x.grad_dtype = lib.float32
    x.sum().backward()
    x.sum().backward()
    return x.grad


@program
def none_allows_any(lib):
    x = leaf(lib)
    x.grad_dtype = None
    x.sum().backward()
    first = x.grad
    x.grad = None
    x.grad = lib.ones(3, dtype=lib.float16)
    x.sum().backward()
    return x.grad_dtype, first, x.grad


@program
def assigned_gradients_are_checked(lib):
    x = leaf(lib)
    x.grad_dtype = lib.float64
    x.grad = lib.ones(3, dtype=lib.float64)
    x.grad = None
    x.grad = lib.ones(3)


@program
def not_of_results(lib):
    return (leaf(lib) * 2).grad_dtype


@program
def not_set_on_results(lib):
    y = leaf(lib) * 2
    y.grad_dtype = lib.float64


@program
def no_other_type(lib):
    x = leaf(lib)
    x.grad_dtype = 3


@program
def not_against_a_gradient(lib):
    x = leaf(lib)
    x.sum().backward()
    x.grad_dtype = lib.float64


@program
def gradients_take_their_tensors_strides(lib):
    found = []
    w = lib.arange(12, dtype=lib.float64).reshape(3, 4)
    for x, y in [(w.clone(), w.T), (w.T.clone().T, w), (w.clone()[:, ::2], w[:, ::2]), (w.clone(), w), (w.clone().T, w.T)]:
        x = x.detach().requires_grad_()
        z = x if x.shape == y.shape else x.T
        (z * y * 2).sum().backward()
        found.append((x.stride(), x.grad.stride(), x.grad))
        found.append(x.grad.numel())
    x = w.clone().requires_grad_()
    x.T.sum().backward()
    x.expand(2, 3, 4).sum().backward()
    return found, x.grad.view(-1)


@program
def unless_the_policy_is_off(lib):
    x = lib.ones(3, 4, dtype=lib.float64, requires_grad=True)
    with lib.autograd.enforce_grad_layout_policy(False):
        (x.T * lib.ones(4, 3, dtype=lib.float64)).sum().backward()
    return x.grad.stride()


@program
def multithreading(lib):
    autograd = lib.autograd
    seen = [autograd.is_multithreading_enabled()]
    with autograd.set_multithreading_enabled(False):
        seen.append(autograd.is_multithreading_enabled())
    seen.append(autograd.is_multithreading_enabled())
    autograd.set_multithreading_enabled(False)
    seen.append(autograd.is_multithreading_enabled())
    autograd.set_multithreading_enabled(True)
    seen.append(autograd.is_multithreading_enabled())
    return seen


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_as_pytorch(torch, name):
    ours, theirs = outcome(cr, PROGRAMS[name])[0], outcome(torch, PROGRAMS[name])[0]
    agree(ours, theirs, full_text=False)
    if hasattr(theirs, "text"):
        assert ours.text.replace("chainrule", "torch")[:40] == theirs.text[:40]


def test_settings_decorate():
    @cr.autograd.set_multithreading_enabled(False)
    def f():
        return cr.autograd.is_multithreading_enabled()

    assert cr.autograd.is_multithreading_enabled()
    assert [f(), f()] == [False, False]
    assert cr.autograd.is_multithreading_enabled()

"""What graphs keep alive: no more memory than PyTorch's, of values and of gradients, and during a pass no cotangent twice."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")

ROWS, IMAGES = (64, 128), (4, 8, 16, 16)
NORM = [(8,), (8,)]


def named(name, *args, **kwargs):
    return lambda lib, *xs: getattr(lib.nn.functional, name)(*xs, *args, **kwargs)


def perceptron(lib, x, v, w):
    return lib.nn.functional.gelu(lib.tanh(x @ v) @ w).softmax(-1)


# What PyTorch has an op for, pullback included; of gradients it keeps no factor that it can compute again.
TWICE = {
    **{name: (named(name), [ROWS]) for name in ("tanh", "sigmoid", "relu", "relu6", "gelu", "silu", "softsign", "tanhshrink")},
    "gelu tanh": (named("gelu", approximate="tanh"), [ROWS]),
    **{name: (named(name, -1), [ROWS]) for name in ("softmax", "log_softmax", "softmin")},
    "linear": (named("linear"), [(4, 16, 128), (64, 128), (64,)]), "conv2d": (named("conv2d"), [IMAGES, (4, 8, 3, 3), (4,)]),
    "depthwise": (named("conv2d", groups=8), [IMAGES, (8, 1, 3, 3)]), "avg_pool2d": (named("avg_pool2d", 2), [IMAGES]),
    "max_pool2d": (named("max_pool2d", 2), [IMAGES]), "sort": (lambda lib, x: x.sort(-1)[0], [ROWS]),
    "max": (lambda lib, x: x.max(-1)[0], [ROWS]), "cummax": (lambda lib, x: x.cummax(-1)[0], [ROWS]),
    "perceptron": (perceptron, [ROWS, (128, 128), (128, 128)]),
}  # fmt: skip
ONCE = {
    "layer_norm": (named("layer_norm", (128,)), [ROWS]),
    "instance_norm": (named("instance_norm"), [IMAGES]),
    "batch_norm": (lambda lib, x, w, b: lib.nn.functional.batch_norm(x, None, None, w, b, True), [IMAGES, *NORM]),
}


def kept(lib, program, shapes, twice):
    """Return the bytes of distinct memory that nodes saved, beyond the inputs'."""
    rng = np.random.default_rng(0)
    xs = [lib.tensor(rng.normal(size=shape).astype(np.float32), requires_grad=True) for shape in shapes]
    found, alive = {}, []

    def memory(t):
        a = t.detach().numpy()
        while isinstance(a.base, np.ndarray):
            a = a.base
        return a.ctypes.data, t.numel() * t.element_size()

    def pack(t):
        alive.append(t)
        if t.numel() > 1:
            place, size = memory(t)
            found[place] = max(size, found.get(place, 0))
        return t

    with lib.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = program(lib, *xs)
        if twice:
            xs.append(v := lib.ones(tuple(y.shape)).requires_grad_())
            alive.append(lib.autograd.grad(y, xs[:-1], v, create_graph=True))
    return sum([found[place] for place in found.keys() - {memory(x)[0] for x in xs}])


@pytest.mark.parametrize(("name", "twice"), [*[(n, False) for n in {**TWICE, **ONCE}], *[(n, True) for n in TWICE]])
def test_nodes_keep_no_more_than_pytorch(name, twice):
    program, shapes = {**TWICE, **ONCE}[name]
    ours, theirs = kept(cr, program, shapes, twice), kept(torch, program, shapes, twice)
    assert ours <= 1.1 * theirs + 2048, (ours, theirs)


def test_gradients_of_a_normalisation_keep_two_arrays():
    """The standardised input and what is pulled through it; not the input less its mean."""
    program = lambda lib, x, w, b: lib.nn.functional.layer_norm(x, (128,), w, b)
    assert kept(cr, program, [ROWS, (128,), (128,)], True) < 2.2 * 4 * ROWS[0] * ROWS[1]


def peak(f):
    """Return how many bytes more than before lived at once while `f` ran."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        f()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_cotangent_that_was_added_to_another_is_gone():
    n = 1 << 18
    x = cr.ones(n, requires_grad=True)
    between = x.tan()
    y, g = between * 2 + between * 3, cr.ones(n)
    assert peak(lambda: cr.autograd.grad(y, x, g, retain_graph=True)) < 2.6 * 4 * n  # their sum, and what tan makes of it


def test_zeros_that_a_rule_sends_are_one_zero():
    """The derivative of relu's pullback in the input is 0, for dependence's sake: it takes no memory until it is added."""
    n = 1 << 18
    x, v = cr.ones(n, requires_grad=True), cr.ones(n, requires_grad=True)
    (g,) = cr.autograd.grad(x.relu(), x, v, create_graph=True)
    h = cr.ones(n)
    assert peak(lambda: cr.autograd.grad(g, (x, v), h, retain_graph=True)) < 3.1 * 4 * n

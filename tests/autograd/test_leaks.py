"""Graphs are freed as soon as their results are: no cycle of references waits for the garbage collector.

The collector is off throughout. After each program no tensor and no node is left of it, and a thousand runs need no more memory
than a hundred.
"""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import forward_ad
from chainrule.autograd.function import once_differentiable
from chainrule.core.graph.nodes import Node
from chainrule.utils.checkpoint import checkpoint, checkpoint_sequential

pytestmark = pytest.mark.usefixtures("small_heap")


class Square(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x, out := x * x)
        ctx.extra = x
        return out

    @staticmethod
    def backward(ctx, g):
        x, out = ctx.saved_tensors
        return 2 * g * x + 0 * out


class Once(cr.autograd.Function):
    @staticmethod
    def forward(x):
        return x.exp(), x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, *output)
        ctx.save_for_forward(*inputs, *output)

    @staticmethod
    @once_differentiable
    def backward(ctx, g, h):
        x, e, _ = ctx.saved_tensors
        return g * e + h * x.cos()

    @staticmethod
    def jvp(ctx, t):
        x, e, _ = ctx.saved_tensors
        return t * e, t * x.cos()


class Written(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


def leaf():
    return cr.tensor(np.linspace(0.1, 1.0, 6).reshape(2, 3), requires_grad=True)


def plain():
    x = leaf()
    y = (x.sin() @ x.t()).sum()
    y.backward()
    return x, y, x.grad


def never_pulled():
    x = leaf()
    return x, x.exp().log().sum()


def retained():
    x = leaf()
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    return x, y


def second_order():
    x = leaf()
    (g,) = cr.autograd.grad((x.exp() * x).sum(), x, create_graph=True)
    (h,) = cr.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    return x, g, h


def create_graph_of_backward():
    x = leaf()
    y = (x**3).sum()
    with pytest.warns(UserWarning, match="reference cycle"):
        y.backward(create_graph=True)
    g = x.grad
    x.grad = None  # the cycle that the warning is about
    return x, y, g


def failed_backward():
    x = leaf()
    y = x.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError):
        y.sum().backward()
    return x, y


def failed_op():
    x = leaf()
    with pytest.raises(RuntimeError):
        x.exp() @ cr.ones(7)
    return (x,)


def tensor_hooks():
    x = leaf()
    y = x.exp()
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    handle = x.register_hook(lambda g: None)
    x.register_post_accumulate_grad_hook(lambda t: None)
    y.sum().backward()
    handle.remove()
    return x, y, y.grad


def node_hooks():
    x = leaf()
    y = x.exp()
    y.grad_fn.register_hook(lambda gi, go: None)
    y.grad_fn.register_prehook(lambda go: None)
    y.grad_fn.metadata["note"] = "kept by the node"
    cr.autograd.graph.register_multi_grad_hook((x, y), lambda gs: None)
    y.sum().backward()
    return x, y, y.grad_fn


def saved_hooks():
    x = leaf()
    with cr.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
        y = x.exp() * x
    with cr.autograd.graph.save_on_cpu():
        z = y.sin()
    z.sum().backward()
    return x, y, z


def saved_values_seen():
    x = leaf()
    y = x.exp() * x
    return x, y, y.grad_fn, y.grad_fn._saved_self, y.grad_fn.next_functions[0][0]


def functions():
    x = leaf()
    y = Square.apply(x)
    (g,) = cr.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    e, s = Once.apply(x)
    (e + s).sum().backward()
    w = Written.apply(x.clone())
    w.sum().backward()
    return x, y, g, e, w, Square.apply(x), Once.apply(x)[1]


def functions_under_transforms():
    x = leaf().detach()
    return func.grad(lambda x: Square.apply(x).sum())(x), func.jvp(lambda x: Once.apply(x)[0], (x,), (x,))[1]


def checkpointed():
    x = leaf()
    y = checkpoint(lambda x: (x.exp() * x).sin(), x, use_reentrant=False)
    z = checkpoint(lambda x: (x.exp() * x).sin(), x, use_reentrant=True)
    w = checkpoint_sequential([cr.exp, cr.sin, cr.tanh], 2, x, use_reentrant=False)
    (y + z + w).sum().backward()
    return x, y, z, w, checkpoint(cr.exp, x, use_reentrant=False)


def views_and_writes():
    x = leaf()
    base = x.clone()
    row, flat = base[0], base.view(-1)
    row.mul_(2)
    flat[1:3] = x[1, :2]
    base.add_(x)
    first, second = base.clone().unbind(0)
    base[0].detach().requires_grad_().exp().sum().backward()
    (row.sum() + flat.sin().sum() + first.sum() + second.sum()).backward()
    return x, base, row, flat, first


def detached():
    x = leaf()
    y = x.exp()
    z = y.detach().requires_grad_()
    z.sin().sum().backward()
    y.detach_()
    return x, y, z


def forward_mode():
    x = leaf()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, cr.ones_like(x))
        y = (dual.sin() * dual).sum()
        tangent = forward_ad.unpack_dual(y).tangent
    (g,) = cr.autograd.grad(tangent, x)
    return x, dual, y, tangent, g


def transforms():
    x = leaf().detach()
    f = lambda x: (x.sin() * x).sum()
    y, pull = func.vjp(lambda x: x.exp(), x)
    made = [y, *pull(cr.ones_like(y)), func.grad(f)(x), func.grad(lambda x: func.grad(f)(x).sum())(x)]
    made += [func.jvp(f, (x,), (x,))[1], func.vmap(func.grad(f))(x), func.jvp(func.grad(f), (x,), (x,))[1]]
    return made


def jacobians():
    x = leaf().detach()
    made = [func.jacrev(cr.sin)(x), func.jacfwd(cr.sin)(x), func.hessian(lambda x: x.sin().sum())(x)]
    functional = cr.autograd.functional
    made += [functional.jacobian(cr.sin, x, vectorize=True), functional.hessian(lambda x: x.sin().sum(), x)]
    return [*made, functional.hvp(lambda x: x.sin().sum(), x, x)[1]]


def captured_by_a_transform():
    w = leaf()
    y = func.vmap(lambda x: (w * x).sum())(cr.ones(4, 2, 3, dtype=cr.float64))
    y.sum().backward()
    z = func.grad(lambda x: (w * x).sum())(w.detach())
    return w, y, z


def written_inside_a_transform():
    def f(x):
        y = cr.zeros(3, dtype=cr.float64)
        y[0] = x[0, 0]
        y[1:] = x[0, 1:] * 2
        return y.sum()

    x = leaf().detach()
    return func.grad(f)(x), func.jvp(f, (x,), (x,))[1]


def anomaly():
    x = leaf()
    with pytest.warns(UserWarning, match="Anomaly Detection"):
        mode = cr.autograd.detect_anomaly(check_nan=True)
    with mode:
        y = x.exp().sum()
        y.backward()
    return x, y


def training_step():
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 1))
    optimizer = cr.optim.Adam(model.parameters())
    loss = model(cr.ones(2, 3)).sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss, *model.parameters()


def inference():
    with cr.inference_mode():
        x = cr.ones(3).exp()
    return (x,)


def gradient_edges():
    x = leaf()
    y = x.exp()
    edge = cr.autograd.graph.get_gradient_edge(y)
    (g,) = cr.autograd.grad(y.sum(), [edge])
    return x, y, g


def checks():
    x = leaf()
    cr.autograd.gradcheck(lambda x: x.sin(), x, fast_mode=True, check_forward_ad=True, check_batched_grad=True)
    return (x,)


PROGRAMS = [
    plain, never_pulled, retained, second_order, create_graph_of_backward, failed_backward, failed_op, tensor_hooks, node_hooks,
    saved_hooks, saved_values_seen, functions, functions_under_transforms, checkpointed, views_and_writes, detached,
    forward_mode, transforms, jacobians, captured_by_a_transform, written_inside_a_transform, anomaly, training_step, inference,
    gradient_edges, checks,
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


SLACK = 30_000  # bytes that caches may grow by; a tensor left of each of 200 runs takes 50,000


def alive():
    """Return the tensors and nodes that there are."""
    return [o for o in gc.get_objects() if issubclass(type(o), (cr.Tensor, Node))]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_nothing_is_left_of_a_program(program):
    program()  # what is made once and kept: plans, caches
    gc.collect()
    before = {id(o) for o in alive()}
    made = program()
    references = [weakref.ref(o) for o in made if isinstance(o, cr.Tensor)]
    assert references
    del made
    assert [r() for r in references if r() is not None] == []
    assert [o for o in alive() if id(o) not in before] == []


def grown(program, warm, times):
    """Return the bytes that a program's repetition adds, after some repetitions."""
    for _ in range(warm):
        program()
    tracemalloc.start()
    try:
        program()
        start = in_use()
        for _ in range(times):
            program()
        return in_use() - start
    finally:
        tracemalloc.stop()


def in_use():
    """Return the bytes in use: cycles that wait for the collector count, the interpreter's lists of free tuples do not."""
    gc.freeze()
    gc.collect()
    gc.unfreeze()
    return tracemalloc.get_traced_memory()[0]


def test_repetition_needs_no_more_memory():
    assert grown(plain, 50, 200) < SLACK


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_a_thousand_repetitions_need_no_more_memory(program):
    assert grown(program, 100, 1_000) < SLACK


def test_a_leak_is_seen():
    kept = []

    def leaking():
        x = leaf()
        y = x.exp()
        y.register_hook(lambda g: y)  # a cycle: the node holds the hook, the hook the tensor
        kept.append(None)
        return x, y

    with pytest.raises(AssertionError):
        test_nothing_is_left_of_a_program(leaking)
    with pytest.raises(AssertionError):
        assert grown(leaking, 5, 200) < SLACK

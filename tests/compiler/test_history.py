"""Calls that carry derivatives, the short way: values, gradients and all that surrounds them are those of the long way."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.shortcut import REFUSED
from chainrule.core.types.tree import tree_flatten

pytest.importorskip("llvmlite")


def single(x, y):
    return (x * y).sin() + x


def several(x, y):
    z = (x * y).exp()
    return z, (z + x).sum(), x.detach() * 2


FUNCTIONS = [single, several, lambda x, y: (x @ y).tanh(), lambda x, y: {"a": [x * y], "b": (x / y).sum()}]


def inputs(kind="leaf"):
    x, y = cr.linspace(0.1, 1, 9).reshape(3, 3), cr.linspace(1, 2, 9).reshape(3, 3)
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_(kind != "one")
    return (x * 1, y * 1, (x, y)) if kind == "inner" else (x, y, (x, y))


def warm(f, kind="leaf"):
    """Return a function compiled and called until it has a short way."""
    made = cr.compile(f)
    for _ in range(4):
        made(*inputs(kind)[:2])
    assert made._short is not None
    return made


def long(made):
    """Return a function that calls another the long way."""

    def call(*args):
        made._short = None
        return made(*args)

    return call


def leaves(out):
    return tree_flatten(out)[0]


def moving(out):
    return [t for t in leaves(out) if t.requires_grad]


def same(found, expected, exactly=True):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            compare = np.testing.assert_array_equal if exactly else np.testing.assert_allclose
            compare(a.detach().numpy(), b.detach().numpy(), **({} if exactly else {"rtol": 1e-5, "atol": 1e-5}))
            assert (a.dtype, a.shape, a.requires_grad, a._version) == (b.dtype, b.shape, b.requires_grad, b._version)


def passes(run, kind, **options):
    """Return the results, and what two calls and their backward passes leave in `.grad`."""
    x, y, roots = inputs(kind)
    for _ in range(2):
        out = run(x, y)
        sum([t.sum() for t in moving(out)]).backward(**options, retain_graph=True)
    return out, [t.grad for t in roots]


@pytest.mark.parametrize("kind", ["leaf", "one", "inner"])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_values_and_gradients(f, kind):
    run = warm(f, kind)
    assert run._short(inputs(kind)[:2], {}) is not REFUSED
    found = passes(run, kind)
    same(found, passes(long(run), kind))
    same(found, passes(f, kind), exactly=False)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_node_is_that_of_the_long_way(f):
    run = warm(f)
    x, y, _ = inputs()
    a, b = run._short((x, y), {}), long(run)(x, y)
    for p, q in zip(moving(a), moving(b), strict=True):
        assert p.grad_fn.name() == q.grad_fn.name()
        assert p.grad_fn.next_functions == q.grad_fn.next_functions
        assert p.output_nr == q.output_nr
        assert p.grad_fn.needs_input_grad == q.grad_fn.needs_input_grad
        described = [[(m.shape, m.dtype) for m in t.grad_fn._input_metadata] for t in (p, q)]
        assert described[0] == described[1]
        same(list(p.grad_fn.saved_tensors), list(q.grad_fn.saved_tensors))
        assert p.is_leaf == q.is_leaf


def test_a_pass_runs_the_plan_and_does_not_make_rules():
    run = warm(single)
    x, y, _ = inputs()
    out = run._short((x, y), {})
    node = out._node
    out.sum().backward()
    assert node.rules.rules is None
    assert node.saved is None


@pytest.mark.parametrize("f", FUNCTIONS)
def test_each_result_alone_and_each_input_alone(f):
    run = warm(f)
    for k in range(len(moving(f(*inputs()[:2])))):
        for i in (0, 1):
            x, y, roots = inputs()
            found = cr.autograd.grad(moving(run(x, y))[k].sum(), roots[i])
            same(found, cr.autograd.grad(moving(long(run)(x, y))[k].sum(), roots[i]))


@pytest.mark.parametrize("f", FUNCTIONS)
def test_higher_derivatives(f):
    run = warm(f)

    def twice(g):
        x, y, roots = inputs()
        first = cr.autograd.grad(sum([t.sum() for t in moving(g(x, y))]), roots, create_graph=True)
        return first, cr.autograd.grad(sum([(t**2).sum() for t in first]), roots)

    for _ in range(3):
        same(twice(run), twice(f), exactly=False)


def test_passes_over_what_is_freed_or_written_to_raise():
    run = warm(lambda x, y: (x @ y).tanh())
    x, y, _ = inputs()
    out = run(x, y).sum()
    out.backward(retain_graph=True)
    out.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        out.backward()
    out = run._short((x, y), {})
    out.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    out = run._short((x, y), {})
    x.detach().mul_(2)  # the plan has kept a copy of it, and the function itself is to be called again
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cr.autograd.grad(out.sum(), x, create_graph=True)
    run = warm(single)
    for create_graph in (False, True):
        out = run._short((x, y), {})
        x.detach().mul_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            cr.autograd.grad(out.sum(), x, create_graph=create_graph)


def test_hooks_on_tensors_and_nodes():
    run = warm(single)
    seen = {}
    for name, g in (("short", run), ("long", long(run))):
        x, y, _ = inputs()
        notes = seen[name] = []
        out = g(x, y)
        out.register_hook(lambda t: t * 3)
        x.register_hook(lambda t, notes=notes: notes.append(t.clone()))
        out.grad_fn.register_hook(lambda ins, outs, notes=notes: notes.extend([*ins, *outs]))
        out.grad_fn.register_prehook(lambda outs, notes=notes: notes.extend(outs))
        out.retain_grad()
        out.sum().backward()
        notes += [x.grad, y.grad, out.grad]
    same(seen["short"], seen["long"])


def test_results_and_graph_die_with_their_last_reference():
    run = warm(FUNCTIONS[2])
    gc.disable()
    try:
        x, y = inputs()[:2]
        out = run._short((x, y), {})
        held = weakref.ref(out), weakref.ref(out._node), weakref.ref(x)
        del out, x
        assert [r() for r in held] == [None] * 3
    finally:
        gc.enable()


def test_gradients_are_arrays_of_their_own():
    run = warm(lambda x, y: x + y * 1)
    for _ in range(3):
        x, y, _ = inputs()
        g = cr.ones(3, 3)
        run(x, y).backward(g)
        x.grad.mul_(5)
        assert y.grad.tolist() == g.tolist() == [[1.0] * 3] * 3


def test_parameters_that_change():
    layer = cr.nn.Linear(3, 3)
    run = cr.compile(lambda x: layer(x))
    x = inputs()[0].detach()
    for _ in range(4):
        run(x)
    assert run._short((x,), {}) is not REFUSED
    for change in (
        lambda: layer.weight.detach().mul_(2), lambda: layer.weight.requires_grad_(False),
        lambda: setattr(layer, "bias", cr.nn.Parameter(cr.ones(3))), lambda: layer.double(), lambda: layer.float(),
    ):  # fmt: skip
        change()
        at = x.to(layer.weight.dtype)
        for _ in range(4):
            layer.zero_grad()
            (run(at) ** 2).sum().backward()
            found = [None if p.grad is None else p.grad.clone() for p in layer.parameters()]
            layer.zero_grad()
            (layer(at) ** 2).sum().backward()
            same(found, [p.grad for p in layer.parameters()], exactly=False)


def test_other_modes_and_transforms():
    run = warm(single)
    x, y, _ = inputs()
    with cr.no_grad():
        assert not run(x, y).requires_grad
    with cr.inference_mode():
        fixed = cr.ones(3, 3)
    constant = warm(single, "one")
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        constant(x, fixed)
    shifted = warm(lambda x, y: x + y, "one")
    for _ in range(3):
        assert shifted(x, fixed).requires_grad
    same(run(x, y), single(x, y), exactly=False)
    packed = []
    with cr.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        run(x, y).sum().backward()
    assert packed
    tangent = cr.ones(3, 3)
    same(cr.func.jvp(run, (x, y), (tangent, tangent)), cr.func.jvp(single, (x, y), (tangent, tangent)), exactly=False)
    same(cr.func.vmap(run)(x, y), cr.func.vmap(single)(x, y), exactly=False)
    same(cr.func.grad(lambda x: run(x, y).sum())(x), cr.func.grad(lambda x: single(x, y).sum())(x), exactly=False)


def trained(kind, take):
    """Return the losses of some steps of training, the parameters, their gradients and versions; `take` makes the step."""
    cr.manual_seed(0)
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 1))
    made = {"Adam": cr.optim.Adam, "SGD": cr.optim.SGD}
    optimizer = made[kind](model.parameters(), lr=0.1)
    count = cr.zeros(())

    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        count.add_(1)
        return loss

    step, losses = take(step), []
    for k in range(12):
        optimizer.param_groups[0]["lr"] = 0.1 / (k + 1)
        losses.append(step(cr.linspace(-1, 1, 15).reshape(5, 3) * (k + 1)))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        losses[-1].backward()
    params = list(model.parameters())
    return step, [*losses, *params, *[p.grad for p in params], count], [t._version for t in (*params, count)]


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_steps_of_training(kind):
    step, found, versions = trained(kind, cr.compile)
    assert step._short is not None
    _, by_long, long_versions = trained(kind, lambda f: long(cr.compile(f)))
    _, expected, counts = trained(kind, lambda f: f)
    same(found, by_long)
    assert versions == long_versions == counts
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_gradients_that_accumulate_in_the_call():
    def g(x, y):
        (x * y).sum().backward()
        return x.grad * 1

    run = cr.compile(g)
    made = {}
    for name, f in (("short", run), ("eager", g)):
        x, y, _ = inputs("one")
        made[name] = [f(x, y) for _ in range(8)] + [x.grad]
    same(made["short"], made["eager"], exactly=False)


def test_nothing_is_written_where_a_guard_fails():
    total = cr.zeros(3)

    def g(x):
        total.add_(x)
        return x * 2 if x.sum() > 0 else x * 3

    run = cr.compile(g)
    for _ in range(4):
        run(cr.ones(3))
    assert run._short is not None
    before = total.clone()
    assert run._short((-cr.ones(3),), {}) is REFUSED
    same(total.clone(), before)
    assert run(-cr.ones(3)).tolist() == [-3.0] * 3
    same(total.clone(), before - 1)


def effects(kind):
    """Return a function with effects, and the tensors that it has them on."""
    w, v, p = cr.zeros(3), cr.zeros(()), cr.ones(3, requires_grad=True)

    def g(x):
        y = x * 2
        w.copy_(y)
        v.add_(y.sum())
        return (y, w * 1, w)

    def h(x):
        p.grad = None
        (p * x).sum().backward()
        p.detach().add_(p.grad)
        return p.grad, p.grad * 1

    def both(x):
        w.copy_(x)
        w[1:].mul_(2)
        w[:2].add_(1)
        v.copy_(w.sum())

    return {"copy": g, "grad": h, "parts": both}[kind], (w, v, p)


@pytest.mark.parametrize("kind", ["copy", "grad", "parts"])
def test_effects_are_those_of_the_function(kind):
    seen = []
    for compiled in (True, False):
        g, held = effects(kind)
        run = cr.compile(g) if compiled else g
        notes = []
        for k in range(8):
            x = cr.arange(3.0) + k
            out = run(x)
            x.mul_(0)
            if k == 5:
                held[1]._data = held[1]._data[()]  # 0-d tensors may hold a scalar
            notes.append([t.clone() for t in (*leaves(out), *held) if t is not None])
            notes[-1] += [t.grad.clone() for t in held if t.grad is not None]
            for t in leaves(out):  # which share no memory with what was written to but where they are that
                if t is not None and t is not held[0] and t is not held[2].grad:
                    t.detach().add_(100)
            notes[-1] += [t.clone() for t in held]
        seen.append((notes, [t._version for t in held]))
        if compiled:
            assert run._short is not None
    same(*[[t.detach() for note in notes for t in note] for notes, _ in seen], exactly=False)
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize("take", [lambda f: f, long])
def test_gradients_set_in_the_call_have_memory_of_their_own(take):
    a, b = cr.ones(3, requires_grad=True), cr.ones(3, requires_grad=True)

    def f(x):
        a.grad = b.grad = None
        ((a + b) * x).sum().backward()

    def g(x):
        y = x * x
        a.grad = (y * 1).detach()
        return y.sin()

    run = take(cr.compile(f))
    for _ in range(6):
        run(cr.ones(3))
        a.grad.mul_(5)
        assert b.grad.tolist() == [1.0] * 3
    run, x = take(cr.compile(g)), cr.full((3,), 2.0, requires_grad=True)
    for _ in range(6):
        out = run(x)
        a.grad.mul_(0)
        np.testing.assert_allclose(cr.autograd.grad(out.sum(), x)[0].numpy(), [4 * np.cos(4.0)] * 3, rtol=1e-5)

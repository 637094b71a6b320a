"""Hooks on tensors, leaves and nodes are called when PyTorch calls them, with what PyTorch gives them."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.graph import register_multi_grad_hook
from chainrule.core.graph.nodes import LEAF_HOOKS

pytestmark = pytest.mark.usefixtures("small_heap")


def leaf(lib, *values):
    return lib.tensor(list(values), dtype=lib.float64, requires_grad=True)


def told(say, name, replace=None):
    def hook(g):
        say(name, g)
        return None if replace is None else replace(g)

    return hook


def hook_nodes(say, nodes):
    for name, node in nodes.items():
        node.register_prehook(lambda gs, name=name: say("before", name, gs))
        node.register_hook(lambda to, frm, name=name: say("after", name, to, frm))


class Graph:
    def __init__(self, lib, say):
        x = self.x = leaf(lib, 1.0, 2.0)
        y = self.y = x * 2
        z = self.z = y.exp()
        self.s = (z * y).sum()
        y.retain_grad()
        x.register_hook(told(say, "x"))
        x.register_post_accumulate_grad_hook(lambda p: say("accumulated", p is x, p.grad, lib.is_grad_enabled()))
        y.register_hook(told(say, "y", lambda g: g * 10))
        z.register_hook(told(say, "z"))
        z.register_hook(told(say, "z again", lambda g: g + 1))
        self.accumulator = y.grad_fn.next_functions[0][0]
        hook_nodes(say, {"mul": y.grad_fn, "exp": z.grad_fn, "sum": self.s.grad_fn, "x": self.accumulator})


def order_in_backward(lib, say):
    g = Graph(lib, say)
    g.s.backward()
    say(g.y.grad, g.x.grad)


def order_in_a_second_pass(lib, say):
    g = Graph(lib, say)
    g.s.backward(retain_graph=True)
    g.s.backward()
    say(g.y.grad, g.x.grad)


def order_in_grad_of_leaf(lib, say):
    g = Graph(lib, say)
    say(lib.autograd.grad(g.s, g.x), g.y.grad, g.x.grad)


def order_in_grad_of_result(lib, say):
    g = Graph(lib, say)
    say(lib.autograd.grad(g.s, g.y), g.y.grad, g.x.grad)


def order_in_grad_of_both(lib, say):
    g = Graph(lib, say)
    say(lib.autograd.grad(g.s, [g.y, g.x]), g.y.grad, g.x.grad)


def order_in_backward_to_leaf(lib, say):
    g = Graph(lib, say)
    g.s.backward(inputs=[g.x])
    say(g.y.grad, g.x.grad)


def order_in_backward_to_result(lib, say):
    g = Graph(lib, say)
    g.s.backward(inputs=[g.y])
    say(g.y.grad, g.x.grad, g.y.retains_grad)


def order_with_create_graph(lib, say):
    g = Graph(lib, say)
    (d,) = lib.autograd.grad(g.s, g.x, create_graph=True)
    say(d, d.requires_grad)
    say(lib.autograd.grad(d.sum(), g.x))


def retained_gradient_is_after_later_hooks(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    y.sum().backward()
    say(y.grad, x.grad)


def leaves_are_served_at_once(lib, say):
    a, b, c = leaf(lib, 1.0), leaf(lib, 2.0), leaf(lib, 3.0)
    for name, p in {"a": a, "b": b, "c": c}.items():
        p.register_post_accumulate_grad_hook(lambda p, name=name: say("accumulated", name, p.grad))
    h1 = a * 2
    h2 = h1 * b
    h3 = h2.exp() + c
    h4 = (h3 * b).sin()
    for name, h in {"h1": h1, "h2": h2, "h3": h3}.items():
        h.register_hook(told(say, name))
    h4.backward()


def leaf_steps_while_the_pass_goes_on(lib, say):
    ws = [leaf(lib, 0.5 + i) for i in range(4)]
    for w in ws:

        @w.register_post_accumulate_grad_hook
        def step(p):
            with lib.no_grad():
                p -= 0.1 * p.grad
            p.grad = None

    for _ in range(3):
        h = lib.ones(1, dtype=lib.float64)
        for w in ws:
            h = (h * w).sin() + w
        h.sum().backward()
    say([w.detach() for w in ws], [w.grad for w in ws])


def hooks_stay_with_the_value_written_over(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    y.register_hook(told(say, "old"))
    y.retain_grad()
    y.mul_(3)
    y.register_hook(told(say, "new"))
    y.sum().backward()
    say(y.grad, x.grad)


def hooks_on_a_base_written_through_a_view(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    y.register_hook(told(say, "old"))
    y[0].mul_(5)
    y.register_hook(told(say, "new"))
    y.sum().backward()
    say(x.grad)


def several_outputs(lib, say):
    x = leaf(lib, 1.0, 2.0, 3.0)
    a, b, c = x.unbind()
    b.register_hook(told(say, "b"))
    a.register_hook(told(say, "a", lambda g: g * 2))
    a.grad_fn.register_prehook(lambda gs: say("before", gs))
    a.grad_fn.register_hook(lambda to, frm: say("after", to, frm))
    (a * 2 + c).backward()
    say(x.grad)


def hook_on_the_root(lib, say):
    x = leaf(lib, 1.0)
    y = (x * 2).sum()
    y.register_hook(lambda g: g * 7)
    y.backward()
    say(x.grad)


def leaf_as_root(lib, say):
    x = leaf(lib, 1.0)
    x.register_hook(lambda g: g * 2)
    x.register_post_accumulate_grad_hook(lambda p: say("accumulated", p.grad))
    x.backward()
    say(x.grad, lib.autograd.grad(x, x))


def hooks_are_recorded_with_create_graph(lib, say):
    w, x = leaf(lib, 3.0), leaf(lib, 2.0)
    y = x * x
    y.register_hook(lambda g: g * w)
    (g,) = lib.autograd.grad(y, x, create_graph=True)
    say(g, type(g.grad_fn).__name__, lib.autograd.grad(g, w))


def prehook_replaces(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 5,))
    y.grad_fn.register_prehook(lambda gs: say(gs))
    y.sum().backward()
    say(x.grad)


def prehook_takes_away(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    y.grad_fn.register_prehook(lambda gs: (None,))
    y.sum().backward()
    say(x.grad)


def posthook_replaces(lib, say):
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    y = x * w
    y.grad_fn.register_hook(lambda to, frm: (to[0] * 5, None))
    y.grad_fn.register_hook(lambda to, frm: say(to, frm))
    y.sum().backward()
    say(x.grad, w.grad)


def accumulators_prehook_replaces(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    node = y.grad_fn.next_functions[0][0]
    node.register_prehook(lambda gs: (gs[0] + 1,))
    y.sum().backward()
    say(x.grad)


def accumulators_prehook_takes_away(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * 2
    node = y.grad_fn.next_functions[0][0]
    node.register_prehook(lambda gs: (None,))
    y.sum().backward()
    say(x.grad)


def accumulator_is_kept_by_the_graph(lib, say):
    x = leaf(lib, 1.0)
    for i in range(3):
        y = x * 2
        y.grad_fn.next_functions[0][0].register_hook(lambda to, frm, i=i: say(i, to, frm))
        y.backward()
        del y


def accumulator_is_kept_by_its_holder(lib, say):
    x = leaf(lib, 1.0)
    node = x.view_as(x).grad_fn.next_functions[0][0]
    node.register_hook(lambda to, frm: say(node.variable is x, to, frm))
    (x * 2).backward()
    (x * 3).backward()
    say((x * 3).grad_fn.next_functions[0][0] is node)


def handles(lib, say):
    x = leaf(lib, 1.0)
    y = x * 2
    say(x._backward_hooks is None, y._backward_hooks is None)
    with y.register_hook(told(say, "within")):
        y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    first, second = y.register_hook(told(say, "first")), y.register_hook(told(say, "second"))
    say(first.id < second.id, list(y._backward_hooks) == [first.id, second.id])
    first.remove()
    first.remove()
    y.backward(retain_graph=True)
    third = x.register_hook(told(say, "third"))
    say(list(x._backward_hooks) == [third.id])
    y.backward(retain_graph=True)
    third.remove()
    node = y.grad_fn.register_hook(lambda to, frm: say("node"))
    y.backward(retain_graph=True)
    node.remove()
    y.backward()


def hook_removed_by_itself(lib, say):
    x = leaf(lib, 1.0)
    y = x * 2
    handle = y.register_hook(lambda g: (say("once"), handle.remove())[1])
    y.register_hook(told(say, "always"))
    y.backward(retain_graph=True)
    y.backward()


def errors_on_registering(lib, say):
    say.error(lambda: lib.ones(2).register_hook(lambda g: g))
    say.error(lambda: lib.ones(2).register_post_accumulate_grad_hook(lambda g: g))
    say.error(lambda: (leaf(lib, 1.0) * 2).register_post_accumulate_grad_hook(lambda g: g))
    say.error(lambda: lib.ones(2).retain_grad())


RESULTS = [3, (1,), "float", "long", "row", "short", "good", None]


def result(lib, kind):
    made = {
        "float": lambda: lib.ones(2),
        "long": lambda: lib.ones(2, dtype=lib.int64),
        "row": lambda: lib.ones(1, 2, dtype=lib.float64),
        "short": lambda: lib.ones(1, dtype=lib.float64),
        "good": lambda: lib.ones(2, dtype=lib.float64) * 7,
    }
    return made[kind]() if isinstance(kind, str) else kind


def results_of_tensor_hooks(lib, say):
    for kind in RESULTS:
        for hooked in ("leaf", "result"):
            x = leaf(lib, 1.0, 2.0)
            y = x * 2

            def named(g, kind=kind):
                return result(lib, kind)

            (x if hooked == "leaf" else y).register_hook(named)
            say.error(y.sum().backward)
            say(x.grad)


def results_of_node_hooks(lib, say):
    for kind in RESULTS:
        for wrapped in (lambda r: r, lambda r: (r,), lambda r: (r, r), lambda r: (r, None), lambda r: [r]):
            for where in ("register_prehook", "register_hook"):
                x = leaf(lib, 1.0, 2.0)
                y = x * 2

                def named(*gs, kind=kind, wrapped=wrapped):
                    return wrapped(result(lib, kind))

                getattr(y.grad_fn, where)(named)
                say.error(y.sum().backward)
                say(x.grad)


def results_of_leaf_hooks(lib, say):
    for kind in RESULTS:
        x = leaf(lib, 1.0, 2.0)

        def named(p, kind=kind):
            return result(lib, kind)

        x.register_post_accumulate_grad_hook(named)
        say.error((x * 2).sum().backward)


def hook_raises(lib, say):
    def hook(g):
        raise KeyError("from the hook")

    x = leaf(lib, 1.0)
    y = x * 2
    y.register_hook(hook)
    say.error(y.backward)


def callbacks(lib, say):
    engine = lib.autograd.Variable._execution_engine
    say.error(lambda: engine.queue_callback(lambda: None))
    x = leaf(lib, 1.0)
    y = x * 2
    y.register_hook(lambda g: engine.queue_callback(lambda: say("at the end", x.grad)))
    x.register_hook(lambda g: engine.queue_callback(lambda: say("last", x.grad)))
    y.backward()


def multi_grad_all(lib, say):
    a, b, c = leaf(lib, 1.0), leaf(lib, 2.0), leaf(lib, 3.0)
    e, f = a * 2, b * 3
    handle = lib.autograd.graph.register_multi_grad_hook((a, b, c, e, f), lambda gs: say("all", gs))
    (e * f + a).backward(retain_graph=True)
    (e * c).backward(retain_graph=True)
    (e * c).backward(inputs=[a], retain_graph=True)
    handle.remove()
    (e * f).backward()


def multi_grad_any(lib, say):
    a, b = leaf(lib, 1.0), leaf(lib, 2.0)
    e = a * 2
    with lib.autograd.graph.register_multi_grad_hook((a, e, b, lib.ones(1)), lambda g: say("any", g), mode="any"):
        (e * b).backward()
        (a * b).backward()
    (a * b).backward()


def multi_grad_errors(lib, say):
    x = leaf(lib, 1.0)
    register = lib.autograd.graph.register_multi_grad_hook
    say.error(lambda: register((x,), print, mode="some"))
    say.error(lambda: register((x, lib.ones(1)), print))


def hooks_under_batched_cotangents(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x * x
    y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: g * 10)
    y.grad_fn.register_hook(lambda to, frm: (to[0] * 3, to[1]))
    y.grad_fn.register_prehook(lambda gs: (gs[0] + 1,))
    rows = lib.eye(2, dtype=lib.float64)
    say(lib.autograd.grad(y, x, rows, is_grads_batched=True, retain_graph=True))
    say(lib.func.vmap(lambda v: lib.autograd.grad(y, x, v, retain_graph=True)[0])(rows))


PROGRAMS = [
    hooks_under_batched_cotangents,
    order_in_backward,
    order_in_a_second_pass,
    order_in_grad_of_leaf,
    order_in_grad_of_result,
    order_in_grad_of_both,
    order_in_backward_to_leaf,
    order_in_backward_to_result,
    order_with_create_graph,
    retained_gradient_is_after_later_hooks,
    leaves_are_served_at_once,
    leaf_steps_while_the_pass_goes_on,
    hooks_stay_with_the_value_written_over,
    hooks_on_a_base_written_through_a_view,
    several_outputs,
    hook_on_the_root,
    leaf_as_root,
    hooks_are_recorded_with_create_graph,
    prehook_replaces,
    prehook_takes_away,
    posthook_replaces,
    accumulators_prehook_replaces,
    accumulators_prehook_takes_away,
    accumulator_is_kept_by_the_graph,
    accumulator_is_kept_by_its_holder,
    handles,
    hook_removed_by_itself,
    errors_on_registering,
    results_of_tensor_hooks,
    results_of_node_hooks,
    results_of_leaf_hooks,
    hook_raises,
    callbacks,
    multi_grad_all,
    multi_grad_any,
    multi_grad_errors,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program_runs_as_under_pytorch(program, same):
    same(program)


# -- beyond PyTorch ----------------------------------------------------------------------------------------------------


def test_multi_grad_hook_works_under_grad_of_a_leaf():
    a, b = leaf(cr, 1.0), leaf(cr, 2.0)
    seen = []
    register_multi_grad_hook((a, b), seen.append)
    cr.autograd.grad(a * b, a)
    assert [[g is None for g in gs] for gs in seen] == [[False, True]]


def test_hooks_on_values_inside_transforms():
    seen = []

    def f(x):
        y = x * x
        y.register_hook(lambda g: (seen.append(g), g * x)[1])
        return y.sum()

    x = cr.tensor([2.0, 3.0], dtype=cr.float64)
    assert cr.func.grad(f)(x).tolist() == [8.0, 18.0]
    assert seen[0].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(cr.func.grad(lambda x: cr.func.grad(f)(x).sum())(x).numpy(), [8.0, 12.0])


def test_hooks_on_duals_act_on_the_primal():
    seen = []
    x = leaf(cr, 2.0)
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(1, dtype=cr.float64))
        y = d * d
        y.register_hook(lambda g: seen.append(g))
        y.backward()
    assert seen


@pytest.mark.parametrize("outer", ["grad of vmap", "vmap of grad"])
def test_hooks_inside_vmap_see_each_example(outer):
    x = cr.tensor([[3.0, 4.0], [5.0, 12.0], [8.0, 15.0]], dtype=cr.float64)
    shapes = []

    def f(x):
        y = x * 1
        y.register_hook(lambda g: (shapes.append(tuple(g.shape)), g / g.norm())[1])
        return (y * y).sum()

    if outer == "grad of vmap":
        found = cr.func.grad(lambda x: cr.func.vmap(f)(x).sum())(x)
    else:
        found = cr.func.vmap(cr.func.grad(f))(x)
    np.testing.assert_allclose(found.numpy(), x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True))
    assert shapes == [(2,)]


def test_what_has_no_meaning_inside_vmap_raises():
    def f(x, use):
        use(x * 1)
        return x.sum()

    x = cr.ones(2, 3)
    for use in (
        lambda y: y.retain_grad(),
        lambda y: y.register_post_accumulate_grad_hook(lambda p: None),
        lambda y: cr.autograd.graph.get_gradient_edge(y),
    ):
        with pytest.raises(RuntimeError, match="inside of vmap"):
            cr.func.grad(lambda x, use=use: cr.func.vmap(lambda x: f(x, use))(x).sum())(x)
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        cr.func.vmap(lambda x: f(x, lambda y: y.register_hook(lambda g: g)))(x)


def test_edges_and_hooks_of_one_of_several_duals():
    x = leaf(cr, 1.0, 2.0, 3.0)
    seen = []
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(3, dtype=cr.float64))
        _, b, _ = d.unbind()
        b.register_hook(lambda g: seen.append(g.item()))
        assert cr.autograd.graph.get_gradient_edge(b).output_nr == 1
        (b * b).backward()
    assert seen == [4.0]


def test_hook_that_would_lose_a_tangent_raises():
    x = leaf(cr, 1.0, 2.0)
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(2, dtype=cr.float64))
        y = d * d
        y.register_hook(lambda g: g * 2)
        with pytest.raises(RuntimeError, match="replaces the gradient of a value that carries a forward-mode tangent"):
            y.sum().backward()

    def f(x):
        y = x * x
        y.register_hook(lambda g: g * g * 3)
        return (y * y).sum()

    # hook: 3 (2 y)² and then 2 x: 24 x⁵
    primal, tangent = cr.func.jvp(cr.func.grad(f), (x.detach(),), (cr.ones(2, dtype=cr.float64),))
    np.testing.assert_allclose(primal.numpy(), 24 * x.detach().numpy() ** 5)
    np.testing.assert_allclose(tangent.numpy(), 120 * x.detach().numpy() ** 4)


def test_leaf_hooks_are_called_where_the_gradient_is_a_dual():
    x = leaf(cr, 1.0, 2.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    with cr.autograd.forward_ad.dual_level():
        d = cr.autograd.forward_ad.make_dual(x * 1, cr.ones(2, dtype=cr.float64))
        (d * d).sum().backward()
        assert cr.autograd.forward_ad.unpack_dual(seen[0]).tangent.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("kind", ["tensor", "post", "node", "multi"])
def test_graphs_with_hooks_are_freed(kind):
    x = leaf(cr, 1.0, 2.0)
    y = x * 2
    gc.collect()
    gc.disable()
    try:
        if kind == "tensor":
            y.register_hook(lambda g: g)
        elif kind == "post":
            x.register_post_accumulate_grad_hook(lambda p: None)
        elif kind == "node":
            y.grad_fn.register_hook(lambda to, frm: None)
        else:
            register_multi_grad_hook((x, y), lambda gs: None)
        y.sum().backward()
        node, kept = weakref.ref(y.grad_fn), weakref.ref(x)
        del y, x
        if kind == "multi":  # the hook on the leaf knows the nodes: a cycle, for the collector
            gc.collect()
        assert node() is None
        assert kept() is None
    finally:
        gc.enable()


def test_no_pass_looks_for_leaf_hooks_once_they_are_gone():
    gc.collect()
    before = len(LEAF_HOOKS)
    x = leaf(cr, 1.0)
    handle = x.register_hook(lambda g: None)
    x.register_post_accumulate_grad_hook(lambda p: None)
    assert len(LEAF_HOOKS) == before + 2
    handle.remove()
    assert len(LEAF_HOOKS) == before + 1
    del x
    assert len(LEAF_HOOKS) == before


def test_hooks_of_passes_in_several_threads_are_kept_apart():
    a, b = leaf(cr, 1.0), leaf(cr, 2.0)
    e = a * b
    seen = []
    register_multi_grad_hook((a, b, e), lambda gs: seen.append([g.item() for g in gs]))

    def run(i):
        for _ in range(20):
            (e * float(i)).backward(retain_graph=True)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == sorted([2.0 * i, 1.0 * i, 1.0 * i] for i in range(1, 5) for _ in range(20))
    assert a.grad.item() == 2.0 * 20 * 10


def test_gradients_that_hooks_hold_do_not_change():
    x = leaf(cr, *([1.0] * 4))
    held = []
    y = x * 2
    z = y.exp()
    for t in (x, y, z):
        t.register_hook(lambda g: held.append((g, g.numpy().copy())))
        if t is not x:
            t.grad_fn.register_hook(lambda to, frm: held.extend((g, g.numpy().copy()) for g in to if g is not None))
    (z * y + y).sum().backward()
    (x * 3).sum().backward()
    for g, then in held:
        np.testing.assert_array_equal(g.numpy(), then)


def test_a_hook_may_write_to_an_expanded_gradient():
    x = cr.ones(3, requires_grad=True)
    x.register_hook(lambda g: g.mul_(2))
    twice = x * 3
    twice.register_hook(lambda g: g.__setitem__(0, 5.0))
    twice.sum().backward()
    assert x.grad.tolist() == [30.0, 6.0, 6.0]


def test_posthooks_of_a_leafs_node_see_the_memory_of_its_first_gradient():
    x = leaf(cr, 1.0, 2.0)
    node = cr.autograd.graph.get_gradient_edge(x).node
    seen = []
    node.register_hook(lambda gi, go: seen.append((gi, go[0].data_ptr() == x.grad.data_ptr(), go[0].tolist(), x.grad.tolist())))
    (x * x).sum().backward()
    (x * x).sum().backward()  # is added: the hook sees what came, not the sum
    assert seen == [((), True, [2.0, 4.0], [2.0, 4.0]), ((), False, [2.0, 4.0], [4.0, 8.0])]


def test_a_posthook_of_a_leafs_node_may_write_to_its_gradient():
    x = leaf(cr, 1.0, 2.0)
    node = cr.autograd.graph.get_gradient_edge(x).node
    versions = []

    def tenfold(gi, go):
        before = x.grad._version
        go[0].mul_(10)
        versions.append(x.grad._version - before)

    node.register_hook(tenfold)
    (x * x).sum().backward()
    assert x.grad.tolist() == [20.0, 40.0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [22.0, 44.0]
    assert versions == [1, 0]


def test_posthooks_of_a_scalar_leafs_node():
    x = cr.tensor(3.0, requires_grad=True)
    node = cr.autograd.graph.get_gradient_edge(x).node

    def tenfold(gi, go):
        go[0].mul_(10)

    node.register_hook(tenfold)
    (x * x).backward()
    assert x.grad.item() == 60


KEEPERS = {
    "itself": lambda t, kept: kept.append(t),
    "an alias": lambda t, kept: kept.append(t.detach()),
    "a view": lambda t, kept: kept.append(t[:1]),
    "an array": lambda t, kept: kept.append(t.numpy()),
    "a buffer": lambda t, kept: kept.append(memoryview(t.numpy())),
    "a list's": lambda t, kept: kept.append([t]),
}


def made_of(g, kept, keep, where):
    made = cr.full_like(g, 3)
    where.append(made.data_ptr())
    if keep is not None:
        KEEPERS[keep](made, kept)
    return made


class Keeping(cr.autograd.Function):
    """The identity; its backward returns a fresh tensor, of which something may be kept."""

    @staticmethod
    def forward(ctx, x, kept, keep, where):
        ctx.given = kept, keep, where
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return made_of(g, *ctx.given), None, None, None


def by_function(x, *given):
    return Keeping.apply(x, *given)


def by_hook(x, *given):
    x.register_hook(lambda g: made_of(g, *given))
    return x * 2


@pytest.mark.parametrize("keep", [None, *KEEPERS])
@pytest.mark.parametrize("make", [by_function, by_hook])
def test_a_leaf_takes_over_a_gradient_that_nobody_else_holds(make, keep):
    x, kept, where = leaf(cr, 1.0, 2.0), [], []
    make(x, kept, keep, where).sum().backward()
    assert (x.grad.data_ptr() == where[0]) is (keep is None)
    x.grad.mul_(100)
    for held in kept:
        while isinstance(held, list):
            (held,) = held
        assert set(held.tolist()) == {3.0}
    assert x.grad.tolist() == [300.0, 300.0]


def test_a_gradient_for_two_inputs_is_of_each():
    class Both(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            made = g * 2
            return made, made

    x, y = leaf(cr, 1.0), leaf(cr, 2.0)
    Both.apply(x, y).backward()
    x.grad.mul_(5)
    assert (x.grad.item(), y.grad.item()) == (10, 2)
    assert x.grad.data_ptr() != y.grad.data_ptr()


@pytest.mark.parametrize("retain", [False, True])
def test_a_saved_tensor_that_is_returned_as_gradient_is_copied(retain):
    class Saved(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x * 3)
            return x * 3

        @staticmethod
        def backward(ctx, g):
            return ctx.saved_tensors

    x = leaf(cr, 1.0, 2.0)
    y = Saved.apply(x).sum()
    y.backward(retain_graph=True)
    x.grad.mul_(100)
    y.backward(retain_graph=retain)
    assert x.grad.tolist() == [303.0, 606.0]


def test_zeros_for_unused_inputs_require_grad_in_a_recorded_pass():
    x, w = leaf(cr, 1.0, 2.0), leaf(cr, 1.0)
    for create_graph in (False, True):
        gx, gw = cr.autograd.grad((x * x).sum(), [x, w], create_graph=create_graph, materialize_grads=True)
        assert gw.tolist() == [0.0]
        assert gx.requires_grad is gw.requires_grad is create_graph
        assert gw.is_leaf


def test_zeros_cannot_be_made_for_an_edge_that_is_not_used():
    x, w = leaf(cr, 1.0, 2.0), leaf(cr, 1.0)
    edge, y = cr.autograd.graph.get_gradient_edge, x * x
    options = {"materialize_grads": True, "retain_graph": True}
    gy, gw = cr.autograd.grad(y.sum(), [edge(y), w], **options)
    assert (gy.tolist(), gw.tolist()) == ([1.0, 1.0], [0.0])
    (gx,) = cr.autograd.grad(y.sum(), edge(x), **options)
    assert gx.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used when the given input is a GradientEdge"):
        cr.autograd.grad(y.sum(), [x, edge(w)], **options)

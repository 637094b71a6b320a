"""Hooks on tensors, leaves and nodes are called when PyTorch calls them, with what PyTorch gives them."""

from __future__ import annotations

import pytest

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

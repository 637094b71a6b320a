"""The graph as users see it: nodes, edges, what nodes saved, writes to saved tensors."""

from __future__ import annotations

import gc
import weakref

import pytest

import chainrule as cr
from chainrule.autograd.graph import GradientEdge, Node, allow_mutation_on_saved_tensors, get_gradient_edge


def leaf(lib, *values):
    return lib.tensor(list(values), dtype=lib.float64, requires_grad=True)


def nodes(lib, say):
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    s = ((x * w).exp() + 1).sum()
    stack = [(s.grad_fn, 0)]
    while stack:
        node, index = stack.pop()
        if node is None:
            say("no gradient", index)
            continue
        say(node.name(), type(node).__name__, repr(node), index, isinstance(node, lib.autograd.graph.Node), node.requires_grad)
        say(len(node.next_functions), node.metadata)
        stack += node.next_functions
    say(isinstance(x, lib.autograd.graph.Node), x.grad_fn)


def accumulators(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y, z = x * 2, x * 3
    node = y.grad_fn.next_functions[0][0]
    say(node is z.grad_fn.next_functions[0][0], node.variable is x, node.next_functions, node._sequence_nr())
    about = node._input_metadata[0]
    say(tuple(about.shape), str(about.dtype), str(about.device))


def metadata_is_the_users(lib, say):
    y = leaf(lib, 1.0) * 2
    y.grad_fn.metadata["note"] = 1
    say(y.grad_fn.metadata, tuple(y.grad_fn._input_metadata[0].shape), str(y.grad_fn._input_metadata[0].dtype))


def order_of_creation(lib, say):
    x = leaf(lib, 1.0)
    y = x * 2
    z = y.exp()
    say(y.grad_fn._sequence_nr() < z.grad_fn._sequence_nr())


def edges_instead_of_tensors(lib, say):
    graph, grad = lib.autograd.graph, lib.autograd.grad
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    y = x * w
    s = y.exp().sum()
    ex, ey, es = (graph.get_gradient_edge(t) for t in (x, y, s))
    say(ey == graph.GradientEdge(y.grad_fn, 0), ex.node.variable is x, es.output_nr, ey._fields)
    say(grad(es, ey, retain_graph=True), grad(s, [ey, ex, x, y], retain_graph=True))
    say(grad(ey, ex, lib.ones(2, dtype=lib.float64), retain_graph=True))
    say(grad(s, {"a": ex, "b": ey}, retain_graph=True)["b"])
    (g,) = grad(es, ex, create_graph=True)
    say(g.requires_grad, grad(g.sum(), w, retain_graph=True))
    lib.autograd.backward(es, retain_graph=True)
    say(x.grad)
    lib.autograd.backward([ey, es], [lib.ones(2, dtype=lib.float64), None], retain_graph=True)
    say(x.grad)
    lib.autograd.backward(s, inputs=[ex], retain_graph=True)
    say(x.grad, w.grad)
    lib.autograd.backward(s, inputs=[ey], retain_graph=True)
    say(x.grad, y.retains_grad)


def edges_to_one_of_several_outputs(lib, say):
    a, b = leaf(lib, 1.0, 2.0, 3.0, 4.0).split(2)
    edge = lib.autograd.graph.get_gradient_edge(b)
    say(edge.output_nr, lib.autograd.grad((b * b).sum() + a.sum(), edge))


def errors_of_edges(lib, say):
    graph, grad = lib.autograd.graph, lib.autograd.grad
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    y = x * w
    s = y.sum()
    ey, es, other = graph.get_gradient_edge(y), graph.get_gradient_edge(s), graph.get_gradient_edge(w * 1)
    say.error(lambda: graph.get_gradient_edge(lib.ones(1)))
    say.error(lambda: lib.autograd.backward(ey), words=50)
    say.error(lambda: grad(ey, x, lib.ones(3, dtype=lib.float64)))
    say.error(lambda: grad(es, other, retain_graph=True))
    say.error(lambda: grad(es, other, materialize_grads=True))
    say(grad(es, other, allow_unused=True))


def saved_by_name(lib, say):
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    y = x * w
    say(y.grad_fn._saved_self is x, y.grad_fn._saved_other is w, hasattr(y.grad_fn, "_saved_nothing"))
    z = y.exp()
    say(z.grad_fn._saved_result, type(z.grad_fn._saved_result.grad_fn).__name__, z.grad_fn._saved_result is z)
    say((x / w).grad_fn._saved_other is w, (x**w).grad_fn._saved_exponent is w, x.log().grad_fn._saved_self is x)
    say(x.relu().grad_fn._saved_result, x.sum().grad_fn._saved_self_sym_sizes)
    say({name for name in dir(x.sin().grad_fn) if "_saved" in name})
    z.sum().backward()
    say.error(lambda: z.grad_fn._saved_result)
    say.error(lambda: y.grad_fn._saved_self)


def names_of_what_ops_save(lib, say):
    a, b = leaf(lib, 0.5, 0.7), leaf(lib, 0.3, 0.9)
    m = lib.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for t in (
        a * b, a / b, a**b, a.exp(), a.log(), a.sin(), a.tanh(), a.sqrt(), a.relu(), a.sigmoid(), a.erf(), a.abs(), -a,
        lib.atan2(a, b), lib.maximum(a, b), lib.where(a > 0.6, a, b), m @ m[0], m.sum(0), m.permute(1, 0), m.transpose(0, 1),
        m.flip(0), m.tril(), m.diagonal(), m.index_select(0, lib.tensor([0, 1])), m.log_softmax(0), m.norm(), a.clamp(0, 1),
    ):  # fmt: skip
        say(t.grad_fn.name(), sorted({name for name in dir(t.grad_fn) if name.startswith("_saved")}))


def hooks_on_one_saved_tensor(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = (x + 1).exp()
    raw = y.grad_fn._raw_saved_result
    raw.register_hooks(lambda t: (say("pack", t, t.grad_fn), t.numpy())[1], lambda a: (say("unpack"), lib.from_numpy(a))[1])
    say.error(lambda: raw.register_hooks(lambda t: t, lambda t: t))
    say(y.grad_fn._saved_result)
    y.sum().backward()
    say(x.grad)
    say.error(lambda: raw.register_hooks(lambda t: t, lambda t: t))


def hooks_on_a_saved_input(lib, say):
    x, w = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    y = x * w
    y.grad_fn._raw_saved_other.register_hooks(lambda t: t.detach() * 2, lambda t: t)
    (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
    say(g, lib.autograd.grad(g.sum(), w))


def modified(lib, say):
    x = leaf(lib, 1.0, 2.0)
    y = x.exp()
    y.add_(1)
    say.error(y.sum().backward)
    y = x * 2
    z = y * y
    y.add_(1)
    y.add_(1)
    say.error(z.sum().backward)
    z = x * x
    with lib.no_grad():
        x.add_(1)
    say.error(z.sum().backward)
    c = lib.ones(2, dtype=lib.float64)
    z = x * c
    c.add_(1)
    say.error(z.sum().backward)


def versions_written_outside(lib, say):
    a, b = lib.ones(2), lib.ones(2)
    lib.autograd.graph.increment_version(a)
    lib.autograd.graph.increment_version([a, b])
    say(a._version, b._version)
    say.error(lambda: lib.autograd.graph.increment_version(3))
    x = leaf(lib, 1.0, 2.0)
    y = x * x
    lib.autograd.graph.increment_version(x)
    say.error(y.sum().backward, words=60)


def writes_are_let_be(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.exp()
        y.mul_(2)
        z = y * y
        y.add_(1)
        y[0] = 7.0
        z.sum().backward()
        say(x.grad)
        p = leaf(lib, 1.0, 2.0)
        q = p * p
        with lib.no_grad():
            p.zero_()
        (g,) = lib.autograd.grad(q.sum(), p, create_graph=True)
        say(g, lib.autograd.grad(g.sum(), p))
        v = x * 1
        s = (v[0] * v[0]).sum()
        v.fill_(9.0)
        say(lib.autograd.grad(s, x))


def writes_are_let_be_errors(lib, say):
    allow = lib.autograd.graph.allow_mutation_on_saved_tensors
    x = leaf(lib, 1.0, 2.0)
    with allow():
        y = x.exp()
        y.mul_(2)

    def nested():
        with allow(), allow():
            pass

    say.error(y.sum().backward)
    say.error(nested)
    with allow():
        z = (x * x).sum()
        z.backward()


def variables(lib, say):
    variable = lib.autograd.Variable
    a = lib.ones(2)
    v = variable(a, requires_grad=True)
    say(isinstance(a, variable), v is a, v.requires_grad, v, variable().shape == (0,))
    a.add_(1)
    say(v._version, v)
    say.error(lambda: variable([1, 2]))
    say(v.volatile, variable(a, volatile=True))


PROGRAMS = [
    nodes,
    accumulators,
    metadata_is_the_users,
    order_of_creation,
    edges_instead_of_tensors,
    edges_to_one_of_several_outputs,
    errors_of_edges,
    saved_by_name,
    names_of_what_ops_save,
    hooks_on_one_saved_tensor,
    hooks_on_a_saved_input,
    modified,
    versions_written_outside,
    writes_are_let_be,
    writes_are_let_be_errors,
    variables,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program_runs_as_under_pytorch(program, same):
    same(program)


def test_edge_keeps_the_graph_but_not_the_tensor():
    x = leaf(cr, 1.0, 2.0)
    y = x * 3
    edge, tensor = get_gradient_edge(y), weakref.ref(y)
    del y
    assert tensor() is None
    assert cr.autograd.grad(edge, x, cr.ones(2, dtype=cr.float64))[0].tolist() == [3.0, 3.0]


def test_edge_of_a_node_that_nobody_looked_at():
    x = leaf(cr, 1.0, 2.0)
    s = (x * 3).exp().sum()
    unseen = GradientEdge(s.grad_fn.next_functions[0][0], 0)
    assert cr.autograd.grad(s, unseen, retain_graph=True)[0].tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="the shape of this GradientEdge's value is not known"):
        cr.autograd.grad(unseen, x)
    given = cr.autograd.grad(unseen, x, cr.ones(2, dtype=cr.float64))[0]
    assert given.tolist() == (3 * (x.detach() * 3).exp()).tolist()


def test_edges_inside_transforms():
    def f(x):
        y = x * x
        (g,) = cr.autograd.grad(y.sum(), get_gradient_edge(y), create_graph=True)
        return (g * x).sum()

    assert cr.func.grad(f)(cr.tensor([1.0, 2.0])).tolist() == [1.0, 1.0]


def test_every_node_is_a_node():
    x = leaf(cr, 1.0, 2.0)
    a, _ = x.unbind()
    for t in (x * 2, a, x.view(2), x.sum(), cr.cat([x, x])):
        assert isinstance(t.grad_fn, Node)
        assert isinstance(t.grad_fn.next_functions[0][0], Node)


def test_optimisers_may_step_on_saved_parameters():
    w = leaf(cr, 1.0, 2.0)
    optimiser = cr.optim.SGD([w], lr=1.0)
    with allow_mutation_on_saved_tensors():
        loss = (w * w).sum()
        w.grad = cr.ones(2, dtype=cr.float64)
        optimiser.step()
        w.grad = None
        loss.backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_copies_are_made_at_the_write_and_only_then():
    x = leaf(cr, 1.0, 2.0)
    with allow_mutation_on_saved_tensors() as context:
        y = x * 2
        _ = y * y
        (kept, *_) = next(iter(context._kept.values()))
        assert kept.tensor.data_ptr() in (y.data_ptr(), x.data_ptr())
        with cr.no_grad():
            y.add_(1)
        assert y._ver not in context._kept


def test_saved_values_of_a_context_are_freed_with_their_graph():
    x = leaf(cr, 1.0, 2.0)
    gc.collect()
    with allow_mutation_on_saved_tensors() as context:
        y = x * x
        assert sum(map(len, context._kept.values())) == 2
        del y
        gc.collect()
        assert sum(map(len, context._kept.values())) == 0

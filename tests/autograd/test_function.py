"""`autograd.Function`: each program has the same outcome under chainrule and PyTorch.

A case is a function of the library that returns what to compare, or raises what both must raise.
"""

from __future__ import annotations

import pytest
from tests.autograd.functions import functions, leaf, outcome, plain

import chainrule as cr


@pytest.fixture(scope="module")
def ours():
    return functions(cr)


@pytest.fixture(scope="module")
def theirs(torch):
    return functions(torch)


def grads(lib, F, of, **options):
    x = leaf(lib)
    return lib.autograd.grad(of(x).sum(), x, **options)


def node_of(lib, F):
    y = F["Square"].apply(leaf(lib))
    g = y.grad_fn
    g.own = [1]
    return (
        y.grad_fn is g, g.name(), type(g).__name__, g.note, y.grad_fn.own, len(g.next_functions), g.next_functions[0][0].name(),
        g.next_functions[0][1], g.saved_tensors, g.needs_input_grad, g.metadata, g.requires_grad, type(g).__mro__[1].__name__,
    )  # fmt: skip


def several(lib, F):
    x = leaf(lib)
    out = F["Several"].apply(x, 3)
    parts = [t.output_nr for t in out if hasattr(t, "output_nr")]
    g = lib.autograd.grad(out[2].sum(), x)
    return out, parts, len(out[0].grad_fn.next_functions), g, F["Several"].seen


def constants(lib, F, *flags):
    x = leaf(lib)
    out = F["Constant"].apply(x, *flags)
    return out, lib.autograd.grad(out[0].sum(), x), F["Constant"].seen


def modes(lib, F):
    x, y = leaf(lib), leaf(lib)
    lib.autograd.grad(F["Modes"].apply(x, y, 1).sum(), x)
    first = F["Modes"].log
    lib.autograd.grad(F["Modes"].apply(x, y.detach(), 1).sum(), x, create_graph=True)
    second = F["Modes"].log
    with lib.no_grad():
        z = F["Modes"].apply(x, y, 1)
    return first, second, F["Modes"].log, z


def dirty(lib, F, view=False):
    x = leaf(lib)
    b = x * 1
    v = b[:2] if view else b
    y = F["Double"].apply(v)
    return y is v, v.grad_fn.name(), b.grad_fn.name(), b._version, lib.autograd.grad(b.sum(), x), b


def aliased(lib, F, name):
    x = leaf(lib, 1, 3)
    b = x * 1
    y = F[name].apply(b)
    return y is b, y._is_view(), y._base is b, y.grad_fn.name(), lib.autograd.grad(y.sum(), x, retain_graph=True), y


def written_alias(lib, F, name, through):
    x = leaf(lib, 1, 3)
    b = x * 1
    y = F[name].apply(b)
    (y if through else b).mul_(2)
    return lib.autograd.grad(y.sum(), x)


def changed(lib, F, what):
    x = leaf(lib)
    z = x * 1
    y = F["Square" if what == "input" else "Exp"].apply(z)
    (z if what == "input" else y.detach()).mul_(2)
    y.sum().backward()


def twice(lib, F, read):
    y = F["Square"].apply(leaf(lib))
    y.sum().backward()
    return y.grad_fn.saved_tensors if read else y.sum().backward()


def cleared(lib, F, twice):
    F["Once"].twice = twice
    try:
        return grads(lib, F, F["Once"].apply)
    finally:
        F["Once"].twice = False


def second(lib, F, name):
    x = leaf(lib)
    y = F[name].apply(x)
    w = lib.ones(3).requires_grad_()
    (g,) = lib.autograd.grad(y, x, w, create_graph=True)
    return g, g.grad_fn is not None, lib.autograd.grad((g * g).sum(), (x, w), allow_unused=True)


def returning(make):
    return lambda lib, F: grads(lib, F, lambda x: F["Returns"].apply(x, lambda g: make(lib, g)), allow_unused=True)


def saving(what):
    return lambda lib, F: F["Forward"].apply(leaf(lib), lambda ctx, x: (what(ctx, x), x * 2)[1])


def duplicate(lib, F):
    x = leaf(lib)
    a, b = F["Forward"].apply(x, lambda ctx, x: (lambda y: (y, y))(x * 2))
    return a is b, a.grad_fn is b.grad_fn, a.output_nr


def hooked(lib, F):
    x, log = leaf(lib), []
    y, z = F["Boxed"].apply(x)
    node = y.grad_fn
    node.register_prehook(lambda gs: log.append(("before", plain(gs))))
    node.register_hook(lambda out, gs: log.append(("after", plain(out), plain(gs))))
    handle = node.register_hook(lambda out, gs: (out[0] * 2,))
    y.register_hook(lambda g: g + 1)
    z.retain_grad()
    (y * 2 + z).sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return log, x.grad, z.grad, isinstance(node, lib.autograd.graph.Node)


def edges(lib, F):
    x = leaf(lib)
    y, z = F["Boxed"].apply(x)
    edge = lib.autograd.graph.get_gradient_edge(z)
    out = (2 * y + z).sum()
    found = lib.autograd.grad(out, [edge], retain_graph=True)
    return edge.node is y.grad_fn, edge.output_nr, found, lib.autograd.grad(edge, x, lib.ones(3))


def packed(lib, F):
    log = []
    pack = lambda t: log.append(("pack", plain(t.detach()))) or t.detach().numpy().copy()
    unpack = lambda a: log.append("unpack") or lib.tensor(a)
    x = leaf(lib)
    with lib.autograd.graph.saved_tensors_hooks(pack, unpack):
        y, z = F["Square"].apply(x), F["Exp"].apply(x)
    return log, lib.autograd.grad((y + z).sum(), x), log


def anomalous(lib, F):
    with lib.autograd.detect_anomaly():
        return grads(lib, F, lambda x: F["Returns"].apply(x, lambda g: (g * float("nan"), None)))


def checkpointed(lib, F):
    import importlib

    checkpoint = importlib.import_module(f"{lib.__name__}.utils.checkpoint").checkpoint
    return [
        grads(lib, F, lambda x: checkpoint(lambda x: F["Square"].apply(F["Exp"].apply(x)), x, use_reentrant=False)),
        grads(lib, F, lambda x: checkpoint(F["Exp"].apply, x * 1, use_reentrant=False)),
    ]


CASES = {
    "hooks on the node and on results": hooked,
    "gradient edges": edges,
    "hooks on saved tensors": packed,
    "anomaly mode": anomalous,
    "checkpoints": checkpointed,
    "the node is ctx, named after the class": node_of,
    "one gradient for a bare result": lambda lib, F: grads(lib, F, F["Square"].apply),
    "a saved output comes back with its history": lambda lib, F: grads(lib, F, F["Exp"].apply),
    "double backward through a saved input": lambda lib, F: second(lib, F, "Square"),
    "double backward through a saved output": lambda lib, F: second(lib, F, "Exp"),
    "once_differentiable, once": lambda lib, F: grads(lib, F, F["Sine"].apply),
    "setup_context, defaults": lambda lib, F: grads(lib, F, F["Scale"].apply),
    "setup_context, keywords": lambda lib, F: grads(lib, F, lambda x: F["Scale"].apply(x, offset=1.0, by=5.0)),
    "keywords in the old style": lambda lib, F: grads(lib, F, lambda x: F["Returns"].apply(x, what=lambda g: (g, None))),
    "a wrong keyword": lambda lib, F: F["Scale"].apply(leaf(lib), other=1),
    "several results, some not tensors": several,
    "constant results get zeros": lambda lib, F: constants(lib, F, True),
    "no zeros where not wanted": lambda lib, F: constants(lib, F, False),
    "no zeros for constant results": lambda lib, F: constants(lib, F, True, False),
    "grad modes and needs_input_grad": modes,
    "boxed gradients": lambda lib, F: grads(lib, F, lambda x: F["Boxed"].apply(x)[0]),
    "saved tensors cleared": lambda lib, F: cleared(lib, F, False),
    "saved tensors read twice": lambda lib, F: cleared(lib, F, True),
    "vjp for backward": lambda lib, F: grads(lib, F, F["Vjp"].apply),
    "both vjp and backward": lambda lib, F: grads(lib, F, F["Both"].apply),
    "no forward": lambda lib, F: F["Bare"].apply(leaf(lib)),
    "no backward": lambda lib, F: grads(lib, F, F["Forward"].apply),
    "an instance": lambda lib, F: type(F["Square"]()).__name__,
    "an instance called": lambda lib, F: F["Square"]()(leaf(lib)),
    "in place": dirty,
    "in place through a view": lambda lib, F: dirty(lib, F, True),
    "in place on a leaf": lambda lib, F: F["Double"].apply(leaf(lib)),
    "in place, not returned": lambda lib, F: F["Double"].apply(leaf(lib) * 1, False),
    "in place, nothing required": lambda lib, F: (lambda b: (F["Double"].apply(b) is b, b._version))(lib.ones(3)),
    "mark_dirty of another tensor": saving(lambda ctx, x: ctx.mark_dirty(x * 1)),
    "an input returned": lambda lib, F: aliased(lib, F, "Same"),
    "a view of an input returned": lambda lib, F: aliased(lib, F, "View"),
    "an input returned, written to": lambda lib, F: written_alias(lib, F, "Same", True),
    "a view returned, written to": lambda lib, F: written_alias(lib, F, "View", True),
    "a view returned, its base written to": lambda lib, F: written_alias(lib, F, "View", False),
    "an input returned, nothing required": lambda lib, F: (lambda b, y: (y is b, y._is_view()))(
        *(lambda b: (b, F["Same"].apply(b)))(lib.ones(3))
    ),
    "an input marked constant": lambda lib, F: F["Forward"].apply(
        leaf(lib), lambda ctx, x: (ctx.mark_non_differentiable(x), x)[1]
    ),
    "one tensor returned twice": duplicate,
    "a saved input was written to": lambda lib, F: changed(lib, F, "input"),
    "a saved output was written to": lambda lib, F: changed(lib, F, "output"),
    "backward twice": lambda lib, F: twice(lib, F, False),
    "saved tensors after they were freed": lambda lib, F: twice(lib, F, True),
    "saving a number": saving(lambda ctx, x: ctx.save_for_backward(x, 3)),
    "saving a number for forward": saving(lambda ctx, x: ctx.save_for_forward(x, 3)),
    "mark_shared_storage": saving(lambda ctx, x: ctx.mark_shared_storage((x, x))),
    "too many gradients": returning(lambda lib, g: (g, g, g)),
    "too many, None": returning(lambda lib, g: (g, None, None)),
    "too few gradients": returning(lambda lib, g: g),
    "a list of gradients": returning(lambda lib, g: [g, None]),
    "no gradient": returning(lambda lib, g: (None, None)),
    "a gradient of a number": returning(lambda lib, g: (g, g)),
    "a number as gradient": returning(lambda lib, g: (3, None)),
    "a gradient of the wrong shape": returning(lambda lib, g: (g[:2], None)),
    "a gradient without axes": returning(lambda lib, g: (g.sum(), None)),
    "a gradient with more axes": returning(lambda lib, g: (lib.stack([g, g]), None)),
    "a gradient in double": returning(lambda lib, g: (g.double(), None)),
    "an integer gradient": returning(lambda lib, g: (g.long(), None)),
    "an error in backward": returning(lambda lib, g: {}["mine"]),
    "an error in forward": lambda lib, F: F["Forward"].apply(leaf(lib), lambda ctx, x: {}["mine"]),
    "an integer result": lambda lib, F: F["Forward"].apply(leaf(lib), lambda ctx, x: x.long()),
    "a list as result": lambda lib, F: F["Forward"].apply(leaf(lib), lambda ctx, x: [x * 2, x * 3]),
    "an empty result": lambda lib, F: F["Forward"].apply(leaf(lib), lambda ctx, x: ()),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_a_function_does_what_it_does_in_pytorch(torch, ours, theirs, name):
    assert outcome(CASES[name], cr, ours) == outcome(CASES[name], torch, theirs)

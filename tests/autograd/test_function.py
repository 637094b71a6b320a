"""`autograd.Function`: each program has the same outcome under chainrule and PyTorch; under transforms, as the plain function.

A case is a function of the library that returns what to compare, or raises what both must raise.
"""

from __future__ import annotations

import gc
import itertools
import warnings
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import forward_ad
from chainrule.core.types.tree import tree_flatten


def functions(lib):
    """Return the `Function` subclasses that the cases use, of a library."""

    class Square(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.note = "kept"
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

        @staticmethod
        def jvp(ctx, t):
            return t

    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Scale(lib.autograd.Function):
        """In the style with `setup_context`."""

        @staticmethod
        def forward(x, by=2.0, offset=0.0):
            return x * by + offset

        @staticmethod
        def setup_context(ctx, inputs, output):
            _, ctx.by, ctx.offset = inputs
            assert not lib.is_grad_enabled()
            assert not output.requires_grad

        @staticmethod
        def backward(ctx, g):
            return g * ctx.by, None, None

    class Several(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, k, y=None):
            ctx.k = k
            return x * k, "text", x + 1, None

        @staticmethod
        def backward(ctx, *gs):
            Several.seen = gs
            return gs[0] * ctx.k + gs[2], None, None

    class Returns(lib.autograd.Function):
        """`backward` returns what it is told to."""

        @staticmethod
        def forward(ctx, x, what):
            ctx.what = what
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return ctx.what(g)

    class Same(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 3 * g

    class View(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(-1)

        @staticmethod
        def backward(ctx, g):
            return 3 * g.view(1, 3)

    class Double(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, returned=True):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x if returned else x * 1

        @staticmethod
        def backward(ctx, g):
            return 2 * g, None

    class Constant(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, materialize, constants=True):
            ctx.set_materialize_grads(materialize)
            ctx._materialize_non_diff_grads = constants
            a, b = x * 2, x * 3
            ctx.mark_non_differentiable(b)
            return a, b, x.long()

        @staticmethod
        def backward(ctx, *gs):
            Constant.seen = gs
            return gs[0], None, None

    class Once(lib.autograd.Function):
        clear_saved_tensors_on_access = True

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] * (ctx.saved_tensors[0] if Once.twice else 1)

    Once.twice = False

    class Boxed(lib.autograd.Function):
        boxed_grads_call = True

        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, gs):
            total = 2 * gs[0] + 3 * gs.pop()
            gs.clear()
            return total

    class Sine(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @lib.autograd.function.once_differentiable
        def backward(ctx, g):
            assert not lib.is_grad_enabled()
            return g * ctx.saved_tensors[0].cos()

    class Modes(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            Modes.log = [lib.is_grad_enabled(), x.requires_grad, ctx.needs_input_grad, len(ctx.next_functions)]
            ctx.save_for_backward(x, None, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, none, y = ctx.saved_tensors
            Modes.log += [lib.is_grad_enabled(), ctx.needs_input_grad, none, x.requires_grad, y.requires_grad]
            return g * y, g * x, None

    class Vjp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, g):
            return 2 * g

    class Both(Vjp):
        @staticmethod
        def backward(ctx, g):
            return 2 * g

    class Bare(lib.autograd.Function):
        pass

    class Forward(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, what=None):
            return x * 2 if what is None else what(ctx, x)

    return {k: v for k, v in locals().items() if k != "lib"}


@pytest.fixture(scope="module")
def ours():
    return functions(cr)


@pytest.fixture(scope="module")
def theirs(torch):
    return functions(torch)


def leaf(lib, *shape):
    return lib.arange(1.0, 4.0).reshape(shape or (3,)).requires_grad_()


def plain(value):
    """Return a value in terms that both libraries share."""
    if hasattr(value, "detach"):
        numbers = np.vectorize(lambda x: float(f"{x:.5g}"), otypes=[float])(value.detach().numpy())
        return str(value.dtype).partition(".")[2], numbers.tolist(), value.requires_grad
    if isinstance(value, str):
        return value.rpartition("::")[2]
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def outcome(case, lib, table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = plain(case(lib, table))
        except Exception as error:
            result = type(error).__name__, " ".join(str(error).replace("torch", "chainrule").split()[:9])
    return result, [(w.category.__name__, " ".join(str(w.message).replace("torch", "chainrule").split()[1:8])) for w in caught]


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


# -- forward mode ------------------------------------------------------------------------------------------------------


def duals(lib, make, jvp, materialize=True, both=False):
    class F(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            ctx.set_materialize_grads(materialize)
            ctx.save_for_forward(x, y)
            return make(ctx, x, y)

    F.jvp = staticmethod(jvp)
    fw = lib.autograd.forward_ad
    with fw.dual_level():
        x = fw.make_dual(lib.ones(3), lib.arange(3.0))
        y = fw.make_dual(lib.ones(3), lib.ones(3)) if both else lib.ones(3)
        out = F.apply(x, y, 1)
        return [
            (tuple(fw.unpack_dual(t)) if hasattr(t, "shape") else t)
            for t in (out if isinstance(out, tuple) else (out,))
        ]  # fmt: skip


def product(ctx, x, y):
    return x * y, x + 1, 3


def of_product(ctx, a, b, none):
    x, y = ctx.saved_tensors
    assert none is None
    return a * y + x * b, a, None


JVPS = {
    "tangents of tensors, None for others": lambda lib: duals(lib, product, of_product),
    "two tangents": lambda lib: duals(lib, product, of_product, both=True),
    "no zeros where not wanted": lambda lib: duals(
        lib, product, lambda ctx, a, b, n: (a, a * 2 if b is None else b, None), False
    ),
    "too few tangents": lambda lib: duals(lib, product, lambda ctx, a, b, n: a),
    "a tangent of another shape": lambda lib: duals(lib, product, lambda ctx, a, b, n: (a[:2], a, None)),
    "a number as tangent": lambda lib: duals(lib, product, lambda ctx, a, b, n: (3, a, None)),
    "a tangent of a constant": lambda lib: duals(
        lib, lambda ctx, x, y: (lambda r: (ctx.mark_non_differentiable(r), r)[1])(x * y), lambda ctx, a, b, n: a
    ),
    "a tangent in place": lambda lib: duals(
        lib, lambda ctx, x, y: (x.mul_(2), ctx.mark_dirty(x), x)[2], lambda ctx, a, b, n: a.mul_(2)
    ),
}


@pytest.mark.parametrize("name", list(JVPS))
def test_jvp_does_what_it_does_in_pytorch(torch, name):
    case = JVPS[name]
    results = [outcome(lambda lib, _: case(lib), lib, None)[0] for lib in (cr, torch)]
    assert results[0] == results[1]


def test_without_jvp_forward_mode_names_the_remedy(ours):
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="You must implement the jvp function for custom"):
        ours["Exp"].apply(forward_ad.make_dual(cr.ones(3), cr.ones(3)))


# -- under transforms --------------------------------------------------------------------------------------------------


class OldCubic(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(ctx, x, y, k):
        square = x * x
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)
        ctx.k, ctx.x = k, [x]
        return square * x * y * k, y * 1

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return 3 * g * ctx.k * ctx.x[0] ** 2 * y, g * ctx.k * x**3 + h, None

    @staticmethod
    def jvp(ctx, a, b, _):
        x, y = ctx.saved_tensors
        return ctx.k * (3 * x**2 * y * a + ctx.x[0] ** 3 * b), b


class NewCubic(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y, k):
        return x**3 * y * k, y * 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.k = inputs
        ctx.save_for_backward(x, y, output[0])
        ctx.save_for_forward(x, y)

    backward = staticmethod(lambda ctx, g, h: (
        3 * g * ctx.k * ctx.saved_tensors[0] ** 2 * ctx.saved_tensors[1], g * ctx.k * ctx.saved_tensors[0] ** 3 + h, None
    ))  # fmt: skip

    @staticmethod
    def jvp(ctx, a, b, _):
        x, y = ctx.saved_tensors
        return ctx.k * (3 * x**2 * y * a + x**3 * b), b


def reverse(f):
    return func.grad(f)


def forward(f):
    return lambda x: func.jvp(f, (x,), (cr.ones_like(x),))[1]


def recorded(f):
    def derivative(x):
        if not x.requires_grad:
            x = x.clone().requires_grad_()
        return cr.autograd.grad(f(x), x, create_graph=True)[0]

    return derivative


def tangents(f):
    def derivative(x):
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(f(forward_ad.make_dual(x, cr.ones_like(x)))).tangent

    return derivative


DERIVATIVES = {"grad": reverse, "jvp": forward, "dual_level": tangents}


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_nest_in_any_order(function, order):
    values = {1: 6 * 4.0, 2: 12 * 2.0 + 0, 3: 12.0}
    for names in itertools.product(DERIVATIVES, repeat=order):
        f = lambda x: function.apply(x, cr.tensor(1.0, dtype=cr.float64), 2.0)[0]
        for name in names:
            f = DERIVATIVES[name](f)
        assert f(cr.tensor(2.0, dtype=cr.float64)).item() == values[order], names


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
@pytest.mark.parametrize("outer", [None, *DERIVATIVES])
def test_recorded_derivatives_nest_in_transforms(function, outer):
    def f(x):
        return function.apply(x, x, 1.0)[0]

    x = cr.tensor(2.0, dtype=cr.float64, requires_grad=True)
    twice = recorded(recorded(f))
    third = recorded(twice) if outer is None else DERIVATIVES[outer](twice)
    assert third(x if outer is None else x.detach()).item() == pytest.approx(24 * 2.0)


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_closed_over_tensors_keep_their_gradients(function):
    y = cr.tensor(3.0, dtype=cr.float64, requires_grad=True)
    g = func.grad(lambda x: function.apply(x, y, 2.0)[0])(cr.tensor(2.0, dtype=cr.float64))
    assert g.item() == 72
    g.backward()
    assert y.grad.item() == 24
    both = func.grad(lambda a: func.jvp(lambda x: function.apply(x, a, 2.0)[0], (a,), (a,))[1])(y.detach())
    assert both.item() == pytest.approx(6 * 4 * 27)


def test_setup_context_runs_once_a_level_and_forward_once():
    log = []

    class F(cr.autograd.Function):
        @staticmethod
        def forward(x):
            log.append("forward")
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            log.append(type(inputs[0]).__name__)

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    func.grad(func.grad(lambda x: F.apply(x) * x))(cr.tensor(1.0))
    assert log == ["forward", "GradTracking", "GradTracking"]


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_nothing_is_kept_alive(function):
    gc.collect()
    gc.disable()
    try:
        x = cr.ones(3).requires_grad_()
        out = function.apply(x * 1, x * 2, 1.0)[0]
        (g,) = cr.autograd.grad(out.sum(), x, create_graph=True)
        dead = [weakref.ref(t) for t in (out, g, out.grad_fn)]
        cr.autograd.grad(g.sum(), x)
        del out, g
        assert [r() for r in dead] == [None] * 3
        kept = []
        func.grad(lambda x: kept.append(weakref.ref(x)) or function.apply(x, x, 1.0)[0].sum())(x.detach())
        assert kept[0]() is None
        for name in ("Exp", "Same"):
            out = functions(cr)[name].apply(x * 1)
            dead = weakref.ref(out)
            del out
            assert dead() is None, name
    finally:
        gc.enable()


def test_attributes_of_any_name_are_the_users():
    names = ("width", "saved", "plan", "id", "edge", "hooks", "out", "params", "version", "shapes", "count", "rules", "level")

    class F(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            for k, name in enumerate(names):
                assert not hasattr(ctx, name)
                setattr(ctx, name, k)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert [getattr(ctx, name) for name in names] == list(range(len(names)))
            return a + b

    x = cr.ones(3).requires_grad_()
    a, b = F.apply(x)
    assert cr.autograd.grad((a + b).sum(), x)[0].tolist() == [2.0] * 3
    assert a.grad_fn.width == 0


def test_a_gradient_returned_twice_is_not_added_into():
    class F(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            g = g * 1
            F.kept = g
            return g, g

    x, y = cr.ones(3).requires_grad_(), cr.ones(3).requires_grad_()
    before = 2 * x + x  # made earlier, so that the pass comes to it later
    (before + F.apply(x, y)).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist(), F.kept.tolist()) == ([4.0] * 3, [1.0] * 3, [1.0] * 3)
    x.grad.zero_()
    assert y.grad.tolist() == [1.0] * 3


def test_once_differentiable_raises_where_only_a_saved_tensor_moves(ours):
    """PyTorch drops this derivative without a word."""
    x = leaf(cr)
    (g,) = cr.autograd.grad(ours["Sine"].apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with @once_diff"):
        g.sum().backward()
    with pytest.raises(RuntimeError, match="trying to differentiate twice"):
        func.grad(lambda x: func.grad(lambda x: ours["Sine"].apply(x).sum())(x).sum())(x.detach())
    twice = func.jvp(func.grad(lambda x: Sine.apply(x).sum()), (x.detach(),), (cr.ones(3),))[1]
    np.testing.assert_allclose(twice.numpy(), -np.sin(x.detach().numpy()), rtol=1e-6)


class Sine(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @cr.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx, t):
        return t * ctx.saved_tensors[0].cos()


def test_nested_functions_take_and_return_nested_tensors():
    class F(cr.autograd.function.NestedIOFunction):
        @staticmethod
        def forward_extended(ctx, pair, k):
            ctx.k = k
            return {"sum": pair[0] + k * pair[1]}, pair[0] * 5

        @staticmethod
        def backward_extended(ctx, g, h):
            return [g["sum"] + 5 * h, ctx.k * g["sum"]], None

    x, y = leaf(cr), leaf(cr)
    out, other = F.apply([x, y], 3.0)
    assert [g.tolist() for g in cr.autograd.grad((out["sum"] + other).sum(), (x, y))] == [[6.0] * 3, [3.0] * 3]


def test_complex_functions_take_pytorchs_conjugate_gradients():
    class Product(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y.conj(), g * x.conj()

    x = cr.tensor([1 + 2j, 0.5j], requires_grad=True)
    y = cr.tensor([3 - 1j, 2.0], requires_grad=True)
    got = cr.autograd.grad(Product.apply(x, y).real.sum(), (x, y))
    expected = cr.autograd.grad((x * y).real.sum(), (x, y))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


# -- under vmap and trace ----------------------------------------------------------------------------------------------


class OldMix(cr.autograd.Function):
    """A matrix applied to a vector and a scale; keeps an intermediate, an attribute and an output."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx, w, x, s):
        product = w @ x
        out = product * s
        ctx.save_for_backward(w, x, product, out)
        ctx.s = {"scale": s}
        return out, x.sum()

    @staticmethod
    def backward(ctx, g, h):
        w, x, product, _ = ctx.saved_tensors
        g_x = w.t() @ (g * ctx.s["scale"]) + h.expand(x.shape)
        return (g * ctx.s["scale"]).outer(x), g_x, (g * product).sum()

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, product, _ = ctx.saved_tensors
        s = ctx.s["scale"]
        return (a @ x + w @ b) * s + product * c, b.sum()


class NewMix(cr.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(w, x, s):
        return w @ x * s, x.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[0])
        ctx.size = inputs[1].shape

    @staticmethod
    def backward(ctx, g, h):
        w, x, s, _ = ctx.saved_tensors
        return (g * s).outer(x), w.t() @ (g * s) + h.expand(ctx.size), (g * (w @ x)).sum()

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, s, _ = ctx.saved_tensors
        return (a @ x + w @ b) * s + w @ x * c, b.sum()


class RuleMix(NewMix):
    """With a rule of its own for a batch."""

    generate_vmap_rule = False

    @staticmethod
    def vmap(info, in_dims, w, x, s):
        assert info.batch_size == 3
        assert all(d in (None, 0) for d in in_dims)
        w = w.movedim(in_dims[0], 0) if in_dims[0] is not None else w.expand(3, *w.shape)
        x = x if in_dims[1] is not None else x.expand(3, *x.shape)
        s = s if in_dims[2] is not None else s.expand(3)
        out, total = Stacked.apply(w, x, s)
        return (out.t(), total), (1, 0)


class Stacked(cr.autograd.Function):
    @staticmethod
    def forward(w, x, s):
        return (w * x[:, None, :]).sum(-1) * s[:, None], x.sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, h):
        w, x, s = ctx.saved_tensors
        scaled = g * s[:, None]
        plain = (w * x[:, None, :]).sum(-1)
        return scaled[:, :, None] * x[:, None, :], (w * scaled[:, :, None]).sum(1) + h[:, None], (g * plain).sum(-1)

    @staticmethod
    def jvp(ctx, a, b, c):
        w, x, s = ctx.saved_tensors
        product = lambda w, x: (w * x[:, None, :]).sum(-1)
        return (product(a, x) + product(w, b)) * s[:, None] + product(w, x) * c[:, None], b.sum(-1)


def mixed(w, x, s):
    return w @ x * s, x.sum()


def values(*batched):
    rng = np.random.default_rng(0)
    shapes = ((2, 4), (4,), ())
    return [cr.tensor(rng.normal(size=(*((3,) if on else ()), *shape))) for shape, on in zip(shapes, batched, strict=True)]


MIXES = [OldMix, NewMix, RuleMix]
PATTERNS = [p for p in itertools.product((True, False), repeat=3) if any(p)]


def close(a, b):
    for x, y in zip(tree_flatten(a)[0], tree_flatten(b)[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batched", PATTERNS, ids=str)
@pytest.mark.parametrize("function", MIXES)
def test_vmap_equals_the_plain_function(function, batched):
    args = values(*batched)
    dims = tuple(0 if on else None for on in batched)
    along = [a * 0.5 + 1 for a in args]

    def squares(f):
        def loss(*args):
            out, total = f(*args)
            return (out**2).sum() + total**2

        return loss

    def tangent(f):
        return lambda *both: func.jvp(f, both[:3], both[3:])[1]

    for of in (lambda f: f, lambda f: func.grad(squares(f), (0, 1, 2))):
        close(func.vmap(of(function.apply), dims)(*args), func.vmap(of(mixed), dims)(*args))
    close(
        func.vmap(tangent(function.apply), dims * 2)(*args, *along),
        func.vmap(tangent(mixed), dims * 2)(*args, *along),
    )
    if function is not OldMix:  # whose saved intermediate is a constant, as PyTorch documents
        second = lambda f: func.grad(lambda *a: sum((g**2).sum() for g in func.grad(squares(f), (0, 1, 2))(*a)), (0, 1, 2))
        close(func.vmap(second(function.apply), dims)(*args), func.vmap(second(mixed), dims)(*args))
        hvp = lambda f: lambda *both: func.jvp(func.grad(squares(f), (0, 1, 2)), both[:3], both[3:])[1]
        close(func.vmap(hvp(function.apply), dims * 2)(*args, *along), func.vmap(hvp(mixed), dims * 2)(*args, *along))


@pytest.mark.parametrize("batched", PATTERNS, ids=str)
@pytest.mark.parametrize("function", MIXES)
def test_gradients_of_vmap_sum_over_the_batch(function, batched):
    args = values(*batched)
    dims = tuple(0 if on else None for on in batched)

    def loss(f):
        def of(*args):
            out, total = func.vmap(f, dims)(*args)
            return (out**2).sum() + (total**2).sum()

        return of

    close(func.grad(loss(function.apply), (0, 1, 2))(*args), func.grad(loss(mixed), (0, 1, 2))(*args))
    leaves = [a.clone().requires_grad_() for a in args]
    close(cr.autograd.grad(loss(function.apply)(*leaves), leaves), cr.autograd.grad(loss(mixed)(*leaves), leaves))
    along = tuple(a * 0.5 + 1 for a in args)
    close(func.jvp(loss(function.apply), tuple(args), along), func.jvp(loss(mixed), tuple(args), along))


@pytest.mark.parametrize("function", [OldMix, NewMix])
def test_vmaps_nest(function):
    rng = np.random.default_rng(1)
    w, x, s = (cr.tensor(rng.normal(size=n)) for n in ((2, 3, 2, 4), (3, 4), (2,)))
    nested = lambda f: func.vmap(func.vmap(f, (0, 0, None)), (0, None, 0))
    close(nested(function.apply)(w, x, s), nested(mixed)(w, x, s))
    loss = lambda f: lambda *a: sum((o**2).sum() for o in nested(f)(*a))
    close(func.grad(loss(function.apply), (0, 1, 2))(w, x, s), func.grad(loss(mixed), (0, 1, 2))(w, x, s))
    inner = lambda f: nested(func.grad(lambda *a: sum((o**2).sum() for o in f(*a)), (0, 1, 2)))
    close(inner(function.apply)(w, x, s), inner(mixed)(w, x, s))
    leaf = x.clone().requires_grad_()
    close(
        cr.autograd.grad(loss(function.apply)(w, leaf, s), leaf),
        cr.autograd.grad(loss(mixed)(w, leaf, s), leaf),
    )


@pytest.mark.parametrize("function", [OldMix, NewMix])
def test_functions_trace_as_one_equation_which_differentiates(function):
    w, x, s = values(False, False, False)
    graph = func.trace(lambda w, x, s: function.apply(w, x, s)[0] * 2)(w, x, s)
    assert [e.op.name for e in graph.equations] == [function.__name__, "mul"]
    others = [2 * w + 1, x - 1, s * 3]
    close(graph(*others), mixed(*others)[0] * 2)
    loss = lambda f: lambda *a: (f(*a) ** 2).sum()
    plain = lambda *a: mixed(*a)[0] * 2
    close(func.grad(loss(graph), (0, 1, 2))(*others), func.grad(loss(plain), (0, 1, 2))(*others))
    batch = [cr.stack([o, o + 1]) for o in others]
    close(func.vmap(graph)(*batch), func.vmap(plain)(*batch))
    gradient = func.trace(func.grad(loss(lambda *a: function.apply(*a)[0] * 2), (0, 1, 2)))(w, x, s)
    close(gradient(*others), func.grad(loss(plain), (0, 1, 2))(*others))
    tangent = func.trace(lambda *a: func.jvp(lambda *a: function.apply(*a)[0], a, a)[1])(w, x, s)
    close(tangent(*others), func.jvp(lambda *a: mixed(*a)[0], tuple(others), tuple(others))[1])
    batched = func.trace(func.vmap(lambda *a: function.apply(*a)[0] * 2))(*batch)
    close(batched(*[b + 1 for b in batch]), func.vmap(plain)(*[b + 1 for b in batch]))


def batch_errors(lib):
    class New(lib.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    class Either(New):
        generate_vmap_rule = True
        vmap = staticmethod(lambda info, in_dims, x: (x, 0))

    class One(New):
        vmap = staticmethod(lambda info, in_dims, x: x)

    class Three(New):
        vmap = staticmethod(lambda info, in_dims, x: (x, 0, 0))

    class Misfit(New):
        vmap = staticmethod(lambda info, in_dims, x: (x, (0, 0)))

    class Shared(New):
        vmap = staticmethod(lambda info, in_dims, x: (x.sum(), None))

    class Told(New):
        @staticmethod
        def vmap(info, in_dims, x, y):
            assert str(info) == "VmapInfo(batch_size=3, randomness='error')"
            assert in_dims == (0, None)
            return x * y, 0

        forward = staticmethod(lambda x, y: x * y)

    return [New, Either, One, Three, Misfit, Shared, Told]


@pytest.mark.parametrize("k", range(7))
def test_vmap_rules_are_checked_as_in_pytorch(torch, k):
    def case(lib, _):
        args = (lib.ones(3, 2), lib.ones(2)) if k == 6 else (lib.ones(3, 2),)
        return lib.func.vmap(batch_errors(lib)[k].apply, (0, None)[: len(args)])(*args)

    assert outcome(case, cr, None)[0] == outcome(case, torch, None)[0]


def test_a_write_in_place_reaches_the_batch():
    class Twice(cr.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    def f(x):
        y = x * 1
        z = Twice.apply(y)
        assert z is y
        return y * x

    x = cr.tensor([1.0, 2.0, 3.0])
    assert func.vmap(f)(x).tolist() == [2.0, 8.0, 18.0]
    assert func.grad(lambda x: func.vmap(f)(x).sum())(x).tolist() == [4.0, 8.0, 12.0]
    assert func.vmap(func.grad(f))(x).tolist() == [4.0, 8.0, 12.0]


def test_random_numbers_in_a_function_follow_vmap():
    class Noise(cr.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(ctx, x):
            ctx.noise = cr.rand(2)
            return x * ctx.noise

        @staticmethod
        def backward(ctx, g):
            return g * ctx.noise

    x = cr.ones(3, 2)
    with pytest.raises(RuntimeError, match="vmap: called random operation while in randomness error mode"):
        func.vmap(Noise.apply)(x)
    same = func.vmap(Noise.apply, randomness="same")(x)
    assert same[0].tolist() == same[1].tolist()
    leaf = x.clone().requires_grad_()
    out = func.vmap(Noise.apply, randomness="different")(leaf)
    assert out[0].tolist() != out[1].tolist()
    assert cr.autograd.grad(out.sum(), leaf)[0].tolist() == out.tolist()

    class Told(cr.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 1

        setup_context = staticmethod(lambda ctx, inputs, output: None)
        vmap = staticmethod(lambda info, in_dims, x: (x * (1 if info.randomness == "same" else 0), 0))

    assert func.vmap(Told.apply, randomness="same")(x).tolist() == x.tolist()


def test_values_of_transforms_come_as_arguments():
    class Sum(cr.autograd.Function):
        forward = staticmethod(lambda ctx, tensors, k: sum(tensors) * k)
        backward = staticmethod(lambda ctx, g: (None, None))

    with pytest.raises(RuntimeError, match="none of its arguments .* Pass it as an argument of its own"):
        func.grad(lambda x: Sum.apply([x, x], 2.0))(cr.tensor(1.0))
    with pytest.raises(RuntimeError, match="none of its arguments"):
        func.vmap(lambda x: Sum.apply([x, x], cr.ones(())))(cr.ones(3))


@pytest.mark.parametrize("function", [OldCubic, NewCubic])
def test_taylor_mode_follows_jvp(function):
    def plain(x, y, k):
        return x**3 * y * k, y * 1

    double = lambda v: cr.tensor(v, dtype=cr.float64)
    x, along = double(0.7), [double(1.0), double(0.5), double(0.0), double(0.0)]

    def loss(f):
        def of(x):
            out, same = f(x.sin(), x, 2.0)
            return out.exp() * same, same

        return of

    close(func.jet(loss(function.apply), (x,), (along,)), func.jet(loss(plain), (x,), (along,)))
    third = lambda f: func.grad(lambda x: func.jet(lambda x: loss(f)(x)[0], (x,), (along,))[1][2])(x)
    close(third(function.apply), third(plain))

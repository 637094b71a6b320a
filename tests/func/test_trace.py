"""`func.trace`: what a graph holds, and that it equals the function under every transform."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from tests.func.traced import F64, close, t, trace

import chainrule as cr
from chainrule import nn
from chainrule.func import grad, jvp, vjp, vmap
from chainrule.transforms.equations import Equation
from chainrule.transforms.trace import captured
from chainrule.utils.checkpoint import checkpoint

pytestmark = pytest.mark.usefixtures("small_heap")


def composite(x):
    return (cr.sin(x) * cr.exp(x[0]) + x**2).sum()


def test_text_is_stable_and_readable():
    def f(x, y):
        z = cr.tanh(x @ y)
        return {"z": z, "s": (z * 2).sum(dim=1)}

    expected = """\
graph(a: float32[2, 3], b: float32[3, 2]):
    c: float32[2, 2] = mm(a, b)
    d: float32[2, 2] = tanh(c)
    e: float32[2, 2] = mul(d, 2)
    f: float32[2] = sum(e, axis=(1,), keepdims=False)
    return d, f"""
    assert [str(trace(f)(cr.ones(2, 3), cr.ones(3, 2))) for _ in range(2)] == [expected] * 2


def test_names_go_on_after_z():
    def f(x):
        for _ in range(30):
            x = cr.sin(x)
        return x

    text = str(trace(f)(cr.ones(())))
    assert "    z: float32[] = sin(y)\n    aa: float32[] = sin(z)\n    ab: float32[] = sin(aa)" in text


def test_pytrees_in_and_out_and_fixed_arguments():
    def f(p, n, scale=1.0):
        return [p["w"] * n + p["b"][0], None, {"same": p["w"]}, n]

    p = {"w": t(1.0, 2.0), "b": (t(3.0, 4.0),)}
    graph = trace(f)(p, 2, scale=3.0)
    out = graph(p, 2, scale=3.0)
    close(out[0], t(5.0, 8.0))
    assert out[1] is None
    assert out[2]["same"] is p["w"]
    assert out[3] == 2


def test_arguments_are_checked():
    graph = trace(lambda p, n: p["w"] * n)({"w": cr.ones(2)}, 2)
    with pytest.raises(RuntimeError, match=r"graph: argument 0\['w'\] is float32\[3\], but it was traced for float32\[2\]"):
        graph({"w": cr.ones(3)}, 2)
    with pytest.raises(RuntimeError, match=r"argument 0\['w'\] is float64\[2\], but it was traced for float32\[2\]"):
        graph({"w": cr.ones(2, dtype=F64)}, 2)
    with pytest.raises(ValueError, match="argument 1 was 2 in the trace and fixed there, and is 3"):
        graph({"w": cr.ones(2)}, 3)
    with pytest.raises(TypeError, match="the arguments' structure is"):
        graph([cr.ones(2)], 2)
    with pytest.raises(TypeError, match=r"argument 0\['w'\] must be a Tensor, not float"):
        graph({"w": 1.0}, 2)


def test_arrays_are_inputs():
    graph = trace(lambda x: x * 2)(np.ones(2))
    assert graph(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]


def test_what_no_output_needs_is_left_out():
    def f(x):
        cr.exp(x * cr.ones(2))
        return cr.sin(x)

    graph = trace(f)(cr.ones(2))
    assert [e.op.name for e in graph.equations] == ["sin"]
    assert not graph.constants


def test_values_are_freed_when_nothing_needs_them(monkeypatch):
    def f(x):
        for _ in range(20):
            x = x * 2
        return x

    graph, made, alive, evaluate = trace(f)(t(1.0)), [], [], Equation.evaluate

    def counted(equation, operands):
        out = evaluate(equation, operands)
        made.append(weakref.ref(out))
        alive.append(sum(r() is not None for r in made))
        return out

    monkeypatch.setattr(Equation, "evaluate", counted)
    graph(t(1.0))
    assert len(alive) == 20
    assert max(alive) <= 3


def test_nothing_of_a_trace_stays_without_the_garbage_collector():
    kinds = ("Tracer", "Equation", "Variable", "Traced", "Graph")
    count = lambda: sum(type(o).__name__ in kinds for o in gc.get_objects())
    w = t([1.0, 2.0], requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        before = count()
        graph = trace(lambda x: (cr.sin(x) * w).sum())(t([1.0, 1.0]))
        grad(graph)(t([1.0, 2.0]))
        del graph
        assert count() == before
    finally:
        gc.enable()


# -- composition -------------------------------------------------------------------------------------------------------

X = np.array([0.3, -0.7, 1.1])
TRANSFORMS = {
    "grad": lambda f: grad(f),
    "jvp": lambda f: lambda x: jvp(f, (x,), (cr.cos(x),))[1],
    "vjp": lambda f: lambda x: vjp(f, x)[1](cr.ones((), dtype=F64))[0],
    "hvp": lambda f: lambda x: jvp(grad(f), (x,), (cr.cos(x),))[1],
    "grad of grad": lambda f: grad(lambda x: grad(f)(x).sum()),
    "vmap": lambda f: lambda x: vmap(f)(cr.stack([x, x * 2, x - 1])),
    "vmap of grad": lambda f: lambda x: vmap(grad(f))(cr.stack([x, x * 2])),
    "jet": lambda f: lambda x: cr.func.jet(f, (x,), ([x, None, cr.cos(x)],))[1][2],
    "nested trace": lambda f: lambda x: trace(f)(x)(x),
    "trace in jvp": lambda f: lambda x: jvp(lambda y: trace(f)(y)(y), (x,), (x,))[1],
}


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_of_graphs_and_graphs_of_transforms(name):
    of, x = TRANSFORMS[name], t(X.tolist())
    expected = of(composite)(x)
    close(of(trace(composite)(t(0.0, 0.0, 0.0)))(x), expected)
    close(trace(of(composite))(t(0.0, 0.1, 0.2))(x), expected)
    close(trace(of(trace(composite)(x)))(x)(x), expected)


def test_a_trace_inside_of_a_gradient_takes_what_is_captured_with_it():
    def f(x):
        graph = trace(lambda y: cr.sin(x * y))(t(2.0))
        return graph(t(2.0)) * x

    expected = grad(lambda x: cr.sin(x * 2.0) * x)(t(0.4))
    close(grad(f)(t(0.4)), expected)
    close(jvp(f, (t(0.4),), (t(1.0),))[1], expected)
    close(trace(grad(f))(t(0.1))(t(0.4)), expected)


def test_parameters_are_captured_and_stay_live():
    w = t(1.0, 2.0, requires_grad=True)
    graph = trace(lambda x: (w * w.norm() * x).sum())(t(1.0, 1.0))
    for value in ([1.0, 2.0], [3.0, 4.0]):
        with cr.no_grad():
            w.copy_(t(value))
        w.grad = None
        out = graph(t(1.0, -1.0))
        out.backward()
        reference = t(value, requires_grad=True)
        (reference * reference.norm() * t(1.0, -1.0)).sum().backward()
        close(w.grad, reference.grad)
    assert any(v is w for v in graph.values)


def test_a_module_is_traced_with_its_own_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = cr.ones(2, 3)
    graph = trace(net)(x)
    assert {id(p) for p in net.parameters()} == {id(v) for v in graph.values if v.requires_grad}
    graph(x).sum().backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(x).sum().backward()
    for a, p in zip(found, net.parameters(), strict=True):
        close(a, p.grad)


def test_a_captured_tensor_that_does_not_require_grad_is_live_too():
    scale = t(2.0)
    graph = trace(lambda x: x * (scale + 1))(t(1.0))
    scale.fill_(5.0)
    assert graph(t(1.0)).item() == 6.0


TRANSFORMED = {
    "vmap": lambda w: vmap(lambda r: r * 2 + w.sum())(w),
    "jvp": lambda w: jvp(lambda v: v * w, (w,), (w,))[1],
    "grad": lambda w: grad(lambda v: (v * w).sum())(w),
    "jet": lambda w: cr.func.directional(lambda v: v * v * w, (w,), (w,), 2),
}


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("mode", [cr.enable_grad, cr.no_grad])
@pytest.mark.parametrize("name", list(TRANSFORMED))
def test_captured_tensors_are_live_inside_of_other_transforms(name, mode, requires_grad):
    w = t([2.0, 3.0], requires_grad=requires_grad)

    def f(x):
        with mode():
            return TRANSFORMED[name](w) + x * 0

    graph = trace(f)(t([1.0, 1.0]))
    with cr.no_grad():
        w.copy_(t([5.0, 7.0]))
    close(graph(t([1.0, 1.0])), f(t([1.0, 1.0])))


def test_no_grad_inside_stays():
    def f(x):
        with cr.no_grad():
            y = x * 2
        return x * y + x.detach()

    x = t(3.0, requires_grad=True)
    graph = trace(f)(x)
    assert "# no_grad" in str(graph)
    graph(x).backward()
    assert x.grad.item() == 6.0
    close(grad(graph)(t(3.0)), grad(f)(t(3.0)))
    close(jvp(graph, (t(3.0),), (t(1.0),))[1], jvp(f, (t(3.0),), (t(1.0),))[1])


def test_the_trace_itself_does_not_depend_on_the_grad_mode():
    with cr.no_grad():
        graph = trace(lambda x: x * x)(t(1.0))
    x = t(3.0, requires_grad=True)
    graph(x).backward()
    assert x.grad.item() == 6.0


def test_inner_parameters_of_a_lower_transform():
    y, dot = jvp(lambda w: trace(lambda x: x * w * w)(t(2.0))(t(3.0)), (t(5.0),), (t(1.0),))
    assert (y.item(), dot.item()) == (75.0, 30.0)


# -- writes in place ---------------------------------------------------------------------------------------------------


def write_elements(x):
    y = cr.zeros(3, dtype=F64)
    y[0] = x.sum()
    y[1:] += x[:2] * 2
    return y


def write_through_view(x):
    y = x.clone()
    v = y[1:]
    v.mul_(x[0])
    return y * v.sum()


def write_constants_later(x):
    c = cr.zeros(3, dtype=F64)
    y = x * c
    c += 1
    z = x * c
    c[0] = 5
    d = c[1:]
    d.fill_(7.0)
    return y + z + x * c


def write_then_promote(x):
    c = cr.zeros(3, dtype=F64)
    y = x + c
    c.copy_(x)
    c.add_(1.0)
    return y * c


def transpose_in_place(x):
    y = cr.outer(x, x)
    y.t_()
    y[0] = x
    return y


def test_a_constant_written_to_later_keeps_its_old_values_in_the_graph():
    graph, x = trace(write_constants_later)(t(1.0, 2.0, 3.0)), t(X.tolist())
    close(graph(x), write_constants_later(x))
    close(graph(x), x * t(6.0, 8.0, 8.0))
    close(grad(lambda x: graph(x).sum())(x), t(6.0, 8.0, 8.0))


@pytest.mark.parametrize("f", [write_elements, write_through_view, write_then_promote, transpose_in_place])
def test_writes_in_place_are_functional(f):
    graph, x = trace(f)(t(1.0, 2.0, 3.0)), t(X.tolist())
    close(graph(x), f(x.clone()))
    close(graph(x), f(x.clone()))  # the first run changed nothing that the graph holds
    along = t(1.0, -1.0, 0.5)
    close(jvp(graph, (x,), (along,))[1], jvp(f, (x,), (along,))[1])
    close(grad(lambda x: (graph(x) ** 2).sum())(x), grad(lambda x: (f(x) ** 2).sum())(x))


def test_writes_to_the_argument_do_not_reach_the_caller():
    def f(x):
        x.mul_(2)
        return x + 1

    x = t(1.0, 2.0)
    graph = trace(f)(x)
    assert x.tolist() == [1.0, 2.0]
    assert graph(x).tolist() == [3.0, 5.0]
    assert x.tolist() == [1.0, 2.0]


def test_results_are_as_new_or_as_captured_as_the_functions():
    w = t([1.0, 2.0])
    graph = trace(lambda x: (cr.zeros(2, dtype=F64), w, x, np.ones(2), cr.arange(3)[1:]))(t([0.0, 0.0]))
    x = t([3.0, 4.0])
    out = graph(x)
    assert out[1] is w
    assert out[2] is x
    for o in (out[0], out[3], out[4]):
        o.fill_(7)
    assert [o.tolist() for o in graph(x)] == [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0], [1.0, 1.0], [1, 2]]


# -- closure conversion ------------------------------------------------------------------------------------------------


def test_captured_makes_a_function_of_what_it_captures():
    w, scale = t(2.0, requires_grad=True), t(3.0)

    def f(x):
        return x * w**2 * scale if x > 0 else x

    explicit, found = captured(f, (t(1.0),))
    assert len(found) == 1
    assert found[0] is w
    assert explicit([t(5.0)], t(2.0)).item() == 150.0
    _, dot = jvp(lambda w: explicit([w], t(2.0)), (t(5.0),), (t(1.0),))
    assert dot.item() == 60.0


def test_captured_finds_values_of_other_transforms():
    def outer(w):
        explicit, found = captured(lambda x: cr.sin(w * x), (t(2.0),))
        assert len(found) == 1
        return explicit([w * w], t(2.0))

    close(grad(outer)(t(0.3)), grad(lambda w: cr.sin(w * w * 2.0))(t(0.3)))
    close(jvp(outer, (t(0.3),), (t(1.0),))[1], grad(lambda w: cr.sin(w * w * 2.0))(t(0.3)))


# -- functions that check values ---------------------------------------------------------------------------------------


def test_losses_are_traced_and_their_checks_stay_at_trace_time():
    logits, target, weight = t([[0.1, 0.5, -0.3], [1.0, 0.0, 0.2]]), cr.tensor([0, 2]), t([0.5, 1.0, 2.0])
    F = nn.functional
    cases = [
        lambda x, y: F.cross_entropy(x, y),
        lambda x, y: F.cross_entropy(x, y, weight, label_smoothing=0.1),
        lambda x, y: F.cross_entropy(x, y, ignore_index=2, label_smoothing=0.3, reduction="sum"),
        lambda x, y: F.cross_entropy(x, y, weight, ignore_index=2, label_smoothing=0.3),
        lambda x, y: F.nll_loss(cr.log_softmax(x, 1), y, weight),
        lambda x, y: F.binary_cross_entropy(cr.sigmoid(x), (x > 0).to(F64)),
    ]
    for f in cases:
        graph = trace(f)(logits * 0.5, cr.tensor([1, 2]))
        close(graph(logits, target), f(logits, target))
        close(grad(graph)(logits, target), grad(f)(logits, target))
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        trace(cases[0])(logits, cr.tensor([0, 3]))


def test_quantiles_are_traced():
    x, q = t([[3.0, 1.0, 2.0], [0.0, float("nan"), 4.0]]), t([0.25, 0.5])
    for f in (cr.quantile, cr.nanquantile):
        for how in ("linear", "lower", "nearest", "midpoint"):
            g = lambda x, q, f=f, how=how: f(x, q, dim=1, interpolation=how)
            np.testing.assert_array_equal(trace(g)(x * 0, q)(x, q).numpy(), g(x, q).numpy())


def test_a_derivative_that_is_missing_raises_from_the_graph_too():
    graph = trace(cr.special.jv)(t([1.0]), t([2.0]))
    grad(lambda x: graph(t([1.0]), x).sum())(t([2.0]))
    for of in (lambda f: grad(f)(t([1.0])), lambda f: jvp(f, (t([1.0]),), (t([1.0]),))):
        with pytest.raises(NotImplementedError, match="derivative for 'jv: order' is not implemented"):
            of(lambda a: graph(a, t([2.0])).sum())


def test_class_weights_have_a_derivative_inside_of_a_transform():
    x, y, w = cr.log_softmax(t([[0.1, 0.5], [0.2, -0.3], [1.0, 0.0]]), 1), cr.tensor([0, 1, 1]), t([1.0, 2.0])
    for options in ({}, {"reduction": "sum"}, {"ignore_index": 0}):
        f = lambda w, options=options: nn.functional.nll_loss(x, y, w, **options)
        close(trace(f)(w * 0 + 1)(w), f(w))
        found, h = grad(f)(w), 1e-6
        for i in range(2):
            step = t([h * (i == 0), h * (i == 1)])
            np.testing.assert_allclose(found[i].item(), (f(w + step) - f(w - step)).item() / (2 * h), rtol=1e-6, atol=1e-8)


# -- custom functions, checkpoints -------------------------------------------------------------------------------------


class Scaled(cr.autograd.Function):
    """``sin(x) exp(x)``, with its derivative by hand."""

    @staticmethod
    def forward(x):
        return cr.sin(x) * cr.exp(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (cr.cos(x) + cr.sin(x)) * cr.exp(x)

    @staticmethod
    def jvp(ctx, x_dot):
        (x,) = ctx.saved_tensors
        return x_dot * (cr.cos(x) + cr.sin(x)) * cr.exp(x)


CUSTOM = {"Function": Scaled.apply, "checkpoint": lambda x: checkpoint(lambda x: cr.sin(x) * cr.exp(x), x, use_reentrant=False)}


@pytest.mark.parametrize("name", list(CUSTOM))
def test_custom_functions_and_checkpoints(name):
    f, plain, x = CUSTOM[name], lambda x: cr.sin(x) * cr.exp(x), t(0.7)
    graph = trace(f)(t(0.1))
    close(graph(x), plain(x))
    for of in (grad, lambda f: lambda x: jvp(f, (x,), (x,))[1], lambda f: grad(grad(f))):
        close(of(graph)(x), of(plain)(x))
        close(trace(of(f))(t(0.1))(x), of(plain)(x))
    leaf = t(0.7, requires_grad=True)
    graph(leaf).backward()
    close(leaf.grad, grad(plain)(x))
    along = (x,), ([x, None, None],)
    for a, b in zip(cr.func.jet(f, *along)[1], cr.func.jet(plain, *along)[1], strict=True):
        close(a, b)


PLACES = [[0, 1, 2], [0, 0, 0], [2, 0, 2]]


@pytest.mark.parametrize("name", ["scatter_reduce", "index_reduce"])
@pytest.mark.parametrize("include_self", [True, False])
def test_a_graph_multiplies_as_many_factors_for_a_place_as_there_then_are(name, include_self):
    def f(x, i, y):
        return getattr(x, name)(0, i, y, "prod", include_self=include_self)

    x, y = cr.tensor([2.0, 0.0, 5.0]), cr.tensor([7.0, 0.0, 11.0])
    graph = cr.func.trace(f)(x, cr.tensor(PLACES[0]), y)
    for places in PLACES:
        i = cr.tensor(places)
        assert graph(x, i, y).tolist() == f(x, i, y).tolist()
        for slope in (cr.func.jacrev, cr.func.jacfwd, lambda f: cr.func.hessian(lambda *a: f(*a).sum())):
            assert slope(lambda y, i=i: graph(x, i, y))(y).tolist() == slope(lambda y, i=i: f(x, i, y))(y).tolist()
    rows, at = cr.arange(6.0).reshape(2, 3) + 1, cr.tensor([PLACES[1], PLACES[2]])
    both = [cr.func.vmap(g)(rows, at, rows * 2).tolist() for g in (f, graph)]
    assert both[0] == both[1]
    with pytest.raises((RuntimeError, IndexError)):
        graph(x, cr.tensor([0, 3, 0]), y)

"""Graphs to try passes on: random programs of ops, gradients of small models, and how their values are compared."""

from __future__ import annotations

import random

import numpy as np

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import func
from chainrule.core.op.declaration import TABLE, Backend, Op
from chainrule.core.types.tree import tree_flatten
from chainrule.testing.case import filled
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.trace import graph_of

SPECIAL = (0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1.0, -1.0, 2.0, 0.5, -3.0, 1e-40, 1e38)

# Of one value, of two that broadcast: in the words of a program.
ONE = (
    "-{0}", "-(-{0})", "-({0} * 0.3)", "-({0} / 3)", "{0} * 1", "{0} * -1", "{0} / 1", "{0} / 2", "{0} / 3", "{0} / -0.25",
    "{0} - 0", "{0} + 0", "{0} + -0.0", "{0} * 0", "power({0}, 1)", "power({0}, 2)", "power({0}, 3)", "power({0}, -1)",
    "power({0}, 0.5)", "power({0}, -2)", "power({0}, -0.5)", "{0}.square()", "{0}.abs()", "{0}.abs().abs()", "(-{0}).abs()",
    "{0}.relu()", "{0}.exp().relu()", "{0}.tanh()", "{0}.sin()", "{0}.clone()", "{0}.contiguous()", "{0}.detach()",
    "{0}.double()", "{0}.float()", "{0}.double().to({0}.dtype)", "{0}.to(cr.complex128).real", "{0}.reshape(-1)",
    "{0}.unsqueeze(0)", "{0}.unsqueeze(-1)", "{0}.squeeze()", "{0}[None]", "{0}[...]", "{0}.flatten().reshape({0}.shape)",
    "{0}.reshape(-1).sin().reshape({0}.shape)", "{0}.movedim(0, -1)", "{0}.movedim(0, -1).movedim(-1, 0)",
    "{0}.transpose(0, -1)", "{0}.transpose(0, -1).transpose(0, -1)", "{0}.flip(0).flip(0)", "{0}.flip(-1)",
    "{0}.expand(2, *{0}.shape)", "{0}.unsqueeze(0).expand(3, *{0}.shape)[1]", "{0}.sum()", "{0}.sum(0)",
    "{0}.unsqueeze(0).sum(0)", "{0}.amax(-1)", "{0}.unsqueeze(-1).amax(-1)", "{0}.cumsum(0)",
    "cr.where(cr.tensor(True), {0}, 0 * {0})", "cr.where({0} > 0, {0}, {0})", "cr.where(~({0} > 0.5), {0}, -{0})",
    "{0} * cr.ones_like({0})", "{0} + cr.full_like({0}, -0.0)", "{0} * cr.tensor(2.0)", "{0} * (cr.ones(3) * 2).sum()",
    "cr.cat([{0}, {0}], 0)[:{0}.shape[0]]", "cr.cat(list({0}.split(1, 0)), 0)", "cr.stack([{0}, -{0}], 0)[1]",
    "cr.stack(list({0}.unbind(0)), 0)", "cr.cat([{0}, -{0}], 0).split({0}.shape[0], 0)[1]", "{0}[0]", "{0}[-1:]",
)  # fmt: skip
TWO = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{0} + -{1}", "-{0} + {1}", "{0} - -{1}", "-{0} * -{1}", "-{0} / -{1}",
    "cr.maximum({0}, {1})", "cr.where({0} > {1}, {0}, {1})", "cr.where(cr.tensor(False), {0}, {1})", "{1} + {0}", "{1} * {0}",
    "{0} + {1}.expand_as({0} * {1})", "{0} * {1}[None].expand(1, *{1}.shape)", "put({0}, {1})", "put({0}, {0}[0])",
    "put({0}, {1})[0]", "cr.atan2({0}, {1})", "cr.addcmul({0}, {0}, {1})",
)  # fmt: skip


def put(x, y):
    """Return a copy of `x` with `y` written over its first row, where it fits."""
    x = x.clone()
    if x.ndim and y.ndim < x.ndim and y.shape == x.shape[1:]:
        x[0] = y
    return x


def power(x, y):
    """Return a power of an array; of a tensor without axes it is C's, which products meet nearly."""
    return x**y if x.ndim else x


def drawn(seed, steps=14):
    """Return a random function of two float32 or float64 arrays, and the arrays, special values among them."""
    rng = random.Random(seed)
    lines, names = [], ["a", "b"]
    for k in range(steps):
        text = rng.choice(ONE if rng.random() < 0.6 else TWO)
        lines.append(f"x{k} = step(lambda: {text.format(pick(rng, names), pick(rng, names))}, {pick(rng, names)})")
        names.append(f"x{k}")
    source = "def f(a, b):\n" + "".join(f"    {line}\n" for line in lines) + f"    return {', '.join(names[-6:])}\n"
    space = {"cr": cr, "put": put, "power": power, "step": step}
    exec(source, space)
    numbers = np.random.default_rng(seed)
    dtype = rng.choice((np.float32, np.float64))
    arrays = []
    for shape in ((3, 4), rng.choice(((4,), (3, 1), (), (3, 4), (1, 4)))):
        x = numbers.normal(size=shape).astype(dtype)
        chosen = numbers.random(shape) < 0.2
        arrays.append(np.where(chosen, numbers.choice(np.array(SPECIAL), shape), x).astype(dtype))
    return space["f"], [cr.tensor(x) for x in arrays], source


def pick(rng, names):
    return names[-1 - int(rng.expovariate(0.4)) % len(names)]


def step(make, otherwise):
    """Return what a step makes; another value where it does not fit."""
    try:
        return make()
    except (RuntimeError, IndexError, ValueError, TypeError):
        return otherwise


def graphs_of(seed):
    """Return the graphs of a random function, and of its vjp."""
    f, args, source = drawn(seed)
    with np.errstate(all="ignore"):
        graphs = [graph_of(f, tuple(args))]

        def pull(*args):
            outs, back = func.vjp(lambda *xs: [o for o in f(*xs) if o.is_floating_point()], *args)
            return back([o * 0.5 for o in outs])

        graphs.append(graph_of(pull, tuple(args)))
    return [(graph, args) for graph in graphs], source


def graph_of_case(case):
    """Return the graph of a call of an op, and the tensors among its arguments."""
    args = case.tensors()
    places = [i for i, a in enumerate(args) if isinstance(a, cr.Tensor)]
    given = [args[i] for i in places]
    return graph_of(lambda *xs: case.op.call(*filled(args, xs, places), **case.params), tuple(given)), given


# -- models ------------------------------------------------------------------------------------------------------------


def mlp(params, x, y):
    for w, b in params[:-1]:
        x = cr.tanh(F.linear(x, w, b))
    return F.cross_entropy(F.linear(x, *params[-1]), y)


def black_scholes(s, k, t, r, v):
    d1 = (cr.log(s / k) + (r + v * v / 2) * t) / (v * cr.sqrt(t))
    d2 = d1 - v * cr.sqrt(t)
    cdf = lambda x: 0.5 * (1 + cr.erf(x / 2**0.5))
    return (s * cdf(d1) - k * cr.exp(-r * t) * cdf(d2)).sum()


def lstm_step(params, x, h, c):
    w, u, b = params
    i, f, g, o = (x @ w.t() + h @ u.t() + b).chunk(4, 1)
    c = cr.sigmoid(f) * c + cr.sigmoid(i) * cr.tanh(g)
    h = cr.sigmoid(o) * cr.tanh(c)
    return (h * h).sum() + c.sum()


def block(params, x):
    weight, bias, w = params
    h = F.gelu(F.layer_norm(x, (8,), weight, bias) @ w)
    return (F.softmax(h, -1) * x).mean() + cr.logsumexp(h, 1).mean() + h.var() + cr.linalg.vector_norm(h)


def normal(*shape):
    return cr.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def models():
    """Return the graphs of the gradients of small models, by name, with arguments."""
    layers = [(normal(16, 8), normal(16)), (normal(16, 16), normal(16)), (normal(4, 16), normal(4))]
    calls = {
        "mlp": (func.grad(mlp), (layers, normal(5, 8), cr.tensor([0, 1, 2, 3, 0]))),
        "black_scholes": (
            func.grad(black_scholes, argnums=(0, 1, 2, 3, 4)),
            tuple([normal(7).abs() + 1 + k / 8 for k in range(5)]),
        ),
        "lstm_step": (
            func.grad(lstm_step),
            ((normal(16, 3), normal(16, 4), normal(16)), normal(2, 3), normal(2, 4), normal(2, 4)),
        ),
        "block": (func.grad(block), ((normal(8), normal(8) * 0.5, normal(8, 8)), normal(3, 8))),
    }
    return {name: (graph_of(f, args), tensors(args)) for name, (f, args) in calls.items()}


def tensors(args):
    return [leaf for leaf in tree_flatten(args)[0] if isinstance(leaf, cr.Tensor)]


# -- values ------------------------------------------------------------------------------------------------------------


def run(graph, inputs):
    """Return the outputs, computed from operands in C order: how NumPy adds up depends on how they lie."""
    env = dict(zip((*graph.inputs, *graph.constants), (*inputs, *graph.values), strict=True))
    with np.errstate(all="ignore"):
        for e in graph.equations:
            operands = [env.get(o, o) if isinstance(o, Variable) else o for o in e.operands]
            out = e.evaluate(tuple([o.contiguous() if isinstance(o, cr.Tensor) else o for o in operands]))
            env.update(zip(e.results, out if e.several else (out,), strict=True))
        return [np.asarray(env[o].resolve_conj()) if isinstance(o, Variable) else o for o in graph.outputs]


def assert_same(graph, simple, inputs, rtol=None):
    """Assert that two graphs give the same bits, NaN by NaN; or close values, to a part of the largest."""
    for a, b in zip(run(graph, inputs), run(simple, inputs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if rtol is None:
            np.testing.assert_array_equal(a, b)
            if a.dtype.kind == "f":
                np.testing.assert_array_equal(np.signbit(a) & (a == a), np.signbit(b) & (b == b))
        else:
            finite = np.isfinite(a)
            np.testing.assert_array_equal(finite, np.isfinite(b))
            np.testing.assert_allclose(b[finite], a[finite], rtol, rtol * np.abs(a[finite]).max(initial=0))


def ops(graph):
    return [e.op.name for e in graph.equations]


def impure(name="guard"):
    """Return an op that is not pure, as a guard is, and the list in which its calls are noted."""
    calls = []

    def kernel(x):
        calls.append(np.array(x))
        return x

    return Op("op", f"{name}(x)", Backend(kernel), pure=False, shape=lambda x: x, dtype=lambda x: x), calls


def graph_with(inputs, equations, outputs):
    return Graph(inputs, {}, equations, outputs)


def equation(name, *operands, result=None, **params):
    """Return an equation of an op of the table or another, and its result."""
    op = TABLE[name] if isinstance(name, str) else name
    first = next(o for o in operands if isinstance(o, Variable))
    result = result or Variable(first.shape, first.dtype)
    return Equation(op, operands, params, (result,), False, True), result

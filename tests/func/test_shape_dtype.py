"""`func.trace` on `ShapeDtype` arguments: of every public function the graph that values give, and no kernel runs."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule import nn
from chainrule.core.call import dispatch
from chainrule.core.op.declaration import TABLE
from chainrule.core.types.tree import tree_flatten, tree_map, tree_unflatten
from chainrule.func import ShapeDtype, functional_call, grad, hessian, jacrev, jvp, trace, vmap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.transforms.trace import TraceError

DTYPES = {"b": "bool", "i": "int64", "f": "float32", "c": "complex64"}
# Words of errors that only values can give.
OF_VALUES = (
    "out of bounds", "range", "input matrix is singular", "not positive-definite", "infs or NaNs", "non-finite values",
    "is zero and using it", "must be between 1 and",
)  # fmt: skip
MORE = {"f": ["float64", "float16"], "i": ["int32", "uint8"]}


def traced(f, args):
    """Return the text of a graph, or the error."""
    try:
        return str(trace(f)(*args))
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AssertionError) as error:
        return error


def same(function, index, sample, name, turned):
    """Return what differs between the traces of a call on values and on shapes; None if nothing does."""
    args, kwargs = sample.draw(np.random.default_rng(index), name, function.domain)
    leaves, spec = tree_flatten(args)
    arrays = [i for i, a in enumerate(leaves) if isinstance(a, np.ndarray)]

    def f(*values):
        filled = list(leaves)
        for i, value in zip(arrays, values, strict=True):
            filled[i] = value.transpose(0, -1) if turned and value.ndim > 1 else value
        return function.call(*tree_unflatten(filled, spec), **kwargs)

    inputs = [cr.tensor(np.swapaxes(a, 0, -1).copy() if turned and a.ndim > 1 else a) for a in (leaves[i] for i in arrays)]
    if not inputs:
        return None
    expected, found = traced(f, inputs), traced(f, [ShapeDtype(x.shape, x.dtype) for x in inputs])
    if type(expected) is type(found) and str(expected) == str(found):
        return None
    if isinstance(found, TraceError) and "values decide the shape" in str(found):
        return None
    if isinstance(expected, Exception) and any(words in str(expected) for words in OF_VALUES):
        return None
    return f"{function.name}, sample {index}, {name}: on values {expected!r}, on shapes {found!r}"


def check(function, more, turned):
    for index, sample in enumerate(function.samples()):
        for kind in function.kinds if sample.kinds is None else sample.kinds:
            for name in MORE.get(kind, []) if more else [DTYPES[kind]]:
                wrong = same(function, index, sample, name, turned)
                assert wrong is None, wrong


@by_name("function", FUNCTIONS.values(), lambda function: function.name)
def test_public_functions_give_the_same_graph(function):
    check(function, False, False)


@pytest.mark.slow
@by_name("function", FUNCTIONS.values(), lambda function: function.name)
def test_public_functions_give_the_same_graph_in_other_dtypes_and_layouts(function):
    check(function, True, False)
    check(function, False, True)


# -- programs ----------------------------------------------------------------------------------------------------------


class Cube(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


@cr.func.custom_jvp
def clipped(x):
    return cr.where(x > 1, 1.0, x)


clipped.defjvp(lambda primals, tangents: (clipped(*primals), tangents[0] * 0.5))


def writes(x):
    out = cr.zeros(4, 3)
    out[0] = x[0] * 2
    y = x.clone()
    y.t()[1].add_(out[0].sum())
    y.mul_(y).relu_()
    out[1:3] += y[:2]
    return out, y.reshape(-1)


MLP = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
PARAMETERS = {name: p.detach() for name, p in MLP.named_parameters()}


def loss(parameters, x):
    return nn.functional.cross_entropy(functional_call(MLP, parameters, (x,)), cr.zeros(4, dtype=cr.int64))


X = cr.ones(4, 3)
PROGRAMS = {
    "chain": (lambda x: (cr.tanh(x) @ x.T).softmax(-1).log().mean(), (X,)),
    "layouts": (lambda x: (x.T.exp().reshape(-1), x.T.contiguous().view(-1), x.T.clone().is_contiguous()), (X,)),
    "writes": (writes, (X,)),
    "gradient": (grad(lambda x: (x.sin() * x).sum()), (X,)),
    "second": (hessian(lambda x: (x**3).sum()), (X[0],)),
    "reverse over jvp": (jacrev(lambda x: jvp(lambda y: y.prod(), (x,), (x,))[1]), (X[0],)),
    "vmap": (vmap(lambda x: x.sort().values[:2].cumsum(0)), (X,)),
    "per-sample gradients": (vmap(grad(lambda x: cr.logsumexp(x, 0))), (X,)),
    "module": (grad(loss), (PARAMETERS, X)),
    "Function": (lambda x: Cube.apply(x).sum() + grad(lambda y: Cube.apply(y).sum())(x).sum(), (X,)),
    "custom_jvp": (grad(lambda x: clipped(x).sum()), (X,)),
    "no tensors out": (lambda x: (x.shape, x.dtype, x.ndim), (X,)),
    "complex": (lambda x: cr.view_as_real(x.to(cr.complex64).exp()).abs().sum(), (X,)),
}


# The ops whose kernels run after all, on what a program makes from numbers alone: its constants.
CONSTANT = {
    "writes": {"getitem"},
    "second": {"broadcast_to", "getitem"},
    "reverse over jvp": {"broadcast_to", "getitem"},
    "module": {"nll_spread"},
    "Function": {"mul"},
    "custom_jvp": {"mul"},
}


def shaped(args):
    return tree_map(lambda x: ShapeDtype(x.shape, x.dtype) if isinstance(x, cr.Tensor) else x, args)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_traced_without_values_and_without_kernels(name, monkeypatch):
    f, args = PROGRAMS[name]
    expected = trace(f)(*args)
    ran = collections.Counter()
    for op in TABLE.values():
        if not op.view:  # a view's kernel moves nothing, and tells strides
            kernel = op.backend.kernel
            monkeypatch.setattr(op.backend, "kernel", lambda *a, op=op, f=kernel, **k: ran.update([op.name]) or f(*a, **k))
    compute = dispatch._compute
    monkeypatch.setattr(dispatch, "_compute", lambda op, *rest: ran.update([op.name]) or compute(op, *rest))
    found = trace(f)(*shaped(args))
    assert str(found) == str(expected)
    assert set(ran) == CONSTANT.get(name, set())
    again, out = tree_flatten(found(*args))[0], tree_flatten(f(*args))[0]
    for a, b in zip(again, out, strict=True):
        assert a.tolist() == b.tolist() if isinstance(a, cr.Tensor) else a == b


def test_no_memory_is_taken():
    graph = trace(lambda x: (x @ x).T.exp().sum())(ShapeDtype((10**6, 10**6)))
    assert [v.shape for v in graph.outputs] == [()]
    assert graph.equations[0].results[0].shape == (10**6, 10**6)


def test_arguments_may_be_anything_with_a_shape_and_a_dtype_in_any_pytree():
    first = trace(lambda p, n: p["w"] * n)({"w": cr.ones(2)}, 2)
    again = trace(lambda p, n: p["w"] * n)({"w": first.inputs[0]}, 2)
    assert str(again) == str(first)
    assert again({"w": cr.ones(2)}, 2).tolist() == [2, 2]
    mixed = trace(lambda x, y: x + y)(ShapeDtype((2,), cr.float64), cr.ones(2))
    assert str(mixed.outputs[0]) == "float64[2]"
    assert trace(lambda x: x)(ShapeDtype((2, 3))).inputs[0].dtype is cr.get_default_dtype()


def test_captured_tensors_are_the_constants_themselves():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda x: (w * x).sum())(ShapeDtype((2,)))
    assert graph.values[0] is w
    graph(cr.tensor([3.0, 4.0])).backward()
    assert w.grad.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.sum().item(), r"\.item\(\) needs the value of a traced tensor at .*test_shape_dtype"),
        (lambda x: x if x.sum() > 0 else -x, "A Python branch or loop needs the value of a traced tensor"),
        (lambda x: x.numpy(), r"\.numpy\(\) needs the value"),
        (lambda x: np.sin(x.detach().__array__()), r"\.numpy\(\) needs the value|A NumPy function needs the value"),
        (lambda x: x.nonzero(), r"nonzero\(\): values decide the shape of its result at .*test_shape_dtype"),
        (lambda x: x[x > 0], r"masked\(\): values decide the shape"),
        (lambda x: x.unique(), r"unique\(\): values decide the shape"),
        (lambda x: x @ x, "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_needs_values_is_refused(f, message):
    with pytest.raises(RuntimeError, match=message):
        trace(f)(ShapeDtype((2, 3)))


def test_an_op_that_does_not_say_its_result_is_refused():
    toy = cr.library.op("toy_silent(x)", np.exp, nondiff=True)
    try:
        assert trace(toy)(cr.ones(2)).outputs[0].shape == (2,)
        with pytest.raises(TraceError, match=r"toy_silent\(\): its declaration does not say what its result is"):
            trace(toy)(ShapeDtype((2,)))
    finally:
        del TABLE["toy_silent"]


def test_shape_dtype_is_a_value():
    assert ShapeDtype((2, 3), cr.int64) == ShapeDtype([2, 3], np.int64)
    assert len({ShapeDtype((2,)), ShapeDtype((2,)), ShapeDtype((3,))}) == 2
    assert repr(ShapeDtype((2,), cr.float64)) == "ShapeDtype((2,), chainrule.float64)"
    with pytest.raises(RuntimeError, match="negative dimension"):
        ShapeDtype((-1,))


class Written(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.clone()
        y.mul_(2)
        y[0] = 1
        y[1:] = x[1:]
        y[cr.tensor([0, 1])] = x[:2] * y[1]
        return y.relu_()

    @staticmethod
    def backward(ctx, g):
        return g * 3


def test_a_custom_forward_may_write_to_its_own_tensors():
    graph = trace(Written.apply)(ShapeDtype((3,)))
    x = cr.tensor([1.0, -2.0, 3.0])
    assert graph(x).tolist() == Written.apply(x).tolist()
    assert str(graph) == str(trace(Written.apply)(x))


def test_a_custom_forward_may_not_write_values_to_a_tensor_that_has_some():
    class Filled(Written):
        @staticmethod
        def forward(ctx, x):
            return cr.zeros(3).copy_(x)

    with pytest.raises(RuntimeError, match="a value is read where a function is traced on shapes and dtypes alone"):
        trace(Filled.apply)(ShapeDtype((3,)))


VIEWS = {
    "a slice": (lambda x: x[1:], (6,), ((2, 2), (1, 2))),
    "from an offset": (lambda x: x.view(3, 2)[1:], (6,), ((2,), (1,), 3)),
    "a part of a part": (lambda x: x[1][2:], (3, 4), ((2,), (1,))),
    "a transpose": (lambda x: x.t(), (2, 3), ((2, 2), (1, 3), 1)),
}


@pytest.mark.parametrize(("view", "shape", "args"), VIEWS.values(), ids=VIEWS)
def test_a_view_of_shapes_alone_has_a_place_in_memory(view, shape, args):
    def f(x):
        return view(x).as_strided(*args)

    x = cr.arange(float(np.prod(shape))).reshape(shape)
    assert str(trace(f)(ShapeDtype(shape))) == str(trace(f)(x))
    assert trace(f)(ShapeDtype(shape))(x).tolist() == f(x).tolist()

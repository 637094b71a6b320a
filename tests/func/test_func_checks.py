"""What the transforms refuse, and in which words: PyTorch's, each program run under both libraries."""

from __future__ import annotations

import pytest
from tests.said import Error, check

import chainrule as cr


def x3(lib):
    return lib.tensor([1.0, 2.0, 3.0])


def f32(lib, *shape):
    return lib.ones(*shape)


def f64(lib, *shape):
    return lib.ones(*shape, dtype=lib.float64)


AUX = Error(RuntimeError, "output of function f should be a tuple: (output, aux) if has_aux is True")
EMPTY = "Expected f to be a function that has non-empty output (got output = [])"
NOTHING = "Expected f to be a function that has non-empty output (got output = [None])"
INSIDE = Error(RuntimeError, "backward() called inside a functorch transform. This is not supported", "vjp instead")
DTYPES = Error(RuntimeError, "expected m1 and m2 to have the same dtype, but got: float != double")
OF_ADDMM = "self and mat2 must have the same dtype, but got "
RANKS = "Shape mismatch: Got incorrect dims for "


def unsupported(kind):
    return Error(RuntimeError, f"Expected tensors, got unsupported type <class '{kind}'>")


def summed(lib, x):
    y = (x * x).sum()
    y.backward()
    return y


def captured_leaf(lib, x):
    w = lib.ones(3, requires_grad=True)
    (w * w).sum().backward()
    return x.sum()


def batched(lib, grad_outputs, several=False):
    x = x3(lib).requires_grad_()
    outputs = (x * x, x.sum()) if several else x * x
    return lib.autograd.grad(outputs, x, grad_outputs, is_grads_batched=True)


def per_example(lib, f, *args):
    return lib.func.vmap(f)(*args)


def into_shared(lib, write, *args):
    """Write something of each example into a tensor that all of them share."""
    y = lib.ones(3)
    return lib.func.vmap(lambda a: write(y, a))(*args)


def shown(lib, transform, *args):
    seen = []
    transform(lambda x: (seen.append(repr(x)), x.sum())[1])(*args)
    return seen


PROGRAMS = {
    # what a function returns
    "grad without the pair": (lambda t: t.func.grad(lambda x: x.sum(), has_aux=True)(x3(t)), AUX),
    "vjp without the pair": (lambda t: t.func.vjp(lambda x: x, x3(t), has_aux=True), AUX),
    "jvp without the pair": (lambda t: t.func.jvp(lambda x: x, (x3(t),), (x3(t),), has_aux=True), AUX),
    "jacrev without the pair": (
        lambda t: t.func.jacrev(lambda x: x, has_aux=True)(x3(t)),
        Error(RuntimeError, "vjp(f, *primals): output of"),
    ),
    "jacfwd without the pair": (lambda t: t.func.jacfwd(lambda x: x, has_aux=True)(x3(t)), AUX),
    "grad with a list of two": (lambda t: t.func.grad(lambda x: [x.sum(), x], has_aux=True)(x3(t)), AUX),
    "grad with a number beside": (lambda t: t.func.grad(lambda x: (x.sum(), 3), has_aux=True)(x3(t)), unsupported("int")),
    "vjp with a number beside": (lambda t: t.func.vjp(lambda x: (x, 3), x3(t), has_aux=True), unsupported("int")),
    "jvp with a text beside": (lambda t: t.func.jvp(lambda x: (x, "a"), (x3(t),), (x3(t),), has_aux=True), unsupported("str")),
    "jacrev with nothing beside": (lambda t: t.func.jacrev(lambda x: (x, None), has_aux=True)(x3(t)), unsupported("NoneType")),
    "jacfwd with a number in a tree beside": (
        lambda t: t.func.jacfwd(lambda x: (x, {"a": [x, 2]}), has_aux=True)(x3(t)),
        unsupported("int"),
    ),
    "grad with a tree beside": (
        lambda t: t.func.grad(lambda x: (x.sum(), {"a": [x]}), has_aux=True)(x3(t)),
        [[1, 1, 1], {"a": [[1, 2, 3]]}],
    ),
    "vjp of nothing": (lambda t: t.func.vjp(lambda x: (), x3(t)), Error(RuntimeError, f"vjp(f, *primals): {EMPTY}")),
    "vjp of an empty dict": (lambda t: t.func.vjp(lambda x: {}, x3(t)), Error(RuntimeError, EMPTY)),
    "vjp of None": (lambda t: t.func.vjp(lambda x: None, x3(t)), Error(RuntimeError, NOTHING)),
    "jvp of nothing": (
        lambda t: t.func.jvp(lambda x: (), (x3(t),), (x3(t),)),
        Error(RuntimeError, f"jvp(f, primals, tangents): {EMPTY}"),
    ),
    "jvp of None": (lambda t: t.func.jvp(lambda x: None, (x3(t),), (x3(t),)), Error(RuntimeError, NOTHING)),
    "jacrev of nothing": (lambda t: t.func.jacrev(lambda x: ())(x3(t)), Error(RuntimeError, f"vjp(f, *primals): {EMPTY}")),
    "jacfwd of nothing": (
        lambda t: t.func.jacfwd(lambda x: ())(x3(t)),
        Error(RuntimeError, f"jvp(f, primals, tangents): {EMPTY}"),
    ),
    "jacfwd of None": (lambda t: t.func.jacfwd(lambda x: None)(x3(t)), Error(RuntimeError, NOTHING)),
    "hessian of nothing": (lambda t: t.func.hessian(lambda x: ())(x3(t)), Error(RuntimeError, EMPTY)),
    "vmap of nothing": (lambda t: t.func.vmap(lambda x: ())(x3(t)), []),
    # passes inside
    "backward in grad": (lambda t: t.func.grad(lambda x: summed(t, x))(x3(t)), INSIDE),
    "backward in vjp": (lambda t: t.func.vjp(lambda x: summed(t, x), x3(t)), INSIDE),
    "backward in jvp": (lambda t: t.func.jvp(lambda x: summed(t, x), (x3(t),), (x3(t),)), INSIDE),
    "backward in vmap": (lambda t: t.func.vmap(lambda x: summed(t, x))(t.ones(2, 3, requires_grad=True)), INSIDE),
    "backward of another graph in grad": (lambda t: t.func.grad(lambda x: captured_leaf(t, x))(x3(t)), INSIDE),
    "autograd.grad in grad": (
        lambda t: t.func.grad(lambda x: t.autograd.grad((x * x).sum(), x, create_graph=True)[0].sum())(x3(t)),
        [2, 2, 2],
    ),
    # batched cotangents
    "cotangents of the wrong rank": (
        lambda t: batched(t, t.ones(2)),
        Error(
            RuntimeError,
            "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. ",
            "The "
            "sizes of the remaining dimensions are expected to match the shape of corresponding output, but a mismatch was "
            "detected: grad_output[0] has a shape of chainrule.Size([]) and output[0] has a shape of chainrule.Size([3]).",
        ),
    ),
    "cotangents of the wrong size": (
        lambda t: batched(t, t.ones(2, 2)),
        Error(RuntimeError, "If `is_grads_batched=True`, we interpret"),
    ),
    "a cotangent without a batch axis": (
        lambda t: batched(t, t.ones(())),
        Error(IndexError, "invalid index of a 0-dim tensor"),
    ),
    "no cotangents": (
        lambda t: batched(t, None),
        Error(RuntimeError, "grad can be implicitly created only for scalar outputs"),
    ),
    "batches of two sizes": (
        lambda t: batched(t, (t.ones(2, 3), t.ones(3)), several=True),
        Error(ValueError, "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes [2, 3]"),
    ),
    # products of two dtypes
    "mm": (lambda t: t.mm(f32(t, 2, 2), f64(t, 2, 2)), DTYPES),
    "linear": (lambda t: t.nn.functional.linear(f32(t, 2, 2), f64(t, 2, 2)), DTYPES),
    "linear of vectors": (
        lambda t: t.nn.functional.linear(f32(t, 2), f64(t, 2)),
        Error(RuntimeError, "dot : expected both vectors to have same dtype, but found Float and Double"),
    ),
    "bias": (
        lambda t: t.nn.functional.linear(f32(t, 2, 2), f32(t, 2, 2), f64(t, 2)),
        Error(RuntimeError, OF_ADDMM + "Double and Float"),
    ),
    "addmm": (lambda t: t.addmm(f64(t, 2, 2), f32(t, 2, 2), f32(t, 2, 2)), Error(RuntimeError, OF_ADDMM + "Double and Float")),
    "addbmm": (
        lambda t: t.addbmm(f32(t, 2, 2), f32(t, 2, 2, 2), f64(t, 2, 2, 2)),
        Error(RuntimeError, OF_ADDMM + "Float and Double"),
    ),
    "stacks with a matrix": (lambda t: f32(t, 2, 2, 2) @ f64(t, 2, 2), DTYPES),
    "vector with stacks": (
        lambda t: f32(t, 2) @ f64(t, 2, 2, 2),
        Error(RuntimeError, "expected scalar type Float but found Double"),
    ),
    "mm of examples": (lambda t: per_example(t, lambda a: t.mm(a, f64(t, 2, 2)), f32(t, 3, 2, 2)), DTYPES),
    # products of examples of the wrong rank
    "mm of vectors": (
        lambda t: per_example(t, t.mm, f32(t, 4, 3), f32(t, 4, 2)),
        Error(RuntimeError, RANKS + "mm(a, b). a has dim 1and b has dim 1but expected them to have dim 2 and dim 2"),
    ),
    "mv of vectors": (
        lambda t: per_example(t, t.mv, f32(t, 4, 3), f32(t, 4, 2)),
        Error(RuntimeError, RANKS + "mv(a, b). a has dim 1and b has dim 1but expected them to have dim 2 and dim 1"),
    ),
    "bmm of matrices": (
        lambda t: per_example(t, t.bmm, f32(t, 4, 3, 2), f32(t, 4, 2, 2)),
        Error(RuntimeError, RANKS + "bmm(a, b)"),
    ),
    "dot of a matrix": (
        lambda t: per_example(t, t.dot, f32(t, 4, 3, 2), f32(t, 4, 2)),
        Error(RuntimeError, "Got wrong shapes for dot"),
    ),
    # what has no batching rule
    "equal": (
        lambda t: per_example(t, lambda a: t.equal(a, a), f32(t, 2)),
        Error(RuntimeError, "Batching rule not implemented for aten::equal"),
    ),
    "allclose": (
        lambda t: per_example(t, lambda a: t.allclose(a, a), f32(t, 2)),
        Error(RuntimeError, "vmap over chainrule.allclose isn't supported yet"),
    ),
    "out=": (
        lambda t: per_example(t, lambda a, o: t.sin(a, out=o), f32(t, 2), f32(t, 2)),
        Error(
            RuntimeError, "Batching rule not implemented for aten::sin.out; the fallback path doesn't work on out= or view ops."
        ),
    ),
    # writes to what all examples share
    "a value per example into one number": (
        lambda t: into_shared(t, lambda y, a: y.fill_(a), f32(t, 2)),
        Error(RuntimeError, "vmap: fill_(self, *extra_args) is not possible"),
    ),
    "a row per example into one row": (
        lambda t: into_shared(t, lambda y, a: y.copy_(a), f32(t, 2, 3)),
        Error(RuntimeError, "vmap: inplace arithmetic(self, *extra_args) is not possible"),
    ),
    "index_put_": (
        lambda t: into_shared(t, lambda y, a: y.index_put_((t.tensor([0]),), a), f32(t, 2, 1)),
        Error(RuntimeError, "vmap: index_put_(self, *extra_args) is not possible"),
    ),
    "a shared number into a shared tensor": (
        lambda t: into_shared(t, lambda y, a: y.add_(1), f32(t, 2)),
        [[2, 2, 2], [2, 2, 2]],
    ),
    # levels count from 1
    "printed in grad": (
        lambda t: shown(t, t.func.grad, t.ones(2)),
        ["GradTrackingTensor(lvl=1, value=\n    tensor([1., 1.])\n)"],
    ),
    "printed in vmap": (
        lambda t: shown(t, t.func.vmap, t.ones(2, 2)),
        ["BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[1., 1.],\n            [1., 1.]])\n)"],
    ),
    "printed in grad of grad": (
        lambda t: shown(t, lambda f: t.func.grad(t.func.grad(f)), t.tensor(1.0)),
        ["GradTrackingTensor(lvl=2, value=\n    GradTrackingTensor(lvl=1, value=\n        tensor(1.)\n    )\n)"],
    ),
    "printed in vmap of grad": (
        lambda t: shown(t, lambda f: t.func.vmap(t.func.grad(f)), t.ones(1, 2)),
        ["GradTrackingTensor(lvl=2, value=\n    BatchedTensor(lvl=1, bdim=0, value=\n        tensor([[1., 1.]])\n    )\n)"],
    ),
    "printed where the outer transform is not of the value": (
        lambda t: shown(t, lambda f: t.func.grad(lambda y: y * t.func.grad(f)(t.ones(2)).sum()), t.tensor(1.0))[0][:24],
        "GradTrackingTensor(lvl=2",
    ),
    # devices and layouts that tensors never have
    "predicates": (
        lambda t: [
            getattr(t.ones(2), n)
            for n in (
                "is_cpu",
                "is_cuda",
                "is_xpu",
                "is_xla",
                "is_ipu",
                "is_mtia",
                "is_maia",
                "is_mps",
                "is_vulkan",
                "is_meta",
                "is_mkldnn",
                "is_quantized",
                "is_sparse",
                "is_sparse_csr",
                "is_nested",
            )
        ],
        [True] + [False] * 14,
    ),
    "bounds by name": (
        lambda t: [x3(t).clamp_min(min=2), t.clamp_max(x3(t), max=2), x3(t).clamp_min_(min=2), x3(t).clamp_max_(max=2)],
        [[2, 2, 3], [1, 2, 2], [2, 2, 3], [1, 2, 2]],
    ),
}

_DRAWS = {
    "normal_": (),
    "uniform_": (),
    "bernoulli_": (),
    "exponential_": (),
    "random_": (),
    "log_normal_": (),
    "cauchy_": (),
    "geometric_": (0.5,),
}
PROGRAMS |= {
    f"{name} of what all examples share": (
        lambda t, name=name, args=args: t.func.vmap(lambda a: getattr(t.ones(3), name)(*args), randomness="different")(
            t.ones(2)
        ),
        Error(
            RuntimeError,
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same randomness.",
        ),
    )
    for name, args in _DRAWS.items()
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_program_says_what_it_should(name):
    check(cr, *PROGRAMS[name])


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_pytorch_says_so_too(name, torch):
    check(torch, *PROGRAMS[name])


def test_draws_for_each_example_still_have_numbers_of_their_own():
    for draw in (lambda: cr.nn.functional.dropout(cr.ones(40)), lambda: cr.nn.functional.rrelu(-cr.ones(40), training=True)):
        rows = cr.func.vmap(lambda a, draw=draw: draw(), randomness="different")(cr.ones(2))
        assert not cr.equal(rows[0], rows[1])
    with pytest.raises(RuntimeError, match="unbatched tensor"):
        cr.func.vmap(lambda a: cr.nn.init.normal_(cr.ones(3)), randomness="different")(cr.ones(2))


def test_value_and_grad_returns_anything_beside():
    (value, aux), gradient = cr.func.value_and_grad(lambda x: (x**3, "aux"), has_aux=True)(cr.tensor(2.0))
    assert (value.item(), aux, gradient.item()) == (8.0, "aux", 12.0)


def into_other(lib, transform):
    y = lib.zeros(2)
    return transform(y), y


EYE = [[1, 0], [0, 1]]
NAMES = "Error(s) in reparametrizing for Linear:\n\tUnexpected key(s): 'foo'.\n\tMissing key(s): 'bias', 'weight'."
MORE = {
    # what a function writes to its other arguments
    "jacrev of copy_": (
        lambda t: into_other(t, lambda y: t.func.jacrev(lambda x, y: y.copy_(x))(t.ones(2), y)),
        [EYE, [1, 1]],
    ),
    "jacfwd of copy_": (lambda t: into_other(t, lambda y: t.func.jacfwd(lambda x, y: y.copy_(x))(t.ones(2), y)), [EYE, [1, 1]]),
    "hessian of copy_": (
        lambda t: into_other(t, lambda y: t.func.hessian(lambda x, y: y.copy_(x).pow(2).sum())(t.ones(2), y)),
        [[[2, 0], [0, 2]], [1, 1]],
    ),
    "grad of copy_": (
        lambda t: into_other(t, lambda y: t.func.grad(lambda x, y: y.copy_(x * 3).sum())(t.ones(2), y)),
        [[3, 3], [3, 3]],
    ),
    "grad of add_ through a view": (
        lambda t: into_other(t, lambda y: t.func.grad(lambda x, y: y[:1].add_(x[1:] ** 2).sum() + y.sum())(t.ones(2), y)),
        [[0, 4], [1, 0]],
    ),
    "grad of a write that does not depend on it": (
        lambda t: into_other(t, lambda y: t.func.grad(lambda x, y: (y.add_(2) * x).sum())(t.ones(2), y)),
        [[2, 2], [2, 2]],
    ),
    "grad of a write in a dict": (
        lambda t: into_other(t, lambda y: t.func.grad(lambda x, d: d["a"][0].mul_(0).add_(x).sum())(t.ones(2), {"a": [y]})),
        [[1, 1], [1, 1]],
    ),
    "vmap of grad of copy_": (
        lambda t: into_other(t, lambda y: t.func.vmap(t.func.grad(lambda x, y: y.copy_(x * x)))(t.ones(2) * 3, y)),
        [[6, 6], [9, 9]],
    ),
    "jacrev of copy_ to what it captures": (
        lambda t: into_other(t, lambda y: t.func.jacrev(lambda x: y.copy_(x))(t.ones(2))),
        Error(RuntimeError, "that would mutate a captured Tensor"),
    ),
    # names that a module has not
    "an unknown name": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1), {"foo": t.ones(1)}, t.ones(1), strict=False).shape[0],
        1,
    ),
    "an unknown name, strictly": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1), {"foo": t.ones(1)}, t.ones(1), strict=True),
        Error(RuntimeError, NAMES),
    ),
    "an unknown module": (
        lambda t: t.func.functional_call(t.nn.Sequential(t.nn.Linear(1, 1)), {"5.weight": t.ones(1)}, t.ones(1)),
        Error(AttributeError, "Sequential has no attribute `5`"),
    ),
    "a name that is no tensor's": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1), {"training": t.ones(1)}, t.ones(1)),
        Error(TypeError, "attribute `training`: True is not an instance of chainrule.Tensor"),
    ),
    "no name": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1), {"": t.ones(1)}, t.ones(1)),
        Error(KeyError, "be empty string"),
    ),
    "no tensor": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1), {"weight": 3}, t.ones(1)),
        Error(TypeError, "3 is not an instance of chainrule.Tensor"),
    ),
    "a bias that it has not": (
        lambda t: t.func.functional_call(t.nn.Linear(1, 1, bias=False), {"bias": t.ones(1), "weight": t.ones(1, 1)}, t.ones(1)),
        [2],
    ),
}


@pytest.mark.parametrize("name", list(MORE))
def test_a_call_says_what_it_should(name):
    check(cr, *MORE[name])


@pytest.mark.parametrize("name", list(MORE))
def test_pytorch_says_so_of_calls(name, torch):
    check(torch, *MORE[name])


def test_a_module_is_left_as_it_was():
    net = cr.nn.Linear(1, 1, bias=False)
    cr.func.functional_call(net, {"foo": cr.ones(1), "bias": cr.ones(1)}, cr.ones(1))
    assert not hasattr(net, "foo")
    assert net.bias is None
    assert list(net.state_dict()) == ["weight"]


def test_linearize_takes_functions_that_write_to_their_arguments():
    x = cr.ones(2)
    out, push = cr.func.linearize(lambda x: x.mul_(3) * x, x)
    assert (out.tolist(), push(cr.ones(2)).tolist(), push(2 * cr.ones(2)).tolist()) == ([9, 9], [18, 18], [36, 36])
    assert x.tolist() == [3, 3]  # as jvp leaves it; PyTorch's runs the function twice

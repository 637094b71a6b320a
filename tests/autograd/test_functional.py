"""`autograd.functional` gives what PyTorch's gives: values, structures, histories, errors; and lifts some limits."""

from __future__ import annotations

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr

F = cr.autograd.functional
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

X, Y, S = np.array([[0.3, -1.2], [0.5, 2.0]]), np.array([0.7, 1.1]), np.array(0.4)
Z = np.array([0.3 - 0.5j, 1.1 + 0.2j])


def tensors(lib, *arrays, **kwargs):
    made = tuple(lib.tensor(a, **kwargs) for a in arrays)
    return made if len(made) > 1 else made[0]


FUNCTIONS = {
    "one to one": (lambda lib: lambda y: y.sin(), (Y,)),
    "one to two": (lambda lib: lambda x: (x.exp(), (x * x).sum(0)), (X,)),
    "two to one": (lambda lib: lambda x, y: x.tanh() @ y, (X, Y)),
    "two to two": (lambda lib: lambda x, y: (x.sin() * y, (x @ y).exp()), (X, Y)),
    "0-d": (lambda lib: lambda s: s**3, (S,)),
    "partly independent": (lambda lib: lambda x, y: (x.sum(), y.sin()), (X, Y)),
    "wholly independent": (lambda lib: lambda x, y: (lib.ones(2), y * 0), (X, Y)),
    "linear": (lambda lib: lambda y: 3 * y, (Y,)),
    "complex": (lambda lib: lambda z: z * z.exp(), (Z,)),
    "complex to real": (lambda lib: lambda z: z.abs() ** 2, (Z,)),
    "real to complex": (lambda lib: lambda y: lib.complex(y.sin(), y * y), (Y,)),
}
SCALARS = {
    "of one": (lambda lib: lambda y: (y.sin() * y).sum(), (Y,)),
    "of two": (lambda lib: lambda x, y: (x.sin() * y).sum() * (y * y).sum(), (X, Y)),
    "of a number": (lambda lib: lambda s: s**3, (S,)),
    "shaped (1,)": (lambda lib: lambda y: (y.exp() * y).sum().reshape(1), (Y,)),
    "partly linear": (lambda lib: lambda x, y: x.sum() + y.sin().sum(), (X, Y)),
    "linear": (lambda lib: lambda y: (3 * y).sum(), (Y,)),
    "constant": (lambda lib: lambda y: lib.ones(()), (Y,)),
    "not scalar": (lambda lib: lambda y: y.sin(), (Y,)),
    "a tuple": (lambda lib: lambda y: (y.sum(),), (Y,)),
    "of complex": (lambda lib: lambda z: (z.abs() ** 4).sum(), (Z,)),
}


def both(torch, program, full_text=True):
    theirs, _ = outcome(torch, program)
    ours, warned = outcome(cr, program)
    agree(ours, theirs, full_text=full_text)
    assert not warned


def tuples(found, keep=lambda t: t):
    """Return nested tuples: PyTorch's forward mode gives lists where its documentation promises tuples."""
    return tuple(tuples(part, keep) for part in found) if isinstance(found, (tuple, list)) else keep(found)


def products(lib, name, function, arrays, v, **options):
    inputs = tensors(lib, *arrays, requires_grad=options.pop("requires_grad", False))
    return getattr(lib.autograd.functional, name)(function(lib), inputs, v, **options)


def vector_of(lib, function, arrays, name):
    inputs = tensors(lib, *arrays)
    many = isinstance(inputs, tuple)
    like = function(lib)(*inputs if many else (inputs,)) if name == "vjp" else inputs
    made = tuple((t.detach() * 0.3 + 0.5) for t in (like if isinstance(like, tuple) else (like,)))
    return made if isinstance(like, tuple) else made[0]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("case", list(FUNCTIONS))
@pytest.mark.parametrize("name", ["vjp", "jvp"])
def test_products_with_the_jacobian_are_pytorchs(torch, name, case, strict, create_graph):
    function, arrays = FUNCTIONS[case]

    def program(lib):
        v = vector_of(lib, function, arrays, name)
        return products(lib, name, function, arrays, v, strict=strict, create_graph=create_graph, requires_grad=create_graph)

    both(torch, program)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("case", list(SCALARS))
@pytest.mark.parametrize("name", ["vhp", "hvp"])
def test_products_with_the_hessian_are_pytorchs(torch, name, case, strict, create_graph):
    function, arrays = SCALARS[case]

    def program(lib):
        v = vector_of(lib, function, arrays, name)
        return products(lib, name, function, arrays, v, strict=strict, create_graph=create_graph, requires_grad=create_graph)

    both(torch, program)


@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp"])
@pytest.mark.parametrize("case", ["0-d", "one to one"])
def test_the_vector_may_be_left_out_for_a_single_number(torch, name, case):
    function, arrays = FUNCTIONS[case]
    both(torch, lambda lib: products(lib, name, function, arrays, None))


REVERSE = [{}, {"strict": True}, {"create_graph": True}, {"create_graph": True, "strict": True}, {"vectorize": True}]
VECTORIZED = {"vectorize": True, "strict": False}  # without, PyTorch refuses complex outputs
REVERSE += [{"vectorize": True, "create_graph": True}]


@pytest.mark.parametrize("options", REVERSE, ids=str)
@pytest.mark.parametrize("case", list(FUNCTIONS))
def test_jacobian_is_pytorchs(torch, case, options):
    function, arrays = FUNCTIONS[case]
    tracked = "create_graph" in options
    detached = "vectorize" in options  # PyTorch's one sweep for all outputs gives a constant one a history

    def program(lib):
        given = VECTORIZED if lib is torch and case in ("complex", "real to complex") else {}
        inputs = tensors(lib, *arrays, requires_grad=tracked)
        found = lib.autograd.functional.jacobian(function(lib), inputs, **(options | given))
        return tuples(found, lambda t: t.detach() if detached else t)

    both(torch, program, full_text="strict" not in options)


@pytest.mark.parametrize("case", list(FUNCTIONS))
def test_forward_jacobian_is_pytorchs(torch, case):
    function, arrays = FUNCTIONS[case]

    def program(lib):
        inputs = tensors(lib, *arrays)
        return tuples(lib.autograd.functional.jacobian(function(lib), inputs, vectorize=True, strategy="forward-mode"))

    both(torch, program)


@pytest.mark.parametrize("options", REVERSE, ids=str)
@pytest.mark.parametrize("case", list(SCALARS))
def test_hessian_is_pytorchs(torch, case, options):
    function, arrays = SCALARS[case]
    tracked = "create_graph" in options
    detached = "vectorize" in options

    def program(lib):
        given = VECTORIZED if lib is torch and case == "of complex" else {}
        inputs = tensors(lib, *arrays, requires_grad=tracked)
        found = lib.autograd.functional.hessian(function(lib), inputs, **(options | given))
        return tuples(found, lambda t: t.detach() if detached else t)

    both(torch, program, full_text="strict" not in options)


@pytest.mark.parametrize("case", ["of one", "of two", "of a number", "partly linear", "linear", "not scalar"])
def test_forward_over_reverse_hessian_is_pytorchs(torch, case):
    function, arrays = SCALARS[case]

    def program(lib):
        found = lib.autograd.functional.hessian(
            function(lib), tensors(lib, *arrays), vectorize=True, outer_jacobian_strategy="forward-mode"
        )
        return tuples(found, lambda t: t.detach())  # PyTorch's keep a history here

    both(torch, program)


WRONG = {
    "strategy": lambda f, x, y: f.jacobian(lambda x: x, x, strategy="sideways"),
    "hessian strategy": lambda f, x, y: f.hessian(lambda x: x, x, outer_jacobian_strategy="sideways"),
    "a list of inputs": lambda f, x, y: f.vjp(lambda x: x, [x]),
    "a tuple with a number": lambda f, x, y: f.jacobian(lambda x, y: x, (x, 1.0)),
    "a function of numbers": lambda f, x, y: f.jacobian(lambda x: 1.0, x),
    "a function of tuples": lambda f, x, y: f.jvp(lambda x: (x, 1.0), x, x),
    "no vector for vjp": lambda f, x, y: f.vjp(lambda x: x, x),
    "no vector for jvp": lambda f, x, y: f.jvp(lambda x: x, x),
    "no vector for vhp": lambda f, x, y: f.vhp(lambda x: x.sum(), x),
    "no vector for hvp": lambda f, x, y: f.hvp(lambda x: x.sum(), x),
    "size": lambda f, x, y: f.vjp(lambda x: x, x, y),
    "size in a tuple": lambda f, x, y: f.jvp(lambda x, y: x, (x, y), (x, x)),
    "too many": lambda f, x, y: f.vjp(lambda x: x, x, (x, x)),
    "too few": lambda f, x, y: f.jvp(lambda x, y: x @ y, (x, y), (x,)),
    "not a tensor": lambda f, x, y: f.jvp(lambda x: x, x, 1.0),
    "integers": lambda f, x, y: f.jacobian(lambda x: x, x.to(x.dtype).round().long()),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_arguments_raise_what_pytorch_raises(torch, case):
    both(torch, lambda lib: WRONG[case](lib.autograd.functional, *tensors(lib, X, Y)), full_text=case != "integers")


def test_results_have_history_only_when_asked():
    x = cr.tensor(Y, requires_grad=True)
    assert not F.jacobian(lambda x: x.sin(), x).requires_grad
    made = F.jacobian(lambda x: x.sin(), x, create_graph=True)
    (g,) = cr.autograd.grad(made.sum(), x)
    np.testing.assert_allclose(g.numpy(), -np.sin(Y))
    with cr.no_grad():
        _, product = F.vhp(lambda x: (x**3).sum(), x, cr.ones(2, dtype=cr.float64), create_graph=True)
    (g,) = cr.autograd.grad(product.sum(), x)
    np.testing.assert_allclose(g.numpy(), [6.0, 6.0])


def test_captured_inputs_are_constants():
    x = cr.tensor(Y, requires_grad=True)
    found = F.jacobian(lambda y: y * x, x)
    np.testing.assert_allclose(found.numpy(), np.diag(Y))


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("case", ["two to two", "partly independent", "complex", "real to complex"])
def test_forward_mode_needs_no_vectorize_and_can_be_differentiated(case, vectorize):
    function, arrays = FUNCTIONS[case]
    inputs = tensors(cr, *arrays, requires_grad=True)
    flat = lambda t: [t] if isinstance(t, cr.Tensor) else [e for part in t for e in flat(part)]
    kwargs = {"create_graph": True, "vectorize": vectorize}
    forward = flat(F.jacobian(function(cr), inputs, strategy="forward-mode", **kwargs))
    reverse = flat(F.jacobian(function(cr), inputs, **kwargs))
    for a, b in zip(forward, reverse, strict=True):
        if case != "real to complex":  # where reverse mode drops the imaginary part of a real input's gradient
            np.testing.assert_allclose(
                a.detach().numpy(), b.detach().numpy().conj() if case == "complex" else b.detach().numpy()
            )
        for x in flat(inputs):
            (g,) = cr.autograd.grad(a.abs().sum(), x, retain_graph=True, materialize_grads=True) if a.requires_grad else (x,)
            assert g.isfinite().all()


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_strict_goes_with_vectorize(strategy):
    function, arrays = FUNCTIONS["partly independent"]
    with pytest.raises(RuntimeError, match="Output 0 of the user-provided function is independent of input 1"):
        F.jacobian(function(cr), tensors(cr, *arrays), strict=True, vectorize=True, strategy=strategy)


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("vectorize", [False, True])
def test_empty_tensors_have_empty_jacobians(strategy, vectorize):
    found = F.jacobian(lambda x: x.sin(), cr.zeros(0, 2), strict=True, vectorize=vectorize, strategy=strategy)
    assert found.shape == (0, 2, 0, 2)


def energy(x):
    return (x.sin() * x * x.exp()).sum()


FORWARD = {"vectorize": True, "strategy": "forward-mode"}
INSIDE = {
    "vjp": lambda x: F.vjp(lambda x: x.sin() * x, x, x)[1],
    "jvp": lambda x: F.jvp(lambda x: x.sin() * x, x, x)[1],
    "jacobian": lambda x: F.jacobian(lambda x: x.sin() * x, x).sum(0),
    "forward jacobian": lambda x: F.jacobian(lambda x: x.sin() * x, x, strategy="forward-mode").sum(0),
    "hessian": lambda x: F.hessian(energy, x).sum(0),
    "forward hessian": lambda x: F.hessian(energy, x, outer_jacobian_strategy="forward-mode", vectorize=True).sum(0),
    "vectorized jacobian": lambda x: F.jacobian(lambda x: x.sin() * x, x, vectorize=True).sum(0),
    "vectorized forward jacobian": lambda x: F.jacobian(lambda x: x.sin() * x, x, **FORWARD).sum(0),
    "vectorized hessian": lambda x: F.hessian(energy, x, vectorize=True).sum(0),
    "vhp": lambda x: F.vhp(energy, x, x)[1],
    "hvp": lambda x: F.hvp(energy, x, x)[1],
}


@pytest.mark.parametrize("name", list(INSIDE))
def test_transforms_differentiate_what_was_computed_inside_them(name):
    f, x, h = INSIDE[name], cr.tensor(Y), 1e-5
    t = cr.tensor([0.3, -0.8], dtype=cr.float64)
    numeric = ((f(x + h * t) - f(x - h * t)) / (2 * h)).numpy()
    np.testing.assert_allclose(cr.func.jvp(f, (x,), (t,))[1].numpy(), numeric, rtol=1e-6)
    (g,) = cr.func.vjp(f, x)[1](cr.ones(2, dtype=cr.float64))
    np.testing.assert_allclose((g * t).sum().item(), numeric.sum(), rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"vectorize": True}, {"strategy": "forward-mode"}], ids=str)
def test_values_that_the_function_captures_from_a_transform_are_differentiated(options):
    x, w = cr.tensor(Y), cr.tensor([0.3, -0.8], dtype=cr.float64)
    g = cr.func.grad(lambda w: F.jacobian(lambda y: y * w * w, x, **options).sum())(w)
    np.testing.assert_allclose(g.numpy(), 2 * w.numpy())

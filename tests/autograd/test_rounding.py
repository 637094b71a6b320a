"""Rounding: the true error of a computation is within its bound, and the bound says where the digits went.

The truth is mpmath's, in 60 digits, on the cases that numerical analysis warns of; and for every op of the table double
precision's, beside single precision of the same operands. A recorded tensor is held to its function.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule import testing
from chainrule.autograd import rounding
from chainrule.autograd.graph import noting
from chainrule.core.tensor.tensor import Tensor
from chainrule.testing.case import load_table
from chainrule.transforms.trace import TraceError

mpmath.mp.dps = 60
F = mpmath.mpf


def exact(values):
    return [F(float(v)) for v in values]


def gradient_of(f, xs):
    """Return a gradient by central differences in 60 digits."""
    h = F(10) ** -20
    moved = [[*xs[:i], x + s * h, *xs[i + 1 :]] for i, x in enumerate(xs) for s in (1, -1)]
    values = [f(m) for m in moved]
    return [(a - b) / (2 * h) for a, b in zip(values[::2], values[1::2], strict=True)]


rng = np.random.default_rng(0)
WILKINSON = np.concatenate([[1.0], np.tile([2.0**-53], 4096)])  # each lost at the large one, in the order of a loop
QUADRATIC = np.array([1.0, 1e8, 1.0])


def loop_sum(x):
    total = x[0]
    for i in range(1, 40):
        total = total + x[i]
    return total


# Of each: the function, the same in mpmath, where, the op that loses most, and by how much the bound may exceed the true error.
CASES = {
    "cancellation, 1 - cos x": (lambda x: 1 - cr.cos(x[0]), lambda x: 1 - mpmath.cos(x[0]), [1.234e-4], "cos", 100),
    "root of a quadratic": (
        lambda p: -p[1] + cr.sqrt(p[1] * p[1] - 4 * p[0] * p[2]),
        lambda p: -p[1] + mpmath.sqrt(p[1] * p[1] - 4 * p[0] * p[2]), QUADRATIC, "sqrt", 50,
    ),
    "variance by mean of squares": (
        lambda x: (x * x).mean() - x.mean() ** 2,
        lambda x: mpmath.fsum([a * a for a in x]) / len(x) - (mpmath.fsum(x) / len(x)) ** 2,
        rng.normal(1e6, 1, 50), "sum", 2000,
    ),
    "Wilkinson's sum": (loop_sum, lambda x: mpmath.fsum(x[:40]), WILKINSON[:40], "add", 10),
    "log-sum-exp without shift": (
        lambda x: cr.log(cr.exp(x).sum()), lambda x: mpmath.log(mpmath.fsum([mpmath.exp(a) for a in x])),
        [-20.0, -21.5, -700.0], "log", 1e4,
    ),
    "log1p by log": (lambda x: cr.log(1 + x[0]), lambda x: mpmath.log(1 + x[0]), [1.7e-12], "add", 20),
    "exponential by its series": (
        lambda x: sum([x[0] ** k / float(mpmath.factorial(k)) for k in range(80)]),
        lambda x: mpmath.fsum([x[0] ** k / F(float(mpmath.factorial(k))) for k in range(80)]), [-15.3], "pow", 1000,
    ),
    "Rump's polynomial, without its last term": (
        lambda x: 333.75 * x[1] ** 6 + x[0] ** 2 * (11 * x[0] ** 2 * x[1] ** 2 - x[1] ** 6 - 121 * x[1] ** 4 - 2),
        lambda x: F(333.75) * x[1] ** 6 + x[0] ** 2 * (11 * x[0] ** 2 * x[1] ** 2 - x[1] ** 6 - 121 * x[1] ** 4 - 2),
        [77617.0, 33096.0], None, 1e4,
    ),
}  # fmt: skip


def noted(f, *inputs):
    """Return what a function returns, recorded with its values."""
    with noting(values=True):
        return f(*inputs)


@pytest.mark.parametrize("way", ["function", "tensor"])
@pytest.mark.parametrize("name", CASES)
def test_true_errors_are_within_the_bounds(name, way):
    f, reference, at, worst, slack = CASES[name]
    x = cr.tensor(np.asarray(at, dtype=np.float64), requires_grad=True)
    found = rounding(f, x) if way == "function" else rounding(noted(f, x), x)
    assert found.value.item() == f(x).item()
    xs = exact(at)
    error = abs(F(found.value.item()) - reference(xs))
    assert error <= found.bound.item()
    assert found.bound.item() <= slack * max(float(error), np.finfo(np.float64).eps / 8 * abs(found.value.item()))
    if worst is not None:
        assert found.sources[0].op == worst
    gradient = found.gradient
    assert gradient.value.tolist() == cr.func.grad(f)(x).tolist()
    errors = [abs(F(g) - t) for g, t in zip(gradient.value.tolist(), gradient_of(reference, xs), strict=True)]
    assert all(e <= b + 1e-30 for e, b in zip(errors, gradient.bound.tolist(), strict=True))


def test_an_overflow_has_no_digits():
    found = rounding(lambda x: cr.log(cr.exp(x).sum()), cr.tensor([800.0, 1.0], dtype=cr.float64))
    assert (found.bound.item(), found.digits.item()) == (np.inf, 0)


def test_exact_ops_have_no_error():
    found = rounding(lambda x: cr.cat([-x.flip(0), cr.relu(x)])[1:].reshape(-1), cr.randn(5))
    assert found.bound.tolist() == [0] * 9
    assert found.sources == []


def test_an_error_before_detach_goes_on_and_its_derivative_does_not():
    found = rounding(lambda x: (1 - cr.cos(x)).detach() + 0 * x, cr.tensor(1e-7, dtype=cr.float64))
    assert found.digits.item() < 2
    with_no_grad = rounding(lambda x: _under_no_grad(x) + 0 * x, cr.tensor(1e-7, dtype=cr.float64))
    assert with_no_grad.bound.item() == found.bound.item()
    assert found.gradient.value.item() == 0


def _under_no_grad(x):
    with cr.no_grad():
        return 1 - cr.cos(x)


def test_sources_name_the_line_and_the_backward_pass():
    def f(x):
        a = cr.exp(x)
        return a - cr.exp(x + 1e-9)  # the line that loses

    found = rounding(f, cr.tensor(3.0, dtype=cr.float64))
    assert "the line that loses" in found.sources[0].place.text or found.sources[0].op == "exp"
    assert sum(s.share for s in found.sources) == pytest.approx(1)
    assert cr.stack([s.bound for s in found.sources]).sum().item() == pytest.approx(found.bound.item())
    assert any(s.backward for s in found.gradient.sources)
    assert "digits are right" in repr(found)


def test_several_inputs_and_a_result_of_many_elements():
    x, y = cr.randn(3, dtype=cr.float64), cr.randn(3, dtype=cr.float64)
    found = rounding(lambda x, y: (x * y).sum(), (x, y))
    assert [g.value.tolist() for g in found.gradient] == [y.tolist(), x.tolist()]
    many = rounding(lambda x: cr.exp(x) + 1, x)
    assert many.bound.shape == (3,)
    assert many.gradient is None
    alone = [rounding(lambda x, i=i: (cr.exp(x) + 1)[i], x).bound.item() for i in range(3)]
    assert many.bound.tolist() == pytest.approx(alone)


def test_a_value_of_no_known_op_is_marked():
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return cr.tensor(x.numpy() * 2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    found = rounding(lambda x: Twice.apply(x) + 1, cr.tensor(1.5))
    assert [s.known for s in found.sources if s.op == "Twice"] == [False]


# -- a tensor that was recorded ----------------------------------------------------------------------------------------


def test_a_recorded_tensor_tells_what_its_function_does():
    f = lambda x: (x * x).mean() - x.mean() ** 2
    x = cr.tensor(1e6 + rng.normal(0, 1, 20), requires_grad=True)
    loss = noted(f, x)
    ways = [rounding(f, x), rounding(loss, x)]
    loss.backward()  # which frees what was saved, and not what was noted
    ways.append(rounding(loss, [x]))
    ways[-1].gradient = ways[-1].gradient[0]
    for found in ways[1:]:
        for a, b in ((ways[0], found), (ways[0].gradient, found.gradient)):
            assert a.value.tolist() == b.value.tolist()
            assert a.bound.tolist() == b.bound.tolist()
            assert [repr(s) for s in a.sources] == [repr(s) for s in b.sources]


def test_inputs_of_a_recorded_tensor_default_to_its_leaves():
    x, y, z = [cr.randn(3, dtype=cr.float64, requires_grad=True) for _ in range(3)]
    loss = noted(lambda y, x: (y.exp() * x).sum(), y, x)
    assert [g.value.tolist() for g in rounding(loss).gradient] == [(y.exp() * x).tolist(), y.exp().tolist()]
    first, unused = rounding(loss, (x, z)).gradient
    assert first.value.tolist() == y.exp().tolist()
    assert (unused.value.tolist(), unused.bound.tolist()) == ([0] * 3, [0] * 3)
    assert rounding(loss, x, gradient=False).gradient is None
    assert rounding(x, x).gradient is None


def test_a_recorded_tensor_from_a_value_on_the_way():
    x = cr.tensor([3.0, 4.0], requires_grad=True)
    with noting(values=True):
        y = x.exp()
        loss = (y * y).sum()
    found = rounding(loss, y)
    assert {s.op for s in found.sources} == {"mul", "sum"}  # y counts as exact
    assert found.gradient.value.tolist() == (2 * y).tolist()
    with pytest.raises(RuntimeError, match=r"inputs\[1\] is computed from inputs\[0\]"):
        rounding(loss, (x, y))


def test_a_recorded_tensor_of_writes_views_custom_functions_and_backward_passes():
    class Cube(cr.autograd.Function):
        @staticmethod
        def forward(ctx, n, x):
            ctx.save_for_backward(x)
            return n, x**3

        @staticmethod
        def backward(ctx, _, g):
            return None, 3 * ctx.saved_tensors[0] ** 2 * g

    def f(x):
        w = x.clone()
        w[0] = 3.0
        w[1:].mul_(x[1:])
        left, right = w.split([1, 2])
        return (Cube.apply(2, right)[1] + left).sum()

    x = cr.randn(3, dtype=cr.float64, requires_grad=True)
    found, other = rounding(noted(f, x), x), rounding(f, x)
    assert found.value.item() == f(x).item()
    assert found.bound.tolist() == pytest.approx(other.bound.tolist())
    assert found.gradient.bound.tolist() == pytest.approx(other.gradient.bound.tolist())
    assert [s.known for s in found.sources if s.op == "Cube"] == [False]
    with noting(values=True):
        (g,) = cr.autograd.grad((x**3).sum(), x, create_graph=True)
        loss = g.sum()
    assert any(s.backward and "x**3" in s.place.text for s in rounding(loss, x).sources)


def test_random_numbers_are_those_of_one_call():
    f = lambda x: cr.nn.functional.dropout(x.exp(), 0.5).sum()
    x = cr.randn(50, dtype=cr.float64, requires_grad=True)
    cr.manual_seed(3)
    value = f(x).item()
    cr.manual_seed(3)
    found = rounding(f, x)
    assert found.value.item() == value
    assert found.bound.item() < 1e-12
    assert ((found.gradient.value != 0) == (found.gradient.bound > 1e-300)).all()


def overwritten(what):
    x, c = cr.ones(3, requires_grad=True), cr.ones(3)
    loss = noted(lambda x: (x * c).sum(), x)
    with cr.no_grad():
        {"input": x, "constant": c}[what].mul_(2)
    return lambda: rounding(loss, x)


class Adds(cr.autograd.Function):
    """Gives another value each time; or writes to its argument."""

    count = 0

    @staticmethod
    def forward(ctx, x, writes):
        if writes:
            ctx.mark_dirty(x)
            return x.add_(1)
        Adds.count += 1
        return x + Adds.count

    @staticmethod
    def backward(ctx, g):
        return g, None


X = cr.ones(3, requires_grad=True)
WRONG = {
    "no notes": (lambda: rounding((X * X).sum(), X), RuntimeError, r"MulBackward0 .*noting\(values=True\), or give a function"),
    "notes without values": (lambda: rounding(_noted_without_values(), X), RuntimeError, "without its values"),
    "an input written to": (overwritten("input"), RuntimeError, "the input was written to in place after MulBackward0"),
    "a constant written to": (overwritten("constant"), RuntimeError, "a constant that MulBackward0 used was written to"),
    "an input without grad": (lambda: rounding(noted(cr.sum, X), cr.ones(3)), RuntimeError, "does not require grad"),
    "a loss without history": (lambda: rounding(cr.ones(()), X), RuntimeError, "element 0 of tensors does not require grad"),
    "one input twice": (lambda: rounding(noted(cr.sum, X), (X, X)), RuntimeError, "the same tensor is given twice"),
    "a function with state": (
        lambda: rounding(noted(lambda: Adds.apply(X, False).sum()), X), RuntimeError, "another value when they are computed",
    ),
    "a function that writes": (
        lambda: rounding(noted(lambda: Adds.apply(X.clone(), True).sum()), X), RuntimeError, "Adds writes to its arguments",
    ),
    "integers": (lambda: rounding(cr.sum, cr.arange(3)), RuntimeError, "not an input of chainrule.int64"),
    "an integer result": (lambda: rounding(cr.argmax, X), RuntimeError, "the function returns chainrule.int64"),
    "a number": (lambda: rounding(lambda x: 3.0, X), RuntimeError, "must return one tensor, not float"),
    "two tensors": (lambda: rounding(lambda x: (x, x), X), RuntimeError, "must return one tensor, not a tuple of 2"),
    "no inputs": (lambda: rounding(cr.sum), TypeError, r"a function needs its inputs: rounding\(f, inputs\)"),
    "no tensor": (lambda: rounding(cr.sin, 1.0), TypeError, "The inputs given to rounding must be"),
    "no tensor in a list": (lambda: rounding(cr.sin, [1.0]), TypeError, "value at index 0 has type"),
    "no function": (lambda: rounding(3.0, X), TypeError, "takes a tensor or a function"),
    "an error of the function's": (lambda: rounding(lambda x: 1 / 0, X), ZeroDivisionError, "division by zero"),
    "NumPy in the function": (lambda: rounding(lambda x: x.numpy(), X), TraceError, "needs the value of a traced"),
    "a transform around it": (
        lambda: cr.func.vmap(lambda x: rounding(cr.sin, x).bound)(X), RuntimeError, "an input is a value of a transform",
    ),
    "an op without derivative": (
        lambda: rounding(lambda x: cr.special.expn(x.exp(), X), X), NotImplementedError, "differentiate in the other",
    ),
}  # fmt: skip


def _noted_without_values():
    with noting():
        return (X * X).sum()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_say_what_is_wrong_and_what_to_do(name):
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


# -- the law -----------------------------------------------------------------------------------------------------------

# Their results are not determined (vectors up to a phase, pivots), are drawn, or are made of what the others give.
NO_VALUE = {"eig", "eigh", "svd", "qr", "geqrf", "rest_of_qr", "random", "random_of", "null_bases", "complement", "lobpcg",
            "ldl_factor", "ldl_solve", "lu_factor", "anchors", "checked", "cautioned", "unique", "unique_consecutive",
            "is_small", "nextafter", "searchsorted"}  # fmt: skip


def _rounded(case):
    """Return which arguments of a case are single precision; none where nothing is rounded, or the result's dtype is given."""
    if any(isinstance(a, (list, str)) for a in case.args) or case.op.view or case.op.nondiff:
        return []
    if any(np.dtype(p) == np.float32 for p in case.params.values() if isinstance(p, np.dtype)):
        return []
    return [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray) and a.dtype == np.float32]


# Of single precision a reference in double precision cannot tell, or jumps are met.
FLOAT32 = [case for case in testing.cases(list(load_table().values()), dtypes=("float32",))
           if case.op.name not in NO_VALUE and _rounded(case)]  # fmt: skip


def _function(case, places):
    """Return a case as a function of the arguments at some places, and these."""

    def called(*xs):
        args = list(case.args)
        for i, x in zip(places, xs, strict=True):
            args[i] = x
        given = [cr.tensor(a) if isinstance(a, np.ndarray) and not isinstance(a, Tensor) else a for a in args]
        out = case.op.call(*given, **case.params)
        outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if o.dtype.is_floating_point or o.is_complex()]
        return cr.cat([o.reshape(-1) for o in outs]) if len(outs) > 1 else outs[0]

    return called, [cr.tensor(case.args[i]) for i in places]


@by_name("case", FLOAT32, fast=1)
def test_single_precision_is_within_the_bound_of_double(case):
    called, xs = _function(case, _rounded(case))
    truth = called(*[x.double() for x in xs]).detach().numpy()
    found = rounding(called, tuple(xs), gradient=False)
    error = np.abs(found.value.numpy().astype(truth.dtype) - truth)
    fine = (error <= found.bound.numpy() * (1 + 1e-5)) | ~np.isfinite(truth)
    assert fine.all(), (error[~fine], found.bound.numpy()[~fine], truth[~fine])


@by_name("case", [case for case in FLOAT32 if case.op.is_differentiable], fast=1)
def test_the_bounds_of_a_recorded_tensor_are_those_of_its_function(case):
    called, xs = _function(case, _rounded(case))
    xs = [x.requires_grad_() for x in xs]
    loss = noted(called, *xs)
    if not loss.requires_grad:
        return
    try:
        wanted = rounding(called, xs, gradient=False)
    except NotImplementedError:  # of an order, or a degree
        return
    np.testing.assert_allclose(rounding(loss, xs, gradient=False).bound.numpy(), wanted.bound.numpy(), rtol=1e-5)

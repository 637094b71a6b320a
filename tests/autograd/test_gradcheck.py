"""`gradcheck` and `gradgradcheck` pass right derivatives, and each option catches the fault that it is for."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import gradcheck, gradgradcheck
from chainrule.autograd.gradcheck import (
    GradcheckError,
    get_analytical_jacobian,
    get_numerical_jacobian,
    get_numerical_jacobian_wrt_specific_input,
)
from chainrule.core.op.declaration import TABLE, bilinear, linear, op
from chainrule.core.tensor.value import innermost
from chainrule.ops.pointwise.exponential import exp
from chainrule.ops.shaping.shape import reshape
from chainrule.testing.case import tensor_of

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
ALL = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True, "check_grad_dtypes": True}
SECOND = {"check_fwd_over_rev": True, "check_fwd_over_fwd": True, "check_rev_over_fwd": True, "check_batched_grad": True}


@pytest.fixture(autouse=True)
def toys_leave_the_table():
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        del TABLE[name]


def real(*shape, seed=0):
    return cr.tensor(np.random.default_rng(seed).uniform(-1.5, 1.5, shape), requires_grad=True)


def complex_(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return cr.tensor(rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape), requires_grad=True)


def square(**changes):
    """Return an op x², right but for the changes."""
    rules = {"jvp": lambda x_dot, x: 2 * x * x_dot, "x": lambda g, x: 2 * x * g, **changes}
    return op("toy_square(x)", lambda x: x * x, **rules)


def pair(**changes):
    """Return an op (x², e^x), right but for the changes."""

    def pulled(g, x, out):
        a, b = g
        total = 2 * x * a if a is not None else 0 * x
        return total if b is None else total + exp(x) * b

    jvp = lambda x_dot, x: (2 * x * x_dot, exp(x) * x_dot)
    return op("toy_pair(x)", lambda x: (x * x, np.exp(x)), kinds="f", **{"jvp": jvp, "x": pulled, **changes})


# -- right derivatives -------------------------------------------------------------------------------------------------

RIGHT = {
    "one input": (lambda x: x.sin() * x, [real(2, 3)]),
    "two inputs": (lambda x, y: x @ y, [real(2, 3), real(3)]),
    "several outputs": (lambda x, y: (x * y, x.sum(), y.exp()), [real(2, 3), real(3)]),
    "0-d": (lambda x: x**3, [real()]),
    "empty": (lambda x: x.exp(), [real(0, 2)]),
    "an input that is not moving": (lambda x, y, n: (x * y) ** n, [real(3), cr.ones(3, dtype=cr.float64), 2]),
    "an output that does not require grad": (lambda x: (x.argmax(), x * x), [real(4)]),
    "a constant": (lambda x: cr.ones(2), [real(2)]),
    "step": (lambda x: x.floor(), [real(3)]),
    "complex": (lambda z: z * z.exp(), [complex_(3)]),
    "complex and real": (lambda z, x: z.conj() * x, [complex_(3), real(3)]),
    "complex to real": (lambda z: (z.abs() ** 2, z.real.sum()), [complex_(2)]),
    "real to complex": (lambda x: cr.complex(x.sin(), x * x), [real(3)]),
    "views and writes": (lambda x: x.clone().t()[0].mul_(2).sin_(), [real(3, 2)]),
    "not contiguous": (lambda x: (x * x).sum(1), [cr.tensor(np.arange(12.0).reshape(3, 4).T / 10, requires_grad=True)]),
}


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("case", list(RIGHT))
def test_right_derivatives_pass(case, fast_mode):
    f, inputs = RIGHT[case]
    before = [innermost(x).copy() for x in inputs if isinstance(x, cr.Tensor)]
    assert gradcheck(f, inputs, fast_mode=fast_mode, **ALL)
    for x, kept in zip(inputs, before, strict=False):
        assert np.array_equal(innermost(x), kept)


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("case", [case for case in RIGHT if case not in ("a constant", "step")])
def test_right_second_derivatives_pass(case, gaps, fast_mode):
    f, inputs = RIGHT[case]
    assert gradgradcheck(f, inputs, fast_mode=fast_mode, gen_non_contig_grad_outputs=gaps, **SECOND)


def test_given_cotangents_are_used():
    x = real(3)
    seen = []
    gradgradcheck(lambda x: seen.append(x) or x**3, x, cr.zeros(3, dtype=cr.float64))
    assert seen
    faulty = square(x=lambda g, x: 2 * x * g + np.cos(_raw(x)) * g * 0)
    assert gradgradcheck(faulty, x, cr.zeros(3, dtype=cr.float64), check_undefined_grad=False)


def _raw(x):
    return innermost(x)


def test_captured_tensors_are_moved_too():
    w, x = real(3), real(3, seed=1)
    assert gradcheck(lambda _: (w * x).sin(), w)
    wrong = square(x=lambda g, x: 3 * x * g)
    with pytest.raises(GradcheckError):
        gradcheck(lambda _: wrong(w), w)


# -- faults ------------------------------------------------------------------------------------------------------------


def test_a_wrong_backward_is_told_with_both_jacobians():
    wrong = square(x=lambda g, x: 3 * x * g)
    with pytest.raises(GradcheckError) as error:
        gradcheck(wrong, cr.tensor([1.0, 2.0], dtype=cr.float64, requires_grad=True))
    assert str(error.value) == (
        "Jacobian mismatch for output 0 with respect to input 0,\n"
        "numerical:tensor([[2.0000, 0.0000],\n        [0.0000, 4.0000]], dtype=chainrule.float64)\n"
        "analytical:tensor([[3., 0.],\n        [0., 6.]], dtype=chainrule.float64)\n"
    )
    assert not gradcheck(wrong, real(2), raise_exception=False)
    assert gradcheck(wrong, real(2), check_backward_ad=False, check_forward_ad=True)


def test_the_input_and_output_at_fault_are_named():
    wrong = bilinear("toy_dot(x, y)", np.multiply, x=lambda g, y: g * y, y=lambda g, x: 2 * g * x)
    with pytest.raises(GradcheckError, match="for output 1 with respect to input 1,"):
        gradcheck(lambda x, y: (x * y, wrong(x, y)), (real(2), real(2, seed=1)))


def test_fast_mode_tells_the_slow_jacobians():
    wrong = square(x=lambda g, x: 3 * x * g)
    with pytest.raises(GradcheckError) as error:
        gradcheck(wrong, cr.tensor([1.0, 2.0], dtype=cr.float64, requires_grad=True), fast_mode=True)
    text = str(error.value)
    assert text.startswith("Jacobian mismatch for output 0 with respect to input 0,\nnumerical:tensor(")
    assert "The above quantities relating the numerical and analytical jacobians are computed \nin fast mode" in text
    assert "Analytical:\ntensor([[3., 0.],\n        [0., 6.]]" in text
    assert "The max per-element difference (slow mode) is: 1.99999" in text


def test_fast_mode_checks_forward_mode():
    wrong = square(jvp=lambda x_dot, x: 3 * x * x_dot)
    assert gradcheck(wrong, real(2), fast_mode=True)
    with pytest.raises(GradcheckError, match="^Jacobian computed with forward mode mismatch for output 0"):
        gradcheck(wrong, real(2), fast_mode=True, check_forward_ad=True)


def test_fast_mode_says_where_slow_mode_would_pass():
    scattered = square(x=lambda g, x: 2 * x * g + 9e-4 * (2 * x * g) * np.sign(innermost(x)))
    x = cr.tensor([0.5, -0.5], dtype=cr.float64, requires_grad=True)  # whose projection nearly cancels
    assert gradcheck(scattered, x, rtol=1e-3)
    with pytest.raises(GradcheckError, match="might've passed in slow_mode"):
        gradcheck(scattered, x, fast_mode=True, rtol=1e-3)


def test_a_wrong_jvp_is_caught_by_check_forward_ad_alone():
    wrong = square(jvp=lambda x_dot, x: 3 * x * x_dot)
    assert gradcheck(wrong, real(2))
    with pytest.raises(
        GradcheckError, match="^Jacobian computed with forward mode mismatch for output 0 with respect to input 0,"
    ):
        gradcheck(wrong, real(2), check_forward_ad=True)


def test_complex_faults_name_the_part():
    wrong = square(x=lambda g, x: 2 * x * g)  # not conjugated
    with pytest.raises(
        GradcheckError, match="^While considering the imaginary part of complex outputs only, Jacobian mismatch"
    ):
        gradcheck(wrong, complex_(2))
    right = {"x": lambda g, x: 2 * x.conj() * g}
    wrong = op("toy_complex(x)", lambda x: x * x, jvp=lambda x_dot, x: 2 * x * x_dot.conj(), **right)
    assert gradcheck(wrong, complex_(2))
    with pytest.raises(GradcheckError, match="^While considering the imaginary part of complex inputs only, Jacobian computed"):
        gradcheck(wrong, complex_(2), check_forward_ad=True)
    real_part = op("toy_real(x)", lambda x: x.real * x.real, jvp=lambda x_dot, x: 2 * x.real * x_dot.real, x=lambda g, x: g * x)
    with pytest.raises(GradcheckError, match="^Jacobian mismatch"):
        gradcheck(real_part, complex_(2))


def test_a_backward_that_differs_between_passes_is_caught_unless_tolerated():
    passes = iter(range(10**6))
    wavering = square(x=lambda g, x: 2 * x * g + 1e-7 * (next(passes) % 2) * g)
    with pytest.raises(
        GradcheckError, match="^Backward is not reentrant, i.e., running backward with same input and grad_output"
    ):
        gradcheck(wavering, real(1))
    assert gradcheck(wavering, real(1), nondet_tol=1e-6)


def test_a_gradient_of_another_dtype_is_caught_by_check_grad_dtypes_alone():
    wrong = square(x=lambda g, x: (2 * x * g).astype(np.float32) if isinstance(g, np.ndarray) else 2 * x * g)
    x = real(2)
    assert gradcheck(wrong, x)
    with pytest.raises(GradcheckError, match="^Gradient has dtype mismatch"):
        gradcheck(wrong, x, check_grad_dtypes=True)


def test_a_tangent_of_another_dtype_is_caught_by_check_grad_dtypes_alone():
    wrong = op("toy_arg(x)", lambda x: x * 1j, jvp=lambda x_dot, x: x_dot, x=lambda g, x: g.imag)
    wrong_real = op("toy_zero(x)", lambda x: x * 0j, jvp=lambda x_dot, x: 0 * x_dot, x=lambda g, x: 0 * g.real)
    assert wrong
    assert gradcheck(wrong_real, real(2), check_forward_ad=True)
    with pytest.raises(GradcheckError, match=r"^Forward AD gradient has dtype mismatch\."):
        gradcheck(wrong_real, real(2), check_forward_ad=True, check_grad_dtypes=True)


def test_a_gradient_of_another_size_is_caught():
    wrong = op("toy_total(x)", lambda x: x * 2, jvp=lambda x_dot: 2 * x_dot, x=lambda g: reshape(2 * g, shape=(1, 2)))
    with pytest.raises(GradcheckError, match="^Analytical gradient has incorrect size"):
        gradcheck(wrong, real(2))


def test_a_backward_with_a_constant_is_caught():
    wrong = square(x=lambda g, x: 2 * x * (g if g.any() else g + 1e-3))
    with pytest.raises(GradcheckError, match="^backward not multiplied by grad_output"):
        gradcheck(wrong, real(2), check_undefined_grad=False)


@pytest.mark.parametrize("fault", ["raises", "is not zero"])
def test_an_absent_cotangent_is_checked_by_check_undefined_grad_alone(fault):
    def pulled(g, x):
        if sum(part is None for part in g) == 1:  # not when each output is pulled back alone
            return x + (None if fault == "raises" else 0)
        return 2 * x * sum(part for part in g if part is not None)

    jvp = lambda x_dot, x: (2 * x * x_dot,) * 3
    wrong = op("toy_triple(x)", lambda x: (x * x, x * x + 1, x * x + 2), kinds="f", jvp=jvp, x=pulled)
    assert gradcheck(wrong, real(2), check_undefined_grad=False)
    with pytest.raises(
        GradcheckError, match="^Expected (backward function to handle undefined|all input grads to be undefined)"
    ):
        gradcheck(wrong, real(2))


def test_an_absent_tangent_is_checked_by_check_undefined_grad_alone():
    def jvp(x_dot, y_dot, x, y):
        return None if x_dot is None else x_dot * y + (0 if y_dot is None else x * y_dot)

    wrong = op("toy_times(x, y)", np.multiply, jvp=jvp, x=lambda g, y: g * y, y=lambda g, x: g * x)
    inputs = (real(2), real(2, seed=1))
    assert gradcheck(wrong, inputs, check_forward_ad=True, check_undefined_grad=False)
    with pytest.raises(
        GradcheckError, match="^Mismatch in tangent values for output with index: 0 when input 0 has an undefined"
    ):
        gradcheck(wrong, inputs, check_forward_ad=True)


def doubled(**changes):
    """Return a general op 2x of rows, with a batching rule."""
    return op("toy_doubled(x)", lambda x: 2 * x, jvp=lambda x_dot: twice(x_dot), x=lambda g: twice(g), **changes)


def twice(x):
    return TABLE["toy_twice"].call(x)


def test_a_wrong_batching_rule_is_caught_by_check_batched_grad_alone():
    right, wrong = (lambda b, x: 2 * x), (lambda b, x: 2 * x.flip(0) if isinstance(x, cr.Tensor) else 2 * x[::-1])
    linear("toy_twice(x)", lambda x: 2 * x, x=lambda g: 2 * g, batch=wrong)
    f = doubled(batch=right)
    assert gradcheck(f, real(2), check_forward_ad=True)
    with pytest.raises(
        GradcheckError, match="^For output 0 and input 0:\n\ngradcheck or gradgradcheck failed while testing batched"
    ):
        gradcheck(f, real(2), check_batched_grad=True)
    with pytest.raises(
        GradcheckError, match="^For output 0 and input 0:\n\ngradcheck or gradgradcheck failed while testing batched"
    ):
        gradcheck(f, real(2), check_forward_ad=True, check_batched_forward_grad=True)
    with pytest.raises(GradcheckError, match="testing batched"):
        gradgradcheck(lambda x: f(x) * x, real(2), check_batched_grad=True)


def test_a_batching_rule_that_raises_is_told():
    def failing(b, x):
        raise RuntimeError("no batches here")

    linear("toy_twice(x)", lambda x: 2 * x, x=lambda g: 2 * g, batch=failing)
    f = doubled(batch=lambda b, x: 2 * x)
    for options in ({"check_batched_grad": True}, {"check_forward_ad": True, "check_batched_forward_grad": True}):
        with pytest.raises(GradcheckError, match="^While computing batched gradients, got: no batches here"):
            gradcheck(f, real(2), **options)


def test_a_function_that_hides_its_dependence_is_caught():
    with pytest.raises(GradcheckError, match="^Numerical gradient for function expected to be zero"):
        gradcheck(lambda x: cr.tensor(x.detach().numpy() ** 2), real(2))
    with pytest.raises(GradcheckError, match="^Numerical gradient for function expected to be zero"):
        gradcheck(lambda x: cr.tensor(x.detach().numpy() ** 2), real(2), fast_mode=True)
    with pytest.raises(GradcheckError, match="^Jacobian mismatch"):
        gradcheck(lambda x: x.detach() * x, real(2))


def _held(x):
    """Return x as a constant: right at first order, wrong at second."""
    return tensor_of(innermost(x)) if isinstance(x, cr.Tensor) else x


SECOND_ORDERS = ["check_rev_over_rev", "check_fwd_over_rev", "check_fwd_over_fwd", "check_rev_over_fwd"]


@pytest.mark.parametrize("option", SECOND_ORDERS)
def test_a_rule_that_is_wrong_at_second_order_is_caught_by_each_option(option):
    wrong = square(x=lambda g, x: 2 * _held(x) * g, jvp=lambda x_dot, x: 2 * _held(x) * x_dot)
    assert gradcheck(wrong, real(2), check_forward_ad=True)
    options = {"check_undefined_grad": False, "check_rev_over_rev": False, option: True}
    assert gradgradcheck(square_right(), real(2), **options)
    with pytest.raises(GradcheckError):
        gradgradcheck(wrong, real(2), **options)


def test_second_order_modes_are_told_apart():
    wrong = square(jvp=lambda x_dot, x: 2 * _held(x) * x_dot)
    assert gradgradcheck(wrong, real(2))
    assert not gradgradcheck(wrong, real(2), check_fwd_over_fwd=True, raise_exception=False)
    wrong = op("toy_held(x)", lambda x: x * x, jvp=lambda x_dot, x: 2 * x * x_dot, x=lambda g, x: 2 * _held(x) * g)
    assert gradgradcheck(wrong, real(2), check_undefined_grad=False, check_rev_over_rev=False, check_fwd_over_fwd=True)
    assert not gradgradcheck(wrong, real(2), raise_exception=False)


def square_right():
    return op("toy_right(x)", lambda x: x * x, jvp=lambda x_dot, x: 2 * x * x_dot, x=lambda g, x: 2 * x * g)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_the_step_and_tolerances_are_used():
    x = cr.tensor([1.0], dtype=cr.float64, requires_grad=True)
    assert not gradcheck(lambda x: x.exp(), x, eps=1.0, raise_exception=False)
    assert gradcheck(lambda x: x.exp(), x, eps=1.0, rtol=0.3)
    assert gradcheck(lambda x: x.exp(), x, eps=1.0, atol=1.0)


def test_nothing_that_requires_grad_is_an_error():
    with pytest.raises(
        ValueError, match="^gradcheck expects at least one input tensor to require gradient, but none of them have"
    ):
        gradcheck(lambda x: x, cr.ones(2))


def test_single_precision_is_warned_of():
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision floating point or complex"):
        gradcheck(lambda x: x * 2, cr.ones(2, requires_grad=True), atol=1e-1)


def test_overlapping_memory_is_refused():
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(lambda x: x * 2, real(1).expand(3))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_masked_is_refused(check):
    with pytest.raises(ValueError, match="sparse"):
        check(lambda x: x * 2, real(2), masked=True)
    assert check(lambda x: x * 2, real(2), masked=False)


NO_REVERSE = {"check_rev_over_rev": False, "check_undefined_grad": False, "check_fwd_over_rev": True}


@pytest.mark.parametrize(
    ("check", "options"),
    [
        (gradcheck, {"check_backward_ad": False}),
        (gradcheck, {"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True}),
        (gradcheck, {"check_batched_forward_grad": True}),
        (gradgradcheck, {"check_rev_over_rev": False}),
        (gradgradcheck, {"check_rev_over_rev": False, "check_fwd_over_rev": True}),
        (gradgradcheck, NO_REVERSE | {"check_batched_grad": True}),
    ],
)
def test_options_that_contradict_raise_what_pytorch_raises(torch, check, options):
    with pytest.raises(AssertionError) as ours:
        check(lambda x: x * 2, real(2), **options)
    theirs = getattr(torch.autograd, check.__name__)
    with pytest.raises(AssertionError) as expected:
        theirs(lambda x: x * 2, torch.ones(2, dtype=torch.float64, requires_grad=True), **options)
    assert str(ours.value) == str(expected.value)


def test_an_output_that_changes_shape_is_refused():
    with pytest.raises(
        AssertionError, match="^Expected `func` to return outputs with the same shape when inputs are perturbed on"
    ):
        gradcheck(lambda x: x[x.detach() > 1], cr.tensor([1.0, 2.0], dtype=cr.float64, requires_grad=True))


def test_faults_are_told_as_pytorch_tells_them(torch):
    def fault(lib):
        x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
        z = lib.tensor([1.0 + 2j], dtype=lib.complex128, requires_grad=True)
        cases = [(lambda x: x.detach() * x, x), (lambda z: z * z.detach(), z), (lambda x: x.detach() ** 2, x)]
        for check in (lib.autograd.gradcheck, lib.autograd.gradgradcheck):
            for f, at in cases[: 3 if check is lib.autograd.gradcheck else 2]:
                for fast in (False, True):
                    for forward in (False, True):
                        option = "check_forward_ad" if check.__name__ == "gradcheck" else "check_fwd_over_rev"
                        try:
                            yield check(f, at, fast_mode=fast, **{option: forward})
                        except RuntimeError as error:
                            yield type(error).__name__, str(error).split("\n")[0]

    assert list(fault(cr)) == list(fault(torch))


# -- older names -------------------------------------------------------------------------------------------------------


def test_older_names_give_what_pytorchs_give(torch):
    def program(lib):
        check = lib.autograd.gradcheck if lib is torch else cr.autograd.gradcheck
        x = lib.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=lib.float64, requires_grad=True)
        module = __import__(f"{lib.__name__}.autograd.gradcheck", fromlist=["x"])
        del check
        f = lambda x: (x * x).sum(1)
        with pytest.warns(FutureWarning, match="get_numerical_jacobian"):
            numerical = module.get_numerical_jacobian(lambda xs: f(xs[0]), (x,))
        with pytest.warns(FutureWarning, match="get_analytical_jacobian"):
            analytical, *verdicts = module.get_analytical_jacobian((x,), f(x))
        specific = module.get_numerical_jacobian_wrt_specific_input(f, 0, (x,), (f(x),), 1e-6)
        return [np.round(t.detach().numpy(), 6) for t in (*numerical, *analytical, *specific)], verdicts

    (ours, verdicts), (theirs, expected) = program(cr), program(torch)
    assert verdicts == expected == [True, True, True]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_older_names_refuse_what_pytorchs_refuse():
    x = real(2)
    for call in (
        lambda: get_numerical_jacobian(lambda x: x, x, grad_out=2.0),
        lambda: get_analytical_jacobian(x, x * 2, grad_out=2.0),
    ):
        with pytest.warns(FutureWarning), pytest.raises(ValueError, match=r"Expected grad_out to be 1\.0"):
            call()
    with pytest.raises(AssertionError, match="Expected input to have requires_grad=True"):
        get_numerical_jacobian_wrt_specific_input(lambda x: x, 0, (cr.ones(2),), None, 1e-6)
    z = complex_(2)
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match="Expected output to be non-complex"):
        get_analytical_jacobian(z, z * 2)


# -- faults in custom Functions, under both libraries ------------------------------------------------------------------


def square_function(lib, **changes):
    """Return a Function x², right but for the changes."""

    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    members = {
        "forward": lambda x: x * x,
        "setup_context": setup_context,
        "backward": lambda ctx, g: 2 * ctx.saved_tensors[0] * g,
        "jvp": lambda ctx, t: 2 * ctx.saved_tensors[0] * t,
        "vmap": lambda info, in_dims, x: (made.apply(x), in_dims[0]),
        **changes,
    }
    made = type("Square", (lib.autograd.Function,), {name: staticmethod(f) for name, f in members.items()})
    return made.apply


def held(t):
    return t.detach()


passes = iter(range(10**9))
FUNCTION_FAULTS = {
    "none": ({}, {"check_forward_ad": True, "check_batched_grad": True}),
    "wrong backward": ({"backward": lambda ctx, g: 3 * ctx.saved_tensors[0] * g}, {}),
    "wrong backward in fast mode": ({"backward": lambda ctx, g: 3 * ctx.saved_tensors[0] * g}, {"fast_mode": True}),
    "wrong jvp": ({"jvp": lambda ctx, t: 3 * ctx.saved_tensors[0] * t}, {"check_forward_ad": True}),
    "wrong jvp, not asked for": ({"jvp": lambda ctx, t: 3 * ctx.saved_tensors[0] * t}, {}),
    "backward that wavers": ({"backward": lambda ctx, g: 2 * ctx.saved_tensors[0] * g + 1e-3 * (next(passes) % 2) * g}, {}),
    "backward with a constant": (
        {"backward": lambda ctx, g: 2 * ctx.saved_tensors[0] * g + (0 if g.any() else 1e-7)}, {"check_undefined_grad": False}
    ),
    "backward of another dtype": (
        {"backward": lambda ctx, g: (2 * ctx.saved_tensors[0] * g).float()}, {"check_grad_dtypes": True, "atol": 1e-3}
    ),
    "nothing differentiable": (
        {"forward": lambda x: x.floor(), "setup_context": lambda ctx, i, o: ctx.mark_non_differentiable(o)}, {}
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Backwards compatibility")
@pytest.mark.parametrize("case", list(FUNCTION_FAULTS))
def test_faults_in_functions_are_found_as_pytorch_finds_them(torch, case):
    changes, options = FUNCTION_FAULTS[case]

    def verdict(lib):
        x = lib.tensor([0.5, -1.5], dtype=lib.float64, requires_grad=True)
        try:
            return lib.autograd.gradcheck(square_function(lib, **changes), x, **options)
        except RuntimeError as error:
            return type(error).__name__, str(error).split("\n")[0].replace("gradient.The", "gradient. The")

    assert verdict(cr) == verdict(torch)


@pytest.mark.parametrize("option", ["check_rev_over_rev", "check_fwd_over_rev"])
def test_second_order_faults_in_functions_are_found_as_pytorch_finds_them(torch, option):
    changes = {
        "backward": lambda ctx, g: 2 * held(ctx.saved_tensors[0]) * g,
        "jvp": lambda ctx, t: 2 * held(ctx.saved_tensors[0]) * t,
    }
    options = {"check_rev_over_rev": False, "check_undefined_grad": False, option: True}

    def verdict(lib, changes):
        x = lib.tensor([0.5, -1.5], dtype=lib.float64, requires_grad=True)
        try:
            return lib.autograd.gradgradcheck(square_function(lib, **changes), x, **options)
        except RuntimeError as error:
            return type(error).__name__, str(error).split("\n")[0]

    assert verdict(cr, changes) == verdict(torch, changes)
    assert verdict(cr, {}) is verdict(torch, {}) is True

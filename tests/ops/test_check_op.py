"""check_op passes right ops of each kind, and catches each sort of wrong rule by the law that it breaks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.core.op.declaration import TABLE, bilinear, elementwise, linear, op
from chainrule.core.op.lowering import s
from chainrule.core.op.results import boolean, broadcasting, first, into_shape, joined, like_first
from chainrule.core.op.samples import Sample
from chainrule.ops.pointwise.arithmetic import mul
from chainrule.ops.pointwise.exponential import exp
from chainrule.ops.shaping.shape import reshape, sum_to
from chainrule.testing import OpError, cases, check_op, declared, interface

ROWS = lambda: [Sample((2, 3)), Sample((1, 2)), Sample((0, 2))]


@pytest.fixture(autouse=True)
def toys_leave_the_table():
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        del TABLE[name]


def softsign(**changes):
    rules = {"x": lambda g, x: g / ((1 + abs_(x)) * (1 + abs_(x))), **changes}
    return elementwise("toy_softsign(x)", lambda x: x / (1 + np.abs(x)), kinds="f", domain=(0.2, 2), **rules)


def abs_(x):
    return (x * x) ** 0.5


def reverse(**changes):
    rules = {"x": lambda g: toy(g), "shape": first, **changes}
    toy = linear("toy_reverse(x)", lambda x: x[::-1].copy(), samples=ROWS, **rules)
    return toy


def product(**changes):
    rules = {"x": lambda g, x_shape, y: sum_to(g * y, shape=x_shape), "y": lambda g, x, y_shape: sum_to(g * x, shape=y_shape)}
    samples = lambda: [Sample((2, 3), (2, 3)), Sample((2, 1), (3,))]
    return bilinear("toy_product(x, y)", np.multiply, samples=samples, shape=broadcasting, **{**rules, **changes})


def square(**changes):
    """Return x * conj(x) * x, whose derivative is not complex-linear."""
    given = {
        "jvp": lambda x_dot, x: 2 * x * x.conj() * x_dot + x * x * x_dot.conj(),
        "x": lambda g, x: 2 * x * x.conj() * g + x * x * g.conj(),
        **changes,
    }
    return op("toy_cubic(x)", lambda x: x * x.conj() * x, samples=ROWS, shape=first, dtype=like_first, **given)


def scaled(**changes):
    """Return exp(x) * y with y broadcast along rows."""
    given = {
        "jvp": lambda x_dot, y_dot, x, y, out: (0 if x_dot is None else x_dot * out) + (0 if y_dot is None else exp(x) * y_dot),
        "x": lambda g, out: g * out,
        "y": lambda g, x, y_shape: sum_to(g * exp(x), shape=y_shape),
        "shape": broadcasting,
        "dtype": joined,
        **changes,
    }
    return op("toy_scaled(x, y)", lambda x, y: np.exp(x) * y, kinds="f", samples=lambda: [Sample((2, 3), (2, 1))], **given)


@pytest.mark.parametrize("declare", [softsign, reverse, product, square, scaled])
def test_right_ops_pass(declare):
    assert check_op(declare())


def is_caught(toy, *words):
    with pytest.raises(OpError) as caught:
        check_op(toy)
    assert toy.op.name in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not check_op(toy, raise_exception=False)


def test_wrong_factor_is_caught():
    twice = lambda g, x: 2 * g / ((1 + abs_(x)) * (1 + abs_(x)))
    is_caught(softsign(x=twice), "jvp = numeric derivative", "input x", "against")


def test_wrong_transpose_is_caught():
    is_caught(reverse(x=lambda g: g), "vjp = transpose of jvp", "<g, J t> =", "<J^H g, t> =")


def test_missing_conjugate_of_a_general_op_is_caught():
    is_caught(square(x=lambda g, x: 2 * x * x.conj() * g + x * x * g), "vjp = transpose of jvp", "complex128")


def test_needless_conjugate_of_a_bilinear_op_is_caught():
    wrong = lambda g, x_shape, y: sum_to(g * y.conj(), shape=x_shape)
    is_caught(product(x=wrong), "vjp = transpose of jvp", "input x", "complex128")


def test_forgotten_unbroadcast_is_caught():
    is_caught(scaled(y=lambda g, x: g * exp(x)), "vjp = transpose of jvp", "input y: cotangent", "(2, 3) against", "(2, 1)")


def test_wrong_saved_value_is_caught():
    is_caught(scaled(y=lambda g, y_shape, out: sum_to(g * out, shape=y_shape)), "vjp = transpose of jvp", "input y")


def test_rule_that_returns_a_saved_array_is_caught():
    into_out = lambda g, out: np.multiply(g, out, out=out) if isinstance(out, np.ndarray) else g * out
    toy = op("toy_exp(x)", np.exp, kinds="f", jvp=lambda x_dot, out: x_dot * out, x=into_out, samples=ROWS, shape=first,
        dtype=like_first)  # fmt: skip
    is_caught(toy, "toy_exp")
    with pytest.raises(OpError, match=r"'rules return fresh arrays' .* cotangent of x shares memory with result 0"):
        interface.rules_return_fresh_arrays(cases([toy.op])[0])


def test_rule_that_returns_a_view_of_an_input_is_caught():
    toy = linear("toy_ones(x, *, n)", lambda x, *, n: x * n, kinds="f", x=lambda g, x, *, n: x[...] if n == 1 else g * n,
        samples=lambda: [Sample((2, 3), n=1)])  # fmt: skip
    with pytest.raises(OpError, match="cotangent of x shares memory with input x"):
        interface.rules_return_fresh_arrays(cases([toy.op])[0])


def test_rule_that_writes_to_its_cotangent_is_caught():
    in_place = lambda g, out: np.multiply(g, out, out=g) if isinstance(g, np.ndarray) else g * out
    toy = op("toy_exp(x)", np.exp, kinds="f", jvp=lambda x_dot, out: x_dot * out, x=in_place, samples=ROWS)
    with pytest.raises(OpError, match="'rules write nowhere'"):
        interface.rules_write_nowhere(cases([toy.op])[0])


def test_jvp_that_disagrees_with_vjp_is_caught():
    is_caught(scaled(x=lambda g, out: -g * out), "vjp = transpose of jvp", "input x")


def test_tangent_that_ignores_an_input_is_caught():
    is_caught(scaled(jvp=lambda x_dot, out: x_dot * out), "jvp = numeric derivative", "input y: raised TypeError")


def test_subset_of_tangents_is_caught():
    together = lambda x_dot, y_dot, x, y, out: (
        x_dot * out if y_dot is None else exp(x) * y_dot if x_dot is None else x_dot * out - exp(x) * y_dot
    )
    is_caught(scaled(jvp=together), "every subset of inputs", "inputs x, y")


def test_wrong_second_order_is_caught():
    constant = lambda g, x: g * frozen(x)
    is_caught(elementwise("toy_frozen(x)", np.exp, kinds="f", x=constant), "second order", "numeric")


def frozen(x):
    """Return exp(x) as a constant: right at first order, wrong at second."""
    while not isinstance(x, (np.ndarray, np.generic)):
        x = x._data
    return np.exp(x)


def test_hot_path_that_records_nothing_is_caught():
    toy = reverse()
    hot = toy.op.call
    toy.op.call = lambda x: hot(x if isinstance(x, np.ndarray) or x.is_leaf else x.detach())
    is_caught(
        toy, "the hot path gives what the general path gives", "results, plain, (0,) require grad: port of result 0 is None"
    )


def test_wrong_reference_is_caught():
    is_caught(reverse(reference=lambda x: x), "value = reference", "result 0")


DECLARED = "the result is what the declaration says"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": lambda x: x[::-1]}, "result 0: the rule says shape (3, 2) against (2, 3)"),
        ({"shape": lambda x: [x, x]}, "the rule says 2 results against 1"),
        ({"shape": None}, "its declaration has no rule for the result's shape: give it shape="),
        ({"dtype": boolean}, "result 0: the rule says dtype bool against float64"),
    ],
)
def test_wrong_or_absent_rule_of_the_result_is_caught(changes, words):
    is_caught(reverse(**changes), DECLARED, words)


def test_absent_dtype_rule_of_a_general_op_is_caught():
    is_caught(scaled(dtype=None), DECLARED, "its declaration has no rule for the result's dtype: give it dtype=")


def test_wrong_dtype_rule_of_an_elementwise_op_is_caught():
    is_caught(softsign(dtype="bool"), DECLARED, "result 0: the rule says dtype bool against float64")


@pytest.mark.parametrize(
    ("kernel", "changes", "words"),
    [
        (lambda x: x[::-1], {}, "they share memory, and the declaration does not say so"),
        (lambda x: x[::-1].copy(), {"view": True}, "they share no memory, but the op is declared a view"),
    ],
)
def test_wrong_aliasing_is_caught(kernel, changes, words):
    toy = linear("toy_back(x)", kernel, x=lambda g: toy(g), shape=first, samples=ROWS, **changes)
    is_caught(toy, "memory is shared as declared", words)


def test_kernel_that_is_not_pure_is_caught():
    count = iter(range(10**6))
    counting = op("toy_count(x)", lambda x: x + next(count), nondiff=True, shape=first, dtype=like_first, samples=ROWS)
    is_caught(counting, "pure one gives the same again", "of a second run")
    writing = op("toy_write(x)", lambda x: np.add(x, 1, out=x) * 1, nondiff=True, shape=first, dtype=like_first, samples=ROWS)
    with pytest.raises(OpError, match="input x was changed"):
        declared.pure_op_gives_the_same_again(cases([writing.op])[0])


@pytest.mark.parametrize(
    ("lower", "words"),
    [
        (lambda x: x / (2 + abs(x)), "result 0: "),
        (lambda x: s.select(x == math.inf, 0, x / (1 + abs(x))), "on special values: result 0: 0.0 against nan"),
    ],
)
def test_wrong_expression_is_caught(lower, words):
    is_caught(softsign(lower=lower), "lowering = kernel", words)


def test_right_expression_passes():
    assert check_op(softsign(lower=lambda x: x / (1 + abs(x))))


def test_wrong_expansion_is_caught():
    is_caught(scaled(lower=lambda x, y: exp(x) + y), "lowering = kernel", "result 0: ")


def test_lost_precision_is_caught():
    is_caught(elementwise("toy_double(x)", lambda x: (np.float64(2) * x).astype("f8"), kinds="f", x=lambda g: g * 2), "float")


def test_undeclared_error_is_caught():
    toy = linear("toy_reshape(x, *, shape)", lambda x, *, shape: x.reshape(shape), shape=into_shape, shares=True,
        x=lambda g, x_shape: reshape(g, shape=x_shape),
        samples=lambda: [
            Sample((2, 3), shape=(3, 2)),
            Sample((2,), shape=(3,), error=(IndexError, "no such shape")),
        ])  # fmt: skip
    is_caught(toy, "declared error", "against IndexError: no such shape")


def test_op_without_samples_and_other_things_are_refused():
    with pytest.raises(ValueError, match="toy_bare has no samples"):
        check_op(op("toy_bare(x)", np.exp, jvp=lambda x_dot, out: x_dot * out, x=lambda g, out: mul(g, out)))
    with pytest.raises(TypeError, match="takes an op"):
        check_op(np.exp)

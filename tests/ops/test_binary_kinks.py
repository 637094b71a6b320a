"""Binary and ternary functions at their kinks, on integers and bools, in place and as operators are as PyTorch's."""

from __future__ import annotations

import math
import operator
from itertools import product

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.func import jvp

torch = pytest.importorskip("torch")
NAN, INF = math.nan, math.inf

# Values of the two inputs, and the derivative in each.
KINKS = [
    ("maximum", (2.0, 2.0), (0.5, 0.5)), ("maximum", (NAN, 1.0), (1, 1)), ("maximum", (1.0, NAN), (1, 1)),
    ("minimum", (2.0, 2.0), (0.5, 0.5)), ("minimum", (NAN, 1.0), (1, 1)),
    ("fmax", (2.0, 2.0), (1, 0)), ("fmax", (NAN, 1.0), (0, 1)), ("fmax", (1.0, NAN), (1, 0)),
    ("fmin", (2.0, 2.0), (1, 0)), ("fmin", (NAN, 1.0), (0, 1)),
    ("fmod", (4.0, 2.0), (1, -2)), ("remainder", (4.0, 2.0), (1, -2)), ("fmod", (-5.0, 3.0), (1, 1)),
    ("remainder", (-5.0, 3.0), (1, 2)),
    ("atan2", (0.0, 0.0), (0, 0)), ("atan2", (0.0, -1.0), (-1, 0)), ("hypot", (0.0, 0.0), (NAN, NAN)), ("hypot", (3.0, 4.0),
    (0.6, 0.8)),
    ("xlogy", (0.0, 1.0), (0, 0)), ("xlogy", (0.0, 0.0), (0, NAN)), ("xlogy", (0.0, -1.0), (0, 0)), ("xlogy", (2.0, 0.0),
    (-INF, INF)),
    ("copysign", (0.0, -1.0), (0, 0)), ("copysign", (2.0, -0.0), (-1, 0)), ("copysign", (-2.0, -1.0), (1, 0)),
    ("logaddexp", (-INF, -INF), (NAN, NAN)), ("logaddexp", (0.0, -INF), (1, 0)), ("logaddexp", (900.0, -900.0), (1, 0)),
    ("logaddexp2", (0.0, 0.0), (0.5, 0.5)),
    ("pow", (0.0, 0.0), (0, 0)), ("pow", (0.0, 1.0), (1, 0)), ("pow", (0.0, 2.0), (0, 0)), ("pow", (-2.0, 3.0), (12, NAN)),
    ("pow", (0.0, 0.5), (INF, 0)), ("pow", (0.0, -1.0), (-INF, -INF)),
    ("clamp_min", (1.0, 1.0), (1, 0)), ("clamp_max", (1.0, 1.0), (1, 0)), ("clamp_min", (NAN, 1.0), (0, 0)),
    ("nextafter", (1.0, 2.0), (1, 0)), ("nextafter", (2.0, 2.0), (0, 0)),
    ("div", (1.0, 0.0), (INF, -INF)), ("div", (0.0, 0.0), (INF, NAN)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "at", "slopes"), KINKS)
def test_derivatives_at_a_kink(name, at, slopes):
    xs = [cr.tensor(v, dtype=cr.float64, requires_grad=True) for v in at]
    ts = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in at]
    y, z = getattr(cr, name)(*xs), getattr(torch, name)(*ts)
    np.testing.assert_equal(y.item(), z.item())
    ours, theirs = cr.autograd.grad(y, xs), torch.autograd.grad(z, ts)
    np.testing.assert_allclose([g.item() for g in ours], [h.item() for h in theirs], rtol=1e-14)
    np.testing.assert_allclose([g.item() for g in ours], slopes, rtol=1e-14)


@pytest.mark.parametrize(("name", "at", "slopes"), [k for k in KINKS if np.isfinite(k[2]).all()])
def test_forward_mode_at_a_kink(name, at, slopes):
    xs = tuple(cr.tensor(v, dtype=cr.float64) for v in at)
    for i, slope in enumerate(slopes):
        _, tangent = jvp(getattr(cr, name), xs, tuple(cr.tensor(float(i == k), dtype=cr.float64) for k in range(2)))
        assert tangent.item() == pytest.approx(slope)


CLAMPS = [
    (1.0, -1.0, 1.0), (-1.0, -1.0, 1.0), (0.0, -1.0, 1.0), (2.0, -1.0, 1.0), (-2.0, -1.0, 1.0), (0.0, 1.0, -1.0),
    (1.0, 1.0, 1.0),
    (NAN, -1.0, 1.0), (3.0, 3.0, 2.0),
]  # fmt: skip


@pytest.mark.parametrize("at", CLAMPS)
def test_clamp_with_tensor_bounds(at):
    xs = [cr.tensor(v, requires_grad=True) for v in at]
    ts = [torch.tensor(v, requires_grad=True) for v in at]
    y, z = cr.clamp(*xs), torch.clamp(*ts)
    np.testing.assert_equal(y.item(), z.item())
    assert [g.item() for g in cr.autograd.grad(y, xs)] == [h.item() for h in torch.autograd.grad(z, ts)]


@pytest.mark.parametrize("bounds", [{"min": -1.0, "max": 1.0}, {"min": 0.5}, {"max": 0.5}, {"min": 1, "max": -1}])
def test_clamp_with_numbers(bounds):
    values = [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, NAN]
    x, t = cr.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, z = cr.clamp(x, **bounds), torch.clamp(t, **bounds)
    np.testing.assert_equal(y.tolist(), z.tolist())
    y.sum().backward()
    z.sum().backward()
    at_bounds = slice(None) if bounds.get("min", 0) != 1 else slice(0, 0)  # PyTorch's own two kernels disagree where min > max
    assert x.grad.tolist()[at_bounds] == t.grad.tolist()[at_bounds]


def test_rounded_division_has_derivative_zero():
    for mode in ("floor", "trunc"):
        x, y = cr.tensor([7.5, -7.5, INF], requires_grad=True), cr.tensor(2.0, requires_grad=True)
        cr.div(x, y, rounding_mode=mode).sum().backward()
        assert x.grad.tolist() == [0, 0, 0]
        assert y.grad.item() == 0


def test_power_with_number_base_keeps_its_dtype():
    for base in (2, 2.5, 0, -2.0):
        x = cr.tensor([1.0, 2.0], requires_grad=True)
        t = torch.tensor([1.0, 2.0], requires_grad=True)
        (base**x).sum().backward()
        (base**t).sum().backward()
        assert x.grad.dtype is cr.float32
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-6)


def test_second_derivative_of_logaddexp_does_not_overflow():
    x, y = cr.tensor(800.0, requires_grad=True), cr.tensor(-800.0)
    (g,) = cr.autograd.grad(cr.logaddexp(x, y), x, create_graph=True)
    assert cr.autograd.grad(g, x)[0].item() == 0


def test_a_derivative_in_an_order_raises_when_it_is_asked_for():
    n, x = cr.tensor(2.0, requires_grad=True), cr.tensor(1.0, requires_grad=True)
    for f in (cr.special.jv, cr.special.expn):
        with pytest.raises(NotImplementedError, match="order' is not implemented"):
            f(n, x).backward()
        with pytest.raises(NotImplementedError, match="order' is not implemented"):
            jvp(lambda n, f=f: f(n, x.detach()), (n.detach(),), (cr.tensor(1.0),))
        with cr.no_grad():
            f(n, x)


def test_incomplete_gamma_has_pytorchs_derivative():
    for name in ("igamma", "igammac"):
        t = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
        v = cr.tensor([0.5, 2.0], dtype=cr.float64, requires_grad=True)
        getattr(torch, name)(torch.tensor([1.5, 3.0], dtype=torch.float64), t).sum().backward()
        getattr(cr, name)(cr.tensor([1.5, 3.0], dtype=cr.float64), v).sum().backward()
        np.testing.assert_allclose(v.grad.numpy(), t.grad.numpy(), rtol=1e-12)


# -- dtypes ------------------------------------------------------------------------------------------------------------

VALUES = {
    "bool": [True, False], "uint8": [1, 3], "int32": [-7, 5], "int64": [9, -2], "float32": [-1.5, 2.0], "float64": [0.5, 3.0],
    "complex64": [1 + 2j, -1j],
}  # fmt: skip
FUNCTIONS = [
    "add", "sub", "mul", "div", "pow", "float_power", "floor_divide", "remainder", "fmod", "maximum", "minimum", "fmax",
    "fmin", "atan2",
    "copysign", "hypot", "logaddexp", "xlogy", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm", "clamp_min", "ldexp",
    "heaviside",
]  # fmt: skip
# PyTorch refuses these, and we compute; or the other way round, for values that have no meaning.
WIDER = {
    "hypot",
    "lcm",
    "gcd",
    "heaviside",
    "clamp_min",
    "fmod",
    "remainder",
    "floor_divide",
    "logaddexp",
    "pow",
    "copysign",
    "ldexp",
    "bitwise_left_shift",
    "bitwise_right_shift",
}


@by_name("call", list(product(FUNCTIONS, VALUES, VALUES)), operator.itemgetter(0))
def test_promotion(call):
    name, first, second = call
    xs = [cr.tensor(VALUES[d], dtype=getattr(cr, d)) for d in (first, second)]
    ts = [torch.tensor(VALUES[d], dtype=getattr(torch, d)) for d in (first, second)]
    try:
        theirs = getattr(torch, name)(*ts)
    except RuntimeError:
        if name in WIDER:
            return
        with pytest.raises(RuntimeError):
            getattr(cr, name)(*xs)
        return
    ours = getattr(cr, name)(*xs)
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


REFUSALS = [
    (operator.sub, ([True], [True]), "Subtraction, the `-` operator, with two bool tensors is not supported. "),
    (operator.sub, ([True], [1.0]), "Subtraction, the `-` operator, with a bool tensor is not supported. "),
    (operator.floordiv, ([1], [0]), "ZeroDivisionError"), (operator.mod, ([1], [0]), "ZeroDivisionError"),
    (operator.and_, ([1.0], [1.0]), '"bitwise_and_cpu" not implemented for \'Float\''),
    (operator.lshift, ([1.0], [1.0]), '"lshift_cpu" not implemented for \'Float\''),
    (operator.lt, ([1j], [1j]), '"lt'), (operator.add, ([1.0, 2.0], [1.0, 2.0, 3.0]), "The size of tensor a (2) must match"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "values", "words"), REFUSALS)
def test_refusals(f, values, words):
    with pytest.raises(RuntimeError) as theirs:
        f(*map(torch.tensor, values))
    with pytest.raises(theirs.type) as ours:
        f(*map(cr.tensor, values))
    assert str(ours.value).startswith(words)
    assert str(theirs.value).startswith(words)


def test_refusals_with_numbers():
    mask = cr.tensor([True, False])
    for f in (lambda: 1 - mask, lambda: mask - 1):
        with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
            f()
    with pytest.raises(RuntimeError, match="Negation, the `-` operator, on a bool tensor"):
        operator.neg(mask)
    with pytest.raises(RuntimeError, match="Integers to negative integer powers"):
        operator.pow(cr.tensor([2]), -1)
    for mode in (None, "floor", "trunc"):
        if mode:
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                cr.div(cr.tensor([1]), 0, rounding_mode=mode)
    with pytest.raises(RuntimeError, match="alpha must not be a floating point"):
        cr.add(cr.tensor([1]), cr.tensor([1]), alpha=0.5)


# -- operators ---------------------------------------------------------------------------------------------------------

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
             operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]  # fmt: skip
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("f", OPERATORS + BITS)
def test_operator_and_its_reflection(f):
    values, number = ([1, 6, 3], 2) if f in BITS else ([1.5, 2.0, 3.0], 2)
    x, t = cr.tensor(values), torch.tensor(values)
    for ours, theirs in ((f(x, number), f(t, number)), (f(number, x), f(number, t)), (f(x, x), f(t, t))):
        assert ours.tolist() == theirs.tolist()
        assert str(ours.dtype)[10:] == str(theirs.dtype)[6:]
    assert f(x, np.array(values, x.numpy().dtype)).tolist() == f(t, t).tolist()


@pytest.mark.parametrize(
    "name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "ilshift", "irshift"]
)
def test_in_place_operator_writes(name):
    values = [1, 6, 3] if name[1:] in ("and", "or", "xor", "lshift", "rshift") else [1.5, 2.0, 3.0]
    x, t = cr.tensor(values), torch.tensor(values)
    y, memory = x, x.numpy()
    x, t = getattr(operator, name)(x, 2), getattr(operator, name)(t, 2)
    assert x is y
    assert memory.tolist() == t.tolist() == x.tolist()
    assert x._version == 1


def test_in_place_operator_on_a_leaf_raises():
    x = cr.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        x += 1


def test_foreign_operands():
    x = cr.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    assert hash(x) == hash(x)
    for f in (operator.add, operator.lt, operator.and_):
        with pytest.raises(TypeError):
            f(x, "a")
    with pytest.raises(TypeError):
        x += None


IN_PLACE = [
    ("add_", ([3.0, 4.0],), {"alpha": 2}), ("sub_", ([3.0, 4.0],), {"alpha": 2}), ("mul_", (3,), {}),
    ("div_", (2,), {"rounding_mode": "floor"}),
    ("pow_", (2,), {}), ("clamp_", (0.0, 1.0), {}), ("clamp_min_", (1.5,), {}), ("fmod_", (2,), {}), ("remainder_", (2,), {}),
    ("lerp_", ([5.0, 5.0], 0.5), {}), ("addcmul_", ([1.0, 2.0], [3.0, 4.0]), {"value": 0.5}),
    ("addcdiv_", ([1.0, 2.0], [3.0, 4.0]), {}),
    ("copysign_", (-1,), {}), ("atan2_", ([1.0, 1.0],), {}), ("xlogy_", (2,), {}), ("hypot_", ([1.0, 2.0],), {}),
    ("eq_", (1.5,), {}),
    ("gt_", (1.6,), {}), ("float_power_", (2,), {}), ("masked_fill_", ([True, False], 9), {}),
    ("logical_and_", ([0.0, 1.0],), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "params"), IN_PLACE)
def test_in_place_method(name, args, params):
    dtype = "float64" if name == "float_power_" else "float32"
    x, t = cr.tensor([1.5, 2.5], dtype=getattr(cr, dtype)), torch.tensor([1.5, 2.5], dtype=getattr(torch, dtype))
    lift = lambda tensor: [tensor(a) if isinstance(a, list) else a for a in args]
    assert getattr(x, name)(*lift(cr.tensor), **params) is x
    getattr(t, name)(*lift(torch.tensor), **params)
    np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=1e-6)
    assert str(x.dtype)[10:] == str(t.dtype)[6:]


# -- choosing and comparing --------------------------------------------------------------------------------------------


def test_where_gives_indices_of_a_condition_alone():
    c = np.array([[True, False], [True, True]])
    ours, theirs = cr.where(cr.tensor(c)), torch.where(torch.tensor(c))
    assert [i.tolist() for i in ours] == [i.tolist() for i in theirs]
    assert cr.where(cr.tensor(True))[0].tolist() == [0]


@pytest.mark.parametrize("values", [(1, 2), (1.0, 2), (1j, 2)])
def test_where_of_numbers(values):
    c = [True, False]
    ours, theirs = cr.where(cr.tensor(c), *values), torch.where(torch.tensor(c), *values)
    assert ours.tolist() == theirs.tolist()
    assert str(ours.dtype)[10:] == str(theirs.dtype)[6:]


def test_where_keeps_the_known_trap():
    x = cr.tensor([0.0, -1.0, 4.0], requires_grad=True)
    cr.where(x > 0, cr.sqrt(x), x).sum().backward()
    np.testing.assert_equal(x.grad.tolist(), [NAN, NAN, 0.25])


def test_masked_fill_keeps_the_dtype():
    mask = [True, False]
    for values, fill in (([1, 2], 1.5), ([1.0, 2.0], 7), ([True, False], 1)):
        ours = cr.tensor(values).masked_fill(cr.tensor(mask), fill)
        theirs = torch.tensor(values).masked_fill(torch.tensor(mask), fill)
        assert ours.tolist() == theirs.tolist()
        assert str(ours.dtype)[10:] == str(theirs.dtype)[6:]
    value = cr.tensor(3.0, requires_grad=True)
    cr.ones(2, 2).masked_fill(cr.tensor(mask), value).sum().backward()
    assert value.grad.item() == 2


@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose_of_strange_values(equal_nan):
    a, b = [NAN, INF, INF, 1.0, 0.0], [NAN, INF, -INF, 1.0 + 1e-6, 1e-9]
    assert (
        cr.isclose(cr.tensor(a), cr.tensor(b), equal_nan=equal_nan).tolist()
        == torch.isclose(torch.tensor(a), torch.tensor(b), equal_nan=equal_nan).tolist()
    )
    assert cr.isclose(cr.tensor([1, 5]), cr.tensor([1, 4])).tolist() == [True, False]
    with pytest.raises(RuntimeError, match="Float did not match Long"):
        cr.isclose(cr.tensor([1.0]), cr.tensor([1]))


def test_equal_and_allclose_are_python_bools():
    assert cr.equal(cr.tensor([1.0]), cr.tensor([1.0])) is True
    assert cr.equal(cr.tensor([1.0]), cr.tensor([1.0, 1.0])) is False
    assert cr.allclose(cr.tensor([1.0]), cr.tensor([1.0, 1.1])) is False

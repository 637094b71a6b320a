"""NaN, infinities, zeros of both signs, subnormals, kinks: one answer by every way, the reference's, and PyTorch's."""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing import OpError, cases, extremes
from chainrule.testing.case import load_modules
from chainrule.testing.derive import payload

load_modules("chainrule")
REAL = ["float64", "float32"]
KINKS = (0.1, 20.0)


def tried(dtypes):
    """Return the cases of different parameters: the laws bring points of their own, so other samples say no more."""
    found = {}
    for case in cases(dtypes=dtypes):
        if extremes.is_tried(case):
            found.setdefault((case.op.name, case.dtype, repr(sorted(case.params.items()))), case)
    return list(found.values())


@by_name("case", tried([*REAL, "complex128"]))
def test_one_derivative(case):
    extremes.one_derivative_at_special_values(case)


@pytest.mark.slow
@by_name("case", tried([*REAL, "complex128"]))
def test_one_derivative_where_every_point_is_asked_alone(case, monkeypatch):
    monkeypatch.setattr(extremes, "ALONE", extremes.SEVERAL)
    extremes.one_derivative_at_special_values(case)


@by_name("case", tried(REAL))
def test_value_is_the_reference(case):
    extremes.value_is_the_reference_at_special_values(case)


# -- public functions that are composed of ops, as programs of either library ------------------------------------------

F = lambda name, *args: lambda lib, *x: getattr(lib.nn.functional, name)(*x, *args)
T = lambda name, *args, **kwargs: lambda lib, *x: getattr(lib, name)(*x, *args, **kwargs)
L = lambda name: lambda lib, x, y: getattr(lib.nn.functional, name)(x, y, reduction="none")

# name: (number of inputs, program)
COMPOSED = {
    **{f"F.{name}": (1, F(name)) for name in (
        "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu",
        "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    )},
    "F.elu alpha": (1, F("elu", 2.0)), "F.celu alpha": (1, F("celu", 0.5)), "F.celu negative": (1, F("celu", -1.0)),
    "F.gelu tanh": (1, lambda lib, x: lib.nn.functional.gelu(x, approximate="tanh")),
    "F.softplus beta": (1, F("softplus", 2.0, 3.0)), "F.threshold": (1, F("threshold", 0.5, 2.0)),
    "F.softshrink 0": (1, F("softshrink", 0.0)), "F.hardtanh tight": (1, F("hardtanh", 0.5, 0.5)),
    "F.prelu": (2, lambda lib, x, w: lib.nn.functional.prelu(x.reshape(1, -1), w.reshape(-1)).reshape(x.shape)),
    **{f"F.{name}": (2, L(name)) for name in (
        "binary_cross_entropy_with_logits", "huber_loss", "kl_div", "l1_loss", "mse_loss", "smooth_l1_loss",
    )},
    **{name: (2, T(name)) for name in ("add", "sub", "rsub", "div", "float_power", "ldexp")},
    "add alpha": (2, T("add", alpha=2.0)), "div trunc": (2, T("div", rounding_mode="trunc")),
    "div floor": (2, T("div", rounding_mode="floor")),
    **{name: (3, T(name)) for name in ("addcdiv", "addcmul", "clamp", "lerp")},
    "lerp number": (2, T("lerp", 0.3)), "clamp numbers": (1, T("clamp", -1.0, 2.0)),
    "where": (2, lambda lib, x, y: lib.where(x > y, x, y * 2)),
    **{name: (1, T(name)) for name in ("logit", "nan_to_num", "positive", "round")},
    "logit eps": (1, T("logit", eps=0.1)), "round decimals": (1, T("round", decimals=2)), "mvlgamma": (1, T("mvlgamma", 3)),
    **{f"polygamma {n}": (1, lambda lib, x, n=n: lib.polygamma(n, x)) for n in (0, 1, 2, 3)},
    **{f"x ** {p:.3g}": (1, lambda lib, x, p=p: x**p) for p in (0, 1, 2, 3, -1, -2, 0.5, -0.5, 1 / 3)},
    **{f"{b} ** x": (1, lambda lib, x, b=b: b**x) for b in (0, 1, 2, -1, 0.5)},
    **{text: (1, lambda lib, x, text=text: eval(text)) for text in (
        "x * 2", "3 / x", "x / 3", "x + 1", "1 - x", "x % 2", "2 % x", "abs(x)", "-x",
    )},
}  # fmt: skip
PUBLIC = {
    name: (len(function.call.op.inputs), T(name))
    for name, function in FUNCTIONS.items()
    if hasattr(function.call, "op") and "f" in function.kinds and function.call.op.is_differentiable and "." not in name
}
UNDERIVED = {"floor_divide", "heaviside"}  # whose derivative raises, as PyTorch's
PROGRAMS = {name: p for name, p in {**COMPOSED, **PUBLIC}.items() if name not in UNDERIVED}


def points(inputs, dtype):
    return extremes.combinations_of(extremes.special_values(dtype, KINKS), inputs, np.random.default_rng(7))


@pytest.mark.parametrize("dtype", REAL)
@by_name("name", COMPOSED, str)
def test_composed_functions_have_one_derivative(name, dtype):
    inputs, program = COMPOSED[name]
    at = points(inputs, dtype)
    if name == "F.kl_div":  # log(1 + e) + 1 - 1 cancels, differently in each mode
        at = [x[(np.abs(at[1] - 1) > 1e-3) | np.isnan(at[1])] for x in at]
    wrong = extremes.disagreement(lambda *x: program(cr, *x), at, range(inputs))
    assert wrong is None, wrong


# -- values by a library of its own ------------------------------------------------------------------------------------


def by(f):
    """Return a function of numbers as one of arrays; where Python raises, NaN outside the domain, infinity beyond the range."""

    def one(*x):
        try:
            return f(*map(float, x))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return lambda *xs: np.array([one(*x) for x in zip(*xs, strict=True)])


def at_zero(f, value):
    """Return f with its value at 0, where Python raises."""
    return lambda x: value if x == 0 else f(x)


def lgamma(x):
    if math.isfinite(x) and x <= 0 and x == math.floor(x):
        return math.inf
    return -np.euler_gamma * (x - 1) if abs(x - 1) < 1e-9 else math.lgamma(x)  # Python's has no digit there


# C's library computes these; in float32 the result is rounded.
REFERENCES = {
    "acos": math.acos, "acosh": math.acosh, "asin": math.asin, "asinh": math.asinh, "atan": math.atan, "cos": math.cos,
    "cosh": math.cosh, "erf": math.erf, "erfc": math.erfc, "exp": math.exp, "exp2": math.exp2, "expm1": math.expm1,
    "lgamma": lgamma, "log": at_zero(math.log, -math.inf), "log10": at_zero(math.log10, -math.inf),
    "log1p": lambda x: -math.inf if x == -1 else math.log1p(x), "log2": at_zero(math.log2, -math.inf), "sin": math.sin,
    "sinh": lambda x: math.copysign(math.sinh(min(abs(x), 711.0)), x) if math.isfinite(x) else x,
    "sqrt": math.sqrt, "tan": math.tan, "tanh": math.tanh,
    "atanh": lambda x: math.copysign(math.inf, x) if abs(x) == 1 else math.atanh(x),
    "atan2": math.atan2, "copysign": math.copysign, "fmod": math.fmod, "hypot": math.hypot,
    "F.elu": lambda x: x if not x <= 0 else math.expm1(x),
    "F.hardswish": lambda x: x * (min(max(x, -3.0), 3.0) / 6 + 0.5) if x == x else x,
    "F.gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "F.softsign": lambda x: x / (1 + abs(x)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", REAL)
@by_name("name", REFERENCES, str)
def test_values_are_the_c_librarys(name, dtype):
    inputs, program = PROGRAMS[name]
    at = points(inputs, dtype)
    with np.errstate(all="ignore"):
        expected = by(REFERENCES[name])(*at).astype(dtype)
    wrong = extremes.first_difference(payload(program(cr, *map(wrap, at))), expected, at, extremes.ROUNDING[dtype])
    assert wrong is None, wrong


# -- PyTorch's ---------------------------------------------------------------------------------------------------------

VALUE = "value"
beyond = lambda dtype: np.finfo(dtype).max / 1e3
huge = lambda *x: np.any([np.abs(a) > beyond(a.dtype) for a in x], axis=0)
small = lambda *x: np.any([np.abs(a) < 1e-3 for a in x], axis=0)
below = lambda x: x < 0.5
everywhere = lambda *x: np.ones(x[0].shape, bool)

# (names, what differs: "value" or the input of a derivative, where), and why PyTorch's is not taken.
EXCEPTIONS = [
    (("F.gelu",), VALUE, lambda x: (x < -2) | np.isposinf(x), "1 + erf cancels where the result is small, and is NaN at inf"),
    (("F.gelu", "F.gelu tanh"), 0, lambda x: x < -2, "its distribution function has no correct digit there"),
    (("F.gelu tanh",), VALUE, lambda x: x < -2, "1 + tanh cancels"),
    (("F.hardsigmoid",), 0, lambda x: np.abs(x) < 3, "1/6 is rounded to float32"),
    (("F.binary_cross_entropy_with_logits",), VALUE, lambda x, y: (x < -5) | np.isinf(y) | huge(x),
     "x - log(exp(x)) cancels"),
    (("F.binary_cross_entropy_with_logits",), 0, lambda x, y: y == 1, "sigmoid - 1 cancels"),
    (("add alpha", "addcmul", "lerp"), VALUE, huge, "multiplied and added in one rounding, it does not overflow between"),
    (("addcmul",), VALUE, lambda x, y, z: np.abs(x + y * z) < 1e-3, "multiplied and added in one rounding"),
    (("addcdiv",), 2, everywhere, "the divisor's square underflows or overflows"),
    (("polygamma 0", "digamma"), 0, below, "its trigamma has no digit near poles, and NaN for large negative numbers"),
    (("polygamma 1",), VALUE, below, "its trigamma has no digit near poles, and NaN for large negative numbers"),
    (("polygamma 1", "polygamma 2", "polygamma 3"), 0, np.isinf, "NaN at inf, where the limit is 0; at -inf there is none"),
    (("polygamma 2", "polygamma 3"), VALUE, np.isinf, "NaN at inf, where the limit is 0; at -inf there is none"),
    (("logaddexp2",), VALUE, lambda x, y: np.abs(x - y) < 1e-3, "a logarithm of base e, divided by log(2), near 0"),
    (("acosh", "arccosh"), 0, lambda x: x < 1, "a number though the value is NaN"),
    (("sinc",), 0, lambda x: small(x) | (np.abs(x) > 1e9), "cancels near 0, where it gives 0"),
    (("fmod", "remainder"), VALUE, everywhere, "NaN where the quotient overflows or has more digits than the dtype"),
    (("atan2", "arctan2"), 0, small, "the sum of squares underflows"),
    (("atan2", "arctan2"), 1, small, "the sum of squares underflows"),
    (("F.softplus", "F.logsigmoid"), 0, huge, "one is subnormal"),
]  # fmt: skip
NOT_PYTORCHS = {"2 % x"}  # PyTorch has no derivative


def of_numbers_and_arrays(torch, name, at):
    """Return PyTorch's answers, value and derivatives: of all points together, and of each alone.

    Its vectorised and its plain loops give other derivatives at NaN, of elu and hardtanh for example.
    """
    program = PROGRAMS[name][1] if name in COMPOSED else getattr(torch, name)
    run = (lambda *x: program(torch, *x)) if name in COMPOSED else program

    def answers(arrays):
        xs = [torch.tensor(x.copy()).requires_grad_() for x in arrays]
        out = run(*xs)
        gs = torch.autograd.grad(out, xs, torch.ones_like(out), allow_unused=True) if out.requires_grad else [None] * len(xs)
        return [
            out.numpy(force=True),
            *[np.zeros_like(x) if g is None else g.numpy(force=True) for x, g in zip(arrays, gs, strict=True)],
        ]

    single = [answers([x[i : i + 1] for x in at]) for i in range(len(at[0]))]
    return answers(at), [np.concatenate(parts) for parts in zip(*single, strict=True)]


def excused(name, what, at):
    found = np.zeros(at[0].shape, bool)
    for names, of, where, _ in EXCEPTIONS:
        if name in names and of == what:
            with np.errstate(all="ignore"):
                found |= where(*at)
    return found


def is_quick(name, dtype):
    return PROGRAMS[name][0] == 1 and dtype == "float64"


COMPARED = [(name, dtype) for name in PROGRAMS if name not in NOT_PYTORCHS for dtype in REAL]


@by_name("case", [case for case in COMPARED if is_quick(*case)], itemgetter(0))
def test_values_and_gradients_are_pytorchs(torch, case):
    are_pytorchs(torch, *case)


@pytest.mark.slow
@by_name("case", [case for case in COMPARED if not is_quick(*case)], itemgetter(0))
def test_values_and_gradients_of_the_rest_are_pytorchs(torch, case):
    are_pytorchs(torch, *case)


def are_pytorchs(torch, name, dtype):
    inputs, program = PROGRAMS[name]
    at = points(inputs, dtype)
    together, alone = of_numbers_and_arrays(torch, name, at)
    xs = [wrap(x.copy()).requires_grad_() for x in at]
    out = program(cr, *xs)
    gs = cr.autograd.grad(out, xs, cr.ones_like(out), allow_unused=True) if out.requires_grad else [None] * inputs
    found = [payload(out.detach()), *[np.zeros_like(x) if g is None else payload(g) for x, g in zip(at, gs, strict=True)]]
    tolerance = extremes.ROUNDING[dtype]
    for what, ours, many, one in zip((VALUE, *range(inputs)), found, together, alone, strict=True):
        bad = extremes.differing(ours, many, tolerance) & extremes.differing(ours, one, tolerance) & ~excused(name, what, at)
        i = int(np.argmax(bad))
        where = [float(x[i]) for x in at]
        assert not bad.any(), f"{what} at {where}: {ours[i]}, PyTorch {many[i]} of many, {one[i]} of one"


def test_laws_catch_what_they_are_for():
    """A rule that is right in reverse mode alone, or on arrays alone, or a value that is not the reference's."""
    from chainrule.core.op.declaration import TABLE, elementwise

    trap = lambda x: cr.where(x > 0, x, cr.expm1(cr.clamp_max(x, 0)))  # what elu was: NaN forward, 0 reverse
    at = points(1, "float64")
    assert "forward mode, and reverse mode: nan against 0.0 at (nan)" in extremes.disagreement(trap, at, [0])
    assert "value of numbers, and of arrays" in extremes.disagreement(lambda x: x**0.5 if x.ndim else x * 0, at, [])
    toy = elementwise("toy_special(x)", np.sqrt, kinds="f", reference=lambda x: np.where(x > 0, np.sqrt(x), 0))
    try:
        with pytest.raises(OpError, match="'value = reference at special values'.*nan against 0.0 at"):
            extremes.value_is_the_reference_at_special_values(cases([toy.op], "f")[0])
    finally:
        del TABLE["toy_special"]

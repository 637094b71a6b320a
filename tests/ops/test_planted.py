"""Special values planted among the inputs of reductions, scans, products, sorting, losses: one answer, PyTorch's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from tests.each import by_name, is_drawn

import chainrule as cr
from chainrule.core.op.declaration import TABLE, op
from chainrule.core.op.results import first, like_first
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.ops.indexing.select import where
from chainrule.testing import OpError, cases, planted
from chainrule.testing.case import is_floating, load_modules
from chainrule.testing.compare import gap
from chainrule.testing.extremes import ROUNDING

load_modules("chainrule")


TRIED = [case for case in cases(dtypes=["float64", "float32"], differentiable=True) if planted.is_planted(case)]
FIRST = [case for case in TRIED if case.index == 0 and case.dtype == np.float64]


@by_name("case", TRIED, fast=1)
def test_one_gradient(case):
    planted.one_gradient_at_special_values(case)


@by_name("case", FIRST[::12])  # half a minute for all
def test_one_jacobian(case):
    planted.one_jacobian_at_special_values(case)


@pytest.mark.slow
@by_name("case", TRIED, share=3)
def test_one_jacobian_of_all(case):
    planted.one_jacobian_at_special_values(case)


@pytest.fixture
def toy():
    yield lambda **rules: cases(
        [
            op(
                "toy_peak(x)",
                lambda x: x / x.max(),
                kinds="f",
                shape=first,
                dtype=like_first,
                samples=lambda: [Sample((3,))],
                **rules,
            ).op
        ]
    )[0]
    del TABLE["toy_peak"]


def test_rule_that_loses_a_nan_is_caught(toy):
    """Forward mode carries a NaN on to all that comes later; in reverse it stays where it is."""
    case = toy(jvp=lambda x_dot, x: x_dot + 0 * x[:1], x=lambda g, x: g)
    with pytest.raises(OpError, match=r"one NaN in x: input x: d out\[0\] / d x\[0\] is nan forward, 1.0 in reverse"):
        planted.one_jacobian_at_special_values(case)


def test_rule_that_differs_on_tensors_is_caught(toy):
    rule = lambda g, x: np.where(x == x, g, 0) if isinstance(x, np.ndarray) else where(x == x, g, np.nan)
    case = toy(jvp=lambda x_dot, x: rule(x_dot, x), x=rule)
    with pytest.raises(OpError, match="rules on tensors, and on arrays: answer 1: nan against 0.0"):
        planted.one_gradient_at_special_values(case)


# -- PyTorch's ---------------------------------------------------------------------------------------------------------

CLASSES = np.array([1, 0, 3])
FUNCTIONAL = {
    "cross_entropy": [((3, 4), CLASSES, {}), ((3, 4), CLASSES, {"ignore_index": 0, "reduction": "none"}),
                      ((3, 4), CLASSES, {"label_smoothing": 0.2}), ((3, 4), (3, 4), {}), ((4,), np.array(2), {})],
    "nll_loss": [((3, 4), CLASSES, {}), ((3, 4), CLASSES, {"reduction": "sum", "ignore_index": 1})],
    "softmin": [((3, 4), {"dim": 1}), ((3, 4), {"dim": 0})], "glu": [((3, 4), {})], "linear": [((3, 4), (2, 4), {})],
    **{name: [((3, 4), (3, 4), {})] for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")},
}  # fmt: skip


# Elementwise functions: they have laws and a file of their own, test_special_values.py.
ELSEWHERE = {
    "add", "addcdiv", "addcmul", "celu", "clamp", "clamp_max", "clamp_min", "clip", "div", "divide", "float_power",
    "hardshrink", "igamma", "igammac", "ldexp", "lerp", "logit", "mvlgamma", "nan_to_num", "polygamma", "positive", "prelu",
    "round", "rsub", "selu", "sub", "subtract", "threshold", "true_divide",
}  # fmt: skip


# PyTorch's and ours leave to LAPACK, FFT and BLAS in different pieces what becomes of a number that is not finite.
IN_LIBRARIES = {
    "cdist", "cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "istft", "logdet", "lu", "lu_solve",
    "lu_unpack", "matrix_exp", "matrix_power", "native_channel_shuffle", "nuclear_norm", "orgqr", "ormqr", "pinverse",
    "qr", "slogdet", "stft", "svd", "triangular_solve", "vander",
}  # fmt: skip


def calls():
    """Return (name, place among the samples, arguments, keywords, function's domain) of public functions, in which to plant."""
    found = []
    for name, function in FUNCTIONS.items():
        op_ = getattr(function.call, "op", None)
        if op_ is None and "f" in function.kinds and name not in ELSEWHERE | IN_LIBRARIES:
            samples = [s for s in function.samples() if s.error is None and "f" in (s.kinds or "f")]
            found += [(name, k, s.draw(np.random.default_rng(k), "float64", function.domain)) for k, s in enumerate(samples)]
    for name, rows in FUNCTIONAL.items():
        draw = lambda rng, a: rng.normal(size=a) if isinstance(a, tuple) else a
        found += [
            (f"F.{name}", k, ([draw(np.random.default_rng([k, i]), a) for i, a in enumerate(args)], kwargs))
            for k, (*args, kwargs) in enumerate(rows)
        ]
    found = [
        c for c in found if c[2][1].get("p") != "nuc" and "nuc" not in [a for a in c[2][0] if isinstance(a, str)]
    ]  # LAPACK's
    found = [c for c in found if all(a.size for a in arrays(c[2][0])) and arrays(c[2][0])]
    swept = [() if c[1] == 0 or is_drawn(c[:2], share=3) else pytest.mark.sweep for c in found]
    return [pytest.param(*c, id=f"{c[0]}-{c[1]}", marks=mark) for c, mark in zip(found, swept, strict=True)]


def arrays(value):
    """Return the floating arrays in nested arguments."""
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays(v)]
    return [value] if is_floating(value) else []


def replaced(value, new):
    """Return nested arguments with their floating arrays replaced, from the front of a list."""
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(v, new) for v in value)
    return new.pop(0) if is_floating(value) else value


def variants(args, dtype):
    """Yield (name, arguments) with special values planted in one array or another, and in all."""
    given = [np.array(a, dtype) for a in arrays(args)]
    for name, plant in planted.PLANTS.items():
        changed = [a.copy() for a in given]
        for a in changed:
            plant(a.reshape(-1))
        for i, a in enumerate(changed):
            yield f"{name} in array {i}", replaced(args, [a if i == j else b for j, b in enumerate(given)])
        if len(given) > 1:
            yield f"{name} everywhere", replaced(args, list(changed))


def made(lib, value, leaf):
    """Return nested arguments with their arrays as tensors of a library; `leaf` makes those of floating ones."""
    if isinstance(value, (list, tuple)):
        return type(value)(made(lib, v, leaf) for v in value)
    if isinstance(value, cr.dtype):
        return getattr(lib, value.name)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    tensor = wrap(np.array(value)) if lib is cr else lib.tensor(np.array(value))
    return leaf(tensor) if is_floating(value) else tensor


def like(lib, tensor, first):
    w = (first + np.arange(tensor.numel()) % 3 / 2).reshape(tuple(tensor.shape))
    w = w.astype(str(tensor.dtype).split(".")[1])
    return wrap(w) if lib is cr else lib.tensor(w)


def flat(out, lib):
    if isinstance(out, (tuple, list)):
        return [leaf for o in out for leaf in flat(o, lib)]
    return [out] if isinstance(out, lib.Tensor) else []


def number(tensor):
    return None if tensor is None else np.asarray(tensor.detach().numpy())


def answers(lib, f, args, kwargs):
    """Return values, cotangents of the floating arrays, and tangents, by name; what is absent is None."""
    leaves = []

    def leaf(t):
        leaves.append(t.requires_grad_())
        return t

    outs = flat(f(*made(lib, args, leaf), **made_of(lib, kwargs)), lib)
    found = {f"value {i}": number(o) for i, o in enumerate(outs)}
    recorded = [o for o in outs if o.requires_grad]
    if recorded:
        gs = lib.autograd.grad(recorded, leaves, [like(lib, o, 1.0 + k) for k, o in enumerate(recorded)], allow_unused=True)
        found |= {f"grad {i}": number(g) for i, g in enumerate(gs)}
    return found


def tangents(lib, f, args, kwargs):
    fw = lib.autograd.forward_ad
    with fw.dual_level():
        outs = flat(f(*made(lib, args, lambda t: fw.make_dual(t, like(lib, t, 1.0))), **made_of(lib, kwargs)), lib)
        return {f"tangent {i}": number(fw.unpack_dual(o).tangent) for i, o in enumerate(outs)}


def made_of(lib, kwargs):
    return {k: made(lib, v, lambda t: t) for k, v in kwargs.items()}


def asked(lib, f, args, kwargs):
    """Return all answers; of what raises, the error."""
    found = {}
    for ask in (answers, tangents):
        try:
            found |= ask(lib, f, args, kwargs)
        except Exception as error:
            found[ask.__name__] = error
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place", "drawn"), calls())
def test_values_and_derivatives_are_pytorchs(torch, name, place, drawn):
    args, kwargs = drawn
    home, ours = (torch.nn.functional, cr.nn.functional) if name.startswith("F.") else (torch, cr)
    theirs = getattr(home, name.removeprefix("F."), None) or getattr(torch.nn.functional, name, None)
    if theirs is None:
        pytest.skip(f"PyTorch has no function {name}")
    f = getattr(ours, name.removeprefix("F."), None) or FUNCTIONS[name].call
    wrong = []
    for dtype in ("float64", "float32"):
        for plant, planted_args in variants(args, dtype):
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                expected, found = asked(torch, theirs, planted_args, kwargs), asked(cr, f, planted_args, kwargs)
            wrong += [f"{dtype}, {plant}: {how}" for how in disagreements(name, plant, found, expected, ROUNDING[dtype])]
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:8]])


def disagreements(name, plant, found, expected, tolerance):
    """Yield what of our answers is not PyTorch's, nor excused."""
    for what, b in expected.items():
        a = found.get(what, found.get("tangents" if what.startswith("tangent") else "answers"))
        if isinstance(b, Exception):
            if what == "answers" and not isinstance(found.get(what), Exception):
                yield f"PyTorch raises {b!r}, ours does not"
            continue
        if isinstance(a, Exception):
            yield f"ours raises {a!r}"
        elif a is None or b is None:
            if (b is None and what.startswith("grad") and np.any(a)) or (a is None and np.any(b)):
                yield f"{what}: {a} against {b}"
        else:
            excused = [where(plant, a, b) for names, of, where, _ in EXCEPTIONS if name in names and what.startswith(of)]
            how = gap(np.where(np.any(excused, 0), b, a) if excused and a.shape == b.shape else a, b, tolerance)
            if how is not None:
                yield f"{what}: {how}"


everywhere = lambda plant, ours, theirs: np.ones(ours.shape, bool)
theirs_is_nan = lambda plant, ours, theirs: np.isnan(theirs)
beyond = lambda plant, ours, theirs: ~(np.isfinite(ours) & np.isfinite(theirs))
at = lambda *starts: lambda plant, ours, theirs: np.full(ours.shape, plant.startswith(starts))
TIED = ("half", "all", "subnormal", "large")
nans = lambda plant, ours, theirs: np.full(ours.shape, "NaN" in plant)

ours_is_nan = lambda plant, ours, theirs: np.isnan(ours)
CONVOLUTIONS = [f"conv{how}{space}d" for how in ("", "_transpose") for space in (1, 2, 3)]

# (names, answers, which elements, why PyTorch's is not taken)
EXCEPTIONS = [
    (("cumprod", "prod", "index_reduce", "scatter_reduce"), ("grad", "tangent"), beyond,
     "it divides the product by a factor, where we multiply the others"),
    (("cumprod", "index_reduce", "scatter_reduce", "segment_reduce"), ("grad",), at("subnormal"),
     "the product, divided by one of these, has no digits"),
    (("index_reduce", "scatter_reduce"), ("grad 1",), at(*TIED, "inf and -inf", "NaN and inf"),
     "without the input's own elements, it counts their ties still"),
    (("kthvalue", "topk", "nanmedian"), ("value 1", "grad", "tangent"), at(*TIED), "which of equal elements is taken is open"),
    (("mode",), ("value", "grad", "tangent"), nans, "its sort leaves NaNs where they are, so the result depends on the order"),
    (("max", "min", "median", "nanmedian"), ("tangent",), lambda plant, ours, theirs: np.isnan(theirs) | ("NaN" in plant),
     "NaNs share the tangent, as they do the cotangent"),
    (("nanmean",), ("grad",), theirs_is_nan, "elements that do not count have the gradient 0, also where none counts"),
    (("nanquantile",), ("grad 1",), theirs_is_nan, "the level of nothing has the gradient 0"),
    (("std_mean", "var_mean"), ("value 1",), theirs_is_nan, "its running mean subtracts infinities"),
    (("var",), ("grad", "tangent"), nans, "0 times NaN, without degrees of freedom"),
    (("var", "var_mean"), ("tangent",), at("large"), "what is left of large numbers when they cancel is rounding"),
    (("trapezoid", "trapz"), ("value",), theirs_is_nan, "it subtracts half of the ends"),
    (("bucketize", "searchsorted"), ("value",), everywhere, "the boundaries are not sorted"),
    (("polar",), ("grad",), everywhere, "it takes the angle of the result, 0 of 0, where we know the angle"),
    (("einsum",), ("value", "grad", "tangent"), beyond, "three factors are multiplied in another order"),
    (("norm",), ("grad",), theirs_is_nan, "elements that are 0 have the gradient 0, whatever the others are"),
    (("norm",), ("tangent",), beyond, "inf * 0, where orders below 1 have infinite derivatives"),
    (("norm", "norm_except_dim"), ("grad", "tangent"), at("subnormal"),
     "its norm of one number is its size; squares of these are 0"),
    (("segment_reduce",), ("grad", "tangent"), beyond,
     "it divides products by a factor, and gives an extreme that is NaN its cotangent, where ours is NaN"),
    (("logsumexp",), ("tangent",), at("large"), "its forward mode takes the softmax, its reverse mode exp(x - out), as we do"),
    (("logcumsumexp",), ("grad",), theirs_is_nan, "exp(x - out) of infinities; the first sum is x itself, -inf adds nothing"),
    (("logcumsumexp",), ("tangent",), lambda plant, ours, theirs: np.isnan(theirs) | (theirs == 0),
     "the same, and all sums are scaled by the largest, so that they vanish before an inf"),
    (("logcumsumexp",), ("grad", "tangent"), at("large"), "the logarithm of the cotangent is lost beside large numbers"),
    (CONVOLUTIONS, ("value", "grad", "tangent"), lambda plant, ours, theirs: np.isnan(ours) & (ours.dtype == np.float32),
     "oneDNN, which it takes for float32, leaves padding out; its own kernels multiply zeros and infinities, as we do"),
    (("conv_tbc",), ("value", "grad", "tangent"), ours_is_nan, "it leaves padding out"),
]  # fmt: skip

"""nn.functional gives PyTorch's values, dtypes, gradients and errors; forward mode and second derivatives agree with them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from tests.each import by_name
from tests.nn.comparison import both, check, close, given

import chainrule as cr
from chainrule.func import jvp
from chainrule.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional

RNG = np.random.default_rng(0)
POINTS = np.array([-60.0, -4.5, -2.2, -0.7, -0.3, 0.2, 0.4, 1.3, 2.7, 4.0, 7.5, 60.0])
PLAIN = RNG.normal(size=(4, 6))

ACTIVATIONS = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 0.3}), ("elu", {}),
    ("elu", {"alpha": 0.7}),
    ("selu", {}), ("celu", {}), ("celu", {"alpha": 2.0}), ("silu", {}), ("mish", {}), ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("hardtanh", {}), ("hardtanh", {"min_val": -0.5, "max_val": 3.0}), ("hardsigmoid", {}), ("hardswish", {}),
    ("hardshrink", {}),
    ("hardshrink", {"lambd": 1.0}), ("softshrink", {}), ("softshrink", {"lambd": 1.0}), ("tanhshrink", {}), ("softsign", {}),
    ("softplus", {}), ("softplus", {"beta": 3.0, "threshold": 5.0}), ("logsigmoid", {}),
    ("threshold", {"threshold": 0.3, "value": 9.0}),
    ("rrelu", {}), ("sigmoid", {}), ("tanh", {}),
]  # fmt: skip
SOFT = [
    ("softmax", {"dim": 1}),
    ("softmax", {"dim": 0}),
    ("log_softmax", {"dim": -1}),
    ("softmin", {"dim": 0}),
    ("glu", {"dim": -1}),
    ("glu", {"dim": 0}),
]


def ids(entry):
    return entry if isinstance(entry, str) else None


@pytest.mark.parametrize(("name", "params"), ACTIVATIONS, ids=ids)
def test_activation_is_pytorch_s(name, params):
    # PyTorch's second derivative of hardsigmoid is missing; of the piecewise linear ones it is zero on both sides.
    check(name, [POINTS], params, second=name not in ("hardsigmoid",))
    check(name, [np.array(0.3)], params, second=False)
    check(name, [np.zeros((0, 3))], params, second=False)


@pytest.mark.parametrize(("name", "params"), SOFT, ids=ids)
def test_function_along_an_axis_is_pytorch_s(name, params):
    check(name, [PLAIN], params)
    check(name, [RNG.normal(size=(2, 6, 4)) * 30], params)


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish"]
)
def test_in_place_activation_writes_and_differentiates(name):
    x = cr.tensor(POINTS, requires_grad=True)
    y = x * 1
    assert getattr(F, name)(y, inplace=True) is y
    (g,) = cr.autograd.grad(y.sum(), x)
    z = getattr(F, name)(x)
    assert np.array_equal(y.detach().numpy(), z.detach().numpy())
    (h,) = cr.autograd.grad(z.sum(), x)
    np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-15)


KINKS = [
    ("relu", {}, [0.0], [0]), ("relu6", {}, [0.0, 6.0], [0, 0]), ("hardtanh", {}, [-1.0, 1.0], [0, 0]),
    ("hardsigmoid", {}, [-3.0, 3.0], [0, 0]), ("leaky_relu", {}, [0.0], [0.01]), ("elu", {}, [0.0], [1]),
    ("celu", {}, [0.0], [1]),
    ("selu", {}, [0.0], [1.7580993408473766]), ("hardswish", {}, [-3.0, 3.0], [0, 1]), ("hardshrink", {}, [-0.5, 0.5], [0, 0]),
    ("softshrink", {}, [-0.5, 0.5], [0, 0]), ("threshold", {"threshold": 1.0, "value": 5.0}, [1.0], [0]),
    ("softsign", {}, [0.0], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "at", "slopes"), KINKS, ids=ids)
def test_derivative_at_a_kink(name, params, at, slopes):
    x = cr.tensor(at, dtype=cr.float64, requires_grad=True)
    getattr(F, name)(x, **params).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-12)
    _, tangent = jvp(lambda x: getattr(F, name)(x, **params), (x.detach(),), (cr.ones(len(at), dtype=cr.float64),))
    np.testing.assert_allclose(tangent.numpy(), slopes, rtol=1e-12)


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "softplus", "logsigmoid", "mish", "silu", "gelu"])
def test_far_from_zero_derivatives_stay_finite(name):
    x = cr.tensor([-1e4, -800.0, 800.0, 1e4], dtype=cr.float64, requires_grad=True)
    (g,) = cr.autograd.grad(getattr(F, name)(x).sum(), x, create_graph=True)
    (h,) = cr.autograd.grad(g.sum(), x)
    assert np.isfinite(g.detach().numpy()).all()
    assert np.isfinite(h.numpy()).all()


@pytest.mark.parametrize(("shape", "weights"), [((2, 3, 4), (3,)), ((3, 4), (1,)), ((), (1,)), ((5,), (1,))])
def test_prelu(shape, weights):
    check("prelu", [np.asarray(RNG.normal(size=shape)), RNG.uniform(0.1, 0.4, weights)], {}, wrt=(0, 1))


def test_prelu_at_zero():
    x = cr.zeros(1, requires_grad=True)
    F.prelu(x, cr.tensor([0.25])).backward()
    assert x.grad.tolist() == [0.25]


def test_rrelu_draws_slopes_between_the_bounds():
    x = cr.full((1000,), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.25, 0.5, training=True)
    y.sum().backward()
    slopes = x.grad.numpy()
    assert ((slopes >= 0.25) & (slopes <= 0.5)).all()
    assert slopes.std() > 0.01
    assert np.array_equal(-slopes, y.detach().numpy())


def test_softmax_of_extreme_rows():
    x = np.array([[1e4, 0.0, -1e4], [-np.inf, 0.0, 1.0], [-np.inf, -np.inf, -np.inf]])
    for name in ("softmax", "log_softmax"):
        ours, theirs = getattr(cr, name)(cr.tensor(x), 1), getattr(torch, name)(torch.tensor(x), 1)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_half_precision_softmax_accumulates_in_single(name):
    x = RNG.normal(size=(2, 4000)).astype(np.float16)
    ours, theirs = getattr(cr, name)(cr.tensor(x), 1), getattr(torch, name)(torch.tensor(x), 1)
    assert ours.dtype is cr.float16
    np.testing.assert_allclose(ours.numpy().astype(float), theirs.numpy().astype(float), rtol=2e-3)


def test_softmax_casts_first():
    assert cr.softmax(cr.tensor([1, 2]), 0, dtype=cr.float64).dtype is cr.float64
    assert cr.softmax(cr.tensor([[1.0, 2.0]]), axis=1).shape == (1, 2)


# -- losses ------------------------------------------------------------------------------------------------------------

REDUCTIONS = ["mean", "sum", "none"]
PAIRS = [
    ("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0.0}),
    ("huber_loss", {}), ("huber_loss", {"delta": 0.4}), ("mse_loss", {"weight": np.abs(PLAIN) + 1}),
    ("l1_loss", {"weight": np.abs(PLAIN) + 1}),
    ("huber_loss", {"weight": np.abs(PLAIN) + 1}), ("binary_cross_entropy_with_logits", {}),
    ("binary_cross_entropy_with_logits", {"pos_weight": np.arange(1.0, 7), "weight": np.arange(2.0, 8)}),
]  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "params"), PAIRS, ids=ids)
def test_loss_of_a_pair_is_pytorch_s(name, params, reduction):
    check(
        name,
        [PLAIN, RNG.normal(size=PLAIN.shape)],
        {**params, "reduction": reduction},
        wrt=(0, 1),
        second="weight" not in params,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, np.arange(1.0, 7)])
def test_binary_cross_entropy(weight, reduction):
    x, y = RNG.uniform(0.1, 0.9, (4, 6)), RNG.uniform(0.1, 0.9, (4, 6))
    check("binary_cross_entropy", [x, y], {"weight": weight, "reduction": reduction}, wrt=(0, 1))


def test_binary_cross_entropy_at_certainty():
    check("binary_cross_entropy", [np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])], {}, second=False)


@pytest.mark.parametrize("reduction", ["batchmean", "sum", "none"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(log_target, reduction):
    p, q = RNG.uniform(0.1, 1, (4, 6)), RNG.uniform(0.1, 1, (4, 6))
    check("kl_div", [np.log(p), np.log(q) if log_target else q], {"log_target": log_target, "reduction": reduction}, wrt=(0, 1))


def test_kl_div_mean_warns():
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(cr.zeros(2), cr.ones(2))


LOGITS = {
    "rows": (RNG.normal(size=(5, 4)) * 3, np.array([0, 3, 1, 1, 2])),
    "ignored": (RNG.normal(size=(5, 4)), np.array([0, 2, 1, -100, 2])),
    "one": (RNG.normal(size=4), np.array(2)),
    "image": (RNG.normal(size=(2, 4, 3, 2)), RNG.integers(0, 4, (2, 3, 2))),
    "line": (RNG.normal(size=(2, 4, 3)), RNG.integers(0, 4, (2, 3))),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [{}, {"weight": np.array([0.5, 2.0, 1.0, 3.0])}, {"label_smoothing": 0.2},
{"ignore_index": 2},
                                     {"weight": np.array([0.5, 2.0, 1.0, 3.0]), "label_smoothing": 0.2,
                                     "ignore_index": 1}])  # fmt: skip
@pytest.mark.parametrize("case", LOGITS)
def test_cross_entropy_with_indices(case, options, reduction):
    x, t = LOGITS[case]
    if "ignore_index" in options:
        t = np.where(t == -100, options["ignore_index"], t)
    # All of one sample ignored gives 0/0, which PyTorch and we both call NaN.
    check(
        "cross_entropy",
        [x, t],
        {**options, "reduction": reduction},
        second=not (case == "one" and options.get("ignore_index") == 2),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [{}, {"weight": np.array([0.5, 2.0, 1.0, 3.0])}, {"label_smoothing": 0.2}])
@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 4, 3)])
def test_cross_entropy_with_probabilities(shape, options, reduction):
    target = RNG.uniform(size=shape)
    check("cross_entropy", [RNG.normal(size=shape), target], {**options, "reduction": reduction}, wrt=(0, 1))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 1.0, 3.0])])
@pytest.mark.parametrize("case", LOGITS)
def test_nll_loss(case, weight, reduction):
    x, t = LOGITS[case]
    check("nll_loss", [-np.abs(x), t], {"weight": weight, "reduction": reduction})


def test_all_targets_ignored_give_nan():
    assert np.isnan(F.cross_entropy(cr.ones(2, 3), cr.tensor([-100, -100])).item())
    assert np.isnan(F.cross_entropy(cr.ones(0, 3), cr.zeros(0, dtype=cr.int64)).item())


def test_ignored_minus_infinity_does_not_count():
    x = cr.tensor([[0.0, -np.inf], [0.0, 0.0]])
    assert F.nll_loss(x, cr.tensor([-100, 0])).item() == 0


def test_larger_batches_cross_entropy_matches():
    x, t = RNG.normal(size=(64, 10)), RNG.integers(0, 10, 64)
    check("cross_entropy", [x, t], {})


@pytest.mark.parametrize(
    ("x", "w", "b"), [((5, 3), (4, 3), (4,)), ((3,), (4, 3), (4,)), ((2, 5, 3), (4, 3), (4,)), ((5, 3), (4, 3), None),
    ((0, 3), (4, 3), (4,)), ((5, 3), (3,), None), ((3,), (3,), None)]
)  # fmt: skip
def test_linear(x, w, b):
    arrays = [np.asarray(RNG.normal(size=s)) for s in (x, w, b) if s is not None]
    check("linear", arrays, {}, wrt=tuple(range(len(arrays))), second=0 not in x)


def test_linear_is_complex_too():
    arrays = [RNG.normal(size=s) + 1j * RNG.normal(size=s) for s in ((5, 3), (4, 3), (4,))]
    _, y, gs, _, z, hs = both("linear", arrays, {}, (0, 1, 2))
    close(y, z, 1e-12)
    for g, h in zip(gs, hs, strict=True):
        close(g, h, 1e-12)


# -- errors ------------------------------------------------------------------------------------------------------------

f, i = np.ones, lambda *v: np.array(v)
ERRORS = [
    ("cross_entropy", (f((3, 4)), i(1, 2)), {}), ("cross_entropy", (f((3, 4)), i(1, 2, 5)), {}),
    ("cross_entropy", (f((3, 4)), i(-1, 1, 1)), {}), ("cross_entropy", (f((3, 4)), i(1.0, 2.0, 3.0)), {}),
    ("cross_entropy", (f((3, 4)), i(1, 2, 3).astype(np.int32)), {}), ("cross_entropy", (f((3, 4, 2)), i(1, 2, 3)), {}),
    ("cross_entropy", (f((3, 4)), f((3, 4), int)), {}), ("cross_entropy", (f((3, 4)), i(1, 2, 3)), {"weight": f(3)}),
    ("cross_entropy", (f((3, 4)), i(1, 2, 3)), {"label_smoothing": 2.0}),
    ("cross_entropy", (f((3, 4)), i(1, 2, 3)), {"reduction": "x"}),
    ("nll_loss", (f((3, 4)), i(1, 2)), {}), ("nll_loss", (f((2, 3, 4)), f((2, 2), int)), {}),
    ("binary_cross_entropy", (f(2) * 1.5, f(2)), {}), ("binary_cross_entropy", (f(2) * 0.5, f(1)), {}),
    ("binary_cross_entropy_with_logits", (f(2), f(1)), {}), ("mse_loss", (f(2, int), f(2, int)), {}),
    ("smooth_l1_loss", (f(2), f(2)), {"beta": -1.0}), ("huber_loss", (f(2), f(2)), {"delta": 0.0}),
    ("linear", (f((2, 3)), f((4, 2))), {}), ("linear", (np.array(1.0), f((4, 3))), {}),
    ("linear", (f((2, 3)), f((4, 3), np.float32)), {}), ("softmax", (f((2, 3)),), {"dim": 5}),
    ("softmax", (f(2, int),), {"dim": 0}),
    ("glu", (f(3),), {}), ("glu", (np.array(1.0),), {}), ("prelu", (f((2, 3)), f(2)), {}), ("elu", (f(2, int),), {}),
    ("relu", (f(2, bool),), {}), ("gelu", (f(2),), {"approximate": "x"}), ("softshrink", (f(2),), {"lambd": -1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "params"), ERRORS, ids=ids)
def test_error_is_pytorch_s(name, arrays, params):
    with pytest.raises(Exception) as theirs:
        getattr(TF, name)(*map(torch.tensor, arrays), **given(params, torch.tensor))
    with pytest.raises(theirs.type) as ours:
        getattr(F, name)(*map(cr.tensor, arrays), **given(params, cr.tensor))
    first = lambda error: " ".join(
        str(error.value)
        .replace("torch.", "")
        .replace("chainrule.", "")
        .replace("float64", "double")
        .replace("float32", "float")
        .split()[:4]
    )
    if "not implemented for" not in str(theirs.value):
        assert first(ours) == first(theirs)


def test_weight_of_indices_is_not_differentiable():
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        F.cross_entropy(cr.ones(3, 4), cr.tensor([1, 2, 3]), weight=cr.ones(4, requires_grad=True))


def test_different_sizes_warn():
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(cr.ones(2), cr.ones(1))


def test_older_reduction_arguments_warn():
    with pytest.warns(UserWarning, match="size_average and reduce"):
        assert F.mse_loss(cr.ones(2), cr.zeros(2), size_average=False).item() == 2


@by_name("name", F.__all__, str)
def test_signature_is_pytorch_s(name):
    try:
        theirs = inspect.signature(getattr(TF, name))
    except ValueError:
        pytest.skip("a builtin, without a signature")
    if not theirs.parameters or next(iter(theirs.parameters)) == "args":
        pytest.skip("PyTorch hides it")
    ours = inspect.signature(getattr(F, name)).parameters
    assert [(p, ours[p].default) for p in ours] == [(p, q.default) for p, q in theirs.parameters.items()]


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"])
def test_second_derivative_where_prediction_meets_target(name):
    def curvature(lib):
        x, y = lib.tensor([0.0, 0.0, 0.5, 1.0, -1.0]).double(), lib.tensor([0.0, 0.3, 0.0, 0.0, 0.0]).double()
        return lib.func.hessian(lambda x: getattr(lib.nn.functional, name)(x, y, reduction="sum"))(x).numpy()

    np.testing.assert_allclose(curvature(cr), curvature(torch), atol=1e-12)

"""Losses with margins, likelihoods, distances: PyTorch's values, gradients, errors; all second orders agree; vmap is a loop."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.comparison import TF, bound, check, close, given, orders, torch

import chainrule as cr
from chainrule.nn import functional as F

RNG = np.random.default_rng(1)
A, B, C = (RNG.normal(size=(4, 5)) for _ in range(3))
SIGNS = np.where(RNG.random((4, 5)) < 0.5, -1.0, 1.0)
REDUCTIONS = ["mean", "sum", "none"]

CASES = [
    ("margin_ranking_loss", [A, B, SIGNS], {"margin": 0.3}, (0, 1)),
    ("margin_ranking_loss", [A[0], B[0], SIGNS[0]], {}, (0, 1)),
    ("hinge_embedding_loss", [A, SIGNS], {"margin": 0.8}, (0,)),
    ("cosine_embedding_loss", [A, B, np.array([1, -1, -1, 1])], {"margin": -0.5}, (0, 1)),
    ("cosine_embedding_loss", [A[0], B[0], np.array(-1)], {"margin": -1.0}, (0, 1)),
    ("triplet_margin_loss", [A, B, C], {"margin": 3.0}, (0, 1, 2)),
    ("triplet_margin_loss", [A, B, C], {"margin": 3.0, "p": 3.0, "swap": True, "eps": 1e-3}, (0, 1, 2)),
    ("triplet_margin_loss", [A[0], B[0], C[0]], {"margin": 5.0}, (0, 1, 2)),
    ("triplet_margin_with_distance_loss", [A, B, C], {"margin": 3.0, "swap": True}, (0, 1, 2)),
    ("soft_margin_loss", [A, SIGNS], {}, (0,)),
    ("multilabel_soft_margin_loss", [A, (SIGNS + 1) / 2], {}, (0,)),
    ("multilabel_soft_margin_loss", [A, (SIGNS + 1) / 2], {"weight": np.arange(1.0, 6)}, (0,)),
    ("multi_margin_loss", [A, np.array([0, 4, 2, 2])], {}, (0,)),
    ("multi_margin_loss", [A, np.array([0, 4, 2, 2])], {"p": 2, "margin": 0.7, "weight": np.arange(1.0, 6)}, (0,)),
    ("multi_margin_loss", [A[0], np.array(3)], {}, (0,)),
    ("multilabel_margin_loss",
     [A, np.array([[0, 3, -1, 2, 2], [4, 1, 2, 0, 3], [-1, 0, 0, 0, 0], [2, 2, -1, -1, 0]])], {}, (0,)),
    ("multilabel_margin_loss", [A[0], np.array([1, 2, -1, 0, 0])], {}, (0,)),
    ("gaussian_nll_loss", [A, B, np.abs(C) + 0.1], {"full": True}, (0, 1, 2)),
    ("gaussian_nll_loss", [A, B, np.abs(C[:, :1])], {"eps": 0.5}, (0, 1, 2)),
    ("gaussian_nll_loss", [A, B, np.abs(C[:, 0])], {}, (0, 1, 2)),
    ("gaussian_nll_loss", [A, B], {"var": 0.7}, (0, 1)),
    ("poisson_nll_loss", [A, np.round(np.abs(B) * 3)], {"full": True}, (0,)),
    ("poisson_nll_loss", [np.abs(A), np.abs(B)], {"log_input": False, "eps": 1e-3}, (0, 1)),
]  # fmt: skip
# PyTorch has no double backward for these.
ONCE = {"multi_margin_loss", "multilabel_margin_loss"}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "arrays", "params", "wrt"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_loss_is_pytorch_s(name, arrays, params, wrt, reduction):
    check(name, arrays, {**params, "reduction": reduction}, wrt, second=name not in ONCE)


@pytest.mark.parametrize(("name", "arrays", "params", "wrt"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_orders_of_a_loss_agree(name, arrays, params, wrt):
    fixed = [None if i in wrt else cr.tensor(a) for i, a in enumerate(arrays)]
    params = given({**params, "eps": 1e-6} if name == "gaussian_nll_loss" else params, cr.tensor)  # what it holds, differs

    def f(*moving):
        moving = iter(moving)
        return getattr(F, name)(*[next(moving) if a is None else a for a in fixed], **params)

    orders(f, [arrays[i] for i in wrt], batched=name != "gaussian_nll_loss" or "var" in params)


def test_target_of_a_poisson_loss_has_a_derivative_where_stirling_s_term_does_not_count():
    y = cr.tensor([0.0, 1.0, 3.0], dtype=cr.float64, requires_grad=True)
    F.poisson_nll_loss(cr.zeros(3, dtype=cr.float64), y, full=True, reduction="sum").backward()
    np.testing.assert_allclose(y.grad.numpy(), [0, 0, np.log(3) + 1 / 6])


# -- distances ---------------------------------------------------------------------------------------------------------

DISTANCES = [
    ("cosine_similarity", [A, B], {}), ("cosine_similarity", [A, B[0]], {"dim": 0, "eps": 2.0}),
    ("cosine_similarity", [A[0], B[0]], {"dim": -1}), ("pairwise_distance", [A, B], {}),
    ("pairwise_distance", [A, B[0]], {"p": 3.0, "eps": 1e-3, "keepdim": True}), ("pairwise_distance", [A[0], B[0]], {"p": 1.0}),
    ("pdist", [A], {}), ("pdist", [A], {"p": 1.0}), ("pdist", [A], {"p": 3.0}), ("pdist", [A], {"p": np.inf}),
    ("pdist", [A[:1]], {}),
    ("normalize", [A], {}), ("normalize", [A], {"p": 3.0, "dim": 0}), ("normalize", [A], {"eps": 2.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "params"), DISTANCES, ids=lambda v: v if isinstance(v, str) else "")
def test_distance_is_pytorch_s(name, arrays, params):
    every = tuple(range(len(arrays)))
    check(name, arrays, params, every, second=name != "pdist" and params.get("p") != np.inf)
    if arrays[0].shape[0] > 1 and params.get("eps") != 2.0:
        orders(bound(name, **params), arrays)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, np.inf])
def test_pdist_of_equal_rows_has_zero_derivatives(p):
    x = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 5.0]])
    ours, theirs = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    F.pdist(ours, p).sum().backward()
    TF.pdist(theirs, p).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())
    hessian = cr.func.hessian(lambda x: F.pdist(x, p)[0])(cr.tensor(x)).numpy()
    assert not hessian.any()


def test_pdist_that_counts():
    x = np.array([[1.0, 2.0], [1.0, 3.0], [0.0, 3.0]])
    assert F.pdist(cr.tensor(x), 0).tolist() == TF.pdist(torch.tensor(x), 0).tolist()


@pytest.mark.parametrize("name", ["cosine_similarity", "normalize"])
def test_zero_vectors_keep_pytorch_s_large_slope(name):
    args = lambda lib: [lib.zeros(1, 3, dtype=lib.float64, requires_grad=True)]
    (x,), (y,) = args(cr), args(torch)
    extra = lambda lib: [lib.ones(1, 3, dtype=lib.float64)] if name == "cosine_similarity" else []
    getattr(F, name)(x, *extra(cr)).sum().backward()
    getattr(TF, name)(y, *extra(torch)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-12)


def test_complex_vectors_are_normalised():
    z = A + 1j * B
    np.testing.assert_allclose(F.normalize(cr.tensor(z)).numpy(), TF.normalize(torch.tensor(z)).numpy())


def test_normalize_writes_into_out():
    out = cr.empty(4, 5, dtype=cr.float64)
    assert F.normalize(cr.tensor(A), out=out) is out
    np.testing.assert_allclose(out.numpy(), TF.normalize(torch.tensor(A)).numpy())


# -- bilinear ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_bilinear(lead):
    arrays = [np.asarray(RNG.normal(size=s)) for s in ((*lead, 3), (*lead, 2), (5, 3, 2), (5,))]
    check("bilinear", arrays, {}, (0, 1, 2, 3))
    check("bilinear", arrays[:3], {}, (0, 1, 2))
    orders(F.bilinear, arrays)


# -- sequences ---------------------------------------------------------------------------------------------------------

LOGITS = RNG.normal(size=(7, 3, 4))
SEQUENCES = {
    "rows": (np.array([[1, 2, 2], [3, 1, 0], [1, 1, 2]]), [7, 6, 7], [3, 2, 3]),
    "one row": (np.array([1, 2, 2, 3, 1, 1, 2]), [7, 5, 6], [3, 2, 2]),
    "empty": (np.array([[1, 2], [3, 1], [0, 0]]), [7, 7, 3], [2, 1, 0]),
    "impossible": (np.array([[1, 1, 1], [3, 1, 2], [1, 1, 2]]), [3, 6, 1], [3, 2, 2]),
}


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SEQUENCES)
def test_ctc_loss(case, reduction, zero_infinity):
    targets, steps, lengths = SEQUENCES[case]
    found = []
    for lib, functional in ((cr, F), (torch, TF)):
        x = lib.tensor(LOGITS, requires_grad=True)
        logp = x.log_softmax(2)
        y = functional.ctc_loss(logp, lib.tensor(targets), lib.tensor(steps), lib.tensor(lengths), reduction=reduction,
                                zero_infinity=zero_infinity)  # fmt: skip
        y.sum().backward()
        found.append((y, x.grad))
    (y, g), (z, h) = found
    close(y, z.detach(), 1e-10)
    if case != "impossible" or zero_infinity:  # else PyTorch's gradient is NaN
        close(g, h, 1e-10)
    assert np.isfinite(g.numpy()).all()


def test_ctc_loss_of_one_sequence_and_another_blank():
    logp, t = np.log(RNG.dirichlet(np.ones(4), 6)), np.array([0, 2])
    ours = F.ctc_loss(cr.tensor(logp), cr.tensor(t), (6,), (2,), blank=3, reduction="none")
    theirs = TF.ctc_loss(torch.tensor(logp), torch.tensor(t), torch.tensor(6), torch.tensor(2), blank=3, reduction="none")
    assert ours.shape == theirs.shape
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_orders_of_ctc_agree():
    targets, steps, lengths = SEQUENCES["rows"]
    orders(lambda x: F.ctc_loss(x.log_softmax(2), cr.tensor(targets), steps, lengths, reduction="none"), [LOGITS])


def test_ctc_derivative_is_minus_the_probability_of_each_label():
    x = cr.tensor(LOGITS, requires_grad=True)
    targets, steps, lengths = SEQUENCES["rows"]
    (g,) = cr.autograd.grad(F.ctc_loss(x, cr.tensor(targets), steps, lengths, reduction="sum"), x)
    total = -g.numpy().sum(2)
    np.testing.assert_allclose(total, np.arange(7)[:, None] < np.array(steps), atol=1e-12)


def test_ctc_of_impossible_labels_stays_finite_in_gradient():
    logp = cr.tensor(np.where(np.arange(4) == 1, -np.inf, LOGITS), requires_grad=True)
    y = F.ctc_loss(logp, cr.tensor([[2, 3]] * 3), [7] * 3, [2] * 3)
    y.backward()
    assert np.isfinite(y.item())
    assert np.isfinite(logp.grad.numpy()).all()


@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 2, 4)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_cross_entropy(shape, reduction):
    n, classes = 5, shape[:-1] if len(shape) > 1 else (3,)
    w, b = RNG.normal(size=(*classes, 4)), RNG.normal(size=classes)
    x, t = RNG.normal(size=(n, 4)), RNG.integers(0, classes[0], (n, *classes[1:]))
    for params in ({}, {"label_smoothing": 0.1, "weight": np.arange(1.0, classes[0] + 1)}, {"ignore_index": 1}):
        check("linear_cross_entropy", [x, w, t], {**params, "linear_bias": b, "reduction": reduction}, (0, 1))


# -- errors ------------------------------------------------------------------------------------------------------------

f, i = np.ones, lambda *v: np.array(v)
ERRORS = [
    ("margin_ranking_loss", (f(2), f(2), f((2, 1))), {}), ("cosine_embedding_loss", (f((2, 3)), f((2, 3)), f((1, 2))), {}),
    ("cosine_embedding_loss", (f((2, 3)), f(3), f(2)), {}), ("cosine_embedding_loss", (f((2, 3)), f((2, 3)), f(())), {}),
    ("triplet_margin_loss", (f((2, 3)), f((2, 3)), f(3)), {}), ("triplet_margin_loss", (f((2, 3)),) * 3, {"margin": 0.0}),
    ("triplet_margin_with_distance_loss", (f((2, 3)),) * 3, {"margin": -1.0}),
    ("triplet_margin_with_distance_loss", (f((2, 3)),) * 3, {"reduction": "x"}),
    ("multi_margin_loss", (f((2, 3)), i(0, 1, 2)), {}), ("multi_margin_loss", (f((2, 3)), i(0, 5)), {}),
    ("multi_margin_loss", (f((2, 3, 4)), i(0, 1)), {}), ("multi_margin_loss", (f((2, 3)), i(0, 1)), {"weight": f(4)}),
    ("multi_margin_loss", (f((2, 3)), i(0, 1)), {"weight": f((3, 1))}), ("multi_margin_loss", (f((2, 3)), i(0, 1)), {"p": 3}),
    ("multi_margin_loss", (f((2, 3)), i(0.0, 1.0)), {}), ("multilabel_margin_loss", (f((2, 3)), f((2, 2), int)), {}),
    ("multilabel_margin_loss", (f((1, 3)), i([0, 1, 5])), {}), ("multilabel_margin_loss", (f((2, 3)), f((2, 3))), {}),
    ("soft_margin_loss", (f(2), f(3)), {}), ("poisson_nll_loss", (f(2), f(2)), {"reduction": "x"}),
    ("gaussian_nll_loss", (f(2), f(2), -f(2)), {}), ("gaussian_nll_loss", (f((2, 3)), f((2, 3)), f(3)), {}),
    ("gaussian_nll_loss", (f(2), f(2), f(2)), {"reduction": "x"}),
    ("pdist", (f(3),), {}), ("pdist", (f((3, 2), int),), {}), ("pdist", (f((3, 2)),), {"p": -1.0}),
    ("cosine_similarity", (f((2, 3), int), f((2, 3), int)), {}), ("cosine_similarity", (f(3), f(3)), {}),
    ("cosine_similarity", (f((2, 3), complex), f((2, 3))), {}), ("normalize", (f((2, 3)),), {"dim": 4}),
    ("bilinear", (f((2, 3)), f((3, 4)), f((5, 3, 4))), {}), ("bilinear", (f((2, 3)), f((2, 4)), f((5, 2, 4))), {}),
    ("bilinear", (f((2, 3)), f((2, 4)), f((5, 3, 3))), {}), ("bilinear", (f((2, 3)), f((2, 4)), f((5, 3, 4)), f(4)), {}),
    ("bilinear", (f((2, 3)), f((2, 2, 4)), f((5, 3, 4))), {}),
    ("ctc_loss", (f((5, 2, 4)), i([1, 2], [1, 3]), i(5, 6), i(2, 2)), {}),
    ("ctc_loss", (f((5, 2, 4)), i([1, 2], [1, 3]), i(5, 5, 5), i(2, 2)), {}),
    ("ctc_loss", (f((5, 2, 4)), i([1, 2], [1, 3]), i(5, 5), i(2, 3)), {}),
    ("ctc_loss", (f((5, 2, 4)), i(1, 2, 1), i(5, 5), i(2, 2)), {}),
    ("ctc_loss", (f((5, 2, 4)), i([1, 2], [1, 3]), i(5, 5), i(2, 2)), {"blank": 7}),
    ("linear_cross_entropy", (f((2, 3)), f((4, 2)), i(0, 1)), {}), ("linear_cross_entropy", (f((2, 3)), f(3), i(0, 1)), {}),
    ("linear_cross_entropy", (f((2, 3, 1)), f((4, 1)), i(0, 1)), {}),
    ("linear_cross_entropy", (f((2, 3)), f((4, 3)), i(0, 1)), {"linear_bias": f(3)}),
    ("linear_cross_entropy", (f((2, 3)), f((4, 3)), f((2, 4))), {"ignore_index": 1}),
    ("linear_cross_entropy", (f(3), f((4, 2, 3)), i(0, 1)), {}),
    ("dropout1d", (f(3),), {}), ("feature_alpha_dropout", (f(3),), {"training": True}), ("dropout2d", (f(3),), {}),
    ("alpha_dropout", (f(3),), {"p": -1.0}), ("dropout3d", (f(3),), {"p": 2.0}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "arrays", "params"), ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_error_is_pytorch_s(name, arrays, params):
    with pytest.raises(Exception) as theirs:
        getattr(TF, name)(*map(torch.tensor, arrays), **given(params, torch.tensor))
    with pytest.raises(theirs.type) as ours:
        getattr(F, name)(*map(cr.tensor, arrays), **given(params, cr.tensor))
    first = lambda error: str(error.value).replace("torch.", "").replace("chainrule.", "").split()[:4]
    assert first(ours) == first(theirs)


def test_options_of_linear_cross_entropy_are_refused():
    with pytest.raises(NotImplementedError, match="options"):
        F.linear_cross_entropy(cr.ones(2, 3), cr.ones(4, 3), cr.tensor([0, 1]), options=object())

"""PyTorch's top-level forms of functions of nn.functional give what PyTorch's do."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn.functional import native

RNG = np.random.default_rng(0)
A, B, C = (RNG.normal(size=(4, 3)) for _ in range(3))
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])
CALLS = {
    "bilinear": lambda t, a, b: t.bilinear(a, b, t.as_tensor(RNG_WEIGHT), None),
    "celu_": lambda t, a, b: t.celu_(a * 1, 0.5),
    "cosine_similarity": lambda t, a, b: t.cosine_similarity(a, b),
    "pairwise_distance": lambda t, a, b: t.pairwise_distance(a, b, 2.0),
    "pdist": lambda t, a, b: t.pdist(a),
    "rms_norm": lambda t, a, b: t.rms_norm(a, (3,)),
    "rrelu": lambda t, a, b: t.rrelu(a),
    "rrelu_": lambda t, a, b: t.rrelu_(a * 1, 0.1, 0.1, True),
    "selu_": lambda t, a, b: t.selu_(a * 1),
    "threshold_": lambda t, a, b: t.threshold_(a * 1, 0.1, 2.0),
    "dropout": lambda t, a, b: t.dropout(a, 0.5, False),
    "dropout_": lambda t, a, b: t.dropout_(a * 1, 1.0, True),
    "feature_dropout": lambda t, a, b: t.feature_dropout(a, 1.0, True),
    "feature_dropout_": lambda t, a, b: t.feature_dropout_(a * 1, 0.0, True),
    "alpha_dropout": lambda t, a, b: t.alpha_dropout(a, 1.0, True),
    "alpha_dropout_": lambda t, a, b: t.alpha_dropout_(a * 1, 0.3, False),
    "feature_alpha_dropout": lambda t, a, b: t.feature_alpha_dropout(a, 0.0, True),
    "feature_alpha_dropout_": lambda t, a, b: t.feature_alpha_dropout_(a * 1, 1.0, True),
    "batch_norm": lambda t, a, b: t.batch_norm(a, b[0], b[1], None, None, True, 0.1, 1e-5, False),
    "instance_norm": lambda t, a, b: t.instance_norm(a[None], b[:, 0], b[:, 1], None, None, True, 0.1, 1e-5, False),
    "group_norm": lambda t, a, b: (
        t.group_norm(a, 3, b[0], b[1], 1e-5, False) + t.group_norm(a[None], 2, b[:, 0], b[:, 1], 1e-3)[0]
    ),
    "native_layer_norm": lambda t, a, b: t.cat([x.reshape(-1) for x in t.native_layer_norm(a, (3,), b[0], b[1], 1e-3)]),
    "native_group_norm": lambda t, a, b: t.cat([x.reshape(-1) for x in t.native_group_norm(a, b[0], None, 4, 3, 1, 3, 1e-3)]),
    "native_batch_norm": lambda t, a, b: t.cat(
        [x.reshape(-1) for x in t.native_batch_norm(a, b[0], b[1], None, None, True, 0.1, 1e-3)]
    ),
    "layer_norm": lambda t, a, b: t.layer_norm(a, (3,), b[0], b[1], 1e-5, False),
    "embedding": lambda t, a, b: t.embedding(a, t.tensor([[1, 0], [3, 1]]), 1),
    "embedding_bag": lambda t, a, b: bags(t, a, b),
    "grid_sampler": lambda t, a, b: t.grid_sampler(a[None, None], b[None, None, :, :2], 0, 1, False),
    "grid_sampler_2d": lambda t, a, b: t.grid_sampler_2d(a[None, None], b[None, None, :, :2], 2, 2, True),
    "grid_sampler_3d": lambda t, a, b: t.grid_sampler_3d(a[None, None, None], b[None, None, None], 1, 0, False),
    "affine_grid_generator": lambda t, a, b: t.affine_grid_generator(a[None, :2], [1, 1, 2, 3], False),
    "embedding_renorm_": lambda t, a, b: t.embedding_renorm_(a.detach().clone(), t.tensor([1, 3]), 0.5, 2.0) * b,
}
LOSSES = {
    "binary_cross_entropy_with_logits": lambda t, a, b, n: t.binary_cross_entropy_with_logits(
        a, b.sigmoid(), None, t.as_tensor(C), n
    ),
    "kl_div": lambda t, a, b, n: t.kl_div(a, b, n, log_target=True),
    "margin_ranking_loss": lambda t, a, b, n: t.margin_ranking_loss(a[:, 0], b[:, 0], t.as_tensor(SIGNS), 0.1, n),
    "hinge_embedding_loss": lambda t, a, b, n: t.hinge_embedding_loss(a[:, 0], t.as_tensor(SIGNS), 0.5, n),
    "cosine_embedding_loss": lambda t, a, b, n: t.cosine_embedding_loss(a, b, t.as_tensor(SIGNS), 0.1, n),
    "triplet_margin_loss": lambda t, a, b, n: t.triplet_margin_loss(a, b, t.as_tensor(C), 1.0, 2.0, 1e-6, True, n),
    "poisson_nll_loss": lambda t, a, b, n: t.poisson_nll_loss(a, b.abs(), True, True, 1e-8, n),
    "ctc_loss": lambda t, a, b, n: t.ctc_loss(a[:, None].log_softmax(2), t.tensor([[1, 2]]), [4], [2], 0, n, True),
}
RNG_WEIGHT = RNG.normal(size=(2, 3, 3))


BAGS = [
    {}, {"per_sample_weights": True}, {"mode": 1}, {"mode": 2}, {"mode": 1, "padding_idx": 3}, {"mode": 2, "padding_idx": 3},
    {"scale_grad_by_freq": True}, {"mode": 1, "include_last_offset": True},
]  # fmt: skip
PLAIN = {
    "scale_grad_by_freq": False, "mode": 0, "sparse": False, "per_sample_weights": None, "include_last_offset": False,
    "padding_idx": None,
}  # fmt: skip


def bags(t, a, b):
    """Return the sum of bags made in several ways, with all else that is given with them."""
    out = 0
    for way in BAGS:
        given = PLAIN | way | ({"per_sample_weights": b.reshape(-1)[:5]} if "per_sample_weights" in way else {})
        starts = t.tensor([0, 2, 5] if "include_last_offset" in way else [0, 2, 2])
        for k, found in enumerate(t.embedding_bag(a, t.tensor([1, 0, 3, 1, 3]), starts, **given)):
            out = out + (found * t.arange(found.numel()).reshape(found.shape)).sum() * (k + 1)
    return out


def run(t, call, *reduction):
    a, b = (t.tensor(x, requires_grad=True) for x in (A, B))
    out = call(t, a, b, *reduction)
    grads = t.autograd.grad(out.sum(), [a, b], allow_unused=True)
    return [None if x is None else np.asarray(x.detach()) for x in (out, *grads)]


@pytest.mark.parametrize(("name", "reduction"), [(n, ()) for n in CALLS] + [(n, (r,)) for n in LOSSES for r in (0, 1, 2)])
def test_values_and_gradients_are_pytorchs(name, reduction, torch):
    call = {**CALLS, **LOSSES}[name]
    for mine, theirs in zip(run(cr, call, *reduction), run(torch, call, *reduction), strict=True):
        if mine is None or theirs is None:
            assert (mine if theirs is None else theirs) is None or not np.any(mine if theirs is None else theirs)
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_every_form_is_compared():
    assert {*CALLS, *LOSSES} >= set(native.__all__)


@pytest.mark.parametrize("name", native.__all__)
def test_parameters_have_pytorchs_names_and_order(name, torch):
    schema = getattr(torch.ops.aten, name)
    forms = [[a.name for a in getattr(schema, o)._schema.arguments] for o in schema.overloads() if "out" not in o]
    theirs = max(forms, key=len)
    ours = list(inspect.signature(getattr(cr, name)).parameters)
    assert [o for o in ours[1:] if o in theirs] == [n for n in theirs[1:] if n in ours]
    assert len(ours) == len(theirs)


def test_a_reduction_is_a_number_of_three():
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        cr.kl_div(cr.zeros(2), cr.zeros(2), 3)

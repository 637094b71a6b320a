"""Attention with scores and masks of one's own, against PyTorch's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn.attention import flex_attention as ours

SCORES = {
    "none": lambda lib: None,
    "bias": lambda lib: lambda s, b, h, q, kv: s + 0.1 * (q - kv) * (h + 1),
    "causal": lambda lib: lambda s, b, h, q, kv: lib.where(q >= kv, s, -float("inf")),
    "softcap": lambda lib: lambda s, b, h, q, kv: 2 * lib.tanh(s / 2),
}
MASKS = {
    "none": None,
    "causal": lambda b, h, q, kv: q >= kv,
    "window": lambda b, h, q, kv: (q - kv <= 1) & (q > kv),  # of which the first query attends to nothing
    "heads": lambda b, h, q, kv: (h == 0) | (kv < 3),
}


@pytest.fixture(scope="module")
def theirs(torch):
    from torch.nn.attention import flex_attention

    return flex_attention


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    "mask", ["window", *(pytest.param(name, marks=pytest.mark.slow) for name in MASKS if name != "window")]
)
def test_outputs_are_pytorchs_and_have_gradients(torch, theirs, score, mask):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((2, 4, 5, 3), (2, 2, 6, 3), (2, 2, 6, 4))]

    def run(lib, module):
        tensors = [lib.tensor(a.tolist(), dtype=lib.float64) for a in arrays]
        block = MASKS[mask] and module.create_block_mask(MASKS[mask], None, 4, 5, 6, device="cpu")
        request = module.AuxRequest(lse=True)
        f = lambda *ts: module.flex_attention(*ts, SCORES[score](lib), block, 0.7, enable_gqa=True, return_aux=request)
        out, aux = f(*tensors)
        if lib is cr:  # PyTorch has no gradients of it on the CPU
            assert cr.autograd.gradcheck(lambda *ts: f(*ts)[0], [t.requires_grad_() for t in tensors])
        return [out, aux.lse]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for a, b in zip(run(torch, theirs), run(cr, ours), strict=True):
            np.testing.assert_allclose(b.detach(), a.detach(), atol=1e-6, rtol=1e-6)  # PyTorch's maxima are single


def test_masks_are_pytorchs(torch, theirs):
    for lib, module in ((cr, ours), (torch, theirs)):
        both = module.and_masks(MASKS["causal"], MASKS["heads"]), module.or_masks(MASKS["window"], MASKS["heads"])
        found = [module.create_mask(mask, 1, 2, 4, 5, device="cpu").tolist() for mask in both]
        block = module.create_block_mask(MASKS["causal"], 1, 1, 5, 6, device="cpu", BLOCK_SIZE=2)
        found.append(block.to_dense().tolist())
        if lib is cr:
            kept = found
    assert kept == found
    assert ours.create_block_mask(MASKS["causal"], 2, 3, 5, 6)[0, 1:].shape == (1, 2, 5, 6)


def test_what_does_not_fit_raises():
    q, k = cr.ones(1, 4, 5, 3), cr.ones(1, 2, 5, 3)
    with pytest.raises(ValueError, match="Expect query and key/value to have the same number of heads"):
        ours.flex_attention(q, k, k)
    with pytest.raises(ValueError, match="block_mask was created for"):
        ours.flex_attention(q, q, q, block_mask=ours.create_block_mask(MASKS["causal"], None, None, 3, 5))
    with pytest.raises(NotImplementedError, match="must be 4D"):
        ours.flex_attention(q[0], q[0], q[0])
    with pytest.raises(AssertionError, match="a mask takes 4 arguments"):
        ours.create_mask(lambda b, h: True, 1, 1, 2, 2)
    with pytest.raises(RuntimeError, match="should be callable mask_mods"):
        ours.and_masks(3)


def test_second_derivatives_and_forward_mode():
    q = cr.tensor(np.random.default_rng(0).standard_normal((1, 1, 3, 2)))
    mask = ours.create_block_mask(MASKS["window"], None, None, 3, 3)
    f = lambda q: ours.flex_attention(q, q, q, block_mask=mask).sum()
    assert cr.autograd.gradcheck(f, q.requires_grad_(), check_forward_ad=True)
    assert cr.autograd.gradgradcheck(f, q)

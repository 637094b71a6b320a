"""rotary-embedding-torch: rotations of queries and keys, cached and along axes, with gradients."""

import pytest
import torch
from agreement import agree, drawn
from rotary_embedding_torch import RotaryEmbedding, apply_rotary_emb


@pytest.mark.parametrize("options", [{}, {"use_xpos": True}, {"interpolate_factor": 2.0}, {"theta_rescale_factor": 4.0}])
def test_rotation(options):
    rotary = RotaryEmbedding(dim=8, **options)
    q, k = drawn(1, 2, 10, 16).requires_grad_(), drawn(1, 2, 10, 16, seed=1).requires_grad_()
    if options.get("use_xpos"):
        rotated = rotary.rotate_queries_and_keys(q, k)
    else:
        rotated = rotary.rotate_queries_or_keys(q), rotary.rotate_queries_or_keys(k)
    torch.einsum("bhid,bhjd->bhij", *rotated).softmax(-1).square().sum().backward()
    agree("rotary-" + "-".join(options), {"q": rotated[0], "k": rotated[1], "q grad": q.grad, "k grad": k.grad})


def test_cached_keys():
    rotary = RotaryEmbedding(dim=8, cache_if_possible=True)
    q, k = rotary.rotate_queries_with_cached_keys(drawn(1, 2, 1, 16), drawn(1, 2, 10, 16))
    agree("cached", {"q": q, "k": k})


@pytest.mark.parametrize("kind", ["lang", "pixel", "constant"])
def test_frequencies_learned(kind):
    rotary = RotaryEmbedding(dim=8, freqs_for=kind, max_freq=16, learned_freq=True)
    out = rotary.rotate_queries_or_keys(drawn(1, 2, 10, 16))
    out.square().sum().backward()
    (out * drawn(1, 2, 10, 16, seed=3)).sum()
    agree(f"learned-{kind}", {"out": out, "gradient": rotary.freqs.grad}, 1e-4, 1e-4)


def test_axes():
    rotary = RotaryEmbedding(dim=8, freqs_for="pixel", max_freq=16)
    freqs = rotary.get_axial_freqs(6, 5, offsets=(1, 0))
    agree("axes", {"freqs": freqs, "out": apply_rotary_emb(freqs, drawn(1, 6, 5, 32))})

"""x-transformers: decoders, encoders, cross attention and a vision transformer with the options that people choose."""

import pytest
import torch
from agreement import agree, begin, drawn, integers, train
from x_transformers import (
    AutoregressiveWrapper,
    ContinuousTransformerWrapper,
    Decoder,
    Encoder,
    TransformerWrapper,
    ViTransformerWrapper,
    XTransformer,
)

OPTIONS = {
    "plain": {},
    "rotary": {"rotary_pos_emb": True},
    "alibi": {"alibi_pos_bias": True, "alibi_num_heads": 2},
    "relative": {"rel_pos_bias": True},
    "dynamic": {"dynamic_pos_bias": True},
    "rmsnorm, glu": {"use_rmsnorm": True, "ff_glu": True, "ff_swish": True, "ff_no_bias": True},
    "qk norm": {"attn_qk_norm": True},
    "simple rmsnorm": {"use_simple_rmsnorm": True},
    "one kv head": {"attn_one_kv_head": True},
    "grouped": {"attn_kv_heads": 1},
    "talking": {"attn_pre_talking_heads": True},
    "gated values": {"attn_gate_values": True},
    "gated residual": {"gate_residual": True},
    "memory keys": {"attn_num_mem_kv": 4},
    "sandwich": {"sandwich_norm": True},
    "sparse topk": {"attn_sparse_topk": 3},
    "relu squared": {"ff_relu_squared": True},
    "macaron": {"macaron": True},
    "shift tokens": {"shift_tokens": 1},
    "residual attention": {"residual_attn": True},
    "flash": {"attn_flash": True},
    "zero init": {"zero_init_branch_output": True},
    "post norm": {"pre_norm": False},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_language_model_trains(name):
    model = TransformerWrapper(
        num_tokens=20, max_seq_len=16, attn_layers=Decoder(dim=16, depth=2, heads=2, attn_dim_head=8, **OPTIONS[name])
    )
    wrapped, tokens = AutoregressiveWrapper(model), integers(20, (2, 13))
    train(
        f"lm-{name}",
        wrapped,
        lambda: wrapped(tokens),
        torch.optim.SGD(wrapped.parameters(), lr=1e-2),
        3,
        lambda: model(tokens),
    )


def test_masked_encoder():
    model = TransformerWrapper(num_tokens=20, max_seq_len=16, attn_layers=Encoder(dim=16, depth=2, heads=2))
    begin("encoder", model)
    mask = torch.ones(2, 10).bool()
    mask[1, 6:] = False
    agree(
        "encoder",
        {"out": model(integers(20, (2, 10)), mask=mask), "inner": model(integers(20, (2, 10)), return_embeddings=True)},
    )


def test_encoder_and_decoder_train():
    model = XTransformer(dim=16, enc_num_tokens=20, enc_depth=1, enc_heads=2, enc_max_seq_len=12, dec_num_tokens=20, dec_depth=1,
                         dec_heads=2, dec_max_seq_len=12, tie_token_emb=True)  # fmt: skip
    source, target = integers(20, (2, 10)), integers(20, (2, 9), seed=1)
    train("translation", model, lambda: model(source, target, mask=torch.ones_like(source).bool()), steps=3)
    drawn_tokens = model.generate(source, target[:, :1], 5)
    assert drawn_tokens.shape == (2, 5)


def test_generation():
    model = AutoregressiveWrapper(
        TransformerWrapper(num_tokens=20, max_seq_len=16, attn_layers=Decoder(dim=16, depth=1, heads=2))
    )
    begin("generation", model)
    found = model.generate(integers(20, (2, 3)), 6, temperature=0.0)
    agree("generation", {"tokens": found})
    assert model.generate(integers(20, (2, 3)), 6, temperature=1.0, filter_kwargs={"frac_num_tokens": 0.2}).shape == (2, 6)


def test_vision_transformer():
    model = ViTransformerWrapper(image_size=16, patch_size=4, num_classes=5, attn_layers=Encoder(dim=16, depth=1, heads=2))
    images, labels = drawn(3, 3, 16, 16), integers(5, (3,))
    train("vit", model, lambda: torch.nn.functional.cross_entropy(model(images), labels), steps=3)


def test_continuous():
    model = ContinuousTransformerWrapper(dim_in=3, dim_out=4, max_seq_len=12, attn_layers=Encoder(dim=16, depth=1, heads=2))
    train("continuous", model, lambda: model(drawn(2, 8, 3)).square().mean(), steps=3)

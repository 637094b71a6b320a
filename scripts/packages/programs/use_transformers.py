"""transformers: small models of its architectures for text, images and sound in training, and the tokens that they generate."""

import pytest
import torch
import transformers
from agreement import agree, begin, drawn, integers, train

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 99,
    "max_position_embeddings": 64,
}  # fmt: skip
GROUPED = SIZES | {"num_key_value_heads": 2}
PAIR = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 99,
}  # fmt: skip
WRITERS = {
    "GPT2LMHeadModel": {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0,
    },
    "LlamaForCausalLM": GROUPED,
    "MistralForCausalLM": GROUPED,
    "Qwen2ForCausalLM": GROUPED,
    "GPTNeoXForCausalLM": SIZES,
    "OPTForCausalLM": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64, "vocab_size": 99,
        "max_position_embeddings": 64, "word_embed_proj_dim": 32,
    },
    "BloomForCausalLM": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99},
    "T5ForConditionalGeneration": {
        "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 99, "decoder_start_token_id": 0,
    },
    "BartForConditionalGeneration": PAIR | {"max_position_embeddings": 64},
}  # fmt: skip
READERS = {
    "MixtralForCausalLM": GROUPED | {"num_local_experts": 4},
    "MambaForCausalLM": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99, "state_size": 8},
    "RobertaForMaskedLM": SIZES,
    "AlbertForMaskedLM": SIZES | {"embedding_size": 16},
    "DistilBertForMaskedLM": {
        "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99, "max_position_embeddings": 64,
    },
    "DebertaV2ForMaskedLM": SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}  # fmt: skip
SEERS = {
    "ViTForImageClassification": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
        "patch_size": 8,
    },
    "ConvNextForImageClassification": {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]},
    "ResNetForImageClassification": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "SwinForImageClassification": {
        "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "image_size": 32, "patch_size": 4, "window_size": 4,
    },
}  # fmt: skip
SOUND = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 20,
    "conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2, "mask_time_prob": 0.0,
}  # fmt: skip
SPEECH = PAIR | {
    "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
CHANCE = ("drop", "pdrop")
"""What the names of settings have in them that leave something to chance."""


def model_of(name, sizes):
    """Return a model of a class of transformers, with nothing left to chance."""
    kind = getattr(transformers, name)
    config = kind.config_class(**sizes)
    for key, value in vars(config).items():
        if any(word in key for word in CHANCE) and isinstance(value, float):
            setattr(config, key, 0.0)
    return kind(config).train()


def tokens(rows=2, length=12):
    """Return tokens, none of which has a meaning of its own."""
    return integers(16, (rows, length)) + 3


def fit(name, model, **inputs):
    """Train a model for a few steps and compare."""
    train(name, model, lambda: model(**inputs).loss, steps=3)


@pytest.mark.parametrize("name", [*WRITERS, *READERS])
def test_models_of_text_train(name):
    fit(name, model_of(name, (WRITERS | READERS)[name]), input_ids=tokens(), labels=tokens())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"use_cache": False}, {"repetition_penalty": 1.5}])
def test_models_of_text_generate(name, options):
    model = model_of(name, WRITERS[name]).eval()
    case = f"{name}-generates-{'-'.join(options)}"
    begin(case, model)
    start = tokens(length=4)
    found = model.generate(
        input_ids=start, attention_mask=torch.ones_like(start), max_new_tokens=5, do_sample=False, pad_token_id=0, **options
    )
    agree(case, {"tokens": found})


def test_padded_rows_of_text_are_classified():
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 7:] = 0
    model = model_of("BertForSequenceClassification", SIZES)
    fit("bert", model, input_ids=tokens(), labels=torch.tensor([0, 1]), attention_mask=mask)


def test_replaced_tokens_are_told():
    fit("electra", model_of("ElectraForPreTraining", SIZES), input_ids=tokens(), labels=tokens() % 2)


@pytest.mark.parametrize("name", SEERS)
def test_models_of_images_train(name):
    fit(name, model_of(name, SEERS[name]), pixel_values=drawn(2, 3, 32, 32), labels=torch.tensor([0, 1]))


def test_images_and_text_are_matched():
    text = {key: SIZES[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
    sizes = {
        "text_config": text | {"vocab_size": 99, "max_position_embeddings": 16, "eos_token_id": 98},
        "vision_config": text | {"image_size": 32, "patch_size": 8},
        "projection_dim": 16,
    }
    model = model_of("CLIPModel", sizes)
    fit("clip", model, input_ids=tokens(), pixel_values=drawn(2, 3, 32, 32), return_loss=True)


def test_sound_is_written_down():
    fit("wav2vec2", model_of("Wav2Vec2ForCTC", SOUND), input_values=drawn(2, 800), labels=tokens(length=5))
    fit("whisper", model_of("WhisperForConditionalGeneration", SPEECH), input_features=drawn(2, 8, 40), labels=tokens())


def test_models_are_saved_and_loaded(tmp_path):
    model = model_of("LlamaForCausalLM", GROUPED).eval()
    begin("saved", model)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        found, wanted = again(tokens()).logits, model(tokens()).logits
    assert torch.equal(found, wanted)
    agree("saved", {"logits": found})


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial", "constant_with_warmup"])
def test_schedules(schedule):
    model = model_of("GPT2LMHeadModel", WRITERS["GPT2LMHeadModel"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rates = transformers.get_scheduler(schedule, optimizer, num_warmup_steps=3, num_training_steps=10)
    found = []
    for _ in range(10):
        optimizer.step()
        rates.step()
        found.append(rates.get_last_lr()[0])
    agree(f"schedule-{schedule}", {"rates": found})

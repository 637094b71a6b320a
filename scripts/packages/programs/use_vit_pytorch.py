"""vit-pytorch: vision transformers of many kinds, from the same weights, in training."""

import importlib
import sys
import types

import pytest
from agreement import drawn, integers, train
from torch.nn import functional as F

# torchvision's augmentations, which the package's models take and do not need, fit no PyTorch that runs on the CPU alone
sys.modules["torchvision"] = types.ModuleType("torchvision")
sys.modules["torchvision"].transforms = types.ModuleType("torchvision.transforms")
sys.modules["torchvision.transforms"] = sys.modules["torchvision"].transforms
COMMON = {"image_size": 16, "patch_size": 4, "num_classes": 5, "dim": 16, "depth": 2, "heads": 2, "mlp_dim": 24}
MODELS = {
    "vit.ViT": COMMON,
    "simple_vit.SimpleViT": COMMON,
    "simple_vit_with_register_tokens.SimpleViT": COMMON,
    "simple_vit_with_patch_dropout.SimpleViT": COMMON,
    "simple_vit_with_qk_norm.SimpleViT": COMMON,
    "simple_flash_attn_vit.SimpleViT": COMMON,
    "simple_vit_with_fft.SimpleViT": COMMON | {"freq_patch_size": 4},
    "deepvit.DeepViT": COMMON,
    "cait.CaiT": COMMON | {"cls_depth": 1},
    "parallel_vit.ViT": COMMON,
    "rvt.RvT": COMMON,
    "vit_for_small_dataset.ViT": COMMON,
    "max_vit.MaxViT": {"num_classes": 5, "dim_conv_stem": 8, "dim": 8, "dim_head": 4, "depth": (1, 1), "window_size": 2},
    "cross_vit.CrossViT": {"image_size": 16, "num_classes": 5, "depth": 1, "sm_dim": 8, "sm_patch_size": 4, "sm_enc_depth": 1,
                           "sm_enc_heads": 2, "sm_enc_mlp_dim": 8, "lg_dim": 16, "lg_patch_size": 8, "lg_enc_depth": 1,
                           "lg_enc_heads": 2, "lg_enc_mlp_dim": 16, "cross_attn_depth": 1, "cross_attn_heads": 2},
    "pit.PiT": {"image_size": 16, "patch_size": 4, "dim": 16, "num_classes": 5, "depth": (1, 1), "heads": 2, "mlp_dim": 16},
    "cct.CCT": {"img_size": 16, "embedding_dim": 16, "n_conv_layers": 1, "num_layers": 1, "num_heads": 2, "mlp_ratio": 2.0,
                "num_classes": 5, "stochastic_depth_rate": 0.0, "positional_embedding": "learnable"},
    "t2t.T2TViT": {"dim": 16, "image_size": 16, "depth": 1, "heads": 2, "mlp_dim": 16, "num_classes": 5,
                   "t2t_layers": ((3, 2), (3, 2))},
    "scalable_vit.ScalableViT": {"num_classes": 5, "dim": 8, "heads": (1, 2), "depth": (1, 1), "ssa_dim_key": (4, 4),
                                 "reduction_factor": (2, 1), "window_size": (2, None), "dropout": 0.0},
    "regionvit.RegionViT": {"dim": (8, 8, 16, 16), "depth": (1, 1, 1, 1), "window_size": 2, "num_classes": 5},
    "levit.LeViT": {"image_size": 16, "num_classes": 5, "stages": 1, "dim": 16, "depth": 1, "heads": 2, "mlp_mult": 2},
    "mobile_vit.MobileViT": {"image_size": (64, 64), "dims": [8, 8, 8], "channels": [4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 16],
                             "num_classes": 5, "depths": (1, 1, 1)},
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_classifier_trains(name):
    module, cls = name.split(".")
    model = getattr(importlib.import_module(f"vit_pytorch.{module}"), cls)(**MODELS[name])
    model.eval()  # what they drop is drawn, and differs between the libraries
    size = 64 if module in ("mobile_vit", "regionvit") else 32 if module == "max_vit" else 16
    images, labels = drawn(3, 3, size, size), integers(5, (3,))
    train(name, model, lambda: F.cross_entropy(model(images), labels), steps=2)


def test_attention_is_recorded():
    from vit_pytorch.recorder import Recorder
    from vit_pytorch.vit import ViT

    recorder = Recorder(ViT(**COMMON))
    _, attentions = recorder(drawn(1, 3, 16, 16))
    assert attentions.shape == (1, 2, 2, 17, 17)
    assert (attentions.sum(-1) - 1).abs().max().item() < 1e-5
    recorder.eject()

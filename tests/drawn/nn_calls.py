"""Calls of nn.functional for drawn programs: what a function's declaration is for the others. Arguments as in `Sample`."""

from __future__ import annotations

import numpy as np

from chainrule.core.op.samples import Fixed, Ints, Sample


class Made:
    """Values of a shape, made by an expression of those drawn, which `{}` stands for."""

    __slots__ = ("shape", "text")

    def __init__(self, shape: tuple, text: str):
        self.shape, self.text = shape, text


UNIT, POSITIVE = (0.05, 0.95), (0.3, 2.0)
PLACES = np.array([[[0, 3]]])
PLANE = np.array([[[[0, 3], [9, 14]]]])
SPACE = np.arange(0, 64, 8).reshape(1, 1, 2, 2, 2)
SIGNS = np.array([1.0, -1.0, 1.0])
CELLS = np.full((1, 1, 2), 0.4)


def over_reductions(*args, **params):
    """Return the samples of a loss, reduced in each way."""
    return [Sample(*args, **params, reduction=r) for r in ("mean", "sum", "none")]


def pooled(n, *, sizes):
    """Return the samples of adaptive pooling over so many axes."""
    return [Sample((2, 3, 5, 4, 6)[: n + 2], size) for size in sizes] + [Sample((2, 6, 5, 4)[: n + 1], sizes[0])]


def windows(n, **params):
    """Return the samples of a pool over so many axes."""
    shape = (2, 2, 5, 6, 4)[: n + 2]
    return [
        Sample(shape, 2, **params),
        Sample(shape, 3, 2, padding=1, ceil_mode=True, **params),
        Sample(shape[1:], 2, 1, **params),
    ]


def attention():
    """Return samples of attention: of several heads, cross attention, with weights averaged or not, masked."""
    own = (4, 2, 6), (4, 2, 6), (4, 2, 6), 6, 2, (18, 6), (18,), None, None, False, 0.0, (6, 6), (6,)
    bias = (*own[:7], (1, 1, 6), (1, 1, 6), True, *own[10:])
    cross = (3, 2, 6), (4, 2, 5), (4, 2, 3), 6, 3, None, (18,), None, None, False, 0.0, (6, 6), None
    parts = {"q_proj_weight": (6, 6), "k_proj_weight": (6, 5), "v_proj_weight": (6, 3)}
    return [
        Sample(*own, training=False), Sample(*own, training=False, need_weights=False),
        Sample(*bias, training=False, average_attn_weights=False), Sample(*own, attn_mask=np.triu(np.full((4, 4), -0.5), 1)),
        Sample(*cross, use_separate_proj_weight=True, **{k: Made(v, "{}") for k, v in parts.items()}),
    ]  # fmt: skip


LABELS = Ints((4,), 0, 3)
PADS = [[1, 2], [2, 0, 1, 1], [-1, 2]]
NN = {
    # activations
    **{
        name: [Sample((3, 4)), Sample(()), Sample((2, 1, 3))]
        for name in (
            "relu6",
            "hardsigmoid",
            "hardswish",
            "logsigmoid",
            "mish",
            "silu",
            "softsign",
            "tanhshrink",
            "relu_",
            "selu_",
        )
    },
    "elu": [Sample((3, 4)), Sample((2, 3), 0.7)],
    "elu_": [Sample((3, 4)), Sample((2, 3), 0.7)],
    "celu_": [Sample((3, 4)), Sample((2, 3), 0.7)],
    "leaky_relu": [Sample((3, 4)), Sample((4,), 0.3)],
    "leaky_relu_": [Sample((3, 4)), Sample((4,), 0.3)],
    "hardtanh": [Sample((3, 4)), Sample((3, 4), -0.5, 1.5)],
    "hardtanh_": [Sample((3, 4)), Sample((3, 4), -0.5, 1.5)],
    "threshold_": [Sample((3, 4), 0.3, 9.0)],
    "rrelu": [Sample((3, 4), training=False)],
    "rrelu_": [Sample((3, 4), 0.1, 0.4, training=False)],
    "gelu": [Sample((3, 4)), Sample((3, 4), approximate="tanh")],
    "glu": [Sample((3, 4)), Sample((4, 3), 0)],
    "softplus": [Sample((3, 4)), Sample((3, 4), 3.0, 2.0)],
    "softshrink": [Sample((3, 4)), Sample((3, 4), 1.0)],
    "softmin": [Sample((3, 4), 1), Sample((2, 3, 2), dim=0)],
    # losses
    "mse_loss": over_reductions((3, 4), (3, 4)),
    "l1_loss": over_reductions((3, 4), (3, 4)),
    "smooth_l1_loss": over_reductions((3, 4), (3, 4), beta=0.7),
    "huber_loss": over_reductions((3, 4), (3, 4), delta=0.7),
    "binary_cross_entropy": over_reductions((3, 4), (3, 4), domain=UNIT),
    "binary_cross_entropy_with_logits": [
        *over_reductions((3, 4), (3, 4), domain=[(-2, 2), UNIT]),
        Sample((3, 4), (3, 4), (4,), domain=[(-2, 2), UNIT, POSITIVE]),
    ],
    "cross_entropy": [
        *over_reductions((4, 3), LABELS),
        *over_reductions((4, 3), (4, 3), domain=[(-2, 2), UNIT]),
        Sample((4, 3), LABELS, label_smoothing=0.2),
        Sample((4, 3, 2), Ints((4, 2), 0, 3), ignore_index=1),
        Sample((3,), Ints((), 0, 3)),
    ],
    "nll_loss": [*over_reductions((4, 3), LABELS), Sample((4, 3, 2, 2), Ints((4, 2, 2), 0, 3))],
    "linear_cross_entropy": [
        Sample((4, 5), (3, 5), LABELS),
        Sample((4, 5), (3, 5), LABELS, reduction="sum", label_smoothing=0.1),
    ],
    "ctc_loss": [
        Sample(Made((6, 2, 4), "lib.log_softmax({}, -1)"), Ints((2, 2), 1, 4), Fixed((6, 5)), Fixed((2, 1)), reduction=r)
        for r in ("mean", "sum", "none")
    ],
    "kl_div": [*over_reductions((3, 4), (3, 4), domain=UNIT), Sample((3, 4), (3, 4), reduction="batchmean", log_target=True)],
    "gaussian_nll_loss": [
        Sample((3, 4), (3, 4), (3, 4), domain=POSITIVE),
        Sample((3, 4), (3, 4), (3, 1), full=True, domain=POSITIVE),
    ],
    "poisson_nll_loss": [
        Sample((3, 4), (3, 4), domain=POSITIVE),
        Sample((3, 4), (3, 4), log_input=False, full=True, domain=(1.5, 4)),
    ],
    "soft_margin_loss": [Sample((3,), SIGNS), Sample((2, 3), SIGNS.repeat(2).reshape(2, 3), reduction="none")],
    "hinge_embedding_loss": [Sample((3,), SIGNS), Sample((3,), SIGNS, 0.5, reduction="sum")],
    "margin_ranking_loss": [Sample((3,), (3,), SIGNS), Sample((3,), (3,), SIGNS, 0.5, reduction="none")],
    "cosine_embedding_loss": [Sample((3, 4), (3, 4), SIGNS), Sample((3, 4), (3, 4), SIGNS, 0.1, reduction="sum")],
    "multi_margin_loss": [Sample((4, 3), LABELS), Sample((4, 3), LABELS, p=2, margin=0.7, reduction="none")],
    "multilabel_margin_loss": [
        Sample((2, 4), np.array([[3, 0, -1, 1], [1, -1, 0, 2]])),
        Sample((4,), np.array([3, 0, -1, 1]), reduction="sum"),
    ],
    "multilabel_soft_margin_loss": [Sample((3, 4), (3, 4), domain=[(-2, 2), UNIT]), Sample((3, 4), (3, 4), (4,), domain=UNIT)],
    "triplet_margin_loss": [
        Sample((3, 4), (3, 4), (3, 4)),
        Sample((3, 4), (3, 4), (3, 4), margin=2.0, p=1.5, swap=True, reduction="none"),
    ],
    "triplet_margin_with_distance_loss": [
        Sample((3, 4), (3, 4), (3, 4)),
        Sample((3, 4), (3, 4), (3, 4), swap=True, reduction="sum"),
    ],
    # distances
    "cosine_similarity": [Sample((3, 4), (3, 4)), Sample((3, 1, 4), (2, 4), dim=-1)],
    "pairwise_distance": [Sample((3, 4), (3, 4)), Sample((3, 4), (4,), p=1.5, keepdim=True)],
    "pdist": [Sample((4, 3)), Sample((4, 3), 1.5), Sample((3, 2), 1.0)],
    "normalize": [Sample((3, 4)), Sample((3, 4), p=1.5, dim=0), Sample((3, 4), p=1.0, dim=-1)],
    # convolution, pooling, frames
    "avg_pool2d": windows(2),
    "avg_pool3d": windows(3),
    "adaptive_avg_pool2d": pooled(2, sizes=[Fixed((2, 3)), 2, Fixed((None, 3))]),
    "adaptive_avg_pool3d": pooled(3, sizes=[Fixed((2, 3, 2)), 2]),
    "adaptive_max_pool2d": pooled(2, sizes=[Fixed((2, 3)), 2]),
    "adaptive_max_pool3d": pooled(3, sizes=[Fixed((2, 3, 2)), 2]),
    **{f"adaptive_max_pool{n}d_with_indices": pooled(n, sizes=[2]) for n in (1, 2, 3)},
    "max_pool2d_with_indices": windows(2),
    "max_pool3d_with_indices": windows(3),
    "lp_pool1d": [Sample((2, 3, 6), 2.0, 2), Sample((2, 3, 6), 3.0, 3, 2)],
    "lp_pool2d": [Sample((2, 3, 5, 6), 2.0, 2)],
    "lp_pool3d": [Sample((1, 2, 4, 4, 4), 2.0, 2)],
    "fractional_max_pool2d": [Sample((1, 1, 6, 6), 2, Fixed((3, 3)), _random_samples=CELLS)],
    "fractional_max_pool2d_with_indices": [Sample((1, 1, 6, 6), 2, Fixed((3, 3)), _random_samples=CELLS)],
    "fractional_max_pool3d": [Sample((1, 1, 5, 5, 5), 2, Fixed((3, 3, 3)), _random_samples=np.full((1, 1, 3), 0.4))],
    "fractional_max_pool3d_with_indices": [
        Sample((1, 1, 5, 5, 5), 2, Fixed((3, 3, 3)), _random_samples=np.full((1, 1, 3), 0.4))
    ],
    "max_unpool1d": [Sample((1, 1, 2), PLACES, 2)],
    "max_unpool2d": [Sample((1, 1, 2, 2), PLANE, 2)],
    "max_unpool3d": [Sample((1, 1, 2, 2, 2), SPACE, 2)],
    "unfold": [Sample((2, 3, 5, 4), 2), Sample((1, 2, 6, 6), Fixed((2, 3)), dilation=2, padding=1, stride=2)],
    "fold": [Sample((2, 12, 6), Fixed((3, 4)), 2), Sample((1, 8, 9), Fixed((4, 4)), 2, padding=1, stride=2)],
    # normalisation
    "layer_norm": [
        Sample((3, 4), Fixed((4,))),
        Sample((2, 3, 4), Fixed((3, 4)), (3, 4), (3, 4)),
        Sample((3, 4), Fixed((4,)), (4,)),
    ],
    "rms_norm": [Sample((3, 4), Fixed((4,))), Sample((2, 3, 4), Fixed((3, 4)), (3, 4), 1e-3)],
    "group_norm": [Sample((2, 4, 3), 2), Sample((3, 6, 2, 2), 3, (6,), (6,))],
    "instance_norm": [Sample((2, 3, 4)), Sample((2, 3, 2, 3), None, None, (3,), (3,))],
    "batch_norm": [
        Sample((4, 3), None, None, (3,), (3,), True),
        Sample((3, 2, 4), None, None, training=True),
        Sample((4, 3), np.array([0.1, -0.2, 0.3]), np.array([0.5, 1.0, 2.0]), (3,), (3,)),
    ],
    "local_response_norm": [Sample((2, 5, 3), 3), Sample((2, 5, 3, 2), 2, 0.3, 0.6, 1.5)],
    # resampling
    "interpolate": [
        Sample((1, 2, 4), size=7),
        Sample((1, 2, 4), scale_factor=1.5, mode="linear"),
        Sample((1, 2, 3, 4), size=(5, 3), mode="bilinear", align_corners=True),
        Sample((1, 2, 3, 4), scale_factor=2.0, mode="bicubic"),
        Sample((1, 2, 3, 4), size=(2, 6), mode="area"),
        Sample((1, 1, 2, 3, 3), size=(3, 4, 2), mode="trilinear"),
        Sample((1, 2, 3, 4), size=(5, 3), mode="nearest-exact"),
        Sample((1, 2, 6, 6), size=(3, 4), mode="bilinear", antialias=True),
    ],
    "upsample": [Sample((1, 2, 3, 4), size=(5, 6)), Sample((1, 2, 4), scale_factor=2, mode="linear")],
    "upsample_bilinear": [Sample((1, 2, 3, 4), scale_factor=2)],
    "upsample_nearest": [Sample((1, 2, 3, 4), scale_factor=2)],
    "grid_sample": [
        Sample(
            (2, 2, 4, 5), (2, 3, 3, 2), mode=mode, padding_mode=padding, align_corners=corners, domain=[(-2, 2), (-1.3, 1.3)]
        )
        for mode, padding, corners in (
            ("bilinear", "zeros", False),
            ("bilinear", "border", True),
            ("nearest", "zeros", True),
            ("bicubic", "reflection", False),
        )
    ],
    "affine_grid": [
        Sample((2, 2, 3), Fixed((2, 3, 4, 5)), align_corners=False),
        Sample((1, 3, 4), Fixed((1, 1, 2, 3, 4)), align_corners=True),
    ],
    "pad": [
        *[Sample((3, 4), pad) for pad in PADS],
        Sample((3, 4), [1, 1], value=2.5),
        Sample((1, 2, 5), [2, 1], mode="reflect"),
        Sample((1, 2, 3, 4), [1, 2, 0, 1], mode="replicate"),
        Sample((1, 2, 4), [2, 3], mode="circular"),
    ],
    # embedding, attention, linear maps
    "embedding": [
        Sample(Ints((2, 3), 0, 5), (5, 4)),
        Sample(Ints((4,), 0, 5), (5, 3), padding_idx=2),
        Sample(Ints((4,), 0, 3), (3, 2), scale_grad_by_freq=True),
    ],
    "embedding_bag": [Sample(Ints((2, 3), 0, 5), (5, 4), mode=mode) for mode in ("sum", "mean", "max")]
    + [Sample(Ints((6,), 0, 5), (5, 4), np.array([0, 2, 5]), mode="sum", per_sample_weights=Made((6,), "{}"))],
    "one_hot": [Sample(Ints((3,), 0, 4), 4)],
    "scaled_dot_product_attention": [
        Sample((2, 3, 4), (2, 5, 4), (2, 5, 6)),
        Sample((2, 2, 4, 3), (2, 2, 4, 3), (2, 2, 4, 3), is_causal=True),
        Sample((2, 3, 4), (2, 5, 4), (2, 5, 4), (3, 5), scale=0.3),
        Sample((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2), enable_gqa=True),
        Sample((3, 4), (5, 4), (5, 4), np.tri(3, 5, 1, bool)),
    ],
    "multi_head_attention_forward": attention(),
    "linear": [Sample((3, 4), (2, 4)), Sample((2, 3, 4), (5, 4), (5,)), Sample((4,), (4,))],
    "bilinear": [Sample((3, 2), (3, 4), (5, 2, 4), (5,)), Sample((2,), (3,), (4, 2, 3))],
    # layers of chance, outside of training
    **{
        name: [Sample((2, 3, 4), 0.4, training=False)]
        for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
    },
}

"""Configurations of every module class of nn: constructor arguments, and the inputs of a call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Ints(NamedTuple):
    """Integers below a bound, of a shape."""

    below: int
    shape: tuple


class Signs(NamedTuple):
    """-1 and 1, of a shape."""

    shape: tuple


class Positive(NamedTuple):
    """Numbers in (0, 1), of a shape."""

    shape: tuple


class Given(NamedTuple):
    """A value as it is."""

    value: Any


class Indices(NamedTuple):
    """What a module of another class returns as indices for an input."""

    name: str
    args: tuple
    shape: tuple


def call(*inputs, **options):
    return inputs, options


P = Positive
X, CHW, NCHW, NCL, NCDHW = (3, 4), (4, 5, 6), (2, 4, 5, 6), (2, 4, 7), (2, 4, 3, 4, 5)
SPACES = {1: NCL, 2: NCHW, 3: NCDHW}

# name -> [(constructor's positional arguments, its keywords, inputs of the call), ...]
TABLE: dict[str, list[tuple[tuple, dict, tuple]]] = {}


def add(name, *configurations):
    TABLE.setdefault(name, []).extend(configurations)


for _name in (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "PReLU",
    "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Identity",
):  # fmt: skip
    add(_name, ((), {}, (X,)))
for _name, *_more in (
    ("CELU", {"alpha": 0.5}), ("ELU", {"alpha": 0.5}), ("GELU", {"approximate": "tanh"}), ("Hardshrink", {"lambd": 0.3}),
    ("Hardtanh", {"min_val": -0.3, "max_val": 0.5}), ("LeakyReLU", {"negative_slope": 0.3}),
    ("PReLU", {"num_parameters": 4, "init": 0.1}), ("Softplus", {"beta": 2.0, "threshold": 1.0}),
    ("Softshrink", {"lambd": 0.3}), ("RReLU", {"lower": 0.3, "upper": 0.3}), ("GLU", {}),
    ("GLU", {"dim": 1}), ("Softmax", {"dim": 1}), ("Softmin", {"dim": 0}),
    ("LogSoftmax", {"dim": -1}), ("Threshold", {"threshold": 0.1, "value": 3.0}),
):  # fmt: skip
    add(_name, *[((), options, (X,)) for options in _more])
add("Softmax2d", ((), {}, (NCHW,)), ((), {}, (CHW,)))
for _n, _shape in SPACES.items():
    add(
        f"Conv{_n}d",
        ((4, 6, 3), {}, (_shape,)),
        ((4, 6, 2), {"stride": 2, "padding": 1, "groups": 2, "bias": False}, (_shape,)),
        ((4, 2, 2), {"padding": "same", "dilation": 2}, (_shape[1:],)),
        *[((4, 2, 2), {"padding": 1, "padding_mode": mode}, (_shape,)) for mode in ("reflect", "replicate", "circular")],
    )
    add(
        f"ConvTranspose{_n}d",
        ((4, 6, 3), {}, (_shape,)),
        ((4, 6, 2), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "bias": False}, (_shape,)),
        ((4, 2, 2), {"dilation": 2}, (_shape[1:],)),
    )
    add(
        f"MaxPool{_n}d",
        ((2,), {}, (_shape,)),
        ((2, 1, 1), {"return_indices": True}, (_shape,)),
        ((2,), {"ceil_mode": True}, (_shape[1:],)),
    )
    add(
        f"AvgPool{_n}d",
        ((2,), {}, (_shape,)),
        ((2, 1, 1), {"count_include_pad": False}, (_shape,)),
        ((2,), {"ceil_mode": True}, (_shape[1:],)),
    )
    add(f"AdaptiveAvgPool{_n}d", ((2,), {}, (_shape,)), ((3,), {}, (_shape[1:],)))
    add(f"AdaptiveMaxPool{_n}d", ((2,), {}, (_shape,)), ((3,), {"return_indices": True}, (_shape[1:],)))
    add(f"LPPool{_n}d", ((2, 2), {}, (_shape,)), ((1.5, 2), {"ceil_mode": True}, (_shape,)))
    add(f"MaxUnpool{_n}d", ((2,), {}, (Indices(f"MaxPool{_n}d", (2,), (2, 4, 6, 4, 4)[: _n + 2]),)))
    for _kind in ("Circular", "Reflection", "Replication", "Zero"):
        add(f"{_kind}Pad{_n}d", ((1,), {}, (_shape,)), (((1, 2) * _n,), {}, (_shape,)))
    add(f"ConstantPad{_n}d", ((1, 3.5), {}, (_shape,)), (((1, -1) * _n, -2.0), {}, (_shape[1:],)))
    add(f"InstanceNorm{_n}d", ((4,), {}, (_shape,)), ((4,), {"affine": True, "track_running_stats": True}, (_shape[1:],)),
        ((4,), {"affine": True, "bias": False}, (_shape,)))  # fmt: skip
    add(f"BatchNorm{_n}d", ((4,), {}, (_shape,)), ((4,), {"momentum": None, "bias": False}, (_shape,)),
        ((4,), {"affine": False}, (_shape,)), ((4,), {"track_running_stats": False, "eps": 0.1}, (_shape,)))  # fmt: skip
    add(f"Dropout{_n}d", ((), {"p": 0.0}, (_shape,)))
    add(f"LazyConv{_n}d", ((6, 2), {"groups": 2}, (_shape,)))
    add(f"LazyConvTranspose{_n}d", ((6, 2), {"stride": 2}, (_shape,)))
    add(f"LazyBatchNorm{_n}d", ((), {}, (_shape,)))
    add(f"LazyInstanceNorm{_n}d", ((), {}, (_shape,)))
add("BatchNorm1d", ((4,), {}, (X,)))
add("LazyLinear", ((2,), {}, (X,)))
add("FractionalMaxPool2d", ((2,), {"output_size": 3, "_random_samples": Given(np.full((2, 4, 2), 0.4))}, (NCHW,)))
add("FractionalMaxPool3d", ((2,), {"output_ratio": 0.5, "_random_samples": Given(np.full((2, 4, 3), 0.4))}, (NCDHW,)))
add("Linear", ((4, 2), {}, (X,)), ((4, 2), {"bias": False}, ((4,),)), ((4, 2), {}, ((2, 3, 4),)))
add("Bilinear", ((4, 3, 2), {}, (X, (3, 3))), ((4, 3, 2), {"bias": False}, (X, (3, 3))))
add("Flatten", ((), {}, (NCHW,)), ((), {"start_dim": 2, "end_dim": 3}, (NCHW,)))
add("Unflatten", ((1, (2, 2)), {}, (X,)), ((-1, (2, -1)), {}, (X,)))
add("Dropout", ((), {"p": 0.0}, (X,)), ((1.0,), {}, (X,)))
add("AlphaDropout", ((0.0,), {}, (X,)))
add("FeatureAlphaDropout", ((0.0,), {}, (NCHW,)))
add("LayerNorm", ((4,), {}, (X,)), (([3, 4],), {"eps": 0.1, "bias": False}, (X,)), ((4,), {"elementwise_affine": False}, (X,)))
add("RMSNorm", ((4,), {}, (X,)), (((3, 4),), {"eps": 0.1, "elementwise_affine": False}, (X,)))
add("GroupNorm", ((2, 4), {}, (NCHW,)), ((4, 4), {"affine": False, "eps": 0.1}, (X,)), ((1, 4), {"bias": False}, (NCL,)))
add("LocalResponseNorm", ((2,), {}, (NCHW,)), ((3,), {"alpha": 0.5, "beta": 1.0, "k": 2.0}, (NCL,)))
add("CrossMapLRN2d", ((7,), {"alpha": 0.5}, (NCHW,)), ((9,), {"alpha": 0.5, "beta": 1.0, "k": 2.0}, (NCHW,)))
add("Embedding", ((5, 3), {}, (Ints(5, (2, 4)),)),
    ((5, 3), {"padding_idx": -1, "scale_grad_by_freq": True}, (Ints(5, (2, 4)),)),
    ((5, 3), {"max_norm": 0.5, "norm_type": 1.0}, (Ints(5, (3,)),)))  # fmt: skip
add("EmbeddingBag", *[((5, 3), {"mode": mode}, (Ints(5, (2, 4)),)) for mode in ("sum", "mean", "max")],
    ((5, 3), {"mode": "sum", "padding_idx": 1}, (Ints(5, (6,)), Given(np.array([0, 2])), P((6,)))))  # fmt: skip
add("CosineSimilarity", ((), {}, (X, X)), ((), {"dim": 0, "eps": 0.1}, (X, X)))
add("PairwiseDistance", ((), {}, (X, X)), ((), {"p": 3.0, "keepdim": True}, (X, X)))
add("PixelShuffle", ((2,), {}, (NCHW,)))
add("PixelUnshuffle", ((2,), {}, ((2, 1, 4, 6),)))
add("ChannelShuffle", ((2,), {}, (NCHW,)))
add("Fold", (((3, 4), (2, 2)), {}, ((2, 4, 6),)), (((3, 4), 2), {"stride": 2, "padding": 1}, ((2, 4, 6),)))
add("Unfold", ((2,), {}, (NCHW,)), (((2, 3),), {"dilation": 2, "padding": 1, "stride": 2}, (NCHW,)))
add("Upsample", ((), {"scale_factor": 2}, (NCHW,)), (((7, 9),), {"mode": "bilinear", "align_corners": True}, (NCHW,)),
    ((), {"scale_factor": 1.5, "mode": "bicubic"}, (NCHW,)), ((5,), {"mode": "linear"}, (NCL,)),
    ((), {"scale_factor": 1.5, "mode": "trilinear", "recompute_scale_factor": True}, (NCDHW,)))  # fmt: skip
add("UpsamplingNearest2d", ((), {"scale_factor": 2}, (NCHW,)))
add("UpsamplingBilinear2d", (((7, 9),), {}, (NCHW,)))
for _name in ("RNN", "LSTM", "GRU"):
    add(_name, ((4, 3), {}, ((5, 2, 4),)),
        ((4, 3), {"num_layers": 2, "bidirectional": True, "batch_first": True}, ((2, 5, 4),)),
        ((4, 3, 2), {"bias": False}, ((5, 4),)))  # fmt: skip
    add(f"{_name}Cell", ((4, 3), {}, (X,)), ((4, 3), {"bias": False}, ((4,),)))
add("RNN", ((4, 3), {"nonlinearity": "relu"}, ((5, 2, 4),)))
add("RNNCell", ((4, 3), {"nonlinearity": "relu"}, (X,)))
add("LSTM", ((4, 3), {"proj_size": 2, "num_layers": 2}, ((5, 2, 4),)))
add("GRU", ((4, 3), {}, ((5, 2, 4), (1, 2, 3))))
_QKV = ((3, 2, 4), (5, 2, 4), (5, 2, 4))
add("MultiheadAttention", ((4, 2), {}, _QKV), ((4, 2), {"bias": False, "add_bias_kv": True, "add_zero_attn": True}, _QKV),
    ((4, 2), {"kdim": 3, "vdim": 5, "batch_first": True}, ((2, 3, 4), (2, 5, 3), (2, 5, 5))),
    ((4, 2), {}, ((3, 4), (5, 4), (5, 4))))  # fmt: skip
_SMALL = {"dim_feedforward": 5, "dropout": 0.0}
add("TransformerEncoderLayer", ((4, 2), _SMALL, ((3, 2, 4),)),
    ((4, 2), {**_SMALL, "norm_first": True, "activation": "gelu", "bias": False, "batch_first": True},
     ((2, 3, 4),)))  # fmt: skip
add("TransformerDecoderLayer", ((4, 2), _SMALL, ((3, 2, 4), (5, 2, 4))),
    ((4, 2), {**_SMALL, "norm_first": True, "layer_norm_eps": 0.1}, ((3, 4), (5, 4))))  # fmt: skip
add("Transformer", ((4, 2, 1, 2), _SMALL, ((5, 2, 4), (3, 2, 4))))
_CLASSES = ((3, 4), Ints(4, (3,)))
for _reduction in ("mean", "sum", "none"):
    _o = {"reduction": _reduction}
    for _name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        add(_name, ((), _o, (X, X)))
    add("BCELoss", ((), _o, (P(X), P(X))))
    add("BCEWithLogitsLoss", ((), _o, (X, P(X))))
    add("KLDivLoss", ((), _o, (X, P(X))), ((), {**_o, "log_target": True}, (X, X)))
    add("NLLLoss", ((), _o, _CLASSES), ((), {**_o, "ignore_index": 1}, ((2, 4, 3), Ints(4, (2, 3)))))
    add("NLLLoss2d", ((), _o, (NCHW, Ints(4, (2, 5, 6)))))
    add("CrossEntropyLoss", ((), {**_o, "label_smoothing": 0.1}, _CLASSES), ((), _o, (X, P(X))))
    add("LinearCrossEntropyLoss", ((4, 5), {**_o, "bias": True}, ((3, 4), Ints(5, (3,)))),
        ((4, 5), {**_o, "out_features": (2,), "ignore_index": 1}, ((3, 4), Ints(5, (3, 2)))))  # fmt: skip
    add("CosineEmbeddingLoss", ((), {**_o, "margin": 0.1}, (X, X, Signs((3,)))))
    add("HingeEmbeddingLoss", ((), {**_o, "margin": 0.5}, (X, Signs(X))))
    add("MarginRankingLoss", ((), {**_o, "margin": 0.1}, ((4,), (4,), Signs((4,)))))
    add("MultiLabelMarginLoss", ((), _o, ((3, 4), Given(np.array([[0, 2, -1, 1], [3, -1, 0, 0], [1, 0, 2, 3]])))))
    add("MultiLabelSoftMarginLoss", ((), _o, (X, Ints(2, X))))
    add("MultiMarginLoss", ((), {**_o, "p": 2, "margin": 0.5}, _CLASSES))
    add("SoftMarginLoss", ((), _o, (X, Signs(X))))
    add("TripletMarginLoss", ((), {**_o, "swap": True, "p": 1.5}, (X, X, X)))
    add("TripletMarginWithDistanceLoss", ((), {**_o, "margin": 2.0}, (X, X, X)))
    add("PoissonNLLLoss", ((), {**_o, "full": True}, (X, Ints(5, X))), ((), {**_o, "log_input": False}, (P(X), Ints(5, X))))
    add("GaussianNLLLoss", ((), {**_o, "full": True}, (X, X, P(X))))
    add("CTCLoss", ((), {**_o, "blank": 1, "zero_infinity": True},
        ((5, 2, 4), Given(np.array([[2, 3], [0, 2]])), Given(np.array([5, 4])), Given(np.array([2, 1])))))  # fmt: skip
add("AdaptiveLogSoftmaxWithLoss", ((8, 12, [3, 7]), {"div_value": 2.0, "head_bias": True}, ((6, 8), Ints(12, (6,)))),
    ((8, 12, [5]), {}, ((8,), Given(np.array(9)))))  # fmt: skip

# Classes that hold other modules or parameters, or are what others are built on: other tests have them.
ELSEWHERE = {
    "Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Parameter", "Buffer", "RNNBase",
    "RNNCellBase",
    "Container", "DataParallel", "SyncBatchNorm", "TransformerEncoder", "TransformerDecoder",
    "UninitializedParameter", "UninitializedBuffer",
}  # fmt: skip


def made(lib, options):
    """Return keywords with tensors of a library."""
    return {k: lib.tensor(v.value) if isinstance(v, Given) else v for k, v in options.items()}


def drawn(rng, spec, lib):
    """Return the inputs of a call as arrays."""
    if isinstance(spec, Ints):
        return [np.asarray(rng.integers(0, spec.below, spec.shape))]
    if isinstance(spec, Signs):
        return [rng.choice([-1.0, 1.0], spec.shape)]
    if isinstance(spec, Positive):
        return [rng.uniform(0.05, 0.95, spec.shape)]
    if isinstance(spec, Given):
        return [spec.value]
    if isinstance(spec, Indices):
        pool = getattr(lib.nn, spec.name)(*spec.args, return_indices=True)
        values, places = pool(lib.tensor(rng.normal(size=spec.shape)))
        return [values.numpy(), places.numpy()]
    return [rng.normal(size=spec)]

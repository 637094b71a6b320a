"""Layers over functions: PyTorch's names of weights, texts, outputs and gradients, with the same weights."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from tests.nn.comparison import close, torch

import chainrule as cr
from chainrule.nn.modules import (
    attention,
    batchnorm,
    distance,
    dropout,
    embedding,
    instancenorm,
    normalization,
    ranking,
    recurrent,
)

RNG = np.random.default_rng(7)


def normal(*shape):
    return np.asarray(RNG.normal(size=shape))


IDS = np.array([[0, 2, 1], [4, 4, 0]])
LAYERS = [
    ("LayerNorm", (4,), {}, [normal(3, 4)]),
    ("LayerNorm", ([3, 4],), {"bias": False, "eps": 0.1}, [normal(2, 3, 4)]),
    ("LayerNorm", (4,), {"elementwise_affine": False}, [normal(3, 4)]),
    ("RMSNorm", (4,), {}, [normal(3, 4)]),
    ("RMSNorm", ((4,),), {"elementwise_affine": False, "eps": 0.1}, [normal(3, 4)]),
    ("GroupNorm", (2, 4), {}, [normal(3, 4, 2)]),
    ("GroupNorm", (2, 4), {"affine": False}, [normal(3, 4)]),
    ("BatchNorm1d", (3,), {}, [normal(4, 3)]),
    ("BatchNorm1d", (3,), {"momentum": None}, [normal(4, 3, 2)]),
    ("BatchNorm2d", (3,), {"affine": False}, [normal(2, 3, 2, 2)]),
    ("BatchNorm3d", (3,), {"track_running_stats": False}, [normal(2, 3, 2, 2, 1)]),
    ("InstanceNorm1d", (3,), {}, [normal(2, 3, 4)]),
    ("InstanceNorm1d", (3,), {"affine": True, "track_running_stats": True}, [normal(3, 4)]),
    ("InstanceNorm2d", (3,), {"affine": True}, [normal(2, 3, 2, 2)]),
    ("InstanceNorm3d", (3,), {}, [normal(2, 3, 2, 2, 2)]),
    ("LocalResponseNorm", (2,), {"alpha": 0.5}, [normal(2, 4, 3)]),
    ("Embedding", (5, 3), {}, [IDS]),
    ("Embedding", (5, 3), {"padding_idx": -1, "scale_grad_by_freq": True}, [IDS]),
    ("Embedding", (5, 3), {"max_norm": 0.5, "norm_type": 1.0}, [IDS]),
    ("EmbeddingBag", (5, 3), {}, [IDS]),
    ("EmbeddingBag", (5, 3), {"mode": "max", "padding_idx": 4}, [IDS]),
    ("EmbeddingBag", (5, 3), {"mode": "sum", "include_last_offset": True}, [IDS[0], np.array([0, 1, 3])]),
    ("MultiheadAttention", (4, 2), {}, [normal(3, 2, 4)] * 3),
    (
        "MultiheadAttention",
        (4, 2),
        {"kdim": 3, "vdim": 5, "bias": False, "batch_first": True},
        [normal(2, 3, 4), normal(2, 5, 3), normal(2, 5, 5)],
    ),
    ("MultiheadAttention", (4, 2), {"add_bias_kv": True, "add_zero_attn": True}, [normal(3, 4), normal(2, 4), normal(2, 4)]),
    ("Bilinear", (3, 2, 4), {}, [normal(5, 3), normal(5, 2)]),
    ("CosineSimilarity", (), {"dim": 0}, [normal(3, 2), normal(3, 2)]),
    ("PairwiseDistance", (3.0,), {"keepdim": True}, [normal(3, 2), normal(3, 2)]),
    *[
        (name, (4, 3), options, [x])
        for name in ("RNN", "LSTM", "GRU")
        for options, x in (
            ({}, normal(5, 2, 4)),
            ({"num_layers": 2, "bidirectional": True, "batch_first": True}, normal(2, 5, 4)),
            ({"bias": False}, normal(5, 4)),
        )
    ],
    ("RNN", (4, 3), {"nonlinearity": "relu"}, [normal(5, 2, 4)]),
    ("LSTM", (4, 3), {"proj_size": 2, "num_layers": 2}, [normal(5, 2, 4)]),
    *[
        (name, (4, 3), options, [x])
        for name in ("RNNCell", "LSTMCell", "GRUCell")
        for options, x in (({}, normal(2, 4)), ({"bias": False}, normal(4)))
    ],
    ("RNNCell", (4, 3), {"nonlinearity": "relu"}, [normal(2, 4)]),
    ("GRU", (4, 3), {}, [normal(5, 2, 4), normal(1, 2, 3)]),
    ("Dropout1d", (0.2,), {}, []),
    ("Dropout2d", (0.2,), {}, []),
    ("Dropout3d", (), {}, []),
    ("AlphaDropout", (0.3, True), {}, []),
    ("FeatureAlphaDropout", (), {}, []),
    ("MarginRankingLoss", (0.3,), {}, [normal(4), normal(4), np.array([1.0, -1, 1, 1])]),
    ("HingeEmbeddingLoss", (), {"reduction": "sum"}, [normal(4), np.array([1, -1, 1, 1])]),
    ("CosineEmbeddingLoss", (), {}, [normal(2, 3), normal(2, 3), np.array([1, -1])]),
    ("SoftMarginLoss", (), {}, [normal(4), np.array([1.0, -1, 1, 1])]),
    ("MultiLabelMarginLoss", (), {}, [normal(1, 3), np.array([[0, 2, -1]])]),
    ("MultiLabelSoftMarginLoss", (), {}, [normal(2, 3), np.ones((2, 3))]),
    ("MultiMarginLoss", (2, 0.5), {"reduction": "none"}, [normal(2, 3), np.array([0, 2])]),
    ("TripletMarginLoss", (), {"swap": True}, [normal(2, 3), normal(2, 3), normal(2, 3)]),
    ("TripletMarginWithDistanceLoss", (), {"margin": 2.0}, [normal(2, 3), normal(2, 3), normal(2, 3)]),
    ("PoissonNLLLoss", (), {"full": True}, [normal(3), np.array([0.0, 2, 5])]),
    ("GaussianNLLLoss", (), {"full": True}, [normal(3), normal(3), np.ones(3)]),
    ("CTCLoss", (), {}, [normal(4, 1, 3), np.array([[1, 2]]), np.array([4]), np.array([2])]),
]


def flat(values):
    for v in values if isinstance(values, (tuple, list)) else [values]:
        if isinstance(v, (tuple, list)):
            yield from flat(v)
        elif v is not None:
            yield v


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "args", "options", "inputs"), LAYERS, ids=lambda v: v if isinstance(v, str) else "")
def test_layer_is_pytorch_s(name, args, options, inputs):
    theirs = getattr(torch.nn, name)(*args, **options).double()
    ours = getattr(cr.nn, name)(*args, **options).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    for training in (True, False) if inputs else ():
        found = []
        for lib, layer in ((cr, ours), (torch, theirs)):
            layer.train(training).zero_grad()
            same = {id(a): lib.tensor(a) for a in inputs}
            results = list(flat(layer(*[same[id(a)] for a in inputs])))
            if any(p.requires_grad for p in layer.parameters()):
                sum((r * r).sum() for r in results).backward()
            found.append([*[r.detach() for r in results], *[p.grad for p in layer.parameters()], *layer.buffers()])
        for a, b in zip(*found, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                close(a, b, 1e-9)


MODULES = (attention, batchnorm, distance, dropout, embedding, instancenorm, normalization, ranking, recurrent)


@pytest.mark.parametrize("name", sorted({n for m in MODULES for n in m.__all__} - {"GRU", "LSTM", "RNN", "RNNCellBase"}))
def test_signature_is_pytorch_s(name):
    read = lambda lib: [(p.name, p.default) for p in inspect.signature(getattr(lib.nn, name)).parameters.values()]
    ours, theirs = read(cr), read(torch)
    assert [n for n, _ in ours] == [n for n, _ in theirs]
    assert [d for _, d in ours] == [d for _, d in theirs]


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_tables_of_given_rows(name):
    w = normal(5, 3)
    layer = getattr(cr.nn, name).from_pretrained(cr.tensor(w), padding_idx=1)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer.weight.numpy(), w)
    assert getattr(cr.nn, name).from_pretrained(cr.tensor(w), freeze=False).weight.requires_grad


def test_weights_start_as_pytorch_s_do():
    cr.manual_seed(0)
    assert abs(cr.nn.Embedding(1000, 50).weight.detach().numpy().std() - 1) < 0.02
    assert not cr.nn.Embedding(5, 3, padding_idx=2).weight[2].any()
    w = cr.nn.LSTM(4, 25).weight_hh_l0.detach().numpy()
    assert 0.19 < np.abs(w).max() <= 0.2
    assert 0.28 < np.abs(cr.nn.MultiheadAttention(16, 2).in_proj_weight.detach().numpy()).max() <= (6 / 64) ** 0.5
    assert not cr.nn.MultiheadAttention(16, 2).in_proj_bias.any()


WRONG = [
    ("BatchNorm1d", (3,), [normal(2, 3, 2, 2)]), ("BatchNorm2d", (3,), [normal(2, 3)]), ("InstanceNorm1d", (3,), [normal(3)]),
    ("GroupNorm", (2, 3), None), ("Embedding", (3, 2, 3), None), ("MultiheadAttention", (5, 2), None),
    ("MultiheadAttention", (0, 2), None), ("LSTM", (4, 0), None), ("LSTM", (4, 3, 0), None),
    ("LSTM", (4, 3), [normal(5, 2, 3)]),
    ("GRU", (4, 3), [normal(4)]), ("GRU", (4, 3), [normal(5, 2, 4), normal(1, 3, 3)]), ("RNN", (4, 3, 1, "x"), None),
    ("RNNCell", (4, 3, True, "x"), [normal(2, 4)]), ("LSTMCell", (4, 3), [normal(1, 2, 4)]), ("Bilinear", (0, 2, 3), None),
    ("MultiMarginLoss", (3,), None), ("TripletMarginLoss", (0.0,), None), ("Dropout2d", (2.0,), None), ("LSTM", (4, 2.5), None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "inputs"), WRONG)
def test_error_is_pytorch_s(name, args, inputs):
    def run(lib):
        layer = getattr(lib.nn, name)(*args)
        if inputs is not None:
            layer.double()(*map(lib.tensor, inputs))

    with pytest.raises(Exception) as theirs:
        run(torch)
    with pytest.raises(theirs.type) as ours:
        run(cr)
    assert str(ours.value).split()[:4] == str(theirs.value).split()[:4]

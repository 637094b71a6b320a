"""Embedding and bags of it: PyTorch's values, gradients and errors; forward mode and second orders know of padding, too."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.comparison import TF, check, close, orders, torch

import chainrule as cr
from chainrule.nn import functional as F

RNG = np.random.default_rng(3)
W = RNG.normal(size=(6, 4))
I = np.array([0, 2, 5, 5, 1, 2, 2, 0])
OFFSETS = np.array([0, 3, 3, 5])

EMBEDDINGS = [
    (I, {}), (I.reshape(2, 4), {}), (np.array(3), {}), (np.zeros((0, 2), int), {}), (I, {"padding_idx": 2}),
    (I, {"padding_idx": -1}), (I, {"scale_grad_by_freq": True}),
    (I.reshape(2, 4), {"scale_grad_by_freq": True, "padding_idx": 0}), (I.astype(np.int32), {}),
]  # fmt: skip


@pytest.mark.parametrize(("i", "params"), EMBEDDINGS)
def test_embedding_is_pytorch_s(i, params):
    check("embedding", [i, W], params, wrt=(1,), second=i.size > 0)


BAGS = [
    {"mode": mode, **rest}
    for mode in ("sum", "mean", "max")
    for rest in ({}, {"padding_idx": 2}, {"padding_idx": 5}, {"include_last_offset": True})
]


@pytest.mark.parametrize("params", BAGS)
def test_embedding_bag_is_pytorch_s(params):
    # PyTorch has no double backward of the maximum, and counts indices behind the last offset.
    last = np.array([0, 3, 3, 8]) if "include_last_offset" in params else OFFSETS
    check("embedding_bag", [I, W], {**params, "offsets": last}, wrt=(1,), second=False)
    if "include_last_offset" not in params:
        check("embedding_bag", [I.reshape(2, 4), W], params, wrt=(1,), second=False)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_frequent_rows_get_less(mode):  # PyTorch divides by the counts of other rows
    grads = []
    for params in ({}, {"scale_grad_by_freq": True}):
        w = cr.tensor(W, requires_grad=True)
        F.embedding_bag(cr.tensor(I), w, cr.tensor(OFFSETS), mode=mode, **params).sum().backward()
        grads.append(w.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0] / np.maximum(np.bincount(I, minlength=6), 1)[:, None])


def test_weights_of_samples():
    x = RNG.normal(size=8)

    def run(lib, home):
        w, s = (lib.tensor(a, requires_grad=True) for a in (W, x))
        y = home.embedding_bag(lib.tensor(I), w, lib.tensor(OFFSETS), mode="sum", per_sample_weights=s, padding_idx=2)
        return (y.detach(), *lib.autograd.grad((y * y).sum(), (w, s)))

    for a, b in zip(run(cr, F), run(torch, TF), strict=True):
        close(a, b, 1e-12)


def test_orders_of_a_bag_agree():
    i, at = cr.tensor(I), cr.tensor(OFFSETS)
    f = lambda w, s: F.embedding_bag(i, w, at, mode="sum", per_sample_weights=s) ** 2
    orders(f, [W, RNG.normal(size=8)])
    for mode in ("mean", "max"):
        orders(lambda w: F.embedding_bag(i, w, at, mode=mode) ** 2, [W])  # noqa: B023


def test_equal_rows_share_no_maximum():
    w = cr.zeros(3, 2, requires_grad=True)
    F.embedding_bag(cr.tensor([[2, 1, 2]]), w, mode="max").sum().backward()
    assert w.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_bag_that_ends_before_the_indices_do():
    y = F.embedding_bag(cr.tensor([0, 1, 2]), cr.tensor(W), cr.tensor([0, 2]), include_last_offset=True)
    np.testing.assert_allclose(y.numpy(), W[:2].mean(0, keepdims=True))


def test_vmap_over_indices_and_weights():
    i = RNG.integers(0, 6, (3, 5))
    f = lambda i, w: F.embedding(i, w, padding_idx=1)
    np.testing.assert_allclose(cr.vmap(f, (0, None))(cr.tensor(i), cr.tensor(W)).numpy(), W[i])
    np.testing.assert_allclose(cr.vmap(f, (None, 0))(cr.tensor(i), cr.tensor(np.stack([W, 2 * W]))).numpy()[1], 2 * W[i])


def test_forward_mode_knows_of_padding():
    _, t = cr.func.jvp(lambda w: F.embedding(cr.tensor(I), w, padding_idx=2), (cr.tensor(W),), (cr.tensor(W),))
    np.testing.assert_allclose(t.numpy(), np.where((I == 2)[:, None], 0, W[I]))


@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_rows_are_scaled_down_in_place(norm_type):
    found = []
    for lib, home in ((cr, F), (torch, TF)):
        w = lib.tensor(W, requires_grad=True)
        y = home.embedding(lib.tensor(I), w, max_norm=0.5, norm_type=norm_type)
        y.sum().backward()
        found.append((w.detach(), w.grad, y.detach()))
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-12)


def test_many_rows_are_added_by_a_sparse_product():
    i, g = RNG.integers(-40, 40, 2000), RNG.normal(size=(2000, 40))
    x = cr.zeros(40, 40, dtype=cr.float64, requires_grad=True)
    (x[cr.tensor(i)] * cr.tensor(g)).sum().backward()
    expected = np.zeros((40, 40))
    np.add.at(expected, i, g)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("values", "classes"), [([0, 2], -1), ([[1], [0]], 3), (1, 3), (np.zeros(0, int), 2)])
def test_one_hot(values, classes):
    values = np.array(values)
    close(F.one_hot(cr.tensor(values), classes), TF.one_hot(torch.tensor(values), classes), 0)


i = lambda *v: np.array(v)
ERRORS = [
    ("embedding", (i(0, 6), W), {}),
    ("embedding", (i(-1), W), {}),
    ("embedding", (i(0.0), W), {}),
    ("embedding", (i(0), W[0]), {}),
    ("embedding", (i(0), W), {"padding_idx": 6}),
    ("embedding", (i(0), W), {"padding_idx": -7}),
    ("embedding_bag", (I, W), {}),
    ("embedding_bag", (I, W, i(1, 2)), {}),
    ("embedding_bag", (I, W, i(0, 9)), {}),
    ("embedding_bag", (I, W, i([0])), {}),
    ("embedding_bag", (I[None], W, i(0)), {}),
    ("embedding_bag", (I[None], W), {"mode": "x"}),
    ("embedding_bag", (I, W[0], i(0)), {}),
    ("embedding_bag", (i(0, 9), W.astype(np.float32), i(0)), {}),
    ("embedding_bag", (I, W, i(0)), {"mode": "max", "scale_grad_by_freq": True}),
    ("embedding_bag", (i(1)[0], W), {}),
    ("embedding_bag", (I, W, i(0)), {"padding_idx": 7}),
    ("embedding_bag", (I, W, i(0)), {"per_sample_weights": np.ones(8)}),
    ("embedding_bag", (I, W, i(0)), {"per_sample_weights": np.ones(4), "mode": "sum"}),
    ("embedding_bag", (I, W, i(0)), {"per_sample_weights": np.ones(8, np.float32), "mode": "sum"}),
    ("one_hot", (i(0, 2), 1), {}),
    ("one_hot", (i(0, -2),), {}),
    ("one_hot", (i(0.0),), {}),
    ("one_hot", (np.zeros(0, int),), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "params"), ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_error_is_pytorch_s(name, args, params):
    made = lambda lib, v: lib.tensor(v) if isinstance(v, (np.ndarray, np.generic)) else v
    call = lambda lib, home: getattr(home, name)(*[made(lib, a) for a in args], **{k: made(lib, v) for k, v in params.items()})
    with pytest.raises(Exception) as theirs:
        call(torch, TF)
    with pytest.raises(theirs.type) as ours:
        call(cr, F)
    first = lambda error: str(error.value).replace("torch.", "").replace("chainrule.", "").split()[:4]
    assert first(ours) == first(theirs)


@pytest.mark.parametrize("name", ["embedding", "embedding_bag"])
def test_sparse_gradients_are_refused(name):
    with pytest.raises(NotImplementedError, match="sparse"):
        getattr(F, name)(cr.tensor([[0]]), cr.tensor(W), sparse=True)

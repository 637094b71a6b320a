"""Recurrent networks: PyTorch's outputs, states and gradients for every layout; all second orders agree."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.comparison import close, orders, torch

import chainrule as cr
from chainrule.ops.nn.recurrent import lstm_step

RNG = np.random.default_rng(6)
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
L, N, IN, H = 5, 3, 4, 2


def normal(*shape):
    return np.asarray(RNG.normal(size=shape))


def weights(kind, layers=1, directions=1, biases=True, projected=None):
    g, found, size = GATES[kind] * H, [], IN
    out = projected or H
    for _ in range(layers):
        for _ in range(directions):
            found += [normal(g, size), normal(g, out)] + [normal(g), normal(g)] * biases + [normal(out, H)] * bool(projected)
        size = out * directions
    return found


def states(kind, rows, projected=None):
    h = normal(rows, N, projected or H)
    return [h, normal(rows, N, H)] if kind == "lstm" else [h]


def agree(kind, data, first, params, between, options):
    """Values and gradients of both libraries; `between` stands after the data where sequences are packed."""
    found = []
    for lib in (cr, torch):
        x, *rest = leaves = [lib.tensor(a, requires_grad=True) for a in (data, *first, *params)]
        hx = rest[: len(first)] if kind == "lstm" else rest[0]
        results = getattr(lib, kind)(x, *map(lib.tensor, between), hx, rest[len(first) :], *options)
        loss = sum((r * r).sum() for r in results)
        found.append([*[r.detach() for r in results], *lib.autograd.grad(loss, leaves)])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-10)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(("layers", "directions", "biases", "first"), [
    (1, 1, True, False), (2, 2, True, True), (3, 1, False, False), (1, 2, False, True)])  # fmt: skip
def test_network_is_pytorch_s(kind, layers, directions, biases, first):
    x = normal(N, L, IN) if first else normal(L, N, IN)
    options = (biases, layers, 0.0, True, directions == 2, first)
    agree(kind, x, states(kind, layers * directions), weights(kind, layers, directions, biases), (), options)


@pytest.mark.parametrize("directions", [1, 2])
def test_projected_states(directions):
    params = weights("lstm", 2, directions, projected=1)
    agree("lstm", normal(L, N, IN), states("lstm", 2 * directions, 1), params, (), (True, 2, 0.0, True, directions == 2, False))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 2)])
def test_packed_sequences(kind, layers, directions):
    sizes = np.array([3, 3, 2, 1, 1])
    options = (True, layers, 0.0, True, directions == 2)
    agree(kind, normal(10, IN), states(kind, layers * directions), weights(kind, layers, directions), (sizes,), options)


@pytest.mark.parametrize("kind", GATES)
def test_orders_of_a_network_agree(kind):
    count = 2 if kind == "lstm" else 1

    def f(x, *rest):
        hx = list(rest[:2]) if kind == "lstm" else rest[0]
        return getattr(cr, kind)(x, hx, list(rest[count:]), True, 1, 0.0, False, False, False)[0]

    orders(f, [normal(3, N, IN), *states(kind, 1), *weights(kind)], tol=1e-5)


@pytest.mark.parametrize("kind", GATES)
def test_cell_is_pytorch_s(kind):
    arrays = [normal(N, IN), *[s[0] for s in states(kind, 1)], *weights(kind)]
    found = []
    for lib in (cr, torch):
        x, *rest = leaves = [lib.tensor(a, requires_grad=True) for a in arrays]
        count = 2 if kind == "lstm" else 1
        y = getattr(lib, f"{kind}_cell")(x, tuple(rest[:2]) if count == 2 else rest[0], *rest[count:])
        y = y if isinstance(y, tuple) else (y,)
        found.append([*[v.detach() for v in y], *lib.autograd.grad(sum((v * v).sum() for v in y), leaves)])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-12)


def test_dropout_between_layers_is_drawn_while_training():
    x, hx, params = cr.tensor(normal(L, N, IN)), cr.tensor(states("gru", 2)[0]), [cr.tensor(w) for w in weights("gru", 2)]
    runs = [cr.gru(x, hx, params, True, 2, 0.9, train, False, False)[0].numpy() for train in (True, True, False, False)]
    assert not np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[2], runs[3])


def test_saturated_gates_keep_finite_derivatives():
    gates = cr.tensor([[800.0, -800.0, 800.0, -800.0]], requires_grad=True)
    h, c, _ = lstm_step(gates, cr.tensor([[3.0]]))
    (h + c).sum().backward()
    assert c.item() == 1
    assert np.isfinite(gates.grad.numpy()).all()


def gates(t, n):
    return [t(n, 4), t(n, 3), t(n), t(n)]


ONE, TWO = (True, 1, 0.0, True, False, False), (True, 2, 0.0, True, False, False)
ERRORS = {
    "one state": lambda lib, t: lib.lstm(t(5, 2, 4), [t(1, 2, 3)], gates(t, 12), *ONE),
    "too few states": lambda lib, t: lib.gru(t(5, 2, 4), t(1, 2, 3), gates(t, 9) * 2, *TWO),
    "no steps": lambda lib, t: lib.gru(t(0, 2, 4), t(1, 2, 3), gates(t, 9), *ONE),
    "two axes": lambda lib, t: lib.gru(t(2, 4), t(1, 3), gates(t, 9), *ONE),
    "input size": lambda lib, t: lib.lstm_cell(t(2, 5), (t(2, 3), t(2, 3)), t(12, 4), t(12, 3)),
    "hidden size": lambda lib, t: lib.gru_cell(t(2, 4), t(2, 5), t(9, 4), t(9, 3)),
    "batch": lambda lib, t: lib.gru_cell(t(2, 4), t(3, 3), t(9, 4), t(9, 3)),
    "one axis": lambda lib, t: lib.gru_cell(t(4), t(3), t(9, 4), t(9, 3)),
    "one state of a cell": lambda lib, t: lib.lstm_cell(t(2, 4), (t(2, 3),), t(12, 4), t(12, 3)),
}  # fmt: skip


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS)
def test_error_is_pytorch_s(call):
    with pytest.raises(Exception) as theirs:
        call(torch, torch.ones)
    with pytest.raises(theirs.type) as ours:
        call(cr, cr.ones)
    assert str(ours.value).split()[:4] == str(theirs.value).split()[:4]


@pytest.mark.parametrize("reduction", [0, 1, 2])
def test_functions_at_the_top_take_pytorch_s_arguments(reduction):
    a, b, signs = normal(3, 4), normal(3, 4), np.array([1.0, -1, 1])
    calls = [
        lambda lib, t: lib.layer_norm(t(a), (4,), t(b[0]), t(b[1])),
        lambda lib, t: lib.batch_norm(t(a), t(b[0]), t(b[1]), t(a[0]), t(a[1] ** 2), False, 0.1, 1e-3, True),
        lambda lib, t: lib.group_norm(t(a), 2, t(b[0]), t(b[1])),
        lambda lib, t: lib.instance_norm(t(a[None]), None, None, None, None, True, 0.1, 1e-5, True),
        lambda lib, t: lib.rms_norm(t(a), (4,), t(b[0]), 1e-3),
        lambda lib, t: lib.embedding(t(a), t(np.array([[0, 2]]))),
        lambda lib, t: lib.bilinear(t(a), t(b), t(np.ones((2, 4, 4))), None),
        lambda lib, t: lib.cosine_similarity(t(a), t(b)),
        lambda lib, t: lib.pairwise_distance(t(a), t(b)),
        lambda lib, t: lib.pdist(t(a)),
        lambda lib, t: lib.dropout(t(a), 0.5, False),
        lambda lib, t: lib.feature_dropout(t(a), 0.5, False),
        lambda lib, t: lib.rrelu(t(a)),
        lambda lib, t: lib.cosine_embedding_loss(t(a), t(b), t(signs), 0.1, reduction),
        lambda lib, t: lib.margin_ranking_loss(t(a), t(b), t(np.sign(a)), 0.1, reduction),
        lambda lib, t: lib.hinge_embedding_loss(t(a), t(np.sign(b)), 0.7, reduction),
        lambda lib, t: lib.poisson_nll_loss(t(a), t(b), True, False, 1e-8, reduction),
        lambda lib, t: lib.triplet_margin_loss(t(a), t(b), t(b * 2), 1.0, 2.0, 1e-6, False, reduction),
        lambda lib, t: lib.kl_div(t(a), t(np.abs(b)), reduction),
        lambda lib, t: lib.binary_cross_entropy_with_logits(t(a), t(b), t(b[0]), None, reduction),
        lambda lib, t: lib.ctc_loss(t(a[:, None]).log_softmax(2), t(np.array([[1]])), (3,), (1,), 0, reduction),
    ]
    for call in calls:
        close(call(cr, cr.tensor), call(torch, torch.tensor), 1e-7)

"""Attention: PyTorch's values, gradients and errors with every option; and forward mode and second orders, which it lacks."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.comparison import TF, check, close, given, orders, torch

import chainrule as cr
from chainrule.nn import functional as F

RNG = np.random.default_rng(4)


def normal(*shape):
    return np.asarray(RNG.normal(size=shape))


TENSORS = [normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 2)]
SEEN = RNG.random((4, 6)) < 0.6
SEEN[1] = False
OPTIONS = [
    {}, {"scale": 0.3}, {"attn_mask": SEEN}, {"attn_mask": np.where(SEEN, 0.0, -np.inf)}, {"attn_mask": normal(3, 4, 6)},
    {"is_causal": True}, {"attn_mask": normal(2, 1, 1, 6)},
]  # fmt: skip


@pytest.mark.parametrize("params", OPTIONS)
def test_attention_is_pytorch_s(params):
    check("scaled_dot_product_attention", TENSORS, params, (0, 1, 2), second="attn_mask" not in params)
    flat = {k: v for k, v in params.items() if np.ndim(v) < 3}
    check("scaled_dot_product_attention", [t[0, 0] for t in TENSORS], flat, (0, 1, 2), second=False)


@pytest.mark.parametrize("params", OPTIONS)
def test_orders_of_attention_agree(params):
    f = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **given(params, cr.tensor))
    orders(f, TENSORS, batched="attn_mask" not in params or np.ndim(params["attn_mask"]) < 4)


def test_a_query_that_sees_nothing_gets_zero_and_gives_no_gradient():
    q, k, v = (cr.tensor(t, requires_grad=True) for t in TENSORS)
    y = F.scaled_dot_product_attention(q, k, v, cr.tensor(SEEN))
    y.sum().backward()
    assert not y.detach().numpy()[:, :, 1].any()
    assert all(np.isfinite(x.grad.numpy()).all() for x in (q, k, v))


def test_heads_share_keys():
    arrays = [normal(2, 4, 3, 2), normal(2, 2, 5, 2), normal(2, 2, 5, 2)]
    check("scaled_dot_product_attention", arrays, {"enable_gqa": True}, (0, 1, 2), second=False)


def test_a_gradient_in_the_mask():
    m = cr.tensor(normal(4, 6), requires_grad=True)
    n = torch.tensor(m.detach().numpy(), requires_grad=True)
    for lib, home, mask in ((cr, F, m), (torch, TF, n)):
        (home.scaled_dot_product_attention(*map(lib.tensor, TENSORS), attn_mask=mask) ** 2).sum().backward()
    close(m.grad, n.grad, 1e-12)


def test_weights_are_dropped():
    q = cr.zeros(1, 4)
    y = F.scaled_dot_product_attention(q, cr.ones(1000, 4), cr.ones(1000, 1), dropout_p=0.5)
    assert 0.8 < y.item() < 1.2
    assert y.item() != 1


f, i = np.ones, lambda *s: np.ones(s, int)
ERRORS = [
    ((f((2, 3, 4)), f((2, 3, 4)), f((2, 3, 4)), f((3, 3))), {"is_causal": True}),
    ((f((3, 4)), f((3, 4), np.float32), f((3, 4))), {}), ((f(3), f(3), f(3)), {}), ((f((3, 4)),) * 3, {"attn_mask": i(3, 3)}),
    ((f((3, 4), np.float32),) * 3, {"attn_mask": f((3, 3))}), ((f((3, 4)),) * 3, {"dropout_p": 1.5}), ((i(1, 3, 4),) * 3, {}),
    ((f((3, 4)),) * 3, {"attn_mask": f((4, 3))}), ((f((3, 4)),) * 3, {"enable_gqa": True}),
    ((f((4, 3, 2)), f((3, 3, 2)), f((3, 3, 2))), {"enable_gqa": True}),
]  # fmt: skip


@pytest.mark.parametrize(("args", "params"), ERRORS)
def test_error_is_pytorch_s(args, params):
    call = lambda lib, home: home.scaled_dot_product_attention(*map(lib.tensor, args), **given(params, lib.tensor))
    with pytest.raises(Exception) as theirs:
        call(torch, TF)
    with pytest.raises(theirs.type) as ours:
        call(cr, F)
    first = lambda error: str(error.value).replace("torch.", "").replace("chainrule.", "").split()[:4]
    assert first(ours) == first(theirs)


# -- many heads --------------------------------------------------------------------------------------------------------

L, N, S, E, H = 3, 2, 4, 6, 2
SELF = normal(L, N, E)
PADDING = np.array([[False, False, True, True], [False, True, False, False]])
HIDDEN = np.array([[False, True, False, False], [True, False, False, False], [False, False, False, True]])
HEADS = [
    {}, {"key_padding_mask": PADDING}, {"key_padding_mask": PADDING * -1.5, "attn_mask": normal(L, S)},
    {"attn_mask": HIDDEN, "key_padding_mask": PADDING}, {"attn_mask": normal(N * H, L, S)}, {"bias": True},
    {"bias": True, "attn_mask": HIDDEN, "add_zero_attn": True}, {"separate": True}, {"add_zero_attn": True, "no_bias": True},
    {"average_attn_weights": False}, {"static": True}, {"attn_mask": HIDDEN, "is_causal": False, "average_attn_weights": False},
]  # fmt: skip


def many_heads(lib, home, q, k, v, options, need_weights):
    rng = np.random.default_rng(5)
    draw = lambda *shape: lib.tensor(rng.normal(size=shape), requires_grad=True)
    p = {name: draw(*shape) for name, shape in {
        "in": (3 * E, E), "in_bias": (3 * E,), "k": (1, 1, E), "v": (1, 1, E), "out": (E, E), "out_bias": (E,),
        "q_w": (E, E), "k_w": (E, E), "v_w": (E, E), "sk": (N * H, 5, E // H), "sv": (N * H, 5, E // H),
    }.items()}  # fmt: skip
    options = dict(options)
    bias, separate, static, plain = (options.pop(n, False) for n in ("bias", "separate", "static", "no_bias"))
    rest = {n: lib.tensor(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    if separate:
        rest |= {
            "use_separate_proj_weight": True,
            "q_proj_weight": p["q_w"],
            "k_proj_weight": p["k_w"],
            "v_proj_weight": p["v_w"],
        }
    if static:
        rest |= {"static_k": p["sk"], "static_v": p["sv"]}
    zero = rest.pop("add_zero_attn", False)
    y, w = home.multi_head_attention_forward(
        q, k, v, E, H, None if separate else p["in"], None if plain else p["in_bias"], p["k"] if bias else None,
        p["v"] if bias else None, zero, 0.0, p["out"], p["out_bias"], need_weights=need_weights, **rest,
    )  # fmt: skip
    loss = (y * y).sum() + (0 if w is None else (w * w).sum())
    grads = lib.autograd.grad(loss, list(p.values()), allow_unused=True)
    return [y.detach(), None if w is None else w.detach(), *grads]


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", HEADS)
def test_many_heads_are_pytorch_s(options, need_weights):
    k, v = normal(S, N, E), normal(S, N, E)
    ours, theirs = (
        many_heads(lib, home, *map(lib.tensor, (SELF, k, v)), options, need_weights) for lib, home in ((cr, F), (torch, TF))
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b, 1e-11)


@pytest.mark.parametrize("need_weights", [True, False])
def test_one_sequence_that_attends_to_itself(need_weights):
    x = normal(L, E)
    found = []
    for lib, home in ((cr, F), (torch, TF)):
        t = lib.tensor(x)
        found.append(many_heads(lib, home, t, t, t, {"key_padding_mask": np.array([False, True, False])}, need_weights))
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b, 1e-11)


WRONG = [
    ({"embed_dim_to_check": 5}, {}), ({"num_heads": 4}, {}), ({"query": f((1, L, N, E))}, {}), ({"key": f((S, E))}, {}),
    ({}, {"key_padding_mask": f(S)}), ({}, {"attn_mask": f((L, S, 2, 2))}), ({}, {"attn_mask": f((L, 9))}),
    ({}, {"attn_mask": i(L, S)}), ({}, {"is_causal": True}), ({"value": f((S, N, E + 1))}, {}), ({"bias_k": f((1, 1, E))}, {}),
    ({}, {"key_padding_mask": f((N, 9))}), ({}, {"use_separate_proj_weight": True}),
    ({}, {"static_k": f((3, 5, 3))}), ({}, {"attn_mask": f((3, L, S))}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "extra"), WRONG)
def test_error_of_many_heads_is_pytorch_s(changed, extra):
    values = {
        "query": f((L, N, E)), "key": f((S, N, E)), "value": f((S, N, E)), "embed_dim_to_check": E, "num_heads": H,
        "in_proj_weight": f((3 * E, E)), "in_proj_bias": None, "bias_k": None, "bias_v": None, "add_zero_attn": False,
        "dropout_p": 0.0, "out_proj_weight": f((E, E)), "out_proj_bias": None, **changed, **extra,
    }  # fmt: skip
    call = lambda lib, home: home.multi_head_attention_forward(
        **{k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    )
    with pytest.raises(Exception) as theirs:
        call(torch, TF)
    with pytest.raises(theirs.type) as ours:
        call(cr, F)
    first = lambda error: str(error.value).replace("torch.", "").replace("chainrule.", "").split()[:4]
    assert first(ours) == first(theirs)


MASKS = {
    "none": (None, None),
    "boolean": (np.array([[False, True, False, False, True]] * 3), np.array([[False] * 5, [False, False, False, True, True]])),
    "added": (RNG.normal(size=(3, 5)), RNG.normal(size=(2, 5))),
    "of each head": (RNG.normal(size=(4, 3, 5)), None),
    "padding alone": (None, np.array([[False] * 5, [False, True, False, True, True]])),
}
LAYOUTS = [{}, {"add_bias_kv": True}, {"add_zero_attn": True, "bias": False}, {"kdim": 3, "vdim": 6}, {"batch_first": True}]


@pytest.mark.slow
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("calls", [{}, {"need_weights": False}, {"average_attn_weights": False}], ids=str)
def test_module_of_many_heads_is_pytorch_s(masks, layout, calls):
    attn, padding = masks
    q, k, v = normal(3, 2, 4), normal(5, 2, layout.get("kdim", 4)), normal(5, 2, layout.get("vdim", 4))
    if layout.get("batch_first"):
        q, k, v = (x.swapaxes(0, 1).copy() for x in (q, k, v))
    source = torch.nn.MultiheadAttention(4, 2, **layout).double()
    state = {name: normal(*w.shape) for name, w in source.state_dict().items()}
    found = []
    for lib in (cr, torch):
        net = lib.nn.MultiheadAttention(4, 2, **layout).double()
        net.load_state_dict({name: lib.tensor(w) for name, w in state.items()})
        leaves = [lib.tensor(x, requires_grad=True) for x in (q, k, v)]
        given = {"attn_mask": attn, "key_padding_mask": padding}
        y, w = net(*leaves, **{n: lib.tensor(m) for n, m in given.items() if m is not None}, **calls)
        loss = (y**2).sum() + (0 if w is None else (w**3).sum())
        grads = lib.autograd.grad(loss, [*leaves, *net.parameters()])
        net.eval()
        with lib.no_grad():  # where PyTorch may take another way
            again, _ = net(*leaves, **{n: lib.tensor(m) for n, m in given.items() if m is not None}, **calls)
        found.append([y, again, *([] if w is None else [w]), *grads])
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-9)

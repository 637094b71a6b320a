"""Transformers: PyTorch's state, text, results and gradients from the same weights, for every option and mask."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.oracle import agree, outcome, words

import chainrule as cr

RNG = np.random.default_rng(11)
N, S, T, E = 2, 3, 4, 4
SRC, TGT = RNG.normal(size=(N, S, E)), RNG.normal(size=(N, T, E))
OPTIONS = [
    {}, {"norm_first": True}, {"bias": False}, {"activation": "gelu", "layer_norm_eps": 0.1},
    {"norm_first": True, "bias": False, "activation": "gelu"},
]  # fmt: skip
EACH = [pytest.param(o, id=str(o), marks=() if o in (OPTIONS[0], OPTIONS[-1]) else pytest.mark.slow) for o in OPTIONS]
FIRST = pytest.mark.parametrize("first", [True, pytest.param(False, marks=pytest.mark.slow)])
PADDING = np.array([[False, False, True], [False, False, False]])
MASK = RNG.normal(size=(S, S)) < -0.7
MASK[:, 0] = False
MEMORY = RNG.normal(size=(T, S))
CAUSAL = np.triu(np.full((T, T), -np.inf), 1)


def compared(torch, make, call, *, train=True, first=True):
    """A module of each library with PyTorch's weights: repr, state, result, gradients of inputs and parameters agree."""
    torch.manual_seed(0)
    source = make(torch).double()
    ours = make(cr).double()
    assert words(repr(ours)) == words(repr(source))
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in source.state_dict().items()
    ]
    state = {k: RNG.normal(size=tuple(v.shape)) for k, v in source.state_dict().items()}

    def program(lib):
        net = make(lib).double().train(train)
        net.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
        src, tgt = leaves = [lib.tensor(x if first else x.swapaxes(0, 1), requires_grad=True) for x in (SRC, TGT)]
        y = call(net, src, tgt, lambda a: None if a is None else lib.tensor(a))
        grads = lib.autograd.grad((y**2).sum(), [*leaves, *net.parameters()], allow_unused=True)
        return y.detach(), grads

    agree(outcome(cr, program)[0], outcome(torch, program)[0], rtol=1e-8)


def sized(name, first, **options):
    return lambda lib: getattr(lib.nn, name)(E, 2, dim_feedforward=5, dropout=0.0, batch_first=first, **options)


@pytest.mark.parametrize("options", EACH)
@FIRST
def test_encoder_layer_is_pytorch_s(torch, first, options):
    make = sized("TransformerEncoderLayer", first, **options)
    for mask, padding in ((None, None), (MASK, None), (None, PADDING), (MASK, PADDING)):
        compared(torch, make, lambda net, s, t, c, m=mask, p=padding: net(s, c(m), c(p)), first=first)


@pytest.mark.parametrize("options", EACH)
@FIRST
def test_decoder_layer_is_pytorch_s(torch, first, options):
    make = sized("TransformerDecoderLayer", first, **options)
    compared(torch, make, lambda net, s, t, c: net(t, s), first=first)
    compared(torch, make, lambda net, s, t, c: net(t, s, c(CAUSAL), c(MEMORY), None, c(PADDING * -1e3)), first=first)
    compared(torch, make, lambda net, s, t, c: net(t, s, c(np.isinf(CAUSAL)), tgt_is_causal=True), first=first)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("options", EACH)
def test_transformer_is_pytorch_s(torch, options):
    make = lambda lib: lib.nn.Transformer(E, 2, 2, 1, 5, 0.0, batch_first=True, **options)

    def call(net, s, t, c):
        masks = {"tgt_mask": c(CAUSAL), "src_key_padding_mask": c(PADDING), "memory_key_padding_mask": c(PADDING)}
        return net(s, t, **masks)

    compared(torch, make, call)
    compared(torch, make, lambda net, s, t, c: net(s[0], t[0]))


def test_layers_with_modules_for_activations(torch):
    compared(
        torch, lambda lib: sized("TransformerEncoderLayer", True, activation=lib.nn.Tanh())(lib), lambda net, s, t, c: net(s)
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested")
@pytest.mark.parametrize("padding", [PADDING, PADDING[:, ::-1].copy()])
@pytest.mark.parametrize("norm", [False, True])
def test_padded_elements_in_evaluation_are_pytorch_s(torch, padding, norm):
    """PyTorch gives 0 for those behind the others; it leaves others as they are."""
    source = sized("TransformerEncoderLayer", True)(torch).state_dict()

    def program(lib):
        layer = sized("TransformerEncoderLayer", True)(lib)
        layer.load_state_dict({k: lib.tensor(v.numpy()) for k, v in source.items()})
        net = lib.nn.TransformerEncoder(layer, 2, lib.nn.LayerNorm(E) if norm else None).double()
        found = []
        for mode in (net.train(), net.eval()):
            with lib.no_grad():
                found.append(mode(lib.tensor(SRC), src_key_padding_mask=lib.tensor(padding)))
            found.append(mode(lib.tensor(SRC), src_key_padding_mask=lib.tensor(padding)).detach())
        return found

    agree(outcome(cr, program)[0], outcome(torch, program)[0], rtol=1e-6)


def test_hint_is_found_where_the_mask_is_causal(torch):
    def program(lib):
        class Told(lib.nn.TransformerEncoderLayer):
            def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
                seen.append(is_causal)
                return src

        seen = []
        net = lib.nn.TransformerEncoder(Told(E, 2), 1, enable_nested_tensor=False)
        x = lib.ones(T, 1, E)
        causal = lib.nn.Transformer.generate_square_subsequent_mask(T)
        for mask, hint in ((None, None), (causal, None), (causal == 0, None), (causal, False), (causal[:3, :3], None)):
            net(x, mask, is_causal=hint)
        return seen, causal, lib.nn.Transformer.generate_square_subsequent_mask(2, dtype=lib.float64)

    agree(outcome(cr, program)[0], outcome(torch, program)[0])


ERRORS = {
    "batch": lambda lib: lib.nn.Transformer(4, 2, 1, 1, 5)(lib.ones(3, 2, 4), lib.ones(3, 1, 4)),
    "size": lambda lib: lib.nn.Transformer(4, 2, 1, 1, 5)(lib.ones(3, 2, 4), lib.ones(3, 2, 3)),
    "activation": lambda lib: lib.nn.TransformerEncoderLayer(4, 2, activation="tanh"),
    "heads": lambda lib: lib.nn.TransformerDecoderLayer(5, 2),
    "mask's dtype": lambda lib: lib.nn.TransformerEncoderLayer(4, 2)(lib.ones(3, 1, 4), lib.ones(3, 3).long()),
    "hint without mask": lambda lib: lib.nn.TransformerEncoderLayer(4, 2)(lib.ones(3, 1, 4), is_causal=True),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS)
def test_error_is_pytorch_s(torch, call):
    agree(outcome(cr, call)[0], outcome(torch, call)[0])


def test_layers_are_copies_and_all_dropouts_draw():
    layer = cr.nn.TransformerEncoderLayer(E, 2, 5, dropout=0.5)
    net = cr.nn.TransformerEncoder(layer, 2)
    assert net.layers[0].linear1.weight is not net.layers[1].linear1.weight is not layer.linear1.weight
    assert cr.equal(net.layers[0].linear1.weight, net.layers[1].linear1.weight)
    x = cr.ones(3, 2, E)
    assert not cr.equal(net(x), net(x))
    assert cr.equal(net.eval()(x), copy.deepcopy(net)(x))


def test_derivatives_nest():
    net = cr.nn.Transformer(E, 2, 1, 1, 5, 0.0, batch_first=True).double()
    loss = lambda x: (net(x, x) ** 3).sum()
    x, t = cr.tensor(SRC), cr.tensor(RNG.normal(size=SRC.shape))
    backwards = cr.func.grad(lambda x: (cr.func.grad(loss)(x) * t).sum())(x)
    forwards = cr.func.jvp(cr.func.grad(loss), (x,), (t,))[1]
    assert cr.allclose(backwards, forwards)


@pytest.mark.parametrize("attn", [None, "bool", "float", "heads"])
@pytest.mark.parametrize("padding", [None, "bool", "float"])
def test_masks_are_merged_as_pytorchs(torch, attn, padding):
    if attn and padding and (attn == "bool") != (padding == "bool"):
        pytest.skip("masks of two kinds")
    rng = np.random.default_rng(0)
    masks = {"bool": lambda *s: rng.random(s) < 0.5, "float": lambda *s: rng.standard_normal(s)}
    mask = attn and (masks["float"](2 * 2, 3, 3) if attn == "heads" else masks[attn](3, 3))
    pad = padding and masks[padding](2, 3)

    def merged(lib):
        given = [None if m is None else lib.tensor(m) for m in (mask, pad)]
        found, kind = lib.nn.MultiheadAttention(4, 2).merge_masks(*given, lib.ones(2, 3, 4))
        return None if found is None else found.tolist(), kind

    assert merged(cr) == merged(torch)

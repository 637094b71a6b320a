"""Modules over space are PyTorch's: text, state, initial draws' bounds, results with the same parameters, errors."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")

MODULES = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 7)),
    ("Conv2d", (2, 3, (3, 2)), {"padding": "same", "padding_mode": "reflect"}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, 3), {"padding": (1, 2), "padding_mode": "circular", "bias": False}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, 3), {"dilation": 2, "padding": 1, "padding_mode": "replicate"}, (2, 5, 6)),
    ("Conv3d", (1, 2, 2), {"padding": "valid"}, (1, 1, 3, 4, 3)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (2, 3, (3, 2)), {"dilation": 2, "bias": False}, (2, 2, 3, 4)),
    ("ConvTranspose3d", (1, 2, 2), {"stride": 2}, (1, 1, 2, 2, 2)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 7)), ("MaxPool2d", ((3, 2),), {"ceil_mode": True}, (2, 3, 7, 5)),
    ("MaxPool3d", (2,), {"dilation": 2}, (1, 2, 4, 4, 4)), ("AvgPool1d", (3, 2, 1), {}, (2, 3, 7)),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}, (2, 3, 7, 5)),
    ("AvgPool3d", (2,), {"divisor_override": 3}, (1, 2, 4, 4, 4)), ("LPPool1d", (2, 3), {}, (2, 3, 7)),
    ("LPPool2d", (2, 3, 2), {}, (2, 3, 7, 5)), ("LPPool3d", (2, 2), {}, (1, 2, 4, 4, 4)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 7)), ("AdaptiveMaxPool2d", ((3, None),), {}, (2, 3, 7, 5)),
    ("AdaptiveMaxPool3d", (2,), {}, (1, 2, 4, 3, 4)), ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveAvgPool2d", ((3, None),), {}, (2, 3, 7, 5)), ("AdaptiveAvgPool3d", (2,), {}, (1, 2, 4, 3, 4)),
    ("ReflectionPad1d", (1,), {}, (2, 3, 4)), ("ReflectionPad2d", ((1, 2, 0, 1),), {}, (2, 3, 4, 3)),
    ("ReflectionPad3d", (1,), {}, (1, 2, 3, 3, 3)), ("ReplicationPad1d", ((3, 1),), {}, (2, 3, 4)),
    ("ReplicationPad2d", (2,), {}, (2, 3, 4, 3)), ("ReplicationPad3d", (1,), {}, (1, 2, 3, 3, 3)),
    ("ZeroPad1d", (1,), {}, (2, 3, 4)), ("ZeroPad2d", ((1, -1, 0, 1),), {}, (2, 3, 4, 3)),
    ("ZeroPad3d", (1,), {}, (1, 2, 3, 3, 3)),
    ("ConstantPad1d", (1, 2.5), {}, (2, 3, 4)), ("ConstantPad2d", ((1, -1, 0, 1), 3.5), {}, (2, 3, 4, 3)),
    ("ConstantPad3d", (1, 1.0), {}, (1, 2, 3, 3, 3)), ("CircularPad1d", (1,), {}, (2, 3, 4)),
    ("CircularPad2d", ((1, 2, 0, 1),), {}, (2, 3, 4, 3)), ("CircularPad3d", (1,), {}, (1, 2, 3, 3, 3)),
    ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bilinear"}, (1, 2, 3, 4)), ("Upsample", ((5,),), {}, (1, 2, 3)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (1, 2, 3, 4)), ("UpsamplingBilinear2d", ((5, 6),), {}, (1, 2, 3, 4)),
    ("PixelShuffle", (2,), {}, (1, 8, 2, 3)), ("PixelUnshuffle", (2,), {}, (1, 2, 4, 6)),
    ("ChannelShuffle", (3,), {}, (1, 6, 2)),
    ("Fold", ((4, 5), 2), {"padding": 1}, (1, 8, 30)), ("Unfold", ((2, 3),), {"stride": 2}, (1, 2, 5, 6)),
    ("FractionalMaxPool2d", (2, (3, 4)), {"_random_samples": np.full((1, 2, 2), 0.3)}, (1, 2, 6, 7)),
    ("FractionalMaxPool3d", (2,), {"output_ratio": 0.5, "_random_samples": np.full((1, 2, 3), 0.3)}, (1, 2, 6, 7, 5)),
]  # fmt: skip


def made(lib, name, args, kwargs):
    given = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return getattr(lib.nn, name)(*args, **given).double()


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), MODULES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_module_is_pytorchs(name, args, kwargs, shape):
    ours, theirs = made(cr, name, args, kwargs), made(torch, name, args, kwargs)
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    for key, value in ours.named_parameters():
        limit = 1 / np.sqrt(np.prod(ours.weight.shape[1:]))
        assert 0 < float(value.detach().abs().max()) <= limit, key
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in state.items()})
    x = np.random.default_rng(0).normal(size=shape)
    a, b = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-10)
    (y * y).sum().backward()
    (z * z).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-10)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-10)


def test_maxima_are_put_back_with_a_size():
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7))
    found = []
    for lib in (cr, torch):
        y, i = lib.nn.MaxPool2d(2, return_indices=True)(lib.tensor(x))
        found.append(lib.nn.MaxUnpool2d(2)(y, i, output_size=(1, 2, 5, 7)).numpy())
    np.testing.assert_array_equal(*found)
    for lib in (cr, torch):
        assert repr(lib.nn.MaxUnpool1d(2)) == "MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
        y, i = lib.nn.MaxPool3d(2, return_indices=True)(lib.ones(1, 1, 2, 2, 2))
        assert lib.nn.MaxUnpool3d(2)(y, i).sum() == 1


def test_a_transposed_convolution_takes_the_size_of_its_result():
    for lib in (cr, torch):
        conv = lib.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
        assert tuple(conv(lib.ones(1, 1, 4, 4), output_size=(8, 7)).shape) == (1, 1, 8, 7)
        with pytest.raises(ValueError, match=r"requested an output size of \[9, 7\], but valid sizes range from \[7, 7\] to"):
            conv(lib.ones(1, 1, 4, 4), output_size=[9, 7])


ERRORS = [
    ("Conv2d", (3, 4, 3), {"groups": 0}), ("Conv2d", (3, 4, 3), {"groups": 2}), ("Conv2d", (4, 3, 3), {"groups": 2}),
    ("Conv2d", (3, 4, 3), {"padding": "same", "stride": 2}), ("Conv2d", (3, 4, 3), {"padding": "some"}),
    ("ConvTranspose2d", (3, 4, 3), {"padding_mode": "reflect"}), ("FractionalMaxPool2d", (2,), {}),
    ("FractionalMaxPool2d", (2,), {"output_size": 2, "output_ratio": 0.5}),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 1.5}), ("Conv2d", (3, 4, 3), {"padding_mode": "some"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), ERRORS, ids=lambda v: str(v))
def test_settings_that_pytorch_refuses(name, args, kwargs):
    with pytest.raises(ValueError) as theirs:
        made(torch, name, args, kwargs)
    with pytest.raises(ValueError) as ours:
        made(cr, name, args, kwargs)
    assert str(ours.value)[:25] == str(theirs.value)[:25]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "groups": 2}, {"dilation": 2}])
def test_gradients_of_convolutions_are_pytorch_s(n, options):
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=(2, 4, 6, 5, 6)[: n + 2]), rng.normal(size=(2, 4 // options.get("groups", 1), 3, 2, 2)[: n + 2])
    found = []
    for lib in (cr, torch):
        a, b = lib.tensor(x), lib.tensor(w)
        g = getattr(lib.nn.functional, f"conv{n}d")(a, b, **options) ** 2
        grad = importlib.import_module(f"{lib.__name__}.nn.grad")
        of_input, of_weight = getattr(grad, f"conv{n}d_input"), getattr(grad, f"conv{n}d_weight")
        found.append([of_input(x.shape, b, g, **options), of_weight(a, w.shape, g, **options)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10)

"""Functions on windows and over space give PyTorch's values, gradients and errors; forward mode agrees with reverse."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import jvp
from chainrule.nn import functional as F
from chainrule.ops.nn.sliding import sliding

torch = pytest.importorskip("torch")
TF = torch.nn.functional


def call(*shapes, **params):
    """Return arguments: shapes to draw, arrays, or other values; keywords."""
    return shapes, params


def each(shapes, **choices):
    """Return calls with every combination of keyword values."""
    return [call(*shapes, **dict(zip(choices, v, strict=True))) for v in itertools.product(*choices.values())]


FOLDS = np.random.default_rng(3).random((2, 3, 2))
POOLING = {
    "max_pool1d": [call((2, 3, 7), kernel_size=3, stride=2, padding=1, return_indices=True)],
    "max_pool2d": [
        call((2, 3, 7, 6), kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), return_indices=True),
        call((3, 6, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True, return_indices=True),
        call((2, 1, 5, 5), kernel_size=2),
        call(np.full((1, 1, 4, 4), -np.inf), kernel_size=3, stride=1, padding=1, return_indices=True),
        call(np.array([[[1.0, np.nan, 2.0], [np.nan, 3.0, 1.0]]]), kernel_size=2, stride=1, return_indices=True),
        call(np.zeros((1, 4, 4)), kernel_size=3, stride=1, padding=1, return_indices=True),
    ],
    "max_pool3d": [call((2, 2, 4, 5, 4), kernel_size=(2, 3, 2), stride=(1, 2, 2), padding=(1, 1, 0), return_indices=True)],
    "max_pool2d_with_indices": [call((1, 2, 4, 4), kernel_size=2)],
    "adaptive_max_pool1d": [call((2, 3, 7), output_size=3), call((3, 7), output_size=2, return_indices=True)],
    "adaptive_max_pool2d": [call((2, 3, 7, 5), output_size=(3, None), return_indices=True), call((2, 4, 4), output_size=5)],
    "adaptive_max_pool3d": [call((1, 2, 4, 5, 3), output_size=(2, 3, 1), return_indices=True)],
    "avg_pool1d": each([(2, 3, 7)], kernel_size=[3], stride=[None, 2], padding=[0, 1], ceil_mode=[False, True]),
    "avg_pool2d": [
        *each([(2, 3, 7, 6)], kernel_size=[(3, 2)], stride=[(2, 3), None], padding=[(1, 0), (1, 1)], ceil_mode=[False, True],
              count_include_pad=[True, False], divisor_override=[None, 5]),
        call((3, 5, 5), kernel_size=2),
    ],
    "avg_pool3d": each([(1, 2, 4, 5, 4)], kernel_size=[(2, 3, 2)], padding=[1], count_include_pad=[True, False],
                       divisor_override=[None, 7]),
    "adaptive_avg_pool1d": [call((2, 3, 7), output_size=3)],
    "adaptive_avg_pool2d": [
        call((2, 3, 7, 5), output_size=(3, None)), call((3, 7, 5), output_size=1), call((2, 4, 4), output_size=6),
    ],
    "adaptive_avg_pool3d": [call((1, 2, 4, 5, 3), output_size=(2, 3, 1))],
    "lp_pool1d": [call(FOLDS.reshape(1, 2, 6), norm_type=3.0, kernel_size=3, stride=2)],
    "lp_pool2d": [call((2, 3, 8, 6), norm_type=2, kernel_size=(2, 3), ceil_mode=True)],
    "lp_pool3d": [call((1, 2, 4, 4, 4), norm_type=2, kernel_size=2)],
    "fractional_max_pool2d": [
        call((2, 3, 7, 6), kernel_size=(2, 3), output_size=(4, 3), return_indices=True, _random_samples=FOLDS),
        call((2, 3, 7, 6), kernel_size=2, output_ratio=(0.5, 0.7), _random_samples=FOLDS),
    ],
    "fractional_max_pool3d": [call((2, 3, 6, 7, 5), kernel_size=2, output_size=(3, 4, 3), return_indices=True,
                                   _random_samples=np.random.default_rng(4).random((2, 3, 3)))],
    "max_unpool1d": [call((2, 3), np.array([[0, 3, 4], [1, 2, 5]]), kernel_size=2)],
    "max_unpool2d": [
        call((1, 1, 2, 2), np.array([[[[0, 3], [13, 11]]]]), kernel_size=2),
        call((1, 2, 2), np.array([[[0, 3], [13, 11]]]), kernel_size=2, stride=2, output_size=(5, 4)),
    ],
    "max_unpool3d": [call((1, 1, 1, 2, 2), np.array([[[[[0, 3], [31, 13]]]]]), kernel_size=2)],
}  # fmt: skip

SAMPLING = {
    "unfold": [
        call((2, 3, 5, 6), kernel_size=(2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)), call((3, 4, 4), kernel_size=2),
    ],
    "fold": [
        call((2, 12, 12), output_size=(4, 5), kernel_size=2),
        call((8, 6), output_size=5, kernel_size=2, padding=1, stride=(3, 2)),
    ],
    "interpolate": [
        *each([(2, 3, 5)], mode=["nearest", "linear", "nearest-exact", "area"], size=[3, 7, (10,)]),
        *each([(1, 2, 5, 4)], mode=["nearest", "bilinear", "bicubic", "nearest-exact"], scale_factor=[(1.7, 0.6), 2],
              recompute_scale_factor=[None, True]),
        # Bicubic at 1.1 is left out: where the size stays, PyTorch's gradient is that of a copy, which its value is not.
        *each([(1, 2, 5, 4)], mode=["nearest", "bilinear", "nearest-exact"], scale_factor=[1.1]),
        *each([(1, 2, 5, 4)], mode=["bilinear", "bicubic"], size=[(3, 7), (1, 9)], align_corners=[True, False],
              antialias=[False, True]),
        call((1, 2, 9, 8), mode="bicubic", scale_factor=0.4, antialias=True), call((2, 1, 5, 4), mode="area", scale_factor=0.6),
        call((1, 2, 9, 8), mode="lanczos", size=(4, 3), antialias=True),
        *each([(1, 2, 3, 4, 3)], mode=["trilinear", "nearest", "area"], size=[(5, 3, 4)]),
        call((1, 2, 3, 4, 3), mode="trilinear", scale_factor=(1.5, 0.7, 2.0), align_corners=True),
    ],
    "upsample": [call((1, 2, 4), scale_factor=2)],
    "upsample_nearest": [call((1, 2, 4, 3), scale_factor=2)],
    "upsample_bilinear": [call((1, 2, 4, 3), size=(3, 7))],
    "grid_sample": [
        *each([(2, 3, 4, 5), 1.3 * np.random.default_rng(5).normal(size=(2, 3, 4, 2))], mode=["bilinear", "nearest", "bicubic"],
              padding_mode=["zeros", "border", "reflection"], align_corners=[True, False]),
        *each([(1, 2, 3, 4, 2), 1.3 * np.random.default_rng(6).normal(size=(1, 2, 3, 2, 3))], mode=["bilinear", "nearest"],
              padding_mode=["zeros", "border", "reflection"], align_corners=[True, False]),
        *each([(1, 1, 3, 3), np.array([[[[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [-3.0, 1.0]]]])], mode=["bilinear"],
              padding_mode=["zeros", "border", "reflection"], align_corners=[True, False]),
        call((1, 1, 1, 3), (1, 2, 2, 2), padding_mode="reflection", align_corners=True),
    ],
    "affine_grid": each([(2, 2, 3)], size=[(2, 3, 4, 5), (2, 1, 1, 3)], align_corners=[True, False])
    + each([(2, 3, 4)], size=[(2, 3, 2, 4, 5)], align_corners=[True, False]),
    "pixel_shuffle": [call((1, 8, 2, 3), upscale_factor=2)],
    "pixel_unshuffle": [call((1, 2, 4, 6), downscale_factor=2)],
    "channel_shuffle": [call((1, 6, 2, 2), groups=3)],
    "pad": [
        *each([(2, 3, 5)], pad=[(2, 1), (-1, 3), (0, 0)], mode=["constant", "reflect", "replicate", "circular"]),
        *each([(1, 3, 5, 4)], pad=[(2, 1, 3, 0)], mode=["reflect", "replicate", "circular"]),
        call((3, 4), pad=(1, 1), value=2.5),
        *each([(1, 2, 3, 4, 3)], pad=[(2, 1, 1, 3, 0, 2)], mode=["reflect", "replicate", "circular"]),
       call((2, 5), pad=(2, 1), mode="reflect"), call((2, 5, 4), pad=(2, 1, 3, 1), mode="replicate"),
    ],
}  # fmt: skip

CALLS = POOLING | SAMPLING

POOLING_ERRORS = {
    "avg_pool2d": [
        call((1, 2, 2), kernel_size=3), call((1, 4, 4), kernel_size=2, padding=2), call((1, 4, 4), kernel_size=2, stride=0),
        call((1, 4, 4), kernel_size=2, divisor_override=0), call((1, 4, 4), kernel_size=(2, 2, 2)),
        call(np.ones((1, 4, 4), bool), kernel_size=2),
    ],
    "avg_pool3d": [call((4, 4), kernel_size=2)],
    "adaptive_avg_pool2d": [
        call((4, 4), output_size=2), call((1, 4, 4), output_size=-1), call((1, 4, 4), output_size=(2,)),
        call((1, 0, 4), output_size=2), call((1, 4, 4), output_size=(2, 2, 2)), call(np.ones((1, 4, 4), int), output_size=2),
    ],
    "adaptive_avg_pool3d": [call((4, 4), output_size=2)],
    "adaptive_max_pool2d": [
        call((4, 4), output_size=2), call((1, 4, 4), output_size=-1), call((1, 0, 4), output_size=2),
    ],
    "fractional_max_pool2d": [
        call((1, 4, 4), kernel_size=2), call((1, 4, 4), kernel_size=2, output_size=4),
        call((1, 4, 4), kernel_size=5, output_size=1),
        call((1, 4, 4), kernel_size=(2, 2, 2), output_size=2),
    ],
    "max_unpool2d": [
        call((1, 1, 1), np.array([[[7]]]), kernel_size=2), call((1, 1, 1), np.array([[[1]]], np.int32), kernel_size=2),
        call((1, 1, 2), np.array([[[1]]]), kernel_size=2), call((1, 1), np.array([[1]]), kernel_size=2),
        call((1, 1, 1), np.array([[[1]]]), kernel_size=2, output_size=(9, 9)),
        call((1, 1, 1), np.array([[[1]]]), kernel_size=2, output_size=(9,)),
    ],
}  # fmt: skip

SAMPLING_ERRORS = {
    "unfold": [
        call((1, 1, 4, 4), kernel_size=5), call((1, 1, 4, 4), kernel_size=0), call((1, 1, 4, 4), kernel_size=2, stride=0),
        call((1, 1, 4, 4), kernel_size=2, dilation=0), call((1, 1, 4, 4), kernel_size=2, padding=-1),
        call((1, 1, 4, 4), kernel_size=(2, 2, 2)), call((1, 1, 4, 4, 4), kernel_size=2),
        call(np.ones((1, 4, 4), int), kernel_size=2),
    ],
    "fold": [
        call((1, 4, 8), output_size=(4, 4), kernel_size=2), call((1, 5, 9), output_size=(4, 4), kernel_size=2),
        call((1, 1, 4, 9), output_size=(4, 4), kernel_size=2), call((1, 4, 9), output_size=(1, 1), kernel_size=2),
    ],
    "interpolate": [
        call((1, 1, 4, 4)), call((1, 1, 4, 4), size=2, scale_factor=2), call((1, 1, 4, 4), size=2, mode="some"),
        call((1, 1, 4, 4), size=2, mode="linear"), call((1, 1, 4), size=2, mode="bilinear"), call((4, 4), size=2),
        call((1, 1, 4, 4), size=2, align_corners=True), call((1, 1, 4, 4), size=(2, 2, 2)),
        call((1, 1, 4, 4), scale_factor=(2, 2, 2)), call((1, 1, 4, 4), size=0), call((1, 0, 4, 4), size=2),
        call((1, 1, 4, 4), size=2, recompute_scale_factor=True), call((1, 1, 4, 4), size=2, antialias=True),
        call((1, 1, 4, 4, 4), size=2, mode="bicubic"), call((1, 1, 4, 4), size=2, mode="lanczos"),
    ],
    "grid_sample": [
        call((1, 1, 4, 4), (1, 2, 2, 2), mode="some"), call((1, 1, 4, 4), (1, 2, 2, 2), padding_mode="some"),
        call((1, 1, 4, 4), (2, 2, 2, 2)), call((1, 1, 4, 4), (1, 2, 2, 3)), call((1, 1, 4, 4), (1, 2, 2, 2, 2)),
        call((1, 1, 4, 4, 4), (1, 2, 2, 2, 3), mode="bicubic"), call((1, 1, 0, 4), (1, 2, 2, 2)),
    ],
    "affine_grid": [
        call((1, 2, 2), size=(1, 1, 2, 2)), call(np.ones((1, 2, 3), int), size=(1, 1, 2, 2)), call((1, 2, 3), size=(1, 1, 2)),
        call((1, 2, 3), size=(1, 1, 0, 2)), call((2, 2, 3), size=(1, 1, 2, 2)), call((1, 2, 3), size=(1, 1, 2, 2, 2)),
    ],
    "pad": [
        call((1, 3, 2), pad=(1, 1), mode="some"), call((1, 3, 2), pad=(1,)), call((2,), pad=(1, 1, 1, 1)),
        call((1, 3, 2), pad=(2, 1), mode="reflect"), call((1, 3, 2), pad=(3, 1), mode="circular"),
        call((3,), pad=(1, 1), mode="reflect"),
        call((1, 3, 2), pad=(1, 1), mode="reflect", value=2.0), call((1, 3, 4), pad=(-3, -3), mode="replicate"),
        call((1, 3, 0), pad=(1, 1), mode="replicate"),
    ],
}  # fmt: skip

ERRORS = POOLING_ERRORS | SAMPLING_ERRORS


def drawn(shapes, dtype):
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.normal(size=s)) if isinstance(s, tuple) else s for s in shapes]
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def as_tensors(lib, params, dtype):
    return {k: lib.tensor(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in params.items()}


def flat(out):
    return list(out) if isinstance(out, tuple) else [out]


def run(lib, name, arrays, params, dtype):
    """Return the floating inputs, and the results."""
    f = getattr(lib.nn.functional, name)
    leaves = [lib.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return leaves, flat(f(*leaves, **as_tensors(lib, params, dtype)))


def close(a, b, tol):
    a, b = a.detach().numpy(), b.detach().numpy()
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_pytorchs(name):
    for shapes, params in CALLS[name]:
        for dtype, tol in (("float64", 1e-10), ("float32", 3e-5)):
            arrays = drawn(shapes, dtype)
            xs, ours = run(cr, name, arrays, params, dtype)
            ts, theirs = run(torch, name, arrays, params, dtype)
            assert len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True):
                close(a, b, tol)
            g = np.random.default_rng(1).normal(size=tuple(ours[0].shape)).astype(dtype)
            xs, ts = ([v for v in vs if v.requires_grad] for vs in (xs, ts))
            found = cr.autograd.grad(ours[0], xs, cr.tensor(g))
            for a, b in zip(found, torch.autograd.grad(theirs[0], ts, torch.tensor(g)), strict=True):
                close(a, b, tol)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_forward_and_reverse_mode_agree(name):
    for shapes, params in CALLS[name]:
        arrays = drawn(shapes, "float64")
        if not all(np.isfinite(a).all() for a in arrays):
            continue
        fixed, moving = [a for a in arrays if a.dtype.kind != "f"], [cr.tensor(a) for a in arrays if a.dtype.kind == "f"]

        def f(*xs, fixed=fixed, params=params):
            return flat(getattr(F, name)(*xs, *map(cr.tensor, fixed), **as_tensors(cr, params, "float64")))[0]

        rng = np.random.default_rng(2)
        tangents = [cr.tensor(rng.normal(size=tuple(x.shape))) for x in moving]
        out, tangent = jvp(f, tuple(moving), tuple(tangents))
        g = cr.tensor(rng.normal(size=tuple(out.shape)))
        leaves = [x.clone().requires_grad_() for x in moving]
        gs = cr.autograd.grad(f(*leaves), leaves, g)
        expected = sum(float((a * b).sum()) for a, b in zip(gs, tangents, strict=True))
        assert float((g * tangent).sum()) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_pytorchs(name):
    for shapes, params in ERRORS[name]:
        arrays = drawn(shapes, "float32")
        with pytest.raises(Exception) as theirs:
            run(torch, name, arrays, params, "float32")
        with pytest.raises(type(theirs.value)) as ours:
            run(cr, name, arrays, params, "float32")
        words = str(theirs.value).split("\n")[0].replace("torch.", "chainrule.")
        assert str(ours.value).startswith(words[:60]), f"{ours.value} against {words}"


def test_integers_are_pooled_as_pytorch_pools_them():
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 5, 6))
    for params in ({}, {"padding": 1, "count_include_pad": False}, {"divisor_override": 3}):
        ours = F.avg_pool2d(cr.tensor(x), 3, 2, **params)
        assert ours.tolist() == TF.avg_pool2d(torch.tensor(x), 3, 2, **params).tolist()
    assert F.max_pool2d(cr.tensor(x), 2).tolist() == TF.max_pool2d(torch.tensor(x), 2).tolist()


def test_half_precision_adds_up_in_single():
    x = np.random.default_rng(0).normal(size=(1, 2, 9, 9)).astype("float16")
    for name in ("float16", "bfloat16"):
        a, b = cr.tensor(x).to(getattr(cr, name)), torch.tensor(x).to(getattr(torch, name))
        for f, g in ((lambda F, x: F.avg_pool2d(x, 3), 1e-2), (lambda F, x: F.max_pool2d(x, 3), 0)):
            np.testing.assert_allclose(f(F, a).float().numpy(), f(TF, b).float().numpy(), atol=g)


def test_a_convolution_is_the_same_on_several_threads(monkeypatch):
    rng, before = np.random.default_rng(0), cr.get_num_threads()
    x, w = cr.tensor(rng.normal(size=(7, 8, 32, 32))), cr.tensor(rng.normal(size=(8, 8, 3, 3)))
    monkeypatch.setattr("chainrule.ops.nn.columns._SHARE", 1000)
    found = []
    try:
        for number in (1, 3):
            cr.set_num_threads(number)
            found.append(F.conv2d(x, w, padding=1))
    finally:
        cr.set_num_threads(before)
    assert cr.equal(*found)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize(("name", "groups", "stride"), [("conv2d", 1, 1), ("conv2d", 2, 2), ("conv_transpose2d", 1, 1)])
def test_what_is_not_finite_spreads_as_in_pytorch(name, groups, stride, value):
    """An element meets the weights that are its own, and the zeros around the input are numbers like others."""
    for at in range(3):
        found = []
        for lib in (torch, cr):
            rng = np.random.default_rng(0)
            arrays = [rng.normal(size=shape) for shape in ((2, 4, 5, 5), (4, 4 // groups, 3, 3))]
            if at < 2:
                arrays[at].flat[-1] = value
            x, w = (lib.tensor(a, requires_grad=True) for a in arrays)
            y = getattr(lib.nn.functional, name)(x, w, padding=1, groups=groups, stride=stride)
            g = rng.normal(size=tuple(y.shape))
            if at == 2:
                g.flat[0] = value
            y.backward(lib.tensor(g))
            found.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-10)


LAST = {
    "conv2d": [call((2, 4, 6, 5), (3, 4, 3, 3), padding=1), call((2, 4, 6, 5), (4, 2, 3, 3), stride=2, groups=2),
               call((2, 4, 6, 5), (3, 4, 1, 1)), call((2, 4, 6, 5), (4, 1, 3, 3), groups=4)],
    "conv3d": [call((2, 2, 4, 5, 4), (3, 2, 3, 3, 3), padding=1)],
    "conv_transpose2d": [call((2, 4, 6, 5), (4, 3, 3, 3), stride=2)],
    "max_pool2d": [call((2, 4, 6, 5), kernel_size=2), call((2, 4, 6, 5), kernel_size=3, stride=1, padding=1)],
    "max_pool3d": [call((2, 2, 4, 5, 4), kernel_size=2)],
    "avg_pool2d": [call((2, 4, 6, 5), kernel_size=3, stride=2, padding=1)],
    "lp_pool2d": [call((2, 4, 6, 5), 2.0, kernel_size=2)],
    "adaptive_avg_pool2d": [call((2, 4, 6, 5), output_size=(3, 2))],
    "adaptive_max_pool2d": [call((2, 4, 6, 5), output_size=(3, 2))],
    "batch_norm": [call((2, 4, 6, 5), None, None, (4,), (4,), training=True), call((2, 4, 4, 5, 3), None, None, training=True)],
    "group_norm": [call((2, 4, 6, 5), 2, (4,), (4,))], "instance_norm": [call((2, 4, 6, 5))],
}  # fmt: skip


@pytest.mark.parametrize("name", LAST)
def test_images_with_their_channels_last_in_memory(name):
    for args, params in LAST[name]:
        found = []
        for lib in (torch, cr):
            rng = np.random.default_rng(0)
            given = [lib.tensor(rng.normal(size=a)) if isinstance(a, tuple) else a for a in args]
            last = lib.channels_last if given[0].ndim == 4 else lib.channels_last_3d
            given[0] = given[0].to(memory_format=last)
            leaves = [a.requires_grad_() for a in given if isinstance(a, lib.Tensor)]
            y = getattr(lib.nn.functional, name)(*given, **params)
            y.backward(lib.tensor(rng.normal(size=tuple(y.shape))).to(memory_format=last))
            found.append([y.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]])
            assert leaves[0].grad.is_contiguous(memory_format=last)
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "float16", "complex64"])
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
@pytest.mark.parametrize("params", [{}, {"dilation": 2}, {"stride": 2, "groups": 2}])
def test_convolutions_take_the_dtypes_that_pytorchs_take(name, dtype, params):
    space = int(name[-2])
    for examples in (0, 1):
        answers = []
        for lib in (torch, cr):
            x, w = (lib.ones(*n, *[k] * space).to(getattr(lib, dtype)) for n, k in (((examples, 2), 5), ((2, 2), 3)))
            try:
                answers.append(getattr(lib.nn.functional, name)(x, w[:, : 2 // params.get("groups", 1)], **params).tolist())
            except (RuntimeError, NotImplementedError) as error:
                answers.append((type(error), str(error).split("\n")[0]))
        assert answers[0] == answers[1]


@pytest.mark.parametrize(("block", "small", "short"), [(64, 1, 64), (1000, 60, 1), (1 << 20, 400, 3), (1 << 20, 10**6, 64)])
def test_how_a_convolution_is_cut_into_blocks_does_not_matter(monkeypatch, block, small, short):
    rng = np.random.default_rng(0)
    cases = [((3, 4, 9, 7), (6, 2, 3, 2), 2, 1, 1), ((2, 3, 12, 6), (3, 1, 3, 3), 3, 1, 1), ((3, 4, 9), (2, 4, 3), 1, 2, 1),
             ((2, 2, 5, 4, 6), (2, 2, 2, 2, 2), 1, 1, 1), ((2, 2, 9, 8), (3, 2, 3, 3), 1, 1, 1),
             ((2, 2, 9, 8), (3, 2, 5, 5), 1, 1, 2), ((1, 1, 3, 2), (1, 1, 5, 5), 1, 1, 2),
             ((2, 3, 8, 32), (3, 1, 3, 3), 3, 1, 1), ((2, 2, 4, 6, 5), (9, 2, 3, 1, 3), 1, 1, 1),
             ((2, 4, 9, 8), (2, 4, 2, 3), 1, 3, 1), ((2, 1, 9, 8), (5, 1, 3, 3), 1, 2, 1)]  # fmt: skip
    sliding.cache_clear()
    monkeypatch.setattr("chainrule.ops.nn.sliding.CACHED", block)
    monkeypatch.setattr("chainrule.ops.nn.columns.CACHED", block)
    monkeypatch.setattr("chainrule.ops.nn.columns._SMALL", small)
    monkeypatch.setattr("chainrule.ops.nn.columns._SHORT", short)
    for x_shape, w_shape, groups, stride, padding in cases:
        space = len(w_shape) - 2
        x, w = rng.normal(size=x_shape), rng.normal(size=w_shape)
        found = []
        for lib in (torch, cr):
            leaves = [lib.tensor(a, requires_grad=True) for a in (x, w)]
            options = {"groups": groups, "stride": stride, "padding": padding}
            y = getattr(lib.nn.functional, f"conv{space}d")(*leaves, **options)
            (y * y).sum().backward()
            back = getattr(lib.nn.functional, f"conv_transpose{space}d")(y, leaves[1], **options)
            found.append([y.detach().numpy(), back.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

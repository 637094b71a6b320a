"""Normalisations: PyTorch's values, gradients, running statistics and errors; all second orders agree with differences."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nn.comparison import TF, bound, check, close, given, orders, torch

import chainrule as cr
from chainrule.nn import functional as F

RNG = np.random.default_rng(2)


def normal(*shape):
    return np.asarray(RNG.normal(size=shape))


def affine(x, *shape):
    return [x, normal(*shape), normal(*shape)]


# name, arrays by position, the names of all but the first, parameters
CASES = [
    ("layer_norm", affine(normal(4, 5), 5), ("weight", "bias"), {"normalized_shape": (5,)}),
    ("layer_norm", affine(normal(2, 3, 4), 3, 4), ("weight", "bias"), {"normalized_shape": [3, 4], "eps": 0.1}),
    ("layer_norm", [normal(3, 4), normal(4)], ("weight",), {"normalized_shape": (4,)}),
    ("layer_norm", [normal(3, 4), normal(4)], ("bias",), {"normalized_shape": (4,)}),
    ("layer_norm", [normal(3)], (), {"normalized_shape": (3,)}),
    ("rms_norm", [normal(4, 5), normal(5)], ("weight",), {"normalized_shape": (5,)}),
    ("rms_norm", [normal(2, 3, 4)], (), {"normalized_shape": (3, 4), "eps": 0.1}),
    ("batch_norm", affine(normal(4, 3), 3), ("weight", "bias"), {"running_mean": None, "running_var": None, "training": True}),
    ("batch_norm", affine(normal(4, 3, 2, 2), 3), ("weight", "bias"),
     {"running_mean": None, "running_var": None, "training": True, "eps": 0.1}),
    ("batch_norm", affine(normal(4, 3, 2), 3), ("weight", "bias"), {"running_mean": normal(3), "running_var": abs(normal(3))}),
    ("batch_norm", [normal(4, 3)], (), {"running_mean": normal(3), "running_var": abs(normal(3))}),
    ("group_norm", affine(normal(2, 6, 3), 6), ("weight", "bias"), {"num_groups": 3}),
    ("group_norm", [normal(2, 4)], (), {"num_groups": 2, "eps": 0.1}),
    ("instance_norm", affine(normal(2, 3, 4), 3), ("weight", "bias"), {}),
    ("instance_norm", [normal(2, 3, 2, 2)], (), {"eps": 0.1}),
    ("instance_norm", affine(normal(2, 3, 4), 3), ("weight", "bias"),
     {"use_input_stats": False, "running_mean": normal(3), "running_var": abs(normal(3))}),
    ("local_response_norm", [normal(2, 5, 3)], (), {"size": 3, "alpha": 0.5}),
    ("local_response_norm", [normal(2, 5, 3, 2)], (), {"size": 2, "alpha": 0.5, "beta": 0.5, "k": 2.0}),
    ("local_response_norm", [normal(1, 2, 3, 2, 2)], (), {"size": 5, "alpha": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "names", "params"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_normalization_is_pytorch_s(name, arrays, names, params, monkeypatch):
    def named(home, lib):
        f = getattr(home, name)
        return lambda *args, **params: f(args[0], **params, **dict(zip(names, args[1:], strict=True)))

    for home, lib in ((F, cr), (TF, torch)):
        monkeypatch.setattr(home, "under_test", named(home, lib), raising=False)
    # PyTorch's second derivative of layer_norm with a bias alone raises.
    check("under_test", arrays, params, tuple(range(len(arrays))), second=names != ("bias",))


@pytest.mark.parametrize(("name", "arrays", "names", "params"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_orders_of_a_normalization_agree(name, arrays, names, params):
    f = bound(name, **given(params, cr.tensor))
    orders(lambda x, *rest: f(x, **dict(zip(names, rest, strict=True))), arrays, tol=3e-6)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_move(name, shape):
    if name == "instance_norm" and len(shape) == 2:
        return
    x, start = normal(*shape), (normal(3), abs(normal(3)))
    found = []
    for lib, home in ((cr, F), (torch, TF)):
        running = [lib.tensor(a) for a in start]
        flag = {"training": True} if name == "batch_norm" else {}
        getattr(home, name)(lib.tensor(x, requires_grad=True), *running, momentum=0.3, **flag)
        found.append(running)
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, 1e-12)


def test_evaluation_leaves_the_statistics():
    m, v = cr.zeros(3), cr.ones(3)
    F.batch_norm(cr.randn(4, 3), m, v)
    assert m.tolist() == [0] * 3
    assert v.tolist() == [1] * 3


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_half_precision_is_computed_in_single(name):
    x, w = normal(3, 600).astype(np.float16), normal(600).astype(np.float16)
    ours, theirs = (getattr(home, name)(lib.tensor(x), (600,), lib.tensor(w)) for lib, home in ((cr, F), (torch, TF)))
    assert ours.dtype is cr.float16
    np.testing.assert_allclose(ours.numpy().astype(float), theirs.numpy().astype(float), rtol=3e-3, atol=1e-3)


def test_long_batches_keep_their_digits():
    x = (1e3 + normal(200_000, 2)).astype(np.float32)
    y = F.batch_norm(cr.tensor(x), None, None, training=True).numpy()
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, (wide - wide.mean(0)) / wide.std(0), atol=2e-3)


def test_rms_norm_of_complex_numbers():
    z = normal(3, 4) + 1j * normal(3, 4)
    ours, theirs = (home.rms_norm(lib.tensor(z), (4,)).numpy() for lib, home in ((cr, F), (torch, TF)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty_input(shape):
    ours, theirs = (home.layer_norm(lib.ones(shape), shape[1:]) for lib, home in ((cr, F), (torch, TF)))
    assert tuple(ours.shape) == tuple(theirs.shape)


f = np.ones
ERRORS = [
    ("layer_norm", (f((2, 3)), []), {}), ("layer_norm", (f((2, 3)), [4]), {}), ("layer_norm", (f((2, 3)), 3), {}),
    ("layer_norm", (f((2, 3)), (3,), f(4)), {}), ("layer_norm", (f((2, 3)), (3,), f(3), f(4)), {}),
    ("layer_norm", (f((2, 3)), (3,), f(3, np.float32)), {}), ("layer_norm", (f((2, 3), np.float32), (3,), f(3)), {}),
    ("layer_norm", (f((2, 3), int), (3,)), {}), ("layer_norm", (f(()), (1,)), {}),
    ("rms_norm", (f((2, 3)), (4,)), {}), ("rms_norm", (f((2, 3)), (3,), f(4)), {}), ("rms_norm", (f((2, 3), int), (3,)), {}),
    ("rms_norm", (f((2, 3)), ()), {}),
    ("batch_norm", (f((2, 3)), f(4), f(3)), {}), ("batch_norm", (f((2, 3)), f(3), f(4)), {}),
    ("batch_norm", (f((2, 3)), f(3), f(3), f(2)), {}), ("batch_norm", (f((2, 3)), f(3), f(3), f(3), f(2)), {}),
    ("batch_norm", (f((1, 3)), f(3), f(3)), {"training": True}), ("batch_norm", (f((2, 3)), None, None), {}),
    ("batch_norm", (f(3), None, None), {"training": True}), ("batch_norm", (f((2, 3), int), f(3), f(3)), {}),
    ("batch_norm", (f((2, 3)), f(3, np.float32), f(3, np.float32)), {}),
    ("batch_norm", (f((2, 3)), f(3), f(3)), {"eps": -1.0}),
    ("batch_norm", (f((2, 3)), f(3), f(3)), {"training": True, "eps": 0.0}),
    ("batch_norm", (f((2, 3)), f(3), None), {"training": True}),
    ("group_norm", (f((2, 4)), 3), {}), ("group_norm", (f(4), 2), {}), ("group_norm", (f((2, 4)), 2, f(3)), {}),
    ("group_norm", (f((2, 4)), 2, f(4), f(3)), {}), ("group_norm", (f((1, 2)), 2), {}), ("group_norm", (f((2, 4)), 0), {}),
    ("group_norm", (f((2, 4), int), 2), {}), ("group_norm", (f((2, 4)), 2, f(4, np.float32)), {}),
    ("instance_norm", (f((2, 4)),), {}), ("instance_norm", (f((2, 4, 3)),), {"use_input_stats": False}),
    ("instance_norm", (f((2, 4, 3)), f(3), f(4)), {}), ("instance_norm", (f((2, 4, 3)), f(4), f(4), f(3)), {}),
    ("instance_norm", (f((2, 4, 3)), f(4), None), {}),
    ("local_response_norm", (f((2, 4)), 2), {}), ("local_response_norm", (f((2, 4, 3)), 0), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "params"), ERRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_error_is_pytorch_s(name, args, params):
    made = lambda lib: [lib.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    with pytest.raises(Exception) as theirs:
        getattr(TF, name)(*made(torch), **params)
    with pytest.raises(theirs.type) as ours:
        getattr(F, name)(*made(cr), **params)
    first = lambda error: str(error.value).replace("torch.", "").replace("chainrule.", "").split()[:4]
    assert first(ours) == first(theirs)


def test_momentum_is_a_number():
    with pytest.raises(TypeError, match=r"batch_norm\(\): argument 'momentum'"):
        F.batch_norm(cr.ones(2, 3), cr.zeros(3), cr.ones(3), training=True, momentum=None)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_running_statistics_have_no_derivative(name):
    running = {"running_mean": cr.zeros(3), "running_var": cr.ones(3)}
    running[name].requires_grad_()
    with pytest.raises(RuntimeError, match=f"not differentiable with respect to argument '{name}'"):
        F.batch_norm(cr.ones(2, 3), **running)


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm", "batch_norm"])
def test_a_result_without_parameters_may_be_written_to(name):
    """As activations in place do: what the backward pass needs is not what was returned."""
    params = {"layer_norm": {"normalized_shape": (4,)}, "group_norm": {"num_groups": 3},
              "batch_norm": {"running_mean": None, "running_var": None, "training": True}}.get(name, {})  # fmt: skip
    grads = []
    for lib, home, x in ((cr, F, normal(2, 3, 4)), (torch, TF, None)):
        x = lib.tensor(grads[0][0] if x is None else x, requires_grad=True)
        y = getattr(home, name)(x, **params).relu_()
        (y * y).sum().backward()
        grads.append((x.detach().numpy(), x.grad))
    close(grads[0][1], grads[1][1], 1e-10)

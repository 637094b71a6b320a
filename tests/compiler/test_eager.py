"""Large eager work by native code is what NumPy's kernels give, and only where it fits."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import eager
from chainrule.core.op import native
from chainrule.core.op.declaration import TABLE
from chainrule.nn import functional as F

pytest.importorskip("llvmlite")
SIZE = native.NATIVE

UNARY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos",
    "atan", "asinh", "acosh", "atanh", "sigmoid", "silu", "erf", "erfc",
)  # fmt: skip
ROWS = {
    "softmax": ("x",), "log_softmax": ("x",), "softmax_pull": ("x", "x"), "log_softmax_pull": ("x", "x"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _slot(monkeypatch):
    monkeypatch.setattr(native, "code", eager.native)


def by_numpy(f, *args, **params):
    before = native.code
    native.offer(None)
    try:
        return f(*args, **params)
    finally:
        native.offer(before)


def drawn(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def compared(kernel, arrays, params, rtol=None):
    found = eager.native(kernel, arrays, params)
    assert found is not None
    with np.errstate(all="ignore"):
        expected = by_numpy(kernel, *arrays, **params)
    eps = np.finfo(next(a.dtype for a in arrays if a is not None and a.dtype.kind == "f")).eps
    several = isinstance(expected, tuple)
    for x, y in zip(found if several else [found], expected if several else [expected], strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        scale = np.max(np.abs(y[np.isfinite(y)]), initial=0)
        np.testing.assert_allclose(x, y, rtol=rtol or 16 * eps, atol=(rtol or 4 * eps) * scale)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elementwise_ops_of_any_number_of_elements(name, dtype):
    kernel = TABLE[name].backend.kernel
    x = drawn(SIZE + 37, dtype=dtype)
    x[:8] = 0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 700.0
    compared(kernel, (x,), {}, rtol=1e-6 if dtype == np.float32 else 1e-14)
    for size in (1, 5, 64, 1000):
        compared(kernel, (x[:size].reshape(1, -1),), {}, rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("form", ["none", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_and_its_pullback(form, dtype):
    x, g = drawn(513, 515, dtype=dtype), drawn(515, 513, dtype=dtype).reshape(513, 515)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    compared(TABLE["gelu"].backend.kernel, (x,), {"form": form}, tolerance)
    compared(TABLE["gelu_pull"].backend.kernel, (g, x), {"form": form}, tolerance)
    for name in ("silu_pull", "sigmoid_pull", "tanh_pull"):
        compared(TABLE[name].backend.kernel, (g, x), {}, tolerance)


@pytest.mark.parametrize("weighted", [(), (0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("rows", [70, 4100])
def test_pullback_of_layer_norm(weighted, rows, monkeypatch):
    x, w, c = [cr.from_numpy(drawn(*shape, dtype=np.float64)) for shape in ((rows, 1001), (2, 1001), (rows, 1001))]
    given = [w[k] if k in weighted else None for k in range(2)]

    def f(x, *parameters):
        left = iter(parameters)
        return (F.layer_norm(x, (1001,), *[None if p is None else next(left) for p in given]) * c).sum()

    at = (x, *[p for p in given if p is not None])
    pulled = cr.func.grad(f, argnums=tuple(range(len(at))))
    expected, asked = by_numpy(pulled, *at), []
    monkeypatch.setattr(native, "code", lambda *given: asked.append(eager.native(*given)) or asked[-1])
    found = pulled(*at)
    assert len(asked) == 2
    assert all(out is not None for out in asked)
    for a, b in zip(found, expected, strict=True):
        assert cr.allclose(a, b, rtol=1e-9, atol=1e-9)


PLACES = {
    "row": ((7, 33), (33,)), "column": ((7, 33), (7, 1)), "channel": ((5, 3, 2, 17), (3, 1, 1)),
    "batch": ((5, 3, 17), (5, 1, 1)),
    "one": ((5, 33), ()), "ones": ((5, 33), (1, 1)), "crossed": ((4, 3, 2, 9), (4, 1, 2, 1)), "last": ((40, 2, 3), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("scale", [1, 2, 9])
@pytest.mark.parametrize("place", PLACES)
def test_operands_that_broadcast(place, scale):
    (n, *rest), shape = PLACES[place]
    x, y = (
        drawn(n * scale, *rest),
        drawn(*[n * scale if k == -len(rest) - 1 and m > 1 else m for k, m in zip(range(-len(shape), 0), shape, strict=True)]),
    )
    for name, operands in {"hypot": (x, y), "where": (x > 0, y, x), "gelu_pull": (x, y)}.items():
        compared(TABLE[name].backend.kernel, operands, {"form": "tanh"} if name == "gelu_pull" else {}, 1e-6)
    wide = np.broadcast_to(y, x.shape)  # as a cotangent is that came from a sum
    compared(TABLE["hypot"].backend.kernel, (wide, x), {}, 1e-6)
    assert sum([eager._variants[TABLE[name].backend.kernel] for name in ("hypot", "where")]) < eager.VARIANTS


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.5, 2, 2.0, 3, -1, -2, -1.5, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_special_numbers_and_their_derivatives(exponent, dtype):
    pow = TABLE["pow"]
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.5, -2.5], dtype)
    g = np.ones_like(x)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(eager.native(pow.kernel, (x, exponent), {}), pow.kernel(x, exponent), rtol=1e-6)
        found, expected = eager.native(pow.rules[0].f, (g, x, exponent), {}), pow.rules[0].raw(g, x, exponent)
    if found is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        numbers = ~np.isnan(expected)
        assert np.array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def test_no_more_code_is_made_than_some(monkeypatch):
    pow, x = TABLE["pow"].backend.kernel, drawn(100)
    eager._kernels.clear()
    eager._variants.clear()
    monkeypatch.setattr(eager, "VARIANTS", 3)
    assert [eager.native(pow, (x, y), {}) is None for y in (0.0, -0.0, 1.5, 2.5, 1.5, 3.5)] == [False] * 3 + [True, False, True]
    assert np.signbit(eager.native(TABLE["copysign"].backend.kernel, (np.abs(x), -0.0), {})).all()
    assert not np.signbit(eager.native(TABLE["copysign"].backend.kernel, (np.abs(x), 0.0), {})).any()


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 2), (1, 1000), (700, 401), (2, 3, 17)], ids=str)
def test_ops_over_rows_of_any_number(name, dtype, shape):
    x = drawn(*shape, dtype=dtype)
    y = by_numpy(TABLE["softmax" if name == "softmax_pull" else "log_softmax"].backend.kernel, x, axis=(len(shape) - 1,))
    operands = (x,) if len(ROWS[name]) == 1 else (drawn(*shape[::-1], dtype=dtype).reshape(shape), y)
    compared(TABLE[name].backend.kernel, operands, {"axis": (len(shape) - 1,)}, 1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_layer_norm(weighted):
    x, w, b = drawn(300, 1001), drawn(1001), drawn(2, 1001)[1]
    kernel = TABLE["standardize"].backend.kernel
    compared(kernel, (x, w if weighted else None, b if weighted else None), {"axis": (1,), "eps": 1e-5}, 1e-5)


def test_what_does_not_fit_is_left_to_numpy():
    exp, softmax, standardize = [TABLE[name].backend.kernel for name in ("exp", "softmax", "standardize")]
    x = drawn(600, 600)
    for a in (x.T, x[:, ::2], x[::-1], x.astype(np.float16), x.astype(int), x.astype(complex), x.astype(">f4"), np.float32(1)):
        assert eager.native(exp, (a,), {}) is None
    assert eager.native(softmax, (x,), {"axis": (0,)}) is None
    assert eager.native(softmax, (x[:, :1],), {"axis": (1,)}) is None
    assert eager.native(standardize, (x, x[:, :2], None), {"axis": (1,), "eps": 0.1}) is None
    assert eager.native(standardize, (x, x[0].astype(float), None), {"axis": (1,), "eps": 0.1}) is None
    assert eager.native(TABLE["gelu_pull"].backend.kernel, (x, x[0, :599]), {"form": "none"}) is None
    assert eager.native(TABLE["gelu_pull"].backend.kernel, (x[0], x), {"form": "none"}) is None
    assert eager.native(lambda x: x, (x,), {}) is None
    where = TABLE["where"].backend.kernel
    assert eager.native(where, (x > 0, x, np.float64(1)), {}) is None
    assert eager.native(where, (x > 0, x > 1, x > 2), {}) is None
    assert eager.native(where, (x > 0, 1, 2.5), {}) is None
    assert eager.native(TABLE["cumsum"].backend.kernel, (x,), {"axis": (1,), "reverse": False}) is None


def network(x, w):
    h = F.gelu(F.layer_norm(x @ w, (512,)))
    return (F.log_softmax(h, -1) * F.softmax(x, -1) + cr.sigmoid(h) * cr.tanh(x)).sum()


@pytest.mark.parametrize("number", [1, 2])
def test_gradients_are_those_of_numpy(number):
    x, w = cr.from_numpy(drawn(1024, 512)), cr.from_numpy(drawn(512, 512) / 22)
    before = cr.get_num_threads()
    cr.set_num_threads(number)
    try:
        found = cr.func.grad_and_value(network, argnums=(0, 1))(x, w)
        expected = by_numpy(cr.func.grad_and_value(network, argnums=(0, 1)), x, w)
    finally:
        cr.set_num_threads(before)
    for a, b in ((found[1], expected[1]), *zip(found[0], expected[0], strict=True)):
        assert cr.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_kernels_are_made_in_ordinary_modes():
    x = cr.from_numpy(drawn(2, SIZE))
    calls = {
        "vmap": lambda: cr.func.vmap(cr.exp)(x),
        "jvp": lambda: cr.func.jvp(cr.exp, (x,), (x,))[0],
        "grad": lambda: cr.func.grad(lambda t: cr.exp(t).sum())(x),
        "inference": lambda: cr.inference_mode()(cr.exp)(x),
        "recorded": lambda: compiled(x)[1],
    }
    compiled = cr.compile(lambda t: (bool(cr.exp(t)[0, 0] > 0), cr.exp(t)))  # whose value is asked for
    expected = by_numpy(cr.exp, x)
    for name, call in calls.items():
        eager._kernels.clear()
        assert cr.allclose(call(), expected, rtol=1e-6), name
        assert all(eager._kernels.values()), name
        assert eager._kernels, name
    assert [e.op.name for e in compiled.graph.equations].count("exp") == 2


def test_threads_may_ask_at_once():
    eager._kernels.clear()
    x, found = drawn(SIZE), []
    work = [threading.Thread(target=lambda: found.append(eager.native(np.exp, (x,), {}))) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(out, found[0]) for out in found)


def test_the_kernels_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(eager, "KEPT", 2)
    x = drawn(40, 6)
    for columns in (2, 3, 4, 5, 6):
        eager.native(TABLE["softmax"].backend.kernel, (np.ascontiguousarray(x[:, :columns]),), {"axis": (1,)})
        assert len(eager._kernels) <= 2


@pytest.mark.parametrize("missing", [False, True])
def test_the_slot_is_filled_at_the_first_large_call(missing):
    code = f"""
import sys
if {missing}:
    sys.modules["llvmlite"] = None
import numpy as np, chainrule as cr
assert "chainrule.compiler" not in sys.modules
x = cr.ones({SIZE})
y = cr.exp(x)
assert abs(y[0].item() - np.e) < 1e-6
assert ("chainrule.compiler.eager" in sys.modules) is {not missing}
assert (cr.core.op.native.code is None) is {missing}
cr.exp(x)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""Every primitive, for every dtype and number of lanes, on special and random values: native code = `Nest.run`."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.llvm.native import Native

from chainrule.compiler.loops.nest import Apply, Load, Nest, Number, Place, Stage, Store
from chainrule.core.op.lowering import PRIMITIVES

DTYPES = [np.dtype(d) for d in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")]
UNARY = [
    "neg", "abs", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "ceil", "floor", "trunc", "rint", "invert", "isfinite",
    "isinf", "ndtr", "isnan", "signbit", "real", "imag", "conj",
]  # fmt: skip
ULPS = {"ndtr": 2000}  # of which SciPy loses digits far below 0: it rounds x/√2 first
OF_INTEGERS = {"and", "or", "xor", "invert", "shl", "shr"}
EXACT = {
    "add", "sub", "mul", "div", "floordiv", "truncdiv", "mod", "fmod", "neg", "abs", "max", "min", "fmax", "fmin", "sqrt",
    "ceil", "floor", "trunc", "rint", "copysign", "nextafter", "eq", "ne", "lt", "le", "gt", "ge", "isfinite", "isinf", "isnan",
    "signbit", "real", "imag", "conj", "select", *OF_INTEGERS,
}  # fmt: skip


def values(d: np.dtype) -> np.ndarray:
    """Return special values of a dtype and some others."""
    random = np.random.default_rng(0)
    if d.kind == "b":
        return np.array([False, True])
    if d.kind in "iu":
        info = np.iinfo(d)
        special = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 100]
        special += [-1, -2, -3, -7, -64] if d.kind == "i" else []
        return np.array(special + random.integers(info.min, info.max, 10, dtype=d).tolist(), dtype=d)
    info = np.finfo(d)
    special = [
        0.0,
        np.inf,
        np.nan,
        info.max,
        info.tiny,
        info.smallest_subnormal,
        1.0,
        0.5,
        1.5,
        2.5,
        2.0,
        3.0,
        10.0,
        1e-3,
        88.0,
    ]
    special += [2.0**23, 2.0**24 + 2, 0.1, 1e10, np.nextafter(d.type(1), d.type(0))]
    return np.array([*special, *[-x for x in special], *random.normal(size=10).tolist()], dtype=d)


def pairs(d: np.dtype) -> list[np.ndarray]:
    """Return all pairs of a dtype's values."""
    v = values(d)
    return [np.ascontiguousarray(a.ravel()) for a in np.meshgrid(v, v)]


def applied(name: str, d: np.dtype) -> Apply | None:
    """Return a primitive of the first parameters, in the dtype in which NumPy gives its result."""
    x, y = [Load(Place(p, (1,)), d) for p in (0, 1)]
    args = (x,) if name in UNARY else (Apply("gt", (x, y), np.dtype(bool)), x, y) if name == "select" else (x, y)
    one = [np.ones(1, d)] * len(args)
    if name == "select":
        one[0] = np.ones(1, bool)
    try:
        with np.errstate(all="ignore"):
            out = np.asarray(PRIMITIVES[name](*one)).dtype
    except TypeError:
        return None
    return Apply(name, args, np.dtype("f4") if out == np.float16 else out)


def same(name: str, found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether results agree: to the last bit (of two zeros either), functions to a few units in the last place."""
    if found.dtype.kind != "f":
        return bool((found == expected).all())
    nan = np.isnan(expected)
    if not (np.isnan(found) == nan).all():
        return False
    x, y = found[~nan], expected[~nan]
    if name in ("copysign", "real", "neg", "abs", "div", "rint", "trunc", "floor", "ceil", "mod", "fmod", "floordiv"):
        return bool((x.view(f"i{x.itemsize}") == y.view(f"i{x.itemsize}")).all())
    if name in EXACT:
        return bool((x == y).all())
    finite = np.isfinite(y)
    with np.errstate(all="ignore"):
        close = np.abs(x - y) <= ULPS.get(name, 8) * np.spacing(np.abs(y))
    return bool((np.where(finite, close | ~np.isfinite(x) & (np.abs(y) > np.finfo(y.dtype).max / 2), x == y)).all())


def natural_lanes(d: np.dtype) -> list[int]:
    return [64, 32, 16, d.itemsize]


CASES = [(d, b) for d in DTYPES for b in natural_lanes(d)]


def run(exprs: dict[str, Apply], d: np.dtype, memory: list[np.ndarray], vector_bytes: int) -> list[str]:
    """Return the names of the expressions whose values, stored next to each other, differ."""
    n = memory[0].size
    stores = [Store(Place(2 + i, (1,)), e) for i, e in enumerate(exprs.values())]
    nest = Nest((n,), [Stage((), (), stores)], [d, d, *[e.dtype for e in exprs.values()]])
    found, expected = [[*memory, *[np.zeros(n, e.dtype) for e in exprs.values()]] for _ in range(2)]
    with np.errstate(all="ignore"):
        nest.run(expected)
    Native(nest, vector_bytes)(found, (0, n // 3), (n // 3, n))
    return [name for name, x, y in zip(exprs, found[2:], expected[2:], strict=True) if not same(name, x, y)]


@pytest.mark.parametrize(("d", "vector_bytes"), [c for c in CASES if c[1] in (64, c[0].itemsize)], ids=str)
def test_exact_primitives_equal_numpy_to_the_last_bit(d, vector_bytes):
    exprs = {name: e for name in PRIMITIVES if name in EXACT or (name == "pow" and d.kind != "f") if (e := applied(name, d))}
    assert run(exprs, d, pairs(d), vector_bytes) == []


@pytest.mark.slow
@pytest.mark.parametrize(("d", "vector_bytes"), CASES, ids=str)
def test_all_primitives_agree_with_numpy(d, vector_bytes):
    exprs = {name: e for name in PRIMITIVES if (e := applied(name, d))}
    assert run(exprs, d, pairs(d), vector_bytes) == []


@pytest.mark.parametrize("vector_bytes", [64, 32, 16, 1])
def test_casts_are_those_of_astype(vector_bytes):
    bad = []
    for source in DTYPES:
        x = np.resize(values(source), 101)
        if source.kind == "f":
            edges = [
                s * 2.0**p + t for s in (-1, 1) for p in (7, 8, 15, 16, 31, 32, 63, 64) for t in (-1.0, -0.5, 0.0, 0.5, 1.0)
            ]
            x = np.concatenate([x, np.array(edges, source)])
        stores = [Store(Place(1 + i, (1,)), Apply("cast", (Load(Place(0, (1,)), source),), t)) for i, t in enumerate(DTYPES)]
        nest = Nest((x.size,), [Stage((), (), stores)], [source, *DTYPES])
        found, expected = [[x, *[np.zeros(x.size, t) for t in DTYPES]] for _ in range(2)]
        with np.errstate(all="ignore"):
            nest.run(expected)
        Native(nest, vector_bytes)(found)
        bad += [(source, t) for t, a, b in zip(DTYPES, found[1:], expected[1:], strict=True) if not same("neg", a, b)]
    assert bad == []


def test_casts_saturate_where_the_processor_does():
    x = np.array([np.nan, np.inf, -np.inf, 300.0, -300.0, 3e9, -3e9, 1e20], "f4")
    expected = {
        "i4": [0, 2**31 - 1, -(2**31), 300, -300, 2**31 - 1, -(2**31), 2**31 - 1],
        "u4": [0, 2**32 - 1, 0, 300, 0, 3 * 10**9, 0, 2**32 - 1],
        "u1": [0, 255, 0, 44, 0, 3 * 10**9 % 256, 0, 255],
        "i8": [0, 2**63 - 1, -(2**63), 300, -300, 3 * 10**9, -3 * 10**9, 2**63 - 1],
    }
    for d, values in expected.items():
        store = Store(Place(1, (1,)), Apply("cast", (Load(Place(0, (1,)), x.dtype),), np.dtype(d)))
        out = np.zeros(8, d)
        Native(Nest((8,), [Stage((), (), [store])], [x.dtype, out.dtype]), family="aarch64")([x, out])
        assert out.tolist() == values


def test_powers_by_constants_are_numpys():
    x = np.array([-np.inf, -2.5, -0.0, 0.0, 0.1, 3.3, np.inf, np.nan])
    for exponent in (0, 1, 2, -1, 0.5):
        power = Apply("pow", (Load(Place(0, (1,)), x.dtype), Number(exponent, x.dtype)), x.dtype)
        out = np.zeros(8)
        Native(Nest((8,), [Stage((), (), [Store(Place(1, (1,)), power)])], [x.dtype] * 2))([x, out])
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(out, x**exponent)


def test_every_primitive_is_known():
    assert {name for name in PRIMITIVES if all(applied(name, d) is None for d in DTYPES)} == set()

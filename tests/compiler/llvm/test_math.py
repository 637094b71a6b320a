"""Vector math kernels are within 2 ulps of mpmath's values, everywhere, and have C99's special values."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")

from tests.compiler.llvm.kernels import kernel, points, worst
from tests.compiler.llvm.sweeps import LOOSE, reference

from chainrule.compiler.llvm.math import BINARY, FUNCTIONS, exponential, function

BOUND = 2.0
DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_is_within_two_ulps(primitive, dtype):
    error, where = worst(primitive, dtype, 8, *points(primitive, dtype, 100 if primitive in BINARY else 400))
    assert error <= LOOSE.get(primitive, BOUND), where


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_lanes_do_not_change_results(primitive, dtype):
    xs = [x[:2000] for x in points(primitive, dtype, 100)]
    wide = kernel(primitive, dtype, 8)(*xs)
    for lanes in (1, 16):
        assert kernel(primitive, dtype, lanes, optimise=False)(*xs).tobytes() == wide.tobytes()


SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e30, -1e30, 1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_special_values_are_those_of_c(primitive, dtype):
    d = np.dtype(dtype)
    info = np.finfo(d)
    some = np.concatenate(
        [d.type(SPECIAL), [info.max, -info.max, info.tiny, -info.tiny], d.type([1, -1]) * info.smallest_subnormal]
    )
    xs = [x.ravel() for x in np.meshgrid(some, some)] if primitive in BINARY else [some]
    wanted = reference(primitive, *xs)
    got = kernel(primitive, dtype, 4)(*xs)
    plain = ~np.isfinite(wanted) | (wanted == 0) | (abs(wanted) == 1)
    np.testing.assert_array_equal(got[plain], wanted[plain])
    signs = plain & ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[signs], np.signbit(wanted)[signs])
    np.testing.assert_array_max_ulp(got[~plain], wanted[~plain], LOOSE.get(primitive, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_integers_that_are_exact_are_so(dtype):
    x, y = (v.ravel().astype(dtype) for v in np.meshgrid(np.arange(-12, 13), np.arange(0, 7)))
    np.testing.assert_array_equal(kernel("pow", dtype, 8)(x, y), x**y)
    n = np.arange(-120, 120).astype(dtype)
    np.testing.assert_array_equal(kernel("exp2", dtype, 8)(n), np.ldexp(x.dtype.type(1), n.astype(int)))
    np.testing.assert_array_equal(kernel("log2", dtype, 8)(np.ldexp(x.dtype.type(1), n.astype(int))), n)
    tens = np.arange(0, 11 if dtype == "float32" else 23)
    np.testing.assert_array_equal(kernel("log10", dtype, 8)((10.0**tens).astype(dtype)), tens)


def test_a_coefficient_wrong_in_its_last_digits_is_seen(monkeypatch):
    xs = points("exp", "float64", 400)
    first, second, *others = exponential.EXP["float64"]
    monkeypatch.setitem(exponential.EXP, "float64", (first, second * (1 + 1e-13), *others))
    assert worst("exp", "float64", 8, *xs, text=function("exp", "float64", 8)[1])[0] > BOUND


def test_names_of_definitions_begin_with_the_kernels():
    for primitive in FUNCTIONS:
        name, text = function(primitive, "float64", 4)
        heads = [line.split("(")[0].split(" = ")[0] for line in text.splitlines() if line.startswith(("define", "@"))]
        defined = [head.split()[-1] for head in heads]
        assert name in defined
        assert all(n == name or n.startswith(f"{name}.") for n in defined)

"""The sweeps: through all float32 numbers by even strides, and 10^6 of float64, no error is above 2 ulps."""

import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")

from tests.compiler.llvm.sweeps import sweep

from chainrule.compiler.llvm.math import FUNCTIONS


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "n"), [("float32", 10_000_000), ("float64", 1_000_000)])
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_no_error_is_above_two_ulps(primitive, dtype, n):
    error, where = sweep(primitive, dtype, n, seed=3)
    assert error <= 2, where


@pytest.mark.parametrize("primitive", ["exp", "sin", "log"])
def test_a_sweep_sees_what_mpmath_sees(primitive):
    assert sweep(primitive, "float64", 10_000)[0] == pytest.approx(1, abs=0.7)

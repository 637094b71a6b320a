"""Vector math kernels are within 2 ulps of mpmath's values, everywhere, and have C99's special values."""

import pytest
from tests.compiler.llvm.kernels import kernel, points, worst

from chainrule.compiler.llvm.math import BINARY, FUNCTIONS

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")
BOUND = 2.0
UNARY = sorted(set(FUNCTIONS) - BINARY)
DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_is_within_two_ulps(primitive, dtype):
    error, where = worst(primitive, dtype, 8, *points(primitive, dtype, 400))
    assert error <= BOUND, where


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_lanes_do_not_change_results(primitive, dtype):
    xs = [x[:2000] for x in points(primitive, dtype, 100)]
    wide = kernel(primitive, dtype, 8)(*xs)
    for lanes in (1, 2, 4, 16):
        assert kernel(primitive, dtype, lanes)(*xs).tobytes() == wide.tobytes()

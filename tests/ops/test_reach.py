"""What declarations say of reach: nothing that moves is left out, and where more is linked than can move is known."""

from __future__ import annotations

import pytest
from tests.each import by_name

from chainrule.testing import cases, reached
from chainrule.testing.case import load_table


@by_name("case", cases(differentiable=True), fast=3)
def test_what_moves_is_linked(case):
    reached.what_moves_is_linked(case)


# Inputs of ops that some call links where nothing moves, whatever the values. The rest of the table is exact.
LOOSE = {
    "remainder": "y", "fmod": "y", "maximum": "x y", "minimum": "x y", "fmax": "x y", "fmin": "x y", "clamp": "high low x",
    "clamp_min": "x y", "clamp_max": "x y", "scatter_extreme": "x y", "max_along": "x", "min_along": "x", "median_along": "x",
    "nanmedian_along": "x", "mode": "x", "kthvalue": "x", "sort": "x", "topk": "x", "cumsum": "x", "recurrence": "a b",
    "cumprod": "x", "cummax": "x", "cummin": "x", "logcumsumexp": "x", "prod": "x", "amax": "x", "amin": "x",
    "max_of_all": "x", "min_of_all": "x", "median_of_all": "x", "nanmedian_of_all": "x", "aminmax": "x", "gate": "g x",
    "relu": "x", "hardtanh": "x", "prelu": "w", "softmax": "x", "log_softmax": "x", "log_softmax_pull": "y",
    "nan_to_num": "x", "sgn": "x", "angle": "x", "cross": "x y", "var": "x", "vector_norm": "x", "dist": "x y",
    "solve_triangular": "a b", "det": "x", "slogdet": "x", "qr": "x", "lu_factor": "x", "inverse_gaps": "w", "eig": "x",
    "mirrored": "x", "cholesky": "x", "eigh": "x", "svd": "x", "lobpcg": "a", "conv": "w x", "conv_input": "w y",
    "conv_weight": "x y", "max_pool": "x", "fractional_max_pool": "x", "resample": "x", "nll_loss": "x", "nll_spread": "g",
    "standardize": "b w x", "lstm_step": "c gates", "lstm": "c gates h w", "jacobi": "x", "hermite": "x", "laguerre": "x",
    "chebyshev_polynomial_t": "x", "shifted_chebyshev_polynomial_t": "x", "chebyshev_polynomial_u": "x",
    "shifted_chebyshev_polynomial_u": "x", "chebyshev_polynomial_v": "x", "shifted_chebyshev_polynomial_v": "x",
    "chebyshev_polynomial_w": "x", "shifted_chebyshev_polynomial_w": "x", "legendre_polynomial_p": "x",
    "hermite_polynomial_h": "x", "hermite_polynomial_he": "x", "laguerre_polynomial_l": "x",
}  # fmt: skip


@pytest.mark.slow
def test_where_more_is_linked_than_can_move_is_known():
    found = {op.name: reached.loose_inputs(op) for op in load_table().values() if op.pure and op.is_differentiable}
    assert {name: " ".join(sorted(names)) for name, names in found.items() if names} == LOOSE

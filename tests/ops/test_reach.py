"""What declarations say of reach: nothing that moves is left out, and where more is linked than can move is known."""

from __future__ import annotations

import pytest
from tests.each import by_name

from chainrule.testing import cases, reached
from chainrule.testing.case import load_table


@by_name("case", cases(differentiable=True), fast=3)
def test_what_moves_is_linked(case):
    reached.what_moves_is_linked(case)


@pytest.mark.slow
@by_name("case", cases(differentiable=True))
def test_links_are_the_same_both_ways(case):
    reached.links_are_the_same_both_ways(case)


# Inputs of ops that some call links where nothing moves, whatever the values, and why. The rest of the table is exact.
LOOSE = {
    "which element of many counts is up to the values": {
        "max_along": "x", "min_along": "x", "median_along": "x", "nanmedian_along": "x", "mode": "x", "kthvalue": "x",
        "sort": "x", "topk": "x", "amax": "x", "amin": "x", "max_of_all": "x", "min_of_all": "x", "median_of_all": "x",
        "nanmedian_of_all": "x", "aminmax": "x", "cummax": "x", "cummin": "x", "max_pool": "x",
        "fractional_max_pool": "x", "scatter_extreme": "x y", "prod": "x",
    },
    "whether an element counts is up to its value": {
        "remainder": "y", "fmod": "y", "maximum": "x y", "minimum": "x y", "fmax": "x y", "fmin": "x y", "clamp": "high low x",
        "clamp_min": "x y", "clamp_max": "x y", "gate": "g x", "relu": "x", "hardtanh": "x", "prelu": "w", "nan_to_num": "x",
        "sgn": "x", "angle": "x", "vector_norm": "x", "dist": "x y",
    },
    "of polynomials of degree 0 nothing moves": {
        "jacobi": "x", "hermite": "x", "laguerre": "x", "chebyshev_polynomial_t": "x", "shifted_chebyshev_polynomial_t": "x",
        "chebyshev_polynomial_u": "x", "shifted_chebyshev_polynomial_u": "x", "chebyshev_polynomial_v": "x",
        "shifted_chebyshev_polynomial_v": "x", "chebyshev_polynomial_w": "x", "shifted_chebyshev_polynomial_w": "x",
        "legendre_polynomial_p": "x", "hermite_polynomial_h": "x", "hermite_polynomial_he": "x", "laguerre_polynomial_l": "x",
    },
    "lines of one element, of which nothing is left": {
        "softmax": "x", "log_softmax": "x", "log_softmax_pull": "y", "var": "x", "standardize": "b w x",
    },
    "matrices of special form: all elements of one are linked": {
        "det": "x", "slogdet": "x", "qr": "x", "lu_factor": "x", "inverse_gaps": "w", "eig": "x", "eigh": "x", "svd": "x",
        "lobpcg": "a",
    },
    "elements of which the weight is 0": {"resample": "x"},
    "classes that are no target": {"nll_loss": "x", "nll_spread": "g"},
    "gates of other units, and earlier steps: weights mix them after one step": {"lstm_step": "c gates", "lstm": "c gates h w"},
}  # fmt: skip


@pytest.mark.slow
def test_where_more_is_linked_than_can_move_is_known():
    found = {op.name: reached.loose_inputs(op) for op in load_table().values() if op.pure and op.is_differentiable}
    known = {name: names for ops in LOOSE.values() for name, names in ops.items()}
    assert {name: " ".join(sorted(names)) for name, names in found.items() if names} == known

"""Every op of the table, its gradient and its tangent, as steps: run in NumPy they are the op."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

from chainrule.compiler.loops.fusion import Fusion
from chainrule.testing import cases
from chainrule.testing.case import filled, tensor_of
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import at_of, gradient, slope, wrapped
from chainrule.testing.values import results
from chainrule.transforms.blame import TraceError
from chainrule.transforms.trace import graph_of

pytestmark = pytest.mark.filterwarnings("ignore")
REFUSALS = (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError)

# Ops whose kernels run as steps, of real numbers in single and double precision, integers and bools, by why.
OPAQUE = {
    "special functions, by series and fractions": """airy_ai airy_ai_slope airy_bi airy_bi_slope bessel_derivative bessel_i
        bessel_j bessel_j0 bessel_j1 bessel_k bessel_y bessel_y0 bessel_y1 beta betainc betaln chebyshev_polynomial_t
        chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w digamma ellipe ellipe_derivative ellipk
        ellipk_derivative entr erfcx erfcx_derivative erfi erfinv expn gamma gamma_rank_slope hermite hermite_polynomial_h
        hermite_polynomial_he i0 i0e i0e_derivative i1 i1e igamma igamma_density igamma_in_order igammac iv jacobi jv
        k0e_derivative kv laguerre laguerre_polynomial_l legendre_polynomial_p lgamma log_gamma_at_rank log_ndtr
        log_ndtr_derivative log_quotient modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 ndtr ndtri
        polygamma scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t
        shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w sinc_derivative spence
        spherical_bessel_j0 xlog1py yv zeta zeta_derivative""",
    "bits, and loops whose length values decide": "frexp gcd lcm power_of_two xor_sum",
    "complex numbers come out": "complex eig fft_c2r fft_r2c view_as_complex",
    "linear algebra": """anchors cautioned checked cholesky complement det eigh eigvalsh euclidean geqrf inv inverse_gaps
        is_small ldl_factor ldl_solve lobpcg lu_factor matrix_exp mirrored null_bases permutation permutation_matrix pinv qr
        rest_of_qr reverse_order slogdet solve solve_triangular svd svdvals""",
    "one element after the other": """cummax cummin cumprod cumsum difference logcumsumexp lstm lstm_step recurrence shift
        undifference""",
    "order, counts": """bincount counted_of histc kthvalue median_along median_of_all mode nanmedian_along nanmedian_of_all
        searchsorted sort topk turns unique unique_consecutive""",
    "values decide the shape": "masked masked_place masked_put masked_select nonzero nonzero_static true_indices unmasked",
    "writes to places that values decide": """fill_places index_add index_copy index_put index_sum scatter scatter_add
        scatter_extreme""",
    "strides of memory": "as_strided as_strided_scatter sum_strided",
    "windows": """col2im conv conv_input conv_weight fold fractional_max_pool im2col max_pool pick resample spread""",
    "not worth it": "cross gather max_along min_along to",  # of one element, of half precision
}  # fmt: skip


def compared(f, inputs, tolerance):
    """Check a function's steps against the function; return the names of the ops that run as they are."""
    try:
        expected = results(f(*inputs))
        graph = graph_of(f, tuple(inputs))
    except (*REFUSALS, TraceError):
        return set()
    fusion = Fusion(graph, {})
    found = [np.asarray(o) for o in fusion.steps().run([np.asarray(x._data) for x in inputs])]
    assert [o.dtype for o in found] == [v.dtype.numpy for v in graph.outputs]
    with np.errstate(all="ignore"):
        assert first_gap(found, expected, tolerance) is None
    return set() if has_nothing(graph) else set(fusion.opaque)


def has_nothing(graph):
    return any([0 in getattr(v, "shape", ()) for e in graph.equations for v in (*e.operands, *e.results)])


def tolerance(case):
    return 1e-10 if case.dtype == np.float64 else 1e-5


def forward(case):
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
    f = lambda *values: case.op.call(*filled(case.tensors(), values, places), **case.params)
    return f, [tensor_of(case.args[i]) for i in places]


@by_name("case", cases(dtypes=["float64", "float32", "int64", "bool", "uint8", "complex128", "float16"]), fast=2)
def test_the_steps_of_an_op_are_the_op(case):
    opaque = compared(*forward(case), tolerance(case) if case.dtype.itemsize > 2 else 1e-2)
    if case.dtype.kind in "if" and case.dtype.itemsize > 2:
        assert opaque <= {name for names in OPAQUE.values() for name in names.split()}


@by_name("case", cases(dtypes=["float64", "float32"], differentiable=True), fast=1)
def test_the_steps_of_a_gradient_are_the_gradient(case):
    if case.op.name == "to":  # whose samples say that they come from float64
        pytest.skip("not a gradient in other dtypes")
    f = gradient(case.function(case.moving), case.weights())
    compared(f, wrapped(at_of(case, case.moving)), tolerance(case))


@by_name("case", cases(dtypes=["float64"], differentiable=True), fast=0)
def test_the_steps_of_a_tangent_are_the_tangent(case):
    f = slope(case.function(case.moving), case.directions(case.moving))
    compared(f, wrapped(at_of(case, case.moving)), tolerance(case))

"""Every operator of PyTorch's own database is right in every mode, or stands in a table with the reason why not."""

from __future__ import annotations

import warnings

import pytest

MODES = (
    *("value", "dtypes", "layouts", "methods", "writes", "out", "gradient", "double", "forward", "conjugates", "batches"),
    "errors",
)  # fmt: skip
PRIVATE = "a kernel of PyTorch's own, which programs do not call"
# Entries that are asked nothing, and why.
OUT_OF_SCOPE = {
    **dict.fromkeys(
        ("_softmax_backward_data", "_native_batch_norm_legit", "_batch_norm_with_update", "_upsample_bilinear2d_aa",
         "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate", "_chunk_cat",
         "native_dropout_backward", "slice", "torch.ops.aten._flash_attention_forward",
         "torch.ops.aten._efficient_attention_forward", "torch.ops.aten._safe_softmax.default",
         "max_pool2d_with_indices_backward"), PRIVATE),
    **dict.fromkeys(("torch._scaled_mm", "torch._scaled_mm_v2"), "quantised: products of scaled numbers of 8 bits"),
    **dict.fromkeys(("sparse.sampled_addmm", "sparse.mm[reduce]", "to_sparse"), "sparse tensors"),
    **dict.fromkeys(
        ("jiterator_unary", "jiterator_binary", "jiterator_4inputs_with_extra_args", "jiterator_binary_return_by_ref",
         "jiterator_2inputs_2outputs"), "kernels in C++ for CUDA, compiled as they are called"),
    **dict.fromkeys(("nn.functional.linear_cross_entropy[chunked]", "nn.functional.linear_cross_entropy[chunked_none]"),
                    "pieces that save memory; PyTorch has neither forward mode nor second derivatives of them"),
    "chalf": "NumPy has no complex numbers of half precision",
}  # fmt: skip

DIGITS = "PyTorch's values have but six digits, beside SciPy's and mpmath's"
NO_HALF = "NumPy has no complex numbers of half precision"
MEMORY = "what lies between or beyond a tensor's elements is no part of it, unless it is a view of a tensor that it is part of"
TRUE_POLE = "infinite at a pole, where PyTorch gives 2e13: it evaluates in float32"
BYTES = "PyTorch rounds the weights to 16 bits, and the rows between the two passes to 8; ours are exact up to one rounding"
CASTS = "numbers are cast to a narrower dtype of their kind, as by most functions, where PyTorch wants its own"
STRICT = "the dtype must be the result's, where PyTorch casts without a word"
OTHER_ERROR = "the error is a RuntimeError, as of other functions whose result does not fit"
VALUES = "values decide here what is computed, and a vmap has several at once"
# Modes in which an entry is not what PyTorch's is, and why.
EXCEPT = [
    ("value layouts out", "special.bessel_j0 special.bessel_j1 special.bessel_y1", DIGITS),
    ("value dtypes layouts methods gradient forward conjugates", "as_strided[partial_views]", MEMORY),
    ("layouts", "as_strided as_strided_copy as_strided_scatter", MEMORY),
    ("layouts", "view_copy", "a view of such memory does not exist, so neither does its copy; PyTorch's reshapes"),
    ("layouts", "native_group_norm", "any strides are taken, where PyTorch wants contiguous memory"),
    ("gradient conjugates", "as_strided_scatter", "PyTorch keeps the replaced elements' gradients and drops the others'"),
    ("value dtypes layouts", "nn.functional.embedding", "sparse=True: sparse tensors are out of scope, and are refused"),
    ("dtypes", "view_as_complex complex", NO_HALF),
    ("dtypes", "matrix_exp", "PyTorch overflows to NaN in half precision"),
    ("dtypes", "nn.functional.soft_margin_loss", "PyTorch overflows to infinity in half precision"),
    ("dtypes", "nn.functional.interpolate[bilinear] nn.functional.interpolate[bicubic] nn.functional.upsample_bilinear", BYTES),
    ("dtypes", " ".join([f"polygamma[polygamma_n_{n}]" for n in range(5)]) + " special.polygamma[special_polygamma_n_0]",
     TRUE_POLE),
    ("dtypes", "nn.functional.softmin[with_dtype]", "PyTorch negates in uint8, where negative numbers wrap, and casts then"),
    ("dtypes", "nn.functional.conv_transpose3d", "PyTorch adds up in half precision; ours does in single"),
    ("dtypes", "grid_sampler_2d", "PyTorch works out the weights in half precision; ours do in single"),
    ("writes", "abs", "the sizes of complex numbers are written into their tensor, which PyTorch refuses"),
    ("writes", "addbmm", "PyTorch gives the target another shape, which no other in-place method does"),
    ("out", "bitwise_not ceil floor round sign trunc heaviside signbit isposinf isneginf", CASTS),
    ("out", "max[reduction_no_dim] min[reduction_no_dim] max[binary] min[binary]", STRICT),
    ("out", "cumsum cumprod lu bernoulli", "PyTorch computes in the dtype of `out`, and drops the fractions"),
    ("out", "cat stack hstack vstack dstack column_stack normal nanmean nansum", OTHER_ERROR),
    ("out", "normal[number_mean]", "an empty `out` is resized, as by other functions; PyTorch's raises"),
    ("out", "narrow_copy", "PyTorch writes to the wrong places of a strided `out`"),
    ("out", "nonzero", "`out` of as_tuple=True is a tuple of tensors; PyTorch takes none"),
    ("out", "nn.functional.avg_pool2d nn.functional.avg_pool3d native_batch_norm",
     "PyTorch takes an `out` here that its documentation does not name"),
    ("double", "linalg.norm[subgradients_at_zero]", "0 at 0, where PyTorch gives NaN"),
    ("double", "masked.logaddexp", "0 where both are masked out, where PyTorch gives NaN"),
    ("double", "special.i1e", "the second derivative jumps from 1 to -1 at 0; ours is one side's, PyTorch's the mean"),
    ("forward", "cholesky_inverse", "PyTorch's tangents have five digits, beside mpmath's"),
    ("forward", "logcumsumexp", "PyTorch gives NaN for complex numbers of which some overflow"),
    ("batches", "linspace[tensor_overload] logspace[tensor_overload] nn.functional.embedding_bag argwhere "
                "nn.functional.ctc_loss repeat_interleave _segment_reduce[lengths] _segment_reduce[offsets]", VALUES),
    ("batches", "resize_ resize_as_", "a tensor inside a vmap has no memory of its own to resize"),
    ("errors", "complex", "`out` of another dtype: the error of other functions"),
    ("errors", "gradient", "of the meta device"),
    ("errors", "max[binary] min[binary]", "a number after the tensor is an axis"),
    ("errors", "amax amin aminmax", "NumPy's arrays have at most 64 axes, so a tensor of 65 cannot be made"),
    ("errors", "as_strided_scatter", "says the same in other words"),
    ("errors", "nn.functional.adaptive_avg_pool1d", "PyTorch names its function of two axes"),
    ("errors", "narrow_copy", "an axis out of range: IndexError as everywhere, where PyTorch's is an internal assertion"),
    ("errors", "polar", "of a number for a tensor, of integers"),
]  # fmt: skip
EXCLUDED = {
    mode: {name: why for modes, names, why in EXCEPT if mode in modes.split() for name in names.split()} for mode in MODES
}


@pytest.fixture(scope="module")
def database(torch):
    pytest.importorskip("expecttest")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tests.ops import database_modes

    return database_modes


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_entry_is_right_or_its_reason_is_told(database, mode):
    wrong = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in database.ENTRIES:
            if entry.name not in OUT_OF_SCOPE and (found := list(database.MODES[mode](entry))):
                wrong[entry.name] = found
    new = {name: found for name, found in wrong.items() if name not in EXCLUDED[mode]}
    assert not new, "\n".join(f"{name} ({len(found)}): {found[0]}" for name, found in new.items())
    assert not EXCLUDED[mode].keys() - wrong, "these are right now: take them out of the table"


@pytest.mark.slow
def test_what_is_out_of_scope_does_not_work(database):
    entries = {entry.name: entry for entry in database.ENTRIES}
    assert entries.keys() >= OUT_OF_SCOPE.keys()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in OUT_OF_SCOPE:
            assert any(database.works_not(entries[name])), f"{name} is right now: take it out of the table"


def test_each_mode_is_asked():
    assert {mode for modes, _, _ in EXCEPT for mode in modes.split()} <= set(MODES)

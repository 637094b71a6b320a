"""Which functions autocast computes in which dtype: PyTorch's lists for the CPU, by the names of public functions.

A function of no list computes in the dtypes that it is given, and the functions that it calls itself are asked in turn. Those
that PyTorch composes of listed ones, and chainrule of ops that ask nobody, are in a list too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes

Cast = Callable[[Tensor], Any]
Policy = Callable[[Cast, dtypes.dtype, tuple, dict], tuple[tuple, dict]]


def is_eligible(value: Any) -> bool:
    """Tell whether autocast may cast a value: a floating point tensor, but one of double precision."""
    return isinstance(value, Tensor) and value.dtype.category == dtypes.FLOAT and value.dtype is not dtypes.float64


def mapped(values: Any, change: Cast) -> Any:
    """Return values with the eligible tensors in them, and in lists, tuples and dicts, changed."""
    if isinstance(values, Tensor):
        return change(values) if is_eligible(values) else values
    if values.__class__ is list or values.__class__ is tuple:
        return values.__class__([mapped(v, change) for v in values])
    if values.__class__ is dict:
        return {k: mapped(v, change) for k, v in values.items()}
    return values


def lower(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a call in autocast's dtype."""
    return mapped(args, lowered), mapped(kwargs, lowered)


def single(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a call in single precision."""
    return mapped(args, _in_single), mapped(kwargs, _in_single)


def widest(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a call in the widest of their dtypes.

    Raises
    ------
    RuntimeError
        If one of them is of the half precision that autocast is not, and none before it of single precision.
    """
    found: list = []
    mapped((args, kwargs), lambda t: found.append(t.dtype))
    before = found[: found.index(dtypes.float32)] if dtypes.float32 in found else found
    if any(other is not d for other in before):
        raise RuntimeError("Unexpected floating ScalarType in at::autocast::prioritize")
    return single(lowered, d, args, kwargs) if dtypes.float32 in found else (args, kwargs)


def _in_single(t: Tensor) -> Any:
    return cast(t, dtypes.float32)


def alone(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a call as they are: nothing inside is asked."""
    return args, kwargs


def _inner(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of `inner`, which is a product of matrices unless both are vectors or one is a scalar."""
    axes = [t.ndim for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
    return (lower if min(axes) and max(axes) > 1 else alone)(lowered, d, args, kwargs)


def _single_if(holds: Callable[[dict], bool], *names: str) -> Policy:
    """Return the policy of a function that is in single precision if something holds of its arguments, of these names."""

    def policy(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = dict(zip(names, args, strict=False)) | kwargs
        return (single if holds(given) else alone)(lowered, d, args, kwargs)

    return policy


def _is_kernel_of_padding(given: dict) -> bool:
    """Tell whether PyTorch has a kernel of its own for a mode of `pad` and so many axes that is in the list."""
    return given.get("mode") == "replicate" or (given.get("mode") == "reflect" and len(given["pad"]) < 6)


def _with_state(lowered: Cast, d: dtypes.dtype, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a recurrent network of products in autocast's dtype, and of a state as it was given."""
    state = kwargs.get("hx")
    if state is None:
        state = next(a for a in args[1:] if isinstance(a, (list, tuple)) or is_eligible(a))
    kept = state.dtype if isinstance(state, Tensor) else state[-1].dtype

    def rounded(t: Tensor) -> Any:
        return cast(lowered(t), kept)

    return mapped(args, rounded), mapped(kwargs, rounded)


_LOWER = """
    addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d linear matmul mm
    lstm prelu rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell scaled_dot_product_attention tensordot vecdot
"""
_SINGLE = """
    adaptive_avg_pool3d adaptive_max_pool3d adaptive_max_pool3d_with_indices avg_pool3d binary_cross_entropy
    binary_cross_entropy_with_logits cdist cholesky cholesky_ex cholesky_inverse cholesky_solve cond cosine_embedding_loss
    cross_entropy ctc_loss eig eigh eigvals eigvalsh fft fft2 fftn fractional_max_pool2d fractional_max_pool2d_with_indices
    fractional_max_pool3d fractional_max_pool3d_with_indices geqrf grid_sample grid_sampler grid_sampler_2d grid_sampler_3d hfft
    hinge_embedding_loss householder_product huber_loss ifft ifft2 ifftn ihfft inv inv_ex inverse irfft irfft2 irfftn kl_div
    l1_loss lp_pool3d lstsq lu lu_solve margin_ranking_loss matrix_rank max_unpool1d max_unpool2d max_unpool3d mse_loss
    multi_margin_loss multilabel_margin_loss nanquantile nll_loss orgqr ormqr pca_lowrank pinverse poisson_nll_loss polar prod
    qr quantile rfft rfft2 rfftn smooth_l1_loss soft_margin_loss solve stft svd svd_lowrank svdvals tensorinv tensorsolve trace
    triangular_solve triplet_margin_loss view_as_complex
"""
_WIDEST = "cat concat concatenate index_copy stack"

POLICIES: dict[str, Policy] = {
    **dict.fromkeys(_LOWER.split(), lower),
    **dict.fromkeys(_SINGLE.split(), single),
    **dict.fromkeys(_WIDEST.split(), widest),
    **dict.fromkeys(("gru", "gru_cell", "lstm_cell"), _with_state),
    "bilinear": alone,
    "inner": _inner,
    "interpolate": _single_if(lambda given: given.get("mode") == "area" and given["input"].ndim == 5, "input"),
    "local_response_norm": _single_if(lambda given: given["input"].ndim > 3, "input"),
    "max_pool3d": _single_if(
        lambda given: not given.get("return_indices"),
        *("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    ),
    "pad": _single_if(_is_kernel_of_padding, "input", "pad", "mode"),
}
_NAMESAKES = {("chainrule.functions.linalg.factor", "lu"), ("chainrule.functions.linalg.factor", "lu_solve"),
              ("chainrule.masked.functions", "prod")}  # fmt: skip


def policy_of(func: Callable) -> Policy | None:
    """Return how a function's arguments are cast; None if it is in no list."""
    found = POLICIES.get(func.__name__)
    return None if found is None or (func.__module__, func.__name__) in _NAMESAKES else found

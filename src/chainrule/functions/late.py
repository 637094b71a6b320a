"""What few programs need of the top level: each chapter of functions, and other module, is read when a name of it is asked for.

A chapter costs `import chainrule` 0.2 to 0.8 ms when it is read, and 1 µs a name here. Its functions are had as
``chainrule.name``, whose module asks this one; its methods stand on `Tensor` as :class:`LateMethod`, which puts the real ones
in their places. A test holds what is said here to what the chapters declare.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from chainrule.core.tensor.tensor import Tensor

# Of each chapter: its functions, and the methods that it attaches.
CHAPTERS: dict[str, tuple[str, str]] = {
    "comparison.histogram": ("histogram histogramdd", "histogram"),
    "comparison.order": (
        "argsort kthvalue median mode msort nanmedian sort topk",
        "argsort kthvalue median mode msort nanmedian sort topk",
    ),
    "comparison.search": (
        "bincount bucketize histc isin searchsorted unique unique_consecutive",
        "bincount histc unique unique_consecutive",
    ),
    "creation.legacy": (
        "BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor "
        "range",
        "new",
    ),
    "creation.window": ("bartlett_window blackman_window hamming_window hann_window kaiser_window", ""),
    "creation.memory": ("from_file frombuffer", ""),
    "in_place": (
        "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_ atan_ "
        "atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_ "
        "expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log1p_ log2_ log10_ log_ logit_ nan_to_num_ neg_ "
        "negative_ rad2deg_ reciprocal_ relu_ resize_as_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ "
        "trunc_ xlogy_ zero_",
        "",
    ),
    "indexing.segment": ("segment_reduce", ""),
    "indexing.overwrite": (
        "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
        "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
    ),
    "interop.storage": ("UntypedStorage is_storage", "untyped_storage"),
    "linalg.einsum": ("einsum tensordot", ""),
    "linalg.iterative": ("lobpcg pca_lowrank svd_lowrank", ""),
    "linalg.norms": ("frobenius_norm norm_except_dim nuclear_norm", ""),
    "linalg.product": ("chain_matmul cross inner kron", "cross inner kron"),
    "linalg.older": ("eig lstsq matrix_rank solve symeig", ""),
    "linalg.classic": (
        "cholesky cholesky_inverse cholesky_solve det inverse logdet matrix_exp matrix_power pinverse slogdet",
        "cholesky cholesky_inverse cholesky_solve det inverse logdet matrix_exp matrix_power pinverse slogdet",
    ),
    "linalg.classic_factors": (
        "cdist geqrf lu lu_solve lu_unpack orgqr ormqr qr svd triangular_solve vander",
        "geqrf lu lu_solve orgqr ormqr qr svd triangular_solve",
    ),
    "nn.convolution": (
        "conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution",
        "",
    ),
    "nn.pooling": (
        "adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d max_pool1d max_pool1d_with_indices max_pool2d max_pool3d",
        "",
    ),
    "nn.shuffle": ("channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle", ""),
    "pointwise.incomplete": ("igamma igammac", "igamma igamma_ igammac igammac_"),
    "random.inplace": (
        "",
        "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_",
    ),
    "reduction.difference": ("cumulative_trapezoid diff gradient trapezoid trapz", "diff"),
    "reduction.quantile": ("nanquantile quantile", "nanquantile quantile"),
    "spectral.short_time": ("istft stft", "istft stft"),
}
# Of modules that stand above the chapters: what the top level has of them.
ABOVE: dict[str, str] = {
    "amp": (
        "autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype "
        "get_autocast_dtype get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled "
        "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled "
        "set_autocast_gpu_dtype"
    ),
    "autograd.anomaly_mode": "set_anomaly_enabled",
    "compiler": "compile",
    "explanation": "explain",
    "func": "vmap",
    "func.branch": "cond",
    "nn.functional": "bilinear celu_ cosine_similarity pairwise_distance pdist rms_norm selu_ threshold_",
    "nn.functional.native": (
        "affine_grid_generator alpha_dropout alpha_dropout_ batch_norm binary_cross_entropy_with_logits cosine_embedding_loss "
        "ctc_loss dropout dropout_ embedding embedding_bag embedding_renorm_ feature_alpha_dropout feature_alpha_dropout_ "
        "feature_dropout feature_dropout_ grid_sampler grid_sampler_2d grid_sampler_3d group_norm hinge_embedding_loss "
        "instance_norm kl_div layer_norm margin_ranking_loss poisson_nll_loss rrelu rrelu_ triplet_margin_loss"
    ),
    "nn.functional.native_norm": "native_batch_norm native_group_norm native_layer_norm",
    "nn.functional.recurrent": "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell",
    "serialization": "load save",
    "torch.alias": "as_torch",
    "torch._higher_order_ops.loops": "while_loop",
    "torch.symbolic": (
        "SymBool SymFloat SymInt _assert _assert_async _check _check_index _check_is_size _check_not_implemented "
        "_check_tensor_all _check_type _check_value _check_with get_device_module sym_float sym_int sym_ite sym_max sym_min "
        "sym_not sym_sqrt sym_sum"
    ),
    "visualization": "visualize",
    "settings": (
        "are_deterministic_algorithms_enabled get_default_device get_deterministic_debug_mode get_float32_matmul_precision "
        "get_num_interop_threads is_deterministic_algorithms_warn_only_enabled set_default_device set_default_tensor_type "
        "set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal set_num_interop_threads "
        "use_deterministic_algorithms"
    ),
}
FUNCTIONS = {name: f"chainrule.functions.{chapter}" for chapter, (names, _) in CHAPTERS.items() for name in names.split()} | {
    name: f"chainrule.{module}" for module, names in ABOVE.items() for name in names.split()
}


class LateMethod:
    """A method of a chapter that has not been read yet: asked for, it reads the chapter, which sets the method itself."""

    __slots__ = ("chapter", "name")

    def __init__(self, chapter: str, name: str):
        self.chapter, self.name = f"chainrule.functions.{chapter}", name

    def __get__(self, instance: Any, owner: type) -> Any:
        import_module(self.chapter)
        method = vars(Tensor)[self.name]
        if method is self:
            raise AttributeError(f"{self.chapter} attaches no method {self.name!r}, though functions.late says so")
        return method.__get__(instance, owner)


for _chapter, (_, _methods) in CHAPTERS.items():
    for _name in _methods.split():
        setattr(Tensor, _name, LateMethod(_chapter, _name))


def load() -> None:
    """Read all chapters: what looks at every function needs them."""
    for chapter in CHAPTERS:
        import_module(f"chainrule.functions.{chapter}")

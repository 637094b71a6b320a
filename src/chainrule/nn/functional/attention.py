"""Attention (arXiv 1706.03762): a part of `chainrule.nn.functional`. It is composed of two products and a softmax."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast
from chainrule.functions.linalg.contract import C_NAMES, matmul
from chainrule.functions.reduction.reduce import all
from chainrule.functions.shaping.join import cat
from chainrule.functions.shaping.shape import repeat_interleave
from chainrule.nn.functional.dropout import dropout
from chainrule.nn.functional.linear import linear
from chainrule.ops.indexing.select import where
from chainrule.ops.indexing.view import getitem, zeros
from chainrule.ops.pointwise.activation import softmax
from chainrule.ops.reduction.reduce import mean
from chainrule.ops.shaping.shape import broadcast_to, permute, reshape, squeeze, transpose, unsqueeze

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


# -- scaled dot products -----------------------------------------------------------------------------------------------


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool) -> None:
    names = [C_NAMES.get(x.dtype.name, x.dtype.name) for x in (q, k, v)]
    if not q.dtype is k.dtype is v.dtype:
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {names[0]} key.dtype: {names[1]} and "
            f"value.dtype: {names[2]} instead."
        )
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {q.ndim} key.dim: {k.ndim} "
            f"and value.dim: {v.ndim} instead."
        )
    if q.dtype.category != dtypes.FLOAT:
        raise RuntimeError(f"expected scalar type Float but found {q.dtype.old_name}")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if mask is None:
        return
    if is_causal:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if mask.dtype not in (dtypes.bool_, dtypes.float32, q.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{C_NAMES.get(mask.dtype.name, mask.dtype.name)} and  query.dtype: {names[0]} instead."
        )


def _grouped(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values repeated for the heads of the queries that share them."""
    if q.ndim < 3:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{q.ndim}, {q.ndim - 1}], but got -3)")
    heads = q.shape[-3]
    if heads % k.shape[-3] or heads % v.shape[-3]:
        raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
    spread = lambda x: repeat_interleave(x, heads // x.shape[-3], -3)
    return spread(k), spread(v)


def _masked_softmax(scores: Any, mask: Tensor | None) -> Tensor:
    """Return the softmax of scores with a mask added, or with -inf where a boolean one is False; 0 in rows of -inf alone."""
    if mask is None:
        return softmax(scores, axis=(scores.ndim - 1,))
    broadcast(tuple(scores.shape), tuple(mask.shape))
    if mask.dtype is dtypes.bool_:
        nothing = all(~mask, -1, True)
        scores = scores + cast(where(mask | nothing, 0.0, -np.inf), scores.dtype)
    else:
        scores = scores + mask
        nothing = all(scores == -np.inf, -1, True)
        scores = where(nothing, 0, scores)
    return where(nothing, 0, softmax(scores, axis=(scores.ndim - 1,)))


@asks
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``softmax(query @ key.T * scale + mask) @ value``.

    Parameters
    ----------
    query, key, value : Tensor
        Floating point, of shapes (..., L, E), (..., S, E) and (..., S, V); the leading axes broadcast.
    attn_mask : Tensor, optional
        Broadcasts to (..., L, S): False where a key does not count, or numbers that are added to the scores.
    dropout_p : float
        Probability that a weight is dropped.
    is_causal : bool
        Query i sees the keys up to i.
    scale : float, optional
        ``1 / sqrt(E)`` if not given.
    enable_gqa : bool
        Axis -3 of keys and values may be shorter: each is shared by several heads of the queries.

    Returns
    -------
    Tensor
        Of shape (..., L, V). A query for which no key counts gives 0.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, or a mask is given with `is_causal`.

    Examples
    --------
    >>> import chainrule as cr
    >>> q, v = cr.zeros(1, 2), cr.tensor([[1.0], [3.0]])
    >>> cr.nn.functional.scaled_dot_product_attention(q, cr.ones(2, 2), v)
    tensor([[2.]])
    """
    name = "scaled_dot_product_attention"
    q, k, v = (as_tensor(x, name, i) for i, x in enumerate((query, key, value)))
    mask = None if attn_mask is None else as_tensor(attn_mask, name, 3)
    _check(q, k, v, mask, dropout_p, is_causal)
    if enable_gqa:
        k, v = _grouped(q, k, v)
    given = q.dtype
    if given.numpy.itemsize == 2:
        q, k, v = (cast(x, dtypes.float32) for x in (q, k, v))
    length, size = q.shape[-2], k.shape[-2]
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None and q.shape[-1] else 1.0 if scale is None else scale
    scores = matmul(q * factor, transpose(k, a=k.ndim - 2, b=k.ndim - 1))
    if is_causal:  # every query sees the first key, so no row is -inf alone
        scores = scores + as_tensor(np.triu(np.full((length, size), -np.inf, q.dtype.numpy), 1))
    weights = _masked_softmax(scores, mask)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return cast(matmul(cast(weights, v.dtype), v), given)


# -- many heads --------------------------------------------------------------------------------------------------------


def _assert(condition: Any, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def _check_shapes(q: Tensor, k: Tensor, v: Tensor, padding: Any, mask: Any, heads: int) -> None:
    if q.ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {q.ndim}-D query tensor")
    kind = "batched (3-D)" if q.ndim == 3 else "unbatched (2-D)"
    _assert(
        k.ndim == v.ndim == q.ndim,
        f"For {kind} `query`, expected `key` and `value` to be {q.ndim}-D but found {k.ndim}-D and {v.ndim}-D tensors "
        "respectively",
    )
    if padding is not None and padding.ndim != q.ndim - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {q.ndim - 1}-D but found {padding.ndim}-D tensor "
            "instead"
        )
    if mask is not None:
        _assert(
            mask.ndim in (2, 3),
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead",
        )
        expected = (heads, q.shape[0], k.shape[0])
        if q.ndim == 2 and mask.ndim == 3 and tuple(mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {mask.shape}")


def _additive(mask: Any, name: str, d: dtypes.dtype) -> Any:
    """Return a mask as numbers to add: -inf where a boolean one, which here marks what does not count, is True."""
    if mask is None or mask.dtype.category == dtypes.FLOAT:
        return mask
    _assert(mask.dtype is dtypes.bool_, f"only bool and floating types of {name} are supported")
    return cast(where(mask, -np.inf, 0.0), d)


def _projections(q: Tensor, k: Tensor, v: Tensor, weight: Any, bias: Any) -> list[Tensor]:
    """Return the projections of queries, keys and values by a weight that holds all three; as one product if it can be."""
    size = q.shape[-1]
    part: Callable[[Any, int, int], Any] = lambda x, i, j: None if x is None else getitem(x, index=(slice(i * size, j * size),))
    if q is k is v:
        all_three = linear(q, weight, bias)
        return [getitem(all_three, index=(..., slice(i * size, (i + 1) * size))) for i in range(3)]
    return [linear(x, part(weight, i, i + 1), part(bias, i, i + 1)) for i, x in enumerate((q, k, v))]


def _separate_projections(tensors: tuple, weights: tuple, bias: Any) -> list[Tensor]:
    size = tensors[0].shape[-1]
    for x, w, one, long in zip(tensors, weights, "qkv", ("query", "key", "value"), strict=True):
        _assert(w is not None, f"use_separate_proj_weight is True but {one}_proj_weight is None")
        expected = (size, x.shape[-1])
        _assert(tuple(w.shape) == expected, f"expecting {long} weights shape of {expected}, but got {w.shape}")
    parts = [None if bias is None else getitem(bias, index=(slice(i * size, (i + 1) * size),)) for i in range(3)]
    return [linear(x, w, b) for x, w, b in zip(tensors, weights, parts, strict=True)]


def _full_mask(mask: Any, batch: int, heads: int, length: int, size: int) -> Any:
    """Return an attention mask in the shape (1 or batch, 1 or heads, length, size)."""
    if mask is None:
        return None
    shape, expected = tuple(mask.shape), (length, size) if mask.ndim == 2 else (batch * heads, length, size)
    if shape != expected:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}.")
    return reshape(mask, shape=(1, 1, *shape) if mask.ndim == 2 else (batch, heads, length, size))


def _longer(mask: Any) -> Any:
    """Return a mask with one key more, which counts."""
    return None if mask is None else cat((mask, zeros((*mask.shape[:-1], 1), mask)), -1)


def _static(x: Any, name: str, batch: int, heads: int, size: int) -> Any:
    x = as_tensor(x)
    _assert(x.shape[0] == batch * heads, f"expecting {name}.size(0) of {batch * heads}, but got {x.shape[0]}")
    _assert(x.shape[2] == size, f"expecting {name}.size(2) of {size}, but got {x.shape[2]}")
    return reshape(x, shape=(batch, heads, x.shape[1], size))


@asks
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return what several heads attend to, projected, and the weights with which they do.

    Parameters
    ----------
    query, key, value : Tensor
        Of shapes (L, N, E), (S, N, Ek) and (S, N, Ev), or without N.
    embed_dim_to_check, num_heads : int
        E, and into how many heads it is divided.
    in_proj_weight, in_proj_bias : Tensor or None
        Of shapes (3 E, E) and (3 E,): the projections of queries, keys and values.
    bias_k, bias_v : Tensor or None
        One more key and value, of shape (1, 1, E).
    add_zero_attn : bool
        Add a key and a value of zeros.
    dropout_p : float
        Probability that a weight is dropped while training.
    out_proj_weight, out_proj_bias : Tensor
        Of shapes (E, E) and (E,).
    training : bool
        Drop.
    key_padding_mask : Tensor, optional
        Of shape (N, S) or (S,): True for keys that do not count, or numbers to add to the scores.
    need_weights : bool
        Return the weights, too.
    attn_mask : Tensor, optional
        Of shape (L, S) or (N num_heads, L, S): True where a key does not count, or numbers to add to the scores.
    use_separate_proj_weight : bool
        Project with `q_proj_weight`, `k_proj_weight` and `v_proj_weight`, of shapes (E, E), (E, Ek) and (E, Ev), instead.
    static_k, static_v : Tensor, optional
        Keys and values of shape (N num_heads, S, E / num_heads) in place of projected ones.
    average_attn_weights : bool
        Return the weights' mean over the heads.
    is_causal : bool
        A hint that `attn_mask` is the causal one.

    Returns
    -------
    tuple
        The result, of the shape of `query`; and the weights, of shape (N, L, S) or (N, num_heads, L, S), or None.

    Raises
    ------
    AssertionError, RuntimeError
        If shapes, dtypes or options do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, w, o = cr.ones(2, 1, 4), cr.ones(12, 4), cr.ones(4, 4)
    >>> y, weights = cr.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 4, 2, w, None, None, None, False, 0.0, o, None)
    >>> y.shape, weights
    (chainrule.Size([2, 1, 4]), tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]]))
    """
    one = key is query and value is query
    q = as_tensor(query, "multi_head_attention_forward")
    k, v = (q, q) if one else (as_tensor(key), as_tensor(value))
    padding, mask = (None if m is None else as_tensor(m) for m in (key_padding_mask, attn_mask))
    _check_shapes(q, k, v, padding, mask, num_heads)
    single = q.ndim == 2
    if single:
        q, k, v = (unsqueeze(x, axis=1) for x in (q, k, v))
        k, v = (q, q) if one else (k, v)
        padding = None if padding is None else unsqueeze(padding, axis=0)
    (length, batch, size), count = q.shape, k.shape[0]
    d = q.dtype
    if padding is not None and mask is not None and padding.dtype is not mask.dtype:
        warnings.warn(
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
            UserWarning,
            stacklevel=3,
        )
    padding = _additive(padding, "key_padding_mask", d)
    if is_causal and mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    mask = _additive(mask, "attn_mask", d)
    _assert(size == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {size}")
    each = size // num_heads
    _assert(each * num_heads == size, f"embed_dim {size} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        _assert(
            k.shape[:2] == v.shape[:2],
            f"key's sequence and batch dims {k.shape[:2]} do not match value's {v.shape[:2]}",
        )
        q, k, v = _separate_projections((q, k, v), (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        _assert(k.shape == v.shape, f"key shape {k.shape} does not match value shape {v.shape}")
        _assert(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _projections(q, k, v, in_proj_weight, in_proj_bias)
    mask = _full_mask(mask, batch, num_heads, length, count)
    if (bias_k is None) != (bias_v is None):
        given, absent = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{given} is set but {absent} is None")
    if bias_k is not None:
        _assert(static_k is None, "bias cannot be added to static key.")
        _assert(static_v is None, "bias cannot be added to static value.")
        k, v = (cat((x, broadcast_to(as_tensor(b), shape=(1, batch, size)))) for x, b in ((k, bias_k), (v, bias_v)))
        mask, padding = _longer(mask), _longer(padding)
    apart = lambda x: permute(reshape(x, shape=(x.shape[0], batch, num_heads, each)), order=(1, 2, 0, 3))
    heads: Any = apart(q)
    keys: Any = apart(k) if static_k is None else _static(static_k, "static_k", batch, num_heads, each)
    values: Any = apart(v) if static_v is None else _static(static_v, "static_v", batch, num_heads, each)
    if add_zero_attn:
        blank = zeros((batch, num_heads, 1, each), q)
        keys, values = cat((keys, blank), 2), cat((values, blank), 2)
        mask, padding = _longer(mask), _longer(padding)
    if padding is not None:
        for axis, n in enumerate((batch, keys.shape[2])):
            found = padding.shape[axis]
            _assert(found == n, f"Expected key_padded_mask.shape[{axis}] to be {n}, but got {found}")
        padding = reshape(padding, shape=(batch, 1, 1, keys.shape[2]))
        mask = padding if mask is None else mask + padding
    dropped = dropout_p if training else 0.0
    if need_weights:  # without the 0 for rows in which no key counts: PyTorch gives NaN here, which tells of them
        scores = matmul(heads * (1 / math.sqrt(each)), transpose(keys, a=2, b=3))
        weights: Any = softmax(scores if mask is None else scores + mask, axis=(3,))
        weights = dropout(weights, dropped) if dropped else weights
        out = matmul(weights, values)
    else:
        weights = None
        out = scaled_dot_product_attention(heads, keys, values, mask, dropped)
    out = reshape(permute(out, order=(2, 0, 1, 3)), shape=(length, batch, size))
    out = linear(out, out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = mean(weights, axis=(1,), keepdims=False)
    if not single:
        return out, weights
    return squeeze(out, axis=(1,), form="1"), None if weights is None else squeeze(weights, axis=(0,), form="1")

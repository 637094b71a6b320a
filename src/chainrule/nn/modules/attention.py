"""Attention of many heads as a module."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.linear import NonDynamicallyQuantizableLinear, new_parameter
from chainrule.nn.modules.module import Module

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attend with several heads (arXiv 1706.03762); see :func:`chainrule.nn.functional.multi_head_attention_forward`.

    Parameters
    ----------
    embed_dim, num_heads : int
        The size of queries and results, and into how many heads it is divided.
    dropout : float
        Probability that a weight is dropped in training.
    bias : bool
        Whether the projections have biases.
    add_bias_kv, add_zero_attn : bool
        Add a key and a value that are learned; that are 0.
    kdim, vdim : int, optional
        The sizes of keys and values; `embed_dim` if not given.
    batch_first : bool
        The batch is the first axis.
    device, dtype
        Of the parameters.

    Raises
    ------
    ValueError
        If a size is not positive.
    AssertionError
        If the size cannot be divided.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(3, 2, 4)
    >>> y, weights = cr.nn.MultiheadAttention(4, 2)(x, x, x)
    >>> y.shape, weights.shape
    (chainrule.Size([3, 2, 4]), chainrule.Size([2, 3, 3]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        new = lambda *shape: new_parameter(shape, device, dtype)
        apart = not self._qkv_same_embed_dim
        self.register_parameter("in_proj_weight", None if apart else new(3 * embed_dim, embed_dim))
        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", new(embed_dim, size) if apart else None)
        self.register_parameter("in_proj_bias", new(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, new(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for name in ("bias_k", "bias_v"):
            if getattr(self, name) is not None:
                init.xavier_normal_(getattr(self, name))

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return (what the queries attend to, the weights or None)."""
        turned = self.batch_first and query.ndim == 3
        if turned:
            one = key is query and value is query
            query = query.transpose(0, 1)
            key, value = (query, query) if one else (key.transpose(0, 1), value.transpose(0, 1))
        out: Any
        out, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return out.transpose(0, 1) if turned else out, weights

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """Return two masks of the same kind as one, and which kind it is.

        Parameters
        ----------
        attn_mask : Tensor, optional
            Of shape (L, L), or (N · heads, L, L).
        key_padding_mask : Tensor, optional
            Of shape (N, L).
        query : Tensor
            Of shape (N, L, E).

        Returns
        -------
        tuple
            (None, None) without masks; `key_padding_mask` and 1 if it is the only one; else a mask of shape (N, heads, L, L),
            in which what either masks out is masked out, and 2.
        """
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        batch, length, _ = query.shape
        shape = (batch, -1, length, length) if attn_mask.ndim == 3 else (1, 1, length, length)
        merged = attn_mask.view(shape).expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            merged = merged + key_padding_mask.view(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1)
        return merged, 2

"""Transformers (Vaswani et al. 2017, arXiv 1706.03762): layers of attention and of a network of two linear maps, in a row.

With `norm_first` each part sees a standardised input and is added to the one that is not (Xiong et al. 2020, arXiv
2002.04745); otherwise the sum is standardised.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.fill import full
from chainrule.functions.shaping.shape import triu
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.attention import MultiheadAttention
from chainrule.nn.modules.container import ModuleList
from chainrule.nn.modules.dropout import Dropout
from chainrule.nn.modules.linear import Linear
from chainrule.nn.modules.module import Module
from chainrule.nn.modules.normalization import LayerNorm
from chainrule.nn.modules.piecewise import ReLU
from chainrule.nn.modules.smooth import GELU

__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]

_Activation = str | Callable[[Any], Any]


def _additive(mask: Any, name: str, dtype: Any) -> Any:
    """Return a mask as numbers to add: -inf where a boolean one is True."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype is not dtypes.bool_:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    return full(mask.shape, 0.0, dtype=dtype).masked_fill(mask, -np.inf)


def _square_subsequent_mask(size: int, device: Any, dtype: Any) -> Any:
    return triu(full((size, size), -np.inf, dtype=dtype or dtypes.get_default_dtype(), device=device), 1)


def _is_causal(mask: Any, hint: bool | None, size: int) -> bool:
    """Return a hint, or without one whether a mask is the causal one."""
    if hint is not None or mask is None:
        return hint is True
    causal = _square_subsequent_mask(size, None, mask.dtype)
    return mask.shape == causal.shape and bool((mask == causal).all())


def _length(x: Any, batch_first: bool) -> int:
    return x.shape[1 if batch_first and x.ndim == 3 else 0]


class _Layer(Module):
    """What layers of encoders and decoders share: attention of a sequence to itself, and the linear maps."""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int, dropout: float, activation: _Activation, layer_norm_eps: float,
        batch_first: bool, norm_first: bool, bias: bool, device: Any, dtype: Any, attentions: tuple[str, ...],
    ) -> None:  # fmt: skip
        super().__init__()
        given = {"device": device, "dtype": dtype}
        for name in attentions:
            attention = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **given)
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **given)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **given)
        self.norm_first = norm_first
        parts = range(1, len(attentions) + 2)
        for i in parts:
            self.add_module(f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **given))
        for i in parts:
            self.add_module(f"dropout{i}", Dropout(dropout))
        if isinstance(activation, str):
            if activation not in ("relu", "gelu"):
                raise RuntimeError(f"activation should be relu/gelu, not {activation}")
            activation = F.relu if activation == "relu" else F.gelu
        self.activation = activation

    def _part(self, x: Any, norm: Module, block: Callable, *args: Any) -> Any:
        """Return a part's result added to its input, standardised before or after."""
        return x + block(norm(x), *args) if self.norm_first else norm(x + block(x, *args))

    def _sa_block(self, x: Any, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False) -> Any:
        options = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask, "is_causal": is_causal}
        return self.dropout1(self.self_attn(x, x, x, need_weights=False, **options)[0])

    def _linear(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, and a network of two linear maps.

    Parameters
    ----------
    d_model, nhead : int
        The size of the elements, and into how many heads it is divided.
    dim_feedforward : int
        The size between the linear maps.
    dropout : float
        Probability that an element is dropped in training, after each part and within.
    activation : {"relu", "gelu"} or callable
        What stands between the linear maps.
    layer_norm_eps : float
        Added to variances.
    batch_first : bool
        The batch is the first axis.
    norm_first : bool
        Standardise the parts' inputs, not the sums.
    bias : bool
        Whether linear maps and norms have biases.
    device, dtype
        Of the parameters.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.TransformerEncoderLayer(4, 2, 8)(cr.ones(3, 1, 4)).shape
    chainrule.Size([3, 1, 4])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype,
            ("self_attn",),
        )  # fmt: skip
        relu = self.activation is F.relu or isinstance(self.activation, ReLU)
        gelu = self.activation is F.gelu or isinstance(self.activation, GELU)
        self.activation_relu_or_gelu = 1 if relu else 2 if gelu else 0

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """Return the layer's result; masks and shapes as :class:`Transformer` takes them."""
        padding = _additive(src_key_padding_mask, "src_key_padding_mask", src.dtype)
        mask = _additive(src_mask, "src_mask", src.dtype)
        x = self._part(src, self.norm1, self._sa_block, mask, padding, is_causal)
        return self._part(x, self.norm2, self._ff_block)

    def _ff_block(self, x: Any) -> Any:
        return self.dropout2(self._linear(x))


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself, then to another one, and a network of two linear maps.

    Parameters are those of :class:`TransformerEncoderLayer`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.TransformerDecoderLayer(4, 2, 8)(cr.ones(3, 1, 4), cr.ones(5, 1, 4)).shape
    chainrule.Size([3, 1, 4])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype,
            ("self_attn", "multihead_attn"),
        )  # fmt: skip

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the layer's result; masks and shapes as :class:`Transformer` takes them."""
        x = self._part(tgt, self.norm1, self._sa_block, tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        x = self._part(x, self.norm2, self._mha_block, memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        return self._part(x, self.norm3, self._ff_block)

    def _mha_block(self, x: Any, mem: Any, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False) -> Any:
        options = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask, "is_causal": is_causal}
        return self.dropout2(self.multihead_attn(x, mem, mem, need_weights=False, **options)[0])

    def _ff_block(self, x: Any) -> Any:
        return self.dropout3(self._linear(x))


class TransformerEncoder(Module):
    """Copies of an encoder layer in a row, all with the same first weights.

    Parameters
    ----------
    encoder_layer : Module
        What is copied.
    num_layers : int
        How often.
    norm : Module, optional
        Applied to the last result.
    enable_nested_tensor, mask_check : bool
        PyTorch skips padded elements in evaluation without gradients, which makes them 0: with the first option, and where they
        stand behind the others, which the second has looked at. So it is here.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.TransformerEncoderLayer(4, 2, 8)
    >>> cr.nn.TransformerEncoder(layer, 2)(cr.ones(3, 1, 4)).shape
    chainrule.Size([3, 1, 4])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check
        self.use_nested_tensor = enable_nested_tensor and _skips_padding(encoder_layer)

    def forward(self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None) -> Any:
        """Return the last layer's result; masks and shapes as :class:`Transformer` takes them."""
        padding = _additive(src_key_padding_mask, "src_key_padding_mask", src.dtype)
        mask = _additive(mask, "mask", src.dtype)
        first = self.layers[0]
        causal = _is_causal(mask, is_causal, _length(src, first.self_attn.batch_first))
        out = src
        for layer in self.layers:
            out = layer(out, src_mask=mask, is_causal=causal, src_key_padding_mask=padding)
        if padding is not None and mask is None and self._makes_padding_zero(src, padding):
            out = out.masked_fill((padding != 0).unsqueeze(-1), 0.0)
        return out if self.norm is None else self.norm(out)

    def _makes_padding_zero(self, src: Any, padding: Any) -> bool:
        first = self.layers[0]
        if not self.use_nested_tensor or first.training or src.ndim != 3:
            return False
        if modes().record and any(t.requires_grad for t in (src, *first.parameters())):
            return False
        return not self.mask_check or not bool((padding[:, :-1] != 0).logical_and(padding[:, 1:] == 0).any())


def _skips_padding(layer: Any) -> bool:
    """Return whether PyTorch skips padded elements in a layer."""
    attention = getattr(layer, "self_attn", None)
    return (
        isinstance(layer, TransformerEncoderLayer)
        and isinstance(attention, MultiheadAttention)
        and not layer.norm_first
        and attention.batch_first
        and attention._qkv_same_embed_dim
        and attention.in_proj_bias is not None
        and layer.activation_relu_or_gelu != 0
        and layer.norm1.eps == layer.norm2.eps
        and attention.num_heads % 2 == 0
    )


class TransformerDecoder(Module):
    """Copies of a decoder layer in a row, all with the same first weights.

    Parameters
    ----------
    decoder_layer : Module
        What is copied.
    num_layers : int
        How often.
    norm : Module, optional
        Applied to the last result.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.TransformerDecoderLayer(4, 2, 8)
    >>> cr.nn.TransformerDecoder(layer, 2)(cr.ones(3, 1, 4), cr.ones(5, 1, 4)).shape
    chainrule.Size([3, 1, 4])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the last layer's result; masks and shapes as :class:`Transformer` takes them."""
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, self.layers[0].self_attn.batch_first))
        out = tgt
        for layer in self.layers:
            out = layer(
                out,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return out if self.norm is None else self.norm(out)


def _copies(module: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(module) for _ in range(count)])


class Transformer(Module):
    """An encoder of one sequence, and a decoder of another one that attends to it.

    Parameters
    ----------
    d_model, nhead : int
        The size of the elements, and into how many heads it is divided.
    num_encoder_layers, num_decoder_layers : int
        How many layers.
    dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype
        As :class:`TransformerEncoderLayer` takes them.
    custom_encoder, custom_decoder : Module, optional
        In place of those that are made otherwise.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.Transformer(4, 2, 1, 1, 8)
    >>> net(cr.ones(5, 1, 4), cr.ones(3, 1, 4), tgt_mask=net.generate_square_subsequent_mask(3)).shape
    chainrule.Size([3, 1, 4])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype,
        )  # fmt: skip
        norm = lambda: LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*given)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, norm())
        if custom_decoder is None:
            decoding = TransformerDecoderLayer(*given)
            custom_decoder = TransformerDecoder(decoding, num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the decoder's result.

        Parameters
        ----------
        src, tgt : Tensor
            Of shapes (S, N, E) and (T, N, E), with the batch first if so chosen, or without it.
        src_mask, tgt_mask, memory_mask : Tensor, optional
            Of shapes (S, S), (T, T) and (T, S), or with the first axis N * nhead: True where an element is not attended to, or
            numbers to add to the scores.
        src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask : Tensor, optional
            Of shapes (N, S), (N, T) and (N, S), or without N: True for elements that do not count, or numbers to add.
        src_is_causal, tgt_is_causal, memory_is_causal : bool, optional
            Hints that a mask is the causal one, which is used as it is given in any case.

        Returns
        -------
        Tensor
            Of the shape of `tgt`.

        Raises
        ------
        RuntimeError
            If the batches differ, or sizes are not `d_model`.
        """
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Return the causal mask of shape (sz, sz): -inf above the diagonal, 0 elsewhere.

        Examples
        --------
        >>> import chainrule as cr
        >>> cr.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return _square_subsequent_mask(sz, device, dtype)

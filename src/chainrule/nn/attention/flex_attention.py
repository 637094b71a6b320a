"""Attention whose scores and masks are functions of a program's own (Dong et al. 2024, Flex Attention, arXiv 2412.05496).

A mask is computed whole and once: blocks that are masked out cost as much as others here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule import arange, logsumexp, matmul, where, zeros
from chainrule.core.tensor.tensor import Tensor
from chainrule.func import vmap

__all__ = ["AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
           "noop_mask", "or_masks"]  # fmt: skip

_DEFAULT_SPARSE_BLOCK_SIZE = 128
_Mask = Callable[..., Any]


class AuxRequest(NamedTuple):
    """What `flex_attention` is to return beside its output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What `flex_attention` returns beside its output: log-sum-exps and maxima of scores, where asked for."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Tensor:
    """Return True: everything is attended to."""
    return (token_q == token_q) & (token_kv == token_kv)


def and_masks(*mask_mods: _Mask) -> _Mask:
    """Return the mask of what all masks let through."""
    if not all(map(callable, mask_mods)):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Any, h: Any, q: Any, kv: Any) -> Any:
        found = noop_mask(b, h, q, kv)
        for mod in mask_mods:
            found = found & mod(b, h, q, kv)
        return found

    return mask


def or_masks(*mask_mods: _Mask) -> _Mask:
    """Return the mask of what any mask lets through."""
    if not all(map(callable, mask_mods)):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Any, h: Any, q: Any, kv: Any) -> Any:
        found = ~noop_mask(b, h, q, kv)
        for mod in mask_mods:
            found = found | mod(b, h, q, kv)
        return found

    return mask


def _over_places(mod: Callable[..., Any], leading: tuple = ()) -> Callable[..., Any]:
    """Return a function of one place as one of batches, heads, queries and keys; ``leading`` are axes of its first argument."""
    for axes in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None), (0, None, None, None)):
        mod = vmap(mod, in_dims=(*(0 for _ in leading), *axes))
    return mod


def create_mask(
    mod_fn: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = "cpu"
) -> Tensor:
    """Return a mask as a tensor of bools, or what a function adds to scores of zero.

    Parameters
    ----------
    mod_fn : callable
        ``mask(b, h, q, kv)``, which gives a bool, or ``score(score, b, h, q, kv)``, which gives a number; of tensors without
        axes.
    B, H : int, optional
        Batches and heads; None means 1.
    Q_LEN, KV_LEN : int
        Queries and keys.
    device
        Only the CPU.

    Returns
    -------
    Tensor
        Of shape ``(B, H, Q_LEN, KV_LEN)``.

    Examples
    --------
    >>> from chainrule.nn.attention.flex_attention import create_mask
    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 3)
    tensor([[[[ True, False, False],
              [ True,  True, False]]]])
    """
    places = [arange(n) for n in (B or 1, H or 1, Q_LEN, KV_LEN)]
    if _is_of_scores(mod_fn):
        scores = zeros(*(p.shape[0] for p in places))
        return where(_over_places(mod_fn, (0,))(scores, *places) == -math.inf, False, True)
    return _over_places(mod_fn)(*places)


def _is_of_scores(mod: Callable[..., Any]) -> bool:
    """Tell whether a function takes a score before the places."""
    import inspect

    count = sum(p.default is p.empty for p in inspect.signature(mod).parameters.values())
    if count not in (4, 5):
        raise AssertionError(f"a mask takes 4 arguments (b, h, q, kv), and a score 5: {mod} takes {count}")
    return count == 5


class BlockMask:
    """A mask of which queries attend to which keys: what `create_block_mask` gives.

    Attributes
    ----------
    mask_mod : callable
        The mask as a function.
    shape : tuple of int
        Batches, heads, queries, keys.
    """

    def __init__(self, mask_mod: _Mask, dense: Tensor, block: int | tuple[int, int]) -> None:
        self.mask_mod, self._dense = mask_mod, dense
        self.BLOCK_SIZE = (block, block) if isinstance(block, int) else tuple(block)
        self.shape, self.seq_lengths = tuple(dense.shape), tuple(dense.shape[2:])

    def __getitem__(self, index: Any) -> BlockMask:
        """Return the mask of some batches and heads."""
        index = index if isinstance(index, tuple) else (index,)
        return BlockMask(self.mask_mod, self._dense[tuple(slice(i, i + 1) if isinstance(i, int) else i for i in index)],
                         self.BLOCK_SIZE)  # type: ignore[arg-type]  # fmt: skip

    def numel(self) -> int:
        """Return how many places it has."""
        return self._dense.numel()

    def sparsity(self) -> float:
        """Return how many percent of the places are masked out."""
        return 100 * (1 - self._dense.float().mean().item())

    def to_dense(self) -> Tensor:
        """Return for each block whether anything in it is let through, as numbers of shape ``(B, H, rows, columns)``."""
        b, h, q, kv = self.shape
        rows, columns = self.BLOCK_SIZE
        full = zeros(b, h, -(-q // rows) * rows, -(-kv // columns) * columns, dtype=self._dense.dtype)
        full[:, :, :q, :kv] = self._dense
        blocks = full.reshape(b, h, full.shape[2] // rows, rows, full.shape[3] // columns, columns)
        return blocks.any(5).any(3).int()

    def to(self, device: Any) -> BlockMask:
        """Return the mask: there is one device."""
        self._dense.to(device)
        return self

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: _Mask,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
) -> BlockMask:
    """Return a mask for `flex_attention`, computed now.

    Parameters
    ----------
    mask_mod : callable
        ``mask(b, h, q, kv)``, of tensors without axes, which gives whether a query attends to a key.
    B, H : int, optional
        Batches and heads; None: the same for all.
    Q_LEN, KV_LEN : int
        Queries and keys.
    device
        Only the CPU.
    BLOCK_SIZE : int or pair of int
        Of the blocks that `BlockMask.to_dense` tells of.

    Returns
    -------
    BlockMask
    """
    dense = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device or "cpu")
    return BlockMask(mask_mod, dense.bool(), BLOCK_SIZE)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Any] | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Return attention whose scores pass through a function before the softmax.

    Parameters
    ----------
    query, key, value : Tensor
        Of shapes ``(B, H, L, E)``, ``(B, H, S, E)`` and ``(B, H, S, Ev)``.
    score_mod : callable, optional
        ``score_mod(score, b, h, q, kv)``, of tensors without axes, which returns the new score.
    block_mask : BlockMask, optional
        Which queries attend to which keys.
    scale : float, optional
        By which scores are multiplied; ``1 / √E`` unless given.
    enable_gqa : bool
        Whether key and value may have fewer heads, each for several of the query's.
    return_lse : bool
        Also return the logarithm of each row's sum of exponentials.
    kernel_options : dict, optional
        Of kernels on GPUs; they change no result.
    return_aux : AuxRequest, optional
        What to return beside the output.

    Returns
    -------
    Tensor
        Of shape ``(B, H, L, Ev)``; rows that attend to nothing are 0. With ``return_lse`` a pair, with ``return_aux`` a pair
        with an `AuxOutput`.

    Raises
    ------
    ValueError
        If heads do not match, or the mask is for fewer queries or keys.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.nn.attention.flex_attention import flex_attention
    >>> q = cr.ones(1, 1, 2, 4)
    >>> flex_attention(q, q, q, score_mod=lambda s, b, h, i, j: cr.where(i >= j, s, -cr.inf)).shape
    chainrule.Size([1, 1, 2, 4])
    """
    if any(t.ndim != 4 for t in (query, key, value)):
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    heads, few = query.shape[1], key.shape[1]
    if heads != few:
        if not enable_gqa or heads % few:
            raise ValueError(
                f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={few}. Try setting "
                "enable_gqa=True for GQA."
            )
        key, value = (t.repeat_interleave(heads // few, dim=1) for t in (key, value))
    places = (query.shape[0], heads, query.shape[2], key.shape[2])
    scores = matmul(query, key.transpose(-2, -1)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if score_mod is not None:
        scores = _over_places(score_mod, (0,))(scores, *(arange(n) for n in places)).to(query.dtype)
    if block_mask is not None:
        if block_mask.shape[2] < places[2] or block_mask.shape[3] < places[3]:
            raise ValueError(f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={places[2]} and "
                             f"kv_len={places[3]}.")  # fmt: skip
        scores = where(block_mask._dense[:, :, : places[2], : places[3]], scores, -math.inf)
    lse = logsumexp(scores, -1)
    nothing = (lse == -math.inf).unsqueeze(-1)
    weights = where(nothing, 0.0, (where(nothing, 0.0, scores)).softmax(-1))
    out = matmul(weights, value)
    if return_aux is not None:
        top = scores.amax(-1) if return_aux.max_scores else None
        return out, AuxOutput(lse if return_aux.lse else None, top)
    return (out, lse) if return_lse else out

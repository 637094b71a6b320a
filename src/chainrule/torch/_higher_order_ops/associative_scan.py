"""Prefixes of an associative operation in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import cat, flip, stack
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.func import vmap

__all__ = ["associative_scan"]


def associative_scan(
    combine_fn: Callable[[Any, Any], Any], xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise"
) -> Any:
    """Return all prefixes of slices combined by an associative function.

    Parameters
    ----------
    combine_fn : callable
        Of two containers of tensors, which gives one.
    xs : container of tensors
        Their slices along ``dim`` are what is combined.
    dim : int
        The axis.
    reverse : bool
        Whether to combine from the last slice on.
    combine_mode : str
        ``"pointwise"`` if the function treats elements alike, ``"generic"`` for any other.

    Returns
    -------
    container of tensors
        As ``xs``: each slice is the combination of those up to it.

    References
    ----------
    G. E. Blelloch, Prefix sums and their applications, CMU-CS-90-190, 1990.

    Examples
    --------
    >>> import chainrule as cr
    >>> associative_scan(lambda a, b: a * b, cr.tensor([1.0, 2.0, 3.0, 4.0]), 0)
    tensor([ 1.,  2.,  6., 24.])
    """
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    leaves, spec = tree_flatten(xs)
    if not leaves:
        raise ValueError("Expected at least 1 xs leaf")
    if any(not isinstance(leaf, Tensor) or leaf.ndim == 0 for leaf in leaves):
        raise ValueError("All xs leaves must be Tensors with at least one dimension")
    if len({leaf.shape[dim] for leaf in leaves}) > 1:
        raise ValueError(f"slices along dimension {dim} differ in number: {[leaf.shape[dim] for leaf in leaves]}")
    together = combine_fn if combine_mode == "pointwise" else vmap(combine_fn)

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        return tree_flatten(together(tree_unflatten(a, spec), tree_unflatten(b, spec)))[0]

    first = [leaf.movedim(dim, 0) for leaf in leaves]
    first = [flip(leaf, (0,)) for leaf in first] if reverse else first
    found = _prefixes(combine, first)
    found = [flip(leaf, (0,)) for leaf in found] if reverse else found
    return tree_unflatten([leaf.movedim(0, dim) for leaf in found], spec)


def _prefixes(combine: Callable[[list[Tensor], list[Tensor]], list[Tensor]], xs: list[Tensor]) -> list[Tensor]:
    """Return the prefixes along the first axis: those of pairs, and between them one more combined."""
    count = xs[0].shape[0]
    if count < 2:
        return xs
    odd = _prefixes(combine, combine([x[: count // 2 * 2 : 2] for x in xs], [x[1::2] for x in xs]))
    if count == 2:
        return [cat([x[:1], o]) for x, o in zip(xs, odd, strict=True)]
    between = combine([o[: (count - 1) // 2] for o in odd], [x[2::2] for x in xs])
    even = [cat([x[:1], b]) for x, b in zip(xs, between, strict=True)]
    return [_woven(e, o) for e, o in zip(even, odd, strict=True)]


def _woven(even: Tensor, odd: Tensor) -> Tensor:
    """Return slices of two tensors in turn; the first has as many, or one more."""
    pairs = stack([even[: odd.shape[0]], odd], 1).flatten(0, 1)
    return pairs if even.shape[0] == odd.shape[0] else cat([pairs, even[-1:]])

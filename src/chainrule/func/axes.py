"""`rearrange`: axes split, joined and moved by a pattern that names them, as einops writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.shaping.join import stack

__all__ = ["rearrange"]

ELLIPSIS = "..."  # inside a group
BARE = [ELLIPSIS, ""]  # any number of axes, each on its own
_TOKEN = re.compile(r"\s*(\.\.\.|\w+|[()])")
Groups = list[list[str]]  # the names along each axis; none along one of size 1


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """Return the tensor with its axes rearranged.

    Parameters
    ----------
    tensor : Tensor or sequence of Tensor
        A sequence is stacked along a new first axis.
    pattern : str
        ``"names of the axes -> names in their new order"``. A group in parentheses is one axis that holds several; ``...``
        stands for any number of axes, ``1`` or ``()`` for one of size 1.
    **axes_lengths : int
        The sizes of names in a group: of all but one.

    Raises
    ------
    ValueError
        If the pattern cannot be read, does not name the same axes on both sides, or does not fit the tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.zeros(2, 12, 5)
    >>> cr.func.rearrange(x, "batch (height width) c -> batch c height width", width=4).shape
    chainrule.Size([2, 5, 3, 4])
    """
    x = tensor if isinstance(tensor, Tensor) else stack(tensor)
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = _groups(sides[0]), _groups(sides[1])
    _check(pattern, left, right, axes_lengths)
    if BARE in left:
        spread = [f"{ELLIPSIS}{i}" for i in range(x.ndim - len(left) + 1)]
        left, right = _spread(left, spread), _spread(right, spread)
    if len(left) != x.ndim:
        raise ValueError(
            f"Number of dimensions in pattern ({len(left)}) must be equal to the number of dimensions in the tensor ({x.ndim})"
        )
    sizes = dict(axes_lengths)
    for group, n in zip(left, x.shape, strict=True):
        _infer(group, n, sizes)
    names = [name for group in left for name in group]
    apart = x.reshape([sizes[name] for name in names])
    moved = apart.permute([names.index(name) for group in right for name in group])
    return moved.reshape([prod(sizes[name] for name in group) for group in right])


def _spread(groups: Groups, names: list[str]) -> Groups:
    """Return the groups with names in the place of the ellipsis."""
    found: Groups = []
    for group in groups:
        if group == BARE:
            found += [[name] for name in names]
        else:
            found.append([n for name in group for n in (names if name == ELLIPSIS else [name])])
    return found


def _groups(side: str) -> Groups:
    """Return the names along each axis of one side of a pattern."""
    groups: Groups = []
    inside = False
    at = 0
    side = side.rstrip()
    while at < len(side):
        match = _TOKEN.match(side, at)
        if match is None:
            raise ValueError(f"Unknown character {side[at:].lstrip()[0]!r}")
        token, at = match[1], match.end()
        if token == "(":
            if inside:
                raise ValueError("Axis composition is one-level (brackets inside brackets not allowed)")
            inside = True
            groups.append([])
        elif token == ")":
            if not inside:
                raise ValueError(f"Imbalanced parentheses in expression: {side!r}")
            inside = False
        elif token[0].isdigit():
            if token != "1":
                raise ValueError("rearrange only supports unnamed axes of size 1")
            if not inside:
                groups.append([])
        elif inside:
            groups[-1].append(token)
        else:
            groups.append(BARE if token == ELLIPSIS else [token])
    if inside:
        raise ValueError(f"Imbalanced parentheses in expression: {side!r}")
    return groups


def _check(pattern: str, left: Groups, right: Groups, lengths: dict[str, int]) -> None:
    """Raise PyTorch's errors for a pattern whose sides do not fit each other."""
    if any(ELLIPSIS in group and group != BARE for group in left):
        raise ValueError(f"Ellipsis is parenthesis in the left side is not allowed: {pattern}")
    names = [[name for group in side for name in group if name] for side in (left, right)]
    for side in names:
        for name in side:
            if side.count(name) > 1:
                what = "more than one ellipsis" if name == ELLIPSIS else f"duplicate dimension {name!r}"
                raise ValueError(f"Indexing expression contains {what}")
    if ELLIPSIS in names[1] and ELLIPSIS not in names[0]:
        raise ValueError(f"Ellipsis found in right side, but not left side of a pattern {pattern}")
    alone = set(names[0]) ^ set(names[1])
    if alone:
        raise ValueError(f"Identifiers only on one side of rearrange expression (should be on both): {alone}")
    unknown = set(lengths) - set(names[0])
    if unknown:
        raise ValueError(f"Identifiers not found in rearrange expression: {unknown}")


def _infer(group: list[str], n: int, sizes: dict[str, int]) -> None:
    """Note the sizes of the names along an axis of n; one of them may be unknown."""
    unknown = [name for name in group if name not in sizes]
    known = prod(sizes[name] for name in group if name in sizes)
    if len(unknown) > 1:
        raise ValueError(f"cannot infer the sizes of {' and '.join(unknown)} at once: give all but one as keyword arguments")
    if unknown and known and n % known == 0:
        sizes[unknown[0]] = n // known
    elif unknown or known != n:
        raise ValueError(f"an axis of size {n} does not divide into {' '.join(group) or '1'} with {sizes}")

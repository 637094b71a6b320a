"""Loops whose condition, or whose steps, are functions of tensors; every derivative passes through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import stack
from chainrule.core.types.tree import tree_flatten, tree_map, tree_unflatten

__all__ = ["scan", "while_loop"]


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> tuple:
    """Run a function on its own results while a condition of them holds.

    Parameters
    ----------
    cond_fn : callable
        ``cond_fn(*carried)``, which gives a bool or a tensor of one.
    body_fn : callable
        ``body_fn(*carried)``, which gives the next ones, as many.
    carried_inputs : tuple or list
        The first ones.

    Returns
    -------
    tuple
        The last ones.

    Examples
    --------
    >>> import chainrule as cr
    >>> while_loop(lambda n, x: n < 3, lambda n, x: (n + 1, 2 * x), (cr.tensor(0), cr.tensor(1.0)))
    (tensor(3), tensor(8.))
    """
    carried = tuple(carried_inputs)
    while cond_fn(*carried):
        found = body_fn(*carried)
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(found) != len(carried):
            raise ValueError(f"while_loop: body_fn returned {len(found)} values and was given {len(carried)}")
        carried = found
    return carried


def scan(
    combine_fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, *, dim: int = 0, reverse: bool = False
) -> tuple[Any, Any]:
    """Run a step over the slices of tensors, each of which takes what the last one carried on.

    Parameters
    ----------
    combine_fn : callable
        ``combine_fn(carry, x) -> (carry, y)``, of containers of tensors.
    init : container of tensors
        The first carry.
    xs : container of tensors
        Whose slices along ``dim`` are the steps' inputs.
    dim : int
        The axis.
    reverse : bool
        Whether to begin with the last slice; results stay in the slices' order.

    Returns
    -------
    tuple
        The last carry, and the steps' results, stacked along a new first axis.

    Examples
    --------
    >>> import chainrule as cr
    >>> scan(lambda c, x: (c + x, c * x), cr.tensor(1.0), cr.tensor([1.0, 2.0, 3.0]))
    (tensor(7.), tensor([ 1.,  4., 12.]))
    """
    leaves, spec = tree_flatten(xs)
    if not leaves:
        raise RuntimeError("scan() operator requires xs leaves.")
    count = leaves[0].shape[dim]
    if any(leaf.shape[dim] != count for leaf in leaves):
        raise RuntimeError(f"scan(): slices along dimension {dim} differ in number: {[leaf.shape[dim] for leaf in leaves]}")
    if count == 0:
        raise RuntimeError("All xs leaves must have at least scan dimension > 0")
    carry, rows = init, []
    for i in reversed(range(count)) if reverse else range(count):
        carry, row = combine_fn(carry, tree_unflatten([leaf.select(dim, i) for leaf in leaves], spec))
        rows.append(row)
    if reverse:
        rows.reverse()
    return carry, tree_map(lambda *parts: stack(parts), *rows)

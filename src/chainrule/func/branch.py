"""A branch that the transforms see through: one of two functions, chosen by a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.functions.indexing.select import where


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Any = ()) -> Any:
    """Return ``true_fn(*operands)`` if `pred` is true, ``false_fn(*operands)`` if not.

    Where `pred` differs between the examples of a `vmap`, or has no value yet in a trace, both are called, and `where` chooses
    among their results. Derivatives are those of the function that is chosen.

    Parameters
    ----------
    pred : bool, number or Tensor of one element
    true_fn, false_fn : callable
        Take the operands; they return a tensor, or a pytree of tensors, alike in shapes and dtypes.
    operands : tuple or list
        Tensors, or pytrees of them. If `pred` is no tensor, they may be anything.

    Raises
    ------
    RuntimeError
        If `pred` is neither of these, a branch is no function, or operands are no tensors; if both branches are called, and
        their results are not alike.

    Examples
    --------
    >>> import chainrule as cr
    >>> def f(x):
    ...     return cr.cond(x > 1, lambda x: x * x, lambda x: -x, (x,))
    >>> cr.vmap(f)(cr.tensor([0.5, 3.0]))
    tensor([-0.5000,  9.0000])
    """
    if isinstance(pred, (bool, int, float)):
        return true_fn(*operands) if pred else false_fn(*operands)
    if not isinstance(pred, Tensor):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if pred.numel() != 1:  # type: ignore[attr-defined]
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)) or not all(isinstance(leaf, Tensor) for leaf in tree_flatten(operands)[0]):
        raise RuntimeError(
            "Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, but got "
            f"{operands}."
        )
    try:
        chosen = bool(innermost(pred, "bool"))
    except RuntimeError:  # it has many values, or none yet
        return _either(pred.reshape(()) != 0, true_fn(*operands), false_fn(*operands))  # type: ignore[attr-defined]
    return true_fn(*operands) if chosen else false_fn(*operands)


def _either(pred: Tensor, a: Any, b: Any) -> Any:
    """Return one of two results, each of their tensors chosen by `pred`."""
    (ours, spec), (theirs, other) = tree_flatten(a), tree_flatten(b)
    if spec != other:
        raise RuntimeError(f"cond: both branches are to return results of one structure, not {spec} and {other}")
    for x, y in zip(ours, theirs, strict=True):
        if tuple(x.shape) != tuple(y.shape) or x.dtype is not y.dtype:
            raise RuntimeError(
                f"cond: both branches are to return tensors of one shape and dtype, not {x.dtype} of {tuple(x.shape)} and "
                f"{y.dtype} of {tuple(y.shape)}"
            )
    return tree_unflatten([where(pred, x, y) for x, y in zip(ours, theirs, strict=True)], spec)

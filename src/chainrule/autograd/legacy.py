"""PyTorch's old bases of custom functions, kept for old code."""

from __future__ import annotations

from typing import Any

from chainrule.autograd.function import Function
from chainrule.core.types.tree import tree_flatten, tree_unflatten


class InplaceFunction(Function):
    """PyTorch's old base class of functions that may work in place; use `Function` with ``ctx.mark_dirty``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """A function of nested lists and tuples of tensors, which it may also return; an old form, kept for old code.

    Subclasses have ``forward_extended(ctx, *args)`` and ``backward_extended(ctx, *grads)``, which get and return the nested
    values; None stands for an absent gradient.
    """

    @staticmethod
    def forward(ctx: Any, nesting: Any, *flat: Any) -> Any:
        """Call `forward_extended` on the nested values."""
        ctx._nesting = nesting
        leaves, nesting.outputs = tree_flatten(nesting.cls.forward_extended(ctx, *tree_unflatten(list(flat), nesting.inputs)))
        return tuple(leaves)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Call `backward_extended` on the nested gradients."""
        nested = tree_unflatten(list(grads), ctx._nesting.outputs)
        found = ctx._nesting.cls.backward_extended(ctx, *(nested if isinstance(nested, tuple) else (nested,)))
        return (None, *tree_flatten(found)[0])

    @staticmethod
    def forward_extended(ctx: Any, *args: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("You must implement forward_extended for your NestedIOFunction.")

    @staticmethod
    def backward_extended(ctx: Any, *grads: Any) -> Any:
        """Return the gradients of the arguments, nested as they are."""
        raise NotImplementedError("You must implement backward_extended for your NestedIOFunction.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function; see `Function.apply`."""
        flat, spec = tree_flatten(args)
        nesting = _Nesting(cls, spec)
        return tree_unflatten(list(super().apply(nesting, *flat, **kwargs)), nesting.outputs)


class _Nesting:
    """The structures of a nested function's arguments and, once it has run, of its results."""

    def __init__(self, cls: Any, inputs: Any):
        self.cls, self.inputs = cls, inputs
        self.outputs: Any = None

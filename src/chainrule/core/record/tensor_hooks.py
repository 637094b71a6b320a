"""The hooks of tensors: how they are registered. When a pass calls them is ``transforms.hook_calls``'s.

A hook on a result stands on its node, so it stays with the value when the tensor is written to in place. A hook on a
leaf stands on the leaf.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from weakref import ref

from chainrule.core.graph.handle import RemovableHandle, register
from chainrule.core.graph.nodes import AccumulateGrad, Hooks, LeafHooks, engine_node, expect_user_code, hooks_of
from chainrule.core.record.saved import edge_to
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import Meta, meta_of


def accumulator(self: Tensor) -> AccumulateGrad:
    """Return the node that stands for this leaf: the same one as long as it is alive."""
    meta = meta_of(self)
    found = meta.accumulator and meta.accumulator()
    if found is None:
        found = AccumulateGrad(self)
        meta.accumulator = ref(found)
    return found


def node_hooks(meta: Meta) -> Hooks | None:
    """Return the hooks on the node that stands for a leaf, if there are any."""
    node = meta.accumulator and meta.accumulator()
    return node.hooks if node and (node.hooks.before or node.hooks.after) else None


def has_hooks(leaf: Tensor) -> bool:
    """Tell whether something is to be called when a pass reaches this leaf."""
    meta = leaf._meta
    return meta.__class__ is Meta and bool(meta.hooks or meta.after or node_hooks(meta))


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Have `hook` called with the gradient of this tensor in every backward pass that computes it.

    Parameters
    ----------
    hook : callable
        Takes the gradient; returns another of its shape and dtype to go on with, or None. It must not write to its
        argument.

    Returns
    -------
    RemovableHandle
        Its `remove()` takes the hook out.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    expect_user_code()
    if self.is_leaf:
        meta = meta_of(edge_to(self))
        if meta.hooks is None:
            meta.hooks = LeafHooks()
        return register(meta.hooks, hook)
    hooks = hooks_of(engine_node(self.grad_fn)).outputs
    return register(hooks.setdefault(self.output_nr, OrderedDict()), hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Have `hook` called with this leaf whenever a backward pass has added to its `grad`.

    That is as soon as all of the pass's contributions to it have come, so an optimiser can step, and the gradient be
    dropped, while the pass goes on.

    Parameters
    ----------
    hook : callable
        Takes the leaf; returns None.

    Returns
    -------
    RemovableHandle
        Its `remove()` takes the hook out.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad or is not a leaf.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True)
    >>> handle = x.register_post_accumulate_grad_hook(lambda p: print("accumulated", p.grad))
    >>> x.sum().backward()
    accumulated tensor([1., 1.])
    """
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    expect_user_code()
    if not self.is_leaf:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    meta = meta_of(edge_to(self))
    if meta.after is None:
        meta.after = LeafHooks()
    return register(meta.after, hook)


def backward_hooks(self: Tensor) -> OrderedDict | None:
    """Return the hooks that `register_hook` has put on this tensor; None before the first."""
    if self.is_leaf:
        return self._meta.hooks if self._meta.__class__ is Meta else None
    hooks = engine_node(self.grad_fn).hooks
    return None if hooks is None else hooks.outputs.get(self.output_nr)


Tensor._accumulator = accumulator  # type: ignore[assignment]
Tensor.register_hook = register_hook  # type: ignore[assignment]
Tensor.register_post_accumulate_grad_hook = register_post_accumulate_grad_hook  # type: ignore[assignment]
Tensor._backward_hooks = property(backward_hooks)  # type: ignore[assignment]

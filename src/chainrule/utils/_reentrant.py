"""PyTorch's reentrant checkpoints: one node, whose backward records the function and runs a pass of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.amp.autocast_mode import same_settings
from chainrule.autograd.function import Function
from chainrule.autograd.gradients import backward
from chainrule.core.generator import Draws
from chainrule.core.graph.nodes import LEAF_EDGE, PORT
from chainrule.core.mode.grad_mode import enable_grad, is_grad_enabled, modes, no_grad, scope, set_modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.accumulate import accumulate
from chainrule.transforms.gradient import gradients_of
from chainrule.transforms.hook_calls import RUNNING
from chainrule.transforms.paths import edge_of
from chainrule.transforms.watched import found_at


class CheckpointFunction(Function):
    """The operation behind ``checkpoint(..., use_reentrant=True)``."""

    @staticmethod
    def forward(ctx: Any, function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        """Call the function unrecorded, and keep its arguments."""
        check_backward_validity(args)
        ctx.function, ctx.autocast = function, same_settings()
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        before = modes()
        ctx.draws = Draws(before.draws) if preserve_rng_state else None
        set_modes(before.having(draws=ctx.draws or before.draws))
        try:
            with no_grad():
                return function(*args)
        finally:
            set_modes(before)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Call it recorded, and run a pass through that: captured leaves get their gradients from it."""
        if RUNNING.get()[1] is not None:
            raise RuntimeError(
                "When use_reentrant=True, chainrule.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call .backward() "
                "without passing the `inputs` argument."
            )
        args = list(ctx.args)
        recorded = is_grad_enabled()  # the pass that calls this is
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            with enable_grad():
                # In a recorded pass the gradients have a history that goes on to what made the arguments.
                args[i] = t.view_as(t) if recorded and t.requires_grad else t.detach().requires_grad_(t.requires_grad)
        inputs = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        restore = ctx.draws.rewind() if ctx.draws is not None else None
        try:
            with enable_grad(), ctx.autocast:
                outputs = ctx.function(*args)
        finally:
            if restore is not None:
                restore()
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        outputs, gs = map(list, zip(*pairs, strict=True))
        if recorded:
            return (None, None, *_recorded_pass(outputs, gs, args, inputs))
        with scope(0):  # the pass is this function's own, and no part of the transforms that run around it
            backward(outputs, gs)
        if modes().safe:
            found_at([edge_of(a) for a in inputs], [a.grad for a in inputs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def _recorded_pass(outputs: list, gs: list, args: list, inputs: list) -> list:
    """Return the arguments' gradients, with histories; captured leaves have theirs added."""
    leaves = _leaves_before(outputs, {id(t._node) for t in inputs})
    found = gradients_of(outputs, inputs + leaves, gs, True, True, inner=True)
    accumulate([(leaf, g, True) for leaf, g in zip(leaves, found[len(inputs) :], strict=True) if g is not None], 0, True)
    own = {id(t): g for t, g in zip(inputs, found[: len(inputs)], strict=True)}
    return [own.get(id(a)) for a in args]


def _leaves_before(outputs: list, ends: set[int]) -> list:
    """Return the leaves that results were computed from, apart from those beyond the nodes of these ids."""
    leaves, seen = {}, set(ends)
    stack = [edge_of(o) for o in outputs]
    while stack:
        edge = stack.pop()
        if edge is None:
            continue
        if edge._kind == LEAF_EDGE:
            leaves[id(edge)] = edge
            continue
        node = edge.node if edge._kind == PORT else edge
        if id(node) not in seen:
            seen.add(id(node))
            stack += node.edges
    return list(leaves.values())


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if none of the inputs requires grad."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=2)

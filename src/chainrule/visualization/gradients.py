"""The gradients of all that is in a graph, by one pass that keeps of each no more than its statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF, Node
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom
from chainrule.transforms.gradient import gradients_of
from chainrule.visualization.recorded import Item, Result
from chainrule.visualization.statistics import statistics


class Onlooker:
    """Stands where anomaly mode's detector does, and notes of each cotangent that comes to a node what it holds."""

    check_nan = values = False

    def __init__(self, items: Sequence[Item]):
        self.items = {id(item.source): item for item in items}

    def watch(self) -> Onlooker:
        """Return what looks at one pass."""
        return self

    def pulled(self, node: Node, g: Any, pull: Callable[[], Any]) -> Any:
        """Look at a cotangent, and have the node pull."""
        item = self.items.get(id(node))
        if item is not None:
            for i, gi in enumerate(g if g.__class__ is list else [g]):
                if gi is not None:
                    _note(item.result(i), gi)
        gs = pull()
        if item is not None:
            item.sent = [_hallmark(gi) for gi in ((gs,) if node.plan.single else gs)]
        return gs


def _note(result: Result, g: Any) -> None:
    result.gradient = statistics(bottom(g))
    result.is_like(g)


def _hallmark(g: Any) -> str:
    """Return "nan" of a cotangent with such values, "zero" of one of zeros, and nothing of others."""
    array = bottom(g)
    if not isinstance(array, (np.ndarray, np.generic)) or not array.size or array.dtype.kind not in "fc":
        return ""
    return "nan" if np.isnan(array).any() else "" if np.any(array) else "zero"


def take_gradients(items: Sequence[Item], roots: Sequence[Tensor], grad_outputs: Any) -> str:
    """Fill in the gradient of each result, as far as one reaches it; return why there is none, if so.

    The pass is that of ``autograd.grad(..., retain_graph=True)``: it adds to no `.grad`, and calls hooks as every pass does.
    """
    if any(item.freed for item in items):
        return "the graph was freed by a backward pass: show it before, or keep it with retain_graph=True"
    leaves = [item for item in items if item.is_leaf]
    wanted = [item.source for item in leaves]
    if grad_outputs is None:
        unclear = [root for root in roots if root.numel() != 1]
        if unclear:
            return f"the result has shape {list(unclear[0].shape)} and no grad_outputs were given"
    if all(root._node is LEAF for root in roots):
        return "the result is a leaf"
    before = modes()
    switch(anomaly=Onlooker(items))
    entered = modes()
    try:
        given = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs
        found = gradients_of(list(roots), wanted, given, True, False)
    except Exception as error:  # of a hook or a rule of the user's: the page shows it, beside the graph
        return f"the pass was stopped by {type(error).__name__}: {error}"
    finally:
        back(entered, before, "anomaly")
    for item, g in zip(leaves, found, strict=True):
        if g is not None:
            _note(item.results[0], g)
    return ""

"""`grad_fn` called: one node's pull alone, on tensors, recorded where the gradients given require grad."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import AccumulateGrad, Node
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.accumulate import accumulate


def call_node(self: Node, *gradients: Tensor | None) -> Any:
    """Return what the node sends to each of its `next_functions` for gradients of its results; nothing is freed.

    Parameters
    ----------
    *gradients : Tensor or None
        One for each result of the node; None where there is none.

    Returns
    -------
    Tensor, None, or tuple of them
        A tuple where there are several `next_functions`, or none.

    Raises
    ------
    TypeError
        If there are more or fewer gradients than results, or one is no tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([2.0, 3.0], requires_grad=True)
    >>> x.exp().log().grad_fn(cr.ones(2)) * x.exp()
    tensor([1., 1.], grad_fn=<MulBackward0>)
    """
    width = getattr(self, "width", 1)
    if len(gradients) != width:
        raise TypeError(f"expected {width} arguments, got {len(gradients)} instead")
    for i, g in enumerate(gradients):
        if g is not None and not isinstance(g, Tensor):
            raise TypeError(f"argument {i} is not a Variable")
    if isinstance(self, AccumulateGrad):
        return _accumulated(self, gradients[0])
    if all(g is None for g in gradients):
        return None if len(self.next_functions) == 1 else (None,) * len(self.next_functions)
    level = max(g._level for g in gradients if g is not None)
    token = hush()
    try:
        found = self.plan.pull(self, gradients[0] if width == 1 else list(gradients), ~level)
    finally:
        unhush(token)
    return found if self.plan.single or len(found) > 1 else found[0]


def _accumulated(node: AccumulateGrad, g: Tensor | None) -> tuple:
    if g is not None:
        records = modes().record and g.requires_grad
        accumulate([(node.variable, g if records else g._data, False)], node.variable._level, records)
    return ()


Node.__call__ = call_node  # type: ignore[method-assign, operator, attr-defined]

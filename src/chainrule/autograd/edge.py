"""GradientEdge: a place in the graph, to differentiate from or to without holding the tensor that stood there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.core.graph.nodes import AccumulateGrad, Node, engine_node
from chainrule.core.record.saved import output_edge
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.transforms.gradient import Unseen


class GradientEdge(NamedTuple):
    """One output of a node: where the gradient of the tensor that was this output flows in.

    `backward` and `grad` take it in place of the tensor, as output and as input.

    Attributes
    ----------
    node : Node
        The tensor's `grad_fn`, or the `AccumulateGrad` of a leaf.
    output_nr : int
        Which of its outputs.
    ownership_token : object, optional
        Anything to keep alive with the edge.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 3
    >>> edge = cr.autograd.graph.get_gradient_edge(y)
    >>> out = (y * y).sum()
    >>> del y
    >>> cr.autograd.grad(out, edge)
    (tensor([ 6., 12.]),)
    """

    node: Node
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Return the edge to a tensor.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True)
    >>> cr.autograd.graph.get_gradient_edge(x).node.variable is x
    True
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    if tensor._read is not None:
        raise RuntimeError("get_gradient_edge() is not possible inside of vmap: an edge is of all examples; pass the tensor")
    return GradientEdge(node_of(tensor), tensor.output_nr)


def node_of(tensor: Tensor) -> Node:
    """Return a tensor's `grad_fn`, or a leaf's `AccumulateGrad`."""
    node = tensor.grad_fn
    return tensor._accumulator() if node is None else node


def tensor_at(edge: GradientEdge) -> Tensor:
    """Return a tensor that stands for the one an edge led to: the leaf, or one of its shape and dtype and no memory."""
    node, index = edge.node, edge.output_nr
    if isinstance(node, AccumulateGrad):
        return node.variable
    node = engine_node(node)
    known = getattr(node, "_results", {}).get(index)
    if known is None:
        made = wrap(np.zeros(()), Unseen)
    else:
        made = wrap_at(known.level, np.broadcast_to(np.zeros((), known.dtype.numpy), known.shape))
    made._node = output_edge(node, index)
    return made

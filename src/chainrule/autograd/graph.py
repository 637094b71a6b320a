"""PyTorch's ``autograd.graph``: nodes, edges between them, hooks on gradients and on what nodes save."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.autograd.edge import GradientEdge, get_gradient_edge
from chainrule.autograd.multi_grad import register_multi_grad_hook
from chainrule.autograd.mutation import allow_mutation_on_saved_tensors
from chainrule.autograd.saved_tensors import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from chainrule.core.graph import Node
from chainrule.core.tensor import Tensor, version_of

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell autograd that the memory of tensors was written to, by other means than theirs.

    A backward pass that needs their old values then raises, as it does after a write in place.

    Parameters
    ----------
    tensor : Tensor or iterable of Tensor
        Whose memory it is.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2)
    >>> x.numpy()[0] = 7
    >>> cr.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    try:
        tensors = [tensor] if isinstance(tensor, Tensor) else list(tensor)
    except TypeError:
        tensors = [tensor]  # type: ignore[list-item]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    for t in tensors:
        version_of(t).bump()

"""PyTorch's ``autograd.graph``: nodes, edges between them, hooks on gradients and on what nodes save."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable

from chainrule.autograd.edge import GradientEdge, get_gradient_edge
from chainrule.autograd.multi_grad import register_multi_grad_hook
from chainrule.autograd.mutation import allow_mutation_on_saved_tensors
from chainrule.autograd.saved_tensors import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from chainrule.core.graph.nodes import Node as _Node
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.record.notes import OVERWRITTEN, Note, Noting, note_of
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import version_of

__all__ = [
    "OVERWRITTEN",
    "GradientEdge",
    "Node",
    "Note",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "note_of",
    "noting",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class Node(ABC):  # noqa: B024 - nodes are made by the library; this is for isinstance
    """What `grad_fn` shows: a recorded operation. An abstract class, for ``isinstance``.

    Nodes have `name()`, `next_functions`, `metadata`, `register_hook` and `register_prehook`. That of a custom function is its
    `ctx`.

    Examples
    --------
    >>> import chainrule as cr
    >>> y = cr.ones(2, requires_grad=True) * 2
    >>> isinstance(y.grad_fn, cr.autograd.graph.Node)
    True
    """

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        return cls is Node and (issubclass(subclass, _Node) or hasattr(subclass, "_engine_node"))


class noting:  # noqa: N801 - a context manager like the others
    """Note at each node that is recorded where the program made it and, if asked, of which values.

    A context manager, of this thread. :func:`note_of` reads the notes, which live as long as their nodes: also after a
    backward pass has freed what the nodes saved. Recording takes several times as long. Of blocks inside one another the
    innermost rules, except that none takes away the values that an outer one asked for.

    Parameters
    ----------
    values : bool
        Note the operands and results, too: no copies, but references to their memory, which therefore lives on with the node.
        A value whose memory is written to later is lost.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 4.0], requires_grad=True)
    >>> with cr.autograd.graph.noting(values=True):
    ...     y = x.sqrt()
    >>> note = cr.autograd.graph.note_of(y.grad_fn)
    >>> note.text, note.results()
    ('y = x.sqrt()', [array([1., 2.], dtype=float32)])
    """

    def __init__(self, values: bool = False) -> None:
        if not isinstance(values, bool):
            raise TypeError(f"noting(): argument 'values' (position 1) must be bool, not {type(values).__name__}")
        self.values = values
        self._entered: list = []

    def __enter__(self) -> None:
        before = modes()
        switch(notes=Noting(self.values or (before.notes is not None and before.notes.values)))
        self._entered.append((modes(), before))

    def __exit__(self, *exc: object) -> None:
        back(*self._entered.pop(), "notes")


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

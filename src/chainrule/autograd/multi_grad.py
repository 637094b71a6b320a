"""`register_multi_grad_hook`: one function called for the gradients of several tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from chainrule.autograd.edge import node_of
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.graph.nodes import AccumulateGrad, Node
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.hook_calls import notes_of_pass, queue_callback, reached


class _MultiHandle(RemovableHandle):
    """Takes all hooks out."""

    handles: tuple[RemovableHandle, ...]

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> RemovableHandle:
    """Have `fn` called once in each backward pass that reaches any of the tensors.

    Parameters
    ----------
    tensors : sequence of Tensor
        They require grad (in mode "any": others are left out).
    fn : callable
        In mode "all" it takes the list of the tensors' gradients, None for those that the pass does not compute, and is called
        when the last has come. In mode "any" it takes the first gradient that comes. What it returns is not used.
    mode : {"all", "any"}
        See above.

    Returns
    -------
    RemovableHandle
        Its `remove()` takes the hook out of all tensors.

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import chainrule as cr
    >>> a, b, c = (cr.ones(1, requires_grad=True) for _ in range(3))
    >>> handle = cr.autograd.graph.register_multi_grad_hook((a, b, c), print)
    >>> (a * b).backward()
    [tensor([1.]), tensor([1.]), None]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    key = object()  # of what this hook keeps for the time of one pass, which is one thread's
    if mode == "any":

        @wraps(fn)
        def first(grad: Tensor) -> None:
            notes = notes_of_pass()
            if key not in notes:
                notes[key] = True
                fn(grad)

        return _MultiHandle(tuple([t.register_hook(first) for t in tensors if t.requires_grad]))

    for t in tensors:
        if not t.requires_grad:
            raise AssertionError("Expected gradient function to be set")
    keys = [_key(node_of(t)) for t in tensors]  # not the nodes, which hold the hooks
    handles = [t.register_hook(_collector(i, keys, fn, key)) for i, t in enumerate(tensors)]
    return _MultiHandle(tuple(handles))


class _Gathered:
    """The gradients that came in one pass, and how many are still to come."""

    __slots__ = ("awaited", "found")

    def __init__(self, keys: list[int]):
        counts = reached()
        self.found: list[Any] = [None] * len(keys)
        self.awaited = sum(key in counts for key in keys)


def _key(node: Node) -> int:
    return id(node.variable) if isinstance(node, AccumulateGrad) else -node.id


def _collector(index: int, keys: list[int], fn: Callable, key: object) -> Callable:
    def collect(grad: Tensor) -> None:
        notes = notes_of_pass()
        gathered = notes.get(key)
        if gathered is None:
            gathered = notes[key] = _Gathered(keys)

            def finish() -> None:  # where a rule gave no gradient, so that its node was not visited
                if gathered.awaited > 0:
                    fn(gathered.found)

            queue_callback(finish)
        gathered.found[index] = grad
        gathered.awaited -= 1
        if not gathered.awaited:
            fn(gathered.found)

    return collect

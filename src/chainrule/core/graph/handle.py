"""RemovableHandle: what every `register_…_hook` returns, for tensors, nodes and modules."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any
from weakref import ref

_next_id = count().__next__


class RemovableHandle:
    """Takes a hook out again: by `remove()`, or at the end of a ``with`` block.

    Parameters
    ----------
    hooks : OrderedDict
        Where the hook stands, under the key `id`; held weakly.
    extra : OrderedDict or sequence of them, optional
        Others that hold something under this key.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(1, requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 2)
    >>> handle.remove()
    >>> x.sum().backward()
    >>> x.grad
    tensor([1.])
    """

    def __init__(self, hooks: OrderedDict, *, extra: Any = None) -> None:
        self.id = _next_id()
        extras = extra if isinstance(extra, (list, tuple)) else [] if extra is None else [extra]
        self._places = [ref(d) for d in (hooks, *extras)]

    def remove(self) -> None:
        """Take the hook out; nothing happens if it is out already."""
        for place in self._places:
            hooks = place()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register(hooks: OrderedDict, hook: Any) -> RemovableHandle:
    """Put a hook among others and return its handle."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle

"""`allow_mutation_on_saved_tensors`: writes to tensors that nodes saved are let be; the old values are kept for the nodes."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import version_of


class _Kept:
    """A tensor that a node saved: the memory itself, until it is written to; then a copy."""

    __slots__ = ("__weakref__", "context", "tensor", "version")

    def __init__(self, tensor: Tensor, context: AllowMutationOnSavedContext):
        self.tensor, self.version, self.context = tensor.detach(), version_of(tensor), context  # type: ignore[attr-defined]


class AllowMutationOnSavedContext:
    """What one `with` block keeps: the saved tensors whose memory has not been written to yet, by version counter."""

    def __init__(self) -> None:
        self._kept: dict[Any, WeakSet] = {}
        self._open = True

    def clear(self) -> None:
        """Forget what is kept."""
        self._kept.clear()

    def pack(self, t: Tensor) -> _Kept:
        """Keep a tensor that a node saves."""
        kept = _Kept(t, self)
        self._kept.setdefault(kept.version, WeakSet()).add(kept)
        return kept

    def unpack(self, kept: _Kept) -> Tensor:
        """Return a kept tensor as it was when saved."""
        if not self._open:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context"
                "in which the graph was originally recorded."
            )
        return kept.tensor

    def before_write(self, target: Tensor) -> None:
        """Copy what nodes saved of the memory that is about to be written to."""
        for kept in self._kept.pop(target._ver, ()):
            kept.tensor = kept.tensor.clone()


class allow_mutation_on_saved_tensors:  # noqa: N801 - PyTorch's public name
    """Let tensors be written to in place after nodes saved them: the nodes get copies of the old values, made at the write.

    A context manager, of this thread; the backward passes run inside it too.

    Raises
    ------
    RuntimeError
        On entering inside another.
    AssertionError
        In a backward pass after the block's end.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(2, requires_grad=True)
    >>> with cr.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x * 2
    ...     z = (y * y).sum()
    ...     y.zero_()
    ...     z.backward()
    tensor([0., 0.], grad_fn=<ZeroBackward0>)
    >>> x.grad
    tensor([8., 8.])
    """

    def __enter__(self) -> AllowMutationOnSavedContext:
        before = modes()
        if before.on_write is not None:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        self._context = AllowMutationOnSavedContext()
        self._hooks = saved_tensors_hooks(self._context.pack, self._context.unpack)
        self._hooks.__enter__()
        inner = modes()
        switch(on_write=self._context.before_write)
        self._entered = (modes(), inner)
        return self._context

    def __exit__(self, *exc: object) -> None:
        back(*self._entered, "on_write")
        self._hooks.__exit__(*exc)
        self._context.clear()
        self._context._open = False

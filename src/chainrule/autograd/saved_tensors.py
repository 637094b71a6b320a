"""Hooks on the tensors that nodes save for their backward pass: `saved_tensors_hooks` and what is built of it.

How a node keeps what hooks return is ``core.saved``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any

from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor


class saved_tensors_hooks:  # noqa: N801 - PyTorch's public name
    """Have what nodes save packed by one function and unpacked by another. A context manager, of this thread.

    Parameters
    ----------
    pack_hook : callable
        Called with each tensor that an operation saves, when it is recorded; returns anything. It may not write to the
        tensor. Inside transforms (`chainrule.func`) it sees the plain tensors at the bottom.
    unpack_hook : callable
        Called with what `pack_hook` returned, each time a backward pass needs the tensor; returns a tensor of equal values.

    Raises
    ------
    RuntimeError
        On entering, inside :class:`disable_saved_tensors_hooks`.

    Notes
    -----
    Of nested pairs the innermost alone is called. Writes to a tensor whose saved copy hooks have packed are not detected.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> with cr.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True), cr.from_numpy):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self._entered: list = []

    def __enter__(self) -> None:
        before = modes()
        if before.no_saving is not None:
            raise RuntimeError(before.no_saving)
        switch(saving=(self.pack_hook, self.unpack_hook))
        self._entered.append((modes(), before))

    def __exit__(self, *exc: object) -> None:
        back(*self._entered.pop(), "saving")


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's public name
    """Have nodes save what they save in the CPU's memory, where it is already: nothing is copied.

    Parameters
    ----------
    pin_memory : bool
        Taken for PyTorch's sake: there is no device to copy from page-locked memory to.
    device_type : str
        Taken for PyTorch's sake.

    Raises
    ------
    RuntimeError
        In the backward pass, if a saved tensor was written to meanwhile.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> with cr.autograd.graph.save_on_cpu():
    ...     y = x.exp()
    >>> y.sum().backward()
    >>> x.grad
    tensor([2.7183, 7.3891])
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_on_cpu, _from_cpu)


def _on_cpu(t: Tensor) -> tuple[Tensor, int]:
    return t.detach(), t._version  # type: ignore[attr-defined]


def _from_cpu(packed: tuple[Tensor, int]) -> Tensor:
    t, version = packed
    if t._version != version:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[chainrule.{t.dtype.old_name}Tensor {list(t.shape)}], saved by save_on_cpu(), is at version {t._version}; "
            f"expected version {version} instead. Hint: write to a clone() of it."
        )
    return t


class disable_saved_tensors_hooks(ContextDecorator):  # noqa: N801 - PyTorch's public name
    """Forbid hooks on saved tensors; a context manager and decorator, of this thread.

    Parameters
    ----------
    error_message : str
        Of the error that whoever enters :class:`saved_tensors_hooks` inside gets.

    Raises
    ------
    RuntimeError
        With that message, on entering while hooks are in force.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     with cr.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
    ...         pass
    Traceback (most recent call last):
    RuntimeError: not here
    """

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message
        self._entered: list = []

    def __enter__(self) -> None:
        before = modes()
        if before.saving is not None:
            raise RuntimeError(self.error_message)
        switch(no_saving=self.error_message)
        self._entered.append((modes(), before))

    def __exit__(self, *exc: object) -> None:
        back(*self._entered.pop(), "no_saving")

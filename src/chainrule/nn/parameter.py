"""Parameter and Buffer: tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, check_differentiable, disabled_torch_function, marked_as, not_a_flag

__all__ = ["Buffer", "Parameter"]


def _shared(data: Any, cls: type) -> Any:
    """Return a fresh leaf of a subclass on the memory of `data`."""
    if data is None:
        return wrap(Tensor()._data, cls)
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__}: data must be a Tensor, not {type(data).__name__}")
    if data._level:
        raise RuntimeError(
            f"{cls.__name__}: a value inside a transform cannot become a {cls.__name__.lower()}; make it outside, and pass its "
            "value to the function that is transformed"
        )
    return marked_as(wrap(array_of(data).copy() if data._bit else array_of(data), cls), data)


class Parameter(Tensor):
    """A tensor that a :class:`Module` lists among its parameters once it is assigned as an attribute.

    Parameters
    ----------
    data : Tensor, optional
        Its memory is shared; an empty tensor by default.
    requires_grad : bool
        Record operations on it (unlike a Tensor's, True by default).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Parameter(cr.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __torch_function__ = disabled_torch_function

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """Return a parameter that shares the memory of `data`."""
        if requires_grad.__class__ is not bool:
            raise not_a_flag(requires_grad, "Parameter(): argument 'requires_grad' (position 2)")
        made = _shared(data, cls)
        if requires_grad:
            check_differentiable(made.dtype)
            made.requires_grad_()
        return made  # type: ignore[return-value]

    @property
    def data(self) -> Tensor:
        """The same memory as a plain tensor, without history and with a version counter of its own."""
        return marked_as(wrap(array_of(self)), self)

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.fset(self, value)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        made = memo.get(id(self))
        if made is None:  # as in PyTorch, the copy has no gradient yet, and not the user's attributes
            made = memo[id(self)] = type(self)(wrap(array_of(self).copy()), self.requires_grad)
        return made


class Buffer(Tensor):
    """A tensor that a :class:`Module` lists among its buffers once it is assigned: state that is not optimised.

    Parameters
    ----------
    data : Tensor, optional
        Its memory is shared; an empty tensor by default.
    persistent : bool
        Whether it belongs to the module's ``state_dict``.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.Module()
    >>> m.mean = cr.nn.Buffer(cr.zeros(2))
    >>> [name for name, _ in m.named_buffers()]
    ['mean']
    """

    persistent: bool
    __torch_function__ = disabled_torch_function

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        """Return a buffer that shares the memory of `data`."""
        made = _shared(data, cls)
        made.persistent = persistent
        return made

"""Subclasses of Tensor: how results keep a subclass, and the state of the ``__torch_function__`` protocol.

How public functions ask them is ``core.call.asking``'s. A value inside a transform is of the
transform's class, as in PyTorch: a subclass's results are plain there.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from functools import lru_cache
from types import BuiltinFunctionType, MethodDescriptorType, MethodWrapperType, WrapperDescriptorType
from typing import Any
from weakref import ref

from chainrule.core.graph.nodes import new
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, disabled_torch_function, marked_as, memory_of, not_a_flag


class State:
    """Whether subclasses are asked, and the modes that are, the innermost last; `casting` is asked after all others.

    That is autocast (``chainrule.amp``), of which no override knows: its `answer` may be that it has none.
    """

    __slots__ = ("casting", "modes", "subclasses")

    def __init__(self, subclasses: bool, modes: tuple, casting: Any = None):
        self.subclasses, self.modes, self.casting = subclasses, modes, casting


ORDINARY, SILENT = State(True, ()), State(False, ())
STATE: ContextVar[State] = ContextVar("chainrule.overrides", default=ORDINARY)


def overrides(cls: type) -> bool:
    """Tell whether a class overrides functions by ``__torch_function__``; PyTorch's own tensors override PyTorch's only."""
    method = getattr(cls, "__torch_function__", disabled_torch_function)
    return method is not disabled_torch_function and not _is_of_pytorch(cls)


@lru_cache(1024)
def _is_of_pytorch(cls: Any) -> bool:
    theirs = [
        base for base in cls.__mro__ if base.__module__.partition(".")[0] == "torch"
    ]  # ours, too, while chainrule stands in
    return any(base.__name__ == "TensorBase" or (base.__name__ == "Tensor" and base is not Tensor) for base in theirs)


class DisableTorchFunctionSubclass:
    """Inside, functions treat instances of Tensor's subclasses as plain tensors; modes are still asked.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Named(cr.Tensor):
    ...     pass
    >>> with cr.overrides.DisableTorchFunctionSubclass():
    ...     type(Named([1.0]) + 1).__name__
    'Tensor'
    """

    __slots__ = ("_token",)
    _token: Token

    def __enter__(self) -> None:
        state = STATE.get()
        self._token = STATE.set(State(False, state.modes, state.casting) if state.modes or state.casting else SILENT)

    def __exit__(self, *error: Any) -> None:
        STATE.reset(self._token)


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Inside, neither subclasses nor modes are asked.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.overrides.BaseTorchFunctionMode(), cr.overrides.DisableTorchFunction():
    ...     cr.overrides.has_torch_function((cr.ones(2),))
    False
    """

    __slots__ = ()

    def __enter__(self) -> None:
        casting = STATE.get().casting
        self._token = STATE.set(SILENT if casting is None else State(False, (), casting))


def get_default_nowrap_functions() -> set:
    """Return the functions whose results ``Tensor.__torch_function__`` leaves as they are: `grad` and the base of a view.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.Tensor.grad.__get__ in cr.overrides.get_default_nowrap_functions()
    True
    """
    return {Tensor.grad.__get__, Tensor._base.__get__, Tensor._grad.__get__}  # type: ignore[attr-defined]


_C_CALLS = (BuiltinFunctionType, MethodDescriptorType, MethodWrapperType, WrapperDescriptorType)


def _is_pytorchs(func: Any) -> bool:
    """Tell whether a function is PyTorch's own, which asks our tensors too: they have ``__torch_function__``."""
    if isinstance(func, _C_CALLS):
        return not isinstance(getattr(func, "__self__", None), property)
    return str(getattr(func, "__module__", "")).partition(".")[0] == "torch"


def torch_function(cls: type, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """Call the function on plain tensors, and make the tensors among its results this subclass's.

    It is what a subclass's own ``__torch_function__`` calls by ``super()``. NotImplemented if `types` has a class that this
    one is no subclass of.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Named(cr.Tensor):
    ...     pass
    >>> Named([1.0, 2.0]) * 2
    Named([2., 4.])
    """
    if _is_pytorchs(func) or not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", None) == "__get__" and func in get_default_nowrap_functions():
            return result
        return converted(result, cls)


def converted(result: Any, cls: type) -> Any:
    """Return a result with the tensors in it, or in a tuple or list that it is, as instances of a subclass."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) or result._level else as_subclass(result, cls)
    if isinstance(result, (tuple, list)) and any(isinstance(r, (Tensor, tuple, list)) for r in result):
        parts = [converted(r, cls) for r in result]
        return result._make(parts) if hasattr(result, "_make") else type(result)(parts)
    return result


def as_subclass(self: Tensor, cls: type) -> Tensor:
    """Return an instance of a subclass of Tensor with the same memory and history; gradients flow through it.

    Neither ``__new__`` nor ``__init__`` of the class is called.

    Raises
    ------
    TypeError
        If `cls` is no subclass of Tensor.
    RuntimeError
        Inside a transform, whose values are of its own class.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Named(cr.Tensor):
    ...     pass
    >>> x = cr.ones(2, requires_grad=True)
    >>> x.as_subclass(Named).sum().backward()
    >>> x.grad
    tensor([1., 1.])
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls must be a type (got {type(cls).__name__})")
    if not issubclass(cls, Tensor):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your class "
            "inherits from Tensor."
        )
    if self._level and cls is not Tensor:
        raise RuntimeError(f"as_subclass(): a value inside a transform cannot be made a {cls.__name__}; convert it outside")
    plain = TABLE["alias"].call(self)
    if cls is Tensor:
        return plain
    made = new(cls)
    made._data, made._node, made._meta, made._view = plain._data, plain._node, plain._meta, plain._view
    version = made._ver = plain._ver
    version.members.add(ref(made, version.members.discard))
    return made


def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Tensor:
    """Return a leaf of a subclass on the memory of a tensor, as PyTorch's older form of `as_subclass` does."""
    if not issubclass(cls, Tensor):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your class "
            "inherits from Tensor."
        )
    if require_grad.__class__ is not bool:
        raise not_a_flag(require_grad, "_make_subclass(): argument 'require_grad' (position 3)")
    made = marked_as(wrap(array_of(data).copy() if data._bit else memory_of(data), cls), data)
    return made.requires_grad_() if require_grad else made


Tensor.__torch_function__ = classmethod(torch_function)  # type: ignore[attr-defined]
Tensor.as_subclass = as_subclass  # type: ignore[assignment]
Tensor._make_subclass = staticmethod(_make_subclass)  # type: ignore[assignment]

"""PyTorch's ``overrides``: functions on tensors that subclasses of Tensor, look-alikes and modes take over.

A class with a class method ``__torch_function__(cls, func, types, args=(), kwargs=None)`` is asked whenever one of its
instances is passed to a public function: `func` is that function, `types` are the classes that are asked. It returns the
result, or NotImplemented to have the next class asked. A subclass of Tensor inherits one that computes on plain tensors
and returns its own class; a :class:`TorchFunctionMode` is asked about every call in its ``with`` block.

Public functions look for overrides once somebody can need it: from the first subclass of Tensor that is not a Parameter, or the
first import of this module. **A look-alike, which is no subclass, needs
that import**: ``import chainrule.overrides``.

Inside a transform (``func.grad``, ``vmap``, ...) the values are of the transform's own class, as in PyTorch, and so are the
results that depend on them.

Examples
--------
>>> import chainrule as cr
>>> class Logged(cr.Tensor):
...     @classmethod
...     def __torch_function__(cls, func, types, args=(), kwargs=None):
...         print(func.__name__)
...         return super().__torch_function__(func, types, args, kwargs)
>>> y = cr.sin(Logged([0.0]) + 1)
add
sin
>>> type(y).__name__
'Logged'
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.core.call.asking import NAMES, answer, nobody, overriding
from chainrule.core.mode.state import switch
from chainrule.core.tensor.subclass import (
    STATE,
    DisableTorchFunction,
    DisableTorchFunctionSubclass,
    State,
    get_default_nowrap_functions,
)
from chainrule.core.tensor.tensor import Tensor
from chainrule.overrides.switching import ignored, methods, overridable, switch_on

__all__ = [
    "BaseTorchFunctionMode",
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "TorchFunctionMode",
    "get_default_nowrap_functions",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Tell whether any of the arguments overrides functions, or a mode does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.has_torch_function((cr.ones(2), 1))
    False
    """
    state = STATE.get()
    return bool(state.modes) or (state.subclasses and bool(overriding(relevant_args)))


def has_torch_function_unary(arg: Any) -> bool:
    """Tell whether one argument overrides functions, or a mode does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.has_torch_function_unary(cr.ones(2))
    False
    """
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """Tell whether any of the arguments overrides functions, or a mode does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.has_torch_function_variadic(cr.ones(2), 1)
    False
    """
    return has_torch_function(args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the overrides among the relevant arguments make of a call of your own function.

    Raises
    ------
    TypeError
        If all of them return NotImplemented.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.overrides import handle_torch_function, has_torch_function_unary
    >>> def twice(x):
    ...     if has_torch_function_unary(x):
    ...         return handle_torch_function(twice, (x,), x)
    ...     return x + x
    >>> class Named(cr.Tensor):
    ...     pass
    >>> twice(Named([1.0]))
    Named([2.])
    """
    found = overriding(relevant_args, exact=True) if STATE.get().subclasses else []
    result = answer(public_api, found, args, kwargs)
    if result is NotImplemented:
        raise nobody(public_api, found)
    return result


def wrap_torch_function(dispatcher: Callable) -> Callable:
    """Return a decorator that makes a function look for overrides among the arguments that `dispatcher` returns.

    Examples
    --------
    >>> import chainrule as cr
    >>> @cr.overrides.wrap_torch_function(lambda x: (x,))
    ... def twice(x):
    ...     return x + x
    >>> twice(cr.ones(1))
    tensor([2.])
    """

    def inner(func: Callable) -> Callable:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return wrapped

    return inner


def get_overridable_functions() -> dict[Any, list]:
    """Return the functions that look for overrides, by the module or class that has them.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.add in cr.overrides.get_overridable_functions()[cr]
    True
    """
    return {namespace: list(functions) for namespace, functions in overridable.items()}


def get_ignored_functions() -> set:
    """Return the public functions that look for no overrides.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.Tensor.as_subclass in cr.overrides.get_ignored_functions()
    True
    """
    return set(ignored)


def get_testing_overrides() -> dict[Callable, Callable]:
    """Return for each overridable function one of the same signature that returns -1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.get_testing_overrides()[cr.add](1, 2)
    -1
    """

    def dummy(function: Callable) -> Callable:
        def override(*args: Any, **kwargs: Any) -> int:
            return -1

        return functools.update_wrapper(override, function)

    return {function: dummy(function) for functions in overridable.values() for function in functions}


def resolve_name(f: Callable) -> str | None:
    """Return the public name of a function that ``__torch_function__`` is passed; None if it has none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.resolve_name(cr.add), cr.overrides.resolve_name(cr.Tensor.add)
    ('chainrule.add', 'chainrule.Tensor.add')
    """
    return NAMES.get(f)


def is_tensor_like(inp: Any) -> bool:
    """Tell whether a value is a tensor or overrides functions on them.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.is_tensor_like(cr.ones(2)), cr.overrides.is_tensor_like(6)
    (True, False)
    """
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Callable) -> bool:
    """Tell whether a function that ``__torch_function__`` is passed is a method, or a property's ``__get__``.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.overrides import is_tensor_method_or_property
    >>> is_tensor_method_or_property(cr.Tensor.add), is_tensor_method_or_property(cr.add)
    (True, False)
    """
    return func in methods or func.__name__ == "__get__"


class TorchFunctionMode:
    """A context inside which its ``__torch_function__`` is asked about every call of a public function.

    Also about those that take no tensors. Functions that it calls itself go to the modes outside it.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Names(cr.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(cr.overrides.resolve_name(func))
    ...         return func(*args, **(kwargs or {}))
    >>> with Names():
    ...     x = cr.ones(2) * 3
    chainrule.ones
    chainrule.Tensor.mul
    """

    def __init__(self) -> None:
        pass

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Return the result of a call; NotImplemented to have the classes of its arguments asked."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        state = STATE.get()
        STATE.set(State(state.subclasses, (*state.modes, self), state.casting))
        switch(asked=True)
        return self

    def __exit__(self, *error: Any) -> None:
        state = STATE.get()
        STATE.set(State(state.subclasses, state.modes[:-1], state.casting))
        switch(asked=len(state.modes) > 1)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.overrides.BaseTorchFunctionMode():
    ...     cr.ones(2) + 1
    tensor([2., 2.])
    """

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call the function."""
        return func(*args, **(kwargs or {}))


switch_on()

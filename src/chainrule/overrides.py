"""PyTorch's ``overrides``: functions on tensors that subclasses of Tensor, look-alikes and modes take over.

A class with a class method ``__torch_function__(cls, func, types, args=(), kwargs=None)`` is asked whenever one of its
instances is passed to a public function: `func` is that function, `types` are the classes that are asked. It returns the
result, or NotImplemented to have the next class asked. A subclass of Tensor inherits one that computes on plain tensors
and returns its own class; a :class:`TorchFunctionMode` is asked about every call in its ``with`` block.

Looking for overrides costs each call some time, so public functions only do it once somebody can need it: from the first
subclass of Tensor that is not a Parameter, or the first import of this module. **A look-alike, which is no subclass, needs
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
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from chainrule.core.tensor.subclass import (
    STATE,
    DisableTorchFunction,
    DisableTorchFunctionSubclass,
    State,
    get_default_nowrap_functions,
    overrides,
)
from chainrule.core.tensor.tensor import Tensor, Tracked
from chainrule.core.types.dtype import dtype
from chainrule.core.types.shape import Size
from chainrule.functions import adapt
from chainrule.transforms.reverse import run_pass

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

# Classes whose instances never override: those that are passed most.
_PLAIN: set[type] = {Tensor, Tracked, int, float, bool, complex, type(None), str, slice, dtype, np.ndarray, Size}
_NAMESPACES = ("chainrule", "chainrule.autograd", "chainrule.nn.functional")
# Public functions that are no operations on tensors: PyTorch does not ask anyone about these either.
_IGNORED = frozenset((
    "can_cast", "get_default_dtype", "get_num_threads", "get_printoptions", "get_rng_state", "initial_seed",
    "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor",
    "is_warn_always_enabled", "set_warn_always",
    "manual_seed", "printoptions", "promote_types", "seed", "set_default_dtype", "set_num_threads", "set_printoptions",
    "set_rng_state", "typename",
))  # fmt: skip
_AUTOGRAD = ("backward", "grad")
_DATA = frozenset(("as_tensor", "asarray", "from_dlpack", "from_numpy", "tensor"))  # of their arguments only modes are asked
_METHODS_IGNORED = frozenset((
    "__hash__", "__init_subclass__", "__iter__", "__new__", "as_subclass",
))  # fmt: skip
_PRIVATE = frozenset(("_base", "_grad", "_grad_fn", "_is_view", "_version"))
# The method that an operator asks about.
_OPERATORS = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__isub__": "sub_", "__mul__": "mul",
    "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div", "__itruediv__": "div_", "__ifloordiv__": "floor_divide_",
    "__mod__": "remainder", "__imod__": "remainder_", "__pow__": "pow", "__ipow__": "pow_", "__matmul__": "matmul",
    "__rand__": "bitwise_and", "__ror__": "bitwise_or", "__rxor__": "bitwise_xor", "__neg__": "neg", "__abs__": "abs",
    "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__invert__": "bitwise_not",
}  # fmt: skip
_BINARY = frozenset((
    "add", "and", "eq", "floordiv", "ge", "gt", "le", "lshift", "lt", "matmul", "mod", "mul", "ne", "or", "pow", "rshift",
    "sub", "truediv", "xor",
))  # fmt: skip


# -- who is asked ------------------------------------------------------------------------------------------------------


def _asked(values: Iterable[Any], exact: bool = False) -> list:
    """Return one value of each overriding class: subclasses before superclasses, then left to right; Tensor if `exact`."""
    found: list = []
    for value in values:
        cls = type(value)
        if (cls is Tensor and not exact) or not overrides(cls) or any(type(f) is cls for f in found):
            continue
        before = [i for i, f in enumerate(found) if issubclass(cls, type(f))]
        found.insert(before[0] if before else len(found), value)
    return found


def _relevant(args: Iterable[Any]) -> list:
    """Return the arguments, and the items of those that are lists or tuples, that may override."""
    found: list = []
    for a in args:
        cls = a.__class__
        if cls in _PLAIN:
            continue
        if isinstance(a, (list, tuple)):
            found += [item for item in a if item.__class__ not in _PLAIN]
        elif isinstance(a, Tensor) and not overrides(cls):
            _PLAIN.add(cls)  # a level's class, or a kind of Parameter
        else:
            found.append(a)
    return found


def _ask(func: Callable, found: list, args: tuple, kwargs: dict) -> Any:
    """Ask the innermost mode, then the values' classes; NotImplemented if none of them knows."""
    types = tuple([type(f) for f in found])
    state = STATE.get()
    if state.modes:
        token = STATE.set(State(state.subclasses, state.modes[:-1]))
        try:
            result = state.modes[-1].__torch_function__(func, types, args, kwargs)
        finally:
            STATE.reset(token)
        if result is not NotImplemented:
            return result
    for f in found:
        method = f.__torch_function__
        if getattr(method, "__self__", None) is f:
            warnings.warn(
                "Defining your `__torch_function__ as a plain method is deprecated and will be an error in future, please "
                "define it as a classmethod.",
                DeprecationWarning,
                stacklevel=4,
            )
        result = method(func, types, args, kwargs)
        if result is not NotImplemented:
            return result
    return NotImplemented


def _nobody(func: Callable, found: list) -> TypeError:
    name = resolve_name(func) or f"{func.__module__}.{func.__name__}"
    text = f"no implementation found for '{name}' on types that implement __torch_function__: {[type(f) for f in found]}"
    modes = STATE.get().modes
    return TypeError(f"{text} nor in mode {modes[-1]}" if modes else text)


# -- how a function comes to look --------------------------------------------------------------------------------------

_index: dict[Any, str] = {}
_ignored: set = set()
_overridable: dict[Any, list] = {}
_methods: set = set()


@functools.cache
def _asking_code(cells: int) -> CodeType:
    """Return the code of a function with so many closure cells that calls a constant, "the asker", with its arguments."""
    names = "".join([f"c{i}, " for i in range(cells)]) or "None"
    space: dict[str, Any] = {}
    exec(
        f"def make({names if cells else ''}):\n"
        "    def call(*args, **kwargs):\n"
        "        asker = 'the asker'\n"
        "        return asker(args, kwargs)\n"
        f"        {names}\n"
        "    return call\n",
        space,
    )
    return space["make"](*[None] * cells).__code__


def _asker(func: Callable, inner: Callable, *, scan: bool = True, operator: bool = False) -> Callable:
    """Return what a public function does once it looks for overrides: ask, or call `inner`, what it did before.

    `scan` is False if only modes are asked; an `operator` returns NotImplemented if all that were asked do.
    """

    def asker(args: tuple, kwargs: dict) -> Any:
        state = STATE.get()
        found: list = []
        if state.subclasses and scan:
            for a in args:
                if a.__class__ not in _PLAIN:
                    found = _asked(_relevant((*args, *kwargs.values())))
                    break
            else:
                if kwargs:
                    found = _asked(_relevant(kwargs.values()))
        if found or state.modes:
            result = _ask(func, found, args, kwargs)
            if result is not NotImplemented or operator:
                return result
            raise _nobody(func, found)
        return inner(*args, **kwargs)

    return asker


def _property_asker(name: str, kind: str, inner: Callable) -> Callable:
    """Return what a property's getter, setter or deleter does: ask about ``Tensor.<name>.__get__`` and its like."""

    def asker(args: tuple, kwargs: dict) -> Any:
        state = STATE.get()
        if state.modes or (state.subclasses and args[0].__class__ not in _PLAIN):
            found = _asked(_relevant(args)) if state.subclasses else []
            if found or state.modes:
                func = getattr(getattr(Tensor, name), kind)
                result = _ask(func, found, args, kwargs)
                if result is NotImplemented:
                    raise _nobody(func, found)
                return result
        return inner(*args)

    return asker


def _quiet(inner: Callable) -> Callable:
    """Return a function that asks nobody inside it: a backward pass, whose rules are on plain tensors whatever was saved."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunction():
            return inner(*args, **kwargs)

    return call


def _copied(function: Any) -> FunctionType:
    """Return a function of its own with the same code."""
    made = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    for name in ("__kwdefaults__", "__qualname__", "__doc__", "__annotations__", "__module__"):
        setattr(made, name, getattr(function, name))
    made.__dict__.update(function.__dict__)
    return made


def _switch(function: Any, asker: Callable, inner: Callable) -> None:
    """Have a function call `asker`.

    It stays the same object, with other code: a name that someone took before (``from chainrule import sin``) asks as well,
    and tables of functions by identity go on to hold.
    """
    code = _asking_code(len(function.__closure__ or ()))
    consts = tuple([asker if c == "the asker" else c for c in code.co_consts])
    function.__wrapped__ = inner
    function.__code__ = code.replace(
        co_consts=consts, co_name=function.__name__, co_qualname=function.__qualname__, co_filename=__file__
    )


def _look(namespace: Any, name: str, function: Any) -> None:
    """Have one public function look for overrides, and note its name."""
    if function in _index:
        return
    _index[function] = f"{namespace.__name__}.{name}"
    if name in _IGNORED:
        _ignored.add(function)
        return
    _overridable.setdefault(namespace, []).append(function)
    inner = _copied(function)
    call = _quiet(inner) if name in _AUTOGRAD or name in _DATA else inner
    _switch(function, _asker(function, call, scan=name not in _DATA), inner)


def _look_method(name: str, value: Any, public: set) -> None:
    """Have one method or property of Tensor look for overrides."""
    if isinstance(value, property):
        parts: list = []
        for part, kind in ((value.fget, "__get__"), (value.fset, "__set__"), (value.fdel, "__delete__")):
            if part is not None:
                inner, part = part, _copied(part)
                _switch(part, _property_asker(name, kind, inner), inner)
            parts.append(part)
        made: Any = property(*parts)
        setattr(Tensor, name, made)
        _index[made.__get__], _index[made.__set__] = f"chainrule.Tensor.{name}.__get__", f"chainrule.Tensor.{name}.__set__"
        _overridable[made] = [made.__get__]
        return
    if value in _methods:
        return  # another name of it
    inner = _copied(value)
    if value in public:  # asked about as the method that it also is
        value = _copied(value)
        setattr(Tensor, name, value)
    if not hasattr(Tensor, value.__name__):
        value.__name__ = name
    value.__qualname__ = f"Tensor.{value.__name__}"
    stem = name.strip("_")
    operator = name.startswith("__") and any(stem in (b, f"r{b}", f"i{b}") for b in _BINARY)
    func = getattr(Tensor, _OPERATORS.get(name, name), value)
    _switch(value, _asker(func, _quiet(inner) if name == "backward" else inner, operator=operator), inner)
    _index[value] = f"chainrule.Tensor.{name}"
    _methods.add(value)
    _overridable.setdefault(Tensor, []).append(value)


def _declared(function: adapt.Function) -> None:
    """Have a function that is declared from now on look for overrides, and its methods."""
    _look(import_module("chainrule"), function.name, function.call)
    if function.inplace:
        _look_method(f"{function.name}_", getattr(Tensor, f"{function.name}_"), set())


def _attributes() -> dict[str, Any]:
    """Return the methods and properties of Tensor, of its own class and of those that it is made of."""
    return {name: value for cls in reversed(Tensor.__mro__) if cls is not object for name, value in vars(cls).items()}


def _enable() -> None:
    """Have all public functions look for overrides."""
    functions: dict[Any, tuple] = {}
    for module in _NAMESPACES:
        namespace = import_module(module)
        for name, value in list(vars(namespace).items()):
            if value.__class__ is not FunctionType or name.startswith("_") or not value.__module__.startswith("chainrule"):
                continue
            if namespace.__name__ == "chainrule.autograd" and name not in _AUTOGRAD:
                continue
            if hasattr(namespace, "__all__") and name not in namespace.__all__:
                continue
            functions.setdefault(value, (namespace, name))
    for function in adapt.FUNCTIONS.values():
        functions.setdefault(function.call, (import_module("chainrule"), function.name))
    chosen = [
        (name, value)
        for name, value in _attributes().items()
        if (isinstance(value, property) or value.__class__ is FunctionType)
        and name not in _METHODS_IGNORED
        and (not name.startswith("_") or name in _PRIVATE or name.endswith("__"))
    ]
    for name, value in sorted(chosen, key=lambda item: item[0] in _OPERATORS):  # operators ask about methods
        _look_method(name, value, set(functions))
    for function, (namespace, name) in functions.items():
        _look(namespace, name, function)
    inner = _copied(run_pass)
    quiet = _quiet(inner)
    _switch(run_pass, lambda args, kwargs: quiet(*args, **kwargs), inner)
    _ignored.update([getattr(Tensor, name) for name in _METHODS_IGNORED])
    adapt.LISTENERS.append(_declared)


# -- PyTorch's functions -----------------------------------------------------------------------------------------------


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Tell whether any of the arguments overrides functions, or a mode does.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.has_torch_function((cr.ones(2), 1))
    False
    """
    state = STATE.get()
    return bool(state.modes) or (state.subclasses and bool(_asked(relevant_args)))


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
    found = _asked(relevant_args, exact=True) if STATE.get().subclasses else []
    result = _ask(public_api, found, args, kwargs)
    if result is NotImplemented:
        raise _nobody(public_api, found)
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
    return {namespace: list(functions) for namespace, functions in _overridable.items()}


def get_ignored_functions() -> set:
    """Return the public functions that look for no overrides.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.Tensor.as_subclass in cr.overrides.get_ignored_functions()
    True
    """
    return set(_ignored)


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

    return {function: dummy(function) for functions in _overridable.values() for function in functions}


def resolve_name(f: Callable) -> str | None:
    """Return the public name of a function that ``__torch_function__`` is passed; None if it has none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.overrides.resolve_name(cr.add), cr.overrides.resolve_name(cr.Tensor.add)
    ('chainrule.add', 'chainrule.Tensor.add')
    """
    return _index.get(f)


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
    return func in _methods or func.__name__ == "__get__"


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
        STATE.set(State(state.subclasses, (*state.modes, self)))
        return self

    def __exit__(self, *error: Any) -> None:
        state = STATE.get()
        STATE.set(State(state.subclasses, state.modes[:-1]))


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


_enable()

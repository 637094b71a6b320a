"""How a public function asks who overrides it: modes, subclasses of Tensor and look-alikes with ``__torch_function__``.

Nobody can until ``chainrule.overrides`` is imported, which the first subclass does, or autocast is first on (``chainrule.amp``,
which is asked last); until then `asking.on` is False, and reading it is all that a public function does. Three kinds read it:
those that a decorator here wraps; the hot path, on its slow side alone, where each call with an instance of an overriding class
or under a mode ends; and the hottest of the others in their own bodies. Methods and properties of Tensor are
``chainrule.overrides``'s.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from chainrule.core.call.misfits import FAILURES, misfit
from chainrule.core.call.older import other_form
from chainrule.core.tensor.subclass import SILENT, STATE, State, overrides
from chainrule.core.tensor.tensor import GradTracking, Tensor
from chainrule.core.types.dtype import dtype
from chainrule.core.types.shape import Size


class _Asking:
    """Whether public functions look for overrides, once for all; a flag that is read in 5 ns."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


asking = _Asking()
_F = TypeVar("_F", bound=Callable[..., Any])
_VARARGS = 0x04  # a code flag
UNASKED: Any = object()  # what `asked` returns where nobody overrides

NAMES: dict[Any, str] = {}  # the public names of functions that ask, for errors and ``overrides.resolve_name``

# Classes whose instances never override: those that are passed most.
PLAIN: set[type] = {Tensor, GradTracking, int, float, bool, complex, type(None), str, slice, dtype, np.ndarray, Size}


def overriding(values: Iterable[Any], exact: bool = False) -> list:
    """Return one value of each overriding class: subclasses before superclasses, then left to right; Tensor if `exact`."""
    found: list = []
    for value in values:
        cls = type(value)
        if (cls is Tensor and not exact) or not overrides(cls) or any(type(f) is cls for f in found):
            continue
        before = [i for i, f in enumerate(found) if issubclass(cls, type(f))]
        found.insert(before[0] if before else len(found), value)
    return found


def relevant(args: Iterable[Any]) -> list:
    """Return the arguments, and the items of those that are lists or tuples, that may override."""
    found: list = []
    for a in args:
        cls = a.__class__
        if cls in PLAIN:
            continue
        if isinstance(a, (list, tuple)):
            found += [item for item in a if item.__class__ not in PLAIN]
        elif isinstance(a, Tensor) and not overrides(cls):
            PLAIN.add(cls)  # a level's class, or a kind of Parameter
        else:
            found.append(a)
    return found


def answer(func: Callable, found: list, args: tuple, kwargs: dict) -> Any:
    """Ask the innermost mode, then the values' classes; NotImplemented if none of them knows."""
    types = tuple([type(f) for f in found])
    state = STATE.get()
    if state.modes:
        token = STATE.set(State(state.subclasses, state.modes[:-1], state.casting))
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


def nobody(func: Callable, found: list) -> TypeError:
    """Return the error to raise where all that were asked decline."""
    name = NAMES.get(func) or f"{func.__module__}.{func.__name__}"
    text = f"no implementation found for '{name}' on types that implement __torch_function__: {[type(f) for f in found]}"
    modes = STATE.get().modes
    return TypeError(f"{text} nor in mode {modes[-1]}" if modes else text)


def asked(func: Callable, args: tuple, kwargs: dict, *, scan: bool = True, operator: bool = False) -> Any:
    """Return what overrides make of a call of a public function; `UNASKED` where there are none.

    `scan` is False if only modes are asked. An `operator` returns NotImplemented if all that were asked do.

    Raises
    ------
    TypeError
        If all that were asked decline.
    """
    state = STATE.get()
    found: list = []
    if state.subclasses and scan:
        for a in args:
            if a.__class__ not in PLAIN:
                found = overriding(relevant((*args, *kwargs.values())))
                break
        else:
            if kwargs:
                found = overriding(relevant(kwargs.values()))
    if not (found or state.modes):
        return UNASKED if state.casting is None else state.casting.answer(func, args, kwargs)
    result = answer(func, found, args, kwargs)
    if result is NotImplemented and not operator:
        raise nobody(func, found)
    return result


@functools.cache
def _parameters(func: Any) -> tuple[tuple[str, ...], str | None, dict[str, Any]]:
    """Return the names of a function's parameters without defaults, that of its ``*args``, and the others' defaults."""
    func = getattr(func, "__wrapped__", func)
    code, values = func.__code__, func.__defaults__ or ()
    names, count = code.co_varnames, code.co_argcount
    rest = names[count + code.co_kwonlyargcount] if code.co_flags & _VARARGS else None
    required = names[: count - len(values)]
    return required, rest, {**dict(zip(names[len(required) : count], values, strict=True)), **(func.__kwdefaults__ or {})}


def call_of(func: Callable, values: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Return the arguments and keywords of a call, as the function's `locals` have them at its start; without defaults."""
    required, rest, defaults = _parameters(func)
    args = tuple([values[name] for name in required])
    return args + values.get(rest, ()), {k: values[k] for k, v in defaults.items() if values[k] is not v}  # type: ignore[arg-type]


def asked_here(func: Callable, values: dict[str, Any]) -> Any:
    """Do what `asked` does, for a function that reads `asking` itself; `values` are its `locals`."""
    return asked(func, *call_of(func, values))


def as_factors(*values: Any) -> tuple:
    """Return the factors of a product that another function is composed of, as autocast has them where it is on."""
    casting = STATE.get().casting if asking.on else None
    return values if casting is None else casting.factors(values)


def silently(func: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call a function inside which nobody is asked."""
    token = STATE.set(SILENT)
    try:
        return func(*args, **kwargs)
    finally:
        STATE.reset(token)


def ask_once(func: Callable, args: tuple, kwargs: dict, scan: bool = True) -> Any:
    """Return what overrides make of a call; where there are none, what the function does with nobody asked inside it.

    So do backward passes, whose rules are on plain tensors whatever was saved; and, with ``scan=False``, functions that make
    tensors of data, the class of which has no say.
    """
    found = asked(func, args, kwargs, scan=scan)
    return silently(func, *args, **kwargs) if found is UNASKED else found


def is_silent() -> bool:
    """Tell whether nobody is asked: nobody ever was, or not here."""
    return not asking.on or STATE.get() is SILENT


def asks(f: _F) -> _F:
    """Return a public function that asks before it runs; the signature and all else stay.

    It costs 90 ns a call, and 300 with keywords: what takes less than 2 µs reads `asking` itself.
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if asking.on:
            found = asked(call, args, kwargs)
            if found is not UNASKED:
                return found
        try:
            return f(*args, **kwargs) if kwargs else f(*args)
        except FAILURES as error:
            meant = other_form(f, f.__name__, args, kwargs)
            if meant is not None:
                return f(*meant[0], **meant[1])
            wrong = misfit(f, f.__name__, args, kwargs, error)
            if wrong is None:
                raise
            raise wrong from error

    return call  # type: ignore[return-value]


def asks_once(scan: bool = True) -> Callable[[_F], _F]:
    """Return a decorator of public functions that do what `ask_once` does."""

    def declare(f: _F) -> _F:
        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            return f(*args, **kwargs) if is_silent() else ask_once(call, args, kwargs, scan)

        return call  # type: ignore[return-value]

    return declare

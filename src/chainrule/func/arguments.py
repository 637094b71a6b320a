"""Which arguments of a function a transform differentiates in: by position, `argnums`, or by name, `argnames`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.autograd.forward_ad import raised
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import take, version_of
from chainrule.core.types.tree import tree_map

Argnums = int | tuple[int, ...]
Argnames = str | tuple[str, ...] | None


def expect_function(func: Any, transform: str) -> None:
    """Raise TypeError, in Python's words for it, if what a transform is given cannot be called."""
    if not callable(func):
        raise TypeError(f"{type(func).__name__!r} object is not callable: {transform}() takes a function")


def check_places(argnums: Any, argnames: Any) -> None:
    """Raise PyTorch's error for `argnums` that are no places, and one like it for `argnames`.

    Raises
    ------
    RuntimeError
        If they are of another type, empty or repeated, or both are given.
    """
    given, name, kind = (argnums, "argnums", int) if argnames is None else (argnames, "argnames", str)
    if argnames is not None and argnums != 0:
        raise RuntimeError(f"give argnums or argnames, not both: got argnums={argnums} and argnames={argnames}")
    if isinstance(given, kind):
        return
    if not isinstance(given, tuple) or not all(isinstance(a, kind) for a in given):
        raise RuntimeError(f"{name} must be {kind.__name__} or Tuple[{kind.__name__}, ...], got: {type(given)}")
    if not given:
        raise RuntimeError(f"{name} must be non-empty")
    if len(set(given)) != len(given):
        raise RuntimeError(f"{name} elements must be unique, got {given}")


def check_counts(transform: str, **given: Any) -> None:
    """Raise unless each option is None or a whole number above 0: TypeError, or PyTorch's ValueError."""
    for what, n in given.items():
        if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__")):
            raise TypeError(f"{transform}: `{what}` is a whole number or None, not {n!r}")
        if n is not None and n < 1:
            raise ValueError(f"{transform}: `{what}` should be greater than 0.")


def check_randomness(randomness: Any) -> None:
    """Raise PyTorch's error for what is no way to draw."""
    if randomness not in ("error", "same", "different"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")


def choose(func: Callable, argnums: Argnums, argnames: Argnames, args: tuple, kwargs: dict) -> tuple[tuple, Callable]:
    """Return the chosen arguments of a call, and the call as a function of them.

    Raises
    ------
    RuntimeError
        If the call has no such argument.
    """
    if argnames is None:
        if argnums == 0 and args and argnums.__class__ is int:
            return args[:1], func if not (args[1:] or kwargs) else Call(func, (0,), args, kwargs)
        places: tuple = (argnums,) if isinstance(argnums, int) else argnums
        for i in places:
            if not -len(args) <= i < len(args):
                raise RuntimeError(f"Got argnum={i}, but only {len(args)} positional inputs")
        places = tuple(i % len(args) for i in places)
        if len(set(places)) != len(places):
            raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    else:
        names = (argnames,) if isinstance(argnames, str) else argnames
        places = tuple(name if name in kwargs else _position(func, name, args, kwargs) for name in names)

    return tuple(kwargs[p] if p.__class__ is str else args[p] for p in places), Call(func, places, args, kwargs)


class Call:
    """A call as a function of the chosen arguments. It gets the others as tensors of its own, so that it may write to them.

    Attributes
    ----------
    written : list of tuple
        The caller's tensors that the last run wrote values of its transform to, and their new values.
    """

    __slots__ = ("_args", "_func", "_kwargs", "_places", "written")

    def __init__(self, func: Callable, places: tuple, args: tuple, kwargs: dict):
        self._func, self._places, self._args, self._kwargs = func, places, args, kwargs
        self.written: list = []

    def others(self) -> list:
        """Return the arguments that were not chosen."""
        given = (*enumerate(self._args), *self._kwargs.items())
        return [a for place, a in given if place not in self._places]

    def __call__(self, *chosen: Any) -> Any:
        """Call the function; note what it wrote to the other arguments."""
        own: list = []
        args = {i: a if i in self._places else _aliases(a, own) for i, a in enumerate(self._args)}
        kwargs = {k: a if k in self._places else _aliases(a, own) for k, a in self._kwargs.items()}
        for place, value in zip(self._places, chosen, strict=True):
            (kwargs if place.__class__ is str else args)[place] = value
        result = self._func(*args.values(), **kwargs)
        self.written = [
            (t, raised(alias._data) if alias._level > t._level else alias) for t, alias in own if alias._data is not t._data
        ]
        return result

    def apart(self) -> tuple[tuple, tuple, dict]:
        """Return the places of the chosen arguments, and all arguments with None there: what makes this call again."""
        args = tuple([None if i in self._places else a for i, a in enumerate(self._args)])
        return self._places, args, {k: None if k in self._places else a for k, a in self._kwargs.items()}


def write_back(call: Callable) -> None:
    """Give the caller's tensors the values that the last run of a call wrote to its other arguments."""
    if call.__class__ is Call:
        for t, value in call.written:
            t.copy_(value)


def _aliases(value: Any, own: list) -> Any:
    """Return an argument with a tensor of the transform that runs for each tensor of the caller's; note both."""
    if not isinstance(value, Tensor):
        return (
            value if value.__class__ in _PLAIN else tree_map(lambda t: _aliases(t, own) if isinstance(t, Tensor) else t, value)
        )
    if value._node is not None or (not value._level and value.__class__ is not Tensor):
        return value  # its history is its own, and a subclass's values are
    alias = wrap(None)
    take(alias, value)
    alias._ver = version_of(value)
    own.append((value, alias))
    return alias


_PLAIN = (int, float, bool, str, complex, type(None))


def _position(func: Callable, name: str, args: tuple, kwargs: dict) -> int:
    """Return where the argument of this name stands among the positional ones of a call."""
    import inspect

    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][: len(args)]
    if name not in names:
        found = ", ".join(map(repr, (*names, *kwargs)))
        raise RuntimeError(f"Got argname={name!r}, but the call's arguments are {found or 'none'}")
    return names.index(name)


def others_of(call: Callable) -> list:
    """Return the arguments of a call as :func:`choose` gives it that were not chosen."""
    return call.others() if call.__class__ is Call else []  # type: ignore[attr-defined]


def is_one(argnums: Argnums, argnames: Argnames) -> bool:
    """Tell whether one argument was chosen, so that the result is its own and not a tuple."""
    return isinstance(argnums, int) if argnames is None else isinstance(argnames, str)

"""Which arguments of a function a transform differentiates in: by position, `argnums`, or by name, `argnames`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Argnums = int | tuple[int, ...]
Argnames = str | tuple[str, ...] | None


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


def choose(func: Callable, argnums: Argnums, argnames: Argnames, args: tuple, kwargs: dict) -> tuple[tuple, Callable]:
    """Return the chosen arguments of a call, and the call as a function of them.

    Raises
    ------
    RuntimeError
        If the call has no such argument.
    """
    if argnames is None:
        if argnums == 0 and args and argnums.__class__ is int:
            rest = args[1:]
            return args[:1], func if not (rest or kwargs) else lambda x: func(x, *rest, **kwargs)
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

    def call(*chosen: Any) -> Any:
        filled, named = list(args), dict(kwargs)
        for place, value in zip(places, chosen, strict=True):
            if place.__class__ is str:
                named[place] = value
            else:
                filled[place] = value
        return func(*filled, **named)

    return tuple(kwargs[p] if p.__class__ is str else args[p] for p in places), call


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


def is_one(argnums: Argnums, argnames: Argnames) -> bool:
    """Tell whether one argument was chosen, so that the result is its own and not a tuple."""
    return isinstance(argnums, int) if argnames is None else isinstance(argnames, str)

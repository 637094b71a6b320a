"""Calling a module with other tensors in the place of its parameters and buffers.

This is what makes a module a function of its parameters, for the transforms in `chainrule.func`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module as a function of its parameters and buffers.

    Parameters
    ----------
    module : Module
        What to call; it is left as it was.
    parameter_and_buffer_dicts : dict or sequence of dict
        Dotted name → tensor to use in its place. Names left out keep their tensors.
    args : tuple or object, optional
        Positional arguments of the call; anything but a tuple is the one argument.
    kwargs : dict, optional
        Keyword arguments of the call.
    tie_weights : bool
        A tensor that the module has under several names is replaced under all of them when one is given.
    strict : bool
        Raise unless the names are exactly the module's.

    Returns
    -------
    object
        The module's result.

    Raises
    ------
    ValueError
        If a name is given twice, or tied names are given different tensors.
    RuntimeError
        If `strict` and the names differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.nn.stateless import functional_call
    >>> net = cr.nn.Linear(1, 1, bias=False)
    >>> functional_call(net, {"weight": cr.tensor([[3.0]])}, cr.ones(1))
    tensor([3.])
    """
    given = _merged(parameter_and_buffer_dicts)
    places = _places(module)
    if strict:
        _check_names(given, places)
    unknown = [name for name in given if name not in places]
    if unknown:
        raise AttributeError(f"{type(module).__name__} has no parameter or buffer `{unknown[0]}`")
    values = _tied(given, places) if tie_weights else given
    before = [(*places[name], value) for name, value in values.items()]
    originals = [register[key] for register, key, _ in before]
    for register, key, value in before:
        register[key] = value
    try:
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for (register, key, value), original in zip(before, originals, strict=True):
            if register[key] is not value:  # a buffer that the call replaced: the caller's dict gets the new one
                _update(parameter_and_buffer_dicts, value, register[key])
            register[key] = original


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, Sequence) or not all(isinstance(d, dict) for d in dicts):
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}")
    merged: dict[str, Tensor] = {}
    for d in dicts:
        for name, value in d.items():
            if name in merged:
                raise ValueError(f"{name} appeared in multiple dictionaries; behavior of functional call is ambiguous")
            merged[name] = value
    return merged


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Return where each parameter and buffer lives: dotted name → (register of its module, name in it)."""
    places = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        for register in (inner._parameters, inner._buffers):
            for key, t in register.items():
                if t is not None:
                    places[f"{path}.{key}" if path else key] = (register, key)
    return places


def _tied(given: dict[str, Tensor], places: dict[str, tuple[dict, str]]) -> dict[str, Tensor]:
    """Return the values for all names that share a tensor with a given one."""
    chosen: dict[int, tuple[str, Tensor]] = {}
    for name, value in given.items():
        register, key = places[name]
        other, other_value = chosen.setdefault(id(register[key]), (name, value))
        if other_value is not value:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted((other, name))}, which are tied. "
                "Consider using tie_weights=False"
            )
    return {name: chosen[id(register[key])][1] for name, (register, key) in places.items() if id(register[key]) in chosen}


def _check_names(given: dict[str, Tensor], places: dict) -> None:
    unexpected = [name for name in given if name not in places]
    missing = [name for name in places if name not in given]
    if unexpected or missing:
        raise RuntimeError(
            "Error(s) in strict mode:"
            + (f"\n\tUnexpected key(s): {', '.join(unexpected)}." if unexpected else "")
            + (f"\n\tMissing key(s): {', '.join(missing)}." if missing else "")
        )


def _update(dicts: Any, old: Tensor, value: Any) -> None:
    for d in (dicts,) if isinstance(dicts, dict) else dicts:
        for name in d:
            if d[name] is old:
                d[name] = value

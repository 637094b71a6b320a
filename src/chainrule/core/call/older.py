"""PyTorch's older and other forms of calls: what a call that failed meant by names or places of arguments of another form.

Nothing is asked before a call fails, so a call in today's form does not pay for the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from chainrule.core.op.batching import is_warn_always_enabled
from chainrule.core.tensor.tensor import Tensor

# What PyTorch calls a parameter elsewhere: NumPy's names, which it takes for its own; those of other overloads. The first of
# the names given here that a function has, and a call does not use yet, is what is meant.
_OTHER_NAMES = {
    "x": ("input",), "a": ("input",), "self": ("input", "elements"), "x1": ("input",), "x2": ("other",),
    "element": ("elements",), "test_element": ("test_elements",), "sections": ("indices_or_sections",),
    "indices": ("indices_or_sections",), "tensor_indices_or_sections": ("indices_or_sections",),
    "split_size": ("split_size_or_sections",), "tensor": ("tensor1", "tensor2"), "other": ("tensor2",),
    "scalar": ("tensor1", "tensor2"), "scalar1": ("tensor1",), "scalar2": ("tensor2",),
}  # fmt: skip
_OLDER = {
    "add": ("input", "alpha", "other"), "sub": ("input", "alpha", "other"),
    "addcmul": ("input", "value", "tensor1", "tensor2"), "addcdiv": ("input", "value", "tensor1", "tensor2"),
    "addmm": ("beta", "input", "alpha", "mat1", "mat2"), "addmv": ("beta", "input", "alpha", "mat", "vec"),
    "addr": ("beta", "input", "alpha", "vec1", "vec2"), "addbmm": ("beta", "input", "alpha", "batch1", "batch2"),
    "baddbmm": ("beta", "input", "alpha", "batch1", "batch2"),
}  # fmt: skip
"""The places of arguments before PyTorch 1.5, when factors stood before what they multiply."""
_FACTORS = ("beta", "alpha", "value")
_told = False


def by_other_names(f: Callable, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Return the keywords of a call that failed of names that it knows otherwise; None if it did not fail of these.

    Examples
    --------
    >>> def narrow(input: Tensor, dim: int) -> None: ...
    >>> by_other_names(narrow, {"x": 1.0, "dim": 0})
    {'dim': 0, 'input': 1.0}
    """
    code = f.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    meant: dict[str, Any] = {k: value for k, value in kwargs.items() if k in names}
    if len(meant) == len(kwargs):
        return None
    for k, value in kwargs.items():
        if k not in names:
            name = next((n for n in _OTHER_NAMES.get(k, ()) if n in names and n not in meant), None)
            if name is None:
                return None
            meant[name] = value
    return meant


def by_older_places(name: str, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
    """Return the arguments of a call in the form that PyTorch deprecated, in today's; None if it is in no such form.

    It warns once, as PyTorch does. Of a method, the tensor stands first, before the factors.

    Examples
    --------
    >>> by_older_places("addmm", (0.5, "x", "a", "b"), {}) is None  # factors are numbers, the others tensors
    True
    """
    form = _OLDER.get(name.removesuffix("_"))
    if form is None:
        return None
    if form[0] == "beta" and args and isinstance(args[0], Tensor):
        form = ("input", "beta", *form[2:])
    for places in (form, tuple(p for p in form if p != "alpha" or "beta" not in form)):
        given = dict(zip(places, args, strict=False))
        if len(args) <= len(places) and not given.keys() & kwargs.keys():
            given |= kwargs
            kinds = all(_may_stand(value, place) for place, value in given.items())
            if given.keys() == set(places) and kinds:
                _tell(name, form)
                today = [p for p in form if p not in _FACTORS]
                factors = {p: value for p, value in given.items() if p in _FACTORS}
                numbers = {p: value.item() if isinstance(value, Tensor) else value for p, value in factors.items()}
                return tuple(given[p] for p in today), numbers
    return None


def _may_stand(value: Any, place: str) -> bool:
    """Tell whether a value may be a factor, a number, or what it multiplies, a tensor; of two terms the other is either."""
    if place in _FACTORS:
        return not isinstance(value, Tensor) or (value.ndim == 0 and not value.requires_grad)
    return isinstance(value, Tensor) or (place == "other" and isinstance(value, (int, float, complex)))


def _tell(name: str, form: tuple[str, ...]) -> None:
    global _told
    if _told and not is_warn_always_enabled():
        return
    _told = True
    old = ", ".join(f"{'Number' if p in _FACTORS else 'Tensor'} {p}" for p in form)
    new = ", ".join(
        [f"Tensor {p}" for p in form if p not in _FACTORS] + ["*"] + [f"Number {p} = 1" for p in form if p in _FACTORS]
    )
    warnings.warn(
        f"This overload of {name} is deprecated:\n\t{name}({old})\nConsider using one of the following signatures "
        f"instead:\n\t{name}({new})",
        UserWarning,
        stacklevel=4,
    )


def in_todays_places(call: Callable, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Call a function with arguments that stand where they did once; raise its error if they do not stand there either."""
    meant = by_older_places(name, args, kwargs)
    if meant is None:
        raise TypeError(f"{name}() received an invalid combination of arguments: {len(args)} by position and {list(kwargs)}")
    return call(*meant[0], **meant[1])


def other_form(f: Callable, name: str, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
    """Return the arguments of a call that failed as the function has them today; None if it failed of something else."""
    meant = by_other_names(f, kwargs)
    if meant is not None:
        return args, meant
    return by_older_places(name, args, kwargs)


def has_other_names(f: Callable, name: str) -> bool:
    """Tell whether a method has arguments that PyTorch names or places otherwise, too."""
    code = f.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return name in _OLDER or any(n in names for other in _OTHER_NAMES.values() for n in other if n != "other")

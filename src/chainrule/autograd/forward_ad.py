"""PyTorch's ``autograd.forward_ad``: dual numbers in a scope. Unlike PyTorch's, scopes nest.

Examples
--------
>>> import chainrule as cr
>>> from chainrule.autograd import forward_ad as fwAD
>>> with fwAD.dual_level():
...     x = fwAD.make_dual(cr.tensor(2.0), cr.tensor(1.0))
...     fwAD.unpack_dual(x**3).tangent
tensor(12.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.core.call.dispatch import cast
from chainrule.core.mode.grad_mode import modes, switch
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import carried, meta_of, on_memory_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import demote
from chainrule.transforms.forward import Dual, dual
from chainrule.transforms.partial import seed, value_of

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """A primal and its tangent; the tangent is None where there is none."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Open a forward level and return it; close it with :func:`exit_dual_level`. Prefer :class:`dual_level`."""
    level = fresh_level()
    switch(open={**modes().open, level: []})
    return level


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the innermost forward level.

    Raises
    ------
    RuntimeError
        If no level is open, or `level` is not the innermost.
    """
    innermost = _open_level(None)
    if innermost is None:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created: none is open.")
    if level is not None and level != innermost:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    still_open = dict(modes().open)
    demote(still_open.pop(innermost), innermost)
    switch(open=still_open)


class dual_level:  # noqa: N801 - PyTorch's public name
    """A scope in which tensors can carry tangents. Scopes nest; each has a level of its own."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def _open_level(level: int | None) -> int | None:
    if level is None or level < 0:
        return next(reversed(modes().open), None)
    return level


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """Return a tensor that carries a tangent at the innermost (or the given) forward level.

    Parameters
    ----------
    tensor : Tensor
        The primal, floating point or complex.
    tangent : Tensor
        Of the primal's shape, and its dtype or one that promotes to it, which it is converted to.

    Raises
    ------
    RuntimeError
        If no level is open, the shape differs, or the tangent is of a wider dtype: PyTorch would compute on in that.
    ValueError
        If the primal or the tangent is neither floating point nor complex.
    """
    level = _open_level(level)
    if level is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    floats = tangent.dtype.category >= dtypes.FLOAT <= tensor.dtype.category
    if floats and tangent.dtype is not tensor.dtype and dtypes.promote_types(tangent.dtype, tensor.dtype) is tensor.dtype:
        tangent = cast(tangent, tensor.dtype)  # in which PyTorch's rules would compute from it
    check_tangent(tensor, tangent)
    if tensor._level >= level:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
            f"{_depth(level)} is not supported."
        )
    if tangent._level >= level:
        raise RuntimeError(
            f"Setting a forward grad that itself has a forward gradient at the same level{_depth(level)} is not supported."
        )
    if tangent.stride() != tensor.stride() and tensor.numel():
        tangent = TABLE["copy"].call(tensor, tangent, form="CopyBackwards!")
    primal = tensor if tensor._node is None else tensor.view_as(tensor)
    made = dual(
        level, primal, seed(tangent) if modes().safe else tangent
    )  # tensors, for whoever saves their memory is to notice writes to it
    meta_of(made).given, meta_of(made).of = (primal, tangent), tensor
    return made


def _depth(level: int) -> int:
    """Return how many open levels are outside of one."""
    return list(modes().open).index(level) if level in modes().open else 0


def check_tangent(primal: Tensor, tangent: Tensor) -> None:
    """Raise PyTorch's error where a tangent does not fit its primal."""
    for name, t in (("primal", primal), ("tangent", tangent)):
        if t.dtype.category < dtypes.FLOAT:
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if primal.shape != tangent.shape:
        raise RuntimeError(
            f"Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(primal.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    if primal.dtype is not tangent.dtype:
        raise RuntimeError(f"Expected tangent to have the same dtype as the primal, {primal.dtype}, but got {tangent.dtype}.")


def lowered(t: Tensor) -> Any:
    """Return a plain tensor that reverse mode does not watch as its payload, which is cheaper; others as they are."""
    return t._data if t.__class__ is Tensor and t._node is None and modes().tracer is None else t


def kept(t: Tensor) -> Any:
    """Return what `lowered` does, an array copied: nodes that save it would not notice a write to the tensor."""
    payload = lowered(t)
    return payload.copy() if payload.__class__ is np.ndarray and modes().record else payload


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """Return the primal and the tangent of a tensor at the innermost (or the given) forward level.

    The tangent is None if the tensor has none there.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    level = _open_level(level)
    if level is None or tensor.__class__ is not Dual or tensor._level != level:
        return UnpackedDualTensor(tensor, None)
    meta = meta_of(tensor)
    if not meta.given:
        primal, tangent = carried(tensor), value_of(tensor._tangent)
        if tangent is not None and not isinstance(tangent, Tensor):
            tangent = on_memory_of(tensor, tangent) if tangent.__class__ is np.ndarray else wrap(tangent)
        if tensor._view is not None:
            return UnpackedDualTensor(primal, tangent)
        tensor._data, tensor._tangent = meta.given = primal, tangent
    primal, tangent = meta.given
    return UnpackedDualTensor(primal.view_as(primal), tangent)


def raised(value: Any) -> Tensor:
    """Return a payload as a tensor."""
    return value if isinstance(value, Tensor) else wrap(value)

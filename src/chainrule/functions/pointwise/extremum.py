"""Limiting and comparing values under PyTorch's names."""

from __future__ import annotations

from typing import Any

from chainrule.core.call.functions import make_public
from chainrule.core.op.samples import Sample, samples_of
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import public
from chainrule.ops.pointwise import extremum as extrema

__all__ = ["clamp", "clamp_max", "clamp_min", "clip"]

_clamp_min, _clamp_max = make_public(extrema.clamp_min.op), make_public(extrema.clamp_max.op)  # type: ignore[attr-defined]


@public(out=True, inplace=True, kinds="bif", samples=lambda: samples_of(extrema.clamp_min.op))  # type: ignore[attr-defined]
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Return `input`, at least `min`, a tensor or number that broadcasts with it; the derivative at the bound is 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.clamp_min(cr.tensor([-1.0, 2.0]), min=0)
    tensor([0., 2.])
    """
    return _clamp_min(input, min)


@public(out=True, inplace=True, kinds="bif", samples=lambda: samples_of(extrema.clamp_max.op))  # type: ignore[attr-defined]
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Return `input`, at most `max`, a tensor or number that broadcasts with it; the derivative at the bound is 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.clamp_max(cr.tensor([-1.0, 2.0]), max=0)
    tensor([-1.,  0.])
    """
    return _clamp_max(input, max)


_clamp = make_public(extrema.clamp.op)  # type: ignore[attr-defined]
_CLAMPS = [
    Sample((3, 4), -0.5, 0.5), Sample((3, 4), min=0.1), Sample((3, 4), max=0.1), Sample((), 0.5, -0.5),
    Sample((3, 4), (4,), (3, 1)), Sample((3, 4), max=(4,)), Sample((0, 2), -1, 1),
    Sample((2,), error=(RuntimeError, "torch.clamp: At least one of 'min' or 'max' must not be None")),
]  # fmt: skip


@public(out=True, inplace=True, kinds="f", samples=lambda: [s for s in _CLAMPS if s.params.get("max") != (4,)])
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return the values limited to [min, max].

    The derivative at a bound is that of the inside: 1.

    Parameters
    ----------
    input : Tensor
        Of any real dtype.
    min, max : Tensor or number, optional
        Bounds that broadcast with `input`; where ``min > max``, the result is `max`.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    RuntimeError
        If neither bound is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.clamp(cr.tensor([-2.0, 0.3, 2.0]), -1, 1)
    tensor([-1.0000,  0.3000,  1.0000])
    """
    if min is None:
        if max is None:
            raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
        return clamp_max(input, max)
    if max is None:
        return clamp_min(input, min)
    return _clamp(input, min, max)


@public(out=True, inplace=True, kinds="f", samples=lambda: [Sample((3, 4), -0.5, 0.5), Sample((), min=0.1)])
def clip(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return the values limited to [min, max]: another name of :func:`clamp`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.clip(cr.tensor([-2.0, 0.3, 2.0]), max=1)
    tensor([-2.0000,  0.3000,  1.0000])
    """
    return clamp(input, min, max)

"""Batching rules: how an op runs on values with a batch axis in front, one example beside the other.

A rule is called as ``rule(b, *args, **params)``: the :class:`Batch`, then the op's inputs, of which those with ``b.on[i]`` have
the batch axis first and the others none, then the static parameters. It returns the results with the batch axis first. It is
written with the library's own ops, so that it runs on raw arrays and on values of any other transform.

Elementwise ops need none: it follows from broadcasting. The rules here serve most others; `per_example` is for an op that is a
composition of others, `dynamic` for one whose result has another shape for each example.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.op.declaration import TABLE
from chainrule.core.op.raw import shape_of

if TYPE_CHECKING:
    from chainrule.core.op.declaration import Op

Rule = Callable[..., Any]


class Batch:
    """One use of a batching rule.

    Attributes
    ----------
    op : Op
        What runs.
    size : int
        Of the batch axis.
    on : tuple of bool
        Which inputs have the batch axis.
    given : tuple
        The inputs as the function under `vmap` sees them: tensors of one example's shape.
    """

    __slots__ = ("given", "on", "op", "size")

    def __init__(self, op: Op, size: int, on: tuple[bool, ...], given: tuple):
        self.op, self.size, self.on, self.given = op, size, on, given

    def whole(self, args: tuple) -> list:
        """Return the inputs, arrays without the batch axis repeated along one."""
        return [a if on else self.repeated(a) for a, on in zip(args, self.on, strict=True)]

    def repeated(self, x: Any) -> Any:
        """Return a value repeated along a batch axis; a Python number or None as it is."""
        if not hasattr(x, "shape"):
            return x
        return TABLE["broadcast_to"].call(x, shape=(self.size, *x.shape))

    def ranked(self, x: Any, i: int, ndim: int) -> Any:
        """Return input `i` with examples of at least `ndim` axes, the new ones in front, so that it broadcasts."""
        if not self.on[i]:
            return x
        missing = ndim + 1 - x.ndim
        return x if missing <= 0 else reshaped(x, (x.shape[0], *(1,) * missing, *x.shape[1:]))


def reshaped(x: Any, shape: tuple) -> Any:
    """Return a raw array or tensor in another shape."""
    return x.reshape(shape) if x.__class__ is np.ndarray else TABLE["reshape"].call(x, shape=shape)


def moved(x: Any, source: int, to: int = 0) -> Any:
    """Return a raw array or tensor with one axis moved."""
    if source == to:
        return x
    order = [k for k in range(x.ndim) if k != source]
    order.insert(to, source)
    return TABLE["permute"].call(x, order=tuple(order))


def aligned(b: Batch, /, *args: Any, **params: Any) -> Any:
    """Run an op whose inputs broadcast: give all examples the same number of axes."""
    ndim = max([len(shape_of(a)) - on for a, on in zip(args, b.on, strict=True)])
    return b.op.call(*[b.ranked(a, i, ndim) for i, a in enumerate(args)], **params)


def same(b: Batch, /, *args: Any, **params: Any) -> Any:
    """Run an op that treats leading axes alike: with the same parameters."""
    return b.op.call(*b.whole(args), **params)


def _next(axis: Any) -> Any:
    return tuple([k + 1 for k in axis]) if axis.__class__ is tuple else axis + 1


# What a static parameter of a name means, and so what becomes of it behind a batch axis of a size.
SHIFTS: dict[str, Callable[[Any, int], Any]] = {
    **dict.fromkeys(("axis", "axes", "lead", "a", "b"), lambda axis, _: _next(axis)),
    "order": lambda order, _: (0, *_next(order)) if order.__class__ is tuple else order,  # a permutation; of a norm a number
    "shape": lambda shape, size: (size, *shape),
    "index": lambda index, _: (slice(None), *index),
    "widths": lambda widths, _: ((0, 0), *widths),
}


def shifted(params: dict, size: int) -> dict:
    """Return static parameters with axes, shapes and indices moved behind the batch axis."""
    return {k: SHIFTS[k](v, size) if k in SHIFTS else v for k, v in params.items()}


def shift_axes(b: Batch, /, *args: Any, **params: Any) -> Any:
    """Run an op with its static axes, shapes and indices moved behind the batch axis."""
    return b.op.call(*b.whole(args), **shifted(params, b.size))


def along_axis(b: Batch, /, *args: Any, **params: Any) -> Any:
    """Run an op along one axis, which a 0-d example has too, as in PyTorch: it is one of one element."""
    args = tuple(b.whole(args))
    scalar = [getattr(x, "ndim", 0) == 1 for x in args]
    lifted = [reshaped(x, (b.size, 1)) if on else x for x, on in zip(args, scalar, strict=True)]
    out = b.op.call(*lifted, **shifted(params, b.size))
    return each(_unlifted, out) if scalar[0] else out


def _unlifted(out: Any) -> Any:
    return reshaped(out, (out.shape[0],)) if out.ndim == 2 and out.shape[1] == 1 else out


def one_axis_or_all(b: Batch, x: Any, *, axis: int | None, keepdims: bool, **params: Any) -> Any:
    """Run a reduction along one axis, or of whole examples (`axis` None)."""
    if axis is not None:
        return along_axis(b, x, axis=axis, keepdims=keepdims, **params)
    out = b.op.call(reshaped(x, (b.size, prod(x.shape[1:]))), axis=1, keepdims=False, **params)
    return reshaped(out, (b.size, *(1,) * (x.ndim - 1))) if keepdims else out


def each(f: Callable, out: Any) -> Any:
    """Apply `f` to the result of an op, or to each of several."""
    return tuple([f(o) for o in out]) if out.__class__ in (tuple, list) else f(out)


def per_example(f: Callable) -> Rule:
    """Return the rule of an op that is a composition of others: `f` takes and returns tensors of one example's shape."""

    def rule(b: Batch, /, *_: Any, **params: Any) -> Any:
        level = max([getattr(a, "_level", 0) for a in b.given])
        out = f(*b.given, **params)
        return each(lambda o: o if getattr(o, "_level", 0) == level else b.repeated(o), out)

    rule.composition = f  # type: ignore[attr-defined]  # which lowers the op, too
    return rule


def dynamic(name: str = "") -> Rule:
    """Return the rule of an op whose result has another shape for each example: it raises PyTorch's error."""

    def refuse(b: Batch, *_: Any, **params: Any) -> Any:
        raise RuntimeError(
            "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
            f"{name or b.op.name}. Its result has another shape for each example: compute it outside of vmap."
        )

    refuse.refuses = True  # type: ignore[attr-defined]
    return refuse


_WARNED: set[str] = set()
_always = False


def set_warn_always(b: bool, /) -> None:
    """Set whether warnings that are given once, such as that an op has no batching rule, are given each time.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_warn_always(True)
    >>> cr.is_warn_always_enabled()
    True
    >>> cr.set_warn_always(False)
    """
    global _always
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _always = b


def is_warn_always_enabled() -> bool:
    """Tell whether warnings that are given once are given each time.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_warn_always_enabled()
    False
    """
    return _always


def looped(b: Batch, /, *args: Any, **params: Any) -> Any:
    """Run an op once for each example, and say so once."""
    name = b.op.name
    if _always or name not in _WARNED:
        _WARNED.add(name)
        warnings.warn(
            f"There is a performance drop because {name} has no batching rule: vmap runs it once for each example. "
            "Give its declaration a batch=.",
            UserWarning,
            stacklevel=2,
        )
    if not b.size:
        raise RuntimeError(f"vmap: {name} has no batching rule, and so none for a batch of size 0")
    take = TABLE["getitem"].call
    rows = []
    for i in range(b.size):
        row = [take(a, index=(i, ...)) if on else a for a, on in zip(args, b.on, strict=True)]
        rows.append(b.op.call(*row, **params))
    stack = TABLE["stack"].call
    if rows[0].__class__ in (tuple, list):
        return tuple([stack(*column, axis=0) for column in zip(*rows, strict=True)])
    return stack(*rows, axis=0)

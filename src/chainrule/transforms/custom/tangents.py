"""The tangents that a function's `jvp` is given, and what it must return."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact, root_of
from chainrule.transforms.custom.call import Outcome
from chainrule.transforms.custom.context import raised


def with_zeros(ctx: Any, lower: tuple, tangents: list) -> tuple:
    """Return the tangents as `jvp` gets them: tensors, zeros or None where an argument has none."""
    found = []
    for a, t in zip(lower, tangents, strict=True):
        if t is not None:
            t = raised(t)
        elif isinstance(a, Tensor) and ctx.materialize_grads and is_inexact(a):
            t = wrap(np.zeros(tuple(a.shape), a.dtype.numpy))
        found.append(t)
    return tuple(found)


def checked_tangents(inner: Outcome, ctx: Any, dots: Any) -> tuple:
    """Return what `jvp` returned, one for each result; raise PyTorch's error where it does not fit."""
    if not isinstance(dots, tuple):
        dots = (dots,)
    if len(dots) != len(inner.outs):
        raise RuntimeError(
            f"Function's jvp returned an invalid number of forward gradients (expected {len(inner.outs)} but got {len(dots)})"
        )
    constants = {id(t) for t in ctx.non_differentiable or ()}
    for j, (o, raw, dot) in enumerate(zip(inner.outs, inner.raw, dots, strict=True)):
        if dot is None:
            continue
        if not isinstance(dot, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(dot).__name__}) for grad output {j}.")
        if not isinstance(o, Tensor) or not is_inexact(o) or id(raw) in constants:
            raise RuntimeError(
                f"Function's jvp returned a gradient at position {j}, but  the corresponding forward output is not a "
                "differentiable Tensor.You should return None at that position instead."
            )
        if dot.shape != o.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                f"supported. Tensor is of size {list(o.shape)} while the given forward gradient is of size {list(dot.shape)}."
            )
    return dots


def check_memory(inner: Outcome, lower: tuple, written: list, given: tuple, dots: tuple, viewed: bool) -> None:
    """Raise PyTorch's error unless tangents lie in memory as the results do: written in place, or views of what was given.

    Views are checked in `forward_ad`'s own levels alone, where the user holds the tensors whose memory is shared.
    """
    for o, i, dot in zip(inner.raw, inner.same, dots, strict=True):
        if i in written and given[i] is not None:
            if dot is not given[i]:
                raise RuntimeError(
                    "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is "
                    "modifying an input inplace, then the jvp function must modify the corresponding gradient inplace."
                )
            continue
        source = _source(o, i, lower) if viewed and isinstance(o, Tensor) else None
        if source is None or given[source] is None or dot is None:
            continue
        if dot is given[source] or not dot._is_view():
            raise RuntimeError(
                "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a view."
            )
        if root_of(dot) is not root_of(given[source]):
            raise RuntimeError(
                "A custom Function is returning a view but the jvp is not returning a view of the given grad input."
            )


def _source(o: Tensor, same: int | None, lower: tuple) -> int | None:
    """Return which argument a result is or is a view of; None if it is none."""
    if same is not None or o._view is None:
        return same
    return next((k for k, a in enumerate(lower) if isinstance(a, Tensor) and root_of(o) is root_of(a)), None)

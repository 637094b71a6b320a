"""How a call of a custom function passes through a forward level: `jvp` gives the tangents."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact, version_of
from chainrule.core.write.inplace import adopt
from chainrule.transforms.custom.call import ABOVE, REVERSE, Outcome, Rules, index_of, run, written_inputs
from chainrule.transforms.custom.context import lowered, mapped, raised
from chainrule.transforms.forward import Dual, dual


def on_duals(self: Tensor, rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call at a forward level: on primals, with the tangents that `jvp` returns."""
    level = self._level
    error = rules.no_jvp()
    if error is not None:
        if above != REVERSE:
            raise error
        return _openly(rules, args, level)
    lower = tuple([raised(a._data) if isinstance(a, Tensor) and a._level == level else a for a in args])
    tangents = [
        a._tangent if isinstance(a, Tensor) and a._level == level else None
        for a in args
    ]  # fmt: skip
    inner = run(rules, lower, max(above, ABOVE))
    ctx = rules.face()
    ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in lower])
    if rules.separate:
        rules.setup(ctx, lower, inner.raw[0] if inner.single else inner.raw)
    else:
        ctx.__dict__.update(inner.requests or {})
    written = written_inputs(ctx.dirty_tensors, lower, inner.raw)
    dots: Any = [None] * len(inner.outs)
    if any(t is not None for t in tangents):
        dots = checked_tangents(inner, ctx, rules.jvp(ctx, with_zeros(ctx, lower, tangents)))
    outs = []
    for o, i, dot in zip(inner.outs, inner.same, dots, strict=True):
        if not isinstance(o, Tensor):
            outs.append(o)
            continue
        made = dual(level, lowered(o), None if dot is None else lowered(dot))
        if i in written and args[i]._level == level:
            version_of(args[i]).bump()
            adopt(args[i], made, rules.name)
            made = args[i]
        outs.append(made)
    known = {id(b): a for b, a in zip((*lower, *inner.raw), (*args, *outs), strict=True) if isinstance(b, Tensor)}
    requests = inner.requests and {k: mapped(lambda t: known.get(id(t), t), v) for k, v in inner.requests.items()}
    return Outcome(tuple(outs), inner.single, tuple(outs), inner.same, requests)


Dual._custom = on_duals  # type: ignore[attr-defined]


def _openly(rules: Rules, args: tuple, level: int) -> Outcome:
    """Run a function without `jvp` whose reverse derivative is taken: its own operations carry the tangents of that."""
    ctx = rules.face()
    out = rules.openly(ctx, args)
    single = not isinstance(out, tuple)
    outs = tuple(
        [
            dual(level, lowered(o), None) if isinstance(o, Tensor) and o._level < level else o
            for o in ((out,) if single else out)
        ]
    )
    same = tuple([index_of(o, args) if isinstance(o, Tensor) else None for o in outs])
    return Outcome(outs, single, outs, same, dict(ctx.__dict__))


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

"""How a call of a custom function passes through Taylor mode: ``out' = jvp(x')`` gives the coefficients, one after another."""

from __future__ import annotations

from functools import partial
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_inexact
from chainrule.transforms.custom.call import ABOVE, Outcome, Rules, run
from chainrule.transforms.custom.context import lowered, mapped, raised
from chainrule.transforms.custom.duals import checked_tangents, with_zeros
from chainrule.transforms.taylor import Coefficients, coefficient, scaled, series


def on_series(self: Tensor, rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call at a level of Taylor mode."""
    level = self._level
    error = rules.no_jvp()
    if error is not None:
        raise error
    here = [isinstance(a, Tensor) and a._level == level for a in args]
    lower = tuple([raised(a._data) if on else a for a, on in zip(args, here, strict=True)])
    moving = [a._tangent if on else None for a, on in zip(args, here, strict=True)]
    inner = run(rules, lower, max(above, ABOVE))
    if any(i is not None and o is lower[i] for o, i in zip(inner.outs, inner.same, strict=True)):
        raise RuntimeError(
            f"{rules.name}: a function that writes to its arguments in place has no Taylor series; return new tensors"
        )
    expansion = next((c.expansion for c in moving if c is not None), None)
    slopes: list = []

    def follow(j: int, k: int) -> Any:
        if not slopes:
            slopes.extend(_slopes(rules, inner, args, moving, lower, outs))
        dot = slopes[j]
        found = None if dot is None else coefficient(dot, k - 1, level)
        return scaled(lowered(found) if isinstance(found, Tensor) else found, k, divide=True)

    made: list = []
    for j, o in enumerate(inner.outs):
        if not isinstance(o, Tensor):
            made.append(o)
            continue
        value, c = lowered(o), None
        if expansion is not None and is_inexact(o):
            c = Coefficients(expansion, [value], partial(follow, j))
        made.append(series(level, value, c))
    outs = tuple(made)
    if expansion is not None:
        expansion.made([t._tangent for t in outs if isinstance(t, Tensor) and t._tangent is not None])  # type: ignore[attr-defined]
    return Outcome(outs, inner.single, outs, inner.same, _requests(inner, lower, args, outs))


def _slopes(rules: Rules, inner: Outcome, args: tuple, moving: list, lower: tuple, outs: tuple) -> tuple:
    """Return the derivatives of the results, as series, from `jvp` run on series."""
    ctx = rules.face()
    ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in lower])
    if rules.separate:
        rules.setup(ctx, args, outs[0] if inner.single else outs)
    else:
        ctx.__dict__.update(_requests(inner, lower, args, outs) or {})
    found = rules.jvp(ctx, with_zeros(ctx, args, [None if c is None else c.slope() for c in moving]))
    return checked_tangents(inner._replace(outs=outs, raw=outs), ctx, found)


def _requests(inner: Outcome, lower: tuple, args: tuple, outs: tuple) -> dict | None:
    known = {id(b): a for b, a in zip((*lower, *inner.raw), (*args, *outs), strict=True) if isinstance(b, Tensor)}
    return inner.requests and {k: mapped(lambda t: known.get(id(t), t), v) for k, v in inner.requests.items()}

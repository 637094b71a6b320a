"""Taylor mode: a value carries the coefficients of its Taylor series in one variable, each computed when it is asked for.

No op has a Taylor rule. Three cases follow from what an op declares (Griewank & Walther, *Evaluating Derivatives*, ch. 13):

- where its derivative does not depend on what moves, the k-th coefficient is its jvp of the k-th coefficients;
- a product is the convolution of its factors' coefficients, and a quotient the solution of that for one factor; an op that is
  its first operand times something is a product too;
- else ``out' = jvp(x', x, out)``: the op's own rule, run once on series, gives the coefficients of the derivative, and so
  those of the result. Its k-th needs only those of lower order, even where the rule names the result itself.

What rules make of the same operands is shared (the rule of sin makes a cos, whose rule makes that sin), so the cost grows
with a small power of the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn
from weakref import WeakValueDictionary, ref

from chainrule.core.call.dispatch import compute, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.op.declaration import BILINEAR, IN, LINEAR, OUT, TABLE, Op
from chainrule.core.record.plans import link_view
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact
from chainrule.transforms.custom.call import ABOVE, Outcome, Rules, run_rules
from chainrule.transforms.custom.context import lowered, mapped, raised
from chainrule.transforms.custom.tangents import checked_tangents, with_zeros
from chainrule.transforms.forward import jvp_of, zeros_like


class Expansion:
    """One use of Taylor mode.

    Attributes
    ----------
    order : int
        The highest coefficient that is wanted.
    inside : bool
        Whether the rule of an op is running, whose intermediate results are not needed to the full order.
    known : mapping
        Op and operands → coefficients of the result, while they are in use.
    """

    __slots__ = ("_between", "inside", "known", "level", "order")

    def __init__(self, level: int, order: int):
        self.level, self.order = level, order
        self.inside = False
        self.known: WeakValueDictionary[Any, Coefficients] = WeakValueDictionary()
        self._between: list[Coefficients] = []

    def made(self, each: list[Coefficients]) -> None:
        """Compute the results of an op to the full order; those that a rule makes on the way, as far as it needs them."""
        if self.inside:
            self._between += each
            return
        self.inside = True
        try:
            for c in each:
                c[self.order]
        finally:
            self.inside = False
            for c in (*each, *self._between):  # they may need each other: let go of cycles
                c.follow = None
            self._between.clear()


class Coefficients:
    """The Taylor coefficients of a value, from the 0-th; None for those that are zero.

    `follow` computes the k-th where all before it are known.
    """

    __slots__ = ("__weakref__", "_slope", "expansion", "follow", "known")

    def __init__(self, expansion: Expansion, known: list, follow: Callable[[int], Any] | None = None):
        self.expansion, self.known, self.follow = expansion, known, follow
        self._slope: Any = None

    def __getitem__(self, k: int) -> Any:
        known = self.known
        while len(known) <= k:
            known.append(self.follow(len(known)))  # type: ignore[misc]
        return known[k]

    def slope(self) -> Series:
        """Return the derivative of the series, the same each time while it is in use."""
        found = None if self._slope is None else self._slope()
        if found is None:
            first = self[1]
            found = Coefficients(
                self.expansion,
                [zeros_like(self.known[0]) if first is None else first],
                lambda k: scaled(self[k + 1], k + 1),
            )
            self._slope = ref(found)
        return series(self.expansion.level, found.known[0], found)


class Series(Level):
    """A value and its Taylor coefficients at one level.

    `_data` is the value, `_tangent` its `Coefficients`, or None for a constant. What reverse mode knows of it is what it
    knows of the value.
    """

    __slots__ = ()

    def _process(self, op: Op, args: tuple, params: dict) -> Any:
        level, raw = self._level, True
        values: list[Any] = []
        moving: list[Any] = []
        rules = op.rules * len(args) if op.variadic else op.rules
        for a, rule in zip(args, rules, strict=True):
            c = None
            if isinstance(a, Tensor) and a._level == level:
                c, a = a._tangent, a._data  # type: ignore[attr-defined]
            raw = raw and not isinstance(a, Tensor)
            values.append(a)
            moving.append(None if rule is None else c)
        step = _Step(op, level, values, moving, params)
        key = step.key()
        found = None if key is None else step.expansion.known.get(key)
        if found is not None:
            return series(level, found.known[0], found)
        token = hush()
        try:
            out = compute(op, values, params, args) if raw else run(op, tuple(values), params)
            made = step.results(out, key)
        finally:
            unhush(token)
        several = out.__class__ is tuple or out.__class__ is list
        if op.view:
            for i, t in enumerate(made):
                link_view(t, args[0], op, params, i if several else None)
        return tuple(made) if several else made[0]

    def _custom(self, rules: Rules, args: tuple, above: int) -> Outcome:
        """Run a call: ``out' = jvp(x')`` gives the coefficients, one after another."""
        level = self._level
        error = rules.no_jvp()
        if error is not None:
            raise error
        here = [isinstance(a, Tensor) and a._level == level for a in args]
        lower = tuple([raised(a._data) if on else a for a, on in zip(args, here, strict=True)])
        moving = [a._tangent if on else None for a, on in zip(args, here, strict=True)]
        inner = run_rules(rules, lower, max(above, ABOVE))
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

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this one."""
        return series(self._level, value, None)

    def requires_grad_(self, requires_grad: bool = True) -> NoReturn:
        """Raise: a value of Taylor mode is no leaf."""
        raise RuntimeError("requires_grad_() on a value inside func.jet: differentiate there with func.grad or func.vjp")


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


def series(level: int, value: Any, coefficients: Coefficients | None) -> Any:
    """Return the series of a value and its coefficients (None for a constant) at a level."""
    t: Any = wrap(value, Series)
    t._lv, t._tangent = level, coefficients
    return t


class _Step:
    """One op on series: its operands' values, their coefficients where they move, and how the result's follow."""

    __slots__ = ("expansion", "level", "moving", "op", "params", "values")

    def __init__(self, op: Op, level: int, values: list, moving: list, params: dict):
        self.op, self.level, self.values, self.moving, self.params = op, level, values, moving, params
        self.expansion: Any = next((c.expansion for c in moving if c is not None), None)

    def key(self) -> Any:
        """Return what tells this step from others, if it is one whose rule is to be run only once; None for others.

        Operands other than series and numbers can be written to in place, and so do not tell.
        """
        if self.expansion is None or self.op.view or self._is_linear() or self._is_product():
            return None
        parts: list[Any] = [self.op, *self.params.items()]
        for value, c in zip(self.values, self.moving, strict=True):
            if c is not None:
                parts.append(ref(c))
            elif value is None or value.__class__ in (int, float, complex, bool):
                parts.append(repr(value))
            else:
                return None
        key = tuple(parts)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def results(self, out: Any, key: Any) -> list:
        """Return the results as series."""
        several = out.__class__ is tuple or out.__class__ is list
        outs = tuple(out) if several else (out,)
        if self.expansion is None or not self.op.is_differentiable:
            return [series(self.level, o, None) for o in outs]
        follow = self._follow(outs, several)
        made = []
        for i, o in enumerate(outs):
            c = Coefficients(self.expansion, [o], _at(follow, i)) if is_inexact(o) else None
            made.append(series(self.level, o, c))
        follow.outs = made
        if key is not None and not several:  # of several results one would stand for all
            self.expansion.known[key] = made[0]._tangent
        self.expansion.made([t._tangent for t in made if t._tangent is not None])
        return made

    # -- how coefficients follow -----------------------------------------------------------------------------------

    def _is_linear(self) -> bool:
        """Tell whether the derivative here depends on nothing that moves."""
        op = self.op
        if op.kind is LINEAR:
            return True
        rules = op.rules * len(self.values) if op.variadic else op.rules
        used = [op.jvp] if op.jvp is not None else [r for r, c in zip(rules, self.moving, strict=True) if c is not None]
        moves = [True] if op.variadic else [c is not None for c in self.moving]
        return not any(kind is OUT or (kind is IN and moves[i]) for r in used for kind, i in r.sources)  # type: ignore[union-attr]

    def _is_product(self) -> bool:
        return self.op.kind is BILINEAR or self.op is TABLE["mul"] or self.op is TABLE["div"]

    def _follow(self, outs: tuple, several: bool) -> Any:
        if self._is_linear():
            return _Linear(self, outs, several)
        if self.op is TABLE["div"]:
            return _Quotient(self, outs, several)
        if self._is_product():
            return _Product(self, outs, several)
        if self.op.scales and self.moving[0] is not None:
            return _Scaled(self, outs, several)
        return _Differential(self, outs, several)


def _at(follow: Any, i: int) -> Callable[[int], Any]:
    return lambda k: follow(k)[i]


class _Follow:
    """The coefficients of an op's results: called with k, it returns the k-th of each."""

    def __init__(self, step: _Step, payloads: tuple, several: bool):
        self.step, self.payloads, self.several = step, payloads, several
        self.outs: list = []  # the results as series
        self._last: tuple = (0, None)

    def __call__(self, k: int) -> Sequence[Any]:
        if self._last[0] != k:
            self._last = k, self.coefficients(k)
        return self._last[1]

    def coefficients(self, k: int) -> Sequence[Any]:
        raise NotImplementedError

    def each(self, found: Any) -> Sequence[Any]:
        """Return what a jvp returned as one entry for each result."""
        if found is None:
            return [None] * len(self.payloads)
        return found if self.several else (found,)


class _Linear(_Follow):
    def coefficients(self, k: int) -> Sequence[Any]:
        step = self.step
        at_k = [None if c is None else c[k] for c in step.moving]
        if not any(x is not None for x in at_k):
            return self.each(None)
        out = self.payloads if self.several else self.payloads[0]
        raw = not any(isinstance(x, Tensor) for x in (*step.values, *at_k))
        return self.each(jvp_of(step.op, step.values, at_k, out, step.params, raw))


class _Product(_Follow):
    def coefficients(self, k: int) -> Sequence[Any]:
        x, y = self.step.moving
        return (_convolved(self.step.op, x, y, range(k + 1), k, self.step.params),)


class _Scaled(_Follow):
    """``f(g, …) = g · f(1, …)``, of which the other factor's rule is run once for all that it scales."""

    other: Any = None

    def coefficients(self, k: int) -> Sequence[Any]:
        step = self.step
        if self.other is None:
            rest = [v if c is None else series(step.level, v, c) for v, c in zip(step.values, step.moving, strict=True)]
            self.other = run(step.op, (1.0, *rest[1:]), step.params)
        moving = [coefficient(self.other, j, step.level) for j in range(k + 1)]
        dtype = self.payloads[0].dtype
        found = _convolved(TABLE["mul"], step.moving[0], moving, range(k + 1), k, {})
        return (found if found is None or found.dtype == dtype else found.astype(dtype),)


class _Quotient(_Follow):
    """``q = x / y`` is what solves ``x[k] = sum of y[j] q[k-j]``."""

    def coefficients(self, k: int) -> Sequence[Any]:
        x, y = self.step.moving
        rest = None if x is None else x[k]
        known = _convolved(TABLE["mul"], y, self.outs[0]._tangent, range(1, k + 1), k, {})
        if known is not None:
            rest = -known if rest is None else rest - known
        return (None if rest is None else _run(self.step.op, (rest, self.step.values[1]), {}),)


class _Differential(_Follow):
    slope: Sequence[Any] | None = None

    def coefficients(self, k: int) -> Sequence[Any]:
        if self.slope is None:
            self.slope = self._of_rule()
        return [scaled(coefficient(s, k - 1, self.step.level), k, divide=True) for s in self.slope]

    def _of_rule(self) -> Sequence[Any]:
        """Return the derivatives of the results, as series, from the op's own rule."""
        step = self.step
        primals = [v if c is None else series(step.level, v, c) for v, c in zip(step.values, step.moving, strict=True)]
        slopes = [None if c is None else c.slope() for c in step.moving]
        out = tuple(self.outs) if self.several else self.outs[0]
        return self.each(jvp_of(step.op, primals, slopes, out, step.params))


def coefficient(value: Any, k: int, level: int) -> Any:
    """Return the k-th coefficient of a value, a series or not."""
    if isinstance(value, Tensor) and value._level == level:
        if k:
            return None if value._tangent is None else value._tangent[k]  # type: ignore[attr-defined]
        return value._data
    return None if k else value


def _convolved(op: Op, x: Any, y: Any, places: range, k: int, params: dict) -> Any:
    """Return the sum of ``op(x[j], y[k-j])`` over some places j; None for zero."""
    total = None
    for j in places:
        a, b = x[j], y[k - j]
        if a is not None and b is not None:
            term = _run(op, (a, b), params)
            total = term if total is None else total + term
    return total


def _run(op: Op, values: tuple, params: dict) -> Any:
    if any(isinstance(v, Tensor) for v in values):
        return run(op, values, params)
    return compute(op, list(values), params, values)


def scaled(value: Any, k: int, divide: bool = False) -> Any:
    """Return a coefficient times k, or divided by it, in its own dtype."""
    if value is None or k == 1:
        return value
    out = value / k if divide else value * k
    return out if out.dtype == value.dtype else out.astype(value.dtype)

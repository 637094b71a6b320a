"""Forward accumulation: a dual value carries (primal, tangent) through the same rules in one sweep.

Every use (`func.jvp`, `forward_ad.dual_level`) takes a fresh level; values of other levels are constants to it, so
uses nest in each other and with reverse mode in any order without perturbation confusion.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import compute, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import LEAF_EDGE
from chainrule.core.mode.grad_mode import enable_grad
from chainrule.core.mode.state import modes
from chainrule.core.op.declaration import BILINEAR, ELEMENTWISE, LINEAR, TABLE, Op
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import link_view, shared_version
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import carried, is_inexact, on_memory_of, version_of
from chainrule.core.write.inplace import adopt
from chainrule.transforms.custom.call import ABOVE, REVERSE, Outcome, Rules, index_of, run_rules, written_inputs
from chainrule.transforms.custom.context import lowered, mapped
from chainrule.transforms.custom.tangents import check_memory, checked_tangents, with_zeros
from chainrule.transforms.gradient import as_tensor, checked_cotangent, one_of, pulled_back
from chainrule.transforms.hook_calls import PRIMALS, TANGENTS, accumulated, pass_of_duals
from chainrule.transforms.partial import value_of
from chainrule.transforms.paths import edge_of

ndarray = np.ndarray


class Dual(Level):
    """A primal and its tangent at one forward level.

    `_data` is the primal, `_tangent` the tangent or None for zero; both are values of lower levels, but that the tangent may be
    a `Partial` of one. What reverse mode knows of a dual is what it knows of its primal.
    """

    __slots__ = ()

    def _process(self, op: Op, args: tuple, params: dict) -> Any:
        level = self._level
        primals, tangents, raw = [], [], True
        for a in args:
            t = None
            if isinstance(a, Tensor) and a._level == level:
                a, t = a._data, a._tangent  # type: ignore[attr-defined]
            raw = raw and not isinstance(a, Tensor) and not isinstance(t, Tensor)
            primals.append(a)
            tangents.append(t)
        token = hush()
        try:
            if raw:
                out = compute(op, primals, params, args)
            else:  # what is below may be recorded, and is to notice writes to what it saves
                primals, tangents = _in_memory(args, primals), _in_memory(args, tangents)
                out = run(op, tuple(primals), params)
            if op.kind is ELEMENTWISE and op.jvp is None:
                out_dot = _elementwise_jvp(op, primals, tangents, out, params, raw)
                return (
                    dual(level, out, out_dot) if raw else dual(level, _lower(out), None if out_dot is None else _lower(out_dot))
                )
            out_dot = jvp_of(op, primals, tangents, out, params, raw)
        finally:
            unhush(token)
        several = out.__class__ is tuple or out.__class__ is list
        if several:
            made = [dual(level, o, t) for o, t in zip(out, out_dot or [None] * len(out), strict=True)]
        else:
            made = [dual(level, out, out_dot)]
        if op.view:
            for i, t in enumerate(made):
                link_view(t, args[0], op, params, i if several else None)
        elif op.shares and not several:
            made[0]._ver = shared_version(out, args[0])
        return tuple(made) if several else made[0]

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this one."""
        return dual(self._level, value, None)

    def _custom(self, rules: Rules, args: tuple, above: int) -> Outcome:
        """Run a call on primals, with the tangents that `jvp` returns."""
        level = self._level
        error = rules.no_jvp()
        if error is not None:
            if above != REVERSE:
                raise error
            return _openly(rules, args, level)
        lower = tuple([carried(a) if isinstance(a, Tensor) and a._level == level else a for a in args])
        tangents = [
            value_of(a._tangent) if isinstance(a, Tensor) and a._level == level else None
            for a in args
        ]  # fmt: skip
        inner = run_rules(rules, lower, max(above, ABOVE))
        ctx = rules.face()
        ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in lower])
        if rules.separate:
            rules.setup(ctx, lower, inner.raw[0] if inner.single else inner.raw)
        else:
            ctx.__dict__.update(inner.requests or {})
        written = written_inputs(ctx.dirty_tensors, lower, inner.raw)
        dots: Any = [None] * len(inner.outs)
        if any(t is not None for t in tangents):
            given = with_zeros(ctx, lower, tangents)
            dots = checked_tangents(inner, ctx, rules.jvp(ctx, given))
            check_memory(inner, lower, written, given, dots, viewed=level in modes().open)
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

    def _gradients(self, roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
        """Return the duals of the gradients.

        The tangent of a gradient is the gradient of the tangent: with L = <v, f(x)>, d/de grad L(x + e t) is the gradient
        of <v, df(x)[t]> + <dv, f(x)>, because second derivatives commute.
        """
        level = self._level
        given = [None] * len(roots) if given is None else given
        values, dots, g_values, g_dots = [], [], [], []
        for root, g in zip(roots, given, strict=True):
            at_level = root._level == level
            value = root._data if at_level else root
            if not isinstance(value, Tensor) or not value.requires_grad:
                raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
            g = checked_cotangent(one_of(root) if g is None else g, root, 0)
            g_value, g_dot = (g._data, value_of(g._tangent)) if g._level == level else (g, None)  # type: ignore[attr-defined]
            values.append(value)
            g_values.append(as_tensor(g_value))
            dot = value_of(root._tangent) if at_level else None
            if isinstance(dot, Tensor) and dot.requires_grad:
                dots.append(dot)
                g_dots.append(as_tensor(g_value))
            if g_dot is not None:
                dots.append(value)
                g_dots.append(as_tensor(g_dot))
        targets = [t._data if t._level == level else t for t in wanted]
        tangents: list = [None] * len(targets)
        if dots:
            with enable_grad(), pass_of_duals(TANGENTS):
                tangents = pulled_back(dots, targets, g_dots, True, create_graph)
        with pass_of_duals(PRIMALS if dots else None):
            primals = pulled_back(values, targets, g_values, retain, create_graph)
        return [
            None
            if p is None and t is None
            else dual_under(level, wrap(np.zeros(tuple(x.shape), x.dtype.numpy)) if p is None else p, t)
            for p, t, x in zip(primals, tangents, targets, strict=True)
        ]

    def _backward(self, roots: list, given: Any, retain: bool, create_graph: bool, wanted: list | None) -> None:
        """Accumulate dual gradients into the leaves of duals' primals."""
        if wanted is None:
            wanted = _leaves_under(roots)
        level = self._level
        for t, g in zip(wanted, self._gradients(roots, wanted, given, retain, create_graph), strict=True):
            if g is None:
                continue
            target = t._data if t._level == level and t.__class__ is Dual else t
            target.grad = g if target.grad is None else target.grad + g
            accumulated(target)

    def _within(self, f: Callable, *values: Any) -> Any:
        """Apply a linear function to the primals, and to the tangents."""
        parts = [_split(v, self._level) for v in values]
        moved = None
        if any(dot is not None for _, dot in parts):
            dots = [_zeros(v) if dot is None and i == 0 else dot for i, (v, dot) in enumerate(parts)]
            moved = f(*dots)
        return dual(self._level, f(*[v for v, _ in parts]), moved)

    def _rebuilt(self, f: Callable) -> Tensor:
        """Return the dual of what `f` makes of primal and tangent."""
        return dual(self._level, f(self._data), None if self._tangent is None else f(value_of(self._tangent)))


def _in_memory(args: tuple, parts: list) -> list:
    """Return primals or tangents with tensors in the place of arrays, which have the version counters of their duals."""
    found = [on_memory_of(a, p) if p.__class__ is ndarray and p is not a else p for a, p in zip(args, parts, strict=True)]
    return [wrap(p) if isinstance(p, np.generic) else p for p in found]  # a function would take it for a Python number


def _lower(value: Any) -> Any:
    return lowered(value) if isinstance(value, Tensor) else value


def dual(level: int, primal: Any, tangent: Any) -> Dual:
    """Return the dual of a primal and a tangent (None for zero) at a level."""
    t = wrap(primal, Dual)
    t._level = level  # type: ignore[attr-defined]
    t._tangent = tangent  # type: ignore[attr-defined]
    return t  # type: ignore[return-value]


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


def zeros_like(value: Any) -> Any:
    """Return a zero of the value's shape and dtype, at the bottom level; 0 for a Python number."""
    if not hasattr(value, "dtype"):
        return 0
    d = value.dtype.numpy if isinstance(value, Tensor) else value.dtype
    return np.zeros(shape_of(value), d)


def jvp_of(op: Op, primals: list, tangents: list, out: Any, params: dict, raw: bool = False) -> Any:
    """Return the tangent of an op's result; None where it is zero.

    Values are raw (`raw` says that all are) or tensors of any lower level. For several results, a sequence of tangents,
    or None.
    """
    several = out.__class__ is tuple or out.__class__ is list
    if not op.is_differentiable:
        return None
    rules = op.rules * len(primals) if op.variadic else op.rules
    active = [t is not None and r is not None for t, r in zip(tangents, rules, strict=True)]
    if True not in active:
        return None
    if not several and not is_inexact(out):
        return None
    if op.jvp is not None:
        shapes = [shape_of(p) for p in primals]
        dots = [t if on else None for t, on in zip(tangents, active, strict=True)]
        if op.variadic:
            return op.jvp((), (tuple(primals),), (tuple(shapes),), out, (tuple(dots),), params, raw)
        return op.jvp((), primals, shapes, out, dots, params, raw)
    if op.kind == ELEMENTWISE:
        return _elementwise_jvp(op, primals, tangents, out, params, raw)
    if op.kind == LINEAR:
        if len(primals) == 1:
            return run(op, (tangents[0],), params)
        filled = [
            t if on else zeros_like(p) if r is not None else p
            for p, t, on, r in zip(primals, tangents, active, rules, strict=True)
        ]
        return run(op, tuple(filled), params)
    if op.kind == BILINEAR:
        total = None
        for i in (0, 1):
            if active[i]:
                pair = list(primals)
                pair[i] = tangents[i]
                term = run(op, tuple(pair), params)
                total = term if total is None else total + term
        return total
    raise NotImplementedError(f"Trying to use forward AD with {op.name} that does not support it: its declaration has no jvp")


def _elementwise_jvp(op: Op, primals: list, tangents: list, out: Any, params: dict, raw: bool) -> Any:
    total = None
    for t, rule in zip(tangents, op.rules, strict=True):
        if t is not None and rule is not None:
            term = rule((t,), primals, None, out, None, params, raw)
            total = term if total is None else total + term
    if len(primals) > 1 and total is not None and total.shape != out.shape:
        total = TABLE["broadcast_to"].call(total, shape=shape_of(out))
    return total


# -- gradients that are duals -----------------------------------------------------------------------------------------


def dual_under(level: int, primal: Tensor, tangent: Tensor | None) -> Tensor:
    """Return a dual of a level whose values may be of levels above, which cotangents have brought: it goes inside of those."""
    if tangent is None and primal._level <= level:
        return primal if primal._level == level else dual(level, primal, None)
    top = primal if tangent is None or primal._level >= tangent._level else tangent
    if top._level > level and isinstance(top, Level):
        return top._within(partial(dual_under, level), primal, tangent)
    (p, p_dot), (t, _) = _split(primal, level), _split(tangent, level)  # what moved with the cotangent itself is there already
    return dual(level, p, t if p_dot is None else p_dot if t is None else p_dot + t)


def _split(value: Tensor | None, level: int) -> tuple[Any, Any]:
    """Return primal and tangent of a value at a level."""
    if isinstance(value, Dual) and value._level == level:
        return as_tensor(value._data), None if value._tangent is None else as_tensor(value_of(value._tangent))
    return value, None


def _zeros(t: Tensor) -> Tensor:
    return wrap(np.zeros(tuple(t.shape), t.dtype.numpy))


def _leaves_under(roots: list) -> list:
    seen, leaves = set(), {}
    stack = [edge_of(_tracked(t)) for t in roots]
    while stack:
        edge = stack.pop()
        if edge._kind == LEAF_EDGE:
            leaves[id(edge)] = edge
            continue
        node = getattr(edge, "node", edge)
        if node.id not in seen:
            seen.add(node.id)
            stack += [e for e in node.edges if e is not None]
    return list(leaves.values())


def _tracked(t: Tensor) -> Tensor:
    while t.__class__ is Dual:
        t = t._data
    return t

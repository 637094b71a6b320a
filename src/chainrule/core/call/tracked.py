"""The hot path above level 0: elementwise ops of a reverse-mode transform whose payloads are raw float arrays.

What `core.fast` is to plain tensors these closures are to the values inside `func.grad`: `run` and `finish` in a third
of the time. All else (payloads that are tensors of another transform, captured tensors that require grad, modes) goes
to `run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.silence import hush, unhush
from chainrule.core.call.threads import LARGE
from chainrule.core.graph.nodes import LEAF, NOTHING, Node, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import IN, OUT, Op
from chainrule.core.record.plans import plan_for
from chainrule.core.tensor.tensor import Tensor, Tracked
from chainrule.core.tensor.value import version_of

ndarray = np.ndarray
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)


def tracked_unary(op: Op, slow: Callable) -> Callable:
    """Return an elementwise op of one tracked value; `slow` is for all else."""
    kernel, rule, costly = op.kernel, op.rules[0], op.backend.costly
    if rule is None or op.promotion == "bool":
        return slow
    saves_x, saves_out = rule.uses(IN, 0), rule.uses(OUT)
    plan: Any = None

    def call(input: Any) -> Any:
        nonlocal plan
        if input.__class__ is not Tracked:
            return slow(input)
        a, n, m = input._data, input._node, modes()
        d = a.dtype
        if (d is not float32 and d is not float64) or n is None or not m.clear or m.floor > input._lv:
            return slow(input)
        if costly and a.size >= LARGE:
            return slow(input)
        token = hush()
        try:
            out = kernel(a)
        except (TypeError, ArithmeticError):
            return slow(input)
        finally:
            unhush(token)
        if out.dtype is not d:
            return slow(input)
        t = new(Tracked)
        t._lv = input._lv
        t._data = out
        t._ver = t._view = None
        t._meta = m.meta
        if plan is None:
            plan = plan_for(op, (True,), False)
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = input if n is LEAF else n
        node.hooks = None
        node.saved = input if saves_x else ()
        if saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
        t._node = node
        return t

    return call


def tracked_binary(op: Op, slow: Callable) -> Callable:
    """Return an elementwise op of two values, one or both tracked; `slow` is for all else."""
    kernel = op.kernel
    if None in op.rules or op.promotion == "bool":
        return slow
    plans: list = [None] * 4

    def call(input: Any, other: Any) -> Any:
        cx, cy = input.__class__, other.__class__
        if cx is Tracked:
            level, a, nx = input._lv, input._data, input._node
            d = a.dtype
            if cy is Tracked or cy is Tensor:
                if cy is Tracked and other._lv != level:
                    return slow(input, other)
                b, ny = other._data, other._node
                if b.dtype is not d:
                    return slow(input, other)
            elif cy is float or cy is int:
                b, ny = other, None
            else:
                return slow(input, other)
        elif cy is Tracked:
            level, b, ny = other._lv, other._data, other._node
            d = b.dtype
            if cx is Tensor:
                a, nx = input._data, input._node
                if a.dtype is not d:
                    return slow(input, other)
            elif cx is float or cx is int:
                a, nx = input, None
            else:
                return slow(input, other)
        else:
            return slow(input, other)
        m = modes()
        if (d is not float32 and d is not float64) or not m.clear or m.floor > level:
            return slow(input, other)
        code = (nx is not None) + 2 * (ny is not None)
        if not code or (cx is Tensor and nx is not None) or (cy is Tensor and ny is not None):
            return slow(input, other)  # not recorded; or captured, and recorded below as well
        token = hush()
        try:
            out = kernel(a, b)
        except (ValueError, TypeError, ArithmeticError):
            return slow(input, other)
        finally:
            unhush(token)
        if out.dtype is not d:
            return slow(input, other)
        t = new(Tracked)
        t._lv = level
        t._data = out
        t._ver = t._view = None
        t._meta = m.meta
        plan = plans[code]
        if plan is None:
            plan = plans[code] = plan_for(op, (nx is not None, ny is not None), False)
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = input if nx is LEAF else nx
        node.edge2 = other if ny is LEAF else ny
        node.hooks = None
        if plan.keeps:
            sx, sy = plan.saves
            node.saved = input if sx else NOTHING
            node.saved2 = other if sy else NOTHING
            if plan.saves_out:
                node.out = out
                node.version = version_of(t) if out.__class__ is ndarray else None
        sx = a.shape if a.__class__ is not float and a.__class__ is not int else ()
        sy = b.shape if b.__class__ is not float and b.__class__ is not int else ()
        node.shapes = None if sx == sy else (sx, sy)
        t._node = node
        return t

    return call

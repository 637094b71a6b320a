"""The hot path: closures that run and record an op on plain tensors in a third of the time of `dispatch.run`.

Each looks once at its arguments' classes, calls the kernel and makes the node. All else (other levels, mixed dtypes,
subclasses, modes, errors) goes to `run`, which does the same for everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.call.asking import UNASKED, asked, asking
from chainrule.core.call.dispatch import NUMBERS, OPERANDS, compute, declined, promoted, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.call.threads import LARGE, spread
from chainrule.core.call.tracked import tracked_binary, tracked_unary
from chainrule.core.graph.nodes import LEAF, NOTHING, Node, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import ELEMENTWISE, IN, OUT, Op
from chainrule.core.record.plans import finish, plan_for, refuse_inference, shared_version
from chainrule.core.tensor.tensor import Tensor, Tracked
from chainrule.core.tensor.value import array_of, marked_as, version_of

ndarray = np.ndarray
complex64, complex128 = np.complex64, np.complex128
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)


def make_call(op: Op) -> Callable:
    """Return the rule book's function for an op: raw arrays in, raw array out; tensors in, tensor out."""
    if op.kind != ELEMENTWISE:
        if op.is_differentiable and not (op.view or op.variadic):
            return _direct(op)
        if op.view and not op.computes:
            return _viewing(op)
        return lambda *args, **params: run(op, args, params)

    fast = make_public(op)

    def call(*args: Any, **params: Any) -> Any:
        for a in args:
            if isinstance(a, Tensor):
                return fast(*args, **params)
        return op.kernel(*args, **params)

    return call


def make_public(op: Op, asks: bool = False) -> Callable:
    """Return the public function of an elementwise op: tensors, arrays or numbers in, tensor out, with promotion.

    `asks` if it looks for overrides, as what users call does.
    """

    def slow(*args: Any, **params: Any) -> Any:
        if params and "out" in params:
            return _into(params.pop("out"), op, slow, *args, **params)
        if asks and asking.on:
            found = asked(call, args, params)
            if found is not UNASKED:
                return found
        return run(op, promoted(op, args), params)

    one_sided = len(op.inputs) == 2 and op.rules.count(None) == 1
    if op.params or op.variadic or op.shares or len(op.inputs) > 2 or op.promotion == "free" or one_sided:
        call: Callable = slow
    elif len(op.inputs) == 1:
        call = _unary(op, tracked_unary(op, slow))
    else:
        call = _binary(op, tracked_binary(op, slow))
    return call


def _into(out: Any, op: Op, call: Callable, *args: Any, **params: Any) -> Any:
    if out is None:
        return call(*args, **params)
    if asking.on:
        found = asked(call, args, {**params, "out": out})
        if found is not UNASKED:
            return found
    from chainrule.core.write.out import into

    return into(out, op.name, call, args, params)


def make_operator(op: Op) -> Callable:
    """Return the method behind a binary operator: as the public function, but NotImplemented for foreign operands."""

    def slow(x: Any, y: Any) -> Any:
        if isinstance(x, OPERANDS) and isinstance(y, OPERANDS):
            return run(op, promoted(op, (x, y)), {})
        return declined(y if isinstance(x, Tensor) else x)

    return _binary(op, tracked_binary(op, slow))


def make_reflected(op: Op) -> Callable:
    """Return the method behind a reflected binary operator; of ``2 * x`` it is that of ``x * 2``, as in PyTorch."""
    call = make_operator(op)
    if op.name in ("add", "mul"):
        return call
    return lambda self, other: call(other, self)


def _direct(op: Op) -> Callable:
    """Return the rule book's function for an op that is neither elementwise nor a view: `run` in half the time."""
    rules, shares = op.rules, op.shares
    plans: dict[tuple, Any] = {}

    def call(*args: Any, **params: Any) -> Any:
        data = []
        level = 0
        for a in args:
            if not isinstance(a, Tensor):
                return run(op, args, params)
            if a._level:
                if a.__class__ is not Tracked or (level and a._lv != level):
                    return run(op, args, params)
                level = a._lv
            data.append(a._data)
        m = modes()
        if level:
            if not m.clear or m.floor > level:
                return run(op, args, params)
            for a, d in zip(args, data, strict=True):
                if isinstance(d, Tensor) or (a._node is not None and not a._level):
                    return run(op, args, params)  # a lower transform's value; or captured, and recorded below as well
        elif not m.plain:
            return run(op, args, params)
        out = compute(op, data, params, args)
        if out.__class__ is tuple or out.__class__ is list:
            return finish(op, args, params, level, out)
        if level:
            t: Tensor = new(Tracked)
            t._lv = level
        else:
            t = new(Tensor)
        t._data = out
        t._meta = m.meta
        t._ver = shared_version(out, args[0]) if shares and not level else None
        t._view = t._node = None
        edges = [a if a._node is LEAF else a._node for a in args]
        nodes = tuple([None if r is None else e for e, r in zip(edges, rules, strict=True)])
        kind = out.dtype.kind
        tracked = [n is not None for n in nodes]  # `nodes.count(None)` asks a leaf's `__eq__`: 7 % of a small product
        if kind in "biu" or True not in tracked:
            return t
        key = (*tracked, kind == "c")
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = plan_for(op, key[:-1], key[-1])
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edges = nodes
        node.params = params
        node.hooks = node.out = node.version = None
        if plan.keeps:
            node.kept = saved = [a if keep else None for a, keep in zip(args, plan.saves, strict=True)]
            if not level:
                refuse_inference(saved)
        node.shapes = tuple([d.shape for d in data]) if plan.wants_shapes else None
        if plan.saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
        t._node = node
        return t

    return call


def _viewing(op: Op) -> Callable:
    """Return the rule book's function for a view: `run` and `link_view` in half the time where there is one result."""
    kernel = op.kernel
    plans: dict[bool, Any] = {}

    def call(x: Any, **params: Any) -> Any:
        if x.__class__ is ndarray:
            return kernel(x, **params)
        if not isinstance(x, Tensor):
            return run(op, (x,), params)
        a, m, level = x._memory, modes(), x._level
        if level:
            if x.__class__ is not Tracked or a.__class__ is not ndarray or not m.clear or m.floor > level:
                return run(op, (x,), params)
        elif not m.plain:
            return run(op, (x,), params)
        elif a.__class__ is not ndarray:
            a = array_of(x)
        try:
            out = kernel(a, **params)
        except (ValueError, TypeError, ArithmeticError, IndexError):
            return run(op, (x,), params)
        if out.__class__ is not ndarray:
            return run(op, (x,), params) if x._bit else finish(op, (x,), params, level, out)
        if level:
            t: Tensor = new(Tracked)
            t._lv = level
        else:
            t = new(Tensor)
        t._data = out
        t._meta = m.meta
        t._node = None
        if x._meta is not None:
            if x._bit:
                return run(op, (x,), params)
            marked_as(t, x)
        version = t._ver = x._ver or version_of(x)
        t._view = (x, op, params, None)
        version.members.add(ref(t, version.members.discard))
        n = x._node
        if n is None:
            return t
        kind = out.dtype.kind
        if kind in "biu":
            return t
        plan = plans.get(kind == "c")
        if plan is None:
            plan = plans[kind == "c"] = plan_for(op, (True,), kind == "c")
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = x if n is LEAF else n
        node.params = params
        node.hooks = node.out = node.version = None
        node.shapes = (a.shape,) if plan.wants_shapes else None
        t._node = node
        return t

    return call


def _unary(op: Op, slow: Callable) -> Callable:
    kernel, calm = op.kernel, op.backend.calm
    keeps_dtype = op.promotion != "bool"
    real_only = "c" not in op.kinds
    costly = op.backend.costly
    rule = op.rules[0]
    saves_x = rule is not None and rule.uses(IN, 0)
    saves_out = rule is not None and rule.uses(OUT)
    plans: list = [None, None]

    def call(input: Any, *, out: Any = None) -> Any:
        if out is not None:
            return _into(out, op, call, input)
        if input.__class__ is not Tensor and (not isinstance(input, Tensor) or not input._plain):
            return slow(input)
        m = modes()
        if m.detour:
            return slow(input)
        a = input._data
        c = a.__class__
        token = None if calm else hush()
        try:
            out = spread(kernel, a) if costly and c is ndarray and a.size >= LARGE else kernel(a)
        except (TypeError, ArithmeticError, RuntimeWarning):
            return slow(input)
        finally:
            if token is not None:
                unhush(token)
        if c is ndarray:
            d = a.dtype
            if keeps_dtype and out.dtype is not d:
                return slow(input)
            is_c = d is not float32 and d is not float64 and d.kind == "c"
        else:
            if keeps_dtype and out.__class__ is not c:
                return slow(input)
            is_c = c is complex64 or c is complex128
        if is_c and real_only:
            return slow(input)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        n = input._node
        if m.plain:
            t._meta = None
            if n is None or rule is None:
                t._node = None
                return t
        else:
            t._meta = m.meta
            t._node = None
            return t
        node = new(Node)
        node.id = next_id()
        node.plan = plans[is_c] or first_plan(op, plans, is_c, (True,), is_c)
        node.edge = input if n is LEAF else n
        node.hooks = None
        if saves_x:
            node.saved = input
        if saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
            if not saves_x:
                node.saved = ()
        t._node = node
        return t

    return call


def first_plan(op: Op, plans: list, slot: int, mask: tuple, conjugate: bool) -> Any:
    """Return an op's plan, and keep it in the closure's own list."""
    plan = plans[slot] = plan_for(op, mask, bool(conjugate))
    return plan


def _binary(op: Op, slow: Callable) -> Callable:
    kernel, calm = op.kernel, op.backend.calm
    keeps_dtype = op.promotion != "bool"
    real_only = "c" not in op.kinds
    nondiff = not op.is_differentiable
    numbers = NUMBERS if op.check is None else NUMBERS - {bool}  # checks are for bools, and off this path
    plans: list = [None] * 8

    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        if out is not None:
            return _into(out, op, call, input, other)
        cx, cy = input.__class__, other.__class__
        if cx is Tensor or (cx not in numbers and isinstance(input, Tensor) and input._plain):
            a = input._data
            nx = input._node
            d = a.dtype
            if cy is Tensor or (cy not in numbers and isinstance(other, Tensor) and other._plain):
                b = other._data
                if d is not b.dtype:
                    return slow(input, other)
                ny = other._node
            elif cy in numbers:
                b = other
                ny = None
            else:
                return slow(input, other)
        elif cx in numbers and cy is Tensor:
            a = input
            b = other._data
            nx = None
            ny = other._node
            d = b.dtype
        else:
            return slow(input, other)
        m = modes()
        if m.detour:
            return slow(input, other)
        token = None if calm else hush()
        try:
            out = kernel(a, b)
        except (ValueError, TypeError, ArithmeticError, RuntimeWarning):
            return slow(input, other)
        finally:
            if token is not None:
                unhush(token)
        if keeps_dtype and out.dtype is not d:
            return slow(input, other)
        is_c = d is not float32 and d is not float64 and d.kind == "c"
        if real_only and (is_c or a.__class__ is complex or b.__class__ is complex):
            return slow(input, other)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        if m.plain:
            t._meta = None
            if (nx is None and ny is None) or nondiff:
                t._node = None
                return t
        else:
            t._meta = m.meta
            t._node = None
            return t
        code = 4 * is_c
        if nx is not None:
            code += 1
            if nx is LEAF:
                nx = input
        if ny is not None:
            code += 2
            if ny is LEAF:
                ny = other
        plan = plans[code] or first_plan(op, plans, code, (nx is not None, ny is not None), is_c)
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = nx
        node.edge2 = ny
        node.hooks = None
        if plan.keeps:
            sx, sy = plan.saves
            node.saved = input if sx else NOTHING
            node.saved2 = other if sy else NOTHING
            if code & 3 != 3:
                for value in (node.saved, node.saved2):
                    if value.__class__ is Tensor and value._meta is not None:
                        refuse_inference((value,))
        if a.__class__ is ndarray and b.__class__ is ndarray:
            sa, sb = a.shape, b.shape
            node.shapes = None if sa == sb else (sa, sb)
        elif a is input or b is other or (a.__class__ is not ndarray and b.__class__ is not ndarray):
            node.shapes = None
        else:
            node.shapes = (a.shape, b.shape)
        if plan.saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
        t._node = node
        return t

    return call

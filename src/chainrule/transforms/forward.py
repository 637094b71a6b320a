"""Forward accumulation: a dual value carries (primal, tangent) through the same rules in one sweep.

Every use (`func.jvp`, `forward_ad.dual_level`) takes a fresh level; values of other levels are constants to it, so
uses nest in each other and with reverse mode in any order without perturbation confusion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import compute, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.op.declaration import BILINEAR, ELEMENTWISE, LINEAR, TABLE, Op
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import link_view
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact
from chainrule.transforms.carried import Carried


class Dual(Carried):
    """A primal and its tangent at one forward level.

    `_data` is the primal, `_tangent` the tangent or None for zero; both are values of lower levels. What reverse mode
    knows of a dual is what it knows of its primal.
    """

    __slots__ = ()
    _level = Tensor._lv  # type: ignore[attr-defined]

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
            out = compute(op, primals, params, args) if raw else run(op, tuple(primals), params)
            if op.kind is ELEMENTWISE and op.jvp is None:
                return dual(level, out, _elementwise_jvp(op, primals, tangents, out, params, raw))
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
        return tuple(made) if several else made[0]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Have the primal require grad."""
        if not isinstance(self._data, Tensor):
            self._data = wrap(self._data)
        self._data.requires_grad_(requires_grad)
        return self

    @property
    def retains_grad(self) -> bool:
        """Whether the primal keeps its gradient."""
        return self._lower is not None and self._lower.retains_grad

    def retain_grad(self) -> None:
        """Have the primal keep its gradient."""
        if self._lower is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        self._lower.retain_grad()

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Register a hook on the primal: reverse mode's passes work on that."""
        return self._hooked("cannot register a hook on a tensor that doesn't require gradient").register_hook(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Register a hook on the primal, a leaf."""
        primal = self._hooked("cannot register a hook on a tensor that doesn't require gradient")
        return primal.register_post_accumulate_grad_hook(hook)

    def _hooked(self, words: str) -> Tensor:
        if self._lower is None:
            raise RuntimeError(words)
        return self._lower

    @property
    def grad(self) -> Tensor | None:
        """The primal's gradient."""
        return None if self._lower is None else self._lower.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if self._lower is None:
            self._data = wrap(self._data)
        self._data.grad = value

    def _lifted(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this one."""
        return dual(self._level, value, None)


def dual(level: int, primal: Any, tangent: Any) -> Dual:
    """Return the dual of a primal and a tangent (None for zero) at a level."""
    t = wrap(primal, Dual)
    t._level = level  # type: ignore[attr-defined]
    t._tangent = tangent  # type: ignore[attr-defined]
    return t  # type: ignore[return-value]


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

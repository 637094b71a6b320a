"""The functions of an op: the rule book's, the public one, the methods behind operators. Each has a hot path.

What a hot path does is `call.template`'s; here is what each function leaves to `dispatch.run`, and how.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.core.call.asking import UNASKED, asked, asking
from chainrule.core.call.dispatch import OPERANDS, agree, declined, promoted, run
from chainrule.core.call.template import hot_path, unrecorded
from chainrule.core.op.declaration import ELEMENTWISE, MAKERS, Op
from chainrule.core.tensor.tensor import Tensor


def make_call(op: Op) -> Callable:
    """Return the rule book's function for an op: raw arrays in, raw array out; tensors in, tensor out."""
    if op.kind != ELEMENTWISE:

        def slow(*args: Any, **params: Any) -> Any:
            return run(op, args, params)

        if op.variadic and not (op.view or op.shares or op.computes):
            return unrecorded(op, slow)
        return hot_path(op, slow) if op.is_differentiable and not (op.variadic or op.computes) else slow

    def call(*args: Any, **params: Any) -> Any:
        for a in args:
            if isinstance(a, Tensor):
                return make_public(op)(*args, **params)
        return op.backend.kernel(*args, **params)

    return call


@functools.cache
def make_public(op: Op) -> Callable:
    """Return an elementwise op's function of tensors, arrays or numbers: they are promoted, and the result is a tensor."""

    def slow(*args: Any, **params: Any) -> Any:
        return run_promoted(op, args, params, call)

    call = hot_path(op, slow) if _has_hot_path(op) else slow
    return call


def run_promoted(op: Op, args: tuple, params: dict, call: Callable) -> Any:
    """Run an elementwise op on promoted operands: by its hot path, `call`, if they were none for that and are now."""
    wanted = promoted(op, args)
    if agree(wanted) and not agree(args):
        return call(*wanted, **params)
    return run(op, wanted, params)


def make_asking(op: Op, into: Callable) -> Callable:
    """Return the function of `make_public` that users call: it takes ``out=``, which is left to `into`, and asks overrides."""

    def slow(*args: Any, **params: Any) -> Any:
        if asking.on:
            found = asked(call, args, params)
            if found is not UNASKED:
                return found
        out = params.pop("out", None)
        return run_promoted(op, args, params, call) if out is None else into(out, op.name, slow, args, params)

    call = hot_path(op, slow, takes_out=True) if _has_hot_path(op) else slow
    return call


def _has_hot_path(op: Op) -> bool:
    return not (op.variadic or op.shares) and len(op.inputs) <= 3


def make_operator(op: Op) -> Callable:
    """Return the method behind a binary operator: as the public function, but NotImplemented for foreign operands."""

    def slow(x: Any, y: Any) -> Any:
        if isinstance(x, OPERANDS) and isinstance(y, OPERANDS):
            return run_promoted(op, (x, y), {}, call)
        return declined(y if isinstance(x, Tensor) else x)

    call = hot_path(op, slow)
    return call


def make_reflected(op: Op) -> Callable:
    """Return the method behind a reflected binary operator; of ``2 * x`` it is that of ``x * 2``, as in PyTorch."""
    call = make_operator(op)
    if op.name in ("add", "mul"):
        return call
    return lambda self, other: call(other, self)


MAKERS.append(make_call)

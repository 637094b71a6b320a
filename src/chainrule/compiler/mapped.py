"""Calls of compiled functions inside of `vmap`: the function of all examples is compiled.

A call on batched values takes part in transforms as a function with rules of its own (``transforms.custom``), whose rule for a
batch calls the compiled `vmap` of the function on what lies a level down; its other rules call compiled derivatives on batched
values, which come here again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_inexact
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.func import jvp, vjp, vmap
from chainrule.transforms.custom import call
from chainrule.transforms.custom.call import Examples, Outcome, Rules
from chainrule.transforms.custom.context import lowered

MOST = 64  # compiled functions that are kept: others are made anew


class OfExamples(Rules):
    """A call on batched values.

    Parameters
    ----------
    flat : callable
        The function of flattened arguments.
    leaves : list
        The flattened arguments.
    key : hashable
        Of what is fixed among them.
    kept : dict
        Compiled functions of earlier calls.
    compiled : callable
        Returns a function, compiled.
    """

    name = "CompiledFunction"

    def __init__(self, flat: Callable, leaves: list, key: Any, kept: dict, compiled: Callable):
        self.flat, self.key, self.kept, self.compiled = flat, key, kept, compiled
        self.template = [None if isinstance(x, Tensor) else (x,) for x in leaves]
        self.statics: list = []
        self.spec: Any = None

    def function(self, tensors: Sequence[Tensor]) -> tuple[list, list, Any]:
        """Return the tensors of the function's result, what else stands in it, and its structure."""
        rest = iter(tensors)
        outs, spec = tree_flatten(self.flat([next(rest) if x is None else x[0] for x in self.template]))
        statics = [None if isinstance(o, Tensor) else (o,) for o in outs]
        return [o for o in outs if isinstance(o, Tensor)], statics, spec

    def batched(self, lower: tuple, args: tuple, examples: Examples) -> Outcome:
        """Return what the compiled function of all examples gives."""
        on, randomness = examples.on, examples.randomness
        run = self._kept(("vmap", on, randomness), lambda: _of_all(self.function, on, randomness))
        mode = modes()
        level = max([a._level for a in args if isinstance(a, Tensor)])
        set_modes(mode.having(mapped=tuple([m for m in mode.mapped if m.level < level])))
        try:
            found = run(*lower)
        finally:
            set_modes(mode)
        outs, self.spec = tree_flatten(found)
        self.statics = [None if isinstance(o, Tensor) else (o,) for o in outs]
        made = tuple([examples.lift(lowered(o)) for o in outs if isinstance(o, Tensor)])
        return Outcome(made, False, made, (None,) * len(made), None)

    def setup(self, ctx: Any, args: tuple, output: tuple) -> None:
        """Keep the arguments."""
        ctx.save_for_backward(*args)
        ctx.save_for_forward(*args)
        ctx.moving = tuple([is_inexact(o) for o in output])

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients of the arguments."""
        needed, moving = tuple(ctx.needs_input_grad), ctx.moving
        run = self._kept(("vjp", needed, moving), lambda: _pullback(self.function, needed, moving))
        found = iter(run(*ctx.saved_tensors, *[g for g, moves in zip(grads, moving, strict=True) if moves]))
        return tuple([next(found) if need else None for need in needed])

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        """Return the tangents of the results."""
        given, moving = tuple([t is not None and is_inexact(t) for t in tangents]), ctx.moving
        run = self._kept(("jvp", given, moving), lambda: _pushforward(self.function, given, moving))
        found = iter(run(*ctx.saved_tensors, *[t for t, gives in zip(tangents, given, strict=True) if gives]))
        return tuple([next(found) if moves else None for moves in moving])

    def _kept(self, kind: Any, made: Callable) -> Callable:
        key = self.key, kind
        found = self.kept.get(key)
        if found is None:
            if len(self.kept) >= MOST:
                self.kept.clear()
            found = self.kept[key] = self.compiled(made())
        return found


def call_on_examples(rules: OfExamples, tensors: Sequence[Tensor]) -> Any:
    """Return the result of a call on batched values."""
    outs = iter(call(rules, *tensors))
    return tree_unflatten([next(outs) if x is None else x[0] for x in rules.statics], rules.spec)


def _of_all(function: Callable, on: tuple, randomness: str) -> Callable:
    def of_all(*tensors: Tensor) -> Any:
        told: list = []

        def one(*examples: Tensor) -> tuple:
            outs, *rest = function(examples)
            told[:] = rest
            return tuple(outs)

        outs = iter(vmap(one, tuple([0 if each else None for each in on]), randomness=randomness)(*tensors))
        statics, spec = told
        return tree_unflatten([next(outs) if x is None else x[0] for x in statics], spec)

    return of_all


def _some(function: Callable, tensors: Sequence[Tensor], chosen: tuple, moving: tuple) -> tuple[Callable, tuple]:
    """Return the results that could carry derivatives as a function of some tensors, and these."""

    def f(*given: Tensor) -> tuple:
        rest = iter(given)
        outs, _, _ = function([next(rest) if choose else t for t, choose in zip(tensors, chosen, strict=True)])
        return tuple([o for o, moves in zip(outs, moving, strict=True) if moves])

    return f, tuple([t for t, choose in zip(tensors, chosen, strict=True) if choose])


def _pullback(function: Callable, needed: tuple, moving: tuple) -> Callable:
    def pullback(*given: Tensor) -> tuple:
        f, chosen = _some(function, given[: len(needed)], needed, moving)
        return vjp(f, *chosen)[1](tuple(given[len(needed) :]))

    return pullback


def _pushforward(function: Callable, moved: tuple, moving: tuple) -> Callable:
    def pushforward(*given: Tensor) -> tuple:
        f, chosen = _some(function, given[: len(moved)], moved, moving)
        return jvp(f, chosen, tuple(given[len(moved) :]))[1]

    return pushforward

"""The derivatives of a call that a path served: functions of the same graph, compiled when they are first needed.

A call takes part in transforms as a function with rules of its own (``transforms.custom``): what it computed is given, and its
rules call the compiled pullback or pushforward of the path, which are differentiable in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.compiler.paths import Path
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact
from chainrule.func import jvp, vjp
from chainrule.transforms.custom import call
from chainrule.transforms.custom.call import Rules


class PathRules(Rules):
    """A call of a compiled function, as the interpreters see it: of the arguments' tensors, and the captured ones.

    Parameters
    ----------
    path : Path
    results : list
        The arrays of the graph's outputs.
    compiled : callable
        Returns a function, compiled.
    """

    name = "CompiledFunction"

    def __init__(self, path: Path, results: list, compiled: Callable):
        self.path, self.results, self.compiled = path, results, compiled

    def forward(self, ctx: Any, args: tuple) -> tuple:
        """Return what the path has computed."""
        return tuple([wrap(r) for r in self.results])

    def setup(self, ctx: Any, args: tuple, output: tuple) -> None:
        """Keep the arguments."""
        ctx.save_for_backward(*args)
        ctx.save_for_forward(*args)
        ctx.mark_non_differentiable(*[o for o, moves in zip(output, self.path.moving, strict=True) if not moves])

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients of the arguments."""
        args = ctx.saved_tensors
        wanted = tuple([need and used for need, used in zip(ctx.needs_input_grad, self.path.used, strict=True)])
        outs = tuple([g for g, moves in zip(grads, self.path.moving, strict=True) if moves])
        if True not in wanted or not outs:
            return (None,) * len(args)
        found = iter(self._derived("vjp", wanted, _pullback)(*args, *outs))
        return tuple([next(found) if want else None for want in wanted])

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        """Return the tangents of the outputs."""
        moving = self.path.moving
        if True not in moving:
            return (None,) * len(moving)
        args = ctx.saved_tensors
        wanted = tuple([t is not None and is_inexact(t) for t in tangents])
        given = [t for t, want in zip(tangents, wanted, strict=True) if want]
        found = iter(self._derived("jvp", wanted, _pushforward)(*args, *given))
        return tuple([next(found) if moves else None for moves in moving])

    def _derived(self, kind: str, wanted: tuple, made: Callable) -> Callable:
        found = self.path.derived.get((kind, wanted))
        if found is None:
            found = self.path.derived[kind, wanted] = self.compiled(made(self.path, wanted))
        return found


def differentiable(path: Path, results: list, args: tuple, compiled: Callable) -> tuple:
    """Return a path's outputs as tensors, with the history and the tangents that `args`, captured tensors included, give."""
    return call(PathRules(path, results, compiled), *args)


def _partial(path: Path, args: tuple, wanted: tuple) -> tuple[Callable, list]:
    """Return the outputs that carry derivatives as a function of some arguments, and those."""

    def f(*chosen: Tensor) -> tuple:
        rest = iter(chosen)
        outs = path.function([next(rest) if want else a for a, want in zip(args, wanted, strict=True)])
        return tuple([o for o, moves in zip(outs, path.moving, strict=True) if moves])

    return f, [a for a, want in zip(args, wanted, strict=True) if want]


def _pullback(path: Path, wanted: tuple) -> Callable:
    def pullback(*given: Tensor) -> tuple:
        args, grads = given[: len(wanted)], given[len(wanted) :]
        f, chosen = _partial(path, args, wanted)
        return vjp(f, *chosen)[1](tuple(grads))

    return pullback


def _pushforward(path: Path, wanted: tuple) -> Callable:
    def pushforward(*given: Tensor) -> tuple:
        args, tangents = given[: len(wanted)], given[len(wanted) :]
        f, chosen = _partial(path, args, wanted)
        return jvp(f, tuple(chosen), tuple(tangents))[1]

    return pushforward

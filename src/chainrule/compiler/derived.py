"""The derivatives of a call that a path served.

A call takes part in transforms as a function with rules of its own (``transforms.custom``): what it computed is given. A plain
backward pass runs the plan that was recorded for it, on what the call kept. All else (passes that are recorded, forward mode,
batches) calls the derivative of the function itself, compiled when it is first needed, and differentiable in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.joint import FREED, KNOWN
from chainrule.compiler.kernels import KernelPlan
from chainrule.compiler.paths import Served
from chainrule.compiler.record.recording import Argument, Captured
from chainrule.core.generator import Generator
from chainrule.core.graph.nodes import freed_error, next_id
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom, is_inexact, written_since
from chainrule.core.types.tree import tree_flatten
from chainrule.func import jvp, vjp
from chainrule.transforms.custom import call
from chainrule.transforms.custom.call import Rules
from chainrule.transforms.gradient import gradients_of
from chainrule.transforms.presence import known


class Differentiated(Rules):
    """A call that a path served, as the interpreters see it: of the tensors that carry derivatives.

    Parameters
    ----------
    served : Served
    flat : callable
        The function of flattened arguments.
    leaves : list
        The flattened arguments.
    compiled : callable
        Returns a function, compiled.
    dual : bool
        Only tangents are carried, by whatever could carry them: the call was recorded without a backward pass.
    """

    name = "CompiledFunction"

    def __init__(self, served: Served, flat: Callable, leaves: list, compiled: Callable, dual: bool):
        self.served, self.flat, self.leaves, self.compiled = served, flat, leaves, compiled
        path = served.path
        joint, recording = path.joint, path.recording
        self.path, self.joint = path, joint
        self.known = dict(zip(recording.graph.outputs, served.results, strict=True))
        self.moving, self.wanted = joint.moving, joint.wanted
        if dual:
            self.moving = path.inexact
            self.wanted = tuple([s for s, v in zip(recording.sources, recording.graph.inputs, strict=True) if _moves(s, v)])
        self.variables = [recording.outputs[i].variable for i in self.moving]
        inputs = dict(zip(recording.graph.inputs, served.inputs, strict=True))
        self.args: list[Tensor] = [source.fetch(leaves) for source in self.wanted]
        places = {id(t): k for k, t in enumerate(self.args)}
        # The other results of the call that are kept; results of rules are kept as such, so that writes to them are found out.
        self.still = {v: wrap(self.known[v]) for v in joint.saved if v in self.known and v not in self.variables}
        # Where a saved value stands: among the arguments, among the outputs, or nowhere (it is the last of the three).
        self.saved = tuple([
            (None, self.variables.index(v), None) if v in self.variables
            else (None, None, self.still[v]) if v in self.known
            else (places.get(id(inputs[v])), None, inputs[v])
            for v in joint.saved
        ])  # fmt: skip
        self.made = next_id()

    def forward(self, ctx: Any, args: tuple) -> tuple:
        """Return what the path has computed."""
        return tuple([wrap(self.known[v]) for v in self.variables])

    def setup(self, ctx: Any, args: tuple, output: tuple) -> None:
        """Keep the arguments, and what the path computed for a backward pass."""
        ctx.given = args
        ctx.set_materialize_grads(False)
        saved = [
            output[j] if j is not None else args[k] if k is not None else value if isinstance(value, Tensor) else wrap(value)
            for k, j, value in self.saved
        ]
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*args)

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients of the arguments."""
        if self.joint.status == FREED:
            raise freed_error()
        saved, given = ctx.saved_tensors, ctx.given
        there = {k for k, g in enumerate(grads) if g is not None}
        needed = [need and not there.isdisjoint(s) for need, s in zip(ctx.needs_input_grad, self.joint.sources, strict=True)]
        if True not in needed:
            return (None,) * len(given)
        grads = tuple([self._zeros(k) if g is None else g for k, g in enumerate(grads)])
        record, safe = modes().record, modes().safe
        plain = self.joint.status == KNOWN and not safe and not any([
            t._level or (record and t._node is not None) for t in (*grads, *given, *saved)
        ])  # fmt: skip
        if plain:
            try:
                made = self.path.gradients((*saved, *grads))
            except (
                Exception
            ):  # values are refused: the pass of the function itself says how, or, where it cannot run anew, kernels
                if self.path.recording.effects:
                    KernelPlan(self.joint.backward)([bottom(t) for t in (*saved, *grads)])
                    raise
            else:
                return tuple([wrap(made[k]) if need else None for k, need in zip(self.joint.places, needed, strict=True)])
        found = iter(self._derived("vjp", tuple(needed), _pullback)(*self._tensors(given), *grads))
        return tuple([next(found) if need else None for need in needed])

    def _zeros(self, k: int) -> Tensor:
        variable = self.variables[k]
        zeros = wrap(np.zeros(variable.shape, variable.dtype.numpy))
        if (rule := known()) is not None:
            rule.note(zeros, np.zeros(variable.shape, bool))
        return zeros

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        """Return the tangents of the outputs."""
        wanted = tuple([t is not None and is_inexact(t) for t in tangents])
        given = [t for t, want in zip(tangents, wanted, strict=True) if want]
        return self._derived("jvp", wanted, _pushforward)(*self._tensors(ctx.given), *given)

    def _tensors(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors among the flattened arguments, those that carry derivatives as a rule was given them."""
        tensors = [t for t in self.leaves if isinstance(t, Tensor)]
        captured = [s.tensor for s in self.path.recording.sources if isinstance(s, Captured)]
        if any([written_since(t, self.made) for t in (*tensors, *captured)]):
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor that "
                "a compiled function takes, which is needed again where the gradient is to be differentiated"
            )
        if not self.path.recording.state.holds(self.leaves):
            raise RuntimeError(
                "what a compiled function reads of Python has changed since its call, which is needed again where the gradient "
                "is to be differentiated"
            )
        known = {id(a): t for a, t in zip(self.args, given, strict=True)}
        return [known.get(id(t), t) for t in tensors]

    def _derived(self, kind: str, wanted: tuple | None, made: Callable) -> Callable:
        if self.path.recording.effects:
            raise RuntimeError(
                f"the call of a compiled function that writes into tensors from outside cannot be {_KINDS[kind]}: it "
                'would write again. Run the function as it is, in a block of chainrule.compiler.set_stance("force_eager")'
                + (", or call it under safe_derivatives()" if modes().safe else "")
            )
        found = self.path.derived.get((kind, wanted))
        if found is None:
            found = self.path.derived[kind, wanted] = self.compiled(made(self, wanted))
        states = self.served.states
        return found if not states else lambda *given: _redrawn(states, found, given)


def _moves(source: Any, variable: Any) -> bool:
    return isinstance(source, Argument) and variable.dtype.category >= 2


_KINDS = {"vjp": "differentiated twice, or under safe_derivatives()", "jvp": "differentiated in forward mode"}


def _redrawn(states: dict[Generator, tuple], f: Callable, given: tuple) -> Any:
    """Call a function whose draws are those of a call that is over."""
    now = {g: g._state() for g in states}
    for g, state in states.items():
        g._put(state)
    try:
        return f(*given)
    finally:
        for g, state in now.items():
            g._put(state)


def differentiated(served: Served, flat: Callable, leaves: list, compiled: Callable, dual: bool) -> dict:
    """Return a path's outputs by their variables, as tensors with the history and tangents that the inputs give them.

    Those that are kept without history are among them.
    """
    rules = Differentiated(served, flat, leaves, compiled, dual)
    outs = call(rules, *rules.args)
    return {**rules.still, **dict(zip(rules.variables, outs, strict=True))}


def _function(rules: Differentiated) -> Callable:
    """Return the outputs that carry derivatives as a function of the tensors among the flattened arguments."""
    flat, moving = rules.flat, rules.moving
    template = [None if isinstance(x, Tensor) else (x,) for x in rules.leaves]

    def f(tensors: Sequence[Tensor]) -> tuple:
        rest = iter(tensors)
        outs = tree_flatten(flat([next(rest) if x is None else x[0] for x in template]))[0]
        return tuple([outs[i] for i in moving])

    return f


def _pullback(rules: Differentiated, needed: tuple) -> Callable:
    f, sources, places = _function(rules), _chosen(rules, needed), _places(rules, needed)
    count = len([x for x in rules.leaves if isinstance(x, Tensor)])

    def pullback(*given: Tensor) -> tuple:
        tensors, grads = given[:count], tuple(given[count:])
        arguments = [tensors[ks[0]] for ks in places]
        rest = iter(arguments)
        wanted = [next(rest) if isinstance(s, Argument) else s.fetch(()) for s in sources]
        g = _of_some(f, tensors, places)
        if not all([t.requires_grad for t in wanted]):
            return vjp(g, *arguments)[1](grads)
        before = modes()
        set_modes(before.having(grad=True, floor=0))
        try:
            own = [t.view_as(t) for t in arguments]  # which end the pass, though one may have been made of others
            outs = g(*own)
        finally:
            set_modes(before)
        rest = iter(own)
        wanted = [next(rest) if isinstance(s, Argument) else t for s, t in zip(sources, wanted, strict=True)]
        return tuple(gradients_of(list(outs), wanted, list(grads), before.grad, before.grad, inner=True))

    return pullback


def _pushforward(rules: Differentiated, wanted: tuple) -> Callable:
    f, places = _function(rules), _places(rules, wanted)
    count = len([x for x in rules.leaves if isinstance(x, Tensor)])

    def pushforward(*given: Tensor) -> tuple:
        tensors, tangents = list(given[:count]), given[count:]
        return jvp(_of_some(f, tensors, places), tuple([tensors[ks[0]] for ks in places]), tuple(tangents))[1]

    return pushforward


def _chosen(rules: Differentiated, chosen: tuple) -> list:
    return [s for s, choose in zip(rules.wanted, chosen, strict=True) if choose]


def _places(rules: Differentiated, chosen: tuple) -> list[list[int]]:
    """Return for each of some arguments where it stands among the tensors of a call: it may be given twice."""
    tensors = [x for x in rules.leaves if isinstance(x, Tensor)]
    leaves = [rules.leaves[s.position] for s in _chosen(rules, chosen) if isinstance(s, Argument)]
    return [[k for k, t in enumerate(tensors) if t is leaf] for leaf in leaves]


def _of_some(f: Callable, tensors: Sequence[Tensor], places: Sequence[Sequence[int]]) -> Callable:
    """Return a function of all tensors as one of some of them."""

    def g(*chosen: Tensor) -> tuple:
        now = list(tensors)
        for ks, t in zip(places, chosen, strict=True):
            for k in ks:
                now[k] = t
        return f(now)

    return g

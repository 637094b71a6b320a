"""The pass that an explanation follows, and the run that it is taken of where a function is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from chainrule.autograd.graph import noting
from chainrule.core.graph.nodes import LEAF_EDGE, NOTHING, Node
from chainrule.core.mode.grad_mode import back, enable_grad, modes, switch
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import tree_flatten
from chainrule.explanation.flow import Calls, Flow
from chainrule.explanation.history import has_history, nodes_below, number_of
from chainrule.random import get_rng_state, set_rng_state
from chainrule.transforms.evidence import Evidence
from chainrule.transforms.gradient import cotangents_of
from chainrule.transforms.reverse import run_pass
from chainrule.transforms.trail import Trail


class Tracker:
    """Stands in anomaly mode's place in a pass, and keeps the trail of it."""

    values = check_nan = False

    def __init__(self) -> None:
        self.trail = Trail()

    def watch(self) -> Tracker:
        """Return what looks at one pass."""
        return self

    def pulled(self, node: Node, g: Any, pull: Callable[[], Any]) -> Any:
        """Return what a node pulls, and note it."""
        gs = pull()
        self.trail.note(node, g, gs)
        return gs


def trailed(roots: list[Tensor], seeds: list) -> tuple[Trail, dict]:
    """Return the trail of a pass from some roots, and what came to the leaves: id → [leaf, cotangent, …].

    Nothing is accumulated and nothing freed.
    """
    tracker = Tracker()
    pairs = cotangents_of(roots, seeds, False)
    before = modes()
    switch(anomaly=tracker)
    entered = modes()
    try:
        leaves = run_pass(pairs, roots[0]._level, False, True, None, False)
    finally:
        back(entered, before, "anomaly")
    for edge, g in pairs:
        if edge._kind == LEAF_EDGE:
            tracker.trail.seeds[(0, id(edge))] = g
    return tracker.trail, leaves


@contextmanager
def refilled(roots: list[Tensor]) -> Iterator[None]:
    """Give nodes whose saved values were freed those that were noted or can be computed once more, until the block ends."""
    filled, trail = [], Trail()
    for node in {node.id: node for node in nodes_below(*roots)}.values():
        if node.plan.keeps and node.plan.op is not None and node.saved is None and _refill(node, trail):
            filled.append(node)
    try:
        yield
    finally:
        for node in filled:
            node.free()


def _refill(node: Node, trail: Trail) -> bool:
    """Give a node back what it saved, as it was noted or, where leaves alone tell it, computed once more."""
    plan, ev = node.plan, Evidence(node, trail).filled()
    saves = plan.saves * len(ev.operands) if plan.op.variadic else plan.saves
    noted = ev.note is not None and ev.note.has_values
    if any(x is None and keep and not (noted and y is None) for x, y, keep in zip(ev.operands, _noted(ev), saves, strict=True)):
        return False
    if plan.saves_out and any(r is None for r in ev.results):
        return False
    node.kept = [NOTHING if not keep else x for x, keep in zip(ev.operands, saves, strict=True)]
    if plan.saves_out:
        reads = plan.op.reads
        several = len(ev.results) > 1 or reads is not None
        kept = tuple([r if reads is None or i in reads else None for i, r in enumerate(ev.results)])
        node.out = kept if several else kept[0]
        node.version = None
    return True


def _noted(ev: Evidence) -> list:
    """Return the operands as they were noted; None also for those that the call did not have."""
    return ev.note.operands() if ev.note is not None and ev.note.has_values else [None] * len(ev.operands)


class Run:
    """A function's run under notes, with all its calls looked at.

    Attributes
    ----------
    losses : list of Tensor
        What it returned, or called `backward` on.
    inputs : list of Tensor
        What is asked about: the given ones (made to require grad if none did), else what it returned beside the loss, else
        the leaves that it used.
    names : list of str
    flow : Flow
    calls : Calls
    is_functional : bool
        Whether the inputs were made to require grad for the run.
    """

    def __init__(self, f: Callable, inputs: Any, names: list[str]) -> None:
        given = tensors_of(inputs)
        args, named, self.is_functional = _arguments(f, inputs, given)
        tracked = [a for a in (*args, *named.values()) if isinstance(a, Tensor)] if self.is_functional else given
        self.calls, self.flow = Calls(), Flow(tracked)
        state = get_rng_state()
        try:
            with noting(values=True), enable_grad(), self.calls, self.flow:
                result = f(*args, **named)
        finally:
            set_rng_state(state)
        returned = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
        self.losses = _losses(returned, self.flow)
        self.names = names
        self.inputs = tracked
        if not given:
            self.inputs = [t for t in returned if not any(t is loss for loss in self.losses)] or self.flow.leaves()
            self.names = [""] * len(self.inputs)


def tensors_of(inputs: Any) -> list[Tensor]:
    """Return the tensors in what was given as inputs."""
    if isinstance(inputs, Tensor):
        return [inputs]
    if inputs is None or isinstance(inputs, (str, bytes)):
        return []
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    if not isinstance(inputs, Iterable):
        raise TypeError(f"explain() takes a tensor or a collection of tensors as inputs, not {type(inputs).__name__}")
    return [t for t in inputs if isinstance(t, Tensor)]


def _arguments(f: Callable, inputs: Any, given: list[Tensor]) -> tuple[list, dict, bool]:
    """Return how to call a function: with the inputs if it takes them, else without; and whether they were made leaves."""
    args: list = [inputs] if isinstance(inputs, Tensor) else list(inputs) if isinstance(inputs, (list, tuple)) else []
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    if not (_takes(f, args, named) and (args or named)):
        return [], {}, False
    if any(t.requires_grad for t in given):
        return args, named, False
    return [_leaf(a) for a in args], {k: _leaf(a) for k, a in named.items()}, True


def _takes(f: Callable, args: Sequence, named: dict) -> bool:
    try:
        inspect.signature(f).bind(*args, **named)
    except TypeError:
        return False
    except ValueError:  # no signature is known: let it be tried
        return True
    return True


def _leaf(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype.category >= 2 and not value.requires_grad:
        return value.detach().clone().requires_grad_()
    return value


def _losses(returned: list[Tensor], flow: Flow) -> list[Tensor]:
    """Return what is differentiated: the latest of what `backward` was called on and the first scalar that was returned."""
    with_history = [t for t in returned if has_history(t)]
    scalars = [t for t in with_history if t.numel() == 1]
    found = [*flow.roots[-1:], *(scalars or with_history)[:1]]
    return [max(found, key=number_of)] if found else returned[:1]

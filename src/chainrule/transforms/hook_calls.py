"""Calling the user's hooks in a pass, in PyTorch's order: a tensor's hooks, its retained gradient, the node's hooks.

Cotangents are payloads in a plain pass and tensors in a recorded one; hooks see tensors in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF_EDGE, PORT, Hooks, Node
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.record.placed import pulled_whole, whole
from chainrule.core.record.tensor_hooks import node_hooks
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import OWN, Meta
from chainrule.transforms.accumulate import accumulate, in_dtype, is_alone

# Of the innermost pass: [roots, paths, callbacks, depth, notes, number].
RUNNING: ContextVar = ContextVar("chainrule.pass", default=None)


def queue_callback(f: Callable) -> None:
    """Have `f` called, without arguments, when the pass that is running has ended.

    Raises
    ------
    RuntimeError
        Outside a backward pass.
    """
    this = RUNNING.get()
    if this is None:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    this[2] = [*(this[2] or ()), f]


def notes_of_pass() -> dict:
    """Return a dictionary that lives as long as the pass that is running."""
    this = RUNNING.get()
    if this is None:
        raise AssertionError("expected this hook to be called inside a backward call")
    if this[4] is None:
        this[4] = {}
    return this[4]


def number_of_pass() -> int | None:
    """Return a number that the pass that is running has to itself; None outside of passes."""
    this = RUNNING.get()
    return None if this is None else this[5]


def call_back(this: list) -> None:
    """Call what was queued in a pass; callbacks may queue others."""
    while this[2]:
        f, *this[2] = this[2]
        f()


def reached() -> dict[int, int]:
    """Return how many contributions each leaf and node gets in the pass that is running, by id.

    Raises
    ------
    RuntimeError
        Outside a backward pass.
    """
    this = RUNNING.get()
    if this is None:
        raise RuntimeError("no backward pass is running")
    roots, paths, *_ = this
    return contributions([edge for edge, _ in roots], paths)


def contributions(roots: Iterable[Any], paths: Any) -> dict[int, int]:
    """Return how many contributions each leaf (by `id()`) and node (by ``-node.id``) gets in a pass from these roots."""
    counts: dict[int, int] = {}
    stack = list(roots)
    while stack:
        edge = stack.pop()
        if edge is None or not (paths is None or paths.leads(edge)):
            continue
        if edge._kind == LEAF_EDGE:
            counts[id(edge)] = counts.get(id(edge), 0) + 1
            continue
        node = edge.node if edge._kind == PORT else edge
        seen = counts.get(-node.id, 0)
        counts[-node.id] = seen + 1
        if not seen:
            stack += node.edges
    return counts


# Reverse mode over duals runs two passes: TANGENTS, in which no hook is called, then PRIMALS.
OF_DUALS: ContextVar[str | None] = ContextVar("chainrule.of_duals", default=None)
TANGENTS, PRIMALS = "tangents", "primals"


def _call_for_duals(part: str, hook: Callable, args: tuple) -> None:
    if part is TANGENTS:
        return
    token = OF_DUALS.set(None)
    try:
        found = hook(*args)
    finally:
        OF_DUALS.reset(token)
    if found is not None:
        raise RuntimeError(
            f"hook '{name_of(hook)}' replaces the gradient of a value that carries a forward-mode tangent, which would not "
            "follow. Take the derivative with func.jvp(func.grad(f), ...), where it does."
        )


@contextmanager
def pass_of_duals(part: str | None) -> Iterator[None]:
    """Say which of the two passes over duals runs."""
    token = OF_DUALS.set(part)
    try:
        yield
    finally:
        OF_DUALS.reset(token)


class Pass:
    """What hooks need to know of the pass that calls them.

    That is the level of its graph, whether it is recorded, and how it sees what nodes saved (``core.record.unpacking``).
    """

    __slots__ = ("create_graph", "level", "view")

    def __init__(self, level: int, create_graph: bool, view: int):
        self.level, self.create_graph, self.view = level, create_graph, view

    def call(self, hook: Callable, *args: Any) -> Any:
        """Call a hook in the grad mode of the pass."""
        part = OF_DUALS.get()
        if part is not None:
            return _call_for_duals(part, hook, args)
        if self.create_graph or self.level:
            return hook(*args)
        with no_grad():
            return hook(*args)

    def shown(self, g: Any) -> Tensor | None:
        """Return a cotangent as hooks see it."""
        if g is None or isinstance(g, Tensor):
            return g
        # An expanded one is read-only, and the hook may write to it.
        return wrap(g.copy() if g.__class__ is np.ndarray and not g.flags.writeable else g)

    def taken(self, t: Tensor | None) -> Any:
        """Return a hook's tensor as the pass sees it."""
        if t is None or self.create_graph:
            return t
        if t._level > self.level:
            raise RuntimeError("a hook returned a value of a transform inside which the differentiated values were not made")
        if t._level == self.level:
            return t._data
        return t._data if not t._level and t._node is None else t


def name_of(hook: Any) -> str:
    """Return what PyTorch calls a hook in its errors."""
    return getattr(hook, "__name__", "<unknown>")


def checked(hook: Any, value: Tensor | None, result: Any) -> Tensor | None:
    """Return what a hook gave for a gradient; raise PyTorch's error unless it fits."""
    if result is None:
        return None
    if not isinstance(result, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    if value is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if result.dtype is not value.dtype:
        raise RuntimeError(
            f"hook '{name_of(hook)}' has changed the type of value (was chainrule.{value.dtype.old_name}Tensor got "
            f"chainrule.{result.dtype.old_name}Tensor)"
        )
    if result.shape != value.shape:
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the size of value")
    return result


def checked_all(hook: Any, values: tuple, results: Any) -> tuple:
    """Return the tuple that a node's hook gave for several gradients; raise PyTorch's error unless it fits."""
    if not isinstance(results, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(results).__name__}'")
    if len(results) != len(values):
        raise RuntimeError(
            f"hook '{name_of(hook)}' has returned an incorrect number of values (got {len(results)}, but expected "
            f"{len(values)})"
        )
    return tuple([checked(hook, v, r) for v, r in zip(values, results, strict=True)])


def through_tensor_hooks(hooks: Any, g: Any, run: Pass) -> Any:
    """Return a cotangent after the hooks of its tensor."""
    for hook in list(hooks.values()):
        shown = run.shown(g)
        result = checked(hook, shown, run.call(hook, shown))
        g = run.taken(shown if result is None else result)  # the shown one, too: the hook may have written to it
    return g


def on_results(node: Node, g: Any, run: Pass) -> Any:
    """Return a node's cotangents after the hooks of its results; tensors that retain their gradients get them."""
    hooks: Hooks = node.hooks  # type: ignore[assignment]
    for index, registered in list(hooks.outputs.items()):
        if g.__class__ is list:
            g[index] = through_tensor_hooks(registered, g[index], run)
        else:
            g = through_tensor_hooks(registered, g, run)
    for index, reference in () if OF_DUALS.get() is TANGENTS else hooks.retains:
        tensor = reference()
        gi = g[index] if g.__class__ is list else g
        if tensor is not None and gi is not None:
            accumulate([(tensor, gi, False)], run.level, run.create_graph)
    return g


def before_node(hooks: Hooks, g: Any, run: Pass) -> Any:
    """Return the cotangents of a node's results after its prehooks."""
    if not hooks.before:
        return g
    values = tuple([run.shown(x) for x in (g if g.__class__ is list else (g,))])
    for hook in list(hooks.before.values()):
        results = run.call(hook, values)
        if results is not None:
            values = checked_all(hook, values, results)
    taken = [run.taken(t) for t in values]
    return taken if g.__class__ is list else taken[0]


def after_node(hooks: Hooks, gs: list, g: Any, run: Pass) -> list:
    """Return the cotangents that a node sends on after its posthooks."""
    if not hooks.after:
        return gs
    outputs = tuple([run.shown(x) for x in (g if g.__class__ is list else (g,))])
    values = tuple([run.shown(x) for x in gs])
    for hook in list(hooks.after.values()):
        results = run.call(hook, values, outputs)
        if results is not None:
            values = checked_all(hook, values, results)
    return [run.taken(t) for t in values]


def pull_with_hooks(plan: Any, node: Node, g: Any, run: Pass) -> Any:
    """Pull through a node that has hooks: what ``plan.pull`` returns, with the hooks' changes."""
    hooks: Hooks = node.hooks  # type: ignore[assignment]
    g = before_node(hooks, on_results(node, whole(g), run), run)
    single = node.plan.single
    if g is None or (g.__class__ is list and all(x is None for x in g)):
        gs = [None] * len(node.edges)  # a prehook took the gradient away
    else:
        gs = pulled_whole(plan, node, g, run.view)
        gs = [gs] if single else gs
    gs = after_node(hooks, gs, g, run)
    return gs[0] if single else gs


def capture_last(paths: Any, node: Node, g: Any, run: Pass) -> None:
    """Keep the cotangent of a target with no other beyond it: after the hooks on its tensor, as in PyTorch."""
    if node.hooks is not None:
        g = on_results(node, whole(g), run)
    paths.capture(node, g)
    if paths.accumulates and node.hooks is not None:
        after_node(node.hooks, [None] * len(node.edges), before_node(node.hooks, g, run), run)


def into_leaf(leaf: Tensor, g: Any, owned: bool, run: Pass, accumulates: bool) -> Any:
    """Take a leaf's complete cotangent through its hooks, and add it to `.grad` if the pass accumulates; return it."""
    meta = leaf._meta
    if meta.__class__ is not Meta:
        if accumulates:
            accumulate([(leaf, g, owned)], run.level, run.create_graph)
        return g
    if meta.grad_dtype is not OWN:
        g, owned = in_dtype(g, leaf), False
    if meta.hooks:
        box = [through_tensor_hooks(meta.hooks, g, run)]
        g = None
        owned = box[0].__class__ is np.ndarray and is_alone(box)  # a hook's own result, say
        g = box[0]
    if not accumulates:
        return g
    hooks = node_hooks(meta)
    if hooks:
        g = before_node(hooks, g, run)
        owned = owned and not hooks.before
    if g is not None:
        accumulate([(leaf, g, owned)], run.level, run.create_graph)
        if hooks and hooks.after and meta.grad is g and not isinstance(g, Tensor):
            g = leaf.grad.detach()  # type: ignore[union-attr]  # posthooks see the memory that `.grad` has taken over
        accumulated(leaf, run)
    if hooks:
        after_node(hooks, [], g, run)
    return g


def accumulated(leaf: Tensor, run: Pass | None = None) -> None:
    """Call the hooks of a leaf whose gradient a pass has added to."""
    meta = leaf._meta
    after = meta.after if meta.__class__ is Meta else None
    for hook in list((after or {}).values()):
        found = checked(hook, leaf, (run or Pass(0, False, 0)).call(hook, leaf))
        if found is not None and found is not leaf:  # the leaf itself is what a write in place returns
            raise RuntimeError("Tensor post accumulate grad hooks should return None.")

"""Reverse accumulation: one iterative pass over the recorded graph, from results to leaves.

Nodes are numbered as they are made, so a heap on the numbers visits every node after all nodes that use its result,
with no sort beforehand and no recursion. The same pass serves plain gradients (rules run on payloads) and
`create_graph` (rules run on tensors, and are recorded), at every level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import transforms
from chainrule.core.call.asking import asking, is_silent, silently
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import LEAF_EDGE, LEAF_HOOKS, NODE, PORT, USER_CODE, Node, next_id
from chainrule.core.mode.grad_mode import back, enable_grad, modes, set_modes
from chainrule.core.record.placed import Placed, joined, whole
from chainrule.core.record.unpacking import ABOVE
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.accumulate import accumulate
from chainrule.transforms.hook_calls import RUNNING, Pass, call_back, capture_last, pull_with_hooks
from chainrule.transforms.paths import Paths, lead_on

if TYPE_CHECKING:
    from chainrule.transforms.watched import Watched

ndarray = np.ndarray
Roots = Sequence[tuple[Any, Any]]  # (edge, cotangent)
Leaves = dict[int, list]  # id(leaf) -> [leaf, cotangent, whether the pass made that buffer itself]
_DEEP = 10  # passes inside others that share a stack


def run_pass(
    roots: Roots,
    level: int,
    create_graph: bool,
    retain_graph: bool,
    paths: Paths | None = None,
    adds: bool = True,
    known: bool = False,
) -> Leaves:
    """Pull the roots' cotangents back to the leaves, adding to their `.grad` if `adds`; or along `paths` to their targets.

    Cotangents are payloads of a graph of the given level, or tensors of that level when `create_graph`; or of any transform
    above, for which the graph is a constant linear map. The leaves' cotangents are returned; those that `paths` captured are
    there. `known` says that :func:`_known_pass` calls.
    """
    if asking.on and not is_silent():  # rules are on plain tensors, whatever was saved
        return silently(run_pass, roots, level, create_graph, retain_graph, paths, adds, known)
    if USER_CODE and not known:
        return _known_pass(roots, level, create_graph, retain_graph, paths, adds)
    token = hush()
    try:
        if create_graph:
            with enable_grad():
                return _run(roots, level, True, retain_graph, paths, adds)
        if not level and _is_above(roots):
            return _run_above(roots, level, retain_graph, paths, adds)
        if LEAF_HOOKS or (m := modes()).watched or m.watchers or m.safe:
            return _run(roots, level, False, retain_graph, paths, adds)
        leaves = _sweep(roots, level, False, retain_graph, paths)
        if adds and (paths is None or paths.accumulates):
            accumulate(_wanted(leaves, paths), level, False)
        else:
            _make_whole(leaves)
        return leaves
    finally:
        unhush(token)


def _known_pass(roots: Roots, level: int, create_graph: bool, retain_graph: bool, paths: Paths | None, adds: bool) -> Leaves:
    """Run a pass that the user's code may ask about (``transforms.hook_calls.RUNNING``), and start others from.

    Modes that belong to a thread in PyTorch end with the pass, if that code has set them and not set them back.
    """
    outer = RUNNING.get()
    depth = 0 if outer is None else outer[3] + 1
    if depth == _DEEP and modes().multithreading:
        return transforms.reentry.on_fresh_stack(run_pass, roots, level, create_graph, retain_graph, paths, adds)
    this = [roots, paths, None, depth, None, next_id()]
    before = modes()
    try:  # an interrupt may come as soon as `set` has returned
        RUNNING.set(this)
        leaves = run_pass(roots, level, create_graph, retain_graph, paths, adds, known=True)
        if this[2] is not None:
            call_back(this)
        return leaves
    finally:
        RUNNING.set(outer)
        if modes() is not before:
            back(None, before, "grad", "inference", "saving", "no_saving", "multithreading")


def _is_above(roots: Roots) -> bool:
    """Tell whether a cotangent of a plain graph is a value of a transform: its rules must then see tensors."""
    for _, g in roots:  # noqa: SIM110 - a third of the time of any(), which every pass would pay
        if isinstance(g, Tensor):
            return True
    return False


def _view(roots: Roots, level: int) -> int:
    """Return how a pass over the graph of a transform sees what nodes saved: see ``core.record.unpacking``."""
    for _, g in roots:
        if level and isinstance(g, Tensor) and g._level > level:
            return level + ABOVE
    return level


def _run_above(roots: Roots, level: int, retain_graph: bool, paths: Paths | None, adds: bool) -> Leaves:
    """Pull back values of transforms above the graph's level, whose own levels record as they do; the graph's does not."""
    before = modes()
    if before.compiling is not None and not any([isinstance(g, Tensor) and g._level for _, g in roots]):
        set_modes(before.graded(False, before.inference))  # on tensors, as each op is recorded under level 0; without history
    else:
        set_modes(before.having(floor=max(before.floor, level + 1)))
    try:
        return _run(roots, level, True, retain_graph, paths, adds)
    finally:
        set_modes(before)


def _run(roots: Roots, level: int, create_graph: bool, retain_graph: bool, paths: Paths | None, adds: bool) -> Leaves:
    accumulates = adds and (paths is None or paths.accumulates)
    watch = None
    if LEAF_HOOKS or (m := modes()).watched or m.watchers or m.safe:
        run = Pass(level, create_graph, ~level if create_graph else _view(roots, level))
        watch = transforms.watched.Watched(roots, run, paths, accumulates)
    leaves = _sweep(roots, level, create_graph, retain_graph, paths, watch)
    if accumulates:
        accumulate(_wanted(leaves, paths), level, create_graph)
    else:
        _make_whole(leaves)
    return leaves


def _make_whole(leaves: Leaves) -> None:
    for entry in leaves.values():
        if entry[1].__class__ is Placed:
            entry[1] = g = entry[1].whole()
            entry[2] = g.__class__ is ndarray


def _wanted(leaves: Leaves, paths: Paths | None) -> Iterable[list]:
    """Return the leaves to accumulate into: a rule may have pulled to others, too, as those of variadic ops do."""
    return leaves.values() if paths is None else [leaves[key] for key in paths.leaf_ids if key in leaves]


def _sweep(
    roots: Roots, level: int, create_graph: bool, retain_graph: bool, paths: Paths | None, watch: Watched | None = None
) -> Leaves:
    """Visit the nodes under the roots; return the leaves' cotangents, but for those that a watch has served.

    This is the one pass that there is: a watch, where there is one, has the nodes pull, and is told what was sent.
    """
    leaves: Leaves = {}
    pending: dict[int, list] = {}
    heap: list[int] = []
    view = ~level if create_graph else _view(roots, level) if level else 0
    needed = None if paths is None else paths.needed
    add = np.add
    edges: Any
    gs: Any
    held: Any = None
    held_g: Any = None
    if len(roots) == 1 and roots[0][0]._kind == NODE and (needed is None or roots[0][0] in needed):
        node, g = roots[0]
    else:
        node, g = None, []  # no results', which own nothing: roots' cotangents are the caller's
        edges, gs = [edge for edge, _ in roots], [g for _, g in roots]
    while True:
        while node is not None:
            own = plan = node.plan
            if needed is not None:
                if node in paths.wanted:  # type: ignore[union-attr]
                    if node in paths.ends:  # type: ignore[union-attr]
                        capture_last(paths, node, g, Pass(level, create_graph, view))
                        edges = gs = ()
                        break
                    paths.capture(node, g)  # type: ignore[union-attr]
                if node in paths.mixed:  # type: ignore[union-attr]
                    plan = plan.restrict(paths.mask(node))  # type: ignore[union-attr]
            if g.__class__ is Placed and not own.places:
                g = g.whole()
            if watch is not None:
                gs, g = watch.pulled(plan, node, g)
            elif node.hooks is None:
                gs = plan.pull(node, g, view)
            else:
                gs = pull_with_hooks(plan, node, g, Pass(level, create_graph, view))
                g = []  # hooks may hold what they saw: the pass owns none of it
            if own.keeps and not retain_graph:
                node.saved = None
                if own.keeps_more:
                    node.saved2 = node.out = None
            edges = node.edge
            if own.pair:
                lone = own.lone
                if lone is None:
                    edges = (edges, node.edge2)
                    break
                edges, gs = node.edge2 if lone else edges, gs[lone]
            elif not own.single:
                lone = own.lone
                if lone is None:
                    break
                edges, gs = edges[lone], gs[lone]
            if heap or edges._kind != NODE or gs is None or (needed is not None and edges not in needed):
                edges, gs = (edges,), (gs,)
                break
            node, g = edges, gs  # along a chain the heap would hold one node: go on without it
        for edge, gi in zip(edges, gs):  # noqa: B905 - one cotangent per edge, by construction
            if gi is None or edge is None:
                continue
            kind = edge.__class__
            if kind is Tensor or (kind is not Node and edge._kind == LEAF_EDGE):
                key = id(edge)
                entry = leaves.get(key)
                if entry is None:
                    owned = gi.__class__ is ndarray and gi.base is None and (new(gi, g) if g.__class__ is list else gi is not g)
                    leaves[key] = [edge, gi, owned]
                    continue
            elif kind is Node or edge._kind == NODE:
                key = edge.id
                if held is not None:
                    heappush(heap, -held.id)
                    pending[held.id] = [held, held_g, False]
                    held = None
                entry = pending.get(key)
                if entry is None:
                    if needed is not None and edge not in needed:
                        continue
                    if not heap:
                        held, held_g = edge, gi  # the only node so far: the next, unless another comes
                        continue
                    heappush(heap, -key)
                    # Its own buffer: not the cotangent passed on (nor one of several), nor a view of it (rules return no
                    # saved value).
                    owned = gi.__class__ is ndarray and gi.base is None and (new(gi, g) if g.__class__ is list else gi is not g)
                    pending[key] = [edge, gi, owned]
                    continue
            else:
                if needed is None or edge.node in needed:
                    if held is not None:
                        heappush(heap, -held.id)
                        pending[held.id] = [held, held_g, False]
                        held = None
                    owned = gi.__class__ is ndarray and gi.base is None and (new(gi, g) if g.__class__ is list else gi is not g)
                    add_to_port(edge, gi, owned, pending, heap)
                continue
            if entry[2] and gi.__class__ is ndarray and entry[1].dtype is gi.dtype:
                add(entry[1], gi, entry[1])
            elif gi.__class__ is Placed or entry[1].__class__ is Placed:
                entry[1], entry[2] = joined(entry[1], gi, entry[2])
            else:
                entry[1] = total = entry[1] + gi
                entry[2] = total.__class__ is ndarray
        if watch is not None:
            watch.sent(edges, leaves)
        gs = gi = entry = None  # or what was sent would live on until the next node has pulled
        if held is not None:
            node, g = held, held_g
            held = None
        elif heap:
            node, g, _ = pending.pop(-heappop(heap))
            if g.__class__ is list:
                g = [whole(gi) for gi in g]
        else:
            return leaves if watch is None else watch.rest(leaves)


def new(gi: Any, gs: list) -> bool:
    """Tell whether what a node of several results made of their cotangents is none of these."""
    return bool(gs) and all([gi is not g for g in gs])


def add_to_port(port: Any, g: Any, owned: bool, pending: dict[int, list], heap: list[int]) -> None:
    """Add a cotangent to one output of a node that has several."""
    node, i = port.node, port.index
    entry = pending.get(node.id)
    if entry is None:
        heappush(heap, -node.id)
        entry = pending[node.id] = [node, [None] * node.width, [False] * node.width]
    _, slots, ours = entry
    old = slots[i]
    if old is None:
        slots[i], ours[i] = g, owned
    elif g.__class__ is Placed or old.__class__ is Placed:
        slots[i], ours[i] = joined(old, g, ours[i])
    elif ours[i] and g.__class__ is ndarray and old.dtype is g.dtype:
        np.add(old, g, old)
    else:
        slots[i] = total = old + g
        ours[i] = total.__class__ is ndarray


def gradients(
    roots: Roots, targets: Sequence[Any], level: int, create_graph: bool, retain_graph: bool, inner: bool = False
) -> list:
    """Return the cotangents that reach the target edges; None where the roots do not depend on a target.

    Payloads that nobody else holds, or tensors when `create_graph`. `inner` says that the pass is part of another (`Paths`).
    """
    if not inner and len(roots) == 1 and not USER_CODE and lead_on(roots[0][0], targets):  # the user's code may ask about paths
        paths = None
    else:
        paths = Paths([edge for edge, _ in roots], targets, inner=inner)
    leaves = run_pass(roots, level, create_graph, retain_graph, paths, False)
    found = []
    for t in targets:
        if t._kind == LEAF_EDGE:
            _, g, owned = leaves.get(id(t), (None, None, True))
        else:
            key = (t.node, t.index) if t._kind == PORT else (t, 0)
            g, owned = paths.captured.get(key), False  # type: ignore[union-attr]
        found.append(g if owned or g.__class__ is not ndarray else g.copy())
    if USER_CODE and modes().safe:  # a rule that is a function may have started this pass
        transforms.watched.found_at(targets, found)
    return found

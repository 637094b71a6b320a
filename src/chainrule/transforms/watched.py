"""The pass of ``transforms.reverse`` where something looks on: hooks on leaves, anomaly mode, profilers.

A leaf with hooks is served as soon as all its contributions have come, which the plain pass does not count.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF_EDGE, PORT, Node
from chainrule.core.mode.grad_mode import modes
from chainrule.core.record.tensor_hooks import has_hooks
from chainrule.transforms.hook_calls import Pass, capture_last, contributions, into_leaf, pull_with_hooks


def sweep(roots: Any, level: int, create_graph: bool, retain_graph: bool, paths: Any, accumulates: bool) -> dict[int, list]:
    """Pull the roots' cotangents back; return those of the leaves that are still to be accumulated, or were captured."""
    run, detector, watchers = Pass(level, create_graph), modes().anomaly, modes().watchers
    watch: Any = None if detector is None else detector.watch()
    queue = _Queue(roots, paths, run, accumulates)
    queue.send([edge for edge, _ in roots], [g for _, g in roots], [])
    while queue.heap:
        node, g, _ = queue.pending.pop(-heappop(queue.heap))
        plan = node.plan
        if paths is not None:
            mask = paths.needed[node.id]
            if mask is None:
                capture_last(paths, node, g, run)
                continue
            paths.capture(node, g)
            plan = plan.restrict(mask)
        if watch is None:
            gs = _watched(watchers, plan, node, g, run)
        else:
            gs = watch.pulled(node, g, lambda: _watched(watchers, plan, node, g, run))  # noqa: B023 - called at once
        if node.plan.keeps and not retain_graph:
            node.free()
        held = detector is not None or node.hooks is not None  # by others: the pass owns none of it
        queue.send(node.edges, (gs,) if node.plan.single else gs, [] if held else g)
    return queue.rest()


def _pulled(plan: Any, node: Node, g: Any, run: Pass) -> Any:
    if node.hooks is not None:
        return pull_with_hooks(plan, node, g, run)
    return plan.pull(node, g, ~run.level if run.create_graph else run.level)


def _watched(watchers: tuple, plan: Any, node: Node, g: Any, run: Pass) -> Any:
    if not watchers:
        return _pulled(plan, node, g, run)
    return watchers[-1].pulled(node, lambda: _watched(watchers[:-1], plan, node, g, run))


class _Queue:
    """What is still to be visited, and what the leaves are waiting for."""

    def __init__(self, roots: Any, paths: Any, run: Pass, accumulates: bool):
        self.paths, self.run, self.accumulates = paths, run, accumulates
        self.pending: dict[int, list] = {}
        self.heap: list[int] = []
        self.leaves: dict[int, list] = {}
        self.awaited = contributions([edge for edge, _ in roots], paths)

    def send(self, edges: Any, gs: Any, g: Any) -> None:
        """Add the cotangents `gs`, made of `g`, to what their edges lead to; serve the leaves that are complete."""
        complete = []
        for edge, gi in zip(edges, gs, strict=True):
            if edge is None:
                continue
            owned = gi.__class__ is np.ndarray and gi is not g and gi.base is None and g.__class__ is not list
            if edge._kind == LEAF_EDGE:
                key = id(edge)
                if key not in self.awaited:
                    continue
                if gi is not None:
                    _add(self.leaves, key, edge, gi, owned)
                self.awaited[key] -= 1
                if not self.awaited[key] and has_hooks(edge):
                    complete.append(key)
            elif gi is not None:
                node = edge.node if edge._kind == PORT else edge
                if -node.id not in self.awaited:
                    continue
                if node.id not in self.pending:
                    heappush(self.heap, -node.id)
                if edge._kind == PORT:
                    slots = self.pending.setdefault(node.id, [node, [None] * node.width, False])[1]
                    slots[edge.index] = gi if slots[edge.index] is None else slots[edge.index] + gi
                else:
                    _add(self.pending, node.id, node, gi, owned)
        for key in complete:
            self._serve(key)

    def _serve(self, key: int) -> None:
        entry = self.leaves.get(key)
        if entry is None:
            return
        leaf, g, owned = entry
        if self.accumulates:
            del self.leaves[key]
        g = into_leaf(leaf, g, owned, self.run, self.accumulates)
        if not self.accumulates:
            entry[1:] = g, False

    def rest(self) -> dict[int, list]:
        """Serve the leaves whose other contributions never came; return the others."""
        for key, (leaf, *_) in list(self.leaves.items()):
            if self.awaited[key] and has_hooks(leaf):
                self._serve(key)
        return self.leaves


def _add(entries: dict[int, list], key: int, target: Any, g: Any, owned: bool) -> None:
    entry = entries.get(key)
    if entry is None:
        entries[key] = [target, g, owned]
    elif entry[2] and g.__class__ is np.ndarray and entry[1].dtype is g.dtype:
        np.add(entry[1], g, entry[1])
    else:
        entry[1] = total = entry[1] + g
        entry[2] = total.__class__ is np.ndarray

"""What looks on in a pass of ``transforms.reverse``: hooks on leaves, anomaly mode, profilers.

A leaf with hooks is served as soon as all its contributions have come, which a pass that nothing looks at does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.graph.nodes import LEAF_EDGE, Node
from chainrule.core.mode.grad_mode import modes
from chainrule.core.record.notes import EVALUATING
from chainrule.core.record.placed import pulled_whole, whole
from chainrule.core.record.tensor_hooks import has_hooks
from chainrule.transforms.hook_calls import Pass, contributions, into_leaf, pull_with_hooks
from chainrule.transforms.presence import Presence, known


class Watched:
    """The watch over one pass: how its nodes pull, and what its leaves are waiting for."""

    def __init__(self, roots: Any, run: Pass, paths: Any, accumulates: bool):
        self.run, self.watchers, self.accumulates = run, modes().watchers, accumulates
        detector = modes().anomaly
        self.watch: Any = None if detector is None else detector.watch()
        inner = paths is not None and paths.inner
        self.awaited = {} if inner else contributions([edge for edge, _ in roots], paths)
        self.presence = Presence(roots, run) if modes().safe else None

    def pulled(self, plan: Any, node: Node, g: Any) -> tuple[Any, Any]:
        """Return what a node pulls, and its cotangent: an empty list if others hold it, so that the pass owns none of it."""
        g = whole(g)
        if self.presence is not None:
            plan = self.presence.plan(plan)
        if self.watch is None:
            gs = self._pulled(self.watchers, plan, node, g)
        else:
            gs = self.watch.pulled(node, g, lambda: self._pulled(self.watchers, plan, node, g))
        return gs, [] if self.watch is not None or node.hooks is not None else g

    def _pulled(self, watchers: tuple, plan: Any, node: Node, g: Any) -> Any:
        if watchers:
            return watchers[-1].pulled(node, lambda: self._pulled(watchers[:-1], plan, node, g))
        token = EVALUATING.set(node)  # for the notes at nodes that this pass makes
        try:
            if node.hooks is not None:
                return pull_with_hooks(plan, node, g, self.run)
            return pulled_whole(plan, node, g, self.run.view)
        finally:
            EVALUATING.reset(token)

    def sent(self, edges: Any, leaves: dict[int, list]) -> None:
        """Count a contribution, though it may be none, for each leaf among the edges; serve the leaves that are complete."""
        complete = []
        for edge in edges:
            if edge is not None and edge._kind == LEAF_EDGE and id(edge) in self.awaited:
                key = id(edge)
                self.awaited[key] -= 1
                if not self.awaited[key] and has_hooks(edge):
                    complete.append(key)
        for key in complete:
            self._serve(key, leaves)

    def _serve(self, key: int, leaves: dict[int, list]) -> None:
        entry = leaves.get(key)
        if entry is None:
            return
        leaf, g, owned = entry
        if self.accumulates:
            del leaves[key]
        g = into_leaf(leaf, g, owned, self.run, self.accumulates)
        if not self.accumulates:
            entry[1:] = g, False

    def rest(self, leaves: dict[int, list]) -> dict[int, list]:
        """Serve the leaves whose other contributions never came; return what is left to accumulate, or was captured."""
        for key, (leaf, *_) in list(leaves.items()):
            if self.awaited.get(key) and has_hooks(leaf):
                self._serve(key, leaves)
        return leaves


def found_at(edges: Sequence[Any], gs: Sequence[Any]) -> None:
    """Note which elements are absent of what a pass has found at edges, where a rule that is a function runs in the mode."""
    rule = known()
    if rule is not None:
        rule.take(edges, gs)

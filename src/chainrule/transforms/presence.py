"""Presence: which elements of the cotangents in a pass are present, where ``autograd.safe_derivatives`` is on.

A mask is kept beside the cotangent of each node that waits for its turn. A node pulls from a :class:`Partial`, and what comes
out is taken apart again, so that hooks, accumulation and all else that looks on see plain cotangents.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.graph.nodes import LEAF_EDGE, NODE, Node
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.record.placed import whole
from chainrule.core.record.plans import Plan
from chainrule.core.record.unpacking import ABOVE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.hook_calls import Pass
from chainrule.transforms.partial import either, parted, partial, seeded


class Presence:
    """The masks of one pass.

    Attributes
    ----------
    run : Pass
    masks : dict
        (number of a node, output number) → the mask of its cotangent so far; None if all of it is present.
    """

    def __init__(self, roots: Any, run: Pass):
        self.run = run
        self.masks: dict[tuple[int, int], Any] = {}
        for edge, g in roots:
            self._add(edge, None if g is None else seeded(whole(g)))

    def plan(self, plan: Any) -> Any:
        """Return a plan that pulls as this does, from what is present."""
        return _Careful(plan, self)

    def _add(self, edge: Any, mask: Any) -> None:
        if edge is None or edge._kind == LEAF_EDGE:
            return
        key = (edge.id, 0) if edge._kind == NODE else (edge.node.id, edge.index)
        self.masks[key] = either(self.masks[key], mask) if key in self.masks else mask

    def came(self, node: Node, g: Any, index: int = 0) -> Any:
        """Return a node's cotangent with its mask; hooks may have made elements of it present."""
        mask = self.masks.pop((node.id, index), None)
        if g is None or mask is None:
            return g if g is None else partial(g, None)
        nonzero = TABLE["ne"].call(g, 0)
        return partial(g, either(mask, nonzero))

    def sent(self, node: Node, gs: Any, masks: list) -> None:
        """Note what a node has sent to its edges."""
        for edge, g, mask in zip(node.edges, gs, masks, strict=True):
            if g is not None:
                self._add(edge, mask)


class _Careful:
    """A plan whose pull leaves absent what is absent: what ``Watched`` and hooks see of one."""

    def __init__(self, plan: Any, presence: Presence):
        self.plan, self.single, self.presence = plan, plan.single, presence

    def pull(self, node: Any, g: Any, view: int) -> Any:
        """Pull back through a node: what the plan's own pull returns."""
        presence, plan = self.presence, self.plan
        several = g.__class__ is list
        given: Any = [presence.came(node, gi, i) for i, gi in enumerate(g)] if several else presence.came(node, g)
        if plan.__class__ is not Plan:  # rules of the user's: all that they make is present
            gs = plan.pull(node, g, view)
            presence.sent(node, [gs] if plan.single else gs, [None] * len(node.edges))
            return gs
        raw = modes().tracer is None and not any([isinstance(gi, Tensor) for gi in (g if several else (g,))])
        found = self._pulled(node, given, view)
        parts = [parted(whole(gi)) for gi in ([found] if plan.single else found)]
        values = [_as_given(value, raw) for value, _ in parts]
        presence.sent(node, values, [mask for _, mask in parts])
        return values[0] if plan.single else values

    def _pulled(self, node: Any, given: Any, view: int) -> Any:
        run = self.presence.run
        if run.create_graph:
            return self.plan.pull(node, given, view)
        if run.level:  # what nodes saved is seen one level down, where ops are recorded as they are without this
            return self.plan.pull(node, given, run.level + ABOVE)
        before = modes()
        if before.compiling is not None:
            set_modes(before.graded(False, before.inference))
        else:
            set_modes(before.having(floor=max(before.floor, 1)))
        try:
            return self.plan.pull(node, given, ~0)
        finally:
            set_modes(before)


def _as_given(value: Any, raw: bool) -> Any:
    """Return a cotangent as the pass carries those that it was given: raw, where nothing needs to know of it, or a tensor."""
    if raw and value.__class__ is Tensor and value._node is None:
        return value._data
    return value if raw or value is None or isinstance(value, Tensor) else wrap(value)

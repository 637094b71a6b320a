"""Presence: which elements of the cotangents in a pass are present, where ``autograd.safe_derivatives`` is on.

A mask is kept beside the cotangent of each node that waits for its turn. A node pulls from a :class:`Partial`, and what comes
out is taken apart again, so that hooks, accumulation and all else that looks on see plain cotangents.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import run
from chainrule.core.graph.nodes import LEAF_EDGE, NODE, Node
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.op.declaration import ELEMENTWISE, TABLE
from chainrule.core.record.placed import whole
from chainrule.core.record.plans import Plan
from chainrule.core.record.unpacking import ABOVE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.hook_calls import Pass
from chainrule.transforms.partial import either, may_drop, parted, partial, seeded, without_absent


class Presence:
    """The masks of one pass.

    Attributes
    ----------
    this : Pass
    masks : dict
        (number of a node, output number) → the mask of its cotangent so far; None if all of it is present.
    """

    def __init__(self, roots: Any, this: Pass):
        self.this = this
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
        """Return the mask of a node's cotangent; hooks may have made elements of it present."""
        mask = self.masks.pop((node.id, index), None)
        if mask is None or g is None or node.hooks is None:
            return mask
        return either(mask, run(TABLE["ne"], (g, 0), {}))

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
        masks = [presence.came(node, gi, i) for i, gi in enumerate(g if several else (g,))]
        if plan.__class__ is not Plan:  # rules of the user's: all that they make is present
            gs = plan.pull(node, g, view)
            presence.sent(node, [gs] if plan.single else gs, [None] * len(node.edges))
            return gs
        if _is_simple(plan) and (not any([m is not None for m in masks]) or _is_alike(plan, node, g)):
            gs = plan.pull(node, g, view)
            values = [gi if gi is None else without_absent(whole(gi), masks[0]) for gi in ([gs] if plan.single else gs)]
            presence.sent(node, values, masks[:1] * len(values))
            return values[0] if plan.single else values
        given: Any = [gi if gi is None else partial(gi, m) for gi, m in zip(g if several else (g,), masks, strict=True)]
        given = given if several else given[0]
        raw = modes().tracer is None and not any([isinstance(gi, Tensor) for gi in (g if several else (g,))])
        found = self._pulled(node, given, view)
        parts = [parted(whole(gi)) for gi in ([found] if plan.single else found)]
        values = [_as_given(value, raw) for value, _ in parts]
        presence.sent(node, values, [mask for _, mask in parts])
        return values[0] if plan.single else values

    def _pulled(self, node: Any, given: Any, view: int) -> Any:
        this = self.presence.this
        if this.create_graph:
            return self.plan.pull(node, given, view)
        if this.level:  # what nodes saved is seen one level down, where ops are recorded as they are without this
            return self.plan.pull(node, given, this.level + ABOVE)
        before = modes()
        if before.compiling is not None:
            set_modes(before.graded(False, before.inference))
        else:
            set_modes(before.having(floor=max(before.floor, 1)))
        try:
            return self.plan.pull(node, given, ~0)
        finally:
            set_modes(before)


def _is_simple(plan: Plan) -> bool:
    """Tell whether no rule of a plan drops anything, so that all it makes of a cotangent that is present is present."""
    return not any([may_drop(rule.f) for _, rule in plan.steps])


def _is_alike(plan: Plan, node: Any, g: Any) -> bool:
    """Tell whether each element that a node pulls is made of the one in its place."""
    shapes = getattr(node, "shapes", None)
    return plan.op.kind == ELEMENTWISE and (shapes is None or all([s == tuple(g.shape) for s in shapes]))


def _as_given(value: Any, raw: bool) -> Any:
    """Return a cotangent as the pass carries those that it was given: raw, where nothing needs to know of it, or a tensor."""
    if raw and value.__class__ is Tensor and value._node is None:
        return value._data
    return value if raw or value is None or isinstance(value, Tensor) else wrap(value)

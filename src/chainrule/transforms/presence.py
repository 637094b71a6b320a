"""Presence: which elements of the cotangents in a pass are present, where ``autograd.safe_derivatives`` is on.

A mask is kept beside the cotangent of each node that waits for its turn. A node pulls from a :class:`Partial`, and what comes
out is taken apart again, so that hooks, accumulation and all else that looks on see plain cotangents.

So do rules that are functions: of `autograd.Function`, of compiled calls, of reentrant checkpoints. What they make themselves
is present. Passes that they run know what is absent of the cotangents that the rule was given, and what they find is known to
the outer pass (:class:`Known`, which is the mode's flag while the rule runs).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import run
from chainrule.core.graph.nodes import LEAF_EDGE, Node
from chainrule.core.mode.grad_mode import back, modes, set_modes, switch
from chainrule.core.op.declaration import ELEMENTWISE, TABLE
from chainrule.core.op.raw import shape_of
from chainrule.core.record.placed import whole
from chainrule.core.record.plans import Plan
from chainrule.core.record.unpacking import ABOVE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom
from chainrule.transforms.custom.pull import pull
from chainrule.transforms.hook_calls import Pass
from chainrule.transforms.partial import either, may_drop, parted, partial, seeded, without_absent
from chainrule.transforms.trail import Key, key_of

ndarray = np.ndarray


class Presence:
    """The masks of one pass.

    Attributes
    ----------
    this : Pass
    masks : dict
        (number of a node, output number) → the mask of its cotangent so far; None if all of it is present.
    """

    def __init__(self, roots: Any, this: Pass):
        self.this, self.known = this, known()
        self.masks: dict[tuple[int, int], Any] = {}
        mask_of = seeded if self.known is None else self.known.mask_of
        for edge, g in roots:
            self._add(edge, None if g is None else mask_of(whole(g)))

    def plan(self, plan: Any) -> Any:
        """Return a plan that pulls as this does, from what is present."""
        return _Careful(plan, self)

    def _add(self, edge: Any, mask: Any) -> None:
        if edge is None:
            return
        if self.known is not None:
            self.known.come(edge, mask)
        if edge._kind != LEAF_EDGE:
            key = key_of(edge)
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


class Known:
    """What is known of absent elements where a rule that is a function runs: the mode's flag for the passes that it runs.

    Attributes
    ----------
    masks : dict
        ``id`` of the memory of a cotangent that the rule was given, or a pass in it has found → that memory, and the mask.
    edges : dict
        Key of an edge → the mask of what passes have sent there.
    """

    __slots__ = ("edges", "masks")

    def __init__(self, gs: Iterable, masks: Iterable):
        self.masks: dict[int, tuple[Any, Any]] = {}
        self.edges: dict[Key, Any] = {}
        for g, mask in zip(gs, masks, strict=True):
            self.note(g, mask)

    def note(self, g: Any, mask: Any) -> None:
        """Note the mask of a cotangent."""
        if g is not None and mask is not None:
            self.masks[id(bottom(g))] = bottom(g), mask

    def come(self, edge: Any, mask: Any) -> None:
        """Note the mask of what a pass has sent to an edge."""
        key = key_of(edge)
        self.edges[key] = either(self.edges[key], mask) if key in self.edges else mask

    def take(self, edges: Iterable, gs: Iterable) -> None:
        """Note what a pass has found at some edges."""
        for edge, g in zip(edges, gs, strict=True):
            self.note(g, self.edges.get(key_of(edge)))

    def mask_of(self, g: Any) -> Any:
        """Return the mask of a cotangent; what was written to it since is present, and all of one that is not known."""
        data = bottom(g)
        base = getattr(data, "base", None)
        if id(data) not in self.masks and base.__class__ is ndarray and base.strides == data.strides:
            data = base  # seen whole, as accumulation sees what somebody else may hold
        mask = self.masks.get(id(data), _NOTHING)[1]
        return None if mask is None or shape_of(mask) != shape_of(g) else either(mask, run(TABLE["ne"], (g, 0), {}))


_NOTHING = (None, None)


def known() -> Known | None:
    """Return what is known of absent elements, where a rule that is a function runs in the mode."""
    safe: Any = modes().safe
    return safe if safe.__class__ is Known else None


class _Careful:
    """A plan whose pull leaves absent what is absent: what ``Watched`` and hooks see of one."""

    def __init__(self, plan: Any, presence: Presence):
        self.plan, self.single, self.presence = plan, plan.single, presence

    def pull(self, node: Any, g: Any, view: int) -> Any:
        """Pull back through a node: what the plan's own pull returns."""
        presence, plan = self.presence, self.plan
        several = g.__class__ is list
        masks = [presence.came(node, gi, i) for i, gi in enumerate(g if several else (g,))]
        if plan.__class__ is not Plan:
            return self._by_function(node, list(g) if several else [g], masks, view)
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

    def _by_function(self, node: Any, given: list, masks: list, view: int) -> list:
        if node._public().materialize_grads:
            for i, out in enumerate(node.outputs):
                if given[i] is None and out is not None and out[2]:
                    given[i], masks[i] = np.zeros(out[0], out[1].numpy), np.zeros(out[0], bool)
        found, before = Known(given, masks), modes()
        switch(safe=found)
        entered = modes()
        try:
            gs = pull(node, given, view, self.plan.mask)
        finally:
            back(entered, before, "safe")
        self.presence.sent(node, gs, [None if gi is None else found.mask_of(gi) for gi in gs])
        return gs

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

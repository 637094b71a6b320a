"""Recording: what a node saves when an op runs, and how it pulls a cotangent back to its inputs.

Everything is decided once per op and set of differentiated inputs, in a :class:`Plan`; recording and pulling then
only follow it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF, Node, Port, Version, freed_error, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import ELEMENTWISE, GENERAL, IN, OUT, SHAPE, TABLE, Op, Rule
from chainrule.core.op.raw import shape_of
from chainrule.core.record.saved import PACKED, pack, pack_constant, pack_output
from chainrule.core.record.unpacking import REVEALED, Versions, all_held, held, held_out, revive
from chainrule.core.tensor.tensor import Tensor, wrap_at
from chainrule.core.tensor.value import is_complex, is_inexact, marked_as, version_of

ndarray = np.ndarray


def unbroadcast(g: Any, shape: tuple) -> Any:
    """Sum a cotangent over the axes along which a value of `shape` was repeated."""
    if g.shape == shape:
        return g
    return TABLE["sum_to"].call(g, shape=shape)


# -- plans -------------------------------------------------------------------------------------------------------------


class Plan:
    """For one op and one set of differentiated inputs: what to save, and how to pull.

    Attributes
    ----------
    op : Op
        Whose plan it is.
    single : bool
        An elementwise op of one input: its nodes hold a bare edge and a bare saved value, and `pull` returns a bare cotangent.
    lone : int or None
        The one differentiated input, if there is just one.
    saves : tuple of bool
        Which inputs are saved; of a variadic op's, which have one plan for any number of them, whether all are.
    saves_out, keeps, wants_shapes : bool
        Whether the result is saved; anything at all; the shapes of the inputs.
    pull : callable
        ``pull(node, g, level)``: one cotangent per edge, None where there is none. `g` is a list for several results.
    """

    __slots__ = ("conjugate", "keeps", "lone", "op", "pull", "saves", "saves_out", "single", "steps", "wants_shapes")

    def __init__(self, op: Op, mask: tuple[bool, ...], conjugate: bool):
        used = [rule for rule, on in zip(op.rules, mask, strict=True) if on and rule is not None]
        self.op = op
        self.single = op.kind == ELEMENTWISE and len(mask) == 1 and not op.variadic
        self.saves = tuple(any(r.uses(IN, i) for r in used) for i in range(len(mask)))
        self.saves_out = any(r.uses(OUT) for r in used)
        self.keeps = self.saves_out or any(self.saves)
        self.wants_shapes = op.kind == ELEMENTWISE or any(kind is SHAPE for r in used for kind, _ in r.sources)
        self.steps = tuple((i, r) for i, r in enumerate(op.rules) if mask[i] and r is not None)
        self.lone = mask.index(True) if mask.count(True) == 1 and not op.variadic else None
        self.conjugate = conjugate
        conjugate = conjugate and op.kind != GENERAL and not op.real_linear
        if op.variadic:
            self.pull: Callable = _variadic_pull(used[0])
        elif self.single and not op.params:
            self.pull = _unary_pull(used[0])
        elif op.kind == ELEMENTWISE and not op.params and len(mask) == 2:
            self.pull = _binary_pull(op.rules, mask, self.saves_out)
        else:
            self.pull = _general_pull(self.steps, op.kind == ELEMENTWISE, self.single, len(mask))
        if conjugate:
            self.pull = _conjugating(self.pull, self.single)

    def restrict(self, mask: tuple[bool, ...]) -> Plan:
        """Return the plan that pulls to some of the inputs only; other kinds of node bring plans of their own."""
        return plan_for(self.op, mask, self.conjugate)


def plan_for(op: Op, mask: tuple[bool, ...], conjugate: bool) -> Plan:
    """Return the op's plan for the inputs that require grad; `conjugate` for complex results.

    A variadic op has one for any of them: its one rule gives all cotangents, and a plan for each number of inputs and each
    choice among them would cost that number squared, and stay.
    """
    key = (None if op.variadic else mask, conjugate)
    plan = op.plans.get(key)
    if plan is None:
        plan = op.plans[key] = Plan(op, (True,) if op.variadic else mask, conjugate)
    return plan


def _general_pull(steps: tuple, flat: bool, single: bool, width: int) -> Callable:
    """Return the pull of any op of a fixed number of inputs; `flat` for elementwise ones."""

    def pull(node: Node, g: Any, level: int) -> Any:
        inputs, out = all_held(node, level)
        shapes = node.shapes
        gs: list = [None] * width
        for i, rule in steps:
            gi = rule((g,), inputs, shapes, out, None, node.params, level == 0)
            gs[i] = unbroadcast(gi, shapes[i]) if flat and gi is not None else gi
        return gs[0] if single else gs

    return pull


def _variadic_pull(rule: Rule) -> Callable:
    """Return the pull of a variadic op: its one rule returns one cotangent per input."""

    def pull(node: Node, g: Any, level: int) -> Any:
        inputs, out = all_held(node, level)
        return rule((g,), (inputs,), (node.shapes,), out, None, node.params, level == 0)

    return pull


def _conjugating(pull: Callable, single: bool) -> Callable:
    """Make of a pull of transposes one of adjoints: the conjugate of the pull of the conjugate."""

    def conjugated(node: Node, g: Any, level: int) -> Any:
        g = [x if x is None else x.conj() for x in g] if g.__class__ is list else g.conj()
        gs = pull(node, g, level)
        return gs.conj() if single else [x if x is None else x.conj() for x in gs]

    return conjugated


def _unary_pull(rule: Rule) -> Callable:
    """Return the pull of a unary elementwise op: no shapes and no loop, one function per way of taking arguments."""
    f, raw = rule.f, rule.raw
    kinds = tuple(kind for kind, _ in rule.sources)
    if kinds == ():
        return lambda node, g, level: raw(g) if level == 0 else f(g)
    if kinds == (OUT,):

        def pull_out(node: Node, g: Any, level: int) -> Any:
            out = held_out(node, level)
            return raw(g, out) if level == 0 else f(g, out)

        return pull_out
    if kinds == (IN,):

        def pull_in(node: Node, g: Any, level: int) -> Any:
            x = node.saved
            if level == 0 and x.__class__ is Tensor and x._ver is None:
                return raw(g, x._data)
            if x is None:
                raise freed_error()
            x = held(x, node, level)
            return raw(g, x) if level == 0 else f(g, x)

        return pull_in

    def pull_any(node: Node, g: Any, level: int) -> Any:
        inputs, out = all_held(node, level)
        values = [out if kind is OUT else inputs[0] for kind in kinds]
        return raw(g, *values) if level == 0 else f(g, *values)

    return pull_any


def _adapted(rule: Rule, f: Callable) -> Callable:
    """Return the rule of a binary op as a function of (g, x, y, out)."""
    if rule.sources == ():
        return lambda g, x, y, out: f(g)
    if rule.sources == ((IN, 0),):
        return lambda g, x, y, out: f(g, x)
    if rule.sources == ((IN, 1),):
        return lambda g, x, y, out: f(g, y)
    if rule.sources == ((IN, 0), (IN, 1)):
        return lambda g, x, y, out: f(g, x, y)
    return lambda g, x, y, out: f(g, *[out if kind is OUT else y if i else x for kind, i in rule.sources])


def _product_pull(fx: Callable, rx: Callable, fy: Callable, ry: Callable) -> Callable:
    """Return the pull of an op like mul, each of whose rules needs the other input: `_binary_pull` without its adapters."""

    def pull(node: Node, g: Any, level: int) -> tuple:
        if node.saved is None:
            raise freed_error()
        x, y = node.saved
        if level == 0:
            x = x._data if x.__class__ is Tensor and x._ver is None else held(x, node, 0)
            y = y._data if y.__class__ is Tensor and y._ver is None else held(y, node, 0)
            gx, gy = rx(g, y), ry(g, x)
        else:
            gx, gy = fx(g, held(y, node, level)), fy(g, held(x, node, level))
        if node.shapes is not None:
            return unbroadcast(gx, node.shapes[0]), unbroadcast(gy, node.shapes[1])
        return gx, gy

    return pull


def _binary_pull(rules: tuple, mask: tuple[bool, ...], saves_out: bool) -> Callable:
    """Return the pull of a binary elementwise op; `shapes` is None where no un-broadcast is needed."""
    if mask == (True, True) and (rules[0].sources, rules[1].sources) == (((IN, 1),), ((IN, 0),)):
        return _product_pull(rules[0].f, rules[0].raw, rules[1].f, rules[1].raw)
    fx, rx = (_adapted(rules[0], rules[0].f), _adapted(rules[0], rules[0].raw)) if mask[0] else (None, None)
    fy, ry = (_adapted(rules[1], rules[1].f), _adapted(rules[1], rules[1].raw)) if mask[1] else (None, None)

    def pull(node: Node, g: Any, level: int) -> tuple:
        if node.saved is None:
            raise freed_error()
        x, y = node.saved
        if x is not None:
            x = x._data if x.__class__ is Tensor and x._ver is None and level == 0 else held(x, node, level)
        if y is not None:
            y = y._data if y.__class__ is Tensor and y._ver is None and level == 0 else held(y, node, level)
        out = held_out(node, level) if saves_out else None
        if level == 0:
            gx = None if rx is None else rx(g, x, y, out)
            gy = None if ry is None else ry(g, x, y, out)
        else:
            gx = None if fx is None else fx(g, x, y, out)
            gy = None if fy is None else fy(g, x, y, out)
        if node.shapes is not None:
            if gx is not None:
                gx = unbroadcast(gx, node.shapes[0])
            if gy is not None:
                gy = unbroadcast(gy, node.shapes[1])
        return gx, gy

    return pull


# -- recording ---------------------------------------------------------------------------------------------------------


def edge_of(t: Any, level: int) -> Any:
    """Return the edge to a tensor of this level that requires grad; None for any other value."""
    if isinstance(t, Tensor) and t._level == level and t._node is not None:
        return t if t._node is LEAF else t._node
    return None


def make_node(op: Op, args: tuple, params: dict, edges: tuple, outs: Any) -> Node:
    """Return the node of an op that ran, holding what its rules named."""
    first = outs[0] if outs.__class__ is tuple else outs
    plan = plan_for(op, tuple([e is not None for e in edges]), is_complex(first))
    node = new(Node)
    node.id = next_id()
    node.plan = plan
    node.edge = edges[0] if plan.single else edges
    node.params = params
    node.hooks = node.out = node.version = node.shapes = None
    saves = plan.saves * len(args) if op.variadic else plan.saves
    saved = tuple([a if keep else None for a, keep in zip(args, saves, strict=True)])
    if not modes().floor:
        refuse_inference(saved)
    # Only `None` itself means freed: a single op that saves its result alone says so with an empty tuple.
    node.saved = saved if not plan.single else saved[0] if plan.saves[0] else ()
    if plan.saves_out:
        node.out = outs
    if plan.wants_shapes:
        node.shapes = tuple([shape_of(a) for a in args])
    if modes().anomaly is not None:
        modes().anomaly.note(node)
    return node


def pack_node(node: Node, level: int) -> None:
    """Have the hooks in force pack all that a node of this level saved."""
    plan = node.plan
    if plan.keeps and node.saved.__class__ is tuple:
        kept = list(node.saved)
        named = [] if plan.op.variadic else [i for _, rule in plan.steps for kind, i in rule.sources if kind is IN]
        for i in dict.fromkeys([*named, *range(len(kept))]):  # in PyTorch's order: as the rules name them
            kept[i] = pack(kept[i])
        node.saved = tuple(kept)
    elif plan.keeps:
        node.saved = pack(node.saved)
    if plan.saves_out:
        reveal_output(node, level)


def reveal_output(node: Node, level: int) -> Any:
    """Have a node keep its saved results as `SavedTensor`s, packed by the hooks in force; return them."""
    out, several = node.out, node.out.__class__ is tuple
    outs = out if several else (out,)
    if outs[0].__class__ not in PACKED:
        made = [revive(level, o, (Port(node, i) if several else node) if is_inexact(o) else None) for i, o in enumerate(outs)]
        for t, version in zip(made, getattr(node.version, "each", (node.version,)), strict=False):
            t._ver = version
        kept = tuple([pack_output(t, i) if t._node else pack_constant(t) for i, t in enumerate(made)])
        node.out, node.version = kept if several else kept[0], REVEALED
    return node.out


def unpacked_output(node: Node, level: int) -> Any:
    """Return the saved results as tensors with their history."""
    return held_out(node, ~level)


def refuse_inference(saved: tuple) -> None:
    """Raise PyTorch's error if a tensor made in inference mode is about to be saved for a backward pass."""
    for a in saved:
        if isinstance(a, Tensor) and a._meta is not None and a.is_inference():
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
                "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
                "in autograd, or use `chainrule.no_grad()` instead of `chainrule.inference_mode()`."
            )


def finish(op: Op, args: tuple, params: dict, level: int, outs: Any) -> Any:
    """Wrap what an op returned at its level, record the node, link views."""
    several = outs.__class__ is list or outs.__class__ is tuple
    if several:
        outs = tuple(outs)
    made = [wrap_at(level, o) for o in (outs if several else (outs,))]
    m = modes()
    if m.watchers and not level:
        for watcher in m.watchers:
            watcher.wrapped(op, made)
    if m.record and level >= m.floor and op.is_differentiable:
        rules = op.rules * len(args) if op.variadic else op.rules
        edges = tuple([None if r is None else edge_of(a, level) for a, r in zip(args, rules, strict=True)])
        if any([e is not None for e in edges]) and any(map(is_inexact, outs if several else (outs,))):
            node = make_node(op, args, params, edges, outs)
            if several:
                node.width = len(outs)
            for i, t in enumerate(made):
                if is_inexact(t._data):
                    t._node = Port(node, i) if several else node
            if node.out is not None and several and not level:
                node.version = Versions(tuple([version_of(t) if t._data.__class__ is ndarray else None for t in made]))
            elif node.out is not None and outs.__class__ is ndarray:
                node.version = version_of(made[0])
            if modes().saving is not None:
                pack_node(node, level)
    if op.view:
        for i, t in enumerate(made):
            link_view(t, args[0], op, params, i if several else None)
    elif op.shares and not level:
        made[0]._ver = shared_version(outs, args[0])
    return tuple(made) if several else made[0]


def shared_version(out: Any, x: Any) -> Version | None:
    """Return the version counter of a plain tensor if an op's result lies in its memory."""
    data = x._data
    if out is data or (out.base is not None and (out.base is data or out.base is data.base)):
        return version_of(x) if data.__class__ is ndarray else None
    return None


def link_view(t: Tensor, parent: Tensor, op: Op, params: dict, index: int | None) -> None:
    """Note that `t` shares its parent's memory through a differentiable op, so that writes to either reach both."""
    version = t._ver = version_of(parent)
    t._view = (parent, op, params, index)
    version.members.add(ref(t, version.members.discard))
    marked_as(t, parent)
    if not modes().record:
        from chainrule.core.write.views import freeze

        freeze(t)

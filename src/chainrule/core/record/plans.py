"""Recording: what a node saves when an op runs, and how it pulls a cotangent back to its inputs.

Everything is decided once per op and set of differentiated inputs, in a :class:`Plan`; recording and pulling then
only follow it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF, Node, Part, Parts, Port, Version, freed_error, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import ELEMENTWISE, GENERAL, IN, NEEDS, OUT, SHAPE, TABLE, Op, Rule
from chainrule.core.op.native import NATIVE, in_one_pass
from chainrule.core.op.raw import shape_of
from chainrule.core.op.source import Template, made
from chainrule.core.record.notes import note, note_values
from chainrule.core.record.placed import placing
from chainrule.core.record.saved import SavedTensor, pack, pack_constant, pack_output
from chainrule.core.record.unpacking import REVEALED, Versions, revive, unpacked, unpacked_out
from chainrule.core.tensor.tensor import Tensor, wrap_at
from chainrule.core.tensor.value import is_complex, is_inexact, lies_in_memory, marked_as, version_of

ndarray = np.ndarray


def unbroadcast(g: Any, shape: tuple) -> Any:
    """Sum a cotangent over the axes along which a value of `shape` was repeated."""
    if g is None or g.shape == shape:
        return g
    return TABLE["sum_to"].call(g, shape=shape)


def conjugated(g: Any) -> Any:
    """Return the conjugate of a cotangent, or of each in a list; None of None."""
    if g.__class__ is list or g.__class__ is tuple:
        return [conjugated(x) for x in g]
    if isinstance(g, Tensor):
        return TABLE["conj"].call(g)  # the method gives a view
    return g if g is None else g.conj()


# -- plans -------------------------------------------------------------------------------------------------------------

NEVER, DIFFERING, ALWAYS = range(3)


def needs_of(op: Op, mask: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool, int]:
    """Return a plan's `saves`, `saves_out` and `wants_shapes`: what the rules of the differentiated inputs name."""
    named = [source for rule, on in zip(op.rules, mask, strict=True) if on and rule is not None for source in rule.sources]
    wants = DIFFERING if op.kind == ELEMENTWISE and len(mask) == 2 and not op.variadic else NEVER
    if op.selects is not None or (op.kind == ELEMENTWISE and len(mask) > 2) or SHAPE in [kind for kind, _ in named]:
        wants = ALWAYS
    return tuple([(IN, i) in named for i in range(len(mask))]), (OUT, 0) in named, wants


class Plan:
    """For one op and one set of differentiated inputs: what to save, and how to pull.

    Attributes
    ----------
    op : Op
        Whose plan it is.
    single, pair : bool
        The op has one input, or two: its nodes hold edges and saved values in slots, and not in tuples. The pull of a `single`
        returns a bare cotangent.
    lone : int or None
        The one differentiated input, if there is just one.
    saves : tuple of bool
        Which inputs are saved; of a variadic op's, which have one plan for any number of them, whether all are.
    saves_out, keeps, keeps_more : bool
        Whether the result is saved; anything at all; anything in other slots than `saved`.
    wants_shapes : NEVER, DIFFERING or ALWAYS
        Whether the shapes of the inputs are saved: by elementwise ops of two inputs only where something was broadcast.
    places : bool
        It gives and takes `Placed` cotangents: the op selects elements. Others are given whole ones.
    pull : callable
        ``pull(node, g, level)``: one cotangent per edge, None where there is none. `g` is a list for several results.
    """

    __slots__ = (
        "conjugate", "keeps", "keeps_more", "lone", "op", "pair", "places", "pull", "saves", "saves_out", "single", "steps",
        "wants_shapes",
    )  # fmt: skip

    def __init__(self, op: Op, mask: tuple[bool, ...], conjugate: bool):
        self.op = op
        self.single = len(mask) == 1 and not op.variadic
        self.pair = len(mask) == 2 and not op.variadic
        self.saves, self.saves_out, self.wants_shapes = needs_of(op, mask)
        self.keeps = self.saves_out or any(self.saves)
        self.keeps_more = self.saves_out or self.pair
        self.steps = tuple((i, r) for i, r in enumerate(op.rules) if mask[i] and r is not None)
        self.lone = mask.index(True) if mask.count(True) == 1 and not op.variadic else None
        self.conjugate = conjugate
        self.places = op.selects is not None
        self.pull = placing(op, _pull_of(self)) if self.places else _pull_of(self)

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


# A rule at level 0 is the copy that works on raw arrays. For a complex result it gives the transposed map, whose adjoint is the
# conjugate of what it makes of the conjugate.
_PULL = Template(
    """
def call(node, g, level):
    % if plan.keeps:
    {kept} = node.saved
    if {kept} is None:
        raise freed_error()
    % end
    % for x, place in saved:
    % if x == 'out':
    out = unpacked_out(node, level)
    % else:
    % if x != kept:
    {x} = {place}
    % end
    {x} = {x}._data if level == 0 and {x}.__class__ is Tensor and {x}._ver is None else unpacked({x}, node, level)
    % end
    % end
    % if conjugate:
    g = conjugated(g)
    % end
    % for gi, call in calls:
    {gi} = {call}
    % end
    % if broadcasts:
    if node.shapes is not None:
    % for i, _ in plan.steps:
        g{i} = unbroadcast(g{i}, node.shapes[{i}])
    % end
    % end
    % if conjugate:
    % for gi, _ in calls:
    {gi} = conjugated({gi})
    % end
    % end
    return {result}
""",
    "plan, kept, saved, conjugate, calls, broadcasts, result",
)


_SPACE = {
    "__name__": __name__,
    "NATIVE": NATIVE, "Tensor": Tensor, "conjugated": conjugated, "freed_error": freed_error, "ndarray": ndarray,
    "unpacked": unpacked, "unpacked_out": unpacked_out, "unbroadcast": unbroadcast,
}  # fmt: skip


def _pull_of(plan: Plan) -> Callable:
    """Return the function that pulls a cotangent back through a node: rules called on what it saved, one for each edge."""
    op, bound, calls = plan.op, {}, []
    steps: list[tuple] = [("s", plan.steps[0][1])] if op.joint else [*plan.steps]
    places = ("node.saved", "node.saved2") if plan.pair else ("node.saved",) if plan.single else ()
    saved = []
    for kind, i in dict.fromkeys([source for _, rule in steps for source in rule.sources]):  # unpacked as PyTorch does
        if kind is OUT:
            saved.append(("out", ""))
        elif kind is IN and not op.variadic:
            saved.append((f"x{i}", places[i] if places else f"node.saved[{i}]"))
    for i, rule in steps:
        bound[f"rule{i}"] = rule.f
        raw = chosen = f"rule{i}"
        if rule.raw is not rule.f:
            bound[f"raw{i}"], raw = rule.raw, f"raw{i}"
            chosen = f"({raw} if level == 0 else rule{i})"
        if op.kind == ELEMENTWISE and rule.is_several:
            bound[f"pass{i}"] = in_one_pass(rule.f, rule.raw)
            large = f"pass{i} if g.__class__ is ndarray and g.size >= NATIVE else {raw}"
            chosen = f"(rule{i} if level else {large})"
        calls.append((f"g{i}", f"{chosen}({', '.join(['g', *_arguments(plan, rule)])})"))
    width = len(plan.saves)
    gs = [f"g{i}" if any(i == k for k, _ in steps) else "None" for i in range(width)]
    result = "gs" if op.joint else gs[0] if plan.single else f"({', '.join(gs)},)"
    kept = next((x for x, place in saved if place == "node.saved"), "kept")
    conjugate = plan.conjugate and op.kind != GENERAL and not op.real_linear
    if plan.single and not conjugate:
        calls, result = [], calls[0][1]
    source = _PULL(plan, kept, saved, conjugate, calls, op.kind == ELEMENTWISE and width > 1, result)
    return made(source, "pull", f"pull_{op.name}", {**_SPACE, **bound})


def _arguments(plan: Plan, rule: Rule) -> list[str]:
    """Return the source of what a rule takes after the cotangent."""
    op = plan.op
    found = []
    for kind, i in rule.sources:
        if kind is OUT:
            found.append("out")
        elif kind is NEEDS:
            wanted = [i for i, _ in plan.steps]
            found.append(str(tuple([i in wanted for i in range(len(plan.saves))])))
        elif kind is SHAPE:
            found.append("node.shapes" if op.variadic else f"node.shapes[{i}]")
        else:
            found.append("[unpacked(x, node, level) for x in node.saved]" if op.variadic else f"x{i}")
    if rule.params is None:
        return [*found, "**node.params"] if op.params else found
    return [*found, *[f"{name}=node.params[{name!r}]" for name in rule.params]]


# -- recording ---------------------------------------------------------------------------------------------------------


def edge_of(t: Any, level: int) -> Any:
    """Return the edge to a tensor of this level that requires grad; None for any other value."""
    if isinstance(t, Tensor) and t._level == level and t._node is not None:
        return t if t._node is LEAF else t._node
    return None


def make_node(op: Op, args: tuple, params: dict, edges: tuple, outs: Any, level: int = 0) -> Node:
    """Return the node of an op that ran at a level, holding what its rules named."""
    first = outs[0] if outs.__class__ is tuple else outs
    plan = plan_for(op, tuple([e is not None for e in edges]), is_complex(first))
    node = new(Node)
    node.id = next_id()
    node.plan = plan
    node.edges = edges
    node.params = params
    node.hooks = node.out = node.version = None
    if plan.keeps:
        saves = plan.saves * len(args) if op.variadic else plan.saves
        node.kept = saved = [a if keep else None for a, keep in zip(args, saves, strict=True)]
        if not level:
            refuse_inference(saved)
    if plan.saves_out:
        node.out = outs if op.reads is None else tuple([o if i in op.reads else None for i, o in enumerate(outs)])
    node.shapes = shapes_for(plan, args)
    if modes().noting is not None:
        note(node)
    return node


def shapes_for(plan: Plan, args: tuple) -> tuple | None:
    """Return the shapes of the inputs as far as the plan wants them."""
    if plan.wants_shapes is NEVER:
        return None
    shapes = tuple([a._data.shape if a.__class__ is Tensor else shape_of(a) for a in args])
    if plan.wants_shapes is DIFFERING:
        numbers = [not hasattr(a, "shape") for a in args]
        if shapes[0] == shapes[1] or True in numbers:
            return None
    return shapes


def pack_node(node: Node, level: int) -> None:
    """Have the hooks in force pack all that a node of this level saved."""
    plan = node.plan
    if plan.keeps:
        kept = list(node.kept)
        named = [] if plan.op.variadic else [i for _, rule in plan.steps for kind, i in rule.sources if kind is IN]
        for i in dict.fromkeys([*named, *range(len(kept))]):  # in PyTorch's order: as the rules name them
            kept[i] = pack(kept[i])
        node.kept = kept
    if plan.saves_out:
        reveal_output(node, level)


def reveal_output(node: Node, level: int) -> Any:
    """Have a node keep its saved results as `SavedTensor`s, packed by the hooks in force; return them."""
    out, several = node.out, node.out.__class__ is tuple
    outs = out if several else (out,)
    if node.version is not REVEALED:
        versions = getattr(node.version, "each", (node.version,) * len(outs))
        kept = []
        for i, (o, version) in enumerate(zip(outs, versions, strict=True)):
            kept.append(None if o is None else revealed(node, level, o, i, version))
        node.out, node.version = tuple(kept) if several else kept[0], REVEALED
    return node.out


def revealed(node: Node, level: int, out: Any, index: int, version: Version | None) -> SavedTensor:
    """Return one of a node's saved results as a `SavedTensor`, packed by the hooks in force."""
    edge = (Port(node, index) if node.out.__class__ is tuple else node) if is_inexact(out) else None
    t = revive(level, out, edge, version)
    return pack_constant(t) if edge is None else pack_output(t, index)


def unpacked_output(node: Node, level: int) -> Any:
    """Return the saved results as tensors with their history."""
    return unpacked_out(node, ~level)


def refuse_inference(saved: Iterable) -> None:
    """Raise PyTorch's error if a tensor made in inference mode is about to be saved for a backward pass."""
    for a in saved:
        if isinstance(a, Tensor) and a._meta is not None and a.is_inference():
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
                "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
                "in autograd, or use `chainrule.no_grad()` instead of `chainrule.inference_mode()`."
            )


_COPIES = ("clone", "to")
_WITH_NUMBERS = ("add", "sub", "mul", "div")  # where PyTorch makes tensors of numbers, which are not of inference mode


def _all_of_inference(op: Op, args: tuple) -> bool:
    """Tell, with a warning, whether an op's tensors were all made in inference mode: of them PyTorch records only copies."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    if op.name in _COPIES or not all([t.is_inference() for t in tensors]):
        return False
    if op.name in _WITH_NUMBERS and len(tensors) < len(args):
        return False
    warnings.warn(
        f"{op.name}() of tensors that were all made in inference mode is not recorded, so no gradient will reach the one that "
        "requires grad through it. Make a clone of it to get a normal tensor.",
        UserWarning,
        stacklevel=4,
    )
    return True


def finish(op: Op, args: tuple, params: dict, level: int, outs: Any) -> Any:
    """Wrap what an op returned at its level, record the node, link views."""
    several = outs.__class__ is list or outs.__class__ is tuple
    if several:
        outs = tuple(outs)
    made = [wrap_at(level, o) for o in (outs if several else (outs,))]
    node = None
    m = modes()
    if m.watchers and not level:
        for watcher in m.watchers:
            watcher.wrapped(op, made)
    if m.record and level >= m.floor and op.is_differentiable:
        rules = op.rules * len(args) if op.variadic else op.rules
        edges = tuple([None if r is None else edge_of(a, level) for a, r in zip(args, rules, strict=True)])
        needed = any([e is not None for e in edges]) and any(map(is_inexact, outs if several else (outs,)))
        if needed and not (_all_of_inference(op, args) and not level):
            node = make_node(op, args, params, edges, outs, level)
            if several:
                node.width = len(outs)
            for i, t in enumerate(made):
                if op.view or is_inexact(t._data):  # views have one dtype
                    t._node = Port(node, i) if several else node
            if node.out is not None and several:
                each = [version_of(t) if lies_in_memory(o) else None for o, t in zip(node.out, made, strict=True)]
                node.version = Versions(tuple(each))
            elif node.out is not None and lies_in_memory(outs):
                node.version = version_of(made[0])
            if modes().saving is not None:
                pack_node(node, level)
    if op.view:
        if several:
            link_views(made, args[0], op, params)
        else:
            link_view(made[0], args[0], op, params, None)
    elif op.shares:
        if several:
            _make_parts(made, args[0])
        else:
            made[0]._ver = shared_version(outs, args[0])
    if node is not None and m.noting is not None:  # now that the results have the version counters of their memory
        note_values(node, args, made, level)
    return tuple(made) if several else made[0]


def shared_version(out: Any, x: Any) -> Version | None:
    """Return the version counter of a tensor if an op's result, an array, lies in its memory."""
    data = x._data
    if data.__class__ is not ndarray or out.__class__ is not ndarray:
        return version_of(x) if out is data and lies_in_memory(out) else None
    if out is data or (out.base is not None and (out.base is data or out.base is data.base)):
        return version_of(x)
    return None


def _make_parts(made: list[Tensor], x: Tensor) -> None:
    """Give the results of an op, which lie in the memory of a tensor, version counters as its parts."""
    if isinstance(x, Tensor) and x._data.__class__ is ndarray:
        parts = Parts(version_of(x))
        for t in made:
            t._ver = Part(parts)


UNRECORDED: list[Callable[[Tensor], None]] = []  # told of views made while nothing is recorded: `core.write.views` is


def link_view(t: Tensor, parent: Tensor, op: Op, params: dict, index: int | None) -> None:
    """Note that `t` shares its parent's memory through a differentiable op, so that writes to either reach both."""
    if marked_as(t, parent).is_inference() and not t._level:  # nothing of whose writes is recorded
        return
    version = t._ver = version_of(parent)
    t._view = (parent, op, params, index)
    version.members.add(ref(t, version.members.discard))
    if not modes().record:
        for told in UNRECORDED:
            told(t)


def link_views(made: list[Tensor], parent: Tensor, op: Op, params: dict) -> None:
    """Link all results of an op, fresh ones of one kind, as `link_view` links each; in half the time if nothing is special."""
    if parent.is_inference() or not made or made[0]._meta is not None or not modes().record:
        for i, t in enumerate(made):
            link_view(t, parent, op, params, i)
        return
    version = version_of(parent)
    add, discard = version.members.add, version.members.discard
    for i, t in enumerate(made):
        t._ver = version
        t._view = (parent, op, params, i)
        add(ref(t, discard))

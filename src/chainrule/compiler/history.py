"""The history of results that the short way of a call made: one node, whose pass runs the backward plan at once.

The node is that of a call by ``compiler.derived``, with the same edges, saved values and `ctx`, put together from what is known
of the path beforehand. A plain pass at level 0 gives the saved arrays and the cotangents to the backward plan; any other
(recorded, freed, after a write, with cotangents missing, with hooks on what is saved) goes by the rules of
``compiler.derived``, made then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.derived import Differentiated
from chainrule.compiler.joint import FREED, KNOWN
from chainrule.compiler.loops.steps import GuardFailed
from chainrule.compiler.paths import Path, Served
from chainrule.compiler.record.recording import Argument, Captured
from chainrule.core.graph.nodes import LEAF, Port, expect_user_code, new, next_id
from chainrule.core.record.saved import SavedTensor, pack_output
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.custom.call import Rules, named_face
from chainrule.transforms.custom.context import FunctionNode
from chainrule.transforms.custom.pull import Pull

ONLY, OUTPUT, INPUT = range(3)  # what a saved value is: a result that only the backward pass takes, an output, an input


class History:
    """What gives the results of calls on one path their history.

    Parameters
    ----------
    path : Path
        One that :func:`has_history` holds for.
    inputs : sequence of Tensor
        A call's, for the shapes and dtypes of the edges.
    long : callable
        Returns the rules of a call (`Differentiated`) for a `Served` and the flattened arguments.
    """

    def __init__(self, path: Path, inputs: Sequence[Tensor], long: Callable):
        joint, graph = path.joint, path.recording.graph
        self.path, self.long = path, long
        places = {v: i for i, v in enumerate(graph.outputs)}
        given = {v: i for i, v in enumerate(graph.inputs)}
        sources = {s: i for i, s in enumerate(path.recording.sources)}
        self.outputs = [places[path.recording.outputs[i].variable] for i in joint.moving]
        self.wanted = [sources[s] for s in joint.wanted]
        self.saved: list[tuple[int, int]] = []
        for v in joint.saved:
            i = places.get(v)
            self.saved.append((INPUT, given[v]) if i is None else (OUTPUT if i in self.outputs else ONLY, i))
        self.kept = tuple([i for kind, i in self.saved if kind == INPUT])
        self.needs = (True,) * len(self.wanted)
        self.positions = tuple(range(len(self.wanted)))
        self.described = tuple([(tuple(inputs[i].shape), inputs[i].dtype) for i in self.wanted])
        variables = [graph.outputs[i] for i in self.outputs]
        self.made = tuple([(tuple(v.shape), v.dtype, True) for v in variables])
        self.face = named_face(Differentiated.name)
        self.plan = Direct(None, path)
        expect_user_code()

    def write(self, name: Callable, inputs: Sequence[str], nodes: Sequence[Any]) -> str:
        """Return the code that gives `found`, the graph's outputs, their history, in a call with `leaves`.

        Parameters
        ----------
        name : callable
            Returns a name for an object.
        inputs, nodes : sequence
            The names of the graph's inputs, and their nodes: ``LEAF`` is compared with what it is in the call.
        """
        given = "".join([f"{inputs[i]}, " for i in self.wanted])
        edges = "".join([inputs[i] + (", " if nodes[i] is LEAF else "._node, ") for i in self.wanted])
        kept = {INPUT: lambda i: inputs[i], ONLY: lambda i: f"found[{i}]"}
        pack = name(pack_output)
        kept[OUTPUT] = lambda i: f"{pack}(found[{i}], {self.outputs.index(i)})"
        saved = "".join([f"{kept[kind](i)}, " for kind, i in self.saved])
        return f"{name(self.record)}(found, ({given}), ({edges}), ({saved}), leaves, states)"

    def record(
        self, found: Sequence[Tensor], given: tuple, edges: tuple, saved: tuple, args: tuple, states: dict | None
    ) -> None:
        """Give the graph's outputs their history, in a call with arguments whose tensors `given` carry derivatives.

        `states` are those of generators before it.
        """
        node: Any = new(FunctionNode)
        node.id = made = next_id()
        node.plan, node.level, node.rules = self.plan, 0, Deferred(self, args, states, made)
        node.hooks = node.out = node.version = node.shapes = None
        node.boxes, node.cleared = (), False
        node.positions, node.count, node.inputs, node.outputs = self.positions, len(given), self.described, self.made
        node.edge, node.saved = edges, saved
        node.attributes = {"given": given, "materialize_grads": False, "needs_input_grad": self.needs}
        node.face, node.face_class = _nothing, self.face
        if len(self.outputs) == 1:
            found[self.outputs[0]]._node = node
        else:
            node.width = len(self.outputs)
            for j, i in enumerate(self.outputs):
                found[i]._node = Port(node, j)


def _nothing() -> None:
    """Return what a weak reference to a `ctx` does that nobody has looked at."""


def has_history(path: Path, inputs: Sequence[Any]) -> bool:
    """Tell whether :class:`History` can serve a path whose results carry derivatives.

    A plan gives all of their gradients, or what they need has been freed in the call.
    """
    joint = path.joint
    wanted, outputs = joint.wanted, () if joint.backward is None else joint.backward.outputs
    sources, known = list(path.recording.sources), set(path.recording.graph.outputs)
    each = len(set(joint.places)) == len(joint.places) > 0 and None not in joint.places and all(joint.sources)
    if joint.status != FREED and not (joint.status == KNOWN and each):
        return False
    if not all([s in sources and isinstance(s, (Argument, Captured)) for s in wanted]):
        return False
    if not all([v in known or v in path.recording.graph.inputs for v in joint.saved]):
        return False
    for source, place in zip(wanted, joint.places or (None,) * len(wanted), strict=True):
        t = inputs[sources.index(source)]
        if t._node is None or (isinstance(source, Captured) and t._node is not LEAF):
            return False
        if place is not None and (tuple(t.shape) != tuple(outputs[place].shape) or t.dtype is not outputs[place].dtype):
            return False
    return True


class Deferred(Rules):
    """The rules of a call, made when a pass needs them that the plan alone does not serve."""

    name = Differentiated.name
    __slots__ = ("args", "history", "made", "rules", "states")

    def __init__(self, history: History, args: tuple, states: dict | None, made: int):
        self.history, self.args, self.states, self.made = history, args, states, made
        self.rules: Any = None

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients of the arguments."""
        if self.rules is None:
            path, leaves = self.history.path, list(self.args)
            results = [None] * len(path.recording.graph.outputs)  # what is needed of them the node has saved
            self.rules = self.history.long(Served(path, path.inputs(leaves), results, self.states or {}), leaves)
            self.rules.made = self.made
        return self.rules.backward(ctx, grads)


class Direct(Pull):
    """How such nodes pull: the backward plan runs on the arrays of what was saved and the cotangents."""

    __slots__ = ("path", "plan")

    def __init__(self, mask: tuple | None, path: Path):
        super().__init__(mask)
        self.path = path
        # The plan, once it is made; False if there is none that makes all of its results anew.
        self.plan: Any = None if path.joint.status == KNOWN else False

    def restrict(self, mask: tuple) -> Pull:
        """Return the plan that pulls to some edges only."""
        return Direct(mask, self.path)

    def pull(self, node: Any, g: Any, level: int) -> list:
        """Return one cotangent per edge."""
        given = None if level else _arrays(node, g)
        plan = self.plan
        if given is not None and plan is None:
            plan = self.path.backward
            plan = self.plan = plan if getattr(plan, "makes_all", False) else False
        if given is None or plan is False:
            return super().pull(node, g, level)
        try:
            found = plan(given)
        except GuardFailed:  # values are refused
            return super().pull(node, g, level)
        mask, places = self.mask, self.path.joint.places
        if mask is None:
            return [found[k] for k in places]
        return [found[k] if m else None for k, m in zip(places, mask, strict=True)]


def _arrays(node: Any, g: Any) -> list | None:
    """Return what the backward plan takes; None where a pass is to go by the rules."""
    if node.saved is None:
        return None
    found, made = [], node.id
    for kept in node.saved:
        if kept.__class__ is SavedTensor:
            if kept.unpack_hook is not None:
                return None
            kept = kept.kept
        version = kept._ver
        if (version is not None and version.stamp > made) or kept._level:
            return None
        found.append(kept._data)
    found += g if g.__class__ is list else (g,)
    return None if any([x is None or isinstance(x, Tensor) for x in found]) else found

"""How a call of a custom function passes through the reverse levels, down to where the user's `forward` runs, once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import ref

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, Port, next_id
from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.record.notes import note_values
from chainrule.core.record.plans import edge_of, refuse_inference
from chainrule.core.record.saved import pack, pack_output
from chainrule.core.tensor.tensor import GradTracking, Tensor, wrap, wrap_at
from chainrule.core.tensor.value import carried, is_inexact, take, version_of
from chainrule.core.write.inplace import adopt
from chainrule.core.write.views import cut_off
from chainrule.transforms.custom.context import BackwardCFunction, lowered, mapped, open_node, take_requests, unbox
from chainrule.transforms.custom.pull import PULL_ALL


class Rules:
    """A function and its derivative rules, as the interpreters call them.

    Attributes
    ----------
    name : str
        For messages and `grad_fn`.
    separate : bool
        Whether `forward` takes no `ctx` and `setup` fills one, at every level anew; otherwise what `forward` did to its `ctx`
        at the bottom is carried to the other levels.
    """

    name = "Function"
    separate = True

    def face(self) -> Any:
        """Return a fresh `ctx`."""
        return named_face(self.name)()

    def forward(self, ctx: Any, args: tuple) -> Any:
        """Return the result on values that no transform watches."""
        raise NotImplementedError

    def setup(self, ctx: Any, args: tuple, output: Any) -> None:
        """Keep on `ctx` what the rules need."""

    def backward(self, ctx: Any, grads: tuple) -> Any:
        """Return the gradients of the arguments."""
        raise NotImplementedError

    def jvp(self, ctx: Any, tangents: tuple) -> Any:
        """Return the tangents of the results."""
        raise NotImplementedError

    def openly(self, ctx: Any, args: tuple) -> Any:
        """Do as `forward`, on values that transforms watch: for a function without `jvp`, whose own operations then serve."""
        raise NotImplementedError

    def no_jvp(self) -> Exception | None:
        """Return the error for forward mode, for a function without `jvp`."""
        return None

    def batched(self, lower: tuple, args: tuple, examples: Examples) -> Outcome | None:
        """Return what the function's own rule for a batch gives; None if it has none: its methods then run on batched values.

        `args` are the values of the batched level, `lower` their payloads.
        """
        return None


@lru_cache(1024)  # names are the user's, who may make functions without end
def named_face(name: str) -> type[BackwardCFunction]:
    """Return the class of `ctx` for functions of a name."""
    return type(f"{name}Backward", (BackwardCFunction,), {"_function_name": name, "__module__": "chainrule.autograd.function"})


class Examples(NamedTuple):
    """What a rule for a batch needs to know: `lower[i]` has the batch axis first where `on[i]`.

    In the caller's own tensors it is at `dims[i]` (None where there is none), 0 for values made inside of the `vmap`. `lift`
    makes a value of the batched level of a payload, `randomness` is what the `vmap` does about random numbers.
    """

    on: tuple
    size: int
    randomness: str
    lift: Callable
    dims: tuple


class Outcome(NamedTuple):
    """What a call gave at one level.

    `outs` are the results, `raw` those that `forward` or `setup` saw, `same` the argument that a result is, if it is one;
    `requests` are what `forward` left on its `ctx`, in terms of `args` and `raw` of this level.
    """

    outs: tuple
    single: bool
    raw: tuple
    same: tuple
    requests: dict | None

    @property
    def result(self) -> Any:
        """The results as the function returned them."""
        return self.outs[0] if self.single else self.outs


def call(rules: Rules, *args: Any) -> Any:
    """Call a function with rules of its own; tensors among the arguments are differentiated in."""
    return run_rules(rules, args, ALONE).result


ALONE, ABOVE, REVERSE = range(3)  # who has handed a call down: nobody, some level that wants `requests`, a reverse level


def run_rules(rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call at the highest level among its arguments."""
    level, top = 0, None
    for a in args:
        if isinstance(a, Tensor) and a._level > level:
            level, top = a._level, a
    tracer = modes().tracer
    if tracer is not None and level <= tracer.level and tracer.takes(args):
        return tracer.custom(rules, args, above)
    if top is None:
        return at_bottom(rules, args, above)
    return top._custom(rules, args, above)  # type: ignore[attr-defined]


def at_bottom(rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call on plain tensors."""
    ctx, node = _begun(rules, args, 0)
    with no_grad():
        out = rules.forward(ctx, args)
        single = not isinstance(out, tuple)
        raw = (out,) if single else tuple(out)
        for o in raw:
            if isinstance(o, Tensor) and o._level:
                raise RuntimeError(
                    f"{rules.name}: forward's result depends on a value of a transform that is none of its arguments (forward "
                    "closes over it, or gets it inside a container): its derivative would be lost. Pass it as an argument "
                    "of its own."
                )
        if rules.separate and (node is not None or not above):
            rules.setup(ctx, args, out)
    requests = None if rules.separate or not above else dict(ctx.__dict__)
    same = tuple([index_of(o, args) if isinstance(o, Tensor) else None for o in raw])
    return Outcome(_recorded(ctx, node, args, raw, raw, same, 0), single, raw, same, requests)


def index_of(t: Any, among: Sequence) -> int | None:
    """Return where an object is in a sequence; None if it is not."""
    for i, a in enumerate(among):
        if a is t:
            return i
    return None


# -- reverse levels ----------------------------------------------------------------------------------------------------


def _begun(rules: Rules, args: tuple, level: int) -> tuple[Any, Any]:
    """Return the `ctx` of a call at a level, and its open node: None where the level records none."""
    ctx = rules.face()
    edges = tuple([edge_of(a, level) for a in args])
    ctx.needs_input_grad = needs = tuple([e is not None for e in edges])
    mode = modes()
    if not mode.record or level < mode.floor or True not in needs:
        return ctx, None
    return ctx, open_node(rules, ctx, args, level, edges, PULL_ALL)


def on_grad_tracking(self: Tensor, rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call at a reverse level above 0."""
    level = self._level
    lower = tuple([carried(a) if isinstance(a, Tensor) and a._level == level else a for a in args])
    inner = run_rules(rules, lower, REVERSE)
    raw = []
    for o, i in zip(inner.outs, inner.same, strict=True):
        if i is not None:
            raw.append(args[i])
        else:
            raw.append(wrap_at(level, lowered(o)) if isinstance(o, Tensor) else o)
    for a, low in zip(args, lower, strict=True):
        if isinstance(a, Tensor) and a._level == level and not isinstance(a._data, Tensor):
            a._data = low._data  # an array where a write in place needed one
    ctx, node = _begun(rules, args, level)
    requests = _set_up(rules, ctx, inner, lower, args, tuple(raw))
    outs = _recorded(ctx, node, args, tuple(raw), inner.outs, inner.same, level)
    return Outcome(outs, inner.single, tuple(raw), inner.same, requests)


GradTracking._custom = on_grad_tracking  # type: ignore[attr-defined]


def _set_up(rules: Rules, ctx: Any, inner: Outcome, lower: tuple, args: tuple, raw: tuple) -> dict | None:
    """Fill the `ctx` of a level above the bottom; return what `forward` left, in this level's terms."""
    if rules.separate:
        with no_grad():
            rules.setup(ctx, args, raw[0] if inner.single else raw)
        return None
    known = {id(b): a for b, a in zip((*lower, *inner.raw), (*args, *raw), strict=True) if isinstance(b, Tensor)}
    requests = {k: mapped(lambda t: known.get(id(t), t), v) for k, v in (inner.requests or {}).items()}
    needs = ctx.needs_input_grad
    ctx.__dict__.update(requests)
    ctx.needs_input_grad = needs
    return requests


def _recorded(ctx: Any, node: Any, args: tuple, raw: tuple, payloads: tuple, same: tuple, level: int) -> tuple:
    """Give the results of a call at a reverse level their history; return them.

    `raw` are the results that the rules saw (an argument itself, where it was returned), `payloads` what to make those of that
    are not arguments written to in place.
    """
    to_save, _, dirty, constant = take_requests(ctx)
    name = "" if node is None else node.rules.name
    written = written_inputs(dirty, args, raw)
    constants = {id(unbox(t)[0]) for t in constant or ()}
    several = len(raw) > 1
    for i in written:
        if node is not None and args[i]._node is LEAF:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        version_of(args[i]).bump()
    if node is not None:
        node.id = next_id()
        if several:
            node.width = len(raw)
    tracks = [node is not None and isinstance(o, Tensor) and is_inexact(o) and id(o) not in constants for o in raw]
    why = "functions" if sum(tracks) > 1 else "function"  # a write through a view would bypass the function's own gradient
    outs: list = []
    described: list = []
    for j, (o, payload, i, tracked) in enumerate(zip(raw, payloads, same, tracks, strict=True)):
        if not isinstance(o, Tensor):
            outs.append(o)
            described.append(None)
            continue
        edge = Port(node, j) if several else node
        described.append((tuple(o.shape), o.dtype, tracked))
        if i in written and (tracked or o._node is None):
            if tracked:
                value = _copy(o)
                value._node = edge
                adopt(o, value, name)
        elif i is not None or (tracked and _has_history(o) and index_of(o, outs) is None):
            o = _alias(o, payload, level)
            if node is not None:
                cut_off(o, why)
            if tracked:
                o._node = edge
        elif tracked:
            o._node = edge
            if o._view is not None:
                cut_off(o, why)
        outs.append(o)
    if node is not None:
        node.outputs = tuple(described)
        if modes().noting is not None:
            note_values(node, args, outs, level)
        _save(node, to_save or (), raw, outs, same)
    return tuple(outs)


def written_inputs(dirty: Any, args: tuple, raw: tuple) -> list[int]:
    """Return which arguments the function declared to have written to; raise PyTorch's error if one is not returned."""
    found = []
    for k, t in enumerate(dirty or ()):
        t = unbox(t)[0]
        if not isinstance(t, Tensor):
            raise RuntimeError(f"mark_dirty can only accept variables, but argument {k} is of type {type(t).__name__}")
        if index_of(t, raw) is None:
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
                "modified inplace must all be outputs of the Function."
            )
        i = index_of(t, args)
        if i is not None:
            found.append(i)
            continue
        warnings.warn(
            "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated should be "
            "passed to ctx.mark_dirty().",
            UserWarning,
            stacklevel=2,
        )
    return found


def _has_history(t: Tensor) -> bool:
    node = t._node
    return node is LEAF or (node is not None and node._kind != LEAF_EDGE)


def _copy(t: Tensor) -> Tensor:
    made = wrap(None)
    take(made, t)
    return made


def _alias(o: Tensor, payload: Any, level: int) -> Tensor:
    """Return an argument that the function returned as a view of itself without its history."""
    made = _copy(o)
    if level and o._level == level:
        made._data = lowered(payload)
    made._node = None
    made._ver = version_of(o)
    made._view = (o, TABLE["view"], {"shape": tuple(o.shape)}, None)
    made._ver.members.add(ref(made, made._ver.members.discard))
    return made


def _save(node: Any, to_save: tuple, raw: tuple, outs: list, same: tuple) -> None:
    saved: list = []
    boxes: list = []
    for k, value in enumerate(to_save):
        t, owners = unbox(value)
        boxes.append(owners)
        if t is None:
            saved.append(None)
            continue
        if not isinstance(t, Tensor):
            raise TypeError(f"save_for_backward can only save variables, but argument {k} is of type {type(t).__name__}")
        j = index_of(t, raw)
        if j is not None and outs[j]._node is not None and (same[j] is None or outs[j] is t):
            saved.append(pack_output(outs[j], j))
        else:
            saved.append(pack(t))
    refuse_inference(tuple(saved))
    node.saved = tuple(saved)
    node.boxes = tuple(boxes) if any(boxes) else ()

"""What a view is to its base: the steps that lead to it, its history after a write, and why it may not be written through.

A view's link ``_view`` is (parent, op, params, output number). The base is the tensor without a link at the end of the chain;
all of them share one version counter, which knows its live members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, NODE, PORT, Refused, Version
from chainrule.core.mode.grad_mode import modes
from chainrule.core.mode.levels import fresh_level
from chainrule.core.mode.state import Mark
from chainrule.core.op.batching import Batch, each, per_example, shift_axes, shifted
from chainrule.core.op.declaration import TABLE, linear
from chainrule.core.op.raw import empty_like
from chainrule.core.op.reach import taken
from chainrule.core.op.results import first, like_first
from chainrule.core.op.samples import Sample
from chainrule.core.record.notes import note_values
from chainrule.core.record.placed import Chain, Placed, follow, sent_back, shown
from chainrule.core.record.plans import UNRECORDED, make_node
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost, keep_gradient, memory_of, meta_of, root_of, version_of

AMBIGUOUS = (
    " Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the "
    "view and the inplace either both inside the {0} block (if you don't want the inplace to be tracked) or both outside (if "
    "you want the inplace to be tracked)."
)
BECAUSE = {
    "multi": " This view is the output of a function that returns multiple views. Such functions do not allow the output views "
    "to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    "function": " This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
    "logic to handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect "
    "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.",
    "no_grad": AMBIGUOUS.format("no_grad"),
    "inference": AMBIGUOUS.format("inference_mode"),
}
BECAUSE["functions"] = BECAUSE["multi"]  # a custom Function of several results


def views_of(base: Tensor) -> list[Tensor]:
    """Return the live views of a base."""
    if base._ver is None:
        return []
    live = [r() for r in list(base._ver.members)]
    return [t for t in live if t is not None and t is not base and root_of(t) is base]


def chain_of(view: Tensor) -> Chain:
    """Return the (op, params, output number, shape before) steps that lead from the base to a view."""
    steps = []
    while view._view is not None:
        parent, how, params, index = view._view
        steps.append((how, params, index, tuple(parent.shape)))
        view = parent
    return tuple(reversed(steps))


def _shape_shown(base: tuple, *, chain: Chain) -> tuple:
    for how, params, index, _ in chain:
        base = how.shape([base], params)
        base = base if index is None else base[index]
    return base


def _dtype_shown(base: np.dtype, *, chain: Chain) -> np.dtype:
    for how, params, _, _ in chain:
        base = how.dtype([base], params)
    return base


def _written(base: Any, value: Any, *, chain: Chain) -> np.ndarray:
    """Return a copy of the base with the view's place taken by `value`.

    It lies in memory as the base does; a cotangent may lie so that the steps are no views of it, and then as they need it.
    """
    for out in (empty_like(base), np.empty(base.shape, base.dtype)):
        out[...] = base
        if _put(out, value, chain):
            return out
    places = shown(np.arange(base.size).reshape(base.shape), chain)
    out.reshape(-1)[places] = value
    return out


def _put(base: np.ndarray, value: Any, chain: Chain) -> bool:
    """Write where the steps of a view lead to in an array, to a conjugate by way of its conjugate; tell whether they do."""
    view = base
    for k, (how, params, index, _) in enumerate(chain):
        if how.computes:
            shown = how.kernel(view)
            done = _put(shown, value, chain[k + 1 :])
            view[...] = how.kernel(shown)
            return done
        view = how.kernel(view, **params)
        view = view if index is None else view[index]
    if view.size and not np.may_share_memory(view, base):
        return False
    view[...] = value
    return True


def _retaken_name(node: Any) -> str:
    how = node.params["chain"][-1][0]
    return how.node_name(node)[:-9] if how.name in ("view_as_real", "view_as_complex", "conj_view") else "AsStrided"


def _steps_of_examples(b: Batch, chain: Chain) -> Chain:
    """Return the steps that lead to a view of each example: the same ops, where other parameters are all that it takes."""
    found: list = []
    for how, params, index, shape in chain:
        moves = how.batch is shift_axes
        step = (how, shifted(params, b.size)) if moves else (EachView(b, how), params)
        found.append((*step, index, (b.size, *shape)))
    return tuple(found)


class EachView:
    """A step of a view: taken of the examples of a value with a batch axis in front."""

    __slots__ = ("bit", "call", "computes", "dtype", "kernel", "name", "shape")
    batch = None

    def __init__(self, b: Batch, how: Any):
        self.name, self.dtype, self.bit, self.computes = how.name, how.dtype, how.bit, how.computes
        cls = next(a for a, on in zip(b.given, b.on, strict=True) if on).__class__
        size = b.size  # a step may stay in a graph, which the examples are not to

        def call(x: Any, **params: Any) -> Any:
            t = wrap(x, cls)
            t._lv = fresh_level()
            # Where something watches every op, the values of raw payloads are plain tensors.
            return each(lambda o: o._data if isinstance(x, Tensor) else innermost(o._data), how.call(t, **params))

        def shape(given: list, params: dict) -> Any:
            one = how.shape([given[0][1:]], params)
            return [(size, *s) for s in one] if one.__class__ is list else (size, *one)

        self.call = self.kernel = call
        self.shape = shape


def _write_examples(b: Batch, base: Any, value: Any, *, chain: Chain) -> Any:
    return copy_slices(*b.whole((base, value)), chain=_steps_of_examples(b, chain))


# Both over the reals: a view may show the real parts of a complex base.
copy_slices: Callable = linear("copy_slices(base, value, *, chain)", _written, real_linear=True, node="CopySlices!",
    shape=first, dtype=like_first,
    reach=taken,
    batch=_write_examples,
    base=lambda g, *, chain: copy_slices(g, 0, chain=chain),
    value=lambda g, *, chain: follow(g, chain))  # fmt: skip

retake: Callable = linear("retake(base, *, chain)", lambda base, *, chain: shown(base, chain), real_linear=True,
    node=_retaken_name, shape=_shape_shown, dtype=_dtype_shown, reach=taken,
    batch=per_example(lambda base, *, chain: follow(base, chain)),
    base=lambda g, *, chain: sent_back(g, chain))  # fmt: skip


def _assemble_examples(b: Batch, *xs: Any, shape: tuple, chains: tuple) -> Any:
    each_chain = tuple([_steps_of_examples(b, chain) for chain in chains])
    return assemble(*b.whole(xs), shape=(b.size, *shape), chains=each_chain)


def _parts_of_a_matrix() -> list:
    """Return the parameters of a sum of a row, a part of a column, all, and an element of a row, for matrices of 3 by 4."""
    getitem, shape = TABLE["getitem"], (3, 4)
    row = (getitem, {"index": (1, ...)}, None, shape)
    column = (getitem, {"index": (slice(0, 2), 3, ...)}, None, shape)
    element = (getitem, {"index": (2, ...)}, None, (4,))
    return [Sample((4,), (2,), (3, 4), (), shape=shape, chains=((row,), (column,), (), (row, element)))]


# The sum of the cotangents of parts (`core.record.placed`) where they are tensors: it can be differentiated.
assemble: Callable = linear("assemble(*xs, shape, chains)",
    lambda *xs, shape, chains: Placed(shape, list(zip(chains, xs, strict=True)), True).whole(),
    shape=lambda *xs, shape: shape, reach=taken, batch=_assemble_examples,
    xs=lambda g, *, chains: [follow(g, chain) for chain in chains],
    samples=_parts_of_a_matrix)  # fmt: skip


# -- histories ---------------------------------------------------------------------------------------------------------


def _edge(t: Tensor) -> Any:
    return t if t._node is LEAF else t._node


def slices_node(base: Tensor, value: Tensor, chain: Chain) -> Any:
    """Return the node of a write through a view, whose values are in the base's memory already."""
    edges = (_edge(base), _edge(value))
    if edges == (None, None):
        return None
    return _made_node("copy_slices", (base, value), {"chain": chain}, edges, base)


def _made_node(name: str, args: tuple, params: dict, edges: tuple, result: Tensor) -> Any:
    """Return the node of an op whose result a tensor holds already."""
    node = make_node(TABLE[name], args, params, edges, memory_of(result))
    if modes().noting is not None:
        note_values(node, args, (result,), 0)
    return node


def retaken_node(view: Tensor) -> Any:
    """Return the node of a view taken anew from its base as it now is; None if the base has no history."""
    base = root_of(view)
    if base._node is None:
        return None
    return _made_node("retake", (base,), {"chain": chain_of(view)}, (_edge(base),), view)


def rewire(target: Tensor, value: Tensor, name: str) -> None:
    """Give a tensor that was written to by `name`, its base and the base's other views the history of the write."""
    base = root_of(target)
    if base is not target:
        renew(base, slices_node(base, value, chain_of(target)))
    elif value._node is None and base._node is not None:  # still requires grad, as in PyTorch; none flows
        made = {"form": _node_name(name)}
        renew(base, _made_node("copy", (base, value), made, (_edge(base), None), base))
    else:
        renew(base, value._node)
    renew_views(base)


def unhook(view: Tensor) -> None:
    """Have what is about to be computed of a view, and written there, pass by its hooks: they are those of its old values."""
    node = view._node
    if view._view is None or view._level or node is None or node is LEAF or node.__class__ is Refused:
        return
    if node._kind == NODE and node.hooks is not None and node.hooks.outputs and kind_of(view) is None:
        found = retaken_node(view)
        if found is not None:
            renew(view, found)


def renew_views(base: Tensor) -> None:
    """Have the views of a base whose history changed follow from it as it now is."""
    for t in views_of(base):
        if kind_of(t) in CUT_OFF:
            refuse_one(t, base)
        else:
            renew(t, retaken_node(t))


def _node_name(name: str) -> str:
    camel = "".join([word.capitalize() for word in name.strip("_").split("_")])
    return f"{camel}1" if name in ("eq_", "ne_", "lt_", "le_", "gt_", "ge_") else camel


def renew(t: Tensor, node: Any) -> None:
    """Give a tensor another node; it then retains the gradient of its new values, no longer that of its old ones."""
    before, t._node = t._node, node
    if before is None or before is LEAF or before._kind == LEAF_EDGE or not t.retains_grad:
        return
    old = before.node if before._kind == PORT else before
    if old.hooks is not None:
        old.hooks.retains = tuple([hook for hook in old.hooks.retains if hook[1]() is not t])
    if node is not None and node is not LEAF:
        keep_gradient(node, ref(t))


def current(view: Tensor) -> Any:
    """Return a view's node, taken anew from its base if the memory was written to since, unseen by the graph."""
    node = view._node
    if view._level == 0 and node._kind == NODE and version_of(view).stamp > node.id and kind_of(view) is None:
        found = retaken_node(view)
        if found is not None:
            renew(view, found)
    return view._node


# -- views that may not be written through -----------------------------------------------------------------------------

FROZEN = ("no_grad", "inference")
OWN = ("function", "functions")  # the history of these is not their base's, which need not have any
CUT_OFF = (*FROZEN, *OWN)  # a write to the base leaves these without a history that is theirs
_CUT_OFF = {why: Mark(False, 0, why) for why in CUT_OFF}


def freeze(view: Tensor) -> None:
    """Note that a view was made while nothing is recorded: it requires grad where its base does, but no gradient passes it."""
    m = modes()
    cut_off(view, "inference" if m.inference else "no_grad")
    if not view._level and view._node is None and root_of(view).requires_grad:
        view._node = nowhere(view)


UNRECORDED.append(freeze)


def cut_off(view: Tensor, why: str) -> None:
    """Note that a write through a view, or to its base, leaves it without a history that is its own; `why` is in `CUT_OFF`."""
    if view._meta is None:
        view._meta = _CUT_OFF[why]
    else:
        meta_of(view).frozen = why
    view._ver.frozen = refuse  # type: ignore[union-attr]


def nowhere(view: Tensor) -> Any:
    """Return the edge to a leaf that nobody holds."""
    made = wrap(memory_of(view))
    made._node = LEAF
    return made


def follow_base(base: Tensor) -> None:
    """Have the views without history require grad where their base now does, and no longer where it does not."""
    for t in views_of(base):
        if t._level:
            continue
        if base._node is not None and t._node is None and t.dtype.category >= 2:
            t._node = nowhere(t)
            t._ver.frozen = refuse  # type: ignore[union-attr]
        elif base._node is None and (t._node.__class__ is Refused or is_nowhere(t)):
            t._node = None


def is_nowhere(t: Tensor) -> bool:
    """Tell whether a tensor's gradients end in a leaf that nobody holds."""
    return t._node is not None and t._node is not LEAF and t._node.__class__ is not Refused and t._node._kind == LEAF_EDGE


def loosen(base: Tensor) -> None:
    """Note that a base with live views was detached: they keep their history until the memory is next written to."""
    follow_base(base)
    if base._ver is not None and views_of(base):
        base._ver.frozen = refuse


def refuse(version: Version) -> None:
    """After a write: cut-off views of what requires grad may not be used, others follow from their base from now on."""
    for reference in list(version.members):
        t = reference()
        if t is None or t._view is None or t._level or t._node is None or t._node is LEAF:
            continue
        base, kind = root_of(t), kind_of(t)
        if base._node is None and kind not in OWN:  # a base that was detached
            t._node = _made_node("retake", (base,), {"chain": chain_of(t)}, (nowhere(base),), t)
        elif kind in CUT_OFF:
            refuse_one(t, base)
        elif is_nowhere(t):  # a base that came to require grad after the view was taken
            t._node = retaken_node(t)


def refuse_one(view: Tensor, base: Tensor) -> None:
    """Have whoever uses a frozen view get PyTorch's error."""
    kind = kind_of(view)
    if (kind in OWN or (kind in CUT_OFF and base._node is not None)) and view._node.__class__ is not Refused:
        view._node = Refused(str(forbidden(view, indirect=True)))


def kind_of(view: Tensor) -> str | None:
    """Return why a view may not be written through, as in `CUT_OFF`, or "multi" for one of several; None if it may."""
    found = None
    while view._view is not None:
        frozen = getattr(view._meta, "frozen", None)
        if frozen in OWN:
            return frozen
        if frozen is not None:
            found = frozen
        elif view._view[3] is not None:
            found = found or "multi"
        view = view._view[0]
    return found


def forbidden(view: Tensor, indirect: bool = False) -> RuntimeError | None:
    """Return PyTorch's error for a recorded write through this view (`indirect`: for its use after one to its base)."""
    kind = kind_of(view)
    if kind is None:
        return None
    doing = "its base or another view of its base has been" if indirect else "is being"
    node = view._node
    name = None
    if node is not None and node is not LEAF and node.__class__ is not Refused and node._kind != LEAF_EDGE:
        name = (node.node if node._kind == PORT else node).name().partition("Backward")[0]
        name = f"Output {node.index if node._kind == PORT else 0} of {name} is a view"
    if kind in FROZEN or name is None:
        prefix = "A view was created in" if name is None else f"{name} of a view which was created in"
        if kind == "inference":
            text = f"{prefix} inference mode and {doing} modified inplace in normal mode."
        else:
            text = f"{prefix} no_grad mode and {doing} modified inplace with grad mode enabled."
    else:
        text = f"{name} and {doing} modified inplace."
    return RuntimeError(text + BECAUSE[kind])


Tensor._current = current  # type: ignore[assignment]
Tensor._follow_base = follow_base  # type: ignore[assignment]

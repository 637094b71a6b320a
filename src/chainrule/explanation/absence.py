"""Why a gradient is None: what cut the tensor off from the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF, PORT
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom
from chainrule.explanation.flow import Cut, Flow
from chainrule.explanation.history import nodes_below
from chainrule.explanation.passes import Run
from chainrule.transforms.evidence import Evidence
from chainrule.transforms.finding import NONE, Explanation
from chainrule.transforms.trail import Trail, key_of

_CASTS = frozenset(("long", "int", "short", "byte", "char", "bool", "to", "type", "type_as", "half"))
_NEW = frozenset((
    "tensor", "as_tensor", "new_tensor", "from_numpy", "asarray", "scalar_tensor", "Parameter", "array", "deepcopy",
    "__deepcopy__",
))  # fmt: skip
_READS = dict.fromkeys(("numpy", "__array__", "__array_ufunc__", "__array_function__", "__dlpack__"), "numpy")
_BY_HISTORY = frozenset(("detach", "detach_", "data"))
_RERUN = "Give the function instead of the loss, explain(f, inputs), to have it run once more and each call looked at."


def absent(target: Tensor, losses: list[Tensor], trail: Trail | None, run: Run | None) -> Explanation:
    """Return why no gradient of the losses comes to a tensor."""
    if not target.requires_grad:
        return _not_required(target, run)
    key = key_of(target if target._node is LEAF else target._node)
    if trail is not None and key in trail.kept:
        ev = Evidence(trail.kept[key][0][0])
        return Explanation(NONE, "custom rule" if ev.op is None else "not differentiable", ev.name, ev.note, node=ev.node,
                           text=f"{ev.name} returned None as the gradient of this argument")  # fmt: skip
    if run is not None:
        return _by_flow(key, target, losses, run.flow)
    return _by_memory(target, losses)


def _not_required(target: Tensor, run: Run | None) -> Explanation:
    place = None if run is None else run.flow.made_at(target)
    kind = "" if target.dtype.category >= 2 else f" (nor could it: its dtype is {target.dtype})"
    text = f"the tensor does not require grad{kind}, so nothing that is computed of it is recorded for it"
    return Explanation(NONE, "frozen", forward=place, text=text)


def _by_flow(key: Any, target: Tensor, losses: list[Tensor], flow: Flow) -> Explanation:
    """Follow the values of a tensor through the calls of a run to where their history ended."""
    passed = frozenset().union(*[flow.lineage(loss)[1] for loss in losses]) if losses else frozenset()
    cuts = [(i, cut) for i, cut in enumerate(flow.cuts) if key in cut.sources]
    on_the_way = [cut for i, cut in cuts if i in passed]
    reads = flow.reads.get(key)
    if on_the_way:
        chosen = on_the_way[-1]  # of several behind each other, the one that none of the others makes good
        if not _is_read_later(chosen, reads):
            return _of_cut(chosen)
    if reads is not None:
        name, place = reads
        text = f"{name.strip('_')}() took its values out as numbers, which have no history; what is made of those is constant"
        return Explanation(NONE, _READS.get(name, "item"), name.strip("_"), place, text=text)
    if cuts:
        return _of_cut(cuts[0][1])
    use = flow.uses.get(key)
    if use is None:
        text = "no call took it while the loss was computed"
        return Explanation(NONE, "unused", forward=flow.made_at(target), text=text)
    name, place = use
    text = f"it was last used by {name.strip('_')}(), of whose result the loss was not computed"
    return Explanation(NONE, "unused", name.strip("_"), place, text=text)


def _is_read_later(cut: Cut, reads: Any) -> bool:
    """Tell whether the cut was only made so that the values could be read: ``x.detach().numpy()``."""
    return reads is not None and cut.name in _BY_HISTORY and reads[1].line == cut.place.line and reads[1].file == cut.place.file


def _of_cut(cut: Cut) -> Explanation:
    name = cut.name.strip("_") if cut.name.startswith("__") else cut.name
    tensors = [v for v in cut.results if isinstance(v, Tensor)]
    exact = [t for t in tensors if t.dtype.category < 2]
    if cut.custom:
        text = (
            f"the result of the custom function {cut.name} has no history for this argument: it was marked by "
            "mark_non_differentiable(), or no gradient of it was wanted"
        )
        return Explanation(NONE, "custom rule", cut.name, cut.place, text=text)
    if cut.name in _BY_HISTORY:
        cause, text = "detach", f"{'.data' if name == 'data' else name + '()'} gives its values without their history"
    elif cut.name in _NEW or (cut.name == "requires_grad_" and tensors and tensors[0].requires_grad):
        what = "Parameter() or requires_grad_()" if name in ("Parameter", "requires_grad_") else f"{name}()"
        cause, text = "copied", f"{what} makes a new leaf of its values"
    elif cut.name == "grad":
        cause, text = "no create_graph", "grad() gives derivatives without a history of their own, unless create_graph=True"
    elif cut.name == "requires_grad_":
        cause, text = "frozen", "requires_grad_(False) was called"
    elif not tensors:
        cause, text = _READS.get(cut.name, "item"), f"{name}() took its values out of the graph"
    elif exact:
        cause = "integer cast" if cut.name in _CASTS else "comparison" if exact[0].dtype.category == 0 else "argmax"
        text = f"{name}() gives {exact[0].dtype} values, which have no derivative"
    elif not cut.recorded:
        cause, text = "no_grad", f"{name}() ran where gradients are off: no_grad(), inference_mode() or set_grad_enabled(False)"
    else:
        cause, text = "not differentiable", f"{name}() has no derivative in it"
    return Explanation(NONE, cause, name, cut.place, text=text)


def _by_memory(target: Tensor, losses: list[Tensor]) -> Explanation:
    """Look for the tensor's memory among the constants that the graph of the losses keeps: it came in without its history."""
    if not any(loss.requires_grad for loss in losses):
        return Explanation(NONE, "no history", text="the loss has no history: nothing that it was computed of was recorded",
                           missing=_RERUN)  # fmt: skip
    data = bottom(target)
    for ev in map(Evidence, nodes_below(*losses)):
        for k, x in enumerate(ev.operands):
            if isinstance(x, np.ndarray) and isinstance(data, np.ndarray) and np.shares_memory(x, data):
                text = f"its values came to {ev.name} as the constant '{ev.operand_name(k)}', by detach(), .data or no_grad()"
                return Explanation(NONE, "detach", ev.name, ev.note, text=text, node=ev.node, missing=_RERUN)
    text = (
        "no way leads from the loss to it in the graph: it is not used, or only by way of detach(), no_grad(), an integer, a "
        "comparison or a number"
    )
    return Explanation(NONE, "not in the graph", text=text, missing=_RERUN)


def not_a_leaf(target: Tensor) -> Explanation:
    """Return why the result of an op has no `.grad`."""
    node = target._node.node if target._node._kind == PORT else target._node
    ev = Evidence(node)
    return Explanation(NONE, "not a leaf", ev.name, ev.note, node=node,
                       text=f"it is the result of {ev.name}, and only leaves keep their gradient by themselves")  # fmt: skip


def no_pass() -> Explanation:
    """Return why a leaf with a way to the loss has no `.grad`."""
    text = (
        "a loss does depend on it, but no backward pass has added to its .grad: none ran, it ran with inputs= or through "
        "autograd.grad(), or zero_grad() cleared it since"
    )
    return Explanation(NONE, "no pass", text=text)

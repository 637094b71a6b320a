"""What a node saved, for the user to see under PyTorch's names: `_saved_self`, `_saved_result`, `_raw_saved_other`, ...

The names follow from the op's declaration; a few of PyTorch's own choices are in a table.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.graph.nodes import Dressed, Node, freed_error
from chainrule.core.op.declaration import IN, OUT, SHAPE, Op
from chainrule.core.record.plans import reveal_output, unpacked_output
from chainrule.core.record.saved import PACKED, SavedTensor, edge_to, of_node, unpack
from chainrule.core.tensor.tensor import Tensor

_INPUTS = {"x": "self", "y": "other", "condition": "condition"}
_OWN = {
    ("bmm", "y"): "mat2", ("clamp", "high"): "max", ("clamp", "low"): "min", ("diagonal", "a"): "dim1",
    ("diagonal", "b"): "dim2", ("dot", "y"): "tensor", ("flip", "axis"): "dims", ("index", "i"): "indices",
    ("index_select", "i"): "index", ("lerp", "w"): "weight", ("lerp", "y"): "end", ("matmul", "y"): "mat2",
    ("mm", "y"): "mat2", ("mv", "y"): "vec",
    ("permute", "order"): "dims", ("pow", "y"): "exponent", ("transpose", "a"): "dim0", ("transpose", "b"): "dim1",
    ("tril", "k"): "diagonal", ("triu", "k"): "diagonal", ("vector_norm", "order"): "ord",
}  # fmt: skip
_PARAMS = {"axis": "dim", "keepdims": "keepdim", "axes": "dims"}


def saved_names(node: Node) -> list[str]:
    """Return the names under which what the node saved can be read."""
    sources = _sources(node)
    raw = [f"_raw{name}" for name, (kind, _) in sources.items() if kind in (IN, OUT)]
    return [*sources, *raw]


def input_name(op: Op, index: int) -> str:
    """Return PyTorch's name of an op's input, as far as it follows from ours."""
    name = op.inputs[0 if op.variadic else index]
    return _OWN.get((op.name, name)) or _INPUTS.get(name, name)


def _sources(node: Node) -> dict[str, tuple]:
    op = getattr(getattr(node, "plan", None), "op", None)
    if op is None or not hasattr(op, "rules"):
        return {}
    found: dict[str, tuple] = {}
    for rule in op.rules:
        for kind, i in () if rule is None else rule.sources:
            name = "" if kind is OUT else input_name(op, i)
            if kind is IN:
                found[f"_saved_{name}"] = (IN, i)
            elif kind is SHAPE:
                found[f"_saved_{name}_sym_sizes"] = (SHAPE, i)
            elif kind is OUT:
                found["_saved_result"] = (OUT, 0)
    for name in op.params:
        found[f"_saved_{_OWN.get((op.name, name)) or _PARAMS.get(name, name)}"] = ("param", name)
    return found


def saved_attribute(node: Node, name: str) -> Any:
    """Return what a node saved, as `_saved_…` the value, as `_raw_saved_…` the `SavedTensor` that takes hooks.

    Raises
    ------
    AttributeError
        If the op saves nothing of this name.
    RuntimeError
        If the value was freed by a backward pass, or written to.
    """
    raw = name.startswith("_raw")
    kind, i = _sources(node).get(name.removeprefix("_raw"), (None, None))
    if kind is None or (raw and kind not in (IN, OUT)):
        raise AttributeError(f"{type(node).__name__!r} object has no attribute {name!r}")
    if kind == "param":
        return node.params[i]
    if kind is SHAPE:
        return None if node.shapes is None else tuple(node.shapes[i])
    if node.plan.keeps and node.saved is None:
        raise freed_error()
    if kind is OUT:
        return _output(node, raw)
    if not node.plan.saves[i] and not node.plan.op.variadic:
        return None
    kept = node.kept[i]
    if raw:
        return _raw_input(node, i, kept)
    return unpack(kept, node)


def _raw_input(node: Node, i: int, kept: Any) -> Any:
    if not isinstance(kept, Tensor) and kept.__class__ not in PACKED:
        return kept
    if isinstance(kept, Tensor):
        kept = SavedTensor(kept, edge_to(kept))
        node.kept = (*node.kept[:i], kept, *node.kept[i + 1 :])
    return of_node(kept, node) if isinstance(kept, SavedTensor) else kept


def _output(node: Node, raw: bool) -> Any:
    if not node.plan.saves_out:
        return None
    level = next((about.level for about in getattr(node, "_results", {}).values()), 0)
    if not raw:
        return unpacked_output(node, level)
    kept = reveal_output(node, level)
    if kept.__class__ is tuple:
        return tuple([None if k is None else of_node(k, node) for k in kept])
    return of_node(kept, node)


def _getattr(node: Any, name: str) -> Any:
    if name.startswith(("_saved_", "_raw_saved_")):
        return saved_attribute(node, name)
    raise AttributeError(f"{type(node).__name__!r} object has no attribute {name!r}")


def _dir(node: Any) -> list[str]:
    return [*object.__dir__(node), *saved_names(node)]


Dressed.__getattr__ = _getattr  # type: ignore[attr-defined]
Dressed.__dir__ = _dir  # type: ignore[assignment]

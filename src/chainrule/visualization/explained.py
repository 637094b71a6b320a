"""What ``chainrule.explain`` says of the gradients in a graph, for the nodes that it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF, engine_node
from chainrule.core.tensor.tensor import Tensor
from chainrule.explanation import explain
from chainrule.transforms.finding import FINE
from chainrule.visualization.names import Names
from chainrule.visualization.recorded import Item

_LEAVES = 20  # at most so many are explained: where one loss is NaN, so are the gradients of a thousand parameters


def take_explanations(items: Sequence[Item], roots: Sequence[Tensor], grad_outputs: Any, names: Names) -> dict[int, str]:
    """Return what explains the leaves' gradients that are not finite or all zero: index of a leaf or node → text.

    The pass that this takes is one more; an explanation that cannot be had says why.
    """
    asked = [item for item in items if item.is_leaf and _is_strange(item)][:_LEAVES]
    if not asked or len(roots) > 1 or roots[0]._node is LEAF:
        return {}
    index = {id(item.source): item.index for item in items}
    texts: dict[int, str] = {}
    given = grad_outputs[0] if isinstance(grad_outputs, (list, tuple)) else grad_outputs
    for item in asked:
        try:
            with np.errstate(all="ignore"):
                found: Any = explain(roots[0], item.source, gradient=given)
        except Exception as error:  # of a hook or a rule of the user's: the page shows it, beside the graph
            texts[item.index] = f"no explanation: {type(error).__name__}: {error}"
            continue
        if found.kind == FINE:
            continue
        called = names.of((id(item.source), 0))[:1]
        texts[item.index] = str(found.about(name=called[0] if called else ""))  # explain() takes it for a variable of ours
        for node, word in found.marks.items():
            place = index.get(id(engine_node(node)))
            if place is not None and place != item.index and place not in texts:
                of = f" of the gradient of {called[0]}" if called else ""
                texts[place] = f"the cause{of}: {word}\n{found.text}"
    return texts


def _is_strange(item: Item) -> bool:
    stats = item.results[0].gradient
    return stats is not None and bool(stats["size"]) and (stats["nan"] > 0 or stats["inf"] > 0 or stats["zeros"] == 1)

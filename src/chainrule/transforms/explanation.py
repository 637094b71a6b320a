"""What anomaly mode says of a NaN or an infinity: which element, which values made it, and what hid them."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.graph.nodes import Node
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.record.inspection import input_name
from chainrule.transforms.evidence import Evidence, first, is_kind, number
from chainrule.transforms.nonfinite import made_here
from chainrule.transforms.trail import Sent, Trail, array_of


def explained(trail: Trail, node: Node, g: Any, i: int, kind: str) -> str:
    """Return the explanation of values of a kind in the cotangent that a node sends to its input `i`."""
    gi = array_of(g)
    bad = is_kind(gi, kind)
    place = first(bad)
    ev = Evidence(node, trail)
    name = f"input {i}" if ev.op is None else f"input {i} ('{ev.operand_name(i)}')"
    lines = [f"{kind} in {int(bad.sum())} of {gi.size} elements of the gradient of {name}{_first(place)}"]
    came = [c for c in trail.came[node.id] if c is not None and is_kind(c, kind).any()]
    if came:
        return (
            f"{lines[0]}\nthe gradient that came to {node.name()} holds {kind} already{_first(first(is_kind(came[0], kind)))}"
        )
    found = made_here(trail, ev, Sent(node, i, gi), place, kind)
    return "\n".join([*lines, *found.body(), *([f"Remedy: {found.remedy}."] if found.remedy else [])])


def _first(index: tuple) -> str:
    return f", first at {list(index)}" if len(index) else ""


def forward_text(op: Op, payloads: list, out: Any, index: int, kind: str, called: Any) -> str:
    """Return the message for a forward result that is not finite."""
    array = np.asarray(out)
    bad = is_kind(array, kind)
    place = first(bad)
    result = "" if index == 0 else f" (output {index})"
    lines = [
        f"Operation '{op.name}' returned {kind} values in the forward pass{result}: in {int(bad.sum())} of {array.size} "
        f"elements{_first(place)}."
    ]
    for k, x in enumerate(payloads):
        x = np.asarray(x)
        if x.dtype.kind not in "bifcu":
            continue
        name = f"input {k} ('{input_name(op, k)}')"
        if x.dtype.kind in "fc" and is_kind(x, kind).any():
            lines.append(f"{name} holds {kind} already{_first(first(is_kind(x, kind)))}")
        elif op.kind == ELEMENTWISE:
            lines.append(f"{name} is {number(np.broadcast_to(x, array.shape), place)} there")
        elif x.size:
            lies = f"lies between {number(x.min())} and {number(x.max())}"
            lines.append(f"{name} {'is complex' if x.dtype.kind == 'c' else lies}")
    return "\n".join(lines) + "\nCalled at:\n" + "".join(called.lines()).rstrip()

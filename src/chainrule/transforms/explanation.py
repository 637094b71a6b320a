"""What anomaly mode says of a NaN or an infinity: which element, which values made it, and what hid them."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.nodes import Node
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.record.inspection import input_name
from chainrule.core.record.notes import note_of
from chainrule.core.record.unpacking import values_of
from chainrule.core.tensor.value import bottom


def explained(watch: Any, node: Node, g: Any, gs: list, i: int, kind: str) -> str:
    """Return the explanation of values of a kind in the cotangent that a node sends to its input `i`."""
    gi = np.asarray(bottom(gs[i]))
    bad = _bad(gi, kind)
    first = tuple(int(k) for k in np.argwhere(bad)[0])
    op = getattr(node.plan, "op", None)
    name = f"input {i}" if op is None else f"input {i} ('{input_name(op, i)}')"
    lines = [f"{kind} in {int(bad.sum())} of {gi.size} elements of the gradient of {name}{_first(first)}"]
    came = bottom(g) if g.__class__ is not list else None
    if came is not None and _bad(np.asarray(came), kind).any():
        at = _first(np.argwhere(_bad(np.asarray(came), kind))[0])
        lines.append(f"the gradient that came to {node.name()} holds {kind} already{at}")
        return "\n".join(lines)
    place = None
    if op is not None and op.kind == ELEMENTWISE and came is not None and node.plan.keeps:
        place, text = _elementwise(node, op, np.asarray(came), gi, first, i, kind)
        lines.append(text)
    if op is not None and place is not None and came is not None and np.asarray(came)[place] == 0:
        lines += _masked(watch, node, place, op.name)
    elif place is not None and not np.isfinite(np.asarray(came)[place]):
        lines += _origin(watch, node, place)
    elif place is None:
        lines += _operands(node, kind)
    return "\n".join(lines)


def _bad(array: np.ndarray, kind: str) -> np.ndarray:
    return np.isnan(array) if kind == "nan" else np.isinf(array)


def _first(index: Any) -> str:
    return f", first at {[int(k) for k in index]}" if len(index) else ""


def _number(array: Any, place: tuple = ()) -> str:
    return str(np.asarray(array)[place].item())


def _elementwise(node: Node, op: Op, came: np.ndarray, gi: np.ndarray, first: tuple, i: int, kind: str) -> tuple[Any, str]:
    """Return the place in the result whose contribution is of the kind, and the product that made it."""
    inputs, out = values_of(node)
    inputs = tuple([bottom(x) for x in inputs])
    rule: Any = op.rules[0 if op.variadic else i]
    params = getattr(node, "params", {})
    token = hush()
    try:
        whole, slope = [
            np.broadcast_to(rule((g,), inputs, None, bottom(out), None, params, True), came.shape)
            for g in (came, np.ones_like(came))
        ]
    finally:
        unhush(token)
    places = np.argwhere(_bad(np.asarray(whole), kind))
    if not len(places):
        return None, "its contributions are finite and their sum is not"
    place = tuple(int(k) for k in places[0])
    at = ", ".join(
        f"{input_name(op, k)} = {_number(np.broadcast_to(np.asarray(x), came.shape), place)}"
        for k, x in enumerate(inputs)
        if x is not None
    )
    if not at and out is not None:
        at = f"the result {_number(np.broadcast_to(np.asarray(bottom(out)), came.shape), place)}"
    where = "" if place == first else f" (element {list(place)} of the result)"
    g, d = _number(came, place), _number(slope, place)
    return place, (
        f"there{where} the gradient that came is {g} and the derivative of {op.name} at {at} is {d}: "
        f"{g} * {d} = {_number(whole, place)}"
    )


def _masked(watch: Any, node: Node, place: tuple | None, name: str) -> list[str]:
    """Return where the zero came from that met an infinite derivative: the first node, seen from here, that made it."""
    current = node
    while True:
        sent = watch.senders.get(current.id)
        if not sent:
            return ["that 0 is what the backward pass started from"]
        if any(np.any(_at(gi, place)) for _, gi in sent):
            return ["that 0 is the sum of several gradients that cancel"]
        sender, gi = sent[0]
        came = watch.came[sender.id]
        came = None if came.__class__ is list else np.asarray(bottom(came))
        same = came is not None and came.shape == np.asarray(bottom(gi)).shape
        if came is not None and not np.any(_at(came, place if same else None)):
            current, place = sender, place if same else None
            continue
        return [
            f"that 0 was sent by {_named(sender)}, which leaves this element out; times an infinite derivative it is nan all "
            f"the same. Give {name} an input there at which its derivative is finite: put a where() around its input too."
        ]


def _named(node: Node) -> str:
    note = note_of(node)
    return node.name() if note is None else f"{node.name()} ({note})"


def _origin(watch: Any, node: Node, place: tuple | None) -> list[str]:
    """Return where the infinity came from that met a zero derivative: the node that made it of finite gradients."""
    current: Node = node
    at: tuple | None = place
    while True:
        sent = [(s, gi) for s, gi in watch.senders.get(current.id, ()) if not np.isfinite(_at(gi, at)).all()]
        if not sent:
            return []
        sender, gi = sent[0]
        came = watch.came[sender.id]
        came = None if came.__class__ is list else np.asarray(bottom(came))
        if came is None or np.isfinite(came).all():
            return [f"that infinite gradient was made by {_named(sender)}"]
        current, at = sender, at if came.shape == np.asarray(bottom(gi)).shape else None


def _at(g: Any, place: tuple | None) -> np.ndarray:
    array = np.asarray(bottom(g))
    return array if place is None or len(place) != array.ndim else array[place]


def _operands(node: Node, kind: str) -> list[str]:
    """Return which of the values that a node saved are not finite."""
    op = getattr(node.plan, "op", None)
    if op is None or not node.plan.keeps:
        return []
    inputs, out = values_of(node)
    found = []
    outs = out if out.__class__ is tuple else (out,)
    named = [(f"'{input_name(op, k)}'", x) for k, x in enumerate(inputs)] + [("the result", o) for o in outs]
    for name, x in named:
        array = None if x is None else np.asarray(bottom(x))
        if array is not None and array.dtype.kind in "fc" and not np.isfinite(array).all():
            bad = ~np.isfinite(array)
            found.append(f"{name} holds {_number(array[bad][0])}{_first(np.argwhere(bad)[0])}")
    return found or [f"all values that {op.name} saved are finite"]


def forward_text(op: Op, payloads: list, out: Any, number: int, kind: str, trace: Any) -> str:
    """Return the message for a forward result that is not finite."""
    array = np.asarray(out)
    bad = _bad(array, kind)
    first = tuple(int(k) for k in np.argwhere(bad)[0])
    result = "" if number == 0 else f" (output {number})"
    lines = [
        f"Operation '{op.name}' returned {kind} values in the forward pass{result}: in {int(bad.sum())} of {array.size} "
        f"elements{_first(first)}."
    ]
    for k, x in enumerate(payloads):
        x = np.asarray(x)
        if x.dtype.kind not in "bifcu":
            continue
        name = f"input {k} ('{input_name(op, k)}')"
        if x.dtype.kind in "fc" and _bad(x, kind).any():
            lines.append(f"{name} holds {kind} already{_first(np.argwhere(_bad(x, kind))[0])}")
        elif op.kind == ELEMENTWISE:
            lines.append(f"{name} is {_number(np.broadcast_to(x, array.shape), first)} there")
        elif x.size:
            lies = f"lies between {_number(x.min())} and {_number(x.max())}"
            lines.append(f"{name} {'is complex' if x.dtype.kind == 'c' else lies}")
    return "\n".join(lines) + "\nCalled at:\n" + "".join(trace.lines()).rstrip()

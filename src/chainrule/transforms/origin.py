"""Which op of the forward pass made a value that is NaN or infinite: it is followed back to operands that were finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF_EDGE, PORT
from chainrule.transforms.evidence import Evidence, first, is_kind, number, numeric
from chainrule.transforms.finding import INF, NAN, Explanation, shown
from chainrule.transforms.trail import Trail

_DIVISIONS = ("div", "reciprocal", "floor_divide", "div_rounded", "addcdiv", "rsqrt")


def operand_origin(trail: Trail, ev: Evidence, at: tuple | None, shape: tuple) -> Explanation | None:
    """Return which op made an operand of another that is not finite; None if all are, as far as is known.

    `at` is the place of the result whose operands are asked about; None asks about all of them.
    """
    ev.filled()
    for kind in (NAN, INF):
        step = _earlier(ev, at, shape, kind)
        if step is not None:
            return _origin(trail, ev, *step, kind)
    return None


def value_origin(trail: Trail, ev: Evidence, place: tuple, kind: str) -> Explanation:
    """Return why an op's first result is of a kind at a place."""
    value = ev.filled().results[0]
    step = _earlier(ev, place, np.shape(value), kind)
    return _birth(trail, ev, place, value, kind) if step is None else _origin(trail, ev, *step, kind)


def _origin(trail: Trail, taker: Evidence, k: int, value: Any, place: tuple, kind: str) -> Explanation:
    """Follow an operand of an op to what made it so."""
    while True:
        ev = _maker(trail, taker, k, value)
        if ev is None:
            what = "a leaf" if _producer(taker, k) is not None else "a constant"
            at = f" at {list(place)}" if place else ""
            return Explanation(kind, "bad data", taker.name, taker.note, node=taker.node, arithmetic=f"{number(value, place)}",
                               text=f"{what}, the operand '{taker.operand_name(k)}' of {taker.name}, holds "
                               f"{number(value, place)}{at} before anything is computed")  # fmt: skip
        step = _earlier(ev, place, np.shape(value), kind)
        if step is None:
            return _birth(trail, ev, place, value, kind)
        taker, (k, value, place) = ev, step


def _maker(trail: Trail, taker: Evidence, k: int, value: Any) -> Evidence | None:
    edge = _producer(taker, k)
    if edge is None:
        return None if trail.made_by is None else trail.made_by(value)
    return None if edge._kind == LEAF_EDGE else Evidence(edge.node if edge._kind == PORT else edge, trail).filled()


def _producer(taker: Evidence, k: int) -> Any:
    """Return the edge of an operand."""
    if taker.node is None:
        return None
    positions, edges = getattr(taker.node, "positions", None), taker.node.edges
    if positions is not None:
        k = positions.index(k) if k in positions else len(edges)
    return edges[k] if k < len(edges) else None


def _earlier(ev: Evidence, place: tuple | None, shape: tuple, kind: str) -> tuple[int, Any, tuple] | None:
    """Return an operand of a kind, and where it is so: one that the result at a place depends on."""
    for k, x in numeric(ev.operands):
        bad = is_kind(x, kind)
        if place is not None and bad.any() and ev.is_elementwise and x.ndim <= len(shape):
            bad = bad & _of_place(x, place, shape)
        if bad.any():
            return k, ev.operands[k], first(bad)
    return None


def _of_place(x: np.ndarray, at: tuple, shape: tuple) -> np.ndarray:
    """Return which element of an operand is the one that an elementwise op reads at a place of its result."""
    try:
        numbers = np.broadcast_to(np.arange(x.size).reshape(x.shape), shape)
    except ValueError:  # examples of a batch come between
        return np.ones(x.shape, bool)
    return (np.arange(x.size) == numbers[at]).reshape(x.shape)


def _birth(trail: Trail, ev: Evidence, place: tuple, value: Any, kind: str) -> Explanation:
    """Return why an op gave a value of a kind for operands that were not."""
    shape = np.shape(value)
    at = ev.at(place, shape) if ev.is_elementwise else ev.ranges()
    result = number(value, place)
    if kind == INF:
        cause = pole(ev, place, shape) if ev.is_elementwise else "overflow"
    else:
        step = _earlier(ev, place, shape, INF)
        if step is not None:  # inf - inf, 0 * inf: it is the infinity's cause, unless that was meant to be
            found = _origin(trail, ev, *step, INF)
            meant = found.cause == "bad data" and found.arithmetic == "-inf"
            if found.cause in ("overflow", "division by zero", "bad data") and not meant:
                return found.about(kind=kind, text=f"{found.text}; {ev.name}{line(ev)} made nan of it")
        if step is None and ev.is_elementwise and ev.is_finite_for_others(place, shape):
            text = f"{ev.name} gave {result} at {at}: an operand that is not known was so before"
            return Explanation(kind, "bad data", ev.name, ev.note, node=ev.node, arithmetic=result, text=text)
        outside = step is None and ev.is_elementwise and not _divides_by_zero(ev, place, shape)
        cause = "outside the domain" if outside else "indeterminate"
    return Explanation(kind, cause, ev.name, ev.note, node=ev.node, arithmetic=f"{ev.name}({at}) = {result}",
                       text=f"{ev.name} gave {result} at {at or 'operands that are not known'}")  # fmt: skip


def pole(ev: Evidence, place: tuple, shape: tuple) -> str:
    """Return the cause of an infinity that an elementwise op made of finite operands."""
    if _divides_by_zero(ev, place, shape):
        return "division by zero"
    return "overflow" if ev.overflows(place, shape) else "infinite derivative"


def _divides_by_zero(ev: Evidence, place: tuple, shape: tuple) -> bool:
    found = [np.asarray(x) for x in ev.operands if x is not None]
    if not found or (ev.name == "pow" and len(found) < 2):
        return False
    try:
        one = [np.broadcast_to(x, shape)[place] for x in found]
    except ValueError:
        return False
    if ev.name == "pow":
        return bool(one[0] == 0 and one[1] <= -1)
    return ev.name in _DIVISIONS and bool(one[-1] == 0)


def line(ev: Evidence) -> str:
    """Return where an op was called, in brackets; nothing if that is not known."""
    return "" if ev.note is None else f" ({shown(ev.note)})"

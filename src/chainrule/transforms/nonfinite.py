"""Why an entry of a gradient is NaN or infinite: the trail is followed towards the loss, to the op that made it of finite ones.

What made it there is arithmetic: 0 times an infinite derivative, whose 0 a mask sent; an infinity from further on that meets a
0; an operand that was not finite, which is followed back to the op that made it of finite values; an overflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.op.declaration import BILINEAR, LINEAR
from chainrule.transforms.evidence import Evidence, first, is_kind, mark, nan_or_inf, number, spread
from chainrule.transforms.finding import INF, NAN, Explanation, shown
from chainrule.transforms.origin import line, operand_origin, pole, value_origin
from chainrule.transforms.trail import Key, Sent, Trail
from chainrule.transforms.vanishing import hooks_work, is_mask, of_function, of_hook, vanished


def not_finite(trail: Trail, key: Key, place: tuple, kind: str) -> Explanation:
    """Return why the cotangent of a value is of a kind ("nan" or "inf") at a place."""
    while True:
        sent = trail.sent.get(key, [])
        bad = next((s for s in sent if is_kind(s.g, kind)[place]), None)
        if bad is None:
            if not sent:
                return Explanation(kind, "zero seed", text=f"the backward pass was started with {kind} there")
            return _sum(trail, key, sent, place, kind)
        ev, came = Evidence(bad.node, trail), trail.came[bad.node.id]
        above = _above(ev, bad.edge, bad.g.shape, place, came, kind)
        if above is None:
            return made_here(trail, ev, bad, place, kind)
        key, place = above


def _above(ev: Evidence, k: int, shape: tuple, place: tuple, came: list, kind: str) -> tuple[Key, tuple] | None:
    """Return the value and place that a cotangent of a kind came from through a node; None if none came.

    One that came to an element which the operand does not reach is second best: 0 * nan is nan.
    """
    reached = ev.reached(k, mark(shape, place), came)
    for everywhere in (False, True):
        for j, r in enumerate(reached):
            if came[j] is not None:
                found = is_kind(came[j], kind) if everywhere else r & is_kind(came[j], kind)
                if found.any():
                    return (ev.node.id, j), first(found)
    return None


def _sum(trail: Trail, key: Key, sent: list[Sent], place: tuple, kind: str) -> Explanation:
    parts = " + ".join([number(s.g, place) for s in sent])
    infinite = [s for s in sent if is_kind(s.g, INF)[place]]
    if infinite:
        found = not_finite(Only(trail, key, infinite[0]), key, place, INF)
        return found.about(kind=kind, cause="indeterminate", arithmetic=f"{parts} = {kind}",
                           text=f"contributions along {len(sent)} ways are added: {parts} = {kind}; {found.text}")  # fmt: skip
    ev = Evidence(sent[0].node, trail)
    return Explanation(kind, "gradient overflow", ev.name, ev.note, arithmetic=f"{parts} = {kind}", node=ev.node,
                       text=f"finite contributions along {len(sent)} ways add up to {kind}")  # fmt: skip


class Only(Trail):
    """A trail in which one value has one sender."""

    __slots__ = ()

    def __init__(self, trail: Trail, key: Key, sent: Sent):
        for name in Trail.__slots__:
            setattr(self, name, getattr(trail, name))
        self.sent = {**trail.sent, key: [sent]}


def made_here(trail: Trail, ev: Evidence, sent: Sent, place: tuple, kind: str) -> Explanation:
    """Return why a node made a cotangent of a kind, at a place of an operand's, of ones that were not."""
    k, came = sent.edge, trail.came[ev.node.id]
    about = {"op": ev.name, "forward": ev.note, "node": ev.node}
    if (hook := hooks_work(ev, k, came, lambda g: not is_kind(g, kind).any())) is not None:
        return of_hook(kind, hook, ev)
    if ev.op is None:
        return of_function(kind, ev)
    reached = ev.reached(k, mark(sent.g.shape, place), came)
    if ev.is_elementwise and came[0] is not None:
        slopes = ev.slopes(k, came[0])
        if slopes is not None:
            return _elementwise(trail, ev, k, came[0], slopes, reached[0], kind, about)
    return _general(trail, ev, k, came, reached, kind, about)


def _elementwise(
    trail: Trail,
    ev: Evidence,
    k: int,
    came: np.ndarray,
    slopes: tuple,
    reached: np.ndarray,
    kind: str,
    about: dict,
) -> Explanation:
    whole, slope = slopes
    shape = whole.shape
    came, reached = np.broadcast_to(came, shape), spread(reached, shape)
    found = reached & is_kind(whole, kind)
    if not found.any():  # the contributions along the axes in which the operand was repeated are added
        both = bool((reached & nan_or_inf(whole)).any())
        text = f"{ev.name} sends infinities of both signs to one element" if both else f"its contributions add up to {kind}"
        return Explanation(kind, "indeterminate" if both else "gradient overflow", text=text, **about)
    at = first(found)
    g, d = came[at], slope[at]
    product = f"{number(came, at)} * {number(slope, at)} = {number(whole, at)}"
    text = (
        f"the gradient that came is {number(came, at)} and the derivative of {ev.name} at {ev.at(at, shape)} is "
        f"{number(slope, at)}: {product}"
    )
    origin = operand_origin(trail, ev, at, shape)
    if not np.isfinite(g):
        found_above = not_finite(trail, (ev.node.id, 0), at, INF if np.isinf(g) else NAN)
        return _met(found_above, ev, product, kind)
    if g == 0:
        return _zero_met(trail, ev, (ev.node.id, 0), mark(shape, at), origin, text, product, kind, about)
    if origin is not None:
        return origin.about(kind=kind, text=f"{origin.text}; in the derivative of {ev.name}{line(ev)}: {product}",
                            arithmetic=origin.arithmetic or product)  # fmt: skip
    return Explanation(kind, _local(ev, k, d, at, shape), arithmetic=product, text=text, **about)


def _local(ev: Evidence, k: int, d: Any, at: tuple, shape: tuple) -> str:
    """Return why an elementwise op's derivative at finite operands, times a finite gradient, is not finite."""
    results = [np.broadcast_to(np.asarray(r), shape)[at] for r in ev.results[:1] if r is not None]
    if np.isfinite(d):
        return "gradient overflow"
    if np.isinf(d):
        if results and np.isinf(results[0]):
            return pole(ev, at, shape)
        cause = pole(ev, at, shape)
        if cause == "division by zero":
            return cause
        return "gradient overflow" if ev.slope_is_finite(k, at, shape) else "infinite derivative"
    zeros = [np.broadcast_to(np.asarray(x), shape)[at] == 0 for x in ev.operands if x is not None]
    return "indeterminate" if zeros and all(zeros) else "outside the domain"


def _met(found: Explanation, ev: Evidence, product: str, kind: str) -> Explanation:
    """Return the cause of an infinite gradient with what became of it further on."""
    by = "it" if found.node is None else f"that infinite gradient, made by {found.node.name()},"
    arithmetic = f"{found.arithmetic}; {product}" if found.arithmetic else product
    return found.about(kind=kind, backward=ev.note, arithmetic=arithmetic,
                       text=f"{found.text}; {by} then met the derivative of {ev.name}{line(ev)}: {product}")  # fmt: skip


def _zero_met(
    trail: Trail, ev: Evidence, key: Key, marked: np.ndarray, origin: Explanation | None, text: str, product: str, kind: str,
    about: dict,
) -> Explanation:  # fmt: skip
    """Return why a zero met a derivative that is not finite: a mask's, or one that the values have of themselves."""
    zero = vanished(trail, key, marked)
    said = f"{text}. {_who_sent(zero)}"
    if origin is not None and origin.cause == "bad data":
        return origin.about(kind=kind, arithmetic=product, backward=zero.forward, text=f"{origin.text}. {said}")
    if not is_mask(zero) and (lost := _lost(trail, zero)) is not None:
        return lost.about(kind=kind, backward=ev.note, text=f"{lost.text}; {said}")
    if origin is not None:
        about = {"op": origin.op, "forward": origin.forward, "node": origin.node or ev.node}
        said = f"{origin.text}. {said}"
    cause = "masked" if is_mask(zero) else "indeterminate" if origin is None else origin.cause
    return Explanation(kind, cause, arithmetic=product, backward=zero.forward, text=said, **about)


def _lost(trail: Trail, zero: Explanation) -> Explanation | None:
    """Return where the value itself became NaN, by the same zero: it then masks nothing."""
    if zero.node is None:
        return None
    ev = Evidence(zero.node, trail).filled()
    bad = is_kind(ev.results[0], NAN) if ev.results and ev.results[0] is not None else np.zeros(0, bool)
    return value_origin(trail, ev, first(bad), NAN) if bad.any() else None


def _who_sent(zero: Explanation) -> str:
    """Return in words where a zero came from that met an infinite derivative."""
    if zero.node is None:
        return "That 0 is what the backward pass started from"
    at = "" if zero.forward is None else f" ({shown(zero.forward)})"
    does = "which leaves this element out" if is_mask(zero) else f"where it came about ({zero.cause})"
    return f"That 0 was sent by {zero.node.name()}{at}, {does}; times an infinite derivative it is nan all the same"


def _general(trail: Trail, ev: Evidence, k: int, came: list, reached: list, kind: str, about: dict) -> Explanation:
    """Return why an op that is not elementwise made a cotangent of a kind."""
    here = [(j, r) for j, r in enumerate(reached) if came[j] is not None and r.any()]
    if kind == NAN:
        for j, r in here:
            infinite = r & is_kind(came[j], INF)
            if infinite.any():
                found = not_finite(trail, (ev.node.id, j), first(infinite), INF)
                return _met(found, ev, "inf * 0.0 = nan, or inf - inf = nan", kind)
    where = ev.ranges()
    origin = operand_origin(trail, ev, None, ())
    own = [(o, is_kind(r, NAN)) for o, r in enumerate(ev.results) if r is not None]
    if origin is None or origin.arithmetic == "-inf":  # scores that a mask set to -inf are meant to be
        lost = next((first(bad) for o, bad in own if o == 0 and bad.any()), None)
        if lost is not None:
            return value_origin(trail, ev, lost, NAN).about(kind=kind)
    if here and kind == NAN and all(not np.any(came[j][r]) for j, r in here):
        j, r = here[0]
        text = f"the gradient that came is 0 and the derivative of {ev.name} ({where}) is not finite"
        return _zero_met(trail, ev, (ev.node.id, j), r, origin, text, "0.0 * inf = nan", kind, about)
    if origin is not None:
        return origin.about(kind=kind, text=f"{origin.text}; {ev.name}{line(ev)} has it in its derivative")
    missing = "" if where else "Its operands are not known: take the pass under autograd.graph.noting(values=True)."
    if kind == INF and ev.op is not None and ev.op.kind in (LINEAR, BILINEAR):
        return Explanation(kind, "gradient overflow", text=f"{ev.name} made {kind} of finite gradients; {where}", **about)
    cause = "indeterminate" if kind == NAN else "infinite derivative"
    return Explanation(kind, cause, text=f"the derivative of {ev.name} is {kind} at {where or 'its operands'}", missing=missing,
                       **about)  # fmt: skip

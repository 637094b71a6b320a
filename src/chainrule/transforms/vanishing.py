"""Why an entry of a gradient is zero: the trail is followed from it towards the loss, to the op that made a zero of none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from chainrule.core.op.declaration import BILINEAR, LINEAR
from chainrule.core.record.notes import Place
from chainrule.core.record.placed import pulled_whole
from chainrule.transforms.evidence import Evidence, first, number, numeric
from chainrule.transforms.finding import ZERO, Explanation
from chainrule.transforms.hook_calls import name_of
from chainrule.transforms.trail import Key, Sent, Trail, array_of

_WAYS = 64  # that are followed

# What a zero derivative means, by op; others are told apart by their values.
_MEANS = {
    "dead relu": "relu gate prelu",
    "clamp": "clamp clamp_min clamp_max hardtanh hardswish nan_to_num",
    "saturated": "sigmoid sigmoid_pull tanh tanh_pull erf erfc softmax softmax_pull log_softmax log_softmax_pull logaddexp elu "
    "logsumexp ndtr silu gelu",
    "rounding": "floor ceil round round_decimals trunc sign sgn heaviside floor_divide div_rounded",
    "not selected": "maximum minimum fmax fmin max_along min_along median_along nanmedian_along mode kthvalue sort topk cummax "
    "cummin amax amin max_of_all min_of_all median_of_all nanmedian_of_all aminmax scatter_extreme max_pool "
    "fractional_max_pool",
    "masked": "where masked masked_select masked_place masked_put unmasked nansum tril triu",
    "zero factor": "mul div addcmul addcdiv lerp xlogy prod cumprod fmod remainder mm mv bmm matmul dot vdot outer addmm addmv "
    "addr baddbmm addbmm cross",
    "underflow": "exp exp2 expm1 to",
}
MEANS = {name: cause for cause, names in _MEANS.items() for name in names.split()}

_OF_PASSES = {
    "CompiledFunction": ("compiled", "the backward pass of a compiled function, into which this does not look,"),
    "CheckpointFunction": ("checkpoint", "the pass of a reentrant checkpoint, into which this does not look,"),
}
_DRAWN = {"bernoulli", "poisson", "normal", "multinomial", "binomial", "dropout", "alpha_dropout", "feature_dropout"}
# Linear ops that leave elements out by what they are told to read; others sum or move all of them.
_WRITES = ("copy_slices", "copy", "overwrite", "place", "index_put", "index_copy", "index_fill", "put", "scatter", "masked_put",
           "masked_scatter", "diagonal_scatter", "as_strided_scatter")  # fmt: skip


def vanished(trail: Trail, key: Key, marked: np.ndarray) -> Explanation:
    """Return why the cotangent of a value is zero at the marked elements, taken together.

    Where several ways lead to the loss, the cause is that of the one along which a gradient came closest; the others are in
    `also`. A way that ends at an op which another one goes through, by another operand, is no cause: that other was chosen; and
    one that ends where the elements are left out comes after those along which a gradient could have come.
    """
    forks: list[tuple[list[Sent], np.ndarray]] = [(trail.sent.get(key, []), marked)]
    passed: set[tuple[int, int]] = set()
    told_apart = []
    for sent, marks in islice(_growing(forks), _WAYS):
        way = _follow(trail, key, sent, marks, forks, passed)
        if way is not None:
            told_apart.append(way)
    gone_through = {id for id, _ in passed}
    ends = [way for way in told_apart if _number(way[0]) not in gone_through] or told_apart
    ends.sort(key=lambda way: (way[1], _number(way[0])))
    causes = [found for found, _ in ends]
    found, told = causes[0], {(causes[0].cause, causes[0].line)}
    for other in causes[1:]:
        if (other.cause, other.line) not in told:
            told.add((other.cause, other.line))
            found.also.append(other)
    return found


def _growing(items: list) -> Iterator:
    """Yield the items of a list that grows meanwhile."""
    i = 0
    while i < len(items):
        yield items[i]
        i += 1


def _number(found: Explanation) -> int:
    return 0 if found.node is None else found.node.id


def _follow(
    trail: Trail, key: Key, sent: list[Sent], marked: np.ndarray, forks: list, passed: set
) -> tuple[Explanation, bool] | None:
    """Follow one way; return why it ends, and whether elements are left out there; None if it joins another on its way.

    Where it forks it goes on by the op that was called first: in a recurrence, the next step. The others are added to `forks`.
    `passed` are the nodes that ways went through before, each with the operand by which: this one's are added.
    """
    while sent:
        if any(np.any(s.g[marked]) for s in sent):
            return _sum(trail, sent, marked), False
        sent = sorted(sent, key=lambda s: s.node.id)
        forks += [([s], marked) for s in sent[1:]]
        node, k, _ = sent[0]
        if (node.id, k) in passed:
            return None
        ev, came = Evidence(node, trail), trail.came[node.id]
        reached = ev.reached(k, marked, came)
        live = [None if c is None else r & (c != 0) for c, r in zip(came, reached, strict=True)]
        going = [j for j, c in enumerate(came) if c is not None and reached[j].any()]
        if not going or any(x is not None and x.any() for x in live):
            return _made(ev, k, marked, came, live), not going
        passed.add((node.id, k))
        key, marked = (node.id, going[0]), reached[going[0]]
        sent = trail.sent.get(key, [])
    return Explanation(ZERO, "zero seed", text="the backward pass was started with 0 there"), False


def _sum(trail: Trail, sent: list[Sent], marked: np.ndarray) -> Explanation:
    ev = Evidence(sent[0].node, trail)
    place = first(marked & np.any([s.g != 0 for s in sent], axis=0))
    parts = " + ".join([number(s.g, place) for s in sent])
    return Explanation(ZERO, "cancelled", ev.name, ev.note, arithmetic=f"{parts} = 0", node=ev.node,
                       text=f"the contributions along {len(sent)} ways add up to 0: {parts}")  # fmt: skip


def _made(ev: Evidence, k: int, marked: np.ndarray, came: list, live: list) -> Explanation:
    """Return why an op sends zeros to the operand of an edge, though what came to it is not zero, or is not reached."""
    j = next((j for j, x in enumerate(live) if x is not None and x.any()), None)
    about = {"op": ev.name, "forward": ev.note, "node": ev.node}
    if ev.op is None:
        return of_function(ZERO, ev)
    drawn = _DRAWN.intersection([] if ev.note is None else ev.note.called)
    name = ev.operand_name(ev.position(k))
    if j is None:
        writes = ev.name in _WRITES or (ev.note is not None and "assign" in ev.note.called)
        cause = "overwritten" if writes else MEANS.get(ev.name, "not selected")
        cause = cause if cause in ("overwritten", "rounding", "masked") else "not selected"
        if drawn:
            cause = "random"
        does = {"overwritten": "writes over it", "rounding": "has derivative 0 everywhere"}.get(cause, "leaves it out")
        return Explanation(ZERO, cause, text=f"{ev.name} {does}: no element of its result depends on it", **about)
    place = first(live[j])
    g = number(came[j], place)
    if (hook := hooks_work(ev, k, came, lambda own: bool(own.any()))) is not None:
        return of_hook(ZERO, hook, ev)
    slopes = ev.slopes(k, came[j])
    if slopes is None:
        cause = _of_whole(ev, k, marked, came, live)
        text = f"{ev.name} sends 0 to '{name}' for the gradient {g} that came{_ranges(ev)}"
        return Explanation(ZERO, cause, arithmetic=f"{g} -> 0.0", text=text, **about)
    d, at = slopes[1][place], ev.at(place, came[j].shape)
    if d != 0:
        text = f"the gradient that came is {g} and the derivative of {ev.name} at {at} is {d}: their product is too small"
        return Explanation(ZERO, "underflow", arithmetic=f"{g} * {d} = 0.0", text=f"{text} for {came[j].dtype}", **about)
    if drawn:
        return Explanation(ZERO, "random", arithmetic=f"{g} * 0.0 = 0.0", text=f"{', '.join(drawn)} has derivative 0", **about)
    cause = MEANS.get(ev.name) or ("saturated" if ev.is_flat(k, place, came[j].shape) else "stationary")
    if cause == "zero factor" and _is_constant_mask(ev):
        cause = "masked"
    text = f"the derivative of {ev.name} at {at} is 0: of the gradient {g} nothing is left"
    return Explanation(ZERO, cause, arithmetic=f"{g} * 0.0 = 0.0", text=text, **about)


def _ranges(ev: Evidence) -> str:
    found = ev.ranges()
    return f"; {found}" if found else ""


def _of_whole(ev: Evidence, k: int, marked: np.ndarray, came: list, live: list) -> str:
    """Return why an op that is not elementwise sends a zero: of itself, or because the gradient is one that it takes to 0."""
    if ev.name == "nll_loss":
        return "masked" if _is_ignored(ev, marked) else "not selected"
    if ev.name in ("softmax", "log_softmax") and _is_decided(ev, live):
        return "saturated"
    if _comes_through(ev, k, marked, [None if c is None else _scaled(c) for c in came]):
        return "underflow"
    drawn = np.random.default_rng(0)
    if _comes_through(ev, k, marked, [None if c is None else drawn.uniform(0.5, 1.5, c.shape).astype(c.dtype) for c in came]):
        return "cancelled"
    if ev.name in ("prod", "cumprod") and all(np.all(x) for _, x in numeric(ev.operands)):
        return "underflow"
    if ev.name in _WRITES or ev.name in MEANS:
        return MEANS.get(ev.name, "overwritten")
    operand = ev.operands[ev.position(k)] if ev.position(k) < len(ev.operands) else None
    chosen = operand is not None and all(
        result is not None and x is not None and _are_others(np.asarray(result)[x], np.asarray(operand), marked)
        for result, x in zip(ev.results, live, strict=False)
    )
    others = [x for i, x in numeric(ev.filled().operands) if i != ev.position(k) and x.dtype.kind == "f"]
    return "not selected" if chosen else "zero factor" if any(not np.all(x) for x in others) else "stationary"


def _are_others(found: np.ndarray, operand: np.ndarray, marked: np.ndarray) -> bool:
    """Tell whether all results are elements of an operand, and none of those that are marked."""
    return bool(np.isin(found, operand).all()) and not np.isin(found, operand[marked]).any()


def _is_ignored(ev: Evidence, marked: np.ndarray) -> bool:
    """Tell whether the labels of the examples with marked scores are all those to be ignored."""
    labels = ev.operands[1] if len(ev.operands) > 1 else None
    examples = marked.any(1) if marked.ndim > 1 else marked.any()
    return labels is not None and bool(np.all(np.asarray(labels)[examples] == ev.params["ignore"]))


def _is_decided(ev: Evidence, live: list) -> bool:
    """Tell whether a softmax's probabilities are all 0 or 1, as far as its dtype tells."""
    out = ev.results[0]
    if out is None:
        return False
    p = np.asarray(out)[live[0]]
    p = np.exp(p) if ev.name == "log_softmax" else p
    return bool(np.all(np.minimum(np.abs(p), np.abs(1 - p)) <= 4 * np.finfo(p.dtype).eps))


def _scaled(g: np.ndarray) -> np.ndarray:
    """Return a cotangent times a number that makes its largest element about 1."""
    _, exponent = np.frexp(np.abs(g).max(initial=0.0).astype(np.float64))
    return (g.astype(np.result_type(g.dtype, np.float64)) * 2.0 ** -float(exponent)).astype(g.dtype)


def _comes_through(ev: Evidence, k: int, marked: np.ndarray, others: list) -> bool:
    """Tell whether the op's derivative sends on some of other gradients in the place of those that came."""
    try:
        gs = pulled_whole(ev.node.plan, ev.node, others[0] if len(others) == 1 else others, 0)
    except RuntimeError:  # what it saved is gone
        return ev.op is not None and ev.op.kind in (LINEAR, BILINEAR)
    g = gs if ev.node.plan.single else gs[k]
    return g is not None and bool(np.any(array_of(g)[marked]))


def is_mask(zero: Explanation) -> bool:
    """Tell whether a zero is that of elements that are left out: by a choice, or by a constant factor of zeros and ones."""
    if zero.cause in ("masked", "not selected", "overwritten", "zero seed"):
        return True
    return zero.cause == "zero factor" and zero.node is not None and _is_constant_mask(Evidence(zero.node))


def _is_constant_mask(ev: Evidence) -> bool:
    """Tell whether an operand is an array of zeros and ones, of both, that has no history."""
    constants = [x for x, edge in zip(ev.operands, ev.node.edges, strict=False) if edge is None and np.ndim(x)]
    return any(np.isin(x, (0, 1)).all() and np.any(x) for x in constants)


def hooks_work(ev: Evidence, k: int, came: list, test: Callable[[np.ndarray], bool]) -> Callable | None:
    """Return a hook if the op's own rule makes of what came something for which a test holds, and not what was sent."""
    hooks = ev.node.hooks
    if hooks is None or not (hooks.before or hooks.after or hooks.outputs):
        return None
    found = [*hooks.before.values(), *hooks.after.values(), *[h for each in hooks.outputs.values() for h in each.values()]]
    try:
        gs = pulled_whole(ev.node.plan, ev.node, came[0] if len(came) == 1 else list(came), 0)
        g = gs if ev.node.plan.single else gs[k]
    except RuntimeError:  # what it saved is gone: the hook is the best guess
        return found[0]
    return found[0] if g is not None and test(array_of(g)) else None


def of_hook(kind: str, hook: Callable, ev: Evidence | None = None) -> Explanation:
    """Return that a hook made a gradient so."""
    on = "the tensor" if ev is None else f"the result of {ev.name}"
    return Explanation(kind, "hook", name_of(hook), Place.of(hook), node=None if ev is None else ev.node,
                       text=f"a hook on {on}, {name_of(hook)}, returned {kind}")  # fmt: skip


def of_function(kind: str, ev: Evidence) -> Explanation:
    """Return that a rule which is a function made a gradient so: the user's, or one that runs a pass of its own."""
    cause, what = _OF_PASSES.get(ev.name, ("custom rule", f"the backward of {ev.name}"))
    returned = "0 for a gradient that is not" if kind == ZERO else kind
    return Explanation(kind, cause, ev.name, ev.note, node=ev.node, text=f"{what} returned {returned}")

"""`explain`: why an entry of a gradient is NaN, infinite, zero or None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF
from chainrule.core.record.placed import whole
from chainrule.core.record.unpacking import values_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom
from chainrule.explanation.absence import absent, no_pass, not_a_leaf
from chainrule.explanation.caller import Caller
from chainrule.explanation.history import edges_below, has_history, leaf_of, losses_for, nodes_below
from chainrule.explanation.passes import Run, refilled, tensors_of, trailed
from chainrule.transforms.evidence import Evidence, first, is_kind, mark
from chainrule.transforms.finding import FINE, INF, NAN, NONE, ZERO, Explanation
from chainrule.transforms.nonfinite import not_finite
from chainrule.transforms.trail import Trail, key_of
from chainrule.transforms.vanishing import of_hook, vanished

_FORMS = (
    "explain() takes a gradient (explain(x.grad)), a loss and tensors (explain(loss, x)), or a function and its inputs "
    "(explain(f, x))"
)
_RERUN = (
    "Take the pass under autograd.graph.noting(values=True), call backward(retain_graph=True), or give the function, "
    "explain(f, inputs), to have it run once more."
)
_LOSSES = 4  # whose graphs are gone through for one that gives the gradient which is asked about


class Explanations(list):
    """The explanations of several gradients. `str` tells those with something to explain."""

    def __str__(self) -> str:
        told = [e for e in self if e.kind != FINE] or list(self)
        return "\n\n".join([str(e) for e in told])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def explain(
    what: Any,
    inputs: Any = None,
    *,
    element: Sequence[int] | int | None = None,
    gradient: Any = None,
) -> Explanation | Explanations:
    """Say why entries of a gradient are NaN, infinite, zero or None.

    The answer names the op, the program's line, the element, the arithmetic (such as ``0.0 * inf``) or the call that cut the
    tensor off (`detach`, ``no_grad``, a comparison, ``item()``, …), and the usual remedy.

    Parameters
    ----------
    what : Tensor, None or callable
        One of three:

        - a gradient, ``explain(x.grad)``, None too: the graph is the latest that leads to `x`, of the caller's variables if
          one of them has it, else of any tensor that is alive;
        - a loss, ``explain(loss, x)``: its graph is followed, by a pass of its own which leaves every `.grad` alone;
        - a function, ``explain(f, x)``: it is run once more, ``f(x)`` or ``f()``, with all its calls looked at. That tells
          lines and cuts which a graph alone does not. It may return the loss, or call ``backward()`` itself.
    inputs : Tensor, sequence or mapping of Tensor, optional
        Whose gradients are asked about. By default all leaves that the graph leads to, or that the function returns beside the
        loss.
    element : int or tuple of int, optional
        The entry to explain. By default the first that is NaN, else infinite, else zero.
    gradient : Tensor, optional
        The cotangent of a loss that is no scalar; ones by default.

    Returns
    -------
    Explanation, or list of them where `inputs` is not one tensor
        Its ``str`` is readable; its fields are for programs.

    Raises
    ------
    TypeError
        If `what` is None and was not written as ``something.grad``, with names, attributes and items for the something, or is
        none of the three.

    Notes
    -----
    The lines are known of ops that ran under :class:`chainrule.autograd.graph.noting`, in anomaly mode, or in the run of a
    function given. What a backward pass has freed is lost, unless it was noted with its values.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([4.0, 0.0], requires_grad=True)
    >>> def f(x):
    ...     root = x.sqrt()
    ...     return cr.where(x > 0, root, 0.0).sum()
    >>> found = cr.explain(f, x)
    >>> found.kind, found.cause, found.element, found.arithmetic
    ('nan', 'masked', (1,), '0.0 * inf = nan')
    >>> found.forward.text, found.backward.text
    ('root = x.sqrt()', 'return cr.where(x > 0, root, 0.0).sum()')
    """
    caller = Caller()
    place = None if element is None else (element,) if isinstance(element, int) else tuple(element)
    if what is None or (inputs is None and isinstance(what, Tensor) and _is_gradient(what, caller)):
        return _of_gradient(what, caller, place)
    if not isinstance(what, (Tensor, list, tuple)):
        if not callable(what):
            raise TypeError(f"{_FORMS}, not {type(what).__name__}")
        names = _names(caller, inputs)
        run = Run(what, inputs, names)
        names = [n or caller.name_of(t) for n, t in zip(run.names, run.inputs, strict=True)]
        found = _explained(run.losses, run.inputs, names, gradient, place, run)
    else:
        losses = tensors_of(what)
        asked = tensors_of(inputs) or _leaves(losses)
        names = _names(caller, inputs) if inputs is not None else [caller.name_of(t) for t in asked]
        names = [n or caller.name_of(t) for n, t in zip(names, asked, strict=True)]
        found = _explained(losses, asked, names, gradient, place, None)
    return found[0] if isinstance(inputs, Tensor) else found


def _is_gradient(what: Tensor, caller: Caller) -> bool:
    """Tell whether a tensor was given as a gradient, and not as a loss."""
    return caller.with_gradient(what)[0] is not None or what._node is None or leaf_of(what) is not None


def _names(caller: Caller, inputs: Any) -> list[str]:
    if isinstance(inputs, Tensor):
        return [caller.name(1, "inputs")]
    if isinstance(inputs, Mapping):
        return [str(k) for k, t in inputs.items() if isinstance(t, Tensor)]
    return caller.names(1, "inputs", len(tensors_of(inputs)))


def _leaves(losses: list[Tensor]) -> list[Tensor]:
    return list({id(edge): edge for edge in edges_below(*losses) if isinstance(edge, Tensor)}.values())


def _of_gradient(g: Tensor | None, caller: Caller, place: tuple | None) -> Explanation:
    """Explain what was written as ``x.grad``."""
    x, written = caller.with_gradient(g)
    if x is None:
        if g is None:
            raise TypeError(
                f"{_FORMS}; None says nothing of which tensor's gradient it is: write explain(loss, x) or explain(f, x)"
            )
        x = leaf_of(g)
    if x is None:
        return Explanation(_worst(np.asarray(bottom(g)))[0], "unknown", text="it is the .grad of no tensor that is alive",
                           missing=f"{_FORMS}.")  # fmt: skip
    found = _of_none(x, caller) if g is None else _of_accumulated(x, g, caller, place)
    return found.about(name=written or caller.name_of(x))


def _of_none(x: Tensor, caller: Caller) -> Explanation:
    """Explain that a tensor has no `.grad`."""
    if not x.requires_grad:
        return absent(x, [], None, None)
    if not x.is_leaf:
        return not_a_leaf(x)
    variables = [v for v in caller.variables().values() if isinstance(v, Tensor) and has_history(v) and v.numel() == 1]
    losses = losses_for(x, variables)
    own = {id(v) for v in variables}
    if losses and (id(losses[0]) in own or not variables):
        return no_pass()
    if variables:
        return absent(x, variables, None, None)
    text = "no tensor that is alive has a history that leads to it: it is not used, it was cut off, or the loss is gone"
    return Explanation(NONE, "not in the graph", text=text, missing=_RERUN)


def _of_accumulated(x: Tensor, g: Tensor, caller: Caller, place: tuple | None) -> Explanation:
    """Explain what passes have added up in `.grad`, by the graph of a loss whose gradient is the same there."""
    kind, at, count = _worst(np.asarray(bottom(g)), place)
    if kind == FINE:
        return Explanation(FINE, "", size=g.numel(), text="all its entries are finite and none is 0")
    losses = losses_for(x, caller.variables().values()) if x.requires_grad else []
    for loss in losses[:_LOSSES]:
        found = _explained([loss], [x], [""], None, at, None)[0]
        if found.kind == kind or found.cause == "unknown":
            return found.about(count=count)
    text = (
        f"the gradient of the latest loss is not {kind} there: an earlier pass left this in .grad"
        if losses
        else "no tensor that is alive has a history that leads to it: the graph is gone"
    )
    return Explanation(kind, "unknown", element=at, count=count, size=g.numel(), text=text, missing=_RERUN)


def _worst(g: np.ndarray, place: tuple | None = None) -> tuple[str, tuple | None, int]:
    """Return the kind of entry to explain, the first of its kind, and how many there are."""
    for kind in (NAN, INF, ZERO):
        bad = is_kind(g, kind)
        if bad[place] if place is not None else bad.any():
            return kind, first(bad) if place is None else place, int(bad.sum())
    return FINE, place, 0


def _explained(
    losses: list[Tensor], inputs: list[Tensor], names: list[str], seed: Any, place: tuple | None, run: Run | None
) -> Explanations:
    with refilled(losses):
        trail: Trail | None = None
        leaves: dict = {}
        failure = ""
        if losses and all(loss.requires_grad for loss in losses):
            try:
                trail, leaves = trailed(losses, _seeds(losses, seed))
            except RuntimeError as error:
                failure = str(error).split("\n", 1)[0]
        if trail is not None and run is not None:
            trail.made_by = run.calls.made_by
        found = Explanations()
        for t, name in zip(inputs, names, strict=True):
            each = _failed(t, losses, failure) if failure else _one(t, losses, trail, leaves, place, run)
            found.append(each.about(name=name, trail=trail))
    return found


def _failed(t: Tensor, losses: list[Tensor], failure: str) -> Explanation:
    """Return why there is no pass to follow: its error, and the op that raises it; of `.grad`, where there is one, its kind."""
    kind, at, count = (NONE, None, 0) if t.grad is None else _worst(np.asarray(bottom(t.grad)))
    if t.grad is not None and kind == FINE:
        return Explanation(FINE, "", size=t.numel(), text="all entries of its .grad are finite and none is 0")
    found = Explanation(kind, "unknown", element=at, count=count, size=0 if t.grad is None else t.numel())
    if "second time" in failure:
        return found.about(cause="freed", missing=_RERUN, text="an earlier backward pass freed what the graph had saved")
    found = found.about(text=f"the backward pass fails: {failure}")
    if "inplace" not in failure:
        return found
    ev = next((Evidence(node) for loss in losses for node in nodes_below(loss) if _is_overwritten(node)), None)
    if ev is None:
        return found.about(cause="overwritten")
    text = f"a value that the derivative of {ev.name} needs was written to in place: {failure}"
    return found.about(cause="overwritten", op=ev.name, forward=ev.note, node=ev.node, text=text)


def _is_overwritten(node: Any) -> bool:
    try:
        values_of(node) if node.plan.op is not None else None
    except RuntimeError:
        return True
    return False


def _total(sent: list) -> np.ndarray:
    """Return the sum of what was sent; infinities of both signs, one of the faults looked for, are no cause for a warning."""
    with np.errstate(all="ignore"):
        return np.asarray(sum((s.g for s in sent[1:]), start=sent[0].g))


def _seeds(losses: list[Tensor], seed: Any) -> list:
    if seed is not None:
        return [seed] if isinstance(seed, Tensor) else list(seed)
    return [wrap(np.ones(tuple(t.shape), t.dtype.numpy)) for t in losses]


def _one(
    t: Tensor, losses: list[Tensor], trail: Trail | None, leaves: dict, place: tuple | None, run: Run | None
) -> Explanation:
    """Explain the gradient of one tensor."""
    if trail is None or not t.requires_grad:
        return absent(t, losses, trail, run)
    key = key_of(t if t._node is LEAF else t._node)
    sent = trail.sent.get(key)
    if not sent:
        return absent(t, losses, trail, run)
    total = _total(sent)
    g = np.asarray(bottom(whole(leaves[id(t)][1]))) if id(t) in leaves else total
    kind, at, count = _worst(g, place)
    size = g.size
    if kind == FINE or at is None:
        if not t.is_leaf and not t.retains_grad:
            return not_a_leaf(t)
        return Explanation(
            FINE, "", element=at, size=size, text="all its entries are finite and none is 0" if at is None else ""
        )
    if not is_kind(total, kind)[at]:
        found = of_hook(kind, next(iter(t._meta.hooks.values())))
    elif kind == ZERO:
        found = vanished(trail, key, mark(g.shape, at))
    else:
        found = not_finite(trail, key, at, kind)
    return found.about(element=at, count=count, size=size)

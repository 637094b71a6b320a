"""Findings: why an entry of a gradient is NaN, infinite, zero or missing, as fields and in words."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from chainrule.core.record.notes import Place

NAN, INF, ZERO, NONE, FINE = "nan", "inf", "zero", "none", "fine"

REMEDIES = {
    # NaN and infinity
    "masked": "give {op} an input there at which its derivative is finite: put a where() around its input too, or take the "
    "gradient under chainrule.autograd.safe_derivatives()",
    "indeterminate": "keep the input of {op} away from there: add a small number, or choose another input there by where()",
    "infinite derivative": "keep the input of {op} away from where its derivative is infinite: add a small number inside, or "
    "clamp it from below",
    "outside the domain": "keep the input of {op} inside its domain: clamp it, or choose by where() around its input",
    "division by zero": "keep the divisor away from 0: add a small number, or choose another one there by where()",
    "overflow": "use a form that takes logarithms (logsumexp, log_softmax, softplus, log1p), scale the values down, or use a "
    "wider dtype",
    "gradient overflow": "scale the loss down, clip or normalise on the way, or use a wider dtype",
    "bad data": "clean the data before it is used: a mask afterwards does not help, for 0 * nan is nan",
    # zero
    "masked zero": "the element is left out by a mask, so the loss does not depend on it",
    "not selected": "other elements were selected; a soft selection (logsumexp, softmax) gives all of them gradients",
    "dead relu": "a leaky_relu, elu or softplus, smaller steps or another initialisation keep it alive",
    "saturated": "scale its input down (normalisation, initialisation), or use a loss that takes the input itself: "
    "binary_cross_entropy_with_logits, log_softmax",
    "clamp": "the value lies beyond the bounds, where the derivative is 0: a soft limit (sigmoid, softplus) has one",
    "rounding": "a step has derivative 0 everywhere: pass the gradient straight through, x + (x.round() - x).detach(), or use "
    "a smooth function",
    "zero factor": "the other factor is 0 there; that is right if it is meant to be",
    "random": "a draw has derivative 0, and what dropout leaves out has none in this run: draw by rsample() or another "
    "reparametrisation; evaluate with dropout off",
    "cancelled": "the contributions add up to 0: at a stationary point that is right; a sum that is constant (of a softmax, of "
    "centred values) has no gradient",
    "underflow": "use a wider dtype, scale the loss (amp.GradScaler), or work with logarithms",
    "overwritten": "write to a copy, or use where() or index_put() to make a new tensor",
    "stationary": "the derivative is 0 at this very point; start somewhere else",
    "zero seed": "look at what was given as gradient of the loss",
    # None
    "detach": "leave the detach() or .data out, or detach only what is meant to be constant",
    "no create_graph": "call autograd.grad() with create_graph=True, or take the derivative by func.grad()",
    "no_grad": "compute it outside of no_grad(), inference_mode() or set_grad_enabled(False); draw by rsample(), not sample()",
    "integer cast": "compute in a floating dtype; integers have no derivatives",
    "argmax": "use a soft form (softmax), or select by the index and keep the selected values",
    "comparison": "use a soft form (sigmoid of a difference), or a function with a gradient of its own (autograd.Function)",
    "not differentiable": "use a function that has a derivative in it, or one with a gradient of its own (autograd.Function)",
    "numpy": "compute with chainrule's functions; or write a function with a gradient of its own (autograd.Function)",
    "item": "compute with tensors: a Python number has no history",
    "copied": "use the tensor itself, chainrule.stack() or chainrule.cat(): a tensor made of values is a new leaf",
    "unused": "nothing that the loss was computed from uses it: look at what is passed to what",
    "not in the graph": "give the function, explain(f, inputs), to have it run once more and each call looked at",
    "frozen": "set requires_grad=True (or requires_grad_()) before it is used",
    "no history": "make the loss of tensors that require grad",
    "not a leaf": "call retain_grad() on it before the backward pass, or ask for it by autograd.grad(loss, tensor)",
    "no pass": "call backward() on the loss, and look before zero_grad()",
    "freed": "give the function, explain(f, inputs); or keep the graph: retain_graph=True, or "
    "autograd.graph.noting(values=True)",
    # any
    "compiled": "give the function, explain(f, inputs), to have it run once more, uncompiled",
    "checkpoint": "use checkpoint(..., use_reentrant=False), whose operations can be looked at",
    "custom rule": "look at the backward() of {op}",
    "hook": "look at the hooks on the tensor and its node",
}


@dataclass
class Explanation:
    """Why an entry of a gradient is as it is. `str` tells it in words.

    Attributes
    ----------
    kind : str
        "nan", "inf", "zero", "none", or "fine" where there is nothing to explain.
    cause : str
        In a word: one of :data:`REMEDIES`; "unknown" where not enough is known; "" where there is nothing to explain.
    op : str
        The op, or custom function, that made it so.
    forward : Place or None
        Where the program called it: `file`, `line`, `function`, `text`. None if that is not known.
    backward : Place or None
        Where the program called the op by whose derivative the other factor came: the mask whose 0 met the infinite
        derivative, the op that sent the infinity.
    element : tuple of int or None
        The entry of the gradient that is explained: the first of its kind, unless another one was asked for.
    count, size : int
        How many entries are of the kind, of how many.
    name : str
        What the program calls the tensor, as far as that is known.
    arithmetic : str
        The numbers that made it, such as ``0.0 * inf = nan``.
    text : str
        What happened, in a sentence or more.
    also : list of Explanation
        Further causes, where several ways lead from the tensor to the loss.
    missing : str
        What is not known, and how to have it known.
    """

    kind: str
    cause: str
    op: str = ""
    forward: Place | None = None
    backward: Place | None = None
    element: tuple[int, ...] | None = None
    count: int = 0
    size: int = 0
    name: str = ""
    arithmetic: str = ""
    text: str = ""
    also: list[Explanation] = field(default_factory=list)
    missing: str = ""
    node: Any = field(default=None, repr=False, compare=False)
    trail: Any = field(default=None, repr=False, compare=False)

    @property
    def line(self) -> int | None:
        """The line number of `forward`."""
        return None if self.forward is None else self.forward.line

    @property
    def remedy(self) -> str:
        """The usual remedy."""
        found = REMEDIES.get(f"{self.cause} {self.kind}") or REMEDIES.get(self.cause, "")
        return found.format(op=self.op or "the op")

    @property
    def marks(self) -> dict[Any, str]:
        """The nodes to mark on a picture of the graph → a word for each."""
        found = {} if self.node is None else {self.node: self.cause}
        for other in self.also:
            found.update(other.marks)
        return found

    def about(self, **more: Any) -> Explanation:
        """Return this with more fields filled in."""
        return replace(self, **more)

    def __str__(self) -> str:
        lines = [self._headline()]
        if self.text:
            lines.append(self.text)
        if self.forward is not None:
            lines.append(f"{'at' if self.cause else 'in'} {shown(self.forward)}")
        if self.backward is not None and self.backward is not self.forward:
            lines.append(f"the other factor came from {shown(self.backward)}")
        if self.missing:
            lines.append(self.missing)
        if self.remedy:
            lines.append(f"Remedy: {self.remedy}.")
        for other in self.also:
            lines += ["also, along another way: " + line if i == 0 else "  " + line for i, line in enumerate(other.body())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def body(self) -> list[str]:
        """Return the lines between headline and remedy."""
        return [f"{self.cause}: {self.text}", *([] if self.forward is None else [f"at {shown(self.forward)}"])]

    def _headline(self) -> str:
        name = f"the gradient of {self.name}" if self.name else "the gradient"
        if self.kind == NONE:
            return f"{name} is None: {self.cause}"
        if self.kind == FINE:
            return f"{name} is finite" + (" and nowhere 0" if self.size else "")
        at = f", explained at {list(self.element)}" if self.element else ""
        return f"{name} is {self.kind} in {self.count} of {self.size} elements{at}: {self.cause}"


def shown(place: Place) -> str:
    """Return a place as it is shown: file, line, function, source."""
    if not place.frames:
        return "a line that is not known"
    text = f": {place.text}" if place.text else ""
    return f"{os.path.basename(place.file)}:{place.line}, in {place.function}{text}"

"""Laws of what the engine relies on: rules give back fresh arrays or `g`, write nowhere, and free what they saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import autograd
from chainrule.core.graph.nodes import PORT
from chainrule.core.record.placed import pulled_whole
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.testing.case import Case, is_floating, like
from chainrule.testing.compare import gap
from chainrule.testing.derive import at_of, payload, pulled
from chainrule.testing.law import law


class Recorded:
    """An op recorded on leaves: its results, node and random cotangents in the form that a pass hands to rules."""

    def __init__(self, case: Case, call: Callable | None = None):
        self.leaves = case.tensors()
        for i in case.moving:
            self.leaves[i].requires_grad_()
        with np.errstate(all="ignore"):
            out = call(*self.leaves) if call is not None else case.op.call(*self.leaves, **case.params)
        several = isinstance(out, (tuple, list))
        self.outs: list[Tensor] = list(out) if several else [out]
        self.floating = [o for o in self.outs if o.requires_grad]
        self.node: Any = None
        if not self.floating:
            return
        edge = self.floating[0]._node
        self.node = edge.node if edge._kind == PORT else edge
        rng = case.rng("weights")
        gs = [like(rng, innermost(o)) if o.requires_grad else None for o in self.outs]
        self.g: Any = gs if several else gs[0]

    def pull(self, g: Any) -> list:
        """Return what the rules make of a cotangent, one per input, None where there is none."""
        with np.errstate(all="ignore"):
            gs = pulled_whole(self.node.plan, self.node, g, 0)
        return [gs] if self.node.plan.single else list(gs)

    def cotangents(self) -> list:
        """Return the cotangents of the floating results."""
        return [g for g in (self.g if isinstance(self.g, list) else [self.g]) if g is not None]


@law("rules return fresh arrays")
def rules_return_fresh_arrays(case: Case) -> str | None:
    """Check that no cotangent shares memory with an input or result: the engine adds into cotangents in place."""
    recorded = Recorded(case)
    if recorded.node is None:
        return None
    held = [(f"input {case.input_name(i)}", innermost(x)) for i, x in enumerate(recorded.leaves) if is_floating(x)]
    held += [(f"result {i}", innermost(o)) for i, o in enumerate(recorded.outs)]
    held += [(f"parameter {k}", v) for k, v in case.params.items()]
    for i, g in enumerate(recorded.pull(recorded.g)):
        for name, array in held:
            if isinstance(g, np.ndarray) and isinstance(array, np.ndarray) and np.may_share_memory(g, array):
                return f"the cotangent of {case.input_name(i)} shares memory with {name}"
    return None


@law("backward = vjp")
def backward_gives_the_vjp(case: Case) -> str | None:
    """Check that a recorded graph, walked on arrays or with `create_graph` on tensors, gives what `func.vjp` gives."""
    recorded = Recorded(case, case.run)
    if recorded.node is None:
        return None
    leaves = [recorded.leaves[i] for i in case.moving]
    gs = recorded.cotangents()
    expected = pulled(case.function(case.moving), at_of(case, case.moving), gs)
    for create_graph in (True, False):
        found = autograd.grad(recorded.floating, leaves, [wrap(g) for g in gs], create_graph=create_graph, allow_unused=True)
        for i, a, b in zip(case.moving, found, expected, strict=True):
            how = gap(np.zeros(b.shape) if a is None else payload(a), payload(b), 1e-10)
            if how is not None:
                return f"gradient of {case.input_name(i)}, create_graph={create_graph}: {how}"
    return None


@law("rules write nowhere")
def rules_write_nowhere(case: Case) -> str | None:
    """Check that a pull leaves inputs, results and the cotangent as they were, and that a second one gives the same."""
    recorded = Recorded(case)
    if recorded.node is None:
        return None
    values = [innermost(t) for t in (*recorded.leaves, *recorded.outs)] + recorded.cotangents()
    values = [v for v in values if isinstance(v, np.ndarray)]
    before = [v.copy() for v in values]
    first = [None if g is None else np.array(g) for g in recorded.pull(recorded.g)]
    for value, old in zip(values, before, strict=True):
        if not np.array_equal(value, old, equal_nan=value.dtype.kind in "fc"):
            return "a rule wrote to an input, a result or the cotangent it was given"
    for i, (a, b) in enumerate(zip(recorded.pull(recorded.g), first, strict=True)):
        how = None if a is None and b is None else gap(a, b, 1e-12)
        if how is not None:
            return f"cotangent of {case.input_name(i)}, second pull against first: {how}"
    return None


@law("a broadcast cotangent gives the same")
def broadcast_cotangent_gives_the_same(case: Case) -> str | None:
    """Check that a cotangent with strides of 0, as a sum's is, gives what its contiguous copy gives."""
    recorded = Recorded(case)
    if recorded.node is None:
        return None
    spread = [None if g is None else np.broadcast_to(np.asarray(g).dtype.type(0.7), g.shape) for g in _listed(recorded.g)]
    copied = [None if g is None else g.copy() for g in spread]
    if not isinstance(recorded.g, list):
        spread, copied = spread[0], copied[0]  # type: ignore[assignment]
    for i, (a, b) in enumerate(zip(recorded.pull(spread), recorded.pull(copied), strict=True)):
        how = None if a is None and b is None else gap(a, b, 1e-9)
        if how is not None:
            return f"cotangent of {case.input_name(i)}: {how}"
    return None


def _listed(g: Any) -> list:
    return g if isinstance(g, list) else [g]


@law("a second backward raises")
def second_backward_raises(case: Case) -> str | None:
    """Check that a pass frees what the node saved, so that another one raises, unless nothing was saved."""
    recorded = Recorded(case)
    if recorded.node is None:
        return None
    weights = [wrap(g) for g in recorded.cotangents()]
    autograd.backward(recorded.floating, weights)
    try:
        autograd.backward(recorded.floating, weights)
    except RuntimeError as error:
        return None if "second time" in str(error) else f"raised {error}"
    return "nothing was raised though values were saved" if recorded.node.plan.keeps else None

"""Laws of the reverse pass over each op: it is one pass, whatever looks on, and writes only into buffers that it made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from chainrule import autograd
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.testing.case import Case, like
from chainrule.testing.compare import gap
from chainrule.testing.law import law

Found = list[np.ndarray | None]


class Twice:
    """An op recorded twice on results of others: cotangents meet at every input, and both results get the same ones.

    Attributes
    ----------
    leaves, inner, outs : list of Tensor
        The leaves, the copies of them that the op is called on, and the results that require grad.
    weights : list of ndarray
        The results' cotangents.
    """

    def __init__(self, case: Case):
        given = case.tensors()
        for i in case.moving:
            given[i].requires_grad_()
        self.inner = [TABLE["clone"].call(t) if i in case.moving else t for i, t in enumerate(given)]
        self.leaves = [given[i] for i in case.moving]
        with np.errstate(all="ignore"):
            results = [case.op.call(*self.inner, **case.params) for _ in range(2)]
        flat = [o for out in results for o in (out if isinstance(out, (tuple, list)) else (out,))]
        self.outs = [o for o in flat if isinstance(o, Tensor) and o.requires_grad]
        rng = case.rng("weights")
        self.weights = [like(rng, np.asarray(o._data)) for o in self.outs[: len(self.outs) // 2]] * 2

    @property
    def targets(self) -> list[Tensor]:
        """The tensors to differentiate in: the leaves, and the inner results."""
        return [*self.leaves, *[t for t in self.inner if isinstance(t, Tensor) and t.requires_grad]]

    def gradients(self, targets: list[Tensor], create_graph: bool = False) -> Found:
        """Return the gradients in some tensors, None where there is none."""
        weights = [wrap(w) for w in self.weights]
        with np.errstate(all="ignore"):
            found = autograd.grad(self.outs, targets, weights, retain_graph=True, create_graph=create_graph, allow_unused=True)
        return [None if g is None else np.asarray(g.detach()._data) for g in found]

    def gradients_hooked(self) -> tuple[Found, Found]:
        """Return the leaves' gradients where hooks look at everything, and what the leaves' hooks saw, once each."""
        seen: dict[int, list] = {id(t): [] for t in self.targets}
        handles = [t.register_hook(_keeping(seen[id(t)])) for t in self.targets]
        try:
            found = self.gradients(self.leaves)
        finally:
            for handle in handles:
                handle.remove()
        whole = [seen[id(t)] for t in self.leaves]
        return found, [None if not gs else gs[0] if len(gs) == 1 else np.array(gs) for gs in whole]


def _keeping(seen: list) -> Callable[[Tensor], None]:
    """Return a hook that keeps a copy of each gradient that it sees."""
    return lambda g: seen.append(np.array(g._data))


@law("watched = unwatched")
def watched_pass_gives_the_same(case: Case) -> str | None:
    """Check that a pass with something that looks on, or one that is recorded, gives what a plain one gives."""
    twice = Twice(case)
    if not twice.outs:
        return None
    leaves = twice.leaves
    expected = twice.gradients(leaves)
    hooked, seen = twice.gradients_hooked()
    found = {"hooks": hooked, "what hooks see": seen, "results as targets": twice.gradients(twice.targets)[: len(leaves)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomaly mode says that it is on
        ways: dict[str, Any] = {"a watcher": Watcher(), "anomaly mode": autograd.detect_anomaly(check_nan=False)}
    for name, way in {**ways, "create_graph": nullcontext()}.items():
        with way:
            found[name] = twice.gradients(leaves, create_graph=name == "create_graph")
    for name, gradients in found.items():
        for i, a, b in zip(case.moving, gradients, expected, strict=True):
            if a is None or b is None:
                wrong = None if a is b else "there is one in one of them alone"
            else:
                wrong = gap(a, b, 1e-9)
            if wrong is not None:
                return f"gradient of {case.input_name(i)} with {name}: {wrong}"
    return None


@law("the pass writes into its own buffers")
def pass_writes_into_its_own_buffers(case: Case) -> str | None:
    """Check that passes write to no cotangent that they were given, and give back memory that nobody else holds."""
    twice = Twice(case)
    if not twice.outs:
        return None
    held = [("a cotangent", w) for w in twice.weights[: len(twice.weights) // 2]]
    held += [("an input", t._data) for t in (*twice.leaves, *twice.inner) if isinstance(t, Tensor)]
    held += [("a result", t._data) for t in twice.outs]
    before = [w.copy() for _, w in held]
    expected = twice.gradients(twice.targets)
    weights = [wrap(w) for w in twice.weights]
    with np.errstate(all="ignore"):
        held += [
            ("a gradient", g._data)
            for g in autograd.grad(twice.outs, twice.targets, weights, retain_graph=True, allow_unused=True)
            if g is not None
        ]
        for _ in range(2):
            autograd.backward(twice.outs, weights, retain_graph=True)
    held += [("a .grad", t.grad._data) for t in twice.leaves if t.grad is not None]
    for i, (name, array) in enumerate(held):
        for other, memory in held[:i] if "grad" in name else ():
            if isinstance(array, np.ndarray) and isinstance(memory, np.ndarray) and np.may_share_memory(array, memory):
                return f"{name} shares memory with {other}"
    for (name, array), old in zip(held, before, strict=False):
        if not np.array_equal(array, old, equal_nan=old.dtype.kind in "fc"):
            return f"{name} was written to"
    for t, g in zip(twice.leaves, expected, strict=False):
        wrong = None if g is None else gap(np.asarray(t.grad._data), 2 * g, 1e-9)
        if wrong is not None:
            return f".grad after two passes, against twice the gradient: {wrong}"
    return None

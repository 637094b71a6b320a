"""Plan: how a Jacobian is taken, and why. Forward or reverse from the sizes, and how many directions at once from the memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.core.graph import LEAF_EDGE, PORT
from chainrule.core.record import shape_of
from chainrule.core.tensor import Tensor
from chainrule.func.reverse import Record

MODES = ("forward", "reverse")
MEMORY = 1 << 26  # bytes: larger batches of directions ran no faster, since each op then streams through fresh memory
LIVE = 4  # values of the widest size that a sweep holds at once: what comes in, what goes out, and a rule's temporaries


@dataclass(frozen=True)
class Plan:
    """How a Jacobian was taken.

    Attributes
    ----------
    mode : {"forward", "reverse"}
        Which mode gave it: columns by forward mode, rows by reverse mode.
    inputs, outputs : int
        Real numbers going in and coming out; a complex number counts as two.
    chunk : int
        How many columns or rows one sweep carries at once.
    reason : str
        Why this mode.
    """

    mode: str
    inputs: int
    outputs: int
    chunk: int
    reason: str

    @property
    def sweeps(self) -> int:
        """How many sweeps it took."""
        directions = self.inputs if self.mode == "forward" else self.outputs
        return -(-directions // self.chunk)


def chosen(inputs: int, outputs: int) -> tuple[str, str]:
    """Return the cheaper mode for these sizes, and the reason."""
    if inputs < outputs:
        return "forward", f"fewer inputs ({inputs}) than outputs ({outputs})"
    return "reverse", f"no more outputs ({outputs}) than inputs ({inputs})"


def chunk_for(directions: int, chunk_size: int | None, memory: int | None, run: Record | None) -> int:
    """Return how many directions to take at once: what is asked for, or what fits in memory as far as a run tells."""
    if chunk_size is not None or directions <= 1 or run is None:
        return max(1, directions if chunk_size is None else min(chunk_size, directions))
    return max(1, min(directions, (MEMORY if memory is None else memory) // max(1, bytes_per_direction(run))))


def bytes_per_direction(run: Record) -> int:
    """Estimate the memory that one direction of a sweep over a recorded run takes at once.

    Forward and reverse sweeps hold tangents or cotangents of inputs, results and a few intermediate values, of which the
    widest bounds the others.
    """
    ends = [*run.leaves, *run.outs]
    widest, itemsize = max(t.numel() for t in ends), max(t.dtype.itemsize for t in ends)
    seen: set[int] = set()
    stack = [t._node for t in run.outs if run.depends(t)]
    while stack:
        edge = stack.pop()
        if edge is None or edge._kind == LEAF_EDGE:
            continue
        node = edge.node if edge._kind == PORT else edge
        if node.id in seen:
            continue
        seen.add(node.id)
        widest = max(widest, *(prod(shape) for shape in _shapes(node)), 0)
        stack += node.edges
    return itemsize * (LIVE * widest + sum(t.numel() for t in ends))


def _shapes(node: Any) -> list[tuple]:
    """Return the shapes that a node knows, of its inputs and results."""
    plan = node.plan
    found = [shape_of(value) for value in _flat(node.saved)] if plan.keeps else []
    if plan.saves_out:
        found += [shape_of(value) for value in _flat(node.out)]
    for shape in node.shapes if plan.wants_shapes and node.shapes else ():
        found.append(shape if all(isinstance(n, int) for n in shape) else ())
    return found


def _flat(values: Any) -> tuple:
    return values if values.__class__ is tuple else (values,)


def real_size(t: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return t.numel() * (2 if t.is_complex() else 1)

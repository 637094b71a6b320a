"""How a Jacobian is taken, and why: forward or reverse from the sizes, how many directions at once from the memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT
from chainrule.core.op.raw import shape_of
from chainrule.core.tensor.tensor import Tensor
from chainrule.func.pullbacks import Record

MODES = ("forward", "reverse")
MEMORY = 1 << 23  # bytes, which caches hold: all 3,000 rows of an elementwise function at once took 1.5 times as long
RERUN = 1 << 18  # bytes of cotangents that a sweep moves in the time that a second run of a small function takes
LIVE = 5  # values of the widest size that a sweep holds at once: what comes in, what goes out, and a rule's temporaries


@dataclass(frozen=True)
class SparsePlan:
    """How a sparse Jacobian was compressed.

    Attributes
    ----------
    kind : {"columns", "rows", "bidirectional", "star", "acyclic"}
        What was coloured: see :mod:`chainrule.func.colouring`.
    entries : int
        How many entries can be other than zero.
    forward, reverse : int
        How many colours are carried forward, and pulled back.
    detection : float or None
        Seconds that the search for the pattern took; None where it was given.
    colouring : float
        Seconds that the colours took.
    forward_sweep, reverse_sweep : float or None
        Seconds that one sweep of each kind took, the run of the function with it; None where that was not asked.
    rejected : tuple of str
        The other ways, and what they would have cost.
    """

    kind: str
    entries: int
    forward: int
    reverse: int
    detection: float | None
    colouring: float
    forward_sweep: float | None
    reverse_sweep: float | None
    rejected: tuple[str, ...]

    @property
    def colours(self) -> int:
        """How many directions are carried in all."""
        return self.forward + self.reverse

    def __str__(self) -> str:
        times = [
            f"{name} {1e3 * seconds:.3g} ms"
            for name, seconds in (
                ("detection", self.detection),
                ("colouring", self.colouring),
                ("a forward sweep", self.forward_sweep),
                ("a reverse sweep", self.reverse_sweep),
            )
            if seconds is not None
        ]
        held = f"{counted(self.entries, 'entry', 'entries')} in {counted(self.colours, 'colour')}"
        lines = [f"{held} ({self.kind}): {self.forward} forward, {self.reverse} reverse", ", ".join(times)]
        return "\n".join([*lines, *[f"rejected: {other}" for other in self.rejected]])


@dataclass(frozen=True)
class JacobianPlan:
    """How a Jacobian was taken.

    Attributes
    ----------
    mode : {"forward", "reverse", "both"}
        Which mode gave it: columns by forward mode, rows by reverse mode; both where that is cheaper for a sparse one.
    inputs, outputs : int
        Real numbers going in and coming out; a complex number counts as two.
    chunk : int
        How many columns or rows one sweep carries at once.
    reason : str
        Why this mode.
    inner : JacobianPlan or None
        Where the function was itself a Jacobian, as in a Hessian, how that was taken.
    sparse : SparsePlan or None
        Where sums of columns or rows were carried, which are fewer: how the pattern was coloured, and what was rejected.
    """

    mode: str
    inputs: int
    outputs: int
    chunk: int
    reason: str
    inner: JacobianPlan | None = None
    sparse: SparsePlan | None = None

    @property
    def sweeps(self) -> int:
        """How many sweeps it took."""
        if self.sparse is not None:
            return -(-self.sparse.forward // self.chunk) + -(-self.sparse.reverse // self.chunk)
        directions = self.inputs if self.mode == "forward" else self.outputs
        return -(-directions // self.chunk)

    def __str__(self) -> str:
        head = f"{self.outputs} x {self.inputs} in {self.mode} mode, {counted(self.sweeps, 'sweep')}: {self.reason}"
        parts = [head, *([str(self.sparse)] if self.sparse else []), *([f"of: {self.inner}"] if self.inner else [])]
        return "\n".join(parts)


def counted(n: int, word: str, many: str | None = None) -> str:
    """Return a number of things in words."""
    return f"{n} {word if n == 1 else many or word + 's'}"


def chosen(run: Record, inputs: int, outputs: int) -> tuple[str, str]:
    """Return the cheaper mode to go on with after a recorded run, and the reason.

    Reverse mode has its record; forward mode has to run the function again, which pays where it saves enough directions.
    """
    if inputs >= outputs:
        return "reverse", f"no more outputs ({outputs}) than inputs ({inputs})"
    if (outputs - inputs) * bytes_per_direction(run) < RERUN:
        return "reverse", f"{outputs} outputs for {inputs} inputs are too few to run the function again for forward mode"
    return "forward", f"fewer inputs ({inputs}) than outputs ({outputs})"


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
        if edge is None or edge is LEAF or edge._kind == LEAF_EDGE:
            continue
        node = edge.node if edge._kind == PORT else edge
        if node.id in seen:
            continue
        seen.add(node.id)
        widest = max(widest, *(prod(shape) for shape in _shapes(node, run.level)), 0)
        stack += node.edges
    return itemsize * (LIVE * widest + sum(t.numel() for t in ends))


def _shapes(node: Any, level: int) -> list[tuple]:
    """Return the shapes that a node knows of values that move; a slot that its op does not read is not set."""
    shapes = getattr(node, "shapes", None) or ()
    found = [shape for shape, edge in zip(shapes, node.edges, strict=False) if edge is not None and shape]
    saved = _flat(getattr(node, "saved", None)) + _flat(getattr(node, "saved2", None))
    found += [tuple(v.shape) for v in saved if isinstance(v, Tensor) and v._level == level]
    return found + [shape_of(value) for value in _flat(getattr(node, "out", None))]


def _flat(values: Any) -> tuple:
    return values if values.__class__ is tuple else (values,)


def real_size(t: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return t.numel() * (2 if t.is_complex() else 1)

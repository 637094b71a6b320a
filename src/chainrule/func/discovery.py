"""Patterns that are found without a word from the user: when to look for one, and what is remembered of it.

A pattern is looked for where the dense derivative would take longer, by a sweep that is timed, or took longer in earlier calls.
It is used again where what the function read when it was found is as it was (its guards), and believed only as long as one
random direction beside the colours, in the same sweep, gives what the entries say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from chainrule.core.generator import default_generator
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import tree_unflatten
from chainrule.func.arguments import Call, others_of
from chainrule.func.basis import Directions
from chainrule.func.choice import compression_of
from chainrule.func.compressed import Compression, is_traced
from chainrule.func.pattern import Pattern
from chainrule.func.pullbacks import Record
from chainrule.func.sweeps import Function, pulled, pushed
from chainrule.transforms.blame import TraceError
from chainrule.transforms.sparsity import Sparsity, sparsity_of

FEWEST = 64  # inputs, and outputs: below that a dense sweep takes as long as one with a few colours
MANY = 512  # directions from which on a sweep with `TRIAL` of them is timed before the first dense derivative
TRIAL = 16
SEARCH = 0.01  # seconds that a search takes beside `RUNS` runs of the function: measured, from 5 ms for 1,000 elements
RUNS = 20
FULL = 0.25  # of all entries: a fuller pattern is taken as dense
FEW_TIMES = 4  # compressed derivatives that are timed beside dense ones
KEPT = 8  # shapes, and patterns of each, that are remembered


class Memory:
    """What is known of a function for inputs of some shapes and dtypes.

    Attributes
    ----------
    ways : list of (Sparsity, Compression)
        The latest first.
    spent, dense : float
        Seconds that dense derivatives took, and the fastest one of them.
    sparse : list of float
        Seconds of the first compressed ones.
    obstacle : str
        Why there is no sparse way; empty where there may be one.
    zeros : bool
        Patterns leave out what constants multiply by 0: until entries are seen that may be differentiated, by constants too.
    """

    __slots__ = ("dense", "obstacle", "sparse", "spent", "ways", "zeros")

    def __init__(self) -> None:
        self.zeros = True
        self.ways: list[tuple[Sparsity, Compression]] = []
        self.sparse: list[float] = []
        self.spent, self.dense, self.obstacle = 0.0, float("inf"), ""

    def pay(self, seconds: float) -> None:
        """Note what a dense derivative took."""
        self.spent, self.dense = self.spent + seconds, min(self.dense, seconds)

    def weigh(self, seconds: float) -> None:
        """Note what a compressed derivative took; if the first few were all slower than a dense one, go back to those."""
        if len(self.sparse) < FEW_TIMES:
            self.sparse.append(seconds)
            if len(self.sparse) == FEW_TIMES and min(self.sparse) > self.dense:
                self.ways.clear()
                self.obstacle = f"that took {1e3 * self.dense:.3g} ms and sums of lines {1e3 * min(self.sparse):.3g} ms"

    def way(self, f: Function) -> Compression | None:
        """Return the compression of a pattern whose guards hold."""
        for sparsity, way in self.ways:
            if sparsity.holds(*f.primals):
                return way
        return None

    def search(
        self, f: Function, mode: str | None, prefer: str | None, symmetric: bool, thorough: bool, full: float
    ) -> Compression | None:
        """Look for the pattern and colour it; None, and `obstacle`, where that cannot be or does not help.

        Parameters
        ----------
        full : float
            Which share of all entries is too much to look at.
        """
        start = perf_counter()
        plain = tuple(tree_unflatten([t.detach().clone() for t in f.flat], f.spec))
        try:
            sparsity = sparsity_of(f.first, plain, self.zeros, closed=not others_of(f.call))
        except TraceError as error:
            self.obstacle = f"its pattern cannot be found: {error}"
            return None
        height, width = sparsity.shape
        if sparsity.nnz > full * height * width:
            self.obstacle = f"{sparsity.nnz} of {height * width} entries can be other than zero"
            return None
        pattern = Pattern.of(sparsity.tosparse())
        took = perf_counter() - start
        symmetric = symmetric and pattern.is_symmetric()
        try:
            way = compression_of(pattern, f, mode, prefer, symmetric, thorough, took)
        except ValueError as error:  # the pattern is of other results: the function gives what is not the same each time
            self.obstacle = str(error)
            return None
        self.ways[:] = [(sparsity, way), *self.ways[: KEPT - 1]]
        return way

    def lacks(self, way: Compression, entries: Iterable[Tensor]) -> bool:
        """Tell whether a way leaves out what derivatives of its entries need; from then on none will."""
        if not any([sparsity.guards.zeros for sparsity, other in self.ways if other is way]):
            return False
        if any([v.requires_grad for v in entries]):
            self.zeros = False
        return not self.zeros

    def forget(self, way: Compression) -> None:
        """Remove a way that was found wrong."""
        self.ways[:] = [pair for pair in self.ways if pair[1] is not way]


class Memories:
    """The memories of one derivative's calls, by the shapes and dtypes of its inputs; the oldest are dropped."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Any, Memory] = {}

    def of(self, flat: list) -> Memory:
        """Return the memory for such inputs."""
        key = tuple([(t.shape, t.dtype) for t in flat])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Memory()
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        return found


def is_plain(flat: list) -> bool:
    """Tell whether a derivative is taken of numbers alone, inside no other transform."""
    mode = modes()
    return not (mode.scope or mode.open or is_traced()) and all([t.__class__ is Tensor and not t._level for t in flat])


def may_pay(memory: Memory, f: Function) -> bool:
    """Tell, in a microsecond, whether a search could pay."""
    return not memory.obstacle and (memory.spent > 2 * SEARCH or sum([t.numel() for t in f.flat]) >= MANY)


def pays(memory: Memory, f: Function, mode: str, total: int, run: Record | None) -> bool:
    """Tell whether the dense derivative has taken so long, or will, that a search for the pattern takes less.

    One direction is timed as a part of `TRIAL` in one sweep, which is what a dense derivative does, and where there are so many
    that these cost next to nothing.
    """
    soon = 0.0
    took = 0.0
    if total >= MANY:
        start = perf_counter()
        with untouched(f):
            if mode == "forward":
                pushed(f, Few(Directions(f.flat)), TRIAL)
            elif run is not None:
                pulled(run, Few(Directions(run.outs)), TRIAL)
        took = perf_counter() - start
        soon = took * total / TRIAL
    return memory.spent + soon > 2 * (SEARCH + RUNS * took)


@contextmanager
def untouched(f: Function) -> Iterator[None]:
    """Run a function beside the runs that count: random numbers, and what it wrote to its arguments, stay as they were."""
    state, call = default_generator.get_state(), f.call
    written = call.written if isinstance(call, Call) else None
    try:
        yield
    finally:
        default_generator.set_state(state)
        if isinstance(call, Call) and written is not None:
            call.written = written


class Few:
    """The first few of all directions."""

    __slots__ = ("_all", "total")

    def __init__(self, directions: Directions):
        self._all, self.total = directions, min(TRIAL, directions.total)

    def block(self, start: int, stop: int) -> list:
        """Return, for each tensor, its part in these directions."""
        return self._all.block(start, stop)

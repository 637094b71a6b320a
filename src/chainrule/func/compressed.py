"""Compressed derivatives: sweeps along sums of unit vectors, and a sparse Jacobian's entries read off what they give.

A :class:`Compression` is a pattern and its colours, with what was measured to choose them. It takes the derivative of any
function that has the pattern; the sums and the reading are ops, so that what comes out can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.generator import default_generator
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import TreeSpec
from chainrule.func.basis import bottom, of_columns, of_rows
from chainrule.func.colouring import Colouring, acyclic, by_columns, by_rows, candidates, star, turned
from chainrule.func.jacobian_plan import SparsePlan, chunk_for
from chainrule.func.pattern import Pattern
from chainrule.func.pullbacks import Record, check_outputs
from chainrule.func.sweeps import pulled, pushed

_LINES = {"columns": "columns", "rows": "rows", "bidirectional": "columns and rows", "star": "lines", "acyclic": "lines"}


class Function(NamedTuple):
    """A call as a function of the leaves of its differentiated arguments, and how it is to be run."""

    call: Callable
    primals: tuple
    spec: TreeSpec
    flat: list
    has_aux: bool
    randomness: str
    chunk_size: int | None
    memory: int | None

    def first(self, *primals: Any) -> Any:
        """Run it for what is differentiated, without aux."""
        return self.call(*primals)[0] if self.has_aux else self.call(*primals)

    def record(self) -> Record:
        """Run it, recorded."""
        run = Record(self.call, self.primals, self.has_aux)
        check_outputs(run.outs, "vjp(f, *primals)")
        return run


class Sums:
    """Directions that are sums of unit vectors: of all elements of one colour; for complex numbers i times that as well.

    With `probes`, real numbers for each tensor's elements, there is one direction more, last: along them.
    """

    __slots__ = ("colours", "count", "parts", "probes", "tensors")

    def __init__(self, tensors: list, colours: np.ndarray, count: int, probes: list | None = None):
        self.tensors, self.count, self.probes = tensors, count, probes
        self.colours = np.split(colours, np.cumsum([t.numel() for t in tensors])[:-1])
        self.parts = 2 if any([t.is_complex() for t in tensors]) else 1

    @property
    def total(self) -> int:
        """How many there are."""
        return self.parts * self.count + (self.probes is not None)

    def block(self, start: int, stop: int) -> list[Tensor | None]:
        """Return, for each tensor, its part in the sums from `start` to `stop`, stacked; None where it is in none at all."""
        found: list[Tensor | None] = []
        for k, (t, colours) in enumerate(zip(self.tensors, self.colours, strict=True)):
            if colours.max(initial=-1) < 0 and (self.probes is None or not t.numel()):
                found.append(None)
                continue
            values = np.zeros((stop - start, t.numel()), t.dtype.numpy)
            for part, unit in enumerate((1, 1j) if t.is_complex() else (1,)):
                rows = colours + (part * self.count - start)
                own = np.flatnonzero((colours >= 0) & (rows >= 0) & (rows < stop - start))
                values[rows[own], own] = unit
            if self.probes is not None and stop == self.total:
                values[-1] = self.probes[k]
            found.append(wrap(values.reshape(stop - start, *t.shape)))
        return found


class Read(NamedTuple):
    """Entries of one block that are read off one stack of sums: which one's, forward or not, and where in it."""

    forward: bool
    stack: int
    places: np.ndarray


class Block(NamedTuple):
    """The entries of one result's Jacobian in one input: their rows and columns, and how they are read."""

    rows: np.ndarray
    columns: np.ndarray
    reads: list[Read]
    order: np.ndarray | None
    shape: tuple[int, int]


class Compression:
    """A pattern, its colours, and why these.

    Attributes
    ----------
    pattern : Pattern
    colouring : Colouring
    told : SparsePlan
    """

    __slots__ = ("_blocks", "colouring", "pattern", "told")

    def __init__(self, pattern: Pattern, colouring: Colouring, told: SparsePlan):
        self.pattern, self.colouring, self.told = pattern, colouring, told
        self._blocks: tuple = ((), [])

    @property
    def mode(self) -> str:
        """Which mode takes it: forward, reverse or both."""
        colours = self.colouring
        return "both" if colours.forward and colours.reverse else "reverse" if colours.reverse else "forward"

    @property
    def reason(self) -> str:
        """Why this way."""
        colours = self.colouring
        return f"{colours.colours} sums of {_LINES[colours.kind]} hold its {self.pattern.size} entries, at the least cost"

    def take(self, f: Function, sparse: bool, check: bool = False) -> tuple | None:
        """Return the blocks of the Jacobian, dense or as SciPy's arrays, with results, structure, aux and chunk.

        With `check`, one random direction more is carried; None if that does not give what the entries say, or the results are
        of other sizes than the pattern's.
        """
        colours = self.colouring
        state = default_generator.get_state() if colours.forward and colours.reverse else None
        run = f.record() if colours.reverse or (f.memory is not None and f.chunk_size is None) else None
        columns = rows = probes = None
        chunk = 1
        if run is not None and colours.reverse:
            outs, out_spec, aux = run.outs, run.out_spec, run.aux
            if check and not self._fits(outs):
                return None
            check_height(self.pattern, outs)
            probes = _probes(outs) if check and not colours.forward else None
            sums = Sums(outs, colours.rows, colours.reverse, probes)
            rows = pulled(run, sums, chunk := chunk_for(sums.total, f.chunk_size, f.memory, run))
        if rows is None or colours.forward:
            if state is not None:
                default_generator.set_state(state)  # one function is differentiated: its random numbers stay the same
            probes = _probes(f.flat) if check else None
            sums = Sums(f.flat, colours.columns, colours.forward, probes)
            chunk = chunk_for(sums.total, f.chunk_size, f.memory, run)
            columns, outs, out_spec, aux = pushed(f.call, f.spec, f.flat, sums, chunk, f.randomness, f.has_aux)
            if check and not self._fits(outs):
                return None
            check_height(self.pattern, outs)
        blocks = self._blocks_for(outs, f.flat)
        values = [
            [self._values(block, columns, rows, out, x) for block, x in zip(of_out, f.flat, strict=True)]
            for of_out, out in zip(blocks, outs, strict=True)
        ]
        if probes is not None and not agrees(probes, columns, rows, blocks, values):
            return None
        entries = [
            [
                in_sparse(v, block) if sparse else in_dense(v, block, (*out.shape, *x.shape))
                for v, block, x in zip(of_out, row, f.flat, strict=True)
            ]
            for of_out, row, out in zip(values, blocks, outs, strict=True)
        ]
        return entries, outs, out_spec, aux, chunk

    def _fits(self, outs: list) -> bool:
        return self.pattern.shape[0] == sum(t.numel() for t in outs)

    def _blocks_for(self, outs: list, ins: list) -> list[list[Block]]:
        """Return the blocks for results and inputs of such sizes; the last ones are kept."""
        key = tuple([t.numel() for t in outs]), tuple([t.numel() for t in ins])
        known, blocks = self._blocks
        if known != key:
            blocks = _blocks(self.pattern, self.colouring, *key)
            self._blocks = (key, blocks)
        return blocks

    def _values(self, block: Block, columns: Any, rows: Any, out: Tensor, x: Tensor) -> Tensor:
        """Return the entries of a block, in the order of its pattern."""
        if self.colouring.rounds:
            return _substituted(columns[0], self.colouring)
        parts = [self._read(read, columns, rows, out, x) for read in block.reads]
        values = parts[0] if len(parts) == 1 else TABLE["cat"].call(*parts, axis=0)
        return values if block.order is None else _at(values, block.order)

    def _read(self, read: Read, columns: Any, rows: Any, out: Tensor, x: Tensor) -> Tensor:
        stack, count = (columns, self.colouring.forward) if read.forward else (rows, self.colouring.reverse)
        sums = TABLE["reshape"].call(stack[read.stack], shape=(-1,))
        both = (x if read.forward else out).is_complex()
        size = stack[read.stack][0].numel() * count if both else 0
        along = tuple([_at(sums, read.places + part * size) for part in (0, 1)]) if both else _at(sums, read.places)
        return of_columns(along, out, x) if read.forward else of_rows(along, out, x)


def is_traced() -> bool:
    """Tell whether what runs is being recorded as a graph."""
    return modes().tracer is not None or modes().compiling is not None


def check_height(pattern: Pattern, outs: list) -> None:
    """Raise ValueError unless a pattern has a row for each element of the results."""
    height = sum(t.numel() for t in outs)
    if pattern.shape[0] != height:
        raise ValueError(
            f"sparsity: a pattern of shape {pattern.shape} was given, but the results have {height} elements: it has a row for "
            "each of them, and a column for each element of the inputs"
        )


def check_width(pattern: Pattern, ins: list, name: str) -> None:
    """Raise ValueError unless a pattern has a column for each element of the inputs."""
    width = sum(t.numel() for t in ins)
    if pattern.shape[1] != width:
        raise ValueError(
            f"{name}: sparsity has the shape {pattern.shape}, but the inputs have {width} elements: it has a column for each "
            "of them, and a row for each element of the results"
        )


# -- reading -----------------------------------------------------------------------------------------------------------


def _blocks(pattern: Pattern, colours: Colouring, heights: tuple, widths: tuple) -> list[list[Block]]:
    """Return where each entry of each block stands in the sums of one result's, or one input's, elements."""
    rows_at, columns_at = np.cumsum([0, *heights]), np.cumsum([0, *widths])
    height, width = pattern.shape
    forward = colours.places < colours.forward * height
    places = np.where(forward, colours.places, colours.places - colours.forward * height)
    across = np.where(forward, height, width)
    colour, element = places // np.maximum(across, 1), places % np.maximum(across, 1)
    stack = np.where(forward, np.searchsorted(rows_at, element, "right") - 1, np.searchsorted(columns_at, element, "right") - 1)
    row_block = np.searchsorted(rows_at, pattern.rows, "right") - 1
    column_block = np.searchsorted(columns_at, pattern.columns, "right") - 1
    by_block = row_block * len(widths) + column_block
    order = np.argsort(by_block, kind="stable")
    ends = np.cumsum(np.bincount(by_block, minlength=len(heights) * len(widths)))
    found: list[list[Block]] = []
    for k, m in enumerate(heights):
        found.append([])
        for j, n in enumerate(widths):
            b = k * len(widths) + j
            own = order[ends[b - 1] if b else 0 : ends[b]]
            reads, parts = [], []
            for way, starts, sizes in ((True, rows_at, heights), (False, columns_at, widths)):
                for s in np.unique(stack[own][forward[own] == way]).tolist():
                    part = np.flatnonzero((forward[own] == way) & (stack[own] == s))
                    parts.append(part)
                    reads.append(Read(way, s, colour[own[part]] * sizes[s] + element[own[part]] - starts[s]))
            if not reads:
                reads.append(Read(*((True, k) if colours.forward or not colours.reverse else (False, j)), own))
            back = None if len(parts) < 2 else np.argsort(np.concatenate(parts))
            found[k].append(Block(pattern.rows[own] - rows_at[k], pattern.columns[own] - columns_at[j], reads, back, (m, n)))
    return found


def _at(values: Tensor, places: np.ndarray) -> Tensor:
    return TABLE["index"].call(values, wrap(places), axes=(0,))


def _substituted(sums: Tensor, colours: Colouring) -> Tensor:
    """Return a symmetric matrix's entries from sums of its columns, one round after another."""
    left, found = TABLE["reshape"].call(sums, shape=(-1,)), []
    for step in colours.rounds:
        found.append(values := _at(left, step.places))
        if step.away.size:
            left = TABLE["index_add"].call(left, wrap(step.away), -_at(values, step.known), axis=0)
    return _at(TABLE["cat"].call(*found, axis=0), np.argsort(np.concatenate([step.entries for step in colours.rounds])))


def in_dense(values: Tensor, block: Block, shape: tuple) -> Tensor:
    """Return the dense block of these entries, 0 elsewhere."""
    places, total = block.rows * block.shape[1] + block.columns, block.shape[0] * block.shape[1]
    if _is_plain(values):
        array = np.zeros(total, values.dtype.numpy)
        array[places] = values._data
        return wrap(array.reshape(shape))
    whole = TABLE["index_sum"].call(values, wrap(places), shape=(total,), axes=(0,))
    return TABLE["reshape"].call(whole, shape=shape)


def in_sparse(values: Tensor, block: Block) -> Any:
    """Return the block as SciPy's `csr_array`, a row for each element of the result and a column for each of the input.

    Raises
    ------
    RuntimeError
        If the entries belong to another transform or have a history: SciPy's arrays hold neither.
    """
    from scipy.sparse import csr_array

    starts = np.concatenate([[0], np.cumsum(np.bincount(block.rows, minlength=block.shape[0]))])
    return csr_array((_numbers(values), block.columns.copy(), starts), shape=block.shape)


def sparse_of(entry: Tensor, out: Tensor, x: Tensor) -> Any:
    """Return a dense block, whose pattern nobody knows, as SciPy's `csr_array` of what is not 0 in it."""
    from scipy.sparse import csr_array

    return csr_array(_numbers(entry).reshape(out.numel(), x.numel()))


def _numbers(values: Tensor) -> np.ndarray:
    if not _is_plain(values):
        raise RuntimeError(
            "sparse=True: a SciPy array holds numbers alone, and these are tracked by another transform or require grad. Take "
            "the dense Jacobian there, or detach what requires grad"
        )
    data = np.asarray(values._data)
    # SciPy's sparse arrays have no half precision
    return data.astype(np.float32) if data.dtype.itemsize < 4 or data.dtype.kind not in "fc" else data


def _is_plain(values: Tensor) -> bool:
    return values.__class__ is Tensor and values._node is None and isinstance(values._data, (np.ndarray, np.generic))


# -- checking ----------------------------------------------------------------------------------------------------------


def _probes(tensors: list) -> list | None:
    """Return random numbers for each tensor's elements, none near 0; None if there are none."""
    draw = np.random.default_rng(tensors[0].numel())
    return [draw.uniform(0.5, 1.5, t.numel()) for t in tensors] if any([t.numel() for t in tensors]) else None


def agrees(probes: list, columns: Any, rows: Any, blocks: list, values: list) -> bool:
    """Tell whether what the last direction gave is the product of the entries and the probes.

    A cotangent that is real gives, of a complex result, its real part's derivatives: of a complex input, the conjugates.
    """
    forward = columns is not None
    if not forward:
        blocks, values = list(zip(*blocks, strict=True)), list(zip(*values, strict=True))
    for k, stack in enumerate(columns if forward else rows):
        along = zip(blocks[k], values[k], strict=True)
        given = bottom(stack)[-1].reshape(-1)
        expected, scale = np.zeros(given.shape, np.complex128), np.zeros(given.shape)
        for (block, v), probe in zip(along, probes, strict=True):
            entries = bottom(v)
            kept, summed = (block.rows, block.columns) if forward else (block.columns, block.rows)
            entries = entries.conj() if not forward and given.dtype.kind == "c" else entries
            terms = entries * probe[summed]
            for part, unit in ((terms.real, 1), (terms.imag, 1j)):
                expected += unit * np.bincount(kept, part, given.size)
            scale += np.bincount(kept, abs(terms), given.size)
        error = abs(given - (expected if given.dtype.kind == "c" else expected.real))
        tolerance = 0.1 if given.dtype.itemsize < 4 or given.dtype.kind not in "fc" else np.finfo(given.dtype).eps ** 0.5
        with np.errstate(invalid="ignore"):
            if (error > tolerance * scale).any():
                return False
    return True


# -- choosing ----------------------------------------------------------------------------------------------------------


def compression_of(
    pattern: Pattern,
    f: Function,
    mode: str | None,
    prefer: str | None,
    symmetric: bool,
    thorough: bool = False,
    detection: float | None = None,
) -> Compression:
    """Return the cheapest way to take a derivative of this pattern, by what a sweep of either kind takes, measured."""
    forward, reverse, outs, obstacle = _measured(f, mode, prefer)
    if outs is not None:
        check_height(pattern, outs)
    alike = {t.dtype for t in [*(outs or ()), *f.flat]}
    square = symmetric and pattern.shape[0] == pattern.shape[1] and len(alike) == 1 and not f.flat[0].is_complex()
    start = perf_counter()
    if square:
        pattern = pattern.mirrored()
        tried = [star(pattern), by_columns(pattern)]
        deep = acyclic(pattern) if thorough and outs and len(outs) == 1 and tried[0].colours > 2 else None
        tried += [deep] if deep is not None else []
        if forward == np.inf:
            tried = [turned(c) for c in tried if not c.rounds]
    elif reverse == np.inf:
        tried = [by_columns(pattern)]
    elif forward == np.inf:
        tried = [by_rows(pattern)]
    else:
        tried = candidates(pattern, reverse, forward)
        if is_traced():  # two runs of one function restore the random numbers' state, which no graph holds
            tried = tried[:2]
    costs = [_product(c.forward, forward) + _product(c.reverse, reverse) + len(c.rounds) * STEP for c in tried]
    best = int(np.argmin(costs))
    names = [f"{c.kind}: {c.colours} colours, {1e3 * cost:.3g} ms" for c, cost in zip(tried, costs, strict=True)]
    rejected = tuple(name for i, name in enumerate(names) if i != best) + ((obstacle,) if obstacle else ())
    chosen = tried[best]
    told = SparsePlan(
        chosen.kind, pattern.size, chosen.forward, chosen.reverse, detection, perf_counter() - start,
        None if forward == np.inf else forward, None if reverse == np.inf else reverse, rejected,
    )  # fmt: skip
    return Compression(pattern, chosen, told)


STEP = 1e-4  # seconds of a round of substitution


def _product(sweeps: int, cost: float) -> float:
    return sweeps * cost if sweeps else 0.0


def _measured(f: Function, mode: str | None, prefer: str | None) -> tuple[float, float, list | None, str]:
    """Return what a forward and a reverse sweep take in seconds, infinity where there is none, results, and what is in the way.

    A mode that was asked for, or is preferred and can be, is the only one that is looked at.
    """
    if is_traced():  # these runs would stand in the graph
        return np.inf if mode == "reverse" else 1.0, np.inf if mode == "forward" else 1.0, None, ""
    state = default_generator.get_state()
    forward = reverse = np.inf
    outs: list = []
    obstacle = ""
    if mode != "reverse":
        try:
            for _ in range(2):  # the first run may load what others find loaded
                start = perf_counter()
                outs = pushed(f.call, f.spec, f.flat, _one_sum(f.flat), 2, f.randomness, f.has_aux).outs
                forward = min(forward, perf_counter() - start)
        except NotImplementedError as error:  # of a custom Function without jvp
            if mode is not None:
                raise
            obstacle = f"forward mode cannot: {error}"
    if mode == "reverse" or (mode is None and (prefer != "forward" or obstacle)):
        default_generator.set_state(state)
        for _ in range(2):
            start = perf_counter()
            run = f.record()
            pulled(run, _one_sum(run.outs), 2)
            outs, reverse = run.outs, min(reverse, perf_counter() - start)
    default_generator.set_state(state)
    return forward, reverse, outs, obstacle


def _one_sum(tensors: list) -> Sums:
    size = sum(t.numel() for t in tensors)
    return Sums(tensors, np.zeros(size, np.int64), min(size, 1))

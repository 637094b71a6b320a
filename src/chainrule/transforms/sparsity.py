"""Sparsity: which elements of a function's results can depend on which of its inputs, found by tracing it once.

Each value of the traced graph carries, for each element, the set of input elements that it can depend on; an equation's are
unions of its operands', as the links of its op say (``core.op.reach``). No derivative is computed, and none that is not 0 lies
outside of the pattern. Sets are rows of a table that elements share, so that a sum over n elements, or a value of which every
element depends on all inputs, takes n numbers and not n².

What the function read as a Python value (a branch, an index, a shape) is noted: the pattern holds where these `guards` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.op.reach import SAME, Call, Link, Windows, links_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types.tree import tree_flatten
from chainrule.transforms.blame import TraceError
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.trace import CallEquation, Readable, Tracer, graph_of, running

MOST = 1 << 23
"""Entries of one value's table, past which all its elements are given one set, that of them together."""


class Sets:
    """For each element of a value, the inputs' elements that it can depend on.

    Attributes
    ----------
    starts, columns : array of int
        The rows of the table: row k is ``columns[starts[k]:starts[k + 1]]``, without doubles, in no order.
    which : array of int, or None
        The row of each element, flat; -1 for one that depends on nothing. None: element k has row k.
    """

    __slots__ = ("columns", "starts", "which")

    def __init__(self, starts: np.ndarray, columns: np.ndarray, which: np.ndarray | None = None):
        self.starts, self.columns, self.which = starts, columns, which

    def rows(self) -> np.ndarray:
        """Return the row of each element."""
        return np.arange(len(self.starts) - 1) if self.which is None else self.which

    def counts(self) -> np.ndarray:
        """Return how many inputs' elements each element depends on."""
        lengths = np.append(np.diff(self.starts), 0)
        return lengths[self.rows()]

    def taken(self, places: np.ndarray) -> Sets:
        """Return the sets of the elements at these places; -1 is none."""
        rows = places if self.which is None else np.append(self.which, -1)[places]
        return Sets(self.starts, self.columns, rows)

    def through(self, link: Link, columns: int) -> Sets:
        """Return the sets of a result's elements, which depend on these by a link."""
        found = self
        if link.ins is not None:
            found = self._united(link.ins, self.rows(), columns)
        for step in link.windows:
            found = _sized(found, prod(step.shape))._windowed(step, columns)
        return found if link.outs is None else found.taken(_within(link.outs, found))

    def _windowed(self, windows: Windows, columns: int) -> Sets:
        """Return the sets of results that read windows of these; where they would be too large, one for each line.

        A window is two halves, which may overlap, of a power of 2 elements: each power's unions are made of those before.
        """
        before, _, behind = windows.shape
        sizes = windows.stops - windows.starts
        powers = np.frexp(sizes)[1] - 1  # -1 where nothing is read
        places = windows.places()
        found, length, parts = self.taken(places.ravel()), places.shape[1], []
        for power in range(int(powers.max(initial=-1)) + 1):
            if max(int(sizes.sum()) * before * behind, 2 * int(found.counts().sum())) > MOST:
                return self._in_lines(windows, columns)
            if power:
                half = 1 << power - 1
                found = _at_two(found, (before, length, behind), slice(None, -half), slice(half, None), columns)
                length -= half
            own = np.flatnonzero(powers == power)
            if own.size:
                ends = windows.starts[own], windows.stops[own] - (1 << power)
                parts.append((own, _at_two(found, (before, length, behind), *ends, columns)))
        which = np.full((before, len(sizes), behind), -1)
        starts, tables, height, size = [np.zeros(1, np.int64)], [self.columns[:0]], 0, 0
        for own, part in parts:
            rows = part.rows().reshape(before, len(own), behind)
            which[:, own] = np.where(rows < 0, -1, rows + height)
            starts.append(part.starts[1:] + size)
            tables.append(part.columns)
            height, size = height + len(part.starts) - 1, size + len(part.columns)
        return Sets(np.concatenate(starts), np.concatenate(tables), which.ravel())

    def _in_lines(self, windows: Windows, columns: int) -> Sets:
        """Return the sets of results along an axis that read all elements of their line."""
        before, _, behind = windows.shape
        lines = np.arange(before * behind).reshape(before, 1, behind)
        found = self._united(np.broadcast_to(lines, windows.shape).ravel(), self.rows(), columns)
        shown = np.broadcast_to(lines, (before, len(windows.starts), behind)).ravel()
        return found.taken(_within(shown, found))

    def _united(self, labels: np.ndarray, rows: np.ndarray, columns: int) -> Sets:
        """Return for each label the union of the rows that go with it."""
        used = (labels >= 0) & (rows >= 0)
        if not used.all():
            labels, rows = labels[used], rows[used]
        return united(self.starts, self.columns, labels, rows, 1 + int(labels.max(initial=-1)), columns)


def _within(places: np.ndarray, sets: Sets) -> np.ndarray:
    """Return places with -1 for those past the last element, of which nothing is known to depend on anything."""
    size = len(sets.starts) - 1 if sets.which is None else len(sets.which)
    return np.where(places < size, places, -1)


def united(starts: np.ndarray, table: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int, columns: int) -> Sets:
    """Return `count` sets, the unions of the rows that go with each label: a product of boolean matrices."""
    lengths = starts[rows + 1] - starts[rows]
    total = int(lengths.sum())
    if count <= 1 or total > MOST:
        given = (
            [table[starts[r] : starts[r + 1]] for r in np.unique(rows)] if len(rows) <= 16 else [table[_spans(starts, rows)]]
        )
        row = _distinct(np.concatenate(given) if given else table[:0], columns)
        return Sets(np.array([0, len(row)]), row, None if count == 1 else np.zeros(count, np.int64))
    from scipy.sparse import csr_array

    if (labels[1:] < labels[:-1]).any():
        rows = rows[np.argsort(labels, kind="stable")]
    heads = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(labels, minlength=count), out=heads[1:])
    left = csr_array((np.ones(len(rows), bool), rows, heads), (count, len(starts) - 1))
    product = left @ csr_array((np.ones(len(table), bool), table, starts), (len(starts) - 1, columns))
    return Sets(product.indptr, product.indices)


def _spans(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the places of the entries of some rows, one row after another."""
    lengths = starts[rows + 1] - starts[rows]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts[rows] - (ends - lengths), lengths)


def _distinct(columns: np.ndarray, count: int) -> np.ndarray:
    if len(columns) * 4 < count:
        return np.unique(columns)
    marked = np.zeros(count, bool)
    marked[columns] = True
    return np.flatnonzero(marked)


def _at_two(sets: Sets, shape: tuple[int, int, int], first: Any, last: Any, columns: int) -> Sets:
    """Return the unions of the sets at two places, many times, along the middle one of three axes."""
    numbers = np.arange(prod(shape)).reshape(shape)
    return merged([sets.taken(numbers[:, at].ravel()) for at in (first, last)], columns)


def merged(parts: Sequence[Sets], columns: int) -> Sets:
    """Return the union, element by element, of the sets of a result that come from several operands."""
    found = parts[0]
    for part in parts[1:]:
        if part.starts is not found.starts or not _alike(part.which, found.which):
            found = _pair(found, part, columns)
    return found


def _alike(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _pair(a: Sets, b: Sets, columns: int) -> Sets:
    left, right = a.rows(), b.rows()
    which = None
    if a.which is not None or b.which is not None:  # elements of the same two rows share a row of the result, too
        base = len(b.starts)
        both, which = np.unique((left + 1) * base + right + 1, return_inverse=True)
        if both[0] == 0:  # neither
            which = which - 1
            both = both[1:]
        left, right = both // base - 1, both % base - 1
    count, shift = len(left), len(a.starts) - 1
    labels, rows = np.repeat(np.arange(count), 2), np.stack([left, np.where(right < 0, -1, right + shift)], 1).ravel()
    starts, table = np.concatenate([a.starts, b.starts[1:] + a.starts[-1]]), np.concatenate([a.columns, b.columns])
    found = Sets(starts, table)._united(labels, rows, columns)
    return found if which is None else found.taken(which)


# -- what is read ------------------------------------------------------------------------------------------------------


class Notes:
    """What a trace saw: the values of integers and truths, by variable, and the variables that the function read.

    Attributes
    ----------
    values : dict
    read : dict
        The value of each, in the order in which they were read.
    tracer : Tracer
        Has all equations, those too that only lead to what was read.
    """

    __slots__ = ("read", "tracer", "values")

    def __init__(self) -> None:
        self.tracer: Any = None
        self.values: dict[Variable, np.ndarray] = {}
        self.read: dict[Variable, np.ndarray] = {}


class _Noted(Readable):
    """A traced value that tells its tracer's notes when it is read."""

    __slots__ = ()

    def _read(self, use: str) -> TraceError | None:
        if use == "out":
            return TraceError("{}(): out= cannot be given inside a function whose sparsity is looked for")
        if use != "check":
            _note(self)
        return None


def _note(t: Any) -> None:
    tracer: Any = running(t._level)
    tracer.notes.read[t._tangent] = np.array(innermost(t._data))


class _NotingTracer(Tracer):
    """A tracer that keeps notes."""

    def __init__(self, notes: Notes, level: int, branches: bool, absent: bool = False, watch: Any = None):
        super().__init__(level, branches, absent, watch)
        self.notes, self.kind = notes, _Noted
        notes.tracer = self

    def traced(self, payload: Any, variable: Variable) -> Any:
        """Return the traced value of a payload; note the values of what may be an index or a mask."""
        if variable.dtype.numpy.kind in "biu":
            value = _value_of(payload)
            if value is not None:
                self.notes.values[variable] = value
        return super().traced(payload, variable)


def _value_of(payload: Any) -> np.ndarray | None:
    """Return the array at the bottom of a payload; None where it is not one array's."""
    try:
        return np.asarray(innermost(payload)) if isinstance(payload, Tensor) else np.asarray(payload)
    except RuntimeError:
        return None


class Guards:
    """Values that a pattern was found with, and the graph that computes them again.

    Attributes
    ----------
    expected : list of array
    """

    __slots__ = ("_graph", "expected")

    def __init__(self, graph: Graph, noted: dict[Variable, np.ndarray]):
        self.expected = list(noted.values())
        needed: set[Variable] = set(noted)
        kept: list[Equation] = []
        for equation in reversed(graph.equations):
            if not needed.isdisjoint(equation.results):
                kept.append(equation)
                needed.update([o for o in equation.operands if o.__class__ is Variable])
        self._graph: Graph | None = None
        if all([equation.op.pure for equation in kept]):
            constants = dict(zip(graph.constants, graph.values, strict=True))
            self._graph = Graph(graph.inputs, constants, kept[::-1], list(noted))

    def hold(self, inputs: Sequence[Any]) -> bool:
        """Tell whether the values are the same for other inputs, arrays or tensors; False if they were drawn at random."""
        if not self.expected:
            return True
        values = [_value_of(x) for x in inputs]
        if self._graph is None or any([v is None for v in values]):
            return False
        try:
            with no_grad():
                found = self._graph.run([wrap(v) for v in values], self._graph.values, {})
            return all([_same(innermost(a), b) for a, b in zip(found, self.expected, strict=True)])
        except (RuntimeError, IndexError, ValueError):  # other values have another shape, or are none to read
            return False


def _same(a: Any, b: np.ndarray) -> bool:
    return np.shape(a) == b.shape and bool(np.array_equal(a, b, equal_nan=b.dtype.kind in "fc"))


# -- patterns ----------------------------------------------------------------------------------------------------------


class Sparsity:
    """The sparsity pattern of a function's Jacobian.

    Rows are the elements of all result tensors, columns those of all input tensors, in the order of the flattened pytrees, each
    flat in C order. A complex element is one row or column.

    Attributes
    ----------
    sizes_out, sizes_in : list of int
        How many elements each result and each input has.
    guards : Guards
    """

    def __init__(self, results: Sequence[Sets], sizes_in: Sequence[int], guards: Guards):
        self._results, self.guards = results, guards
        self._counts = [sets.counts() for sets in results]
        self.sizes_in, self.sizes_out = list(sizes_in), [len(c) for c in self._counts]

    @property
    def shape(self) -> tuple[int, int]:
        """How many elements the results have, and the inputs."""
        return sum(self.sizes_out), sum(self.sizes_in)

    @cached_property
    def nnz(self) -> int:
        """How many entries the pattern has."""
        return sum([int(c.sum()) for c in self._counts])

    @cached_property
    def indptr(self) -> np.ndarray:
        """Where each row starts in `indices`."""
        return np.concatenate([[0], np.cumsum(np.concatenate([*self._counts, np.zeros(0, np.int64)]))]).astype(np.int64)

    @cached_property
    def indices(self) -> np.ndarray:
        """The columns of the entries, row by row, in order."""
        from scipy.sparse import csr_array

        found = [np.zeros(0, np.int64)]
        for sets in self._results:
            rows = sets.rows()
            found.append(sets.columns[_spans(sets.starts, rows[rows >= 0])])
        matrix = csr_array((np.ones(self.nnz, bool), np.concatenate(found), self.indptr), self.shape)
        matrix.sort_indices()
        return matrix.indices.astype(np.int64)

    def tosparse(self) -> Any:
        """Return the pattern as a SciPy sparse array of bool, in CSR form."""
        from scipy.sparse import csr_array

        return csr_array((np.ones(self.nnz, bool), self.indices, self.indptr), self.shape)

    def symmetric(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (indptr, indices) of the pattern and its transpose together, as a Hessian has it."""
        pattern = self.tosparse()
        both = (pattern + pattern.T).tocsr()
        both.sort_indices()
        return both.indptr.astype(np.int64), both.indices.astype(np.int64)

    def holds(self, *args: Any) -> bool:
        """Tell whether what the function read is the same for other arguments of the same structure, shapes and dtypes."""
        return self.guards.hold(_tensors(args))

    def __repr__(self) -> str:
        return f"Sparsity(shape={self.shape}, nnz={self.nnz})"


def _tensors(args: Any) -> list:
    return [leaf for leaf in tree_flatten(args)[0] if isinstance(leaf, (Tensor, np.ndarray))]


def sparsity_of(f: Callable, args: tuple) -> Sparsity:
    """Return the pattern of the Jacobian of `f`, all its results in all its arguments, at these arguments.

    Parameters
    ----------
    f : callable
        Runs once, traced; it may branch on values.
    args : tuple of pytree

    Raises
    ------
    TraceError
        A RuntimeError, if `f` cannot be traced: it calls ``backward()``, hands a value to NumPy, writes to outer tensors.
    """
    notes = Notes()
    graph = graph_of(f, args, branches=True, tracer_of=partial(_NotingTracer, notes))
    recorded = notes.tracer
    whole = Graph(graph.inputs, recorded.constants, recorded.equations, [*graph.outputs, *notes.read])
    return _Propagation(whole, notes, graph.outputs).pattern()


class _Propagation:
    """The sets of one graph's variables, equation by equation."""

    def __init__(self, graph: Graph, notes: Notes, outputs: Sequence[Any]):
        self.graph, self.notes, self.outputs = graph, notes, outputs
        self.sizes = [prod(v.shape) for v in graph.inputs]
        self.columns = sum(self.sizes)
        self.constants = dict(zip(graph.constants, graph.values, strict=True))
        self.guarded = dict(notes.read)
        self.moving: set[Variable] = set(graph.inputs)
        self.sets: dict[Variable, Sets] = {}
        for variable, start, size in zip(graph.inputs, [0, *accumulate(self.sizes)], self.sizes, strict=False):
            if variable.dtype.numpy.kind in "fcV":
                self.sets[variable] = Sets(np.arange(size + 1), np.arange(start, start + size))

    def pattern(self) -> Sparsity:
        """Return the results' sets."""
        for equation in self.graph.equations:
            operands = [o for o in equation.operands if o.__class__ is Variable]
            if self.moving.isdisjoint(operands):
                continue
            self.moving.update(equation.results)
            if any([o in self.sets for o in operands]):
                self._step(equation)
        results = [self.sets.get(o) or _nothing(prod(o.shape)) for o in self.outputs if o.__class__ is Variable]
        known = {v: value for v, value in self.guarded.items() if v in self._computed()}
        return Sparsity(results, self.sizes, Guards(self.graph, known))

    def _computed(self) -> set[Variable]:
        graph = self.graph
        return {*graph.inputs, *graph.constants, *[r for equation in graph.equations for r in equation.results]}

    def _step(self, equation: Equation) -> None:
        """Give the results of an equation their sets."""
        if equation.__class__ is CallEquation:
            self._step_of_call(equation)
            return
        call = Call(equation.op, equation.operands, equation.params, equation.results, partial(self._read, equation.operands))
        for result, links in zip(equation.results, links_of(call), strict=True):
            parts = [
                self.sets[o] if link is SAME else self.sets[o].through(link, self.columns)
                for o, link in zip(equation.operands, links, strict=True)
                if link is not None and o in self.sets
            ]
            if parts:
                self.sets[result] = merged([_sized(part, prod(result.shape)) for part in parts], self.columns)

    def _step_of_call(self, equation: Equation) -> None:
        """Give the results of a custom function sets: all that its operands depend on."""
        zero = np.zeros(1, np.int64)
        parts = [
            self.sets[o].through(Link(np.zeros(prod(o.shape), np.int64), zero), self.columns)
            for o in equation.operands
            if o.__class__ is Variable and o in self.sets
        ]
        whole = merged(parts, self.columns)
        for result in equation.results:
            if result.dtype.numpy.kind in "fcV":
                self.sets[result] = whole.taken(np.zeros(prod(result.shape), np.int64))

    def _read(self, operands: tuple, i: int, needed: bool) -> np.ndarray | None:
        """Return the values of an operand, and guard them; not of what depends on inputs if they are not needed."""
        variable = operands[i]
        if variable.__class__ is not Variable:
            return np.asarray(variable)
        if not needed and variable in self.moving:
            return None
        value = self.notes.values.get(variable)
        if value is None and variable in self.constants:
            value = _value_of(self.constants[variable])
        if value is not None:
            self.guarded.setdefault(variable, np.array(value))
        return value


def _sized(sets: Sets, size: int) -> Sets:
    """Return sets with one for each of `size` elements: the last, to which nothing is linked, are empty."""
    have = len(sets.starts) - 1 if sets.which is None else len(sets.which)
    if have == size:
        return sets
    return Sets(sets.starts, sets.columns, np.append(sets.rows(), np.full(size - have, -1)))


def _nothing(size: int) -> Sets:
    return Sets(np.zeros(1, np.int64), np.zeros(0, np.int64), np.full(size, -1))

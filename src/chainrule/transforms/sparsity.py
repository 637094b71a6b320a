"""Sparsity: which elements of a function's results can depend on which of its inputs, found by tracing it once.

Each value of the traced graph carries, for each element, the set of input elements that it can depend on; an equation's are
unions of its operands', as the links of its op say (``core.op.reach``). No derivative is computed, and none that is not 0 lies
outside of the pattern.

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
from chainrule.core.op.links import SAME, Link
from chainrule.core.op.reach import Call, arranged, arrangement, by_broadcasting, by_product, links_of
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types.tree import tree_flatten
from chainrule.transforms.blame import TraceError
from chainrule.transforms.equations import Equation, Graph, Variable
from chainrule.transforms.index_sets import Sets, joined, merged, nothing, sized, spans
from chainrule.transforms.trace import CallEquation, Readable, Tracer, graph_of, running

READ = 1 << 22
"""Elements of a constant past which nobody looks where it is 0."""

# -- what is read ------------------------------------------------------------------------------------------------------


class Notes:
    """What a trace saw: the values of integers and truths, by variable, and the variables that the function read.

    Attributes
    ----------
    values : dict
    zeros : dict, optional
        Where constants are 0 when they are first used; None where they are nowhere, or too large to look at. None in its own
        place if nobody looks.
    read : dict
        The value of each, in the order in which they were read.
    closed : bool
        Whether constants that the function makes are the same at each call: it has no other arguments.
    tracer : Tracer
        Has all equations, those too that only lead to what was read.
    """

    __slots__ = ("closed", "read", "tracer", "values", "zeros")

    def __init__(self, zeros: bool, closed: bool) -> None:
        self.tracer: Any = None
        self.closed = closed
        self.values: dict[Variable, np.ndarray] = {}
        self.read: dict[Variable, np.ndarray] = {}
        self.zeros: dict[Variable, np.ndarray | None] | None = {} if zeros else None


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

    def constant(self, value: Any) -> Variable:
        """Return the variable of a value from outside; note where it is 0."""
        variable = super().constant(value)
        if self.notes.zeros is not None and variable not in self.notes.zeros:
            is_same = self.notes.closed or (isinstance(value, Tensor) and not self.is_inside(value))
            self.notes.zeros[variable] = _zeros_of(self.constants[variable]) if is_same else None
        return variable

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


def _zeros_of(constant: Any) -> np.ndarray | None:
    """Return where a constant is 0 that is not differentiated; None if that is nowhere, or if it is too large to look."""
    if constant.requires_grad or constant.numel() > READ or constant.dtype.numpy.kind not in "fcV":
        return None
    value = _value_of(constant)
    where = None if value is None else value == 0
    return where if where is not None and where.any() else None


class Guards:
    """Values that a pattern was found with, and the graph that computes them again; and where constants were 0.

    Attributes
    ----------
    expected : list of array
    zeros : list of (Tensor, array)
        The constants, and where they were 0.
    """

    __slots__ = ("_graph", "expected", "zeros")

    def __init__(self, graph: Graph, noted: dict[Variable, np.ndarray], zeros: list[tuple[Any, np.ndarray]]):
        self.expected, self.zeros = list(noted.values()), zeros
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
        if not all([np.array_equal(_value_of(constant) == 0, zeros) for constant, zeros in self.zeros]):
            return False
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

    def tosparse(self) -> Any:
        """Return the pattern as a SciPy sparse array of bool, in CSR form, the columns of a row in order."""
        from scipy.sparse import csr_array

        columns = [np.zeros(0, np.int64)]
        for sets in self._results:
            rows = sets.rows()
            columns.append(sets.columns[spans(sets.starts, rows[rows >= 0])])
        starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._counts]))
        found = csr_array((np.ones(self.nnz, bool), np.concatenate(columns), starts), self.shape)
        found.sort_indices()
        return found

    def holds(self, *args: Any) -> bool:
        """Tell whether what the function read is the same for other arguments of the same structure, shapes and dtypes."""
        return self.guards.hold(_tensors(args))

    def __repr__(self) -> str:
        return f"Sparsity(shape={self.shape}, nnz={self.nnz})"


def _tensors(args: Any) -> list:
    return [leaf for leaf in tree_flatten(args)[0] if isinstance(leaf, (Tensor, np.ndarray))]


def sparsity_of(f: Callable, args: tuple, zeros: bool = True, closed: bool = True) -> Sparsity:
    """Return the pattern of the Jacobian of `f`, all its results in all its arguments, at these arguments.

    Parameters
    ----------
    f : callable
        Runs once, traced; it may branch on values.
    args : tuple of pytree
    zeros : bool
        Leave out what constants multiply by 0. Not where the Jacobian is to be differentiated with respect to them.
    closed : bool
        Whether `f` makes the same constants each time, so that their zeros count, too: not where it has further arguments,
        which other calls may give other values.

    Raises
    ------
    TraceError
        A RuntimeError, if `f` cannot be traced: it calls ``backward()``, hands a value to NumPy, writes to outer tensors.
    """
    notes = Notes(zeros, closed)
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
        self.zeros: dict[Variable, np.ndarray | None] = {}
        self.views: dict[Variable, Equation] = {}
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
                if equation.op.view and len(operands) == len(equation.results) == 1:
                    self.views[equation.results[0]] = equation
                continue
            self.moving.update(equation.results)
            if not self.sets.keys().isdisjoint(operands):
                self._step(equation)
        results = [self.sets.get(o) or nothing(prod(o.shape)) for o in self.outputs if o.__class__ is Variable]
        known = {v: value for v, value in self.guarded.items() if v in self._computed()}
        zeros = [(self.constants[v], where) for v, where in self.zeros.items() if where is not None]
        return Sparsity(results, self.sizes, Guards(self.graph, known, zeros))

    def _computed(self) -> set[Variable]:
        graph = self.graph
        return {*graph.inputs, *graph.constants, *[r for equation in graph.equations for r in equation.results]}

    def _step(self, equation: Equation) -> None:
        """Give the results of an equation their sets."""
        if equation.__class__ is CallEquation:
            self._step_of_call(equation)
            return
        op, operands = equation.op, equation.operands
        result = equation.results[0]
        is_plain = op.reach is by_broadcasting or (op.reach is by_product and self.moving.issuperset(operands))
        if is_plain and all([o.__class__ is Variable and o.shape == result.shape for o in operands]):
            parts = [self.sets[o] for i, o in enumerate(operands) if o in self.sets and op.rules[i] is not None]
            self._meet(result, parts)  # as below, in a third of the time: programs of scalars have many of these
            return
        call = Call(
            op, operands, equation.params, equation.results, partial(self._read, operands), partial(self._where_zero, operands)
        )
        if op.reach is arranged:
            parts = [self.sets.get(o) or nothing(prod(shape)) for o, shape in zip(operands, call.shapes, strict=True)]
            self.sets[result] = joined(parts).taken(arrangement(call))
            return
        for result, links in zip(equation.results, links_of(call), strict=True):
            found = zip(operands, links, strict=True)
            self._meet(result, [self._through(o, link) for o, link in found if link is not None and o in self.sets])

    def _through(self, operand: Variable, link: Link) -> Sets:
        """Return the sets of a result's elements that come from one operand."""
        return self.sets[operand] if link is SAME else self.sets[operand].through(link, self.columns)

    def _meet(self, result: Variable, parts: list[Sets]) -> None:
        """Give a result the sets that come from its operands."""
        if parts and result.dtype.numpy.kind in "fcV":
            self.sets[result] = merged([sized(part, prod(result.shape)) for part in parts], self.columns)

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

    def _where_zero(self, operands: tuple, i: int) -> np.ndarray | None:
        """Return where an operand is 0 that comes from outside of the function, and guard that; None if it is nowhere."""
        variable = operands[i]
        if variable.__class__ is not Variable:
            return None
        if variable in self.views:
            view = self.views[variable]
            where = self._where_zero(view.operands, 0)
            return None if where is None else view.op.backend.kernel(where, **view.params)
        if variable in self.constants and variable not in self.zeros:
            noted = self.notes.zeros.get(variable) if self.notes.zeros else None
            is_kept = noted is not None and np.array_equal(noted, _value_of(self.constants[variable]) == 0)
            self.zeros[variable] = noted if is_kept else None
        return self.zeros.get(variable)

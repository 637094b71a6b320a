"""Compressed derivatives: a sparse Jacobian's pattern and its colours, and the sweeps that give its entries.

A :class:`Compression` takes the derivative of any function that has the pattern. :meth:`Compression.take` is a function of
tensors alone, of ops and of constants that were made once for inputs of such shapes, so that what comes out can be
differentiated again, and all of it compiled; what becomes of the entries, dense or sparse, comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.core.generator import Draws
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import TreeSpec
from chainrule.func.basis import bottom
from chainrule.func.colouring import Colouring
from chainrule.func.jacobian_plan import SparsePlan, chunk_for, counted, real_size
from chainrule.func.pattern import Pattern
from chainrule.func.probing import agrees, is_disturbed, probes_for, weights_for
from chainrule.func.pullbacks import Record
from chainrule.func.recovery import blocks_of, entries_of
from chainrule.func.seeds import Seeds
from chainrule.func.sweeps import Function, pulled, pushed

KEPT = 8  # layouts that a compression keeps, and results of each
_LINES = {"columns": "columns", "rows": "rows", "bidirectional": "columns and rows", "star": "lines", "acyclic": "lines"}


class Layout:
    """What a compression needs for inputs of some shapes and dtypes, made once.

    Attributes
    ----------
    columns : Seeds or None
        For what is carried forward.
    chunk : int
        How many directions a forward sweep carries; 0 if that is not known yet.
    probes : list of ndarray or None
        A random direction of the inputs, carried beside the seeds.
    check : bool
        Whether one is.
    known : dict
        What is needed for results of some shapes and dtypes, by these.
    """

    __slots__ = ("check", "chunk", "columns", "known", "probes")

    def __init__(self, colours: Colouring, flat: list, check: bool):
        self.check, self.chunk = check, 0
        self.known: dict[Any, Results] = {}
        self.columns: Seeds | None = None
        self.probes: list | None = None
        if colours.forward or not colours.reverse:
            self.probes = probes_for(flat) if check else None
            self.columns = Seeds(flat, colours.columns, colours.forward, self.probes)


class Results:
    """What a compression needs for results of some shapes and dtypes beside: made once, and never changed.

    Attributes
    ----------
    shapes : list of tuple
    outputs : int
        How many real numbers they are.
    rows : Seeds or None
        For what is pulled back.
    chunk : int
        How many directions a sweep carries: forward, or where there is none back.
    row_chunk : int
        How many a reverse sweep carries.
    forward : bool
    probes : list of ndarray or None
        The random direction that is carried: of the inputs where it goes `forward`, else of the results.
    blocks : list of list of Block
        By result, and by input.
    weights : list of Tensor or None
        For each stack of sums, where these alone tell what the random direction is to give.
    """

    __slots__ = ("blocks", "chunk", "forward", "outputs", "probes", "row_chunk", "rows", "shapes", "weights")

    def __init__(self, way: Compression, layout: Layout, outs: list, f: Function, run: Record | None):
        colours = way.colouring
        self.shapes = [tuple(t.shape) for t in outs]
        self.outputs = sum([real_size(t) for t in outs])
        self.forward, self.probes = layout.columns is not None, layout.probes
        self.rows, self.row_chunk = None, 0
        if colours.reverse:
            if not self.forward and layout.check:
                self.probes = probes_for(outs)
            self.rows = Seeds(outs, colours.rows, colours.reverse, None if self.forward else self.probes)
            self.row_chunk = chunk_for(self.rows.total, f.chunk_size, f.memory, run)
        self.chunk = layout.chunk or self.row_chunk
        self.blocks = blocks_of(way.pattern, colours, outs, f.flat)
        found = None if self.probes is None else weights_for(colours, self.blocks, self.probes, outs, f.flat)
        self.weights: list[Tensor] | None = found

    @property
    def is_quick(self) -> bool:
        """Whether :meth:`agrees` needs no matrices."""
        return self.probes is None or self.weights is not None

    def probed(self, stacks: list[Tensor]) -> list[Tensor]:
        """Return what the random direction gave, the last of each stack, or with weights what follows from it."""
        if self.probes is None:
            return []
        if self.weights is None:
            return [TABLE["getitem"].call(stack, index=(-1,)) for stack in stacks]
        return [is_disturbed(stack, weights) for stack, weights in zip(stacks, self.weights, strict=True)]

    def agrees(self, probed: list[Tensor], matrices: list[list]) -> bool:
        """Tell whether a pattern holds, as far as the random direction tells; the matrices are the blocks."""
        if self.probes is None:
            return True
        if self.weights is not None:
            return not any([bool(bottom(disturbed)) for disturbed in probed])
        return agrees(self.probes, probed, self.forward, matrices)


class Taken(NamedTuple):
    """What the sweeps gave: a pytree.

    Attributes
    ----------
    values : list of list of Tensor
        The entries of each block, by result and by input.
    probed : list of Tensor
        What :meth:`Results.probed` makes of the random direction, by result or where only rows are summed up by input.
    aux : object
    spec : TreeSpec
        The results' structure.
    results : Results
    """

    values: list[list[Tensor]]
    probed: list[Tensor]
    aux: Any
    spec: TreeSpec
    results: Results


class Compression:
    """A pattern, its colours, and why these.

    Attributes
    ----------
    pattern : Pattern
    colouring : Colouring
    told : SparsePlan
    """

    __slots__ = ("_layouts", "colouring", "pattern", "told")

    def __init__(self, pattern: Pattern, colouring: Colouring, told: SparsePlan):
        self.pattern, self.colouring, self.told = pattern, colouring, told
        self._layouts: dict[Any, Layout] = {}

    @property
    def mode(self) -> str:
        """Which mode takes it: forward, reverse or both."""
        colours = self.colouring
        return "both" if colours.forward and colours.reverse else "reverse" if colours.reverse else "forward"

    @property
    def reason(self) -> str:
        """Why this way."""
        colours = self.colouring
        entries = counted(self.pattern.size, "entry", "entries")
        return f"{entries} in {counted(colours.colours, 'sum')} of {_LINES[colours.kind]}, at the least cost"

    def layout(self, f: Function, check: bool) -> Layout:
        """Return what is needed for inputs of such shapes and dtypes; the last ones are kept."""
        key = (check, f.chunk_size, f.memory, *[(t.shape, t.dtype) for t in f.flat])
        return _kept(self._layouts, key, lambda: Layout(self.colouring, f.flat, check))

    def _results(self, layout: Layout, outs: list, f: Function, run: Record | None) -> Results | None:
        """Return what is needed for such results; None if a checked pattern is not theirs."""
        if layout.check and self.pattern.shape[0] != sum([t.numel() for t in outs]):
            return None
        check_height(self.pattern, outs)
        key = tuple([(t.shape, t.dtype) for t in outs])
        return _kept(layout.known, key, lambda: Results(self, layout, outs, f, run))

    def take(self, f: Function, check: bool = False) -> Taken | None:
        """Return the entries of the Jacobian, by ops alone.

        With `check`, one random direction more is carried; None if the results are of other sizes than the pattern's.
        """
        layout = self.layout(f, check)
        draws = Draws(modes().draws)
        run = self._recorded(f, layout, draws)
        columns: list = []
        rows: list = []
        results = None
        if layout.columns is not None:
            layout.chunk = layout.chunk or chunk_for(layout.columns.total, f.chunk_size, f.memory, run)
        if run is not None and self.colouring.reverse:
            outs, spec, aux = run.outs, run.out_spec, run.aux
            results = self._results(layout, outs, f, run)
            if results is None:
                return None
            rows = pulled(run, results.rows, results.row_chunk)  # type: ignore[arg-type]
        if layout.columns is not None:
            if draws.before:  # one function is differentiated: its random numbers stay the same
                _draw_again(draws)
            columns, outs, spec, aux = pushed(f, layout.columns, layout.chunk)
            results = self._results(layout, outs, f, run)
        if results is None:
            return None
        values = [
            [entries_of(block, self.colouring, columns, rows, out, x) for block, x in zip(of_out, f.flat, strict=True)]
            for of_out, out in zip(results.blocks, outs, strict=True)
        ]
        return Taken(values, results.probed(columns if results.forward else rows), aux, spec, results)

    def _recorded(self, f: Function, layout: Layout, draws: Draws) -> Record | None:
        """Return a recorded run, where rows are to be pulled back along it or it is to tell sizes; note what it draws."""
        if not self.colouring.reverse and (layout.chunk or f.memory is None or f.chunk_size is not None):
            return None
        before = modes()
        set_modes(before.having(draws=draws))
        try:
            return f.record()
        finally:
            set_modes(before)


def _kept(known: dict, key: Any, make: Callable[[], Any]) -> Any:
    """Return what is known by a key, or make it and forget the oldest."""
    found = known.get(key)
    if found is None:
        found = known[key] = make()
        if len(known) > KEPT:
            del known[next(iter(known))]
    return found


def _draw_again(draws: Draws) -> None:
    tracer = modes().tracer
    if tracer is not None:  # no graph holds that
        tracer.refuse_draw()
    draws.rewind()


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

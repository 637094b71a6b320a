"""Whole Jacobians: all rows, or all columns, each of one direction."""

from __future__ import annotations

from chainrule.func.basis import Directions, entry_of_columns, entry_of_rows
from chainrule.func.jacobian_plan import chunk_for
from chainrule.func.pullbacks import Record
from chainrule.func.sweeps import Function, pulled, pushed


def by_rows(run: Record, f: Function) -> tuple:
    """Return the entries by result and by input, results, structure, aux and chunk, from cotangents pulled back along a run."""
    directions = Directions(run.outs)
    chunk = chunk_for(directions.total, f.chunk_size, f.memory, run)
    rows = [directions.split(stacked) for stacked in pulled(run, directions, chunk)]
    entries = [[entry_of_rows(gs[i], out, x) for gs, x in zip(rows, f.flat, strict=True)] for i, out in enumerate(run.outs)]
    return entries, run.outs, run.out_spec, run.aux, chunk


def by_columns(f: Function, directions: Directions, run: Record | None) -> tuple:
    """Return the same, from tangents carried through the function; a run tells how many at once."""
    chunk = chunk_for(directions.total, f.chunk_size, f.memory, run)
    found = pushed(f, directions, chunk)
    columns = [directions.split(stacked) for stacked in found.stacked]
    entries = [
        [entry_of_columns(of[k], out, x) for k, x in enumerate(f.flat)] for of, out in zip(columns, found.outs, strict=True)
    ]
    return entries, found.outs, found.out_spec, found.aux, chunk

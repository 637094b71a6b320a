"""Sweeps: many directions carried through a function at once, forward, or pulled back along its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from chainrule.autograd.forward_ad import lowered, raised
from chainrule.core.generator import default_generator
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import TreeSpec, tree_map
from chainrule.func.basis import Stack
from chainrule.func.mapping import vmap
from chainrule.func.pullbacks import Record, check_outputs
from chainrule.func.pushforwards import Push, or_zeros
from chainrule.transforms.batch import Batched
from chainrule.transforms.forward import zeros_like


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


class Blocks(Protocol):
    """What sweeps carry: so many directions, and for each tensor its part in some of them, stacked."""

    @property
    def total(self) -> int:
        """How many directions there are."""

    def block(self, start: int, stop: int) -> list[Tensor | None]:
        """Return, for each tensor, its part in the directions from `start` to `stop`; None where it has none."""


class Pushed(NamedTuple):
    """What forward sweeps gave: for each result its tangents, stacked; the results, their structure, and aux."""

    stacked: list[Tensor]
    outs: list[Tensor]
    out_spec: TreeSpec
    aux: Any


def pulled(run: Record, directions: Blocks, chunk: int) -> list[Tensor]:
    """Return, for each input of a recorded run, what its results' cotangents give along directions, stacked."""
    total = directions.total
    if not total:
        return [wrap(zeros_like(x)[None][:0]) for x in run.leaves]
    stacks = [Stack(total) for _ in run.leaves]

    def pull(*gs: Tensor) -> list:
        given = iter(gs)
        return run.pull([None if g is None else lowered(next(given)) for g in block])

    for start in range(0, total, chunk):
        stop = min(start + chunk, total)
        block = directions.block(start, stop)
        for stack, g in zip(stacks, mapped(pull, [g for g in block if g is not None], "error"), strict=True):
            stack.add(start, stop, g)
    return [stack.rows() for stack in stacks]


def pushed(f: Function, directions: Blocks, chunk: int) -> Pushed:
    """Return, for each result of a function, its tangents along directions of the inputs, stacked."""
    call, spec, flat, has_aux, randomness = f.call, f.spec, f.flat, f.has_aux, f.randomness
    total = directions.total
    stacks: list[Stack] = []
    push, level = None, 0
    state = default_generator.get_state() if total > chunk and randomness == "same" else None

    def along(*tangents: Tensor) -> list:
        nonlocal push, level
        level, given = tangents[0]._level, iter(tangents)
        push = Push(call, spec, flat, [None if t is None else next(given) for t in block], has_aux)
        return or_zeros(push.values, push.dots)

    for start in range(0, total, chunk):
        if state is not None and start:
            default_generator.set_state(state)  # one function is differentiated: its random numbers stay the same
        stop = min(start + chunk, total)
        block = directions.block(start, stop)
        dots = mapped(along, [t for t in block if t is not None], randomness)
        stacks = stacks or [Stack(total) for _ in dots]
        for stack, dot in zip(stacks, dots, strict=True):
            stack.add(start, stop, dot)
    if push is None:  # no input has an element that moves
        push = Push(call, spec, flat, [None] * len(flat), has_aux)
    outs = [_example(v, level) for v in push.values]
    rows = [s.rows() for s in stacks] if total else [wrap(zeros_like(out)[None][:0]) for out in outs]
    return Pushed(rows, outs, push.out_spec, tree_map(lambda a: _example(a, level), push.aux))


def mapped(f: Callable, stacked: list, randomness: str) -> list:
    """Return what `f` gives for each direction of a block, stacked; one alone needs no batch."""
    if len(stacked[0]) > 1:
        return vmap(f, randomness=randomness)(*stacked)
    take, put = TABLE["getitem"].call, TABLE["reshape"].call
    return [put(t, shape=(1, *t.shape)) for t in f(*[take(t, index=(0,)) for t in stacked])]


def _example(value: Any, level: int) -> Any:
    """Return one of the examples of a value that differs between directions, as random ones may; others as they are."""
    if value.__class__ is Batched and value._level == level:
        return TABLE["getitem"].call(raised(value._data), index=(0,))
    return value

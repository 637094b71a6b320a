"""Fusion: a graph as `Steps`.

The equations are taken one after the other. Elementwise ops and reductions become tasks (`tasks`), which join groups that will
be loop nests (`grouping`); ops that move values become maps (`maps`), followed where values are read; matrix products become
BLAS steps, and all else a step that runs its kernel. At last each group becomes a nest (`building`), and temporaries get places
in one arena.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.graph.periods import trips_of
from chainrule.compiler.graph.rebuilding import uses
from chainrule.compiler.loops.arena import placed
from chainrule.compiler.loops.building import build
from chainrule.compiler.loops.expand import PRODUCTS, expanded, expansion_of
from chainrule.compiler.loops.grouping import Grouping
from chainrule.compiler.loops.maps import MANY, follows, parts_of
from chainrule.compiler.loops.nest import Load, Nest, walk
from chainrule.compiler.loops.products import matrices
from chainrule.compiler.loops.scalars import NATIVE, Given, Unsupported, expression_of
from chainrule.compiler.loops.steps import (
    Buffer,
    GemmStep,
    GuardStep,
    KernelStep,
    NestStep,
    Step,
    Steps,
    View,
    lie_alike,
    packed,
)
from chainrule.compiler.loops.tasks import REDUCE, Group, Task
from chainrule.compiler.loops.values import GATHERS, Values
from chainrule.core.op.declaration import ELEMENTWISE, TABLE
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.shape import broadcast_axes
from chainrule.transforms.equations import Equation, Graph, Variable

REDUCTIONS = {
    "sum": "sum", "sum_to": "sum", "prod": "prod", "amax": "max", "amin": "min", "max_of_all": "max", "min_of_all": "min",
    "any": "max", "all": "min",
}  # fmt: skip
_OF_BOOL = dtypes.of(np.dtype(bool))


def steps_of(
    graph: Graph, strides: dict[Variable, Sequence[int]] | None = None, wishes: dict[Variable, Sequence[int]] | None = None
) -> Steps:
    """Return a graph as steps.

    Parameters
    ----------
    graph : Graph
        Of ops, and of guards, whose ``op.kind`` is "guard".
    strides : dict of Variable to strides, optional
        In elements, of inputs that do not lie in C order.
    wishes : dict of Variable to strides, optional
        In elements, without gaps, of results that are to lie so; the others lie as it comes.
    """
    return Fusion(graph, strides or {}, wishes).steps()


class Fusion:
    """A graph on its way to steps.

    Attributes
    ----------
    values : Values
    groups : Grouping
    opaque : dict of str to int
        How often each op runs its kernel.
    """

    def __init__(self, graph: Graph, strides: dict, wishes: dict | None = None):
        self.graph, self.values, self._wishes = graph, Values(), wishes or {}
        self.groups = Grouping(self.values)
        self.opaque: dict[str, int] = {}
        self._uses = uses(graph.equations, graph.outputs)
        alone = {v for v, n in self._uses.items() if n == 1}
        self._readers = {o: e for e in graph.equations for o in e.operands if o in alone}
        self._guards = 0
        self._checks: dict[Any, View] = {}
        self.inputs = []
        for v in graph.inputs:
            self.inputs.append(Buffer(v.dtype.numpy, v.shape, "input", strides.get(v)))
            self.values.views[v] = self.inputs[-1].view()
        for v, value in zip(graph.constants, graph.values, strict=True):
            self.values.add_constant(v, value)

    # -- equations -------------------------------------------------------------------------------------------------------

    def process(self, equations: Sequence[Equation]) -> None:
        """Take in equations, those that stand for others in their place."""
        stack = list(reversed(equations))
        while stack:
            e = stack.pop()
            if getattr(e.op, "kind", None) == "guard":
                self._guard(e)
                continue
            if not self._is_native(e):
                self._opaque(e)
                continue
            if e.op.name == "to":
                self.groups.point(e.results[0], (e.operands[0],), ([], Given(0, None), e.results[0].dtype.numpy, 1))
            elif follows(e):
                self._map(e)
            elif e.op.name == "assemble" and (inner := self._assembled(e)) is not None:
                stack += reversed(inner)
            elif self._in_loops(e):
                continue
            elif (f := expansion_of(e)) is not None and (found := expanded(e, f)) is not None:
                inner, constants = found
                for v, value in constants.items():
                    self.values.add_constant(v, value)
                if e.op.name in ("scatter", "scatter_add"):
                    self._check(e.operands[1], 0, e.operands[0].shape[e.params["axis"]])
                stack += reversed(inner)
            elif e.op.name in GATHERS:
                self._gather(e)
            elif e.op.name in PRODUCTS and (made := matrices(self.groups, e, self._readers.get(e.results[0]))) is not None:
                self.groups.append(made)
            else:
                self._opaque(e)

    def _in_loops(self, e: Equation) -> bool:
        """Take in an equation as a task, if it is an elementwise one or a reduction; a sum of products by its products."""
        if e.op.name in REDUCTIONS:
            return self._reduction(e)
        return (e.op.name == "add" and self._accumulated(e)) or (e.op.kind == ELEMENTWISE and self._pointwise(e))

    def _is_native(self, e: Equation) -> bool:
        """Tell whether loops can have an equation's values: real ones of NumPy's dtypes, and at least one of each."""
        for v in (*e.operands, *e.results):
            if v.__class__ is Variable:
                if v.dtype.numpy not in NATIVE or 0 in v.shape:
                    return False
            elif v.__class__ is complex or not (v is None or v.__class__ in (int, float, bool)):
                return False
        return True

    def _map(self, e: Equation) -> None:
        if e.op.name in ("cat", "stack") and len(e.operands) > MANY:
            return self._assemble(e)
        for k, r in enumerate(e.results):
            self.values.maps[r] = (e, k)
        return None

    def _assembled(self, e: Equation) -> list[Equation] | None:
        """Take in a sum of parts: each written to its place if they fill it, else equations that add them; None if neither."""
        parts = parts_of(e)
        if parts is None:
            return None
        out = e.results[0]
        counts = parts[0]
        if (counts == 1).all():
            start, step = counts.__array_interface__["data"][0], counts.itemsize
            places = [(v.__array_interface__["data"][0] - start, [s // step for s in v.strides]) for v in parts[1:]]
            self._written(out, list(zip(e.operands, places, strict=True)))
            return []
        if len(e.operands) > MANY:
            return None
        blank = Variable(out.shape, out.dtype)
        self.values.numbers[blank] = out.dtype.numpy.type(0)
        made, total = [], None
        last = len(e.operands) - 1
        for k, (x, chain) in enumerate(zip(e.operands, e.params["chains"], strict=True)):
            term = Variable(out.shape, out.dtype) if chain else x
            if chain:
                made.append(Equation(TABLE["copy_slices"], (blank, x), {"chain": chain}, (term,), False, False))
            if total is not None:
                summed = out if k == last else Variable(out.shape, out.dtype)
                made.append(Equation(TABLE["add"], (total, term), {}, (summed,), False, False))
                term = summed
            total = term
        return made

    def _assemble(self, e: Equation) -> None:
        """Have each of many operands written to its place in the result."""
        axis, start, places = e.params["axis"], 0, []
        steps = packed(e.results[0].shape)
        for x in e.operands:
            strides = list(steps)
            if e.op.name == "stack":
                del strides[axis]
            places.append((x, (start * steps[axis], strides)))
            start += 1 if e.op.name == "stack" else x.shape[axis]
        self._written(e.results[0], places)

    def _written(self, out: Variable, places: list) -> None:
        """Have values written to their places, as (value, (offset, strides)), in another that they fill."""
        buffer, latest = Buffer(out.dtype.numpy, out.shape, "temp"), 0
        for x, (offset, strides) in places:
            task = self.groups.copied(x)
            task.written.append(View(buffer, x.shape, strides, offset))
            task.group.is_read = True
            latest = max(latest, task.group.position)
        self.values.views[out] = buffer.view()
        self.groups.ready[buffer] = latest

    def _pointwise(self, e: Equation) -> bool:
        try:
            expression = expression_of(e.op, e.operands, e.params)
        except Unsupported:
            return False
        if e.op.refuses and e.is_due:
            self._check_divisor(e.operands[1])
        self.groups.point(e.results[0], e.operands, expression)
        return True

    def _reduction(self, e: Equation) -> bool:
        x, out = e.operands[0], e.results[0]
        if e.op.name == "sum_to":
            lead = len(x.shape) - len(out.shape)
            axes: Any = (*range(lead), *broadcast_axes(out.shape, x.shape))
        else:
            axes = e.params["axis"]
            axes = range(len(x.shape)) if axes is None else (axes,) if axes.__class__ is int else axes
        reduced = set(axes) if x.shape else set()
        kept = tuple([k not in reduced for k in range(len(x.shape))])
        combine = REDUCTIONS[e.op.name]
        if all([k or n == 1 for k, n in zip(kept, x.shape, strict=True)]):  # nothing to combine
            same = Variable(out.shape, x.dtype)
            self.values.maps[same] = (Equation(TABLE["reshape"], (x,), {"shape": out.shape}, (same,), False, False), 0)
            if e.op.name in ("any", "all"):
                self._pointwise(Equation(TABLE["ne"], (same, 0), {}, (out,), False, False))
            else:
                self.groups.point(out, (same,), ([], Given(0, None), out.dtype.numpy, 0))
            return True
        task = Task(out, REDUCE, x.shape, (x,), None, out.dtype.numpy)
        task.combine, task.kept = combine, kept
        self.groups.add(task)
        return True

    def _accumulated(self, e: Equation) -> bool:
        """Add a matrix product to another in its place, where nothing else needs either."""
        if not all([self._uses.get(o) == 1 for o in e.operands]) or e.operands[0].shape != e.operands[1].shape:
            return False
        found = [self._product(o) for o in e.operands]
        if None in found:
            return False
        into, product = found if found[1].beta == 0 else found[::-1]  # type: ignore[union-attr]
        if product.beta != 0 or into.out.buffer.kind != "temp":
            return False
        self.groups.order[self.groups.ready[product.out.buffer]] = None
        target = View(into.out.buffer, product.out.shape, product.out.strides, 0)
        self.groups.append(GemmStep(product.a, product.b, target, product.alpha, 1.0))
        self.values.views[e.results[0]] = into.out.buffer.view()
        return True

    def _product(self, v: Any) -> Any:
        """Return the last step of the matrix product that a value is; None for any other value."""
        view = self.values.views.get(v)
        at = None if view is None or not view.is_whole else self.groups.ready.get(view.buffer)
        step = None if at is None or at < self.groups.floor else self.groups.order[at]
        return step if step.__class__ is GemmStep and v.shape == view.buffer.shape else None  # type: ignore[union-attr]

    def _gather(self, e: Equation) -> None:
        x, index = e.operands
        if e.op.name == "gather":
            checks = [(index, 0, (x.shape or (1,))[e.params["axis"] if x.shape else 0])]
            fits = len(index.shape) == len(x.shape) and x.shape
            if not fits:
                return self._opaque(e)
        elif e.op.name == "index_select":
            checks = [(index, 0, x.shape[e.params["axis"]])]
            if len(index.shape) != 1 or not x.shape:
                return self._opaque(e)
        else:
            axes = e.params["axes"]
            if len(axes) == 1:
                checks = [(index, -x.shape[axes[0]], x.shape[axes[0]])]
            else:
                checks = []
                for k, a in enumerate(axes):
                    row = Variable(index.shape[1:], index.dtype)
                    self.values.maps[row] = (Equation(TABLE["getitem"], (index,), {"index": (k, ...)}, (row,), False, False), 0)
                    checks.append((row, -x.shape[a], x.shape[a]))
        for check in checks:
            self._check(*check)
        self.values.maps[e.results[0]] = (e, 0)
        return None

    def _check(self, index: Variable, low: int, high: int) -> None:
        """Have an index be found out of range, which the function itself, run again, then says."""
        key = (index, low, high)
        if key in self._checks or self._is_within(*key):
            return
        below, above, outside = [Variable(index.shape, _OF_BOOL) for _ in range(3)]
        self.process([
            _equation("lt", (index, low), below), _equation("ge", (index, high), above),
            _equation("logical_or", (below, above), outside),
        ])  # fmt: skip
        self._refuse(key, outside)

    def _is_within(self, index: Variable, low: int, high: int) -> bool:
        """Tell whether an index is constant, and in range."""
        found = self.values.constants.get(index)
        return found is not None and bool(((found >= low) & (found < high)).all())

    def _check_divisor(self, y: Any) -> None:
        """Have an integer divisor be found to be 0, which no op in whole numbers takes."""
        known = self.values.constants.get(y) if y.__class__ is Variable else y
        if y in self._checks or (known is not None and bool(np.all(known))):
            return
        zero = Variable(y.shape, _OF_BOOL)
        self.process([_equation("eq", (y, 0), zero)])
        self._refuse(y, zero)

    def _refuse(self, key: Any, wrong: Variable) -> None:
        """Have values be refused where a bool is true anywhere."""
        some = Variable((), _OF_BOOL)
        every = tuple(range(len(wrong.shape)))
        self.process([_equation("any", (wrong,), some, axis=every, keepdims=False)])
        self._checks[key] = self.groups.view_of(some)

    def _guard(self, e: Equation) -> None:
        if e.params.get("use") == "shape":  # which kernels compare
            self._guards += 1
            return
        [v] = [o for o in e.operands if o.__class__ is Variable]
        outcome = e.params["outcome"]
        view = self.groups.view_of(v)
        self.groups.append(
            GuardStep(view, outcome if outcome.__class__ is bytes else np.asarray(outcome).tobytes(), self._guards)
        )
        self._guards += 1
        self.groups.floor = len(self.groups.order)

    def _opaque(self, e: Equation) -> None:
        operands = [self.groups.view_of(o) if o.__class__ is Variable else o for o in e.operands]
        results = []
        for r in e.results:
            buffer = Buffer(r.dtype.numpy, r.shape, "temp", self._wishes.get(r))
            results.append(buffer.view())
            self.values.views[r] = results[-1]
        self.opaque[e.op.name] = self.opaque.get(e.op.name, 0) + 1
        self.groups.append(KernelStep(e, operands, results))

    def append(self, step: Step) -> None:
        """Add a step at the end."""
        for b in step.buffers()[1]:
            self.groups.ready[b] = len(self.groups.order)
        self.groups.order.append(step)

    # -- outputs and steps -----------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        """Return the steps."""
        for e, trip in zip(self.graph.equations, trips_of(self.graph.equations), strict=True):
            self.groups.trip = trip
            self.process((e,))
        self.groups.trip = -1
        outputs = self._outputs()
        for view in self._checks.values():
            self.groups.order.append(GuardStep(view, b"\0", None))
        self.groups.keep()
        made: list[Step] = []
        known: dict[Any, NestStep] = {}
        for item in self.groups.order:
            if item.__class__ is Group:
                for step in build(self.values, item):
                    first = known.setdefault(step.key, step)
                    step.nest, step.key = first.nest, first.key
                    made.append(step)
            elif item is not None:
                made.append(item)  # type: ignore[arg-type]
        temps, arena = _arena(made)
        return Steps(made, self.inputs, outputs, self.values.buffers, temps, arena)

    def _outputs(self) -> list:
        given = {*self.graph.inputs, *self.graph.constants}
        outputs: list = []
        taken: set[Buffer] = set()
        known: dict[Variable, View] = {}
        for o in self.graph.outputs:
            if o.__class__ is not Variable:
                outputs.append(o)
                continue
            if o in known:
                outputs.append(known[o])
                continue
            view = self.groups.strided(o) if o in given else self._own(o, taken)
            assert view is not None
            if o not in given:
                taken.add(view.buffer)
                view.buffer.kind = "output"
            known[o] = view
            outputs.append(view)
        return outputs

    def _own(self, o: Variable, taken: set[Buffer]) -> View:
        """Return the view of a buffer that is to be a result: of where it is computed, if that is free and lies as wished."""
        wish = self._wishes.get(o)
        task = self.values.tasks.get(o)
        if task is not None:
            self.groups.kept(task, wish)
        view = self.groups.strided(o)
        found = view is not None and view.buffer.kind == "temp" and view.buffer not in taken and view.covers
        if view is None or not found or (wish is not None and not lie_alike(o.shape, view.strides, wish)):
            view = self.groups.kept(self.groups.copied(o), wish).view()
        return view if wish is None else View(view.buffer, o.shape, wish, 0)


def _equation(name: str, operands: tuple, result: Variable, **params: Any) -> Equation:
    return Equation(TABLE[name], operands, params, (result,), False, False)


def _arena(steps: Sequence[Step]) -> tuple[dict[Buffer, int], int]:
    """Return the places of the temporaries in one block, and its bytes."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for k, step in enumerate(steps):
        for b in step.buffers()[0]:
            if b.kind == "temp":
                first.setdefault(b, k)
                last[b] = k
    roots: dict[Buffer, Buffer] = {}
    known: dict[Nest, list[tuple[int, int]]] = {}
    for k, step in enumerate(steps):
        if step.__class__ is NestStep:
            for new, old in _in_place(step, known):
                if first.get(new) == k and last.get(old) == k and new not in roots:
                    roots[new] = root = roots.get(old, old)
                    last[root] = last[old] = -1  # taken
                    last[new] = max(last[new], k)
    ends = dict(last)
    for new, root in roots.items():
        ends[root] = max(ends[root], last[new])
    temps = [b for b in first if b not in roots]
    offsets, total = placed([(first[b], ends[b], b.nbytes) for b in temps])
    places = dict(zip(temps, offsets, strict=True))
    places.update({b: places[root] for b, root in roots.items()})
    return places, total


def _in_place(step: NestStep, known: dict[Nest, list[tuple[int, int]]]) -> Iterator[tuple[Buffer, Buffer]]:
    """Yield a buffer that a nest writes and one that it reads where at each point it is the same place, and no other."""
    pairs = known.get(step.nest)
    if pairs is None:
        pairs = known[step.nest] = _same_places(step.nest)
    for new, old in pairs:
        (written, start), (read, at) = step.args[new], step.args[old]
        if at == start and read is not written and read.nbytes == written.nbytes:
            yield written, read


def _same_places(nest: Nest) -> list[tuple[int, int]]:
    """Return the parameters, of what is written and of what is read, of one dtype, that have at each point the same place."""
    if len(nest.stages) != 1 or nest.stages[0].inner:
        return []
    places: dict[int, set] = {}
    for e in walk(nest.stages[0].roots):
        if e.__class__ is Load:
            places.setdefault(e.place.param, set()).add(e.place.key if e.guard is None else None)  # type: ignore[attr-defined]
    stores = [s.place for s in nest.stages[0].stores]
    params = nest.params
    return [(p.param, k) for p in stores for k, found in places.items() if found == {p.key} and params[p.param] == params[k]]

"""Plans: steps as native code, with their memory; a plan without kernels is one native call.

The buffers of a run are numbered ("slots"): the arena first, which holds what is temporary and is kept for the next run, then
inputs, outputs, which are made anew, and constants. Runs may overlap in time: no two are in one arena. Kernels run in
Python, between stretches of the table that the executor walks (`llvm.executor`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from math import prod
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.compiler.llvm import blas, engine, entry
from chainrule.compiler.llvm.arenas import block_for
from chainrule.compiler.llvm.emit import emit
from chainrule.compiler.llvm.executor import Table, address, grain_of
from chainrule.compiler.llvm.runtime import runtime
from chainrule.compiler.llvm.schedule import weight
from chainrule.compiler.llvm.target import Target
from chainrule.compiler.loops.nest import Nest, walk
from chainrule.compiler.loops.steps import (
    Buffer,
    GemmStep,
    GuardFailed,
    GuardStep,
    KernelStep,
    NestStep,
    ShapeChanged,
    Steps,
    View,
    packed,
)

LONG = 100_000  # additions from which a plan lets other Python threads run meanwhile, for 100 ns
BLAS_THREADS = 1 << 18  # multiplications from which BLAS uses threads of its own for a product
FEWEST_ROWS = 32  # to which a product of a batch is cut, so that BLAS does not

ndarray = np.ndarray


def native_plan(steps: Steps) -> Plan:
    """Return the plan of some steps.

    Raises
    ------
    UnavailableError
        Without llvmlite (``compiler.llvm.engine``).
    NotImplementedError
        For a primitive that has no instructions.
    """
    return Plan(steps)


class Plan:
    """Steps as native code: called with the arrays (or numbers) of the graph's inputs, it returns those of its outputs.

    Results are new arrays, NumPy scalars where they have no axes, or views of inputs where the graph returns these; they may
    share memory with each other.

    Attributes
    ----------
    steps : Steps
    ir : str
        Of the nests, each once.
    timings : dict of str to float
        Seconds of each stage of compilation: "write" of the IR, those of ``engine.Code``, "arrange" of the tables.
    is_native : bool
        Whether a run is one native call.
    """

    def __init__(self, steps: Steps):
        start = perf_counter()
        self.steps, self._runtime = steps, runtime()
        self._texts, functions = written(steps)
        told = perf_counter()
        self._code = engine.load(list(self._texts.values()), list(self._texts)) if self._texts else None
        self.timings = {"write": told - start, **(self._code.timings if self._code else {})}
        loaded = perf_counter()
        code: Any = self._code
        self._arrange({nest: (code.address(name), cost_of(nest)) for nest, name in functions.items()})
        self.timings["arrange"] = perf_counter() - loaded

    @property
    def ir(self) -> str:
        """LLVM IR of the nests."""
        return "\n".join(self._texts.values())

    @property
    def asm(self) -> str:
        """Assembly of the nests."""
        return "\n".join([engine.assembly(text) for text in self._texts.values()])

    def __call__(self, arrays: Sequence[Any]) -> list:
        """Return the outputs' arrays.

        Raises
        ------
        GuardFailed
            If values are others than the steps were made for.
        ValueError
            For an array of another shape or dtype than the input it is for.
        """
        call = self._call
        if call is not None:
            if self._splits:
                pool = self._runtime.pool
                entry.set_helpers(call, pool.helpers(), pool.address)
            found = call(*arrays)
            if found is NotImplemented:  # they may lie in another way, as cotangents of sums do
                wanted = zip(arrays, self.steps.inputs, self._inputs, strict=True)
                arrays = [x if _is_laid_out(x, i) else _laid_out(x, b) for x, b, i in wanted]
                found = call(*arrays)
            if found.__class__ is tuple:
                return list(found) if self._is_plain else self._returned(dict(zip(self._fresh, found, strict=True)), arrays)
            if found is not NotImplemented:
                raise self.failed(found)
        return self._run(arrays)

    @property
    def layouts(self) -> list[Sequence[int]]:
        """How each output lies in memory: the strides in elements."""
        return [o.strides for o in self.steps.outputs]

    @property
    def makes_all(self) -> bool:
        """Whether a run is one native call, and each result a new array of its own."""
        return self._call is not None and self._is_plain

    def failed(self, answer: int) -> GuardFailed:
        """Return the exception for what a native call answered in place of results."""
        return GuardFailed(self._guards[answer - 1])

    def on_tensors(
        self, inputs: Sequence[tuple[type, Any]], single: bool, targets: dict[int, Any] | None = None
    ) -> Callable | None:
        """Return a built-in function of tensors, for plans that compute little (a call costs 0.2 us); None where there is none.

        It returns new tensors (a tuple, or the one), ``NotImplemented`` where the call is not one it was made for, and an int
        where a guard does not hold, for `failed`. It may be called in the ordinary modes only, and checks that itself.

        Parameters
        ----------
        inputs : sequence of (type, node)
            Of each input the tensor's class, and what its `_node` is: None where it does not require grad; or ``entry.ANY``.
        single : bool
            Whether to return the one result by itself.
        targets : dict of int to Tensor, optional
            Those that take the values of some outputs, which are not returned.
        """
        if self._call is None or self._splits or not self._is_plain:
            return None
        wanted = [x._replace(cls=cls, node=node) for x, (cls, node) in zip(self._inputs, inputs, strict=True)]
        outputs = [o._replace(target=(targets or {}).get(i)) for i, o in enumerate(self._outputs)]
        return entry.function(self._runtime.call, wanted, outputs, self._native(), True, single)

    def _arrange(self, functions: dict[Nest, tuple[int, float]]) -> None:
        """Give the buffers numbers, and put the tables together."""
        steps = self.steps
        made = [o.buffer for o in steps.outputs if o.__class__ is View] + [b for s in steps.steps for b in s.buffers()[1]]
        self._fresh = list(dict.fromkeys([b for b in made if b.kind == "output"]))
        by_kernels = [v.buffer for s in steps.steps if s.__class__ is KernelStep for v in s.results if v is not None]
        self._placed = {b: steps.temps[b] for b in by_kernels if b.kind == "temp"}
        self._empty = [b for b in self._fresh if b not in set(by_kernels)]  # which kernels do not make themselves
        self._slots = {b: 1 + k for k, b in enumerate([*steps.inputs, *self._fresh, *self._placed, *steps.constants])}
        self._constants = {b: _laid_out(b.value, b) for b in steps.constants}
        self._keeps: list[Any] = [self._code, self._constants]
        self._bases = [0] * (1 + len(self._slots))
        for b, value in self._constants.items():
            self._bases[self._slots[b]] = address(value)
        self._guards: list[int | None] = []
        self._table, self._cost, self._splits = Table(), 0.0, False
        self._parts: list[tuple[int, int] | KernelStep | GuardStep] = []
        for step in steps.steps:
            self._add(step, functions)
        self._words = self._table.array()
        self._start = address(self._words)
        self._template = np.array(self._bases, np.uint64).view(np.int64)
        self._arena = block_for(steps.arena)
        self.is_native = not any([part.__class__ is not tuple for part in self._parts])
        shown = {o.buffer: o for o in steps.outputs if o.__class__ is View and o.covers}
        self._is_plain = [o.buffer if o.__class__ is View and o.covers else None for o in steps.outputs] == self._fresh
        self._inputs = [entry.Input(self._slots[b], b.dtype, b.shape, _bytes(b, b.strides)) for b in steps.inputs]
        views = [(b, shown.get(b, b)) for b in self._fresh]
        self._outputs = [
            entry.Output(self._slots[b], b.dtype, v.shape, None if v.strides == packed(v.shape) else _bytes(b, v.strides))
            for b, v in views
        ]
        usable = self._runtime.call and self.is_native and all([b.size == prod(b.shape) for b in self._fresh])
        self._call: Callable | None = None
        if usable:
            self._call = entry.function(self._runtime.call, self._inputs, self._outputs, self._native(), False, False)

    def _native(self) -> entry.Run:
        keeps = (*self._keeps, self._template, self._runtime)
        arena, size = self._arena, self.steps.arena
        return entry.Run(self._words, self._template, self._table.widest, arena, size, self._cost >= LONG, 0, 0, keeps)

    def _at(self, b: Buffer, offset: int) -> tuple[int, int]:
        """Return slot and offset in bytes of an element of a buffer."""
        if b in self._slots:
            return self._slots[b], offset * b.dtype.itemsize
        return 0, self.steps.temps[b] + offset * b.dtype.itemsize

    def _constant(self, array: ndarray) -> int:
        """Return the slot of further constants."""
        self._keeps.append(array)
        self._bases.append(address(array))
        return len(self._bases) - 1

    def _add(self, step: Any, functions: dict[Nest, tuple[int, float]]) -> None:
        """Add a step to the table, or as a part of its own; of each nest the function and its cost are known."""
        before = len(self._table)
        if step.__class__ is NestStep:
            if 0 in step.nest.outer:
                return
            function, cost = functions[step.nest]
            self._call_nest(function, prod(step.nest.outer), cost, [self._at(b, offset) for b, offset in step.args])
        elif step.__class__ is GemmStep:
            self._call_gemm(step)
        elif step.__class__ is GuardStep and step.view.strides == packed(step.view.shape):
            if not step.outcome:
                return
            self._guards.append(step.number)
            slot, offset = self._at(step.view.buffer, step.view.offset)
            expected = self._constant(np.frombuffer(step.outcome, np.uint8))
            self._table.guard(slot, offset, len(step.outcome), expected, len(self._guards))
        else:
            self._parts.append(step)
            return
        last = self._parts[-1] if self._parts else None
        if last.__class__ is tuple:
            self._parts[-1] = (last[0], len(self._table))  # type: ignore[index]
        else:
            self._parts.append((before, len(self._table)))

    def _call_nest(self, function: int, points: int, cost: float, args: Sequence[tuple[int, int]]) -> None:
        grain = grain_of(points, cost / points)
        self._splits = self._splits or grain > 0
        self._cost += cost
        self._table.call(function, 0, points, grain, args)

    def _call_gemm(self, step: GemmStep) -> None:
        batch, m, n, k = step.sizes
        if not batch * m * n:
            return
        lead = list(step.out.shape[:-2])
        a, b, out = steps = [list(v.strides) for v in (step.a, step.b, step.out)]
        parts = _parts_of_rows(m, n * k) if batch > 1 else 1
        if parts > 1:  # of a product each, for BLAS alone would split the work of each between threads that wait for each other
            m //= parts
            lead.append(parts)
            for strides, rows in zip(steps, (m * a[-2], 0, m * out[-2]), strict=True):
                strides.insert(-2, rows)
        block = blas.numbers(step.dtype, (m, n, k), lead, a, b, out, step.alpha, step.beta)
        if block is None:
            raise NotImplementedError(f"BLAS does not take the product {step!r}")
        args = [(self._constant(block), 0), *[self._at(v.buffer, v.offset) for v in (step.b, step.a, step.out)]]
        cost = 200 + m * n * k / 5
        if batch > 1 and m * n * k <= BLAS_THREADS:
            self._call_nest(self._runtime.gemm, batch * parts, batch * parts * cost, args)
        else:
            self._cost += batch * cost
            self._table.call(self._runtime.gemm, 0, batch, 0, args)

    def _returned(self, fresh: dict[Buffer, ndarray], arrays: Sequence[Any]) -> list:
        """Return the outputs, given those that are made anew."""
        given = dict(zip(self.steps.inputs, arrays, strict=True))
        found: list[Any] = []
        for o in self.steps.outputs:
            if o.__class__ is not View:
                found.append(o)
            elif o.buffer in fresh:
                x = fresh[o.buffer]
                lies = o.is_whole or (x.shape == o.shape and x.strides == _bytes(o.buffer, o.strides))
                found.append(x if lies else _part(np.asarray(x), o))
            elif o.buffer in given:
                whole = _laid_out(given[o.buffer], o.buffer)
                found.append(whole if o.is_whole else _part(whole, o))
            else:
                found.append(_part(self._constants[o.buffer], o).copy())
        return found

    def _run(self, arrays: Sequence[Any]) -> list:
        """Run part by part, from Python."""
        given = [_laid_out(x, b) for b, x in zip(self.steps.inputs, arrays, strict=True)]
        arena = self._arena.take(self.steps.arena)
        try:
            run = _Run(self, given, arena)
            for part in self._parts:
                if part.__class__ is tuple:
                    run.stretch(*part)  # type: ignore[misc]
                elif part.__class__ is KernelStep:
                    run.kernel(part)
                elif run.view(part.view).tobytes() != part.outcome:  # type: ignore[union-attr]
                    raise GuardFailed(part.number)  # type: ignore[union-attr]
            return self._returned(run.fresh(), given)
        finally:
            self._arena.give(arena)


class _Run:
    """One run from Python: where its buffers are."""

    def __init__(self, plan: Plan, given: Sequence[ndarray], arena: ndarray):
        self.plan, self.arena = plan, arena
        self.bases, self.params = plan._template.copy(), np.empty(plan._table.widest, np.int64)
        self.bases[0] = start = address(arena)
        self.arrays: dict[Buffer, ndarray] = dict(plan._constants)
        for b, array in zip(plan.steps.inputs, given, strict=True):
            self._put(b, array)
        for b, offset in plan._placed.items():
            self.bases[plan._slots[b]] = start + offset
        for b in plan._empty:
            self._put(b, _empty(b))

    def _put(self, b: Buffer, array: ndarray) -> None:
        self.arrays[b] = array
        self.bases[self.plan._slots[b]] = address(array)

    def stretch(self, first: int, end: int) -> None:
        """Run a stretch of the table."""
        plan, start = self.plan, self.plan._start
        pool = plan._runtime.pool
        helpers = pool.helpers() if plan._splits else 0
        answer = plan._runtime.run(
            start + 8 * first, start + 8 * end, address(self.bases), address(self.params), pool.address, helpers
        )
        if answer:
            raise plan.failed(answer)

    def view(self, v: View) -> ndarray:
        """Return a view of a buffer."""
        b = v.buffer
        if b not in self.arrays:
            self.arrays[b] = _within(self.arena, self.plan.steps.temps[b], b)
        return self.arrays[b] if v.is_whole else _part(self.arrays[b], v)

    def kernel(self, step: KernelStep) -> None:
        """Run a kernel; what it made becomes the buffer itself where it lies as that does, and is its alone."""
        operands = [self.view(x) if x.__class__ is View else x for x in step.operands]
        for array, v in zip(step.compute(operands), step.results, strict=True):
            if v is None:
                continue
            if array.shape != v.shape:
                raise ShapeChanged(f"{step.equation.op.name} gives {array.shape}, and gave {v.shape} when recorded")
            b, own = v.buffer, array.flags.owndata and not any([array is x for x in operands])
            if own and array.dtype == b.dtype and _lies_as(array, b) and b in self.plan._slots:
                self._put(b, array)
                continue
            if b not in self.arrays:
                if b.kind == "output":
                    self._put(b, _empty(b))
                else:
                    self.arrays[b] = _within(self.arena, self.plan.steps.temps[b], b)
            self.arrays[b][...] = array

    def fresh(self) -> dict[Buffer, ndarray]:
        """Return the outputs that were made."""
        return {b: self.arrays[b] for b in self.plan._fresh}


def written(steps: Steps) -> tuple[dict[str, str], dict[Nest, str]]:
    """Return the modules of the nests by their functions' names, and the names by the nests."""
    texts: dict[str, str] = {}
    names: dict[Nest, str] = {}
    nests = dict.fromkeys([s.nest for s in steps.steps if s.__class__ is NestStep and 0 not in s.nest.outer])
    target = Target(engine.vector_bytes(), engine.processor()) if nests else None
    for nest in nests:
        text = emit(nest, "cr_nest", target)  # type: ignore[arg-type]
        name = names[nest] = f"cr_nest_{sha256(text.encode()).hexdigest()[:16]}"
        texts[name] = text.replace("@cr_nest(", f"@{name}(")
    return texts, names


def _parts_of_rows(m: int, each: int) -> int:
    """Return into how many parts a product's rows, of so many multiplications each, are to be taken apart for one thread."""
    for parts in range(max(-(-m * each // BLAS_THREADS), 1), m // FEWEST_ROWS + 1):
        if m % parts == 0:
            return parts
    return 1


def cost_of(nest: Nest) -> float:
    """Return about how many additions a nest takes."""
    each = [prod(s.inner) * (sum([weight(e) for e in walk(s.roots)]) + len(s.roots)) for s in nest.stages]
    return prod(nest.outer) * sum(each)


def _bytes(b: Buffer, strides: Sequence[int]) -> tuple[int, ...]:
    return tuple([s * b.dtype.itemsize for s in strides])


def _empty(b: Buffer) -> ndarray:
    """Return a new array that lies as a buffer says."""
    if b.strides == packed(b.shape):
        return np.empty(b.shape, b.dtype)
    return np.ndarray(b.shape, b.dtype, np.empty(b.size, b.dtype), 0, _bytes(b, b.strides))


def _within(arena: ndarray, start: int, b: Buffer) -> ndarray:
    """Return a temporary buffer's memory as an array."""
    return np.ndarray(b.shape, b.dtype, arena, start if b.size else 0, _bytes(b, b.strides))


def _lies_as(array: ndarray, b: Buffer) -> bool:
    """Tell whether an array's elements lie as a buffer says."""
    item = b.dtype.itemsize
    lies = all([n <= 1 or s == wanted * item for n, s, wanted in zip(array.shape, array.strides, b.strides, strict=True)])
    return lies and array.flags.aligned


def _is_laid_out(x: Any, i: entry.Input) -> bool:
    """Tell at a glance whether an array lies as the entry takes it."""
    return x.__class__ is ndarray and x.dtype is i.dtype and x.shape == i.shape and x.strides == i.strides


def _laid_out(x: Any, b: Buffer) -> ndarray:
    """Return an array for a buffer: itself where it lies as the buffer says, else a copy."""
    array = np.asarray(x)
    if array.shape != b.shape or (array.dtype != b.dtype and isinstance(x, (ndarray, np.generic))):
        raise ValueError(f"expected an array of {b.dtype}{list(b.shape)}, got {array.dtype}{list(array.shape)}")
    if array.dtype is b.dtype and _lies_as(array, b):
        return array
    made = _empty(b)
    made[...] = array
    return made


def _part(array: ndarray, v: View) -> ndarray:
    """Return a view of a buffer that is an array."""
    b = v.buffer
    if not prod(v.shape):
        return np.empty(v.shape, b.dtype)
    flat = np.lib.stride_tricks.as_strided(array, (b.size,), (b.dtype.itemsize,))
    return np.ndarray(v.shape, b.dtype, flat, v.offset * b.dtype.itemsize, _bytes(b, v.strides))

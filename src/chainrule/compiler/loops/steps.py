"""Steps: a graph as loop nests, matrix products, kernels and guards over buffers; `Steps.run` on NumPy is what they mean.

A plan of native code is made from it step by step: identical nests have one `NestStep.key` and so one piece of code.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.loops.nest import Nest
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import wrap
from chainrule.core.tensor.value import array_of
from chainrule.transforms.equations import Equation


def packed(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array in C order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Tell whether strides, in elements, lead to each place of memory without gaps once."""
    step = 1
    for s, n in sorted([(s, n) for s, n in zip(strides, shape, strict=True) if n != 1]):
        if s != step:
            return False
        step *= n
    return True


def lie_alike(shape: Sequence[int], a: Sequence[int], b: Sequence[int]) -> bool:
    """Tell whether two sequences of strides lead to the same places."""
    return all([n == 1 or s == t for n, s, t in zip(shape, a, b, strict=True)])


class Buffer:
    """Memory that steps read and write.

    Attributes
    ----------
    dtype : numpy.dtype
    shape, strides : tuple of int
        As an ndarray sees it, strides in elements, none negative: an input that lies otherwise is copied into this layout.
    kind : str
        "input" (never written), "constant" (`value` tells its elements), "temp", or "output", made anew for each run.
    value : ndarray or None
    """

    __slots__ = ("dtype", "kind", "shape", "strides", "value")

    def __init__(self, dtype: Any, shape: Sequence[int], kind: str, strides: Sequence[int] | None = None, value: Any = None):
        self.dtype, self.shape, self.kind, self.value = np.dtype(dtype), tuple(shape), kind, value
        self.strides = packed(shape) if strides is None else tuple(strides)

    @property
    def size(self) -> int:
        """Elements from the first to the last, gaps included."""
        if 0 in self.shape:
            return 0
        return 1 + sum([(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)])

    @property
    def nbytes(self) -> int:
        """Bytes from the first element to the last."""
        return self.size * self.dtype.itemsize

    def view(self) -> View:
        """Return the whole."""
        return View(self, self.shape, self.strides, 0)

    def __repr__(self) -> str:
        return f"{self.kind} {self.dtype}{list(self.shape)}"


class View:
    """Part of a buffer as an ndarray: shape, strides and offset in elements."""

    __slots__ = ("buffer", "offset", "shape", "strides")

    def __init__(self, buffer: Buffer, shape: Sequence[int], strides: Sequence[int], offset: int):
        self.buffer, self.shape, self.strides, self.offset = buffer, tuple(shape), tuple(strides), offset

    @property
    def is_whole(self) -> bool:
        """Whether it is the buffer as it is."""
        return not self.offset and self.shape == self.buffer.shape and self.strides == self.buffer.strides

    @property
    def covers(self) -> bool:
        """Whether it is the buffer in some order and shape: each element, once."""
        return not self.offset and prod(self.shape) == self.buffer.size and is_dense(self.shape, self.strides)

    def of(self, memory: np.ndarray) -> np.ndarray:
        """Return the view of a buffer's memory, a flat array."""
        step = memory.itemsize
        start = memory[self.offset :] if prod(self.shape) else memory[:0]
        return np.lib.stride_tricks.as_strided(start, self.shape, [s * step for s in self.strides])

    def __repr__(self) -> str:
        return f"{self.buffer!r}" if self.is_whole else f"{self.buffer!r}@{self.offset}{list(self.shape)}/{list(self.strides)}"


class NestStep:
    """A loop nest on buffers.

    Attributes
    ----------
    nest : Nest
        Steps of one `key` have one nest.
    key : hashable
        What the nest computes: its structure, sizes, strides and dtypes.
    args : tuple of (Buffer, int)
        For each parameter the buffer and the element, counted from its first, at which the parameter points.
    writes : tuple of int
        The parameters that it stores to.
    """

    __slots__ = ("args", "key", "nest", "writes")

    def __init__(self, nest: Nest, key: Any, args: Sequence[tuple[Buffer, int]]):
        self.nest, self.key, self.args = nest, key, tuple(args)
        self.writes = tuple(sorted({store.place.param for stage in nest.stages for store in stage.stores}))

    def buffers(self) -> tuple[list[Buffer], list[Buffer]]:
        """Return the buffers it reads or writes, and those it writes."""
        return [b for b, _ in self.args], [self.args[p][0] for p in self.writes]

    def run(self, memory: dict[Buffer, np.ndarray]) -> None:
        """Run on flat arrays."""
        self.nest.run([memory[b][at:] for b, at in self.args])

    def __repr__(self) -> str:
        return f"{self.nest!r}\n    on {', '.join([f'{b!r}+{at}' if at else repr(b) for b, at in self.args])}"


BATCHES = 2  # axes in front of the matrices of a product


class GemmStep:
    """A matrix product ``out = alpha · a @ b + beta · out``, in float32 or float64.

    Attributes
    ----------
    a, b, out : View
        Of (m, k), (k, n), (m, n), with up to `BATCHES` axes in front that all have. Of each, one of the last two strides is
        1 and the other at least the size of that axis (and 1), as BLAS needs it; that of the columns of `out` is 1. Strides
        of the axes in front may be 0.
    alpha, beta : float
        With `beta` 0 `out` is not read.
    """

    __slots__ = ("a", "alpha", "b", "beta", "out")

    def __init__(self, a: View, b: View, out: View, alpha: float = 1.0, beta: float = 0.0):
        self.a, self.b, self.out, self.alpha, self.beta = a, b, out, alpha, beta

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.out.buffer.dtype

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """(batch, m, n, k)."""
        return prod(self.out.shape[:-2]), self.out.shape[-2], self.out.shape[-1], self.a.shape[-1]

    def buffers(self) -> tuple[list[Buffer], list[Buffer]]:
        """Return the buffers it reads or writes, and those it writes."""
        return [self.a.buffer, self.b.buffer, self.out.buffer], [self.out.buffer]

    def run(self, memory: dict[Buffer, np.ndarray]) -> None:
        """Run on flat arrays."""
        a, b, out = [v.of(memory[v.buffer]) for v in (self.a, self.b, self.out)]
        with np.errstate(all="ignore"):
            found = np.matmul(a, b)
            if self.alpha != 1:
                found *= out.dtype.type(self.alpha)
            out[...] = found + out.dtype.type(self.beta) * out if self.beta else found

    def __repr__(self) -> str:
        rest = f" + {self.beta} * out" if self.beta else ""
        return f"{self.out!r} = {f'{self.alpha} * ' if self.alpha != 1 else ''}{self.a!r} @ {self.b!r}{rest}"


class KernelStep:
    """An op that runs as it is, on arrays.

    Attributes
    ----------
    equation : Equation
    operands : tuple
        A `View` for each variable of the equation; what else the equation has stands for itself.
    results : tuple of View or None
        Where the results go, each a whole buffer; None for one that nothing needs.
    """

    __slots__ = ("equation", "operands", "results")

    def __init__(self, equation: Equation, operands: Sequence[Any], results: Sequence[View | None]):
        self.equation, self.operands, self.results = equation, tuple(operands), tuple(results)

    def buffers(self) -> tuple[list[Buffer], list[Buffer]]:
        """Return the buffers it reads or writes, and those it writes."""
        written = [v.buffer for v in self.results if v is not None]
        return [v.buffer for v in self.operands if v.__class__ is View] + written, written

    def compute(self, operands: Sequence[Any]) -> list[np.ndarray]:
        """Return the results for arrays in place of views, as arrays of any layout."""
        given = tuple([wrap(x) if isinstance(x, np.ndarray) else x for x in operands])
        with no_grad():
            out = self.equation.evaluate(given)
        return [np.asarray(array_of(o)) for o in (out if self.equation.several else (out,))]

    def run(self, memory: dict[Buffer, np.ndarray]) -> None:
        """Run on flat arrays."""
        found = self.compute([v.of(memory[v.buffer]) if v.__class__ is View else v for v in self.operands])
        for array, view in zip(found, self.results, strict=True):
            if view is not None:
                if array.shape != view.shape:
                    raise ShapeChanged(f"{self.equation.op.name} gives {array.shape}, and gave {view.shape} when recorded")
                view.of(memory[view.buffer])[...] = array

    def __repr__(self) -> str:
        return f"{', '.join(map(repr, self.results))} = {self.equation.op.name}({', '.join(map(repr, self.operands))})"


class GuardStep:
    """The steps hold for these values alone.

    Attributes
    ----------
    view : View
    outcome : bytes
        Of the elements, in C order.
    number : int or None
        Which of the graph's guards it is; None for a check that fusion adds: where an index is out of range, the function, run
        anew, raises.
    """

    __slots__ = ("number", "outcome", "view")

    def __init__(self, view: View, outcome: bytes, number: int | None):
        self.view, self.outcome, self.number = view, outcome, number

    def buffers(self) -> tuple[list[Buffer], list[Buffer]]:
        """Return the buffers it reads or writes, and those it writes."""
        return [self.view.buffer], []

    def run(self, memory: dict[Buffer, np.ndarray]) -> None:
        """Raise `GuardFailed` if the values are others."""
        if self.view.of(memory[self.view.buffer]).tobytes() != self.outcome:
            raise GuardFailed(self.number)

    def __repr__(self) -> str:
        return f"guard {self.view!r}"


class GuardFailed(Exception):  # noqa: N818 (it leads to another path)
    """A guard's values are not those for which the steps were made; `number` tells which."""

    def __init__(self, number: int | None):
        super().__init__(number)
        self.number = number


class ShapeChanged(GuardFailed):
    """A kernel's result, whose shape values decide, has another shape than in the recording."""

    def __init__(self, words: str):
        super().__init__(None)
        self.args = (words,)


Step = NestStep | GemmStep | KernelStep | GuardStep


class Steps:
    """A graph as steps.

    Attributes
    ----------
    steps : tuple
        In the order in which they run.
    inputs : tuple of Buffer
        One for each of the graph's inputs.
    outputs : tuple
        A `View` for each variable returned, which covers a buffer of its own; of an input's or a constant's buffer where the
        graph returns that or a view of it. Anything else stands for itself.
    constants : tuple of Buffer
    temps : dict of Buffer to int
        Where each temporary lies in the arena, in bytes.
    arena : int
        Bytes of the arena.
    """

    __slots__ = ("arena", "constants", "inputs", "outputs", "steps", "temps")

    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Sequence[Buffer],
        outputs: Sequence[Any],
        constants: Sequence[Buffer] = (),
        temps: dict[Buffer, int] | None = None,
        arena: int = 0,
    ):
        self.steps, self.inputs, self.outputs = tuple(steps), tuple(inputs), tuple(outputs)
        self.constants, self.temps, self.arena = tuple(constants), temps or {}, arena

    def run(self, arrays: Sequence[np.ndarray]) -> list:
        """Return the outputs for arrays in place of the inputs.

        Raises
        ------
        GuardFailed
            If a guard's values are others than in the recording.
        """
        memory = {b: _laid_out(np.asarray(x), b) for b, x in zip(self.inputs, arrays, strict=True)}
        memory.update({b: _laid_out(b.value, b) for b in self.constants})
        block = np.full(self.arena, _GARBAGE, np.uint8)
        for b, start in self.temps.items():
            memory[b] = block[start : start + b.nbytes].view(b.dtype)
        for o in self.outputs:
            if o.__class__ is View and o.buffer.kind == "output" and o.buffer not in memory:
                memory[o.buffer] = np.full(o.buffer.nbytes, _GARBAGE, np.uint8).view(o.buffer.dtype)
        for step in self.steps:
            step.run(memory)
        return [o.of(memory[o.buffer]) if o.__class__ is View else o for o in self.outputs]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.steps))


_GARBAGE = 0xA5  # in each byte of new memory, so that what is read before it is written shows


def _laid_out(x: np.ndarray, b: Buffer) -> np.ndarray:
    """Return flat memory in which an array lies as a buffer says."""
    flat = np.zeros(b.size, b.dtype)
    b.view().of(flat)[...] = x
    return flat

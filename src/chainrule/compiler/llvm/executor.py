"""The executor: one native function that walks a table of calls, so that a plan's steps run without Python between them.

A record of the table is a call of a nest function, or a guard. A nest function is ``void (ptr params, i64 lo, i64 hi)``; its
parameters are found as (slot, offset) pairs, a slot being a buffer of this run, whose address is in an array that the caller
fills. So a table has no address of a run in it, and runs may overlap in time. Matrix products are nests too: of batches,
whose function calls BLAS. The module is compiled once and kept on disk, as all code is.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.llvm import engine, threads

CALL, GUARD = 0, 1
LARGE = 400_000  # additions, of 0.1 ns or so, from which a nest is split over threads; to wake one takes 5 us
SHARE = LARGE // 8  # that a thread takes at least
LINE = 64  # points at whose multiples nests are split, so that threads write to lines of the cache of their own
STRETCHES = 4  # that each thread takes of a split nest, so that one which other processes hold up leaves its rest to the others


class Runner:
    """The native function that runs a table, and the threads that help it.

    Attributes
    ----------
    pool : threads.Pool
    """

    def __init__(self, code: engine.Code):
        self._code = code
        threads.keep_forever(code)
        worker = code.address("cr_worker") if threads.HAVE else 0
        self.pool: threads.Pool = threads.Pool(worker) if _runner is None else _runner.pool
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.run: Any = ctypes.CFUNCTYPE(number, pointer, pointer, pointer, pointer, pointer, number)(code.address("cr_run"))


def text() -> str:
    """Return the module of what runs tables."""
    return engine.template("executor", stretches=str(STRETCHES)) + threads.text(engine.processor())


NAMES = ["cr_run", "cr_gemm"] + (["cr_worker"] if threads.HAVE else [])
_runner: Runner | None = None


def runner() -> Runner:
    """Return what runs tables, made at first need."""
    return _runner or serve(Runner(engine.load(text(), NAMES, optimise=False)))


def serve(made: Runner) -> Runner:
    """Have a runner, whose threads are those of the one before it, take its place."""
    global _runner
    _runner = made
    return made


def grain_of(points: int, cost: float) -> int:
    """Return the fewest points of a nest that are worth a thread's while; 0 for a nest that is not split.

    Parameters
    ----------
    points : int
    cost : float
        Additions that each takes.
    """
    if points * cost < LARGE or points < 2:
        return 0
    grain = max(int(SHARE / cost), 1)
    return -(-grain // LINE) * LINE if points >= 16 * LINE else grain


def address(array: Any) -> int:
    """Return where an array's memory starts."""
    if _IS_AT_DATA and array.__class__ is ndarray:
        return _word(id(array) + DATA).value  # a tenth of the time of the other way, which makes a dictionary
    return array.__array_interface__["data"][0]


DATA = 16  # where objects of NumPy have the address of their memory
ndarray, _word = np.ndarray, ctypes.c_size_t.from_address
_SAMPLES: list[np.ndarray] = [np.zeros(3), np.zeros((2, 3), np.int8)[:, 1:], np.zeros(())]
_IS_AT_DATA = sys.implementation.name == "cpython" and all(
    [ndarray.__basicsize__ > DATA and _word(id(x) + DATA).value == x.ctypes.data for x in _SAMPLES]
)


class Table:
    """Records for ``cr_run``, as they are put together.

    Attributes
    ----------
    widest : int
        The most parameters that one of its calls has.
    """

    def __init__(self) -> None:
        self._words: list[int] = []
        self.widest = 1

    def call(self, function: int, lo: int, hi: int, grain: int, args: Sequence[tuple[int, int]]) -> None:
        """Append a call of a nest function, with (slot, offset in bytes) of each parameter."""
        flat = [word for pair in args for word in pair]
        self._words += [7 + len(flat), CALL, function, lo, hi, grain, len(args), *flat]
        self.widest = max(self.widest, len(args))

    def guard(self, slot: int, offset: int, size: int, expected: int, answer: int) -> None:
        """Append a guard: unless the bytes are those in the slot of what is expected, the run ends with an answer, not 0."""
        self._words += [7, GUARD, slot, offset, size, expected, answer]

    def __len__(self) -> int:
        return len(self._words)

    def array(self) -> np.ndarray:
        """Return the words."""
        return np.array(self._words, np.uint64).view(np.int64)

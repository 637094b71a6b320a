"""The executor: one native function that walks a table of calls, so that a plan's steps run without Python between them.

A record of the table is a call of a nest function, or a guard. A nest function is ``void (ptr params, i64 lo, i64 hi)``; its
parameters are found as (slot, offset) pairs, a slot being a buffer of this run, whose address is in an array that the caller
fills. So a table has no address of a run in it, and runs may overlap in time. Matrix products are nests too: of batches,
whose function calls BLAS. The module is compiled once and kept on disk, as all code is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.llvm import engine, entry, threads

CALL, GUARD = 0, 1
STRETCHES = 4  # that each thread takes of a split nest, so that one which other processes hold up leaves its rest to the others


class Runtime:
    """The native functions that all plans share.

    Attributes
    ----------
    pool : threads.Pool
    gemm : int
        Address of the function of matrix products.
    call : int
        Address of the entry that Python calls (``entry``); 0 where objects are not as that expects.
    """

    def __init__(self) -> None:
        machine = engine.processor()
        run = engine.template("executor", stretches=str(STRETCHES)) + threads.text(machine)
        names = ["cr_run", "cr_gemm"] + (["cr_worker"] if threads.HAVE else [])
        self._code = _loaded(run, entry.text(), names)
        threads.keep_forever(self._code)
        self.gemm = self._code.address("cr_gemm")
        self.call = self._code.address("cr_call") if "cr_call" in self._code.names else 0
        self.pool = threads.Pool(self._code.address("cr_worker") if threads.HAVE else 0)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.run: Any = ctypes.CFUNCTYPE(number, pointer, pointer, pointer, pointer, pointer, number)(
            self._code.address("cr_run")
        )


def _loaded(run: str, call: str | None, names: Sequence[str]) -> engine.Code:
    if call is not None:
        try:
            return engine.load(run + call, [*names, "cr_call"], optimise=False)
        except RuntimeError:  # an interpreter that does not export its functions
            pass
    return engine.load(run, names, optimise=False)


@cache
def runtime() -> Runtime:
    """Return the runtime, made at first need."""
    return Runtime()


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

"""Arenas: memory for what is temporary in a run of a plan, kept for the next run, as new pages cost more than to use them.

Few runs overlap in time, so that plans with large arenas share one block: a training step that is recorded three times, and a
function with many paths, hold the memory of one. What finds the block in use takes memory of its own for that run.
"""

from __future__ import annotations

from weakref import ref

import numpy as np

from chainrule.compiler.llvm.executor import address

ALIGNMENT = 64  # bytes: a line of the cache
SHARED = 1 << 20  # bytes from which arenas share memory; smaller ones are of a plan alone, so that threads need not wait


class Block:
    """Memory of which one run at a time has hold.

    Attributes
    ----------
    words : numpy.ndarray
        Two of 64 bits: whether a run has hold of it, and the address. The native entry reads and writes them, holding the GIL.
    memory : numpy.ndarray
    """

    __slots__ = ("__weakref__", "_used", "memory", "words")

    def __init__(self, size: int):
        self.words, self.memory = np.zeros(2, np.int64), aligned(size)
        self.words[1] = address(self.memory)
        self._used: list[np.ndarray] = []  # former memory that a run may be in

    def hold(self, size: int) -> None:
        """Have it hold at least so many bytes."""
        if not self.words[0]:
            self._used.clear()
        if size > self.memory.nbytes:
            if self.words[0]:
                self._used.append(self.memory)
            self.memory = aligned(size)
            self.words[1] = address(self.memory)

    def take(self, size: int) -> np.ndarray:
        """Return memory for a run; that of others, if the block is in use."""
        if self.words[0]:
            return aligned(size)
        self.words[0] = 1
        return self.memory

    def give(self, memory: np.ndarray) -> None:
        """Take back what `take` returned."""
        if memory is self.memory or any([memory is m for m in self._used]):
            self.words[0] = 0


_shared: ref[Block] | None = None


def block_for(size: int) -> Block:
    """Return the block of a plan whose arena has so many bytes: as long as plans with large ones live, they have the same."""
    global _shared
    if size < SHARED:
        return Block(size)
    found = _shared() if _shared is not None else None
    if found is None:
        found = Block(size)
        _shared = ref(found)
    found.hold(size)
    return found


def aligned(size: int) -> np.ndarray:
    """Return memory that starts at a line of the cache."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -address(memory) % ALIGNMENT
    return memory[start : start + size]

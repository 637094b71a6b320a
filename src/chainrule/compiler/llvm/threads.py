"""Threads for large nests: a pool in native code, to which a plan hands stretches of a nest's outer points.

The caller publishes a job in the pool and works on it itself; threads that wake in time take stretches too, and the caller
waits only for those that did. A thread that wakes late finds no job, so that handing out work never costs more than waking a
thread does. One job runs at a time: a caller that finds the pool busy works alone. After their work, threads look for more for
some 20 us before they sleep, as a plan's nests follow each other closely.

On two cores, to hand out work costs the caller 55 us by `pthread_create` and `join`, 3 by this pool while it sleeps, and less
than 1 while it looks for work.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from functools import cache
from typing import Any

from chainrule.compiler.llvm import engine
from chainrule.core.call.threads import get_num_threads

TURNS = 500  # of looking for work before a thread sleeps
ROOM = 1024  # bytes of a pool: more than any platform's mutex and two condition variables, each in its own cache lines
HAVE = sys.platform != "win32"
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

ALONE = """
define internal void @cr_spread(ptr %pool, ptr %fn, ptr %params, i64 %lo, i64 %hi, i64 %chunk, i64 %helpers) {
  call void %fn(ptr %params, i64 %lo, i64 %hi)
  ret void
}
"""


def text(machine: str) -> str:
    """Return the IR of ``cr_spread``, for a processor family ("x86_64"), with the pool where the platform has pthreads."""
    if not HAVE:
        return ALONE
    declared, pause = _PAUSE.get(machine, ("", ""))
    return engine.template("threads", declared=declared, pause=pause, turns=str(TURNS))


def keep_forever(thing: Any) -> None:
    """Keep an object past the interpreter's end: what threads may still look at then."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class Pool:
    """The threads of this process that wait for work.

    Parameters
    ----------
    worker : int
        Address of ``cr_worker``; 0 where there are no pthreads, and no pool.

    Attributes
    ----------
    address : int
        Of the pool's memory.
    """

    def __init__(self, worker: int):
        self._worker, self._lock = worker, threading.Lock()
        self._start()
        if worker and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start)  # a forked child has no threads, and a lock of its own

    def _start(self) -> None:
        self._size, self._memory = 0, ctypes.create_string_buffer(ROOM)
        keep_forever(self._memory)
        self.address = ctypes.addressof(self._memory)
        self._lock = threading.Lock()
        if self._worker:
            for init, at in ((_c().pthread_mutex_init, 0), (_c().pthread_cond_init, 256), (_c().pthread_cond_init, 512)):
                if init(ctypes.c_void_p(self.address + at), None):
                    raise MemoryError("no memory for the locks of threads")

    def helpers(self) -> int:
        """Return how many threads may help the caller, having started those that are missing."""
        wanted = get_num_threads() - 1 if self._worker else 0
        if wanted > self._size:
            self._grow(wanted)
        return min(wanted, self._size)

    def _grow(self, wanted: int) -> None:
        """Start threads that block all signals, which are Python's; where the system allows no more, fewer will do."""
        with self._lock:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                while self._size < wanted:
                    thread = ctypes.c_void_p()
                    worker, pool = ctypes.c_void_p(self._worker), ctypes.c_void_p(self.address)
                    if _c().pthread_create(ctypes.byref(thread), None, worker, pool):
                        return
                    _c().pthread_detach(thread)
                    self._size += 1
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _c() -> Any:
    return ctypes.CDLL(None)

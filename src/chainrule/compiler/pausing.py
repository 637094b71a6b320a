"""Pausing the garbage collector while a call is compiled.

Recording and planning make many small objects that live on, and none in circles: to look through all of them again and again
took a third of the time for 100,000 equations. Blocks may be nested, and be in several threads: the last to end turns the
collector on again, if it was on.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_blocks, _was_on = 0, False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Have no garbage looked for during a block."""
    global _blocks, _was_on
    with _lock:
        if not _blocks:
            _was_on = gc.isenabled()
            gc.disable()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _was_on:
                gc.enable()

"""Passes inside passes: what a hook, a Function's backward or a checkpoint starts runs inside the pass that called it.

Each costs some twenty frames of Python's stack, which holds a thousand; so every tenth goes on in a thread of its own,
as PyTorch's do after the sixtieth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from chainrule.transforms.hook_calls import RUNNING


def on_fresh_stack(run: Callable, *args: Any) -> Any:
    """Call a function in another thread, in a copy of this one's context, and wait for it."""
    done: dict[str, Any] = {}

    def work() -> None:
        this = RUNNING.get()
        RUNNING.set([*this[:3], 0, *this[4:]])
        try:
            done["result"] = run(*args)
        except BaseException as error:
            done["error"] = error

    thread = threading.Thread(target=copy_context().run, args=(work,), name="chainrule-reentrant-backward", daemon=True)
    thread.start()
    thread.join()
    if "error" in done:
        try:
            raise done["error"]
        finally:
            done.clear()  # a cycle with the traceback otherwise
    return done["result"]

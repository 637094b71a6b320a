"""PyTorch's ``multiprocessing``: Python's, whose processes get copies of tensors."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from typing import Any

__all__ = sorted(  # type: ignore[misc]
    [*multiprocessing.__all__, "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn"]  # type: ignore[attr-defined]
)


def get_all_sharing_strategies() -> set[str]:
    """Return PyTorch's names; tensors are copied from process to process, whichever is set."""
    return {"file_descriptor", "file_system"}


_strategy = "file_descriptor"


def get_sharing_strategy() -> str:
    """Return the strategy that was set."""
    return _strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Set the strategy; tensors are copied all the same."""
    global _strategy
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(f"{new_strategy!r} is none of {sorted(get_all_sharing_strategies())}")
    _strategy = new_strategy


def spawn(
    fn: Callable[..., Any],
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> Any:
    """Run ``fn(i, *args)`` in several processes; raise if one fails.

    Parameters
    ----------
    fn : callable
        Of the process's number and `args`.
    args : tuple
        As above.
    nprocs : int
        How many.
    join : bool
        Whether to wait for them; else the list of processes is returned.
    daemon : bool
        Whether they end with this process.
    start_method : str
        How they are started.
    """
    context = multiprocessing.get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]  # type: ignore[attr-defined]
    for process in processes:
        process.start()
    if not join:
        return processes
    for i, process in enumerate(processes):
        process.join()
        if process.exitcode:
            raise RuntimeError(f"process {i} terminated with exit code {process.exitcode}")
    return None

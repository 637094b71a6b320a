"""Processes that load data: what runs in one, and how the loader sees that one has died.

Each worker has a pipe of its own, so one that is killed in the middle of a message disturbs no other. A thread in it sends what
is made while more is made.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

import numpy as np

from chainrule.core.call.threads import set_num_threads
from chainrule.core.generator import manual_seed

__all__ = ["Failure", "Fetch", "Workers", "get_worker_info"]

PATIENCE = 5.0  # seconds that workers get to end, and between looks of theirs whether the loader's process lives


class WorkerInfo:
    """What a worker knows of itself: `id`, `num_workers`, `seed`, and its copy of the `dataset`."""

    __slots__ = ("dataset", "id", "num_workers", "seed")

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset!r})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Return what the worker that calls this knows of itself; None in the main process.

    Examples
    --------
    >>> from chainrule.utils.data import get_worker_info
    >>> get_worker_info() is None
    True
    """
    return _info


class Fetch:
    """Makes a batch, or an item, from indices; of an iterable dataset, the next one."""

    def __init__(
        self, dataset: Any, is_iterable: bool, is_batched: bool, collate: Callable[[Any], Any], drop_last: bool
    ) -> None:
        self.dataset, self.is_iterable, self.is_batched = dataset, is_iterable, is_batched
        self.collate, self.drop_last = collate, drop_last
        self._items: Iterator[Any] | None = None

    def start(self) -> None:
        """Begin anew."""
        self._items = iter(self.dataset) if self.is_iterable else None

    def __call__(self, indices: Any) -> Any:
        """Return a batch or an item; raise StopIteration where there are no more."""
        if self._items is not None:
            if not self.is_batched:
                return self.collate(next(self._items))
            batch = [item for _, item in zip(indices, self._items, strict=False)]
            if not batch or (self.drop_last and len(batch) < len(indices)):
                raise StopIteration
            return self.collate(batch)
        if not self.is_batched:
            return self.collate(self.dataset[indices])
        at_once = getattr(self.dataset, "__getitems__", None)
        return self.collate(at_once(indices) if at_once else [self.dataset[i] for i in indices])


class Failure:
    """An error in a worker, to be raised in the main process."""

    def __init__(self, where: str) -> None:
        kind, error, trace = sys.exc_info()
        self.where, self.kind = where, kind or RuntimeError
        self.text = "".join(traceback.format_exception(kind, error, trace))

    def reraise(self) -> NoReturn:
        """Raise the error again, its message the worker's traceback."""
        message: Any = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            message = _Lines(message)
        try:
            error = self.kind(message)
        except Exception:  # one that takes other arguments
            error = RuntimeError(message)
        raise RuntimeError(message) if isinstance(error, StopIteration) else error  # which would end the loop without a word


class _Lines(str):
    """A text that a KeyError shows as it is, line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class End:
    """What a worker sends when its iterable dataset is exhausted."""


def work(
    fetch: Fetch, pipe: Connection, seed: int, id: int, count: int, initialize: Callable[[int], Any] | None, parent: int
) -> None:
    """Answer requests until told to end, or until the loader's process is gone."""
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the loader's to see, who then ends its workers
    set_num_threads(1)
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))
    _info = WorkerInfo(id, count, seed, fetch.dataset)
    where = f"in DataLoader worker process {id}"
    failure: Any = None
    try:
        if initialize is not None:
            initialize(id)
    except Exception:
        failure = Failure(where)
    outbox: queue.SimpleQueue[tuple] = queue.SimpleQueue()
    threading.Thread(target=_send_all, args=(outbox, pipe, where), daemon=True).start()
    while True:
        while not pipe.poll(PATIENCE):
            if os.getppid() != parent:
                return
        try:
            request = pipe.recv()
        except EOFError:
            return
        if request is None:
            return
        epoch, number, indices = request
        try:
            if number is None:
                fetch.start()
                continue
            answer = fetch(indices) if failure is None else failure
            failure = None
        except StopIteration:
            answer = End() if fetch.is_iterable else Failure(where)
        except Exception:
            answer = Failure(where)
        if number is None:  # it could not be started: that is the answer to the first request
            failure = failure or answer
            continue
        outbox.put((epoch, number, id, answer))


def _send_all(outbox: queue.SimpleQueue[tuple], pipe: Connection, where: str) -> None:
    """Send what is made; where it cannot be pickled, that error."""
    while True:
        message = outbox.get()
        try:
            data = ForkingPickler.dumps(message)
        except Exception:
            data = ForkingPickler.dumps((*message[:-1], Failure(where)))
        try:
            pipe.send_bytes(data)
        except OSError:
            return


class Workers:
    """The workers of a loader: started, asked, listened to, and ended."""

    def __init__(self, context: Any, count: int, fetch: Fetch, seed: int, initialize: Callable[[int], Any] | None) -> None:
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        self.epoch = 0
        for id in range(count):
            ours, theirs = context.Pipe()
            args = (fetch, theirs, seed + id, id, count, initialize, os.getpid())
            process = context.Process(target=work, args=args, daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def start(self) -> None:
        """Have all begin anew; answers to what was asked before no longer count."""
        self.epoch += 1
        for id in range(len(self.pipes)):
            self.ask(id, None, None)

    def ask(self, id: int, number: int | None, indices: Any) -> None:
        """Ask a worker for a batch."""
        try:
            self.pipes[id].send((self.epoch, number, indices))
        except OSError:
            self._raise_of_dead()

    def hear(self, timeout: float) -> tuple[int, int, Any]:
        """Return the next answer: number, worker, data."""
        end = time.monotonic() + timeout if timeout > 0 else None
        sentinels = [p.sentinel for p in self.processes]
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = wait([*self.pipes, *sentinels], left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            for pipe in ready:
                if not isinstance(pipe, Connection):
                    continue
                try:
                    epoch, number, id, data = pickle.loads(pipe.recv_bytes())
                except (EOFError, ConnectionError):
                    self._raise_of_dead()
                if epoch == self.epoch:
                    return number, id, data
            if not any(isinstance(pipe, Connection) for pipe in ready):
                self._raise_of_dead()

    def _raise_of_dead(self) -> NoReturn:
        for process in self.processes:
            process.join(0.1)
        dead = [str(p.pid) for p in self.processes if not p.is_alive()]
        codes = ", ".join(str(p.exitcode) for p in self.processes if not p.is_alive())
        self.end()
        raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(dead)}) exited unexpectedly (exit code {codes})")

    def end(self) -> None:
        """End all workers: those that do not end by themselves are terminated."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        latest = time.monotonic() + PATIENCE
        for process in self.processes:
            process.join(max(0.0, latest - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join(PATIENCE)
        for pipe in self.pipes:
            pipe.close()
        self.pipes, self.processes = [], []

"""DataLoader: batches of a dataset, loaded here or in worker processes."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.context
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from chainrule.core.generator import Generator
from chainrule.utils.data.collate import default_collate, default_convert
from chainrule.utils.data.dataset import Dataset, IterableDataset
from chainrule.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, drawn_seed
from chainrule.utils.data.workers import End, Failure, Fetch, Workers

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)
_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))


class DataLoader(Generic[T_co]):
    """Batches of a dataset, in an order, loaded here or ahead of time by worker processes.

    Parameters
    ----------
    dataset : Dataset
        What has ``__getitem__`` and ``__len__``, or an `IterableDataset`.
    batch_size : int, optional
        Items a batch; None loads items one by one, without making batches.
    shuffle : bool, optional
        Whether each epoch has another order.
    sampler : iterable, optional
        The order, as indices.
    batch_sampler : iterable, optional
        The batches, as lists of indices.
    num_workers : int
        Processes that load; 0 loads in this one.
    collate_fn : callable, optional
        Makes a batch of a list of items; `default_collate`, or `default_convert` of each item without batches.
    pin_memory : bool
        Only False is of use: a warning says so.
    drop_last : bool
        Whether a last batch that is not full is left out.
    timeout : float
        Seconds to wait for a worker; 0 waits for ever.
    worker_init_fn : callable, optional
        Called in each worker with its number.
    multiprocessing_context : str or context, optional
        How workers are started.
    generator : Generator, optional
        For the order, and the workers' seeds.
    prefetch_factor : int, optional
        Batches that each worker loads ahead; 2 by default.
    persistent_workers : bool
        Whether workers stay from one epoch to the next.
    pin_memory_device : str
        Only the empty text.
    in_order : bool
        Whether batches of workers come in the order of the sampler.

    Raises
    ------
    ValueError, TypeError
        For options that contradict each other.
    RuntimeError
        In the loop, where a worker has died or takes longer than `timeout`. An error in a worker is raised in the loop with the
        worker's traceback as its message.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils.data import DataLoader, TensorDataset
    >>> for (x,) in DataLoader(TensorDataset(cr.arange(5)), batch_size=2):
    ...     print(x.tolist())
    [0, 1]
    [2, 3]
    [4]
    """

    dataset: Dataset[T_co]
    batch_size: int | None
    _workers: Workers | None = None

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if pin_memory_device:
            raise ValueError("pin_memory_device: chainrule has no memory but the CPU's")
        self.dataset, self.num_workers, self.timeout, self.worker_init_fn = dataset, num_workers, timeout, worker_init_fn
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device, self.in_order, self.generator = pin_memory, "", in_order, generator
        self.multiprocessing_context = multiprocessing_context
        self._is_iterable = isinstance(dataset, IterableDataset)
        if self._is_iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._is_iterable:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = batch_size, drop_last, sampler, batch_sampler
        self.collate_fn = collate_fn or (default_collate if batch_sampler is not None else default_convert)
        self.persistent_workers = persistent_workers
        self._length: int | None = None
        self._is_made = True
        self.check_worker_number_rationality()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_is_made"):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started; None for Python's default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                        f"multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the start method, "
                    f"but got multiprocessing_context={context}"
                )
        self._context = context

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
                UserWarning,
                stacklevel=2,
            )
        return _SingleProcessDataLoaderIter(self) if self.num_workers == 0 else _MultiProcessingDataLoaderIter(self)

    def __len__(self) -> int:
        if not self._is_iterable:
            return len(self._index_sampler)
        length = self._length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than processors."""
        have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if self.num_workers > have:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our suggested max number of worker "
                f"in current system is {have}, which is smaller than what this DataLoader is going to create. Please be aware "
                "that excessive worker creation might get DataLoader running slow or even freeze, lower the worker number to "
                "avoid potential slowness/freeze if necessary.",
                UserWarning,
                stacklevel=3,
            )

    def _fetch(self) -> Fetch:
        return Fetch(self.dataset, self._is_iterable, self._auto_collation, self.collate_fn, self.drop_last)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_workers"}

    def __del__(self) -> None:
        workers = self.__dict__.pop("_workers", None)
        if workers is not None:
            workers.end()


class _Endless:
    """Indices of an iterable dataset, which has none."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def _check_workers(workers: int, timeout: float, prefetch: int | None, are_persistent: bool) -> None:
    if workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if workers == 0 and prefetch is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable multiprocessing, "
            "otherwise set prefetch_factor to None."
        )
    if prefetch is not None and prefetch < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if are_persistent and workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}")


class _BaseDataLoaderIter:
    """An epoch; warns where an iterable dataset has more items than its length says. The names are PyTorch's."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader, self._given = loader, 0

    def __iter__(self) -> Self:
        return self

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __next__(self) -> Any:
        batch = self._next_data()
        self._given += 1
        loader = self._loader
        if loader._length is not None and self._given > len(loader):
            warnings.warn(
                f"Length of IterableDataset {loader.dataset} was reported to be {len(loader)} (when accessing "
                f"len(dataloader)), but {self._given} samples have been fetched.",
                UserWarning,
                stacklevel=2,
            )
        return batch

    def __len__(self) -> int:
        return len(self._loader)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """An epoch that is loaded in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        drawn_seed(loader.generator)  # which workers would have had: the random numbers after it are the same either way
        self._indices = iter(loader._index_sampler)
        self._fetch = loader._fetch()
        self._fetch.start()

    def _next_data(self) -> Any:
        return self._fetch(next(self._indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """An epoch that workers load ahead of time: batches are numbered, and given in that order."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        seed = drawn_seed(loader.generator)
        workers = loader._workers
        if workers is None or not workers.processes:
            context = loader.multiprocessing_context or multiprocessing
            workers = Workers(context, loader.num_workers, loader._fetch(), seed, loader.worker_init_fn)
            if loader.persistent_workers:
                loader._workers = workers
        self._workers = workers
        workers.start()
        self._indices = iter(loader._index_sampler)
        self._active = list(range(loader.num_workers))
        self._turn = 0
        self._owner: dict[int, int] = {}  # of batches that were asked for and not given: which worker was asked
        self._made: dict[int, Any] = {}  # batches that came before their turn
        self._next = self._asked = 0
        for _ in range((loader.prefetch_factor or 1) * loader.num_workers):
            self._ask()

    def _ask(self) -> None:
        """Ask the next worker for the next batch, if there are more."""
        if not self._active:
            return
        indices = next(self._indices, _NONE)
        if indices is not _NONE:
            self._turn = (self._turn + 1) % len(self._active)
            worker = self._active[self._turn - 1]
            self._owner[self._asked] = worker
            self._workers.ask(worker, self._asked, indices)
            self._asked += 1

    def _next_data(self) -> Any:
        while self._owner:
            number = self._next if self._loader.in_order else next(iter(self._made), self._next)
            if number in self._made:
                return self._give(number)
            if self._loader.in_order and self._owner.get(number) not in self._active:
                self._owner.pop(number, None)  # whose worker's dataset was exhausted
                self._next += 1
                continue
            number, worker, data = self._workers.hear(self._loader.timeout)
            if isinstance(data, End):
                if worker in self._active:
                    self._active.remove(worker)
                self._owner.pop(number, None)
                self._ask()
            else:
                self._made[number] = data
        if not self._loader.persistent_workers:
            self._shutdown_workers()
        raise StopIteration

    def _give(self, number: int) -> Any:
        data = self._made.pop(number)
        del self._owner[number]
        self._next = max(self._next, number + 1) if self._loader.in_order else self._next
        self._ask()
        if isinstance(data, Failure):
            data.reraise()
        return data

    def _shutdown_workers(self) -> None:
        self._workers.end()

    def __del__(self) -> None:
        workers = self.__dict__.get("_workers")
        if workers is not None and workers is not self._loader._workers:
            workers.end()


_NONE = object()

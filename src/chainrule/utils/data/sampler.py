"""Samplers: in which order a loader takes items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

from chainrule.core.generator import Generator
from chainrule.functions.creation.create import as_tensor
from chainrule.functions.random.distributions import multinomial
from chainrule.functions.random.tensors import randint as draw_integers
from chainrule.functions.random.tensors import randperm

__all__ = [
    "BatchSampler", "DistributedSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler",
    "WeightedRandomSampler",
]  # fmt: skip

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base of all samplers: a subclass defines ``__iter__``, which yields indices or lists of them, and mostly ``__len__``."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """All indices in their order."""

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def seeded(generator: Generator | None) -> Generator:
    """Return a generator, or a new one whose seed is drawn from the default one, as PyTorch's samplers have it."""
    return generator if generator is not None else Generator().manual_seed(drawn_seed(None))


def drawn_seed(generator: Generator | None) -> int:
    """Return a seed drawn from a generator."""
    return int(draw_integers(0, 2**63 - 1, (), generator=generator).item())


class RandomSampler(Sampler[int]):
    """Indices at random: each once, or with replacement.

    Parameters
    ----------
    data_source : sized
        Whose indices.
    replacement : bool
        Whether an index may come again.
    num_samples : int, optional
        How many; as many as there are by default.
    generator : Generator, optional
        Which random numbers.

    Examples
    --------
    >>> from chainrule.utils.data import RandomSampler
    >>> sorted(RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None
    ) -> None:
        self.data_source, self.replacement, self._num_samples, self.generator = data_source, replacement, num_samples, generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        check_count("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices an iteration yields."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        total, generator = len(self.data_source), seeded(self.generator)
        if self.replacement:
            for start in range(0, self.num_samples, 32):  # PyTorch draws so many at a time
                yield from draw_integers(0, total, (min(32, self.num_samples - start),), generator=generator).tolist()
            return
        for start in range(0, self.num_samples, total):
            yield from randperm(total, generator=generator).tolist()[: self.num_samples - start]

    def __len__(self) -> int:
        return self.num_samples


def check_count(name: str, value: Any) -> None:
    """Raise PyTorch's error for what should be a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class SubsetRandomSampler(Sampler[int]):
    """Given indices at random, each once.

    Examples
    --------
    >>> from chainrule.utils.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([5, 3]))
    [3, 5]
    """

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices at random, each with a probability in proportion to its weight.

    Examples
    --------
    >>> from chainrule.utils.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 2.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        check_count("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = as_tensor(weights, dtype=float)
        if self.weights.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}")
        self.weights = self.weights.double()
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        return iter(multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of another sampler's indices.

    Examples
    --------
    >>> from chainrule.utils.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_count("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        total = len(self.sampler)  # type: ignore[arg-type]
        return total // self.batch_size if self.drop_last else math.ceil(total / self.batch_size)


class DistributedSampler(Sampler[int]):
    """The share of the indices that one of several processes takes; `set_epoch` changes their order.

    Parameters
    ----------
    dataset : sized
        Whose indices.
    num_replicas, rank : int
        How many processes there are, and which this is: chainrule has no process groups to ask.
    shuffle : bool
        Whether the order is random, the same in all processes.
    seed : int
        Of that order.
    drop_last : bool
        Whether indices that would make the shares unequal are left out; else some come twice.

    Examples
    --------
    >>> from chainrule.utils.data import DistributedSampler
    >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise ValueError("Default process group has not been initialized: give num_replicas and rank")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank, self.epoch, self.drop_last = dataset, num_replicas, rank, 0, drop_last
        total = len(dataset)
        self.num_samples = total // num_replicas if drop_last else math.ceil(total / num_replicas)
        self.total_size, self.shuffle, self.seed = self.num_samples * num_replicas, shuffle, seed

    def __iter__(self) -> Iterator[int]:
        total = len(self.dataset)
        order = list(range(total))
        if self.shuffle:
            order = randperm(total, generator=Generator().manual_seed(self.seed + self.epoch)).tolist()
        if total:
            order = (order * math.ceil(self.total_size / total))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Have the next iterations take another order."""
        self.epoch = epoch

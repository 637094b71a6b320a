"""Datasets, samplers and loaders against PyTorch's; worker processes that work, fail, die and wait."""

from __future__ import annotations

import importlib
import os
import pickle
import random
import signal
import time
import warnings
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

Point = namedtuple("Point", "x y")
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create 2 "),  # where there is one processor
    pytest.mark.filterwarnings("ignore:os.fork"),  # of JAX, where another test has imported it
]


def parts(lib):
    """Return the library's utils.data, with datasets of its kinds in it."""
    data = importlib.import_module(f"{lib.__name__}.utils.data")

    class Squares(data.Dataset):
        def __init__(self, n=10):
            self.n = n

        def __len__(self):
            return self.n

        def __getitem__(self, i):
            return {"x": lib.tensor([i, i * i]), "y": (i, float(i)), "z": np.arange(i, i + 3), "name": f"n{i}"}

    class Count(data.IterableDataset):
        def __iter__(self):
            return iter(range(7))

    class Long(Count):
        def __len__(self):
            return 5

    data.Squares, data.Count, data.Long = Squares, Count, Long
    return data


def plain(value):
    if hasattr(value, "detach"):
        return str(value.dtype).split(".")[-1], value.tolist()
    if isinstance(value, dict):
        return type(value).__name__, {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(v) for v in value]
    return value


LOADERS = [
    lambda data: data.DataLoader(data.Squares()),
    lambda data: data.DataLoader(data.Squares(), batch_size=4),
    lambda data: data.DataLoader(data.Squares(), batch_size=4, drop_last=True),
    lambda data: data.DataLoader(data.Squares(), batch_size=None),
    lambda data: data.DataLoader(data.Squares(), sampler=[3, 1, 2], batch_size=2),
    lambda data: data.DataLoader(data.Squares(), batch_sampler=[[3, 1], [2]]),
    lambda data: data.DataLoader(data.Squares(), batch_size=3, collate_fn=len),
    lambda data: data.DataLoader(data.Count(), batch_size=3),
    lambda data: data.DataLoader(data.Count(), batch_size=3, drop_last=True),
    lambda data: data.DataLoader(data.Count(), batch_size=None),
    lambda data: data.DataLoader(data.ChainDataset([data.Count(), data.Count()]), batch_size=4),
    lambda data: data.DataLoader(data.ConcatDataset([range(3), range(5, 7)]), batch_size=2),
    lambda data: data.DataLoader(data.Subset(data.Subset(data.Squares(), [5, 3, 1]), [2, 0]), batch_size=2),
    lambda data: data.DataLoader(data.StackDataset(range(4), "abcd"), batch_size=3),
    lambda data: data.DataLoader(data.StackDataset(a=range(4), b=data.Subset("abcd", [3, 2, 1, 0])), batch_size=3),
    lambda data: data.DataLoader(data.Squares(3) + data.Squares(2), batch_size=5),
]


@pytest.mark.parametrize("index", range(len(LOADERS)))
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_pytorchs(torch, index, workers):
    def made(lib, workers=0):
        loader = LOADERS[index](parts(lib))
        loader.num_workers = workers
        return [plain(batch) for batch in loader]

    wanted = made(torch)
    if workers and isinstance(LOADERS[index](parts(cr)).dataset, IterableDataset):
        pytest.skip("each worker yields all items")
    ours = made(cr, workers)
    assert ours == wanted
    try:
        length = len(LOADERS[index](parts(torch)))
    except TypeError:
        with pytest.raises(TypeError, match="has no len"):
            len(LOADERS[index](parts(cr)))
    else:
        assert len(LOADERS[index](parts(cr))) == length


def batches(lib):
    t = lib.tensor
    return [
        [t([1.0]), t([2.0])],
        [np.ones(2), np.zeros(2)],
        [np.float32(1), np.float32(2)],
        [np.int16(3)],
        [np.bool_(True)],
        [1, 2],
        [1.5],
        [True, False],
        ["a", "b"],
        [b"a"],
        [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}],
        [OrderedDict(a=1), OrderedDict(a=2)],
        [(1, 2.0), (3, 4.0)],
        [[1, "x"], [2, "y"]],
        [Point(1, t([2])), Point(3, t([4]))],
        [object()],
        [None],
        [[1], [1, 2]],
        [t([1]), t([1, 2])],
        [np.array(["a"])],
    ]


@pytest.mark.parametrize("index", range(20))
@pytest.mark.parametrize("f", ["default_collate", "default_convert"])
def test_collation_is_pytorchs(torch, f, index):
    def run(lib):
        return getattr(parts(lib), f)(batches(lib)[index])

    if f == "default_collate" and index >= 15:
        with pytest.raises(Exception) as theirs:
            run(torch)
        with pytest.raises(theirs.type) as ours:
            run(cr)
        assert str(ours.value)[:60] == str(theirs.value)[:60]
    else:
        assert plain(run(cr)) == plain(run(torch)) or index == 15  # an object of its own


def bad_calls(data):
    rows, count, load = data.TensorDataset(data.tensor(10)), data.Count(), data.DataLoader
    return [
        lambda: load(rows, num_workers=-1),
        lambda: load(rows, timeout=-1),
        lambda: load(rows, prefetch_factor=2),
        lambda: load(rows, num_workers=1, prefetch_factor=-1),
        lambda: load(rows, persistent_workers=True),
        lambda: load(count, shuffle=True),
        lambda: load(count, sampler=[1]),
        lambda: load(count, batch_sampler=[[1]]),
        lambda: load(rows, sampler=[1], shuffle=True),
        lambda: load(rows, batch_sampler=[[1]], batch_size=2),
        lambda: load(rows, batch_size=None, drop_last=True),
        lambda: load(rows, batch_size=0),
        lambda: load(rows, batch_size=2.5),
        lambda: load(rows, drop_last=3),
        lambda: setattr(load(rows), "batch_size", 3),
        lambda: load(rows, multiprocessing_context="x", num_workers=1),
        lambda: load(rows, multiprocessing_context="fork"),
        lambda: load(rows, multiprocessing_context=3, num_workers=1),
        lambda: load([], shuffle=True),
        lambda: data.RandomSampler(rows, replacement=3),
        lambda: data.RandomSampler(rows, num_samples=0),
        lambda: data.WeightedRandomSampler([[1.0]], 2),
        lambda: data.WeightedRandomSampler([1.0], 0),
        lambda: data.WeightedRandomSampler([1.0], 2, replacement=3),
        lambda: list(data.WeightedRandomSampler([1.0], 2, replacement=False)),
        lambda: data.BatchSampler([1], True, False),
        lambda: data.BatchSampler([1], 2, 3),
        lambda: data.random_split(rows, [3, 3]),
        lambda: data.random_split(rows, [0.5, 0.6]),
        lambda: data.random_split(rows, [1.5, -0.5]),
        lambda: data.ConcatDataset([]),
        lambda: data.ConcatDataset([count]),
        lambda: data.ConcatDataset([rows])[-11],
        lambda: data.TensorDataset(data.tensor(2), data.tensor(3)),
        lambda: data.StackDataset(),
        lambda: data.StackDataset(rows, a=rows),
        lambda: data.StackDataset(rows, [1]),
        lambda: list(data.ChainDataset([rows])),
        lambda: data.Dataset()[0],
        lambda: data.DistributedSampler(rows, num_replicas=2, rank=2),
        lambda: data.DistributedSampler(rows),
    ]


@pytest.mark.parametrize("index", range(41))
def test_bad_arguments_raise_pytorchs_errors(torch, index):
    def call(lib):
        data = parts(lib)
        data.tensor = lib.ones
        return bad_calls(data)[index]

    with pytest.raises(Exception) as theirs:
        call(torch)()
    with pytest.raises(theirs.type) as ours:
        call(cr)()
    assert str(ours.value)[:45] == str(theirs.value)[:45]


def test_parts_and_orders_are_those_of_the_generator():
    data, draw = parts(cr), lambda: cr.Generator().manual_seed(3)
    rows = TensorDataset(cr.arange(20))
    for make in (
        lambda g: list(data.RandomSampler(rows, generator=g)),
        lambda g: list(data.RandomSampler(rows, replacement=True, num_samples=50, generator=g)),
        lambda g: list(data.RandomSampler(rows, num_samples=50, generator=g)),
        lambda g: list(data.SubsetRandomSampler(range(5, 9), g)),
        lambda g: list(data.WeightedRandomSampler([1, 2, 0, 3], 9, generator=g)),
        lambda g: [x.tolist() for (x,) in data.DataLoader(rows, 4, shuffle=True, generator=g)],
        lambda g: [part.indices for part in data.random_split(rows, [0.2, 0.8], g)],
    ):
        assert make(draw()) == make(draw())
    once = [x.tolist() for (x,) in data.DataLoader(rows, 4, shuffle=True, generator=draw(), num_workers=2)]
    assert once == [x.tolist() for (x,) in data.DataLoader(rows, 4, shuffle=True, generator=draw())]
    cr.manual_seed(0)
    first = list(data.RandomSampler(rows))
    assert list(data.RandomSampler(rows)) != first
    cr.manual_seed(0)
    assert list(data.RandomSampler(rows)) == first
    assert sorted(first) == list(range(20))
    assert len(set(list(data.RandomSampler(rows, num_samples=25))[:20])) == 20


@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_the_indices(torch, drop_last):
    def shares(lib, shuffle):
        sampler = lambda rank: parts(lib).DistributedSampler(range(11), 3, rank, shuffle, drop_last=drop_last)
        return [list(sampler(rank)) for rank in range(3)], len(sampler(0))

    assert shares(cr, False) == shares(torch, False)
    shuffled, length = shares(cr, True)
    assert {len(share) for share in shuffled} == {length}
    assert drop_last or {i for share in shuffled for i in share} == set(range(11))


def test_a_length_that_is_too_short_warns():
    loader = DataLoader(parts(cr).Long(), batch_size=2)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match=r"was reported to be 3 \(when accessing len\(dataloader\)\), but 4 samples"):
        list(loader)


class Rows(Dataset):
    """Numbers; or whatever a function makes of them."""

    def __init__(self, f=None, n=6):
        self.f, self.n = f, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i if self.f is None else self.f(i)


def worker(i):
    info = get_worker_info()
    return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand()), cr.rand(1).item()


def test_workers_know_themselves_and_have_random_numbers_of_their_own():
    def run():
        generator = cr.Generator().manual_seed(5)
        return list(DataLoader(Rows(worker, 4), batch_size=None, num_workers=2, generator=generator))

    first = run()
    assert first == run()
    assert [row[:2] for row in first] == [[0, 2], [1, 2], [0, 2], [1, 2]]
    assert len({row[2] for row in first}) == 2
    for column in (3, 4, 5):
        assert len({row[column] for row in first}) == 4


class Shared(IterableDataset):
    """Numbers, each from one worker."""

    def __iter__(self):
        info = get_worker_info()
        yield from range(info.id, 9, info.num_workers)


@pytest.mark.parametrize("in_order", [True, False])
def test_workers_share_an_iterable_dataset(in_order):
    loader = DataLoader(Shared(), batch_size=2, num_workers=2, in_order=in_order)
    found = [batch.tolist() for batch in loader]
    assert sorted(i for batch in found for i in batch) == list(range(9))
    if in_order:
        assert found == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]


def test_workers_stay_for_the_next_epoch_if_they_shall():
    loader = DataLoader(Rows(lambda i: os.getpid()), batch_size=None, num_workers=2, persistent_workers=True)
    first = set(loader)
    iterator = iter(loader)  # left in the middle
    next(iterator)
    assert first == set(loader) == set(loader)
    assert len(first) == 2
    loader._workers.end()
    assert set(DataLoader(Rows(lambda i: os.getpid()), batch_size=None, num_workers=2)) != first


def test_slow_items_come_in_order_or_as_they_come():
    def slow(i):
        time.sleep(0.3 if i == 0 else 0)
        return i

    assert list(DataLoader(Rows(slow), batch_size=None, num_workers=2)) == [0, 1, 2, 3, 4, 5]
    eager = list(DataLoader(Rows(slow), batch_size=None, num_workers=2, in_order=False))
    assert sorted(eager) == [0, 1, 2, 3, 4, 5]
    assert eager[0] == 1


class OwnError(Exception):
    """An error that takes two arguments."""

    def __init__(self, a, b):
        super().__init__(a)


def failing(kind):
    def f(i):
        if i == 2:
            raise {"key": KeyError("k"), "value": ValueError("bad item"), "own": OwnError(1, 2), "stop": StopIteration()}[kind]
        return i

    return f


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("key", KeyError, "KeyError: 'k'"),
        ("value", ValueError, "bad item"),
        ("own", RuntimeError, "OwnError"),
        ("stop", RuntimeError, ""),
    ],
)
def test_an_error_in_a_worker_is_raised_in_the_loop_with_its_traceback(kind, error, words):
    iterator = iter(DataLoader(Rows(failing(kind)), batch_size=None, num_workers=2))
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.raises(error, match="in DataLoader worker process 0") as raised:
        next(iterator)
    assert "Traceback (most recent call last)" in str(raised.value)
    assert words in str(raised.value)
    assert list(iterator) == [3, 4, 5]


def test_what_cannot_be_sent_is_an_error():
    with pytest.raises((RuntimeError, AttributeError, pickle.PicklingError), match="in DataLoader worker process 0"):
        list(DataLoader(Rows(lambda i: lambda: i), batch_size=None, num_workers=1))


def test_an_error_in_the_first_call_of_a_worker_is_raised():
    def initialize(id):
        raise ValueError(f"worker {id} is not ready")

    with pytest.raises(ValueError, match="worker 0 is not ready"):
        list(DataLoader(Rows(), num_workers=1, worker_init_fn=initialize))


@pytest.mark.parametrize("way", [lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_worker_that_dies_is_an_error_and_no_hang(way):
    def dying(i):
        if i == 3:
            way()
        return i

    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(DataLoader(Rows(dying), batch_size=None, num_workers=2))
    assert time.monotonic() - start < 10


def test_a_worker_that_takes_too_long_is_an_error():
    loader = DataLoader(Rows(lambda i: time.sleep(2)), num_workers=1, timeout=0.2)
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.2 seconds"):
        next(iter(loader))


def test_large_batches_are_made_ahead():
    loader = DataLoader(Rows(lambda i: cr.full((300, 300), float(i))), batch_size=2, num_workers=2, prefetch_factor=3)
    assert [batch[:, 0, 0].tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.slow
def test_workers_may_be_spawned():
    loader = DataLoader(TensorDataset(cr.arange(4)), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    assert [x.tolist() for (x,) in loader] == [[0, 1], [2, 3]]


def test_more_workers_than_processors_and_pinned_memory_warn():
    with pytest.warns(UserWarning, match="This DataLoader will create 4096 worker processes"):
        DataLoader(Rows(), num_workers=4096)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true"):
        list(DataLoader(Rows(), pin_memory=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(DataLoader(Rows()))

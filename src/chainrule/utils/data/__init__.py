"""PyTorch's ``utils.data``: datasets, in which order their items come, and loaders of batches."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.utils.data.collate import default_collate, default_convert
from chainrule.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from chainrule.utils.data.loader import DataLoader
from chainrule.utils.data.loader import _BaseDataLoaderIter as _BaseDataLoaderIter
from chainrule.utils.data.loader import _MultiProcessingDataLoaderIter as _MultiProcessingDataLoaderIter
from chainrule.utils.data.loader import _SingleProcessDataLoaderIter as _SingleProcessDataLoaderIter
from chainrule.utils.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from chainrule.utils.data.workers import get_worker_info

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "DistributedSampler", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset",
    "WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info", "random_split",
]  # fmt: skip

_tell_of_missing(__name__)

"""Making a batch of items: tensors stacked, numbers in tensors, containers item by item."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.create import as_tensor, tensor
from chainrule.functions.shaping.join import stack

__all__ = ["collate", "default_collate", "default_convert"]

CollateMap = dict[Any, Callable[..., Any]]


def _refuse(found: Any) -> TypeError:
    return TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {found}")


def _holds_numbers(array: np.ndarray | np.generic) -> bool:
    return array.dtype.kind in "biufc"


def _stacked(batch: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor:
    return stack(list(batch), 0)


def _of_arrays(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Tensor:
    if not _holds_numbers(batch[0]):
        raise _refuse(batch[0].dtype)
    if isinstance(batch[0], np.ndarray):
        return stack([as_tensor(a) for a in batch], 0)
    return as_tensor(np.array(batch))


default_collate_fn_map: CollateMap = {
    Tensor: _stacked,
    np.ndarray: _of_arrays,
    (np.bool_, np.number): _of_arrays,
    float: lambda batch, *, collate_fn_map=None: tensor(batch, dtype=float).double(),
    int: lambda batch, *, collate_fn_map=None: tensor(batch),
    str: lambda batch, *, collate_fn_map=None: batch,
    bytes: lambda batch, *, collate_fn_map=None: batch,
}


def collate(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Make a batch of items, each type by its function in a map, containers item by item.

    Parameters
    ----------
    batch : sequence
        The items.
    collate_fn_map : dict, optional
        Type, or tuple of types → ``f(batch, *, collate_fn_map)``.
    """
    first = batch[0]
    for kind, make in (collate_fn_map or {}).items():
        if type(first) is kind or isinstance(first, kind):
            return make(batch, collate_fn_map=collate_fn_map)
    again = lambda items: collate(items, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        made = {key: again([item[key] for item in batch]) for key in first}
        return _like(first, made)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(again(column) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [again(column) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like(first, columns)
    raise _refuse(type(first))


def _like(container: Any, made: Any) -> Any:
    """Return the collated items in a container of the items' type, where it can be made."""
    try:
        if isinstance(container, (MutableMapping, MutableSequence)):
            copied = copy.copy(container)
            if isinstance(made, dict):
                copied.update(made)  # type: ignore[union-attr]
            else:
                copied[:] = made
            return copied
        return type(container)(made)
    except TypeError:
        return made


def default_collate(batch: Any) -> Any:
    """Make a batch of items: what a loader does unless it is told otherwise.

    Tensors and arrays are stacked; numbers become a tensor (floats of float64); texts a list; dicts, tuples and lists are made
    item by item.

    Examples
    --------
    >>> from chainrule.utils.data import default_collate
    >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """Make tensors of the arrays in an item: what a loader without batches does.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule.utils.data import default_convert
    >>> default_convert([np.ones(2), "a"])
    [tensor([1., 1.], dtype=chainrule.float64), 'a']
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return as_tensor(data) if _holds_numbers(data) else data
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [default_convert(item) for item in data])
    return data

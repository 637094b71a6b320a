"""PyTorch's ``utils._foreach_utils``, by which optimisers of other packages sort lists of tensors into those alike."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor

__all__: list[str] = []


def _group_tensors_by_device_and_dtype(tensorlistlist: list[list], with_indices: bool = False) -> dict:
    """Return, by device and dtype of the first list's tensors, the lists of their entries, and the places that these had.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils._foreach_utils import _group_tensors_by_device_and_dtype
    >>> lists = [[cr.ones(1), cr.ones(1, dtype=cr.float64), cr.zeros(1)], [None, None, None]]
    >>> [places for _, places in _group_tensors_by_device_and_dtype(lists, with_indices=True).values()]
    [[0, 2], [1]]
    """
    groups: dict[Any, tuple[list[list], list[int]]] = {}
    for place, entries in enumerate(zip(*(entries for entries in tensorlistlist if entries), strict=True)):
        first = entries[0]
        lists, places = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        filled = iter(entries)
        for into, given in zip(lists, tensorlistlist, strict=True):
            if given:
                into.append(next(filled))
        if with_indices:
            places.append(place)
    return groups


def _device_has_foreach_support(device: Any) -> bool:
    """Return True for the CPU, on which ``foreach`` functions are loops."""
    return device.type == "cpu"


def _has_foreach_support(tensors: list, device: Any) -> bool:
    return _device_has_foreach_support(device) and all(t is None or type(t) is Tensor for t in tensors)


def _get_foreach_kernels_supported_devices() -> list[str]:
    """Return the devices for which PyTorch has such kernels, but for the CPU."""
    return ["cuda", "xpu", "mtia", "privateuseone"]


def _get_fused_kernels_supported_devices() -> list[str]:
    """Return the devices for which PyTorch has fused optimisers."""
    return ["mps", "cuda", "xpu", "hpu", "cpu", "mtia", "privateuseone"]

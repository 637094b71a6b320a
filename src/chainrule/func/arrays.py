"""NumPy arrays in the place of tensors: what is differentiated in arrays gives arrays, so that SciPy can call it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import tree_map


def tensors_of(leaves: list) -> bool:
    """Put tensors in the place of arrays, in a list; tell whether there was one."""
    found = False
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, (np.ndarray, np.generic)):
            leaves[i], found = wrap(leaf), True
    return found


def arrays_of(tree: Any) -> Any:
    """Return a tree of results with arrays of their own for tensors; a value of an outer transform stays the tensor it is."""
    return tree_map(_array_of, tree)


def _array_of(value: Any) -> Any:
    if not isinstance(value, Tensor) or value._level or value.requires_grad:
        return value
    return np.array(value.resolve_conj().numpy())[()]  # type: ignore[attr-defined]

"""Square brackets: reading and writing by integers, slices, None, Ellipsis, index arrays and masks.

A key is taken in two steps, as PyTorch takes it: integers, slices and None give a view; arrays and masks then select from
that view, in one op.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, cast, in_full
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.samples import Bools, Fixed, Ints, Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import assign, check_writable, repeats
from chainrule.functions.adapt import public
from chainrule.functions.shaping.copy import NUMBERS, _fill, copy_, fill_, plain, put_raw
from chainrule.functions.shaping.join import unbind
from chainrule.functions.shaping.view import broadcast_tensors, expand, reshape
from chainrule.ops.indexing import index as ops
from chainrule.ops.indexing import mask as masks
from chainrule.ops.indexing.view import FULL, getitem
from chainrule.ops.shaping import shape as shapes
from chainrule.ops.shaping.join import stack

__all__ = ["index_put"]

ndarray = np.ndarray

# -- keys --------------------------------------------------------------------------------------------------------------


def _as_array(item: Any) -> Any:
    """Return an index array (raw, or a tensor) for an item that is no basic index; an int where it means one."""
    if isinstance(item, Tensor):
        if item._level == 0 and not item.ndim and item.dtype.category == dtypes.INT and item.dtype is not dtypes.uint8:
            return int(item.item())
    elif isinstance(item, np.generic):
        return bool(item) if item.dtype.kind == "b" else operator.index(item)  # type: ignore[arg-type]
    elif hasattr(item, "__index__") and not isinstance(item, ndarray):
        return operator.index(item)
    else:
        if isinstance(item, str):
            raise TypeError(
                f"new(): invalid data type 'str': {item!r} is no index; take integers, slices, ..., None or tensors"
            )
        if isinstance(item, (float, complex, dict, set)):
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
                f"{type(item).__name__})"
            )
        if isinstance(item, Sequence):
            item = np.array([int(i) if isinstance(i, Tensor) else i for i in item]) if len(item) else np.zeros(0, np.int64)
            item = item.astype(np.int64) if item.dtype.kind == "f" else item  # as PyTorch reads a list
        item = np.asarray(item)
        if not item.ndim and item.dtype.kind in "iu":
            return int(item)
    d = item.dtype if isinstance(item, Tensor) else dtypes.of(item.dtype)
    if d.category > dtypes.INT:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if d is dtypes.uint8:
        warnings.warn("indexing with dtype uint8 is deprecated, please use a dtype bool instead.", UserWarning, stacklevel=4)
        return item != 0
    return item


def _is_spelled_out(key: Any) -> bool:
    """Tell whether a sequence that is no tuple means a tuple of indices, by PyTorch's rule: it holds more than numbers."""
    if not isinstance(key, Sequence) or len(key) >= 32:
        return False
    if not any([item is None or item is Ellipsis or isinstance(item, (slice, Tensor, ndarray, Sequence)) for item in key]):
        return False
    warnings.warn(
        "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
        "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[chainrule.tensor(seq)], "
        "which will result either in an error or a different result",
        UserWarning,
        stacklevel=4,
    )
    return True


def _is_mask(item: Any) -> bool:
    return (item.dtype is dtypes.bool_) if isinstance(item, Tensor) else item.dtype.kind == "b"


def _parsed(x: Tensor, key: Any) -> tuple[tuple, list]:
    """Return a key's basic index and, for the view that it gives, the (axis, array) pairs still to apply."""
    items = list(key) if key.__class__ is tuple or _is_spelled_out(key) else [key]
    ndim = x.ndim
    used, ellipses = 0, 0
    for k, item in enumerate(items):
        if item.__class__ is int or item.__class__ is slice:
            used += 1
            if item.__class__ is slice and item.step is not None and item.step <= 0:
                raise ValueError("step must be greater than zero")
        elif item is Ellipsis:
            ellipses += 1
        elif item is not None and item.__class__ is not bool:
            item = items[k] = _as_array(item)
            if item.__class__ is not bool:
                used += 1 if item.__class__ is int or not _is_mask(item) else item.ndim
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > ndim:
        if not ndim:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
                "0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    basic: list = []
    arrays: list = []
    axis = 0
    for item in items:
        if item.__class__ is int:
            basic.append(item)
            continue
        if item is Ellipsis:
            basic.append(item)
            axis += ndim - used
            continue
        if item is None or item.__class__ is slice:
            basic.append(item)
            axis += 1
            continue
        if item.__class__ is bool or (_is_mask(item) and not item.ndim):
            basic.append(None)
            arrays.append((axis, np.zeros(1 if item else 0, np.int64)))
            axis += 1
            continue
        width = item.ndim if _is_mask(item) else 1
        basic += [FULL] * width
        arrays.append((axis, item))
        axis += width
    if not ellipses:
        basic.append(Ellipsis)
    return tuple(basic), arrays


def _selected(x: Tensor, basic: tuple) -> Tensor:
    """Return the view of a basic index that goes with arrays; the tensor itself where the index is whole."""
    if all([item is Ellipsis or (item.__class__ is slice and item == FULL) for item in basic]):
        return x
    return getitem(x, index=basic)


def _raw(item: Any) -> Any:
    return item._data if isinstance(item, Tensor) and item._level == 0 and modes().tracer is None else item


def _columns(mask: Any) -> list:
    """Return a mask's True positions, one index array for each of its axes."""
    raw = _raw(mask)
    if not isinstance(raw, Tensor):
        return list(np.nonzero(raw))
    found = masks.nonzero(raw)
    return [getitem(found, index=(..., k)) for k in range(raw.ndim)]


def _check_mask(x: Tensor, axis: int, mask: Any) -> None:
    size = tuple(x.shape[axis : axis + mask.ndim])
    if tuple(mask.shape) != size:
        raise IndexError(
            f"The shape of the mask {list(mask.shape)} at index {axis} does not match the shape of the indexed tensor "
            f"{list(x.shape)} at index {axis}"
        )


def _combined(x: Tensor, arrays: list) -> tuple[Any, tuple]:
    """Return (array, axes): index arrays broadcast together, masks turned to positions, as one op takes them."""
    places: list = []
    for axis, item in arrays:
        if _is_mask(item):
            _check_mask(x, axis, item)
            places += [(axis + k, column) for k, column in enumerate(_columns(item))]
        else:
            places.append((axis, item))
    axes = tuple([axis for axis, _ in places])
    if len(places) == 1:
        return places[0][1], axes
    rows = [_raw(item) for _, item in places]
    if any([isinstance(row, Tensor) for row in rows]):
        return stack(*broadcast_tensors(*rows), axis=0), axes
    try:
        return np.stack(np.broadcast_arrays(*rows)), axes
    except ValueError:
        shapes_ = ", ".join(str(list(row.shape)) for row in rows)
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes_}") from None


def _explained(x: Tensor, error: IndexError) -> IndexError:
    """Return an out-of-bounds error in PyTorch's words."""
    words = str(error).partition("(): ")[2] or str(error)
    words = words.partition(" (called with")[0].replace("for axis", "for dimension")
    return IndexError(words)


# -- reading -----------------------------------------------------------------------------------------------------------


def _getitem(self: Tensor, key: Any) -> Tensor:
    """Return part of the tensor: a view for integers, slices, None and Ellipsis; a copy where arrays or masks take part."""
    if (key.__class__ is int or (key.__class__ is slice and key.step is None)) and self.ndim:
        try:
            return getitem(self, index=(key, ...))
        except IndexError as error:
            raise _explained(self, error) from None
    basic, arrays = _parsed(self, key)
    try:
        if not arrays:
            return getitem(self, index=basic)
        x = _selected(self, basic)
        if len(arrays) == 1 and _is_mask(arrays[0][1]):
            axis, mask = arrays[0]
            _check_mask(x, axis, mask)
            return masks.masked(x, mask, lead=axis)
        i, axes = _combined(x, arrays)
        return ops.index(x, i, axes=axes)
    except IndexError as error:
        raise _explained(self, error) from None


def _iterate(self: Tensor) -> Iterator[Tensor]:
    """Go through the views of the elements of the first axis."""
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self, 0))


def _contains(self: Tensor, element: Any) -> bool:
    """Tell whether some element equals a value."""
    if not isinstance(element, (Tensor, *NUMBERS)):
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element).__name__}.")
    return bool(np.any(innermost(self) == innermost(element)))


def _reversed(self: Tensor) -> Tensor:
    """Return a copy with the first axis reversed."""
    return shapes.flip(self, axis=(0,)) if self.ndim else self


# -- writing -----------------------------------------------------------------------------------------------------------


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    """Write a value, broadcast and cast, to the part of the tensor that the key selects; gradients flow to the value."""
    basic, arrays = _parsed(self, key)
    mixed = False
    if value.__class__ not in NUMBERS:
        mixed = isinstance(value, Tensor) and value.dtype is not self.dtype
        value = as_tensor(value, "__setitem__", 1)
    try:
        if not arrays:
            if not (plain(self, value) and not repeats(self) and _put_plain(self, basic, value)):
                _write(_selected(self, basic), value)
            return
        masked = len(arrays) == 1 and _is_mask(arrays[0][1])
        if mixed and not (masked and value.numel() == 1) and key.__class__ is not bool:
            raise _mismatched(self, value)
        x = _selected(self, basic)
        if masked:
            axis, mask = arrays[0]
            _check_mask(x, axis, mask)
            _put_masked(x, mask, _fitting(x, value), axis)
        else:
            i, axes = _combined(x, arrays)
            _put(x, i, _fitting(x, value), axes, False)
    except IndexError as error:
        raise _explained(self, error) from None


def _put_plain(self: Tensor, basic: tuple, value: Any) -> bool:
    """Write a value that nothing records straight to memory; return False if its shape does not fit, of which errors tell."""
    check_writable(self)
    try:
        put_raw(self, basic, value)
    except ValueError:
        return False
    if value.__class__ not in NUMBERS:
        dtypes.warn_discarding(value.dtype, self.dtype, 3)
    return True


def _write(part: Tensor, value: Any) -> None:
    if value.__class__ in NUMBERS:
        _fill(part, value, "Fill3")
        return
    if not value.ndim and part.ndim and not value._level:
        fill_(part, value)
        return
    shape = tuple(value.shape)
    while len(shape) > part.ndim and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != value.ndim:
        value = reshape(value, shape)
    if shape != tuple(part.shape):
        value = expand(value, part.shape)
    copy_(part, value)


def _mismatched(x: Tensor, value: Tensor) -> RuntimeError:
    return RuntimeError(
        f"Index put requires the source and destination dtypes match, got {x.dtype.old_name} for the destination and "
        f"{value.dtype.old_name} for the source."
    )


def _fitting(x: Tensor, value: Any) -> Tensor:
    """Return the value to write as a tensor of the dtype of `x`."""
    return cast(in_full(value), x.dtype)


def _broadcast_to_place(value: Tensor, shape: tuple, strip: bool = True) -> Tensor:
    while strip and value.ndim > len(shape) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of shape "
            f"{list(shape)}"
        )
    return value


def _put_masked(x: Tensor, mask: Any, value: Tensor, lead: int) -> None:
    check_writable(x, value)
    raw = _raw(mask)
    if not isinstance(raw, Tensor):
        count = int(np.count_nonzero(raw))
        value = _broadcast_to_place(value, (*x.shape[:lead], count, *x.shape[lead + raw.ndim :]))
        if plain(x, value):
            put_raw(x, (FULL,) * lead + (raw,), value)
            return
    assign(x, lambda: masks.masked_put(x, mask, value, lead=lead, accumulate=False), "index_put_")


def _put(x: Tensor, i: Any, value: Tensor, axes: tuple, accumulate: bool) -> None:
    check_writable(x, value)
    value = _broadcast_to_place(value, _place_shape(x, i, axes))
    raw = _raw(i)
    if plain(x, value) and not isinstance(raw, Tensor) and not accumulate:
        put_raw(x, ops.subscript(raw, axes), value)
        return
    assign(x, lambda: ops.index_put(x, i, value, axes=axes, accumulate=accumulate), "index_put_")


def _place_shape(x: Tensor, i: Any, axes: tuple) -> tuple:
    """Return the shape of what an index array selects."""
    shape, found = tuple(x.shape), tuple(i.shape)
    if len(axes) > 1:
        found = found[1:]
    if axes == tuple(range(axes[0], axes[-1] + 1)):
        return (*shape[: axes[0]], *found, *shape[axes[-1] + 1 :])
    return (*found, *[n for axis, n in enumerate(shape) if axis not in axes])


Tensor.__getitem__, Tensor.__setitem__ = _getitem, _setitem  # type: ignore[attr-defined]
Tensor.__iter__, Tensor.__contains__ = _iterate, _contains  # type: ignore[attr-defined]
Tensor.__reversed__ = _reversed  # type: ignore[attr-defined]


@public(inplace=False, samples=lambda: [
    Sample((4, 3), [Fixed(np.array([2, 0]))], (2, 3)), Sample((4, 3), [Ints((5,), 0, 4), Ints((5,), 0, 3)], (5,), True),
    Sample((4, 3), [Bools((4,))], ()),
])  # fmt: skip
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """Return a copy with `values` written to, or added at, the positions of the index arrays.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    indices : tuple of Tensor
        Integer arrays or masks for the leading axes.
    values : Tensor
        Of the dtype of `input`; broadcast to the selected shape.
    accumulate : bool
        Add, with repeated positions summed, instead of writing.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.index_put(cr.zeros(3), (cr.tensor([0, 2]),), cr.tensor([1.0, 2.0])).tolist()
    [1.0, 0.0, 2.0]
    """
    x, values = as_tensor(input, "index_put"), as_tensor(values, "index_put", 2)
    if x.dtype is not values.dtype:
        raise _mismatched(x, values)
    _, arrays = _parsed(x, tuple(indices))
    i, axes = _combined(x, arrays)
    values = _broadcast_to_place(values, _place_shape(x, i, axes), strip=False)
    try:
        return ops.index_put(x, i, values, axes=axes, accumulate=bool(accumulate))
    except IndexError as error:
        raise _explained(x, error) from None


def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place version of :func:`chainrule.index_put`."""
    return assign(self, lambda: index_put(self, indices, values, accumulate), "index_put_")


Tensor.index_put_ = index_put_  # type: ignore[attr-defined]

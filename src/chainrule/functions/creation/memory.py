"""Tensors on memory that is there already: a buffer's, a file's."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import check_device, leaf, placed

__all__ = ["from_file", "frombuffer"]


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """Return a tensor on the memory of an object with a buffer: a write to either shows in both.

    Parameters
    ----------
    buffer : bytes-like
        Such as a bytearray, array.array or memoryview. A tensor on read-only memory refuses to be written to.
    dtype : dtype
        What the bytes are read as.
    count : int
        How many elements; -1 for all to the end.
    offset : int
        How many bytes come before the first.
    requires_grad : bool
        Record operations on the result.

    Returns
    -------
    Tensor
        One axis.

    Raises
    ------
    ValueError
        If the object has no buffer, the buffer is too short, or what is left of it is no whole number of elements.

    Examples
    --------
    >>> import chainrule as cr
    >>> memory = bytearray([1, 2, 3])
    >>> t = cr.frombuffer(memory, dtype=cr.uint8, offset=1)
    >>> t[0] = 9
    >>> list(memory)
    [1, 9, 3]
    """
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    numpy, n = dtypes.as_dtype(dtype).numpy, len(view)
    size = numpy.itemsize
    if not n or not count:
        raise ValueError(f"both buffer length ({n}) and count ({count}) must not be 0")
    if not 0 <= offset < n:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({n} bytes) minus 1")
    if count < 0:
        if (n - offset) % size:
            raise ValueError(
                f"buffer length ({n - offset} bytes) after offset ({offset} bytes) must be a multiple of element size ({size})"
            )
        count = (n - offset) // size
    if offset + count * size > n:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than actual "
            f"buffer length ({n} bytes)"
        )
    return leaf(wrap(np.frombuffer(view, numpy, count, offset)), requires_grad)


@placed
def from_file(
    filename: str, shared: bool | None = None, size: int | None = 0, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor on the memory of a file, which is read as it is used.

    Parameters
    ----------
    filename : str
        The file.
    shared : bool
        Whether writes to the tensor are writes to the file, which is made if it is not there, and grown if it is too short.
    size : int
        How many elements.
    dtype : dtype, optional
        The default dtype if not given.
    device, requires_grad
        As for :func:`zeros`.

    Raises
    ------
    RuntimeError
        If the file cannot be opened, or is shorter than asked for and not shared.

    Examples
    --------
    >>> import chainrule as cr, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "values")
    >>> cr.from_file(path, shared=True, size=2, dtype=cr.int32).fill_(7).tolist()
    [7, 7]
    >>> cr.from_file(path, size=2, dtype=cr.int32).tolist()
    [7, 7]
    """
    check_device(device)
    numpy = (dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)).numpy
    return leaf(wrap(mapped(filename, shared, size or 0, numpy)), requires_grad)


def mapped(filename: str, shared: bool | None, count: int, numpy: np.dtype) -> np.ndarray:
    """Return the memory of a file as a vector: `from_file` without its tensor."""
    try:
        if shared:
            with open(filename, "ab") as file:
                if file.tell() < count * numpy.itemsize:
                    file.truncate(count * numpy.itemsize)
        return np.asarray(np.memmap(filename, numpy, "r+" if shared else "c", shape=(count,)) if count else np.empty(0, numpy))
    except (OSError, ValueError) as error:
        mode = "read-write" if shared else "read-only"
        raise RuntimeError(f"unable to open file <{filename}> in {mode} mode, or to map {count} elements: {error}") from error

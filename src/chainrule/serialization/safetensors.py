"""Files of the safetensors format, which hold named tensors and nothing that runs; with the safetensors package.

The package checks every header and writes every file; what is here makes tensors on a file's memory. Programs of PyTorch that
``import safetensors.torch`` run under `chainrule run` as they are.
"""

from __future__ import annotations

import mmap as mapping
import os
import sys
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import check_device

__all__ = ["load", "load_file", "save", "save_file"]

CODES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip
"""The format's dtypes by its codes, of those that NumPy has."""


def save_file(tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors to a file.

    Parameters
    ----------
    tensors : dict
        Names → contiguous tensors that share no memory; of any dtype but complex128. What they require of gradients is not
        written.
    filename : str or path
    metadata : dict, optional
        Texts by names, for the file's header.

    Raises
    ------
    ImportError
        If the safetensors package is not installed.
    ValueError
        If something is no tensor, or not contiguous, or of a dtype that the format has not.
    RuntimeError
        If two tensors share memory.

    Examples
    --------
    >>> import chainrule as cr, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> cr.serialization.safetensors.save_file(cr.nn.Linear(2, 1).state_dict(), path, {"epoch": "3"})
    >>> sorted(cr.serialization.safetensors.load_file(path))
    ['bias', 'weight']
    """
    _package().numpy.save_file(_arrays(tensors), filename, metadata)


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Return the bytes that `save_file` writes.

    Examples
    --------
    >>> import chainrule as cr
    >>> data = cr.serialization.safetensors.save({"x": cr.ones(2)})
    >>> cr.serialization.safetensors.load(data)
    {'x': tensor([1., 1.])}
    """
    return _package().numpy.save(_arrays(tensors), metadata)


def load_file(filename: Any, device: Any = "cpu", *, mmap: bool = True) -> dict[str, Tensor]:
    """Read named tensors from a file.

    Parameters
    ----------
    filename : str or path
    device : device or str
        The CPU.
    mmap : bool
        Whether tensors' memory stays in the file until it is needed; writes do not reach the file.

    Returns
    -------
    dict
        Names → tensors, in the order of the file. Its metadata is what ``safetensors.safe_open(path, "np").metadata()`` gives.

    Raises
    ------
    ImportError
        If the safetensors package is not installed.
    safetensors.SafetensorError
        If the header is truncated, corrupt, too large, or does not fit the file's size.
    TypeError
        For a dtype that NumPy has not, such as float8.

    Examples
    --------
    >>> import chainrule as cr, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
    >>> cr.serialization.safetensors.save_file({"x": cr.arange(3)}, path)
    >>> cr.serialization.safetensors.load_file(path)
    {'x': tensor([0, 1, 2])}
    """
    check_device(device)
    with _package().safe_open(filename, framework="np") as file:  # which checks the header, sizes and places among it
        parts = [(name, file.get_slice(name)) for name in file.offset_keys()]
        kinds = [(name, part.get_dtype(), part.get_shape()) for name, part in parts]
    with open(os.fspath(filename), "rb") as raw:
        place = 8 + int.from_bytes(raw.read(8), "little")  # tensors follow the header, without gaps
        memory: Any
        if mmap:
            memory = mapping.mmap(raw.fileno(), 0, access=mapping.ACCESS_COPY)
        else:
            raw.seek(0)
            memory = bytearray(raw.read())
    made = {}
    for name, code, shape in kinds:
        made[name] = _tensor(code, shape, memory, place)
        place += made[name].nbytes
    return made


def load(data: bytes) -> dict[str, Tensor]:
    """Read named tensors from bytes that `save` returned, or a file holds.

    Raises
    ------
    ImportError, safetensors.SafetensorError, TypeError
        As `load_file`.
    """
    found = _package().deserialize(data)
    return {name: _tensor(part["dtype"], part["shape"], part["data"], 0) for name, part in found}


def _package() -> Any:
    """Return the safetensors package."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("safetensors files need the package safetensors: pip install safetensors") from error
    return safetensors


def _tensor(code: str, shape: list[int], memory: Any, place: int) -> Tensor:
    """Return a tensor on a part of memory."""
    if code not in CODES:
        raise TypeError(f"the file has a tensor of dtype {code}; chainrule has {', '.join(CODES)}")
    kind = dtypes.named(CODES[code]).numpy
    count = prod(shape)
    array = np.frombuffer(memory, kind, count, place) if count else np.empty(0, kind)
    return wrap((array if sys.byteorder == "little" else array.byteswap()).reshape(shape))


def _arrays(tensors: Any) -> dict[str, np.ndarray]:
    """Return the tensors' arrays, if a file can hold them."""
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    arrays = {}
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(t)}")
        if t.dtype.name not in CODES.values():
            raise ValueError(f"the tensor `{name}` is of dtype {t.dtype}, which the safetensors format has not")
        if not t.is_contiguous():
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. Call .contiguous() on it; if "
                "several tensors are parts of one, save that."
            )
        arrays[name] = array_of(t)
    shared = _overlapping(arrays)
    if shared:
        raise RuntimeError(
            "Some tensors share memory, this will lead to duplicate memory on disk and potential differences when loading them "
            f"again: {shared}. Save one of them, or clones."
        )
    return arrays


def _overlapping(arrays: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Return pairs of names, neighbours in memory, whose contiguous arrays have bytes in common; none if no two have."""
    places = sorted((a.ctypes.data, a.ctypes.data + a.nbytes, name) for name, a in arrays.items() if a.nbytes)
    return [(left[2], right[2]) for left, right in pairwise(places) if right[0] < left[1]]

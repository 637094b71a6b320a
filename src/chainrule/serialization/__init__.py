"""PyTorch's ``save`` and ``load``: files of tensors, state dicts and what holds them, which PyTorch reads and writes too."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.core.types.device import device
from chainrule.serialization import safetensors as safetensors
from chainrule.serialization.reading import no_cuda, read
from chainrule.serialization.unpickling import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from chainrule.serialization.writing import write

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "safetensors", "save"]

_tell_of_missing(__name__)

MAP_LOCATION = Callable[[Any, str], Any] | device | str | dict[str, str] | None
TRUST = (
    "load with weights_only=False runs whatever code the file holds: do so only with files whose source you trust. Files of "
    "tensors and plain containers load without it."
)


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file in PyTorch's format.

    Tensors that share memory share it in the file, and again when it is loaded; gradients and graphs are not saved.

    Parameters
    ----------
    obj : object
        Tensors, state dicts, containers of them, and whatever can be pickled.
    f : str, path or file
        Where to: a path, or a file that is open for writing bytes.
    pickle_module : module
        Only Python's `pickle`.
    pickle_protocol : int
        The protocol of pickles; PyTorch writes 2.

    Raises
    ------
    RuntimeError
        If tensors of different dtypes share memory, or the folder does not exist.

    Examples
    --------
    >>> import io
    >>> import chainrule as cr
    >>> file = io.BytesIO()
    >>> cr.save({"weight": cr.ones(2), "epoch": 3}, file)
    >>> _ = file.seek(0)
    >>> cr.load(file)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    if pickle_module is not pickle:
        raise NotImplementedError("save: pickle_module can only be Python's pickle")
    if not _use_new_zipfile_serialization or _disable_byteorder_record:
        raise NotImplementedError("save writes the zip format with its byte order: load reads the older one, too")
    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise RuntimeError(f"Parent directory {os.path.dirname(path)} does not exist.")
        with open(path, "wb") as file:
            write(obj, file, os.path.splitext(os.path.basename(path))[0] or "archive", pickle_protocol)
    elif hasattr(f, "write"):
        write(obj, f, "archive", pickle_protocol)
    else:
        raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, not {type(f)}")


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read an object that `save` wrote, here or in PyTorch.

    Parameters
    ----------
    f : str, path or file
        From where: a path, or a file that is open for reading bytes and can seek.
    map_location : device, str, callable or dict, optional
        Where memory goes that was on a device: only the CPU. A callable gets an object and the name of the device, a dict maps
        names of devices.
    pickle_module : module, optional
        Only Python's `pickle`.
    weights_only : bool, optional
        True, the default, reads tensors, numbers, texts and containers, and refuses everything else by name; the file runs no
        code. False reads anything, with a warning, for the file can run any code.
    mmap : bool, optional
        Whether tensors' memory stays in the file, whose path must be given, until it is needed; writes do not reach the file.

    Raises
    ------
    UnpicklingError
        For what `weights_only` refuses, and for pickles that are corrupt.
    RuntimeError
        For files that are truncated or corrupt, and memory of a device without `map_location`.
    EOFError
        For an empty file.

    Examples
    --------
    >>> import io
    >>> import chainrule as cr
    >>> file = io.BytesIO()
    >>> cr.save(cr.nn.Linear(2, 1).state_dict(), file)
    >>> _ = file.seek(0)
    >>> list(cr.load(file))
    ['weight', 'bias']
    """
    if pickle_module not in (None, pickle) or pickle_load_args:
        raise NotImplementedError(f"load takes no pickle_module but Python's, and no options of it ({list(pickle_load_args)})")
    is_plain = weights_only is not False
    if not is_plain:
        warnings.warn(TRUST, UserWarning, stacklevel=2)
    locate = _locator(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return read(file, os.fspath(f) if mmap else None, is_plain, locate)
    if mmap:
        raise ValueError("f must be a file path in order to use the mmap argument")
    if not hasattr(f, "read") or not hasattr(f, "seek"):
        raise AttributeError(f"'{type(f).__name__}' object has no attribute 'seek': load needs a path or a file that can seek")
    return read(f, None, is_plain, locate)


class _Given:
    """What a callable `map_location` gets for a storage, and may return."""

    def cpu(self) -> _Given:
        return self


def _locator(map_location: Any) -> Callable[[str], None]:
    """Return the function that checks that memory goes to the CPU."""
    if map_location is None:
        return no_cuda
    if isinstance(map_location, dict):
        return lambda location: no_cuda(str(map_location.get(location, location)))
    if isinstance(map_location, (str, device)):
        place = device(map_location)
        if place.type != "cpu":
            no_cuda(place.type)
        return lambda location: None
    if not callable(map_location):
        raise TypeError(f"map_location must be a device, a str, a dict or a callable, not {type(map_location).__name__}")

    def locate(location: str) -> None:
        if map_location(_Given(), location) is None:
            no_cuda(location)

    return locate

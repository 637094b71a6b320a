"""PyTorch's ``hub``, and its older name ``utils.model_zoo``: its folder, and errors, as nothing is fetched from the network."""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn

__all__ = ["download_url_to_file", "get_dir", "list", "load", "load_state_dict_from_url", "load_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
"""Of the part of a file's name that is the beginning of its hash."""
_folder: str | None = None


def _get_torch_home() -> str:
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return os.path.expanduser(home)


def get_dir() -> str:
    """Return the folder in which PyTorch keeps what it fetched."""
    return _folder or os.path.join(_get_torch_home(), "hub")


def set_dir(d: str) -> None:
    """Set that folder."""
    global _folder
    _folder = os.path.expanduser(d)


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError(
        "torch.hub: chainrule fetches nothing from the network; download the file and load it with torch.load"
    )


download_url_to_file = list = load = load_state_dict_from_url = load_url = _refuse


class _Unshown:
    """A progress bar that shows nothing, where the package tqdm is not installed."""

    def __init__(self, iterable: Any = None, *args: Any, **kwargs: Any) -> None:
        self.iterable = iterable

    def __iter__(self) -> Any:
        return iter(self.iterable)

    def __enter__(self) -> _Unshown:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def update(self, n: float | None = 1) -> None:
        """Count nothing."""

    set_description = close = update


def __getattr__(name: str) -> Any:
    if name != "tqdm":
        raise AttributeError(f"module 'torch.hub' has no attribute {name!r}")
    try:
        from tqdm import tqdm
    except ImportError:
        return _Unshown
    return tqdm

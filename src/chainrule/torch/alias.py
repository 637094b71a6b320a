"""Having ``import torch`` give chainrule: an import hook, put in place when asked for and not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from chainrule.core.types import spelling
from chainrule.functions.interop.numpy import take_arrays
from chainrule.torch import absent
from chainrule.torch.naming import Namer, rename_loaded

__all__ = ["as_torch"]

_RENAMED = {
    "functional": "", "_tensor": "", "storage": "", "tensor": "", "optim.adamw": "optim",
    "utils.data.dataloader": "utils.data", "utils.data.distributed": "utils.data", "utils.data.sampler": "utils.data",
    "utils.data.dataset": "utils.data", "utils.model_zoo": "torch.hub", "onnx.symbolic_helper": "torch.onnx",
    "jit.annotations": "torch.jit",
}  # fmt: skip
"""PyTorch's modules whose names are in a module of another name here."""


class _Finder(MetaPathFinder, Loader):
    """Finds ``torch`` and its submodules: those of the look-alike, or else chainrule's of the same name."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Return how a module of ``torch`` is loaded; None for other modules."""
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        module = self._module(fullname[6:])
        if module is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: chainrule, which stands in for torch here, has no counterpart of it",
                name=fullname,
            )
        spec = ModuleSpec(fullname, self, is_package=hasattr(module, "__path__"))
        spec.loader_state = module, module.__spec__
        return spec

    @staticmethod
    def _module(rest: str) -> ModuleType | None:
        """Return the module that answers to a name within torch."""
        places = [f"chainrule.torch.{rest}", f"chainrule.{rest}"] if rest else ["chainrule.torch"]
        if rest in _RENAMED:
            places.append(f"chainrule.{_RENAMED[rest]}".rstrip("."))
        for place in places:
            try:
                return import_module(place)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                    raise
        return absent.module(rest)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module itself."""
        return spec.loader_state[0]

    def exec_module(self, module: ModuleType) -> None:
        """Put back what the import machinery wrote into a module that was there."""
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state[1]


class _Reader(MetaPathFinder):
    """Finds no module, but reads each before it runs: one that overrides functions is to find those that look for it.

    A class that does may be no subclass of Tensor, and its module may take ``Tensor.matmul`` as a key, before any call
    could show it; see `chainrule.overrides` on why functions do not look from the start.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Return what Python's own finder finds, after reading it."""
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None and not fullname.startswith("chainrule."):
            read(spec.origin)
        return spec


def read(file: str) -> None:
    """Have functions look for overrides if a module's file speaks of them."""
    if "chainrule.overrides" not in sys.modules and file.endswith(".py") and b"__torch_function__" in Path(file).read_bytes():
        import_module("chainrule.overrides")


_finder = _Finder()
_FOR_SPAWNED = str(Path(__file__).with_name("spawned"))


def as_torch() -> ModuleType:
    """Have ``import torch`` give chainrule, from now on and in the whole process.

    Names read as PyTorch's: ``torch.__name__`` is ``torch``, ``str(x.dtype)`` is ``torch.float32``, and
    ``nn.Linear.__module__`` is ``torch.nn.modules.linear``.
    NumPy's functions take tensors as they take PyTorch's, as arrays, and record nothing: ``np.concatenate`` of tensors is an
    array. Processes that :mod:`multiprocessing` spawns from this one import chainrule for ``torch``, too.

    Returns
    -------
    module
        What ``import torch`` gives.

    Raises
    ------
    RuntimeError
        If PyTorch itself was imported already.

    Examples
    --------
    >>> import chainrule as cr
    >>> torch = cr.as_torch()  # doctest: +SKIP
    >>> import torch  # doctest: +SKIP
    """
    if _finder not in sys.meta_path:
        if "torch" in sys.modules:
            raise RuntimeError("torch is imported already: call chainrule.as_torch() before anything imports it")
        sys.meta_path[:0] = [_finder, Namer()]
        sys.meta_path.insert(sys.meta_path.index(PathFinder), _Reader())  # type: ignore[arg-type]
        sys.path.insert(1, _FOR_SPAWNED)
        rename_loaded()
        spelling.library = "torch"
        take_arrays()
    module = import_module("torch")
    module.__name__ = "torch"
    return module

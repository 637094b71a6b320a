"""Devices under PyTorch's name: values for all that PyTorch knows, of which tensors are on the CPU alone."""

from __future__ import annotations

import re
from typing import Any

_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan",
    "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
_PLACE = re.compile(r"[a-z]+(:(0|[1-9]\d*))?")
_COMPILED = ("cuda", "xpu", "mtia")  # what PyTorch names by an AssertionError where it is built without


class device:  # noqa: N801 - PyTorch's public name
    """Where a tensor lives: ``device("cpu")``. Others are values to name and compare; making a tensor there raises.

    Parameters
    ----------
    type : str or device
        ``"cpu"``, or another that PyTorch knows, such as ``"cuda"`` or ``"mps"``; with a number, as in ``"cuda:1"``.
    index : int, optional
        The number, where `type` has none.

    Raises
    ------
    RuntimeError
        For a name that PyTorch does not know, or a number alone, which would be that of an accelerator.
    TypeError
        If the arguments are of no such types.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.ones(2).device
    device(type='cpu')
    >>> cr.zeros(2, device=cr.device("cpu")).device.type
    'cpu'
    >>> cr.device("cuda", 1) == cr.device("cuda:1") != cr.device("cuda")
    True
    """

    __slots__ = ("_index", "_type")
    _type: str
    _index: int | None

    def __init__(self, type: Any = None, index: int | None = None, *, device: Any = None):
        spec = type if device is None else device
        if index is not None and not isinstance(spec, str):
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_word(spec)}")
        if index is not None and not hasattr(index, "__index__"):
            raise TypeError(f"device(): argument 'index' (position 2) must be int, not {_word(index)}")
        if isinstance(spec, self.__class__):
            self._type, self._index = spec._type, spec._index
        elif isinstance(spec, str):
            self._type, self._index = _read(spec, index)
        elif isinstance(spec, int) and not isinstance(spec, bool):
            raise RuntimeError(
                "Device index must not be negative" if spec < 0 else "Cannot access accelerator device when none is available."
            )
        else:
            raise TypeError(f"device() received an invalid combination of arguments - got ({_word(spec)})")

    @property
    def type(self) -> str:
        """What kind it is, such as ``"cpu"``."""
        return self._type

    @property
    def index(self) -> int | None:
        """Its number among those of its kind; None for the one that is current."""
        return self._index

    def __str__(self) -> str:
        return self._type if self._index is None else f"{self._type}:{self._index}"

    def __repr__(self) -> str:
        return f"device(type={self._type!r}{'' if self._index is None else f', index={self._index}'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self._type, self._index) == (other._type, other._index)

    def __hash__(self) -> int:
        return hash((self._type, self._index))

    def __enter__(self) -> device:
        """Make what factories make live here: raise at once if nothing can."""
        return usable(self)

    def __exit__(self, *exc: object) -> None:
        """End it."""

    def __reduce__(self) -> tuple:
        return device, (self._type,) if self._index is None else (self._type, self._index)


def _word(value: Any) -> str:
    return "torch.device" if value.__class__ is device else value.__class__.__name__


def _read(text: str, index: Any) -> tuple[str, int | None]:
    """Return the kind and the number that a text and a number name; raise PyTorch's error if they name none."""
    if not text:
        raise RuntimeError("Device string must not be empty")
    kind, colon, number = text.partition(":")
    if kind not in _TYPES:
        raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {kind}")
    if not _PLACE.fullmatch(text):
        raise RuntimeError(f"Invalid device string: '{text}'")
    if index is None:
        return kind, int(number) if colon else None
    if colon:
        raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {text}")
    if index < 0:
        raise RuntimeError("Device index must not be negative")
    return kind, int(index)


def usable(spec: Any) -> device:
    """Return the device that `spec` names; raise PyTorch's error for one where no tensor can be: all but the CPU.

    Raises
    ------
    AssertionError, RuntimeError, ModuleNotFoundError
        As PyTorch does where it is built without the device.

    Examples
    --------
    >>> usable("cpu:0")
    device(type='cpu', index=0)
    >>> usable("cuda")
    Traceback (most recent call last):
    AssertionError: Torch not compiled with CUDA enabled: chainrule computes on the CPU only
    """
    found = spec if spec.__class__ is device else device(spec)
    kind = found.type
    if kind == "cpu":
        return found
    if kind in _COMPILED:
        raise AssertionError(f"Torch not compiled with {kind.upper()} enabled: chainrule computes on the CPU only")
    if kind in ("hpu", "privateuseone"):
        raise ModuleNotFoundError(f"No module named 'torch.{kind}': chainrule computes on the CPU only")
    raise RuntimeError(f"PyTorch is not linked with support for {kind} devices: chainrule computes on the CPU only")


CPU = device("cpu")

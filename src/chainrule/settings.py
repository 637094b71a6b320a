"""Settings of the whole process: the default device and tensor type, determinism, precision, threads between ops.

chainrule computes on the CPU, deterministically and in full precision: what PyTorch's programs ask for here is granted as it
stands, and what cannot be granted raises.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.types.device import CPU, device, usable
from chainrule.core.types.dtype import set_default_dtype
from chainrule.functions.creation.legacy import default_tensor_type

__all__ = [
    "are_deterministic_algorithms_enabled", "get_default_device", "get_deterministic_debug_mode",
    "get_float32_matmul_precision", "get_num_interop_threads", "is_deterministic_algorithms_warn_only_enabled",
    "set_default_device", "set_default_tensor_type", "set_deterministic_debug_mode", "set_float32_matmul_precision",
    "set_flush_denormal", "set_num_interop_threads", "use_deterministic_algorithms",
]  # fmt: skip

_device = device  # which a parameter shadows
_DEBUG_MODES = ("default", "warn", "error")
_now: dict[str, Any] = {"device": CPU, "deterministic": 0, "precision": "highest"}

# -- defaults ----------------------------------------------------------------------------------------------------------


def get_default_device() -> device:
    """Return the device on which factories make tensors.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_default_device()
    device(type='cpu')
    """
    return _now["device"]


def set_default_device(device: Any) -> None:
    """Set the device on which factories make tensors.

    Parameters
    ----------
    device : device, str or None
        The CPU; None stands for it.

    Raises
    ------
    AssertionError, RuntimeError
        For any other device.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_default_device("cpu")
    """
    _now["device"] = CPU if device is None else usable(device)


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype by the class, or its name, of PyTorch's older tensor types.

    Parameters
    ----------
    t : class or str
        ``chainrule.FloatTensor``, ``DoubleTensor``, ``HalfTensor``, ``BFloat16Tensor``, or such a name after a dot.

    Raises
    ------
    TypeError
        If it is none of these.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_default_tensor_type(cr.DoubleTensor)
    >>> cr.ones(1).dtype
    chainrule.float64
    >>> cr.set_default_tensor_type("chainrule.FloatTensor")
    """
    set_default_dtype(default_tensor_type(t))


# -- determinism -------------------------------------------------------------------------------------------------------


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for ops that give the same results each time: every op here does, so nothing raises or warns.

    Parameters
    ----------
    mode : bool
        What :func:`are_deterministic_algorithms_enabled` then says.
    warn_only : bool
        What :func:`is_deterministic_algorithms_warn_only_enabled` then says.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.use_deterministic_algorithms(True)
    >>> cr.are_deterministic_algorithms_enabled()
    True
    >>> cr.use_deterministic_algorithms(False)
    """
    for name, value in (("mode", mode), ("warn_only", warn_only)):
        if not isinstance(value, bool):
            raise TypeError(f"_set_deterministic_algorithms(): argument '{name}' must be bool, not {type(value).__name__}")
    _now["deterministic"] = (1 if warn_only else 2) if mode else 0


def are_deterministic_algorithms_enabled() -> bool:
    """Tell whether deterministic ops were asked for.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.are_deterministic_algorithms_enabled()
    False
    """
    return _now["deterministic"] > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Tell whether only a warning of other ops was asked for.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return _now["deterministic"] == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Set by one value what :func:`use_deterministic_algorithms` sets by two.

    Parameters
    ----------
    debug_mode : int or str
        ``"default"`` or 0, ``"warn"`` or 1, ``"error"`` or 2.

    Raises
    ------
    RuntimeError
        For any other value.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_deterministic_debug_mode("default")
    """
    if isinstance(debug_mode, str):
        if debug_mode not in _DEBUG_MODES:
            raise RuntimeError(f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}")
        debug_mode = _DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _now["deterministic"] = debug_mode


def get_deterministic_debug_mode() -> int:
    """Return 0, 1 or 2, as :func:`set_deterministic_debug_mode` takes them.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_deterministic_debug_mode()
    0
    """
    return _now["deterministic"]


# -- precision and threads ---------------------------------------------------------------------------------------------


def set_float32_matmul_precision(precision: str) -> None:
    """Allow float32 matrix products to be computed less precisely; they are computed in full float32 all the same.

    Parameters
    ----------
    precision : str
        ``"highest"``, ``"high"`` or ``"medium"``: the least that will do.

    Raises
    ------
    ValueError
        For another string.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_float32_matmul_precision("high")
    >>> cr.get_float32_matmul_precision()
    'high'
    >>> cr.set_float32_matmul_precision("highest")
    """
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"set_float32_matmul_precision() takes 'highest', 'high' or 'medium', not {precision!r}")
    _now["precision"] = precision


def get_float32_matmul_precision() -> str:
    """Return what was set as the least precision that will do.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_float32_matmul_precision()
    'highest'
    """
    return _now["precision"]


def set_flush_denormal(mode: bool) -> bool:
    """Return whether subnormal numbers could be set to be flushed to zero: only not flushing them can be had.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_flush_denormal(True), cr.set_flush_denormal(False)
    (False, True)
    """
    return not mode


def get_num_interop_threads() -> int:
    """Return how many ops run at once: one.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_num_interop_threads()
    1
    """
    return 1


def set_num_interop_threads(number: int) -> None:
    """Set how many ops may run at once, of which one does.

    Raises
    ------
    RuntimeError
        If it is not positive.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_num_interop_threads(4)
    """
    if number < 1:
        raise RuntimeError("set_num_interop_threads: expected a positive number of threads")

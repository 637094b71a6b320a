"""What of autocast is on in a thread and context, and what functions ask of it.

They ask where they ask overrides (``core.call.asking``), after all of those. So it costs nothing before it is first on; from
then on functions look, for 0.2 µs a call.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import ref

from chainrule.amp.policies import POLICIES, mapped, policy_of
from chainrule.core.call.asking import UNASKED, asking
from chainrule.core.call.dispatch import cast
from chainrule.core.mode.state import modes
from chainrule.core.tensor.subclass import STATE, State
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.dtype import dtype
from chainrule.functions.adapt import FUNCTIONS

_BFLOAT16_BY_DEFAULT = frozenset(("cpu", "hpu", "maia", "xla"))
_DEVICES = _BFLOAT16_BY_DEFAULT | {"cuda", "ipu", "mps", "mtia", "privateuseone", "xpu"}


class Settings(NamedTuple):
    """What is on in a thread and context.

    Attributes
    ----------
    enabled : frozenset of str
        The types of device that autocast is on for.
    dtypes : dict
        Type of device → the dtype to compute in, where it is not the default.
    caching : bool
        Whether the casts of leaves are kept.
    depth : int
        How many blocks are open.
    kept : dict
        Those casts: of a tensor's id and the dtype, a weak reference to the tensor, what it was like, and the cast.
    """

    enabled: frozenset = frozenset()
    dtypes: Mapping[str, Any] = {}  # never changed, only replaced
    caching: bool = True
    depth: int = 0
    kept: dict | None = None


_DEFAULT = Settings()
SETTINGS: ContextVar[Settings] = ContextVar("chainrule.autocast", default=_DEFAULT)


class _Casting:
    """What functions ask on the CPU: computes those that are in a list in the dtype that it says."""

    __slots__ = ("dtype", "kept")

    def __init__(self, d: dtype, kept: dict | None):
        self.dtype, self.kept = d, kept

    def answer(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Return the result of a function that is in a list, of arguments that are cast; `UNASKED` for others."""
        policy = policy_of(func)
        if policy is None:
            return UNASKED
        if kwargs.get("out") is None:  # PyTorch's functions with `out` are others, and in no list
            args, kwargs = policy(self.lowered, self.dtype, args, kwargs)
        return _uncast(func, *args, **kwargs)

    def factors(self, values: tuple) -> tuple:
        """Return the factors of a product in the dtype."""
        return mapped(values, self.lowered)

    def lowered(self, t: Tensor) -> Any:
        """Return a tensor in the dtype; of a leaf that requires grad, such as a weight, the same one all through the block."""
        kept = self.kept
        if kept is None or t._level or t.dtype is not dtypes.float32 or not (t.requires_grad and t.is_leaf) or t._is_view():
            return cast(t, self.dtype)
        key, like = (id(t), self.dtype), (t._version, modes().record, modes().scopes)
        found = kept.get(key)
        if found is None or found[0]() is not t or found[1] != like:
            found = kept[key] = (ref(t), like, cast(t, self.dtype))
        return found[2]


def _uncast(func: Callable, *args: Any, **kwargs: Any) -> Any:
    """Return what a function gives where autocast is off."""
    state = STATE.get()
    if state.casting is None:
        return func(*args, **kwargs)
    token = STATE.set(State(state.subclasses, state.modes))
    try:
        return func(*args, **kwargs)
    finally:
        STATE.reset(token)


def put(settings: Settings) -> None:
    """Put settings in force."""
    SETTINGS.set(settings)
    casting = None
    if "cpu" in settings.enabled:
        _have_functions_ask()
        casting = _Casting(_dtype_of(settings, "cpu"), settings.kept if settings.caching else None)
    state = STATE.get()
    if casting is not state.casting:
        STATE.set(State(state.subclasses, state.modes, casting))


@functools.cache
def _have_functions_ask() -> None:
    """Have functions, and the methods of those in a list, look for autocast from now on; in-place methods are in none."""
    asking.on = True
    for name in POLICIES:
        method = getattr(Tensor, name, None)  # which reads the chapter that declares it
        if method is not None and name in FUNCTIONS and not hasattr(method, "__wrapped__"):
            setattr(Tensor, name, FUNCTIONS[name].call)
        in_place = getattr(Tensor, f"{name}_", None)
        if in_place is not None:
            setattr(Tensor, f"{name}_", _never_cast(in_place))


def _never_cast(method: Callable) -> Callable:
    """Return a method inside which autocast is off."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _uncast(method, *args, **kwargs)

    return call


def _dtype_of(settings: Settings, device_type: str) -> dtype:
    found = settings.dtypes.get(device_type)
    return found or (dtypes.bfloat16() if device_type in _BFLOAT16_BY_DEFAULT else dtypes.float16)


def _known(device_type: Any, function: str) -> str:
    """Return a type of device, or raise PyTorch's error for what is none."""
    if not isinstance(device_type, str):
        raise TypeError(f"{function}(): argument 'device_type' (position 1) must be str, not {type(device_type).__name__}")
    kind = device_type.partition(":")[0]
    if kind not in _DEVICES:
        raise RuntimeError(f"unknown device type for autocast in {function}: {device_type!r}; give 'cpu'")
    return kind


# -- what is on --------------------------------------------------------------------------------------------------------


def is_autocast_available(device_type: str) -> bool:
    """Tell whether PyTorch has autocast for a type of device; chainrule has it for ``"cpu"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.amp.is_autocast_available("cpu")
    True
    """
    return device_type in _DEVICES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Tell whether autocast is on for a type of device, in this thread.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.autocast("cpu", dtype=cr.float16):
    ...     cr.is_autocast_enabled("cpu")
    True
    """
    return _known(device_type, "is_autocast_enabled") in SETTINGS.get().enabled


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a type of device, in this thread; blocks of :class:`autocast` do it by themselves.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_autocast_enabled("cpu", False)
    """
    if enabled is None:
        device_type, enabled = "cuda", device_type  # type: ignore[assignment]
    if not isinstance(enabled, bool):
        raise TypeError(f"set_autocast_enabled(): argument 'enabled' (position 2) must be bool, not {type(enabled).__name__}")
    kind, settings = {_known(device_type, "set_autocast_enabled")}, SETTINGS.get()
    put(settings._replace(enabled=settings.enabled | kind if enabled else settings.enabled - kind))


def get_autocast_dtype(device_type: str) -> dtype:
    """Return the dtype that autocast computes in on a type of device: bfloat16 on the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_autocast_dtype("cpu")
    chainrule.bfloat16
    """
    return _dtype_of(SETTINGS.get(), _known(device_type, "get_autocast_dtype"))


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the dtype that autocast computes in on a type of device, in this thread.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_autocast_dtype("cpu", cr.bfloat16)
    """
    settings = SETTINGS.get()
    put(settings._replace(dtypes={**settings.dtypes, _known(device_type, "set_autocast_dtype"): dtype}))


def is_autocast_cache_enabled() -> bool:
    """Tell whether the casts of leaves are kept until the outermost block ends."""
    return SETTINGS.get().caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Set whether the casts of leaves are kept until the outermost block ends."""
    put(SETTINGS.get()._replace(caching=enabled))


def clear_autocast_cache() -> None:
    """Forget the casts of leaves."""
    kept = SETTINGS.get().kept
    if kept is not None:
        kept.clear()


def autocast_increment_nesting() -> int:
    """Note that a block begins; return how many are open."""
    settings = SETTINGS.get()
    SETTINGS.set(settings._replace(depth=settings.depth + 1, kept={} if settings.kept is None else settings.kept))
    return settings.depth + 1


def autocast_decrement_nesting() -> int:
    """Note that a block ends; return how many are open."""
    settings = SETTINGS.get()
    SETTINGS.set(settings._replace(depth=settings.depth - 1))
    return settings.depth - 1


def _warn_of(older: str, new: str) -> None:
    warnings.warn(f"torch.{older} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """Call :func:`is_autocast_enabled` for the CPU: an older name, which warns."""
    _warn_of("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Call :func:`set_autocast_enabled` for the CPU: an older name, which warns."""
    _warn_of("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtype:
    """Call :func:`get_autocast_dtype` for the CPU: an older name, which warns."""
    _warn_of("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtype) -> None:
    """Call :func:`set_autocast_dtype` for the CPU: an older name, which warns."""
    _warn_of("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """Call :func:`get_autocast_dtype` for CUDA: an older name, which warns."""
    _warn_of("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtype) -> None:
    """Call :func:`set_autocast_dtype` for CUDA: an older name, which warns."""
    _warn_of("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)

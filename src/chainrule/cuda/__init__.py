"""PyTorch's ``cuda`` without a GPU: what may be asked is answered, what needs one raises as PyTorch does."""

from __future__ import annotations

from typing import Any

from chainrule.cuda import amp
from chainrule.functions.creation import legacy

__all__ = [
    "CUDAGraph", "Event", "Stream", "StreamContext", "amp", "device_count", "empty_cache", "get_rng_state_all", "graph",
    "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "seed", "seed_all",
    "set_rng_state_all",
]  # fmt: skip


class _CudaTensor(type(legacy.FloatTensor)):  # type: ignore[misc]
    """The class of classes that stand for tensors on a GPU, of which there are none."""

    @property
    def is_cuda(cls) -> bool:
        """True: so they are told from those on the CPU."""
        return True

    def __instancecheck__(cls, value: Any) -> bool:
        return False

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")


for _typed in (getattr(legacy, _name) for _name in legacy.__all__ if _name.endswith("Tensor")):
    _parts = {"_dtype": _typed._dtype, "__module__": "torch.cuda", "__doc__": "Tensors on a GPU: there are none."}
    globals()[_typed.__name__] = _CudaTensor(_typed.__name__, (), _parts)
    __all__ += [_typed.__name__]
__all__.sort()


class _Absent:
    """What a GPU has and nothing here is an instance of."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Raise as PyTorch without CUDA does."""
        raise RuntimeError(f"torch.cuda.{cls.__name__} requires CUDA support")


class Stream(_Absent):
    """A queue of work on a GPU, which there is none of."""


class Event(_Absent):
    """A mark in a queue of work on a GPU, which there is none of."""


class CUDAGraph(_Absent):
    """Work on a GPU recorded to be done again."""


class StreamContext(_Absent):
    """A block whose work goes to a queue of a GPU."""


class graph(_Absent):  # noqa: N801 - PyTorch's public name
    """A block whose work on a GPU is recorded."""


def is_available() -> bool:
    """Return False: chainrule computes on the CPU.

    Examples
    --------
    >>> import chainrule as cr
    >>> "cuda" if cr.cuda.is_available() else "cpu"
    'cpu'
    """
    return False


def device_count() -> int:
    """Return 0, the number of GPUs that chainrule uses."""
    return 0


def _nothing(*args: Any) -> None:
    """Do nothing: there is no GPU whose seed, state or cache this could concern."""


manual_seed = manual_seed_all = seed = seed_all = set_rng_state_all = empty_cache = _nothing


def get_rng_state_all() -> list:
    """Return no states: there is no generator of a GPU."""
    return []


def _zero(device: Any = None) -> int:
    """Return 0: there is no memory of a GPU."""
    return 0


memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _zero


def _false(*args: Any, **kwargs: Any) -> bool:
    """Return False: there is no GPU."""
    return False


is_initialized = is_bf16_supported = is_current_stream_capturing = _false


_OF_A_GPU = frozenset((
    "current_device", "current_stream", "default_stream", "device", "device_of", "get_device_capability", "get_device_name",
    "get_device_properties", "get_rng_state", "init", "initial_seed", "ipc_collect",
    "max_memory_cached", "mem_get_info", "memory_cached", "memory_stats", "memory_summary", "reset_max_memory_allocated",
    "reset_peak_memory_stats", "set_device", "set_rng_state", "stream", "synchronize", "utilization",
))  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _OF_A_GPU:
        raise AttributeError(f"module 'chainrule.cuda' has no attribute {name!r}: chainrule computes on the CPU")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"Torch not compiled with CUDA enabled: chainrule computes on the CPU, without torch.cuda.{name}")

    return refuse

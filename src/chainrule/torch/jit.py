"""PyTorch's ``jit``: functions and modules that are to be compiled run as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from chainrule.nn import Module

__all__ = [
    "Attribute", "Final", "ScriptFunction", "ScriptModule", "TracerWarning", "annotate", "export", "fork", "freeze",
    "ignore", "interface", "is_scripting", "is_tracing", "isinstance", "load", "optimize_for_inference", "save", "script",
    "script_if_tracing", "script_method", "trace", "trace_module", "unused", "wait",
]  # fmt: skip

__path__: list[str] = []
BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = list  # as types in signatures, in PyTorch's ``jit.annotations``
_isinstance = isinstance


class ScriptModule(Module):
    """A module written to be compiled, which runs as it is; no other module is one."""


class ScriptFunction:
    """A compiled function: no function is one."""


class TracerWarning(Warning):
    """A warning of what tracing would not see: there is none."""


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """Return the function, class or module as it is.

    Examples
    --------
    >>> from chainrule.torch import jit
    >>> jit.script(abs) is abs
    True
    """
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return the function or module as it is."""
    return func


def trace_module(mod: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the module as it is."""
    return mod


def script_method(fn: Any) -> Any:
    """Return the method as it is."""
    return fn


export = interface = script_method


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Return the function as it is, or what returns it."""
    return drop if callable(drop) else (lambda fn: fn)


def script_if_tracing(fn: Any) -> Any:
    """Return the function as it is."""
    return fn


_script_if_tracing = _overload_method = _overload = script_if_tracing


def unused(fn: Any) -> Any:
    """Return the function as it is."""
    return fn


def freeze(mod: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the module as it is."""
    return mod


optimize_for_inference = freeze


def annotate(the_type: Any, the_value: Any) -> Any:
    """Return the value."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Return whether an object has a type; of a type with parameters, its origin counts."""
    kinds = target_type if _isinstance(target_type, tuple) else (target_type,)
    return _isinstance(obj, tuple(getattr(kind, "__origin__", kind) for kind in kinds))


def is_scripting() -> bool:
    """Return False."""
    return False


def is_tracing() -> bool:
    """Return False."""
    return False


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function, and return what `wait` returns its result of."""
    from chainrule.torch.futures import Future

    future: Future = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Any) -> Any:
    """Return the result of what was forked."""
    return future.wait()


class Attribute:
    """A value with its type."""

    def __init__(self, value: Any, type: Any) -> None:
        self.value, self.type = value, type


def load(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise: programs in PyTorch's files are not run."""
    raise NotImplementedError("jit.load: chainrule does not run TorchScript programs; load a state dict into the model's class")


def save(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise: programs are not written."""
    raise NotImplementedError("jit.save: chainrule does not write TorchScript programs; save the model's state dict")

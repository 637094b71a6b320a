"""Hooks that see what any module registers: parameters, buffers, modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from chainrule.core.graph.handle import RemovableHandle, register

parameter_hooks: OrderedDict[int, Callable] = OrderedDict()
buffer_hooks: OrderedDict[int, Callable] = OrderedDict()
module_hooks: OrderedDict[int, Callable] = OrderedDict()


def registered(hooks: OrderedDict[int, Callable], module: Any, name: str, value: Any) -> Any:
    """Return what is to be registered for a value: itself, or what a hook returns in its place."""
    for hook in hooks.values():
        given = hook(module, name, value)
        if given is not None:
            value = given
    return value


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` when any module registers a parameter; it may return another one.

    Examples
    --------
    >>> import chainrule as cr
    >>> names = []
    >>> with cr.nn.modules.module.register_module_parameter_registration_hook(lambda m, name, p: names.append(name)):
    ...     layer = cr.nn.Linear(1, 1)
    >>> names
    ['weight', 'bias']
    """
    return register(parameter_hooks, hook)


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` when any module registers a buffer; it may return another one."""
    return register(buffer_hooks, hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` when any module registers a module; it may return another one."""
    return register(module_hooks, hook)

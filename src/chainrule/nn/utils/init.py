"""Modules made without drawing their first weights."""

from __future__ import annotations

import inspect
from typing import Any

from chainrule.core.generator import get_rng_state, set_rng_state
from chainrule.nn.modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a module whose parameters and buffers are unspecified values, as uninitialised memory is.

    PyTorch makes it on a device without memory first, so that no weight is drawn; here they are drawn, and then dropped, and
    the generator is where it was.

    Parameters
    ----------
    module_cls : type
        The class, which takes `device`.
    *args, **kwargs
        Of its constructor.

    Raises
    ------
    RuntimeError
        If it is no class of modules, or does not take `device`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.skip_init(cr.nn.Linear, 5, 1).weight.shape
    chainrule.Size([1, 5])
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    state = get_rng_state()
    made = module_cls(*args, **kwargs).to_empty(device=device)
    set_rng_state(state)
    return made

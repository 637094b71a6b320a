"""PyTorch's ``_dynamo.config``: how often a function is recorded anew is chainrule's too; the rest is remembered alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.compiler.stance import STATE

__all__ = ["Settings", "config"]

_RECOMPILE = frozenset(("cache_size_limit", "recompile_limit"))
# PyTorch's defaults. These tell its tracer of bytecode how to go about what recording by running does not meet.
_DEFAULTS: dict[str, Any] = {
    "accumulated_cache_size_limit": 256, "accumulated_recompile_limit": 256, "allow_unspec_int_on_nn_module": False,
    "assume_static_by_default": True, "automatic_dynamic_shapes": True, "capture_dynamic_output_shape_ops": False,
    "capture_func_transforms": True, "capture_scalar_outputs": False, "compiled_autograd": False,
    "do_not_emit_runtime_asserts": False, "dynamic_shapes": True,
    "fail_on_cache_limit_hit": False, "fail_on_recompile_limit_hit": False, "force_parameter_static_shapes": True,
    "guard_nn_modules": True, "minimum_call_count": 1, "optimize_ddp": True,
    "report_guard_failures": True, "skip_nnmodule_hook_guards": True, "specialize_float": False, "specialize_int": False,
    "suppress_errors": False, "trace_numpy": True, "verbose": False,
}  # fmt: skip
_STANCES = {"disable": "force_eager", "error_on_recompile": "fail_on_recompile"}


class Settings:
    """The settings of PyTorch's tracer.

    ``recompile_limit`` and its older name ``cache_size_limit`` bound the specialisations that are kept of each function that is
    compiled without a limit of its own; ``disable`` and ``error_on_recompile`` are the stances ``"force_eager"`` and
    ``"fail_on_recompile"`` of `compiler.set_stance`. The others can be read and set, and nothing here depends on them.

    Examples
    --------
    >>> from chainrule.torch import _dynamo
    >>> with _dynamo.config.patch(recompile_limit=64):
    ...     _dynamo.config.cache_size_limit
    64
    """

    def __init__(self) -> None:
        vars(self).update(_DEFAULTS)

    def __getattr__(self, name: str) -> Any:
        if name in _RECOMPILE:
            return STATE.specialisations
        if name in _STANCES:
            return STATE.stance == _STANCES[name]
        raise AttributeError(f"torch._dynamo.config.{name} does not exist")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _RECOMPILE:
            STATE.specialisations = value
        elif name in _DEFAULTS:
            vars(self)[name] = value
        elif name in _STANCES:
            if value or getattr(self, name):
                STATE.stance = _STANCES[name] if value else "default"
        else:
            raise AttributeError(f"torch._dynamo.config.{name} does not exist")

    @contextmanager
    def patch(self, arg1: Any = None, arg2: Any = None, **kwargs: Any) -> Iterator[None]:
        """Set values within a ``with`` or a decorated function: by name and value, by a dictionary, or by keywords."""
        values = {**(arg1 if isinstance(arg1, dict) else {} if arg1 is None else {arg1: arg2}), **kwargs}
        before = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)


config = Settings()

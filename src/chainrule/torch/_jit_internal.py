"""PyTorch's ``_jit_internal``, of which packages take decorators."""

from __future__ import annotations

from typing import Any

from chainrule.torch.jit import export, ignore, is_scripting, unused

__all__ = ["_copy_to_script_wrapper", "export", "ignore", "is_scripting", "unused"]


def _copy_to_script_wrapper(fn: Any) -> Any:
    return fn

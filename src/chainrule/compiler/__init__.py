"""`compile`: functions traced as they run, differentiated, fused, and run as native code.

The public names are imported when they are first asked for: eager work takes of the compiler what it needs, and no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.compiler.api import compile, list_backends
    from chainrule.compiler.compiled import Compiled, CompileError
    from chainrule.compiler.stance import (
        allow_in_graph,
        assume_constant_result,
        cudagraph_mark_step_begin,
        disable,
        is_compiling,
        is_dynamo_compiling,
        is_exporting,
        reset,
        set_stance,
    )

__all__ = [
    "CompileError", "Compiled", "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance",
]  # fmt: skip
_HOMES = {"compile": "api", "list_backends": "api", "Compiled": "compiled", "CompileError": "compiled"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'stance')}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

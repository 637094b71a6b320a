"""`compile`: functions traced as they run, differentiated, fused, and run as native code."""

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

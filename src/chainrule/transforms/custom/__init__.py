"""Custom functions: how a call that brings its own derivative rules passes through interpreters.

A call is handled by the highest level among its arguments, as an op is: there it is run on the values one level down, and
what that level is about is added. At a reverse level that is a node that calls `backward`, at a forward level the tangents
that `jvp` returns, at a batched level the function's own rule for a batch, or a function made of it that runs its methods on
batched values. At the bottom the user's `forward` runs, once.
"""

from __future__ import annotations

from chainrule.transforms.custom.call import Examples, Outcome, Rules, call
from chainrule.transforms.custom.context import BackwardCFunction, FunctionCtx

__all__ = ["BackwardCFunction", "Examples", "FunctionCtx", "Outcome", "Rules", "call"]

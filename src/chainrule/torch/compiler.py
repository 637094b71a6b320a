"""PyTorch's ``compiler``: nothing is being compiled, and functions that are to be run as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "reset", "set_stance",
]  # fmt: skip


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Return the function or module as it is: chainrule runs it without compiling.

    Examples
    --------
    >>> from chainrule.torch.compiler import compile
    >>> compile(abs) is abs
    True
    """
    return model if model is not None else (lambda f: f)


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Return the function as it is."""
    return fn if callable(fn) else (lambda f: f)


def allow_in_graph(fn: Any) -> Any:
    """Return the function as it is."""
    return fn


assume_constant_result = allow_in_graph


def is_compiling() -> bool:
    """Return False."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Forget what was compiled: nothing."""


def cudagraph_mark_step_begin() -> None:
    """Mark the beginning of a step, for graphs of CUDA: there are none."""


class set_stance:  # noqa: N801 - PyTorch's public name
    """How compiled functions behave, in a block or for a function: there are none."""

    def __init__(self, stance: str = "default", **options: Any) -> None:
        self.stance = stance

    def __call__(self, fn: Any) -> Any:
        """Return the function as it is."""
        return fn

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *exc: object) -> None:
        """End."""

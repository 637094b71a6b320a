"""Closure conversion: a function made one of the differentiated tensors that it closes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.trace import TraceError, graph_of, is_captured


def close(f: Callable, args: tuple) -> tuple[Callable, tuple[Tensor, ...]]:
    """Return `f` as a function of what it captures, too, and the captured tensors.

    Captured are tensors that `f` uses without getting them as arguments, and that require grad or belong to a transform.
    `f` is traced once, on `args`; if it branches on values it is traced again at each call, for the branch may be another.

    Returns
    -------
    explicit : callable
        ``explicit(captured, *args)`` is ``f(*args)``.
    captured : tuple of Tensor
    """
    try:
        graph = graph_of(f, args)
    except TraceError:
        return _close_branching(f, args)
    places = [i for i, value in enumerate(graph.values) if is_captured(value)]
    if not places:
        return (lambda given, *args: f(*args)), ()

    def explicit(given: Sequence[Any], *args: Any) -> Any:
        values = list(graph.values)
        for i, value in zip(places, given, strict=True):
            values[i] = value
        return graph.compute(values, *args)

    return explicit, tuple([graph.values[i] for i in places])


def _close_branching(f: Callable, args: tuple) -> tuple[Callable, tuple[Tensor, ...]]:
    captured = tuple([v for v in graph_of(f, args, branches=True).values if is_captured(v)])
    if not captured:
        return (lambda given, *args: f(*args)), ()
    known = {id(v): i for i, v in enumerate(captured)}

    def explicit(given: Sequence[Any], *args: Any) -> Any:
        graph = graph_of(f, args, branches=True)
        values = list(graph.values)
        for k, v in enumerate(values):
            if id(v) in known:
                values[k] = given[known[id(v)]]
            elif is_captured(v):
                raise RuntimeError(
                    "the function closes over a differentiated tensor in one branch and not in another, and so its derivative "
                    "would be lost; have it use the tensor in both"
                )
        return graph.compute(values, *args)

    return explicit, captured

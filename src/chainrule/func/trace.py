"""`trace`: a function as a graph of ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from chainrule.transforms.equations import Graph
from chainrule.transforms.inference import ShapeDtype
from chainrule.transforms.trace import graph_of

__all__ = ["ShapeDtype", "trace"]


def trace(func: Callable) -> Callable:
    """Return a function that returns `func` as a graph of ops.

    The function runs once, on the values given. Every op on its arguments, and on tensors from outside that it uses, becomes
    an equation; so do the ops of transforms called inside it, and writes in place to its own tensors. The graph prints as
    text, and runs: it can be called like the function, differentiated, batched and traced.

    Parameters
    ----------
    func : callable
        Takes pytrees and returns a pytree of tensors.

    Returns
    -------
    callable
        ``trace(func)(*args, **kwargs)`` is a graph for arguments of the shapes and dtypes of these. Tensors and
        arrays among them are its inputs; numbers, strings and all else are fixed in it. Where one is a :class:`ShapeDtype`,
        or another object that has a shape and a dtype, `func` runs on shapes and dtypes alone, which every op's declaration
        tells of its result: nothing is computed, and no memory taken.

    Raises
    ------
    TraceError
        A RuntimeError that names the line: if `func` branches on a traced value, reads it with ``.item()`` or hands it to
        NumPy; if it writes into a tensor from outside; if it calls ``backward()``; in a trace without values, if values decide
        the shape of an op's result, as of ``nonzero``.

    Notes
    -----
    A captured tensor is the graph's constant itself, not a copy: gradients flow to it if it requires grad, and the graph sees
    its new values. What is read from it as a Python number is read once. Random numbers are drawn anew in every run.

    Examples
    --------
    >>> import chainrule as cr
    >>> w = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> graph = cr.func.trace(lambda x: cr.tanh(w @ x).sum())(cr.ones(2))
    >>> graph
    graph(a: float32[2]):
        b: float32[2, 2] = a captured tensor that requires grad
        c: float32[2] = mv(b, a)
        d: float32[2] = tanh(c)
        e: float32[] = sum(d, axis=(0,), keepdims=False)
        return e
    >>> graph(cr.zeros(2))
    tensor(0., grad_fn=<...>)
    >>> cr.func.grad(graph)(cr.zeros(2))
    tensor([4., 6.], grad_fn=<...>)
    """

    @wraps(func)
    def traced(*args: Any, **kwargs: Any) -> Graph:
        return graph_of(func, args, kwargs)

    return traced

"""`vjp`, `grad`, `grad_and_value`: reverse accumulation of functions of pytrees."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from chainrule.autograd.forward_ad import lowered, raised
from chainrule.autograd.reverse import checked_cotangent
from chainrule.core.graph import LEAF
from chainrule.core.levels import fresh_level
from chainrule.core.mode import recording
from chainrule.core.tensor import Tensor, Tracked, check_differentiable, wrap, wrap_at
from chainrule.core.tree import tree_flatten, tree_map, tree_unflatten
from chainrule.transforms.forward import zeros_like
from chainrule.transforms.reverse import gradients


def _leaf(level: int, t: Any) -> Tensor:
    if not isinstance(t, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
    check_differentiable(t.dtype)
    made = wrap_at(level, lowered(t))
    made._node = LEAF
    return made


def _lowered_from(level: int, value: Any) -> Any:
    return raised(value._data) if isinstance(value, Tracked) and value._level == level else value


def _pull(level: int, outs: list, gs: list, leaves: list, retain: bool) -> list:
    roots = []
    for out, g in zip(outs, gs, strict=True):
        if isinstance(out, Tracked) and out._level == level and out._node is not None:
            roots.append((out if out._node is LEAF else out._node, lowered(g)))
    found = gradients(roots, leaves, level, False, retain)
    return [wrap(zeros_like(leaf)) if g is None else raised(g) for leaf, g in zip(leaves, found, strict=True)]


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """Return the value of `func` and the function that pulls cotangents back to its inputs.

    Parameters
    ----------
    func : callable
        Takes the primals and returns a pytree of tensors.
    *primals
        Pytrees of floating point or complex tensors.
    has_aux : bool
        `func` returns ``(output, aux)``; the result is then ``(output, vjp_fn, aux)``.

    Returns
    -------
    tuple
        ``(output, vjp_fn)``; ``vjp_fn(cotangents)`` takes the output's structure and returns a tuple, one entry per primal.
        It may be called any number of times.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, pull = cr.func.vjp(lambda x: x**2, cr.tensor([1.0, 2.0]))
    >>> pull(cr.ones(2))
    (tensor([2., 4.]),)
    """
    level = fresh_level()
    flat, spec = tree_flatten(primals)
    leaves = [_leaf(level, t) for t in flat]
    with recording(level):
        result = func(*tree_unflatten(leaves, spec))
    aux = None
    if has_aux:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError("vjp(f, *primals): with has_aux=True, f must return a tuple (output, aux)")
        result, aux = result
        aux = tree_map(lambda a: _lowered_from(level, a), aux)
    outs, out_spec = tree_flatten(result)
    for out in outs:
        if not isinstance(out, Tensor):
            raise RuntimeError(f"vjp(f, *primals): Expected f to return only tensors, got {type(out).__name__}")

    def vjp_fn(cotangents: Any, retain_graph: bool = True) -> tuple:
        gs, g_spec = tree_flatten(cotangents)
        if g_spec != out_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {g_spec}, primal output: {out_spec}"
            )
        gs = [checked_cotangent(g, out, i) for i, (g, out) in enumerate(zip(gs, outs, strict=True))]
        return tree_unflatten(_pull(level, outs, gs, leaves, retain_graph), spec)

    value = tree_unflatten([_lowered_from(level, out) for out in outs], out_spec)
    return (value, vjp_fn, aux) if has_aux else (value, vjp_fn)


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """Return a function that computes the gradient of a scalar function, and its value.

    Parameters
    ----------
    func : callable
        Returns a tensor of one element, or with `has_aux` a pair of one and anything.
    argnums : int or tuple of int
        The positional arguments to differentiate in.

    Returns
    -------
    callable
        Returns ``(gradient, value)``, or ``(gradient, (value, aux))``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.grad_and_value(lambda x: x**3)(cr.tensor(2.0))
    (tensor(12.), tensor(8.))
    """

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> tuple:
        indices = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        for i in indices:
            if not -len(args) <= i < len(args):
                raise RuntimeError(f"Got argnum={i}, but only {len(args)} positional inputs")
        indices = tuple(i % len(args) for i in indices)

        def of_chosen(*chosen: Any) -> Any:
            filled = list(args)
            for i, a in zip(indices, chosen, strict=True):
                filled[i] = a
            out = func(*filled, **kwargs)
            value = out[0] if has_aux and isinstance(out, tuple) and len(out) == 2 else out
            if not isinstance(value, Tensor):
                raise RuntimeError(f"Expected f(*args) to return a Tensor, got {type(value).__name__}")
            if value.ndim != 0:
                raise RuntimeError(
                    f"Expected f(*args) to return a scalar Tensor, got tensor with {value.ndim} dims. Maybe you wanted to use "
                    "the vjp or jacrev APIs instead?"
                )
            return out

        value, pull, *aux = vjp(of_chosen, *[args[i] for i in indices], has_aux=has_aux)
        gradients = pull(wrap(value.dtype.numpy.type(1)), retain_graph=False)
        gradient = gradients[0] if isinstance(argnums, int) else gradients
        return gradient, (value, *aux) if has_aux else value

    return wrapped


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """Return a function that computes the gradient of a scalar function; see :func:`grad_and_value`.

    Returns
    -------
    callable
        Returns the gradient, or ``(gradient, aux)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.grad(cr.func.grad(lambda x: x**3))(cr.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped

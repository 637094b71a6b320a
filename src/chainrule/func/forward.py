"""`jvp`: the derivative of a function of pytrees along a direction, in one forward sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.autograd.forward_ad import check_tangent, lowered, raised
from chainrule.core.levels import fresh_level
from chainrule.core.mode import scope
from chainrule.core.tensor import Tensor, wrap
from chainrule.core.tree import tree_flatten, tree_unflatten
from chainrule.transforms.forward import Dual, dual, zeros_like


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """Return the value of `func` and its directional derivative, by forward accumulation.

    Parameters
    ----------
    func : callable
        Takes the primals as positional arguments and returns a pytree of tensors.
    primals, tangents : tuple
        Pytrees of tensors of the same structure, shapes and dtypes: where, and along what.
    strict : bool
        Raise if an output does not depend on the inputs, instead of returning a zero tangent.
    has_aux : bool
        `func` returns ``(output, aux)``; the result is then ``(output, tangent, aux)``.

    Returns
    -------
    tuple
        ``(output, tangent)``: for output y = f(x), tangent is J(x) t, with y's structure.

    Raises
    ------
    RuntimeError
        If the structures, shapes or dtypes of primals and tangents differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0])
    >>> cr.func.jvp(lambda x: x**2, (x,), (cr.ones(2),))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to be tuples")
    flat, spec = tree_flatten(primals)
    flat_dots, dot_spec = tree_flatten(tangents)
    if spec != dot_spec:
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals and tangents to have the same python structure, "
            f"got {spec} and {dot_spec}"
        )
    if not flat:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to contain at least one tensor")
    for p, t in zip(flat, flat_dots, strict=True):
        if not isinstance(p, Tensor) or not isinstance(t, Tensor):
            raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to contain only Tensors")
        check_tangent(p, t)
    level = fresh_level()
    inputs = [dual(level, lowered(p), lowered(t)) for p, t in zip(flat, flat_dots, strict=True)]
    with scope(level):
        result = func(*tree_unflatten(inputs, spec))
    aux = None
    if has_aux:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError("jvp(f, primals, tangents): with has_aux=True, f must return a tuple (output, aux)")
        result, aux = result
    outs, out_spec = tree_flatten(result)
    values, dots = [], []
    for out in outs:
        if not isinstance(out, Tensor):
            raise RuntimeError(f"jvp(f, primals, tangents): Expected f to return only tensors, got {type(out).__name__}")
        value, dot = split(out, level)
        if dot is None and strict:
            raise RuntimeError("jvp(f, primals, tangents, strict=True): an output of f is independent of the inputs")
        values.append(raised(value))
        dots.append(wrap(zeros_like(value)) if dot is None else raised(dot))
    found = (tree_unflatten(values, out_spec), tree_unflatten(dots, out_spec))
    if not has_aux:
        return found
    aux_leaves, aux_spec = tree_flatten(aux)
    kept = [raised(split(a, level)[0]) if isinstance(a, Tensor) else a for a in aux_leaves]
    return (*found, tree_unflatten(kept, aux_spec))


def split(out: Tensor, level: int) -> tuple[Any, Any]:
    """Return primal and tangent of a value at a level; its tangent is None where it does not depend on the inputs."""
    if out.__class__ is Dual and out._level == level:
        return out._data, out._tangent  # type: ignore[attr-defined]
    return out, None

"""Taylor mode: `jet`, the derivatives of every order of a function along a curve, and `directional`, one of them on a line."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

from chainrule.autograd.forward_ad import check_tangent, kept, raised
from chainrule.core.mode.grad_mode import scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import flatten_up_to, tree_flatten, tree_unflatten
from chainrule.transforms.forward import zeros_like
from chainrule.transforms.taylor import Coefficients, Expansion, Series, series

_jet_series = series


def jet(func: Callable, primals: tuple, series: tuple) -> tuple:
    """Return the value of `func` on a curve and its derivatives along it, of every order up to K, in one run.

    The curve is given by its value and derivatives at one point: ``x(0)`` and ``x'(0), ..., x⁽ᴷ⁾(0)``. What is returned is the
    same of ``func(x(t))``. The cost grows with a small power of K, where K nested `jvp` cost about 3 times more for each.

    Parameters
    ----------
    func : callable
        Takes the primals as positional arguments and returns a pytree of tensors.
    primals : tuple
        Pytrees of floating point or complex tensors.
    series : tuple
        The primals' structure, with the list of K derivatives in the place of each tensor: of its shape and dtype, not divided
        by factorials; None for zero.

    Returns
    -------
    primals_out
        The value.
    series_out
        Its structure, with the list of the K derivatives in the place of each tensor.

    Raises
    ------
    RuntimeError
        If structures, shapes, dtypes or the numbers of derivatives differ.

    Notes
    -----
    No op has a rule of its own for it: the coefficients follow from the one that `jvp` uses (Griewank & Walther, *Evaluating
    Derivatives*, 2nd ed., ch. 13). The arguments are those of ``jax.experimental.jet``.

    Examples
    --------
    >>> import chainrule as cr
    >>> x, one, zero = cr.tensor(0.0), cr.tensor(1.0), cr.tensor(0.0)
    >>> cr.func.jet(cr.sin, (x,), ([one, zero, zero],))
    (tensor(0.), [tensor(1.), tensor(0.), tensor(-1.)])
    """
    if not isinstance(primals, tuple) or not isinstance(series, tuple):
        raise RuntimeError("jet(f, primals, series): Expected primals and series to be tuples")
    flat, spec = tree_flatten(primals)
    given = flatten_up_to(spec, series, "jet(f, primals, series): series")
    if not flat:
        raise RuntimeError("jet(f, primals, series): Expected primals to contain at least one tensor")
    for terms in given:
        if not isinstance(terms, (list, tuple)):
            raise RuntimeError(
                "jet(f, primals, series): Expected a list of derivatives in series for each tensor of primals, got "
                f"{type(terms).__name__}"
            )
    orders = sorted({len(terms) for terms in given})
    if len(orders) > 1:
        raise RuntimeError(f"jet(f, primals, series): Expected as many derivatives for each tensor, got {orders}")
    level = fresh_level()
    expansion = Expansion(level, orders[0])
    inputs = [_input(expansion, p, terms) for p, terms in zip(flat, given, strict=True)]
    with scope(level):
        result = func(*tree_unflatten(inputs, spec))
    outs, out_spec = tree_flatten(result)
    values, derivatives = [], []
    for out in outs:
        if not isinstance(out, Tensor):
            raise RuntimeError(f"jet(f, primals, series): Expected f to return only tensors, got {type(out).__name__}")
        value, coefficients = (out._data, out._tangent) if out._level == level else (out, None)  # type: ignore[attr-defined]
        values.append(_own(value))
        derivatives.append([_derivative(value, coefficients, k) for k in range(1, expansion.order + 1)])
    return tree_unflatten(values, out_spec), tree_unflatten(derivatives, out_spec)


def _input(expansion: Expansion, primal: Any, terms: Any) -> Series:
    """Return a primal and its derivatives as a series."""
    if not isinstance(primal, Tensor):
        raise RuntimeError(f"jet(f, primals, series): Expected primals to contain only tensors, got {type(primal).__name__}")
    known = [kept(primal)]
    for k, term in enumerate(terms, 1):
        if term is None:
            known.append(None)
            continue
        if not isinstance(term, Tensor):
            raise RuntimeError(f"jet(f, primals, series): Expected derivatives to be tensors, got {type(term).__name__}")
        check_tangent(primal, term)
        known.append(kept(term if k < 2 else term / factorial(k)))
    return _jet_series(expansion.level, known[0], Coefficients(expansion, known))


def _derivative(value: Any, coefficients: Coefficients | None, k: int) -> Tensor:
    found = None if coefficients is None else coefficients[k]
    if found is None:
        return wrap(zeros_like(value))
    return _own(found) if k < 2 else raised(found) * factorial(k)


def _own(payload: Any) -> Tensor:
    """Return a payload as a tensor that shares no memory with another result."""
    if isinstance(payload, Tensor) or not payload.ndim:
        return raised(payload)
    return wrap(payload.copy())


def directional(func: Callable, primals: tuple, direction: tuple, order: int = 1) -> Any:
    """Return the derivative of some order of `func` along a line: ``dᵏ/dtᵏ func(primals + t * direction)`` at ``t = 0``.

    Parameters
    ----------
    func : callable
        Takes the primals as positional arguments and returns a pytree of tensors.
    primals, direction : tuple
        Pytrees of tensors of the same structure, shapes and dtypes.
    order : int
        Which derivative: 1 is the tangent of `jvp`, 2 the direction's quadratic form in the second derivative.

    Returns
    -------
    pytree of Tensor
        Of the structure of `func`'s result.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.directional(lambda x: x**3, (cr.tensor(2.0),), (cr.tensor(1.0),), order=2)
    tensor(12.)
    """
    if order < 1:
        raise ValueError(f"directional(f, primals, direction): order must be at least 1, not {order}")
    if not isinstance(primals, tuple) or not isinstance(direction, tuple):
        raise RuntimeError("directional(f, primals, direction): Expected primals and direction to be tuples")
    spec = tree_flatten(primals)[1]
    along = flatten_up_to(spec, direction, "directional(f, primals, direction): direction")
    found, lists = jet(func, primals, tree_unflatten([[v, *[None] * (order - 1)] for v in along], spec))
    out_spec = tree_flatten(found)[1]
    return tree_unflatten([terms[-1] for terms in flatten_up_to(out_spec, lists)], out_spec)

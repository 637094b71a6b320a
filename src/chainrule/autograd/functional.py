"""PyTorch's ``autograd.functional``: Jacobians, Hessians and their products with vectors, of functions of tensors.

The functions here take and give what PyTorch's do: a tensor or a tuple of tensors in, the same structure out. Limits of
PyTorch's are lifted: ``strategy="forward-mode"`` needs no ``vectorize``, and it and ``vectorize`` go with ``create_graph`` and
``strict``. ``func`` has the same derivatives for pytrees, as transforms that nest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.arguments import (
    called,
    check_gradient,
    direction,
    filled,
    independent,
    inside,
    scalar,
    tensors,
    variables,
    vector,
    watched,
    zeros,
)
from chainrule.autograd.forward_ad import dual_level, make_dual, raised, unpack_dual
from chainrule.autograd.gradients import grad
from chainrule.core.mode.grad_mode import enable_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.batch import mapped

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]
_STRATEGIES = ("forward-mode", "reverse-mode")


def vjp(func: Callable, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """Return the value of a function and the product of a vector with its Jacobian.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where.
    v : Tensor or tuple of Tensor, optional
        Of the outputs' shapes; not needed for one output of one element.
    create_graph : bool
        Record the computation, so that the results can be differentiated.
    strict : bool
        Raise if an output does not depend on an input, instead of returning zeros.

    Returns
    -------
    tuple
        ``(output, product)``; the product has the inputs' structure and shapes.

    Raises
    ------
    RuntimeError
        If `v` does not fit the outputs, or with `strict` as said.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.vjp(lambda x: x**2, cr.tensor([1.0, 2.0]), cr.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        many, xs = tensors(inputs, "inputs", "vjp")
        xs = watched(xs, create_graph)
        recorded = create_graph or inside(xs)
        several, outputs = called(func, xs, "vjp", strict)
        weights = None
        if v is not None:
            weights = vector(v, outputs, several, "vjp", recorded)
        elif len(outputs) != 1 or outputs[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
            )
        product = filled(_pulled(outputs, xs, weights, recorded), xs, strict, create_graph, "back")
    return _result(outputs, several, create_graph), _result(product, many, create_graph)


def jvp(func: Callable, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """Return the value of a function and the product of its Jacobian with a vector.

    Taken as the derivative of the vjp in its cotangent, as PyTorch does, so that it needs only backward rules. For forward
    accumulation see :func:`chainrule.func.jvp` and :mod:`chainrule.autograd.forward_ad`.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where.
    v : Tensor or tuple of Tensor, optional
        Of the inputs' shapes; not needed for one input of one element.
    create_graph, strict : bool
        As in :func:`vjp`.

    Returns
    -------
    tuple
        ``(output, product)``; the product has the outputs' structure and shapes.

    Raises
    ------
    RuntimeError
        If `v` does not fit the inputs, or with `strict` if an output does not depend on an input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.jvp(lambda x: x**2, cr.tensor([1.0, 2.0]), cr.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        many, xs = tensors(inputs, "inputs", "jvp")
        xs = watched(xs, create_graph)
        recorded = create_graph or inside(xs)
        along = direction(v, xs, many, "jvp", recorded)
        several, outputs = called(func, xs, "jvp", strict)
        weights = variables(outputs)  # any values will do: the vjp is linear in them
        pulled = _pulled(outputs, xs, weights, True)
        if strict:
            for i, g in enumerate(pulled):
                if g is None:
                    raise independent("The output of the user-provided function", f"input {i}")
                if not g.requires_grad:
                    raise independent(f"The gradient with respect to input {i}", "the xs of the user-provided function")
        product = filled(_pulled(pulled, weights, along, recorded), outputs, strict, create_graph, "back_trick")
    return _result(outputs, several, create_graph), _result(product, several, create_graph)


def jacobian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian of a function.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where.
    create_graph, strict : bool
        As in :func:`vjp`.
    vectorize : bool
        Compute all rows (columns, in forward mode) in one batched sweep instead of a sweep for each.
    strategy : {"reverse-mode", "forward-mode"}
        The first takes a sweep for each element of the outputs, the second one for each element of the inputs.

    Returns
    -------
    Tensor, or tuple or tuple of tuples of Tensor
        ``jacobian[i][j]``, of shape ``outputs[i].shape + inputs[j].shape``; without the index of a structure that was a
        single tensor.

    Raises
    ------
    RuntimeError
        With `strict`, if an output does not depend on an input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.jacobian(lambda x: x**2, cr.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in _STRATEGIES:
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    with enable_grad():
        many, xs = tensors(inputs, "inputs", "jacobian")
        xs = watched(xs, create_graph)
        recorded = create_graph or inside(xs)
        if strategy == "forward-mode":
            several, outputs, parts = _columns(func, xs, vectorize)
        else:
            several, outputs = called(func, xs, "jacobian", strict)
            parts = [_rows(out, xs, recorded, vectorize) for out in outputs]
        rows = []
        for i, (out, row) in enumerate(zip(outputs, parts, strict=True)):
            entries = []
            for j, (part, x) in enumerate(zip(row, xs, strict=True)):
                if part is None:
                    if strict and out.numel() and x.numel():
                        raise independent(f"Output {i} of the user-provided function", f"input {j}")
                    part = zeros(out if strategy == "forward-mode" else x, (*out.shape, *x.shape))
                elif strict and create_graph and not part.requires_grad:
                    raise independent("The jacobian of the user-provided function", f"input {j}", " when create_graph=True")
                entries.append(part)
            rows.append(_result(tuple(entries), many, create_graph))
    return tuple(rows) if several else rows[0]


def hessian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of a scalar function: the Jacobian of its gradient.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor of one element.
    inputs : Tensor or tuple of Tensor
        Where.
    create_graph, strict, vectorize : bool
        As in :func:`jacobian`.
    outer_jacobian_strategy : {"reverse-mode", "forward-mode"}
        How the gradient, which is always taken in reverse mode, is differentiated.

    Returns
    -------
    Tensor, or tuple of tuples of Tensor
        ``hessian[i][j]``, of shape ``inputs[i].shape + inputs[j].shape``; one tensor for a single input.

    Raises
    ------
    RuntimeError
        If the function returns anything but one tensor of one element; with `strict`, if the gradient or the Hessian does
        not depend on an input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.hessian(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    many, xs = tensors(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in _STRATEGIES:
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def gradient(*x: Tensor) -> tuple:
        of_scalar = jacobian(lambda *x: scalar(called(func, x, "hessian", strict), "hessian").squeeze(), x, create_graph=True)
        check_gradient(of_scalar, strict)
        return of_scalar

    found = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if many else found[0][0]


def vhp(func: Callable, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """Return the value of a scalar function and the product of a vector with its Hessian.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor of one element.
    inputs : Tensor or tuple of Tensor
        Where.
    v : Tensor or tuple of Tensor, optional
        Of the inputs' shapes; not needed for one input of one element.
    create_graph, strict : bool
        As in :func:`vjp`.

    Returns
    -------
    tuple
        ``(output, product)``; the product has the inputs' structure and shapes.

    Raises
    ------
    RuntimeError
        As :func:`hessian`, and if `v` does not fit the inputs.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.vhp(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]), cr.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, xs, along, out, gradient, recorded = _gradient(func, inputs, v, "vhp", create_graph, strict)
        product = filled(_pulled(gradient, xs, along, recorded), xs, strict, create_graph, "double_back")
    return _result((out,), False, create_graph), _result(product, many, create_graph)


def hvp(func: Callable, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """Return the value of a scalar function and the product of its Hessian with a vector.

    The same numbers as :func:`vhp`, which is cheaper, wherever second derivatives commute.

    Parameters
    ----------
    func : callable
        Takes the inputs as positional arguments and returns a tensor of one element.
    inputs : Tensor or tuple of Tensor
        Where.
    v : Tensor or tuple of Tensor, optional
        Of the inputs' shapes; not needed for one input of one element.
    create_graph, strict : bool
        As in :func:`vjp`.

    Returns
    -------
    tuple
        ``(output, product)``; the product has the inputs' structure and shapes.

    Raises
    ------
    RuntimeError
        As :func:`hessian`, and if `v` does not fit the inputs.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.autograd.functional.hvp(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]), cr.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, xs, along, out, gradient, recorded = _gradient(func, inputs, v, "hvp", create_graph, strict)
        weights = variables(xs)
        pulled = _pulled(gradient, xs, weights, True)
        product = filled(_pulled(pulled, weights, along, recorded), xs, strict, create_graph, "double_back_trick")
    return _result((out,), False, create_graph), _result(product, many, create_graph)


def _gradient(func: Callable, inputs: Any, v: Any, name: str, create_graph: bool, strict: bool) -> tuple:
    """Return what `vhp` and `hvp` start from: inputs, vector, output, the gradient, whether results are recorded."""
    many, xs = tensors(inputs, "inputs", name)
    xs = watched(xs, create_graph)
    recorded = create_graph or inside(xs)
    v = direction(v, xs, many, name, recorded)
    out = scalar(called(func, xs, name, strict), name)
    gradient = _pulled((out,), xs, None, True)
    check_gradient(gradient, strict)
    return many, xs, v, out, gradient, recorded


def _pulled(outputs: Sequence, inputs: tuple, cotangents: Sequence | None, create_graph: bool) -> tuple:
    """Return the gradients of the outputs that have a graph; None where there is none."""
    weights = (None,) * len(outputs) if cotangents is None else cotangents
    pairs = [(out, g) for out, g in zip(outputs, weights, strict=True) if out is not None and out.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    roots, gs = zip(*pairs, strict=True)
    return grad(roots, inputs, gs, create_graph=create_graph, allow_unused=True)


def _rows(out: Tensor, inputs: tuple, create_graph: bool, vectorize: bool) -> list:
    """Return the Jacobian of one output in every input, row by row in reverse mode; None where there is no dependence."""
    basis = _basis(out)
    if not out.requires_grad or not len(basis):
        return [None] * len(inputs)
    options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True}
    if vectorize:
        columns: Any = grad(out, inputs, basis, is_grads_batched=True, **options)
    else:
        columns = [_stacked(c) for c in zip(*[grad(out, inputs, e, **options) for e in basis], strict=True)]
    shaped = zip(columns, inputs, strict=True)
    return [None if c is None else c.reshape(*out.shape, *x.shape) for c, x in shaped]


def _columns(func: Callable, inputs: tuple, vectorize: bool) -> tuple[bool, tuple, list]:
    """Return the outputs and their Jacobian in every input, column by column in forward mode."""
    outputs: tuple = ()
    several = False
    columns: list[list] = []
    for j, x in enumerate(inputs):

        def tangents(t: Tensor, j: int = j, x: Tensor = x) -> tuple:
            nonlocal several, outputs
            with dual_level():
                moved = (*inputs[:j], make_dual(x, t), *inputs[j + 1 :])
                several, duals = tensors(func(*moved), "outputs of the user-provided function", "jacobian")
                unpacked = [unpack_dual(out) for out in duals]
                outputs = tuple(primal for primal, _ in unpacked)
                return tuple(t for _, t in unpacked)

        basis = _basis(x)
        if not len(basis):
            tangents(zeros(x))
            columns.append([None] * len(outputs))
        elif vectorize:
            columns.append(mapped(tangents, basis))
        else:
            columns.append([_stacked(c) for c in zip(*[tangents(e) for e in basis], strict=True)])
    parts = [
        [None if c is None else c.movedim(0, -1).reshape(*out.shape, *x.shape) for c, x in zip(row, inputs, strict=True)]
        for out, row in zip(outputs, zip(*columns, strict=True), strict=True)
    ]
    return several, outputs, parts


def _basis(t: Tensor) -> Tensor:
    """Return the unit vectors of a tensor's space, of shape ``(t.numel(), *t.shape)``."""
    n = t.numel()
    return wrap(np.eye(n, dtype=t.dtype.numpy).reshape(n, *t.shape))


def _stacked(column: tuple) -> Tensor | None:
    like = next((c for c in column if c is not None), None)
    if like is None:
        return None
    return TABLE["stack"].call(*[zeros(like) if c is None else c for c in column], axis=0)


def _result(tensors: tuple, many: bool, create_graph: bool) -> Any:
    """Return results in the structure of what was given, without history unless asked for."""
    kept = tensors if create_graph else tuple(_settled(t) for t in tensors)
    return kept if many else kept[0]


def _settled(t: Any) -> Tensor:
    """Return a result without the plain history that it has; inside of transforms, which have theirs, it keeps their values."""
    if isinstance(t, Level):
        return t._rebuilt(lambda part: _settled(raised(part)))
    return t if t._level else t.detach()

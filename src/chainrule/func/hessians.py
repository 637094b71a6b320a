"""Second derivatives: `hessian` whole, `hvp` along a direction in one sweep, `laplacian` as the sum of its diagonal."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import FLOAT
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func.arguments import Argnames, Argnums, check_counts, check_places, choose, expect_function, write_back
from chainrule.func.basis import Directions
from chainrule.func.jacobian_plan import chunk_for
from chainrule.func.jacobians import Jacobian
from chainrule.func.pullbacks import Record, grad, vjp
from chainrule.func.pushforwards import Push, jvp, or_zeros
from chainrule.func.sweeps import mapped

__all__ = ["hessian", "hvp", "laplacian"]


def hessian(
    func: Callable,
    argnums: Argnums = 0,
    *,
    argnames: Argnames = None,
    chunk_size: int | None = None,
    memory: int | None = None,
    sparse: bool = False,
    sparsity: Any = None,
) -> Jacobian:
    """Return a function that computes the Hessian of `func`: forward mode over the gradient, of which zeros take no time.

    The first derivative is taken by :func:`jacobian` as its sizes ask: of a scalar it is the gradient, in one reverse sweep;
    of a function with more outputs than inputs, in forward mode. Its derivative is taken by columns, in forward mode unless
    that cannot be, because of a custom `autograd.Function` without `jvp`.

    Parameters
    ----------
    func, argnums, argnames
        As for :func:`jacobian`.
    chunk_size, memory : int, optional
        How many columns one run carries, or what they may take.
    sparse, sparsity
        As for :func:`jacobian`. The Hessian of a real scalar function is symmetric, so that it takes fewer sums than a
        Jacobian (star and acyclic colouring), and a triangle is enough of a pattern. One that a custom rule makes unsymmetric
        is noticed where the pattern is found, but not with `sparsity`.

    Returns
    -------
    Jacobian
        Returns, for an output of shape (a, …) and inputs of shapes (b, …) and (c, …), entries of shape (a, …, b, …, c, …), in
        the output's structure, in which stands the input's, in which stands the input's again. Its `plan` has the first
        derivative's as `inner`; `prepare` is that of :func:`jacobian`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.hessian(lambda x: x[0] ** 2 * x[1])(cr.tensor([3.0, 5.0]))
    tensor([[10.,  6.],
            [ 6.,  0.]])
    >>> H = cr.func.hessian(lambda x: (x[1:] * x[:-1] ** 2).sum(), sparse=True)
    >>> H(cr.ones(1000)), H.plan.sparse.colours
    (<Compressed Sparse Row sparse array of dtype 'float32'
        with 2997 stored elements and shape (1000, 1000)>, 3)
    """
    expect_function(func, "hessian")
    inner = Jacobian(func, argnums, argnames)
    return Jacobian(
        inner, argnums, argnames, prefer="forward", chunk_size=chunk_size, memory=memory, randomness="error", name="hessian",
        sparse=sparse, sparsity=sparsity, finds=True,
    )  # fmt: skip


def hvp(func: Callable, primals: Any, tangents: Any) -> Any:
    """Return the product of the Hessian of a scalar function and a direction, by one forward sweep over the gradient.

    It costs a few times `func`, whatever the number of inputs. The Hessian of a real function is symmetric, so the product from
    the left is the same.

    Parameters
    ----------
    func : callable
        Returns a real tensor of no axes.
    primals, tangents : tuple, or one argument
        Where and along what: of the same structure and shapes. A tuple holds the positional arguments, pytrees of tensors.

    Returns
    -------
    pytree
        The product, of the structure of `primals`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.hvp(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]), cr.tensor([1.0, 0.0]))
    tensor([6., 0.])
    """
    several = isinstance(primals, tuple)
    at, along = (primals, tangents) if several else ((primals,), (tangents,))
    gradient = grad(func, tuple(range(len(at))))
    try:
        _, product = jvp(gradient, at, along)
    except NotImplementedError:  # of a custom Function without jvp: the Hessian is symmetric, so reverse mode has it as well
        product = vjp(gradient, *at)[1](along)
    return product if several else product[0]


def laplacian(
    func: Callable, argnums: Argnums = 0, *, argnames: Argnames = None, chunk_size: int | None = None, memory: int | None = None
) -> Callable:
    """Return a function that computes the Laplacian of `func`, the sum of its unmixed second derivatives, exactly.

    Parameters
    ----------
    func : callable
        Returns a tensor or a pytree of tensors; of a result with axes the Laplacian of each element is taken.
    argnums, argnames
        The arguments to differentiate in, as for :func:`grad`: the sum is over all elements of all of them.
    chunk_size, memory : int, optional
        How many directions one run of `func` carries, or what they may take.

    Returns
    -------
    callable
        Returns the Laplacian, in the shape and structure of the result.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.laplacian(lambda x: (x**2).sum() + x[0] * x[1])(cr.ones(3))
    tensor(6.)
    """
    check_places(argnums, argnames)
    check_counts("laplacian", chunk_size=chunk_size, memory=memory)

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        primals, call = choose(func, argnums, argnames, args, kwargs)
        flat, spec = tree_flatten(primals)
        for t in flat:
            if not isinstance(t, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
            if t.dtype.category != FLOAT:
                raise RuntimeError(f"laplacian: Expected all inputs to be of real floating point numbers, but got {t.dtype}")
        found = _sum_of_seconds(call, spec, flat, chunk_size, memory)
        write_back(call)
        return found

    return wrapped


def _sum_of_seconds(call: Callable, spec: TreeSpec, flat: list, chunk_size: int | None, memory: int | None) -> Any:
    """Return the sum over all directions of the second derivative along each, by forward over forward mode.

    Measured beside forward over reverse (1 to 4 times as long, most for small functions) and `jet` (1 to 7 times); this way
    also takes functions of several results, and keeps no record.
    """
    directions = Directions(flat)
    run = Record(call, tree_unflatten(flat, spec)) if memory is not None and chunk_size is None else None
    chunk = chunk_for(directions.total, chunk_size, None if memory is None else memory // 3, run)  # two tangents, and theirs
    slope: Any = None

    def along(*tangents: Tensor) -> list:
        given = iter(tangents)
        dots = [None if t is None else next(given) for t in block]

        def slopes(*at: Any) -> list:
            nonlocal slope
            slope = Push(call, spec, tree_flatten(at)[0], dots)
            return or_zeros(slope.values, slope.dots)

        second = Push(slopes, spec, flat, dots)
        return or_zeros(second.values, second.dots)

    totals: list = []
    for start in range(0, directions.total, chunk):
        block = directions.block(start, min(start + chunk, directions.total))
        seconds = mapped(along, [t for t in block if t is not None], "same")
        parts = [TABLE["sum"].call(s, axis=(0,), keepdims=False) for s in seconds]
        totals = [a + b for a, b in zip(totals, parts, strict=True)] if totals else parts
    if slope is None:  # no input has an element
        slope = Push(call, spec, flat, [None] * len(flat))
        totals = or_zeros(slope.values, slope.dots)
    return tree_unflatten(totals, slope.out_spec)

"""`jacobian_sparsity`, `hessian_sparsity`: where derivatives can be other than zero, found without taking any."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import check_differentiable
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from chainrule.func.arguments import Argnames, Argnums, check_places, choose, expect_function, is_one, others_of
from chainrule.func.arrays import tensors_of
from chainrule.func.discovery import is_plain, untouched
from chainrule.func.jacobians import Jacobian
from chainrule.func.pullbacks import check_outputs
from chainrule.func.sweeps import Function
from chainrule.transforms.sparsity import Sparsity, sparsity_of

__all__ = ["hessian_sparsity", "jacobian_sparsity"]


class JacobianSparsity:
    """A function that finds the sparsity pattern of a function's Jacobian: see :func:`jacobian_sparsity`.

    Attributes
    ----------
    guards : tuple of ndarray
        The values that the function read of its inputs in the last call: truths of branches, indices, sizes. The pattern is
        that of all inputs with which it reads the same; if there are none, of all inputs.
    """

    def __init__(
        self, func: Callable, argnums: Argnums, argnames: Argnames, has_aux: bool = False, name: str = "jacobian_sparsity"
    ):
        check_places(argnums, argnames)
        update_wrapper(self, func, updated=())
        self._func, self._argnums, self._argnames, self._has_aux, self._name = func, argnums, argnames, has_aux, name
        self._found: Sparsity | None = None
        self._known: list = []
        self._others: list = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pattern at these arguments."""
        f = self._function(args, kwargs)
        specs: list[TreeSpec] = []

        def results(*primals: Any) -> list:
            flat, spec = tree_flatten(f.first(*primals))
            check_outputs(flat, f"{self._name}(f, *primals)")
            specs.append(spec)
            return flat

        with untouched(f):
            self._found = sparsity_of(results, f.primals, closed=not others_of(f.call))
        self._known, self._others = [(t.shape, t.dtype) for t in f.flat], tree_map(_kept, others_of(f.call))
        in_spec = f.spec.children_specs[0] if is_one(self._argnums, self._argnames) else f.spec
        return tree_unflatten([tree_unflatten(row, in_spec) for row in _blocks(self._found)], specs[-1])

    def _function(self, args: tuple, kwargs: dict) -> Function:
        """Return the call as a function of what it is differentiated in, of which it gets copies."""
        primals, call = choose(self._func, self._argnums, self._argnames, args, kwargs)
        flat, spec = tree_flatten(primals)
        tensors_of(flat)
        for t in flat:
            if not isinstance(t, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
            check_differentiable(t.dtype)
        flat = [t.detach().clone() for t in flat]
        if not is_plain(flat):
            raise RuntimeError(
                f"{self._name}: called inside another transform, or of values of one; find the pattern outside of it: it is of "
                "the function, whatever is done with it"
            )
        return Function(call, tuple(tree_unflatten(flat, spec)), spec, flat, self._has_aux, "same", None, None)

    @property
    def guards(self) -> tuple[np.ndarray, ...]:
        """What the function read in the last call."""
        return () if self._found is None else tuple(self._found.guards.expected)

    def holds(self, *args: Any, **kwargs: Any) -> bool:
        """Tell whether the pattern that the last call found is that at other arguments, too.

        It computes again what `func` read, and no more. False before the first call, for inputs of other shapes or dtypes,
        where an argument that is not differentiated has another value, and where what is read was drawn at random.
        """
        f = self._function(args, kwargs)
        if self._found is None or self._known != [(t.shape, t.dtype) for t in f.flat]:
            return False
        return _are_same(others_of(f.call), self._others) and self._found.holds(*f.primals)


def _kept(value: Any) -> Any:
    """Return a copy of what may be written to."""
    return np.array(value.detach()) if isinstance(value, Tensor) else value.copy() if isinstance(value, np.ndarray) else value


def _are_same(values: list, known: list) -> bool:
    """Tell whether arguments are those that were kept."""
    (given, spec), (kept, shape) = tree_flatten(tree_map(_kept, values)), tree_flatten(known)
    return spec == shape and all(
        [
            np.array_equal(a, b) if isinstance(b, np.ndarray) else a.__class__ is b.__class__ and bool(a == b)
            for a, b in zip(given, kept, strict=True)
        ]
    )


def _blocks(found: Sparsity) -> list[list[Any]]:
    """Return the pattern of each result in each input."""
    whole = found.tosparse()
    rows, columns = (np.cumsum([0, *sizes]).tolist() for sizes in (found.sizes_out, found.sizes_in))
    return [[whole[a:b, c:d] for c, d in itertools.pairwise(columns)] for a, b in itertools.pairwise(rows)]


def jacobian_sparsity(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None
) -> JacobianSparsity:
    """Return a function that finds where the Jacobian of `func` can be other than zero.

    `func` runs once, traced. Every element of every value that it computes carries the set of the inputs' elements that it can
    depend on, through what each op says of its reach: no derivative is taken. The pattern is never too small, for whatever
    values of the inputs; where an op's element depends on one input or another, as in a maximum, both are in it. What a
    constant multiplies by 0 (a mask, a matrix of differences, the corners of a stencil) is not. The size of the pattern, not
    that of the matrix, decides how long it takes: some milliseconds for 10,000 inputs of which each reaches a few results.

    Parameters
    ----------
    func : callable
        Takes pytrees of tensors, returns a pytree of tensors.
    argnums, argnames
        The arguments to differentiate in, as for :func:`jacobian`.
    has_aux : bool
        Whether `func` returns ``(output, aux)``: the pattern is the output's alone.

    Returns
    -------
    JacobianSparsity
        Returns a tree like that of ``jacobian(func, sparse=True)``: for an output and an input SciPy's ``csr_array`` of bool, a
        row for each element of the output and a column for each of the input, both flat; complex elements count once.

        Where `func` branches on values, or takes them as indices or sizes, the pattern is that of the way it went. After a
        call, `guards` are the values that it read; ``holds(x)`` tells whether it would read the same for other inputs, and
        whether constants are 0 where they were.

    Raises
    ------
    RuntimeError
        If there is no such argument, an input is neither floating point nor complex, or `func` cannot be traced: it calls
        ``backward()``, writes to tensors outside, or hands values to NumPy.
    ValueError
        If a leaf of the inputs is no tensor.

    References
    ----------
    Griewank & Walther, *Evaluating Derivatives*, 2nd ed., section 7.1: sparsity patterns by propagation of index domains.

    Examples
    --------
    >>> import chainrule as cr
    >>> S = cr.func.jacobian_sparsity(lambda x: x[1:] * x[:-1])
    >>> S(cr.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    >>> S = cr.func.jacobian_sparsity(lambda x: x.cumsum(0) if x[0] > 0 else x)
    >>> S(cr.ones(4)).nnz, S.guards, S.holds(-cr.ones(4))
    (10, (array(True),), False)
    """
    expect_function(func, "jacobian_sparsity")
    return JacobianSparsity(func, argnums, argnames, has_aux)


def hessian_sparsity(func: Callable, argnums: Argnums = 0, *, argnames: Argnames = None) -> JacobianSparsity:
    """Return a function that finds where the Hessian of `func` can be other than zero; see :func:`jacobian_sparsity`.

    The function that is traced is the first derivative of `func`, which is taken as :func:`hessian` takes it.

    Parameters
    ----------
    func : callable
        Takes pytrees of tensors, returns a pytree of tensors, most often one without axes.
    argnums, argnames
        The arguments to differentiate in, as for :func:`hessian`.

    Returns
    -------
    JacobianSparsity
        Returns a tree like that of ``hessian(func, sparse=True)``: for an output and two inputs SciPy's ``csr_array`` of bool,
        whose rows are the elements of the first derivative, flat.

    Examples
    --------
    >>> import chainrule as cr
    >>> S = cr.func.hessian_sparsity(lambda x: (x[1:] - x[:-1] ** 2).square().sum())
    >>> S(cr.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 1, 0],
           [0, 1, 1, 1],
           [0, 0, 1, 1]])
    >>> cr.func.hessian_sparsity(lambda x, w: w @ x, argnums=(0, 1))(cr.ones(2), cr.ones(2))[0][1].nnz
    2
    """
    expect_function(func, "hessian_sparsity")
    return JacobianSparsity(Jacobian(func, argnums, argnames), argnums, argnames, name="hessian_sparsity")

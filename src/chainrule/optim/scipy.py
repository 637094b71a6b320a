"""SciPy's optimizers on functions of pytrees: the derivatives that they ask for are chainrule's.

SciPy sees one flat array of double precision; a function of the user's sees the pytree that it was written for. SciPy is
imported when one of these is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func import grad_and_value, hessian, hvp, jacobian

__all__ = ["scipy_least_squares", "scipy_minimize", "scipy_root"]

# Which derivatives SciPy's methods of `minimize` use; others use none, and warn of those that they are given.
_GRADIENT = frozenset((
    "cg", "bfgs", "newton-cg", "l-bfgs-b", "tnc", "slsqp", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr",
))  # fmt: skip
_HESSIAN = frozenset(("dogleg", "trust-exact"))
_PRODUCT = frozenset(("newton-cg", "trust-ncg", "trust-krylov", "trust-constr"))


class Flat:
    """A pytree of real tensors, arrays or numbers as one flat array.

    Attributes
    ----------
    start : numpy.ndarray
        The values at the start, in double precision.
    """

    __slots__ = ("_arrays", "_dtypes", "_shapes", "_spec", "start")
    _spec: TreeSpec

    def __init__(self, tree: Any, name: str):
        leaves, self._spec = tree_flatten(tree)
        if not leaves:
            raise ValueError(f"{name}: x0 holds no values")
        self._arrays = not any([isinstance(leaf, Tensor) for leaf in leaves])
        arrays = [leaf.detach().numpy() if isinstance(leaf, Tensor) else np.asarray(leaf) for leaf in leaves]
        for a in arrays:
            if a.dtype.kind not in "biuf":
                raise TypeError(f"{name}: x0 holds {a.dtype}; SciPy takes real numbers")
        self._shapes = [a.shape for a in arrays]
        self._dtypes = [a.dtype if a.dtype.kind == "f" else np.dtype(np.float64) for a in arrays]
        self.start = np.concatenate([a.astype(np.float64).reshape(-1) for a in arrays])

    def tree(self, x: np.ndarray) -> Any:
        """Return the pytree of tensors of a flat array."""
        leaves, at = [], 0
        for shape, dtype in zip(self._shapes, self._dtypes, strict=True):
            size = int(np.prod(shape))
            leaves.append(wrap(x[at : at + size].reshape(shape).astype(dtype)))
            at += size
        return tree_unflatten(leaves, self._spec)

    def result(self, x: np.ndarray) -> Any:
        """Return the pytree of a flat array as the caller gave it: of arrays if there was no tensor."""
        tree = self.tree(x)
        if not self._arrays:
            return tree
        leaves, spec = tree_flatten(tree)
        return tree_unflatten([leaf.numpy()[()] for leaf in leaves], spec)

    def flat(self, tree: Any) -> np.ndarray:
        """Return the values of a pytree such as a gradient, one after the other."""
        return np.concatenate([_array(leaf).reshape(-1) for leaf in tree_flatten(tree)[0]])

    def columns(self, tree: Any, rows: int) -> np.ndarray:
        """Return a pytree of blocks of shape (rows, …) as a matrix with a column for each element."""
        return np.concatenate([_array(leaf).reshape(rows, -1) for leaf in tree_flatten(tree)[0]], axis=1)

    def square(self, tree: Any) -> np.ndarray:
        """Return a pytree of pytrees, of a Hessian, as a matrix."""
        blocks = iter(tree_flatten(tree)[0])
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        return np.concatenate(
            [np.concatenate([_array(next(blocks)).reshape(n, m) for m in sizes], axis=1) for n in sizes], axis=0
        )


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value, np.float64)


class Objective:
    """A scalar function of a pytree as SciPy's `fun`, `jac`, `hess` and `hessp` of a flat array.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a real tensor of no axes.
    flat : Flat
    args : tuple
        Further arguments.
    """

    def __init__(self, fun: Callable, flat: Flat, args: tuple = ()):
        self._of_tree = lambda x: fun(x, *args)
        self._flat = flat
        self._slope, self._bend = grad_and_value(self._of_tree), hessian(self._of_tree)

    def fun(self, x: np.ndarray) -> float:
        """Return the value alone."""
        with no_grad():
            return float(self._of_tree(self._flat.tree(x)))

    def fun_and_jac(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient of one reverse pass."""
        gradient, value = self._slope(self._flat.tree(x))
        return float(value), self._flat.flat(gradient)

    def hess(self, x: np.ndarray) -> np.ndarray:
        """Return the Hessian."""
        return self._flat.square(self._bend(self._flat.tree(x)))

    def hessp(self, x: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the product of the Hessian and a direction: forward mode over reverse mode, with no Hessian."""
        (product,) = hvp(self._of_tree, (self._flat.tree(x),), (self._flat.tree(p),))
        return self._flat.flat(product)


def scipy_minimize(fun: Callable, x0: Any, args: tuple = (), method: str | None = None, **options: Any) -> Any:
    """Minimize a scalar function of a pytree by ``scipy.optimize.minimize``, with exact derivatives.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, of a pytree of tensors of the structure of `x0`, returns a real tensor of no axes.
    x0 : pytree
        Of real tensors, arrays or numbers: the start.
    args : tuple
        Further arguments, not differentiated.
    method : str, optional
        SciPy's name of the method, BFGS or one that constraints ask for if not given. It gets what it uses: the gradient, the
        whole Hessian ("dogleg", "trust-exact") or products with it ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr").
    **options
        SciPy's other arguments: `bounds`, `constraints`, `tol`, `callback`, `options`, of flat arrays. A `jac`, `hess` or
        `hessp` that is given takes the place of ours.

    Returns
    -------
    scipy.optimize.OptimizeResult
        Its `x` is a pytree as `x0`: of arrays if there was no tensor in it; `jac` and the rest are flat.

    Raises
    ------
    ValueError
        If there is nothing in `x0`, or SciPy does not know the method.
    TypeError
        If `x0` is complex.

    Examples
    --------
    >>> import chainrule as cr
    >>> loss = lambda p: (p["a"] - 1) ** 2 + ((p["b"] - p["a"]) ** 2).sum()
    >>> found = cr.optim.scipy_minimize(loss, {"a": cr.tensor(0.0), "b": cr.zeros(2)})
    >>> found.x["b"]
    tensor([1.0000, 1.0000])
    """
    from scipy import optimize

    flat = Flat(x0, "scipy_minimize")
    objective = Objective(fun, flat, args)
    name = method.lower() if isinstance(method, str) else None
    given: dict[str, Any] = {}
    if method is None or name in _GRADIENT:
        given["jac"] = True
    if name in _HESSIAN:
        given["hess"] = objective.hess
    elif name in _PRODUCT and "hess" not in options:
        given["hessp"] = objective.hessp
    given |= options
    target = objective.fun_and_jac if given.get("jac") is True else objective.fun
    found = optimize.minimize(target, flat.start, method=method, **given)
    found.x = flat.result(found.x)
    return found


def _residuals(fun: Callable, flat: Flat, args: tuple) -> tuple[Callable, Callable]:
    """Return a function of a pytree that gives one tensor, and its Jacobian, as functions of a flat array."""
    of_tree = lambda x: fun(x, *args)
    slope = jacobian(lambda x: of_tree(x).reshape(-1))

    def value(x: np.ndarray) -> np.ndarray:
        with no_grad():
            return _array(of_tree(flat.tree(x))).reshape(-1)

    def matrix(x: np.ndarray) -> np.ndarray:
        tree = slope(flat.tree(x))
        return flat.columns(tree, len(tree_flatten(tree)[0][0]))

    return value, matrix


def scipy_least_squares(fun: Callable, x0: Any, args: tuple = (), **options: Any) -> Any:
    """Minimize a sum of squares by ``scipy.optimize.least_squares``, with the exact Jacobian.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, of a pytree of the structure of `x0`, returns a tensor of residuals of any shape.
    x0 : pytree
        Of real tensors, arrays or numbers: the start.
    args : tuple
        Further arguments, not differentiated.
    **options
        SciPy's other arguments, such as `bounds`, `method` and `loss`; a `jac` that is given takes the place of ours.

    Returns
    -------
    scipy.optimize.OptimizeResult
        Its `x` is a pytree as `x0`: of arrays if there was no tensor in it.

    Examples
    --------
    >>> import chainrule as cr, numpy as np
    >>> t = cr.linspace(0, 1, 5, dtype=cr.float64)
    >>> found = cr.optim.scipy_least_squares(lambda p: p[0] * cr.exp(p[1] * t) - 2 * cr.exp(-t), np.array([1.0, 0.0]))
    >>> np.round(found.x, 6)
    array([ 2., -1.])
    """
    from scipy import optimize

    flat = Flat(x0, "scipy_least_squares")
    value, matrix = _residuals(fun, flat, args)
    found = optimize.least_squares(value, flat.start, **({"jac": matrix} | options))
    found.x = flat.result(found.x)
    return found


def scipy_root(fun: Callable, x0: Any, args: tuple = (), method: str = "hybr", **options: Any) -> Any:
    """Find a root of a system of equations by ``scipy.optimize.root``, with the exact Jacobian.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, of a pytree of the structure of `x0`, returns a tensor with as many elements as `x0` has.
    x0 : pytree
        Of real tensors, arrays or numbers: the start.
    args : tuple
        Further arguments, not differentiated.
    method : str
        SciPy's name of the method; only "hybr" and "lm" use a Jacobian.
    **options
        SciPy's other arguments.

    Returns
    -------
    scipy.optimize.OptimizeResult
        Its `x` is a pytree as `x0`: of arrays if there was no tensor in it.

    Examples
    --------
    >>> import chainrule as cr, numpy as np
    >>> found = cr.optim.scipy_root(lambda x: cr.stack([x[0] + x[1] - 3, x[0] * x[1] - 2]), np.array([0.5, 3.0]))
    >>> np.round(found.x, 6)
    array([1., 2.])
    """
    from scipy import optimize

    flat = Flat(x0, "scipy_root")
    value, matrix = _residuals(fun, flat, args)
    if method.lower() in ("hybr", "lm"):
        options = {"jac": matrix} | options
    found = optimize.root(value, flat.start, method=method, **options)
    found.x = flat.result(found.x)
    return found

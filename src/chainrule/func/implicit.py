"""Implicit differentiation: derivatives of what a solver returns, from the equation that it solves.

Where F(x, p) = 0 defines x, its derivative solves ``F_x dx = -F_p dp``, whatever the solver did (the implicit function theorem;
Griewank & Walther, *Evaluating Derivatives*, ch. 15; Blondel et al., arXiv 2105.15183). The solver is never differentiated.

Each solution is a custom function whose rules call `linear_solve`, one level down, on the values that it depends on; so a
derivative of any order, in any nesting of transforms, is again one of equations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from chainrule.func import solvers
from chainrule.func.captures import close
from chainrule.func.solutions import LinearSolution, Root, flat
from chainrule.transforms.custom import call

__all__ = ["custom_root", "fixed_point", "linear_solve"]


def linear_solve(
    matvec: Callable,
    b: Any,
    solve: Callable | None = None,
    transpose_solve: Callable | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
    *,
    tolerance: float | None = None,
) -> Any:
    """Return x with ``matvec(x) = b``, differentiable in `b` and in all that `matvec` closes over.

    Parameters
    ----------
    matvec : callable
        A linear function of a pytree of b's structure and shapes.
    b : pytree of Tensor
        The right-hand side.
    solve : callable, optional
        ``solve(matvec, b)`` returns x. By default LU of the matrix for up to 128 unknowns; for more, SciPy's GMRES (conjugate
        gradients if `symmetric`), which only multiplies.
    transpose_solve : callable, optional
        ``transpose_solve(vecmat, g)`` solves with the adjoint, for reverse mode. By default the default of `solve`.
    symmetric : bool
        `matvec` is its own adjoint, so that `solve` serves for both.
    has_aux : bool
        `solve` returns ``(x, aux)``, and so does this function; aux is not differentiated.
    tolerance : float, optional
        Warn if the residual, relative to `b`, exceeds it; also in the equations of the derivatives. By default the cube root of
        machine epsilon. ``math.inf`` silences this, and the warning of a matrix near singular.

    Returns
    -------
    pytree of Tensor
        x, of b's structure. In ``A x = b``, dx solves ``A dx = db - dA x``; the gradient of b solves ``Aᴴ g_b = g``, and that
        of A is the pullback of ``A x`` applied to -g_b.

    Warns
    -----
    UserWarning
        If residual or conditioning make the result untrustworthy.

    Examples
    --------
    >>> import chainrule as cr
    >>> d = cr.tensor([2.0, 4.0], requires_grad=True)
    >>> x = cr.func.linear_solve(lambda v: d * v, cr.tensor([1.0, 1.0]))
    >>> x
    tensor([0.5000, 0.2500], grad_fn=<linear_solveBackward>)
    >>> cr.autograd.grad(x.sum(), d)
    (tensor([-0.2500, -0.0625]),)
    """
    leaves, spec = _unknowns(b, "linear_solve")
    explicit, params = close(matvec, (tree_unflatten(leaves, spec),))
    rules = LinearSolution(
        flat(explicit, spec, "linear_solve", "matvec"),
        spec,
        len(leaves),
        solve,
        transpose_solve,
        symmetric,
        has_aux,
        tolerance,
    )
    return rules.result(call(rules, *leaves, *params))


def _unknowns(tree: Any, name: str) -> tuple[list, TreeSpec]:
    leaves, spec = tree_flatten(tree_map(as_tensor, tree))
    for t in leaves:
        if t.dtype.category < dtypes.FLOAT:
            raise ValueError(f"{name}: unknowns must be floating point or complex, not {t.dtype}")
    return leaves, spec


def custom_root(
    f: Callable,
    initial_guess: Any,
    solve: Callable | None = None,
    tangent_solve: Callable | None = None,
    has_aux: bool = False,
    *,
    tolerance: float | None = None,
) -> Any:
    """Return x with ``f(x) = 0``, differentiable in all that `f` closes over.

    Parameters
    ----------
    f : callable
        Takes a pytree of tensors and returns one of the same structure and shapes.
    initial_guess : pytree of Tensor
        Where the search begins; x does not depend on it.
    solve : callable, optional
        ``solve(f, initial_guess)`` returns x, by any means; it is not differentiated. By default ``scipy.optimize.root``.
    tangent_solve : callable, optional
        ``tangent_solve(g, y)`` returns z with ``g(z) = y``, g being linear: the derivative of f at x, or its adjoint. By
        default as in `linear_solve`.
    has_aux : bool
        `solve` returns ``(x, aux)``, and so does this function; aux is not differentiated.
    tolerance : float, optional
        Warn if the residual at x exceeds it, relative to the scale of f; also in the equations of the derivatives. By default
        the cube root of machine epsilon. ``math.inf`` silences these warnings.

    Returns
    -------
    pytree of Tensor
        x. Its derivative solves ``f_x dx = -f_p dp`` for parameters p; nothing of the search remains in it.

    Warns
    -----
    UserWarning
        If the residual, or the conditioning of the derivative's equation, make derivatives untrustworthy.

    Examples
    --------
    >>> import chainrule as cr
    >>> def cube_root(a):
    ...     return cr.func.custom_root(lambda x: x**3 - a, cr.tensor(1.0))
    >>> a = cr.tensor(8.0)
    >>> cube_root(a)
    tensor(2.)
    >>> cr.func.grad(cube_root)(a)
    tensor(0.0833)
    >>> cr.func.jvp(cr.func.grad(cube_root), (a,), (cr.tensor(1.0),))[1]
    tensor(-0.0069)
    """
    return _root(f, initial_guess, solve, tangent_solve, has_aux, tolerance, "custom_root")


def _root(
    f: Callable, initial_guess: Any, solve: Any, tangent_solve: Any, has_aux: bool, tolerance: float | None, name: str
) -> Any:
    leaves, spec = _unknowns(initial_guess, name)
    guess = [t.detach() for t in leaves]  # type: ignore[attr-defined]
    explicit, params = close(f, (tree_unflatten(guess, spec),))
    rules = Root(flat(explicit, spec, name, "f"), spec, len(guess), solve, tangent_solve, has_aux, tolerance, name)
    return rules.result(call(rules, *guess, *params))


def fixed_point(
    f: Callable,
    initial_guess: Any,
    *args: Any,
    solve: Callable | None = None,
    tangent_solve: Callable | None = None,
    has_aux: bool = False,
    tolerance: float | None = None,
    max_iterations: int = 1000,
    memory: int = 5,
) -> Any:
    """Return x with ``x = f(x, *args)``, differentiable in `args` and in all that `f` closes over.

    Parameters
    ----------
    f : callable
        Takes a pytree of tensors and returns one of the same structure and shapes.
    initial_guess : pytree of Tensor
        Where the iteration begins; x does not depend on it.
    *args
        Further arguments of `f`.
    solve : callable, optional
        ``solve(g, initial_guess)`` returns x with ``x = g(x)``. By default iteration with Anderson's acceleration, until steps
        are of the size of rounding errors.
    tangent_solve, has_aux, tolerance
        As in `custom_root`; the equation is ``x - f(x, *args) = 0``.
    max_iterations, memory : int
        Of the default iteration: its limit, and how many steps it mixes (0 for plain iteration).

    Returns
    -------
    pytree of Tensor

    Examples
    --------
    >>> import chainrule as cr
    >>> def babylonian(x, a):
    ...     return (x + a / x) / 2
    >>> root = lambda a: cr.func.fixed_point(babylonian, cr.tensor(1.0), a)
    >>> root(cr.tensor(9.0)), cr.func.grad(root)(cr.tensor(9.0))
    (tensor(3.), tensor(0.1667))
    """

    def residual(x: Any) -> Any:
        return tree_map(lambda a, b: a - b, x, f(x, *args))

    def search(residual: Callable, guess: Any) -> Any:
        image = lambda x: tree_map(lambda a, b: a - b, x, residual(x))
        if solve is not None:
            return solve(image, guess)
        leaves, spec = tree_flatten(guess)
        flat_image = lambda x: tree_flatten(image(tree_unflatten(x, spec)))[0]
        return tree_unflatten(solvers.iterate(flat_image, leaves, None, max_iterations, memory), spec)

    if has_aux and solve is None:
        raise ValueError("fixed_point: has_aux=True needs a solve that returns (x, aux)")
    return _root(residual, initial_guess, search, tangent_solve, has_aux, tolerance, "fixed_point")

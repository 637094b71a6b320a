"""The equations of `func.implicit` as custom functions: how their solutions are differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func import solvers
from chainrule.func.pullbacks import vjp
from chainrule.func.pushforwards import jvp
from chainrule.transforms.custom import Rules, call
from chainrule.transforms.custom.context import raised


class Solution(Rules):
    """The solution of an equation, as a custom function of its data; what both kinds of equation share.

    Its arguments are `count` tensors of the unknown's structure `spec` (a right-hand side, or a guess), then parameters.
    """

    def __init__(self, spec: TreeSpec, count: int, has_aux: bool, tolerance: float | None):
        self.spec, self.count, self.has_aux, self.tolerance = spec, count, has_aux, tolerance
        self.aux_spec: TreeSpec | None = None

    def solution(self, given: list, params: tuple) -> tuple[list, Any]:
        """Return the solution's leaves and aux, for plain values."""
        raise NotImplementedError

    def forward(self, ctx: Any, args: tuple) -> tuple:
        """Solve; under `vmap` one example after the other, for solvers branch on values."""
        top = max((a for a in args if isinstance(a, Tensor)), key=lambda a: a._level, default=None)
        if top is not None and top._level:
            return self._each(ctx, args, top)
        with no_grad():
            x, aux = self.solution(list(args[: self.count]), args[self.count :])
        leaves, self.aux_spec = tree_flatten(aux)
        return (*x, *leaves)

    def _each(self, ctx: Any, args: tuple, top: Tensor) -> tuple:
        from chainrule.transforms.batch import batched_at

        level, stack = top._level, TABLE["stack"].call
        batched = [isinstance(a, Tensor) and a._level == level for a in args]
        rows = []
        for i in range(top._data.shape[0]):
            row = [raised(a._data)[i] if on else a for a, on in zip(args, batched, strict=True)]
            rows.append(self.forward(ctx, tuple(row)))
        if not rows:
            if self.has_aux:
                raise RuntimeError(f"{self.name}: a batch of no equations has no aux")
            self.aux_spec = tree_flatten(())[1]
            return tuple([batched_at(level, np.zeros((0, *t.shape), t.dtype.numpy)) for t in args[: self.count]])
        return tuple(
            [
                batched_at(level, stack(*column, axis=0)) if isinstance(column[0], Tensor) else column[0]
                for column in zip(*rows, strict=True)
            ]
        )

    def setup(self, ctx: Any, args: tuple, output: Any) -> None:
        """Keep the parameters and the solution."""
        ctx.set_materialize_grads(False)
        kept = (*args[self.count :], *output[: self.count])
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)
        ctx.mark_non_differentiable(*[t for t in output[self.count :] if isinstance(t, Tensor)])

    def kept(self, ctx: Any) -> tuple[tuple, tuple]:
        """Return the parameters and the solution."""
        saved = ctx.saved_tensors
        split = len(saved) - self.count
        return saved[:split], saved[split:]

    def zeros(self, ctx: Any, grads: tuple, x: tuple) -> tuple:
        """Return the gradients of the solution, zeros where there are none."""
        return tuple([t * 0 if g is None else g for g, t in zip(grads[: self.count], x, strict=True)])

    def result(self, outs: tuple) -> Any:
        """Return the solution in its structure, with aux where there is one."""
        x = tree_unflatten(list(outs[: self.count]), self.spec)
        return (x, tree_unflatten(list(outs[self.count :]), self.aux_spec)) if self.has_aux else x  # type: ignore[arg-type]

    def pair(self, found: Any) -> tuple[list, Any]:
        """Return what a user's solver returned as leaves, of the unknown's shapes, and aux."""
        if self.has_aux:
            if not (isinstance(found, tuple) and len(found) == 2):
                raise TypeError(f"{self.name}: with has_aux=True, the solver must return a pair (solution, aux)")
            found, aux = found
        else:
            aux = ()
        leaves, spec = tree_flatten(found)
        if spec != self.spec:
            raise TypeError(f"{self.name}: the solver returned the structure {spec}, for unknowns of structure {self.spec}")
        return [as_tensor(t).detach() for t in leaves], aux  # type: ignore[attr-defined]


def _is_watched(payload: Any) -> bool:
    return isinstance(payload, Tensor) and payload._level > 0


def _minus(leaves: Any) -> tuple:
    return tuple([None if t is None else -t for t in leaves])


class LinearSolution(Solution):
    """``A(params, x) = b``; `transposed` is the adjoint operator, if it is known."""

    name = "linear_solve"

    def __init__(
        self, operator: Callable, spec: TreeSpec, count: int, solve: Any, transpose_solve: Any, symmetric: bool,
        has_aux: bool, tolerance: float | None, transposed: Callable | None = None,
    ):  # fmt: skip
        super().__init__(spec, count, has_aux, tolerance)
        self.operator, self.transposed = operator, transposed
        self.solve, self.transpose_solve, self.symmetric = solve, transpose_solve, symmetric

    def solution(self, given: list, params: tuple) -> tuple[list, Any]:
        """Solve, and check how well."""
        b = [t.detach() for t in given]
        matvec = lambda v: self.operator(params, *v)
        if self.solve is None:
            x, sound = solvers.solve_linear(matvec, b, self.symmetric, self.name, self.tolerance)
            if not sound:
                return x, ()
            aux: Any = ()
        else:
            tree = lambda v: tree_unflatten(list(matvec(tree_flatten(v)[0])), self.spec)
            x, aux = self.pair(self.solve(tree, tree_unflatten(b, self.spec)))
        self._check(matvec, x, b)
        return x, aux

    def _check(self, matvec: Callable, x: list, b: list) -> None:
        tolerance = solvers.tolerance_for(self.tolerance, b)
        size = solvers.norm(b)
        if tolerance == float("inf") or not size:
            return
        rest = solvers.norm([p - q for p, q in zip(matvec(x), b, strict=True)])
        if not rest <= tolerance * size:
            solvers.untrusted(
                f"{self.name}: the solution leaves a relative residual of {rest / size:.1e}, above {tolerance:.1e}: it, and "
                "any derivative through it, cannot be trusted (and what is not linear in its argument has no such solution)"
            )

    def _each(self, ctx: Any, args: tuple, top: Tensor) -> tuple:
        level = top._level
        alone = all(a._level in (0, level) and not _is_watched(a._data) for a in args)
        if self.solve is None and alone:
            from chainrule.transforms.batch import batched_at

            b, params = args[: self.count], args[self.count :]
            matvec = lambda v: self.operator(params, *v)
            with no_grad():
                found = solvers.solve_batch(matvec, b, level, top._data.shape[0], self.name, self.tolerance)
            if found is not None:
                self.aux_spec = tree_flatten(())[1]
                return tuple([batched_at(level, x) for x in found])
        return super()._each(ctx, args, top)

    def again(self, params: tuple, b: tuple) -> tuple:
        """Return the solution for another right-hand side."""
        rules = LinearSolution(
            self.operator, self.spec, self.count, _without_aux(self.solve, self.has_aux), self.transpose_solve, self.symmetric,
            False, self.tolerance, self.transposed,
        )  # fmt: skip
        rules.name = self.name
        return call(rules, *b, *params)

    def adjoint(self, params: tuple, g: tuple) -> tuple:
        """Return the solution of the adjoint equation."""
        if self.symmetric:
            return self.again(params, g)
        transposed = self.transposed
        if transposed is None:
            operator = self.operator

            def transposed(params: tuple, *v: Tensor) -> tuple:
                return vjp(lambda *x: tuple(operator(params, *x)), *[t * 0 for t in v])[1](tuple(v))

        rules = LinearSolution(
            transposed, self.spec, self.count, self.transpose_solve, _without_aux(self.solve, self.has_aux), False, False,
            self.tolerance, self.operator,
        )  # fmt: skip
        rules.name = self.name
        return call(rules, *g, *params)

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        """Return the tangents, from the equation's own derivative."""
        params, x = self.kept(ctx)
        right: Any = tangents[: self.count]
        moved = _pushed(self.operator, params, tangents[self.count :], x)
        if moved is not None:
            right = [-m if t is None else t - m for t, m in zip(right, moved, strict=True)]
        right = [v * 0 if t is None else t for t, v in zip(right, x, strict=True)]
        return (*self.again(params, tuple(right)), *(None,) * self._aux_count())

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients, from the adjoint equation."""
        params, x = self.kept(ctx)
        g_b = self.adjoint(params, self.zeros(ctx, grads, x))
        return (*g_b, *_minus(_pulled(self.operator, params, x, g_b)))

    def _aux_count(self) -> int:
        return self.aux_spec.num_leaves if self.aux_spec is not None else 0


def _without_aux(solve: Any, has_aux: bool) -> Any:
    return (lambda matvec, b: solve(matvec, b)[0]) if has_aux and solve is not None else solve


def _pushed(f: Callable, params: tuple, dots: tuple, x: tuple) -> Any:
    """Return the tangents of ``f(params, *x)`` along those of the parameters; None if none moves."""
    moving = [i for i, t in enumerate(dots) if t is not None]
    if not moving:
        return None

    def of(*some: Tensor) -> tuple:
        filled = list(params)
        for i, p in zip(moving, some, strict=True):
            filled[i] = p
        return tuple(f(tuple(filled), *x))

    return jvp(of, tuple([params[i] for i in moving]), tuple([dots[i] for i in moving]))[1]


def _pulled(f: Callable, params: tuple, x: tuple, gs: tuple) -> tuple:
    """Return the gradients of the parameters of ``f(params, *x)``, given those of its results."""
    inexact = [i for i, p in enumerate(params) if p.dtype.category >= 2]
    found: list = [None] * len(params)
    if inexact:

        def of(*some: Tensor) -> tuple:
            filled = list(params)
            for i, p in zip(inexact, some, strict=True):
                filled[i] = p
            return tuple(f(tuple(filled), *x))

        pulled = vjp(of, *[params[i] for i in inexact])[1](tuple(gs))
        for i, g in zip(inexact, pulled, strict=True):
            found[i] = g
    return tuple(found)


def flat(explicit: Callable, spec: TreeSpec, name: str, what: str) -> Callable:
    """Return ``f(params, x)`` of a pytree as one of its leaves, which returns leaves."""

    def of(params: tuple, *x: Any) -> list:
        leaves, found = tree_flatten(explicit(params, tree_unflatten(list(x), spec)))
        if found != spec or any(tuple(a.shape) != tuple(b.shape) for a, b in zip(leaves, x, strict=True)):
            raise ValueError(
                f"{name}: {what} must return the structure and shapes of its argument, {spec}; it returned {found}"
            )
        for a, b in zip(leaves, x, strict=True):
            if a.dtype is not b.dtype:
                raise ValueError(
                    f"{name}: {what} returns {a.dtype} for an unknown of {b.dtype}; give the unknown (the guess, the "
                    "right-hand side) in the floating point or complex dtype that it is to be computed in"
                )
        return leaves

    return of


class Root(Solution):
    """``f(params, x) = 0``, from a guess."""

    name = "custom_root"

    def __init__(
        self, f: Callable, spec: TreeSpec, count: int, solve: Any, tangent_solve: Any, has_aux: bool,
        tolerance: float | None, name: str,
    ):  # fmt: skip
        super().__init__(spec, count, has_aux, tolerance)
        self.f, self.solve, self.tangent_solve, self.name = f, solve, tangent_solve, name

    def solution(self, given: list, params: tuple) -> tuple[list, Any]:
        """Solve, and check how well."""
        guess = [t.detach() for t in given]
        f = lambda x: self.f(params, *x)
        if self.solve is None:
            x, aux = solvers.solve_root(f, guess), ()
        else:
            tree = lambda x: tree_unflatten(list(f(tree_flatten(x)[0])), self.spec)
            x, aux = self.pair(self.solve(tree, tree_unflatten(guess, self.spec)))
        self._check(f, x, guess)
        return x, aux

    def _check(self, f: Callable, x: list, guess: list) -> None:
        """Compare ``f(x)`` with what f does when x changes by as much as itself, and with where the search began."""
        tolerance = solvers.tolerance_for(self.tolerance, x)
        if tolerance == float("inf") or not x:
            return
        at = f(x)
        rest = solvers.norm(at)
        step = solvers.tolerance_for(None, x)
        beside = f([t * (1 + step) for t in x])
        scale = max(solvers.norm([p - q for p, q in zip(beside, at, strict=True)]) / step, solvers.norm(f(guess)))
        if not rest <= tolerance * scale:
            solvers.untrusted(
                f"{self.name}: the solution leaves a residual of {rest:.1e}, more than {tolerance:.1e} of the function's scale "
                f"{scale:.1e}: its derivatives, which hold at an exact solution, cannot be trusted"
            )

    def _equation(self) -> LinearSolution:
        """Return the linear equation of the derivatives, whose parameters are f's and x."""
        f, count = self.f, self.count

        def pushed(params: tuple, *v: Tensor) -> tuple:
            theta, x = params[:-count], params[-count:]
            return jvp(lambda *x: tuple(f(theta, *x)), tuple(x), tuple(v))[1]

        def pulled(params: tuple, *v: Tensor) -> tuple:
            theta, x = params[:-count], params[-count:]
            return vjp(lambda *x: tuple(f(theta, *x)), *x)[1](tuple(v))

        solve = self.tangent_solve
        linear = LinearSolution(pushed, self.spec, count, solve, solve, False, False, self.tolerance, pulled)
        linear.name = f"{self.name} (equation of the derivative)"
        return linear

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        """Return the tangents, from the equation's own derivative."""
        params, x = self.kept(ctx)
        moved = _pushed(self.f, params, tangents[self.count :], x)
        rest = (None,) * (self.aux_spec.num_leaves if self.aux_spec is not None else 0)
        if moved is None:
            return (*(None,) * self.count, *rest)
        return (*self._equation().again((*params, *x), _minus(moved)), *rest)

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        """Return the gradients, from the adjoint equation."""
        params, x = self.kept(ctx)
        if not params:
            return (None,) * self.count
        g = self._equation().adjoint((*params, *x), self.zeros(ctx, grads, x))
        return (*(None,) * self.count, *_minus(_pulled(self.f, params, x, g)))

"""`custom_jvp` and `custom_vjp`: functions with derivative rules of the user's own, in JAX's light forms.

Both are custom functions (``transforms.custom``), so they pass through every transform, nested in any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.mode.grad_mode import enable_grad, is_grad_enabled, modes
from chainrule.core.tensor.tensor import GradTracking, Tensor, wrap
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func.pullbacks import vjp
from chainrule.transforms.custom import Rules, call
from chainrule.transforms.forward import Dual
from chainrule.transforms.taylor import Series

__all__ = ["custom_jvp", "custom_vjp"]


class _Custom:
    """What both decorators share: the function, and which arguments its rules get as they are."""

    def __init__(self, fun: Callable, nondiff_argnums: tuple[int, ...] = ()):
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.nondiff_argnums = tuple(sorted(set(nondiff_argnums)))
        self.name = getattr(fun, "__name__", type(fun).__name__)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the function."""
        if kwargs:
            import inspect

            bound = inspect.signature(self.fun).bind(*args, **kwargs)
            bound.apply_defaults()
            if bound.kwargs:
                raise TypeError(f"{self.name}: keyword-only arguments are not supported by functions with custom rules")
            args = bound.args
        for i in self.nondiff_argnums:
            if not 0 <= i < len(args):
                raise ValueError(f"{self.name}: nondiff_argnums has {i}, but the call has {len(args)} positional arguments")
        bound_call = self._bind(args)
        if not bound_call.is_watched():
            return self.fun(*args)
        outs = call(bound_call, *bound_call.tensors)
        return tree_unflatten(list(outs), bound_call.out_spec)

    def _bind(self, args: tuple) -> _Call:
        raise NotImplementedError


class _Call(Rules):
    """One call: its arguments flattened, the tensors among them apart."""

    out_spec: TreeSpec

    def __init__(self, owner: Any, args: tuple):
        self.owner, self.name = owner, owner.name
        self.static = {i: args[i] for i in owner.nondiff_argnums}
        self.moving = tuple([a for i, a in enumerate(args) if i not in self.static])
        flat, self.spec = tree_flatten(self.moving)
        self.flat = [as_tensor(a) if isinstance(a, (np.ndarray, np.generic)) else a for a in flat]
        self.places = [i for i, a in enumerate(self.flat) if isinstance(a, Tensor)]
        self.tensors = tuple([self.flat[i] for i in self.places])
        self.records = is_grad_enabled()

    def is_watched(self) -> bool:
        """Tell whether a transform or the graph would see the call."""
        if modes().tracer is not None:
            return True
        return any([t._level or (t._node is not None and self.records) for t in self.tensors])

    def differentiable(self, tensors: tuple) -> tuple:
        """Return the differentiable arguments, with these tensors in their places."""
        flat = list(self.flat)
        for i, t in zip(self.places, tensors, strict=True):
            flat[i] = t
        return tree_unflatten(flat, self.spec)

    def arguments(self, tensors: tuple) -> tuple:
        """Return all arguments, with these tensors in their places."""
        rest = iter(self.differentiable(tensors))
        count = len(self.static) + len(self.moving)
        return tuple([self.static[i] if i in self.static else next(rest) for i in range(count)])

    def plainly(self, f: Callable, tensors: tuple) -> Any:
        """Call a function on values that nothing watches; raise if it watches others, whose derivatives would be lost."""
        tensors = tuple([t.detach() for t in tensors])
        if not self.records:
            return f(*self.arguments(tensors))
        with enable_grad():
            return f(*self.arguments(tensors))

    def flattened(self, result: Any, tensors: tuple) -> tuple:
        """Return a result as a tuple of leaves."""
        outs, self.out_spec = tree_flatten(result)
        top = max([t._level for t in tensors], default=0)
        for o in outs:
            if isinstance(o, Tensor) and (o._level > top or (self.records and o.requires_grad)):
                raise RuntimeError(
                    f"{self.name}: the result depends on a tensor that the function closes over and that requires grad or "
                    "belongs to a transform; its rule has no derivative for that. Pass the tensor as an argument, or "
                    "detach() it."
                )
        return tuple(outs)


class custom_jvp(_Custom):  # noqa: N801 - JAX's public name
    """Give a function a rule for its directional derivative, which serves forward and reverse mode.

    Decorate the function, then its rule with ``f.defjvp``. Reverse mode transposes the rule, which is linear in the tangents.

    Parameters
    ----------
    fun : callable
        Takes and returns pytrees of tensors.
    nondiff_argnums : tuple of int
        Positional arguments that are not differentiated in; the rule gets them first.

    Examples
    --------
    log(1 + eˣ), whose derivative is written so that it does not overflow:

    >>> import chainrule as cr
    >>> @cr.func.custom_jvp
    ... def log1pexp(x):
    ...     return cr.log(1 + cr.exp(x))
    >>> @log1pexp.defjvp
    ... def _(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * (1 - 1 / (1 + cr.exp(x)))
    >>> cr.func.grad(log1pexp)(cr.tensor(100.0))
    tensor(1.)
    >>> cr.func.jvp(cr.func.grad(log1pexp), (cr.tensor(0.0),), (cr.tensor(1.0),))[1]
    tensor(0.2500)
    """

    rule: Callable | None = None

    def defjvp(self, jvp: Callable) -> Callable:
        """Set the rule and return it.

        Parameters
        ----------
        jvp : callable
            ``jvp(*nondiff_args, primals, tangents)`` returns ``(result, tangent of the result)``. The two are tuples, one
            entry per differentiable argument; the tangent of a number is 0.
        """
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable | None) -> None:
        """Set the rule by one for each argument: ``jvp(tangent, result, *primals)``, None for an argument without any."""
        if self.nondiff_argnums:
            raise TypeError("Can't use ``defjvps`` with ``nondiff_argnums``.")

        def rule(primals: tuple, tangents: tuple) -> tuple:
            out = self(*primals)
            terms = [f(t, out, *primals) for f, t in zip(jvps, tangents, strict=True) if f is not None]
            return out, functools.reduce(lambda a, b: a + b, terms) if terms else out * 0

        self.rule = rule

    def _bind(self, args: tuple) -> _Call:
        if self.rule is None:
            raise AttributeError(f"No JVP defined for custom_jvp function {self.name} using defjvp.")
        return _JvpCall(self, args)


class _JvpCall(_Call):
    def forward(self, ctx: Any, args: tuple) -> tuple:
        return self.flattened(self.plainly(self.owner.fun, args), args)

    def setup(self, ctx: Any, args: tuple, output: Any) -> None:
        ctx.save_for_backward(*args)
        ctx.save_for_forward(*args)

    def jvp(self, ctx: Any, tangents: tuple) -> tuple:
        return self._tangents(ctx.saved_tensors, tangents)

    def _tangents(self, primals: tuple, tangents: tuple) -> tuple:
        """Return the tangents of the results, flat, None for one that is not differentiable."""
        dots = [0.0 if isinstance(a, (int, float, complex)) else None for a in self.flat]
        for i, t in zip(self.places, tangents, strict=True):
            dots[i] = t
        given = self.differentiable(primals), tree_unflatten(dots, self.spec)
        both = self.owner.rule(*self.static.values(), *given)
        if not (isinstance(both, tuple) and len(both) == 2):
            raise TypeError(
                f"Custom JVP rule for function {self.name} must produce a pair (list or tuple of length two) representing "
                f"primal and tangent outputs, but got {both!r}."
            )
        outs, _ = tree_flatten(both[0])
        found, spec = tree_flatten(both[1])
        if spec != self.out_spec:
            raise TypeError(
                f"Custom JVP rule for function {self.name} must produce primal and tangent outputs with equal container "
                f"(pytree) structures, but got {self.out_spec} and {spec} respectively."
            )
        return tuple(
            [
                as_tensor(t) if isinstance(o, Tensor) and o.dtype.category >= 2 and t is not None else None
                for o, t in zip(outs, found, strict=True)
            ]
        )

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        primals = ctx.saved_tensors
        inexact = [i for i, p in enumerate(primals) if p.dtype.category >= 2]

        def pushed(*tangents: Tensor) -> tuple:
            given = [wrap(np.zeros(tuple(p.shape), p.dtype.numpy)) for p in primals]
            for i, t in zip(inexact, tangents, strict=True):
                given[i] = t
            dots = self._tangents(primals, tuple(given))
            pulled[:] = [i for i, t in enumerate(dots) if t is not None and grads[i] is not None]
            return tuple([dots[i] for i in pulled])

        pulled: list[int] = []
        origin = [wrap(np.zeros(tuple(primals[i].shape), primals[i].dtype.numpy)) for i in inexact]
        _, pull = vjp(pushed, *origin)
        found: list = [None] * len(primals)
        for i, g in zip(inexact, pull(tuple([grads[k] for k in pulled])), strict=True):
            found[i] = g
        return tuple(found)


class custom_vjp(_Custom):  # noqa: N801 - JAX's public name
    """Give a function a rule for reverse mode.

    Decorate the function, then name its two rules with ``f.defvjp(fwd, bwd)``. Forward mode raises, for the rules do not say
    enough for it: use `custom_jvp`, which serves both.

    Parameters
    ----------
    fun : callable
        Takes and returns pytrees of tensors.
    nondiff_argnums : tuple of int
        Positional arguments that are not differentiated in; `bwd` gets them first.

    Examples
    --------
    An identity that clips the gradients that pass through it:

    >>> import chainrule as cr
    >>> @cr.func.custom_vjp
    ... def clipped(x, limit):
    ...     return x * 1
    >>> clipped.defvjp(lambda x, limit: (x * 1, limit), lambda limit, g: (g.clamp(-limit, limit), None))
    >>> cr.func.grad(lambda x: 100 * clipped(x, 1.0))(cr.tensor(3.0))
    tensor(1.)
    """

    fwd: Callable | None = None
    bwd: Callable | None = None

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Set the rules.

        Parameters
        ----------
        fwd : callable
            Takes the function's arguments; returns its result and a pytree of what `bwd` needs, the residuals.
        bwd : callable
            ``bwd(*nondiff_args, residuals, gradients)`` takes gradients with the structure of the result. It returns a tuple
            with an entry per differentiable argument, of its structure; None stands for zeros.
        """
        self.fwd, self.bwd = fwd, bwd

    def _bind(self, args: tuple) -> _Call:
        if self.fwd is None:
            raise AttributeError(f"No VJP defined for custom_vjp function {self.name} using defvjp.")
        return _VjpCall(self, args)


class _VjpCall(_Call):
    separate = False

    def is_watched(self) -> bool:
        """Tell whether a derivative or a trace would see the call; `vmap` alone runs no rule, for rules may call it."""
        return super().is_watched() and (modes().tracer is not None or any([_moves(t) for t in self.tensors]))

    def forward(self, ctx: Any, args: tuple) -> tuple:
        return self.flattened(self._kept(ctx, args, self.plainly(self.owner.fwd, args)), args)

    def _kept(self, ctx: Any, args: tuple, both: Any) -> Any:
        """Keep the residuals on `ctx`; return the result."""
        out, residuals = self._forward(both)
        flat, spec = tree_flatten(residuals)
        places = [i for i, r in enumerate(flat) if isinstance(r, Tensor)]
        ctx.save_for_backward(*args, *[flat[i] for i in places])
        ctx.residuals = [None if isinstance(r, Tensor) else r for r in flat], spec, places
        return out

    def _forward(self, both: Any) -> tuple:
        if not (isinstance(both, tuple) and len(both) == 2):
            raise TypeError(
                f"Custom VJP fwd rule for function {self.name} must produce a pair (list or tuple of length two) where the "
                "first element represents the primal output and the second element represents residuals (i.e. values stored "
                f"from the forward pass for use on the backward pass), but got {type(both).__name__}."
            )
        return both

    def backward(self, ctx: Any, grads: tuple) -> tuple:
        saved = ctx.saved_tensors
        args, kept = saved[: len(self.places)], saved[len(self.places) :]
        if any([_moves(t) for t in args]):
            # This derivative is differentiated itself: the residuals need their history, which saved ones lack.
            residuals = self._forward(self.owner.fwd(*self.arguments(args)))[1]
        else:
            flat, spec, places = ctx.residuals
            flat = list(flat)
            for i, t in zip(places, kept, strict=True):
                flat[i] = t
            residuals = tree_unflatten(flat, spec)
        found = self.owner.bwd(*self.static.values(), residuals, tree_unflatten(list(grads), self.out_spec))
        leaves = self._leaves(found)
        return tuple([leaves[i] for i in self.places])

    def _leaves(self, found: Any) -> list:
        children = self.spec.children_specs
        if isinstance(found, tuple) and len(found) == len(children):
            leaves: list = []
            for value, child in zip(found, children, strict=True):
                flat, spec = tree_flatten(value)
                if value is None:
                    flat = [None] * child.num_leaves
                elif spec != child:
                    break
                leaves += flat
            else:
                return leaves
        raise TypeError(
            "Custom VJP bwd rule must produce an output with the same container (pytree) structure as the args tuple of the "
            "primal function, and in particular must produce a tuple of length equal to the number of arguments to the primal "
            f"function, but got bwd output structure {tree_flatten(found)[1]} for primal input structure {self.spec}."
        )

    def openly(self, ctx: Any, args: tuple) -> tuple:
        outs, self.out_spec = tree_flatten(self._kept(ctx, args, self.owner.fwd(*self.arguments(args))))
        return tuple(outs)

    def no_jvp(self) -> Exception:
        return NotImplementedError(
            f"can't apply forward-mode differentiation (jvp) to a custom_vjp function: {self.name} has a rule for reverse mode "
            "alone. Define it with custom_jvp, whose rule serves both modes."
        )


def _moves(t: Any) -> bool:
    """Tell whether a derivative in this value is being recorded or carried, at any level of it."""
    while isinstance(t, Tensor):
        if t._level == 0:
            return t._node is not None and is_grad_enabled()
        if t.__class__ is GradTracking:
            if t._node is not None:
                return True
        elif t.__class__ in (Dual, Series) and t._tangent is not None:
            return True
        t = t._data
    return False

"""`vjp`, `grad`, `grad_and_value`: reverse accumulation of functions of pytrees."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, overload

import numpy as np

from chainrule.autograd.forward_ad import kept, lowered
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import recording
from chainrule.core.mode.levels import fresh_level
from chainrule.core.tensor.tensor import GradTracking, Tensor, wrap, wrap_at
from chainrule.core.tensor.value import carried, version_of
from chainrule.core.types.dtype import COMPLEX, FLOAT
from chainrule.core.types.tree import tree_flatten, tree_map, tree_unflatten
from chainrule.func.arguments import Argnames, Argnums, check_places, choose, expect_function, is_one, write_back
from chainrule.func.arrays import arrays_of, tensors_of
from chainrule.transforms.forward import zeros_like
from chainrule.transforms.gradient import checked_cotangent
from chainrule.transforms.reverse import run_pass

_P = ParamSpec("_P")
_R = TypeVar("_R")

__all__ = ["grad", "grad_and_value", "value_and_grad", "vjp"]


class Record:
    """One recorded run of a function: its results, and the map that pulls cotangents of them back to its inputs.

    Attributes
    ----------
    level : int
        The run's own.
    leaves, outs : list of Tensor
        The inputs and results, flattened, as values of that level.
    spec, out_spec : TreeSpec
        The structures of the tuple of primals, and of the result.
    aux : object
        What the function returned beside its result, its tensors lowered from the level.
    arrays : bool
        Whether NumPy arrays were among the inputs: arrays are then to be given back.
    """

    __slots__ = ("arrays", "aux", "leaves", "level", "out_spec", "outs", "spec")

    def __init__(self, func: Callable, primals: tuple, has_aux: bool = False, name: str = "vjp(f, *primals)"):
        self.level = level = fresh_level()
        flat, self.spec = tree_flatten(primals)
        self.arrays = False
        try:
            self.leaves = [_leaf(level, t) for t in flat]
        except ValueError:
            self.arrays = tensors_of(flat)
            self.leaves = [_leaf(level, t) for t in flat]
        with recording(level):
            result = func(*tree_unflatten(self.leaves, self.spec))
        self.aux = None
        if has_aux:
            result, aux = pair_of(result, name)
            self.aux = tree_map(self.lower, aux)
        self.outs, self.out_spec = tree_flatten(result)

    def lower(self, value: Any) -> Any:
        """Return a value of this level as one of the level below, of the same version counter; others as they are."""
        return carried(value) if value.__class__ is GradTracking and value._level == self.level else value

    def value(self) -> Any:
        """Return the result, lowered."""
        return tree_unflatten([self.lower(out) for out in self.outs], self.out_spec)

    @property
    def first(self) -> Any:
        """The one result, lowered."""
        return self.lower(self.outs[0])

    def depends(self, out: Tensor) -> bool:
        """Tell whether a result depends on the inputs."""
        return out.__class__ is GradTracking and out._level == self.level and out._node is not None

    def pull(self, gs: list, retain: bool = True) -> list:
        """Return the cotangents of the leaves for payloads of cotangents of the results, None for none."""
        roots = [
            (out if out._node is LEAF else out._node, g)
            for out, g in zip(self.outs, gs, strict=True)
            if g is not None and self.depends(out)
        ]
        if not roots:
            return [wrap(zeros_like(leaf)) for leaf in self.leaves]
        found = run_pass(roots, self.level, False, retain, adds=False)
        return [_gradient(leaf, found.get(id(leaf))) for leaf in self.leaves]


def _leaf(level: int, t: Any) -> Tensor:
    if not isinstance(t, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
    if t.dtype.category < FLOAT:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    made = wrap_at(level, payload := lowered(t))
    made._node = LEAF
    if payload.__class__ is np.ndarray:
        made._ver = version_of(t)
    return made


def _gradient(leaf: Tensor, entry: list | None) -> Tensor:
    """Return what a pass found for a leaf as a tensor that nobody else holds."""
    if entry is None:
        return wrap(zeros_like(leaf))
    _, g, owned = entry
    if isinstance(g, Tensor):
        return g
    if g.dtype is not leaf._data.dtype:  # bfloat16 widens where a rule meets a Python number
        g = g.astype(leaf.dtype.numpy)
    return wrap(g if owned or g.__class__ is not np.ndarray else g.copy())


def pair_of(result: Any, name: str) -> tuple:
    """Return the (output, aux) that a function returned; raise PyTorch's error if it did not."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def only_tensors(aux: Any) -> Any:
    """Return what a function returned beside its result; raise PyTorch's error unless it holds nothing but tensors."""
    for leaf in tree_flatten(aux)[0]:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return aux


def check_outputs(outs: list, name: str) -> None:
    """Raise PyTorch's error for a function that returned nothing, or anything but tensors."""
    if not outs or (len(outs) == 1 and outs[0] is None):
        raise RuntimeError(f"{name}: Expected f to be a function that has non-empty output (got output = {outs})")
    for out in outs:
        if not isinstance(out, Tensor):
            raise RuntimeError(f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(out)}")


@overload
def vjp(
    func: Callable[..., _R], *primals: Any, has_aux: Literal[False] = False
) -> tuple[_R, Callable[..., tuple[Tensor, ...]]]: ...
@overload
def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool) -> tuple[Any, ...]: ...
def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """Return the value of `func` and the function that pulls cotangents back to its inputs.

    Parameters
    ----------
    func : callable
        Takes the primals and returns a pytree of tensors.
    *primals
        Pytrees of floating point or complex tensors; of NumPy arrays, for which arrays are given back.
    has_aux : bool
        `func` returns ``(output, aux)``, aux a pytree of tensors; the result is then ``(output, vjp_fn, aux)``.

    Returns
    -------
    tuple
        ``(output, vjp_fn)``; ``vjp_fn(cotangents)`` takes the output's structure and returns a tuple, one entry per primal.
        It may be called any number of times.

    Raises
    ------
    ValueError
        If an input is not a tensor.
    RuntimeError
        If an input is of integers, or a result is not a tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, pull = cr.func.vjp(lambda x: x**2, cr.tensor([1.0, 2.0]))
    >>> pull(cr.ones(2))
    (tensor([2., 4.]),)
    """
    expect_function(func, "vjp")
    run = Record(func, primals, has_aux)
    check_outputs(run.outs, "vjp(f, *primals)")

    def vjp_fn(cotangents: Any, retain_graph: bool = True) -> tuple:
        gs, spec = tree_flatten(cotangents)
        if spec != run.out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {spec}, primal output: {run.out_spec}"
            )
        arrays = tensors_of(gs)
        for g in gs:
            if not isinstance(g, Tensor):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        lows = [kept(checked_cotangent(g, out, i)) for i, (g, out) in enumerate(zip(gs, run.outs, strict=True))]
        pulled = tree_unflatten(run.pull(lows, retain_graph), run.spec)
        return arrays_of(pulled) if arrays or run.arrays else pulled

    found = (run.value(), only_tensors(run.aux)) if has_aux else (run.value(),)
    if run.arrays:
        found = arrays_of(found)
    return (found[0], vjp_fn, *found[1:])


_NAME = "grad_and_value(f)(*args)"


@overload
def grad_and_value(
    func: Callable[_P, Any], argnums: int = 0, has_aux: Literal[False] = False
) -> Callable[_P, tuple[Tensor, Tensor]]: ...
@overload
def grad_and_value(
    func: Callable[_P, Any], argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None
) -> Callable[_P, tuple[Any, Any]]: ...
def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None) -> Callable:
    """Return a function that computes the gradient of a scalar function, and its value.

    Parameters
    ----------
    func : callable
        Returns a real tensor of no axes, or with `has_aux` a pair of one and a pytree of tensors.
    argnums : int or tuple of int
        The positional arguments to differentiate in, pytrees of tensors; negative numbers count from the last. Where they are
        NumPy arrays, arrays are given back: ``scipy.optimize.minimize(loss, x0, jac=grad(loss))`` runs.
    has_aux : bool
        Whether `func` returns ``(value, aux)``.
    argnames : str or tuple of str, optional
        The arguments by name instead, whether the call gives them by position or by keyword.

    Returns
    -------
    callable
        Returns ``(gradient, value)``, or ``(gradient, (value, aux))``. The gradient is a tuple if `argnums` or `argnames` is.

    Raises
    ------
    RuntimeError
        If there is no such argument, or the value is not a real scalar tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.grad_and_value(lambda x: x**3)(cr.tensor(2.0))
    (tensor(12.), tensor(8.))
    >>> cr.func.grad_and_value(lambda x, *, w: x * w**2, argnames="w")(cr.tensor(2.0), w=cr.tensor(3.0))
    (tensor(12.), tensor(18.))
    """
    return _differentiated(
        func,
        argnums,
        has_aux,
        argnames,
        lambda gradient, run, aux: (gradient, (run.first, *only_tensors(aux)) if aux else run.first),
    )


def _differentiated(func: Callable, argnums: Argnums, has_aux: bool, argnames: Argnames, give: Callable) -> Callable:
    """Return the function that computes gradient, run and aux (a tuple, empty without `has_aux`) and gives some of them."""
    expect_function(func, "grad")
    check_places(argnums, argnames)
    one = is_one(argnums, argnames)

    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        primals, call = choose(func, argnums, argnames, args, kwargs)
        run = Record(call, primals, has_aux, _NAME)
        gradients = tree_unflatten(run.pull([_one(run)], retain=False), run.spec)
        write_back(call)
        found = give(gradients[0] if one else gradients, run, (run.aux,) if has_aux else ())
        return arrays_of(found) if run.arrays else found

    return wrapped


def _one(run: Record) -> Any:
    """Return the cotangent 1 of the one real scalar that a run gave; raise PyTorch's errors for any other result."""
    out = run.outs[0] if run.out_spec.type is None else None
    if not isinstance(out, Tensor):
        kind = type(out) if run.out_spec.type is None else run.out_spec.type
        raise RuntimeError(f"{_NAME}: Expected f(*args) to return a Tensor, got {kind}")
    if out.ndim != 0:
        raise RuntimeError(
            f"{_NAME}: Expected f(*args) to return a scalar Tensor, got tensor with {out.ndim} dims. Maybe you wanted to use "
            "the vjp or jacrev APIs instead?"
        )
    d = out.dtype
    if d.category == COMPLEX:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {d}")
    return d.numpy.type(1)


@overload
def grad(func: Callable[_P, Any], argnums: int = 0, has_aux: Literal[False] = False) -> Callable[_P, Tensor]: ...
@overload
def grad(
    func: Callable[_P, Any], argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None
) -> Callable[_P, Any]: ...
def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None) -> Callable:
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
    return _differentiated(
        func, argnums, has_aux, argnames, lambda gradient, run, aux: (gradient, *only_tensors(aux)) if aux else gradient
    )


@overload
def value_and_grad(
    func: Callable[_P, Any], argnums: int = 0, has_aux: Literal[False] = False
) -> Callable[_P, tuple[Tensor, Tensor]]: ...
@overload
def value_and_grad(
    func: Callable[_P, Any], argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None
) -> Callable[_P, tuple[Any, Any]]: ...
def value_and_grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, argnames: Argnames = None) -> Callable:
    """Return a function that computes the value of a scalar function, and its gradient, in JAX's order.

    Returns
    -------
    callable
        Returns ``(value, gradient)``, or ``((value, aux), gradient)``; otherwise as :func:`grad_and_value`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.value_and_grad(lambda x: x**3)(cr.tensor(2.0))
    (tensor(8.), tensor(12.))
    """
    return _differentiated(
        func, argnums, has_aux, argnames, lambda gradient, run, aux: ((run.first, *aux) if aux else run.first, gradient)
    )

"""`jvp` and `linearize`: the derivative of a function of pytrees along a direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import numpy as np

from chainrule.autograd.forward_ad import check_tangent, kept, lowered, raised
from chainrule.core.call.dispatch import cast
from chainrule.core.graph.nodes import Inner
from chainrule.core.mode.grad_mode import modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import carried, is_written, version_of
from chainrule.core.types.dtype import COMPLEX, FLOAT
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from chainrule.func.arguments import expect_function
from chainrule.func.arrays import arrays_of, tensors_of
from chainrule.func.pullbacks import Record, check_outputs, only_tensors, pair_of
from chainrule.transforms.forward import Dual, dual, zeros_like
from chainrule.transforms.partial import seed, value_of

_R = TypeVar("_R")

__all__ = ["jvp", "linearize"]


class Push:
    """One run of a function with tangents: its results, and their derivative along the tangents of its inputs.

    Parameters
    ----------
    func : callable
    spec : TreeSpec
        The structure of the tuple of primals.
    primals, tangents : list of Tensor
        The leaves; a tangent may be None, for an input that does not move.
    has_aux : bool

    Attributes
    ----------
    values, dots : list of Tensor
        The results and their tangents, flattened; a tangent is None where a result does not depend on what moves.
    out_spec : TreeSpec
        The structure of the result.
    aux : object
        What the function returned beside its result, its tensors without their tangents.
    written : list of tuple
        The primals that the function wrote to in place, as its arguments, and their tangents, with their new values.
    """

    __slots__ = ("aux", "dots", "level", "out_spec", "values", "written")

    def __init__(self, func: Callable, spec: TreeSpec, primals: list, tangents: list, has_aux: bool = False):
        self.level = level = fresh_level()
        moving = [p if t is None else _moving(level, p, t) for p, t in zip(primals, tangents, strict=True)]
        before = [(m._data, getattr(m, "_tangent", None)) for m in moving]
        with scope(level):
            result = func(*tree_unflatten(moving, spec))
        self.written = []
        for p, t, m, (value, dot) in zip(primals, tangents, moving, before, strict=True):
            if m is not p and (m._data is not value or m._tangent is not dot):
                self.written += [(p, raised(m._data)), (t, 0 if m._tangent is None else raised(value_of(m._tangent)))]
        self.aux = None
        if has_aux:
            result, aux = pair_of(result, _NAME)
            self.aux = tree_map(lambda a: self._split(a)[0], aux)
        outs, self.out_spec = tree_flatten(result)
        check_outputs(outs, _NAME)
        split = [self._split(out) for out in outs]
        self.values: list = [value for value, _ in split]
        self.dots: list = [dot for _, dot in split]

    def write_back(self) -> None:
        """Give the caller's tensors the values that the function wrote into its arguments in place."""
        for p, value in self.written:
            p.copy_(value)

    def _split(self, out: Any) -> tuple[Any, Tensor | None]:
        if out.__class__ is Dual and out._level == self.level:
            value, given = carried(out), value_of(out._tangent)
            dot = None if given is None else raised(given)
            if out._ver is not None and dot is not None and dot is not given:
                dot._ver = out._ver  # for nodes of captured tensors, which may have saved it
            # bfloat16 widens where a rule meets a Python number
            return value, dot if dot is None else cast(dot, value.dtype)
        return out, None


def _moving(level: int, primal: Tensor, tangent: Tensor) -> Dual:
    """Return the dual of an input, whose version counter knows of writes to the primal's memory."""
    dot = kept(tangent)
    made = dual(level, payload := lowered(primal), seed(dot) if modes().safe else dot)
    if payload.__class__ is np.ndarray:
        made._ver = Inner(version_of(primal))
    return made


def or_zeros(values: list, dots: list) -> list:
    """Return tangents, zeros in the place of absent ones."""
    return [wrap(zeros_like(v)) if dot is None else dot for v, dot in zip(values, dots, strict=True)]


_NAME = "jvp(f, primals, tangents)"


@overload
def jvp(
    func: Callable[..., _R], primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: Literal[False] = False
) -> tuple[_R, _R]: ...
@overload
def jvp(
    func: Callable[..., Any], primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool
) -> tuple[Any, ...]: ...
def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """Return the value of `func` and its directional derivative, by forward accumulation.

    Parameters
    ----------
    func : callable
        Takes the primals as positional arguments and returns a pytree of tensors.
    primals, tangents : tuple
        Pytrees of tensors of the same structure and shapes: where, and along what. For NumPy arrays arrays are given back.
    strict : bool
        Raise if an output does not depend on the inputs, instead of returning a zero tangent.
    has_aux : bool
        `func` returns ``(output, aux)``, aux a pytree of tensors; the result is then ``(output, tangent, aux)``.

    Returns
    -------
    tuple
        ``(output, tangent)``: for output y = f(x), tangent is J(x) t, with y's structure.

    Raises
    ------
    RuntimeError
        If the structures or shapes of primals and tangents differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0])
    >>> cr.func.jvp(lambda x: x**2, (x,), (cr.ones(2),))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    expect_function(func, "jvp")
    flat, spec, dots, arrays = checked_pairs(primals, tangents)
    run = Push(func, spec, flat, dots, has_aux)
    run.write_back()
    if strict and None in run.dots:
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed with "
            "strict=True."
        )
    moved = or_zeros(run.values, run.dots)
    pair: tuple = (tree_unflatten(run.values, run.out_spec), tree_unflatten(moved, run.out_spec))
    found: tuple = (*pair, only_tensors(run.aux)) if has_aux else pair
    return arrays_of(found) if arrays else found


def checked_pairs(primals: tuple, tangents: tuple) -> tuple[list, TreeSpec, list, bool]:
    """Return the leaves of primals, their structure, the leaves of tangents, and whether there were arrays among them.

    Raises
    ------
    RuntimeError
        In PyTorch's words, where they do not fit.
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{_NAME}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    flat, spec = tree_flatten(primals)
    dots, dot_spec = tree_flatten(tangents)
    if spec != dot_spec:
        raise RuntimeError(
            f"{_NAME}: Expected primals and tangents to have the same python structure. For example, if primals is a tuple of "
            f"3 tensors, tangents also must be. Got primals with structure {spec} and tangents with structure {dot_spec}"
        )
    if not flat:
        raise RuntimeError(f"{_NAME}: Expected primals to contain at least one Tensor.")
    arrays = tensors_of(flat) | tensors_of(dots)
    for name, leaves in (("primals", flat), ("tangents", dots)):
        for t in leaves:
            if not isinstance(t, Tensor):
                raise RuntimeError(f"{_NAME}: Expected {name} to only contain Tensors, got {type(t)}")
    for i, (p, t) in enumerate(zip(flat, dots, strict=True)):
        if t.dtype is not p.dtype and (COMPLEX if p.dtype.category == COMPLEX else FLOAT) >= t.dtype.category >= FLOAT:
            dots[i] = t = TABLE["to"].call(t, dtype=p.dtype.numpy, source=t.dtype.numpy)
        check_tangent(p, t)
    return flat, spec, dots, arrays


def linearize(func: Callable[..., _R], *primals: Any) -> tuple[_R, Callable[..., _R]]:
    """Return the value of `func`, and its derivative there as a function of the tangents that can be called again and again.

    The function runs once. What reverse mode records of it is the transposed derivative Jᵀ, which is linear; transposing
    that record again gives J, so that a call of the tangent map costs one sweep and does not run `func`.

    Parameters
    ----------
    func : callable
        Takes the primals and returns a pytree of tensors.
    *primals
        Pytrees of floating point or complex tensors.

    Returns
    -------
    tuple
        ``(output, jvp_fn)``; ``jvp_fn(*tangents)`` takes the primals' structure and returns J t, with the output's.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, push = cr.func.linearize(cr.sin, cr.tensor(0.0))
    >>> push(cr.tensor(1.0)), push(cr.tensor(3.0))
    (tensor(1.), tensor(3.))
    """
    expect_function(func, "linearize")
    copies: list = []

    def of_copies(*args: Any) -> Any:
        """Run the function on copies, which unlike leaves may be written to."""
        leaves, spec = tree_flatten(args)
        copies[:] = [TABLE["clone"].call(leaf) for leaf in leaves]
        return func(*tree_unflatten(copies, spec))

    run = Record(of_copies, primals)
    for p, copy in zip(tree_flatten(primals)[0], copies, strict=True):
        if is_written(copy):
            p.copy_(run.lower(copy))
    if run.outs:
        check_outputs(run.outs, "linearize(f, *primals)")
    moving = [i for i, out in enumerate(run.outs) if run.depends(out)]
    flat = [run.lower(leaf) for leaf in run.leaves]

    def pull(*chosen: Tensor) -> tuple:
        gs: list = [None] * len(run.outs)
        for i, g in zip(moving, chosen, strict=True):
            gs[i] = lowered(g)
        return tuple(run.pull(gs))

    transposed = Record(pull, tuple([wrap(zeros_like(run.outs[i])) for i in moving]))

    def jvp_fn(*tangents: Any) -> Any:
        dots, spec = tree_flatten(tangents)
        if spec != run.spec:
            raise RuntimeError(f"Expected the tangents {spec} to have the same argspec as the primals {run.spec}")
        for i, (t, p) in enumerate(zip(dots, flat, strict=True)):
            for what, found, wanted in (("shape", t.shape, p.shape), ("dtype", t.dtype, p.dtype)):
                if found != wanted:
                    raise RuntimeError(
                        f"tangent:{i} with {what} {found} in flattened pytree doesn't match the {what} {wanted} of the "
                        "corresponding primal."
                    )
        found = [wrap(zeros_like(out)) for out in run.outs]
        for i, dot in zip(moving, transposed.pull([kept(t) for t in dots]), strict=True):
            found[i] = dot
        return tree_unflatten(found, run.out_spec)

    return run.value(), jvp_fn

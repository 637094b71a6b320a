"""`jacobian`, `jacrev`, `jacfwd`: whole Jacobians, by rows or by columns, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import check_differentiable
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.func.arguments import Argnames, Argnums, check_places, choose, expect_function, is_one, write_back
from chainrule.func.arrays import arrays_of, tensors_of
from chainrule.func.basis import Directions, entry_of_columns, entry_of_rows
from chainrule.func.compressed import Function, check_width, compression_of, is_traced, sparse_of
from chainrule.func.jacobian_plan import MODES, JacobianPlan, SparsePlan, chosen, chunk_for
from chainrule.func.pattern import Pattern
from chainrule.func.pullbacks import Record, check_outputs, only_tensors
from chainrule.func.sweeps import pulled, pushed

__all__ = ["jacfwd", "jacobian", "jacrev"]


class Jacobian:
    """A function that computes a function's Jacobian. Its `plan` says how the last call did it: see :func:`jacobian`."""

    def __init__(
        self,
        func: Callable,
        argnums: Argnums = 0,
        argnames: Argnames = None,
        has_aux: bool = False,
        *,
        mode: str | None = None,
        chunk_size: int | None = None,
        memory: int | None = None,
        randomness: str = "same",
        name: str = "jacobian",
        prefer: str | None = None,
        sparse: bool = False,
        sparsity: Any = None,
    ):
        check_places(argnums, argnames)
        if mode is not None and mode not in MODES:
            raise ValueError(f"{name}: mode is 'forward', 'reverse' or None, not {mode!r}")
        for what, given in (("chunk_size", chunk_size), ("memory", memory)):
            if given is not None and given < 1:
                raise ValueError(f"{name}: `{what}` should be greater than 0.")
        update_wrapper(self, func, updated=())
        self._func, self._argnums, self._argnames, self._has_aux = func, argnums, argnames, has_aux
        self._mode, self._chunk_size, self._memory, self._randomness = mode, chunk_size, memory, randomness
        self._name, self._prefer, self._sparse = name, prefer, sparse
        self._given = None if sparsity is None else Pattern.of(sparsity)
        self._compressions: dict = {}  # by the dtypes of the inputs, of which few are thinkable
        self._one = is_one(argnums, argnames)
        self.plan: JacobianPlan | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Jacobian, or with `has_aux` a pair of it and aux."""
        primals, call = choose(self._func, self._argnums, self._argnames, args, kwargs)
        flat, spec = tree_flatten(primals)
        arrays = tensors_of(flat)
        if arrays:
            primals = tree_unflatten(flat, spec)
        for t in flat:
            if not isinstance(t, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
            check_differentiable(t.dtype)
        if self._given is not None:
            entries, out_spec, aux, self.plan = self._compressed(self._given, call, primals, spec, flat)
        else:
            entries, out_spec, aux, self.plan = self._whole(call, primals, spec, flat)
        in_spec = spec.children_specs[0] if self._one else spec
        tree = tree_unflatten([tree_unflatten(row, in_spec) for row in entries], out_spec)
        write_back(call)
        found = (tree, aux if self._name == "jacobian" else only_tensors(aux)) if self._has_aux else tree
        return arrays_of(found) if arrays else found

    def _compressed(self, pattern: Pattern, call: Callable, primals: tuple, spec: TreeSpec, flat: list) -> tuple:
        """Take a sparse Jacobian by sums of its columns and rows."""
        f = Function(call, primals, spec, flat, self._has_aux, self._randomness, self._chunk_size, self._memory)
        check_width(pattern, flat, self._name)
        key = (is_traced(), *[t.dtype for t in flat])
        way = self._compressions.get(key)
        if way is None:
            symmetric = self._name == "hessian"
            way = self._compressions[key] = compression_of(pattern, f, self._mode, self._prefer, symmetric)
        entries, outs, out_spec, aux, chunk = way.take(f, self._sparse)
        return entries, out_spec, aux, self._plan(way.mode, flat, outs, chunk, way.reason, way.told)

    def _whole(self, call: Callable, primals: tuple, spec: TreeSpec, flat: list) -> tuple:
        """Take a Jacobian by all of its columns or rows."""
        mode, reason, ins, run = self._mode or self._prefer, "as asked", Directions(flat), None
        if mode is None and ins.total == 1:
            mode, reason = "forward", "one input"
        if mode != "forward" or (self._memory is not None and self._chunk_size is None):
            run = self._record(call, primals)
            if mode is None:
                mode, reason = chosen(run, ins.total, Directions(run.outs).total)
        found = None
        if mode == "forward":
            try:
                found = self._by_columns(call, spec, flat, ins, run)
            except NotImplementedError as error:  # of a custom Function without jvp
                if self._mode is not None:
                    raise
                mode, reason = "reverse", f"forward mode cannot: {error}"
        entries, outs, out_spec, aux, chunk = found or self._by_rows(run or self._record(call, primals), flat)
        if self._sparse:
            entries = [
                [sparse_of(e, out, x) for e, x in zip(row, flat, strict=True)] for row, out in zip(entries, outs, strict=True)
            ]
        return entries, out_spec, aux, self._plan(mode, flat, outs, chunk, reason)

    def _plan(self, mode: str, flat: list, outs: list, chunk: int, reason: str, told: SparsePlan | None = None) -> JacobianPlan:
        inputs, outputs = Directions(flat).total, Directions(outs).total
        return JacobianPlan(mode, inputs, outputs, chunk, reason, getattr(self._func, "plan", None), told)

    def _record(self, call: Callable, primals: tuple) -> Record:
        run = Record(call, primals, self._has_aux)
        check_outputs(run.outs, "vjp(f, *primals)")
        return run

    def _by_rows(self, run: Record, flat: list) -> tuple:
        directions = Directions(run.outs)
        chunk = chunk_for(directions.total, self._chunk_size, self._memory, run)
        rows = [directions.split(stacked) for stacked in pulled(run, directions, chunk)]
        entries = [[entry_of_rows(gs[i], out, x) for gs, x in zip(rows, flat, strict=True)] for i, out in enumerate(run.outs)]
        return entries, run.outs, run.out_spec, run.aux, chunk

    def _by_columns(self, call: Callable, spec: TreeSpec, flat: list, directions: Directions, run: Record | None) -> tuple:
        chunk = chunk_for(directions.total, self._chunk_size, self._memory, run)
        found = pushed(call, spec, flat, directions, chunk, self._randomness, self._has_aux)
        columns = [directions.split(stacked) for stacked in found.stacked]
        entries = [
            [entry_of_columns(of[k], out, x) for k, x in enumerate(flat)] for of, out in zip(columns, found.outs, strict=True)
        ]
        return entries, found.outs, found.out_spec, found.aux, chunk


def jacobian(
    func: Callable,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    argnames: Argnames = None,
    mode: str | None = None,
    chunk_size: int | None = None,
    memory: int | None = None,
    randomness: str = "same",
    sparse: bool = False,
    sparsity: Any = None,
) -> Jacobian:
    """Return a function that computes the Jacobian of `func` in the mode that is cheaper for the call's sizes.

    Forward mode gives a column a sweep, reverse mode a row. `func` runs once and is recorded, which tells the sizes; with
    more inputs than outputs the rows are pulled back along that record, else `func` runs again and carries the columns.

    Parameters
    ----------
    func : callable
        Takes pytrees of tensors, returns a pytree of tensors. Where it is differentiated in NumPy arrays, arrays are given
        back.
    argnums : int or tuple of int
        The positional arguments to differentiate in.
    has_aux : bool
        Whether `func` returns ``(output, aux)``.
    argnames : str or tuple of str, optional
        The arguments by name instead.
    mode : {"forward", "reverse"}, optional
        Overrides the choice.
    chunk_size : int, optional
        How many columns or rows one sweep carries; by default as many as `memory` allows.
    memory : int, optional
        Bytes that a sweep's tangents or cotangents may take, beside the result and what `func` itself takes. It is kept by
        an estimate from the sizes of recorded values.
    randomness : {"same", "different", "error"}
        What random functions in `func` do where columns are carried through it together: the same for all, as for rows;
        other numbers for each; or raise.
    sparse : bool
        Give SciPy's ``csr_array`` in the place of each entry: of two axes, a row for each element of the output and a column
        for each of the input, flat. Entries of half precision are then float32.
    sparsity : array or SciPy sparse array, optional
        Where the Jacobian can be other than zero: a row for each element of all outputs, a column for each element of all
        inputs, in the order of the trees' leaves. It is believed. Columns, rows or both are then carried in sums that keep
        the entries apart, as few as the pattern allows and as what a sweep costs suggests, which is measured once.

    Returns
    -------
    Jacobian
        Returns a tree of the output's structure, whose leaves are trees of the input's structure, a tuple if `argnums` is;
        an entry for an output of shape (a, …) and an input of shape (b, …) has the shape (a, …, b, …). With `has_aux`, a pair
        of that and aux. Its attribute `plan`, a :class:`~chainrule.func.jacobian_plan.JacobianPlan`, says how the last call was
        done.

        A complex entry is, for a complex input and output, that of a holomorphic function; for a real output the gradient
        ∂/∂x + i ∂/∂y, as `grad` gives it; for a real input the derivative of real and imaginary part.

    Raises
    ------
    RuntimeError
        If there is no such argument, a result is not a tensor, or a function from complex to complex is not holomorphic; if
        `sparse` is asked where the entries are to be differentiated again, or mapped.
    ValueError
        If `sparsity` is no matrix of the right shape.

    Examples
    --------
    >>> import chainrule as cr
    >>> J = cr.func.jacobian(lambda x: x**2)
    >>> J(cr.tensor([1.0, 2.0, 3.0]))
    tensor([[2., 0., 0.],
            [0., 4., 0.],
            [0., 0., 6.]])
    >>> J.plan.mode, J.plan.reason
    ('reverse', 'no more outputs (3) than inputs (3)')
    >>> J = cr.func.jacobian(lambda x: x[1:] * x[:-1], sparsity=[[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    >>> J(cr.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([[2., 1., 0., 0.],
            [0., 3., 2., 0.],
            [0., 0., 4., 3.]])
    >>> J.plan.sparse.colours
    2
    """
    expect_function(func, "jacobian")
    return Jacobian(
        func, argnums, argnames, has_aux, mode=mode, chunk_size=chunk_size, memory=memory, randomness=randomness,
        sparse=sparse, sparsity=sparsity,
    )  # fmt: skip


def jacrev(
    func: Callable,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    argnames: Argnames = None,
    _preallocate_and_copy: bool = False,
) -> Jacobian:
    """Return a function that computes the Jacobian of `func` by rows, in reverse mode; see :func:`jacobian`.

    Parameters
    ----------
    func, argnums, has_aux, argnames
        As for :func:`jacobian`.
    chunk_size : int, optional
        How many rows one sweep pulls back; by default as many as a bound on memory allows.
    _preallocate_and_copy : bool
        PyTorch's option to write chunks into one result made beforehand: here that is always done where it can be.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.jacrev(cr.sin)(cr.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    expect_function(func, "jacrev")
    return Jacobian(func, argnums, argnames, has_aux, mode="reverse", chunk_size=chunk_size, name="jacrev")


def jacfwd(
    func: Callable,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
    argnames: Argnames = None,
) -> Jacobian:
    """Return a function that computes the Jacobian of `func` by columns, in forward mode; see :func:`jacobian`.

    Parameters
    ----------
    func, argnums, has_aux, argnames
        As for :func:`jacobian`.
    randomness : {"error", "same", "different"}
        What random functions in `func` do, which runs once for all columns.
    chunk_size : int, optional
        How many columns one run of `func` carries; by default all.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.jacfwd(lambda t: cr.stack([t**2, 3 * t]))(cr.tensor(2.0))
    tensor([4., 3.])
    """
    expect_function(func, "jacfwd")
    return Jacobian(
        func, argnums, argnames, has_aux, mode="forward", chunk_size=chunk_size, randomness=randomness, name="jacfwd"
    )  # fmt: skip

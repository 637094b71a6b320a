"""`jacobian`, `jacrev`, `jacfwd`: whole Jacobians, by rows or by columns, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from chainrule.autograd.forward_ad import lowered, raised
from chainrule.core.generator import default_generator
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import check_differentiable
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_map, tree_unflatten
from chainrule.func.arguments import Argnames, Argnums, check_places, choose, expect_function, is_one, write_back
from chainrule.func.arrays import arrays_of, tensors_of
from chainrule.func.basis import Directions, Stack, entry_of_columns, entry_of_rows
from chainrule.func.jacobian_plan import MODES, JacobianPlan, chosen, chunk_for
from chainrule.func.mapping import vmap
from chainrule.func.pullbacks import Record, check_outputs, only_tensors
from chainrule.func.pushforwards import Push, or_zeros
from chainrule.transforms.batch import Batched
from chainrule.transforms.forward import zeros_like

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
        self._name, self._prefer = name, prefer
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
        self.plan = JacobianPlan(mode, ins.total, Directions(outs).total, chunk, reason, getattr(self._func, "plan", None))
        in_spec = spec.children_specs[0] if self._one else spec
        tree = tree_unflatten([tree_unflatten(row, in_spec) for row in entries], out_spec)
        write_back(call)
        found = (tree, aux if self._name == "jacobian" else only_tensors(aux)) if self._has_aux else tree
        return arrays_of(found) if arrays else found

    def _record(self, call: Callable, primals: tuple) -> Record:
        run = Record(call, primals, self._has_aux)
        check_outputs(run.outs, "vjp(f, *primals)")
        return run

    def _by_rows(self, run: Record, flat: list) -> tuple:
        directions = Directions(run.outs)
        total = directions.total
        chunk = chunk_for(total, self._chunk_size, self._memory, run)
        stacks = [Stack(total) for _ in flat]

        def pull(*gs: Tensor) -> list:
            given = iter(gs)
            return run.pull([None if g is None else lowered(next(given)) for g in block])

        for start in range(0, total, chunk):
            stop = min(start + chunk, total)
            block = directions.block(start, stop)
            for stack, g in zip(stacks, mapped(pull, [g for g in block if g is not None], "error"), strict=True):
                stack.add(start, stop, g)
        pulled = [
            directions.split(s.rows() if total else wrap(zeros_like(x)[None][:0])) for s, x in zip(stacks, flat, strict=True)
        ]
        entries = [[entry_of_rows(gs[i], out, x) for gs, x in zip(pulled, flat, strict=True)] for i, out in enumerate(run.outs)]
        return entries, run.outs, run.out_spec, run.aux, chunk

    def _by_columns(self, call: Callable, spec: TreeSpec, flat: list, directions: Directions, run: Record | None) -> tuple:
        total = directions.total
        chunk = chunk_for(total, self._chunk_size, self._memory, run)
        stacks: list[Stack] = []
        push, level = None, 0
        state = default_generator.get_state() if total > chunk and self._randomness == "same" else None

        def along(*tangents: Tensor) -> list:
            nonlocal push, level
            level, given = tangents[0]._level, iter(tangents)
            push = Push(call, spec, flat, [None if t is None else next(given) for t in block], self._has_aux)
            return or_zeros(push.values, push.dots)

        for start in range(0, total, chunk):
            if state is not None and start:
                default_generator.set_state(state)  # one function is differentiated: its random numbers stay the same
            stop = min(start + chunk, total)
            block = directions.block(start, stop)
            dots = mapped(along, [t for t in block if t is not None], self._randomness)
            stacks = stacks or [Stack(total) for _ in dots]
            for stack, dot in zip(stacks, dots, strict=True):
                stack.add(start, stop, dot)
        if push is None:  # no input has an element
            push = Push(call, spec, flat, [None] * len(flat), self._has_aux)
        outs = [_example(v, level) for v in push.values]
        empty = [wrap(zeros_like(out)[None][:0]) for out in outs] if not total else []
        pushed = [directions.split(rows) for rows in ([s.rows() for s in stacks] or empty)]
        entries = [[entry_of_columns(of[k], out, x) for k, x in enumerate(flat)] for of, out in zip(pushed, outs, strict=True)]
        return entries, outs, push.out_spec, tree_map(lambda a: _example(a, level), push.aux), chunk


def mapped(f: Callable, stacked: list, randomness: str) -> list:
    """Return what `f` gives for each direction of a block, stacked; one alone needs no batch."""
    if len(stacked[0]) > 1:
        return vmap(f, randomness=randomness)(*stacked)
    take, put = TABLE["getitem"].call, TABLE["reshape"].call
    return [put(t, shape=(1, *t.shape)) for t in f(*[take(t, index=(0,)) for t in stacked])]


def _example(value: Any, level: int) -> Any:
    """Return one of the examples of a value that differs between directions, as random ones may; others as they are."""
    if value.__class__ is Batched and value._level == level:
        return TABLE["getitem"].call(raised(value._data), index=(0,))
    return value


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
        If there is no such argument, a result is not a tensor, or a function from complex to complex is not holomorphic.

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
    """
    expect_function(func, "jacobian")
    return Jacobian(
        func, argnums, argnames, has_aux, mode=mode, chunk_size=chunk_size, memory=memory, randomness=randomness
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

"""`jacobian`, `jacrev`, `jacfwd`: whole Jacobians, by rows or by columns, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial, update_wrapper
from itertools import chain
from time import perf_counter
from typing import Any

from chainrule.core.generator import default_generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import check_differentiable
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.func.arguments import (
    Argnames,
    Argnums,
    check_counts,
    check_places,
    check_randomness,
    choose,
    expect_function,
    is_one,
    write_back,
)
from chainrule.func.arrays import arrays_of, tensors_of
from chainrule.func.assembly import in_dense, in_sparse, numbers_of, sparse_of, supported
from chainrule.func.basis import Directions, bottom
from chainrule.func.choice import compression_of
from chainrule.func.compiling import CompiledTakes
from chainrule.func.compressed import Compression, Taken, check_width, is_traced
from chainrule.func.discovery import FEWEST, FULL, Memories, Memory, is_plain, may_pay, pays, untouched
from chainrule.func.jacobian_plan import MODES, JacobianPlan, SparsePlan, chosen, real_size
from chainrule.func.pattern import Pattern
from chainrule.func.pullbacks import Record, only_tensors
from chainrule.func.sweeps import Function
from chainrule.func.whole import by_columns, by_rows

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
        finds: bool = False,
    ):
        check_places(argnums, argnames)
        if mode is not None and mode not in MODES:
            raise ValueError(f"{name}: mode is 'forward', 'reverse' or None, not {mode!r}")
        check_counts(name, chunk_size=chunk_size, memory=memory)
        check_randomness(randomness)
        if not isinstance(sparse, bool):
            raise TypeError(f"{name}: `sparse` is True or False, not {sparse!r}; a pattern is given as `sparsity`")
        update_wrapper(self, func, updated=())
        self._func, self._argnums, self._argnames, self._has_aux = func, argnums, argnames, has_aux
        self._mode, self._chunk_size, self._memory, self._randomness = mode, chunk_size, memory, randomness
        self._name, self._prefer, self._sparse = name, prefer, sparse
        self._given = None if sparsity is None else Pattern.of(sparsity)
        self._compressions: dict = {}  # by the dtypes of the inputs, of which few are thinkable
        self._finds, self._prepared, self._memories = finds and randomness != "different", False, Memories()
        self._take: Callable = Compression.take
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
        f = Function(call, primals, spec, flat, self._has_aux, self._randomness, self._chunk_size, self._memory)
        entries, out_spec, aux, self.plan = self._derivative(f)
        in_spec = spec.children_specs[0] if self._one else spec
        tree = tree_unflatten([tree_unflatten(row, in_spec) for row in entries], out_spec)
        write_back(call)
        found = (tree, aux if self._name == "jacobian" else only_tensors(aux)) if self._has_aux else tree
        return arrays_of(found) if arrays else found

    def _derivative(self, f: Function) -> tuple:
        """Take the Jacobian in one of the ways: of a given pattern, of one that is known or found, or whole."""
        if self._given is not None:
            given = self._of_given(f, self._given)
            return self._assembled(given, f, self._take(given, f, False)) or self._whole(f, None)
        asked = self._sparse or self._prepared
        if not self._finds or not (asked or sum([t.numel() for t in f.flat]) >= FEWEST) or not is_plain(f.flat):
            return self._whole(f, None)
        memory = self._memories.of(f.flat)
        way = memory.way(f)
        if way is None and asked and not memory.obstacle:
            way = self._search(f, memory)
        return self._checked(f, memory, way) or self._whole(f, memory)

    def _checked(self, f: Function, memory: Memory, way: Compression | None) -> tuple | None:
        """Take a sparse Jacobian whose pattern was found; None where there is none that says what the function does."""
        for symmetric in (self._name == "hessian", False):
            if way is None:
                return None
            start = perf_counter()
            taken = self._take(way, f, True)
            found = None
            if taken is not None and not memory.lacks(way, chain.from_iterable(taken.values)):
                found = self._assembled(way, f, taken)
            if found is not None:
                if not (self._sparse or self._prepared):
                    memory.weigh(perf_counter() - start)
                return found
            memory.forget(way)
            way = self._search(f, memory, symmetric)
        memory.obstacle = "the pattern that was found does not hold"
        return None

    def _search(self, f: Function, memory: Memory, symmetric: bool = True) -> Compression | None:
        symmetric = symmetric and self._name == "hessian"
        full = 1.0 if self._sparse or self._prepared else FULL
        with untouched(f):
            return memory.search(f, self._mode, self._prefer, symmetric, self._prepared, full)

    def _of_given(self, f: Function, pattern: Pattern) -> Compression:
        """Return the compression of a given pattern, of which there is one for each choice of dtypes."""
        check_width(pattern, f.flat, self._name)
        key = (is_traced(), *[t.dtype for t in f.flat])
        way = self._compressions.get(key)
        if way is None:
            way = compression_of(pattern, f, self._mode, self._prefer, self._name == "hessian", self._prepared)
            self._compressions[key] = way
        return way

    def _assembled(self, way: Compression, f: Function, taken: Taken) -> tuple | None:
        """Put the blocks together, dense or as SciPy's arrays; None if a random direction tells that the pattern is wrong."""
        results = taken.results
        number = numbers_of if self._sparse else lambda v: supported(bottom(v))
        entries: list = []
        if self._sparse or not results.is_quick:
            rows = zip(taken.values, results.blocks, strict=True)
            entries = [[in_sparse(number(v), block) for v, block in zip(*row, strict=True)] for row in rows]
        if not results.agrees(taken.probed, entries):
            return None
        if not self._sparse:
            entries = [
                [in_dense(v, block, (*shape, *x.shape)) for v, block, x in zip(values, blocks, f.flat, strict=True)]
                for values, blocks, shape in zip(taken.values, results.blocks, results.shapes, strict=True)
            ]
        inputs = sum([real_size(t) for t in f.flat])
        plan = self._plan(way.mode, inputs, results.outputs, results.chunk, way.reason, way.told)
        return entries, taken.spec, taken.aux, plan

    def _whole(self, f: Function, memory: Memory | None) -> tuple:
        """Take a Jacobian by all of its columns or rows; or, where it pays to look for its pattern first, by sums of them."""
        start = perf_counter()
        state = default_generator.get_state() if memory is not None and may_pay(memory, f) else None
        mode, reason, ins, run = self._mode or self._prefer, "as asked", Directions(f.flat), None
        if mode is None and ins.total == 1:
            mode, reason = "forward", "one input"
        if mode != "forward" or (f.memory is not None and f.chunk_size is None):
            run = f.record()
            if mode is None:
                mode, reason = chosen(run, ins.total, Directions(run.outs).total)
        found = None
        try:
            if memory is not None and state is not None and self._pays(f, memory, mode, run):
                way = self._search(f, memory)
                if way is not None:
                    drawn = default_generator.get_state()
                    default_generator.set_state(state)
                    found = self._checked(f, memory, way)
                    if found is not None:
                        return found
                    default_generator.set_state(drawn)
            if mode == "forward":
                found = by_columns(f, ins, run)
        except NotImplementedError as error:  # of a custom Function without jvp
            if self._mode is not None:
                raise
            mode, reason = "reverse", f"forward mode cannot: {error}"
        entries, outs, out_spec, aux, chunk = found or by_rows(run or f.record(), f)
        if self._sparse:
            by_out = zip(entries, outs, strict=True)
            entries = [[sparse_of(entry, out, x) for entry, x in zip(row, f.flat, strict=True)] for row, out in by_out]
        if memory is not None:
            memory.pay(perf_counter() - start)
            reason = f"{reason}; dense, as {memory.obstacle}" if memory.obstacle else reason
        return entries, out_spec, aux, self._plan(mode, ins.total, Directions(outs).total, chunk, reason)

    def _pays(self, f: Function, memory: Memory, mode: str, run: Record | None) -> bool:
        inputs = sum(t.numel() for t in f.flat)
        outputs = inputs if run is None else sum(t.numel() for t in run.outs)
        total = inputs if mode == "forward" else outputs
        return min(inputs, outputs) >= FEWEST and pays(memory, f, mode, total, run)

    def _plan(
        self, mode: str, inputs: int, outputs: int, chunk: int, reason: str, told: SparsePlan | None = None
    ) -> JacobianPlan:
        return JacobianPlan(mode, inputs, outputs, chunk, reason, getattr(self._func, "plan", None), told)

    def prepare(self, *args: Any, **kwargs: Any) -> Jacobian:
        """Return this function for many calls like this one: its pattern is found and coloured beforehand, with more care.

        Each call compares what `func` would read of its inputs as Python values (branches, indices) with what it read here, and
        carries one random direction more, whose derivative the entries must give, row by row, to half of the digits. Where
        either differs the pattern is found anew; so it is for inputs of other shapes and dtypes. ``chainrule.compile`` of what
        is returned compiles the rest of a call, the sweeps and the reading of entries, with those comparisons left as they are.

        Parameters
        ----------
        *args, **kwargs
            As for a call.

        Returns
        -------
        Jacobian
            With a `plan` of its own, which says already what the calls will do.

        Examples
        --------
        >>> import chainrule as cr
        >>> J = cr.func.jacobian(lambda x: x[1:] * x[:-1]).prepare(cr.ones(50))
        >>> J.plan.sparse.colours
        2
        >>> tuple(J(cr.arange(50.0)).shape)
        (49, 50)
        """
        made = copy(self)
        made._prepared, made._compressions, made._memories = True, {}, Memories()
        made(*args, **kwargs)
        return made

    def _compiled(self, compiled: Callable) -> Any:
        """Return what `chainrule.compile` makes of it: where a pattern is used, what gives the entries is compiled."""
        if not (self._sparse or self._prepared or self._given is not None):
            return compiled(self)
        made = copy(self)
        read: Any = self
        while isinstance(read, Jacobian):  # a gradient, in a Hessian
            read = read._func
        made._take = CompiledTakes(self._func, partial(compiled, reads=read))
        return made


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
    """Return a function that computes the Jacobian of `func` in the way that is cheapest for the call's sizes and zeros.

    Forward mode gives a column a sweep, reverse mode a row. `func` runs once and is recorded, which tells the sizes; with
    more inputs than outputs the rows are pulled back along that record, else `func` runs again and carries the columns.

    Columns that have no row in common need one sweep together, and so do rows (Curtis, Powell & Reid 1974; Gebremedhin, Manne
    & Pothen 2005). Where a dense Jacobian of 64 inputs and outputs or more would take longer than that, or has in earlier
    calls, `func` is traced to find which entries can be other than zero, the columns, rows or both are coloured, and sums of
    those of one colour are carried. A pattern serves later calls, as long as what `func` read of its inputs is the same
    (branches, indices) and a random direction beside the colours gives what the entries say. `func` runs a few times more
    for that; where it cannot be traced, all of the Jacobian is taken.

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
        for each of the input, flat. Entries of half precision are then float32. The pattern is looked for at any size.
    sparsity : array or SciPy sparse array, optional
        Where the Jacobian can be other than zero: a row for each element of all outputs, a column for each element of all
        inputs, in the order of the trees' leaves; more is allowed, and costs time. It is believed: entries outside of it are
        not taken, and disturb others. With it, `func` may be inside any transform, and is not traced.

    Returns
    -------
    Jacobian
        Returns a tree of the output's structure, whose leaves are trees of the input's structure, a tuple if `argnums` is;
        an entry for an output of shape (a, …) and an input of shape (b, …) has the shape (a, …, b, …). With `has_aux`, a pair
        of that and aux. Its attribute `plan`, a :class:`~chainrule.func.jacobian_plan.JacobianPlan`, says how the last call was
        done, and why not in other ways; ``prepare(x)`` finds and colours the pattern for many calls like that at `x`.

        A complex entry is, for a complex input and output, that of a holomorphic function; for a real output the gradient
        ∂/∂x + i ∂/∂y, as `grad` gives it; for a real input the derivative of real and imaginary part.

    Raises
    ------
    RuntimeError
        If there is no such argument, a result is not a tensor, or a function from complex to complex is not holomorphic; if
        `sparse` is asked where the entries are to be differentiated again, or mapped.
    ValueError
        If `sparsity` is no matrix of the right shape.
    TypeError
        If `sparse` is no bool, or `chunk_size` or `memory` no whole number.

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
    >>> cr.func.jacobian(lambda x: x[1:] * x[:-1], sparse=True)(cr.ones(10000)).nnz
    19998
    """
    expect_function(func, "jacobian")
    return Jacobian(
        func, argnums, argnames, has_aux, mode=mode, chunk_size=chunk_size, memory=memory, randomness=randomness,
        sparse=sparse, sparsity=sparsity, finds=True,
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

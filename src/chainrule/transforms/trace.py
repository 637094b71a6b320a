"""Tracing: a traced value carries a concrete value and the variable that stands for it in the graph being recorded.

The function runs once: on values, or on shapes and dtypes alone, which the ops' declarations then tell of every result.
Every op is recorded that meets a traced value or a tensor from outside the function, at any level below; what is computed
from numbers alone, or from tensors that the function makes itself, is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from chainrule.core.call.dispatch import compute, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.mode.grad_mode import Mode, modes, recording, set_modes, switch
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import TABLE, Op
from chainrule.core.record.placed import shown
from chainrule.core.record.plans import link_view
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, root_of, take
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.absent import Absent
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.core.write.views import chain_of
from chainrule.transforms.blame import TraceError, at, frozen, no_pass
from chainrule.transforms.custom.call import Outcome, Rules, run_rules
from chainrule.transforms.custom.context import lowered, mapped, raised
from chainrule.transforms.equations import Equation, Graph, Variable, flatten_call
from chainrule.transforms.inference import INFERRING, Inferring, ShapeDtype, absent


class Traced(Level):
    """A value of a function that is being traced.

    `_data` is its concrete value one level down, `_tangent` its variable. What reverse mode knows of it is what it knows of
    the concrete value.
    """

    __slots__ = ()

    def _process(self, op: Op, args: tuple, params: dict) -> NoReturn:
        # `run` hands what meets a running trace to that; only a value that outlived its own comes here.
        raise TraceError(
            f"{op.name}(): a traced value is used outside of the function that was traced, or in another thread: return it "
            "from the function instead of keeping it. Or a custom Function uses it that does not get it as an argument: pass "
            "it to apply()."
        )

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this trace."""
        return running(self._level).lifted(value)

    def _read(self, use: str) -> TraceError | None:
        """Return the error for reading the value, which the graph would freeze; a check is made of the trace's run."""
        return None if use == "check" and self._data.__class__ is not Absent else TraceError(frozen())

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Raise: NumPy's functions cannot be traced."""
        raise TraceError(frozen())

    def requires_grad_(self, requires_grad: bool = True) -> NoReturn:
        """Raise: a graph holds no backward pass of this kind."""
        raise TraceError(no_pass("requires_grad_()"))

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise: a graph holds no backward pass of this kind."""
        raise TraceError(no_pass("backward()"))

    def register_hook(self, hook: Any) -> NoReturn:
        """Raise: a graph holds no hooks."""
        raise TraceError(no_pass("register_hook()"))

    def retain_grad(self) -> NoReturn:
        """Raise: a graph holds no backward pass of this kind."""
        raise TraceError(no_pass("retain_grad()"))

    @property
    def data(self) -> Tensor:
        """The same values without history."""
        return TABLE["detach"].call(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        raise TraceError(f"setting .data of a traced tensor cannot be recorded{at()}; write into it in place instead")

    def storage_offset(self) -> int:
        """Return the elements between the start of the memory and the concrete value's first element."""
        if self._data.__class__ is Absent:
            start = root_of(self)._data.stand_in()
            seen = shown(start, chain_of(self))
            if seen.size and not np.may_share_memory(seen, start):
                raise TraceError(
                    f"storage_offset() of a view that NumPy makes a copy of{at()}: there is no memory to place it in"
                )
            return (seen.__array_interface__["data"][0] - start.__array_interface__["data"][0]) // seen.itemsize
        return (self._data if isinstance(self._data, Tensor) else wrap(self._data)).storage_offset()

    def __repr__(self) -> str:
        if self._data.__class__ is Absent:
            return f"traced({self._tangent!r})"  # type: ignore[attr-defined]
        return f"traced({self._tangent!r}, now {self._data!r})"  # type: ignore[attr-defined]


class Readable(Traced):
    """A traced value that the function may read, so that the graph holds for these values alone."""

    __slots__ = ()
    _read: Any = None


class Tracer:
    """The recording of one function.

    Attributes
    ----------
    level : int
        Of the traced values.
    absent : bool
        There are no values, but shapes and dtypes alone; no kernel runs.
    kind : type
        The class of the traced values.
    outer : Tracer or None
        The trace inside which this one runs, or a recorder; it takes what happens one level down.
    recorder : object or None
        What records under level 0 below it.
    watch : callable or None
        Is called with each equation as it is recorded.
    kernels : Inferring
        What takes the place of kernels where there are no values.
    """

    def __init__(
        self,
        level: int,
        branches: bool,
        absent: bool = False,
        watch: Callable[[Equation], None] | None = None,
        kernels: Inferring = INFERRING,
    ):
        self.level, self.absent, self.watch, self.kernels = level, absent, watch, kernels
        self.kind = Readable if branches else Traced
        self.outer: Any = modes().tracer
        self.recorder: Any = modes().compiling
        self.equations: list[Equation] = []
        self.constants: dict[Variable, Tensor] = {}
        self._lowered: tuple[Any, Any] = (None, None)
        self._known: dict[int, tuple[Variable, Any]] = {}  # id of a constant → its variable, and the constant, to keep the id

    def takes(self, args: tuple) -> bool:
        """Tell whether an op on these is recorded: one is traced, or from outside the function."""
        level = self.level
        for a in args:
            if isinstance(a, Tensor) and (a._level or a._node is not None or a._meta is None or a._meta.made < level):
                return True
        return False

    def process(self, op: Op, args: tuple, params: dict) -> Any:
        """Run an op on the payloads one level down, and record it."""
        level, raw = self.level, True
        payloads: list[Any] = []
        operands: list[Any] = []
        for a in args:
            if isinstance(a, Tensor):
                if a._level == level:
                    operands.append(a._tangent)  # type: ignore[attr-defined]
                    a = a._data
                else:
                    operands.append(self.constant(a))
                if self.absent:
                    a = self.stand_in(a)
                raw = raw and not isinstance(a, Tensor)
            else:
                operands.append(self.constant(a) if isinstance(a, (np.ndarray, np.generic)) else a)
                if self.absent:
                    a = self.stand_in(a)
            payloads.append(a)
        token, mode = hush(), modes()
        set_modes(self._below(mode))
        try:
            out = compute(op, payloads, params, args) if raw else run(op, tuple(payloads), params)
        finally:
            set_modes(mode)
            unhush(token)
        several = out.__class__ is tuple or out.__class__ is list
        made = [self.traced(o, _variable_of(o)) for o in (out if several else (out,))]
        results = tuple([t._tangent for t in made])  # type: ignore[attr-defined]
        self._append(Equation(op, tuple(operands), params, results, several, mode.record))
        if op.view:
            for i, t in enumerate(made):
                link_view(t, args[0], op, params, i if several else None)
        return tuple(made) if several else made[0]

    def stand_in(self, value: Any) -> Any:
        """Return what stands for a value where there are none."""
        return absent(value)

    def custom(self, rules: Rules, args: tuple, above: int) -> Outcome:
        """Run a call of a function with rules of its own one level down, and record it as one equation."""
        level = self.level
        lower = tuple([raised(a._data) if isinstance(a, Tensor) and a._level == level else a for a in args])
        operands = [
            (a._tangent if a._level == level else self.constant(a)) if isinstance(a, Tensor) else a  # type: ignore[attr-defined]
            for a in args
        ]
        mode = modes()
        set_modes(self._below(mode))
        try:
            inner = run_rules(rules, lower, above)
        finally:
            set_modes(mode)
        if any(i is not None and o is lower[i] for o, i in zip(inner.outs, inner.same, strict=True)):
            raise RuntimeError(
                f"{rules.name}: a function that writes to its arguments in place cannot be traced; have it return new tensors"
            )
        kept = _kept(lower, inner) if above else []
        values = [*_tensors(inner), *kept]
        made = [self.traced(lowered(t), Variable(tuple(t.shape), t.dtype)) for t in values]
        results = tuple([t._tangent for t in made])
        op: Any = CallOp(rules)
        self._append(CallEquation(op, tuple(operands), {"above": above}, results, True, mode.record))
        upper = iter(made)
        outs = tuple([next(upper) if isinstance(o, Tensor) else o for o in inner.outs])
        known = {id(b): a for b, a in zip((*lower, *inner.raw), (*args, *outs), strict=True) if isinstance(b, Tensor)}
        known |= {id(t): next(upper) for t in kept}
        requests = inner.requests and {k: mapped(lambda t: known.get(id(t), t), v) for k, v in inner.requests.items()}
        return Outcome(outs, inner.single, outs, (None,) * len(outs), requests)

    def _append(self, equation: Equation) -> None:
        self.equations.append(equation)
        if self.watch is not None:
            self.watch(equation)

    def _below(self, mode: Mode) -> Mode:
        """Return a record of modes for what happens one level down."""
        if self._lowered[0] is not mode:
            mapped = tuple([call for call in mode.mapped if call.level < self.level])
            if self.absent:  # nothing below runs, so that no transform there has anything to see
                self._lowered = mode, mode.having(tracer=None, mapped=mapped, watchers=(self.kernels,))
            else:
                self._lowered = mode, mode.having(tracer=self.outer, mapped=mapped)
        return self._lowered[1]

    def forget(self) -> None:
        """Let go of modes, which hold this trace: it is over."""
        self._lowered = (None, None)

    def traced(self, payload: Any, variable: Variable) -> Traced:
        """Return the traced value of a payload and its variable."""
        t: Any = wrap(absent(payload) if self.absent else payload, self.kind)
        t._lv, t._tangent = self.level, variable
        return t

    def constant(self, value: Any) -> Variable:
        """Return the variable of a value from outside, itself kept; or of one made inside, kept apart from later writes."""
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = (_variable_of(value), value)
            if not isinstance(value, Tensor):
                kept = wrap(value)
            elif self.is_inside(value):
                kept = wrap(None)
                take(kept, value)
            else:
                kept = value
            self.constants[found[0]] = kept
        return found[0]

    def lifted(self, value: Tensor) -> Traced:
        """Return a value of a lower level as a traced constant."""
        return self.traced(value, self.constant(value))

    def is_inside(self, t: Tensor) -> bool:
        """Tell whether the function made this tensor's memory."""
        return getattr(root_of(t)._meta, "made", 0) >= self.level

    def before_write(self, target: Tensor) -> None:
        """Prepare for a write in place: refuse one that the caller would see; keep the old values of constants.

        Raises
        ------
        TraceError
            If the memory is not the function's own.
        """
        base = root_of(target)
        if base._level == self.level:
            return
        if not self.is_inside(base):
            raise TraceError(
                f"a write in place to a tensor from outside the traced function{at()}: the graph would not repeat it. Pass "
                "the tensor as an argument and return its new values."
            )
        if base._level:
            return  # writes there replace payloads
        array = array_of(base)
        for key, (variable, value) in list(self._known.items()):
            kept = self.constants[variable]
            if not kept._level and np.may_share_memory(array, array_of(kept)):
                kept._data = array_of(kept).copy()
                if value is not kept:
                    del self._known[key]

    def refuse_pass(self, roots: list) -> None:
        """Raise for `autograd.grad` or `backward` from values that no transform inside of the trace records."""
        if any(isinstance(t, Tensor) and t._level <= self.level for t in roots):
            raise TraceError(no_pass("autograd.grad or backward()"))

    def refuse_draw(self) -> NoReturn:
        """Raise where a generator is used in another way than by a random function, which a graph cannot repeat."""
        raise TraceError(f"the state of a generator is used inside a traced function{at()}: a graph cannot hold that")


class CallOp:
    """What stands for a custom function where an equation has its op."""

    kind = "call"
    view = nondiff = False
    is_differentiable = pure = True
    refuses = ""
    params: tuple = ()

    def __init__(self, rules: Rules):
        self.rules, self.name = rules, rules.name

    def __repr__(self) -> str:
        return f"<custom function {self.name}>"


class CallEquation(Equation):
    """A call of a custom function. Its results are the tensors it returned, and those its `forward` kept on `ctx` besides."""

    __slots__ = ()

    def evaluate(self, operands: tuple) -> tuple:
        """Run the function again."""
        op: Any = self.op
        inner = run_rules(op.rules, operands, self.params["above"])
        return (*_tensors(inner), *(_kept(operands, inner) if self.params["above"] else ()))


def _tensors(inner: Outcome) -> list:
    return [o for o in inner.outs if isinstance(o, Tensor)]


def _kept(args: tuple, inner: Outcome) -> list:
    """Return the tensors that `forward` left on its `ctx`, other than arguments and results."""
    known = {id(t) for t in (*args, *inner.raw)}
    found: dict[int, Tensor] = {}

    def note(t: Tensor) -> Tensor:
        if id(t) not in known:
            found[id(t)] = t
        return t

    mapped(note, inner.requests or {})
    return list(found.values())


def _variable_of(value: Any) -> Variable:
    if isinstance(value, (np.ndarray, np.generic)):
        return Variable(value.shape, dtypes.of(value.dtype))
    t = value if isinstance(value, Tensor) else wrap(value)
    return Variable(tuple(t.shape), t.dtype)


def running(level: int) -> Tracer:
    """Return the tracer of a level; raise if its trace is over, or another thread's."""
    tracer = modes().tracer
    while tracer is not None and tracer.level != level:
        tracer = tracer.outer
    if tracer is None:
        raise TraceError("a traced value is used outside of the function that was traced, or in another thread")
    return tracer


def graph_of(
    f: Callable,
    args: tuple,
    kwargs: dict | None = None,
    *,
    branches: bool = False,
    watch: Callable[[Equation], None] | None = None,
    tracer_of: Callable[..., Tracer] = Tracer,
) -> Graph:
    """Return the graph of a call of `f`.

    Parameters
    ----------
    f : callable
    args, kwargs
        Pytrees; tensors and arrays in them are the graph's inputs, all else is fixed. With a `ShapeDtype` among them, or
        anything that has a shape and a dtype, no values are looked at.
    branches : bool
        Let `f` read traced values, as Python branches do. The graph then holds for the outcomes of this call alone.
    watch : callable, optional
        Is called with each equation as it is recorded, while the code runs that it comes from.
    tracer_of : callable
        Makes the tracer; a subclass's notes more.
    """
    level = fresh_level()
    leaves, in_spec = flatten_call(args, kwargs or {})
    shaped = [ShapeDtype.of(leaf) for leaf in leaves]
    tracer = tracer_of(level, branches, any([found is not None for found in shaped]), watch)
    arguments, values = [], []
    for leaf, found in zip(leaves, shaped, strict=True):
        if found is not None:
            values.append(tracer.traced(Absent(found.shape, found.dtype.numpy), Variable(found.shape, found.dtype)))
            arguments.append(values[-1]._tangent)  # type: ignore[attr-defined]
        elif isinstance(leaf, (Tensor, np.ndarray)):
            payload = lowered(leaf) if isinstance(leaf, Tensor) else leaf
            values.append(tracer.traced(payload, _variable_of(leaf)))
            arguments.append(values[-1]._tangent)  # type: ignore[attr-defined]
        else:
            values.append(leaf)
            arguments.append(leaf)
    given, named = tree_unflatten(values, in_spec)
    with recording(level, reverse=False):
        switch(tracer=tracer)
        try:
            result = f(*given, **named)
        finally:
            switch(tracer=tracer.outer)
    outs, out_spec = tree_flatten(result)
    outputs = [_output(tracer, out) for out in outs]
    tracer.forget()
    inputs = [a for a in arguments if a.__class__ is Variable]
    return Graph(inputs, tracer.constants, tracer.equations, outputs, arguments, in_spec, out_spec)


def _output(tracer: Tracer, out: Any) -> Any:
    if not isinstance(out, (Tensor, np.ndarray)):
        return out
    level = out._level if isinstance(out, Tensor) else 0
    if level > tracer.level:
        raise TraceError("the traced function returns a value of a transform that has ended; return it from that transform")
    if level == tracer.level:
        return out._tangent  # type: ignore[union-attr]
    if isinstance(out, Tensor) and not tracer.is_inside(out):
        return tracer.constant(out)
    # What the function makes is new in every run: writing to one result must not change the next.
    made = tracer.traced(lowered(out) if isinstance(out, Tensor) else out, tracer.constant(out))
    return tracer.process(TABLE["clone"], (made,), {})._tangent


def is_captured(value: Tensor) -> bool:
    """Tell whether a constant carries derivatives: it requires grad, or belongs to another transform."""
    return value._level > 0 or value._node is not None


def captured(f: Callable, args: tuple) -> tuple[Callable, list[Tensor]]:
    """Return `f` as a function of what it captures, too, and the captured tensors.

    Captured are tensors that `f` does not get as arguments and that require grad or belong to another transform. `f` may
    branch on values; what is returned then stands for `f` near these arguments.

    Returns
    -------
    explicit : callable
        ``explicit(captured, *args)`` is ``f(*args)``.
    captured : list of Tensor
    """
    graph = graph_of(f, args, branches=True)
    places = [i for i, value in enumerate(graph.values) if is_captured(value)]

    def explicit(given: Any, *args: Any) -> Any:
        values = list(graph.values)
        for i, value in zip(places, given, strict=True):
            values[i] = value
        return graph.compute(values, *args)

    return explicit, [graph.values[i] for i in places]

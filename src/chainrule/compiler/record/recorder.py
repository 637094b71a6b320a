"""The recorder: it stands under level 0 while a function is called, and writes down each op that runs there.

To what runs above, it is the outermost trace, of level 0: `dispatch.run` hands it the ops on tensors of that level. It runs
their kernels, so that values are there to branch on (large ones when they are asked for), and gives tensors back whose payloads
are symbols. All else (nodes, hooks, views, passes, transforms) runs as it does without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from chainrule.compiler.record.guards import GuardEquation, outcome_of
from chainrule.compiler.record.recording import Argument, Captured, Gradient, Number, Repeat, Source, gradient_of
from chainrule.core.call.dispatch import compute
from chainrule.core.graph.nodes import Node, Port
from chainrule.core.mode.grad_mode import Mode, modes, no_grad, set_modes
from chainrule.core.op.declaration import GENERAL, TABLE, Op
from chainrule.core.op.lowering import Expansion
from chainrule.core.record.plans import finish
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.symbol import Deferred, DeferredCall, Symbol, Unrecordable
from chainrule.transforms.custom.call import Outcome, Rules, at_bottom
from chainrule.transforms.equations import Equation, Variable
from chainrule.transforms.inference import inferred

ndarray = np.ndarray
DEFERRED = 1 << 13  # elements from which work is put off: at 1 ns each, what a plan makes of it costs less
LARGEST_VERDICT = 1 << 12  # bytes of integers or bools that a check looks at
LARGEST_GUARD = 1 << 16  # bytes of an array that a guard compares
IDENTITIES = frozenset(("detach", "named"))  # ops whose result is their operand, memory included


class Recorder:
    """The recording of one call.

    Attributes
    ----------
    equations : list of Equation
    constants : dict
        Variable → array: what the call makes of Python's numbers alone.
    inputs : dict
        Variable → source, in the order of their first use.
    roots : dict
        id of a tensor from outside → (tensor, source, payload, symbol): inputs, each a stretch of memory of its own.
    entered : dict
        id → (tensor, payload, edge, version): all tensors from outside that have symbols for payloads now.
    gradients : dict
        id → (tensor, source, its `.grad` at first): those whose gradient was looked at or changed.
    arguments : dict
        id of a tensor among the arguments → its position.
    made, nodes, symbols : list
        Weak references to tensors that the call made, to nodes that keep results, to all symbols.
    repeats : list of Repeat
        What replays are to run in Python.
    why : str
        Why others may not replay it.
    puts_off : bool
        Whether work was put off.
    """

    level = 0

    def __init__(self) -> None:
        self.outer: Any = modes().tracer
        self.recorder, self.token = self, object()
        self.equations: list[Equation] = []
        self.constants: dict[Variable, np.ndarray] = {}
        self.inputs: dict[Variable, Source] = {}
        self.roots: dict[int, tuple[Tensor, Source, Any, Symbol]] = {}
        self.entered: dict[int, tuple[Tensor, Any, Any, int]] = {}
        self.gradients: dict[int, tuple[Tensor, Source, Tensor | None]] = {}
        self.numbers: dict[tuple[int, Any, int | None], tuple[Any, Symbol]] = {}
        self.made: list[ref] = []
        self.nodes: list[ref] = []
        self.symbols: list[ref] = []
        self.repeats: list[Repeat] = []
        self.why, self.puts_off = "", False
        self.arguments: dict[int, int] = {}
        self._arrays: dict[int, Symbol] = {}  # id of an array from outside → the symbol of the memory it is
        self._lent: set[Symbol] = set()  # of arrays that `read` gave, or that cannot be written to
        self._known: dict[int, tuple[Variable, np.ndarray]] = {}
        self._lowered: tuple[Any, Any] = (None, None)

    # -- as a trace ----------------------------------------------------------------------------------------------------

    def takes(self, args: tuple) -> bool:
        """Tell whether an op on these is recorded: all are."""
        return True

    def process(self, op: Op, args: tuple, params: dict) -> Any:
        """Run an op on tensors of level 0 and record it."""
        if op.view:
            self.memory(args[0])
        operands = [self.symbol(a) if isinstance(a, Tensor) else a for a in args]
        if op.name in IDENTITIES:
            out: Any = operands[0]
        else:
            out = self.emit(op, operands, params, args)
            if op.view:
                several = out.__class__ is tuple
                for i, o in enumerate(out if several else (out,)):
                    o.base, o.count = (operands[0], op, params, i if several else None), operands[0].root.count
        made = finish(op, args, params, 0, out)
        for t in made if made.__class__ is tuple else (made,):
            self.made.append(ref(t))
            node = t._node.node if t._node.__class__ is Port else t._node
            if node.__class__ is Node and node.out is not None:
                self.nodes.append(ref(node))
        return made

    def custom(self, rules: Rules, args: tuple, above: int) -> Outcome:
        """Run a call of a function with rules of its own, whose ops are recorded as they run."""
        return at_bottom(rules, args, above)

    def before_write(self, target: Tensor) -> None:
        """Prepare for a write in place."""
        if not target._level:
            self.symbol(target)

    def refuse_pass(self, roots: list) -> None:
        """Do nothing: a backward pass is recorded."""

    def refuse_draw(self) -> None:
        """Raise where a generator is used in another way than by a random function."""
        self.refuse("uses the state of a generator")

    def is_inside(self, t: Tensor) -> bool:
        """Tell whether the call made this tensor."""
        return getattr(t._meta, "recorder", None) is self.token

    # -- recording -----------------------------------------------------------------------------------------------------

    def emit(self, op: Op, operands: list, params: dict, args: tuple = ()) -> Any:
        """Record an op; return the symbol of the result, a tuple for several.

        Its kernel runs on the values of the symbols: at once, or, of much work that cannot fail, when the result is looked at.
        """
        values = [a.payload if a.__class__ is Symbol else a for a in operands]
        variables = [self._operand(a) for a in operands]
        out = self._deferred(op, values, params)
        if out is None:
            out = self._run(op, [v.computed() if v.__class__ is Deferred else v for v in values], params, args)
        several = out.__class__ is tuple or out.__class__ is list
        made = [self._made(o) for o in (out if several else (out,))]
        results = tuple([s.variable for s in made])
        self.equations.append(Equation(op, tuple(variables), params, results, several, modes().record))
        if _may_be_dynamic(op):
            for s in made:
                self.guard(s, "shape")
        return tuple(made) if several else made[0]

    def _run(self, op: Op, values: list, params: dict, args: tuple = ()) -> Any:
        mode = modes()
        set_modes(self._below(mode))
        try:
            return compute(op, values, params, args or tuple(values))
        finally:
            set_modes(mode)

    def _deferred(self, op: Op, values: list, params: dict) -> Any:
        """Return what stands for the result of much work; None where the kernel is to run, as it may find values wrong.

        Little work on what was put off waits for that, too: it would have all of it done. A view of what is there is no work.
        """
        arrays = [v for v in values if v.__class__ is ndarray or v.__class__ is Deferred]
        if not (op.pure and arrays and _is_sure(op)):
            return None
        if Deferred not in [a.__class__ for a in arrays] and (op.view or max([a.size for a in arrays]) < DEFERRED):
            return None
        if any([a.dtype.kind in "iuV" for a in arrays]):
            return None
        try:
            found = inferred(op, [v.like if v.__class__ is Deferred else v for v in values], params)
        except Exception:  # the kernel explains it
            return None
        self.puts_off = True
        call = DeferredCall(op, lambda values: self._run(op, values, params), values)
        if found.__class__ is tuple:
            return tuple([Deferred(call, i, like) for i, like in enumerate(found)])
        return Deferred(call, 0, found)

    def _operand(self, a: Any) -> Any:
        if a.__class__ is Symbol:
            return a.variable
        return self._constant(a) if isinstance(a, (ndarray, np.generic)) else a

    def _made(self, value: Any) -> Symbol:
        if isinstance(value, Tensor):  # of a kernel that makes tensors
            value = value._data
        return Symbol(self, Variable(tuple(value.shape), dtypes.of(value.dtype)), value)

    def _below(self, mode: Mode) -> Mode:
        """Return a record of modes for kernels: nothing is recorded there."""
        if self._lowered[0] is not mode:
            self._lowered = mode, mode.having(tracer=None, mapped=())
        return self._lowered[1]

    def _constant(self, value: Any) -> Variable:
        """Return the variable of an array that no op made; it is kept apart from later writes."""
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = (Variable(tuple(value.shape), dtypes.of(value.dtype)), value)
            self.constants[found[0]] = value.copy()
        return found[0]

    def looked(self, parent: Symbol, op: Op, params: dict, index: int | None) -> tuple:
        """Return variable and value of a view, taken anew from what its memory holds now."""
        seen = self.emit(op, [parent], params)
        seen = seen if index is None else seen[index]
        return seen.variable, seen.payload

    def write(self, place: Symbol, value: Tensor) -> None:
        """Have memory take the values of a tensor of its shape and dtype."""
        new, root = self.symbol(value), place.root
        if root in self._lent:
            self.refuse("writes to memory that it has through NumPy")
        if root is not place:
            new = self.emit(TABLE["copy_slices"], [root, new], {"chain": place.chain})
        elif new.strides != place.strides:
            new = self.emit(TABLE["copy"], [place, new], {"form": "CopyBackwards!"})
        self._check_apart(root)
        root.put(new.variable, new.payload)

    # -- symbols -------------------------------------------------------------------------------------------------------

    def begin(self, leaves: list) -> None:
        """Take the tensors among the flattened arguments of the call."""
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and id(leaf) not in self.arguments:
                if leaf._level or leaf._bit:
                    raise Unrecordable("an argument is a value of a transform, or a conjugate that is not resolved")
                self.arguments[id(leaf)] = i
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                self.symbol(leaf)

    def symbol(self, t: Tensor) -> Symbol:
        """Return the payload of a tensor of level 0 as a symbol, which it is from now on."""
        data = t._data
        if data.__class__ is Symbol:
            if data.recorder is not self:
                raise Unrecordable("a tensor of another call that is being recorded is used")
            return data
        if t._bit or not isinstance(data, (ndarray, np.generic)):
            raise Unrecordable(f"a {type(t).__name__} is used")
        if self.is_inside(t):
            symbol = self._inside(t, data)
            self.made.append(ref(t))
        else:
            self.entered[id(t)] = (t, data, t._node, 0 if t._ver is None else t._ver.count)
            symbol = self._outside(t, data)
        t._data = symbol
        return symbol

    def _inside(self, t: Tensor, data: Any) -> Symbol:
        """Return the symbol of a tensor that the call made of numbers, or of memory from outside."""
        found = self._arrays.get(id(data))
        if found is None:
            found = self._arrays[id(data)] = Symbol(self, self._constant(data), data)
            if data.__class__ is ndarray and not data.flags.writeable:
                self._lent.add(found)
        return found

    def _outside(self, t: Tensor, data: Any) -> Symbol:
        if t._view is not None and id(t) not in self.arguments:
            parent, op, params, index = t._view
            made = Symbol(self, None, data, (self.symbol(parent), op, params, index))
            made.count = -1  # taken anew when it is looked at
            return made
        found = self._arrays.get(id(data)) if data.__class__ is ndarray else None
        if found is None:
            variable = Variable(tuple(data.shape), dtypes.of(data.dtype))
            source = self.inputs[variable] = self._source(t)
            found = Symbol(self, variable, data)
            self.roots[id(t)] = (t, source, data, found)
            self._arrays[id(data)] = found
        return found

    def _source(self, t: Tensor) -> Source:
        position = self.arguments.get(id(t))
        if position is not None:
            return Argument(position)
        for owner, source, grad in self.gradients.values():
            if grad is t and owner is not None:
                return Gradient(source)
        if not t.is_leaf:
            self.give_up("it captures a tensor that was computed outside")
        return Captured(t)

    def _check_apart(self, root: Symbol) -> None:
        """Raise if memory about to be written is that of another input, too."""
        for _, _, data, symbol in self.roots.values():
            if symbol is root and data.__class__ is ndarray:
                for _, _, other, another in self.roots.values():
                    if another is not root and other.__class__ is ndarray and np.may_share_memory(data, other):
                        raise Unrecordable("two tensors that it uses share memory, and one is written to")
                return

    def memory(self, t: Tensor) -> Any:
        """Return what another tensor shares to share a tensor's memory, or what is written to.

        A scalar, to which nothing can be written, becomes an array for that; who saved it keeps the scalar.
        """
        if t._level:
            return t._memory
        symbol = self.symbol(t)
        if not symbol.is_array:
            value = symbol.payload
            value = value.as_array() if value.__class__ is Deferred else np.array(value)
            symbol = t._data = Symbol(self, symbol.variable, value)
            if id(t) in self.roots:
                self.roots[id(t)] = (*self.roots[id(t)][:3], symbol)
        return symbol

    def number(self, container: Any, key: Any, place: int | None = None) -> Tensor:
        """Return a float that each call looks up anew, as a tensor of float64 without axes; `place` is that in a tuple."""
        if self.repeats:
            self.give_up("it looks up an option of an optimizer after the step of a schedule")
            now = np.float64(Number(container, key, place).fetch(()))
            return wrap(Symbol(self, self._constant(now), now))
        found = self.numbers.get((id(container), key, place))
        if found is None:
            source = Number(container, key, place)
            value = np.float64(source.fetch(()))
            variable = Variable((), dtypes.of(value.dtype))
            self.inputs[variable] = source
            found = self.numbers[id(container), key, place] = (container, Symbol(self, variable, value))
        return wrap(found[1])

    def repeat(self, call: Callable, owners: tuple) -> None:
        """Run the library's own Python, which replays run too: it changes `owners` and numbers that calls look up."""
        mode = modes()
        set_modes(self._below(mode))
        try:
            call()
        finally:
            set_modes(mode)
        self.repeats.append(Repeat(call, owners))

    def place(self, t: Tensor) -> Any:
        """Return the array of a tensor, to see how it lies in memory."""
        return self.symbol(t).stand_in()

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, t: Any, use: str) -> Any:
        """Return the value at the bottom of a tensor for Python to look at, and have replays check it."""
        data = t._data
        if t._level or (data.__class__ is not Symbol and self.is_inside(t)):
            if data.__class__ is Symbol:
                return data.value
            return data
        symbol = self.symbol(t)
        value = symbol.value
        if symbol.variable not in self.constants and (use != "check" or self._is_verdict(symbol)):
            self.guard(symbol, "bool" if use == "bool" and value.size == 1 else "bytes")
        if value.__class__ is ndarray:
            value = value.view()
            value.flags.writeable = False
        return value

    def _is_verdict(self, symbol: Symbol) -> bool:
        """Tell whether a value that a check looks at was computed for it, such as the number of a failed factorisation."""
        return symbol.dtype.kind in "biu" and symbol.nbytes <= LARGEST_VERDICT and symbol.variable not in self.inputs

    def check(self, t: Any, test: Callable, quick: Callable) -> bool:
        """Tell whether a test of a tensor's values holds, and have replays repeat it, by ops; `quick` is for arrays."""
        while isinstance(t._data, Tensor):
            t = t._data
        fixed = t._level or self.symbol(t).variable in self.constants
        if fixed or t._data.__class__ is not Symbol:
            return bool(quick(t._data.value if t._data.__class__ is Symbol else t._data))
        with no_grad():
            verdict = self.symbol(test(wrap(t._data)))
        self.guard(verdict, "bool")
        return bool(verdict.value)

    def guard(self, symbol: Symbol, use: str) -> None:
        """Have replays check that a value is what it is now."""
        if use == "bool" and symbol.dtype != bool:
            symbol = self.emit(TABLE["ne"], [symbol, 0], {})
        if use == "bytes" and symbol.nbytes > LARGEST_GUARD:
            self.give_up(f"it reads the values of a tensor of shape {list(symbol.shape)} in Python")
            return
        self.equations.append(GuardEquation(symbol.variable, use, outcome_of(symbol.value, use)))

    def give_up(self, why: str) -> None:
        """Note that no other call may replay this one; the recording goes on."""
        self.why = self.why or why

    def refuse(self, what: str) -> None:
        """Raise: what the function does cannot be recorded at all."""
        raise Unrecordable(f"it {what}")

    # -- gradients -----------------------------------------------------------------------------------------------------

    def note_gradient(self, t: Tensor, accumulates: bool = False) -> None:
        """Take note of the `.grad` that a tensor has before that may change."""
        if t._level or id(t) in self.gradients or self.is_inside(t):
            return
        if accumulates and id(t) not in self.entered:
            self.give_up("a backward pass goes on into what was computed before the call")
        mode = modes()
        set_modes(self._below(mode))
        try:
            grad = gradient_of(t)
        finally:
            set_modes(mode)
        source = Argument(self.arguments[id(t)]) if id(t) in self.arguments else Captured(t)
        self.gradients[id(t)] = (t, source, grad)


def _is_sure(op: Op) -> bool:
    """Tell whether an op gives what its declaration says for all values: its kernel looks for nothing to complain of."""
    return op.kind != GENERAL or op.lowering.__class__ is Expansion


def _may_be_dynamic(op: Op) -> bool:
    """Tell whether values may decide the shape of an op's result."""
    code = getattr(getattr(op.shape, "f", None), "__code__", None)
    return code is not None and "DYNAMIC" in code.co_names

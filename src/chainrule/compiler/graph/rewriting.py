"""Rewriting: one walk over a graph that replaces what rules know better, each rule seeing operands that are already simple.

A rule looks at one equation and at what made its operands, and returns the variables that stand for the equation's results, or
None. What it computes anew goes through the same walk, so that rules need not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.graph.checking import result_of
from chainrule.compiler.graph.rebuilding import rebuilt, uses, with_operands, with_outputs
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.transforms.equations import Equation, Graph, Variable

Rule = Callable[["Rewriting", Equation], Any]
Rules = dict[str, tuple[Rule, ...]]  # by the op's name; "*": of every op


class Rewriting:
    """A walk over a graph.

    Attributes
    ----------
    constants : dict of Variable to Tensor
    numbers : dict of Variable to number
        The constants whose elements are all the same, and that one as a Python number.
    made : dict of Variable to Equation
        What makes each variable of the new graph.
    uses : dict of Variable to int
        How often each variable is used, as far as is known: of what rules made, at least as often.
    equations : list of Equation
        The new graph's, so far.
    """

    def __init__(self, graph: Graph, rules: Rules, share: bool = False):
        self.graph = graph
        self.constants = dict(zip(graph.constants, graph.values, strict=True))
        self.numbers: dict[Variable, Any] = {}
        self.made: dict[Variable, Equation] = {}
        self.uses = uses(graph.equations, graph.outputs)
        self.equations: list[Equation] = []
        self._rules, self._always, self._of = rules, rules.get("*", ()), {}  # type: ignore[var-annotated]
        self._known: dict[Variable, Variable] = {}
        self._shared: dict[tuple, tuple[Variable, ...]] | None = {} if share else None
        seen: dict[tuple, Variable] = {}
        returned = {o for o in graph.outputs if o.__class__ is Variable}
        for v, value in self.constants.items():
            self._note(v, value)
            array = raw(value) if share and v not in returned else None
            if array is not None and array.nbytes <= _COMPARED:
                first = seen.setdefault((array.dtype, array.shape, array.tobytes()), v)
                if first is not v:
                    self._known[v] = first

    def run(self) -> Graph:
        """Return the new graph."""
        for equation in self.graph.equations:
            self.process(equation)
        outputs = [self._known.get(o, o) if o.__class__ is Variable else o for o in self.graph.outputs]
        return rebuilt(self.graph, with_outputs(self.graph, self.equations, outputs), constants=self.constants)

    def process(self, equation: Equation) -> None:
        """Take over an equation, or what stands for its results."""
        known = self._known
        for o in equation.operands:
            if o.__class__ is Variable and o in known:
                operands = tuple([known.get(o, o) if o.__class__ is Variable else o for o in equation.operands])
                equation = with_operands(equation, operands)
                break
        op = equation.op
        if op.pure:
            rules = self._of.get(op)
            if rules is None:
                named = self._rules.get(op.name, ()) if TABLE.get(op.name) is op else ()
                rules = self._of[op] = (*self._always, *named)
            for rule in rules:
                found = rule(self, equation)
                if found is not None:
                    self._replace(equation.results, found if equation.several else (found,))
                    return
            if self._shared is not None:
                key = key_of(equation)
                earlier = self._shared.get(key)
                if earlier is not None:
                    self._replace(equation.results, earlier)
                    return
                self._shared[key] = equation.results
        for r in equation.results:
            self.made[r] = equation
        self.equations.append(equation)

    def _replace(self, results: Sequence[Variable], found: Sequence[Variable]) -> None:
        for old, new in zip(results, found, strict=True):
            if new.shape != old.shape or new.dtype is not old.dtype:
                raise AssertionError(f"a rule puts {new!r} in the place of {old!r}")
            self._known[old] = new
            self.uses[new] = self.uses.get(new, 0) + self.uses.get(old, 0)

    def apply(self, name: str, *operands: Any, **params: Any) -> Variable:
        """Return the result of an op of one result, simplified."""
        op, known = TABLE[name], _SHAPES.get(name)
        if known is not None:
            result = Variable(known(*operands, **params), operands[0].dtype)
        else:
            shape, dtype = result_of(op, operands, params)
            result = Variable(tuple(shape), dtypes.of(dtype))
        self.process(Equation(op, operands, params, (result,), False, True))
        return self._known.get(result, result)

    def inline(self, graph: Graph, operands: Sequence[Variable]) -> list:
        """Return the outputs of another graph, of which these are the inputs."""
        inner: dict[Any, Any] = dict(zip(graph.inputs, operands, strict=True))
        for v, value in zip(graph.constants, graph.values, strict=True):
            inner[v] = self.constant(value)
        for equation in graph.equations:
            fresh = tuple([Variable(r.shape, r.dtype) for r in equation.results])
            self.process(with_operands(equation, tuple([_looked_up(inner, o) for o in equation.operands]), fresh))
            inner.update({r: self._known.get(f, f) for r, f in zip(equation.results, fresh, strict=True)})
        return [_looked_up(inner, o) for o in graph.outputs]

    def value(self, v: Variable) -> Variable:
        """Return what stands for a variable of an equation that was processed."""
        return self._known.get(v, v)

    def constant(self, value: Tensor) -> Variable:
        """Return the variable of a new constant."""
        v = Variable(tuple(value.shape), value.dtype)
        self.constants[v] = value
        self._note(v, value)
        return v

    def _note(self, v: Variable, value: Tensor) -> None:
        number = number_of(value)
        if number is not None:
            self.numbers[v] = number

    def maker(self, o: Any, *names: str) -> Equation | None:
        """Return what makes an operand, if it is an op of one of these names."""
        if o.__class__ is not Variable:
            return None
        found = self.made.get(o)
        return found if found is not None and found.op.name in names and TABLE.get(found.op.name) is found.op else None


# Of the ops that rules apply most, whose declarations take 5 times as long to ask; the results' dtype is the first operand's.
_SHAPES: dict[str, Callable] = {
    "reshape": lambda x, *, shape: shape, "broadcast_to": lambda x, *, shape: shape, "neg": lambda x: x.shape,
    "permute": lambda x, *, order: tuple([x.shape[i] for i in order]), "mm": lambda x, y: (x.shape[0], y.shape[1]),
}  # fmt: skip


def _looked_up(found: dict, o: Any) -> Any:
    return found.get(o, o) if o.__class__ is Variable else o


# -- constants ---------------------------------------------------------------------------------------------------------

_NUMBERS = 64  # elements of a constant that are compared, where memory does not say that they are the same
_COMPARED = 1 << 12  # bytes of constants that are compared with each other


def raw(value: Tensor) -> Any:
    """Return a constant's array; None where it is another transform's, or requires grad."""
    if value._level or value._node is not None or value._bit or value._read is not None:
        return None
    data = value._data
    return data if isinstance(data, (np.ndarray, np.generic)) else None


def number_of(value: Tensor) -> Any:
    """Return the Python number that all elements of a constant are; None if they are several, or not NumPy's."""
    array = raw(value)
    if array is None or not array.size or array.dtype.isbuiltin != 1:
        return None
    if array.ndim and any([step for n, step in zip(array.shape, array.strides, strict=True) if n > 1]):
        if array.size > _NUMBERS:
            return None
        bits = array.tobytes()
        if bits != bits[: array.itemsize] * array.size:
            return None
    return (array if not array.ndim else array[(0,) * array.ndim]).item()


# -- keys --------------------------------------------------------------------------------------------------------------


def key_of(equation: Equation) -> tuple:
    """Return what two equations have in common that give the same values."""
    operands: Any = equation.operands
    for o in operands:
        if o.__class__ is not Variable:
            operands = tuple([o if o.__class__ is Variable else frozen(o) for o in operands])
            break
    else:
        if equation.op.name in ("add", "mul") and len(operands) == 2 and id(operands[0]) > id(operands[1]):
            operands = operands[1], operands[0]
    params = equation.params
    return (equation.op, operands, frozen(params)) if params else (equation.op, operands)


def frozen(value: Any) -> Any:
    """Return something hashable that is equal for equal values of one type; for what is not known, the object itself."""
    cls = value.__class__
    if cls is int or cls is str or value is None or value is Ellipsis:
        return value
    if cls is tuple or cls is list:
        return (cls, *[frozen(v) for v in value])
    if cls is dict:
        return (cls, *[(k, frozen(v)) for k, v in value.items()])
    if cls is float:
        return cls, value.hex()
    if cls is slice:
        return cls, frozen(value.start), frozen(value.stop), frozen(value.step)
    if cls is complex:
        return cls, value.real.hex(), value.imag.hex()
    if isinstance(value, (bool, np.dtype)):
        return cls, value
    return _Same(value)


class _Same:
    """An object as a key: equal to itself alone, and kept alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return other.__class__ is _Same and other.value is self.value  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return id(self.value)

"""Graph: a traced function as a flat list of equations, which prints, runs and knows every shape and dtype.

An equation runs through ``core.dispatch.run``, like any other op, so a graph is differentiated, batched and traced by the
same rules as the function it stands for. How a graph comes about is ``transforms.trace``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import as_tensor, run
from chainrule.core.generator import Generator
from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import dtype
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten


class Variable:
    """A value of a graph: an input, a constant or a result of an equation.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple, dtype: dtype):
        self.shape, self.dtype = shape, dtype

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Equation:
    """One op of a graph.

    Attributes
    ----------
    op : Op
    operands : tuple
        A `Variable` each; a Python number or None stands for itself.
    params : dict
        The op's static parameters.
    results : tuple of Variable
        One, or several where `several`.
    recorded : bool
        False for an op under ``no_grad``: reverse mode does not see it.
    """

    __slots__ = ("op", "operands", "params", "recorded", "results", "several")

    def __init__(self, op: Op, operands: tuple, params: dict, results: tuple, several: bool, recorded: bool):
        self.op, self.operands, self.params, self.results = op, operands, params, results
        self.several, self.recorded = several, recorded

    @property
    def is_due(self) -> bool:
        """Whether it runs also where nothing needs its results: it draws, or looks at something, or may refuse values."""
        op = self.op
        return not op.pure or (op.refuses != "" and self.results[0].dtype.numpy.kind in op.refuses)

    def evaluate(self, operands: tuple) -> Any:
        """Return the op's result for the values of its operands."""
        call = getattr(self.op, "call", None)  # `run`, with a faster way on plain tensors; an op of its own has none
        return run(self.op, operands, self.params) if call is None else call(*operands, **self.params)


class Graph:
    """A function as a list of equations, as :func:`chainrule.func.trace` returns it.

    Call it like the function, with arguments of the shapes and dtypes that it was traced for. A graph that is made of others,
    without the structure of arguments and results, is run by :meth:`run`.

    Attributes
    ----------
    inputs : tuple of Variable
        The tensors among the arguments, in the order of the flattened pytree.
    constants : tuple of Variable
        What the function uses from outside: parameters, arrays, tensors that it makes itself.
    values : tuple of Tensor
        The constants' values; captured tensors themselves, no copies.
    equations : tuple of Equation
        In an order in which they can run; those that no output depends on are left out, but for those that are due.
    outputs : tuple
        A `Variable` for each tensor returned; anything else stands for itself.
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        constants: dict[Variable, Tensor],
        equations: Sequence[Equation],
        outputs: Sequence[Any],
        arguments: Sequence[Any] = (),
        in_spec: Any = None,
        out_spec: Any = None,
    ):
        used: set[Variable] = {o for o in outputs if o.__class__ is Variable}
        kept = []
        for equation in reversed(equations):
            if used.isdisjoint(equation.results) and not equation.is_due:
                continue
            kept.append(equation)
            used.update([o for o in equation.operands if o.__class__ is Variable])
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.equations = tuple(reversed(kept))
        self.constants = tuple(v for v in constants if v in used)
        self.values = tuple(constants[v] for v in self.constants)
        self._arguments, self._in_spec, self._out_spec = tuple(arguments), in_spec, out_spec

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the function.

        Raises
        ------
        TypeError
            If the arguments' structure is not that of the trace.
        RuntimeError
            If a tensor's shape or dtype is not.
        ValueError
            If another argument, which the trace took as fixed, has another value.
        """
        return self.compute(self.values, *args, **kwargs)

    def compute(self, values: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Compute the function with other values for the constants."""
        inputs, generators = self._checked(args, kwargs)
        return tree_unflatten(self.run(inputs, values, generators), self._out_spec)

    def run(
        self,
        inputs: Sequence[Any],
        values: Sequence[Any],
        generators: dict[Generator, Generator],
        step: Callable[[Equation, tuple], Any] | None = None,
    ) -> list:
        """Return the outputs, flat, for the input tensors, flat, values for the constants, and generators for those traced.

        `step` gives the results of an equation for the values of its operands; the op's, recorded as in the trace, by default.
        """
        step = step or evaluated
        env: dict[Any, Any] = dict(zip(self.inputs, inputs, strict=True))
        env.update(generators)
        env.update(zip(self.constants, values, strict=True))
        for equation, dropped in zip(self.equations, self._dropped, strict=True):
            operands = tuple([env.get(o, o) if o.__class__ in _NAMED else o for o in equation.operands])
            out = step(equation, operands)
            outs = out if equation.several else (out,)
            if equation.op.kind is not ELEMENTWISE:
                _check_shapes(equation, outs)
            env.update(zip(equation.results, outs, strict=True))
            for variable in dropped:
                del env[variable]
        return [env[o] if o.__class__ is Variable else o for o in self.outputs]

    @cached_property
    def _dropped(self) -> list[list[Variable]]:
        """After each equation, the variables that nothing needs any more."""
        used: set[Variable] = {o for o in self.outputs if o.__class__ is Variable}
        dropped = []
        for equation in reversed(self.equations):
            operands = {o for o in equation.operands if o.__class__ is Variable}
            dropped.append([*(operands - used), *(r for r in equation.results if r not in used)])
            used |= operands
        return dropped[::-1]

    def _checked(self, args: tuple, kwargs: dict) -> tuple[list[Tensor], dict[Generator, Generator]]:
        """Return the tensors among the arguments, and generators by those traced; raise if they are not as in the trace."""
        leaves, spec = flatten_call(args, kwargs)
        if spec != self._in_spec:
            raise TypeError(f"graph: the arguments' structure is {spec}, but it was traced for {self._in_spec}")
        found, generators = [], {}
        for i, (leaf, traced) in enumerate(zip(leaves, self._arguments, strict=True)):
            if traced.__class__ is Variable:
                if not isinstance(leaf, (Tensor, np.ndarray, np.generic)):
                    raise TypeError(f"graph: {self._place(i)} must be a Tensor, not {type(leaf).__name__}")
                t = as_tensor(leaf, "graph", i)
                if tuple(t.shape) != traced.shape or t.dtype is not traced.dtype:
                    given = Variable(tuple(t.shape), t.dtype)
                    raise RuntimeError(f"graph: {self._place(i)} is {given}, but it was traced for {traced}; trace it anew")
                found.append(t)
            elif isinstance(leaf, Generator) and isinstance(traced, Generator):
                generators[traced] = leaf
            elif leaf is not traced and (leaf.__class__ is not traced.__class__ or leaf != traced):
                raise ValueError(
                    f"graph: {self._place(i)} was {traced!r} in the trace and fixed there, and is {leaf!r}; trace it anew"
                )
        return found, generators

    def _place(self, i: int) -> str:
        """Return in words where the i-th leaf is among the arguments."""
        return list(_places(self._in_spec))[i]

    @property
    def shapes(self) -> Any:
        """The outputs as a pytree of `Variable`, which tell shapes and dtypes."""
        return tree_unflatten(list(self.outputs), self._out_spec)

    def __repr__(self) -> str:
        from chainrule.transforms.equation_text import graph_text

        return graph_text(self)


def evaluated(equation: Equation, operands: tuple) -> Any:
    """Return an equation's result, which reverse mode sees if it did in the trace."""
    if equation.recorded or not modes().record:
        return equation.evaluate(operands)
    with no_grad():
        return equation.evaluate(operands)


_NAMED = (Variable, Generator)  # operands that stand for a value of each run


def _check_shapes(equation: Equation, outs: Sequence[Any]) -> None:
    """Raise if an op whose result's shape depends on values, such as nonzero, gives another one than in the trace."""
    found, traced = [tuple(o.shape) for o in outs], [r.shape for r in equation.results]
    if found != traced:
        raise RuntimeError(
            f"graph: {equation.op.name} gives the shape {_shown(found)} here, but gave {_shown(traced)} in the trace: it "
            "depends on values. Trace the function anew for these arguments."
        )


def _shown(shapes: list) -> str:
    return ", ".join([str(list(s)) for s in shapes])


def flatten_call(args: tuple, kwargs: dict) -> tuple[list, TreeSpec]:
    """Return the leaves of a call's arguments and their structure."""
    return tree_flatten((args, {k: kwargs[k] for k in sorted(kwargs)}))


def _places(spec: TreeSpec) -> Iterator[str]:
    positional, named = spec.children_specs
    for i, child in enumerate(positional.children_specs):
        for path in _paths(child):
            yield f"argument {i}{path}"
    for name, child in zip(named.context, named.children_specs, strict=True):
        for path in _paths(child):
            yield f"argument {name!r}{path}"


def _paths(spec: TreeSpec) -> Iterator[str]:
    if spec.type is None:
        yield ""
        return
    keys = spec.context if isinstance(spec.context, list) else range(len(spec.children_specs))
    for key, child in zip(keys, spec.children_specs, strict=True):
        for path in _paths(child):
            yield f"[{key!r}]{path}"

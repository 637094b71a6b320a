"""Constant folding, and constants that are one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.compiler.graph.checking import result_of
from chainrule.compiler.graph.rebuilding import with_operands
from chainrule.compiler.graph.rewriting import Rewriting, Rules, raw
from chainrule.core.call.dispatch import KERNEL_ERRORS
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.tensor.tensor import wrap
from chainrule.transforms.equations import Equation, Graph, Variable

SMALL = 4096  # elements of a result that is computed ahead

# Elementwise ops whose kernels take a Python number in any place.
_TAKE_NUMBERS = frozenset(("add", "sub", "mul", "div", "where", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"))
_SPREAD = frozenset(("broadcast_to", "reshape", "view", "reshape_alias", "squeeze", "unsqueeze", "permute", "transpose", "t",
                     "getitem", "clone", "contiguous", "alias"))  # fmt: skip


def fold(r: Rewriting, equation: Equation) -> Any:
    """Compute an equation of constants ahead, if its results are small or one number everywhere."""
    constants = r.constants
    found = False
    for o in equation.operands:
        if o.__class__ is Variable:
            if o not in constants:
                return None
            found = True
    op = equation.op
    if not found or op.__class__ is not Op:
        return None
    uniform = (op.kind == ELEMENTWISE or op.name in _SPREAD) and not equation.several and equation.results[0].shape
    if uniform and all([o in r.numbers for o in equation.operands if o.__class__ is Variable]):
        return _of_numbers(r, equation)
    elements = [_size(v) for v in (*equation.results, *[o for o in equation.operands if o.__class__ is Variable])]
    if max(elements, default=0) > SMALL:
        return None
    arrays = [raw(constants[o]) if o.__class__ is Variable else o for o in equation.operands]
    if any([a is None and o is not None for a, o in zip(arrays, equation.operands, strict=True)]):
        return None
    outs = _computed(equation, arrays)
    if outs is None:
        return None
    made = [r.constant(wrap(out)) for out in outs]
    return made if equation.several else made[0]


def _of_numbers(r: Rewriting, equation: Equation) -> Variable | None:
    """Return the result of an elementwise op, or of a rearrangement, of constants that are one number each."""
    result = equation.results[0]
    scalars = [o.dtype.numpy.type(r.numbers[o]) if o.__class__ is Variable else o for o in equation.operands]
    if equation.op.kind == ELEMENTWISE:
        outs = _computed(equation, [np.asarray(s) if isinstance(s, np.generic) else s for s in scalars])
        if outs is None:
            return None
        scalar = outs[0]
    else:
        scalar = scalars[0]
    return r.constant(wrap(np.broadcast_to(np.asarray(scalar, result.dtype.numpy), result.shape)))


def _computed(equation: Equation, arrays: list) -> tuple | None:
    """Return the results of an op's kernel; None where it raises, or gives other results than were traced."""
    with np.errstate(all="ignore"):
        try:
            out = equation.op.backend.kernel(*arrays, **equation.params)
        except KERNEL_ERRORS:
            return None
    outs = tuple(out) if equation.several else (out,)
    if any([o.dtype != v.dtype.numpy for o, v in zip(outs, equation.results, strict=True)]):
        return None
    return outs


def _size(v: Variable) -> int:
    size = 1
    for n in v.shape:
        size *= n
    return size


def numbers(r: Rewriting, equation: Equation) -> Any:
    """Write constants that are one number everywhere as numbers, where that leaves the result's shape and dtype alone."""
    op = equation.op
    if not r.numbers or op.kind != ELEMENTWISE or op.name not in _TAKE_NUMBERS:
        return None
    operands = equation.operands
    if not any([o in r.numbers for o in operands if o.__class__ is Variable]):
        return None
    written = tuple([r.numbers.get(o, o) if o.__class__ is Variable else o for o in operands])
    if not any([o.__class__ is Variable for o in written]):
        return None
    shape, dtype = result_of(op, written, equation.params)
    result = equation.results[0]
    if tuple(shape) != result.shape or dtype != result.dtype.numpy:
        return None
    fresh = Variable(result.shape, result.dtype)
    r.process(with_operands(equation, written, (fresh,)))
    return r.value(fresh)


RULES: Rules = {"*": (fold, numbers)}


def folded(graph: Graph) -> Graph:
    """Return a graph in which what follows from constants alone is a constant, and constants of one number are numbers."""
    return Rewriting(graph, RULES).run()

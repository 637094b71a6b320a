"""Scalars: the expression of an elementwise op, each of its primitives with the dtype in which it computes.

The dtypes are NumPy's: a primitive is tried once on arrays of one element, Python numbers weak as they are to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.op.declaration import Op
from chainrule.core.op.lowering import PRIMITIVES, Expression, Scalar
from chainrule.core.op.results import joined

BOOL, FLOAT64 = np.dtype(bool), np.dtype(np.float64)
NATIVE = frozenset([np.dtype(c) for c in ("?", "b", "h", "i", "q", "B", "H", "I", "Q", "f", "d")])
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
_OF_FLOATS = frozenset(("isfinite", "isinf", "isnan", "signbit"))  # which of integers NumPy computes in float64
_SAME_ON_REALS = frozenset(("conj", "real"))
_WHOLE = frozenset(("ceil", "floor", "trunc", "rint"))


class Given:
    """An operand of the op, by its position."""

    __slots__ = ("dtype", "position")

    def __init__(self, position: int, dtype: Any):
        self.position, self.dtype = position, dtype


class Applied:
    """A primitive of others, all brought to the dtype `computes`; for "select" the first is a bool."""

    __slots__ = ("computes", "dtype", "name", "operands")

    def __init__(self, name: str, operands: tuple, computes: np.dtype, dtype: np.dtype):
        self.name, self.operands, self.computes, self.dtype = name, operands, computes, dtype


class Unsupported(Exception):  # noqa: N818 (it is no error: the op then runs as it is)
    """An op's expression computes in dtypes that loops have not."""


_cache: dict[Any, Any] = {}
_MANY = 4096


def expression_of(op: Op, operands: Sequence[Any], params: dict) -> tuple[list, Any, np.dtype, int]:
    """Return an elementwise op's primitives, its result, the dtype of that, and about how many additions it costs.

    Parameters
    ----------
    op : Op
        Whose lowering is an `Expression`.
    operands : sequence
        Variables and Python numbers.
    params : dict

    Returns
    -------
    applied : list of Applied
        Operands before what uses them.
    result : Given, Applied or number
    dtype : numpy.dtype
        To which the result is cast.
    cost : int

    Raises
    ------
    Unsupported
    """
    dtypes = tuple([o.dtype.numpy if hasattr(o, "shape") else o.__class__ for o in operands])
    numbers = tuple([None if hasattr(o, "shape") else repr(o) for o in operands])
    try:
        key: Any = (op, dtypes, numbers, tuple([(k, v.__class__, v) for k, v in params.items()]))
        found = _cache.get(key)
    except TypeError:
        key = found = None
    if found is None:
        try:
            found = _built(op, operands, dtypes, params)
        except (TypeError, ValueError, OverflowError, ZeroDivisionError, Unsupported) as error:
            found = Unsupported(str(error))
        if key is not None:
            if len(_cache) > _MANY:
                _cache.clear()
            _cache[key] = found
    if found.__class__ is Unsupported:
        raise found  # type: ignore[misc]
    return found  # type: ignore[return-value]


def _built(op: Op, operands: Sequence[Any], dtypes: tuple, params: dict) -> tuple:
    if not isinstance(op.lowering, Expression):
        raise Unsupported(f"{op.name} has no expression")
    result = op.dtype(list(dtypes), params)  # type: ignore[misc]
    if any([d.__class__ is not type and d not in NATIVE for d in (*dtypes, result)]):
        raise Unsupported("half precision or complex numbers")
    scalar = op.lowering.scalar(dtypes, params)
    builder = _Builder(operands, dtypes)
    with np.errstate(all="ignore"):
        last = builder.of(scalar)
    return builder.applied, last, np.dtype(result), cost_of(builder.applied)


class _Builder:
    def __init__(self, operands: Sequence[Any], dtypes: tuple):
        self.dtypes = dtypes
        self.given = [
            Given(i, d) if d.__class__ is not type else o for i, (o, d) in enumerate(zip(operands, dtypes, strict=True))
        ]
        self.weak = joined(*dtypes)
        self.applied: list[Applied] = []
        self._known: dict[Any, Any] = {}

    def of(self, scalar: Any) -> Any:
        if scalar.__class__ is not Scalar:
            return scalar
        if scalar.name == "input":
            return self.given[scalar.operands[0]]
        found = self._known.get(id(scalar))
        if found is None:
            found = self._applied(scalar.name, [self.of(x) for x in scalar.operands])
            self._known[id(scalar)] = found
            self._known[scalar] = found  # which keeps it alive, and so its id its own
        return found

    def _applied(self, name: str, operands: list) -> Any:
        if name in _SAME_ON_REALS:
            return operands[0]
        if name == "select":
            return self._select(operands)
        if name == "ne" and isinstance(operands[0], (Given, Applied)) and operands[0].dtype == BOOL and operands[1] == 0:
            return operands[0]
        if not any([isinstance(x, (Given, Applied)) for x in operands]):
            return PRIMITIVES[name](*operands)  # of numbers alone
        tried = [_sample(x) for x in operands]
        known = name in ("erf", "erfc", "ndtr") and tried[0].dtype.kind == "f"  # SciPy, whose they are, need not be imported
        result = tried[0].dtype if known else np.asarray(PRIMITIVES[name](*tried)).dtype
        if name == "imag":
            return result.type(0)
        computes = result
        if name in _COMPARISONS:
            computes = np.result_type(*tried)
            if computes.kind in "iu" and any([isinstance(x, int) for x in operands]):
                self._check(operands, computes)
        elif name in _OF_FLOATS:
            computes = tried[0].dtype if tried[0].dtype.kind == "f" else FLOAT64
        elif name in _WHOLE and result.kind in "biu":
            return operands[0]
        return self._add(name, operands, computes, result)

    def _check(self, operands: list, computes: np.dtype) -> None:
        """Raise for a number that an integer dtype does not hold: NumPy compares it as it is."""
        for x in operands:
            if isinstance(x, int):
                computes.type(x)

    def _select(self, operands: list) -> Any:
        condition, x, y = operands
        if not isinstance(condition, (Given, Applied)):
            return x if condition else y
        if condition.dtype != BOOL:
            condition = self._add("ne", [condition, 0], condition.dtype, BOOL)
        # `core.op.lowering.evaluate`: numbers are taken in the dtype of the whole
        kinds = [_sample(v) if isinstance(v, (Given, Applied, np.generic)) else np.ones(1).astype(self.weak) for v in (x, y)]
        d = np.result_type(*kinds)
        x, y = [v if isinstance(v, (Given, Applied, np.generic)) else self.weak.type(v) for v in (x, y)]
        return self._add("select", [condition, x, y], d, d)

    def _add(self, name: str, operands: list, computes: np.dtype, result: np.dtype) -> Applied:
        if computes not in NATIVE or result not in NATIVE:
            raise Unsupported(f"{name} computes in {computes}")
        self.applied.append(Applied(name, tuple(operands), np.dtype(computes), np.dtype(result)))
        return self.applied[-1]


def _sample(x: Any) -> Any:
    """Return an array of one element that stands for an operand; a number as it is."""
    return np.ones(1, x.dtype) if isinstance(x, (Given, Applied)) else x


_COSTS = {
    **dict.fromkeys(("add", "sub", "mul", "neg", "abs", "max", "min", "select", "copysign", "cast"), 1),
    **dict.fromkeys(_COMPARISONS, 1), **dict.fromkeys(("and", "or", "xor", "invert", "shl", "shr"), 1),
    "div": 4, "sqrt": 4, "floordiv": 6, "mod": 6, "fmod": 6, "truncdiv": 6, "pow": 30, "atan2": 25,
}  # fmt: skip


def cost(name: str) -> int:
    """Return about how many additions a primitive costs in vectors."""
    return _COSTS.get(name, 12)


def cost_of(applied: Sequence[Applied]) -> int:
    """Return about how many additions an expression costs."""
    return sum([cost(a.name) for a in applied])

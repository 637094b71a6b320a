"""Algebra of elementwise ops: what gives the same bits for fewer or cheaper operations, infinities, NaN and -0.0 included.

Of a NaN the sign and the payload may differ. Powers by a number become products, quotients and roots, as eager's kernel
computes those of arrays; of a tensor without axes that calls C's power, which these meet within 2 units in the last place.
Not done, for they would change values: ``x + 0`` (-0.0), ``x * 0`` (NaN), ``x - x``, ``x / x``, ``exp(log(x))``, sums in
another order, ``-(x - y)`` (the sign of 0).
"""

from __future__ import annotations

from math import copysign, frexp, isfinite
from typing import Any

from chainrule.compiler.graph.rewriting import Rewriting, Rules
from chainrule.core.types import dtype as dtypes
from chainrule.transforms.equations import Equation, Graph, Variable

_SINGLE_OR_DOUBLE = (dtypes.float32, dtypes.float64)
_SMALLEST, _LARGEST = -125, 127  # exponents of the powers of two that have a float32 inverse, with room


def _is(o: Any, number: float) -> bool:
    return o.__class__ is not Variable and o is not None and o.__class__ is not complex and o == number


def _number(o: Any) -> bool:
    return o.__class__ is float or o.__class__ is int


def _is_real(v: Variable) -> bool:
    """Tell whether a value is of a real floating dtype, or a signed integer."""
    return v.dtype.category == dtypes.FLOAT or (v.dtype.category == dtypes.INT and v.dtype.is_signed)


def _kept(equation: Equation, o: Any) -> Any:
    """Return an operand if it can stand for the result."""
    result = equation.results[0]
    return o if o.__class__ is Variable and o.shape == result.shape and o.dtype is result.dtype else None


def _add(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    if e.results[0].dtype.category == dtypes.FLOAT:
        for a, b in ((x, y), (y, x)):
            if b.__class__ is float and b == 0 and copysign(1, b) < 0:
                return _kept(e, a)
    for a, b in ((x, y), (y, x)):
        if (minus := r.maker(b, "neg")) is not None and (a.__class__ is Variable or _number(a)):
            return r.apply("sub", a, minus.operands[0])
    return None


def _sub(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    if _number(y) and y == 0 and copysign(1, y) > 0:
        return _kept(e, x)
    if (minus := r.maker(y, "neg")) is not None and (x.__class__ is Variable or _number(x)):
        return r.apply("add", x, minus.operands[0])
    return None


def _mul(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    for a, b in ((x, y), (y, x)):
        if not _number(b) or a.__class__ is not Variable or a.dtype is not e.results[0].dtype or not _is_real(a):
            continue
        if b == 1:
            return _kept(e, a)
        if b == -1:
            return r.apply("neg", a)
        if b and a.dtype.category == dtypes.FLOAT and (minus := r.maker(a, "neg")) is not None:
            return r.apply("mul", minus.operands[0], -b)
    if e.results[0].dtype.category != dtypes.FLOAT:
        return None
    if (left := r.maker(x, "neg")) is not None and (right := r.maker(y, "neg")) is not None:
        return r.apply("mul", left.operands[0], right.operands[0])
    return None


def _div(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    if x.__class__ is not Variable or x.dtype is not e.results[0].dtype or x.dtype.category != dtypes.FLOAT:
        return None
    if not _number(y):
        if (above := r.maker(x, "neg")) is not None and (below := r.maker(y, "neg")) is not None:
            return r.apply("div", above.operands[0], below.operands[0])
        return None
    if y == 1:
        return _kept(e, x)
    if y == -1:
        return r.apply("neg", x)
    if x.dtype in _SINGLE_OR_DOUBLE and _is_power_of_two(y):
        return r.apply("mul", x, 1 / y)
    if y and (minus := r.maker(x, "neg")) is not None:
        return r.apply("div", minus.operands[0], -y)
    return None


def _is_power_of_two(y: float) -> bool:
    """Tell whether a number and its inverse are powers of two in any floating dtype of 32 bits or more."""
    if not y or not isfinite(y) or abs(y) > 2.0**_LARGEST:
        return False
    fraction, exponent = frexp(y)
    return abs(fraction) == 0.5 and _SMALLEST < exponent < _LARGEST


def _neg(r: Rewriting, e: Equation) -> Any:
    (x,) = e.operands
    if (minus := r.maker(x, "neg")) is not None:
        return minus.operands[0]
    for name in ("mul", "div"):
        if (scaled := r.maker(x, name)) is not None and r.uses.get(x, 0) == 1 and x.dtype.category == dtypes.FLOAT:
            a, b = scaled.operands
            if _number(b) and b:
                return r.apply(name, a, -b)
    return None


def _pow(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    if not _number(y) or x.__class__ is not Variable or x.dtype is not e.results[0].dtype:
        return None
    if x.dtype.category == dtypes.INT:
        return _kept(e, x) if y == 1 else r.apply("mul", x, x) if y == 2 else None
    if x.dtype not in _SINGLE_OR_DOUBLE:
        return None
    if y == 1:
        return _kept(e, x)
    if y == 2:
        return r.apply("mul", x, x)
    if y == 3:
        return r.apply("mul", r.apply("mul", x, x), x)
    if y == -1:
        return r.apply("div", 1, x)
    if y == -2:
        return r.apply("div", 1, r.apply("mul", x, x))
    if y == 0.5:
        return r.apply("sqrt", x)
    if y == -0.5:
        return r.apply("div", 1, r.apply("sqrt", x))
    return None


def _square(r: Rewriting, e: Equation) -> Any:
    (x,) = e.operands
    return r.apply("mul", x, x) if _kept(e, x) is not None and x.dtype.category == dtypes.FLOAT else None


def _where(r: Rewriting, e: Equation) -> Any:
    condition, x, y = e.operands
    if x is y and x.__class__ is Variable:
        return _kept(e, x)
    if condition.__class__ is Variable and condition in r.numbers:
        condition = r.numbers[condition]
    if condition.__class__ is Variable:
        if (opposite := r.maker(condition, "logical_not", "bitwise_not")) is not None and opposite.operands[
            0
        ].dtype.category == dtypes.BOOL:
            return r.apply("where", opposite.operands[0], y, x)
        return None
    chosen, result = (x if condition else y), e.results[0]
    if chosen.__class__ is not Variable or chosen.dtype is not result.dtype:
        return None
    return chosen if chosen.shape == result.shape else r.apply("broadcast_to", chosen, shape=result.shape)


def _extremum(r: Rewriting, e: Equation) -> Any:
    x, y = e.operands
    return _kept(e, x) if x is y else None


def _not(r: Rewriting, e: Equation) -> Any:
    inner = r.maker(e.operands[0], "logical_not", "bitwise_not")
    return None if inner is None or inner.op.name != e.op.name else _kept(e, inner.operands[0])


def _abs(r: Rewriting, e: Equation) -> Any:
    (x,) = e.operands
    if x.dtype.category == dtypes.FLOAT:
        if (inner := r.maker(x, "neg")) is not None:
            return r.apply("abs", inner.operands[0])
        if r.maker(x, "abs", "relu", "exp", "square") is not None:
            return _kept(e, x)
    return None


def _relu(r: Rewriting, e: Equation) -> Any:
    return _kept(e, e.operands[0]) if r.maker(e.operands[0], "relu", "abs", "exp") is not None else None


def _same(r: Rewriting, e: Equation) -> Any:
    """Return the operand of an op that only copies, or that changes nothing but what reverse mode sees."""
    return _kept(e, e.operands[0])


def _of_real(r: Rewriting, e: Equation) -> Any:
    x = e.operands[0]
    return _kept(e, x) if x.__class__ is Variable and not x.dtype.is_complex else None


def _copy(r: Rewriting, e: Equation) -> Any:
    """Return what is copied over all of another tensor."""
    y, result = e.operands[1], e.results[0]
    if y.__class__ is not Variable or y.dtype is not result.dtype:
        return None
    return y if y.shape == result.shape else r.apply("broadcast_to", y, shape=result.shape)


# -- casts -------------------------------------------------------------------------------------------------------------

_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53, "complex64": 24, "complex128": 53}
_RANGE = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11, "complex64": 8, "complex128": 11}


def keeps_all(a: dtypes.dtype, b: dtypes.dtype) -> bool:
    """Tell whether every value of one dtype is a value of another, which a cast there and back leaves as it was."""
    if a is b or a.category == dtypes.BOOL:
        return True
    if b.category < a.category:
        return False
    bits = 8 * a.itemsize - a.is_signed if a.category == dtypes.INT else 0
    if b.category == dtypes.INT:
        return bits <= 8 * b.itemsize - b.is_signed and not (a.is_signed and not b.is_signed)
    if b.name not in _DIGITS or (not bits and a.name not in _DIGITS):
        return False
    if bits:
        return bits <= _DIGITS[b.name] and b.name != "float16"
    return _DIGITS[a.name] <= _DIGITS[b.name] and _RANGE[a.name] <= _RANGE[b.name]


def _to(r: Rewriting, e: Equation) -> Any:
    """Drop a cast to the same dtype, and one on the way that lost nothing."""
    (x,) = e.operands
    result = e.results[0]
    if x.dtype is result.dtype:
        return x
    if (first := r.maker(x, "to")) is None:
        return None
    source = first.operands[0]
    if not keeps_all(source.dtype, x.dtype):
        return None
    if source.dtype is result.dtype:
        return source
    return r.apply("to", source, dtype=result.dtype.numpy, source=source.dtype.numpy)


RULES: Rules = {
    "add": (_add,), "sub": (_sub,), "mul": (_mul,), "div": (_div,), "neg": (_neg,), "pow": (_pow,), "square": (_square,),
    "where": (_where,), "maximum": (_extremum,), "minimum": (_extremum,), "fmax": (_extremum,), "fmin": (_extremum,),
    "logical_not": (_not,), "bitwise_not": (_not,), "abs": (_abs,), "relu": (_relu,),
    "detach": (_same,), "clone": (_same,), "contiguous": (_same,), "alias": (_same,), "named": (_same,),
    "real": (_of_real,), "conj": (_of_real,), "conj_physical": (_of_real,), "conj_view": (_of_real,),
    "copy": (_copy,), "to": (_to,),
}  # fmt: skip


def simpler(graph: Graph) -> Graph:
    """Return a graph with the same values by fewer and cheaper elementwise operations, casts and copies."""
    return Rewriting(graph, RULES).run()

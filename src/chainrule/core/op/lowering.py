"""How an op is lowered: what a compiler may put in place of its kernel.

An elementwise op has an :class:`Expression` of its scalars, over a closed set of primitives that can be written in any
intermediate representation, or found in C's library. An op that is a composition of others has an :class:`Expansion`. All
else is :class:`Opaque`: a kernel that runs as it is, as one step of a plan; an elementwise op says why.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# -- primitives --------------------------------------------------------------------------------------------------------


def _counting(f: Callable) -> Callable:
    """Return an arithmetic function that takes bools as the integers 0 and 1, which NumPy refuses."""
    return lambda *xs: f(*[x.astype(np.int8) if getattr(x, "dtype", x) == np.bool_ else x for x in xs])


def _whole(f: Callable) -> Callable:
    """Return a rounding that leaves integers as they are."""
    return lambda x: x if x.dtype.kind in "biu" else f(x)


def _power(x: Any, y: Any) -> Any:
    """Return a power; integers to negative powers truncate."""
    if np.result_type(x, y).kind not in "iu":
        return operator.pow(x, y)
    below = np.where(np.abs(x) == 1, np.where(y % 2 == 0, 1, x), 0)
    return np.where(y < 0, below, np.power(x, np.maximum(y, 0)))


def _truncdiv(x: Any, y: Any) -> Any:
    """Return a quotient rounded towards 0, as C's division of integers is."""
    if np.result_type(x, y).kind not in "iu":
        return np.trunc(x / y)
    down = x // y
    return down + ((down < 0) & (down * y != x))


def _special(name: str) -> Callable:
    def call(x: Any) -> Any:
        from scipy import special

        return getattr(special, name)(x)

    return call


# What each computes, in NumPy: `max` and `min` propagate NaN, `select` is where; `floordiv` and `mod` round down, as Python's,
# `truncdiv` and `fmod` towards 0, as C's; comparisons give bools.
PRIMITIVES: dict[str, Callable] = {
    "add": operator.add, "sub": _counting(operator.sub), "mul": operator.mul, "div": operator.truediv,
    "floordiv": operator.floordiv, "truncdiv": _truncdiv, "mod": operator.mod, "fmod": np.fmod, "neg": _counting(operator.neg),
    "pow": _power, "abs": np.absolute, "max": np.maximum, "min": np.minimum, "fmax": np.fmax, "fmin": np.fmin,
    "sqrt": np.sqrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "atan2": np.arctan2, "hypot": np.hypot, "erf": _special("erf"), "erfc": _special("erfc"), "ndtr": _special("ndtr"),
    "ceil": _whole(np.ceil), "floor": _whole(np.floor), "trunc": _whole(np.trunc), "rint": _whole(np.rint),
    "copysign": np.copysign, "nextafter": np.nextafter,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "invert": np.invert, "shl": operator.lshift,
    "shr": operator.rshift, "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan, "signbit": np.signbit,
    "real": np.real, "imag": np.imag, "conj": np.conjugate, "select": np.where,
}  # fmt: skip

# The primitives that kernels are themselves.
_OF_KERNEL = {f: name for name, f in PRIMITIVES.items()} | {
    np.ceil: "ceil", np.floor: "floor", np.trunc: "trunc", np.fmod: "fmod", operator.sub: "sub", operator.neg: "neg",
}  # fmt: skip


# -- expressions -------------------------------------------------------------------------------------------------------


class Scalar:
    """A scalar of an expression: an input, or a primitive of other scalars and Python numbers, which are weak.

    Attributes
    ----------
    name : str
        Of the primitive; "input".
    operands : tuple
        Scalars and numbers; of an input, its place.
    kind : str or None
        Of an input's dtype: "b", "i", "f" or "c"; other scalars do not know.
    """

    __slots__ = ("kind", "name", "operands")

    def __init__(self, name: str, operands: tuple, kind: str | None = None):
        self.name, self.operands, self.kind = name, operands, kind

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.operands))})"


class _Primitives:
    """The primitives as functions of scalars: ``s.sqrt(x)``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Callable:
        if name not in PRIMITIVES:
            raise AttributeError(f"{name!r} is no primitive; there are {', '.join(PRIMITIVES)}")
        return lambda *operands: Scalar(name, operands)


s = _Primitives()


def _overload() -> None:
    """Give scalars Python's operators."""
    reflected = ("add", "sub", "mul", "floordiv", "mod", "pow", "and", "or", "xor", "truediv")
    for name in (*reflected, "eq", "ne", "lt", "le", "gt", "ge"):
        means = "div" if name == "truediv" else name
        setattr(Scalar, f"__{name}__", lambda x, y, means=means: Scalar(means, (x, y)))
        if name in reflected:
            setattr(Scalar, f"__r{name}__", lambda x, y, means=means: Scalar(means, (y, x)))
    for name in ("neg", "abs", "invert"):
        setattr(Scalar, f"__{name}__", lambda x, name=name: Scalar(name, (x,)))


_overload()


_KINDS = {"b": "b", "i": "i", "u": "i", "f": "f", "V": "f", "c": "c"}


class Expression:
    """The lowering of an elementwise op: its result as an expression of its inputs' scalars.

    Attributes
    ----------
    f : callable
        ``f(*scalars, **params)`` returns a `Scalar`.
    """

    __slots__ = ("f",)

    def __init__(self, f: Callable):
        self.f = f

    def scalar(self, dtypes: Sequence[Any], params: dict) -> Scalar:
        """Return the expression for inputs of NumPy dtypes (of a Python number, its class) and static parameters."""
        return self.f(*[Scalar("input", (i,), _KINDS[np.dtype(d).kind]) for i, d in enumerate(dtypes)], **params)

    def __repr__(self) -> str:
        return "a scalar expression"


class Expansion:
    """The lowering of an op that is a composition of others.

    Attributes
    ----------
    f : callable
        Takes and returns tensors, with the op's parameters.
    """

    __slots__ = ("f",)

    def __init__(self, f: Callable):
        self.f = f

    def __repr__(self) -> str:
        return "an expansion into other ops"


class Opaque:
    """The lowering of a kernel that runs as it is.

    Attributes
    ----------
    why : str
        Why nothing stands in its place; empty if the declaration does not say.
    """

    __slots__ = ("why",)

    def __init__(self, why: str):
        self.why = why

    def __repr__(self) -> str:
        return f"opaque: {self.why}" if self.why else "opaque"


UNSAID = Opaque("")
OPAQUE = Opaque("a kernel of its own, which nothing is known to replace")


def lowering_of(given: Any, kernel: Callable, elementwise: bool, batch: Any) -> Any:
    """Return an op's lowering: as its declaration gives it, or derived from a kernel that is a primitive, a composition."""
    if given is None and not elementwise:
        given = getattr(batch, "composition", UNSAID)
    elif given is None:
        given = _OF_KERNEL.get(kernel, UNSAID)
    if given.__class__ is str:
        given = getattr(s, given)
    if given.__class__ is Opaque:
        return given
    return Expression(given) if elementwise else Expansion(given)


def evaluate(scalar: Any, inputs: Sequence[Any], dtype: np.dtype) -> Any:
    """Return what an expression gives on arrays, the meaning of an expression; `dtype` is that in which it computes."""
    if scalar.__class__ is not Scalar:
        return scalar
    if scalar.name == "input":
        return inputs[scalar.operands[0]]
    found = [evaluate(x, inputs, dtype) for x in scalar.operands]
    if scalar.name == "select":  # of two numbers NumPy would make its default dtypes
        found[1:] = [x if hasattr(x, "dtype") else np.asarray(x).astype(dtype) for x in found[1:]]
    return PRIMITIVES[scalar.name](*found)

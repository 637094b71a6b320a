"""The primitives as LLVM instructions, on scalars and on vectors alike: what ``core.op.lowering.PRIMITIVES`` says in NumPy.

Nothing here is undefined for any operand: quotients by zero, shifts beyond the width and conversions of what has no integer
give what NumPy gives, so that no poison reaches memory. Arithmetic of floats is IEEE's, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.llvm.functions import mathematical
from chainrule.compiler.llvm.text import Function, Kind


def apply(f: Function, name: str, k: Kind, xs: list[str], dtype: np.dtype) -> str:
    """Write a primitive and return its register.

    Parameters
    ----------
    f : Function
    name : str
    k : Kind
        Of the operands; of "select", of the last two.
    xs : list of str
    dtype : numpy.dtype
        Of the result.
    """
    if not k.is_float and (name in _FLOATING or (name == "truncdiv" and k.is_bool)):
        found = _natural(name, k)
        inner = k.of(np.float32) if found.bits == 16 and name != "nextafter" else found
        out = apply(f, name, inner, [convert(f, x, k, inner) for x in xs], inner.dtype)
        if found is not inner:
            out = convert(f, convert(f, out, inner, found), found, inner)
        return convert(f, out, inner, inner.of(dtype))
    if k.is_bool and name not in _OF_BOOLS:
        narrow = k.of(np.int8)
        return apply(f, name, narrow, [convert(f, x, k, narrow) for x in xs], dtype)
    result = k.mask if name in _PREDICATES else k
    out = _OPERATIONS[name](f, k, *xs) if name in _OPERATIONS else mathematical(f, name, k, xs)
    return convert(f, out, result, result.of(dtype))


def convert(f: Function, x: str, source: Kind, target: Kind) -> str:
    """Write a conversion as NumPy's `astype` and return its register."""
    if source.dtype == target.dtype:
        return x
    if target.is_bool:
        return f(f"{'fcmp une' if source.is_float else 'icmp ne'} {source.text} {x}, {source.number(0)}")
    if not source.is_float:
        if target.is_float:
            return f(f"{'sitofp' if source.is_signed else 'uitofp'} {source.text} {x} to {target.text}")
        if source.bits == target.bits:
            return x
        how = "trunc" if source.bits > target.bits else "sext" if source.is_signed else "zext"
        return f(f"{how} {source.text} {x} to {target.text}")
    if target.is_float:
        how = "fptrunc" if source.bits > target.bits else "fpext"
        return f(f"{how} {source.text} {x} to {target.text}")
    return _whole(f, x, source, target)


def _whole(f: Function, x: str, source: Kind, target: Kind) -> str:
    """Convert floats to integers as the processor does, and so NumPy: narrow ones are cut from 32 bits.

    Those that have none become the least one on x86, the nearest one (and NaN 0) elsewhere.
    """
    if target.bits < 32:
        word = target.of(np.uint32 if f.saturates and not target.is_signed else np.int32)
        return convert(f, _whole(f, x, source, word), word, target)
    if f.saturates:
        name = f"llvm.fpto{'s' if target.is_signed else 'u'}i.sat.{target.suffix}.{source.suffix}"
        return f.intrinsic(target.text, name, (source.text, x))
    if target.is_signed:
        return _truncated(f, x, source, target)
    signed, half = target.whole, 2.0 ** (target.bits - 1)
    large = f(f"fcmp oge {source.text} {x}, {source.number(half)}")
    below = f(f"fsub {source.text} {x}, {source.number(half)}")
    upper = _truncated(f, below, source, signed)
    upper = f(f"xor {signed.text} {upper}, {signed.number(np.iinfo(signed.dtype).min)}")
    return _select(f, signed, large, upper, _truncated(f, x, source, signed))


def _truncated(f: Function, x: str, source: Kind, target: Kind) -> str:
    least, limit = np.iinfo(target.dtype).min, 2.0 ** (target.bits - 1)
    room = target.bits < source.bits  # -2^31 - 1/2 becomes -2^31 where the float can say so
    low = f(f"fcmp {'ogt' if room else 'oge'} {source.text} {x}, {source.number(-limit - 1 if room else -limit)}")
    high = f(f"fcmp olt {source.text} {x}, {source.number(limit)}")
    fits = f(f"and {target.mask.text} {low}, {high}")
    out = f(f"fptosi {source.text} {_select(f, source, fits, x, source.number(0))} to {target.text}")
    return _select(f, target, fits, out, target.number(least))


def _select(f: Function, k: Kind, c: str, x: str, y: str) -> str:
    return f(f"select {k.mask.text} {c}, {k.text} {x}, {k.text} {y}")


def _simple(floats: str, signed: str = "", unsigned: str = "", bools: str = "") -> Callable:
    """Return an operation that is one instruction, by the kind of its operands."""
    unsigned, bools = unsigned or signed, bools or unsigned or signed

    def write(f: Function, k: Kind, x: str, y: str) -> str:
        how = floats if k.is_float else bools if k.is_bool else signed if k.is_signed else unsigned
        return f(f"{how} {k.text} {x}, {y}")

    return write


def _compared(name: str) -> Callable:
    return _simple(f"fcmp {'une' if name == 'ne' else 'o' + name}", *[f"icmp {p}" for p in _ORDERS[name]])


_ORDERS = {
    "eq": ("eq", "eq"), "ne": ("ne", "ne"), "lt": ("slt", "ult"), "le": ("sle", "ule"), "gt": ("sgt", "ugt"),
    "ge": ("sge", "uge"),
}  # fmt: skip


def _extreme(order: str, nan_wins: bool) -> Callable:
    """Return a maximum or minimum; of two zeros either."""

    def write(f: Function, k: Kind, x: str, y: str) -> str:
        if k.is_bool:
            return f(f"{'or' if order == 'gt' else 'and'} {k.text} {x}, {y}")
        if not k.is_float:
            return f.intrinsic(k.text, f"llvm.{_INTEGER_EXTREMES[order, k.is_signed]}.{k.suffix}", (k.text, x), (k.text, y))
        out = _select(f, k, f(f"fcmp o{order} {k.text} {x}, {y}"), x, y)  # y where either is NaN
        asked = x if nan_wins else y
        return _select(f, k, f(f"fcmp uno {k.text} {asked}, {k.number(0)}"), x, out)

    return write


_INTEGER_EXTREMES = {("gt", True): "smax", ("gt", False): "umax", ("lt", True): "smin", ("lt", False): "umin"}


def _intrinsic(name: str) -> Callable:
    """Return an operation that LLVM has for floats, and that leaves integers as they are."""

    def write(f: Function, k: Kind, *xs: str) -> str:
        if not k.is_float:
            return xs[0]
        return f.intrinsic(k.text, f"llvm.{name}.{k.suffix}", *[(k.text, x) for x in xs])

    return write


def _negative(f: Function, k: Kind, x: str) -> str:
    return f(f"fneg {k.text} {x}") if k.is_float else f(f"sub {k.text} {k.number(0)}, {x}")


def _absolute(f: Function, k: Kind, x: str) -> str:
    if k.is_float:
        return f.intrinsic(k.text, f"llvm.fabs.{k.suffix}", (k.text, x))
    return f.intrinsic(k.text, f"llvm.abs.{k.suffix}", (k.text, x), ("i1", "false")) if k.is_signed else x


def _divisor(f: Function, k: Kind, x: str, y: str) -> tuple[str, str]:
    """Return by what integers may be divided, and where it is zero."""
    zero = f(f"icmp eq {k.text} {y}, {k.number(0)}")
    bad = zero
    if k.is_signed:
        least = f(f"icmp eq {k.text} {x}, {k.number(np.iinfo(k.dtype).min)}")
        both = f(f"and {k.mask.text} {least}, {f(f'icmp eq {k.text} {y}, {k.number(-1)}')}")
        bad = f(f"or {k.mask.text} {zero}, {both}")
    return _select(f, k, bad, k.number(1), y), zero


def _integer_quotient(rounds: str, remainder: bool) -> Callable:
    def write(f: Function, k: Kind, x: str, y: str) -> str:
        by, zero = _divisor(f, k, x, y)
        sign = "s" if k.is_signed else "u"
        rest = f(f"{sign}rem {k.text} {x}, {by}") if remainder or (rounds == "down" and k.is_signed) else ""
        out = rest if remainder else f(f"{sign}div {k.text} {x}, {by}")
        if rounds == "down" and k.is_signed:
            opposed = f(f"icmp slt {k.text} {f(f'xor {k.text} {rest}, {by}')}, {k.number(0)}")
            lower = f(f"and {k.mask.text} {opposed}, {f(f'icmp ne {k.text} {rest}, {k.number(0)}')}")
            out = f(f"add {k.text} {out}, {_select(f, k, lower, by if remainder else k.number(-1), k.number(0))}")
        return _select(f, k, zero, k.number(0), out)

    return write


def _either(floats: Callable, integers: Callable) -> Callable:
    return lambda f, k, *xs: (floats if k.is_float else integers)(f, k, *xs)


def _remainder(f: Function, k: Kind, x: str, y: str) -> str:
    name = f"@cr_fmod_{k.suffix}"
    if name not in f.defined:
        f.defined[name] = _fmod(k, name)
    return f(f"call {k.text} {name}({k.text} {x}, {k.text} {y})")


def _fmod(k: Kind, name: str) -> str:
    """Return the definition of C's fmod."""
    bits = "bitcast MASK %easy to iLANES" if k.lanes > 1 else "and i1 %easy, true"
    words = {
        "NAME": name, "TYPE": k.text, "SUFFIX": k.suffix, "LIMIT": k.number(2.0 ** (np.finfo(k.dtype).nmant - 2)),
        "INFINITY": k.number(np.inf), "BITS": bits, "MASK": k.mask.text, "LANES": str(k.lanes),
    }  # fmt: skip
    text = _FMOD
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


# Where the quotient is well below the dtype's precision, its whole part is at most one too large, and what is left of x is
# exact if fused; elsewhere, and where anything is infinite or NaN, the C library is asked.
_FMOD = """define internal TYPE NAME(TYPE %x, TYPE %y) nounwind {
entry:
  %ratio = fdiv TYPE %x, %y
  %whole = call TYPE @llvm.trunc.SUFFIX(TYPE %ratio)
  %size = call TYPE @llvm.fabs.SUFFIX(TYPE %whole)
  %small = fcmp olt TYPE %size, LIMIT
  %width = call TYPE @llvm.fabs.SUFFIX(TYPE %y)
  %finite = fcmp olt TYPE %width, INFINITY
  %easy = and MASK %small, %finite
  %bits = BITS
  %every = icmp eq iLANES %bits, -1
  br i1 %every, label %fast, label %slow
fast:
  %minus = fneg TYPE %whole
  %rest = call TYPE @llvm.fma.SUFFIX(TYPE %minus, TYPE %y, TYPE %x)
  %alike = call TYPE @llvm.copysign.SUFFIX(TYPE %rest, TYPE %x)
  %fits = fcmp oeq TYPE %rest, %alike
  %step = call TYPE @llvm.copysign.SUFFIX(TYPE %y, TYPE %x)
  %back = fadd TYPE %rest, %step
  %near = select MASK %fits, TYPE %rest, TYPE %back
  %out = call TYPE @llvm.copysign.SUFFIX(TYPE %near, TYPE %x)
  ret TYPE %out
slow:
  %asked = frem TYPE %x, %y
  ret TYPE %asked
}"""


def _with_sign_of(f: Function, k: Kind, x: str, y: str) -> str:
    return f.intrinsic(k.text, f"llvm.copysign.{k.suffix}", (k.text, x), (k.text, y))


def _python_division(f: Function, k: Kind, x: str, y: str) -> tuple[str, str, str]:
    """Return, as CPython has it, the remainder with the divisor's sign, nearly the floored quotient, and where y is zero."""
    zero, t = k.number(0), k.text
    rest = _remainder(f, k, x, y)
    quotient = f(f"fdiv {t} {f(f'fsub {t} {x}, {rest}')}, {y}")
    some = f(f"fcmp une {t} {rest}, {zero}")
    opposed = f(f"xor {k.mask.text} {f(f'fcmp olt {t} {y}, {zero}')}, {f(f'fcmp olt {t} {rest}, {zero}')}")
    lower = f(f"and {k.mask.text} {some}, {opposed}")
    quotient = f(f"fsub {t} {quotient}, {_select(f, k, lower, k.number(1), zero)}")
    moved = _select(f, k, lower, f(f"fadd {t} {rest}, {y}"), rest)
    moved = _select(f, k, some, moved, _with_sign_of(f, k, zero, y))
    by_zero = f(f"fcmp oeq {t} {y}, {zero}")
    return _select(f, k, by_zero, rest, moved), quotient, by_zero


def _float_mod(f: Function, k: Kind, x: str, y: str) -> str:
    return _python_division(f, k, x, y)[0]


def _float_floordiv(f: Function, k: Kind, x: str, y: str) -> str:
    _, quotient, by_zero = _python_division(f, k, x, y)
    t, zero = k.text, k.number(0)
    plain = f(f"fdiv {t} {x}, {y}")
    down = f.intrinsic(t, f"llvm.floor.{k.suffix}", (t, quotient))
    short = f(f"fcmp ogt {t} {f(f'fsub {t} {quotient}, {down}')}, {k.number(0.5)}")
    down = _select(f, k, short, f(f"fadd {t} {down}, {k.number(1)}"), down)
    some = f(f"fcmp une {t} {quotient}, {zero}")
    return _select(f, k, by_zero, plain, _select(f, k, some, down, _with_sign_of(f, k, zero, plain)))


def _float_truncdiv(f: Function, k: Kind, x: str, y: str) -> str:
    return f.intrinsic(k.text, f"llvm.trunc.{k.suffix}", (k.text, f(f"fdiv {k.text} {x}, {y}")))


def _next(f: Function, k: Kind, x: str, y: str) -> str:
    """Return the float after x on the way to y."""
    w, t = k.whole, k.text
    bits = f(f"bitcast {t} {x} to {w.text}")
    below = f(f"fcmp olt {t} {x}, {y}")
    away = f(f"xor {k.mask.text} {below}, {f(f'icmp slt {w.text} {bits}, {w.number(0)}')}")
    moved = f(f"bitcast {w.text} {f(f'add {w.text} {bits}, {_select(f, w, away, w.number(1), w.number(-1))}')} to {t}")
    least = _with_sign_of(f, k, k.number(np.finfo(k.dtype).smallest_subnormal), y)
    out = _select(f, k, f(f"fcmp oeq {t} {x}, {k.number(0)}"), least, moved)
    out = _select(f, k, f(f"fcmp oeq {t} {x}, {y}"), y, out)
    return _select(f, k, f(f"fcmp uno {t} {x}, {y}"), f(f"fadd {t} {x}, {y}"), out)


def _shift(how: str) -> Callable:
    def write(f: Function, k: Kind, x: str, y: str) -> str:
        fits = f(f"icmp ult {k.text} {y}, {k.number(k.bits)}")
        if how == "shr" and k.is_signed:  # beyond the width only the sign is left
            return f(f"ashr {k.text} {x}, {_select(f, k, fits, y, k.number(k.bits - 1))}")
        out = f(f"{'lshr' if how == 'shr' else 'shl'} {k.text} {x}, {_select(f, k, fits, y, k.number(0))}")
        return _select(f, k, fits, out, k.number(0))

    return write


def _invert(f: Function, k: Kind, x: str) -> str:
    return f(f"xor {k.text} {x}, {k.number(1 if k.is_bool else -1)}")


def _finite(order: str, of_integers: bool) -> Callable:
    def write(f: Function, k: Kind, x: str) -> str:
        if not k.is_float:
            return k.mask.number(of_integers)
        return f(f"fcmp {order} {k.text} {_absolute(f, k, x)}, {k.number(np.inf)}")

    return write


def _is_nan(f: Function, k: Kind, x: str) -> str:
    return f(f"fcmp uno {k.text} {x}, {k.number(0)}") if k.is_float else k.mask.number(False)


def _sign_bit(f: Function, k: Kind, x: str) -> str:
    if not k.is_float:
        return f(f"icmp slt {k.text} {x}, {k.number(0)}") if k.is_signed else k.mask.number(False)
    return f(f"icmp slt {k.whole.text} {f(f'bitcast {k.text} {x} to {k.whole.text}')}, {k.whole.number(0)}")


def _chosen(f: Function, k: Kind, c: str, x: str, y: str) -> str:
    return _select(f, k, c, x, y)


def _power(f: Function, k: Kind, x: str, y: str) -> str:
    """Return a power of integers, by squaring, lane by lane."""
    name = f"cr_power_{'i' if k.is_signed else 'u'}{k.bits}"
    t = k.element
    if name not in f.defined:
        f.defined[name] = _POWER.replace("NAME", name).replace("ELEMENT", t).replace("LESS", "slt" if k.is_signed else "ult")
    return f.by_lane(k, k, [x, y], lambda lanes: f(f"call {t} @{name}({', '.join([f'{t} {v}' for v in lanes])})"))


_POWER = """define internal ELEMENT @NAME(ELEMENT %x, ELEMENT %y) {
entry:
  %negative = icmp LESS ELEMENT %y, 0
  br i1 %negative, label %below, label %loop
below:
  %odd = trunc ELEMENT %y to i1
  %unit = select i1 %odd, ELEMENT %x, ELEMENT 1
  %one = icmp eq ELEMENT %x, 1
  %minus = icmp eq ELEMENT %x, -1
  %is = or i1 %one, %minus
  %small = select i1 %is, ELEMENT %unit, ELEMENT 0
  ret ELEMENT %small
loop:
  %b = phi ELEMENT [ %x, %entry ], [ %bb, %loop ]
  %e = phi ELEMENT [ %y, %entry ], [ %ee, %loop ]
  %r = phi ELEMENT [ 1, %entry ], [ %rr, %loop ]
  %bit = trunc ELEMENT %e to i1
  %m = mul ELEMENT %r, %b
  %rr = select i1 %bit, ELEMENT %m, ELEMENT %r
  %bb = mul ELEMENT %b, %b
  %ee = lshr ELEMENT %e, 1
  %done = icmp eq ELEMENT %ee, 0
  br i1 %done, label %end, label %loop
end:
  ret ELEMENT %rr
}"""


_OPERATIONS: dict[str, Callable[..., str]] = {
    "add": _simple("fadd", "add", bools="or"), "sub": _simple("fsub", "sub"), "mul": _simple("fmul", "mul", bools="and"),
    "div": _simple("fdiv"), "neg": _negative, "abs": _absolute,
    "floordiv": _either(_float_floordiv, _integer_quotient("down", False)),
    "mod": _either(_float_mod, _integer_quotient("down", True)),
    "truncdiv": _either(_float_truncdiv, _integer_quotient("zero", False)),
    "fmod": _either(_remainder, _integer_quotient("zero", True)),
    "pow": _either(lambda f, k, *xs: mathematical(f, "pow", k, list(xs)), _power),
    "max": _extreme("gt", True), "min": _extreme("lt", True), "fmax": _extreme("gt", False), "fmin": _extreme("lt", False),
    "sqrt": _intrinsic("sqrt"), "ceil": _intrinsic("ceil"), "floor": _intrinsic("floor"), "trunc": _intrinsic("trunc"),
    "rint": _intrinsic("rint"), "copysign": _intrinsic("copysign"), "nextafter": _next,
    "and": _simple("", "and"), "or": _simple("", "or"), "xor": _simple("", "xor"), "invert": _invert,
    "shl": _shift("shl"), "shr": _shift("shr"),
    "isfinite": _finite("olt", True), "isinf": _finite("oeq", False), "isnan": _is_nan,
    "signbit": _sign_bit, "select": _chosen,
    "real": lambda f, k, x: x, "conj": lambda f, k, x: x, "imag": lambda f, k, x: k.number(0),
    **{name: _compared(name) for name in _ORDERS},
}  # fmt: skip

_PREDICATES = {*_ORDERS, "isfinite", "isinf", "isnan", "signbit"}

# What computes in floats whatever it is given, and what is as good of bools; the rest takes bools as integers of 8 bits.
_FLOATING = {
    "div", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "asinh", "acosh", "atanh", "atan2", "hypot", "erf", "erfc", "ndtr", "copysign", "nextafter",
}  # fmt: skip
_OF_BOOLS = {
    "add", "mul", "max", "min", "fmax", "fmin", "and", "or", "xor", "invert", "abs", "ceil", "floor", "trunc", "rint", "select",
    "isfinite", "isinf", "isnan", "real", "conj", "imag", *_ORDERS,
}  # fmt: skip


def _natural(name: str, k: Kind) -> Kind:
    """Return in which floats NumPy and SciPy compute a function of integers or bools."""
    if name in ("div", "truncdiv", "erf", "erfc", "ndtr") or k.bits > 16:
        return k.of(np.float64)
    return k.of(np.float32 if k.bits == 16 else np.float16)


def power(f: Function, k: Kind, xs: list[str], exponent: Any) -> str:
    """Write a power of floats by a constant: by products and roots where eager powers are, special values included."""
    x, t = xs[0], k.text
    if exponent in (0, 1):
        return x if exponent else k.number(1)
    if exponent in (2, 3, -2):
        out = f(f"fmul {t} {x}, {x}")
        if exponent == 2:
            return out
        return f(f"fmul {t} {out}, {x}") if exponent == 3 else f(f"fdiv {t} {k.number(1)}, {out}")
    if exponent in (0.5, -0.5):
        x = apply(f, "sqrt", k, [x], k.dtype)
    if exponent in (-1, -0.5):
        return f(f"fdiv {t} {k.number(1)}, {x}")
    return x if exponent == 0.5 else apply(f, "pow", k, xs, k.dtype)


def combine(f: Function, how: str, k: Kind, x: str, y: str) -> str:
    """Write one step of a reduction ("sum", "prod", "max", "min") and return its register."""
    return _OPERATIONS[{"sum": "add", "prod": "mul"}.get(how, how)](f, k, x, y)


def identity(how: str, k: Kind) -> Any:
    """Return what a reduction of nothing is, as a constant."""
    if how in ("sum", "prod"):
        return k.number(how == "prod")
    if k.is_bool:
        return k.number(how == "min")
    if k.is_float:
        return k.number(-np.inf if how == "max" else np.inf)
    return k.number(getattr(np.iinfo(k.dtype), "min" if how == "max" else "max"))

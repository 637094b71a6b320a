"""The body of a vector kernel as it is written: values with Python's operators, which become lines of LLVM IR.

A kernel is one Python function for float32 and float64 and for every number of lanes; 1 lane is a scalar. Arithmetic carries
no fast-math flag: what is written is what is computed, a multiplication and an addition are fused only by `fma`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np


class Value:
    """A value in the text: of kind "f" (the kernel's dtype), "i" (integers as wide), "b" (truths) or any scalar LLVM type."""

    __slots__ = ("body", "kind", "name")

    def __init__(self, body: Body, kind: str, name: str):
        self.body, self.kind, self.name = body, kind, name

    def _with(self, op: str, other: Any) -> Value:
        b = self.body
        return b.line(self.kind, f"{op} {b.types[self.kind]} {self.name}, {b.text(other, self.kind)}")

    def __add__(self, other: Any) -> Value:
        return self._with("fadd" if self.kind == "f" else "add", other)

    def __sub__(self, other: Any) -> Value:
        return self._with("fsub" if self.kind == "f" else "sub", other)

    def __mul__(self, other: Any) -> Value:
        return self._with("fmul" if self.kind == "f" else "mul", other)

    def __truediv__(self, other: Any) -> Value:
        return self._with("fdiv", other)

    def __radd__(self, other: Any) -> Value:
        return self.body.value(other, self.kind) + self

    def __rsub__(self, other: Any) -> Value:
        return self.body.value(other, self.kind) - self

    def __rmul__(self, other: Any) -> Value:
        return self * other

    def __rtruediv__(self, other: Any) -> Value:
        return self.body.value(other, self.kind) / self

    def __neg__(self) -> Value:
        return self.body.line("f", f"fneg {self.body.types['f']} {self.name}")

    def __and__(self, other: Any) -> Value:
        return self._with("and", other)

    def __or__(self, other: Any) -> Value:
        return self._with("or", other)

    def __xor__(self, other: Any) -> Value:
        return self._with("xor", other)

    def __lshift__(self, other: Any) -> Value:
        return self._with("shl", other)

    def __rshift__(self, other: Any) -> Value:
        """Shift to the right and fill with zeros: shifts with copies of the sign are slow in 64 bits before AVX-512."""
        return self._with("lshr", other)

    def _compare(self, how: str, other: Any) -> Value:
        b = self.body
        op = f"fcmp o{how}" if self.kind == "f" else f"icmp {how if how in ('eq', 'ne') else 's' + how}"
        return b.line("b", f"{op} {b.types[self.kind]} {self.name}, {b.text(other, self.kind)}")

    def __lt__(self, other: Any) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: Any) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: Any) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: Any) -> Value:
        return self._compare("ge", other)

    def eq(self, other: Any) -> Value:
        """Tell where two are equal, and neither is NaN."""
        return self._compare("eq", other)

    def ne(self, other: Any) -> Value:
        """Tell where two integers differ."""
        return self._compare("ne", other)


class Body:
    """The lines of a kernel.

    Attributes
    ----------
    dtype : str
        "float32" or "float64".
    lanes : int
    name : str
        Of the function, without its @.
    single : bool
        Whether the dtype is float32.
    width : int
        Of the dtype in bits.
    digits : int
        Of the significand, the hidden bit included.
    bias : int
        Of the exponent.
    scalars, types : dict
        The LLVM type of each kind: of one lane, and of all.
    helpers : list of str
        Definitions that the kernel calls.
    """

    def __init__(self, name: str, dtype: str, lanes: int):
        self.name, self.dtype, self.lanes, self.single = name, dtype, lanes, dtype == "float32"
        self.digits, self.bias = (24, 127) if self.single else (53, 1023)
        self.width = 32 if self.single else 64
        self.scalars = {"f": "float" if self.single else "double", "i": f"i{self.width}", "b": "i1"}
        self.types = {k: t if lanes == 1 else f"<{lanes} x {t}>" for k, t in self.scalars.items()}
        self._suffix = ("" if lanes == 1 else f"v{lanes}") + ("f32" if self.single else "f64")
        self.lines: list[str] = []
        self.helpers: list[str] = []

    # -- text --

    def line(self, kind: str, text: str) -> Value:
        """Add an instruction; return its value."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return Value(self, kind, name)

    def text(self, x: Any, kind: str) -> str:
        """Return an operand's text: a value's name, a number's constant."""
        if isinstance(x, Value):
            return x.name
        if kind == "b":
            x = "true" if x else "false"
        elif kind == "f":
            x = "0x" + struct.pack(">d", float(np.float32(x) if self.single else x)).hex().upper()
        return str(x) if self.lanes == 1 else f"splat ({self.scalars[kind]} {x})"

    def value(self, x: Any, kind: str = "f") -> Value:
        """Return a number as a value of all lanes."""
        return x if isinstance(x, Value) else Value(self, kind, self.text(x, kind))

    def pick(self, table: dict[str, Any]) -> Any:
        """Return what a table has for the dtype."""
        return table[self.dtype]

    def call(self, intrinsic: str, *xs: Any) -> Value:
        """Call one of LLVM's own functions of floating-point numbers."""
        f = self.types["f"]
        operands = ", ".join([f"{f} {self.text(x, 'f')}" for x in xs])
        return self.line("f", f"call {f} @llvm.{intrinsic}.{self._suffix}({operands})")

    # -- operations --

    def doubled(self) -> Body:
        """Return a body of float64 that writes to the same lines."""
        wide = Body(self.name, "float64", self.lanes)
        wide.lines, wide.helpers = self.lines, self.helpers
        return wide

    def converted(self, x: Value) -> Value:
        """Return the numbers of a body of the other dtype in this one's."""
        op = "fpext" if x.body.single else "fptrunc"
        return self.line("f", f"{op} {x.body.types['f']} {x.name} to {self.types['f']}")

    def fma(self, x: Any, y: Any, z: Any) -> Value:
        """Return x·y + z, rounded once."""
        return self.call("fma", x, y, z)

    def abs(self, x: Any) -> Value:
        """Return |x|."""
        return self.call("fabs", x)

    def sqrt(self, x: Any) -> Value:
        """Return the square root."""
        return self.call("sqrt", x)

    def copysign(self, x: Any, y: Any) -> Value:
        """Return |x| with the sign of y."""
        return self.call("copysign", x, y)

    def select(self, where: Value, x: Any, y: Any) -> Value:
        """Return x where true, else y."""
        kind = next((v.kind for v in (x, y) if isinstance(v, Value)), "f")
        t = self.types[kind]
        return self.line(kind, f"select {self.types['b']} {where.name}, {t} {self.text(x, kind)}, {t} {self.text(y, kind)}")

    def any_nan(self, x: Value, y: Value) -> Value:
        """Tell where x or y is NaN."""
        return self.line("b", f"fcmp uno {self.types['f']} {x.name}, {y.name}")

    def floor(self, x: Value) -> Value:
        """Return the greatest integer that is not above x."""
        return self.call("floor", x)

    def at_most(self, x: Value, bound: float) -> Value:
        """Return the lesser of a value and a number; NaN stays."""
        return self.select(x > bound, bound, x)

    def at_least(self, x: Value, bound: float) -> Value:
        """Return the greater of a value and a number; NaN stays."""
        return self.select(x < bound, bound, x)

    def bits(self, x: Value) -> Value:
        """Return the bits of floating-point numbers as integers."""
        return self.line("i", f"bitcast {self.types['f']} {x.name} to {self.types['i']}")

    def of_bits(self, i: Value) -> Value:
        """Return the floating-point numbers that have the given bits."""
        return self.line("f", f"bitcast {self.types['i']} {i.name} to {self.types['f']}")

    def exponent(self, biased: Value) -> Value:
        """Return biased exponents, integers from 0 on, as numbers without the bias: the bits of 2^(digits - 1) hold them."""
        base = 2.0 ** (self.digits - 1)
        return self.of_bits(biased | ((self.bias + self.digits - 1) << (self.digits - 1))) - (base + self.bias)

    def signed(self, x: Value, i: Value) -> Value:
        """Return x, its sign flipped by the highest bit of integers."""
        return self.of_bits(self.bits(x) ^ (i & self.sign_bit))

    @property
    def sign_bit(self) -> int:
        """The integer of which only the highest bit is set."""
        return -(1 << (self.width - 1))

    def rounded(self, x: Value, scale: float) -> tuple[Value, Value]:
        """Return the integer n nearest to scale·x, as a number and as an integer.

        Of |scale·x| below 2^22 in float32, 2^51 in float64: adding 1.5·2^(digits - 1) leaves no bits for a fraction.
        """
        magic = 1.5 * 2.0 ** (self.digits - 1)
        t = self.fma(x, scale, magic)
        return t - magic, self.bits(t) - ((2 * self.bias + 2 * self.digits - 1) << (self.digits - 2))

    def power_of_2(self, n: Value) -> Value:
        """Return 2ⁿ of integers n from 1 - bias to bias."""
        return self.of_bits((n + self.bias) << (self.digits - 1))

    def scaled(self, x: Value, n: Value) -> Value:
        """Return x·2ⁿ of integers n, |n| up to twice the bias: in two steps, so that denormal results are rounded once."""
        n = n + 2 * self.bias
        half, place = n >> 1, self.digits - 1
        return x * self.of_bits(half << place) * self.of_bits((n - half) << place)

    def polynomial(self, z: Value, coefficients: Sequence[float]) -> Value:
        """Return Σ c_k z^k by Horner's rule: of many, for even and odd powers each, so that two chains run side by side."""
        n = len(coefficients)
        if n < 8:
            return self._horner(z, coefficients)
        square = z * z
        return self.fma(self._horner(square, coefficients[1::2]), z, self._horner(square, coefficients[::2]))

    def _horner(self, z: Value, coefficients: Sequence[float]) -> Value:
        out: Any = coefficients[-1]
        for c in coefficients[-2::-1]:
            out = self.fma(out, z, c)
        return self.value(out)

    def two_sum(self, x: Any, y: Any) -> tuple[Value, Value]:
        """Return the sum of x and y rounded, and what rounding lost, where |x| ≥ |y| or x is 0 (Dekker 1971)."""
        total = x + y
        return total, (x - total) + y

    def two_product(self, x: Value, y: Any) -> tuple[Value, Value]:
        """Return the product of x and y rounded, and what rounding lost."""
        product = x * y
        return product, self.fma(x, y, -product)

"""Dtypes under PyTorch's names, and PyTorch's promotion rules as pure functions.

A :class:`dtype` names a NumPy dtype. Payloads are NumPy arrays, so everything inside works with NumPy dtypes and
this module translates at the public edge. It knows nothing of tensors.
"""

from __future__ import annotations

import warnings

import numpy as np

from chainrule.core.types import spelling

_BY_NUMPY: dict[np.dtype, dtype] = {}

BOOL, INT, FLOAT, COMPLEX = range(4)
_KINDS = {"b": BOOL, "i": INT, "u": INT, "f": FLOAT, "c": COMPLEX}


class dtype:  # noqa: N801 - PyTorch's public name
    """An element type, such as ``chainrule.float32`` or ``chainrule.int64``.

    Attributes
    ----------
    name : str
        PyTorch's name, for example ``"float32"``.
    numpy : numpy.dtype
        The NumPy dtype of the payload.
    category : int
        0 bool, 1 integer, 2 floating point, 3 complex: the order in which promotion climbs.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.float32.itemsize, cr.float32.is_floating_point
    (4, True)
    """

    __slots__ = ("category", "name", "numpy", "old_name")

    def __init__(self, name: str, numpy: np.dtype, category: int, old_name: str):
        self.name, self.numpy, self.category, self.old_name = name, numpy, category, old_name
        _BY_NUMPY[numpy] = self

    @property
    def itemsize(self) -> int:
        """Size of one element in bytes."""
        return self.numpy.itemsize

    @property
    def is_floating_point(self) -> bool:
        """Whether this is a real floating point type."""
        return self.category == FLOAT

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex type."""
        return self.category == COMPLEX

    @property
    def is_signed(self) -> bool:
        """Whether values can be negative."""
        return self.category > INT or self.numpy.kind == "i"

    def to_real(self) -> dtype:
        """Return the dtype of the real part: ``float64`` for ``complex128``."""
        return _REAL.get(self, self)

    def to_complex(self) -> dtype:
        """Return the complex dtype whose parts have this dtype."""
        if self.category == COMPLEX:
            return self
        return complex128 if self is float64 else complex64

    def __repr__(self) -> str:
        return f"{spelling.library}.{self.name}"

    def __reduce__(self) -> tuple:
        return (named, (self.name,))


def _declare(name: str, code: str, old_name: str) -> dtype:
    numpy = np.dtype(code)
    return dtype(name, numpy, _KINDS[numpy.kind], old_name)


bool_ = _declare("bool", "?", "Bool")
uint8 = _declare("uint8", "u1", "Byte")
int8 = _declare("int8", "i1", "Char")
int16 = _declare("int16", "i2", "Short")
int32 = _declare("int32", "i4", "Int")
int64 = _declare("int64", "i8", "Long")
uint16 = _declare("uint16", "u2", "UInt16")
uint32 = _declare("uint32", "u4", "UInt32")
uint64 = _declare("uint64", "u8", "UInt64")
float16 = _declare("float16", "f2", "Half")
float32 = _declare("float32", "f4", "Float")
float64 = _declare("float64", "f8", "Double")
complex64 = _declare("complex64", "c8", "ComplexFloat")
complex128 = _declare("complex128", "c16", "ComplexDouble")

_REAL = {complex64: float32, complex128: float64}
_FLOAT_ORDER = {"float16": 0, "bfloat16": 0, "float32": 1, "float64": 2}
ALIASES = {
    "half": "float16", "float": "float32", "double": "float64", "cfloat": "complex64", "cdouble": "complex128",
    "short": "int16", "int": "int32", "long": "int64",
}  # fmt: skip

_default = float32


class _Unheld(dtype):
    """A dtype of PyTorch's that no tensor here has: a value that programs compare with and name in their options."""

    __slots__ = ("_bytes",)

    def __init__(self, name: str, category: int, itemsize: int):
        self.name, self.category, self.old_name, self._bytes = name, category, name, itemsize

    @property
    def numpy(self) -> np.dtype:  # type: ignore[override]
        """Raise: there is none."""
        raise self.refusal()

    def refusal(self) -> Exception:
        """Return the error of its use."""
        if self.name == "bfloat16":
            return ImportError(_NEEDED)
        return TypeError(f"{self!r}: tensors here have NumPy's dtypes or bfloat16, such as {', '.join(_FLOAT_ORDER)}")

    @property
    def itemsize(self) -> int:
        """Size of one element in bytes."""
        return self._bytes

    @property
    def is_signed(self) -> bool:
        """Whether values can be negative."""
        return self.name not in ("quint8", "quint4x2", "quint2x4", "float8_e8m0fnu")


_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2")
UNHELD = {name: _Unheld(name, FLOAT, 1) for name in _FLOAT8} | {
    "complex32": _Unheld("complex32", COMPLEX, 4), "qint8": _Unheld("qint8", INT, 1), "quint8": _Unheld("quint8", INT, 1),
    "qint32": _Unheld("qint32", INT, 4), "quint4x2": _Unheld("quint4x2", INT, 1), "quint2x4": _Unheld("quint2x4", INT, 1),
}  # fmt: skip


_NEEDED = 'bfloat16 needs the package ml_dtypes: pip install "chainrule[bfloat16]"'


def bfloat16_named() -> dtype:
    """Return what ``chainrule.bfloat16`` is: the dtype, or without its package a value that programs can compare with."""
    try:
        return bfloat16()
    except ImportError:
        return UNHELD.setdefault("bfloat16", _Unheld("bfloat16", FLOAT, 2))


def bfloat16() -> dtype:
    """Return the ``bfloat16`` dtype, which lives in the optional package ml_dtypes."""
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    numpy = np.dtype(ml_dtypes.bfloat16)
    return _BY_NUMPY.get(numpy) or dtype("bfloat16", numpy, FLOAT, "BFloat16")


def named(name: str) -> dtype:
    """Return the dtype of a PyTorch name such as ``"float32"``, ``"double"`` or ``"bfloat16"``."""
    name = ALIASES.get(name, name)
    if name == "bfloat16":
        return bfloat16()
    if name in UNHELD:
        return UNHELD[name]
    for found in _BY_NUMPY.values():
        if found.name == name:
            return found
    raise TypeError(f"{name!r} is not a dtype chainrule knows; it has {', '.join(d.name for d in _BY_NUMPY.values())}")


def of_old_name(name: str) -> dtype | None:
    """Return the dtype whose tensors' type PyTorch names so: ``"Float"`` of ``FloatTensor``; None if there is none."""
    if name == "BFloat16":
        return bfloat16()
    return next((d for d in _BY_NUMPY.values() if d.old_name == name), None)


def of(numpy: np.dtype) -> dtype:
    """Return the dtype of a NumPy dtype; raise `TypeError` for one that tensors cannot hold."""
    found = _BY_NUMPY.get(numpy)
    if found is not None:
        return found
    if numpy.name == "bfloat16":
        return bfloat16()
    raise TypeError(
        f"can't convert np.ndarray of type {numpy}. The only supported types are: "
        f"{', '.join(d.name for d in _BY_NUMPY.values())}."
    )


_OF_PYTHON = {float: float64, int: int64, bool: bool_, complex: complex128}


def as_dtype(spec: object) -> dtype:
    """Return the dtype that `spec` (a dtype, a Python type of numbers, or a NumPy dtype or scalar type) means to PyTorch.

    Python's types mean the widest, whatever the default dtype is.

    Raises
    ------
    TypeError
        For anything else, the name of a dtype and None among them.
    """
    if spec.__class__ is dtype:
        return spec  # type: ignore[return-value]
    if isinstance(spec, _Unheld):
        raise spec.refusal()
    if isinstance(spec, (type, np.dtype)):
        found = _OF_PYTHON.get(spec)  # type: ignore[arg-type]
        if found is not None:
            return found
        if isinstance(spec, np.dtype) or issubclass(spec, np.generic):
            return of(np.dtype(spec))
    raise TypeError(f"argument 'dtype' must be {spelling.library}.dtype, not {type(spec).__name__}")


def get_default_dtype() -> dtype:
    """Return the floating point dtype given to Python floats: `float32` unless changed.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_default_dtype()
    chainrule.float32
    """
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the floating point dtype given to Python floats and to integer inputs of float functions: a dtype, no Python type.

    Raises
    ------
    TypeError
        If `d` is not a floating point dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_default_dtype(cr.float64)
    >>> cr.tensor(1.5).dtype
    chainrule.float64
    >>> cr.set_default_dtype(cr.float32)
    """
    global _default
    if isinstance(d, np.dtype):
        d = of(d)
    if not isinstance(d, dtype) or d.category != FLOAT:
        raise TypeError(f"invalid dtype object: only floating-point types are supported as the default type, got {d}")
    if isinstance(d, _Unheld):
        raise d.refusal()
    _default = d


def of_number(value: object) -> dtype:
    """Return the dtype PyTorch gives to a bare Python number."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return _default
    return _default.to_complex()


def promote_types(a: dtype, b: dtype) -> dtype:
    """Return the smallest dtype both convert to, by PyTorch's table (not NumPy's: ``int64`` and ``float32`` give ``float32``).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.promote_types(cr.int64, cr.float32)
    chainrule.float32
    """
    if a is b and a.__class__ is dtype:
        return a
    a, b = as_dtype(a), as_dtype(b)
    if a.category < b.category:
        a, b = b, a
    if a.category == COMPLEX:
        wide = a is complex128 or b in (complex128, float64)
        return complex128 if wide else complex64
    if a.category == FLOAT:
        if b.category != FLOAT:
            return a
        ra, rb = _FLOAT_ORDER[a.name], _FLOAT_ORDER[b.name]
        if ra == rb:
            return float32  # float16 and bfloat16
        return a if ra > rb else b
    if b.category == BOOL:
        return a
    if a.numpy.kind == b.numpy.kind:
        return a if a.itemsize >= b.itemsize else b
    signed, unsigned = (a, b) if a.numpy.kind == "i" else (b, a)
    if unsigned is not uint8:
        raise RuntimeError(f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a} and {b}")
    return signed if signed.itemsize > 1 else int16


def result_type(dimensioned: list[dtype], zero_dim: list[dtype], numbers: list[dtype]) -> dtype:
    """Return the dtype in which an op computes, from its operands sorted by PyTorch's three priorities.

    A lower priority matters only when its category (bool < integer < float < complex) is higher.
    """
    result: dtype | None = None
    for group in (dimensioned, zero_dim, numbers):
        best: dtype | None = None
        for d in group:
            best = d if best is None else promote_types(best, d)
        if best is None:
            continue
        if result is None:
            result = best
        elif best.category > result.category:
            result = result.to_complex() if result.category == FLOAT else promote_types(result, best)
    assert result is not None
    return result


def can_cast(from_: dtype, to: dtype) -> bool:
    """Tell whether an in-place result of dtype `from_` may be stored in `to`: never down a category, never to an unsigned.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.can_cast(cr.float64, cr.int64)
    False
    """
    from_, to = as_dtype(from_), as_dtype(to)
    return from_.category <= to.category


def warn_discarding(from_: dtype, to: dtype, stacklevel: int) -> None:
    """Give PyTorch's warning of a copy that drops imaginary parts."""
    if from_.category == COMPLEX and to.category in (INT, FLOAT):
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=stacklevel + 1)

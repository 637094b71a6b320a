"""PyTorch's ``assert_close``: whether two tensors, numbers, or containers of them are alike, and in which element they are not.

What is compared is first laid out in pairs, so that a wrong structure is told before any number. It knows nothing of ops and
laws.
"""

from __future__ import annotations

import cmath
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

import chainrule as cr
from chainrule.core.types import dtype as dtypes

__all__ = ["assert_allclose", "assert_close"]

Message = str | Callable[[str], str] | None
Path = tuple[Any, ...]
Tolerances = dict[str, tuple[float, float]]

TOLERANCES: Tolerances = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip
"""``rtol`` and ``atol`` by the name of the dtype; of all others both are 0."""
OLD_TOLERANCES: Tolerances = {"float16": (1e-3, 1e-3), "float32": (1e-4, 1e-5), "float64": (1e-5, 1e-8)}
NUMBERS = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}
UNSIGNED = (dtypes.uint16, dtypes.uint32, dtypes.uint64)  # promoted with no other integers but as int64


class Difference(Exception):  # noqa: N818 - what is raised to the user is of `kind`
    """What is wrong with one pair: the type of the error to raise, its text, and where in the containers the pair is."""

    def __init__(self, kind: type[Exception], text: str, path: Path = ()) -> None:
        self.kind, self.text, self.path = kind, text, path

    def error(self, msg: Message = None) -> Exception:
        """Return the error for the user, whose own message may replace or wrap the text."""
        if isinstance(msg, str):
            return self.kind(msg)
        text = self.text
        if self.path:
            text += f"\n\nThe failure occurred for item {''.join(f'[{key!r}]' for key in self.path)}"
        return self.kind(msg(text) if callable(msg) else text)


class Closeness:
    """The options of one comparison, and the comparison of each kind of pair under them; a method raises `Difference`."""

    def __init__(
        self,
        allow_subclasses: bool,
        rtol: float | None,
        atol: float | None,
        equal_nan: bool,
        check_device: bool,
        check_dtype: bool,
        check_layout: bool,
        check_stride: bool,
    ) -> None:
        self.allow_subclasses, self.equal_nan, self.check_dtype = allow_subclasses, equal_nan, check_dtype
        self.rtol, self.atol = rtol, atol
        asked = {"layout": check_layout, "stride()": check_stride, "device": check_device, "dtype": check_dtype}
        self.attributes = ["shape", *[name for name, is_asked in asked.items() if is_asked]]

    def pair(self, actual: Any, expected: Any) -> Callable[[], None]:
        """Return the comparison of two things that are no containers."""
        if actual is None or expected is None:
            return partial(self.nones, actual, expected)
        both = (actual, expected)
        if all(isinstance(value, (bool, np.bool_)) for value in both):
            return partial(self.bools, bool(actual), bool(expected))
        if all(isinstance(value, (int, float, complex, np.number)) for value in both):
            a, b = (value.item() if isinstance(value, np.number) else value for value in both)
            return partial(self.numbers, a, b, *self.tolerances(NUMBERS[_kind(a)], NUMBERS[_kind(b)]))
        is_related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
        tensors = [_as_tensor(value) for value in both]
        if not is_related or any(x is None for x in tensors) or not (self.allow_subclasses or type(actual) is type(expected)):
            raise Difference(
                TypeError, f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
            )
        x, y = tensors
        return partial(self.tensors, x, y, *self.tolerances(x.dtype, y.dtype))

    def tolerances(self, *kinds: dtypes.dtype) -> tuple[float, float]:
        """Return the tolerances that were given, or the loosest of two dtypes."""
        if (self.rtol is None) != (self.atol is None):
            raise Difference(
                ValueError,
                "Both 'rtol' and 'atol' must be either specified or omitted, "
                f"but got no {'rtol' if self.rtol is None else 'atol'}.",
            )
        return _loosest(kinds, TOLERANCES) if self.rtol is None or self.atol is None else (self.rtol, self.atol)

    @staticmethod
    def nones(actual: Any, expected: Any) -> None:
        """Compare two of which one is None."""
        if not (actual is None and expected is None):
            _differ(f"None mismatch: {actual} is not {expected}")

    @staticmethod
    def bools(actual: bool, expected: bool) -> None:
        """Compare two truth values."""
        if actual is not expected:
            _differ(f"Booleans mismatch: {actual} is not {expected}")

    def numbers(self, actual: Any, expected: Any, rtol: float, atol: float) -> None:
        """Compare two of Python's numbers."""
        if self.check_dtype and type(actual) is not type(expected):
            _differ(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
        if actual == expected or (self.equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
            return
        gap = abs(actual - expected)
        if not (cmath.isfinite(gap) and gap <= atol + rtol * abs(expected)):
            _differ(_told_number(actual, expected, rtol, atol))

    def tensors(self, actual: cr.Tensor, expected: cr.Tensor, rtol: float, atol: float) -> None:
        """Compare what two tensors are, and then their elements."""
        for name in self.attributes:
            a, b = (x.stride() if name == "stride()" else getattr(x, name) for x in (actual, expected))
            if a != b:
                _differ(f"The values for attribute '{name}' do not match: {a} != {b}.")
        actual, expected = actual.detach(), expected.detach()
        if actual.dtype != expected.dtype:
            common = cr.promote_types(*[dtypes.int64 if x.dtype in UNSIGNED else x.dtype for x in (actual, expected)])
            actual, expected = actual.to(common), expected.to(common)
        matches = cr.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=self.equal_nan)
        if not bool(matches.all()):
            is_one = actual.ndim == 0
            _differ(
                _told_number(actual.item(), expected.item(), rtol, atol)
                if is_one
                else _told_tensors(actual, expected, matches, rtol, atol)
            )


def _differ(text: str) -> NoReturn:
    raise Difference(AssertionError, text)


def _kind(number: Any) -> type:
    """Return which of Python's kinds of number a number is: subclasses such as those of `IntEnum` are of their base's."""
    return next(kind for kind in NUMBERS if isinstance(number, kind))


def _as_tensor(value: Any) -> Any:
    """Return a tensor of something; None if there is none."""
    if isinstance(value, cr.Tensor):
        return value
    try:
        return cr.as_tensor(value)
    except Exception:  # objects can fail in any way to be numbers
        return None


def _loosest(kinds: Iterable[dtypes.dtype], table: Tolerances) -> tuple[float, float]:
    rtols, atols = zip(*[table.get(kind.name, (0.0, 0.0)) for kind in kinds], strict=True)
    return max(rtols), max(atols)


def _told(head: str, extra: str, rtol: float, atol: float, gaps: Sequence[tuple[str, Any, Path | None]]) -> str:
    """Return PyTorch's text for a mismatch; `gaps` are the absolute and the relative one: name, size and place."""
    is_exact = rtol == 0 and atol == 0
    lines = [f"{head} are not {'equal' if is_exact else 'close'}!", "", extra]
    for (name, gap, place), tolerance in zip(gaps, (atol, rtol), strict=True):
        line = f"{name.title()} difference: {gap}" if place is None else f"Greatest {name} difference: {gap} at index {place}"
        lines.append(line if is_exact else f"{line} (up to {tolerance} allowed)")
    return "\n".join(lines)


def _told_number(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    gap = abs(actual - expected)
    relative = float("inf") if expected == 0 else gap / abs(expected)
    gaps = (("absolute", gap, None), ("relative", relative, None))
    return _told("Scalars", f"Expected {expected} but got {actual}.", rtol, atol, gaps)


def _told_tensors(actual: cr.Tensor, expected: cr.Tensor, matches: cr.Tensor, rtol: float, atol: float) -> str:
    count, wrong = matches.numel(), int((~matches).sum())
    if not (actual.dtype.is_floating_point or actual.dtype.is_complex):
        actual, expected = actual.to(cr.int64), expected.to(cr.int64)
    gap = cr.abs(actual - expected)
    gaps: list[tuple[str, Any, Path | None]] = []
    for name, size in (("absolute", gap), ("relative", gap.masked_fill(matches, 0) / cr.abs(expected))):
        greatest, at = size.masked_fill(matches, 0).flatten().max(0)
        gaps.append((name, greatest.item(), tuple(int(i) for i in np.unravel_index(int(at), matches.shape))))
    return _told("Tensor-likes", f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})", rtol, atol, gaps)


def _laid_out(actual: Any, expected: Any, path: Path, options: Closeness) -> list[tuple[Path, Callable[[], None]]]:
    """Return the comparison of each pair in two containers of the same structure, and where it is."""
    both = (actual, expected)
    keys: Any
    if all(isinstance(value, Sequence) and not isinstance(value, str) for value in both):
        if len(actual) != len(expected):
            raise Difference(AssertionError, f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        keys = range(len(actual))
    elif all(isinstance(value, Mapping) for value in both):
        keys = _common_keys(set(actual), set(expected), path)
    else:
        try:
            return [(path, options.pair(actual, expected))]
        except Difference as difference:
            difference.path = path
            raise
    return [found for key in keys for found in _laid_out(actual[key], expected[key], (*path, key), options)]


def _common_keys(actual: set[Any], expected: set[Any], path: Path) -> Iterable[Any]:
    if actual != expected:
        raise Difference(
            AssertionError,
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {_in_order(expected - actual)}\n"
            f"Additional keys in the actual mapping: {_in_order(actual - expected)}",
            path,
        )
    return _in_order(actual)


def _in_order(keys: set[Any]) -> list[Any]:
    """Return keys in order, where they have one: which pair fails first must not be by chance."""
    try:
        return sorted(keys)
    except TypeError:
        return list(keys)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Message = None,
) -> None:
    """Raise unless two tensors, numbers, or containers of them are close: ``|actual - expected| ≤ atol + rtol · |expected|``.

    Parameters
    ----------
    actual, expected : tensor, array, number, bool, None, sequence or mapping
        What is compared: element by element in tensors of the same shape, item by item in sequences of the same length and
        in mappings of the same keys, which may be nested. A tensor is not compared with an array, nor either with a number.
    allow_subclasses : bool
        Whether the type of one may be a subclass of that of the other.
    rtol, atol : float, optional
        Both or none. Without them, those of the dtype, or the larger of those of two dtypes: 1e-3 and 1e-5 for float16,
        1.6e-2 and 1e-5 for bfloat16, 1.3e-6 and 1e-5 for float32 and complex64, 1e-7 both for float64 and complex128, 0 for
        others.
    equal_nan : bool
        Whether NaN is close to NaN.
    check_device, check_dtype, check_layout, check_stride : bool
        Whether these must be the same. Tensors of different dtypes are compared in what they promote to.
    msg : str or callable, optional
        What the error says, or a function of the text that it would say.

    Raises
    ------
    AssertionError
        If they are not close, or in type, structure, shape, dtype, device, layout or stride not the same.
    TypeError
        If the two cannot be compared.
    ValueError
        If only one of `rtol` and `atol` is given.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.testing import assert_close
    >>> x = cr.tensor([1.0, 2.0])
    >>> assert_close(cr.sqrt(x) ** 2, x)
    >>> assert_close({"x": [x, 3]}, {"x": [x + cr.tensor([0.0, 1.0]), 3]})
    Traceback (most recent call last):
        ...
    AssertionError: Tensor-likes are not close!
    <BLANKLINE>
    Mismatched elements: 1 / 2 (50.0%)
    Greatest absolute difference: 1.0 at index (1,) (up to 1e-05 allowed)
    Greatest relative difference: 0.3333333432674408 at index (1,) (up to 1.3e-06 allowed)
    <BLANKLINE>
    The failure occurred for item ['x'][0]
    """
    __tracebackhide__ = True
    options = Closeness(allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride)
    try:
        pairs = _laid_out(actual, expected, (), options)
    except Difference as difference:
        raise difference.error() from None
    for path, compare in pairs:
        try:
            compare()
        except Difference as difference:
            difference.path = path
            raise difference.error(msg) from None


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """Raise unless two tensors, or what tensors are made of, are close: PyTorch's older and looser `assert_close`.

    Parameters
    ----------
    actual, expected : tensor, array, number or list
        Of the same shape; dtypes may differ.
    rtol, atol : float, optional
        Both or none: without them 1e-3 both for float16, 1e-4 and 1e-5 for float32, 1e-5 and 1e-8 for float64.
    equal_nan : bool
        Whether NaN is close to NaN.
    msg : str
        What the error says.

    Warns
    -----
    FutureWarning
        `assert_close` is in its place.

    Examples
    --------
    >>> import chainrule as cr
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     cr.testing.assert_allclose(cr.ones(2), [1, 1])
    """
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
        "Please use `torch.testing.assert_close()` instead.",
        FutureWarning,
        stacklevel=2,
    )
    x = actual if isinstance(actual, cr.Tensor) else cr.tensor(actual)
    y = expected if isinstance(expected, cr.Tensor) else cr.tensor(expected, dtype=x.dtype)
    if rtol is None and atol is None:
        rtol, atol = _loosest((x.dtype, y.dtype), OLD_TOLERANCES)
    assert_close(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)

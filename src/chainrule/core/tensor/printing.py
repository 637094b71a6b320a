"""How a tensor prints: character for character as PyTorch prints it, with ``chainrule`` for ``torch`` in dtype names.

The values are read from the bottom array, so printing records nothing and works at every level of transforms.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.core.mode.state import modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types import dtype as dtypes

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]

Format = Callable[[Any], str]
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
_PLAIN = ("Tensor", "Parameter", "Conjugated", "Negated")  # subclasses that print as "tensor(…)"; others print their own name
_WRAPPERS = {"GradTracking": "GradTrackingTensor", "Batched": "BatchedTensor"}
_BOTTOM_OF_SCI, _TOP_OF_SCI, _SCI_RATIO = 1.0e-4, 1.0e8, 1000.0


class _Options:
    """The options in force."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; what is not given stays, except `sci_mode`, which goes back to automatic.

    Parameters
    ----------
    precision : int, optional
        Digits after the point (4 at first).
    threshold : float, optional
        Number of elements above which the middle is left out (1000 at first).
    edgeitems : int, optional
        Items shown at each end of an axis when the middle is left out (3 at first).
    linewidth : int, optional
        Characters in a line (80 at first).
    profile : {"default", "short", "full"}, optional
        A set of values for the four above, applied before them.
    sci_mode : bool, optional
        Whether floats print in scientific notation; by default the values decide.

    Raises
    ------
    ValueError
        If there is no such profile.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.set_printoptions(precision=2)
    >>> cr.tensor([1.12345])
    tensor([1.12])
    >>> cr.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"profile must be one of {', '.join(_PROFILES)}, not {profile!r}")
        vars(_options).update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(_options).update({k: v for k, v in given.items() if v is not None}, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """Return the options in force, as keywords for :func:`set_printoptions`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_printoptions()["precision"]
    4
    """
    names = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")
    return {name: getattr(_options, name) for name in names}


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Set print options within a ``with`` block; the keywords are those of :func:`set_printoptions`.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.printoptions(precision=1):
    ...     print(cr.tensor([1.12345]))
    tensor([1.1])
    """
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


# -- one element -------------------------------------------------------------------------------------------------------


def _formatter(values: np.ndarray) -> tuple[Format, int]:
    """Return the function that formats one element of a real array, and the width that fits all of `values`."""
    if values.dtype.kind != "f":
        width = max([1] + [len(str(v)) for v in values.ravel().tolist()])
        return lambda v: str(v).rjust(width), width
    precision = _options.precision
    shown = values[np.isfinite(values) & (values != 0)]
    if not shown.size:
        return _whole(1), 1
    magnitudes = np.abs(shown).astype(np.float64)
    low, high = magnitudes.min().item(), magnitudes.max().item()
    sci = _options.sci_mode
    if sci is None:
        sci = high / low > _SCI_RATIO or high > _TOP_OF_SCI or low < _BOTTOM_OF_SCI
    if sci:
        width = max(len(f"{v:.{precision}e}") for v in shown.tolist())
        return lambda v: f"{v:{width}.{precision}e}", width
    if (shown == np.ceil(shown)).all():
        width = max(len(f"{v:.0f}") for v in shown.tolist()) + 1
        return _whole(width), width
    width = max(len(f"{v:.{precision}f}") for v in shown.tolist())
    return lambda v: f"{v:.{precision}f}".rjust(width), width


def _whole(width: int) -> Format:
    """Return the format of floats that are all whole numbers: ``1.``."""
    return lambda v: (f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}").rjust(width)


def _complex_formatter(values: np.ndarray) -> tuple[Format, int]:
    (real, real_width), (imag, imag_width) = _formatter(values.real), _formatter(values.imag)

    def both(v: complex) -> str:
        right = (imag(v.imag) + "j").lstrip()
        return real(v.real) + (right if right[0] in "+-" else "+" + right)

    return both, real_width + imag_width + 1


# -- all elements ------------------------------------------------------------------------------------------------------


def _edges(values: np.ndarray) -> np.ndarray:
    """Return only the elements that a summary shows."""
    n = _options.edgeitems
    for axis, size in enumerate(values.shape):
        if size > 2 * n:
            values = np.take(values, [*range(n), *range(size - n, size)], axis)
    return values


def _vector(values: np.ndarray, indent: int, summarize: bool, one: Format, width: int) -> str:
    n = _options.edgeitems
    if summarize and not n:
        parts = ["..."]
    elif summarize and values.size > 2 * n:
        parts = [*map(one, values[:n].tolist()), " ...", *map(one, values[-n:].tolist())]
    else:
        parts = [one(v) for v in values.tolist()]
    step = max(1, (_options.linewidth - indent) // (width + 2))
    lines = [", ".join(parts[i : i + step]) for i in range(0, len(parts), step)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values: np.ndarray, indent: int, summarize: bool, one: Format, width: int) -> str:
    if values.ndim == 0:
        return one(values.item())
    if values.ndim == 1:
        return _vector(values, indent, summarize, one, width)
    n, size = _options.edgeitems, len(values)
    short = summarize and size > 2 * n
    kept = [*range(n), *range(size - n, size)] if short else range(size)
    parts = [_nested(values[i], indent + 1, summarize, one, width) for i in kept]
    if short:
        parts.insert(n, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _contents(values: np.ndarray, indent: int) -> str:
    if not values.size:
        return "[]"
    if values.dtype.kind == "V":  # bfloat16, which NumPy itself cannot format
        values = values.astype(np.float32)
    summarize = values.size > _options.threshold
    sample = _edges(values) if summarize else values
    one, width = (_complex_formatter if values.dtype.kind == "c" else _formatter)(sample)
    return _nested(values, indent, summarize, one, width)


# -- the whole text ----------------------------------------------------------------------------------------------------


def _suffixes(t: Tensor, values: np.ndarray) -> list[str]:
    default = dtypes.get_default_dtype()
    usual = (default, default.to_complex(), dtypes.int64, dtypes.bool_) if values.size else (default,)
    suffixes = []
    if (values.ndim != 1 and not values.size) or (values.size and not _options.edgeitems):
        suffixes.append(f"size={tuple(values.shape)}")
    if t.dtype not in usual:
        suffixes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        suffixes.append(f"grad_fn=<{type(t.grad_fn).__name__}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixes


def _joined(text: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes, each on a new line where it would pass the line's width."""
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def tensor_text(t: Tensor) -> str:
    """Return PyTorch's text of a tensor; of a value inside a transform, the values with what the transform carries.

    A dual number of one level prints as PyTorch's do, ``tensor(2., tangent=tensor(1.))``; any other value of a transform
    names its class and level and shows the value of the level below.
    """
    below = t._data
    tangent = getattr(t, "_tangent", None)
    inner = isinstance(below, Tensor) and below._level > 0
    if t._level and (inner or not hasattr(t, "_tangent")):
        return _wrapped(t, below, tangent)
    name = type(t).__name__
    prefix = "tensor(" if name in _PLAIN or t._level else f"{name}("
    values = np.asarray(innermost(t))
    suffixes = _suffixes(t, values)
    if tangent is not None:
        suffixes.append(f"tangent={_text(tangent)}")
    return _joined(prefix + _contents(values, len(prefix)), suffixes, len(prefix))


def _text(value: Any) -> str:
    return tensor_text(value if isinstance(value, Tensor) else wrap(value))


def _depth(t: Tensor) -> int:
    """Return how deep a value's transform is among those that run, from 1; once it has ended, among those of the value."""
    scopes, depth = modes().scopes, 0
    if t._level in scopes:
        return scopes.index(t._level) + 1
    value: Any = t
    while isinstance(value, Tensor):
        depth += value._level > 0
        value = value._data
    return depth


def _wrapped(t: Tensor, below: Any, tangent: Any) -> str:
    name = _WRAPPERS.get(type(t).__name__, type(t).__name__)
    bdim = ", bdim=0" if name == "BatchedTensor" else ""
    text = f"{name}(lvl={_depth(t)}{bdim}, value=\n{textwrap.indent(_text(below), '    ')}\n"
    if tangent is not None:
        text = f"{text[:-1]}, tangent=\n{textwrap.indent(_text(tangent), '    ')}\n"
    return text + ")"


Tensor.__repr__ = tensor_text  # type: ignore[assignment]

"""What the page says of an array: extremes, norm, and how much of it is zero, NaN or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np

SHOWN = 16  # an array of no more elements is shown whole


def statistics(array: Any) -> dict[str, Any] | None:
    """Return what an array holds, as JSON can say it; None of what has no values.

    Returns
    -------
    dict
        ``size``; ``zeros``, ``nan`` and ``inf``: shares of the elements; ``norm``: the Euclidean one, in float64; ``min`` and
        ``max`` of real numbers, NaN left out; ``text``: the array itself, if it is small. What an empty array does not have is
        None.
    """
    if not isinstance(array, (np.ndarray, np.generic)):
        return None
    a = np.asarray(array)
    if a.dtype.kind == "V":  # of ml_dtypes, as NumPy sees them
        a = a.astype(np.float32)
    if a.dtype.kind not in "biufc":
        return None
    found: dict[str, Any] = {"size": a.size}
    with np.errstate(all="ignore"):
        wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64, copy=False).ravel()
        found["norm"] = _number(np.sqrt(np.vdot(wide, wide).real)) if _is_small(wide) else _number(_scaled_norm(wide))
        if a.size:
            nan = np.count_nonzero(np.isnan(wide))
            found["zeros"] = (a.size - np.count_nonzero(wide)) / a.size
            found["nan"] = nan / a.size
            found["inf"] = np.count_nonzero(np.isinf(wide)) / a.size
            if a.dtype.kind != "c" and nan < a.size:
                real = wide[~np.isnan(wide)] if nan else wide
                found["min"], found["max"] = _number(real.min()), _number(real.max())
    if a.size <= SHOWN:
        found["text"] = _text(a.tolist())
    return found


def _is_small(wide: np.ndarray) -> bool:
    """Tell whether the squares neither overflow nor vanish."""
    largest = np.abs(wide).max(initial=0.0)
    return bool(1e-140 < largest < 1e140 or largest == 0)


def _scaled_norm(wide: np.ndarray) -> float:
    size = np.abs(wide)
    largest = size.max()
    return largest * np.sqrt(np.sum((size / largest) ** 2)) if np.isfinite(largest) else largest


def _text(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join([_text(value) for value in values])}]"
    return str(values) if isinstance(values, (bool, int)) else f"{values:.6g}"


def _number(x: Any) -> float | str:
    """Return a number as JSON has it: what is not finite, by its name."""
    return float(x) if np.isfinite(x) else str(float(x))

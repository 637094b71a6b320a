"""Sweeps of the vector math kernels through all their arguments, against wider arithmetic, and the table of what they find.

``python -m tests.compiler.llvm.sweeps`` prints the table, in some minutes.
"""

import numpy as np
from scipy import special
from tests.compiler.llvm.kernels import LIMITS, every_exponent, kernel, pairs, points, worst

from chainrule.compiler.llvm.math import BINARY, FUNCTIONS
from chainrule.core.op.lowering import PRIMITIVES

LOOSE = {"ndtr": 8}  # units in the last place of those that are not within 2
HAS_LONG = np.finfo(np.longdouble).nmant >= 63
NO_LONG = ("erf", "erfc", "ndtr")  # which SciPy has not in long double


def reference(primitive: str, *xs: np.ndarray) -> np.ndarray:
    """Return NumPy's or SciPy's values in the arrays' own dtype."""
    with np.errstate(all="ignore"):
        return getattr(special, primitive)(*xs) if primitive in NO_LONG else PRIMITIVES[primitive](*xs)


def ulps(got: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Return errors in units in the last place of values known in a wider dtype; infinite where only one is NaN."""
    digits, low, high = LIMITS[got.dtype]
    end = np.ldexp(wide.dtype.type(1), high + 1)
    with np.errstate(all="ignore"):
        wide = np.clip(wide, -end, end)
        exponent = np.clip(np.frexp(wide)[1] - 1, low, high)
        errors = np.abs(np.ldexp(np.clip(got.astype(wide.dtype), -end, end) - wide, digits - 1 - exponent))
        overflown = np.isinf(got) & (wide * np.sign(got) >= end * (1 - 2.0 ** (-digits - 1)))
    errors[overflown | (np.isnan(got) & np.isnan(wide))] = 0
    return np.where(np.isnan(errors), np.inf, errors)


def arguments(primitive: str, dtype: str, n: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return about n arguments: of float32 and one argument, evenly through all its bits; else drawn."""
    d = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    if primitive in BINARY:
        return pairs(rng, d, n // 6)
    if d.itemsize == 8:
        spread = rng.choice([-1.0, 1.0], n // 2) * np.exp(rng.uniform(-40, 40, n // 2))
        return (np.concatenate([*points(primitive, dtype, n // 8, seed), every_exponent(rng, d, n // 8), spread]),)
    step = 2**32 // n
    return (np.arange(seed % step, 2**32, step, dtype=np.uint32).view(d),)


def sweep(primitive: str, dtype: str, n: int, seed: int = 0) -> tuple[float, tuple]:
    """Return the greatest error in ulps over about n arguments, and where; fewer where only mpmath knows the values."""
    if dtype == "float64" and (primitive in NO_LONG or not HAS_LONG):
        return worst(primitive, dtype, 8, *arguments(primitive, dtype, min(n, 20_000), seed))
    xs = arguments(primitive, dtype, n, seed)
    got = kernel(primitive, dtype, 64 // np.dtype(dtype).itemsize)(*xs)
    wider = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(invalid="ignore"):  # NaN that signal
        wide = np.concatenate([reference(primitive, *[v.astype(wider) for v in part]) for part in _parts(xs)])
    errors = ulps(got, wide)
    k = int(np.argmax(errors))
    return float(errors[k]), (*[x[k] for x in xs], got[k])


def _parts(xs: tuple[np.ndarray, ...], size: int = 2**17) -> list:
    return [[x[i : i + size] for x in xs] for i in range(0, xs[0].size, size)]


def accuracy_table(n32: int = 10_000_000, n64: int = 1_000_000, groups: int = 3) -> str:
    """Return the greatest errors found, float32's and float64's, as a table in Markdown: some functions to a row."""
    cells = []
    for primitive in sorted(FUNCTIONS):
        errors = [sweep(primitive, dtype, n)[0] for dtype, n in (("float32", n32), ("float64", n64))]
        cells.append(f"`{primitive}` | {errors[0]:.2f} | {errors[1]:.2f}")
    rows = -(-len(cells) // groups)
    head = ["| " + " | ".join(["function | float32 | float64"] * groups) + " |", "|" + "---|" * 3 * groups]
    return "\n".join([*head, *["| " + " | ".join(cells[row::rows]) + " |" for row in range(rows)]])


if __name__ == "__main__":
    print(accuracy_table())  # noqa: T201

"""Write ``src/chainrule/compiler/llvm/math/coefficients.py``: the minimax polynomials of the vector math kernels.

Each is found by Remez's exchange (Muller, Elementary Functions, 3rd ed., section 3.5) on Chebyshev's points, in mpmath with 60
digits; its coefficients are rounded to the dtype one after the other, lowest first, and the others found anew, so that rounding
costs nothing: ``python scripts/write_math_coefficients.py``, a minute. Given names, it keeps the other tables.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

TARGET = Path(__file__).parents[1] / "src/chainrule/compiler/llvm/math/coefficients.py"
HEAD = '''"""Minimax polynomials of the vector math kernels, written by ``scripts/write_math_coefficients.py`` alone.

The k-th number is the coefficient of z to the power of k. Above each: the function that it stands for, where, and the greatest
error, weighted as the kernels use it: relative to the kernel's result.
"""

'''
mp.mp.dps = 60


class Approximant(NamedTuple):
    """A function, what its error is multiplied by, and for float32 and float64 the interval and how many coefficients, or 0."""

    text: str
    function: Callable
    weight: Callable
    intervals: tuple[tuple[Any, Any], tuple[Any, Any]]
    counts: tuple[int, int]


def remez(f: Callable, weight: Callable, low: Any, high: Any, powers: list[int]) -> tuple[list, Any]:
    """Return the coefficients of the given powers, and the greatest weighted error."""
    n = len(powers)
    points = 40 * (n + 2)
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / points) for i in range(points)]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    chosen = [(points - 1) * i // n for i in range(n + 1)]
    best: tuple[list, Any] = ([], mp.inf)
    for _ in range(30):
        rows = [[grid[i] ** p for p in powers] + [(-1) ** k / weights[i]] for k, i in enumerate(chosen)]
        found = list(mp.lu_solve(mp.matrix(rows), mp.matrix([values[i] for i in chosen])))
        coefficients, level = found[:-1], abs(found[-1])
        errors = [w * (y - mp.fsum(c * x**p for c, p in zip(coefficients, powers, strict=True)))
                  for x, y, w in zip(grid, values, weights, strict=True)]  # fmt: skip
        worst = max(map(abs, errors))
        if worst < best[1]:
            best = coefficients, worst
        if worst <= level * mp.mpf("1.001"):
            break
        chosen = _exchanged(errors, n + 1)
    return best


def _exchanged(errors: list, count: int) -> list[int]:
    """Return where the errors alternate: the greatest of each run of one sign, the least of them left out at the ends."""
    peaks: list[int] = []
    for i, e in enumerate(errors):
        if peaks and mp.sign(e) == mp.sign(errors[peaks[-1]]):
            if abs(e) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        else:
            peaks.append(i)
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    assert len(peaks) == count, (len(peaks), count)
    return peaks


def rounded(a: Approximant, number: int) -> tuple[list[float], float]:
    """Return coefficients that the dtype has, and the greatest weighted error they leave."""
    dtype = (np.float32, np.float64)[number]
    low, high = map(mp.mpf, a.intervals[number])
    powers, f, kept = list(range(a.counts[number])), a.function, []
    others = plain = [dtype(float(c)) for c in remez(f, a.weight, low, high, powers)[0]]
    for _ in range(min(6 if number else 3, len(plain) - 1)):  # the rest is too small for its rounding to matter
        kept.append(others[0])
        powers.pop(0)
        f = lambda x, kept=tuple(kept): a.function(x) - mp.fsum(mp.mpf(float(c)) * x**k for k, c in enumerate(kept))
        others = [dtype(float(c)) for c in remez(f, a.weight, low, high, powers)[0]]
    points = [low + (high - low) * (i + mp.mpf("0.37")) / 2000 for i in range(2000)]

    def error(coefficients: list) -> Any:
        found = [mp.mpf(float(c)) for c in coefficients[::-1]]
        return max(abs(a.weight(x) * (a.function(x) - mp.polyval(found, x))) for x in points)

    best = min([[*kept, *others], plain], key=error)  # around 0 the higher powers alone may be no Chebyshev system
    return [float(c) for c in best], float(error(best))


def _series(f: Callable, x: Any) -> Any:
    """Return a quotient that is 0/0 at 0, where it is not asked for."""
    return f(x if abs(x) > mp.mpf(10) ** -15 else mp.mpf(10) ** -15)


def _root(f: Callable) -> Callable:
    """Return an even function of x as a function of z = x²."""
    return lambda z: _series(lambda y: f(mp.sqrt(y)), z)


_HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.001")
_EIGHTH = mp.pi / 4 * mp.mpf("1.005")
_S2 = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
_T2 = mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.001")


def _both(low: Any, high: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (low, high), (low, high)


def _erfcx(z: Any) -> Any:
    x = 4 * (1 + z) / (1 - z)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def _ndtr(z: Any) -> Any:
    x = 4 * (1 + z) / (1 - z)
    return (x + 4) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2


APPROXIMANTS = {
    "EXP": Approximant("(exp(z) - 1 - z) / z²", lambda z: _series(lambda x: (mp.expm1(x) - x) / x**2, z),
        lambda z: z**2 / mp.exp(z), _both(-_HALF_LN2, _HALF_LN2), (5, 10)),
    "LOG": Approximant("(2 atanh(s)/s - 2) / s² of z = s²", _root(lambda s: (2 * mp.atanh(s) / s - 2) / s**2),
        lambda z: z / 2, _both(0, _S2), (3, 7)),
    "ATANH": Approximant("(2 atanh(s)/s - 2) / s² of z = s²", _root(lambda s: (2 * mp.atanh(s) / s - 2) / s**2),
        lambda z: z / 2, _both(0, mp.mpf("0.0626")), (4, 9)),
    "TANH": Approximant("(tanh(x)/x - 1) / x² of z = x²", _root(lambda x: (mp.tanh(x) / x - 1) / x**2),
        lambda z: z, _both(0, mp.mpf("0.3026")), (5, 11)),
    "LOG_TAIL": Approximant("((2 atanh(s)/s - 2) / s² - 2/3) / s² of z = s²",
        _root(lambda s: ((2 * mp.atanh(s) / s - 2) / s**2 - mp.mpf(2) / 3) / s**2), lambda z: z**2 / 2, _both(0, _S2), (4, 8)),
    "LOG2_OF_SINGLE": Approximant("2 atanh(s)/(s ln 2) of z = s²", _root(lambda s: 2 * mp.atanh(s) / s / mp.log(2)),
        lambda z: mp.log(2) / 2, _both(0, _S2), (0, 5)),
    "EXP2_OF_SINGLE": Approximant("2^z", lambda z: mp.mpf(2) ** z, lambda z: mp.mpf(2) ** -z, _both(-0.5, 0.5), (0, 7)),
    "SIN": Approximant("(sin(x)/x - 1) / x² of z = x²", _root(lambda x: (mp.sin(x) / x - 1) / x**2),
        lambda z: z, _both(0, _EIGHTH**2), (3, 6)),
    "COS": Approximant("(cos(x) - 1 + x²/2) / x⁴ of z = x²", _root(lambda x: (mp.cos(x) - 1 + x**2 / 2) / x**4),
        lambda z: z**2 * mp.mpf("1.4"), _both(0, _EIGHTH**2), (3, 6)),
    "ASIN": Approximant("(asin(x)/x - 1) / x² of z = x²", _root(lambda x: (mp.asin(x) / x - 1) / x**2),
        lambda z: z, _both(0, mp.mpf("0.2501")), (5, 12)),
    "ATAN": Approximant("(atan(x)/x - 1) / x² of z = x²", _root(lambda x: (mp.atan(x) / x - 1) / x**2),
        lambda z: z, _both(0, _T2), (5, 11)),
    "SINH": Approximant("(sinh(x)/x - 1) / x² of z = x²", _root(lambda x: (mp.sinh(x) / x - 1) / x**2),
        lambda z: z, _both(0, 1), (4, 7)),
    "ERF": Approximant("erf(x)/x - 1 of z = x²", _root(lambda x: mp.erf(x) / x - 1), lambda z: 1, _both(0, 1), (7, 12)),
    "ERF_TAIL": Approximant("log(erfc(x)) of z = x - 1", lambda z: mp.log(mp.erfc(z + 1)), lambda z: mp.erfc(z + 1),
        ((0, 2.93), (0, 4.93)), (7, 18)),
    "ERFCX": Approximant("((1 + 2x) exp(x²) erfc(x) - 1)/(1 + z) of z = (x - 4)/(x + 4)",
        lambda z: (_erfcx(z) - 1) / (1 + z), lambda z: (1 + z) / _erfcx(z),
        ((-1, 6.06 / 14.06), (-1, 23.3 / 31.3)), (12, 24)),
    "NDTR": Approximant("(x + 4) exp(x²/2) Φ(-x) of z = (x - 4)/(x + 4)", _ndtr, lambda z: 1 / _ndtr(z),
        ((-1, 10.5 / 18.5), (-1, 34.7 / 42.7)), (11, 25)),
}  # fmt: skip


def _two_over_pi() -> str:
    """Return the table of the first bits of 2/π."""
    with mp.workprec(1400):
        digits = f"{int(mp.floor(2 / mp.pi * mp.mpf(2) ** 1168)):x}"
    lines = [f'    "{digits[i : i + 116]}"' for i in range(0, len(digits), 116)]
    return "\n".join(["# The first 1168 bits of 2/π after the point.", "TWO_OVER_PI_BITS = int(", *lines, ", 16)"])


def main(names: list[str]) -> None:
    """Write the tables."""
    tables: dict[str, str] = {}
    for name, a in APPROXIMANTS.items():
        if names and name not in names:
            continue
        lines = []
        for number, dtype in enumerate(("float32", "float64")):
            if not a.counts[number]:
                continue
            found, worst = rounded(a, number)
            low, high = a.intervals[number]
            where = f"{mp.nstr(mp.mpf(low), 4)} ≤ z ≤ {mp.nstr(mp.mpf(high), 4)}"
            lines.append(f"    # {a.text}, {where}: error 2^{float(mp.log(worst, 2)):.1f}")
            texts = [repr(c) if number else str(np.float32(c)) for c in found]
            lines.append(f'    "{dtype}": ({", ".join(texts)},),')
            print(name, *lines[-2:], sep="\n", flush=True)
        tables[name] = "\n".join([f"{name} = {{", *lines, "}"])
    if names and TARGET.exists():
        old = TARGET.read_text().split("\n\n")
        for block in old:
            head = block.split(" = ")[0]
            if head.isupper() and head not in tables:
                tables[head] = block.rstrip()
    order = [n for n in APPROXIMANTS if n in tables]
    TARGET.write_text(HEAD + "\n\n".join([tables[n] for n in order] + [_two_over_pi()]) + "\n")
    subprocess.run(["ruff", "format", str(TARGET)], check=False)


if __name__ == "__main__":
    main(sys.argv[1:])

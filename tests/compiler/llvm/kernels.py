"""What tests and measurements of the vector math kernels share: kernels as functions of arrays, and errors in ulps."""

import ctypes
from collections.abc import Callable, Sequence

import mpmath as mp
import numpy as np

from chainrule.compiler.llvm import engine
from chainrule.compiler.llvm.math import BINARY, function

LIMITS = {np.dtype("f4"): (24, -126, 127), np.dtype("f8"): (53, -1022, 1023)}
_LOADED: dict = {}

# With arguments of mpmath's numbers; the exact values.
EXACT: dict[str, Callable] = {
    "exp": mp.exp, "exp2": lambda x: mp.mpf(2) ** x, "expm1": mp.expm1, "log": mp.log, "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10), "log1p": mp.log1p, "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "asin": mp.asin,
    "acos": mp.acos, "atan": mp.atan, "atan2": mp.atan2, "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh, "asinh": mp.asinh,
    "acosh": mp.acosh, "atanh": mp.atanh, "pow": mp.power, "hypot": mp.hypot, "erf": mp.erf,
    "erfc": lambda x: mp.erfc(x) if x < 40 else mp.mpf(10) ** -600,
    "ndtr": lambda x: mp.ncdf(x) if x > -60 else mp.mpf(10) ** -600,
}  # fmt: skip


def loop_text(primitive: str, dtype: str, lanes: int, text: str | None = None) -> str:
    """Return a module whose function `run` takes pointers to inputs, one to the output, and the number of vectors."""
    name, found = function(primitive, dtype, lanes)
    text = text or found
    scalar = "float" if dtype == "float32" else "double"
    vector = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    inputs = ["x", "y"] if primitive in BINARY else ["x"]
    align = 4 if dtype == "float32" else 8
    loads = []
    for v in inputs:
        loads.append(f"  %p{v} = getelementptr {vector}, ptr %{v}, i64 %i")
        loads.append(f"  %v{v} = load {vector}, ptr %p{v}, align {align}")
    return f"""{text}
define void @run({", ".join([f"ptr noalias %{v}" for v in [*inputs, "out"]])}, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{chr(10).join(loads)}
  %r = call {vector} {name}({", ".join([f"{vector} %v{v}" for v in inputs])}) alwaysinline
  %po = getelementptr {vector}, ptr %out, i64 %i
  store {vector} %r, ptr %po, align {align}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def kernel(primitive: str, dtype: str, lanes: int, text: str | None = None, optimise: bool = True) -> Callable:
    """Return a function of arrays of the dtype, which runs the kernel over them."""
    key = primitive, dtype, lanes, text, optimise
    if key not in _LOADED:
        code = engine.load(loop_text(primitive, dtype, lanes, text), ["run"], optimise)
        count = 3 if primitive in BINARY else 2
        _LOADED[key] = code, ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count, ctypes.c_int64)(code.address("run"))
    run = _LOADED[key][1]

    def call(*xs: np.ndarray) -> np.ndarray:
        n = -(-xs[0].size // lanes)
        padded = [np.concatenate([x, np.ones(n * lanes - x.size, dtype)]) if n * lanes - x.size else x for x in xs]
        out = np.empty(n * lanes, dtype)
        run(*[x.ctypes.data for x in padded], out.ctypes.data, n)
        return out[: xs[0].size]

    return call


def ulps_of(got: np.floating, exact: mp.mpf) -> float:
    """Return the error in units in the last place of the exact value; 0 where both are NaN, infinite with the same sign, ..."""
    digits, low, high = LIMITS[got.dtype]
    if mp.isnan(exact) or np.isnan(got):
        return 0.0 if mp.isnan(exact) and np.isnan(got) else np.inf
    top = mp.mpf(2) ** (high + 1)
    overflows = mp.isinf(exact) or abs(exact) >= top * (1 - mp.mpf(2) ** (-digits - 1))
    if overflows and np.isinf(got):
        return 0.0 if (got > 0) == (exact > 0) else np.inf
    if mp.isinf(exact):
        return np.inf
    unit = mp.mpf(2) ** (max(mp.frexp(exact)[1] - 1, low) + 1 - digits)
    value = top * int(np.sign(got)) if np.isinf(got) else mp.mpf(float(got))
    return float(abs(value - exact) / unit)


def exact(primitive: str, xs: Sequence[float], precision: int = 160) -> mp.mpf:
    """Return the exact value at finite arguments; NaN where it is no real number."""
    with mp.workprec(precision):
        try:
            value = EXACT[primitive](*[mp.mpf(float(x)) for x in xs])
        except (ValueError, ZeroDivisionError):
            return mp.nan
        return value if isinstance(value, mp.mpf) else mp.nan


def worst(primitive: str, dtype: str, lanes: int, *xs: np.ndarray, text: str | None = None) -> tuple[float, tuple]:
    """Return the greatest error in ulps, and where."""
    got = kernel(primitive, dtype, lanes, text)(*xs)
    errors = [ulps_of(g, exact(primitive, x)) for g, *x in zip(got, *xs, strict=True)]
    k = int(np.argmax(errors))
    return errors[k], (*[x[k] for x in xs], got[k])


# -- arguments ---------------------------------------------------------------------------------------------------------

# Where results overflow, vanish, or change their formula: of float32, of float64.
THRESHOLDS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "exp": ((88.72284, -87.33655, -103.97208), (709.782712893384, -708.3964185322641, -745.1332191019411)),
    "exp2": ((128.0, -126.0, -149.0, -150.0), (1024.0, -1022.0, -1074.0, -1075.0)),
    "expm1": ((88.72284, -17.32868, -18.0), (709.782712893384, -37.42994775023705, -39.0)),
    "sinh": ((89.41599, 88.72284, 1.0), (710.4758600739439, 709.782712893384, 1.0)),
    "cosh": ((89.41599, 88.72284), (710.4758600739439, 709.782712893384)),
    "tanh": ((9.010913, 0.55, 9.0), (19.061547465398498, 0.55, 19.5)),
    "log1p": ((2.0**26,), (2.0**55,)), "asinh": ((2.0**26,), (2.0**55,)), "acosh": ((1.0, 2.0**26), (1.0, 2.0**55)),
    "asin": ((0.5, 1.0), (0.5, 1.0)), "acos": ((0.5, 1.0), (0.5, 1.0)), "atanh": ((1.0, 1 / 3), (1.0, 1 / 3)),
    "sin": ((2.0**16,), (2.0**28,)), "cos": ((2.0**16,), (2.0**28,)), "tan": ((2.0**16,), (2.0**28,)),
    "erf": ((1.0, 3.9192059), (1.0, 5.921587195794508)), "erfc": ((9.194549, 10.05, 0.5), (26.543258454250980, 27.22, 0.5)),
    "ndtr": ((-12.96, -14.1, -14.5, 5.5), (-37.51, -38.4, -38.7, 8.3)),
}  # fmt: skip
# The floating-point numbers that are nearest to multiples of π/2 for their size, a float32 and a float64.
NEAR_TURNS = (16367173 * 2.0**72, 6381956970095103 * 2.0**797)


def beside(x: np.ndarray, steps: int = 3) -> np.ndarray:
    """Return numbers with their neighbours."""
    down = up = x
    out = [x]
    for _ in range(steps):
        down, up = np.nextafter(down, x.dtype.type(-np.inf)), np.nextafter(up, x.dtype.type(np.inf))
        out += [down, up]
    return np.concatenate(out)


def points(primitive: str, dtype: str, n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return finite arguments: about 4 n drawn over all exponents and where the function changes, and every hard place."""
    rng, d = np.random.default_rng(seed), np.dtype(dtype)
    if primitive in BINARY:
        return pairs(rng, d, n)
    thresholds = np.array(THRESHOLDS.get(primitive, ((), ()))[dtype == "float64"], d)
    lowest = int(np.log2(np.finfo(d).smallest_subnormal))
    powers = np.ldexp(d.type(1), np.arange(lowest, np.finfo(d).maxexp, 1 if d.itemsize == 4 else 7)).astype(d)
    with np.errstate(over="ignore"):
        thresholds = beside(thresholds)
    turns = np.concatenate([np.arange(1, 40) * np.pi / 2, np.round(np.exp(rng.uniform(4, 40, 40))) * np.pi / 2]).astype(d)
    near = np.array([x for x in NEAR_TURNS if x < float(np.finfo(d).max)], d)
    widest = min(abs(thresholds).max(initial=2) * 1.05, 800)
    positive = np.concatenate([thresholds, beside(powers, 1), beside(turns), beside(near, 1), d.type([1 / 3, 0.5, 2, np.e])])
    drawn = [every_exponent(rng, d, n), rng.uniform(-widest, widest, n), rng.uniform(-2, 2, n), 1 + rng.normal(size=n) / 50]
    with np.errstate(over="ignore"):
        found = np.concatenate([positive, -positive, *[x.astype(d) for x in drawn]])
    return (found[np.isfinite(found)],)


def every_exponent(rng: np.random.Generator, d: np.dtype, n: int) -> np.ndarray:
    """Return n finite numbers of both signs, of all exponents."""
    bits = rng.integers(0, 2 ** (8 * d.itemsize), 2 * n + 16, dtype=f"u{d.itemsize}").view(d)
    return bits[np.isfinite(bits)][:n]


def pairs(rng: np.random.Generator, d: np.dtype, n: int) -> tuple[np.ndarray, ...]:
    """Return pairs of finite arguments: of any exponents, of like size, powers near the ends of the range, signs, integers."""
    end = np.log(np.finfo(d).max.astype(float))
    base = np.exp(rng.uniform(-8, 8, n))
    near = 1 + rng.normal(size=n) * 10.0 ** rng.uniform(-6, -1, n)
    whole = rng.integers(-9, 10, n).astype(float)
    like = every_exponent(rng, d, n)
    xs = [every_exponent(rng, d, n), like, base, near, -base, whole]
    ys = [every_exponent(rng, d, n), like * d.type(0.5) * (1 + rng.uniform(-0.5, 0.5, n).astype(d)),
          rng.uniform(-1.08, 1.08, n) * end / np.log(base), rng.uniform(-1.02, 1.02, n) * end / np.log(abs(near)),
          np.round(rng.uniform(-1, 1, n) * end / np.log(base)), rng.integers(-30, 31, n).astype(float)]  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        x, y = np.concatenate([v.astype(d) for v in xs]), np.concatenate([v.astype(d) for v in ys])
    keep = np.isfinite(x) & np.isfinite(y) & (x != 0)
    return x[keep], y[keep]

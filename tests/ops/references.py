"""What every op of the table computes, written down a second time: from its mathematics, by Python's numbers, mpmath and loops.

None of it is quick, and none shares code with a kernel. An elementwise op has a function of numbers; any other one of arrays.
"""

from __future__ import annotations

import cmath
import itertools
import math
import operator
import struct
from functools import reduce

import mpmath as mp
import numpy as np
from tests.ops.matrices import BY_PRODUCT, MATRICES
from tests.ops.nn_references import WINDOWED

INF = math.inf


def is_nan(x):
    return x != x


# -- functions of numbers ----------------------------------------------------------------------------------------------


def through(f, *, real=None):
    """Return a function of mpmath's as one of Python's numbers; `real` where real arguments may not become complex."""

    def call(*args, **params):
        found = f(*[mp.mpc(a) if isinstance(a, complex) else mp.mpf(float(a)) for a in args], **params)
        if isinstance(found, mp.mpc):
            if not any(isinstance(a, complex) for a in args):
                return math.nan if real is None else real
            return complex(found)
        return float(found)

    return call


def power(x, y):
    if isinstance(x, int) and isinstance(y, int):
        return x**y if y >= 0 else int(x**y) if x else 0
    try:
        found = x**y
    except ZeroDivisionError:
        return INF
    return math.nan if isinstance(found, complex) and not isinstance(x, complex) and not isinstance(y, complex) else found


def floor_division(x, y):
    return math.floor(x / y) if y else math.nan


def rounded(mode):
    return {"trunc": math.trunc, "floor": math.floor}[mode]


def sign(x):
    if isinstance(x, complex):
        return x / abs(x) if x else 0
    return math.nan if is_nan(x) else (x > 0) - (x < 0)


def larger(x, y):
    return math.nan if is_nan(x) or is_nan(y) else max(x, y)


def smaller(x, y):
    return math.nan if is_nan(x) or is_nan(y) else min(x, y)


def limited(x, low=None, high=None):
    x = x if low is None else larger(x, low)
    return x if high is None else smaller(x, high)


def logaddexp(x, y):
    if isinstance(x, complex):
        return cmath.log(cmath.exp(x) + cmath.exp(y))
    return float(mp.log(mp.exp(x) + mp.exp(y)))


def sinc_derivative(x, n):
    return mp.diff(lambda t: mp.sinc(mp.pi * t), x, n)


def huber(x, delta, closed):
    return 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


def binary_cross_entropy(x, y):
    log = lambda p: max(math.log(p), -100) if p > 0 else -100
    return -(y * log(x) + (1 - y) * log(1 - x))


def slope_of(f, k=None):
    """Return the n-th derivative of a function of mpmath's in its argument k, or its only one."""

    def call(*args, n, **params):
        args = [mp.mpf(a) for a in args]
        at = args.pop(k or 0)
        return float(mp.re(mp.diff(lambda t: f(*args[: k or 0], t, *args[k or 0 :], **params), at, n)))

    return call


def of_degree(f):
    """Return a polynomial of a degree that is rounded towards 0, and zero where that is negative."""
    return lambda x, n, **params: 0.0 if int(n) < 0 else float(f(int(n), mp.mpf(x), **params))


def by_angle(a, b, at_one):
    """Return Chebyshev's polynomials as Jacobi's: f(1) is `at_one`."""
    return lambda n, x: at_one(n) * mp.jacobi(n, a, b, x) / mp.binomial(n + a, n)


def expn(n, x):
    return mp.exp(-x) / x if n == 0 else mp.expint(n, x)


def pull_of(f):
    """Return g times the derivative at x of a function of mpmath's."""
    return lambda g, x: g * through(lambda t: mp.diff(f, t))(x)


SILU = lambda x: x / (1 + mp.exp(-x))
GELU = {
    "none": lambda x: x * mp.ncdf(x),
    "tanh": lambda x: x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2,
}
HALF = mp.mpf(1) / 2
ANGLES = {
    "t": by_angle(-HALF, -HALF, lambda n: 1), "u": by_angle(HALF, HALF, lambda n: n + 1),
    "v": by_angle(-HALF, HALF, lambda n: 1), "w": by_angle(HALF, -HALF, lambda n: 2 * n + 1),
}  # fmt: skip
LOG_NDTR = lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)
I0E = lambda x: mp.exp(-abs(x)) * mp.besseli(0, x)
GAMMAINC = lambda a, x: mp.gammainc(a, 0, x, regularized=True)
SPECIAL = {
    "cbrt": through(lambda x: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x)),
    "erfcx": through(lambda x: mp.exp(x * x) * mp.erfc(x)), "erfi": through(mp.erfi),
    "erfcx_derivative": slope_of(lambda x: mp.exp(x * x) * mp.erfc(x)),
    "ndtr": through(mp.ncdf), "ndtri": through(lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1)), "log_ndtr": through(LOG_NDTR),
    "log_ndtr_derivative": slope_of(LOG_NDTR), "entr": through(lambda x: -x * mp.log(x)),
    "xlog1py": through(lambda x, y: x * mp.log1p(y)),
    **{f"bessel_j{n}": through(lambda x, n=n: mp.besselj(n, x)) for n in (0, 1)},
    **{f"bessel_y{n}": through(lambda x, n=n: mp.bessely(n, x)) for n in (0, 1)},
    **{f"modified_bessel_i{n}": through(lambda x, n=n: mp.besseli(n, x)) for n in (0, 1)},
    **{f"modified_bessel_k{n}": through(lambda x, n=n: mp.besselk(n, x)) for n in (0, 1)},
    **{f"scaled_modified_bessel_k{n}": through(lambda x, n=n: mp.exp(x) * mp.besselk(n, x)) for n in (0, 1)},
    "i0e": through(I0E), "i1e": through(lambda x: mp.exp(-abs(x)) * mp.besseli(1, x)),
    "i0e_derivative": slope_of(I0E), "k0e_derivative": slope_of(lambda x: mp.exp(x) * mp.besselk(0, x)),
    "spherical_bessel_j0": through(mp.sinc),
    "bessel_j": lambda x, n: float(mp.besselj(n, x)), "bessel_y": lambda x, n: float(mp.bessely(n, x)),
    "bessel_k": lambda x, n: float(mp.besselk(n, x)),
    "bessel_derivative": lambda v, x, kind, n: float(mp.re(mp.diff(
        lambda t: getattr(mp, f"bessel{kind[0]}")(mp.mpf(v), t), mp.mpf(x), n))),
    "igamma_density": slope_of(lambda a, x: x ** (a - 1) * mp.exp(-x) / mp.gamma(a)),
    "zeta_derivative": lambda x, q, n, m: float((-1) ** m * mp.diff(
        lambda s: mp.rf(s, m) * mp.zeta(s + m, mp.mpf(q)), mp.mpf(x), n)),
    "jv": through(mp.besselj), "yv": through(mp.bessely), "iv": through(mp.besseli), "kv": through(mp.besselk),
    "airy_ai": through(mp.airyai), "airy_bi": through(mp.airybi),
    "airy_ai_slope": through(lambda x: mp.airyai(x, derivative=1)),
    "airy_bi_slope": through(lambda x: mp.airybi(x, derivative=1)),
    "gamma": through(mp.gamma), "beta": through(mp.beta), "betaln": through(lambda a, b: mp.log(mp.beta(a, b))),
    "zeta": through(mp.zeta), "expn": through(expn),
    "betainc": through(lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True)),
    "igamma_in_order": slope_of(GAMMAINC),
    "gamma_rank_slope": lambda a, y, n: slope_of(GAMMAINC)(a, mp.exp(y), n=n) / float(mp.exp(a * y - mp.exp(y)) / mp.gamma(a)),
    "log_gamma_at_rank": lambda a, b, y: float(mp.findroot(
        lambda t: mp.log(GAMMAINC(mp.mpf(a), mp.exp(t)) / GAMMAINC(mp.mpf(b), mp.exp(mp.mpf(y)))), mp.mpf(y))),
    "ellipk": through(mp.ellipk), "ellipe": through(mp.ellipe),
    "ellipk_derivative": slope_of(mp.ellipk), "ellipe_derivative": slope_of(mp.ellipe),
    "spence": through(lambda x: mp.polylog(2, 1 - x), real=None),
    "log_quotient": lambda x, n: slope_of(lambda t: mp.log(t) / (t - 1))(x, n=n),
    "lambert_w": lambda x, k: complex(mp.lambertw(x, k)),
    "jacobi": of_degree(lambda n, x, a, b: mp.jacobi(n, a, b, x) / mp.binomial(n + a, n)),
    "hermite": of_degree(lambda n, x, scale: (scale / mp.mpf(2)) ** (n / mp.mpf(2)) * mp.hermite(
        n, x if scale == 2 else x / mp.sqrt(2))),
    "laguerre": of_degree(lambda n, x, k: mp.laguerre(n, k, x)),
    **{f"chebyshev_polynomial_{k}": of_degree(f) for k, f in ANGLES.items()},
    **{f"shifted_chebyshev_polynomial_{k}": of_degree(lambda n, x, f=f: f(n, 2 * x - 1)) for k, f in ANGLES.items()},
    "legendre_polynomial_p": of_degree(mp.legendre), "hermite_polynomial_h": of_degree(mp.hermite),
    "hermite_polynomial_he": of_degree(lambda n, x: mp.mpf(2) ** (-n / mp.mpf(2)) * mp.hermite(n, x / mp.sqrt(2))),
    "laguerre_polynomial_l": of_degree(lambda n, x: mp.laguerre(n, 0, x)),
}  # fmt: skip

NUMBERS = SPECIAL | {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "logical_and": lambda x, y: bool(x) and bool(y),
    "logical_or": lambda x, y: bool(x) or bool(y),
    "logical_xor": lambda x, y: bool(x) != bool(y),
    "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor,
    "bitwise_left_shift": operator.lshift, "bitwise_right_shift": operator.rshift,
    "isclose": lambda x, y, rtol, atol, equal_nan: (
        x == y or (equal_nan and is_nan(x) and is_nan(y)) or (abs(x - y) <= atol + rtol * abs(y) and abs(y) < INF)
    ),
    "where": lambda condition, x, y: x if condition else y,
    "exp": through(mp.exp), "exp2": through(lambda x: mp.mpf(2) ** x), "expm1": through(mp.expm1),
    "log": through(mp.log), "log10": through(mp.log10), "log2": through(lambda x: mp.log(x, 2)), "log1p": through(mp.log1p),
    "sqrt": through(mp.sqrt), "rsqrt": through(lambda x: 1 / mp.sqrt(x)), "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x, "sigmoid": through(lambda x: 1 / (1 + mp.exp(-x))),
    "logit": through(lambda x: mp.log(x / (1 - x))),
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg, "pow": power,
    "floor_divide": floor_division,
    "div_rounded": lambda x, y, mode: rounded(mode)(x / y),
    "remainder": lambda x, y: x - y * math.floor(x / y), "fmod": math.fmod,
    "lerp": lambda x, y, w: x + w * (y - x),
    "addcmul": lambda x, y, z, value: x + value * y * z, "addcdiv": lambda x, y, z, value: x + value * y / z,
    "atan2": math.atan2, "hypot": math.hypot, "logaddexp": logaddexp,
    "logaddexp2": lambda x, y: float(mp.log(mp.mpf(2) ** x + mp.mpf(2) ** y, 2)),
    "xlogy": lambda x, y: 0 if x == 0 and not is_nan(y) else x * math.log(y),
    "copysign": math.copysign, "nextafter": math.nextafter,
    "heaviside": lambda x, y: y if x == 0 else float(x > 0),
    "gcd": math.gcd, "lcm": math.lcm,
    "maximum": larger, "minimum": smaller,
    "fmax": lambda x, y: y if is_nan(x) else x if is_nan(y) else max(x, y),
    "fmin": lambda x, y: y if is_nan(x) else x if is_nan(y) else min(x, y),
    "clamp": limited, "clamp_min": larger, "clamp_max": smaller,
    "detach": lambda x: x,
    "gate": lambda g, x, low, high: g if low < x and (high is None or x < high) else 0,
    "relu": lambda x: x if x > 0 else 0,
    "hardtanh": lambda x, low, high: limited(x, low, high),
    "elu": lambda x, alpha, scale, steepness: scale * (x if x > 0 else alpha * math.expm1(x * steepness)),
    "hardswish": lambda x: x * limited(x + 3, 0, 6) / 6,
    "prelu": lambda x, w: x if x > 0 else w * x,
    "huber": huber,
    "sigmoid_pull": lambda g, y: g * (y - y * y), "tanh_pull": lambda g, y: g * (1 + y) * (1 - y),
    "silu": through(SILU), "silu_pull": pull_of(SILU), "gelu": lambda x, form: through(GELU[form])(x),
    "gelu_pull": lambda g, x, form: pull_of(GELU[form])(g, x),
    "ceil": math.ceil, "floor": math.floor, "trunc": math.trunc, "round": round,
    "round_decimals": lambda x, decimals: round(x * 10**decimals) / 10**decimals,
    "frac": lambda x: math.fmod(x, 1),
    "nan_to_num": lambda x, nan, posinf, neginf: nan if is_nan(x) else posinf if x == INF else neginf if x == -INF else x,
    "power_of_two": lambda x: 2.0 ** -math.frexp(x)[1],
    "isfinite": lambda x: cmath.isfinite(x), "isinf": lambda x: cmath.isinf(x), "isnan": lambda x: cmath.isnan(x),
    "isposinf": lambda x: x == INF, "isneginf": lambda x: x == -INF, "isreal": lambda x: complex(x).imag == 0,
    "signbit": lambda x: math.copysign(1, x) < 0,
    "logical_not": operator.not_, "bitwise_not": lambda x: not x if isinstance(x, bool) else ~x,
    "conj": lambda x: x.conjugate(), "conj_physical": lambda x: x.conjugate(),
    "sign": sign, "sgn": sign, "abs": abs, "angle": lambda x: cmath.phase(x),
    "igamma": through(lambda a, x: mp.gammainc(a, 0, x, regularized=True)),
    "igammac": through(lambda a, x: mp.gammainc(a, x, INF, regularized=True)),
    "erf": through(mp.erf), "erfc": through(mp.erfc), "erfinv": through(mp.erfinv),
    "lgamma": lambda x: float(mp.log(abs(mp.gamma(x)))), "digamma": through(mp.digamma),
    "polygamma": lambda x, n: float(mp.polygamma(n, x)),
    "i0": through(lambda x: mp.besseli(0, x)), "i1": through(lambda x: mp.besseli(1, x)),
    "bessel_i": lambda x, n: float(mp.besseli(n, x)),
    "sin": through(mp.sin), "cos": through(mp.cos), "tan": through(mp.tan), "sinh": through(mp.sinh), "cosh": through(mp.cosh),
    "tanh": through(mp.tanh), "asin": through(mp.asin), "acos": through(mp.acos), "atan": through(mp.atan),
    "asinh": through(mp.asinh), "acosh": through(mp.acosh), "atanh": through(mp.atanh),
    "deg2rad": math.radians, "rad2deg": math.degrees,
    "sinc": through(lambda x: mp.sinc(mp.pi * x)), "sinc_derivative": through(sinc_derivative),
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy_with_logits": through(lambda x, y: y * mp.log(1 + mp.exp(-x)) + (1 - y) * mp.log(1 + mp.exp(x))),
}  # fmt: skip


def elementwise(f):
    """Return a function of numbers as one of arrays that broadcast."""

    def call(*args, **params):
        if not args or all(np.ndim(a) == 0 for a in args):
            return np.asarray(f(*[getattr(a, "item", lambda a=a: a)() for a in args], **params))
        arrays = np.broadcast_arrays(*[np.asarray(a) if a is not None else np.asarray(None, object) for a in args])
        out = np.empty(arrays[0].shape, object)
        for place in np.ndindex(out.shape):
            out[place] = f(*[a[place].item() if hasattr(a[place], "item") else a[place] for a in arrays], **params)
        kinds = {type(v) for v in out.flat}
        return out.astype(bool if kinds == {bool} else complex if complex in kinds else float)

    return call


# -- functions of arrays -----------------------------------------------------------------------------------------------


def lines(x, axis):
    """Yield (where, line) for each line of an array along an axis; a 0-d array is a line of one."""
    x = np.atleast_1d(x)
    moved = np.moveaxis(x, axis, -1)
    for place in np.ndindex(moved.shape[:-1]):
        yield place, list(moved[place])


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0] if isinstance(x, float) else int(x) % 2**64


def along(f, results=1):
    """Return a function of a line that gives numbers, as a reduction along `axis` with `keepdims`."""

    def call(x, *, axis, keepdims=False, **params):
        if axis is None:
            axis = tuple(range(x.ndim))
        axes = axis if isinstance(axis, tuple) else (axis,)
        if not x.ndim:
            found = f([x[()]], **params)
            return np.asarray(found) if results == 1 else tuple([np.asarray(v) for v in found])
        kept = [k for k in range(x.ndim) if k not in axes]
        shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
        length = math.prod([x.shape[k] for k in axes])
        flat = x.transpose(*kept, *axes).reshape(*[x.shape[k] for k in kept], length) if axes else x[..., None]
        outs = [np.empty(flat.shape[:-1], object) for _ in range(results)]
        for place in np.ndindex(flat.shape[:-1]):
            found = f([v.item() for v in flat[place]], **params)
            for out, value in zip(outs, found if results > 1 else (found,), strict=True):
                out[place] = value
        outs = [typed(o).reshape(shape if keepdims else o.shape) for o in outs]
        return outs[0] if results == 1 else tuple(outs)

    return call


def typed(out):
    kinds = {type(v) for v in out.flat}
    return out.astype(bool if kinds == {bool} else complex if complex in kinds else float)


def total(values):
    return sum(values, 0.0)


def mean(values):
    return total(values) / len(values) if values else math.nan


def spread(values, correction):
    n = len(values)
    if n - correction <= 0:
        return math.nan
    m = mean(values)
    return sum([abs(v - m) ** 2 for v in values]) / (n - correction)


def extreme(better):
    """Return (value, first position) of the best of a line; a NaN is the best."""

    def call(values):
        k = next((i for i, v in enumerate(values) if is_nan(v)), None)
        if k is None:
            k = better(range(len(values)), key=lambda i: values[i])
        return values[k], k

    return call


largest, smallest = extreme(max), extreme(min)


def logsumexp(values):
    if any(isinstance(v, complex) for v in values):
        return cmath.log(sum(map(cmath.exp, values))) if values else -INF
    return float(mp.log(mp.fsum([mp.exp(v) for v in values]))) if values else -INF


def norm(values, order):
    sizes = [abs(v) for v in values]
    if order == INF:
        return max(sizes, default=0.0)
    if order == -INF:
        return min(sizes, default=INF)
    if order == 0:
        return float(sum(v != 0 for v in sizes))
    return sum([v**order for v in sizes]) ** (1 / order)


def scanned(step):
    """Return a function that carries a state along each line: ``state, value = step(state, element)``."""

    def call(x, *, axis, reverse=False):
        x = np.asarray(x)
        if not x.ndim:
            return np.asarray(step(None, x[()])[1])
        moved = np.moveaxis(x, axis, -1)
        moved = moved[..., ::-1] if reverse else moved
        out = np.empty(moved.shape, object)
        for place in np.ndindex(moved.shape[:-1]):
            state = None
            for k, v in enumerate(moved[place]):
                state, out[(*place, k)] = step(state, v.item())
        out = typed(out) if out.size else out.astype(x.dtype)
        return np.moveaxis(out[..., ::-1] if reverse else out, -1, axis)

    return call


def running(better):
    def call(x, *, axis):
        if not x.ndim:
            return x, np.zeros((), int)
        moved = np.moveaxis(x, axis, -1)
        values, places = np.empty(moved.shape, x.dtype), np.zeros(moved.shape, int)
        for place in np.ndindex(moved.shape[:-1]):
            at = 0
            for k, v in enumerate(moved[place]):
                best = moved[place][at]
                if is_nan(v) or (not is_nan(best) and (v == best or better(v, best) == v)):
                    at = k
                values[(*place, k)], places[(*place, k)] = moved[place][at], at
        return np.moveaxis(values, -1, axis), np.moveaxis(places, -1, axis)

    return call


def recurrence(a, b, *, axis, reverse):
    """y[k] = a[k] y[k-1] + b[k]."""
    if not np.ndim(b):
        return b
    a, b = np.moveaxis(np.asarray(a), axis, -1), np.moveaxis(np.asarray(b), axis, -1)
    a, b = (a[..., ::-1], b[..., ::-1]) if reverse else (a, b)
    y = np.zeros(b.shape, np.result_type(a, b))
    for k in range(b.shape[-1]):
        y[..., k] = b[..., k] + (a[..., k] * y[..., k - 1] if k else 0)
    return np.moveaxis(y[..., ::-1] if reverse else y, -1, axis)


def product(spec):
    """Return a contraction written as for einsum, summed by loops over all its letters."""
    inputs, output = spec.split("->")
    letters = inputs.split(",")

    def call(*args):
        args = [np.asarray(a) for a in args]
        sizes = {c: n for word, a in zip(letters, args, strict=True) for c, n in zip(word, a.shape, strict=True)}
        out = np.zeros([sizes[c] for c in output], np.result_type(*args))
        for place in itertools.product(*[range(n) for n in sizes.values()]):
            at = dict(zip(sizes, place, strict=True))
            term = math.prod([a[tuple(at[c] for c in word)] for word, a in zip(letters, args, strict=True)])
            out[tuple(at[c] for c in output)] += term
        return out

    return call


def matmul(x, y):
    if x.ndim == 1 or y.ndim == 1 or x.ndim == y.ndim == 2:
        x2, y2 = x.reshape(1, -1) if x.ndim == 1 else x, y.reshape(-1, 1) if y.ndim == 1 else y
        if x2.ndim == y2.ndim == 2:
            out = product("ij,jk->ik")(x2, y2)
            return out.reshape([n for n, gone in zip(out.shape, (x.ndim == 1, y.ndim == 1), strict=True) if not gone])
    lead = np.broadcast_shapes(x.shape[:-2] if x.ndim > 1 else (), y.shape[:-2] if y.ndim > 1 else ())
    xs = np.broadcast_to(x, (*lead, *x.shape[-2:])) if x.ndim > 1 else None
    ys = np.broadcast_to(y, (*lead, *y.shape[-2:])) if y.ndim > 1 else None
    parts = [matmul(x if xs is None else xs[k], y if ys is None else ys[k]) for k in np.ndindex(lead)]
    if parts:
        return np.stack(parts).reshape(*lead, *parts[0].shape)
    rest = ([] if x.ndim == 1 else [x.shape[-2]]) + ([] if y.ndim == 1 else [y.shape[-1]])
    return np.zeros((*lead, *rest), np.result_type(x, y))


def scaled_sum(spec):
    return lambda x, a, b, *, beta, alpha: (beta * x if beta else 0) + alpha * product(spec)(a, b)


def at_index(x, index, axis):
    """Yield (place in the index, place in x) for gather and scatter along an axis."""
    for place in np.ndindex(index.shape):
        there = list(place)
        if there:
            there[axis] = int(index[place])
        yield place, tuple(there)


def gather(x, index, *, axis):
    out = np.zeros(index.shape, x.dtype)
    for place, there in at_index(x, index, axis):
        out[place] = x[there]
    return out


def scattered(put):
    def call(x, index, y, *, axis, **params):
        out = np.array(x)
        y = np.broadcast_to(y, index.shape) if np.ndim(y) == 0 else y
        touched = set()
        for place, there in at_index(x, index, axis):
            out[there] = put(out[there], y[place], there in touched, **params)
            touched.add(there)
        return out

    return call


def best_of(old, new, seen, largest, include_self):
    if not seen and not include_self:
        return new
    return (larger if largest else smaller)(old, new)


def turns(index, *, axis):
    """Return how often an element's target came before it."""
    seen, out = {}, np.zeros(index.shape, int)
    for place, there in at_index(None, index, axis):
        out[place] = seen.get(there, 0)
        seen[there] = out[place] + 1
    return out


def rows(put):
    """Return an op that writes to the rows that an index vector names, as slices along `axis`."""

    def call(x, i, y, *, axis, **_):
        out = np.moveaxis(np.array(x), axis, 0) if np.ndim(x) else np.array(x).reshape(1)
        y = np.moveaxis(np.asarray(y), axis, 0) if np.ndim(y) else y
        for k, row in enumerate(np.atleast_1d(i)):
            out[int(row)] = put(out[int(row)], y[k] if np.ndim(y) else y)
        return np.moveaxis(out, 0, axis) if np.ndim(x) else out.reshape(())

    return call


def place(x, *, shape, index):
    out = np.zeros(shape, np.asarray(x).dtype)
    out[index] = x
    return out


def overwrite(x, y, *, index):
    out = np.array(x)
    out[index] = y
    return out


def diagonal_places(shape, offset, a, b):
    """Yield (place in the diagonal, place in the array)."""
    rest = [k for k in range(len(shape)) if k not in (a, b)]
    n = min(shape[a] + min(offset, 0), shape[b] - max(offset, 0))
    for lead in np.ndindex(*[shape[k] for k in rest]):
        for k in range(max(n, 0)):
            there = dict(zip(rest, lead, strict=True)) | {a: k - min(offset, 0), b: k + max(offset, 0)}
            yield (*lead, k), tuple(there[j] for j in range(len(shape)))


def diagonal(x, *, offset, a, b):
    pairs = list(diagonal_places(x.shape, offset, a, b))
    rest = [n for k, n in enumerate(x.shape) if k not in (a, b)]
    out = np.zeros((*rest, max(0, min(x.shape[a] + min(offset, 0), x.shape[b] - max(offset, 0)))), x.dtype)
    for here, there in pairs:
        out[here] = x[there]
    return out


def diagonal_scatter(x, y, *, offset, a, b):
    out = np.array(x)
    for here, there in diagonal_places(x.shape, offset, a, b):
        out[there] = y[here]
    return out


def windows(x, *, axis, size, step):
    if not x.ndim:
        return np.array(x).reshape(1)[:size]
    starts = range(0, x.shape[axis] - size + 1, step)
    parts = [np.moveaxis(np.take(x, range(s, s + size), axis), axis, -1) for s in starts]
    return np.stack(parts, axis)


def fold(x, *, shape, axis, size, step):
    out = np.zeros(shape, x.dtype)
    if not shape:
        return x.sum().reshape(())
    for k in range(x.shape[axis]):
        for j in range(size):
            at = [slice(None)] * len(shape)
            at[axis] = k * step + j
            out[tuple(at)] += np.take(np.take(x, k, axis), j, -1)
    return out


def strided(size, stride, offset):
    """Yield (place in the view, place in the flat memory)."""
    for here in np.ndindex(*size):
        yield here, offset + sum(k * s for k, s in zip(here, stride, strict=True))


def as_strided(x, *, size, stride, offset):
    out = np.zeros(size, x.dtype)
    for here, there in strided(size, stride, offset):
        out[here] = x.reshape(-1)[there]
    return out


def sum_strided(x, *, shape, size, stride, offset):
    out = np.zeros(math.prod(shape), x.dtype)
    for here, there in strided(size, stride, offset):
        out[there] += x[here]
    return out.reshape(shape)


def as_strided_scatter(x, y, *, size, stride, offset):
    out = np.array(x).reshape(-1)
    for here, there in strided(size, stride, offset):
        out[there] = y[here]
    return out.reshape(x.shape)


def tile(x, *, counts):
    x = x.reshape((*(1,) * (len(counts) - x.ndim), *x.shape))
    out = np.zeros([n * c for n, c in zip(x.shape, counts, strict=True)], x.dtype)
    for place in np.ndindex(out.shape):
        out[place] = x[tuple(p % n for p, n in zip(place, x.shape, strict=True))]
    return out


def moved_by(x, *, shifts, axis):
    out = np.array(x)
    if axis == ():  # of the elements in a row
        return moved_by(out.reshape(-1), shifts=shifts, axis=(0,)).reshape(x.shape)
    for n, k in zip(shifts, axis, strict=True) if isinstance(axis, tuple) else [(shifts, axis)]:
        size = out.shape[k]
        out = np.take(out, [(i - n) % size for i in range(size)], k) if size else out
    return out


def triangle(keeps):
    def call(x, *, k):
        out = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            if keeps(place[-1] - place[-2], k):
                out[place] = x[place]
        return out

    return call


def padded(x, *, widths, value):
    out = np.full([a + n + b for n, (a, b) in zip(x.shape, widths, strict=True)], value, x.dtype)
    for place in np.ndindex(x.shape):
        there = tuple(p + a for p, (a, _) in zip(place, widths, strict=True))
        if all(0 <= t < n for t, n in zip(there, out.shape, strict=True)):
            out[there] = x[place]
    return out


def stable_order(values, descending):
    key = lambda i: (is_nan(values[i]), values[i] if not is_nan(values[i]) else 0)
    if not descending:
        return sorted(range(len(values)), key=key)
    return sorted(range(len(values)), key=lambda i: (not is_nan(values[i]), -values[i] if not is_nan(values[i]) else 0))


def sort(x, *, axis, descending, stable):
    if not x.ndim:
        return x, np.zeros((), int)
    moved = np.moveaxis(x, axis, -1)
    order = np.array([stable_order(list(map(float, line)), descending) for _, line in lines(x, axis)], int)
    order = order.reshape(moved.shape)
    return np.moveaxis(np.take_along_axis(moved, order, -1), -1, axis), np.moveaxis(order, -1, axis)


def median_of(values, skip=False):
    if not skip and any(map(is_nan, values)):
        return math.nan
    kept = sorted(v for v in values if not is_nan(v))
    return kept[(len(kept) - 1) // 2] if kept else math.nan


def searched(boundaries, values, *, right):
    out = np.zeros(np.shape(values), int)
    for at in np.ndindex(out.shape):
        row = boundaries if boundaries.ndim == 1 else boundaries[at[:-1]]
        v = values[at] if np.ndim(values) else values
        out[at] = sum(b <= v if right else b < v for b in row)
    return out


def masked_put(x, mask, values, *, lead, accumulate):
    out, flat = np.array(x), None
    places = [p for p in np.ndindex(mask.shape) if mask[p]]
    for n, p in enumerate(places):
        at = (*[slice(None)] * lead, *p)
        value = np.asarray(values)
        if value.ndim > lead:
            value = value[(*[slice(None)] * lead, n if value.shape[lead] > 1 else 0)]
        out[at] = out[at] + value if accumulate else value
    return out if flat is None else flat


def masked(x, mask, *, lead):
    places = [p for p in np.ndindex(mask.shape) if mask[p]]
    rest = x.shape[lead + mask.ndim :]
    out = np.zeros((*x.shape[:lead], len(places), *rest), x.dtype)
    for n, p in enumerate(places):
        out[(*[slice(None)] * lead, n)] = x[(*[slice(None)] * lead, *p)]
    return out


def subscripts(i, axes):
    """Yield (place in the index, {axis: position})."""
    parts = i[None] if len(axes) == 1 else i
    for place in np.ndindex(parts.shape[1:]):
        yield place, {axis: int(part[place]) for axis, part in zip(axes, parts, strict=True)}


def indexed_places(x_shape, i, axes):
    """Yield (place in the result, place in x) of an index by integer arrays along some axes."""
    rest = [k for k in range(len(x_shape)) if k not in axes]
    adjacent = list(axes) == list(range(axes[0], axes[-1] + 1))
    front = [k for k in rest if k < axes[0]] if adjacent else []
    back = [k for k in rest if k not in front]
    for before in np.ndindex(*[x_shape[k] for k in front]):
        for place, fixed in subscripts(i, axes):
            for after in np.ndindex(*[x_shape[k] for k in back]):
                there = dict(zip(front, before, strict=True)) | fixed | dict(zip(back, after, strict=True))
                yield (*before, *place, *after), tuple(there[k] for k in range(len(x_shape)))


def indexed_shape(shape, i, axes):
    places = i.shape if len(axes) == 1 else i.shape[1:]
    adjacent = list(axes) == list(range(axes[0], axes[-1] + 1))
    front = [n for k, n in enumerate(shape) if k not in axes and k < axes[0] and adjacent]
    return (*front, *places, *[n for k, n in enumerate(shape) if k not in axes][len(front) :])


def index(x, i, *, axes):
    pairs = list(indexed_places(x.shape, i, axes))
    out = np.zeros(indexed_shape(x.shape, i, axes), x.dtype)
    for here, there in pairs:
        out[here] = x[there]
    return out


def index_sum(g, i, *, shape, axes):
    out = np.zeros(shape, g.dtype)
    for here, there in indexed_places(shape, i, axes):
        out[there] += g[here]
    return out


def index_put(x, i, values, *, axes, accumulate):
    out = np.array(x)
    pairs = list(indexed_places(x.shape, i, axes))
    values = np.broadcast_to(values, indexed_shape(x.shape, i, axes))
    for here, there in pairs:
        out[there] = out[there] + values[here] if accumulate else values[here]
    return out


def put(x, i, y, *, accumulate):
    out = np.array(x).reshape(-1)
    for k, v in zip(i.reshape(-1), y.reshape(-1), strict=True):
        out[k] = out[k] + v if accumulate else v
    return out.reshape(x.shape)


def unique(x, *, axis, consecutive=False):
    rows = x.reshape(-1) if axis is None else np.moveaxis(np.atleast_1d(x), axis, 0)
    keys = [tuple(np.ravel(r).tolist()) for r in rows]
    if consecutive:
        kept = [k for k in range(len(keys)) if not k or keys[k] != keys[k - 1]]
        inverse = [sum(k <= j for k in kept) - 1 for j in range(len(keys))]
    else:
        kept = [keys.index(key) for key in sorted(set(keys))]
        inverse = [[keys[k] for k in kept].index(key) for key in keys]
    counts = [inverse.count(n) for n in range(len(kept))]
    values = rows[kept]
    values = values if axis is None else np.moveaxis(values, 0, axis)
    return values, np.array(inverse, int).reshape(x.shape if axis is None else -1), np.array(counts, int)


def histogram(x, *, bins, low, high):
    out = np.zeros(bins, int)
    for v in x.reshape(-1):
        if low <= v <= high:
            out[min(int((v - low) / (high - low) * bins), bins - 1)] += 1
    return out


def bincount(x, weights=None, *, minlength):
    out = np.zeros(max(minlength, max(x.reshape(-1).tolist(), default=-1) + 1), int if weights is None else weights.dtype)
    for k, v in enumerate(x):
        out[v] += 1 if weights is None else weights[k]
    return out


def ties(x, out, *, axis, keepdims, nan):
    best = out if keepdims or not x.ndim else np.reshape(out, [1 if k in axis else n for k, n in enumerate(x.shape)])
    chosen = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        b = best[tuple(0 if k in axis else p for k, p in enumerate(place))] if x.ndim else best
        chosen[place] = x[place] == b or (nan and is_nan(x[place]) and is_nan(b))
    counts = along(total)(chosen, axis=axis, keepdims=True)
    return chosen / counts


def softmax(values):
    weights = [mp.exp(v) for v in values]
    return [float(w / mp.fsum(weights)) for w in weights]


def each_line(f):
    """Return a function that makes a line of a line, along `axis`."""

    def call(x, *, axis):
        if not x.ndim:
            return np.asarray(f([x.item()])[0])
        moved = np.moveaxis(x, axis, -1)
        out = np.array([f([v.item() for v in moved[p]]) for p in np.ndindex(moved.shape[:-1])], float).reshape(moved.shape)
        return np.moveaxis(out, -1, axis)

    return call


def parts_of(x, sizes, axis):
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return tuple([np.take(x, range(s, s + n), axis) for s, n in zip(starts, sizes, strict=True)])


def split(x, *, sizes, axis):
    if isinstance(sizes, int):
        n = x.shape[axis]
        sizes = [min(sizes, n - k) for k in range(0, n, sizes)] or [0]
    return parts_of(x, list(sizes), axis)


def cat(*xs, axis):
    xs = [x for x in xs if x.shape != (0,) or all(y.shape == (0,) for y in xs)]
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    out, at = np.zeros(shape, np.result_type(*xs)), 0
    for x in xs:
        for place in np.ndindex(x.shape):
            there = list(place)
            there[axis] += at
            out[tuple(there)] = x[place]
        at += x.shape[axis]
    return out


def block_diag(*xs):
    xs = [np.atleast_2d(x) for x in xs]
    out, r, c = np.zeros((sum(x.shape[0] for x in xs), sum(x.shape[1] for x in xs)), np.result_type(*xs)), 0, 0
    for x in xs:
        out[r : r + x.shape[0], c : c + x.shape[1]] = x
        r, c = r + x.shape[0], c + x.shape[1]
    return out


def cross(x, y, *, axis):
    x, y = np.broadcast_arrays(x, y)
    a, b = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    return np.moveaxis(np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]), 0, axis)


def class_places(target, ndim):
    for p in np.ndindex(target.shape):
        yield p, ((p[0], int(target[p]), *p[1:]) if ndim > 1 else (int(target[p]),))


def nll_loss(x, target, weight, *, reduction, ignore):
    terms, total_weight = np.zeros(target.shape), 0.0
    for p, there in class_places(target, x.ndim):
        if target[p] != ignore:
            w = 1.0 if weight is None else weight[int(target[p])]
            terms[p], total_weight = -w * x[there], total_weight + w
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / total_weight


def nll_spread(g, target, weight, *, shape, reduction, ignore):
    out = np.zeros(shape)
    live = [p for p, _ in class_places(target, len(shape)) if target[p] != ignore]
    weights = {p: 1.0 if weight is None else weight[int(target[p])] for p in live}
    for p, there in class_places(target, len(shape)):
        if p in weights:
            share = weights[p] / (sum(weights.values()) if reduction == "mean" else 1)
            out[there] = -share * (g[p] if reduction == "none" else g)
    return out


def summed_to(x, *, shape):
    out = np.zeros(shape, x.dtype)
    for p in np.ndindex(x.shape):
        q = p[len(p) - len(shape) :] if shape else ()
        out[tuple(0 if n == 1 else k for k, n in zip(q, shape, strict=True))] += x[p]
    return out


def reshaped(x, *, shape):
    return np.array(list(x.flat), x.dtype).reshape(shape)


def copied(x, **_):
    return np.array(x)


def shifted(x, *, axis, by):
    out = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        there = list(place)
        if there:
            there[axis] += by
            if 0 <= there[axis] < x.shape[axis]:
                out[tuple(there)] = x[place]
    return out


def dft(x, axis, norm, sign):
    """Sum x[j] exp(sign 2πi jk / n) along axes, as it is written."""
    points = math.prod([x.shape[k] for k in axis])
    for k in axis:
        n = x.shape[k]
        turns = np.array([[cmath.exp(sign * 2j * math.pi * a * b / n) for b in range(n)] for a in range(n)])
        x = np.moveaxis(np.tensordot(turns, x, (1, k)), 0, k)
    return x / {"none": 1, "root": math.sqrt(points), "n": points}[norm]


def half_dft(x, *, axis, norm, half):
    out = dft(x, axis, norm, -1)
    return np.take(out, range(x.shape[axis[-1]] // 2 + 1), axis[-1]) if half else out


def real_dft(x, *, axis, norm, n):
    """The other frequencies of the last axis are the conjugates of those given, at the opposite place of all axes."""
    other, last = axis[:-1], axis[-1]
    x = dft(x, other, "none", 1)
    x = np.moveaxis(x, last, 0)
    whole = np.stack([x[k].real if 2 * k % n == 0 else x[k] if 2 * k < n else x[n - k].conj() for k in range(n)])
    whole = np.moveaxis(whole, 0, last)
    out = dft(whole, (last,), "none", 1).real
    points = math.prod([out.shape[k] for k in axis])
    return out / {"none": 1, "root": math.sqrt(points), "n": points}[norm]


def along_axes(f, x, axis):
    """Return a function of the lists of elements along axes, these kept with size 1."""
    rest = [range(1) if k in axis else range(n) for k, n in enumerate(x.shape)]
    out = np.zeros([len(r) for r in rest])
    for p in itertools.product(*rest):
        out[p] = f(list(x[tuple(slice(None) if k in axis else i for k, i in enumerate(p))].flat))
    return out


def standardize(x, w, b, axis, eps):
    average = along_axes(mean, x, axis)
    scale = 1 / np.sqrt(along_axes(mean, (x - average) ** 2, axis) + eps)
    return (x - average) * scale * (1 if w is None else w) + (0 if b is None else b), average, scale


def lstm_step(gates, c):
    n = c.shape[-1]
    logistic = lambda x: np.vectorize(lambda v: 1 / (1 + math.exp(-v)), otypes=[float])(x)
    i, f, g, o = (gates[..., k * n : (k + 1) * n] for k in range(4))
    i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
    cell = f * c + i * g
    return o * np.tanh(cell), cell, np.concatenate([i, f, g, o], -1)


def lstm(gates, h, c, w):
    found = []
    for x in gates:
        h, c, active = lstm_step(x + h @ w.T, c)
        found.append((h, c, active))
    return tuple(np.stack(parts) for parts in zip(*found, strict=True))


ARRAYS = {
    "fft_c2c": lambda x, axis, norm, forward: dft(x, axis, norm, -1 if forward else 1), "fft_r2c": half_dft,
    "fft_c2r": real_dft,
    "true_indices": lambda condition: tuple([np.array([p[k] for p in np.ndindex(condition.shape) if condition[p]], int)
                                             for k in range(condition.ndim)]),
    "getitem": lambda x, index: x[index], "place": place, "overwrite": overwrite,
    "diagonal": diagonal,
    "place_diagonal": lambda x, shape, **p: diagonal_scatter(np.zeros(shape, x.dtype), x, **p),
    "diagonal_scatter": diagonal_scatter,
    "trace": lambda x: sum([x[k, k] for k in range(min(x.shape))], x.dtype.type(0)),
    "unfold": windows, "fold": fold,
    "as_strided": as_strided, "sum_strided": sum_strided, "as_strided_scatter": as_strided_scatter,
    "to": lambda x, dtype, source: np.array([v if np.dtype(dtype).kind == "c" else getattr(v, "real", v)
                                             for v in x.flat], dtype).reshape(x.shape),
    "clone": copied, "alias": copied, "contiguous": copied, "named": copied,
    "copy": lambda x, y, form: np.broadcast_to(y, x.shape),
    "broadcast_to": lambda x, shape: x + np.zeros(shape, x.dtype), "sum_to": summed_to,
    "reshape": reshaped, "view": reshaped, "reshape_alias": reshaped,
    "squeeze": lambda x, axis, form: reshaped(x, shape=[n for k, n in enumerate(x.shape) if k not in axis]),
    "unsqueeze": lambda x, axis: reshaped(x, shape=[*x.shape[:axis], 1, *x.shape[axis:]]),
    "permute": lambda x, order: np.moveaxis(x, order, range(x.ndim)),
    "transpose": lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
    "t": lambda x: np.moveaxis(x, 0, -1) if x.ndim > 1 else x,
    "flip": lambda x, axis: x[tuple(slice(None, None, -1) if k in axis else slice(None) for k in range(x.ndim))],
    "roll": moved_by,
    "rot90": lambda x, k, axis: quarter_turns(x, k, axis),
    "tril": triangle(lambda d, k: d <= k), "triu": triangle(lambda d, k: d >= k),
    "repeat": tile, "constant_pad": padded,
    "index": index, "index_sum": index_sum, "index_put": index_put,
    "index_select": lambda x, i, axis: index(x, np.atleast_1d(i), axes=(axis,)) if x.size else np.take(x, i, axis),
    "index_add": rows(operator.add), "index_copy": rows(lambda old, new: new), "index_fill": rows(lambda old, new: new),
    "fill_places": lambda i, size, after: np.array([k in {v % size for v in i.reshape(-1)} for k in range(size)]).reshape(
        size, *(1,) * after),
    "take": lambda x, i: np.array([x.flat[k] for k in i.reshape(-1)], x.dtype).reshape(i.shape), "put": put,
    "gather": gather, "scatter_add": scattered(lambda old, new, seen: old + new),
    "scatter": scattered(lambda old, new, seen, form: new), "scatter_extreme": scattered(best_of), "turns": turns,
    "max_along": along(largest, 2), "min_along": along(smallest, 2),
    "sort": sort,
    "topk": lambda x, k, axis, largest: tuple([np.take(o, range(k), axis) if x.ndim else o
                                               for o in sort(x, axis=axis, descending=largest, stable=True)]),
    "searchsorted": searched, "unique": unique, "unique_consecutive": lambda x, axis: unique(x, axis=axis, consecutive=True),
    "isin": lambda x, test, invert: np.array([(v in set(test.reshape(-1).tolist())) != invert
                                              for v in x.reshape(-1).tolist()], bool).reshape(x.shape),
    "histc": histogram, "bincount": bincount,
    "shift": shifted,
    "cumsum": scanned(lambda s, v: ((s or 0) + v,) * 2), "cumprod": scanned(lambda s, v: ((1 if s is None else s) * v,) * 2),
    "logcumsumexp": scanned(lambda s, v: (([*(s or []), v]), logsumexp([*(s or []), v]))),
    "difference": lambda x, axis: np.take(x, range(1, x.shape[axis]), axis) - np.take(x, range(x.shape[axis] - 1), axis),
    "recurrence": recurrence, "cummax": running(max), "cummin": running(min),
    "sum": along(total), "mean": along(mean), "nansum": along(lambda v: total([x for x in v if not is_nan(x)])),
    "prod": along(lambda v: math.prod(v, start=1.0)), "ties": ties,
    "amax": along(lambda v: largest(v)[0]), "amin": along(lambda v: smallest(v)[0]),
    "max_of_all": along(lambda v: largest(v)[0]), "min_of_all": along(lambda v: smallest(v)[0]),
    "median_of_all": along(median_of), "nanmedian_of_all": along(lambda v: median_of(v, skip=True)),
    "aminmax": lambda x, axis, keepdims: tuple([along(lambda v: e(v)[0])(x, axis=axis, keepdims=keepdims)  # noqa: B023
                                                for e in (smallest, largest)]),
    "argmax": along(lambda v: largest(v)[1]), "argmin": along(lambda v: smallest(v)[1]),
    "all": along(lambda v: all(map(bool, v))), "any": along(lambda v: any(map(bool, v))),
    "xor_sum": along(lambda v: reduce(operator.xor, map(bits, v), 0)),
    "counted_of": lambda y, x, name: y,
    "count_nonzero": along(lambda v: sum(x != 0 for x in v)),
    "logsumexp": along(logsumexp), "softmax": each_line(softmax),
    "log_softmax": each_line(lambda v: [x - logsumexp(v) for x in v]),
    "frexp": lambda x: tuple([np.array([math.frexp(v)[k] for v in x.flat]).reshape(x.shape) for k in (0, 1)]),
    "real": lambda x: np.array([v.real for v in x.flat], float).reshape(x.shape),
    "imag": lambda x: np.array([v.imag for v in x.flat], float).reshape(x.shape),
    "complex": lambda x, y: x + 1j * y,
    "view_as_real": lambda x: np.array([[v.real, v.imag] for v in x.flat], float).reshape(*x.shape, 2),
    "view_as_complex": lambda x: x[..., 0] + 1j * x[..., 1],
    "mm": product("ij,jk->ik"), "mv": product("ij,j->i"), "dot": product("i,i->"), "outer": product("i,j->ij"),
    "bmm": product("bij,bjk->bik"), "matmul": matmul, "bmm_sum": product("bij,bjk->ik"),
    "vdot": lambda x, y: product("i,i->")(x.conj(), y), "cross": cross,
    "addmm": scaled_sum("ij,jk->ik"), "addmv": scaled_sum("ij,j->i"), "addr": scaled_sum("i,j->ij"),
    "baddbmm": scaled_sum("bij,bjk->bik"), "addbmm": scaled_sum("bij,bjk->ik"),
    "linear_map": lambda x, w: matmul(x, np.swapaxes(w, 0, 1)),
    "cat": cat, "stack": lambda *xs, axis: cat(*[np.expand_dims(x, axis) for x in xs], axis=axis),
    "unbind": lambda x, axis: tuple([np.take(x, k, axis) for k in range(x.shape[axis])]),
    "split": split, "split_with_sizes": split, "unsafe_split": split, "unsafe_split_with_sizes": split,
    "block_diag": block_diag,
    "var": along(spread), "std": along(lambda v, correction: math.sqrt(spread(v, correction))),
    "var_mean": along(lambda v, correction: (spread(v, correction), mean(v)), 2),
    "std_mean": along(lambda v, correction: (math.sqrt(spread(v, correction)), mean(v)), 2),
    "vector_norm": along(norm),
    "dist": lambda x, y, order: np.asarray(norm(list(np.broadcast_arrays(x - y)[0].flat), order)),
    "masked": masked, "masked_select": lambda x, mask: masked(x, mask, lead=0),
    "masked_place": lambda x, mask, shape, lead: masked_put(np.zeros(shape, x.dtype), mask, x, lead=lead, accumulate=False),
    "masked_put": masked_put,
    "masked_scatter": lambda x, mask, y: masked_put(x, mask, y.reshape(-1)[: int(mask.sum())], lead=0, accumulate=False),
    "unmasked": lambda x, mask, shape: np.array([*[v for v, m in zip(x.flat, mask.flat, strict=True) if m],
                                                 *[0] * (math.prod(shape) - int(mask.sum()))], x.dtype).reshape(shape),
    "nonzero_static": lambda x, size, fill_value: np.array(
        ([p for p in np.ndindex(x.shape) if x[p]] + [(fill_value,) * x.ndim] * size)[:size], int
    ).reshape(size, x.ndim),
    "nonzero": lambda x: np.array([p for p in np.ndindex(x.shape) if x[p]], int).reshape(sum(map(bool, x.flat)), x.ndim),
    "nll_loss": nll_loss, "nll_spread": nll_spread,
    "standardize": standardize, "lstm_step": lstm_step, "lstm": lstm,
    "softmax_pull": lambda g, y, axis: g * y - y * along(total)(g * y, axis=axis, keepdims=True),
    "log_softmax_pull": lambda g, y, axis: g - np.exp(y) * along(total)(g, axis=axis, keepdims=True),
    "standardized": lambda t, y, scale, axis: scale * (t - along_axes(mean, t, axis) - y * along_axes(mean, t * y, axis)),
}  # fmt: skip
ARRAYS |= MATRICES
ARRAYS["conj_view"] = lambda x: np.array([v.conjugate() for v in x.flat], x.dtype).reshape(x.shape)


def quarter_turns(x, k, axis):
    """Turn a quarter k times: the first axis of the plane becomes the second, reversed."""
    a, b = axis
    for _ in range(k % 4):
        x = np.swapaxes(x, a, b)
        x = np.take(x, range(x.shape[a])[::-1], a)
    return x


# Ops whose results no second text says better than the laws do.
BY_LAWS = {
    **dict.fromkeys(("copy_slices", "retake", "assemble"),
                    "its parameter is a path of views: tests/core/test_inplace_writes.py"),
    **dict.fromkeys(("random", "random_of"), "its moments and streams are tested: tests/core/test_random.py"),
    "undifference": "the transpose of difference, by the inner product",
    **dict.fromkeys(("median_along", "nanmedian_along", "kthvalue", "mode"),
                    "which position, at ties, is PyTorch's choice: tests/ops/test_reduction_kinks.py"),
    **BY_PRODUCT,
}  # fmt: skip


def reference_of(op):
    """Return the reference of an op: a function of arrays, or None."""
    if op.name in NUMBERS:
        return elementwise(NUMBERS[op.name])
    return ARRAYS.get(op.name) or WINDOWED.get(op.name) or op.about.reference

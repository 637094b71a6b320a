"""Functions of numbers: what elementwise ops compute, by Python's numbers and mpmath."""

from __future__ import annotations

import cmath
import math
import operator

import mpmath as mp
import numpy as np

INF = math.inf


def is_nan(x):
    return x != x


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
    "huber": huber, "placed_at": lambda x, average, scale: (x - average) * scale,
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

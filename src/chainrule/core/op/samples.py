"""Samples: the inputs on which the tests try an op or a public function, declared beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

Interval = tuple[float, float]


class Fixed:
    """A positional argument given as it is, where a bare tuple would mean the shape of an array to draw."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


class Ints:
    """An integer array to draw: `shape`, values in [low, high)."""

    __slots__ = ("high", "low", "shape")

    def __init__(self, shape: tuple, low: int, high: int):
        self.shape, self.low, self.high = shape, low, high


class Bools:
    """A boolean array to draw."""

    __slots__ = ("shape",)

    def __init__(self, shape: tuple):
        self.shape = shape


class Matrices:
    """Matrices to draw: "regular" ones are well conditioned, "hermitian" ones have eigenvalues apart, or are "positive" ones.

    Where an op reads one triangle and takes the other for its mirror image, derivatives are those among such matrices: their
    directions are Hermitian, too.
    """

    __slots__ = ("kind", "shape")

    def __init__(self, shape: tuple, kind: str = "regular"):
        self.shape, self.kind = shape, kind

    def draw(self, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """Return matrices of a dtype."""
        x = draw_array(rng, self.shape, dtype)
        n, m = self.shape[-2:]
        if self.kind == "regular":
            return (x + 2 * np.sqrt(max(n, m)) * np.eye(n, m)).astype(dtype)
        if self.kind == "positive":
            return (x @ x.conj().swapaxes(-1, -2) + np.eye(n)).astype(dtype)
        return self.direction(x) + 2 * np.diag(np.arange(n)).astype(dtype)

    def direction(self, x: np.ndarray) -> np.ndarray:
        """Return a direction in which such matrices move, made of any array or tensor."""
        return x if self.kind == "regular" else (x + x.conj().swapaxes(-1, -2)) / 2


class Sample:
    """One call to try.

    Parameters
    ----------
    *args
        A tuple of ints draws an array of that shape, `Ints`, `Bools` and `Matrices` arrays of theirs; a list is drawn element
        by element; `Fixed`, arrays, numbers and anything else are given as they are.
    domain : (float, float) or list of them, optional
        Open interval to draw from, for all drawn arrays or one for each; the op's own by default.
    error : (type, str), optional
        The call must raise this, with a message that starts with these words.
    kinds : str, optional
        Restricts the kinds ("f", "c") with which the sample is tried.
    **params
        Keyword arguments, given as they are.
    """

    __slots__ = ("args", "domain", "error", "kinds", "params")

    def __init__(self, *args: Any, domain: Any = None, error: tuple | None = None, kinds: str | None = None, **params: Any):
        self.args, self.params, self.domain, self.error, self.kinds = args, params, domain, error, kinds

    def draw(self, rng: np.random.Generator, dtype: Any, domain: Any = None) -> tuple[list, dict]:
        """Return (positional arguments, parameters) with arrays drawn in `dtype`."""
        domain = self.domain or domain
        intervals = iter(domain) if isinstance(domain, list) else None

        def one(spec: Any) -> Any:
            if isinstance(spec, list):
                return [one(s) for s in spec]
            if isinstance(spec, Fixed):
                return spec.value
            if isinstance(spec, Ints):
                return rng.integers(spec.low, spec.high, spec.shape)
            if isinstance(spec, Bools):
                return rng.random(spec.shape) < 0.5
            if isinstance(spec, Matrices):
                return spec.draw(rng, np.dtype(dtype))
            if spec.__class__ is tuple:
                return draw_array(rng, spec, np.dtype(dtype), next(intervals) if intervals else domain)
            return spec

        return [one(a) for a in self.args], dict(self.params)

    def __repr__(self) -> str:
        shown = [getattr(a, "shape", a) if isinstance(a, Matrices) else a for a in self.args]
        parts = [str(a) if a.__class__ in (tuple, list, int, float) else type(a).__name__ for a in shown]
        return f"Sample({', '.join(parts + [f'{k}={v}' for k, v in self.params.items()])})"


def draw_array(rng: np.random.Generator, shape: tuple, dtype: np.dtype, domain: Interval | None = None) -> np.ndarray:
    """Return random values of a shape: normal, or uniform on an open interval; complex parts alike."""

    def real() -> np.ndarray:
        if domain is None:
            return np.asarray(rng.normal(size=shape))
        low, high = domain
        return np.asarray(rng.uniform(low, high, size=shape))

    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        return rng.integers(1 if dtype.kind == "u" else -4, 5, shape).astype(dtype)
    values = real() + 1j * real() if dtype.kind == "c" else real()
    return np.asarray(values).astype(dtype)


UNARY = [Sample((3, 4)), Sample(()), Sample((0,)), Sample((2, 1, 3))]
BINARY = [
    Sample((3, 4), (3, 4)), Sample((), ()), Sample((3, 1), (4,)), Sample((), (2, 3)), Sample((2, 3), (1,)),
    Sample((0, 3), (3,)),
    Sample((3,), (4,), error=(RuntimeError, "The size of tensor a (3) must match the size of tensor b (4)")),
]  # fmt: skip
TERNARY = [Sample((3, 4), (3, 4), (3, 4)), Sample((), (), ()), Sample((3, 1), (4,), ()), Sample((2, 0), (1,), (2, 1))]


def samples_of(op: Any) -> list[Sample]:
    """Return the samples of an op; an elementwise op without its own has those of its number of inputs."""
    if op.about.samples is not None:
        return op.about.samples()
    if op.kind == "elementwise" and not op.params:
        return {1: UNARY, 2: BINARY, 3: TERNARY}.get(len(op.inputs), [])
    return []

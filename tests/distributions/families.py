"""The table of families: for each, how to draw parameters, how to make it in either library, and SciPy's distribution of them.

Every law in this folder runs over the table. A family is added by one entry here, and has all of the laws.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

SHAPES = {"single": (), "vector": (3,), "matrix": (2, 3), "broadcast": (2, 3), "empty": (0, 2)}
"""Batches: of no axis, of some, with parameters of fewer elements than the batch, with none."""
QUANTITIES = ("mean", "mode", "variance", "stddev", "entropy")
RTOL = {"float64": 1e-9, "float32": 2e-4}


@dataclass(frozen=True, eq=False)
class Family:
    """What is known of a family.

    name
        The class's, or another if `build` is given.
    parameters
        ``parameters(rng, batch)`` returns arrays by name, each of the batch's shape and then its own.
    scipy
        ``scipy(**arrays)`` returns SciPy's frozen distribution for the parameters of one of the batch.
    build
        ``build(D, **tensors)`` makes it with the distributions of a library; by the class's name if not given.
    outside
        Values that are not in the support, each of the event's shape.
    invalid
        Invalid values of parameters besides NaN, by name; each fills the parameter.
    sampled
        Whether draws are judged by SciPy's distribution function, or its probabilities, and moments.
    rtol
        How far float64 results may be from PyTorch's, relative to them.
    """

    name: str
    parameters: Callable[[np.random.Generator, tuple], dict[str, np.ndarray]]
    scipy: Callable[..., Any] | None = None
    build: Callable[..., Any] | None = None
    outside: tuple = ()
    invalid: Any = ()
    sampled: bool = True
    rtol: float = 1e-9

    def __repr__(self) -> str:
        return self.name

    def make(self, distributions: Any, arguments: dict[str, Any], **options: Any) -> Any:
        """Return the distribution in a library; `build` takes no options."""
        if self.build is not None:
            return self.build(distributions, **arguments)
        return getattr(distributions, self.name)(**arguments, **options)

    def drawn(self, kind: str = "matrix", dtype: str = "float64", seed: int = 0) -> dict[str, np.ndarray]:
        """Return parameters for a kind of batch."""
        rng = np.random.default_rng(seed)
        found = {name: np.asarray(value).astype(dtype) for name, value in self.parameters(rng, SHAPES[kind]).items()}
        if kind == "broadcast" and self.build is None:  # the first of one row
            first = next(iter(found))
            found[first] = found[first][:1] if len(found) > 1 else found[first]
        return found


def quantity(distribution, name):
    """Return a quantity, which may be a property or a method; None if the family has none."""
    try:
        found = getattr(distribution, name)
        return found() if callable(found) else found
    except NotImplementedError:
        return None


FAMILIES: list[Family] = []
"""All of them."""
PAIRS: list[tuple[str, str]] = []
"""Pairs of families by name whose divergence is compared with PyTorch's."""


def family(name: str, parameters: Callable[[np.random.Generator, tuple], dict[str, np.ndarray]], **options: Any) -> None:
    """Add a family to the table."""
    FAMILIES.append(Family(name, parameters, **options))


@functools.cache
def named(name: str) -> Family:
    """Return a family of the table."""
    return next(f for f in FAMILIES if f.name == name)


def real(rng: np.random.Generator, batch: tuple) -> np.ndarray:
    """Return numbers from -2 to 2."""
    return rng.uniform(-2, 2, batch)


def positive(rng: np.random.Generator, batch: tuple, low: float = 0.3, high: float = 3.0) -> np.ndarray:
    """Return positive numbers."""
    return rng.uniform(low, high, batch)


def _uniform(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    low = real(rng, batch)
    return {"low": low, "high": low.max(initial=0) + positive(rng, batch)}


def loc_scale(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return a location and a scale."""
    return {"loc": real(rng, batch), "scale": positive(rng, batch)}


stats = scipy.stats

family("Normal", loc_scale, scipy=lambda loc, scale: stats.norm(loc, scale), outside=(np.nan,), invalid={"scale": 0.0})
family(
    "Uniform", _uniform, scipy=lambda low, high: stats.uniform(low, high - low), outside=(-9.0, 99.0), invalid={"high": -5.0}
)

PAIRS += [("Normal", "Normal"), ("Uniform", "Uniform")]

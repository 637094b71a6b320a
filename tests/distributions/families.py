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
    dtypes
        Those in which PyTorch has it.
    own_errors
        Whether errors of invalid parameters name them, where PyTorch's name those of families that it makes it of.
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
    dtypes: tuple = ("float64", "float32")
    own_errors: bool = False
    rtol: float = 1e-9

    def __repr__(self) -> str:
        return self.name

    def make(self, distributions: Any, arguments: dict[str, Any], **options: Any) -> Any:
        """Return the distribution in a library; `build` takes no options."""
        if self.build is not None:
            return self.build(distributions, **arguments)
        return getattr(distributions, self.name)(**arguments, **options)

    def drawn(self, kind: str = "matrix", dtype: str | None = None, seed: int = 0) -> dict[str, np.ndarray]:
        """Return parameters for a kind of batch, in a dtype or else the first that PyTorch has."""
        dtype = dtype or self.dtypes[0]
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


# -- probabilities and logits --------------------------------------------------------------------------------------------


def share(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return probabilities."""
    return {"probs": rng.uniform(0.1, 0.9, batch)}


def odds(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return log odds."""
    return {"logits": real(rng, batch)}


def weights(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return the weights of four classes."""
    return {"probs": rng.uniform(0.1, 2.0, (*batch, 4))}


def log_weights(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return the logarithms of the weights of four classes."""
    return {"logits": rng.uniform(-2, 2, (*batch, 4))}


def logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def normalized(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(-1, keepdims=True)


class OneHot:
    """SciPy's multinomial of one draw."""

    def __init__(self, probs: np.ndarray):
        self.logpmf = stats.multinomial(1, probs).logpmf


def classes(probs: np.ndarray) -> Any:
    """Return SciPy's distribution of an index with given weights."""
    return stats.rv_discrete(values=(np.arange(probs.size), normalized(probs.astype("float64"))))()


family("Bernoulli", share, scipy=lambda probs: stats.bernoulli(probs), outside=(0.5, np.nan), invalid={"probs": 1.1})
family(
    "Bernoulli of logits",
    odds,
    scipy=lambda logits: stats.bernoulli(logistic(logits)),
    build=lambda D, logits: D.Bernoulli(logits=logits),
    outside=(2.0,),
)
family(
    "Binomial",
    lambda rng, batch: {"total_count": np.full(batch, 7.0), **share(rng, batch)},
    scipy=lambda total_count, probs: stats.binom(total_count, probs),
    outside=(8.0, 0.5, -1.0),
    invalid={"probs": -0.1, "total_count": -1.0},
)
family(
    "Binomial of logits",
    odds,
    scipy=lambda logits: stats.binom(5, logistic(logits)),
    build=lambda D, logits: D.Binomial(5, logits=logits),
    outside=(6.0,),
)
family(
    "Binomial of several counts",
    lambda rng, batch: {"total_count": rng.integers(0, 9, batch).astype(float), **share(rng, batch)},
    scipy=lambda total_count, probs: stats.binom(total_count, probs),
    build=lambda D, total_count, probs: D.Binomial(total_count, probs),
)
family("Categorical", weights, scipy=classes, outside=(4.0, -1.0, 0.5), invalid={"probs": -0.1})
family(
    "Categorical of logits",
    log_weights,
    scipy=lambda logits: classes(np.exp(logits)),
    build=lambda D, logits: D.Categorical(logits=logits),
    outside=(4.0,),
)
family("Geometric", share, scipy=lambda probs: stats.geom(probs, loc=-1), outside=(-1.0, 0.5), invalid={"probs": 0.0})
family(
    "Geometric of logits",
    odds,
    scipy=lambda logits: stats.geom(logistic(logits), loc=-1),
    build=lambda D, logits: D.Geometric(logits=logits),
)
family(
    "Poisson",
    lambda rng, batch: {"rate": positive(rng, batch)},
    scipy=lambda rate: stats.poisson(rate),
    outside=(0.5, -1.0),
    invalid={"rate": -1.0},
)
family("OneHotCategorical", weights, scipy=lambda probs: OneHot(normalized(probs)), outside=(1.0, 0.5), invalid={"probs": -0.1})
family(
    "OneHotCategorical of logits",
    log_weights,
    scipy=lambda logits: OneHot(softmax(logits)),
    build=lambda D, logits: D.OneHotCategorical(logits=logits),
    outside=(1.0,),
)
family("OneHotCategoricalStraightThrough", weights, scipy=lambda probs: OneHot(normalized(probs)), outside=(1.0,))
family(
    "Multinomial",
    weights,
    scipy=lambda probs: stats.multinomial(6, normalized(probs)),
    build=lambda D, probs: D.Multinomial(6, probs),
    outside=(1.0, 0.5),
    rtol=1e-7,  # PyTorch's entropy has its log factorial in float32
)
family(
    "Multinomial of logits",
    log_weights,
    scipy=lambda logits: stats.multinomial(6, softmax(logits)),
    build=lambda D, logits: D.Multinomial(6, logits=logits),
    outside=(1.0,),
    rtol=1e-7,
)

# -- vectors and matrices ------------------------------------------------------------------------------------------------


def definite(rng: np.random.Generator, batch: tuple, n: int = 3) -> np.ndarray:
    """Return positive definite matrices."""
    root = rng.uniform(-1, 1, (*batch, n, n))
    return root @ np.swapaxes(root, -1, -2) + 0.5 * np.eye(n)


def _normal_of(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable:
    return lambda rng, batch: {"loc": rng.uniform(-2, 2, (*batch, 3)), name: make(definite(rng, batch))}


for _name, _make, _covariance in (
    ("covariance_matrix", np.asarray, np.asarray),
    ("precision_matrix", np.asarray, np.linalg.inv),
    ("scale_tril", np.linalg.cholesky, lambda tril: tril @ tril.T),
):
    family(
        f"MultivariateNormal of {_name}",
        _normal_of(_name, _make),
        scipy=lambda loc, _to=_covariance, **given: stats.multivariate_normal(loc, _to(*given.values())),
        build=lambda D, loc, **given: D.MultivariateNormal(loc, **given),
        outside=(np.nan,),
        invalid={_name: -1.0},
    )
family(
    "LowRankMultivariateNormal",
    lambda rng, batch: {
        "loc": rng.uniform(-2, 2, (*batch, 3)),
        "cov_factor": rng.uniform(-1, 1, (*batch, 3, 2)),
        "cov_diag": positive(rng, (*batch, 3)),
    },
    scipy=lambda loc, cov_factor, cov_diag: stats.multivariate_normal(loc, cov_factor @ cov_factor.T + np.diag(cov_diag)),
    outside=(np.nan,),
    invalid={"cov_diag": -1e6},
)


def _mixture(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    return {**weights(rng, batch), **loc_scale(rng, (*batch, 4))}


def _vector_mixture(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    return {
        **weights(rng, batch),
        "loc": rng.uniform(-2, 2, (*batch, 4, 3)),
        "scale_tril": np.linalg.cholesky(definite(rng, (4,))),
    }


family(
    "MixtureSameFamily",
    _mixture,
    build=lambda D, probs, loc, scale: D.MixtureSameFamily(D.Categorical(probs), D.Normal(loc, scale)),
    outside=(np.nan,),
)
family(
    "MixtureSameFamily of vectors",
    _vector_mixture,
    build=lambda D, probs, loc, scale_tril: D.MixtureSameFamily(
        D.Categorical(probs), D.MultivariateNormal(loc, scale_tril=scale_tril)
    ),
)


class Columns:
    """SciPy's distribution of vectors or matrices, whose density takes values along the last axis."""

    def __init__(self, known: Any):
        self.logpdf = lambda x: np.array([known.logpdf(value) for value in x])


def shapes_of_powers(rng: np.random.Generator, batch: tuple) -> dict[str, np.ndarray]:
    """Return the concentration of four classes."""
    return {"concentration": positive(rng, (*batch, 4))}


family(
    "Dirichlet",
    shapes_of_powers,
    scipy=lambda concentration: Columns(stats.dirichlet(concentration)),
    outside=(1.0, -0.5),
    invalid={"concentration": 0.0},
)
family(
    "RelaxedOneHotCategorical",
    lambda rng, batch: {"temperature": positive(rng, ()), **weights(rng, batch)},
    build=lambda D, temperature, probs: D.RelaxedOneHotCategorical(temperature, probs),
    outside=(1.0,),
    invalid={"probs": -0.1},
)
family(
    "RelaxedOneHotCategorical of logits",
    log_weights,
    build=lambda D, logits: D.RelaxedOneHotCategorical(logits.new_tensor(0.7), logits=logits),
    outside=(1.0,),
)
family(
    "ExpRelaxedCategorical",
    weights,
    build=lambda D, probs: D.relaxed_categorical.ExpRelaxedCategorical(probs.new_tensor(0.7), probs),
    outside=(np.nan,),
)


family(
    "Wishart",
    lambda rng, batch: {"df": 3 + positive(rng, batch), "covariance_matrix": definite(rng, batch)},
    scipy=lambda df, covariance_matrix: Columns(stats.wishart(df, covariance_matrix)),
    outside=(np.nan, -1.0),
    invalid={"covariance_matrix": -1.0},
)
family(
    "LKJCholesky",
    lambda rng, batch: {"concentration": positive(rng, batch)},
    build=lambda D, concentration: D.LKJCholesky(3, concentration),
    outside=(1.0,),
    invalid={"concentration": 0.0},
    own_errors=True,
)
family(
    "NegativeBinomial",
    lambda rng, batch: {"total_count": positive(rng, batch), **share(rng, batch)},
    scipy=lambda total_count, probs: stats.nbinom(total_count, 1 - probs),
    outside=(0.5, -1.0),
    invalid={"total_count": -1.0, "probs": 1.0},
)
family(
    "NegativeBinomial of logits",
    odds,
    scipy=lambda logits: stats.nbinom(2.5, 1 - logistic(logits)),
    build=lambda D, logits: D.NegativeBinomial(2.5, logits=logits),
    outside=(-1.0,),
)
family(
    "Uniform of shares",
    lambda rng, batch: {"low": rng.uniform(0.1, 0.3, batch), "high": rng.uniform(0.5, 0.9, batch)},
    build=lambda D, low, high: D.Uniform(low, high),
)

import tests.distributions.continuous  # noqa: F401 - adds to the table

"""The table's families of continuous numbers, and what is made of others by maps."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special, stats
from tests.distributions.families import family, loc_scale, positive, real


def draws(**kinds):
    """Return a family's parameters, each drawn by its own function."""
    return lambda rng, batch: {name: kind(rng, batch) for name, kind in kinds.items()}


def share(rng, batch):
    """Return probabilities, of which some are close to a half."""
    p = rng.uniform(0.05, 0.95, batch)
    return np.where(rng.uniform(size=batch) < 0.2, 0.5 + (p - 0.5) / 1000, p)


def on_circle(loc, concentration):
    """Return SciPy's von Mises distribution, with the distribution function from -π on and the variance of angles."""
    known = stats.vonmises(concentration, loc)
    line = known.cdf
    known.cdf = lambda x: line(x) - line(-np.pi)
    known.var = lambda: 1 - special.i1(concentration) / special.i0(concentration)
    known.std = lambda: np.inf  # draws beyond π come from below
    return known


many = partial(positive, low=2.2, high=9.0)
"""Degrees of freedom or exponents with which there is a mean."""
nonzero = lambda rng, batch: rng.choice([-1, 1], batch) * positive(rng, batch, 0.1, 0.8)

family(
    "Gamma",
    draws(concentration=positive, rate=positive),
    outside=(-1.0, np.nan),
    invalid={"rate": 0.0},
    scipy=lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
)
family(
    "Gamma of small shape",
    draws(concentration=partial(positive, low=0.02, high=0.3), rate=positive),
    build=lambda D, **parameters: D.Gamma(**parameters),
    scipy=lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
    rtol=1e-8,
)
family(
    "Beta",
    draws(concentration1=positive, concentration0=positive),
    outside=(-0.1, 1.1),
    scipy=lambda concentration1, concentration0: stats.beta(concentration1, concentration0),
)
family("Chi2", draws(df=positive), outside=(-1.0,), scipy=lambda df: stats.chi2(df), invalid={"df": -1.0})
family(
    "Exponential", draws(rate=positive), outside=(-1.0,), scipy=lambda rate: stats.expon(scale=1 / rate), invalid={"rate": 0.0}
)
family("Laplace", loc_scale, outside=(np.nan,), scipy=lambda loc, scale: stats.laplace(loc, scale), invalid={"scale": 0.0})
family("Cauchy", loc_scale, outside=(np.nan,), scipy=lambda loc, scale: stats.cauchy(loc, scale), invalid={"scale": 0.0})
family("FisherSnedecor", draws(df1=many, df2=many), outside=(0.0,), scipy=lambda df1, df2: stats.f(df1, df2), own_errors=True)
family(
    "FisherSnedecor without moments",
    draws(df1=positive, df2=positive),
    outside=(0.0,),
    own_errors=True,
    build=lambda D, **parameters: D.FisherSnedecor(**parameters),
    scipy=lambda df1, df2: stats.f(df1, df2),
)
family(
    "StudentT",
    draws(df=many, loc=real, scale=positive),
    outside=(np.nan,),
    own_errors=True,
    scipy=lambda df, loc, scale: stats.t(df, loc, scale),
)
family(
    "StudentT without moments",
    draws(df=partial(positive, low=0.3, high=2.5), loc=real, scale=positive),
    build=lambda D, **parameters: D.StudentT(**parameters),
    own_errors=True,
    scipy=lambda df, loc, scale: stats.t(df, loc, scale),
)
family("Gumbel", loc_scale, outside=(np.nan,), scipy=lambda loc, scale: stats.gumbel_r(loc, scale))
family("HalfCauchy", draws(scale=positive), outside=(-1.0,), scipy=lambda scale: stats.halfcauchy(scale=scale))
family("HalfNormal", draws(scale=positive), outside=(-1.0,), scipy=lambda scale: stats.halfnorm(scale=scale))
family(
    "InverseGamma",
    draws(concentration=positive, rate=positive),
    outside=(0.0,),
    scipy=lambda concentration, rate: stats.invgamma(concentration, scale=rate),
)
family("LogNormal", loc_scale, outside=(0.0,), scipy=lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)))
family("Kumaraswamy", draws(concentration1=positive, concentration0=positive), outside=(-0.1, 1.1))
family("Pareto", draws(scale=positive, alpha=many), outside=(0.1,), scipy=lambda scale, alpha: stats.pareto(alpha, scale=scale))
family(
    "Pareto without moments",
    draws(scale=positive, alpha=positive),
    build=lambda D, **parameters: D.Pareto(**parameters),
    scipy=lambda scale, alpha: stats.pareto(alpha, scale=scale),
)
family(
    "Weibull",
    draws(scale=positive, concentration=positive),
    outside=(0.0,),
    scipy=lambda scale, concentration: stats.weibull_min(concentration, scale=scale),
)
family(
    "GeneralizedPareto",
    draws(loc=real, scale=positive, concentration=nonzero),
    outside=(-9.0,),
    dtypes=("float32",),
    invalid={"scale": 0.0},
    scipy=lambda loc, scale, concentration: stats.genpareto(concentration, loc, scale),
)
family(
    "GeneralizedPareto of concentration 0",
    draws(loc=real, scale=positive),
    outside=(-9.0,),
    dtypes=("float32",),
    build=lambda D, loc, scale: D.GeneralizedPareto(loc, scale, 0.0),
    scipy=lambda loc, scale: stats.genpareto(0.0, loc, scale),
)
family(
    "VonMises",
    draws(loc=real, concentration=positive),
    outside=(np.nan,),
    rtol=5e-6,
    scipy=on_circle,
)
family("ContinuousBernoulli", draws(probs=share), outside=(-0.1, 1.1))
family(
    "ContinuousBernoulli of logits",
    draws(logits=real),
    build=lambda D, **parameters: D.ContinuousBernoulli(**parameters),
    outside=(1.1,),
)
family(
    "LogitRelaxedBernoulli",
    draws(temperature=lambda rng, batch: np.array(0.7), probs=share),
    outside=(np.nan,),
    build=lambda D, **parameters: D.relaxed_bernoulli.LogitRelaxedBernoulli(**parameters),
)
family(
    "RelaxedBernoulli",
    draws(temperature=lambda rng, batch: np.array(0.7), logits=real),
    outside=(1.1,),
    build=lambda D, **parameters: D.RelaxedBernoulli(**parameters),
)
family(
    "LogisticNormal",
    draws(loc=lambda rng, batch: real(rng, (*batch, 3)), scale=lambda rng, batch: positive(rng, (*batch, 3))),
    build=lambda D, **parameters: D.LogisticNormal(**parameters),
    outside=(0.5,),
)


family(
    "Independent",
    loc_scale,
    build=lambda D, loc, scale: D.Independent(D.Normal(loc, scale), min(1, loc.dim())),
    outside=(np.nan,),
)
family(
    "Transformed",
    loc_scale,
    build=lambda D, loc, scale: D.TransformedDistribution(
        D.Normal(0 * loc, 1 + 0 * loc), [D.AffineTransform(loc, scale), D.SigmoidTransform(), D.AffineTransform(1.0, -2.0)]
    ),
    outside=(np.nan,),
)

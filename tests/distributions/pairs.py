"""Pairs of families whose divergence is judged: all that are registered for a family of the table, and some of their kin."""

from __future__ import annotations

from tests.distributions.families import FAMILIES

from chainrule.distributions.kl import _KL_REGISTRY

_SHOWN = {"MultivariateNormal": "MultivariateNormal of scale_tril"}
_NAMES = {f.name for f in FAMILIES} - {"Independent"}

PAIRS = sorted(
    [
        (first, second)
        for first, second in [tuple([_SHOWN.get(c.__name__, c.__name__) for c in pair]) for pair in _KL_REGISTRY]
        if {first, second} <= _NAMES
    ]
)
"""Names in the table, of p and of q."""
PAIRS += [
    ("Bernoulli", "Bernoulli of logits"),
    ("Bernoulli of logits", "Bernoulli"),
    ("Geometric", "Geometric of logits"),
    ("Geometric of logits", "Geometric"),
    ("Categorical", "Categorical of logits"),
    ("Categorical of logits", "Categorical"),
    ("OneHotCategorical", "OneHotCategoricalStraightThrough"),
    ("MultivariateNormal of covariance_matrix", "MultivariateNormal of precision_matrix"),
    ("Chi2", "Gamma"),
    ("Gamma", "Chi2"),
    ("Chi2", "Exponential"),
    ("LogNormal", "LogNormal"),
    ("Beta", "Uniform of shares"),
    ("Independent", "Independent"),
    *[("Pareto without moments", other) for other in ("Exponential", "Gamma", "Normal", "Pareto")],
    *[("Uniform of shares", other) for other in ("Beta", "ContinuousBernoulli", "Gamma", "Pareto", "Uniform")],
]

"""PyTorch's ``distributions``: probability distributions whose densities, draws and divergences are differentiable."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.distributions import constraints as constraints
from chainrule.distributions import divergences as _divergences  # noqa: F401 - registers them
from chainrule.distributions.bernoulli import Bernoulli
from chainrule.distributions.binomial import Binomial
from chainrule.distributions.categorical import Categorical
from chainrule.distributions.constraint_registry import biject_to, transform_to
from chainrule.distributions.dirichlet import Dirichlet
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.geometric import Geometric
from chainrule.distributions.independent import Independent
from chainrule.distributions.kl import kl_divergence, register_kl
from chainrule.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from chainrule.distributions.mixture_same_family import MixtureSameFamily
from chainrule.distributions.multinomial import Multinomial
from chainrule.distributions.multivariate_normal import MultivariateNormal
from chainrule.distributions.normal import Normal
from chainrule.distributions.one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from chainrule.distributions.poisson import Poisson
from chainrule.distributions.relaxed_categorical import RelaxedOneHotCategorical
from chainrule.distributions.transformed_distribution import TransformedDistribution
from chainrule.distributions.transforms import *
from chainrule.distributions.uniform import Uniform

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Binomial", "CatTransform", "Categorical", "ComposeTransform",
    "CorrCholeskyTransform", "CumulativeDistributionTransform", "Dirichlet", "Distribution", "ExpTransform",
    "ExponentialFamily", "Geometric", "Independent", "IndependentTransform", "LowRankMultivariateNormal",
    "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial", "MultivariateNormal", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Poisson", "PositiveDefiniteTransform", "PowerTransform",
    "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform",
    "StackTransform", "StickBreakingTransform", "TanhTransform", "Transform", "TransformedDistribution", "Uniform",
    "biject_to", "identity_transform", "kl_divergence", "register_kl", "transform_to",
]  # fmt: skip

_tell_of_missing(__name__)

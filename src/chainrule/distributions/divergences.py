"""The divergences of pairs of distributions of one family, in closed form, and of those made of others."""

from __future__ import annotations

import math
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions.bernoulli import Bernoulli
from chainrule.distributions.beta import Beta
from chainrule.distributions.binomial import Binomial
from chainrule.distributions.categorical import Categorical
from chainrule.distributions.cauchy import Cauchy
from chainrule.distributions.continuous_bernoulli import ContinuousBernoulli
from chainrule.distributions.dirichlet import Dirichlet
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.exponential import Exponential
from chainrule.distributions.gamma import Gamma
from chainrule.distributions.geometric import Geometric
from chainrule.distributions.gumbel import Gumbel
from chainrule.distributions.half_normal import HalfNormal
from chainrule.distributions.independent import Independent
from chainrule.distributions.kl import kl_divergence, register_kl
from chainrule.distributions.laplace import Laplace
from chainrule.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from chainrule.distributions.multivariate_normal import MultivariateNormal
from chainrule.distributions.normal import Normal
from chainrule.distributions.one_hot_categorical import OneHotCategorical
from chainrule.distributions.pareto import Pareto
from chainrule.distributions.poisson import Poisson
from chainrule.distributions.transformed_distribution import TransformedDistribution
from chainrule.distributions.uniform import Uniform
from chainrule.distributions.utils import euler_constant, sum_rightmost


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: ExponentialFamily, q: ExponentialFamily) -> Tensor:
    """Return the Bregman divergence ``F(θq) - F(θp) - <θq - θp, ∇F(θp)>`` of the log normaliser (Nielsen & Nock, ICIP 2010).

    It is differentiable in the parameters of both; PyTorch's is not in those of p, which it detaches.
    """
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed using Bregman divergences"
        )
    natural, other = p._natural_params, q._natural_params
    normalizer, pull = cr.func.vjp(p._log_normalizer, *natural)
    divergence, batch = q._log_normalizer(*other) - normalizer, len(p.batch_shape)
    slopes = pull(cr.ones_like(normalizer))
    for mine, theirs, slope in zip(natural, other, slopes, strict=True):
        own_axes = mine.dim() - batch
        divergence = divergence - sum_rightmost((theirs - mine) * slope, own_axes)
    return divergence


# -- of probabilities --------------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    """Return the divergence of one trial, of any family of the probability of a success."""
    log_success, log_failure = cr.nn.functional.logsigmoid(p.logits), cr.nn.functional.logsigmoid(-p.logits)
    success = p.probs * (log_success - cr.nn.functional.logsigmoid(q.logits))
    failure = (1 - p.probs) * (log_failure - cr.nn.functional.logsigmoid(-q.logits))
    # Logits of probabilities 0 and 1 are finite, as if they were a little more and less.
    success = success.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    failure = failure.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)
    return success + failure


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    return (p.total_count * _bernoulli(p, q)).masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return _bernoulli(p, q) / p.probs  # the mean number of trials


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    return terms.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_categorical(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return cr.xlogy(p.rate, p.rate) - cr.xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return q.rate - cr.xlogy(p.probs, q.rate) - p.entropy()


@register_kl(Poisson, Bernoulli)
@register_kl(Poisson, Binomial)
def _poisson_to_bounded(p: Poisson, q: Any) -> Tensor:
    return (p.rate + q.mean).detach().fill_(math.inf)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    both = [cr.stack([d.concentration1, d.concentration0], -1) for d in (p, q)]
    return _dirichlet_of(*both)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    return _dirichlet_of(p.concentration, q.concentration)


def _dirichlet_of(p: Tensor, q: Tensor) -> Tensor:
    log_normalizer = lambda a: cr.lgamma(a).sum(-1) - cr.lgamma(a.sum(-1))
    mean_log = cr.digamma(p) - cr.digamma(p.sum(-1, keepdim=True))
    return log_normalizer(q) - log_normalizer(p) + ((p - q) * mean_log).sum(-1)


# -- on the line -------------------------------------------------------------------------------------------------------


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    divergence = ((q.high - q.low) / (p.high - p.low)).log()
    return divergence.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    scales = b * cr.log(p.rate / q.rate) + a * (q.rate / p.rate - 1)
    return scales + (a - b) * cr.digamma(a) + cr.lgamma(b) - cr.lgamma(a)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    log_normalizer = lambda d: d._log_norm() - cr.nn.functional.softplus(d.logits)
    return p.mean * (p.logits - q.logits) + log_normalizer(p) - log_normalizer(q)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, shift = p.scale / q.scale, (p.loc - q.loc) / q.scale
    mean_exp = cr.exp(cr.lgamma(1 + ratio) - shift)
    return shift - ratio.log() + euler_constant * (ratio - 1) + mean_exp - 1


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return distance / q.scale - ratio.log() + ratio * cr.exp(-distance / p.scale) - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    """Return equation 9 of Chyzak & Nielsen, arXiv 1905.10965."""
    return cr.log((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2) - cr.log(4 * p.scale * q.scale)


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    divergence = q.alpha * cr.log(p.scale / q.scale) - ratio.log() + ratio - 1
    return divergence.masked_fill(p.scale < q.scale, math.inf)


# -- of vectors --------------------------------------------------------------------------------------------------------


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        low_rank = any([isinstance(d, LowRankMultivariateNormal) for d in (p, q)])
        kind = ("Low Rank" if type(p) is type(q) else "(Low Rank)") + " " if low_rank else ""
        raise ValueError(f"KL-divergence between two {kind}Multivariate Normals with different event shapes cannot be computed")
    factor, diagonal = p._parts()
    trace = q._whitened(factor)
    if diagonal is not None:
        trace = trace + q._whitened_diagonal(diagonal)
    return 0.5 * (q._log_det() - p._log_det() + trace + q._mahalanobis(q.loc - p.loc) - p.event_shape[0])


# -- of what is made of others -----------------------------------------------------------------------------------------


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL between Independents of different numbers of axes is not implemented")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms:
        raise NotImplementedError("KL between distributions transformed differently is not implemented")
    if p.event_shape != q.event_shape:
        raise NotImplementedError("KL between transformed distributions of different event shapes is not implemented")
    return kl_divergence(p.base_dist, q.base_dist)

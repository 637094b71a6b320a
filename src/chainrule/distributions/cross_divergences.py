"""Divergences of one family on the line from another, ``KL(p | q) = -E[log q(x)] - H(p)`` for x of p.

A family q says its cross entropy in terms of a few means, a family p says those means, and no pair has a formula of its own.
Where p has draws outside of q's support the divergence is infinite.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions.beta import Beta
from chainrule.distributions.continuous_bernoulli import ContinuousBernoulli
from chainrule.distributions.exponential import Exponential
from chainrule.distributions.gamma import Gamma
from chainrule.distributions.gumbel import Gumbel
from chainrule.distributions.kl import register_kl
from chainrule.distributions.laplace import Laplace
from chainrule.distributions.normal import Normal
from chainrule.distributions.pareto import Pareto
from chainrule.distributions.uniform import Uniform
from chainrule.distributions.utils import euler_constant

# -- means under p -----------------------------------------------------------------------------------------------------


@singledispatch
def _mean_log(p: Any) -> Tensor:
    """Return E[log x]."""
    raise NotImplementedError


@_mean_log.register
def _(p: Beta) -> Tensor:
    return cr.digamma(p.concentration1) - cr.digamma(p.concentration1 + p.concentration0)


@_mean_log.register
def _(p: Exponential) -> Tensor:
    return -p.rate.log() - euler_constant


@_mean_log.register
def _(p: Pareto) -> Tensor:
    return p.scale.log() + 1 / p.alpha


@_mean_log.register
def _(p: Uniform) -> Tensor:
    return _mean_log_between(p.low, p.high)


def _mean_log_between(low: Tensor, high: Tensor) -> Tensor:
    return (cr.xlogy(high, high) - cr.xlogy(low, low)) / (high - low) - 1


@singledispatch
def _log_mean_exp(p: Any, t: Tensor) -> Tensor:
    """Return log E[exp(-t x)]."""
    raise NotImplementedError


@_log_mean_exp.register
def _(p: Exponential, t: Tensor) -> Tensor:
    return -cr.log1p(t / p.rate)


@_log_mean_exp.register
def _(p: Gamma, t: Tensor) -> Tensor:
    return -p.concentration * cr.log1p(t / p.rate)


@_log_mean_exp.register
def _(p: Normal, t: Tensor) -> Tensor:
    return (t * p.scale) ** 2 / 2 - t * p.loc


@_log_mean_exp.register
def _(p: Uniform, t: Tensor) -> Tensor:
    width = t * (p.high - p.low)
    return cr.log(-cr.expm1(-width) / width) - t * p.low


def _mean_distance(p: Normal, point: Tensor) -> Tensor:
    """Return E|x - point|, the mean of a folded normal."""
    d = p.loc - point
    z = d / p.scale
    return p.scale * math.sqrt(2 / math.pi) * cr.exp(-(z**2) / 2) + d * cr.erf(z * math.sqrt(0.5))


# -- cross entropies ---------------------------------------------------------------------------------------------------


@singledispatch
def _cross_entropy(q: Any, p: Any) -> Tensor:
    """Return -E[log q(x)] for x of p, all of whose draws are in the support of q."""
    raise NotImplementedError


@_cross_entropy.register
def _(q: Beta, p: Uniform) -> Tensor:
    a, b = q.concentration1, q.concentration0
    mean_log, mean_log_rest = _mean_log(p), _mean_log_between(1 - p.high, 1 - p.low)
    return cr.lgamma(a) + cr.lgamma(b) - cr.lgamma(a + b) - (a - 1) * mean_log - (b - 1) * mean_log_rest


@_cross_entropy.register
def _(q: ContinuousBernoulli, p: Any) -> Tensor:
    return cr.nn.functional.softplus(q.logits) - p.mean * q.logits - q._log_norm()


@_cross_entropy.register
def _(q: Exponential, p: Any) -> Tensor:
    return q.rate * p.mean - q.rate.log()


@_cross_entropy.register
def _(q: Gamma, p: Any) -> Tensor:
    normalizer = cr.lgamma(q.concentration) - q.concentration * q.rate.log()
    return normalizer - (q.concentration - 1) * _mean_log(p) + q.rate * p.mean


@_cross_entropy.register
def _(q: Gumbel, p: Any) -> Tensor:
    return q.scale.log() + (p.mean - q.loc) / q.scale + cr.exp(q.loc / q.scale + _log_mean_exp(p, 1 / q.scale))


@_cross_entropy.register
def _(q: Laplace, p: Normal) -> Tensor:
    return cr.log(2 * q.scale) + _mean_distance(p, q.loc) / q.scale


@_cross_entropy.register
def _(q: Normal, p: Any) -> Tensor:
    return q.scale.log() + (math.log(2 * math.pi) + (p.variance + (p.mean - q.loc) ** 2) / q.scale**2) / 2


@_cross_entropy.register
def _(q: Pareto, p: Any) -> Tensor:
    return (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log()


@_cross_entropy.register
def _(q: Uniform, p: Any) -> Tensor:
    return cr.log(q.high - q.low)


# -- the pairs ---------------------------------------------------------------------------------------------------------


def _ends(distribution: Any) -> tuple[Any, Any]:
    """Return the ends of a support: numbers or tensors."""
    support = distribution.support
    return getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)


def _is_endless(end: Any) -> bool:
    return isinstance(end, float) and math.isinf(end)


def _is_always_outside(p: Any, q: Any) -> bool:
    """Return whether p has draws outside of q's support whatever their parameters are."""
    if isinstance(q, Pareto) and not isinstance(p, (Pareto, Uniform)):
        return True  # it starts above 0
    return any([_is_endless(mine) and not _is_endless(theirs) for mine, theirs in zip(_ends(p), _ends(q), strict=True)])


_POWERS = {Exponential: 1, Gamma: 1, Normal: 2}
"""Of families q: the highest power of x in log q(x)."""


def _tamed(p: Any, q: Any) -> tuple[Any, Any]:
    """Return where a mean under p that the cross entropy needs is infinite, and p with one for which it is finite there."""
    power = next((power for family, power in _POWERS.items() if isinstance(q, family)), 0)
    if not power or not isinstance(p, Pareto):
        return False, p
    wild = p.alpha <= power
    return wild, Pareto(p.scale, p.alpha.masked_fill(wild, power + 1), validate_args=False)


def _between(p: Any, q: Any) -> Tensor:
    if _is_always_outside(p, q):
        return (p.mean + q.mean).detach().fill_(math.inf)
    infinite, p = _tamed(p, q)
    (low, high), (least, most) = _ends(p), _ends(q)
    divergence = _cross_entropy(q, p) - p.entropy()
    return divergence.masked_fill(cr.as_tensor(infinite | (least > low) | (most < high)), math.inf)


_LIMITED = (Beta, ContinuousBernoulli, Pareto, Uniform)
"""Families whose support is less than all positive numbers."""
_FROM = {
    Beta: (ContinuousBernoulli, Pareto, Exponential, Gamma, Normal, Uniform),
    ContinuousBernoulli: (Pareto, Exponential, Normal, Uniform),
    Exponential: (*_LIMITED, Gamma, Gumbel, Normal),
    Gamma: (*_LIMITED, Exponential, Gumbel, Normal),
    Gumbel: (*_LIMITED, Exponential, Gamma, Normal),
    Laplace: (*_LIMITED, Exponential, Gamma, Normal),
    Normal: (*_LIMITED, Exponential, Gamma, Gumbel, Laplace),
    Pareto: (Beta, ContinuousBernoulli, Uniform, Exponential, Gamma, Normal),
    Uniform: (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Normal, Pareto),
}
"""For each family p those families q whose means are known in closed form."""
for _p, _others in _FROM.items():
    for _q in _others:
        register_kl(_p, _q)(_between)

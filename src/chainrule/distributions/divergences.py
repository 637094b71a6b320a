"""The divergences of pairs of this package's families, in closed form."""

from __future__ import annotations

from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions.kl import register_kl
from chainrule.distributions.normal import Normal
from chainrule.distributions.uniform import Uniform


@register_kl(Normal, Normal)
def _normal_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Uniform, q: Uniform) -> Tensor:
    divergence = ((q.high - q.low) / (p.high - p.low)).log()
    return divergence.masked_fill((q.low > p.low) | (q.high < p.high), float("inf"))

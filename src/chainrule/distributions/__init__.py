"""PyTorch's ``distributions``: probability distributions whose densities, draws and divergences are differentiable."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing
from chainrule.distributions import constraints as constraints
from chainrule.distributions import divergences as _divergences  # noqa: F401 - registers them
from chainrule.distributions.distribution import Distribution
from chainrule.distributions.exp_family import ExponentialFamily
from chainrule.distributions.kl import kl_divergence, register_kl
from chainrule.distributions.normal import Normal
from chainrule.distributions.uniform import Uniform

__all__ = ["Distribution", "ExponentialFamily", "Normal", "Uniform", "kl_divergence", "register_kl"]

_tell_of_missing(__name__)

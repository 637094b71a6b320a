"""Divergences of pairs of families: each is a function registered for two classes, and the most specific pair decides."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.distributions.distribution import Distribution

__all__ = ["kl_divergence", "register_kl"]

Divergence = Callable[[Any, Any], Tensor]
_KL_REGISTRY: dict[tuple[type, type], Divergence] = {}
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}
"""What was found for a pair of classes, until another is registered."""


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """Register a function as the divergence of two classes of distributions, and of their subclasses.

    Raises
    ------
    TypeError
        If one is no class.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions import Normal, kl_divergence, register_kl
    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Mine)
    ... def kl_mine(p, q):
    ...     return cr.tensor(7.0)
    >>> kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0))
    tensor(7.)
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):  # any class is taken: Pyro's Distribution, for one, does not derive from this
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def registered(divergence: Divergence) -> Divergence:
        _KL_REGISTRY[type_p, type_q] = divergence
        _KL_MEMOIZE.clear()
        return divergence

    return registered


def _most_specific(pairs: list[tuple[type, type]]) -> tuple[type, type]:
    """Return the first pair in lexicographic order, in which a subclass is before its bases."""
    best = pairs[0]
    for pair in pairs[1:]:
        first = best[0] if pair[0] is not best[0] else best[1]
        if issubclass(pair[0] if pair[0] is not best[0] else pair[1], first):
            best = pair
    return best


def _found(p: type, q: type) -> Any:
    """Return the divergence for two classes, or None; warn if the first class and the second disagree on which it is."""
    pairs = [pair for pair in _KL_REGISTRY if issubclass(p, pair[0]) and issubclass(q, pair[1])]
    if not pairs:
        return None
    left_p, left_q = _most_specific(pairs)
    right_q, right_p = _most_specific([(b, a) for a, b in pairs])
    if _KL_REGISTRY[left_p, left_q] is not _KL_REGISTRY[right_p, right_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({p.__name__}, {q.__name__}). Please register_kl({left_p.__name__}, {right_q.__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left_p, left_q]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Return the Kullback-Leibler divergence KL(p | q), the mean under p of ``log p(x) - log q(x)``.

    Parameters
    ----------
    p, q : Distribution
        Distributions whose batches broadcast.

    Returns
    -------
    Tensor
        Of the batch's shape.

    Raises
    ------
    NotImplementedError
        If none is registered for their classes.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _found(*pair)
    divergence = _KL_MEMOIZE[pair]
    if divergence is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")
    return divergence(p, q)

"""Random tensors of distributions whose parameters are tensors. The numbers differ from PyTorch's for the same seed.

Where the sample is a smooth function of the parameters (`normal`), the gradient flows through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import examined, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import shape as shapes
from chainrule.core.write.out import into
from chainrule.functions.creation.create import check_device, placed
from chainrule.functions.creation.fill import numpy_dtype, size_of
from chainrule.functions.random.tensors import made
from chainrule.functions.shaping.join import stack
from chainrule.functions.shaping.view import broadcast_tensors
from chainrule.ops.comparison.compare import lt
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise.arithmetic import add, mul
from chainrule.ops.random.draw import (
    check_weights,
    draw_indices,
    draw_normal,
    drawn,
    drawn_with,
    refuse,
)
from chainrule.ops.shaping.shape import detach

__all__ = ["bernoulli", "binomial", "multinomial", "normal", "poisson"]


@asks
@placed
def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, out: Any = None,
) -> Tensor:  # fmt: skip
    """Return normal random numbers of given means and standard deviations.

    Parameters
    ----------
    mean, std : float or Tensor
        If either is a tensor the result has their broadcast shape, and is ``mean + std * randn``, through which gradients
        flow to both (PyTorch gives zeros).
    size : tuple of int
        The shape, if both are numbers.
    generator, dtype, device, requires_grad
        As for :func:`randn`.

    Raises
    ------
    RuntimeError
        If a standard deviation is negative, or shapes do not broadcast.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.zeros(3, requires_grad=True)
    >>> cr.normal(m, 1.0).sum().backward()
    >>> m.grad
    tensor([1., 1., 1.])
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() needs size=, a tuple of ints, where mean and std are numbers")
        _check_std(std)
        numpy = numpy_dtype(dtype, None, out)
        draw = lambda rng, shape: draw_normal(rng, shape, numpy) * numpy.type(std) + numpy.type(mean)
        return made(draw, size_of("normal", (), size), numpy, generator, device, requires_grad, out)
    if size is not None or dtype is not None or requires_grad:
        raise TypeError("normal() takes its shape and dtype from mean and std where one of them is a tensor")
    check_device(device)
    model = mean if isinstance(mean, Tensor) else std
    shape = shapes.broadcast(*[tuple(p.shape) for p in (mean, std) if isinstance(p, Tensor)])
    if not isinstance(std, Tensor):
        _check_std(std)
    elif not satisfies(std, lambda values: ~(values < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    if out is not None:
        return into(out, "normal", normal, (mean, std), {"generator": generator})
    numpy = model.dtype.numpy
    noise = drawn(lambda rng, shape: draw_normal(rng, shape, numpy), shape, numpy, generator)
    return add(mul(noise, cast(std, model.dtype)), cast(mean, model.dtype))


def _check_std(std: Any, name: str = "normal") -> None:
    if std < 0:
        raise RuntimeError(f"{name} expects std >= 0.0, but found std {std}")


@asks
def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None, out: Any = None) -> Tensor:
    """Return ones with the given probabilities, else zeros; the gradients are zeros, as a sample is no smooth function.

    Parameters
    ----------
    input : Tensor
        Probabilities; with `p` only its shape and dtype matter.
    p : float, optional
        One probability for all elements.
    generator : Generator, optional
        The default generator if not given.

    Raises
    ------
    RuntimeError
        If a probability is not in [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.bernoulli(cr.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    if out is not None:
        return into(out, "bernoulli", bernoulli, (input, p), {"generator": generator})
    if p is not None:
        x = as_tensor(input, "bernoulli")
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        return _coins(x, p, generator)
    x = as_tensor(input, "bernoulli")
    refuse(x.dtype.numpy, "fV", "bernoulli_tensor_cpu_p_")
    if not satisfies(x, lambda p: ((p >= 0) & (p <= 1)).all()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return _of_no_slope(x, _coins(x, detach(x), generator))


def _coins(model: Tensor, p: Any, generator: Generator | None) -> Tensor:
    """Return ones with probability `p`, else zeros, in the shape and dtype of a tensor."""
    draws = drawn(lambda rng, shape: rng.random(shape), tuple(model.shape), np.dtype(np.float64), generator)
    return cast(lt(draws, p), model.dtype)


@asks
def poisson(input: Any, generator: Generator | None = None) -> Tensor:
    """Return Poisson random numbers of the given rates, in their dtype; the gradients are zeros.

    Raises
    ------
    RuntimeError
        If a rate is negative.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.poisson(cr.zeros(2))
    tensor([0., 0.])
    """
    x = as_tensor(input, "poisson")
    refuse(x.dtype.numpy, "fV", "poisson_cpu")
    if not satisfies(x, lambda rates: (rates >= 0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    numpy = x.dtype.numpy
    draw = lambda rng, rates: np.asarray(rng.poisson(rates.astype(np.float64))).astype(numpy)
    return _of_no_slope(x, drawn_with(x, draw, tuple(x.shape), numpy, generator))


def _of_no_slope(x: Tensor, draws: Tensor) -> Tensor:
    """Return draws from the distributions that `x` gives, with zeros for their derivatives in it, as PyTorch has them."""
    return where(False, x, draws)


@asks
def binomial(count: Any, prob: Any, generator: Generator | None = None) -> Tensor:
    """Return binomial random numbers: successes among `count` trials of probability `prob`; no gradient flows.

    Parameters
    ----------
    count, prob : Tensor
        Floating point, of one dtype, broadcast against each other. A probability beyond 0 or 1 counts as that; where it is NaN,
        so is the result.
    generator : Generator, optional
        The default generator if not given.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.binomial(cr.tensor([10.0, 20.0]), cr.tensor([0.0, 1.0])).tolist()
    [0.0, 20.0]
    """
    n, p = as_tensor(count, "binomial"), as_tensor(prob, "binomial", 1)
    for x, name in ((n, "count"), (p, "prob")):
        if x.dtype.category != dtypes.FLOAT:
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {x.dtype.old_name}")
    if n.dtype is not p.dtype:
        raise TypeError(f"binomial: count and prob must have one dtype, got {n.dtype} and {p.dtype}")
    numpy = n.dtype.numpy

    def draw(rng: np.random.Generator, both: np.ndarray) -> np.ndarray:
        trials, chance = np.asarray(both[..., 0], np.float64), np.asarray(both[..., 1], np.float64)
        known = np.nan_to_num(np.clip(chance, 0, 1))
        drawn = rng.binomial(np.maximum(np.nan_to_num(trials), 0).astype(np.int64), known)
        return np.where(np.isnan(chance) | np.isnan(trials), np.nan, drawn).astype(numpy)

    n, p = broadcast_tensors(n, p)
    return drawn_with(stack((n, p), -1), draw, tuple(n.shape), numpy, generator)


def _are_weights(weights: Any) -> Any:
    return ((weights >= 0) & (weights < np.inf)).all() & (weights.sum(-1) > 0).all()


@asks
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """Return random indices, drawn with the given weights from each row.

    Parameters
    ----------
    input : Tensor
        Floating point weights, of shape (n,) or (rows, n); they need not sum to 1.
    num_samples : int
        How many indices to draw from each row.
    replacement : bool
        Whether an index may be drawn again.
    generator : Generator, optional
        The default generator if not given.

    Returns
    -------
    Tensor
        ``int64``, of shape (num_samples,) or (rows, num_samples).

    Raises
    ------
    RuntimeError
        If weights are negative, not finite or all zero, or there are too few to draw from.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.multinomial(cr.tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    if out is not None:
        if isinstance(out, Tensor) and out.dtype is not dtypes.int64:
            raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.old_name}")
        return into(out, "multinomial", multinomial, (input, num_samples, replacement), {"generator": generator}, exact=True)
    x = as_tensor(input, "multinomial")
    if x.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if x.dtype.category != dtypes.FLOAT:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {x.dtype.old_name}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > x.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if x.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if not satisfies(x, _are_weights):
        check_weights(np.asarray(examined(x)).astype(np.float64), replacement)  # raises
    draw = lambda rng, weights: draw_indices(rng, weights.astype(np.float64), num_samples, replacement)
    return drawn_with(x, draw, (*x.shape[:-1], num_samples), np.dtype(np.int64), generator)


Tensor.bernoulli = bernoulli  # type: ignore[attr-defined]
Tensor.multinomial = multinomial  # type: ignore[attr-defined]

"""Filling tensors in place with random numbers: the methods ``uniform_``, ``normal_`` and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.generator import Generator
from chainrule.core.mode.state import modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_batched_at, satisfies
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import assign
from chainrule.functions.random.tensors import check_bounds
from chainrule.ops.comparison.compare import lt
from chainrule.ops.random.draw import draw_integers, draw_normal, draw_uniform, drawn
from chainrule.ops.shaping.shape import detach

__all__: list[str] = []

_LARGEST_WHOLE = {"float16": 1 << 11, "bfloat16": 1 << 8, "float32": 1 << 24, "float64": 1 << 53}


def _filled(self: Tensor, name: str, generator: Generator | None, draw: Callable[..., Any]) -> Tensor:
    """Write what ``draw(rng, shape, dtype)`` returns for the tensor's shape and dtype into it."""
    check_examples(self)
    numpy = self.dtype.numpy
    values = lambda rng, shape: np.asarray(draw(rng, shape, numpy)).astype(numpy, copy=False)
    return assign(self, lambda: drawn(values, tuple(self.shape), numpy, generator), name)


def check_examples(self: Tensor) -> None:
    """Raise PyTorch's error for a tensor that all examples of a `vmap` share, where each is to get numbers of its own."""
    if any([call.randomness == "different" and not is_batched_at(self, call.level) for call in modes().mapped]):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same randomness. "
            "Draw the numbers with a function that returns a new tensor, or write into a tensor made of the example."
        )


def _continuous(self: Tensor, name: str) -> None:
    if self.dtype.category != dtypes.FLOAT:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a floating point but you specified "
            f"{self.dtype.old_name}"
        )


def _real(numpy: np.dtype) -> Any:
    """Return the dtype in which NumPy can draw for a floating point dtype."""
    return numpy if numpy.itemsize > 2 else np.dtype(np.float32)


def uniform_(self: Tensor, from_: float = 0, to: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with uniform random numbers in [from_, to).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty(2).uniform_(3, 3)
    tensor([3., 3.])
    """
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}")

    def draw(rng: np.random.Generator, shape: tuple, numpy: np.dtype) -> Any:
        values = draw_uniform(rng, shape, numpy)
        return values if (from_, to) == (0, 1) else values * numpy.type(to - from_) + numpy.type(from_)

    return _filled(self, "uniform_", generator, draw)


def normal_(self: Tensor, mean: float = 0, std: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal random numbers.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty(2).normal_(5, 0)
    tensor([5., 5.])
    """
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")

    def draw(rng: np.random.Generator, shape: tuple, numpy: np.dtype) -> Any:
        values = draw_normal(rng, shape, numpy)
        return values if (mean, std) == (0, 1) else values * numpy.type(std) + numpy.type(mean)

    return _filled(self, "normal_", generator, draw)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones of probability `p` (a number, or a tensor that broadcasts), else zeros.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty(2).bernoulli_(1.0)
    tensor([1., 1.])
    """
    if (isinstance(p, Tensor) and not satisfies(p, lambda values: ((values >= 0) & (values <= 1)).all())) or (
        not isinstance(p, Tensor) and not 0 <= p <= 1
    ):
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    check_examples(self)
    p = detach(p) if isinstance(p, Tensor) else p
    draws = lambda: drawn(lambda rng, shape: rng.random(shape), tuple(self.shape), np.dtype(np.float64), generator)
    return assign(self, lambda: lt(draws(), p), "bernoulli_")


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential random numbers of rate `lambd`.

    Examples
    --------
    >>> import chainrule as cr
    >>> bool((cr.empty(9).exponential_() >= 0).all())
    True
    """
    _continuous(self, "Exponential")
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    draw = lambda rng, shape, numpy: rng.standard_exponential(shape, _real(numpy)) / lambd
    return _filled(self, "exponential_", generator, draw)


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with random numbers of a Cauchy distribution.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty(2, 3).cauchy_().shape
    chainrule.Size([2, 3])
    """
    _continuous(self, "Cauchy")
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _filled(self, "cauchy_", generator, lambda rng, shape, numpy: rng.standard_cauchy(shape) * sigma + median)


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers whose logarithms are normal with the given mean and standard deviation.

    Examples
    --------
    >>> import chainrule as cr
    >>> bool((cr.empty(9).log_normal_() >= 0).all())
    True
    """
    if self.dtype.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"log_normal_cpu\" not implemented for '{self.dtype.old_name}'")
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _filled(
        self, "log_normal_", generator, lambda rng, shape, numpy: np.exp(draw_normal(rng, shape, _real(numpy)) * std + mean)
    )


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials of success probability `p` up to and with the first success.

    Examples
    --------
    >>> import chainrule as cr
    >>> bool((cr.empty(9).geometric_(0.5) >= 1).all())
    True
    """
    if self.dtype.category in (dtypes.BOOL, dtypes.COMPLEX):
        raise NotImplementedError(f"\"geometric_cpu\" not implemented for '{self.dtype.old_name}'")
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _filled(self, "geometric_", generator, lambda rng, shape, numpy: rng.geometric(p, shape))


def random_(self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Fill with random integers in [from_, to); ``random_(to)`` starts at 0, ``random_()`` takes all that the dtype holds.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.empty(2).random_(1)
    tensor([0., 0.])
    """
    d = self.dtype
    if d.category == dtypes.COMPLEX:
        if to is not None or from_ is not None:
            check_bounds(0, 1, d)
        raise NotImplementedError(f"\"random_kernel_cpu\" not implemented for '{d.old_name}'")
    top = 1 if d.category == dtypes.BOOL else _LARGEST_WHOLE[d.name] if d.category == dtypes.FLOAT else np.iinfo(d.numpy).max
    if to is None:
        widest = d.category == dtypes.INT and d.itemsize == 8  # whose largest number NumPy's int64 cannot exceed
        from_, to = 0, from_ if from_ is not None else int(top) if widest else int(top) + 1
    low = from_ or 0
    check_bounds(low, to, d)
    return _filled(self, "random_", generator, lambda rng, shape, numpy: draw_integers(rng, shape, low, to))


for _method in (uniform_, normal_, bernoulli_, exponential_, cauchy_, log_normal_, geometric_, random_):
    setattr(Tensor, _method.__name__, _method)

"""Tensors of random numbers: uniform, normal, integers. The numbers differ from PyTorch's for the same seed.

Draws are made in the dtype asked for: ``float32`` costs half of ``float64`` followed by a cast.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.core.call.asking import UNASKED, asked_here, asking, asks
from chainrule.core.generator import Generator
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.out import into
from chainrule.functions.creation.create import check_device, leaf, placed
from chainrule.functions.creation.fill import numpy_dtype, size_of
from chainrule.functions.shaping.copy import laid_out
from chainrule.ops.random.draw import (
    Draw,
    draw_integers,
    draw_normal,
    draw_uniform,
    drawn,
)

__all__ = ["rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm"]


def made(
    draw: Draw, shape: tuple, numpy: np.dtype, generator: Any, device: Any, requires_grad: bool, out: Any = None
) -> Tensor:
    check_device(device)
    if out is not None:
        return leaf(into(out, "out", drawn, (draw, shape, numpy, generator), {}), requires_grad)
    return leaf(drawn(draw, shape, numpy, generator), requires_grad)


@placed
def rand(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, out: Any = None,
) -> Tensor:  # fmt: skip
    """Return uniform random numbers in [0, 1).

    Parameters
    ----------
    *sizes : int or one tuple of int
        The shape; also as ``size=``.
    generator : Generator, optional
        The default generator if not given.
    dtype : dtype, optional
        Floating point or complex; the default dtype if not given.
    device, requires_grad
        As for :func:`zeros`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.rand(2, 3)
    >>> x.shape, bool((x >= 0).all() & (x < 1).all())
    (chainrule.Size([2, 3]), True)
    """
    if asking.on and (found := asked_here(rand, locals())) is not UNASKED:
        return found
    numpy = numpy_dtype(dtype, None, out)
    draw = lambda rng, shape: draw_uniform(rng, shape, numpy)
    return made(draw, size_of("rand", sizes, size), numpy, generator, device, requires_grad, out)


@placed
def randn(
    *sizes: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, out: Any = None,
) -> Tensor:  # fmt: skip
    """Return standard normal random numbers; complex ones have variance 1.

    Parameters
    ----------
    *sizes, generator, dtype, device, requires_grad
        As for :func:`rand`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.randn(2, 3, dtype=cr.float64).dtype
    chainrule.float64
    """
    if asking.on and (found := asked_here(randn, locals())) is not UNASKED:
        return found
    numpy = numpy_dtype(dtype, None, out)
    draw = lambda rng, shape: draw_normal(rng, shape, numpy)
    return made(draw, size_of("randn", sizes, size), numpy, generator, device, requires_grad, out)


def _whole(bound: Any) -> int:
    return int(bound) if isinstance(bound, Tensor) else operator.index(bound)


_C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
    "uint16": "short unsigned int", "uint32": "unsigned int", "uint64": "long unsigned int", "float16": "c10::Half",
}  # fmt: skip
_MOST_OF_HALF = 65504


def check_bounds(low: int, high: int, d: dtypes.dtype) -> None:
    """Raise PyTorch's error where random integers of a range that is not empty are none of a dtype's."""
    if d.category == dtypes.COMPLEX:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if low >= high or d.name not in _C_NAMES:
        return
    least, most = (0, 1) if d.category == dtypes.BOOL else (-_MOST_OF_HALF, _MOST_OF_HALF)
    if d.category == dtypes.INT:
        least, most = int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max)
    for bound, name in ((low, "from"), (high - 1, "to - 1")):
        if not least <= bound <= most:
            raise RuntimeError(f"{name} is out of bounds for {_C_NAMES[d.name]}")


@asks
@placed
def randint(
    low: int | None = None, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False, out: Any = None,
) -> Tensor:  # fmt: skip
    """Return random integers in [low, high); ``randint(high, size)`` starts at 0.

    Parameters
    ----------
    low, high : int
        The range.
    size : tuple of int
        The shape.
    generator, device, requires_grad
        As for :func:`rand`.
    dtype : dtype
        ``int64`` if not given.

    Raises
    ------
    RuntimeError
        If the range is empty.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.randint(3, 4, (2,))
    tensor([3, 3])
    """
    if size is None and hasattr(high, "__iter__"):
        low, high, size = 0, low, high
    elif high is None or low is None:
        low, high = 0, low if high is None else high
    low, high, numpy = _whole(low), _whole(high), numpy_dtype(dtype, dtypes.int64, out)
    check_bounds(low, high, dtypes.of(numpy))
    draw = lambda rng, shape: draw_integers(rng, shape, low, high).astype(numpy)
    return made(draw, size_of("randint", (), size), numpy, generator, device, requires_grad, out)


@asks
@placed
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return the integers below `n` in random order.

    Examples
    --------
    >>> import chainrule as cr
    >>> sorted(cr.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    numpy = numpy_dtype(dtype, dtypes.int64, out)

    def draw(rng: np.random.Generator, shape: tuple) -> np.ndarray:
        if len(shape) == 1:
            return rng.permutation(n).astype(numpy)
        return rng.permuted(np.broadcast_to(np.arange(n), shape), axis=-1).astype(numpy)

    return made(draw, size_of("randperm", (n,)), numpy, generator, device, requires_grad, out)


def _model(input: Any, name: str, dtype: Any) -> tuple[tuple, np.dtype]:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return tuple(input.shape), numpy_dtype(dtype, input.dtype)


@asks
@placed
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return :func:`rand` of `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.rand_like(cr.ones(2, dtype=cr.float64)).dtype
    chainrule.float64
    """
    shape, numpy = _model(input, "rand_like", dtype)
    draw = lambda rng, shape: draw_uniform(rng, shape, numpy)
    return laid_out(made(draw, shape, numpy, generator, device, requires_grad), memory_format)


@asks
@placed
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return :func:`randn` of `input`'s shape and dtype.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.randn_like(cr.ones(2, 3)).shape
    chainrule.Size([2, 3])
    """
    shape, numpy = _model(input, "randn_like", dtype)
    draw = lambda rng, shape: draw_normal(rng, shape, numpy)
    return laid_out(made(draw, shape, numpy, generator, device, requires_grad), memory_format)


@asks
@placed
def randint_like(
    input: Tensor, low: int | None = None, high: int | None = None, *, generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Return :func:`randint` of `input`'s shape and dtype; ``randint_like(input, high)`` starts at 0.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.randint_like(cr.ones(2), 1)
    tensor([0., 0.])
    """
    shape, numpy = _model(input, "randint_like", dtype)
    if high is None and low is None:
        raise TypeError(
            "randint_like() received an invalid combination of arguments: it takes (input, high) or (input, low, high)"
        )
    low, high = (0, low) if high is None else (low or 0, high)
    low, high = _whole(low), _whole(high)
    check_bounds(low, high, dtypes.of(numpy))
    draw = lambda rng, shape: draw_integers(rng, shape, low, high).astype(numpy)
    return laid_out(made(draw, shape, numpy, generator, device, requires_grad), memory_format)

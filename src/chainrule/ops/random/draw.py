"""Random draws: two ops with a generator for an operand, and what they draw; under `vmap`, for all examples or for each.

What is drawn is a function ``draw(rng, shape)``, or ``draw(rng, array)`` with an array of parameters: it knows no generator, so
that a graph can draw anew, and from another generator than the function was traced with.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import seen
from chainrule.core.call.threads import get_num_threads, in_threads
from chainrule.core.generator import Generator, default_generator
from chainrule.core.mode.grad_mode import Mapped, modes
from chainrule.core.op.batching import looped, per_example
from chainrule.core.op.declaration import op
from chainrule.core.op.lowering import OPAQUE
from chainrule.core.op.results import given
from chainrule.core.op.samples import Fixed, Sample
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost, is_batched_at
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.absent import Absent
from chainrule.ops.shaping.shape import detach

Draw = Callable[["np.random.Generator", Any], Any]

# -- draws -------------------------------------------------------------------------------------------------------------


def refuse(numpy: np.dtype, kinds: str, kernel: str) -> None:
    """Raise PyTorch's error for a dtype of none of the kinds."""
    if numpy.kind not in kinds:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.of(numpy).old_name}'")


_MANTISSA = {"float16": 11, "bfloat16": 8}


def draw_uniform(rng: np.random.Generator, shape: tuple, numpy: np.dtype) -> Any:
    """Return uniform numbers in [0, 1), in each part of a complex number."""
    refuse(numpy, "fcV", "check_uniform_bounds")
    if numpy.kind == "c":
        return _of_parts(numpy, lambda part: rng.random(shape, part))
    if numpy.itemsize == 2:  # as many bits as the mantissa holds, or rounding would give 1
        bits = _MANTISSA[dtypes.of(numpy).name]
        return (np.asarray(rng.integers(0, 1 << bits, shape)) / np.float32(1 << bits)).astype(numpy)
    return rng.random(shape, numpy)  # type: ignore[arg-type]


def draw_normal(rng: np.random.Generator, shape: tuple, numpy: np.dtype) -> Any:
    """Return standard normal numbers; complex ones have variance 1, half in each part."""
    refuse(numpy, "fcV", "normal_kernel_cpu")
    if numpy.kind == "c":
        return _of_parts(numpy, lambda part: _normal(rng, shape, part) * part.type(0.5**0.5))
    if numpy.itemsize == 2:
        return np.asarray(_normal(rng, shape, np.dtype(np.float32))).astype(numpy)
    return _normal(rng, shape, numpy)


_BLOCK = 1 << 16


def _normal(rng: np.random.Generator, shape: tuple, numpy: np.dtype) -> Any:
    """Return standard normal numbers: many of them in blocks, whose streams come from one key that the generator draws.

    So the numbers are the same on however many threads the blocks are drawn: 10^6 float32 take 5 ms on two, 9 on one.
    """
    n = prod(shape)
    if n < 2 * _BLOCK:
        return rng.standard_normal(shape, numpy)  # type: ignore[arg-type]
    key = rng.integers(0, 1 << 32, 4).tolist()
    out = np.empty(n, numpy)
    blocks, number = range(-(-n // _BLOCK)), get_num_threads()

    def draw(share: int) -> None:
        for k in blocks[share::number]:
            bits = np.random.SFC64(np.random.SeedSequence(key, spawn_key=(k,)))
            np.random.Generator(bits).standard_normal(dtype=numpy, out=out[k * _BLOCK : (k + 1) * _BLOCK])  # type: ignore[call-overload]

    in_threads(draw, min(number, len(blocks)))
    return out.reshape(shape)


def _of_parts(numpy: np.dtype, draw: Callable) -> np.ndarray:
    part = np.dtype(f"f{numpy.itemsize // 2}")
    re = np.asarray(draw(part))
    out = np.empty(re.shape, numpy)
    out.real, out.imag = re, draw(part)
    return out


def draw_integers(rng: np.random.Generator, shape: tuple, low: int, high: int) -> Any:
    """Return integers in [low, high)."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return np.asarray(rng.integers(low, high, shape))


# -- draws for the examples of a vmap ----------------------------------------------------------------------------------


def drawn(draw: Draw, shape: tuple, dtype: np.dtype, generator: Generator | None) -> Tensor:
    """Return random numbers of a shape and dtype; inside `vmap` one draw for all examples, or one for each.

    Parameters
    ----------
    draw : callable
        ``draw(rng, shape)`` returns an array of the shape, and of the dtype.
    generator : Generator, optional
        The default generator if not given.
    """
    m = modes()
    calls = m.mapped
    generator = generator or default_generator
    if m.tracer is not None:  # the trace's own calls of vmap; those around it are seen by the op where it runs
        own = _with_own(tuple([call for call in calls if call.level > m.tracer.level]))
        params = {"draw": draw, "shape": (*[call.size for call in own], *shape), "dtype": dtype}
        return _lifted(m.tracer.process(random.op, (generator,), params), own)
    if not calls:
        array = _numbers(draw, shape, dtype, generator)
        if array.__class__ is Absent:
            return wrap(array)
        array = np.asarray(array)
        return wrap(array if array.ndim else array[()])
    own = _with_own(calls)
    return _lifted(_numbers(draw, (*[call.size for call in own], *shape), dtype, generator), own)


def _numbers(draw: Draw, shape: tuple, dtype: np.dtype, generator: Generator) -> Any:
    """Return the numbers of one draw, which those who watch see as the op that it is."""
    watchers = tuple([w for w in modes().watchers if w.sees_draws])
    if not watchers:
        return draw(generator.rng, shape)
    params = {"draw": draw, "shape": shape, "dtype": dtype}
    return seen(watchers, random.op, [generator], params, (), lambda generator, **_: draw(generator.rng, shape))


def _numbers_with(x: np.ndarray, draw: Draw, shape: tuple, dtype: np.dtype, generator: Generator) -> Any:
    """Return the numbers of one draw with an array of parameters, as :func:`_numbers` does."""
    watchers = tuple([w for w in modes().watchers if w.sees_draws])
    if not watchers:
        return draw(generator.rng, x)
    params = {"draw": draw, "shape": shape, "dtype": dtype}
    return seen(watchers, random_of.op, [x, generator], params, (), lambda x, generator, **_: draw(generator.rng, x))


def _with_own(calls: tuple[Mapped, ...]) -> list[Mapped]:
    """Return the calls of `vmap` whose examples each have random numbers of their own; raise if some may have none."""
    if any([call.randomness == "error" for call in calls]):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap"
        )
    return [call for call in calls if call.randomness == "different"]


def _lifted(values: Any, own: list[Mapped]) -> Tensor:
    """Return the tensor of an array that has the batch axes of some calls of `vmap` in front, the outermost first."""
    found: Any = values if isinstance(values, Tensor) else np.asarray(values)
    for call in own:
        found = call.lift(found)
    return found if isinstance(found, Tensor) else wrap(found if found.ndim else found[()])


def drawn_with(x: Tensor, draw: Draw, shape: tuple, dtype: np.dtype, generator: Generator | None) -> Tensor:
    """Return random numbers drawn with an array of parameters, which may have any axes in front of one example's.

    Parameters
    ----------
    x : Tensor
        The parameters.
    draw : callable
        ``draw(rng, array)`` returns an array of the dtype; of one example's parameters it has the shape.
    generator : Generator, optional
        The default generator if not given.
    """
    m = modes()
    calls = m.mapped
    generator = generator or default_generator
    if m.tracer is not None:  # as for `drawn`
        calls = tuple([call for call in calls if call.level > m.tracer.level])
    elif not calls:
        return wrap(_numbers_with(np.asarray(innermost(x)), draw, shape, dtype, generator))
    own = _with_own(calls)
    if any([call.randomness == "same" and is_batched_at(x, call.level) for call in calls]):
        raise RuntimeError(
            "Vmap does not currently support same randomness with a batched tensor input. Use randomness='different', or draw "
            "the numbers outside of vmap."
        )
    x = detach(x)
    for call in own:  # every example of every call has parameters, if only a copy of them
        x = x + call.lift(np.zeros(call.size, x.dtype.numpy))
    if m.tracer is not None:
        while isinstance(x, Tensor) and x._level > m.tracer.level:  # of values of transforms inside: all their examples
            x = x._data
        params = {"draw": draw, "shape": (*[call.size for call in own], *shape), "dtype": dtype}
        return _lifted(m.tracer.process(random_of.op, (x if isinstance(x, Tensor) else wrap(x), generator), params), own)
    return _lifted(_numbers_with(np.asarray(innermost(x, "check")), draw, shape, dtype, generator), own)


# -- the ops -----------------------------------------------------------------------------------------------------------


def _uniform(rng: np.random.Generator, shape: tuple) -> Any:
    return rng.random(shape)


def _poisson(rng: np.random.Generator, rates: np.ndarray) -> Any:
    return rng.poisson(np.abs(rates)).astype(np.float64)


_F64 = np.dtype(np.float64)

random: Callable = op("random(generator, *, draw, shape, dtype)",
    lambda generator, *, draw, shape, dtype: drawn(draw, shape, dtype, generator),
    nondiff=True, pure=False, kinds="f", shape=given, dtype=lambda generator, *, dtype: dtype, batch=looped,
    doc="Random numbers drawn from a generator, the operand.",
    samples=lambda: [
        Sample(Fixed(Generator()), draw=_uniform, shape=shape, dtype=_F64) for shape in ((3, 4), (), (0, 2))
    ])  # fmt: skip

random_of: Callable = op("random_of(x, generator, *, draw, shape, dtype)",
    lambda x, generator, *, draw, shape, dtype: draw(generator.rng, np.asarray(x)),
    nondiff=True, pure=False, kinds="f", shape=given, dtype=lambda x, generator, *, dtype: dtype, lower=OPAQUE,
    batch=per_example(lambda x, generator, *, draw, shape, dtype: drawn_with(x, draw, shape, dtype, generator)),
    doc="Random numbers drawn from a generator, the second operand, with an array of parameters, the first.",
    samples=lambda: [
        Sample(shape, Fixed(Generator()), draw=_poisson, shape=shape, dtype=_F64) for shape in ((3, 4), (0, 2))
    ])  # fmt: skip


# -- indices with weights ----------------------------------------------------------------------------------------------


def check_weights(weights: np.ndarray, replacement: bool) -> None:
    """Raise PyTorch's error unless these are weights to draw indices with."""
    if replacement and (weights < 0).any():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if replacement and not np.isfinite(weights).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (weights.sum(-1) > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def draw_indices(rng: np.random.Generator, weights: np.ndarray, count: int, replacement: bool) -> np.ndarray:
    """Return indices drawn with the weights of each row of the last axis."""
    if not replacement:
        # The order of weight / exponential is that of drawing without replacement (Efraimidis & Spirakis 2006).
        order = np.argsort(-weights / rng.standard_exponential(weights.shape), axis=-1, kind="stable")
        return np.ascontiguousarray(order[..., :count]).astype(np.int64)
    steps = np.cumsum(weights, -1)
    draws = rng.random((*weights.shape[:-1], count)) * steps[..., -1:]
    rows = zip(steps.reshape(-1, steps.shape[-1]), draws.reshape(-1, count), strict=True)
    found = [np.searchsorted(step, draw, side="right") for step, draw in rows]
    return np.array(found, np.int64).reshape(draws.shape)

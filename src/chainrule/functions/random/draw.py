"""Drawing random numbers: arrays of a shape and dtype, and the tensors of them; under `vmap`, for all examples or for each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import run
from chainrule.core.call.threads import get_num_threads, in_threads
from chainrule.core.generator import Generator, default_generator
from chainrule.core.mode.grad_mode import Mapped, modes
from chainrule.core.op.batching import per_example
from chainrule.core.op.declaration import GENERAL, Backend, Op
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost, is_batched_at
from chainrule.core.types import dtype as dtypes
from chainrule.ops.shaping.shape import detach

# -- draws -------------------------------------------------------------------------------------------------------------


def rng_of(generator: Generator | None) -> np.random.Generator:
    """Return the NumPy generator behind a generator, the default one if None."""
    return (generator or default_generator).rng


def refuse(numpy: np.dtype, kinds: str, kernel: str) -> None:
    """Raise PyTorch's error for a dtype of none of the kinds."""
    if numpy.kind not in kinds:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.of(numpy).old_name}'")


_MANTISSA = {"float16": 11, "bfloat16": 8}


def draw_uniform(shape: tuple, numpy: np.dtype, generator: Generator | None) -> Any:
    """Return uniform numbers in [0, 1), in each part of a complex number."""
    refuse(numpy, "fcV", "check_uniform_bounds")
    rng = rng_of(generator)
    if numpy.kind == "c":
        return _of_parts(numpy, lambda part: rng.random(shape, part))
    if numpy.itemsize == 2:  # as many bits as the mantissa holds, or rounding would give 1
        bits = _MANTISSA[dtypes.of(numpy).name]
        return (np.asarray(rng.integers(0, 1 << bits, shape)) / np.float32(1 << bits)).astype(numpy)
    return rng.random(shape, numpy)  # type: ignore[arg-type]


def draw_normal(shape: tuple, numpy: np.dtype, generator: Generator | None) -> Any:
    """Return standard normal numbers; complex ones have variance 1, half in each part."""
    refuse(numpy, "fcV", "normal_kernel_cpu")
    rng = rng_of(generator)
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


def draw_integers(low: int, high: int, shape: tuple, generator: Generator | None) -> Any:
    """Return integers in [low, high)."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return np.asarray(rng_of(generator).integers(low, high, shape))


# -- draws for the examples of a vmap ----------------------------------------------------------------------------------


def drawn(draw: Callable[[tuple], Any], shape: tuple) -> Tensor:
    """Return the random numbers that `draw` returns for a shape; inside `vmap` one draw for all examples, or one for each."""
    m = modes()
    calls = m.mapped
    if m.tracer is not None:  # the trace's own calls of vmap; those around it are seen by the op where it runs
        own = _with_own(tuple([call for call in calls if call.level > m.tracer.level]))
        params = {"draw": draw, "shape": (*[call.size for call in own], *shape)}
        return _lifted(m.tracer.process(_RANDOM, (), params), own)
    if not calls:
        array = np.asarray(draw(shape))
        return wrap(array if array.ndim else array[()])
    own = _with_own(calls)
    return _lifted(draw((*[call.size for call in own], *shape)), own)


# A draw as a trace records it: it has no operands, and draws anew in every run of the graph, in its place among the others.
_RANDOM = Op(GENERAL, "random(*, draw, shape)", Backend(lambda *, draw, shape: drawn(draw, shape)), nondiff=True, pure=False)


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


def drawn_with(x: Tensor, draw: Callable[[np.ndarray], Any]) -> Tensor:
    """Return the random numbers that `draw` returns for an array of parameters, with any axes in front of one example's."""
    calls = modes().mapped
    if modes().tracer is not None and not calls:
        return run(_RANDOM_OF, (x,), {"draw": draw})
    if not calls:
        return wrap(draw(np.asarray(innermost(x))))
    own = _with_own(calls)
    if any([call.randomness == "same" and is_batched_at(x, call.level) for call in calls]):
        raise RuntimeError(
            "Vmap does not currently support same randomness with a batched tensor input. Use randomness='different', or draw "
            "the numbers outside of vmap."
        )
    x = detach(x)
    for call in own:  # every example of every call has parameters, if only a copy of them
        x = x + call.lift(np.zeros(call.size, x.dtype.numpy))
    return _lifted(draw(np.asarray(innermost(x, "check"))), own)


_RANDOM_OF = Op(GENERAL, "random_of(x, *, draw)", Backend(lambda x, *, draw: draw(np.asarray(x))), nondiff=True, pure=False,
    batch=per_example(lambda x, *, draw: drawn_with(x, draw)))  # fmt: skip

"""Random number generators: PyTorch's `Generator` over NumPy's PCG64, and the process's default one.

NumPy's random module is loaded at the first draw, not at import.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types.device import CPU
from chainrule.core.types.device import device as as_device

__all__ = ["Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

_FIRST_SEED = 67280421310721  # PyTorch's
_MASK = (1 << 64) - 1
_STATE_BYTES = 16 + 16 + 1 + 4 + 8


class Generator:
    """A source of random numbers with a state of its own.

    Draws from one generator may be made from several threads: NumPy guards each draw.

    Parameters
    ----------
    device : str
        Only ``"cpu"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> g = cr.Generator().manual_seed(0)
    >>> a = cr.rand(3, generator=g)
    >>> b = cr.rand(3, generator=g.manual_seed(0))
    >>> a.tolist() == b.tolist()
    True
    """

    __slots__ = ("_rng", "_seed")

    def __init__(self, device: Any = "cpu"):
        kind = as_device(device).type
        if kind != "cpu":
            raise RuntimeError(f"Cannot get {kind.upper()} generator: chainrule computes on the CPU only")
        self._seed = _FIRST_SEED
        self._rng: Any = None

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator, which makes the draws."""
        if modes().tracer is not None:
            modes().tracer.refuse_draw()
        self._noted()
        if self._rng is None:
            self._rng = np.random.Generator(np.random.PCG64(self._seed))
        return self._rng

    @property
    def device(self) -> as_device:
        """Where it draws: always the CPU."""
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from a seed, an integer of at most 64 bits; return the generator.

        Raises
        ------
        ValueError
            If the seed has more bits.
        """
        seed = int(seed)
        if not -(1 << 63) <= seed <= _MASK:
            raise ValueError("Overflow when unpacking long long")
        self._about_to_restart()
        self._seed = seed & _MASK
        self._rng = None
        return self

    def seed(self) -> int:
        """Start anew from a seed taken from the operating system; return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """Return the seed from which it started."""
        return self._seed

    def get_state(self) -> Tensor:
        """Return the state as a tensor of bytes."""
        found: Any = self.rng.bit_generator.state
        inner = found["state"]
        parts = ((inner["state"], 16), (inner["inc"], 16), (found["has_uint32"], 1), (found["uinteger"], 4), (self._seed, 8))
        return wrap(np.frombuffer(b"".join(v.to_bytes(n, "little") for v, n in parts), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to a state that :meth:`get_state` returned; return the generator.

        Raises
        ------
        TypeError
            If it is no tensor of bytes.
        RuntimeError
            If it has the wrong size.
        """
        raw = innermost(new_state)
        if not isinstance(new_state, Tensor) or raw.dtype != np.uint8:
            raise TypeError("RNG state must be a chainrule.ByteTensor")
        if raw.shape != (_STATE_BYTES,):
            raise RuntimeError("RNG state is wrong size")
        self._about_to_restart()
        data, at, values = raw.tobytes(), 0, []
        for n in (16, 16, 1, 4, 8):
            values.append(int.from_bytes(data[at : at + n], "little"))
            at += n
        state, inc, has_uint32, uinteger, self._seed = values
        self._rng = None
        bits = self.rng.bit_generator
        bits.state = {
            "bit_generator": "PCG64", "state": {"state": state, "inc": inc}, "has_uint32": has_uint32, "uinteger": uinteger,
        }  # fmt: skip
        return self

    def _about_to_restart(self) -> None:
        if (recorder := modes().compiling) is not None:
            recorder.refuse_draw()
        self._noted()

    def _noted(self) -> None:
        draws = modes().draws
        if draws is not None:
            draws.note(self)

    def _state(self) -> tuple:
        """Return the state as it is kept, which costs no draw and no import."""
        return self._seed, None if self._rng is None else self._rng.bit_generator.state

    def _put(self, state: tuple) -> None:
        self._seed, inner = state
        if inner is None:
            self._rng = None
        else:
            self.rng.bit_generator.state = inner

    def __reduce__(self) -> tuple:
        return (_restored, (self.get_state(),))


class Draws:
    """The states that generators had before their first draw in a block of code, for drawing the same again.

    Parameters
    ----------
    outer : Draws, optional
        Of a block around it, which takes note as well.
    """

    __slots__ = ("before", "outer")

    def __init__(self, outer: Draws | None = None):
        self.outer = outer
        self.before: dict[Generator, tuple] = {}

    def note(self, generator: Generator) -> None:
        """Take note of a generator that is about to change."""
        noting: Draws | None = self
        while noting is not None:
            if generator not in noting.before:
                noting.before[generator] = generator._state()
            noting = noting.outer

    def rewind(self) -> Callable[[], None]:
        """Set the generators back to those states; return the function that undoes it."""
        now = {g: g._state() for g in self.before}

        def put(states: dict[Generator, tuple]) -> None:
            for generator, state in states.items():
                generator._put(state)

        put(self.before)
        return lambda: put(now)


def _restored(state: Tensor) -> Generator:
    return Generator().set_state(state)


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew from a seed; return it.

    Examples
    --------
    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> a = cr.randn(2)
    >>> _ = cr.manual_seed(0)
    >>> bool((a == cr.randn(2)).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generator anew from a seed taken from the operating system; return it.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.seed() == cr.initial_seed()
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """Return the seed from which the default generator started.

    Examples
    --------
    >>> import chainrule as cr
    >>> _ = cr.manual_seed(5)
    >>> cr.initial_seed()
    5
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the default generator's state as a tensor of bytes.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.get_rng_state().dtype
    chainrule.uint8
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state to one that :func:`get_rng_state` returned.

    Examples
    --------
    >>> import chainrule as cr
    >>> state = cr.get_rng_state()
    >>> a = cr.rand(2)
    >>> cr.set_rng_state(state)
    >>> bool((a == cr.rand(2)).all())
    True
    """
    default_generator.set_state(new_state)

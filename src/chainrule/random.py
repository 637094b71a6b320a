"""PyTorch's ``random``: the state of the default generator, kept and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from chainrule.core.generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


@contextlib.contextmanager
def fork_rng(devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str | None = None) -> Iterator[None]:
    """Put the default generator back, at the end of a block, to the state that it had at its beginning.

    Parameters
    ----------
    devices : iterable, optional
        Other devices whose generators to put back; there are none.
    enabled : bool
        False: do nothing.
    device_type : str, optional
        Of those devices: none, or ``"cpu"``.

    Raises
    ------
    RuntimeError
        If devices are given.

    Examples
    --------
    >>> import chainrule as cr
    >>> _ = cr.manual_seed(0)
    >>> with cr.random.fork_rng():
    ...     a = cr.rand(2)
    >>> bool((a == cr.rand(2)).all())
    True
    """
    if enabled and (list(devices or ()) or device_type not in (None, "cpu")):
        raise RuntimeError("fork_rng(): chainrule computes on the CPU, there are no other devices")
    if not enabled:
        yield
        return
    before = default_generator._state()
    try:
        yield
    finally:
        default_generator._noted()
        default_generator._put(before)

"""Compiled sparse derivatives: what gives the entries is compiled, guards, check and assembly stay outside.

`chainrule.compile` asks what it is to compile for its own way (``_compiled``), since it stands above this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.types.tree import tree_flatten
from chainrule.func.arguments import Call
from chainrule.func.compressed import Compression, Taken
from chainrule.func.discovery import is_plain
from chainrule.func.sweeps import Function

KEPT = 64  # compiled functions


class CompiledTakes:
    """The compiled functions that take the entries of a function's derivative, one for each way.

    Parameters
    ----------
    func : callable
        The function that is differentiated.
    compiled : callable
        Compiles a function of tensors.
    """

    __slots__ = ("_compiled", "_func", "_known")

    def __init__(self, func: Callable, compiled: Callable):
        self._func, self._compiled = func, compiled
        self._known: dict[Any, Callable] = {}

    def __reduce__(self) -> tuple:
        return CompiledTakes, (self._func, self._compiled)

    def __call__(self, way: Compression, f: Function, check: bool) -> Taken | None:
        """Take the entries in a way; as it is the first time, which makes what the way needs, and inside of transforms."""
        if not way.layout(f, check).known or not is_plain(f.flat):
            return way.take(f, check)
        key = (way, check, f.has_aux, f.randomness, f.chunk_size, f.memory)
        taken = self._known.get(key)
        if taken is None:
            if len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            taken = self._known[key] = self._compiled(self._taking(way, f, check))
        if not isinstance(f.call, Call):
            return taken(f.primals)[0]
        found, f.call.written = taken(f.primals, *f.call.apart())
        return found

    def _taking(self, way: Compression, like: Function, check: bool) -> Callable:
        """Return the function of arguments that takes the entries, and says what is to be written to which of them."""
        func = self._func

        def entries(primals: tuple, places: tuple = (), args: tuple = (), kwargs: dict | None = None) -> tuple:
            flat, spec = tree_flatten(primals)
            call = Call(func, places, args, kwargs or {}) if places else func
            taken = way.take(like._replace(call=call, primals=primals, spec=spec, flat=flat), check)
            return taken, call.written if isinstance(call, Call) else []

        entries.__qualname__ = f"derivative of {getattr(func, '__qualname__', type(func).__name__)}"
        return entries

"""What programs tell the compiler, and ask it: whether functions are being recorded, which are to run as they are.

One object for the whole process (:data:`STATE`) holds what was said. Whoever runs a compiled function asks it first.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

from chainrule.core.mode.grad_mode import modes

__all__ = [
    "allow_in_graph", "assume_constant_result", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling",
    "is_exporting", "reset", "set_stance",
]  # fmt: skip

_STANCES = ("default", "eager_then_compile", "force_eager", "eager_on_recompile", "fail_on_recompile", "aot_eager_then_compile")


class _State:
    """The stance of the process, how many specialisations it keeps of a function, and the compiled functions that there are."""

    def __init__(self) -> None:
        self.stance = "default"
        self.specialisations = 32
        self.here = threading.local()
        self.disabled = 0  # functions that are running, in all threads
        self.lock = threading.Lock()
        self.compiled: weakref.WeakSet = weakref.WeakSet()

    @property
    def busy(self) -> bool:
        """Whether anything was said that a compiled function is to heed."""
        return self.disabled > 0 or self.stance != "default"

    @property
    def off(self) -> int:
        """How many disabled functions this thread is in."""
        return getattr(self.here, "off", 0)


STATE = _State()


class _Disabled:
    """A block in which this thread's compiled functions run as they are."""

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *exc: object) -> None:
        self._count(-1)

    def _count(self, more: int) -> None:
        STATE.here.off = STATE.off + more
        with STATE.lock:
            STATE.disabled += more


IN_DISABLED = _Disabled()


def is_compiling() -> bool:
    """Tell whether the function that asks is being recorded.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.is_compiling()
    False
    >>> told = []
    >>> cr.compile(lambda x: told.append(cr.compiler.is_compiling()) or x + 1)(cr.ones(1))
    tensor([2.])
    >>> told
    [True]
    """
    return modes().compiling is not None


is_dynamo_compiling = is_compiling


def is_exporting() -> bool:
    """Tell whether the function that asks is being exported: never, as there is no export.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.is_exporting()
    False
    """
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Return a function that runs as it is, and so do compiled functions that it calls; also a decorator.

    Parameters
    ----------
    fn : callable or Module, optional
        None for a decorator.
    recursive : bool
        False lets the compiled functions that it calls be compiled.
    reason : str, optional
        For readers.

    Notes
    -----
    Inside a function that is being compiled there is nothing to turn off: what `fn` does to tensors is recorded as part of that
    function, with the results that it has without.

    Examples
    --------
    >>> import chainrule as cr
    >>> f = cr.compile(lambda x: x * 2)
    >>> cr.compiler.disable(f)(cr.ones(1))
    tensor([2.])
    """
    if fn is None or not callable(fn):
        return functools.partial(disable, recursive=recursive, reason=reason)
    inner = getattr(fn, "_torchdynamo_orig_callable", fn)
    if not recursive or isinstance(fn, type) or not hasattr(fn, "__name__"):
        return inner

    @functools.wraps(inner)
    def disabled(*args: Any, **kwargs: Any) -> Any:
        with IN_DISABLED:
            return inner(*args, **kwargs)

    disabled._torchdynamo_disable = True  # type: ignore[attr-defined]
    return disabled


def allow_in_graph(fn: Any) -> Any:
    """Return the function as it is: all that works on tensors may be in a graph.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.allow_in_graph(cr.sin) is cr.sin
    True
    """
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(each) for each in fn]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: Any) -> Any:
    """Return the function as it is: what it returns beside tensors is a constant of a recording anyway.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.assume_constant_result(len) is len
    True
    """
    return fn


def reset() -> None:
    """Forget what compiled functions have recorded, in the whole process: their next calls record anew.

    Examples
    --------
    >>> import chainrule as cr
    >>> f = cr.compile(lambda x: x + 1)
    >>> f(cr.ones(1))
    tensor([2.])
    >>> cr.compiler.reset()
    """
    for each in list(STATE.compiled):
        each.reset()


def cudagraph_mark_step_begin() -> None:
    """Mark the beginning of a step, for graphs of CUDA: there are none.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.compiler.cudagraph_mark_step_begin()
    """


class set_stance:  # noqa: N801 - PyTorch's public name
    """Set how compiled functions behave: at once, for a block, or for a function.

    Parameters
    ----------
    stance : str
        ``"default"``; ``"force_eager"``: functions run as they are; ``"eager_on_recompile"``: a call that would record anew
        runs the function as it is; ``"fail_on_recompile"``: it raises. ``"eager_then_compile"`` and
        ``"aot_eager_then_compile"`` are as ``"default"``: the first call runs the function itself in any case.
    skip_guard_eval_unsafe : bool
        Must be False: calls are never let past their guards.
    force_backend : None
        Must be None: a compiled function keeps its backend.

    Raises
    ------
    RuntimeError
        For another stance.
    NotImplementedError
        For what must be False or None.

    Examples
    --------
    >>> import chainrule as cr
    >>> f = cr.compile(lambda x: x + 1)
    >>> with cr.compiler.set_stance("force_eager"):
    ...     f(cr.ones(1))
    tensor([2.])
    """

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None) -> None:
        if stance not in _STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}': expected one of {', '.join(_STANCES)}")
        if skip_guard_eval_unsafe or force_backend is not None:
            raise NotImplementedError("set_stance: guards are never skipped, and a compiled function keeps its backend")
        self.stance, self._before = stance, STATE.stance
        STATE.stance = stance

    def __call__(self, fn: Callable) -> Callable:
        """Return a function that runs in this stance, and puts back the one that was there before."""
        STATE.stance = self._before

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.stance):
                return fn(*args, **kwargs)

        return wrapped

    def __enter__(self) -> None:
        """Begin the block; the stance is set already."""
        STATE.stance = self.stance

    def __exit__(self, *exc: object) -> None:
        """Put back the stance that was there before."""
        STATE.stance = self._before

"""Grad mode: whether operations are recorded. Per thread, switched by context managers that are also decorators."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
_GENERATOR, _COROUTINE = 0x20, 0x80  # code flags, which the module inspect would read too, for 10 ms of import


class _State(threading.local):
    """One thread's modes.

    `record` is grad mode and not inference mode; `plain` is that and nothing else out of the ordinary: the one flag
    that the hot path looks at. Set the others through :func:`switch`, which keeps these two and `meta` in step.
    """

    plain = True
    record = True
    grad = True
    inference = False
    floor = 0  # the lowest level that is recorded: above 0 in a transform called under no_grad
    scope = 0  # the level of the innermost transform that is running
    open: dict[int, list]  # forward_ad's levels that are open → weak references to tensors that took their values in place
    watched = False  # whether something looks at every recorded op: anomaly mode, hooks on saved tensors
    meta: Any = None  # what a fresh tensor's `_meta` starts as: marks tensors made in inference mode or in a transform

    def __init__(self) -> None:
        self.open = {}


STATE = _State()


class Mark:
    """The `_meta` of plain tensors made in inference mode, or in a transform of level `made`; shared by all of them."""

    __slots__ = ("inference", "made")

    def __init__(self, inference: bool, made: int):
        self.inference, self.made = inference, made


def switch(**flags: Any) -> None:
    """Set some of this thread's modes, and what follows from them."""
    s = STATE
    for name, value in flags.items():
        setattr(s, name, value)
    s.record = s.grad and not s.inference
    s.plain = s.record and not (s.floor or s.scope or s.watched)
    s.meta = Mark(s.inference, s.scope) if s.inference or s.scope else None


def _set(grad: bool, inference: bool) -> None:
    s = STATE
    s.grad, s.record = grad, grad and not inference
    s.plain = s.record and not (s.floor or s.scope or s.watched)
    if inference is not s.inference:
        s.inference = inference
        s.meta = Mark(inference, s.scope) if inference or s.scope else None


class _Mode:
    """A context manager and decorator that switches (grad, inference) and switches back."""

    __slots__ = ("_grad", "_inference", "_saved")

    def __init__(self, grad: bool | None, inference: bool | None):
        self._grad, self._inference = grad, inference
        self._saved: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        s = STATE
        self._saved.append((s.grad, s.inference))
        _set(s.grad if self._grad is None else self._grad, s.inference if self._inference is None else self._inference)

    def __exit__(self, *exc: object) -> None:
        _set(*self._saved.pop())

    def _fresh(self) -> _Mode:
        return _Mode(self._grad, self._inference)

    def __call__(self, f: _F) -> _F:
        flags = getattr(getattr(f, "__code__", None), "co_flags", 0)
        if flags & _GENERATOR:

            @functools.wraps(f)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _drive(f(*args, **kwargs), self)
        elif flags & _COROUTINE:

            @functools.wraps(f)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                return await _Awaitable(f(*args, **kwargs), self)
        else:

            @functools.wraps(f)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self._fresh():
                    return f(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _drive(inner: Any, mode: _Mode) -> Any:
    """Run a generator with `mode` on while its own code runs, and off while its consumer's does."""
    step, value = inner.send, None
    try:
        while True:
            with mode._fresh():
                got = step(value)
            try:
                value = yield got
                step = inner.send
            except GeneratorExit:
                with mode._fresh():
                    inner.close()
                raise
            except BaseException as error:  # handed to the generator's own code, as a plain generator would get it
                step, value = inner.throw, error
    except StopIteration as stop:
        return stop.value


class _Awaitable:
    __slots__ = ("_inner", "_mode")

    def __init__(self, inner: Any, mode: _Mode):
        self._inner, self._mode = inner, mode

    def __await__(self) -> Any:
        return _drive(self._inner.__await__(), self._mode)


class scope:  # noqa: N801 - a context manager like the others
    """A transform of a level is running: plain tensors made inside are marked as its own, so that it may write to them."""

    __slots__ = ("_level", "_saved")

    def __init__(self, level: int):
        self._level = level

    def __enter__(self) -> None:
        self._saved = STATE.scope
        switch(scope=self._level)

    def __exit__(self, *exc: object) -> None:
        switch(scope=self._saved)


class recording:  # noqa: N801 - a context manager like the others
    """The scope of a reverse-mode transform: it records its own level and above; below, recorded is what the caller records."""

    __slots__ = ("_level", "_saved")

    def __init__(self, level: int):
        self._level = level

    def __enter__(self) -> None:
        s = STATE
        self._saved = {"grad": s.grad, "inference": s.inference, "floor": s.floor, "scope": s.scope}
        switch(grad=True, inference=False, scope=self._level, floor=s.floor if s.record else self._level)

    def __exit__(self, *exc: object) -> None:
        switch(**self._saved)


class _DecoratorMode(_Mode):
    """A mode that takes no argument: ``@no_grad`` and ``@no_grad()`` both decorate."""

    __slots__ = ()

    def __new__(cls, f: Callable | None = None) -> Any:
        mode = object.__new__(cls)
        if f is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(f)


class no_grad(_DecoratorMode):  # noqa: N801 - PyTorch's public name
    """Stop recording: results do not require gradients. A context manager and a decorator.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> with cr.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    def __init__(self, f: Callable | None = None) -> None:
        super().__init__(False, None)


class enable_grad(_DecoratorMode):  # noqa: N801 - PyTorch's public name
    """Record again inside a `no_grad` block. A context manager and a decorator.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> with cr.no_grad(), cr.enable_grad():
    ...     y = x * x
    >>> y.requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, f: Callable | None = None) -> None:
        super().__init__(True, None)


class set_grad_enabled(_Mode):  # noqa: N801 - PyTorch's public name
    """Set grad mode at once; as a context manager, set it back at the end.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.set_grad_enabled(False):
    ...     cr.is_grad_enabled()
    False
    """

    __slots__ = ("_before",)

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode), None)
        self._before: tuple[bool, bool] | None = (STATE.grad, STATE.inference)
        _set(bool(mode), STATE.inference)

    def __enter__(self) -> None:
        before = self._before or (STATE.grad, STATE.inference)
        self._before = None
        self._saved.append(before)
        _set(bool(self._grad), STATE.inference)

    def __call__(self, f: _F) -> _F:
        """Decorate a function that runs in this mode."""
        if self._before is not None:  # used as a decorator: the call above was not meant to last
            _set(*self._before)
            self._before = None
        return super().__call__(f)


class inference_mode(_Mode):  # noqa: N801 - PyTorch's public name
    """Like `no_grad`, and the tensors made inside may never enter a recorded computation.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.inference_mode():
    ...     y = cr.ones(2) * 3
    >>> y.is_inference()
    True
    """

    __slots__ = ()

    def __new__(cls, mode: bool | Callable = True) -> Any:  # noqa: D102
        made = object.__new__(cls)
        if callable(mode):
            made.__init__()  # type: ignore[misc]
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode, bool(mode))


def is_grad_enabled() -> bool:
    """Tell whether operations are being recorded in this thread."""
    return STATE.grad


def is_inference_mode_enabled() -> bool:
    """Tell whether inference mode is on in this thread."""
    return STATE.inference

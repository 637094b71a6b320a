"""Grad modes: whether operations are recorded. Per thread and context, switched by context managers that are also decorators.

The record that they switch is ``core.state``'s, whose names can be had from here as well.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import AsyncGenerator, Callable
from contextvars import Token
from typing import Any, Self, TypeVar, overload

from chainrule.core.mode.state import Argument, Mapped, Mark, Mode, back, modes, recording, scope, set_modes, switch

__all__ = [
    "Argument", "Decorator", "Mapped", "Mark", "Mode", "back", "enable_grad", "inference_mode", "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled", "modes", "no_grad", "recording", "scope",
    "set_grad_enabled", "set_modes", "switch", "ungraded",
]  # fmt: skip

_F = TypeVar("_F", bound=Callable[..., Any])
# Code flags, which the module inspect would read too, for 10 ms of import.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _grade(grad: bool, inference: bool) -> tuple[Mode, Mode, Token]:
    """Set grad mode and inference mode; return what `back` needs."""
    before = modes()
    entered = before.graded(grad, inference)
    return entered, before, set_modes(entered)


def _ungrade(entered: Mode, before: Mode, token: Token) -> None:
    back(entered, before, "grad", "inference", token=token)


def ungraded(f: Callable, *args: Any) -> Any:
    """Call a function without grad mode, in half the time that a `no_grad` block takes around it."""
    entered, before, token = _grade(False, modes().inference)
    try:
        return f(*args)
    finally:
        _ungrade(entered, before, token)


class Decorator:
    """What makes a context manager a decorator of functions, generators and coroutines; it says how to make a fresh one."""

    __slots__ = ()

    def _fresh(self) -> Any:
        raise NotImplementedError

    def __call__(self, f: _F) -> _F:
        """Decorate a function, generator, coroutine or asynchronous generator, whose own code then runs in this mode."""
        if isinstance(f, type):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
        flags = getattr(getattr(f, "__code__", None), "co_flags", 0)
        if flags & _GENERATOR:

            @functools.wraps(f)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _drive(f(*args, **kwargs), self)
        elif flags & _COROUTINE:

            @functools.wraps(f)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                return await _Awaitable(f(*args, **kwargs), self)
        elif flags & _ASYNC_GENERATOR:

            @functools.wraps(f)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return _drive_async(f(*args, **kwargs), self)
        else:

            @functools.wraps(f)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self._fresh():
                    return f(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class _Mode(Decorator):
    """A context manager and decorator that switches (grad, inference) and switches back."""

    __slots__ = ("_grad", "_inference", "_saved")

    def __init__(self, grad: bool | None, inference: bool | None):
        self._grad, self._inference = grad, inference
        self._saved: list[tuple[Mode, Mode, Token]] = []

    def __enter__(self) -> None:
        m = modes()
        grad = m.grad if self._grad is None else self._grad
        self._saved.append(_grade(grad, m.inference if self._inference is None else self._inference))

    def __exit__(self, *exc: object) -> None:
        _ungrade(*self._saved.pop())

    def _fresh(self) -> _Mode:
        return _Mode(self._grad, self._inference)

    @property
    def prev(self) -> bool:
        """Grad mode as it was before the innermost block that has been entered; False before any."""
        return self._saved[-1][1].grad if self._saved else False


def _drive(inner: Any, mode: Decorator) -> Any:
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

    def __init__(self, inner: Any, mode: Decorator):
        self._inner, self._mode = inner, mode

    def __await__(self) -> Any:
        return _drive(self._inner.__await__(), self._mode)


async def _drive_async(inner: AsyncGenerator, mode: Decorator) -> AsyncGenerator:
    """Run an asynchronous generator as `_drive` runs a generator."""
    step: Any
    step, value = inner.asend, None
    try:
        while True:
            got = await _Awaitable(step(value), mode)
            try:
                value = yield got
                step = inner.asend
            except GeneratorExit:
                await _Awaitable(inner.aclose(), mode)
                raise
            except BaseException as error:
                step, value = inner.athrow, error
    except StopAsyncIteration:
        return


class _DecoratorMode(_Mode):
    """A mode that takes no argument: ``@no_grad`` and ``@no_grad()`` both decorate."""

    __slots__ = ()

    @overload
    def __new__(cls, f: None = None) -> Self: ...
    @overload
    def __new__(cls, f: _F) -> _F: ...  # type: ignore[misc]
    def __new__(cls, f: Callable | None = None) -> Any:
        mode = object.__new__(cls)
        if f is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(f)

    def clone(self) -> Any:
        """Return another of the kind."""
        return type(self)()


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

    __slots__ = ("_before", "mode")

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}")
        super().__init__(mode, None)
        self.mode = mode
        self._before: tuple | None = _grade(mode, modes().inference)

    @property
    def prev(self) -> bool:
        """Grad mode as it was before."""
        return self._before[1].grad if self._before else super().prev

    def clone(self) -> set_grad_enabled:
        """Return another of the mode, which it sets at once."""
        return set_grad_enabled(self.mode)

    def __str__(self) -> str:
        return f"chainrule.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    def __enter__(self) -> None:
        self._saved.append(self._before or _grade(bool(self._grad), modes().inference))
        self._before = None

    def __call__(self, f: _F) -> _F:
        """Decorate a function that runs in this mode."""
        if self._before is not None:  # used as a decorator: the call above was not meant to last
            _ungrade(*self._before)
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

    __slots__ = ("mode",)

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: _F) -> _F: ...  # type: ignore[misc]
    def __new__(cls, mode: bool | Callable = True) -> Any:  # noqa: D102
        made = object.__new__(cls)
        if callable(mode):
            made.__init__()  # type: ignore[misc]
            return made(mode)
        return made

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode, bool(mode))
        self.mode = mode

    def clone(self) -> inference_mode:
        """Return another of the mode."""
        return inference_mode(self.mode)


def is_grad_enabled() -> bool:
    """Tell whether operations are being recorded in this thread and context."""
    return modes().grad


def is_inference_mode_enabled() -> bool:
    """Tell whether inference mode is on in this thread and context."""
    return modes().inference


def is_anomaly_enabled() -> bool:
    """Tell whether anomaly mode is on in this thread and context."""
    return modes().anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Tell whether anomaly mode looks for NaN in this thread and context."""
    anomaly = modes().anomaly
    return anomaly is None or anomaly.check_nan

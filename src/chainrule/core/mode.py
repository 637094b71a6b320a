"""Grad mode: whether operations are recorded. Per thread and context, switched by context managers that are also decorators."""

from __future__ import annotations

import functools
import warnings
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar, Token
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
# Code flags, which the module inspect would read too, for 10 ms of import.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


_NO_LEVELS: dict[int, list] = {}


class Mode:
    """The modes of one thread and context: a record that is never changed, only replaced.

    A context variable holds it, so that asyncio's tasks, which interleave on one thread, each keep their own; reading one
    takes a third of the time of a `threading.local` (10 against 36 ns, which every recorded op pays).

    Attributes
    ----------
    grad, inference : bool
        Grad mode and inference mode, as the user set them.
    floor : int
        The lowest level that is recorded: above 0 in a transform called under `no_grad`.
    scope : int
        The level of the innermost transform that is running.
    open : dict
        `forward_ad`'s levels that are open → weak references to tensors that took their values in place.
    saving : tuple or None
        The (pack, unpack) hooks in force for saved tensors.
    no_saving : str or None
        Why there may be none, where that is forbidden.
    on_write : callable or None
        Called with a tensor that is about to be written to in place.
    anomaly : object or None
        What anomaly mode checks, where it is on.
    draws : object or None
        Notes the states of generators before they draw (`core.generator.Draws`).
    watchers : tuple
        What stands around every kernel (`dispatch.compute`), innermost last: profilers, selective checkpoints.
    multithreading, layout : bool
        Whether passes deep inside others may run in threads of their own; whether gradients take their tensors' strides.
    tracer : object or None
        The innermost trace that is running: `dispatch.run` asks it whether it takes an op.
    mapped : tuple of Mapped
        The calls of `vmap` that are running, outermost first: random functions look at them.
    record : bool
        Derived: grad mode and not inference mode.
    watched : bool
        Derived: something looks at every recorded op: anomaly mode, hooks on saved tensors.
    plain : bool
        Derived: `record`, and nothing else out of the ordinary.
    clear : bool
        Derived: `record`, and nothing looks at ops as they run: what hot paths above level 0 ask, beside the floor.
    detour : bool
        Derived: neither `plain` nor merely not recorded, so that the hot path leaves the op to `dispatch.run`.
    meta : Mark or None
        Derived: what a fresh tensor's `_meta` starts as.
    """

    __slots__ = (
        "anomaly", "clear", "detour", "draws", "floor", "grad", "inference", "layout", "mapped", "meta", "multithreading",
        "no_saving", "on_write", "open", "plain", "record", "saving", "scope", "tracer", "watched", "watchers",
    )  # fmt: skip

    def __init__(
        self,
        grad: bool = True,
        inference: bool = False,
        floor: int = 0,
        scope: int = 0,
        open: dict = _NO_LEVELS,
        saving: tuple | None = None,
        no_saving: str | None = None,
        anomaly: Any = None,
        watchers: tuple = (),
        tracer: Any = None,
        draws: Any = None,
        multithreading: bool = True,
        layout: bool = True,
        on_write: Callable | None = None,
        mapped: tuple[Mapped, ...] = (),
    ):
        self.grad, self.inference, self.floor, self.scope = grad, inference, floor, scope
        self.open, self.saving, self.no_saving, self.anomaly = open, saving, no_saving, anomaly
        self.watchers, self.tracer, self.draws, self.on_write = watchers, tracer, draws, on_write
        self.multithreading, self.layout, self.mapped = multithreading, layout, mapped
        self.watched = watched = saving is not None or anomaly is not None
        self.record = record = grad and not inference
        self.clear = clear = record and not (watched or watchers or tracer is not None)
        self.plain = plain = clear and not (floor or scope)
        self.detour = not plain and (record or bool(watchers) or tracer is not None)
        self.meta = Mark(inference, scope) if inference or scope else None

    def having(self, **flags: Any) -> Mode:
        """Return this record with some flags changed."""
        made = Mode(**dict(zip(_FLAGS, _flags(self), strict=True), **flags))
        ordinary = _ORDINARY[made.grad, made.inference]
        return ordinary if _flags(ordinary) == _flags(made) else made

    def graded(self, grad: bool, inference: bool) -> Mode:
        """Return this record with another grad mode and inference mode."""
        if self is _ORDINARY[self.grad, self.inference]:
            return _ORDINARY[grad, inference]
        return self.having(grad=grad, inference=inference)


_FLAGS = (
    "grad", "inference", "floor", "scope", "open", "saving", "no_saving", "anomaly", "watchers", "tracer", "draws",
    "multithreading", "layout", "on_write", "mapped",
)  # fmt: skip
_flags = attrgetter(*_FLAGS)


class Mapped(NamedTuple):
    """What random functions need to know of a call of `vmap`.

    Attributes
    ----------
    level, size : int
        Its level, and how many examples it has.
    randomness : str
        "error", "same" or "different".
    lift : callable
        Returns the value of its level for one a level down with the batch axis first.
    """

    level: int
    size: int
    randomness: str
    lift: Callable[[Any], Any]


class Mark:
    """The `_meta` of plain tensors made in inference mode, or in a transform of level `made`; shared by all of them."""

    __slots__ = ("inference", "made")

    def __init__(self, inference: bool, made: int):
        self.inference, self.made = inference, made


ARGUMENT = Mark(False, 0)  # of the arguments of a function under `vmap`, whose writes reach the caller's tensors

_ORDINARY = {(grad, inference): Mode(grad, inference) for grad in (True, False) for inference in (True, False)}
_current: ContextVar[Mode] = ContextVar("chainrule.mode", default=_ORDINARY[True, False])
modes = _current.get
set_modes = _current.set


def switch(**flags: Any) -> None:
    """Set some of this context's modes."""
    set_modes(modes().having(**flags))


def back(entered: Mode, before: Mode, *flags: str, token: Token | None = None) -> None:
    """Set flags back to what they were before a block, which may have set others that are to last.

    With the token of :data:`set_modes` a context that held no modes holds none again: setting any context variable, such as
    the one that silences NumPy, costs 130 ns in an empty context and 180 in any other.
    """
    now = modes()
    if now is entered and token is not None:
        try:
            _current.reset(token)
        except ValueError:  # a generator that was entered in one context and is closed in another
            set_modes(before)
    else:
        set_modes(before if now is entered else now.having(**{name: getattr(before, name) for name in flags}))


def _grade(grad: bool, inference: bool) -> tuple[Mode, Mode, Token]:
    """Set grad mode and inference mode; return what `back` needs."""
    before = modes()
    entered = before.graded(grad, inference)
    return entered, before, set_modes(entered)


def _ungrade(entered: Mode, before: Mode, token: Token) -> None:
    back(entered, before, "grad", "inference", token=token)


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


class scope:  # noqa: N801 - a context manager like the others
    """A transform of a level is running: plain tensors made inside are marked as its own, so that it may write to them.

    Other flags of the record may be given too.
    """

    __slots__ = ("_before", "_entered", "_flags", "_token")

    def __init__(self, level: int, **flags: Any):
        self._flags = {"scope": level, **flags}

    def __enter__(self) -> None:
        self._before = before = modes()
        self._entered = before.having(**self._flags)
        self._token = set_modes(self._entered)

    def __exit__(self, *exc: object) -> None:
        back(self._entered, self._before, *self._flags, token=self._token)


class recording:  # noqa: N801 - a context manager like the others
    """The scope of a reverse-mode transform: it records its own level and above; below, recorded is what the caller records."""

    __slots__ = ("_before", "_entered", "_level", "_token")

    def __init__(self, level: int):
        self._level = level

    def __enter__(self) -> None:
        self._before = m = modes()
        level = self._level
        floor = m.floor if m.record else level
        # `having` would take 3 µs of the 20 that a small gradient takes
        self._entered = Mode(
            True, False, floor, level, m.open, m.saving, m.no_saving, m.anomaly, m.watchers, m.tracer, m.draws,
            m.multithreading, m.layout, m.on_write, m.mapped,
        )  # fmt: skip
        self._token = set_modes(self._entered)

    def __exit__(self, *exc: object) -> None:
        back(self._entered, self._before, "grad", "inference", "floor", "scope", token=self._token)


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
        self._before: tuple | None = _grade(bool(mode), modes().inference)

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

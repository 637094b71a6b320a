"""The record of modes: what is on in a thread and context, in one object that the hot path looks at once.

How the user switches grad modes is ``core.mode``'s; this module knows of the record alone, and of the scopes of transforms.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from operator import attrgetter
from typing import Any, NamedTuple

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
    scopes : tuple of int
        The levels of the transforms that are running, outermost first.
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
    recorder : int
        The level of the innermost reverse-mode transform that is running: leaves made inside belong to it.
    notes : object or None
        What is to be noted of the nodes that are recorded (`core.record.notes.Noting`).
    safe : bool
        Derivatives leave absent what a `where`, a mask or an index drops (`transforms.partial`).
    asked : bool
        Whether a mode with ``__torch_function__`` is on, whom public functions ask on their slow side (`core.call.asking`).
    scope : int
        Derived: the level of the innermost transform that is running; 0 if none is.
    record : bool
        Derived: grad mode and not inference mode.
    watched : bool
        Derived: something looks at every recorded op: anomaly mode, notes, hooks on saved tensors.
    noting : object or None
        Derived: `notes`, or what anomaly mode checks, for which places are noted.
    plain : bool
        Derived: `record`, and nothing else out of the ordinary.
    clear : bool
        Derived: `record`, and nothing looks at ops as they run: what hot paths above level 0 ask, beside the floor.
    detour : bool
        Derived: neither `plain` nor merely not recorded, so that the hot path leaves the op to `dispatch.run`.
    compiling : object or None
        Derived: what records under level 0 (``compiler.record``), alone or below a trace.
    meta : Mark or None
        Derived: what a fresh tensor's `_meta` starts as.
    ungraded : Mode or None
        Derived at first need: this record without grad mode.
    """

    __slots__ = (
        "anomaly", "asked", "clear", "compiling", "detour", "draws", "floor", "grad", "inference", "layout", "mapped", "meta",
        "multithreading", "no_saving", "notes", "noting", "on_write", "open", "plain", "record", "recorder", "safe", "saving",
        "scope", "scopes", "tracer", "ungraded", "watched", "watchers",
    )  # fmt: skip

    def __init__(
        self,
        grad: bool = True,
        inference: bool = False,
        floor: int = 0,
        scopes: tuple[int, ...] = (),
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
        recorder: int = 0,
        asked: bool = False,
        notes: Any = None,
        safe: Any = False,
    ):
        self.grad, self.inference, self.floor, self.scopes = grad, inference, floor, scopes
        self.scope = scope = scopes[-1] if scopes else 0
        self.open, self.saving, self.no_saving, self.anomaly = open, saving, no_saving, anomaly
        self.watchers, self.tracer, self.draws, self.on_write = watchers, tracer, draws, on_write
        self.multithreading, self.layout, self.mapped, self.recorder = multithreading, layout, mapped, recorder
        self.asked, self.notes, self.safe = asked, notes, safe
        self.noting = anomaly if notes is None else notes
        self.watched = watched = saving is not None or self.noting is not None
        self.record = record = grad and not inference
        self.clear = clear = record and not (watched or watchers or tracer is not None or asked)
        self.plain = plain = clear and not (floor or scope)
        self.detour = not plain and (record or bool(watchers) or tracer is not None or asked)
        self.compiling: Any = None if tracer is None else tracer.recorder
        self.ungraded: Mode | None = None
        self.meta = Mark(inference, scope) if inference or scope else None
        if self.compiling is not None:
            self.meta = Mark(inference, scope, recorder=self.compiling.token)

    def having(self, **flags: Any) -> Mode:
        """Return this record with some flags changed."""
        made = Mode(**dict(zip(_FLAGS, _flags(self), strict=True), **flags))
        ordinary = _ORDINARY[made.grad, made.inference]
        return ordinary if _flags(ordinary) == _flags(made) else made

    def graded(self, grad: bool, inference: bool) -> Mode:
        """Return this record with another grad mode and inference mode."""
        if self is _ORDINARY[self.grad, self.inference]:
            return _ORDINARY[grad, inference]
        if grad or not self.grad or inference is not self.inference:
            return self.having(grad=grad, inference=inference)
        if self.ungraded is None:  # hooks on saved tensors run in it, each time
            self.ungraded = self.having(grad=False)
        return self.ungraded


_FLAGS = (
    "grad", "inference", "floor", "scopes", "open", "saving", "no_saving", "anomaly", "watchers", "tracer", "draws",
    "multithreading", "layout", "on_write", "mapped", "recorder", "asked", "notes", "safe",
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
    """The `_meta` of plain tensors made in inference mode, or in a transform of level `made`; shared by all of them.

    So is that of views made while nothing is recorded: `frozen` says why they may not be written to. `recorder` is the
    token of what recorded under level 0 when the tensor was made.
    """

    __slots__ = ("frozen", "inference", "made", "recorder")

    def __init__(self, inference: bool, made: int, frozen: str | None = None, recorder: Any = None):
        self.inference, self.made, self.frozen, self.recorder = inference, made, frozen, recorder


class Argument(Mark):
    """The `_meta` of an argument of a function under `vmap`, whose writes reach the caller's tensor.

    `dim` is the axis at which that has the examples.
    """

    __slots__ = ("dim",)

    def __init__(self, dim: int):
        super().__init__(False, 0)
        self.dim = dim


_ORDINARY = {(grad, inference): Mode(grad, inference) for grad in (True, False) for inference in (True, False)}


def is_ordinary(mode: Mode) -> bool:
    """Tell whether grad mode and inference mode are all that is out of the ordinary."""
    return mode is _ORDINARY[mode.grad, mode.inference]


_current: ContextVar[Mode] = ContextVar("chainrule.mode", default=_ORDINARY[True, False])
modes = _current.get
set_modes = _current.set


def switch(**flags: Any) -> None:
    """Set some of this context's modes."""
    set_modes(modes().having(**flags))


def back(entered: Mode | None, before: Mode, *flags: str, token: Token | None = None) -> None:
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


class scope:  # noqa: N801 - a context manager like the others
    """A transform of a level is running: plain tensors made inside are marked as its own, so that it may write to them.

    Other flags of the record may be given too.
    """

    __slots__ = ("_before", "_entered", "_flags", "_level", "_token")

    def __init__(self, level: int, **flags: Any):
        self._level, self._flags = level, flags

    def __enter__(self) -> None:
        self._before = before = modes()
        self._entered = before.having(scopes=(*before.scopes, self._level), **self._flags)
        self._token = set_modes(self._entered)

    def __exit__(self, *exc: object) -> None:
        back(self._entered, self._before, "scopes", *self._flags, token=self._token)


class recording:  # noqa: N801 - a context manager like the others
    """The scope of a reverse-mode transform: it records its own level and above; below, recorded is what the caller records."""

    __slots__ = ("_before", "_entered", "_level", "_reverse", "_token")

    def __init__(self, level: int, reverse: bool = True):
        self._level, self._reverse = level, reverse

    def __enter__(self) -> None:
        self._before = m = modes()
        level = self._level
        floor = m.floor if m.record else level
        # `having` would take 3 µs of the 20 that a small gradient takes
        self._entered = Mode(
            True, False, floor, (*m.scopes, level), m.open, m.saving, m.no_saving, m.anomaly, m.watchers, m.tracer, m.draws,
            m.multithreading, m.layout, m.on_write, m.mapped, level if self._reverse else m.recorder, m.asked,
            m.notes, m.safe,
        )  # fmt: skip
        self._token = set_modes(self._entered)

    def __exit__(self, *exc: object) -> None:
        back(self._entered, self._before, "grad", "inference", "floor", "scopes", "recorder", token=self._token)

"""Checkpoints: values that a backward pass needs are computed again instead of being kept, memory for time.

``checkpoint(f, x)`` is ``f(x)`` with the same gradients, under every transform. How a call runs again is ``_frame``'s,
which results may be kept all the same is ``_selective``'s; what is to be kept for a number of bytes is found by ``_within``.
"""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from chainrule.core.generator import Draws
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.mode.watch import Watcher
from chainrule.core.tensor.tensor import Tensor
from chainrule.utils._frame import CheckpointError, Frame, group
from chainrule.utils._reentrant import CheckpointFunction, check_backward_validity
from chainrule.utils._selective import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)
from chainrule.utils._within import within

__all__ = [
    "SAC_IGNORED_OPS",
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "DefaultDeviceType",
    "GraphExecGroup",
    "SelectiveCheckpointContext",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
    "set_device_states",
    "within",
]

_debug: ContextVar[bool | None] = ContextVar("chainrule.checkpoint.debug", default=None)
_early_stop: ContextVar[bool | None] = ContextVar("chainrule.checkpoint.early_stop", default=None)


def noop_context_fn() -> tuple:
    """Return two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function without keeping what its backward pass will need: that pass calls the function again.

    Parameters
    ----------
    function : callable
        Must do the same when it is called again with the same arguments.
    *args, **kwargs
        Its arguments. ``preserve_rng_state=False`` among the keywords is not passed on: see the notes.
    use_reentrant : bool, optional
        Which of PyTorch's two ways. False: the graph is recorded as it would be, without the values; any backward pass works.
        True: the graph has one node, whose backward records the function and runs a pass of its own; only `backward` without
        `inputs` works, tensors in nested arguments are constants, and keywords are refused. Omitted: True, and a warning.
    context_fn : callable
        Returns two context managers, for the first call and for the other.
    determinism_check : str
        ``"default"``: raise if a value that is computed again has another shape or dtype; ``"none"``.
    debug : bool
        On such an error, show the ops of both calls and where they were called.
    early_stop : bool
        End the other call as soon as all that is needed is there.

    Returns
    -------
    Any
        The function's result.

    Raises
    ------
    CheckpointError
        In the backward pass, if the function did something else the second time.

    Notes
    -----
    The random numbers drawn in the first call are drawn again, from whichever generators. Inside transforms
    (`chainrule.func`) both ways are the first: there is no other pass to run.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils.checkpoint import checkpoint
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda x: (x * x).exp().sum(), x, use_reentrant=False)
    >>> y.backward()
    >>> x.grad
    tensor([  5.4366, 218.3926])
    """
    if use_reentrant is None:
        _warn_of_default("checkpoint")
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        if not _in_transform(args):
            return CheckpointFunction.apply(function, preserve, *args)
    explain = None
    if debug if _debug.get() is None else _debug.get():
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        log = _Log()
        context_fn, explain = log.contexts, log.explain
    if determinism_check not in _DESCRIBE:
        raise ValueError(f"determinism_check should be one of {list(_DESCRIBE)}, but got {determinism_check}")
    first, other = context_fn()
    if not modes().record:
        return function(*args, **kwargs)

    def rerun(*args: Any) -> None:
        with other:
            function(*args, **kwargs)

    before = modes()
    draws = Draws(before.draws) if preserve else None
    stop = early_stop if _early_stop.get() is None else bool(_early_stop.get())
    frame = Frame(rerun, args, stop, _DESCRIBE[determinism_check], draws)
    unpack = frame.unpack if explain is None else _explained(frame.unpack, explain)
    set_modes(before.having(saving=(frame.pack, unpack), draws=draws or before.draws))
    finished = False
    try:
        with first:
            result = function(*args, **kwargs)
            finished = True
    finally:
        set_modes(before)
    if not finished:
        raise RuntimeError(
            "chainrule.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised during the "
            "checkpointed forward. This is not supported because checkpoint cannot return a value for a failed forward."
        )
    frame.complete = True
    return result


def _warn_of_default(name: str) -> None:
    where = "chainrule.utils.checkpoint" if name == "checkpoint" else f"chainrule.utils.checkpoint.{name}"
    warnings.warn(
        f"{where}: the use_reentrant parameter should be passed explicitly. use_reentrant=False is recommended, but if you "
        "need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on "
        "the differences between the two variants.",
        UserWarning,
        stacklevel=3,
    )


def _in_transform(args: tuple) -> bool:
    m = modes()
    return bool(m.scope or m.open) or any(isinstance(a, Tensor) and a._level for a in args)


_DESCRIBE: dict[str, Callable | None] = {
    "default": lambda t: {"shape": t.shape, "dtype": t.dtype, "device": t.device},
    "none": None,
}


def checkpoint_sequential(
    functions: Iterable[Callable], segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Call functions one after the other, all but the last segment of them in checkpoints.

    Parameters
    ----------
    functions : iterable of callable
        Such as a :class:`chainrule.nn.Sequential`; each takes the result of the one before.
    segments : int
        How many pieces to cut the list into.
    input : Tensor
        Of the first.
    use_reentrant : bool, optional
        As :func:`checkpoint`'s, whose `preserve_rng_state` may be given too.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils.checkpoint import checkpoint_sequential
    >>> x = cr.tensor(0.5, requires_grad=True)
    >>> checkpoint_sequential([cr.sin, cr.cos, cr.exp], 2, x, use_reentrant=False).backward()
    >>> x.grad
    tensor(-0.9830)
    """
    if use_reentrant is None:
        _warn_of_default("checkpoint_sequential")
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions)
    size = len(steps) // segments
    split = size * (segments - 1)
    for start in range(0, split, size) if size else ():
        segment = _in_turn(steps[start : start + size])
        input = checkpoint(segment, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _in_turn(steps[split:])(input)


def _in_turn(steps: list) -> Callable:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


# -- settings ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _set(variable: ContextVar, value: Any) -> Iterator[None]:
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)


def set_checkpoint_early_stop(enable: bool) -> contextlib.AbstractContextManager:
    """Return a context in which checkpoints made end their other call early, or do not, whatever they were told.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.utils.checkpoint import checkpoint, set_checkpoint_early_stop
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> with set_checkpoint_early_stop(False):
    ...     y = checkpoint(lambda x: print("called") or x * x, x, use_reentrant=False)
    called
    >>> y.backward()
    called
    """
    return _set(_early_stop, enable)


def set_checkpoint_debug_enabled(enabled: bool | None) -> contextlib.AbstractContextManager:
    """Return a context in which checkpoints made explain their errors, or do not; None leaves it to them."""
    return _set(_debug, enabled)


class GraphExecGroup:
    """A context for backward passes over parts of a graph that do not overlap: each checkpoint runs again at most once.

    chainrule shares what a checkpoint computed again between passes in any case, where it was not used yet; inside this
    context two passes that need the same value raise :class:`CheckpointError`.
    """

    def __enter__(self) -> GraphExecGroup:
        if group.get() is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {group.get()}")
        group.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        group.set(None)


# -- explaining errors -------------------------------------------------------------------------------------------------


class _Record(Watcher):
    """Notes the ops that run, and where the user called them."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[str] = []
        self.places: list[str] = []

    def __enter__(self) -> Any:
        self.ops, self.places = [], []
        return super().__enter__()

    def around(self, op: Any, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        given = ", ".join([_shown(p) for p in payloads] + [f"{k}={v}" for k, v in params.items()])
        out = proceed()
        shown = ", ".join(map(_shown, out)) if out.__class__ in (tuple, list) else _shown(out)
        self.ops.append(f"{op.name}({given}) -> {shown}")
        stack = traceback.extract_stack()
        self.places.append("\n".join(f"{f.filename}:{f.lineno}:{f.name}" for f in stack if "/chainrule/" not in f.filename))
        return out


def _shown(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") else repr(value)


class _Log:
    """The ops of both calls of a checkpointed function."""

    def __init__(self) -> None:
        self.first, self.other = _Record(), _Record()

    def contexts(self) -> tuple:
        return self.first, self.other

    def explain(self) -> str:
        def traces(label: str, record: _Record) -> str:
            n = len(record.ops)
            each = zip(record.ops, record.places, strict=True)
            return "\n\n".join(f"{op}   ({i + 1} of {n} in {label})\n\n{place}" for i, (op, place) in enumerate(each))

        parts = {
            "1. Stack traces of the operators that ran in the original forward": traces("original", self.first),
            "2. Stack traces of the operators that ran during recomputation": traces("recompute", self.other),
            "3. Operations executed during the original forward": "\n".join(self.first.ops),
            "4. Operations executed during recomputation": "\n".join(self.other.ops),
        }
        told = "\n\n".join(f"{title}:\n\n{text}" for title, text in parts.items())
        return (
            "An error happened while unpacking tensors; dumping logs of latest computation because you passed `debug=True` to "
            f"`chainrule.utils.checkpoint.checkpoint()`.\n\n{told}\n\nERROR: Detected non-determinism while running activation "
            "checkpointing"
        )


def _explained(unpack: Callable, explain: Callable[[], str]) -> Callable:
    def unpack_or_explain(holder: Any) -> Tensor:
        try:
            return unpack(holder)
        except CheckpointError as error:
            raise CheckpointError(explain()) from error

    return unpack_or_explain


# -- PyTorch's helpers -------------------------------------------------------------------------------------------------


def detach_variable(inputs: tuple) -> tuple:
    """Return the inputs, tensors among them detached and requiring grad as before."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple([t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs])  # type: ignore[attr-defined]


class DefaultDeviceType:
    """The kind of device whose random state checkpoints keep beside the CPU's; there is only the CPU."""

    _device_type = "cpu"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Set it."""
        if device != "cpu":
            raise RuntimeError(f"chainrule computes on the CPU: there is no device of type {device!r}")

    @staticmethod
    def get_device_type() -> str:
        """Return it."""
        return DefaultDeviceType._device_type


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """Return the devices of the arguments other than the CPU, and their random states: none."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None) -> None:
    """Set the random states of devices other than the CPU, of which there are none."""
    if len(devices) or len(states):
        raise RuntimeError("chainrule computes on the CPU: there are no devices whose random state could be set")

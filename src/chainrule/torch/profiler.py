"""PyTorch's ``profiler``: autograd's, begun and ended by a schedule of steps."""

from __future__ import annotations

import enum
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.autograd.profiler import profile as _Session
from chainrule.autograd.profiler import record_function

__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(enum.Enum):
    """Devices whose work can be profiled: here the CPU."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What is done in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def kineto_available() -> bool:
    """Return False: PyTorch's library for it is not here."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    """Return what can be profiled: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Return what is to be done in each step, in cycles.

    Parameters
    ----------
    wait, warmup, active : int
        How many steps of a cycle nothing is done in, are warmed up in, and are recorded.
    repeat : int
        How many cycles; 0: always on.
    skip_first : int
        Steps before the first cycle.
    skip_first_wait : int
        1: the first cycle has no wait.

    Returns
    -------
    callable
        From the step's number to what is done.

    Examples
    --------
    >>> from chainrule.torch.profiler import schedule
    >>> plan = schedule(wait=1, warmup=1, active=2, repeat=1)
    >>> [plan(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments: wait, warmup, repeat, skip_first >= 0, and active > 0")
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)

    def plan(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait:
            step += wait
        cycle = wait + warmup + active
        if repeat > 0 and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return plan


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[Any], None]:
    """Return what writes a profile into a folder, for ``on_trace_ready``, in Chrome's format.

    Raises
    ------
    NotImplementedError
        For compressed files.
    """
    if use_gzip:
        raise NotImplementedError("tensorboard_trace_handler(use_gzip=True): traces are written as they are")

    def write(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json"))

    return write


class profile:  # noqa: N801 - PyTorch's public name
    """Profile steps of a program: `chainrule.autograd.profiler.profile`, begun and ended by a schedule.

    Parameters
    ----------
    activities : iterable of ProfilerActivity, optional
        Devices; of those that are not here a warning tells.
    schedule : callable, optional
        From a step's number to what is done in it; by default all is recorded.
    on_trace_ready : callable, optional
        Called with this when a recording ends.
    record_shapes, with_stack
        As in `chainrule.autograd.profiler.profile`.
    profile_memory, with_flops, with_modules, experimental_config, execution_trace_observer, use_cuda
        Not supported: an error if given.
    acc_events : bool
        Keep the events of all recordings, not only of the last.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.torch.profiler import profile, schedule
    >>> counts = []
    >>> ready = lambda p: counts.append(len(p.events()))
    >>> with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=1), on_trace_ready=ready) as prof:
    ...     for step in range(5):
    ...         y = cr.ones(3).exp()
    ...         prof.step()
    >>> counts
    [2]
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
    ) -> None:
        for name, given in (
            ("experimental_config", experimental_config),
            ("execution_trace_observer", execution_trace_observer),
        ):
            if given is not None:
                raise RuntimeError(f"profile({name}=...) is of PyTorch's own profiler, which is not here")
        absent = [a.name for a in activities or () if a is not ProfilerActivity.CPU] + ["CUDA"] * bool(use_cuda)
        for name in absent:
            warnings.warn(f"{name} is not available, disabling {name} profiling", UserWarning, stacklevel=2)
        self._options: dict[str, Any] = {
            "record_shapes": record_shapes, "profile_memory": profile_memory, "with_stack": with_stack,
            "with_flops": with_flops, "with_modules": with_modules,
        }  # fmt: skip
        _Session(**self._options)  # which raises for what is not supported
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.on_trace_ready, self.acc_events = on_trace_ready, acc_events
        self.step_num, self.current_action = 0, ProfilerAction.NONE
        self.profiler: _Session | None = None
        self._kept: list[Any] = []

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self._act(self.schedule(self.step_num))

    def stop(self) -> None:
        """End; what is being recorded is ready."""
        self._act(ProfilerAction.NONE)

    def step(self) -> None:
        """Tell that the next step begins."""
        self.step_num += 1
        self._act(self.schedule(self.step_num))

    def _act(self, action: ProfilerAction) -> None:
        before, self.current_action = self.current_action, action
        goes_on = before is ProfilerAction.RECORD and action in _RECORDING
        if before in _RECORDING and not goes_on:
            assert self.profiler is not None
            self.profiler.__exit__(None, None, None)
            if self.acc_events:
                self._kept += self.profiler.function_events
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
        if action in _RECORDING and not goes_on:
            self.profiler = _Session(**self._options)
            self.profiler.__enter__()

    def _recorded(self) -> _Session:
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before its events are asked for: nothing was recorded")
        return self.profiler

    def events(self) -> Any:
        """Return what was recorded last, or all of it with ``acc_events``."""
        last = self._recorded().function_events
        return type(last)(self._kept) if self.acc_events else last

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> Any:
        """Return sums over events of a name: see `chainrule.autograd.profiler.profile.key_averages`."""
        return self._recorded().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str) -> None:
        """Write what was recorded to a file, in Chrome's format."""
        self._recorded().export_chrome_trace(path)

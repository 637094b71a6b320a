"""PyTorch's ``autograd.profiler``: how long each op and each node's backward took, and ranges that the user marks."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, NoReturn

from chainrule.autograd.profiler_util import EventList, FunctionEvent, FunctionEventAvg
from chainrule.core.mode.grad_mode import Decorator, modes
from chainrule.core.mode.watch import Watcher

__all__ = [
    "EnforceUnique", "EventList", "FunctionEvent", "KinetoStepTracker", "emit_itt", "emit_nvtx", "load_nvprof", "profile",
    "record_function",
]  # fmt: skip


class profile(Watcher):  # noqa: N801 - PyTorch's public name
    """Take the time of every op that runs inside, of every node that a backward pass visits, and of ranges. A context manager.

    Parameters
    ----------
    enabled : bool
        False: do nothing.
    use_cpu, acc_events, use_kineto, use_cuda, experimental_config
        Taken for PyTorch's sake; there is the CPU alone, one session, one way to measure. `use_cuda` warns, as in PyTorch where
        there is no GPU.
    record_shapes : bool
        Keep the shapes of ops' inputs.
    with_stack : bool
        Keep where the user's code called each op.
    with_flops, profile_memory, with_modules : bool
        Not supported.

    Raises
    ------
    RuntimeError
        On entering twice, on asking for results too early, and for what is not supported.

    Notes
    -----
    Ops are chainrule's primitives, under their own names. Where a pass is not recorded, derivative rules compute on arrays: a
    node's time is theirs. What other threads run is not seen. Small ops take several times longer than unwatched.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.ones(3, requires_grad=True)
    >>> with cr.autograd.profiler.profile() as prof:
    ...     x.exp().sum().backward()
    >>> sorted(e.key for e in prof.key_averages())
    ['ExpBackward0', 'SumBackward0', 'exp', 'sum']
    >>> print(prof.key_averages().table(sort_by="cpu_time_total", row_limit=3))  # doctest: +SKIP
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cpu: bool = True,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        acc_events: bool = False,
        use_cuda: bool = False,
        experimental_config: Any = None,
    ):
        super().__init__()
        if use_cuda:
            text = "The attribute `use_cuda` will be deprecated soon, please use ``use_device = 'cuda'`` instead."
            warnings.warn(text, FutureWarning, stacklevel=2)
            warnings.warn("CUDA is not available, disabling CUDA profiling", stacklevel=2)
        unsupported = {
            "use_device": use_device,
            "with_flops": with_flops,
            "profile_memory": profile_memory,
            "with_modules": with_modules,
        }
        for name, given in unsupported.items():
            if given:
                raise RuntimeError(f"profile({name}={given!r}) is not supported: chainrule's profiler takes times on the CPU")
        if not use_cpu:
            raise RuntimeError("profile(use_cpu=False): there is nothing but the CPU to profile")
        self.enabled, self.record_shapes, self.with_stack = enabled, record_shapes, with_stack
        self.entered = False
        self._events: EventList | None = None
        self._began = 0
        self._running: dict[int, list[FunctionEvent]] = {}  # of each thread, outermost first
        self._seen: list[FunctionEvent] = []

    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        self._began = perf_counter_ns()
        super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            super().__exit__(*exc)
            self._events = EventList(self._seen)

    # -- measuring -------------------------------------------------------------------------------------------------

    def around(self, op: Any, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Time a kernel."""
        shapes = [list(getattr(p, "shape", ())) for p in payloads] if self.record_shapes else []
        with _Event(self, op.name, shapes):
            return proceed()

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        """Time a node's backward."""
        with _Event(self, node.name(), []):
            return proceed()

    def _begin(self, name: str, shapes: list) -> FunctionEvent:
        thread = threading.get_ident()
        running = self._running.setdefault(thread, [])
        stack = _user_lines() if self.with_stack else []
        event = FunctionEvent(len(self._seen) + 1, name, thread, 0.0, shapes, stack)
        self._seen.append(event)
        if running:
            event.cpu_parent = running[-1]
            running[-1].cpu_children.append(event)
        running.append(event)
        event.time_range.start = self._now()
        return event

    def _end(self, event: FunctionEvent) -> None:
        event.time_range.end = self._now()
        running = self._running[event.thread]
        while running.pop() is not event:  # ranges that an error left open
            pass

    def _now(self) -> float:
        return (perf_counter_ns() - self._began) / 1e3

    # -- results ---------------------------------------------------------------------------------------------------

    @property
    def function_events(self) -> EventList:
        """All events, in the order they began."""
        if self._events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """Return the sums of the events by name: see :meth:`EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self) -> FunctionEventAvg:
        """Return the sum of all events."""
        return self.function_events.total_average()

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """Return all events as the text of a table: see :meth:`EventList.table`."""
        return self.function_events.table(sort_by, row_limit, **options)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events to a file that Chrome's ``chrome://tracing`` shows."""
        self.function_events.export_chrome_trace(path)

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds in all events."""
        return self.function_events.self_cpu_time_total

    def __repr__(self) -> str:
        return (
            "<unfinished torch.autograd.profile>".replace("torch", "chainrule") if self._events is None else repr(self._events)
        )

    def __str__(self) -> str:
        return repr(self) if self._events is None else str(self._events)


class _Event:
    """A context manager around what one event of a profile times."""

    __slots__ = ("event", "name", "of", "shapes")

    def __init__(self, of: profile, name: str, shapes: list):
        self.of, self.name, self.shapes = of, name, shapes

    def __enter__(self) -> None:
        self.event = self.of._begin(self.name, self.shapes)

    def __exit__(self, *exc: object) -> None:
        self.of._end(self.event)


def _user_lines() -> list[str]:
    stack = traceback.extract_stack()
    return [
        f"{f.filename}({f.lineno}): {f.name}" for f in reversed(stack) if "/chainrule/" not in f.filename.replace("\\", "/")
    ]


class record_function(Decorator):  # noqa: N801 - PyTorch's public name
    """Mark a range of code, which profiles around it then time. A context manager and a decorator.

    Parameters
    ----------
    name : str
        Of the range.
    args : str, optional
        Shown after the name.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.autograd.profiler.profile() as prof:
    ...     with cr.autograd.profiler.record_function("mine"):
    ...         y = cr.ones(2).exp()
    >>> [(e.key, [c.key for c in e.cpu_children]) for e in prof.function_events if e.key == "mine"]
    [('mine', ['exp'])]
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._open: list[list[_Event]] = []

    def __enter__(self) -> record_function:
        label = self.name if self.args is None else f"{self.name}({self.args})"
        events = [_Event(w, label, []) for w in modes().watchers if isinstance(w, profile)]
        for event in events:
            event.__enter__()
        self._open.append(events)
        return self

    def __exit__(self, *exc: object) -> None:
        for event in self._open.pop():
            event.__exit__()

    def _fresh(self) -> record_function:
        return record_function(self.name, self.args)


class emit_nvtx:  # noqa: N801 - PyTorch's public name
    """PyTorch's annotations for NVIDIA's profilers; there is no GPU here.

    Raises
    ------
    RuntimeError
        Always, unless made with ``enabled=False``.
    """

    _tool = "NVTX, which needs a CUDA device"

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        if enabled:
            raise RuntimeError(f"chainrule does not emit ranges for {self._tool}; use chainrule.autograd.profiler.profile")

    def __enter__(self) -> emit_nvtx:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class emit_itt(emit_nvtx):  # noqa: N801 - PyTorch's public name
    """PyTorch's annotations for Intel's VTune; chainrule has none."""

    _tool = "Intel's ITT"


def load_nvprof(path: str) -> NoReturn:
    """Raise: there is no GPU whose profile could be read."""
    raise RuntimeError("chainrule does not read nvprof's files; use chainrule.autograd.profiler.profile")


class EnforceUnique:
    """Raises when a key is seen twice."""

    def __init__(self) -> None:
        self.seen: set = set()

    def see(self, *key: Any) -> None:
        """Take note of a key."""
        if key in self.seen:
            raise RuntimeError("duplicate key: " + str(key))
        self.seen.add(key)


class KinetoStepTracker:
    """Counts steps of those who take them; the global count is the largest."""

    _current_step = 0
    _step_dict: dict[str, int] = {}  # noqa: RUF012 - one count for all

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Have one begin at the global count."""
        cls._step_dict[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget one; tell whether it was there."""
        return cls._step_dict.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """Count a step of one; return the global count."""
        cls._step_dict.setdefault(requester, cls._current_step)
        cls._step_dict[requester] += 1
        new = max(cls._step_dict.values())
        if new - cls._current_step > 1:
            warnings.warn(
                f"Profiler step count has increased more than 1 - current_step = {cls._current_step} step dict =  "
                f"{cls._step_dict}",
                UserWarning,
                stacklevel=2,
            )
        cls._current_step = max(new, cls._current_step)
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """Return the global count."""
        return cls._current_step

"""One checkpointed call: what it needs to run again, and where the values go that it would have saved.

While the function runs, hooks on saved tensors leave a :class:`Holder` in the place of every value that a node saves. The
first value that a backward pass asks for runs the function again, and fills the holders in the same order. Hooks see
the plain tensors at the bottom of values inside transforms, so this works at every level, in any nesting.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import RLock
from typing import Any
from weakref import ref

from chainrule.amp.autocast_mode import same_settings
from chainrule.core.generator import Draws
from chainrule.core.graph.nodes import next_id
from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.record.saved import pack, unpack
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.hook_calls import number_of_pass

TIP = (
    "\n\nTip: To see a more detailed error message, either pass `debug=True` to `chainrule.utils.checkpoint.checkpoint(...)` "
    "or wrap the code block with `with chainrule.utils.checkpoint.set_checkpoint_debug_enabled(True):` to enable "
    "checkpoint-debug mode globally."
)
group: ContextVar[Any] = ContextVar("chainrule.checkpoint.group", default=None)


class CheckpointError(RuntimeError):
    """The function of a checkpoint did something else when it ran again."""


class Stop(BaseException):
    """All that is needed is there: ends a run in its middle. No `Exception`, which the function might catch."""

    def __init__(self, run: Run):
        self.run = run


class Holder:
    """Stands for one saved value: holds it from the run that made it again until it is used."""

    __slots__ = ("__weakref__", "group", "value", "version")

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self.version = 0
        self.group: Any = None  # the group, or the pass, in which the value was used


class Frame:
    """What one checkpointed call needs to run again.

    Parameters
    ----------
    rerun : callable
        Runs the function on its positional arguments.
    args : tuple
        Those; tensors among them are saved as a node saves its inputs, an enclosing checkpoint's holders included.
    early_stop : bool
        End a run as soon as every holder is filled.
    describe : callable or None
        What of a saved value must be the same when it is made again.
    draws : Draws or None
        The states of random number generators before the function drew from them.
    """

    def __init__(self, rerun: Callable, args: tuple, early_stop: bool, describe: Callable | None, draws: Draws | None):
        self.rerun, self.early_stop, self.describe, self.draws = rerun, early_stop, describe, draws
        self.id = next_id()  # as a node's: the arguments may not have been written to since
        self.args = tuple([pack(a) for a in args])
        self.modes, self.autocast = modes(), same_settings()
        self.holders: list[ref[Holder]] = []
        self.described: list = []
        self.complete = False  # whether the first run is over
        self.overran = False  # whether a run went past the place that the first one had reached
        self.lock = RLock()  # two threads may differentiate one graph

    def pack(self, t: Tensor) -> Holder:
        """Leave a holder in the place of a value."""
        holder = Holder()
        self.holders.append(ref(holder))
        if self.describe is not None:
            self.described.append(self.describe(t))
        return holder

    def unpack(self, holder: Holder) -> Tensor:
        """Return the value of a holder, which it then no longer holds; run the function again if it is not there.

        Raises
        ------
        CheckpointError
            If that run saved other values than the first, or the pass has had the value already.
        RuntimeError
            If an argument, or the value itself, was written to.
        """
        with self.lock:
            # PyTorch refuses a second reading, and has no checkpoints inside transforms, where it may be of another level.
            used = group.get() or (None if self.modes.scope else number_of_pass())
            if used is not None and holder.group == used:
                raise _unpacked_before(used)
            if holder.value is None:
                self._run_again()
            value, holder.value, holder.group = holder.value, None, used
        if value is None:
            raise self._miscounted(len(self.holders) - 1)
        if value._version != holder.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[chainrule.{value.dtype.old_name}Tensor {list(value.shape)}], saved in a checkpointed function that ran "
                f"again, is at version {value._version}; expected version {holder.version} instead."
            )
        return value

    def _run_again(self) -> None:
        run = Run(self)
        args = [unpack(a, self) for a in self.args]
        before = modes()
        restore = self.draws.rewind() if self.draws is not None else None
        tracer = self.modes.tracer if self.modes.compiling is before.compiling else before.tracer  # a recording may be over
        set_modes(self.modes.having(saving=(run.pack, _itself), watchers=before.watchers, draws=None, tracer=tracer))
        try:
            with self.autocast:
                self.rerun(*args)
        except Stop as stop:
            if stop.run is not run:
                raise
        finally:
            set_modes(before)
            if restore is not None:
                restore()
        self._check(run)

    def _check(self, run: Run) -> None:
        if self.overran:
            return
        if run.count != len(self.holders):
            raise self._miscounted(run.count)
        differing = ""
        for i, (before, after) in enumerate(zip(self.described, run.described, strict=False)):
            if before != after and self.holders[i]() is not None:
                differing += f"tensor at position {i}:\nsaved metadata: {before}\nrecomputed metadata: {after}\n"
        if differing:
            raise CheckpointError(
                "chainrule.utils.checkpoint: Recomputed values for the following tensors have different metadata than during "
                f"the forward pass.\n{differing}.\n{TIP}"
            )

    def _miscounted(self, count: int) -> CheckpointError:
        return CheckpointError(
            "chainrule.utils.checkpoint: A different number of tensors was saved during the original forward and "
            f"recomputation.\nNumber of tensors saved during forward: {len(self.holders)}\nNumber of tensors saved during "
            f"recomputation: {count}.\n{TIP}"
        )


class Run:
    """One run of a frame's function again: fills the holders in order."""

    def __init__(self, frame: Frame):
        self.frame = frame
        self.count = 0
        self.described: list = []

    def pack(self, t: Tensor) -> Tensor:
        """Give a value to the next holder, and leave it where it is for passes inside this run."""
        frame, i = self.frame, self.count
        if i >= len(frame.holders):
            if frame.early_stop:  # the function caught the last one
                raise Stop(self)
            if frame.complete:
                raise CheckpointError(
                    "chainrule.utils.checkpoint: trying to save more tensors during recomputation than during the original "
                    f"forward pass.\n{TIP}"
                )
            frame.overran = True  # a pass inside the function itself, which goes on after it
            return t
        self.count += 1
        value = t.detach()  # type: ignore[attr-defined]
        if frame.describe is not None:
            self.described.append(frame.describe(value))
        holder = frame.holders[i]()
        if holder is not None:  # else its node was freed: by a pass inside the function
            holder.value, holder.version = value, value._version
        if frame.early_stop and self.count == len(frame.holders):
            raise Stop(self)
        return value


def _unpacked_before(used: Any) -> CheckpointError:
    why = (
        "If you are calling ctx.saved_tensors in backward, make sure to do so only once. Otherwise please open an issue with "
        "details on your use case."
        if used.__class__ is int
        else "Performing two backward calls that overlap (i.e. require the same saved activation in order to compute "
        "gradients) is not allowed while under the chainrule.utils.checkpoint.GraphExecGroup context."
    )
    return CheckpointError(
        f"chainrule.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. {why}"
    )


def _itself(t: Tensor) -> Tensor:
    return t

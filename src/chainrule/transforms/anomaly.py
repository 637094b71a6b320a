"""Anomaly mode: where each op was called, and what made the first NaN or infinity.

A :class:`Detector` holds the settings of the mode, under which notes say for each recorded node where it was made
(``core.record.notes``); a pass under it is looked at by a :class:`Watch`, and with `check_forward` every kernel by a
:class:`ForwardCheck`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.graph.nodes import Node
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import Op
from chainrule.core.record.notes import EVALUATING, Place, note_of
from chainrule.core.tensor.value import bottom
from chainrule.transforms.trail import Trail


class Detector:
    """The settings of anomaly mode; of the nodes that are recorded it wants places noted, not `values`."""

    __slots__ = ("check_forward", "check_inf", "check_nan", "explain")
    values = False

    def __init__(self, check_nan: bool, check_inf: bool, check_forward: bool, explain: bool):
        self.check_nan, self.check_inf, self.check_forward, self.explain = check_nan, check_inf, check_forward, explain

    def watch(self) -> Watch:
        """Return what looks at one pass."""
        return Watch(self)

    def kind_in(self, array: Any, nan: bool) -> str | None:
        """Return "nan" or "inf" if an array holds such values and they are looked for."""
        if not isinstance(array, (np.ndarray, np.generic)) or array.dtype.kind not in "fcV":
            return None
        if nan and np.isnan(array).any():
            return "nan"
        return "inf" if self.check_inf and np.isinf(array).any() else None


class Watch:
    """Looks at one backward pass, and leaves a trail of it."""

    __slots__ = ("detector", "trail")

    def __init__(self, detector: Detector):
        self.detector, self.trail = detector, Trail()

    def pulled(self, node: Node, g: Any, pull: Callable[[], Any]) -> Any:
        """Return what a node pulls; warn of where it was made if that fails or is not finite."""
        try:
            gs = pull()
            if self.detector.explain:
                self.trail.arrive(node, g)
            self._check(node, g, [gs] if node.plan.single else list(gs))
        except Exception as error:
            warn_of(node, error)
            raise
        if self.detector.explain:
            self.trail.note(node, g, gs)
        return gs

    def _check(self, node: Node, g: Any, gs: list) -> None:
        for i, gi in enumerate(gs):
            kind = None if gi is None else self.detector.kind_in(bottom(gi), self.detector.check_nan)
            if kind is not None:
                error = RuntimeError(f"Function '{node.name()}' returned {kind} values in its {i}th output.")
                if self.detector.explain:
                    from chainrule.transforms.explanation import explained

                    try:
                        error.add_note(explained(self.trail, node, gs[i], i, kind))
                    except Exception as failure:  # the error itself matters more than its explanation
                        error.add_note(f"(no explanation: {failure!r})")
                raise error


def warn_of(node: Node, error: Exception) -> None:
    """Warn of where a node was made in which an error was raised, and of the nodes for whose derivatives it was.

    Where warnings are errors, notes on the error say so: it is the error that its user is to see.
    """
    note = note_of(node)
    heading = f"Error detected in {node.name()}. "
    caused = "Traceback of forward call that caused the error:\n"
    while True:
        if note is None:
            none = "No forward pass information available. Enable detect anomaly during forward pass for more information."
            _warn(heading + none, error)
            return
        _warn(heading + caused + "".join(note.lines()), error)
        parent = note.parent
        if parent is None:
            return
        note = note_of(parent)
        heading = f"\n\nPrevious calculation was induced by {parent.name()}. "
        caused = "Traceback of forward call that induced the previous calculation:\n"


def _warn(text: str, error: Exception) -> None:
    try:
        warnings.warn(text, UserWarning, stacklevel=3)
    except Warning:
        error.add_note(text)


class ForwardCheck(Watcher):
    """Stands around every kernel (`dispatch.compute`) and raises at the first result that is not finite."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def around(self, op: Op, payloads: list, params: dict, run: Callable[[], Any]) -> Any:
        """Run a kernel and look at its results, unless it is a backward pass's."""
        outs = run()
        if EVALUATING.get() is None:
            for i, out in enumerate(outs if outs.__class__ in (tuple, list) else (outs,)):
                kind = self.detector.kind_in(out, nan=True)
                if kind is not None:
                    from chainrule.transforms.explanation import forward_text

                    raise RuntimeError(forward_text(op, payloads, out, i, kind, Place()))
        return outs

"""Watchers: what may stand around every kernel and every node's pull, while it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.mode.grad_mode import back, modes, switch


class Watcher:
    """A context manager that sees every op run, and every node pull back, in its thread and context.

    `dispatch.compute` and the pass (``transforms.watched``) call its methods. Values that raw derivative rules compute are
    no ops: a node's pull is seen as a whole. So are draws of random numbers none, but to those whose class `sees_draws`.
    """

    sees_draws = False

    def __init__(self) -> None:
        self._entered: list = []

    def __enter__(self) -> Any:
        before = modes()
        switch(watchers=(*before.watchers, self))
        self._entered.append((modes(), before))
        return self

    def __exit__(self, *exc: object) -> Any:
        back(*self._entered.pop(), "watchers")

    def given(self, op: Any, args: tuple) -> None:
        """Take note of the values whose payloads a kernel is about to get."""

    def around(self, op: Any, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Run a kernel on raw payloads by calling `proceed`, or return something else for it."""
        return proceed()

    def wrapped(self, op: Any, made: list) -> None:
        """Take note of the plain tensors that a kernel's results became."""

    def written(self, target: Any, value: Any) -> None:
        """Take note of a plain tensor whose memory now holds the values of another."""

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        """Pull back through a node by calling `proceed`."""
        return proceed()

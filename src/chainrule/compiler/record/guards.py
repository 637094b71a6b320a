"""Guards: equations that compute nothing, and hold where a value is what it was when the call was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.transforms.equations import Equation, Variable


class GuardError(Exception):
    """A guard does not hold.

    Attributes
    ----------
    position : int
        Of its equation in the graph.
    outcome : object
        What was found there.
    """

    def __init__(self, position: int, outcome: Any):
        super().__init__(f"the guard at equation {position} found {outcome!r}")
        self.position, self.outcome = position, outcome


class GuardOp:
    """What stands for a guard where an equation has its op.

    The params of such an equation are ``use``: what is looked at ("bool": whether the one element is true, "bytes": those of
    the elements in C order, "shape": the lengths of the axes), and ``outcome``: what was found.
    """

    name = kind = "guard"
    view = is_differentiable = pure = variadic = shares = False
    nondiff = True
    params = ("use", "outcome")

    def __repr__(self) -> str:
        return "<guard>"


GUARD: Any = GuardOp()


class GuardEquation(Equation):
    """A guard; it has no results."""

    __slots__ = ()

    def __init__(self, variable: Variable, use: str, outcome: Any):
        super().__init__(GUARD, (variable,), {"use": use, "outcome": outcome}, (), True, True)

    def evaluate(self, operands: tuple) -> tuple:
        """Raise unless the value of the operand is what it was."""
        found = outcome_of(getattr(operands[0], "_data", operands[0]), self.params["use"])
        if found != self.params["outcome"]:
            raise GuardError(-1, found)
        return ()


def outcome_of(value: Any, use: str) -> Any:
    """Return what a guard finds in an array."""
    if use == "bool":
        return bool(value)
    if use == "shape":
        return tuple(value.shape)
    return np.ascontiguousarray(value).tobytes()

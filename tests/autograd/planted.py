"""What a planted gradient is: a program with a fault in one gradient, its cause in a word, the line and the element."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import NamedTuple

import chainrule as cr

CAUSES = {
    "masked": "a where, mask or index drops the element: its cotangent is 0 (for NaN: which meets an infinite derivative)",
    "indeterminate": "0 · inf, 0 / 0, inf - inf or inf / inf that no mask made; in the value, else in the gradient",
    "infinite derivative": "the derivative is infinite at this value and the cotangent is not 0",
    "outside the domain": "the op or its derivative is not defined at this finite value",
    "division by zero": "a finite number that is not 0 is divided by 0",
    "overflow": "a value is too large for the dtype",
    "gradient overflow": "the values are finite, a cotangent is too large for the dtype",
    "bad data": "an input or a constant was NaN or infinite before any op",
    "custom rule": "the user's own backward returned it",
    "rounding": "round, floor, ceil, trunc, sign",
    "dead relu": "relu or a hinge on its flat side",
    "saturated": "sigmoid, tanh or softmax so far out that the derivative is 0 in this dtype",
    "clamp": "beyond the bounds of clamp, clip or hardtanh",
    "not selected": "max, min, sort, pooling, top-k, index or gather took other elements",
    "zero factor": "another operand of a product is exactly 0",
    "stationary": "the derivative is 0 at this very value",
    "underflow": "a number that is not 0 is too small for the dtype",
    "cancelled": "contributions that are not 0 add up to 0",
    "overwritten": "an in-place write put another value over the element",
    "detach": "detach() or .data",
    "no_grad": "computed where recording was off, by the user or inside a function that he called",
    "no create_graph": "a derivative by autograd.grad() that was not itself recorded",
    "integer cast": "cast to an integer or boolean dtype",
    "argmax": "an op with an integer result",
    "comparison": "an op with a boolean result",
    "numpy": "the value went through NumPy and came back as a constant",
    "item": "the value went through a Python number and came back as a constant",
    "copied": "a new leaf was made of its values",
    "unused": "the result does not depend on the input",
    "not a leaf": "the tensor asked is a result of ops, without retain_grad()",
    "frozen": "requires_grad is False",
}


class Planted(NamedTuple):
    """A program and what is to be said of one gradient of it."""

    program: FunctionType
    fault: str
    cause: str
    at: tuple[int, ...] | None
    asked: int

    @property
    def name(self):
        return self.program.__name__

    def line(self, mark="cause"):
        """Return the number of the line in this file that carries a mark, or None."""
        text, first = inspect.getsourcelines(self.program)
        found = [first + i for i, line in enumerate(text) if line.rstrip().endswith(f"# <- {mark}")]
        if len(found) > 1:
            raise ValueError(f"{self.name} has {len(found)} lines marked {mark}")
        return found[0] if found else None

    def made(self, lib=cr):
        """Return the function and its inputs, the program read with `lib` for chainrule."""
        of_lib = FunctionType(self.program.__code__, dict(self.program.__globals__, cr=lib))
        f, inputs = of_lib()
        return f, inputs if isinstance(inputs, tuple) else (inputs,)

    def gradient(self, lib=cr):
        """Return the gradient asked for as a NumPy array, or None."""
        f, inputs = self.made(lib)
        f(*inputs).backward()
        grad = inputs[self.asked].grad if inputs[self.asked].is_leaf else None
        return None if grad is None else grad.detach().numpy()


def planted(into: list, fault, cause, at=None, asked=0) -> Callable:
    """Add the decorated program to a list."""

    def add(program):
        into.append(Planted(program, fault, cause, at, asked))
        return program

    return add

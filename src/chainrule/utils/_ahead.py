"""What a call would hold, found before anything is computed: the function runs once without values, under the same keeper.

Where it cannot (it reads a value, writes to what it did not make, or uses NumPy) nothing is known ahead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import back, modes, switch
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import take
from chainrule.core.types.absent import Absent
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.transforms.inference import INFERRING, absent
from chainrule.utils._keeping import Keeper, over_budget

_KNOWN = 64  # calls
_VARIES = 0.03  # by which what is enough differs from run to run, for marks are set by measured times
_TRIES = 8  # budgets, each what the one before fell short of


class Refused(Exception):  # noqa: N818 - no error: it ends a run that cannot go on
    """The function would change what it did not make."""


class Ahead(Keeper):
    """A keeper of values that are not there, which takes note of the budget that a call needs instead of refusing it."""

    def __init__(self, budget: int):
        super().__init__(budget)
        self.least = 1

    def over(self) -> None:
        """Take note of the budget that would do."""
        self.least = max(self.least, self.needed())

    def before_write(self, target: Tensor) -> None:
        """Refuse to write to what has values, or to part of what has none: whose steps are not those of a run with values."""
        if not target._level and (target._data.__class__ is not Absent or target._view is not None):
            raise Refused


class Forecast:
    """What calls of a function need at least, by the shapes and dtypes of their arguments."""

    def __init__(self, function: Callable, budget: int):
        self.function, self.budget = function, budget
        self.known: dict[Any, int] = {}

    def check(self, args: tuple, kwargs: dict) -> None:
        """Raise if the budget is known to be too small for a call."""
        leaves, spec = tree_flatten((args, kwargs))
        key = (str(spec), modes().record, *[_described(leaf) for leaf in leaves])
        least = self.known.get(key)
        if least is None:
            if len(self.known) >= _KNOWN:
                self.known.clear()
            least = self.known[key] = self._least(leaves, spec)
        if least > self.budget * (1 + 2 * _VARIES):
            raise over_budget(self.budget, least, "")

    def _least(self, leaves: list, spec: Any) -> int:
        """Return a budget that a call needs and that is enough, or one that is; 0 if that cannot be told."""
        budget = self.budget
        for _ in range(_TRIES):
            least = self._found_short(budget, leaves, spec)
            if least <= budget:
                break
            budget = least
        return int(budget * (1 + _VARIES)) if least else 0

    def _found_short(self, budget: int, leaves: list, spec: Any) -> int:
        """Return the bytes that a call needs where it keeps to a budget: 1 if that is enough, 0 if that cannot be told."""
        keeper = Ahead(budget)
        try:
            args, kwargs = tree_unflatten([_without_values(leaf) for leaf in leaves], spec)
            with warnings.catch_warnings(), INFERRING, keeper, saved_tensors_hooks(keeper.pack, keeper.unpack):
                warnings.simplefilter("ignore")
                before = modes()
                switch(on_write=keeper.before_write)
                entered = modes()
                try:
                    self.function(*args, **kwargs)
                finally:
                    back(entered, before, "on_write")
                    keeper.finish()
        except Exception:  # whatever it is: the call itself will tell
            return 0
        return keeper.least


def _described(leaf: Any) -> Any:
    if isinstance(leaf, (Tensor, np.ndarray)):
        return type(leaf), tuple(leaf.shape), leaf.dtype, getattr(leaf, "_level", 0) > 0, getattr(leaf, "requires_grad", False)
    return repr(leaf)


def _without_values(value: Any) -> Any:
    """Return a tensor of the same levels, shape and dtype without values; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return absent(value)
    if not isinstance(value, Tensor):
        return value
    made = wrap(None)
    take(made, value)
    made._data = _without_values(value._data)
    if value._level and isinstance(value._tangent, (Tensor, np.ndarray, np.generic)):
        made._tangent = _without_values(value._tangent)
    if made._node is not None:
        made._node = LEAF
    return made

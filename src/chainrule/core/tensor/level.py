"""Level: a value of a transform. What an interpreter implements, and what it gets for nothing.

A transform is one file with one subclass of :class:`Level`, whose methods say what becomes of its values:

========== ====================================================================================================
`_process` an op on arguments of which the highest are this level's
`_lift`    a value of a lower level, which is a constant here
`_custom`  a call of a function that brings its own derivative rules (``transforms.custom``)
`_read`    the error for a use of the value as one array, where it is none
========== ====================================================================================================

Reverse mode takes gradients of such values by `_gradients`, which a transform that can takes part in by two more methods:
`_within` and `_backward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import disabled_torch_function


class Level(Tensor):
    """A value of a transform, whose history and gradient are those of its payload, one level down."""

    __slots__ = ()
    _level = Tensor._lv  # type: ignore[attr-defined]
    _records = False
    __torch_function__ = disabled_torch_function

    # -- what an interpreter implements ----------------------------------------------------------------------------

    def _process(self, op: Any, args: tuple, params: dict) -> Any:
        """Return the result of an op at this level, the highest among its arguments."""
        raise NotImplementedError

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as one of this: a constant to the transform."""
        raise NotImplementedError

    def _custom(self, rules: Any, args: tuple, above: int) -> Any:
        """Return the :class:`Outcome` of a call of a function with rules of its own."""
        raise RuntimeError(f"{rules.name}: {type(self).__name__} has no way to pass through a function with rules of its own")

    def _gradients(self, roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
        """Return the gradients of roots of this level, as values of this level; None for those that there are not."""
        raise RuntimeError(
            f"element 0 of tensors is a value inside another transform ({type(self).__name__}), which records no backward "
            "pass; differentiate there with func.grad or func.vjp"
        )

    def _backward(self, roots: list, given: Any, retain: bool, create_graph: bool, wanted: list | None) -> None:
        """Accumulate the gradients of roots of this level into leaves."""
        self._gradients(roots, wanted or [], given, retain, create_graph)

    def _within(self, f: Callable, *values: Any) -> Any:
        """Apply a linear function of values (tensors or None) to their parts, inside of this level."""
        raise NotImplementedError

    def _rebuilt(self, f: Callable) -> Tensor:
        """Return the value of this level with `f` applied to what it carries."""
        return self

    # -- what reverse mode knows of it: what it knows of the payload -------------------------------------------------

    @property
    def _lower(self) -> Tensor | None:
        return self._data if isinstance(self._data, Tensor) else None

    def _recorded(self, words: str = "cannot register a hook on a tensor that doesn't require gradient") -> Tensor:
        if self._lower is None:
            raise RuntimeError(words)
        return self._lower

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the payload are recorded."""
        return self._lower is not None and self._lower.requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Have the payload require grad."""
        if not isinstance(self._data, Tensor):
            self._data = wrap(self._data)
        self._data.requires_grad_(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made the payload."""
        return self._lower is None or self._lower.is_leaf

    @property
    def grad_fn(self) -> Any:
        """The node that made the payload."""
        return None if self._lower is None else self._lower.grad_fn

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` the payload is."""
        return 0 if self._lower is None else self._lower.output_nr

    @property
    def retains_grad(self) -> bool:
        """Whether the payload keeps its gradient."""
        return self._lower is not None and self._lower.retains_grad

    def retain_grad(self) -> None:
        """Have the payload keep its gradient."""
        self._recorded("can't retain_grad on Tensor that has requires_grad=False").retain_grad()

    @property
    def grad(self) -> Tensor | None:
        """The payload's gradient."""
        return None if self._lower is None else self._lower.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if self._lower is None:
            self._data = wrap(self._data)
        self._data.grad = value

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Register a hook on the payload: reverse mode's passes work on that."""
        return self._recorded().register_hook(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Register a hook on the payload, a leaf."""
        return self._recorded().register_post_accumulate_grad_hook(hook)

    def _accumulator(self) -> Any:
        return self._data._accumulator()

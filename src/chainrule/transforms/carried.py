"""What reverse mode knows of a value that carries another: what it knows of its payload, one level down."""

from __future__ import annotations

from typing import Any

from chainrule.core.graph.nodes import AccumulateGrad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import disabled_torch_function


class Carried(Tensor):
    """A value of forward mode or of a batch, whose history is its payload's."""

    __slots__ = ()
    __torch_function__ = disabled_torch_function

    @property
    def _lower(self) -> Tensor | None:
        return self._data if isinstance(self._data, Tensor) else None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the payload are recorded."""
        return self._lower is not None and self._lower.requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

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

    def _accumulator(self) -> AccumulateGrad:
        return self._data._accumulator()

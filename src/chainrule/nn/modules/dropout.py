"""Dropout as a module."""

from __future__ import annotations

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Drop elements while training, and do nothing in evaluation; see :func:`chainrule.nn.functional.dropout`.

    Parameters
    ----------
    p : float
        Probability that an element becomes 0.
    inplace : bool
        Overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Dropout(0.2).eval()(cr.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"p={self.p}, inplace={self.inplace}"

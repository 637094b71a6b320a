"""Dropout and its relatives as modules."""

from __future__ import annotations

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    """What all kinds of dropout have: a probability, and whether the input is overwritten."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
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

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Drop whole channels of inputs of shape (N, C, L) or (C, L); see :func:`chainrule.nn.functional.dropout1d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Dropout1d(0.2)
    Dropout1d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Drop whole channels of inputs of shape (N, C, H, W); see :func:`chainrule.nn.functional.dropout2d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Dropout2d(0.2)
    Dropout2d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Drop whole channels of inputs of shape (N, C, D, H, W); see :func:`chainrule.nn.functional.dropout3d`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Dropout3d(0.2)
    Dropout3d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Drop elements, keeping mean and variance of standard normal inputs; see :func:`chainrule.nn.functional.alpha_dropout`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.AlphaDropout(0.2)
    AlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_DropoutNd):
    """Drop whole channels, keeping mean and variance; see :func:`chainrule.nn.functional.feature_alpha_dropout`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.FeatureAlphaDropout(0.2)
    FeatureAlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)

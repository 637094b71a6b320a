"""Dropout (Srivastava et al., JMLR 15, 2014) as a function."""

from __future__ import annotations

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.pointwise.activation import placed
from chainrule.ops.random.draw import drawn

__all__ = ["dropout"]


@asks
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return the elements each kept with probability ``1 - p`` and then divided by it, so that the mean stays.

    Parameters
    ----------
    input : Tensor
        Floating point or complex.
    p : float
        Probability that an element becomes 0.
    training : bool
        Drop; otherwise the input is returned as it is.
    inplace : bool
        Write the result into `input`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`; its gradient is that of the mask that was drawn.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.functional.dropout(cr.ones(3), 0.0)
    tensor([1., 1., 1.])
    >>> cr.nn.functional.dropout(cr.ones(3), 1.0)
    tensor([0., 0., 0.])
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    x = as_tensor(input, "dropout")
    if not training:
        return x
    d = x.dtype.to_real().numpy
    mask = drawn(lambda rng, shape: np.asarray(rng.random(shape) < 1 - p).astype(d), tuple(x.shape), d, None)
    if 0 < p < 1:
        mask.div_(1 - p)
    return placed(x, lambda x: x * mask, inplace, "dropout")

"""Exponentials, logarithms, roots and logistic functions under PyTorch's names."""

from __future__ import annotations

from chainrule.core.call.dispatch import as_tensor, cast
from chainrule.core.op.samples import Sample
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.adapt import public
from chainrule.ops.indexing.select import where
from chainrule.ops.pointwise import exponential as ops

__all__ = ["logit"]


@public(
    out=True,
    inplace=True,
    kinds="bif",
    domain=(0.05, 0.95),
    samples=lambda: [Sample((3, 4)), Sample(()), Sample((0,)), Sample((3, 4), 0.2), Sample((5,), eps=0.1, domain=(-1, 2))],
)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """Return the inverse of the logistic function, ``log(x / (1 - x))``, of each element x.

    Parameters
    ----------
    input : Tensor
        Of any shape; real; integers and bools are taken in the default dtype.
    eps : float, optional
        Clamp the elements to [eps, 1 - eps] first. Without it, elements outside [0, 1] give NaN.

    Returns
    -------
    Tensor
        Of the shape of `input`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.logit(cr.tensor([0.5, 0.9, 1.0]), eps=0.1)
    tensor([0.0000, 2.1972, 2.1972])
    """
    x = as_tensor(input, "logit")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    if eps is not None and eps >= 0:
        low, high = eps, 1 - eps
        x = where(x < low, low, where(x > high, high, x))
    return ops.logit(x)

"""Many parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of
from chainrule.functions.shaping.join import cat

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return one vector of all parameters' elements, in order; recorded.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.parameters_to_vector([cr.ones(2), cr.zeros(1, 2)])
    tensor([1., 1., 0., 0.])
    """
    return cat([p.reshape(-1) for p in parameters])  # type: ignore[attr-defined]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Replace the parameters' values by slices of a vector, in order; their memory is then the vector's.

    Raises
    ------
    TypeError
        If `vec` is no tensor.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = [cr.zeros(2), cr.zeros(1, 2)]
    >>> cr.nn.utils.vector_to_parameters(cr.tensor([1.0, 2.0, 3.0, 4.0]), p)
    >>> p[1]
    tensor([[3., 4.]])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected chainrule.Tensor, but got: {type(vec).__name__}")
    flat = array_of(vec)
    start = 0
    for p in parameters:
        n = p.numel()
        p.data = wrap(flat[start : start + n].reshape(p.shape))
        start += n

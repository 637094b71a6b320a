"""What families of distributions share: parameters broadcast against each other, probabilities and their logits, triangles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, Final

import numpy as np

import chainrule as cr
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import satisfies
from chainrule.ops.random.draw import drawn

__all__ = [
    "broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]  # fmt: skip

euler_constant: Final[float] = float(np.euler_gamma)
NUMBERS = (int, float, bool)
"""What a parameter may be instead of a tensor."""


def all_true(checked: Any) -> bool:
    """Return whether all elements are true, of all examples of a `vmap`; True in a trace on shapes, which has no values."""
    return satisfies(checked, lambda values: values.all(), np.all) if isinstance(checked, Tensor) else bool(np.all(checked))


def is_tensor_like(value: Any) -> bool:
    """Return whether a value is a tensor, or stands in for one."""
    return isinstance(value, Tensor) or hasattr(type(value), "__torch_function__")


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Return tensors of one shape: numbers become tensors of the first tensor's dtype, or of the default dtype.

    Parameters
    ----------
    *values : Tensor or float
        Tensors that broadcast against each other, and numbers.

    Raises
    ------
    ValueError
        If one is neither.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import broadcast_all
    >>> broadcast_all(1, cr.zeros(2))
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    tensors = [value for value in values if is_tensor_like(value)]
    if not all([is_tensor_like(value) or isinstance(value, NUMBERS) for value in values]):
        raise ValueError(
            "Input arguments must all be instances of Number, chainrule.Tensor or objects implementing __torch_function__."
        )
    dtype = next((t.dtype for t in tensors if isinstance(t, Tensor)), None) or cr.get_default_dtype()
    made = [value if is_tensor_like(value) else cr.tensor(value, dtype=dtype) for value in values]
    return tuple(cr.broadcast_tensors(*made))


def standard_normal(shape: Sequence[int], dtype: Any, device: Any = None) -> Tensor:
    """Return standard normal numbers."""
    return cr.randn(tuple(shape), dtype=dtype, device=device)


def standard_noise(name: str, shape: Sequence[int], dtype: Any) -> Tensor:
    """Return draws by a method of NumPy's generators, which has no parameters but their shape."""
    numpy = dtype.numpy
    return drawn(lambda rng, shape: np.asarray(getattr(rng, name)(size=shape)).astype(numpy), tuple(shape), numpy, None)


_standard_normal = standard_normal  # as packages written for PyTorch import it


def sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """Return the sum over the last `dim` axes."""
    return value.sum(tuple(range(-dim, 0))) if dim else value


_sum_rightmost = sum_rightmost


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x))."""
    return cr.logaddexp(x, cr.zeros_like(x))


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Return probabilities of logits: log odds where binary, else log probabilities along the last axis up to a constant.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import logits_to_probs
    >>> logits_to_probs(cr.zeros(2)), logits_to_probs(cr.zeros(()), is_binary=True)
    (tensor([0.5000, 0.5000]), tensor(0.5000))
    """
    return cr.sigmoid(logits) if is_binary else cr.softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Return probabilities at least the dtype's rounding unit away from 0 and 1.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import clamp_probs
    >>> clamp_probs(cr.tensor([0.0, 0.5]))
    tensor([1.1921e-07, 5.0000e-01])
    """
    eps = cr.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Return log odds of probabilities where binary, else their logarithms; clamped, so that they are finite.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import probs_to_logits
    >>> probs_to_logits(cr.tensor([0.5, 0.5]), is_binary=True)
    tensor([0., 0.])
    """
    inside = clamp_probs(probs)
    return cr.log(inside) - cr.log1p(-inside) if is_binary else cr.log(inside)


class lazy_property:  # noqa: N801 - PyTorch's public name
    """An attribute that a method computes when it is first asked for, with gradients recorded, and that is then kept.

    Examples
    --------
    >>> from chainrule.distributions.utils import lazy_property
    >>> class Square:
    ...     @lazy_property
    ...     def area(self):
    ...         print("computed")
    ...         return 4
    >>> square = Square()
    >>> square.area, square.area
    computed
    (4, 4)
    """

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return self
        with cr.enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self.wrapped.__name__] = value
        return value


def _lower(n: int, diag: int) -> np.ndarray:
    return np.tri(n, k=diag, dtype=bool)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """Return the elements on and below a diagonal of square matrices, row by row.

    Raises
    ------
    ValueError
        If there is no such diagonal.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import tril_matrix_to_vec
    >>> tril_matrix_to_vec(cr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 3., 4.])
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = np.nonzero(_lower(n, diag))
    return mat[..., cr.tensor(rows), cr.tensor(columns)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Return the square matrices whose elements on and below a diagonal are given, row by row, and zero above.

    Raises
    ------
    ValueError
        If no square matrix has that many of them.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.distributions.utils import vec_to_tril_matrix
    >>> vec_to_tril_matrix(cr.tensor([1.0, 3.0, 4.0]))
    tensor([[1., 0.],
            [3., 4.]])
    """
    count = vec.shape[-1]
    n = next(n for n in range(count + abs(diag) + 2) if _lower(n, diag).sum() >= count)
    if _lower(n, diag).sum() != count:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a square D x D "
            "matrix."
        )
    places = np.flatnonzero(_lower(n, diag))
    flat = vec.new_zeros((*vec.shape[:-1], n * n)).index_copy(-1, cr.tensor(places), vec)
    return flat.reshape(*vec.shape[:-1], n, n)

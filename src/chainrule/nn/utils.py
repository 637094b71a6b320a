"""Helpers on many parameters at once: one vector of all, gradients clipped together."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, version_of
from chainrule.core.write.inplace import about_to_write
from chainrule.functions.shaping.join import cat

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm", "parameters_to_vector", "vector_to_parameters"]


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


def _gradients(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """Return the norm of the vector of all elements of the tensors.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Taken together as one vector.
    norm_type : float
        The order p; ``inf`` takes the largest absolute value.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.utils.get_total_norm([cr.tensor([3.0]), cr.tensor([4.0])])
    tensor(5.)
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not tensors:
        return wrap(np.float32(0))
    p = float(norm_type)
    norms = np.stack([_norm(array_of(t), p) for t in tensors])
    total = _norm(norms, p)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable "
            "this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return wrap(total)


def _norm(x: np.ndarray, p: float) -> Any:
    flat = np.asarray(x).reshape(-1)
    if not flat.size:
        return flat.real.dtype.type(0)
    if flat.dtype.itemsize < 4:
        return np.linalg.norm(flat.astype(np.float32), p).astype(flat.dtype)
    return np.linalg.norm(flat, p)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Scale the gradients in place so that their norm, taken together, is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose ``.grad`` is scaled.
    max_norm : float
        The largest norm left.
    norm_type : float
        The order of the norm.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite.
    foreach : bool, optional
        Only None or False: there is one implementation.

    Returns
    -------
    Tensor
        The norm before.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = cr.tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p / 2).sum().backward()
    >>> cr.nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    >>> p.grad
    tensor([0.6000, 0.8000])
    """
    _refuse_foreach(foreach)
    if not isinstance(parameters, Tensor):
        lazy = isinstance(parameters, types.GeneratorType)
        parameters = list(parameters)
        if lazy and not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    grads = _gradients(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    factor = float(max_norm) / (array_of(total)[()] + 1e-6)
    if not factor >= 1:  # NaN scales too
        for g in grads:
            about_to_write(g)
            array = array_of(g)
            np.multiply(array, array.real.dtype.type(factor), out=array)
            version_of(g).bump()
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp the gradients' elements in place to ``[-clip_value, clip_value]``.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = cr.tensor([3.0, -4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> cr.nn.utils.clip_grad_value_([p], 7.0)
    >>> p.grad
    tensor([ 6., -7.])
    """
    _refuse_foreach(foreach)
    bound = float(clip_value)
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(min=-bound, max=bound)  # type: ignore[attr-defined]


def _refuse_foreach(foreach: bool | None) -> None:
    if foreach:
        raise RuntimeError("foreach=True was passed, but there is one implementation only: leave foreach out")

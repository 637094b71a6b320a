"""Gradients of many parameters clipped together: by their norm, by their values."""

from __future__ import annotations

import types
import warnings
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, version_of
from chainrule.core.write.inplace import about_to_write
from chainrule.functions.linalg.size import vector_norm
from chainrule.functions.shaping.join import stack

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Return the norm of the vector of all elements of the tensors.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Taken together as one vector.
    norm_type : float
        The order p; ``inf`` takes the largest absolute value.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite.
    foreach : bool, optional
        Makes no difference: there is one implementation.

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
    if modes().compiling is not None:
        total = vector_norm(stack([vector_norm(t.detach(), p) for t in tensors]), p)
        if error_if_nonfinite and not bool(total.isfinite()):
            raise _non_finite(p)
        return total
    norms = np.stack([_norm(array_of(t), p) for t in tensors])
    total = _norm(norms, p)
    if error_if_nonfinite and not np.isfinite(total):
        raise _non_finite(p)
    return wrap(total)


def _non_finite(p: float) -> RuntimeError:
    return RuntimeError(
        f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable "
        "this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
    )


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
        Makes no difference: there is one implementation.

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
    if not isinstance(parameters, Tensor):
        lazy = isinstance(parameters, types.GeneratorType)
        parameters = list(parameters)
        if lazy and not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Scale gradients as `clip_grad_norm_`, PyTorch's newer name, does; warn of that."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale the gradients in place by ``max_norm / total_norm`` where that is below 1.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose ``.grad`` is scaled.
    max_norm : float
        The largest norm left.
    total_norm : Tensor
        The norm of the gradients, as `get_total_norm` gives it.
    foreach : bool, optional
        Makes no difference: there is one implementation.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = cr.tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p / 2).sum().backward()
    >>> cr.nn.utils.clip_grads_with_norm_([p], 1.0, cr.tensor(10.0))
    >>> p.grad
    tensor([0.3000, 0.4000])
    """
    if modes().compiling is not None:
        scale = (float(max_norm) / (total_norm.detach() + 1e-6)).clamp(max=1.0)  # type: ignore[attr-defined]
        with no_grad():
            for g in _gradients(parameters):
                g.mul_(scale)  # type: ignore[attr-defined]
        return
    factor = float(max_norm) / (np.asarray(array_of(total_norm))[()] + 1e-6)
    if factor >= 1:  # and so not of NaN, which scales too
        return
    for g in _gradients(parameters):
        about_to_write(g)
        array = array_of(g)
        np.multiply(array, array.real.dtype.type(factor), out=array)
        version_of(g).bump()


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp the gradients' elements in place to ``[-clip_value, clip_value]``; `foreach` makes no difference.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = cr.tensor([3.0, -4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> cr.nn.utils.clip_grad_value_([p], 7.0)
    >>> p.grad
    tensor([ 6., -7.])
    """
    bound = float(clip_value)
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(min=-bound, max=bound)  # type: ignore[attr-defined]

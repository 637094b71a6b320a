"""Normalisation that returns its statistics too: PyTorch's top-level ``native_layer_norm`` and its kin."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.functional.normalization import of_batches, of_groups, of_layers
from chainrule.ops.shaping.shape import detach

__all__ = ["native_batch_norm", "native_group_norm", "native_layer_norm"]


@asks
def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the layer norm, and the means and ``1 / sqrt(var + eps)`` that it took, with axes of size 1.

    No gradient flows through these, as in PyTorch.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.native_layer_norm(cr.tensor([1.0, 3.0]), (2,), None, None, 0.0)
    (tensor([-1.,  1.]), tensor([2.]), tensor([1.]))
    """
    out, mean, scale = of_layers(input, normalized_shape, weight, bias, eps)
    return out, detach(mean), detach(scale)


@asks
def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the group norm, and the groups' means and ``1 / sqrt(var + eps)``, of shape (N, group).

    Parameters
    ----------
    input : Tensor (N, C, ...)
    weight, bias : Tensor (C,), optional
    N, C, HxW : int
        The sizes of `input`; the last is the product of all after the second.
    group : int
        How many groups the channels make.
    eps : float
        Added to the variances.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.native_group_norm(cr.tensor([[1.0, 3.0]]), None, None, 1, 2, 1, 1, 0.0)
    (tensor([[-1.,  1.]]), tensor([[2.]]), tensor([[1.]]))
    """
    x = as_tensor(input, "native_group_norm")
    if x.numel() != N * C * HxW:
        raise RuntimeError(f"Expected a tensor of {N * C * HxW} elements for N={N}, C={C}, HxW={HxW}, but got {list(x.shape)}")
    return of_groups(x, group, weight, bias, eps)


@asks
def native_batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the batch norm, and the channels' means and ``1 / sqrt(var + eps)``; in evaluation nothing of these.

    No gradient flows through these, as in PyTorch.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, mean, scale = cr.native_batch_norm(cr.tensor([[1.0], [3.0]]), None, None, None, None, True, 0.1, 1e-9)
    >>> mean, scale
    (tensor([2.]), tensor([1.]))
    """
    out, mean, scale = of_batches(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return out, detach(mean), detach(scale)

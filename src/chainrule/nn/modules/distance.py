"""Distances and the bilinear map as modules; each calls the function of its name in `chainrule.nn.functional`."""

from __future__ import annotations

import math
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.linear import new_parameter
from chainrule.nn.modules.module import Module

__all__ = ["Bilinear", "CosineSimilarity", "PairwiseDistance"]


class Bilinear(Module):
    """The map ``x1 @ weight[k] @ x2 + bias[k]``; both start uniform in ``±1/sqrt(in1_features)``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Bilinear(2, 3, 4)(cr.ones(5, 2), cr.ones(5, 3)).shape
    chainrule.Size([5, 4])
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Return the map of two inputs."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class CosineSimilarity(Module):
    """The cosine between vectors along an axis; see :func:`chainrule.nn.functional.cosine_similarity`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CosineSimilarity()(cr.ones(1, 2), cr.tensor([[1.0, 0.0]]))
    tensor([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the cosines."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences; see :func:`chainrule.nn.functional.pairwise_distance`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.PairwiseDistance(1.0)(cr.ones(1, 2), cr.zeros(1, 2))
    tensor([2.0000])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)

"""jaxtyping: shapes and dtypes in annotations, checked at run time by beartype and typeguard."""

import pytest
import torch
from beartype import beartype
from jaxtyping import Bool, Float, Float32, Int, Int64, Num, Shaped, TypeCheckError, jaxtyped
from torch import nn


@jaxtyped(typechecker=beartype)
def mix(x: Float[torch.Tensor, "batch d"], w: Float[torch.Tensor, "d k"]) -> Float[torch.Tensor, "batch k"]:
    return x @ w


@jaxtyped(typechecker=beartype)
def wrong(x: Float[torch.Tensor, "a b"]) -> Float[torch.Tensor, "b a"]:
    return x


class Layer(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.linear = nn.Linear(size, 2)

    @jaxtyped(typechecker=beartype)
    def forward(self, x: Float[torch.Tensor, "*batch size"]) -> Float[torch.Tensor, "*batch 2"]:
        return self.linear(x)


def test_shapes():
    assert mix(torch.zeros(2, 3), torch.zeros(3, 4)).shape == (2, 4)
    with pytest.raises(TypeCheckError):
        mix(torch.zeros(2, 3), torch.zeros(4, 3))
    with pytest.raises(TypeCheckError):
        wrong(torch.zeros(2, 3))
    with pytest.raises(TypeCheckError):
        mix(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(3, 4))


def test_module():
    layer = Layer(3)
    layer(torch.zeros(5, 7, 3)).sum().backward()
    with pytest.raises(TypeCheckError):
        layer(torch.zeros(3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        (torch.float32, (Float, Float32, Num, Shaped)), (torch.int64, (Int, Int64, Num, Shaped)), (torch.bool, (Bool, Shaped)),
        (torch.bfloat16, (Float, Num, Shaped)), (torch.float64, (Float, Num, Shaped)), (torch.uint8, (Num, Shaped)),
    ],
)  # fmt: skip
def test_dtypes(dtype, kinds):
    for kind in (Float, Float32, Num, Shaped, Int, Int64, Bool):
        assert isinstance(torch.zeros(2, dtype=dtype), kind[torch.Tensor, "_"]) == (kind in kinds)
        assert not isinstance(torch.zeros(2, 2, dtype=dtype), kind[torch.Tensor, "_"])

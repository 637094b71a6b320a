"""What type checkers say of expressions: each of these is a Tensor, and known to be one."""

from typing import assert_type

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return scale * nn.Linear(2, 2)(x)


def f(x: Tensor, scale: float = 1.0) -> Tensor:
    return cr.sum(x * scale)


def of_parameters(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return (weights["w"] * x).sum()


x = cr.ones(2, 2)

# operators
assert_type(x + 1, Tensor)
assert_type(2.0 - x, Tensor)
assert_type(x * x / 3, Tensor)
assert_type(x @ x, Tensor)
assert_type(-(x**2), Tensor)
assert_type(x // 2 % 2, Tensor)
assert_type(x == x, Tensor)
assert_type(x > 0, Tensor)
assert_type((x > 0) & ~(x < 1), Tensor)
assert_type(abs(x), Tensor)
assert_type(x[0, ..., None], Tensor)
assert_type([row for row in x], list[Tensor])

# methods and properties
assert_type(x.sum(), Tensor)
assert_type(x.mean(dim=0, keepdim=True), Tensor)
assert_type(x.reshape(4).view(2, -1).t(), Tensor)
assert_type(x.add_(1).mul_(x), Tensor)
assert_type(x.T, Tensor)
assert_type(x.mT, Tensor)
assert_type(x.data, Tensor)
assert_type(x.grad, Tensor | None)
assert_type(x.to(cr.float64), Tensor)
assert_type(x.detach().requires_grad_(), Tensor)
assert_type(x.sort().values, Tensor)
assert_type(x.max(), Tensor)
assert_type(x.max(0).indices, Tensor)
assert_type(x.shape, cr.Size)
assert_type(x.shape[0], int)
assert_type(x.dtype, cr.dtype)
assert_type(x.requires_grad, bool)
assert_type(x.split(1), tuple[Tensor, ...])
assert_type(x.backward(), None)

# functions
assert_type(cr.sin(x), Tensor)
assert_type(cr.add(x, 1, alpha=2), Tensor)
assert_type(cr.sum(x, axis=0, keepdims=True), Tensor)
assert_type(cr.matmul(x, x), Tensor)
assert_type(cr.where(x > 0, x, 0.0), Tensor)
assert_type(cr.where(x > 0), tuple[Tensor, ...])
assert_type(cr.cat([x, x], dim=1), Tensor)
assert_type(cr.stack((x, x)), Tensor)
assert_type(cr.topk(x, 1).values, Tensor)
assert_type(cr.view_copy(x, 4), Tensor)
assert_type(cr.einsum("ij,jk->ik", x, x), Tensor)
assert_type(cr.tensor([[1, 2], [3, 4]], dtype=cr.float16), Tensor)
assert_type(cr.float32, cr.dtype)
assert_type(F.cross_entropy(x, cr.tensor([0, 1])), Tensor)
assert_type(F.softmax(x, dim=-1), Tensor)

# autograd, transforms, modules
assert_type(cr.autograd.grad(x.sum(), x), tuple[Tensor, ...])
assert_type(cr.func.grad(f)(x), Tensor)
assert_type(cr.func.grad(f)(x, scale=2.0), Tensor)
assert_type(cr.func.grad(lambda x: x.sum())(x), Tensor)
assert_type(cr.vmap(cr.func.grad(f))(x), Tensor)
assert_type(cr.func.vmap(cr.func.grad(f), in_dims=(0, None))(x, 2.0), Tensor)
assert_type(cr.func.grad(cr.func.grad(f))(x), Tensor)
assert_type(cr.func.value_and_grad(f)(x), tuple[Tensor, Tensor])
assert_type(cr.func.jvp(f, (x,), (x,)), tuple[Tensor, Tensor])
assert_type(cr.func.vjp(f, x)[0], Tensor)
assert_type(Net()(x, scale=2.0), Tensor)
assert_type(nn.Linear(2, 2)(x), Tensor)
assert_type(nn.MSELoss()(x, x), Tensor)
assert_type(nn.Parameter(x) * 2, Tensor)


@cr.no_grad()
def decorated(x: Tensor) -> Tensor:
    return x


assert_type(decorated(x), Tensor)

"""A script as chainrule's users write it: every type checker finds it correct, in its strictest mode."""

import numpy as np

import chainrule as cr
import chainrule.nn as nn
import chainrule.nn.functional as F
from chainrule import Tensor
from chainrule.func import grad, hessian, jacrev, jvp, vjp, vmap


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, width)
        self.out = nn.Linear(width, 1, bias=False)
        self.scale = nn.Parameter(cr.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(x))) * self.scale


def f(x: Tensor) -> Tensor:
    return (cr.sin(x) * x).sum()


x = cr.tensor([1.0, 2.0], requires_grad=True)
y = cr.zeros(2, dtype=cr.float32) + cr.rand(2) - 2 * x / 3 + x**2 @ cr.eye(2)
y[0] = 1.0
mask = (y > 0) & (x != 1)
first, rows, size = y[0], y[None, :, None].expand(1, 2, 3), y.shape[0] + y.numel()
z = cr.where(mask, y, -y).exp().mean(dim=0, keepdim=True).reshape(1, 1).to(cr.float64)
best = cr.max(y, dim=0)
print(best.values, best.indices.item(), y.max().tolist(), z.mT.ndim, z.dtype is cr.float64, cr.sqrt(np.ones(2)))

z.sum().backward(retain_graph=True)
(slope,) = cr.autograd.grad(z.sum(), x, create_graph=True)
assert x.grad is not None
with cr.no_grad():
    x.add_(x.grad, alpha=-0.1).clamp_(min=0)
    x.grad = None

per_example = vmap(grad(f))(cr.ones(3, 2))
value, pull = vjp(f, x)
primal, tangent = jvp(f, (x,), (cr.ones(2),))
curvature = hessian(f)(x).diagonal() + jacrev(cr.sin)(x).sum(0)

net = Net(8)
optimizer = cr.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for epoch in range(3):
    optimizer.zero_grad()
    loss = F.mse_loss(net(cr.randn(4, 2)), cr.zeros(4, 1))
    loss.backward()
    optimizer.step()
    print(f"{epoch}: {loss.item():.3f}", sum(p.numel() for p in net.parameters()), per_example.shape, size, rows.size(1))


@cr.no_grad()
def predict(model: Net, inputs: Tensor) -> np.ndarray:
    return model(inputs).squeeze(-1).numpy()

"""Jacobians, Hessians, hvp, vhp and batches of them, by function transforms."""

from functools import partial

import torch
import torch.nn.functional as F
from torch.func import hessian, jacfwd, jacrev, jvp, vjp, vmap


def predict(weight, bias, x):
    return F.linear(x, weight, bias).tanh()


D = 5
weight, bias, x = torch.randn(D, D), torch.randn(D), torch.randn(D)
xp = x.clone().requires_grad_()
unit_vectors = torch.eye(D)


def compute_jac(xp):
    return torch.stack([torch.autograd.grad(predict(weight, bias, xp), xp, vec)[0] for vec in unit_vectors])


jacobian = compute_jac(xp)
print(jacobian.shape, jacobian[0])
_, vjp_fn = vjp(partial(predict, weight, bias), x)
(ft_jacobian,) = vmap(vjp_fn)(unit_vectors)
assert torch.allclose(ft_jacobian, jacobian)
ft_jacobian = jacrev(predict, argnums=2)(weight, bias, x)
assert torch.allclose(ft_jacobian, jacobian)
assert torch.allclose(jacfwd(predict, argnums=2)(weight, bias, x), jacobian, atol=1e-6)
by_weight, by_bias = jacrev(predict, argnums=(0, 1))(weight, bias, x)
print(by_weight.shape, by_bias.shape, by_weight.sum(), by_bias.sum())

hess_api = hessian(predict, argnums=2)(weight, bias, x)
hess_fwdfwd = jacfwd(jacfwd(predict, argnums=2), argnums=2)(weight, bias, x)
hess_revrev = jacrev(jacrev(predict, argnums=2), argnums=2)(weight, bias, x)
print(
    hess_api.shape,
    torch.allclose(hess_api, hess_fwdfwd, atol=1e-5),
    torch.allclose(hess_api, hess_revrev, atol=1e-5),
    hess_api.sum(),
)

batch_size, Din, Dout = 6, 3, 4
weight, x, bias = torch.randn(Dout, Din), torch.randn(batch_size, Din), torch.randn(Dout)
compute_batch_jacobian = vmap(jacrev(predict, argnums=2), in_dims=(None, None, 0))
batch_jacobian0 = compute_batch_jacobian(weight, bias, x)


def predict_with_output_summed(weight, bias, x):
    return predict(weight, bias, x).sum(0)


batch_jacobian1 = jacrev(predict_with_output_summed, argnums=2)(weight, bias, x).movedim(1, 0)
assert torch.allclose(batch_jacobian0, batch_jacobian1)
compute_batch_hessian = vmap(hessian(predict, argnums=2), in_dims=(None, None, 0))
batch_hess = compute_batch_hessian(weight, bias, x)
print(batch_jacobian0.shape, batch_hess.shape, batch_jacobian0.norm(), batch_hess.norm())


def hvp(f, primals, tangents):
    return jvp(torch.func.grad(f), primals, tangents)[1]


def f(x):
    return x.sin().sum()


x, tangent = torch.randn(16), torch.randn(16)
print(torch.allclose(hvp(f, (x,), (tangent,)), -x.sin() * tangent))
_, vhp_fn = vjp(torch.func.grad(f), x)
print(torch.allclose(vhp_fn(tangent)[0], -x.sin() * tangent))


def outer(x, y):
    return x * y.sum(), (x**2).sum() * y


x, y = torch.randn(2), torch.randn(3)
print(jacrev(outer, argnums=(0, 1))(x, y))
print(jacfwd(outer, argnums=(0, 1))(x, y))
print(jacrev(lambda d: {"sin": d["x"].sin(), "both": d["x"].sum() * d["y"]})({"x": x, "y": y}))

"""A tour of function transforms: grad, vjp, jvp, vmap and how they nest."""

import torch
from torch.func import grad, grad_and_value, jacfwd, jacrev, jvp, linearize, vjp, vmap

x = torch.randn([])
cos_x = grad(lambda x: torch.sin(x))(x)
assert torch.allclose(cos_x, x.cos())
neg_sin_x = grad(grad(lambda x: torch.sin(x)))(x)
assert torch.allclose(neg_sin_x, -x.sin())
print(cos_x, neg_sin_x)

batch_size, feature_size = 3, 5
weights = torch.randn(feature_size, requires_grad=True)


def model(feature_vec):
    return feature_vec.dot(weights).relu()


examples = torch.randn(batch_size, feature_size)
print(vmap(model)(examples))


def compute_loss(weights, example, target):
    y = example.dot(weights).relu()
    return ((y - target) ** 2).mean()


weights = torch.randn(feature_size)
targets = torch.randn(batch_size)
print(vmap(grad(compute_loss), in_dims=(None, 0, 0))(weights, examples, targets))
inputs = torch.randn(3)
outputs, vjp_fn = vjp(torch.sin, inputs)
print(outputs, vjp_fn(torch.ones(3)))
print(jvp(lambda x, y: x * y, (torch.randn(5), torch.randn(5)), (torch.ones(5), torch.ones(5))))
print(jacfwd(jacrev(lambda x: x.sin().sum()))(torch.randn(4)))
print(grad_and_value(lambda x: (x**2).sum())(torch.randn(3)))
print(grad(lambda x, aux: ((x * aux).sum(), aux * 2), has_aux=True)(torch.ones(2), torch.arange(2.0)))
out, f_jvp = linearize(lambda x: (x.sin(), x.exp().sum()), torch.randn(3))
print(out, f_jvp(torch.ones(3)))
print(vmap(lambda x, y: x + y, in_dims=(0, 1), out_dims=1)(torch.randn(3, 2), torch.randn(2, 3)))
print(vmap(vmap(lambda x: x**2))(torch.randn(2, 2)))
print(vmap(lambda d: d["a"] @ d["b"], in_dims=({"a": 0, "b": None},))({"a": torch.randn(3, 2), "b": torch.randn(2)}))
print(grad(lambda x: vmap(lambda y: (x * y).sum())(torch.arange(6.0).reshape(3, 2)).prod())(torch.ones(2)))

y = torch.tensor(2.0)
print(grad(lambda x: x * grad(lambda z: x * z)(y))(torch.tensor(3.0)))


def f(x):
    with torch.no_grad():
        c = x**2
    return x - c


print(grad(f)(torch.tensor(3.0)))
with torch.no_grad():
    print(grad(f)(torch.tensor(3.0)))


def inplace(x):
    y = torch.zeros(3)
    y[0] = x
    y[1:] = x**2
    y.mul_(x)
    return y.sum()


print(grad(inplace)(torch.tensor(2.0)), jvp(inplace, (torch.tensor(2.0),), (torch.tensor(1.0),)))

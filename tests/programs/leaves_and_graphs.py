"""Leaf and non-leaf tensors, retained gradients, retained graphs, accumulation, graphs that share parts."""

import warnings

import torch
import torch.nn.functional as F

x = torch.ones(1, 3)
W = torch.ones(3, 2, requires_grad=True)
b = torch.ones(1, 2, requires_grad=True)
y = torch.ones(1, 2)
print(x.is_leaf, W.is_leaf, b.is_leaf, y.is_leaf)
z = (x @ W) + b
y_pred = F.relu(z)
loss = F.mse_loss(y_pred, y)
print(z.is_leaf, y_pred.is_leaf, loss.is_leaf, x.requires_grad, z.requires_grad)
z.retain_grad()
y_pred.retain_grad()
loss.retain_grad()
loss.backward()
print(W.grad, b.grad, z.grad, y_pred.grad, loss.grad)
print(W.retains_grad, z.retains_grad)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print((W * 2).grad)
print([w.category.__name__ for w in caught], str(caught[0].message)[:60])
try:
    x.retain_grad()
except RuntimeError as error:
    print(error)

a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
shared = a.exp() * b
first, second = shared.sum(), (shared**2).mean()
first.backward(retain_graph=True)
print(a.grad, b.grad)
second.backward()
print(a.grad, b.grad)
try:
    first.backward()
except RuntimeError as error:
    print(str(error)[:60])
(a + b).sum().backward()
(a + b).sum().backward()
print(a.grad, b.grad)
out = (a + b).sum()
out.backward()
out.backward()
print(a.grad)

inp = torch.eye(4, 5, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
print(inp.grad)
out.backward(torch.ones_like(out), retain_graph=True)
print(inp.grad)
inp.grad.zero_()
out.backward(torch.ones_like(out), retain_graph=True)
print(inp.grad)

x = torch.randn(3, requires_grad=True)
print(x.requires_grad, (x**2).requires_grad)
with torch.no_grad():
    print((x**2).requires_grad)
y = x.detach()
print(y.requires_grad, x.eq(y).all())
h = torch.zeros(3)
losses = []
for t in range(4):
    h = torch.tanh(h + x)
    losses.append(h.sum())
    if t % 2:
        h = h.detach()
print(torch.autograd.grad(sum(losses), x))
p = torch.ones(2, requires_grad=True)
q = p.clone()
q[0] = 5 * q[1]
q *= p
q.sum().backward()
print(q, p.grad, q._version, q.grad_fn.name())

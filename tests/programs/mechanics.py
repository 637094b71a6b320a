"""Autograd mechanics: grad modes, in-place correctness, complex numbers, threads, versions of saved tensors."""

import threading

import torch

x = torch.ones(2, 2, requires_grad=True)
with torch.inference_mode():
    y = x * x
print(y.requires_grad, y.is_inference(), torch.is_inference_mode_enabled())
try:
    (x * y).sum().backward()
except RuntimeError as error:
    print(error)
print((x * y.clone()).sum().grad_fn.name())
with torch.set_grad_enabled(False):
    print((x * 2).requires_grad, torch.is_grad_enabled())
with torch.no_grad(), torch.enable_grad():
    print((x * 2).requires_grad)

a = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
b = a.clone()
c = b**2
print(b._version, c.grad_fn._saved_self.equal(b))
b[0] = 0
try:
    c.sum().backward()
except RuntimeError as error:
    print(str(error).split(":")[0])
b = a.clone()
c = b + 2
b.mul_(3)
(b + c).sum().backward()
print(a.grad, b._version)
try:
    a += 1
except RuntimeError as error:
    print(error)
with torch.no_grad():
    a += 1
print(a)

base = torch.arange(6.0).requires_grad_().clone()
view = base.view(2, 3)[0]
view *= 10
print(base, view.grad_fn.name(), type(base.grad_fn).__name__, view._base is base, base._version)
print(torch.autograd.grad(base.sin().sum(), view, allow_unused=True))

z = torch.tensor([1.0 + 2.0j, -0.5 + 0.3j], requires_grad=True)
(z.abs() ** 2).sum().backward()
print(z.grad)
z.grad = None
(z**2).real.sum().backward()
print(z.grad)
w = torch.view_as_real(z)
print(torch.autograd.grad((w[..., 0] * w[..., 1]).sum(), z))
print(torch.autograd.functional.jacobian(lambda x: (x * torch.tensor(1j)).real, torch.tensor([1.0, 2.0])))

x = torch.ones(5, 5, requires_grad=True)


def train_fn():
    y = (x + 3) * (x + 4) * 0.5
    y.sum().backward()


threads = [threading.Thread(target=train_fn) for _ in range(10)]
for p in threads:
    p.start()
for p in threads:
    p.join()
print(x.grad)

s = torch.tensor(0.0, requires_grad=True)
print(torch.autograd.grad(torch.sqrt(s), s), torch.autograd.grad(s.abs(), s), torch.autograd.grad(torch.relu(s), s))
t = torch.tensor([1.0, 1.0, 0.5], requires_grad=True)
print(
    torch.autograd.grad(t.max(), t),
    torch.autograd.grad(t.max(0).values, t),
    torch.autograd.grad(torch.where(t > 1, t.log(), t).sum(), t),
)
f = torch.tensor([1.0, 2.0], requires_grad=True)
print(torch.autograd.grad((f * 2).sum(), [f, torch.ones(2, requires_grad=True)], allow_unused=True))
print(torch.autograd.grad((f * 2).sum(), f, materialize_grads=True))
print(f.data_ptr() == f.detach().data_ptr(), f.detach()._version == f._version)

"""Hooks that read and edit gradients: on tensors, on leaves after accumulation, on nodes, on modules; their order."""

import torch
from torch import nn

v = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
h = v.register_hook(lambda grad: grad * 2)
v.backward(torch.tensor([1.0, 2.0, 3.0]))
print(v.grad)
h.remove()
v.grad = None
v.backward(torch.tensor([1.0, 2.0, 3.0]))
print(v.grad)

log = []
a = torch.tensor([1.0, -2.0], requires_grad=True)
b = a * 3
c = b.exp()
b.retain_grad()
b.register_hook(lambda g: log.append(("b first", g.tolist())))
b.register_hook(lambda g: g.clamp(max=1.0))
b.register_hook(lambda g: log.append(("b third", g.tolist())))
c.register_hook(lambda g: log.append(("c", g.tolist())))
c.grad_fn.register_prehook(lambda gs: log.append(("exp prehook", gs[0].tolist())))
c.grad_fn.register_hook(lambda gi, go: log.append(("exp posthook", gi[0].tolist(), go[0].tolist())))
a.register_post_accumulate_grad_hook(lambda t: log.append(("a accumulated", t.grad.tolist())))
c.sum().backward()
for line in log:
    print(line)
print(b.grad, a.grad)

log.clear()
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = torch.tensor([3.0, 4.0], requires_grad=True)
z = torch.tensor([1.0, 1.0], requires_grad=True)
handle = torch.autograd.graph.register_multi_grad_hook(
    (x, y, z), lambda grads: log.append([None if g is None else g.tolist() for g in grads])
)
(x * y).sum().backward()
(x * y * z).sum().backward()
handle.remove()
(x * y).sum().backward()
print(log)

model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
for p in model.parameters():
    p.register_hook(lambda grad: torch.clamp(grad, -0.1, 0.1))
out = model(torch.randn(16, 4))
(out**2).sum().backward()
print([p.grad.abs().max().item() for p in model.parameters()])
total = torch.norm(torch.stack([p.grad.norm() for p in model.parameters()]))
print(total)


seen = {}
for name, module in model.named_children():
    module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: tuple(o.shape)}))
    module.register_full_backward_hook(lambda m, gi, go, name=name: seen.update({name + " grad": tuple(go[0].shape)}))
model(torch.randn(3, 4)).sum().backward()
print(sorted(seen.items()))


class ScaleGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.scale, None


x = torch.tensor([1.0, 2.0], requires_grad=True)
(ScaleGrad.apply(x, -0.5) * x).sum().backward()
print(x.grad)

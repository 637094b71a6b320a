"""Functions that trade memory for work: a reversible block that rebuilds its inputs from its outputs, a checkpoint written by
hand with enable_grad and autograd.grad in backward, and a fused softmax with cross entropy."""

import torch
from torch import nn


class ReversibleFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x1, x2, f, g):
        ctx.f, ctx.g = f, g
        with torch.no_grad():
            y1 = x1 + f(x2)
            y2 = x2 + g(y1)
        ctx.save_for_backward(y1.detach(), y2.detach())
        return y1, y2

    @staticmethod
    def backward(ctx, dy1, dy2):
        y1, y2 = ctx.saved_tensors
        with torch.enable_grad():
            y1_ = y1.detach().requires_grad_()
            gy1 = ctx.g(y1_)
            gy1.backward(dy2)
        with torch.no_grad():
            x2 = y2 - gy1
            dx1 = dy1 + y1_.grad
        with torch.enable_grad():
            x2_ = x2.detach().requires_grad_()
            fx2 = ctx.f(x2_)
            fx2.backward(dx1)
        return dx1, dy2 + x2_.grad, None, None


f, g = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Sequential(nn.Linear(3, 3), nn.Tanh())
x1, x2 = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
y1, y2 = ReversibleFunction.apply(x1, x2, f, g)
print(y1.grad_fn is y2.grad_fn, y1.output_nr, y2.output_nr)
(y1 * y2).sum().backward()
mine = [t.grad.clone() for t in (x1, x2, *f.parameters(), *g.parameters())]
for t in (x1, x2, *f.parameters(), *g.parameters()):
    t.grad = None
z1 = x1 + f(x2)
z2 = x2 + g(z1)
(z1 * z2).sum().backward()
print(max((a - t.grad).abs().max().item() < 1e-5 for a, t in zip(mine, (x1, x2, *f.parameters(), *g.parameters()))))
print(x1.grad)


class Recompute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, count, *args):
        ctx.run = run
        ctx.inputs, ctx.params = list(args[:count]), list(args[count:])
        with torch.no_grad():
            return run(*ctx.inputs)

    @staticmethod
    def backward(ctx, *grads):
        inputs = [x.detach().requires_grad_(x.requires_grad) for x in ctx.inputs]
        with torch.enable_grad():
            shallow = [x.view_as(x) for x in inputs]
            out = ctx.run(*shallow)
        found = torch.autograd.grad(out, inputs + ctx.params, grads, allow_unused=True)
        del ctx.inputs, ctx.params
        return (None, None, *found)


x = torch.randn(2, 3, requires_grad=True)
out = Recompute.apply(lambda x: f(g(x)), 1, x, *f.parameters(), *g.parameters())
for p in (*f.parameters(), *g.parameters()):
    p.grad = None
out.square().sum().backward()
print(x.grad, [p.grad.norm().item() for p in f.parameters()])


class SoftmaxCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        shifted = logits - logits.max(dim=1, keepdim=True).values
        e = shifted.exp()
        p = e / e.sum(dim=1, keepdim=True)
        ctx.save_for_backward(p, target)
        ctx.mark_non_differentiable(target)
        return -p[torch.arange(len(target)), target].log().mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        p, target = ctx.saved_tensors
        q = p.clone()
        q[torch.arange(len(target)), target] -= 1
        return grad * q / len(target), None


logits = torch.randn(4, 5, requires_grad=True)
target = torch.tensor([0, 3, 1, 4])
loss = SoftmaxCrossEntropy.apply(logits, target)
loss.backward()
reference = logits.detach().requires_grad_()
nn.functional.cross_entropy(reference, target).backward()
print(loss, logits.grad, torch.allclose(logits.grad, reference.grad, atol=1e-6))

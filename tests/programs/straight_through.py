"""Functions whose backward is not the derivative of their forward: straight-through rounding, binarised weights, gradient
reversal, gradient clipping, and a sign with a surrogate slope; each inside a small training loop."""

import torch
from torch import nn
from torch.autograd import Function


class RoundSTE(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


class Binarize(Function):
    @staticmethod
    def forward(ctx, weight):
        ctx.save_for_backward(weight)
        return torch.where(weight >= 0, torch.ones_like(weight), -torch.ones_like(weight))

    @staticmethod
    def backward(ctx, grad_output):
        (weight,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[weight.abs() > 1] = 0
        return grad_input


class GradientReversal(Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.neg() * ctx.alpha, None


class ClipGrad(Function):
    @staticmethod
    def forward(ctx, x, limit):
        ctx.limit = limit
        return x.clone()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.clamp(-ctx.limit, ctx.limit), None


class SurrogateSpike(Function):
    scale = 10.0

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        out = torch.zeros_like(input)
        out[input > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output.clone() / (SurrogateSpike.scale * torch.abs(input) + 1.0) ** 2


class QuantizedLinear(nn.Module):
    def __init__(self, n_in, n_out, levels=8):
        super().__init__()
        self.inner = nn.Linear(n_in, n_out)
        self.levels = levels

    def forward(self, x):
        weight = RoundSTE.apply(self.inner.weight * self.levels) / self.levels
        return x @ weight.t() + self.inner.bias


x, y = torch.randn(32, 4), torch.randn(32, 1)
net = nn.Sequential(QuantizedLinear(4, 8), nn.Tanh(), QuantizedLinear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(20):
    loss = ((net(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        print(step, loss.item())
print([p.grad.abs().sum().item() for p in net.parameters()])

w = torch.randn(4, 1, requires_grad=True)
binary = x @ Binarize.apply(w)
print(binary[:3], binary.grad_fn.next_functions[1][0].name())
(binary * y).sum().backward()
print(w.grad)

features = torch.randn(5, 3, requires_grad=True)
domain = GradientReversal.apply(features, 0.5)
print(domain.grad_fn.name(), domain._is_view(), domain.requires_grad)
domain.sum().backward()
print(features.grad)

z = torch.randn(4, requires_grad=True)
(1000 * ClipGrad.apply(z, 1.0)).sum().backward()
print(z.grad)

membrane, weight = torch.zeros(6), torch.randn(6, requires_grad=True)
spikes = []
for _ in range(10):
    membrane = 0.9 * membrane + weight
    spike = SurrogateSpike.apply(membrane - 1.0)
    membrane = membrane - spike.detach()
    spikes.append(spike)
rate = torch.stack(spikes).mean(0)
print(rate)
rate.sum().backward()
print(weight.grad)
print(torch.autograd.grad(RoundSTE.apply(z).sum(), z, create_graph=True)[0].requires_grad)

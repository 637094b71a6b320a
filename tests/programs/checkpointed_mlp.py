"""Checkpointing: a deep network that recomputes its activations gives the gradients of one that keeps them."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + self.fc2(torch.tanh(self.fc1(x)))


class Net(nn.Module):
    def __init__(self, depth, width, mode):
        super().__init__()
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.head = nn.Linear(width, 1)
        self.mode = mode

    def forward(self, x):
        for block in self.blocks:
            x = block(x) if self.mode is None else checkpoint(block, x, use_reentrant=self.mode)
        return self.head(x)


reference = Net(4, 6, None)
x = torch.randn(8, 6, requires_grad=True)
for mode in (None, False, True):
    net = Net(4, 6, mode)
    net.load_state_dict(reference.state_dict())
    x.grad = None
    out = net(x)
    out.pow(2).mean().backward()
    print(mode, [block.calls for block in net.blocks], out.sum().item(), x.grad.norm().item())
    print([p.grad.norm().item() for p in net.parameters()][:5])

layers = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(6)])
plain = torch.autograd.grad(layers(x).sum(), x)[0]
kept = torch.autograd.grad(checkpoint_sequential(layers, 3, x, use_reentrant=False).sum(), x)[0]
print(torch.allclose(plain, kept), kept.norm().item())


def noisy(x):
    return x * torch.empty(6).uniform_()


y = checkpoint(noisy, x, use_reentrant=False)
(g,) = torch.autograd.grad(y.sum(), x)
print(torch.allclose(g * x.detach(), y))


def nested(x):
    return checkpoint(lambda y: torch.sin(y) * y, x.exp(), use_reentrant=False)


(g,) = torch.autograd.grad(checkpoint(nested, x, use_reentrant=False).sum(), x, create_graph=True)
(h,) = torch.autograd.grad(g.sum(), x)
print(g.norm().item(), h.norm().item())

"""The optimizer's step inside of the backward pass: a hook on each parameter after its gradient has accumulated."""

import copy

import torch
from torch import nn

model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
usual = copy.deepcopy(model)
optimizer_dict = {p: torch.optim.Adam([p], foreach=False) for p in model.parameters()}


def optimizer_hook(parameter) -> None:
    optimizer_dict[parameter].step()
    optimizer_dict[parameter].zero_grad()


for p in model.parameters():
    p.register_post_accumulate_grad_hook(optimizer_hook)

optimizer = torch.optim.Adam(usual.parameters(), foreach=False)
for _ in range(5):
    x = torch.randn(10, 6)
    loss = model(x).pow(2).mean()
    loss.backward()
    expected = usual(x).pow(2).mean()
    optimizer.zero_grad()
    expected.backward()
    optimizer.step()
    print(loss.item(), expected.item(), [p.grad is None for p in model.parameters()])
print(all(torch.allclose(p, q, atol=1e-6) for p, q in zip(model.parameters(), usual.parameters())))

state = {}


def sgd_with_momentum(p):
    buffer = state.get(p)
    with torch.no_grad():
        if buffer is None:
            state[p] = buffer = p.grad.clone()
        else:
            buffer.mul_(0.9).add_(p.grad)
        p.add_(buffer, alpha=-0.01)
    p.grad = None


w = torch.randn(4, requires_grad=True)
handle = w.register_post_accumulate_grad_hook(sgd_with_momentum)
for _ in range(10):
    ((w - 1) ** 2).sum().backward()
print(w)
handle.remove()
p = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
h = p.register_post_accumulate_grad_hook(lambda p: p.add_(p.grad, alpha=-0.1))
p.backward(torch.tensor([1.0, 2.0, 3.0]))
print(p)
h.remove()
((w - 1) ** 2).sum().backward()
print(w.grad)

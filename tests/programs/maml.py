"""Model-agnostic meta-learning of sinusoids: gradients through gradient steps, by transforms and by create_graph."""

import math

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F


class ThreeLayerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(1, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def mse_loss(x, y):
    return torch.mean((x - y) ** 2)


net = ThreeLayerNet()
params = dict(net.named_parameters())
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
alpha, K, num_tasks = 0.1, 6, 3


def sample_tasks(outer_batch_size, inner_batch_size):
    amplitudes, phases = torch.rand(outer_batch_size) * 5, torch.rand(outer_batch_size) * math.pi

    def get_batch():
        xs = torch.rand(outer_batch_size, inner_batch_size, 1) * 10 - 5
        ys = amplitudes[:, None, None] * torch.sin(xs + phases[:, None, None])
        return xs, ys

    return (*get_batch(), *get_batch())


def get_loss_for_task(x1, y1, x2, y2):
    def inner_loss(params, x1, y1):
        return mse_loss(functional_call(net, params, x1), y1)

    grads = grad(inner_loss)(params, x1, y1)
    new_params = {k: params[k] - alpha * g for k, g in grads.items()}
    return mse_loss(functional_call(net, new_params, x2), y2)


for it in range(4):
    task = sample_tasks(num_tasks, K)
    inner_losses = vmap(get_loss_for_task)(*task)
    loss2 = sum(inner_losses) / len(inner_losses)
    opt.zero_grad()
    loss2.backward()
    opt.step()
    print(it, loss2.item(), inner_losses, net.fc1.weight.grad.norm().item())


def forward(x, weights):
    for k in range(0, len(weights) - 2, 2):
        x = F.relu(F.linear(x, weights[k], weights[k + 1]))
    return F.linear(x, weights[-2], weights[-1])


weights = [p.detach().clone().requires_grad_() for p in net.parameters()]
opt = torch.optim.SGD(weights, lr=1e-2, momentum=0.9)
for it in range(3):
    x1, y1, x2, y2 = (t[0] for t in sample_tasks(1, K))
    fast = weights
    for _ in range(2):
        inner = mse_loss(forward(x1, fast), y1)
        gs = torch.autograd.grad(inner, fast, create_graph=True)
        fast = [w - alpha * g for w, g in zip(fast, gs)]
    outer = mse_loss(forward(x2, fast), y2)
    opt.zero_grad()
    outer.backward()
    opt.step()
    print(it, inner.item(), outer.item(), [w.grad.norm().item() for w in weights])

"""A differential equation solved by a network: derivatives with respect to inputs inside of the loss; an inverse problem."""

import torch
from torch import nn

net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
t_boundary = torch.tensor(0.0).view(-1, 1).requires_grad_(True)
t_physics = torch.linspace(0, 1, 20).view(-1, 1).requires_grad_(True)
d, w0 = 2, 10
mu, k = 2 * d, w0**2
for i in range(12):
    optimizer.zero_grad()
    u = net(t_boundary)
    loss1 = (torch.squeeze(u) - 1) ** 2
    dudt = torch.autograd.grad(u, t_boundary, torch.ones_like(u), create_graph=True)[0]
    loss2 = (torch.squeeze(dudt) - 0) ** 2
    u = net(t_physics)
    dudt = torch.autograd.grad(u, t_physics, torch.ones_like(u), create_graph=True)[0]
    d2udt2 = torch.autograd.grad(dudt, t_physics, torch.ones_like(dudt), create_graph=True)[0]
    loss3 = torch.mean((d2udt2 + mu * dudt + k * u) ** 2)
    loss = loss1 + 1e-1 * loss2 + 1e-4 * loss3
    loss.backward()
    optimizer.step()
    if i % 4 == 3:
        print(i, loss.item(), u.abs().mean().item(), d2udt2.norm().item(), net[0].weight.grad.norm().item())

conductivity = torch.tensor(0.5, requires_grad=True)
truth = 1.3
opt = torch.optim.SGD([conductivity], lr=0.5)
start = torch.exp(-((torch.linspace(-1, 1, 21)) ** 2) * 10)


def simulate(c, steps=15, dt=0.1):
    u = start.clone()
    for _ in range(steps):
        lap = torch.zeros_like(u)
        lap[1:-1] = u[2:] - 2 * u[1:-1] + u[:-2]
        u = u + dt * c * lap
    return u


target = simulate(torch.tensor(truth))
for i in range(15):
    opt.zero_grad()
    loss = ((simulate(conductivity) - target) ** 2).sum()
    loss.backward()
    opt.step()
print(conductivity.item(), loss.item())

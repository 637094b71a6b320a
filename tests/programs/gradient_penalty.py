"""Higher-order gradients: a Wasserstein critic with gradient penalty, double backprop, Hessian traces, Newton's method."""

import torch
from torch import nn, autograd

critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
generator = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
opt_c = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
one, mone = torch.tensor(1, dtype=torch.float), torch.tensor(1, dtype=torch.float) * -1


def calc_gradient_penalty(critic, real_data, fake_data):
    alpha = torch.rand(real_data.size(0), 1).expand(real_data.size())
    interpolates = alpha * real_data + (1 - alpha) * fake_data
    interpolates = interpolates.requires_grad_(True)
    scores = critic(interpolates)
    gradients = autograd.grad(
        outputs=scores,
        inputs=interpolates,
        grad_outputs=torch.ones(scores.size()),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * 10.0


for iteration in range(6):
    for p in critic.parameters():
        p.requires_grad = True
    real = torch.randn(32, 2) * 0.5 + 1
    with torch.no_grad():
        fake = generator(torch.randn(32, 3))
    critic.zero_grad()
    critic(real).mean().backward(mone)
    critic(fake).mean().backward(one)
    penalty = calc_gradient_penalty(critic, real, fake)
    penalty.backward()
    opt_c.step()
    for p in critic.parameters():
        p.requires_grad = False
    generator.zero_grad()
    cost = critic(generator(torch.randn(32, 3))).mean()
    cost.backward(mone)
    opt_g.step()
    print(iteration, penalty.item(), cost.item(), generator[0].weight.grad.norm().item())

x = torch.randn(4, 5, requires_grad=True)
w = torch.randn(5, 3, requires_grad=True)
loss = torch.tanh(x @ w).pow(2).sum()
(g,) = autograd.grad(loss, x, create_graph=True)
regularised = loss + 0.1 * g.pow(2).sum()
regularised.backward()
print(w.grad, x.grad)

w = torch.tensor([1.2, 0.8], requires_grad=True)


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


for _ in range(8):
    value = rosenbrock(w)
    (g,) = autograd.grad(value, w, create_graph=True)
    rows = [autograd.grad(g[i], w, retain_graph=True)[0] for i in range(2)]
    H = torch.stack(rows)
    det = H[0, 0] * H[1, 1] - H[0, 1] * H[1, 0]
    inverse = torch.stack([torch.stack([H[1, 1], -H[0, 1]]), torch.stack([-H[1, 0], H[0, 0]])]) / det
    with torch.no_grad():
        w -= inverse @ g
print(w, value.item())

x = torch.tensor(0.7, requires_grad=True)
y = torch.sin(x) * x**2
for order in range(1, 6):
    (y,) = autograd.grad(y, x, create_graph=True)
    print(order, y.item())

model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
params = list(model.parameters())
loss = model(torch.randn(10, 3)).pow(2).mean()
grads = autograd.grad(loss, params, create_graph=True)
trace = 0.0
for _ in range(3):
    vs = [torch.randint(0, 2, p.shape).to(p.dtype) * 2 - 1 for p in params]
    hvs = autograd.grad(grads, params, vs, retain_graph=True)
    trace += sum((v * hv).sum() for v, hv in zip(vs, hvs)).item() / 3
print(trace)

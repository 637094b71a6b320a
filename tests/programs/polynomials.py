"""Fitting a sine by a polynomial: gradients by hand, by autograd, with a Legendre polynomial as a Function of its own."""

import math

import torch

x = torch.linspace(-math.pi, math.pi, 200)
y = torch.sin(x)

coefficients = [torch.randn((), requires_grad=True) for _ in range(4)]
for step in range(60):
    y_pred = sum(c * x**k for k, c in enumerate(coefficients))
    loss = (y_pred - y).pow(2).sum()
    if step % 20 == 19:
        print(step, loss.item())
    loss.backward()
    with torch.no_grad():
        for k, c in enumerate(coefficients):
            by_hand = (2.0 * (y_pred - y) * x**k).sum()
            assert torch.allclose(by_hand, c.grad, rtol=1e-3), (by_hand, c.grad)
            c -= 1e-6 * c.grad
            c.grad = None
print("Result:", [c.item() for c in coefficients])


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


a = torch.full((), 0.0, requires_grad=True)
b = torch.full((), -1.0, requires_grad=True)
c = torch.full((), 0.0, requires_grad=True)
d = torch.full((), 0.3, requires_grad=True)
learning_rate = 5e-6
P3 = LegendrePolynomial3.apply
for t in range(200):
    y_pred = a + b * P3(c + d * x)
    loss = (y_pred - y).pow(2).sum()
    if t % 50 == 49:
        print(t, loss.item(), y_pred.grad_fn.name(), loss.grad_fn.name())
    loss.backward()
    with torch.no_grad():
        for p in (a, b, c, d):
            p -= learning_rate * p.grad
            p.grad = None
print(f"Result: y = {a.item()} + {b.item()} * P3({c.item()} + {d.item()} x)")

p = torch.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for t in range(60):
    loss = loss_fn(model(xx), y)
    if t % 20 == 19:
        print(t, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(model[0].bias.item(), model[0].weight[0].tolist())

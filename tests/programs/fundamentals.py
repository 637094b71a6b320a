"""Fundamentals of autograd: a sine's derivative, the chain of grad_fn, a small training loop, autograd switched on and off."""

import math

import torch

a = torch.linspace(0.0, 2.0 * math.pi, steps=25, requires_grad=True)
b = torch.sin(a)
c = 2 * b
d = c + 1
out = d.sum()
print(b)
print(out)
node = d.grad_fn
while node is not None:
    print(node.name(), [n.name() if n is not None else None for n, _ in node.next_functions])
    node = node.next_functions[0][0] if node.next_functions else None
print(a.grad_fn)
out.backward()
print(a.grad)


class TinyModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = torch.nn.Linear(20, 10)
        self.relu = torch.nn.ReLU()
        self.layer2 = torch.nn.Linear(10, 5)

    def forward(self, x):
        return self.layer2(self.relu(self.layer1(x)))


some_input = torch.randn(4, 20, requires_grad=False)
ideal_output = torch.randn(4, 5, requires_grad=False)
model = TinyModel()
print(model)
print(model.layer2.weight[0][0:3])
print(model.layer2.weight.grad)
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
for _ in range(5):
    loss = (ideal_output - model(some_input)).pow(2).sum()
    loss.backward()
    print(loss.item(), model.layer2.weight.grad[0][0:3])
    optimizer.step()
optimizer.zero_grad(set_to_none=False)
print(model.layer2.weight.grad[0][0:3], model.layer2.weight[0][0:3])

a = torch.ones(2, 3, requires_grad=True)
b1 = 2 * a
a.requires_grad = False
b2 = 2 * a
print(b1, b2)
a.requires_grad = True
with torch.no_grad():
    c2 = a + b1
print(c2)


def add_tensors1(x, y):
    return x + y


@torch.no_grad()
def add_tensors2(x, y):
    return x + y


print(add_tensors1(a, b1), add_tensors2(a, b1))
x = torch.rand(5, requires_grad=True)
y = x.detach()
print(x, y)

x = torch.randn(3, requires_grad=True)
y = x * 2
while y.data.norm() < 1000:
    y = y * 2
v = torch.tensor([0.1, 1.0, 0.0001], dtype=torch.float)
y.backward(v)
print(x.grad)
try:
    y.backward(v)
except RuntimeError as error:
    print(error)


def exp_adder(x, y):
    return 2 * x.exp() + 3 * y


inputs = (torch.rand(1), torch.rand(1))
print(torch.autograd.functional.jacobian(exp_adder, inputs))
inputs = (torch.rand(3), torch.rand(3))
print(torch.autograd.functional.jacobian(exp_adder, inputs))


def do_some_doubling(x):
    y = x * 2
    while y.data.norm() < 1000:
        y = y * 2
    return y


inputs = torch.randn(3)
my_gradients = torch.tensor([0.1, 1.0, 0.0001])
print(torch.autograd.functional.vjp(do_some_doubling, inputs, v=my_gradients))

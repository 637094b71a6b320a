"""Watching the gradients of a deep network with hooks on modules and tensors: vanishing with sigmoid, less so with tanh."""

import torch
from torch import nn


def fc_layer(in_size, out_size, activation):
    return nn.Sequential(nn.Linear(in_size, out_size), activation())


class Net(nn.Module):
    def __init__(self, depth, width, activation):
        super().__init__()
        for i in range(depth):
            self.add_module(f"fc{i}", fc_layer(width, width, activation))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        for name, layer in self.named_children():
            x = layer(x)
        return x


def hook_forward(module_name, grads, hook_backward):
    def hook(module, args, output):
        output.register_hook(hook_backward(module_name, grads))

    return hook


def hook_backward(module_name, grads):
    def hook(grad):
        grads.append((module_name, grad))

    return hook


def get_all_layers(net, hook_forward, hook_backward):
    layers, grads = dict(net.named_children()), []
    for layer_name in layers:
        layers[layer_name].register_forward_hook(hook_forward(layer_name, grads, hook_backward))
    return grads


x, target = torch.randn(8, 5), torch.randint(0, 2, (8,))
for activation in (nn.Sigmoid, nn.Tanh):
    net = Net(5, 5, activation)
    grads = get_all_layers(net, hook_forward, hook_backward)
    handles = [
        m.register_full_backward_hook(lambda m, gi, go: print(type(m).__name__, go[0].norm().item())) for m in [net.head]
    ]
    loss = nn.functional.cross_entropy(net(x), target)
    loss.backward()
    for name, grad in grads:
        print(name, tuple(grad.shape), grad.abs().mean().item())
    for handle in handles:
        handle.remove()


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_full_backward_hook(lambda module, grad_input, grad_output: tuple(g.clamp(-0.1, 0.1) for g in grad_input))

    def forward(self, x):
        return self.linear(x)


x = torch.randn(3, 4, requires_grad=True)
(Clip()(x) ** 2).sum().backward()
print(x.grad)
activations = {}
net.head.register_forward_pre_hook(lambda module, args: activations.update(head=args[0].detach()))
net(torch.randn(2, 5))
print(activations["head"])

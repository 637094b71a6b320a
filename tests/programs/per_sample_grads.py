"""Per-sample gradients: one by one, and by vmap of grad of a functional call; ensembles of models."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, stack_module_state, vmap


class SimpleMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(12, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x):
        x = F.relu(self.fc1(x.flatten(1)))
        return F.log_softmax(self.fc2(x), dim=1)


def loss_fn(predictions, targets):
    return F.nll_loss(predictions, targets)


batch_size = 8
data = torch.randn(batch_size, 1, 3, 4)
targets = torch.randint(4, (batch_size,))
model = SimpleMLP()


def compute_grad(sample, target):
    sample, target = sample.unsqueeze(0), target.unsqueeze(0)
    return torch.autograd.grad(loss_fn(model(sample), target), list(model.parameters()))


def compute_sample_grads(data, targets):
    sample_grads = [compute_grad(data[i], targets[i]) for i in range(batch_size)]
    return [torch.stack(shards) for shards in zip(*sample_grads)]


per_sample_grads = compute_sample_grads(data, targets)
print([tuple(g.shape) for g in per_sample_grads], per_sample_grads[0].norm())

params = {k: v.detach() for k, v in model.named_parameters()}
buffers = {k: v.detach() for k, v in model.named_buffers()}


def compute_loss(params, buffers, sample, target):
    predictions = functional_call(model, (params, buffers), (sample.unsqueeze(0),))
    return loss_fn(predictions, target.unsqueeze(0))


ft_compute_grad = grad(compute_loss)
ft_compute_sample_grad = vmap(ft_compute_grad, in_dims=(None, None, 0, 0))
ft_per_sample_grads = ft_compute_sample_grad(params, buffers, data, targets)
for a, b in zip(per_sample_grads, ft_per_sample_grads.values()):
    assert torch.allclose(a, b, atol=1e-5, rtol=1e-3)
print({k: g.norm().item() for k, g in ft_per_sample_grads.items()})

models = [SimpleMLP() for _ in range(3)]
params, buffers = stack_module_state(models)
base_model = copy.deepcopy(models[0])


def fmodel(params, buffers, x):
    return functional_call(base_model, (params, buffers), (x,))


together = vmap(fmodel, in_dims=(0, 0, None))(params, buffers, data)
alone = torch.stack([m(data) for m in models])
print(torch.allclose(together, alone, atol=1e-5), tuple(together.shape), together.sum())
minibatches = torch.randn(3, batch_size, 1, 3, 4)
print(vmap(fmodel)(params, buffers, minibatches).sum(dim=(1, 2)))

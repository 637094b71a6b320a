"""Hooks for saved tensors: what nodes save, packing and unpacking, moving to disk and back."""

import os
import tempfile
import uuid

import torch
from torch import nn

a = torch.randn(5, requires_grad=True)
b = torch.ones(5, requires_grad=True)
y = a * b
print(y.grad_fn._saved_self.equal(a), y.grad_fn._saved_other.equal(b), y.grad_fn._saved_other is b)
y = torch.exp(a)
print(y.equal(y.grad_fn._saved_result), y is y.grad_fn._saved_result)

packed = []


def pack_hook(x):
    packed.append(tuple(x.shape))
    return x


def unpack_hook(x):
    packed.append("unpacked")
    return x


a = torch.ones(5, requires_grad=True)
b = torch.ones(5, requires_grad=True) * 2
with torch.autograd.graph.saved_tensors_hooks(pack_hook, unpack_hook):
    y = a * b
y.sum().backward()
print(packed, a.grad)

storage = []


def pack_to_index(x):
    storage.append(x)
    return len(storage) - 1


with torch.autograd.graph.saved_tensors_hooks(pack_to_index, lambda i: storage[i]):
    x = torch.randn(5, requires_grad=True)
    y = x.pow(2)
print(len(storage))
y.sum().backward()
print(x.grad)

x = torch.randn(5, requires_grad=True)
with torch.autograd.graph.saved_tensors_hooks(lambda x: x * 4, lambda x: x / 4):
    y = torch.pow(x, 2)
y.sum().backward()
assert x.grad.allclose(2 * x)

with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
    y = x.exp().sin()
    print(torch.autograd.grad(y.sum(), x))

tmp_dir_obj = tempfile.TemporaryDirectory()
tmp_dir = tmp_dir_obj.name


class SelfDeletingTempFile:
    def __init__(self):
        self.name = os.path.join(tmp_dir, str(uuid.uuid4()))

    def __del__(self):
        os.remove(self.name)


SAVE_ON_DISK_THRESHOLD = 1000
import numpy


def pack_hook(x):
    if x.numel() < SAVE_ON_DISK_THRESHOLD:
        return x.detach()
    temp_file = SelfDeletingTempFile()
    with open(temp_file.name, "wb") as f:
        numpy.save(f, x.detach().numpy())
    return temp_file


def unpack_hook(tensor_or_sctf):
    if isinstance(tensor_or_sctf, torch.Tensor):
        return tensor_or_sctf
    with open(tensor_or_sctf.name, "rb") as f:
        return torch.from_numpy(numpy.load(f))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(200, 30)
        self.fc2 = nn.Linear(30, 1)

    def forward(self, x):
        with torch.autograd.graph.saved_tensors_hooks(pack_hook, unpack_hook):
            x = torch.relu(self.fc1(x))
        return self.fc2(x)


net = Model()
x = torch.randn(10, 200)
loss = net(x).sum()
print(len(os.listdir(tmp_dir)) > 0)
loss.backward()
del loss
print(net.fc1.weight.grad.sum(), len(os.listdir(tmp_dir)))
tmp_dir_obj.cleanup()

with torch.autograd.graph.save_on_cpu(pin_memory=False):
    x = torch.randn(5, requires_grad=True)
    prod = (x * x.exp()).sum()
prod.backward()
print(x.grad)

x = torch.randn(5, requires_grad=True)
y = x.pow(2)
print(type(y.grad_fn._raw_saved_self).__name__)
y.grad_fn._raw_saved_self.register_hooks(lambda x: x * 1, lambda x: x * 1)
y.sum().backward()
print(x.grad)
try:
    with torch.autograd.graph.disable_saved_tensors_hooks("This mode does not support saving tensors."):
        with torch.autograd.graph.saved_tensors_hooks(pack_hook, unpack_hook):
            pass
except RuntimeError as error:
    print(error)

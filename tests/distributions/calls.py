"""Calls of one family in either library: its parameters as leaves, values to judge it by, what a method gives."""

from __future__ import annotations

import pytest

import chainrule as cr

torch = pytest.importorskip("torch")

LIBRARIES = {"chainrule": (cr, cr.distributions), "torch": (torch, torch.distributions)}


def leaves(lib, arrays):
    """Return tensors that require gradients, by name; of integers, that do not."""
    return {name: lib.tensor(array, requires_grad=array.dtype.kind == "f") for name, array in arrays.items()}


def both(family, arrays, **options):
    """Return (tensors, distribution) in chainrule and in PyTorch."""
    found = []
    for lib, distributions in LIBRARIES.values():
        tensors = leaves(lib, arrays)
        found.append((tensors, family.make(distributions, tensors, **options)))
    return found


def values_of(family, arrays, shape=(4,)):
    """Return PyTorch's draws, as an array."""
    torch.manual_seed(0)
    return family.make(torch.distributions, leaves(torch, arrays)).sample(shape).detach().numpy()


def gradients(lib, out, inputs):
    """Return the gradients of a weighted sum of results in some tensors, as arrays; zeros where there is none."""
    inputs = [x for x in inputs if x.requires_grad]
    if not out.requires_grad or not inputs:
        return [x.detach().numpy() * 0 for x in inputs]
    weights = lib.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
    found = lib.autograd.grad((out * weights).sum(), inputs, allow_unused=True, retain_graph=True)
    return [x.detach().numpy() * 0 if g is None else g.numpy() for g, x in zip(found, inputs, strict=True)]

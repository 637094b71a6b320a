"""In-place methods of public functions: PyTorch's value, version and gradients, or its refusal."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from tests.each import by_name, of_function
from tests.ops.test_torch import UNDERIVED, Call, array, on_kwargs, on_leaves, translated

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.compare import gap

# PyTorch's write gives these 0 and 1, and keeps the gradient of what was there before.
WRONG_THERE = {"logical_and", "logical_not", "logical_or", "logical_xor"}
CALLS = [
    Call(function, index, sample, "float64")
    for function in FUNCTIONS.values()
    if function.inplace
    for index, sample in enumerate(function.samples())
    if sample.error is None and "f" in (sample.kinds or function.kinds) and sample.args[0].__class__ is tuple
]


def written(make, call, translate):
    """Return what an in-place method leaves in a computed tensor, and the leaves."""
    args, kwargs = call.draw()
    leaves: list = []
    first, *rest = on_leaves(make, args, leaves)
    x = first * 1
    kwargs = {k: translate(v) for k, v in on_kwargs(make, kwargs).items()}
    result = getattr(x, call.function.name + "_")(*[translate(a) for a in rest], **kwargs)
    assert result is x
    return x, leaves


@by_name("call", CALLS, of_function, fast=1)
def test_in_place_method_is_pytorchs(torch, call):
    if not hasattr(torch.Tensor, call.function.name + "_"):
        pytest.skip("PyTorch has no such method")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, their_leaves = written(torch.as_tensor, call, lambda v: translated(torch, v))
    except TypeError as error:
        pytest.skip(f"PyTorch does not take this: {error}")
    except RuntimeError:
        with pytest.raises(RuntimeError):
            written(wrap, call, lambda v: v)
        return
    if expected.shape != their_leaves[0].shape:
        pytest.skip("PyTorch gives the tensor another shape")
    found, leaves = written(wrap, call, lambda v: v)
    assert gap(array(found), array(expected), 1e-7) is None
    assert found._version == expected._version
    if call.function.name in UNDERIVED | WRONG_THERE or not expected.requires_grad:
        return
    g = np.asarray(np.random.default_rng(call.index).normal(size=tuple(expected.shape)))
    try:
        theirs = torch.autograd.grad(expected, their_leaves, torch.as_tensor(g), allow_unused=True)
    except NotImplementedError as error:
        pytest.skip(f"PyTorch has no derivative: {error}")
    constant = [None] * len(leaves)
    ours = cr.autograd.grad(found, leaves, wrap(g), allow_unused=True) if found.requires_grad else constant
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a is None or b is None:
            present = b if a is None else a
            assert present is None or not array(present).any(), f"gradient {i}: {a} against {b}"
        else:
            assert gap(array(a), array(b), 1e-7) is None, f"gradient {i}"

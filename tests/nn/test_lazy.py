"""Lazy modules: what they are before the first input, what they become, and how their states load."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr
from chainrule.nn import parameter

RNG = np.random.default_rng(5)
LAYERS = [
    ("LazyLinear", (2,), {}, (4, 3)), ("LazyLinear", (2,), {"bias": False}, (3,)),
    *[(f"LazyConv{n}d", (4, 2), {"groups": 2}, (2, 6, 5, 4, 3)[: n + 2]) for n in (1, 2, 3)],
    ("LazyConv2d", (4, 2), {"bias": False, "padding": "same", "padding_mode": "reflect"}, (3, 5, 4)),
    *[(f"LazyConvTranspose{n}d", (4, 2), {"groups": 2, "output_padding": 1, "stride": 2}, (2, 6, 5, 4, 3)[: n + 2])
      for n in (1, 2, 3)],
    *[(f"Lazy{kind}Norm{n}d", (), {}, (2, 3, 5, 4, 3)[: n + 2]) for n in (1, 2, 3) for kind in ("Batch", "Instance")],
    ("LazyBatchNorm1d", (), {"affine": False, "momentum": None}, (4, 3)), ("LazyBatchNorm1d", (), {"bias": False}, (4, 3)),
    ("LazyBatchNorm2d", (), {"track_running_stats": False}, (2, 3, 4, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LAYERS)])
def test_lazy_layer_is_pytorch_s(torch, name, args, options, shape):
    x = RNG.normal(size=shape)
    state = {}

    def program(lib):
        layer = getattr(lib.nn, name)(*args, **options).double()
        said = [repr(layer), list(layer.state_dict()), [repr(p) for p in layer.parameters()], layer.has_uninitialized_params()]
        layer(lib.tensor(x))
        if lib is torch:
            state.update({k: v.numpy().copy() for k, v in layer.state_dict().items()})
        layer.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
        y = layer(lib.tensor(x))
        grads = lib.autograd.grad((y**2).sum(), params) if (params := list(layer.parameters())) else []
        return [
            *said,
            type(layer).__name__,
            repr(layer),
            y.detach(),
            grads,
            dict(layer.state_dict()),
            len(layer._forward_pre_hooks),
        ]

    theirs = outcome(torch, program)[0]
    agree(outcome(cr, program)[0], theirs, rtol=1e-10)


def loads(lib):
    lazy, plain = lib.nn.LazyLinear(2), lib.nn.Linear(3, 2)
    found = [str(lib.nn.LazyLinear(2).load_state_dict(lazy.state_dict())), str(lazy.load_state_dict(plain.state_dict()))]
    found += [(lazy.weight - plain.weight).detach(), type(lazy).__name__, lazy.weight.requires_grad]
    return [*found, (lazy(lib.ones(3)) - plain(lib.ones(3))).detach(), type(lazy).__name__, lazy.in_features]


def deep(lib):
    net = lib.nn.Sequential(lib.nn.LazyLinear(2), lib.nn.ReLU())
    twin = copy.deepcopy(net)
    twin(lib.ones(1, 3))
    other = pickle.loads(pickle.dumps(lib.nn.UninitializedParameter(False)))
    return repr(net), repr(twin), repr(other), other.requires_grad


def kinds(lib):
    p = lib.nn.UninitializedParameter(dtype=lib.float64)
    b = lib.nn.UninitializedBuffer()
    found = [isinstance(p, lib.nn.Parameter), isinstance(b, lib.nn.Buffer), p.requires_grad, p.grad, p.is_leaf]
    p.materialize((2,))
    b.materialize((0, 3), dtype=lib.int32)
    m = lib.nn.Module()
    m.a, m.b = lib.nn.UninitializedParameter(), lib.nn.UninitializedBuffer(persistent=False)
    return [*found, type(p).__name__, p.shape, b.shape, [n for n, _ in m.named_parameters()], list(m.state_dict()),
            [n for n, _ in m.named_buffers()]]  # fmt: skip


def own(lib):
    class Scale(lib.nn.modules.lazy.LazyModuleMixin, lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = lib.nn.UninitializedParameter()

        def initialize_parameters(self, x, times=1):
            self.scale.materialize(x.shape)
            lib.nn.init.constant_(self.scale, 3.0 * times)

        def forward(self, x, times=1):
            return x * self.scale

    layer = Scale()
    return layer(lib.ones(2), times=2), layer(lib.ones(2)), layer


PROGRAMS = [loads, deep, kinds, lambda lib: own(lib)[:2]]
ERRORS = {
    "shape": lambda lib: lib.nn.LazyLinear(2).weight.shape,
    "size of memory": lambda lib: lib.nn.LazyLinear(2).weight.numel(),
    "fill": lambda lib: lib.nn.init.ones_(lib.nn.LazyLinear(2).weight),
    "share": lambda lib: lib.nn.LazyLinear(2).share_memory(),
    "load into plain": lambda lib: lib.nn.Linear(3, 2).load_state_dict(lib.nn.LazyLinear(2).state_dict()),
    "other input": lambda lib: misfit(lib),
    "axes": lambda lib: lib.nn.LazyConv2d(2, 1)(lib.ones(3)),
    "groups": lambda lib: lib.nn.LazyConv2d(2, 1, groups=2)(lib.ones(3, 4, 4)),
    "out channels": lambda lib: lib.nn.LazyConv2d(3, 1, groups=2)(lib.ones(2, 4, 4)),
    "nothing done": lambda lib: nothing(lib)(1),
    "not done": lambda lib: nothing(lib, done=lambda self, x: None)(1),
}


def misfit(lib):
    lazy = lib.nn.LazyLinear(2)
    lazy.load_state_dict(lib.nn.Linear(3, 2).state_dict())
    lazy(lib.ones(4))


def nothing(lib, done=None):
    methods = {"initialize_parameters": done} if done else {}
    layer = type("Own", (lib.nn.modules.lazy.LazyModuleMixin, lib.nn.Module), methods)()
    layer.p = lib.nn.UninitializedParameter()
    return layer


@pytest.mark.parametrize("program", [*PROGRAMS, *ERRORS.values()], ids=[*"lskc", *ERRORS])
def test_program_is_pytorch_s(torch, program):
    a, b = outcome(cr, program)[0], outcome(torch, program)[0]
    agree(a, b, rtol=1e-6, full_text="Attempted" not in str(getattr(b, "text", "")))
    if hasattr(b, "text"):
        assert a.text.split()[:5] == b.text.split()[:5]


def test_operations_on_nothing_raise():
    for f in (lambda p: p + 1, lambda p: 1 - p, cr.sin, lambda p: p[0], lambda p: cr.nn.functional.linear(cr.ones(3), p)):
        with pytest.raises((RuntimeError, ValueError), match="uninitialized parameter"):
            f(cr.nn.UninitializedParameter())


def test_no_program_pays_for_lazy_modules():
    """They are known by what they hold, not by overriding: methods of Tensor do not come to ask anybody."""
    from chainrule.core.call.asking import asking

    before = asking.on
    cr.nn.LazyLinear(2)(cr.ones(3))
    assert asking.on is before
    assert parameter.is_lazy(cr.nn.UninitializedBuffer())

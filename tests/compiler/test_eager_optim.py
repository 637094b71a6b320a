"""Steps of optimizers by native code are those on arrays, to the last bit, with whatever options."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import eager
from chainrule.core.op import native
from chainrule.optim import elementwise

pytest.importorskip("llvmlite")

OPTIONS = [
    ("Adam", {}), ("AdamW", {"weight_decay": 0.1}), ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}), ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "weight_decay": 0.1}), ("Adagrad", {}), ("RAdam", {}), ("NAdam", {}),
    ("Adamax", {}), ("Adadelta", {}), ("ASGD", {"weight_decay": 0.1}), ("Rprop", {}),
]  # fmt: skip


def trained(name, options, dtype, size, steps=8):
    rng = np.random.default_rng(0)
    p = cr.from_numpy(rng.standard_normal(size).astype(dtype)).requires_grad_()
    optimizer = getattr(cr.optim, name)([p], **options)
    for _ in range(steps):
        p.grad = cr.from_numpy(rng.standard_normal(size).astype(dtype))
        optimizer.step()
    return p, [v for v in optimizer.state[p].values() if cr.is_tensor(v)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda x: x if isinstance(x, str) else " ".join(x))
def test_steps_are_those_on_arrays(name, options, dtype, monkeypatch):
    served = []

    def asked(*given):
        served.append(eager.native(*given))
        return served[-1]

    monkeypatch.setattr(native, "code", asked)
    monkeypatch.setattr(elementwise, "NATIVE", 1 << 30)
    before = [trained(name, options, dtype, size) for size in (5, 67)]
    assert not served
    monkeypatch.setattr(elementwise, "NATIVE", 1)
    for (p, state), size in zip(before, (5, 67), strict=True):
        made, kept = trained(name, options, dtype, size)
        for found, expected in zip([made, *kept], [p, *state], strict=True):
            assert np.array_equal(found.detach().numpy(), expected.detach().numpy()), size
        assert made._version == p._version
    assert served
    assert all(out is not None for out in served)


def test_one_code_serves_all_steps_and_rates(monkeypatch):
    monkeypatch.setattr(native, "code", eager.native)
    monkeypatch.setattr(elementwise, "NATIVE", 1)
    trained("Adam", {}, np.float32, 10)
    made = len(eager._kernels)
    for lr in (0.1, 0.2):
        trained("Adam", {"lr": lr, "eps": lr, "betas": (lr, lr)}, np.float32, 33)
    assert len(eager._kernels) == made


def test_other_memory_is_left_to_numpy(monkeypatch):
    monkeypatch.setattr(native, "code", eager.native)
    monkeypatch.setattr(elementwise, "NATIVE", 1)
    results = []
    for least in (1, 1 << 30):
        monkeypatch.setattr(elementwise, "NATIVE", least)
        base = cr.ones(8, 6)
        p = base.t()[:, ::2].detach().requires_grad_()
        p.grad = cr.ones(6, 4)
        cr.optim.Adam([p], lr=0.1).step()
        results.append(base)
    assert cr.equal(*results)
    half = cr.ones(8, dtype=cr.float16, requires_grad=True)
    half.grad = cr.ones(8, dtype=cr.float16)
    cr.optim.SGD([half], lr=0.5).step()
    assert half.tolist() == [0.5] * 8

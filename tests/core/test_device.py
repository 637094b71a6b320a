"""There is one device, and it behaves as PyTorch's."""

from __future__ import annotations

import pickle

import pytest

import chainrule as cr


def test_device_reads_as_pytorchs(torch):
    for text in ("cpu", "cpu:0"):
        ours, theirs = cr.device(text), torch.device(text)
        assert (ours.type, ours.index, str(ours), repr(ours)) == (theirs.type, theirs.index, str(theirs), repr(theirs))
    assert cr.ones(2).device == cr.device("cpu")
    assert cr.device("cpu") != cr.device("cpu", 0)
    assert pickle.loads(pickle.dumps(cr.device("cpu"))) == cr.device("cpu")


def test_devices_are_accepted_where_pytorch_takes_them():
    cpu = cr.device("cpu")
    x = cr.zeros(2, device=cpu)
    assert x.to(cpu) is x
    assert x.to("cpu", cr.float64).dtype is cr.float64
    assert cr.nn.Linear(2, 2).to(cpu).weight.device == cpu
    assert cr.Generator(cpu).device == cpu


@pytest.mark.parametrize(
    "use", [lambda: cr.device("cuda"), lambda: cr.zeros(2, device="cuda"), lambda: cr.ones(2).to("cuda:1")]
)
def test_other_devices_raise(use):
    with pytest.raises(RuntimeError, match="chainrule computes on the CPU only; device 'cuda"):
        use()

"""Devices are values as PyTorch's are; tensors live on the CPU alone, and what asks for another raises PyTorch's errors."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
from tests.oracle import Raised, outcome

import chainrule as cr

VALUES = {
    "type": lambda L: L.device("cuda"),
    "number": lambda L: L.device("cuda:1"),
    "index": lambda L: L.device("cuda", 1),
    "keywords": lambda L: L.device(type="mps", index=2),
    "device=": lambda L: L.device(device="xpu"),
    "device": lambda L: L.device(L.device("cuda:1")),
    "meta": lambda L: L.device("meta"),
    "cpu": lambda L: L.device("cpu:0"),
    "second cpu": lambda L: L.device("cpu", 1),
    "str": lambda L: str(L.device("cuda:1")),
    "format": lambda L: f"{L.device('mps')}",
    "type of": lambda L: L.device("cuda:1").type,
    "index of": lambda L: (L.device("cuda:1").index, L.device("cuda").index),
    "equal": lambda L: (
        L.device("cuda:1") == L.device("cuda", 1),
        L.device("cuda") == L.device("cuda:0"),
        L.device("cpu") == "cpu",
    ),
    "hash": lambda L: len({L.device("cuda:1"), L.device("cuda", 1), L.device("cuda")}),
    "set": lambda L: setattr(L.device("cuda"), "index", 1),
    "order": lambda L: L.device("cpu") < L.device("cuda"),
    "call": lambda L: L.device("cpu")(len),
    "pickle": lambda L: pickle.loads(pickle.dumps(L.device("cuda:1"))),
    "copy": lambda L: copy.deepcopy(L.device("cuda:1")),
    **{
        f"{args}": lambda L, args=args: L.device(*args)
        for args in [
            ("cuda:",),
            ("cuda:01",),
            ("cuda:-1",),
            ("cuda:1", 1),
            ("cuda", -1),
            ("cuda", 1.5),
            ("foo",),
            ("",),
            ("CPU",),
            (1,),
            (-1,),
            (None,),
            (True,),
            ("cpu:x",),
            ("cuda:1 ",),
            ((),),
        ]
    },
}


@pytest.mark.parametrize("name", VALUES)
def test_a_device_is_the_value_that_it_is_to_pytorch(torch, name):
    ours, theirs = outcome(cr, VALUES[name])[0], outcome(torch, VALUES[name])[0]
    if isinstance(theirs, Raised):
        assert isinstance(ours, Raised)
        assert ours.kind is theirs.kind
        if theirs.kind is not TypeError and theirs.kind is not AttributeError:
            assert ours.text == theirs.text
    else:
        assert repr(ours) == repr(theirs)


PLACES = ["cuda", "cuda:0", "xpu", "mtia", "hpu", "ipu", 0, "foo"]
USES = {
    "tensor": lambda L, d: L.tensor(2, device=d),
    "zeros_like": lambda L, d: L.zeros_like(L.ones(2), device=d),
    "as_tensor": lambda L, d: L.as_tensor(1, device=d),
    "asarray": lambda L, d: L.asarray([1], device=d),
    "to": lambda L, d: L.ones(2).to(d),
    "to=": lambda L, d: L.ones(2).to(device=d, dtype=L.float64),
    "Module.to": lambda L, d: L.nn.Linear(2, 2).to(d),
    "to_empty": lambda L, d: L.nn.Linear(2, 2).to_empty(device=L.device(d)),
    "without parameters": lambda L, d: repr(L.nn.ReLU().to(d)),
}
FACTORIES = {
    "zeros": lambda L, d: L.zeros(2, device=d),
    "randn": lambda L, d: L.randn(2, device=d),
    "eye": lambda L, d: L.eye(2, device=d),
    "arange": lambda L, d: L.arange(2, device=d),
    "randperm": lambda L, d: L.randperm(2, device=d),
    "new_zeros": lambda L, d: L.ones(1).new_zeros(2, device=d),
    "window": lambda L, d: L.hann_window(3, device=d),
    "Linear": lambda L, d: L.nn.Linear(2, 2, device=d),
    "block": lambda L, d: in_block(L, d),
}


def in_block(L, d):
    with L.device(d):
        return L.zeros(2)


@pytest.mark.parametrize("use", [*USES, *FACTORIES])
def test_using_a_device_that_is_not_there_raises_as_in_pytorch(torch, use):
    for place in PLACES:
        if place == "ipu" and use in (*FACTORIES, "zeros_like", "to_empty"):  # PyTorch names the operator that it lacks there
            continue
        program = (USES | FACTORIES)[use]
        ours, theirs = (outcome(lib, program, place)[0] for lib in (cr, torch))
        if isinstance(theirs, Raised):
            assert isinstance(ours, Raised), place
            assert (ours.kind, ours.text[:24]) == (theirs.kind, theirs.text[:24]), place
        else:
            assert ours == theirs


def test_methods_that_move_raise_as_in_pytorch(torch):
    for move in (
        lambda L: L.ones(1).cuda(),
        lambda L: L.ones(1).cuda(1),
        lambda L: L.ones(1).cuda("cpu"),
        lambda L: L.ones(1).xpu(),
        lambda L: L.nn.Linear(1, 1).cuda(),
        lambda L: L.Generator("cuda"),
        lambda L: L.Generator(device=L.device("cuda")),
    ):
        ours, theirs = (outcome(lib, move)[0] for lib in (cr, torch))
        assert (ours.kind, ours.text[:18]) == (theirs.kind, theirs.text[:18])


def test_what_cannot_hold_a_tensor_says_so():
    for use in (lambda: cr.zeros(2, device="meta"), lambda: cr.ones(2).to("mps"), lambda: cr.set_default_device("meta")):
        with pytest.raises(RuntimeError, match="chainrule computes on the CPU only"):
            use()
    assert cr.get_default_device() == cr.device("cpu")


def test_devices_are_accepted_where_pytorch_takes_them():
    cpu = cr.device("cpu")
    x = cr.zeros(2, device=cpu)
    assert x.to(cpu) is x
    assert x.to("cpu", cr.float64).dtype is cr.float64
    assert cr.zeros(2, device="cpu:1").device == cpu
    assert cr.nn.Linear(2, 2).to(cpu).weight.device == cpu
    assert cr.Generator(cpu).device == cpu
    with cpu:
        assert cr.ones(2).device == cpu


def test_devices_in_files_are_read_as_they_are(torch):
    held = {"device": "cuda:1", "other": "cpu"}
    for writer, reader in ((torch, cr), (cr, torch), (cr, cr)):
        file = io.BytesIO()
        writer.save({k: writer.device(v) for k, v in held.items()}, file)
        file.seek(0)
        assert {k: str(v) for k, v in reader.load(file).items()} == held


@pytest.mark.parametrize("place", ["cuda", "cuda:0"])
def test_memory_is_mapped_to_no_gpu(torch, place):
    for lib in (cr, torch):
        file = io.BytesIO()
        lib.save(lib.ones(2), file)
        for where in (place, lib.device(place)):
            file.seek(0)
            with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
                lib.load(file, map_location=where)
        file.seek(0)
        assert lib.load(file, map_location=lib.device("cpu")).tolist() == [1.0, 1.0]

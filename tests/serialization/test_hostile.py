"""Files that are broken, and files that mean harm: an error, no code run, and no memory near what they claim."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import pytest

import chainrule as cr

ERRORS = (RuntimeError, pickle.UnpicklingError, EOFError)
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def archive(data, storages=None, **options):
    """Return a file of the zip format with a pickle and storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as to:
        to.writestr("archive/data.pkl", data)
        for key, value in (storages or {}).items():
            to.writestr(f"archive/data/{key}", value)
        to.writestr("archive/version", "3\n")
    file.seek(0)
    return file


def storage(numel, kind=b"FloatStorage", key=b"0"):
    """Return the pickle of a reference to a storage."""
    return b"(V" + b"storage\nctorch\n" + kind + b"\nV" + key + b"\nVcpu\nI%d\ntQ" % numel


def tensor(numel=2, offset=0, size=(2,), stride=(1,), kind=b"FloatStorage", key=b"0"):
    """Return the pickle of a tensor."""
    numbers = [b"(" + b"".join(b"I%d\n" % n for n in ns) + b"t" for ns in (size, stride)]
    return REBUILD + b"(" + storage(numel, kind, key) + b"I%d\n" % offset + numbers[0] + numbers[1] + b"\x89}tR"


HARM = {
    "a function": b"cos\nsystem\n(Vtrue\ntR.",
    "a builtin": b"cbuiltins\neval\n(V1\ntR.",
    "a class of the library": b"cchainrule.nn.modules.linear\nLinear\n(I1\nI1\ntR.",
    "an instance": b"(Vtrue\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nVtrue\no.",
    "an extension": b"\x82\x01.",
    "a type called": b"ctorch\nTensor\n(I100000000000\ntR.",
    "a type made": b"ctorch\nTensor\n(t\x81.",
    "attributes of a function": REBUILD + b"}Vx\nI1\nsb.",
    "attributes of a tensor": tensor() + b"}Vgrad\nI1\nsb.",
    "methods of a parameter": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + tensor() + b"\x88}}Vbackward\nI1\nstR.",
    "a rebuild by another function": b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n((ttt}tR.",
    "bytes that claim much": b"\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "text that claims much": b"\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "a memo that claims much": b"I1\nr\xff\xff\xff\x7f0cos\nsystem\n.",
    "a storage that claims much": tensor(1 << 40, size=(1 << 40,)) + b".",
    "a size beyond the storage": tensor(size=(3,)) + b".",
    "a place beyond the storage": tensor(offset=1) + b".",
    "a negative place": tensor(offset=-1) + b".",
    "a negative stride": tensor(stride=(-1,)) + b".",
    "a size that overflows": tensor(size=(1 << 62, 4), stride=(0, 0)) + b".",
    "a stride that overflows": tensor(stride=(1 << 62,)) + b".",
    "sizes without strides": tensor(size=(1, 1)) + b".",
    "a storage of two kinds": b"]" + tensor() + b"a" + tensor(kind=b"IntStorage") + b"a.",
    "a storage that is none": REBUILD + b"(NI0\n(I2\nt(I1\nt\x89}tR.",
    "a reference to no storage": b"(Vmodule\ntQ.",
    "a storage with another name": tensor(key=b"../data.pkl") + b".",
    "integers that require a gradient": tensor(kind=b"IntStorage").replace(b"\x89", b"\x88") + b".",
    "an empty pickle": b"",
    "no end": b"I1\n",
    "a stack that is empty": b"0.",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_refused_and_costs_no_memory(name, monkeypatch):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(command))
    file = archive(HARM[name], {"0": bytes(8)})
    tracemalloc.start()
    try:
        with pytest.raises(ERRORS):
            cr.load(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_the_harmless_pickles_of_these_tests_load():
    assert cr.load(archive(tensor() + b".", {"0": struct.pack("<2f", 1, 2)})).tolist() == [1, 2]


def test_compressed_and_overlapping_entries_are_refused():
    with pytest.raises(RuntimeError, match="compressed"):
        cr.load(archive(tensor(1 << 16, size=(1 << 16,)) + b".", {"0": bytes(1 << 18)}, compression=zipfile.ZIP_DEFLATED))
    data = b"]" + b"".join(tensor(1 << 12, size=(1 << 12,), key=b"%d" % i) + b"a" for i in range(9)) + b"."
    file = archive(data, {str(i): bytes(1 << 14 if i == 0 else 0) for i in range(9)})
    raw = bytearray(file.getvalue())
    with zipfile.ZipFile(file) as whole:
        first = whole.getinfo("archive/data/0")
    position = raw.index(b"PK\1\2")
    while raw[position : position + 4] == b"PK\1\2":  # every entry of the directory is made to be the first storage
        n, m, k = struct.unpack("<3H", raw[position + 28 : position + 34])
        if b"/data/" in raw[position + 46 : position + 46 + n]:
            struct.pack_into("<3I", raw, position + 16, first.CRC, first.file_size, first.file_size)
            struct.pack_into("<I", raw, position + 42, first.header_offset)
        position += 46 + n + m + k
    with pytest.raises(RuntimeError, match="overlap|corrupt"):
        cr.load(io.BytesIO(bytes(raw)))


def test_other_files_are_told_apart():
    for data, error, words in [
        (b"", EOFError, "Ran out of input"),
        (b"PK\3\4 and no more", RuntimeError, "failed finding central directory"),
        (b"hello, world", pickle.UnpicklingError, "none of PyTorch's files"),
        (pickle.dumps({"a": 1}), RuntimeError, "Invalid magic number"),
    ]:
        with pytest.raises(error, match=words):
            cr.load(io.BytesIO(data))
    file = archive(b"")
    with zipfile.ZipFile(file, "a") as to:
        to.writestr("archive/constants.pkl", b"")
    with pytest.raises(RuntimeError, match="TorchScript"):
        cr.load(file if not file.seek(0) else None)


def sample():
    file = io.BytesIO()
    cr.save({"a": cr.arange(5.0), "b": [cr.ones(2, dtype=cr.int64), "text"], "c": cr.nn.Linear(2, 2).state_dict()}, file)
    return file.getvalue()


def test_every_truncation_is_an_error():
    whole = sample()
    for end in [*range(0, 200, 7), *range(200, len(whole), 61)]:
        with pytest.raises(ERRORS):
            cr.load(io.BytesIO(whole[:end]))


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 12))])
def test_changed_bytes_load_or_raise(seed):
    draw, whole = random.Random(seed), sample()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        with suppress(*ERRORS):
            cr.load(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 6))])
def test_changed_bytes_of_the_older_format_load_or_raise(torch, seed):
    file = io.BytesIO()
    torch.save({"a": torch.arange(5.0), "b": [torch.ones(2), "text"]}, file, _use_new_zipfile_serialization=False)
    draw, whole = random.Random(seed), file.getvalue()
    for end in range(0, len(whole), 11):
        with pytest.raises(ERRORS):
            cr.load(io.BytesIO(whole[:end]))
    for _ in range(300):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        with suppress(*ERRORS):
            cr.load(io.BytesIO(bytes(data)))

"""Files of the safetensors format: both ways with PyTorch, natively and under its name, mapped, and refused when broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.serialization import safetensors as files

SafetensorError = pytest.importorskip("safetensors").SafetensorError

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
    "bool", "complex64",
]  # fmt: skip


def content(lib):
    made = {name: lib.tensor([[0, 1, 1]]).to(getattr(lib, name)) for name in DTYPES}
    whole = lib.arange(6.0)
    return made | {
        "empty": lib.zeros(0, 3), "scalar": lib.tensor(3.0) * 2, "first": whole[:3], "last": whole[3:],
        "parameter": lib.nn.Parameter(lib.ones(2)), "ü ": lib.ones(1),
    }  # fmt: skip


def assert_same(ours, theirs):
    assert set(ours) == set(theirs)
    for name, t in theirs.items():
        assert (tuple(ours[name].shape), ours[name].dtype.name) == (tuple(t.shape), str(t.dtype)[6:]), name
        assert ours[name].tolist() == t.tolist(), name


def file_of(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def test_files_are_pytorchs_byte_by_byte_and_read_by_both(torch, tmp_path):
    theirs = pytest.importorskip("safetensors.torch")
    files.save_file(content(cr), tmp_path / "ours", {"epoch": "3"})
    theirs.save_file(content(torch), tmp_path / "theirs", {"epoch": "3"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == theirs.save(content(torch), {"epoch": "3"})
    assert files.save(content(cr), {"epoch": "3"}) == (tmp_path / "ours").read_bytes()
    wanted = theirs.load_file(tmp_path / "ours")
    for mmap in (True, False):
        assert_same(files.load_file(tmp_path / "theirs", mmap=mmap), wanted)
    assert_same(files.load((tmp_path / "theirs").read_bytes()), wanted)


def test_memory_stays_in_the_file_until_it_is_needed(tmp_path):
    path = tmp_path / "x"
    files.save_file({"x": cr.zeros(2**14), "y": cr.ones(2**14)}, path)
    mapped, read = files.load_file(path)["y"], files.load_file(path, mmap=False)["y"]
    with open(path, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(7).tobytes())
    assert (mapped[-1].item(), read[-1].item()) == (7, 1)
    mapped.add_(1)
    assert files.load_file(path)["y"][:2].tolist() == [1, 1]
    assert (mapped.storage_offset(), mapped.untyped_storage().nbytes()) == (0, 2**16)  # the others' memory is not its own
    assert path.stat().st_size < 2**18


PROGRAM = """
    import sys
    import torch
    import torch.nn as nn
    from safetensors import safe_open
    from safetensors.torch import load, load_file, load_model, save, save_file, save_model

    theirs, ours, model = sys.argv[1:]
    for backend in ("mmap", "pread"):
        tensors = load_file(theirs, backend=backend)
        with safe_open(theirs, framework="pt", backend=backend) as file:
            assert file.metadata() == {"epoch": "3"}
            for name, t in tensors.items():
                assert torch.equal(file.get_tensor(name), t) and t.dtype == file.get_tensor(name).dtype
            assert file.get_slice("int64")[:, 1:].tolist() == [[1, 1]]
        assert torch.equal(load(save(tensors))["bfloat16"], tensors["bfloat16"])
    tensors["float32"].mul_(2)
    assert load_file(theirs)["float32"].tolist() == [[0, 1, 1]]
    save_file(tensors, ours, {"epoch": "4"})

    for wrong, error, words in [
        ({"a": torch.ones(2, 3).t()}, ValueError, "non contiguous"),
        ({"a": tensors["float32"], "b": tensors["float32"][:, 1:]}, RuntimeError, "share memory"),
    ]:
        try:
            save_file(wrong, ours + "wrong")
        except error as raised:
            assert words in str(raised)
        else:
            raise AssertionError(words)

    def tied():
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        net[1].weight = net[0].weight
        return net

    net, again = tied(), tied()
    save_model(net, model)
    assert load_model(again, model) == (set(), [])
    assert torch.equal(again[1].weight, net[1].weight) and again[1].weight is again[0].weight
    print("done")
"""


def test_programs_of_pytorch_use_the_package_as_they_are(tmp_path):
    files.save_file(content(cr), tmp_path / "theirs", {"epoch": "3"})
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-W", "error", "-m", "chainrule", "run", str(tmp_path / "program.py")]
    paths = [str(tmp_path / name) for name in ("theirs", "ours", "model")]
    done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
    before, after = files.load_file(tmp_path / "theirs"), files.load_file(tmp_path / "ours")
    before["float32"].mul_(2)
    assert {name: t.tolist() for name, t in before.items()} == {name: t.tolist() for name, t in after.items()}


@pytest.mark.parametrize(
    ("tensors", "error", "words"),
    [
        ([cr.ones(1)], ValueError, r"Expected a dict of \[str, torch.Tensor\] but received <class 'list'>"),
        ({"a": np.ones(1)}, ValueError, "Key `a` is invalid, expected torch.Tensor but received"),
        ({"a": cr.ones(2, 3).T}, ValueError, "non contiguous tensor: `a`"),
        ({"a": cr.ones(2).to(cr.complex128)}, ValueError, "`a` is of dtype chainrule.complex128"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tensors, error, words, tmp_path):
    with pytest.raises(error, match=words):
        files.save_file(tensors, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_shared_memory_is_refused_and_neighbours_are_not(tmp_path):
    x = cr.arange(12.0)
    files.save_file({"a": x[:6], "b": x[6:], "c": x[3:3], "d": cr.ones(1).conj()}, tmp_path / "x")
    for parts in ({"a": x, "b": x}, {"a": x, "b": x[2:3], "c": x[4:5]}, {"a": x[:6], "b": x.view(3, 4)[1:2]}):
        with pytest.raises(RuntimeError, match="Some tensors share memory"):
            files.save_file(parts, tmp_path / "y")
    conj = cr.tensor([1 + 2j]).conj()
    assert files.load(files.save({"a": conj}))["a"].tolist() == [1 - 2j]


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BROKEN = {
    "empty": b"", "short": b"\1\0\0", "length beyond the end": file_of({}, size=2**40),
    "length of all bits": file_of({}, size=2**64 - 1), "no json": file_of(b"{x"), "a list": file_of([]),
    "data missing": file_of({"a": ONE}, bytes(7)), "data left over": file_of({"a": ONE}, bytes(9)),
    "shape too large": file_of({"a": ONE | {"shape": [2**40]}}, bytes(8)),
    "shape overflows": file_of({"a": ONE | {"shape": [2**40, 2**40]}}, bytes(8)),
    "shape negative": file_of({"a": ONE | {"shape": [-2]}}, bytes(8)),
    "offsets far": file_of({"a": ONE | {"data_offsets": [2**60, 2**60 + 8]}}, bytes(8)),
    "offsets turned": file_of({"a": ONE | {"data_offsets": [8, 0]}}, bytes(8)),
    "overlap": file_of({"a": ONE, "b": ONE}, bytes(8)), "hole": file_of({"a": ONE | {"data_offsets": [8, 16]}}, bytes(16)),
    "unknown dtype": file_of({"a": ONE | {"dtype": "F99"}}, bytes(8)), "metadata no text": file_of({"__metadata__": {"a": 1}}),
}  # fmt: skip


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_files_raise_and_allocate_nothing(data, tmp_path):
    (tmp_path / "x").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(SafetensorError):
        files.load_file(tmp_path / "x")
    with pytest.raises(SafetensorError):
        files.load(data)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_every_truncation_raises(tmp_path):
    data = files.save({"a": cr.arange(3.0), "b": cr.ones(2, dtype=cr.int8)})
    for length in range(len(data)):
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(SafetensorError):
            files.load_file(tmp_path / "x")


@pytest.mark.slow
def test_changed_bytes_of_a_header_raise_or_say_other_names_and_kinds(tmp_path):
    data, rng = files.save({"a": cr.arange(3.0), "b": cr.ones(2, dtype=cr.int8)}, {"k": "v"}), np.random.default_rng(0)
    raised = 0
    for _ in range(3000):
        changed = bytearray(data)
        for place in rng.integers(0, len(data) - 14, rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        (tmp_path / "x").write_bytes(changed)
        try:
            loaded = files.load_file(tmp_path / "x")
        except (SafetensorError, TypeError):
            raised += 1
        else:
            assert sum(t.nbytes for t in loaded.values()) == 14
    assert raised > 1000


def test_dtypes_that_numpy_has_not_are_named(tmp_path):
    (tmp_path / "x").write_bytes(file_of({"a": {"dtype": "F8_E5M2", "shape": [2], "data_offsets": [0, 2]}}, bytes(2)))
    with pytest.raises(TypeError, match="dtype F8_E5M2; chainrule has F64"):
        files.load_file(tmp_path / "x")


def test_load_of_pytorchs_files_says_what_reads_these(tmp_path):
    files.save_file({"a": cr.ones(2)}, tmp_path / "x")
    with pytest.raises(Exception, match=r"safetensors\.load_file reads it"):
        cr.load(tmp_path / "x")


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        files.save({})

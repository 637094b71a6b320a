"""Files of tensors: written and read here, by PyTorch, and both ways between the two."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from decimal import Decimal

import numpy as np
import pytest

import chainrule as cr
from chainrule.serialization.reading import PyTorchFileReader

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128",
    "uint16", "uint32", "uint64",
]  # fmt: skip


def written(lib, obj, **options):
    file = io.BytesIO()
    lib.save(obj, file, **options)
    file.seek(0)
    return file


def content(lib):
    """Return an object of all that a file of data holds."""
    lib.manual_seed(0)
    x = lib.arange(6.0).reshape(2, 3)
    state = OrderedDict(a=x, b=x.t(), c=x[1:, ::2])
    return {
        "shared": state,
        "dtypes": {name: lib.tensor([0, 1, 1]).to(getattr(lib, name)) for name in DTYPES},
        "names": [getattr(lib, name) for name in DTYPES],
        "parameter": lib.nn.Parameter(lib.ones(2)),
        "frozen": lib.nn.Parameter(lib.ones(2), requires_grad=False),
        "buffer": lib.nn.Buffer(lib.ones(2), persistent=False),
        "leaf": lib.ones(2, requires_grad=True),
        "computed": lib.ones(2, requires_grad=True) * 2,
        "empty": lib.zeros(0, 3),
        "scalar": lib.tensor(3.0) * 2,
        "expanded": lib.ones(1).expand(4),
        "strided": lib.arange(12).reshape(3, 4).permute(1, 0)[::2],
        "conjugated": lib.tensor([1 + 2j]).conj(),
        "negated": lib.tensor([1 + 2j]).conj().imag,
        "size": lib.Size([2, 3]),
        "device": lib.device("cpu"),
        "plain": (1, 2**70, -5, 2.5, 1j.real, "text ü", b"bytes", None, True, [1], {2}, Counter("aab")),
        "model": lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.BatchNorm1d(3)).state_dict(),
    }


def equal(a, b):
    """Assert that two objects hold the same, whichever library their tensors are of."""
    if hasattr(a, "detach"):
        assert tuple(a.shape) == tuple(b.shape)
        assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
        assert a.requires_grad == b.requires_grad
        assert (type(a).__name__ == "Parameter") == (type(b).__name__ == "Parameter")
        x, y = (t.detach().resolve_conj().resolve_neg() for t in (a, b))
        if "bfloat16" in str(a.dtype):
            x, y = x.float(), y.float()
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert type(a).__name__ == type(b).__name__ or "StateDict" in type(a).__name__ + type(b).__name__
        assert getattr(a, "_metadata", None) == getattr(b, "_metadata", None)
        for key in a:
            equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            equal(x, y)
    else:
        assert str(a).split(".")[-1] == str(b).split(".")[-1]


def test_what_is_written_is_read():
    made = content(cr)
    made["more"] = [frozenset([3]), 1 + 2j]
    torn = cr.load(written(cr, made))
    equal(made, torn)
    torn["shared"]["a"][1, 0] = 9
    assert torn["shared"]["b"][0, 1] == torn["shared"]["c"][0, 0] == 9


def test_pytorch_reads_what_is_written_here(torch):
    made = torch.load(written(cr, content(cr)))
    equal(content(torch) | {"model": made["model"]}, made)
    made["shared"]["a"][1, 0] = 9
    assert made["shared"]["b"][0, 1] == 9
    assert made["model"]._metadata == content(torch)["model"]._metadata


@pytest.mark.parametrize("new", [True, False])
def test_what_pytorch_writes_is_read_here(torch, new):
    theirs = content(torch)
    made = cr.load(written(torch, theirs, _use_new_zipfile_serialization=new))
    equal(theirs, made)
    made["shared"]["a"][1, 0] = 9
    assert made["shared"]["b"][0, 1] == 9


def test_optimizers_go_on_in_the_other_library(torch):
    def trained(lib, start, state, steps):
        x = lib.tensor(start, requires_grad=True)
        optimizer = lib.optim.Adam([x], lr=0.1, amsgrad=True)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.zero_grad()
            (x**4).sum().backward()
            optimizer.step()
        return x.detach().tolist(), optimizer.state_dict()

    whole, _ = trained(torch, [1.0, 2.0], None, 6)
    for first, second in ((cr, torch), (torch, cr)):
        x, state = trained(first, [1.0, 2.0], None, 3)
        x, _ = trained(second, x, second.load(written(first, state)), 3)
        np.testing.assert_allclose(x, whole, rtol=1e-6)


def test_models_pickled_whole_are_read_with_trust(torch):
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5)).eval()
    file = written(torch, theirs)
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL torch.nn.modules.container.Sequential"):
        cr.load(file)
    file.seek(0)
    with pytest.warns(UserWarning, match="runs whatever code"):
        ours = cr.load(file, weights_only=False)
    equal(theirs.state_dict(), ours.state_dict())
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(ours(cr.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["model.pt", "no_ending", ".hidden"])
def test_paths_and_memory_maps(tmp_path, name):
    path = tmp_path / name
    made = content(cr)
    cr.save(made, path)
    cr.save(made, str(path))
    mapped = cr.load(str(path), mmap=True)
    equal(made, mapped)
    mapped["shared"]["a"][0, 0] = 7
    assert cr.load(path)["shared"]["a"][0, 0] == 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            header = archive.fp.seek(info.header_offset + 26) and archive.fp.read(4)
            assert (info.header_offset + 30 + sum(np.frombuffer(header, "<u2").tolist())) % 64 == 0


def test_pytorch_maps_files_written_here(torch, tmp_path):
    cr.save(content(cr), tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", mmap=True)["strided"].tolist() == content(cr)["strided"].tolist()


def test_files_of_the_same_content_are_the_same():
    assert written(cr, content(cr)).getvalue() == written(cr, content(cr)).getvalue()


def test_views_of_one_memory_as_several_dtypes_are_not_saved():
    z = cr.ones(2, dtype=cr.complex64)
    with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data"):
        cr.save([z, cr.view_as_real(z)], io.BytesIO())
    equal(cr.load(written(cr, cr.view_as_real(z))), cr.view_as_real(z))


def test_subclasses_and_attributes_need_trust():
    made = cr.nn.Parameter(cr.ones(2))
    made.tag = "x"
    assert cr.load(written(cr, made)).tag == "x"
    file = written(cr, Named(cr.ones(2)))
    with pytest.raises(pickle.UnpicklingError, match="test_files.Named"):
        cr.load(file)
    file.seek(0)
    with cr.serialization.safe_globals([Named]):
        assert type(cr.load(file)) is Named
    assert not cr.serialization.get_safe_globals()


class Named(cr.Tensor):
    """A subclass."""


def test_safe_globals_may_be_named_otherwise():
    file = written(cr, Decimal("1.5"))
    with cr.serialization.safe_globals([(Decimal, "decimal.Decimal")]):
        assert cr.load(file) == Decimal("1.5")


@pytest.mark.parametrize(
    ("where", "works"),
    [
        (None, False),
        ("cpu", True),
        (cr.device("cpu"), True),
        ({"cuda:0": "cpu"}, True),
        ({"cuda:1": "cpu"}, False),
        (lambda storage, location: storage, True),
        (lambda storage, location: storage.cpu(), True),
        (lambda storage, location: None, False),
    ],
)
def test_memory_of_other_devices_needs_a_place(where, works):
    file = written(cr, cr.ones(2))
    data = file.getvalue()
    with zipfile.ZipFile(file) as archive:
        names = {info.filename: archive.read(info) for info in archive.infolist()}
    names["archive/data.pkl"] = names["archive/data.pkl"].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    moved = io.BytesIO()
    with zipfile.ZipFile(moved, "w") as archive:
        for name, value in names.items():
            archive.writestr(name, value)
    assert data
    moved.seek(0)
    if works:
        assert cr.load(moved, map_location=where).tolist() == [1, 1]
    else:
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
            cr.load(moved, map_location=where)


@pytest.mark.parametrize("place", [str, lambda path: io.BytesIO(path.read_bytes())])
def test_the_parts_of_a_file_are_read_as_pytorch_reads_them(torch, tmp_path, place):
    for lib in (torch, cr):
        file = tmp_path / f"{lib.__name__}.pt"
        lib.save({"a": lib.arange(3)}, file)
        theirs, ours = torch.PyTorchFileReader(place(file)), PyTorchFileReader(place(file))
        names = ours.get_all_records()
        assert sorted(names) == sorted(theirs.get_all_records())
        assert all(ours.get_record(name) == theirs.get_record(name) for name in names)
        assert [reader.has_record(f"data/{key}") for reader in (theirs, ours) for key in (0, 1)] == [True, False] * 2
        for reader in (theirs, ours):
            with pytest.raises(RuntimeError, match=r"^PytorchStreamReader failed .*file not found"):
                reader.get_record("data/1")
    for kind in (torch.PyTorchFileReader, PyTorchFileReader):
        with pytest.raises(RuntimeError, match="^open file failed because of errno 2 on fopen: No such file or directory"):
            kind(str(tmp_path / "missing.pt"))


def test_bad_calls_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory .*missing does not exist"):
        cr.save(1, tmp_path / "missing" / "a.pt")
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write' attribute"):
        cr.save(1, 3)
    with pytest.raises(AttributeError, match="has no attribute 'seek'"):
        cr.load(3)
    with pytest.raises(ValueError, match="f must be a file path"):
        cr.load(io.BytesIO(b"x"), mmap=True)
    with pytest.raises(FileNotFoundError):
        cr.load(tmp_path / "missing.pt")
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        cr.load(written(cr, 1), map_location="cuda")
    with pytest.raises(TypeError, match="map_location must be"):
        cr.load(written(cr, 1), map_location=3)
    with pytest.raises(NotImplementedError, match="the zip format"):
        cr.save(1, os.devnull, _use_new_zipfile_serialization=False)
    with pytest.raises(NotImplementedError, match="pickle_module"):
        cr.save(1, io.BytesIO(), io)

"""`UntypedStorage`: the memory below tensors, as PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr


def below(lib):
    x = lib.arange(12.0).reshape(3, 4)
    views = [x, x[1], x.t(), x[:, ::2], x[1:, 1:], x.view(2, 6), x.detach(), lib.nn.Parameter(x), x.flip(0)]
    mine = x.untyped_storage()
    return [(v.untyped_storage().nbytes(), v.untyped_storage().data_ptr() == mine.data_ptr()) for v in views]


def parts(lib):
    x = lib.arange(6, dtype=lib.int16)
    s = x.untyped_storage()
    cut = s[2:6]
    shown = lib.asarray(cut, dtype=lib.uint8).view(lib.int16)
    s[2] = 9
    cut[2] = 8
    shown[0] += 1
    other = s.clone()
    other.fill_(1)
    return (
        x,
        shown,
        s.tolist(),
        cut.tolist(),
        cut.data_ptr() - s.data_ptr(),
        len(cut),
        list(other),
        s.size(),
        s.element_size(),
        s[3],
    )


def wrongs(lib, what):
    s = lib.zeros(4, dtype=lib.uint8).untyped_storage()
    return {"step": lambda: s[::2], "size": lambda: s.copy_(lib.UntypedStorage(3)), "place": lambda: s[4]}[what]()


@pytest.mark.parametrize("program", [below, parts])
def test_views_share_it_and_slices_are_parts_of_it(torch, program):
    (ours, _), (theirs, _) = outcome(cr, program), outcome(torch, program)
    agree(ours, theirs)


@pytest.mark.parametrize("what", ["step", "size", "place"])
def test_wrong_use_raises_pytorchs_errors(torch, what):
    (ours, _), (theirs, _) = outcome(cr, wrongs, what), outcome(torch, wrongs, what)
    agree(ours, theirs, full_text=False)


def test_it_holds_what_a_tensor_shows_of_other_memory():
    a = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4, order="F")
    for view in (a, a[:, ::2], np.from_dlpack(a[1:, ::2])):
        t, first = cr.from_numpy(view), view[0, 0, 0]
        s = t.untyped_storage()
        at = t.data_ptr() - s.data_ptr()
        end = at + 4 * (1 + sum((n - 1) * step for n, step in zip(t.shape, t.stride(), strict=True)))
        assert 0 <= at < end <= s.nbytes()
        s[at + 3] ^= 128  # the sign
        assert t[0, 0, 0].item() == view[0, 0, 0] == -first
    assert cr.zeros(0).untyped_storage().data_ptr() == 0
    assert cr.is_storage(s)
    assert s.device == cr.device("cpu")


def test_a_file_is_its_memory(torch, tmp_path):
    path = str(tmp_path / "x")
    (tmp_path / "x").write_bytes(bytes(range(8)))
    for lib in (cr, torch):
        private = lib.UntypedStorage.from_file(path, shared=False, nbytes=6)
        private[0] = 100
        shared = lib.UntypedStorage.from_file(path, shared=True, nbytes=8)
        shared[7] += 1
        assert (private.tolist()[:2], shared.tolist()[:2], shared.untyped().nbytes()) == ([100, 1], [0, 1], 8)
    assert (tmp_path / "x").read_bytes()[-1] == 9
    with pytest.raises(RuntimeError, match="unable to open file"):
        cr.UntypedStorage.from_file(path, False, 9)

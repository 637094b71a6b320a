"""What tensors say of layouts, devices and memory that they do not have; tensors on buffers and files."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


def memory():
    return bytearray(b"abcdefgh")


CALLS = [
    lambda t: t.frombuffer(memory(), dtype=t.int32),
    lambda t: t.frombuffer(memory(), dtype=t.int32, count=1, offset=4),
    lambda t: t.frombuffer(memory(), dtype=t.int32, count=3),
    lambda t: t.frombuffer(bytearray(), dtype=t.int32),
    lambda t: t.frombuffer(bytearray(b"abc"), dtype=t.int32),
    lambda t: t.frombuffer(memory(), dtype=t.int32, offset=8),
    lambda t: t.frombuffer(memory(), dtype=t.int32, offset=-1),
    lambda t: t.frombuffer(memory(), dtype=t.int32, count=0),
    lambda t: t.frombuffer(3, dtype=t.int32),
    lambda t: t.frombuffer(memory(), dtype=t.uint8, requires_grad=True),
    lambda t: t.from_file("no/such/file", size=4),
    lambda t: t.ones(2, 3).t().dim_order(),
    lambda t: (t.ones(2).is_pinned(), t.ones(2).is_shared(), t.ones(2).is_set_to(t.ones(2))),
    lambda t: t.ones(2).pin_memory(),
    lambda t: t.ones(4).resize(2, 2),
    lambda t: t.ones(4).resize_as(t.ones(2, 2)),
    lambda t: t.ones(4, requires_grad=True).resize(2, 2),
    lambda t: t.ones(4).resize(2, 3),
    lambda t: t.ones(2).coalesce(),
    lambda t: t.ones(2).is_coalesced(),
    lambda t: t.ones(2).indices(),
    lambda t: t.ones(2).values(),
    lambda t: t.ones(2).crow_indices(),
    lambda t: t.ones(2).row_indices(),
    lambda t: t.ones(2).to_dense(),
    lambda t: t.ones(2).dequantize(),
    lambda t: (t.ones(2).sparse_dim(), t.ones(2).dense_dim()),
    lambda t: t.ones(2).int_repr(),
    lambda t: t.ones(2).qscheme(),
    lambda t: t.ones(2).symeig(),
    lambda t: t.ones(2).cuda(),
    lambda t: t.ones(2).ipu(),
    lambda t: t.split_copy(t.arange(4), 2),
    lambda t: t.slice_copy(t.arange(4), 0, 1, 3),
    lambda t: t.slice_copy(t.arange(6).reshape(2, 3), 1, step=2),
    lambda t: t.ones(2).narrow_copy(0, 0, 1),
    lambda t: t.view_as_real_copy(t.tensor([1j])),
    lambda t: t.view_as_complex_copy(t.ones(2)),
]


def outcome(f, t):
    try:
        found = f(t)
    except (RuntimeError, NotImplementedError, AssertionError, ValueError, TypeError) as error:
        return type(error).__name__, str(error)[:20]
    parts = found if isinstance(found, tuple) else (found,)
    return [(str(p.dtype).rpartition(".")[2], p.tolist()) if isinstance(p, t.Tensor) else p for p in parts]


NOT_THE_WORDS = ("Could not run", "This function was", "unable to open")  # whose rest is PyTorch's own


@pytest.mark.filterwarnings("ignore:non-inplace resize:UserWarning")
@pytest.mark.parametrize("n", range(len(CALLS)))
def test_answers_are_pytorchs(n, torch):
    mine, theirs = outcome(CALLS[n], cr), outcome(CALLS[n], torch)
    if isinstance(theirs, tuple) and theirs[1].startswith(NOT_THE_WORDS):
        mine, theirs = mine[0], theirs[0]
    assert mine == theirs


def test_a_buffer_and_its_tensor_are_one_memory():
    held = memory()
    t = cr.frombuffer(held, dtype=cr.uint8)
    t[0] = 0
    held[1] = 1
    assert t[:2].tolist() == [0, 1]
    assert held[0] == 0
    with pytest.raises((RuntimeError, ValueError), match="read-only"):
        cr.frombuffer(b"abc", dtype=cr.uint8)[0] = 1


@pytest.mark.parametrize("shared", [True, False])
def test_a_file_is_written_if_it_is_shared(shared, tmp_path):
    path = tmp_path / "values"
    np.arange(4, dtype=np.float32).tofile(path)
    t = cr.from_file(str(path), shared=shared, size=3, requires_grad=False)
    t.mul_(2)
    assert t.tolist() == [0, 2, 4]
    del t
    assert np.fromfile(path, np.float32).tolist() == ([0, 2, 4, 3] if shared else [0, 1, 2, 3])


@pytest.mark.parametrize("name", ["storage", "to_sparse", "q_scale", "chalf", "share_memory_"])
def test_what_there_is_not_says_what_there_is(name):
    with pytest.raises((NotImplementedError, TypeError), match=r"use |converts|outside"):
        getattr(cr.ones(2), name)()


def test_binomial_draws_have_the_mean_and_variance():
    cr.manual_seed(0)
    n, p = cr.full((20000,), 30.0), cr.tensor(0.3)
    drawn = cr.binomial(n, p)
    assert abs(drawn.mean().item() - 9) < 0.1
    assert abs(drawn.var().item() - 6.3) < 0.3
    assert cr.binomial(cr.tensor([10.0, -2.0]), cr.tensor([float("nan"), 0.5])).isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match="binomial only supports floating-point dtypes for count"):
        cr.binomial(cr.tensor([1]), p)


def test_a_histogram_is_linear_in_its_weights():
    x, w = cr.tensor([0.1, 0.6, 0.7]), cr.tensor([1.0, 2.0, 4.0], requires_grad=True)
    (cr.histogram(x, 2, range=(0.0, 1.0), weight=w).hist * cr.tensor([3.0, 5.0])).sum().backward()
    assert w.grad.tolist() == [3, 5, 5]
    both = cr.vmap(lambda x: cr.histogram(x, 3).hist)(cr.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 7.0]]))
    assert both.tolist() == [[1, 1, 1], [2, 0, 1]]


def test_a_tensor_is_told_from_another_as_packages_do(torch):
    for lib in (torch, cr):
        x = lib.ones(2)
        y = [x]
        assert y[0]._cdata == x._cdata != lib.ones(2)._cdata
        assert x._cdata != x.view(2)._cdata

"""Shape arithmetic equals NumPy's and raises PyTorch's errors."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.core.types import shape as shapes

PAIRS = [((), ()), ((3,), ()), ((3, 1), (4,)), ((0,), (1,)), ((2, 1, 3), (4, 1)), ((1,), (5, 0))]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_broadcast_is_numpys(a, b):
    assert shapes.broadcast(a, b) == np.broadcast_shapes(a, b)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_broadcast_axes_are_those_that_repeat(a, b):
    big = shapes.broadcast(a, b)
    axes = shapes.broadcast_axes(a, big)
    summed = np.add.reduce(np.ones(big), axis=axes, keepdims=True).shape[len(big) - len(a) :]
    assert summed == a


def test_broadcast_names_the_sizes_and_the_axis():
    words = r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 1"
    with pytest.raises(RuntimeError, match=words):
        shapes.broadcast((2, 3), (2, 4))


@pytest.mark.parametrize(
    ("dim", "ndim", "expected"), [(None, 2, (0, 1)), (-1, 3, (2,)), ((0, -1), 3, (0, 2)), ((), 2, (0, 1)), (0, 0, ())]
)
def test_axes_are_sorted_and_counted_from_the_front(dim, ndim, expected):
    assert shapes.axes_tuple(dim, ndim) == expected


def test_axes_out_of_range_or_repeated_raise():
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        shapes.axes_tuple(2, 2)
    with pytest.raises(RuntimeError, match="dim 1 appears multiple times in the list of dims"):
        shapes.axes_tuple((1, -1), 2)


@pytest.mark.parametrize(
    ("shape", "numel", "expected"), [((-1,), 6, (6,)), ((2, -1), 6, (2, 3)), ((0, 3), 0, (0, 3)), ((), 1, ())]
)
def test_infer_fills_in_the_missing_size(shape, numel, expected):
    assert shapes.infer(shape, numel) == expected


@pytest.mark.parametrize(
    ("shape", "numel", "words"),
    [((4,), 6, r"shape '\[4\]' is invalid for input of size 6"), ((-1, -1), 6, "only one dimension can be inferred"),
     ((-1, 4), 6, r"shape '\[-1, 4\]' is invalid"),
     ((-2, 3), 6, "invalid shape dimension -2"), ((-1, 0), 0, "cannot reshape tensor of 0")],
)  # fmt: skip
def test_infer_raises_pytorchs_errors(shape, numel, words):
    with pytest.raises(RuntimeError, match=words):
        shapes.infer(shape, numel)


def test_size_is_a_tuple_that_prints_as_a_size():
    size = shapes.Size((2, 3))
    assert size == (2, 3)
    assert size.numel() == 6
    assert repr(size) == "chainrule.Size([2, 3])"
    assert isinstance(size[:1], shapes.Size)
    assert isinstance(size + (4,), shapes.Size)  # noqa: RUF005 - the operator is what is tested

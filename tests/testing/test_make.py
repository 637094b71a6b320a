"""`make_tensor`: what it draws is in the range, of the layout, and refused as PyTorch's; the numbers are our own."""

from __future__ import annotations

import numpy as np
import pytest
from tests.oracle import Raised, outcome, words

import chainrule as cr

DTYPES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128",
]  # fmt: skip
OPTIONS = [
    {}, {"low": 1, "high": 3}, {"low": -1e6, "high": 1e6}, {"low": 0.2, "high": 1.7}, {"low": 3, "high": 1}, {"low": 5},
    {"low": 2, "high": 2}, {"low": float("nan")}, {"low": 1e300}, {"high": -1e300},
    {"low": -float("inf"), "high": float("inf")}, {"requires_grad": True}, {"noncontiguous": True},
    {"exclude_zero": True, "low": 0, "high": 1}, {"memory_format": "channels_last"},
    {"memory_format": "channels_last", "noncontiguous": True},
]  # fmt: skip


def made(lib, dtype, options, shape=(2, 3, 4, 4)):
    options = {key: getattr(lib, value) if isinstance(value, str) else value for key, value in options.items()}
    return lib.testing.make_tensor(shape, dtype=getattr(lib, dtype), device="cpu", **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [pytest.param(d, marks=[] if d in DTYPES[::3] else pytest.mark.slow) for d in DTYPES])
def test_layouts_and_errors_are_pytorchs(torch, dtype, options):
    (ours, said), (theirs, theirs_said) = outcome(cr, made, dtype, options), outcome(torch, made, dtype, options)
    if isinstance(theirs, Raised) and ("not implemented for 'UInt" in theirs.text or "Overflow" in theirs.text):
        pytest.skip("PyTorch cannot make it")
    assert [kind for kind, _ in said] == [kind for kind, _ in theirs_said]
    if isinstance(theirs, Raised):
        assert (ours.kind, words(ours.text)) == (theirs.kind, words(theirs.text))
        return
    assert not isinstance(ours, Raised), ours
    for ask in ("shape", "requires_grad"):
        assert getattr(ours, ask) == getattr(theirs, ask)
    assert (ours.stride(), ours.storage_offset()) == (theirs.stride(), theirs.storage_offset())
    assert ours.dtype.name == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_of_the_range_is_drawn_and_nothing_else(dtype):
    kind = getattr(cr, dtype)
    parts = cr.view_as_real if kind.is_complex else lambda x: x
    x = parts(made(cr, dtype, {}, (4000,))).to(cr.float64).numpy()
    is_whole = not (kind.is_floating_point or kind.is_complex)
    low, high = (0, 2) if dtype == "bool" else (0 if dtype[0] == "u" else -9, 9 + is_whole)
    assert low <= x.min() < low + 0.1
    assert high - 1.1 <= x.max() <= high
    if is_whole:
        assert {*x.tolist()} == {*range(low, high)}
    x = made(cr, dtype, {"exclude_zero": True, "low": 0, "high": 1}, (500,))
    assert bool((x != 0).all())
    x = made(cr, dtype, {"low": -float("inf"), "high": float("inf")}, (500,))
    assert np.isfinite(parts(x).to(cr.float64).numpy()).all()


def test_shapes_are_given_as_pytorchs():
    shapes = [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), (((2, 3),), (2, 3)), (([4],), (4,)), (((),), ()), ((0, 2), (0, 2))]
    for shape, want in shapes:
        assert cr.testing.make_tensor(*shape, dtype=cr.float32, device="cpu", noncontiguous=True).shape == want
    assert cr.testing.make_tensor(1, dtype=cr.float32, device="cpu", noncontiguous=True).is_contiguous()
    with pytest.raises(TypeError, match="requested dtype 'float' is not supported"):
        cr.testing.make_tensor(1, dtype="float", device="cpu")


def test_the_seed_repeats():
    cr.manual_seed(3)
    a = cr.testing.make_tensor(5, dtype=cr.float64, device="cpu")
    cr.manual_seed(3)
    assert a.tolist() == cr.testing.make_tensor(5, dtype=cr.float64, device="cpu").tolist()

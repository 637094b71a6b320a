"""`assert_close`: every verdict and every text is PyTorch's."""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr

nan, inf = float("nan"), float("inf")
NUMBERS = [0, 1, 2.0, 1 + 1e-8, 1 + 1e-6, nan, inf, -inf, 1j, 1 + 1j, complex(nan, 1)]
DTYPES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "float16", "bfloat16", "float32", "float64", "complex64",
    "complex128",
]  # fmt: skip
OPTIONS = [
    {}, {"rtol": 0, "atol": 0}, {"rtol": 0.3, "atol": 1.0}, {"rtol": 0.1}, {"atol": 0.1}, {"equal_nan": True},
    {"check_dtype": False}, {"msg": "mine"}, {"msg": lambda text: f"<{text}>"}, {"check_dtype": False, "equal_nan": True},
]  # fmt: skip


class Colour(IntEnum):
    RED = 1


def pairs(t):
    """Return pairs of all kinds, of a library's own tensors."""
    a, b = t.arange(6.0).reshape(2, 3), t.arange(6.0).reshape(2, 3) + 1
    more = OrderedDict(x=a, y=2.0, z=np.array(3.0))
    u8, u32, u64 = t.uint8, t.uint32, t.uint64
    single = [
        (a, a), (a, b), (a, a.t()), (a, a.double()), (a, a.t().contiguous().t()), (a, 1.0), (a, a.numpy()), (a, None),
        (None, None), (None, 0), (True, True), (True, False), (np.bool_(True), False), (np.float32(1), 1.0), (np.float64(1), 2),
        (np.arange(3.0), np.arange(3.0)), (np.arange(3.0), np.arange(3.0) + 1e-3), (np.array(["a"]), np.array(["a"])),
        ("a", "a"), ({1}, {1}), (object(), object()), (t.nn.Parameter(a), a), (a.clone().requires_grad_(), b),
    ]  # fmt: skip
    containers = [
        ([], ()), ([a], [a, a]), ([a, 1], (a, 1)), ([1, [2, {"k": 3}]], [1, [2, {"k": 4}]]), ((a, b), (a, a)),
        (range(2), [0, 2]), (more, dict(reversed(more.items()))), (more, {"x": a}), ({"x": a}, more),
        ({1: 1, "a": 2}, {1: 1, "a": 3}), ({"x": [a, None]}, {"x": [a, 0]}), ([a, a.long()], [b, a]),
    ]  # fmt: skip
    values = [
        (t.zeros(0), t.zeros(0)), (t.zeros(0), t.zeros(0, 1)), (t.tensor(True), t.tensor(False)), (t.tensor(3), t.tensor(4)),
        (t.tensor(0.0), t.tensor(1e-6)), (t.tensor(inf), t.tensor(1.0)), (t.tensor([nan, 1.0]), t.tensor([nan, 1.0])),
        (t.tensor([nan, 1.0, 3]), t.tensor([0.0, 2.0, 0])), (t.tensor([inf, -inf]), t.tensor([inf, inf])),
        (t.tensor([255, 0], dtype=u8), t.tensor([0, 255], dtype=u8)), (t.tensor([1, 2], dtype=u32), t.tensor([1.0, 3.0])),
        (t.tensor([1, 2], dtype=u64), t.tensor([1, 3])), (t.tensor([2**53]), t.tensor([2**53 + 1])),
        (t.tensor([1 + 1j, nan]), t.tensor([1 + 1j, complex(0, nan)])), (t.tensor([1 + 1j]).conj(), t.tensor([1 - 1j])),
    ]  # fmt: skip
    return [*single, *containers, *values]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "none")
def test_verdicts_and_texts_are_pytorchs(torch, options):
    def program(lib, place):
        lib.testing.assert_close(*pairs(lib)[place], **options)

    for place in range(len(pairs(cr))):
        (ours, _), (theirs, _) = outcome(cr, program, place), outcome(torch, program, place)
        has_home = "object object" in str(ours) or "arameter" in str(ours)  # an address, or a module of PyTorch's
        agree(ours, theirs, where=f"pair {place}: ", full_text=not has_home)


@pytest.mark.parametrize("option", ["allow_subclasses", "check_stride", "check_layout", "check_device"])
@pytest.mark.parametrize("value", [False, True])
def test_what_is_asked_for_is_checked(torch, option, value):
    def program(lib):
        x = lib.arange(6.0).reshape(2, 3)
        for a, b in ((lib.nn.Parameter(x), x), (x, x.t().contiguous().t())):
            lib.testing.assert_close(a, b, **{option: value})

    (ours, _), (theirs, _) = outcome(cr, program), outcome(torch, program)
    agree(ours, theirs, full_text=option != "allow_subclasses")  # the name of the class Parameter's module


@pytest.mark.slow
@pytest.mark.parametrize("options", [o for o in OPTIONS if "msg" not in o], ids=str)
def test_numbers_are_told_apart_as_pytorch_does(torch, options):
    for a in NUMBERS:
        for b in NUMBERS:

            def program(lib, a=a, b=b):
                lib.testing.assert_close(a, b, **options)

            (ours, _), (theirs, _) = outcome(cr, program), outcome(torch, program)
            agree(ours, theirs, where=f"{a}, {b}: ")


@pytest.mark.parametrize("dtype", DTYPES)
def test_tolerances_are_those_of_the_dtype(torch, dtype):
    gaps = [0, 1e-9, 1e-8, 1e-7, 3e-7, 1e-6, 3e-6, 2e-5, 1e-3, 3e-3, 1e-2, 3e-2, 1]

    def program(lib, gap):
        x = lib.tensor([1.0, 10.0, 0.0], dtype=lib.float64)
        lib.testing.assert_close((x + gap).to(getattr(lib, dtype)), x.to(getattr(lib, dtype)))

    for gap in gaps:
        (ours, _), (theirs, _) = outcome(cr, program, gap), outcome(torch, program, gap)
        agree(ours, theirs, where=f"{gap}: ")


def test_a_bool_is_a_number_of_another_type():  # PyTorch asks for a report of the fault that this is to it
    with pytest.raises(AssertionError, match=r"The \(d\)types do not match: <class 'bool'> != <class 'int'>"):
        cr.testing.assert_close(True, 1)
    cr.testing.assert_close(True, 1, check_dtype=False)
    cr.testing.assert_close(Colour.RED, 1, check_dtype=False)
    with pytest.raises(AssertionError, match="keys of the mappings"):  # of no order, which is TypeError there
        cr.testing.assert_close({}, {1: 0, "a": 0})


def test_the_older_one_is_looser_and_says_so(torch):
    for gap in (0, 1e-6, 3e-5, 2e-4, 3e-3):
        for dtype in ("float16", "float32", "float64", "int64"):

            def program(lib, given=dtype, gap=gap):
                lib.testing.assert_allclose(lib.tensor([1, 100, 0]).to(getattr(lib, given)) + gap, [1.0, 100.0, 0.0])

            (ours, said), (theirs, theirs_said) = outcome(cr, program), outcome(torch, program)
            agree(ours, theirs)
            assert theirs_said[0] == (FutureWarning, f"{said[0][1]}{theirs_said[0][1][len(said[0][1]) :]}")
            assert said[0][0] is FutureWarning


def test_tensors_under_transforms_are_compared_as_they_are():
    def f(x):
        cr.testing.assert_close(x, x.clone())
        with pytest.raises(AssertionError, match="Mismatched elements: 2 / 2"):
            cr.testing.assert_close(x, x + 1)
        return x.sum()

    x = cr.tensor([1.0, 2.0])
    assert cr.func.grad(f)(x).tolist() == [1, 1]
    assert cr.func.jvp(f, (x,), (x,))[1].item() == 3

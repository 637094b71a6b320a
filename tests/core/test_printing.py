"""Printing equals PyTorch's, character for character (but for the library's name in dtypes)."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.tensor.tensor import wrap

torch = pytest.importorskip("torch")

FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-5,
    1e-4,
    9.99e-5,
    123456.0,
    1e8,
    1.1e8,
    1e-40,
    1e300,
    1000.0,
    1001.0,
    np.nan,
    np.inf,
    -np.inf,
]
SHAPES = [
    (),
    (1,),
    (7,),
    (30,),
    (2, 3),
    (3, 1),
    (2, 3, 4),
    (2, 1, 2, 3),
    (1, 40),
    (0,),
    (0, 3),
    (2, 0),
    (1001,),
    (40, 30),
    (5, 20, 11),
    (3, 400),
]
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128"]


def values(shape: tuple, dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = [1, 1e-3, 1e3, 1e6, 1e-6, 30][seed % 6]
    x = rng.normal(size=shape) * scale
    if seed % 3 == 1:
        x = np.round(x)
    if seed % 4 == 3 and x.size:
        x.flat[rng.integers(x.size)] = FLOATS[rng.integers(len(FLOATS))]
    if dtype.startswith("complex"):
        x = x + 1j * rng.normal(size=shape) * scale
    if dtype == "bool":
        return np.asarray(x > 0)
    if dtype.startswith(("int", "uint")):
        return np.asarray(np.clip(np.nan_to_num(x), 0 if dtype[0] == "u" else -100, 100)).astype(dtype)
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)


def same(ours: str, theirs: str) -> None:
    theirs = theirs.replace("torch.", "chainrule.")
    if "dtype=" in ours:  # the longer name may move the suffix to a line of its own
        ours, theirs = (" ".join(t.split()) for t in (ours, theirs))
    assert ours == theirs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_repr_equals_torch(shape: tuple, dtype: str) -> None:
    for seed in range(12):
        x = values(shape, dtype, seed)
        same(repr(wrap(x)), repr(torch.from_numpy(x.copy()) if x.ndim else torch.tensor(x)))


@pytest.mark.parametrize("seed", range(40))
def test_special_floats_equal_torch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.choice(FLOATS, rng.integers(1, 9))
    same(repr(wrap(x)), repr(torch.from_numpy(x)))
    z = np.empty(x.size, complex)
    z.real, z.imag = x, rng.choice(FLOATS, x.size)
    same(repr(wrap(z)), repr(torch.from_numpy(z)))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (30, 50)])
def test_bfloat16_equals_torch(shape: tuple) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.asarray(np.random.default_rng(0).normal(size=shape)).astype(ml_dtypes.bfloat16)
    same(repr(wrap(x)), repr(torch.tensor(x.astype(np.float32)).bfloat16()))


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2}, {"precision": 8}, {"sci_mode": True}, {"sci_mode": False}, {"linewidth": 30}, {"threshold": 5},
        {"edgeitems": 1, "threshold": 3}, {"edgeitems": 0, "threshold": 3}, {"profile": "short"}, {"profile": "full"},
    ],
    ids=str,
)  # fmt: skip
def test_options_equal_torch(options: dict) -> None:
    try:
        cr.set_printoptions(**options)
        torch.set_printoptions(**options)
        for shape in [(), (3,), (20,), (4, 5), (2, 9, 3)]:
            for dtype in ("float64", "float32", "complex64", "int64"):
                for seed in range(4):
                    x = values(shape, dtype, seed)
                    same(repr(wrap(x)), repr(torch.tensor(x)))
    finally:
        cr.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


@pytest.mark.parametrize("shape", [(), (3,), (13,), (14,), (15,), (2, 3), (6, 6), (0,), (40, 40)])
def test_autograd_suffixes_equal_torch(shape: tuple) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    ours, theirs = wrap(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    assert repr(ours) == repr(theirs)
    assert repr(ours * 2) == repr(theirs * 2)
    assert str(-ours) == str(-theirs)


def test_default_dtype_decides_the_dtype_suffix() -> None:
    try:
        cr.set_default_dtype(cr.float64)
        assert repr(wrap(np.float64([1.5]))) == "tensor([1.5000])"
        assert repr(wrap(np.float32([1.5]))) == "tensor([1.5000], dtype=chainrule.float32)"
        assert repr(wrap(np.complex128([1j]))) == "tensor([0.+1.j])"
    finally:
        cr.set_default_dtype(cr.float32)


def test_format_of_a_scalar_takes_a_spec() -> None:
    x = wrap(np.float32(3.14159))
    assert f"{x:.2f}" == "3.14"
    assert f"{x}" == "3.141590118408203" == f"{torch.tensor(3.14159)}"
    assert f"{wrap(np.float32([1, 2]))}" == "tensor([1., 2.])"
    with pytest.raises(TypeError):
        format(wrap(np.float32([1, 2])), ".2f")


def test_a_subclass_prints_its_name() -> None:
    class Marked(cr.Tensor):
        pass

    assert repr(wrap(np.float32([1, 2]), Marked)) == "Marked([1., 2.])"


def test_values_in_transforms_show_what_they_carry() -> None:
    seen = []

    def f(x: cr.Tensor) -> cr.Tensor:
        seen.append(repr(x))
        return (x * x).sum()

    x = wrap(np.float32([1, 2]))
    cr.func.jvp(f, (x,), (x,))
    assert seen.pop() == "tensor([1., 2.], tangent=tensor([1., 2.]))"
    cr.func.grad(f)(x)
    assert seen[0].startswith("GradTrackingTensor(lvl=1,")
    assert "tensor([1., 2.]" in seen.pop()
    cr.func.grad(lambda y: cr.func.jvp(f, (y,), (y,))[1])(x)
    assert "GradTrackingTensor(lvl=1," in seen[0]
    assert "tangent=" in seen[0]


def test_printing_leaves_the_graph_alone() -> None:
    x = wrap(np.float32([1, 2])).requires_grad_()
    y = x * x
    repr(y)
    assert y.grad_fn.next_functions[0][0].variable is x
    assert y._version == 0

"""Half precision beside Python numbers, bit for bit as PyTorch's CPU kernels: values, gradients, in-place writes.

A product or quotient takes the number unrounded, in single precision; all else rounds it to half precision first.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.op.declaration import ELEMENTWISE, TABLE

torch = pytest.importorskip("torch")

NUMBER, OTHER = 1.2345678, 1.7
SIZE = 4096  # whole blocks of PyTorch's vectors: its rest of a row rounds `alpha * other` too
DTYPES = ("float16", "bfloat16")

# The binary ops of the table that are public, each with a number on its right.
BINARY = sorted({
    name
    for op in TABLE.values()
    if op.kind == ELEMENTWISE and len(op.inputs) == 2 and op.promotion != "free"
    for name in (*op.public, "add", "sub", "div")
    if "f" in op.kinds and "." not in name
} - {"floor_divide", "heaviside", "nextafter"})  # fmt: skip # without a derivative, of one dtype only, not of halves
OF_TENSORS = {
    "arctan2", "atan2", "fmax", "fmin", "hypot", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor",
    "maximum", "minimum",
}  # fmt: skip

# Functions of three random tensors.
PROGRAMS = {
    "x * s": lambda lib, x, y, z: x * NUMBER, "s * x": lambda lib, x, y, z: NUMBER * x,
    "x / s": lambda lib, x, y, z: x / NUMBER, "s - x": lambda lib, x, y, z: NUMBER - x,
    "s + x": lambda lib, x, y, z: NUMBER + x,
    "s / x": lambda lib, x, y, z: NUMBER / x, "s ** x": lambda lib, x, y, z: NUMBER**x,
    "x * int": lambda lib, x, y, z: x * 2049, "x / huge": lambda lib, x, y, z: x / 1e5, "x * y": lambda lib, x, y, z: x * y,
    "x * 0-d": lambda lib, x, y, z: x * lib.tensor(NUMBER), "0-d * x": lambda lib, x, y, z: lib.tensor(NUMBER) * x,
    "x * 0-d double": lambda lib, x, y, z: x * lib.tensor(NUMBER, dtype=lib.float64),
    "x * 0-d recorded": lambda lib, x, y, z: x * lib.tensor(NUMBER, requires_grad=True),
    "x / 0-d": lambda lib, x, y, z: x / lib.tensor(NUMBER), "x + 0-d": lambda lib, x, y, z: x + lib.tensor(NUMBER),
    "0-d of half * s": lambda lib, x, y, z: x[3] * NUMBER + x,
    "twice": lambda lib, x, y, z: x * NUMBER / OTHER * y,
    "trunc": lambda lib, x, y, z: lib.div(x, NUMBER, rounding_mode="trunc"),
    "floor": lambda lib, x, y, z: lib.div(x, NUMBER, rounding_mode="floor"),
    "x // s": lambda lib, x, y, z: x.detach() // NUMBER, "s // x": lambda lib, x, y, z: NUMBER // x.detach(),
    "x // z": lambda lib, x, y, z: x.detach() // z.detach(), "s % x": lambda lib, x, y, z: NUMBER % x.detach(),
    "trunc of tensors": lambda lib, x, y, z: lib.div(x, z, rounding_mode="trunc"),
    "add alpha": lambda lib, x, y, z: lib.add(x, y, alpha=NUMBER),
    "sub alpha": lambda lib, x, y, z: lib.sub(x, y, alpha=NUMBER),
    "rsub alpha": lambda lib, x, y, z: lib.rsub(x, y, alpha=NUMBER),
    "add number alpha": lambda lib, x, y, z: lib.add(x, OTHER, alpha=NUMBER),
    "sub number alpha": lambda lib, x, y, z: lib.sub(x, OTHER, alpha=NUMBER),
    "addcmul": lambda lib, x, y, z: lib.addcmul(x, y, z, value=NUMBER), "addcmul 1": lambda lib, x, y, z: lib.addcmul(x, y, z),
    "addcdiv": lambda lib, x, y, z: lib.addcdiv(x, y, z, value=NUMBER), "addcdiv 1": lambda lib, x, y, z: lib.addcdiv(x, y, z),
    "lerp": lambda lib, x, y, z: lib.lerp(x, y, NUMBER / 4),
    "lerp over a half": lambda lib, x, y, z: lib.lerp(x, y, NUMBER / 2),
    "lerp of tensors": lambda lib, x, y, z: lib.lerp(x, y, z), "ldexp": lambda lib, x, y, z: lib.ldexp(x, lib.tensor(NUMBER)),
    "where": lambda lib, x, y, z: lib.where(x > NUMBER, x, OTHER), "clamp": lambda lib, x, y, z: x.clamp(NUMBER, OTHER),
    **{
        f"{name}_": lambda lib, x, y, z, name=name: getattr(x.clone(), f"{name}_")(NUMBER)
        for name in ("mul", "div", "add", "sub", "remainder", "fmod", "pow")
    },
    "add_ alpha": lambda lib, x, y, z: x.clone().add_(y, alpha=NUMBER),
    "sub_ alpha": lambda lib, x, y, z: x.clone().sub_(y, alpha=NUMBER),
    "addcmul_": lambda lib, x, y, z: x.clone().addcmul_(y, z, value=NUMBER),
    "addcdiv_": lambda lib, x, y, z: x.clone().addcdiv_(y, z, value=NUMBER),
    "lerp_": lambda lib, x, y, z: x.clone().lerp_(y, NUMBER / 4),
    **{name: lambda lib, x, y, z, name=name: _beside(lib, name, x) for name in BINARY},
}  # fmt: skip

FORMULA = "the derivative's formula, which rounds at other places"
KEPT = "the rule has the rounded number"

# Where bits differ, and why: (of values, of gradients), in one dtype or in both.
DIFFERS = {
    "s / x": ("PyTorch's is a reciprocal times the number, rounded twice", FORMULA),
    "0-d * x": ("", KEPT),
    "x * 0-d recorded": ("a tensor with a history is rounded", KEPT),
    ("lerp over a half", "float16"): ("in one of 4,096: PyTorch's multiplies and adds in one rounding", ""),
    **dict.fromkeys((("s ** x", "bfloat16"), ("pow", "bfloat16"), ("pow_", "bfloat16")), ("", KEPT)),
    **dict.fromkeys(("addcdiv", "addcdiv 1", "addcdiv_"), ("", "ours divides twice where PyTorch's squares the divisor")),
    **dict.fromkeys(("atan2", "arctan2", "hypot", "logaddexp", "logaddexp2"), ("", FORMULA)),
    "xlogy": ("", "PyTorch rounds the logarithm"),
}


def _beside(lib, name, x):
    """Call a function of two tensors on one and the number; on a tensor of it where PyTorch's takes no number."""
    f = lib
    for part in name.split("."):
        f = getattr(f, part)
    return f(x, lib.tensor(NUMBER) if name in OF_TENSORS else NUMBER)


def _given(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.rand(SIZE, generator=draw) * 3 + 0.1, torch.randn(SIZE, generator=draw), torch.rand(SIZE, generator=draw) + 0.3,
        torch.randn(SIZE, generator=draw),
    )  # fmt: skip


def _ours(t):
    return cr.tensor(t.float().numpy()).to(getattr(cr, str(t.dtype).removeprefix("torch.")))


def _doubles(t):
    return t.detach().double().numpy()


def _share_of_unequal(ours, theirs):
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    a, b = _doubles(ours), _doubles(theirs)
    return np.mean((a != b) & ~(np.isnan(a) & np.isnan(b)))


def _run(lib, program, given, g):
    xs = [x.clone().requires_grad_() for x in given]
    out = program(lib, *xs)
    if out.requires_grad:
        out.backward(g.to(out.dtype))
    return [out, *[x.grad for x in xs]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_beside_a_number_are_pytorchs(name, dtype):
    *given, g = [t.to(getattr(torch, dtype)) for t in _given()]
    theirs = _run(torch, PROGRAMS[name], given, g)
    ours = _run(cr, PROGRAMS[name], [_ours(t) for t in given], _ours(g))
    of_values, of_gradients = DIFFERS.get((name, dtype)) or DIFFERS.get(name, ("", ""))
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert (a is None) == (b is None)
        if a is None:
            continue
        if of_gradients if i else of_values:
            unit = torch.finfo(b.dtype).eps
            np.testing.assert_allclose(_doubles(a), _doubles(b), rtol=8 * unit, atol=4 * unit)
        else:
            assert _share_of_unequal(a, b) == 0, f"{'gradient' if i else 'value'} {i}"

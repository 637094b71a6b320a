"""Python numbers that are written into tensors keep all of their digits, in every mode."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import func

INDEX, MASK = [0, 1, 2], [True, True, True]


def _set(key):
    def write(x, value):
        x[key] = value
        return x

    return write


WRITES = {
    "fill": cr.fill,
    "fill_": lambda x, value: x.fill_(value),
    "masked_fill": lambda x, value: x.masked_fill(cr.tensor(MASK), value),
    "masked_fill_": lambda x, value: x.masked_fill_(cr.tensor(MASK), value),
    "index_fill": lambda x, value: x.index_fill(0, cr.tensor(INDEX), value),
    "index_fill_": lambda x, value: x.index_fill_(0, cr.tensor(INDEX), value),
    "scatter": lambda x, value: x.scatter(0, cr.tensor(INDEX), value),
    "scatter_": lambda x, value: x.scatter_(0, cr.tensor(INDEX), value),
    "where": lambda x, value: cr.where(cr.tensor(MASK), value, x),
    "pad": lambda x, value: cr.nn.functional.pad(x, (3, 0), value=value)[:3],
    "fill_diagonal_": lambda x, value: x.diag().fill_diagonal_(value).diag(),
    "[...]": _set(...),
    "[:]": _set(slice(None)),
    "[index]": _set(cr.tensor(INDEX)),
    "[list]": _set(INDEX),
    "[mask]": _set(cr.tensor(MASK)),
}
MODES = {
    "plain": lambda f, x: f(x),
    "recorded": lambda f, x: f(x.requires_grad_() * 1).detach(),
    "vjp": lambda f, x: func.vjp(f, x)[0],
    "jvp": lambda f, x: func.jvp(f, (x,), (x,))[0],
    "vmap": lambda f, x: func.vmap(f)(x[None])[0],
    "compiled": lambda f, x: (g := cr.compile(f), g(x), g(x))[2],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRITES)
def test_numbers_keep_their_digits(name, mode):
    for value, dtype in ((0.1, cr.float64), (0.1 + 0.7j, cr.complex128)):
        x = cr.zeros(3, dtype=dtype)
        out = MODES[mode](lambda x, value=value: WRITES[name](x * 1, value), x)
        assert out.dtype is dtype
        assert out.tolist() == [value] * 3

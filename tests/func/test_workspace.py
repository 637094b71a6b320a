"""The memory that kernels are said to take is what `tracemalloc` sees them take."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from tests.each import by_name

from chainrule import testing
from chainrule.core.call.dispatch import compute
from chainrule.core.op.declaration import ELEMENTWISE, TABLE
from chainrule.testing.case import load_table
from chainrule.transforms.inference import absent
from chainrule.transforms.workspace import workspace

# Their loops go on for as long as values ask for it; or nothing is computed.
VARYING = {"igamma_in_order", "erfcx_derivative", "k0e_derivative", "zeta_derivative", "gamma_rank_slope", "isreal"}
rng = np.random.default_rng(0)


def taken(op, args, params):
    """Return the bytes that a call takes beside its results, what is said of it, and those of the results."""
    call = lambda: compute(op, list(args), params, tuple(args))
    with np.errstate(all="ignore"):
        call()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        out = call()
        most = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    outs = [o for o in (out if isinstance(out, tuple) else (out,)) if isinstance(o, (np.ndarray, np.generic))]
    given = [a for a in args if isinstance(a, np.ndarray)]
    size = sum([o.nbytes for o in outs if not any(np.shares_memory(o, a) for a in given)])
    return most - size, workspace(op, [absent(a) for a in args], params, tuple([absent(o) for o in outs])), size


def _elementwise():
    found = {}
    for case in testing.cases(list(load_table().values()), dtypes=("float64",)):
        arrays = [a for a in case.args if isinstance(a, np.ndarray)]
        if case.op.kind == ELEMENTWISE and arrays and not case.op.view and case.op.name not in VARYING:
            found.setdefault(case.op.name, case)
    return list(found.values())


@pytest.mark.slow
@by_name("case", _elementwise())
@pytest.mark.parametrize("rows", [120, 300])  # 300 rows are enough for native code
def test_elementwise_kernels(case, rows):
    args = [np.resize(a, (rows, 400)) if isinstance(a, np.ndarray) else a for a in case.args]
    seen, said, size = taken(case.op, args, case.params)
    assert abs(seen - said) <= 0.1 * size + 20_000, (case.op.name, seen, said)


def f(*shape):
    return rng.random(shape)


def positive(*shape):
    x = f(*shape)
    return x @ x.swapaxes(-1, -2) + shape[-1] * np.eye(shape[-1])


def single(*shape):
    return f(*shape).astype(np.float32)


LOWER, PLACES = np.tril(f(300, 300)) + 300 * np.eye(300), rng.integers(0, 3000, 2000)
OTHERS = [
    ("sum", [f(300, 400)], {"axis": (0,), "keepdims": False}),
    ("var", [f(300, 400)], {"axis": (1,), "correction": 1, "keepdims": False}),
    ("softmax", [f(100, 400)], {"axis": (1,)}),
    ("softmax", [f(300, 400)], {"axis": (1,)}),
    ("log_softmax", [f(100, 400)], {"axis": (1,)}),
    ("logsumexp", [f(100, 400)], {"axis": (1,), "keepdims": False}),
    ("mm", [f(300, 400), f(400, 300)], {}),
    ("mm", [f(300, 800)[:, ::2], f(400, 300)], {}),
    ("matmul", [f(10, 100, 50), f(10, 100, 50).swapaxes(-1, -2)], {}),
    ("matmul", [f(10, 100, 100)[:, :, ::2], f(10, 50, 100)], {}),
    ("linear_map", [single(64, 300), single(200, 300)], {}),
    ("cholesky", [positive(300, 300)], {"upper": False}),
    ("inv", [positive(5, 100, 100)], {}),
    ("solve", [positive(300, 300), f(300, 20)], {}),
    ("solve", [positive(5, 100, 100), f(5, 100, 20)], {}),
    ("solve_triangular", [LOWER, f(300, 20)], {"upper": False, "unit": False}),
    ("solve_triangular", [LOWER.T, f(300, 20)], {"upper": True, "unit": False}),
    ("solve_triangular", [np.stack([LOWER[:100, :100]] * 5), f(5, 100, 20)], {"upper": False, "unit": False}),
    ("eigh", [positive(200, 200)], {"upper": False, "strict": False}),
    ("svd", [f(200, 150)], {"strict": False}),
    ("qr", [f(200, 150)], {}),
    ("slogdet", [positive(200, 200)], {}),
    ("lu_factor", [positive(200, 200)], {"pivot": True}),
    ("matrix_exp", [f(100, 100) / 100], {}),
    ("triu", [f(300, 400)], {"k": 0}),
    ("sort", [f(300, 400)], {"axis": 1, "descending": False, "stable": False}),
    ("topk", [f(300, 400)], {"k": 10, "axis": 1, "largest": True}),
    ("cat", [f(100, 400), f(100, 400)], {"axis": 0}),
    ("add", [f(300, 400), f(400)], {}),
    ("mul", [f(300, 400), f(400, 300).T], {}),
    ("outer", [f(300), f(400)], {}),
    ("gather", [f(300, 400), rng.integers(0, 400, (300, 100))], {"axis": 1}),
    ("index_sum", [f(2000, 40), PLACES], {"shape": (3000, 40), "axes": (0,)}),
    ("standardize", [single(100, 400), None, None], {"axis": (1,), "eps": 1e-5}),
    ("standardize", [single(64, 16, 48), None, None], {"axis": (0, 2), "eps": 1e-5}),
    (
        "conv", [single(64, 16, 8, 8), single(32, 16, 3, 3)],
        {"size": (8, 8), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(OTHERS)), ids=[name for name, *_ in OTHERS])
def test_other_kernels(i):
    name, args, params = OTHERS[i]
    seen, said, size = taken(TABLE[name], args, params)
    whole = size + max([a.nbytes for a in args if isinstance(a, np.ndarray)])
    assert abs(seen - said) <= 0.15 * whole + 20_000, (seen, said)

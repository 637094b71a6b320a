"""Reductions, selections and scans where the derivative does not exist, jumps, or is easily lost: the documented values."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.ops.reduction.scan import recurrence
from chainrule.testing.compare import gap

THIRD = 1 / 3

# name, positional arguments, point, gradient of the sum of the (first) result
TABLE = [
    ("max", (), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]), ("min", (), [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
    ("max", (), [1.0, nan, nan], [0.0, 0.5, 0.5]), ("max", (), [inf, inf], [0.5, 0.5]),
    ("amax", (), [2.0, 2.0, 2.0], [THIRD] * 3), ("amin", (0,), [2.0, 2.0, 5.0], [0.5, 0.5, 0.0]),
    ("amax", ((0, 1),), [[4.0, 1.0], [4.0, 4.0]], [[THIRD, 0.0], [THIRD, THIRD]]),
    ("amax", (1,), [[4.0, 1.0], [4.0, 4.0]], [[1.0, 0.0], [0.5, 0.5]]),
    ("max", (0,), [2.0, 1.0, 2.0], [1.0, 0.0, 0.0]), ("min", (0,), [2.0, 1.0, 1.0], [0.0, 1.0, 0.0]),
    ("max", (0,), [1.0, nan, nan], [0.0, 1.0, 0.0]),
    ("sort", (), [2.0, 2.0, 1.0], [1.0, 1.0, 1.0]), ("topk", (2,), [3.0, 1.0, 2.0], [1.0, 0.0, 1.0]),
    ("kthvalue", (2,), [3.0, 1.0, 2.0], [0.0, 0.0, 1.0]), ("mode", (), [2.0, 2.0, 2.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0]),
    ("median", (), [2.0, 2.0, 2.0], [THIRD] * 3), ("median", (), [4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 1.0]),
    ("median", (), [1.0, nan, 2.0], [0.0, 1.0, 0.0]), ("median", (0,), [2.0, 2.0, 2.0], [0.0, 1.0, 0.0]),
    ("nanmedian", (), [2.0, nan, 2.0], [0.5, 0.0, 0.5]), ("nanmedian", (0,), [3.0, nan, 2.0], [0.0, 0.0, 1.0]),
    ("quantile", (0.5,), [1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 0.5, 0.5]), ("quantile", (1.0,), [1.0, 4.0, 2.0], [0.0, 1.0, 0.0]),
    ("nanquantile", (0.5,), [1.0, nan, 3.0], [0.5, 0.0, 0.5]),
    ("nansum", (), [1.0, nan, 2.0], [1.0, 0.0, 1.0]), ("nanmean", (), [1.0, nan, 2.0], [0.5, 0.0, 0.5]),
    ("prod", (), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]), ("prod", (), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    ("prod", (0,), [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]), ("prod", (), [], []), ("prod", (), 0.0, 1.0),
    ("prod", (), [1e200, 1e200, 0.0], [0.0, 0.0, inf]),
    ("cumprod", (0,), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]), ("cumprod", (0,), [0.0, 0.0, 3.0], [1.0, 0.0, 0.0]),
    ("cummax", (0,), [2.0, 2.0, 1.0], [1.0, 2.0, 0.0]), ("cummin", (0,), [2.0, 2.0, 3.0], [1.0, 2.0, 0.0]),
    ("norm", (), [0.0, 0.0], [0.0, 0.0]), ("norm", (1,), [0.0, 2.0], [0.0, 1.0]), ("norm", (3,), [0.0, 0.0], [0.0, 0.0]),
    ("norm", (0.5,), [0.0, 0.0], [0.0, 0.0]), ("norm", (1.5,), [0.0, 0.0], [0.0, 0.0]),
    ("norm", (inf,), [1.0, -1.0], [0.5, -0.5]), ("norm", (inf,), [0.0, 0.0], [0.0, 0.0]),
    ("norm", (-inf,), [1.0, -1.0], [0.5, -0.5]), ("norm", ("fro",), [[0.0, 0.0]], [[0.0, 0.0]]),
    ("std", (), [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]), ("var", (), [2.0, 2.0], [0.0, 0.0]),
    ("std", (), [2.0], [nan]), ("var", (), [2.0], [nan]),
    ("logsumexp", (0,), [-inf, -inf], [nan, nan]), ("logsumexp", (0,), [-inf, 0.0], [0.0, 1.0]),
    ("logsumexp", (0,), [1000.0, 1000.0], [0.5, 0.5]), ("logcumsumexp", (0,), [-1000.0, 0.0], [1.0, 1.0]),
    ("logcumsumexp", (0,), [1000.0, -1000.0], [2.0, 0.0]),
    ("mean", (), [], []), ("sum", (), [], []), ("diff", (), [1.0], [0.0]),
]  # fmt: skip

# name, positional arguments, point, Hessian of the sum of the (first) result
SECOND = [
    ("prod", (), [0.0, 2.0, 3.0], [[0.0, 3.0, 2.0], [3.0, 0.0, 0.0], [2.0, 0.0, 0.0]]),
    ("prod", (), [0.0, 0.0, 3.0], [[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    ("cumprod", (0,), [0.0, 0.0, 3.0], [[0.0, 4.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    ("norm", (), [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]), ("norm", (1,), [0.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("norm", (inf,), [1.0, -1.0], [[0.0, 0.0], [0.0, 0.0]]), ("std", (), [2.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("logsumexp", (0,), [-inf, 0.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("amax", (), [2.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]), ("var", (), [2.0, 2.0], [[1.0, -1.0], [-1.0, 1.0]]),
]  # fmt: skip


def label(row):
    return f"{row[0]}{row[1]}{row[2]}"


def first(out):
    return out if hasattr(out, "shape") else out[0]


def total(name, args):
    return lambda x: first(getattr(x, name)(*args)).sum()


def leaf(point):
    return cr.tensor(np.array(point), requires_grad=True)


@pytest.mark.parametrize("row", TABLE, ids=label)
def test_gradient_at_kink_is_the_documented_one(row):
    name, args, point, expected = row
    x = leaf(point)
    total(name, args)(x).backward()
    assert gap(x.grad.numpy(), np.array(expected), 1e-12) is None


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("row", TABLE, ids=label)
def test_gradient_at_kink_is_pytorchs(row, torch):
    name, args, point, expected = row
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    total(name, args)(x).backward()
    assert gap(np.array(expected), x.grad.numpy(), 1e-12) is None


@pytest.mark.parametrize("row", [row for row in TABLE if np.isfinite(row[3]).all() and np.size(row[2])], ids=label)
def test_forward_mode_at_kink_agrees(row):
    name, args, point, expected = row
    point = np.array(point)
    tangent = np.arange(1.0, point.size + 1).reshape(point.shape)
    _, out_dot = func.jvp(total(name, args), (cr.tensor(point),), (cr.tensor(tangent),))
    assert gap(out_dot.numpy(), np.sum(expected * tangent), 1e-12) is None


@pytest.mark.parametrize("row", SECOND, ids=label)
def test_second_derivative_at_kink(row):
    name, args, point, expected = row
    x = leaf(point)
    (g,) = cr.autograd.grad(total(name, args)(x), x, create_graph=True)
    rows = []
    for basis in np.eye(x.numel()):
        if not g.requires_grad:
            rows.append(np.zeros(x.numel()))
            continue
        (h,) = cr.autograd.grad(g, x, cr.tensor(basis), retain_graph=True, allow_unused=True)
        rows.append(np.zeros(x.numel()) if h is None else h.numpy())
    assert gap(np.array(rows), np.array(expected), 1e-12) is None


def test_norm_of_order_zero_has_no_gradient():
    x = leaf([1.0, 0.0])
    x.norm(0).backward()
    assert x.grad is None


@pytest.mark.parametrize(
    ("name", "args", "kind", "words"),
    [
        ("max", (), RuntimeError, "max(): Expected reduction dim to be specified for input.numel() == 0."),
        ("max", (0,), IndexError, "max(): Expected reduction dim 0 to have non-zero size."),
        ("argmax", (), IndexError, "argmax(): Expected reduction dim to be specified for input.numel() == 0."),
        ("amin", (), RuntimeError, "amin(): Expected reduction dim to be specified for input.numel() == 0."),
        ("mode", (), IndexError, "mode(): Expected reduction dim 0 to have non-zero size."),
        ("norm", (inf,), RuntimeError, "linalg.vector_norm cannot compute the inf norm on an empty tensor because"),
    ],
)
def test_reduction_of_nothing_raises(name, args, kind, words):
    with pytest.raises(kind) as caught:
        getattr(cr.zeros(0), name)(*args)
    assert str(caught.value).startswith(words)


def test_running_maximum_sends_every_position_to_its_last_maximum():
    x = leaf([1.0, 3.0, 3.0, 2.0])
    values, indices = cr.cummax(x, 0)
    assert indices.tolist() == [0, 1, 2, 2]
    (g,) = cr.autograd.grad(values, x, cr.tensor(np.array([1.0, 10.0, 100.0, 1000.0])))
    assert g.tolist() == [1.0, 10.0, 1100.0, 0.0]


def test_product_gradient_is_exact_where_the_product_underflows():
    x = leaf([1e-200, 1e-200, 1e200])
    x.prod().backward()
    assert np.allclose(x.grad.numpy(), [1.0, 1.0, 0.0], rtol=1e-12)


def test_named_results_print_like_pytorchs(torch):
    ours = repr(cr.max(cr.tensor([1.0, 3.0]), dim=0))
    assert ours == repr(torch.max(torch.tensor([1.0, 3.0]), dim=0)).replace("torch.", "chainrule.")


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_sum_and_product_in_place(name):
    leaf_ = leaf([2.0, 3.0, 4.0])
    y = leaf_ * 1
    getattr(y, name + "_")(0)
    y.sum().backward()
    x = leaf([2.0, 3.0, 4.0])
    getattr(x, name)(0).sum().backward()
    assert leaf_.grad.tolist() == x.grad.tolist()


@pytest.mark.parametrize("shape", [(200,), (40, 3), (5, 30)])
def test_recurrence_by_rows_and_by_columns_agree(shape):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=shape), rng.normal(size=shape)
    for reverse in (False, True):
        found = recurrence(a, b, axis=0, reverse=reverse)
        expected, s = np.zeros(shape), np.zeros(shape[1:])
        for i in reversed(range(len(b))) if reverse else range(len(b)):
            expected[i] = s = b[i] + (a[i] * s if np.ndim(s) or s != 0 else 0)
        assert np.allclose(found, expected, rtol=1e-12)

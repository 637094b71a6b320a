"""Native code of each op's kernel and rules for large eager work gives what NumPy gives, wherever there is such code."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import eager
from chainrule.core.op import native
from chainrule.core.op.declaration import ELEMENTWISE, IN, TABLE
from chainrule.core.op.samples import samples_of
from chainrule.testing.case import Case

pytest.importorskip("llvmlite")

SIZES = (1, 5, 67, 300)  # around vectors' ends, and such as fill some
FAST = (
    "pow", "where", "clamp", "gate", "hardtanh", "huber", "cross_entropy_with_logits", "gelu_pull", "sigmoid_pull", "sin",
    "maximum", "atan2",
)  # fmt: skip
OPS = sorted(name for name, op in TABLE.items() if op.kind == ELEMENTWISE)


def drawn(case: Case, size: int) -> list:
    """Return a sample's operands, those that are drawn as vectors of a size."""
    domain = case.sample.domain or case.op.about.domain
    rng, found = case.rng(f"eager {size}"), []
    for i, a in enumerate(case.args):
        if not isinstance(a, np.ndarray) or not a.ndim:
            found.append(a)
            continue
        low, high = (domain[i] if isinstance(domain, list) else domain) or (-3, 3)
        found.append(rng.random(size) < 0.5 if a.dtype == bool else rng.uniform(low, high, size).astype(a.dtype))
    return found


def agree(found, expected, dtype, what):
    assert (found.shape, found.dtype) == (np.shape(expected), expected.dtype), what
    if found.dtype == bool:
        assert np.array_equal(found, expected), what
        return
    eps = np.finfo(dtype).eps
    size = np.max(np.abs(expected[np.isfinite(expected)]), initial=1)  # of what cancelled, too, for these operands
    np.testing.assert_allclose(found, expected, rtol=32 * eps, atol=8 * eps * size, err_msg=str(what))


@pytest.fixture(autouse=True)
def _by_numpy(monkeypatch):
    monkeypatch.setattr(native, "code", None)


def checked(op, dtype) -> int:
    """Compare native code with NumPy's on an op's samples; return how often there was some."""
    many = 0
    for index, sample in enumerate(samples_of(op)):
        case = Case(op, index, sample, dtype)
        if "f" not in (sample.kinds or op.kinds) or not any(np.ndim(a) for a in case.args):
            continue
        for size in SIZES:
            xs = drawn(case, size)
            with np.errstate(all="ignore"):
                out = op.kernel(*xs, **case.params)
                found = eager.native(op.kernel, tuple(xs), case.params)
                if found is not None:
                    many += 1
                    agree(found, out, dtype, (op.name, index, size))
                if not isinstance(out, np.ndarray) or out.dtype != dtype:
                    continue
                g = case.rng("g").standard_normal(out.shape).astype(dtype)
                for i, rule in enumerate(op.rules):
                    if rule is None or eager._subject(rule.f) is None:
                        continue
                    given = [g, *[xs[k] if kind is IN else out for kind, k in rule.sources]]
                    params = case.params if rule.params is None else {name: case.params[name] for name in rule.params}
                    found = eager.native(rule.f, tuple(given), params)
                    if found is not None:
                        many += 1
                        agree(found, np.asarray(rule.raw(*given, **params)), dtype, (op.name, i, index, size))
    return many


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FAST)
def test_kernels_and_rules(name, dtype):
    assert checked(TABLE[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_kernels_and_rules_of_every_op(name, dtype):
    checked(TABLE[name], dtype)

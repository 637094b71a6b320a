"""Whatever is written to in place between forward and backward: the right gradient or the error, for every op and function."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name
from tests.ops.matrices import GAUGED

import chainrule as cr
from chainrule.core.graph.nodes import Version
from chainrule.core.op.declaration import TABLE, linear
from chainrule.core.op.samples import Fixed, Ints, Sample
from chainrule.core.record import plans, unpacking
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing import cases, writes
from chainrule.testing.case import OpError, load_modules

load_modules("chainrule")

F = cr.nn.functional


class Call:
    """A public function, one of its samples, a dtype."""

    def __init__(self, name, function, index, sample, dtype, domain=None):
        self.name, self.function, self.index, self.sample, self.dtype = name, function, index, sample, dtype
        self.args, self.kwargs = sample.draw(np.random.default_rng(index), dtype, domain)

    def __call__(self, *args, **kwargs):
        cr.manual_seed(0)
        return self.function(*args, **kwargs)

    def __repr__(self):
        return f"{self.name}-{self.index}-{self.dtype}"


def calls(kinds="fc"):
    return [
        Call(f.name, f.call, index, sample, {"f": "float64", "c": "complex128"}[kind], f.domain)
        for f in FUNCTIONS.values()
        for index, sample in enumerate(f.samples())
        if sample.error is None
        for kind in (f.kinds if sample.kinds is None else sample.kinds)
        if kind in kinds and not (f.name in GAUGED and (kind == "c" or f.name == "linalg.eig"))
    ]


# What is not declared with samples: brackets, methods, functions of modules.
OTHERS = {
    "x[i]": (lambda x, i: x[i], Sample((3, 4), Ints((2,), 0, 3))),
    "x[i, i]": (lambda x, i, j: x[i, j], Sample((3, 3), Ints((2,), 0, 3), Ints((2,), 0, 3))),
    "x[mask]": (lambda x, m: x[m], Sample((3,), Fixed(np.array([True, False, True])))),
    "x[1:]": (lambda x: x[1:] * x[:-1], Sample((3, 4))),
    "x[i] = y": (lambda x, i, y: _set(x * 1, i, y), Sample((3, 4), Fixed(np.array([0, 2])), (2, 4))),
    "x[mask] = y": (lambda x, m, y: _set(x * 1, m, y), Sample((3,), Fixed(np.array([True, False, True])), (2,))),
    "expand": (lambda x, y: x.expand(3, 4) * y, Sample((4,), (3, 4))),
    "contiguous": (lambda x, y: x.t().contiguous() * y, Sample((3, 4), (4, 3))),
    "to": (lambda x, y: x.to(cr.float64) * y, Sample((3,), (3,))),
    "real": (lambda x, y: cr.real(x) * y, Sample((3,), (3,))),
    "F.linear": (F.linear, Sample((2, 3), (4, 3), (4,))),
    "F.linear, one row": (F.linear, Sample((2, 3), (3,))),
    "F.linear of a vector": (F.linear, Sample((3,), (4, 3), (4,))),
    "F.cross_entropy": (lambda x, t, w: F.cross_entropy(x, t, w.detach()), Sample((4, 3), Ints((4,), 0, 3), (3,))),
    "F.nll_loss": (lambda x, t, w: F.nll_loss(x, t, w.detach()), Sample((4, 3), Ints((4,), 0, 3), (3,))),
    "F.nll_loss of one": (lambda x, t, w: F.nll_loss(x, t, w.detach()), Sample((3,), Ints((), 0, 3), (3,))),
    "F.mse_loss": (F.mse_loss, Sample((4, 3), (4, 3))),
    "F.huber_loss": (F.huber_loss, Sample((4, 3), (4, 3))),
    "F.binary_cross_entropy": (F.binary_cross_entropy, Sample((4,), (4,), domain=(0.1, 0.9))),
    "F.binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, Sample((4,), (4,))),
    "F.kl_div": (F.kl_div, Sample((4,), (4,), reduction="sum", domain=(0.1, 0.9))),
    "F.dropout": (F.dropout, Sample((4, 3))),
    "F.gelu": (F.gelu, Sample((4, 3))),
}  # fmt: skip


def _set(x, key, value):
    x[key] = value
    return x


CALLS = [*calls(), *[Call(name, f, 0, sample, "float64") for name, (f, sample) in OTHERS.items()]]


@by_name("case", cases(differentiable=True), fast=3)
def test_a_write_to_an_ops_operand_or_result_is_noticed(case):
    writes.a_write_is_noticed(case)


@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_a_write_between_two_passes_is_noticed(case):
    writes.a_write_between_passes_is_noticed(case)


@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_a_write_between_vjp_and_its_pull_is_noticed(case):
    writes.a_write_before_the_pull_is_noticed(case)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@by_name("case", cases(kinds="f", differentiable=True), fast=1)
def test_a_write_under_vmap_is_noticed(case):
    writes.a_write_is_noticed_under_vmap(case)


@by_name("case", cases())
def test_results_lie_in_declared_memory(case):
    writes.results_lie_in_declared_memory(case)


@by_name("call", [call for call in CALLS if not hasattr(call.function, "op")], lambda call: call.name, fast=1)
def test_a_write_to_a_functions_operand_or_result_is_noticed(call):
    assert writes.wrong_after_a_write(call, call.args, call.kwargs) is None


@pytest.mark.slow
@by_name("call", CALLS, lambda call: call.name, share=3)
def test_every_write_is_noticed(call):
    assert writes.wrong_after_a_write(call, call.args, call.kwargs, thorough=True) is None
    assert writes.wrong_after_a_write_between_passes(call, call.args, call.kwargs, thorough=True) is None
    assert writes.wrong_after_a_write_before_the_pull(call, call.args, call.kwargs, thorough=True) is None


# -- planted faults ----------------------------------------------------------------------------------------------------


def broken(names, find=writes.wrong_after_a_write):
    """Return the names of those functions that a write gives a wrong gradient."""
    tried = [call for call in calls("f") if call.name in names]
    return {call.name for call in tried if find(call, call.args, call.kwargs, thorough=True) is not None}


@pytest.mark.slow
def test_a_reshape_without_the_version_of_its_memory_is_found(monkeypatch):
    monkeypatch.setattr(plans, "shared_version", lambda out, x: None)
    for name in ("named", "reshape"):  # their calls are made from the template, in spaces of their own
        monkeypatch.setitem(TABLE[name].call.__globals__, "shared_version", lambda out, x: None)
    names = {"einsum", "index_reduce", "kron", "matmul", "prelu", "scatter_reduce", "tensordot"}
    assert broken(names) == names


def test_saved_values_without_their_version_are_found(monkeypatch):
    monkeypatch.setattr(Version, "bump", lambda self: None)
    assert broken({"exp", "mul", "amax", "mm"}) == {"exp", "mul", "amax", "mm"}


def test_saved_results_that_a_second_pass_saves_without_their_version_are_found(monkeypatch):
    revive = unpacking.revive
    monkeypatch.setattr(unpacking, "revive", lambda level, payload, edge, version=None: revive(level, payload, edge))
    assert broken({"exp", "sort"}, writes.wrong_after_a_write_between_passes) == {"exp", "sort"}


def test_an_undeclared_alias_is_found():
    linear("undeclared(x)", lambda x: x.reshape(-1), x=lambda g, x_shape: g.reshape(x_shape), samples=lambda: [Sample((2, 3))])
    op = TABLE.pop("undeclared")
    with pytest.raises(OpError, match="declare view=True or shares=True"):
        writes.results_lie_in_declared_memory(cases([op])[0])

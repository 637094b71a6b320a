"""The hot path gives what the general path gives, in every mode; and is taken. Both are told by fields and counters."""

from __future__ import annotations

import linecache
import traceback

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.call import template, threads
from chainrule.core.call.dispatch import GENERAL
from chainrule.core.call.functions import make_public
from chainrule.core.graph.nodes import Node
from chainrule.core.op import native
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Backend, Op
from chainrule.testing import paths
from chainrule.testing.case import cases


def has_hot_path(op):
    if op.variadic or op.computes:
        return False
    return len(op.inputs) <= 3 and not op.shares if op.kind == ELEMENTWISE else op.is_differentiable


@by_name("case", [case for case in cases(kinds="fcib") if case.dtype.kind == "f" or case.index < 2], fast=1)
def test_hot_path_is_the_general_path(case):
    paths.hot_path_is_the_general_path(case)


@by_name("case", [case for case in cases(kinds="f") if has_hot_path(case.op)])
def test_hot_path_is_taken(case):
    paths.hot_path_is_taken(case)


def left_to_the_general_path(f):
    before = GENERAL.total()
    f()
    return GENERAL.total() - before


x = cr.ones(3, requires_grad=True)
w = cr.nn.Parameter(cr.ones(3))


@pytest.mark.parametrize(
    "call",
    [
        lambda: x + x, lambda: x * 2, lambda: 2 - x, lambda: x / w, lambda: w**2, lambda: -w, lambda: x < w, lambda: x @ w,
        lambda: cr.sin(w), lambda: cr.mul(x, w), lambda: x.exp(), lambda: x.sum(), lambda: w.reshape(3, 1),
        lambda: x * x.detach(), lambda: cr.where(x > 0, x, w), lambda: cr.where(x > 0, x, 0.0), lambda: x.clamp(0.0, w),
        lambda: cr.addcmul(x, x, w, value=0.5), lambda: cr.lerp(x, w, 0.3), lambda: x.masked_fill(x > 0, 0.0),
        lambda: cr.nn.functional.nll_loss(w.log_softmax(0), cr.tensor(1)),
        lambda: cr.func.grad(lambda y: (cr.sin(y) * y + 2.0 * y - y / w.detach()).sum())(x.detach()),
    ],
)  # fmt: skip
def test_arithmetic_takes_the_hot_path(call):
    call()
    assert left_to_the_general_path(call) == 0


def test_numbers_alone_give_tensors():
    assert [f(2.0, 0.5).item() for f in (cr.add, cr.maximum)] == [2.5, 2.0]
    assert cr.clamp(2.0, 0.5, 1.5).tolist() == 1.5
    assert cr.lerp(cr.tensor(1.0), 2.0, 0.5).tolist() == 1.5


def test_nothing_recorded_takes_the_hot_path():
    with cr.no_grad():
        assert left_to_the_general_path(lambda: (x * w, cr.exp(x), x @ w)) == 0


def test_what_promotion_makes_alike_takes_the_hot_path():
    other, number = cr.ones(3, dtype=cr.float64), cr.tensor(2.0, dtype=cr.float64)
    assert left_to_the_general_path(lambda: (x * other, w / number, number - x, cr.add(w, other))) == 0
    assert [(x * other).dtype, (w / number).dtype, (number - w).dtype] == [cr.float64, cr.float32, cr.float32]


def test_what_is_joined_unrecorded_takes_the_hot_path():
    a = x.detach()
    assert left_to_the_general_path(lambda: (cr.cat((a, a)), cr.stack((a, a)))) == 0
    with cr.no_grad():
        assert left_to_the_general_path(lambda: (cr.cat((x, w)), x[1:], w.view(1, 3))) == 0


def test_left_to_the_general_path_is_what_is_out_of_the_ordinary():
    assert left_to_the_general_path(lambda: cr.tensor([1]) * cr.tensor([True])) > 0
    with cr.autograd.set_detect_anomaly(True):
        assert left_to_the_general_path(lambda: x * x) == 1


def test_large_work_is_split_over_threads(monkeypatch):
    shares = []
    monkeypatch.setattr(native, "code", None)
    monkeypatch.setattr(threads, "in_threads", lambda work, number: [shares.append(k) or work(k) for k in range(number)])
    before = cr.get_num_threads()
    cr.set_num_threads(2)
    try:
        cr.exp(cr.zeros(threads.LARGE))
    finally:
        cr.set_num_threads(before)
    assert shares == [0, 1]


def test_captured_inference_tensor_is_saved_inside_a_gradient():
    with cr.inference_mode():
        c = cr.tensor([2.0, 3.0])
    assert cr.func.grad(lambda y: (y * c).sum())(cr.ones(2)).tolist() == [2.0, 3.0]
    assert cr.func.grad(lambda y: cr.dot(y, c))(cr.ones(2)).tolist() == [2.0, 3.0]
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        cr.ones(2, requires_grad=True) * c


def test_nodes_of_one_or_two_inputs_hold_no_containers():
    y = x * w
    assert not [
        slot for slot in (y._node.edge, y._node.edge2, y._node.saved, y._node.saved2) if isinstance(slot, (tuple, list))
    ]
    assert isinstance(cr.sin(x)._node.edge, cr.Tensor)
    assert isinstance((x * 2)._node, Node)


def test_integers_made_of_what_requires_grad_have_no_node():
    assert TABLE["to"].call(x, dtype=np.dtype("int64"), source=np.dtype("float32"))._node is None
    assert left_to_the_general_path(lambda: x.to(cr.int64)) == 0


def test_source_is_shown_in_tracebacks():
    with pytest.raises(RuntimeError, match="mm") as raised:
        TABLE["mm"].call(cr.ones(3, 2), cr.ones(3, 2))
    frames = [f for f in traceback.extract_tb(raised.tb) if "hot path" in f.filename]
    assert [f.name for f in frames] == ["mm"]
    assert all(f.line and linecache.getline(f.filename, f.lineno).strip() == f.line for f in frames)
    assert cr.sin.__code__.co_name == "sin"


def test_ops_of_one_form_share_their_source():
    assert template.source_of.cache_info().currsize < 60  # of 400 ops and more


def test_numpy_scalars_meet_the_hot_path_too():
    s = cr.tensor(2.0, requires_grad=True)
    y = cr.sin(s)
    assert isinstance(y._data, np.floating)
    assert left_to_the_general_path(lambda: cr.sin(y) * y) == 0


def test_elementwise_results_in_the_memory_of_the_input_share_its_version():
    op = Op(ELEMENTWISE, "same(x)", Backend(lambda x: x), nondiff=True, shares=True)
    z = cr.ones(3)
    y = make_public(op)(z)
    z.add_(1)
    assert (y._version, y.tolist()) == (1, [2.0, 2.0, 2.0])

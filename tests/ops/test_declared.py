"""What declarations say of results, memory, purity and lowering is what runs: of every op, in every dtype."""

from __future__ import annotations

import pytest
from tests.each import by_name, run_each

from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.op.lowering import Opaque
from chainrule.testing import cases, declared
from chainrule.testing.case import load_table

OPS = list(load_table().values())
KINDS = "bifc"
NARROW = ["float16", "float32", "complex64", "int32", "uint8"]


def every(op):
    """Return the cases of an op in every dtype in which its kernel computes."""
    import ml_dtypes

    narrow = cases([op], dtypes=[*NARROW, ml_dtypes.bfloat16])
    return cases([op], KINDS) + [case for case in narrow if case.is_supported()]


@by_name("op", OPS, lambda op: op.name)
def test_results_are_as_declared(op):
    run_each(declared.result_is_as_declared, every(op))


@by_name("case", cases(OPS, "fcib"), fast=4)
def test_a_trace_on_shapes_alone_is_the_trace_on_values(case):
    declared.shapes_alone_give_the_same_graph(case)


@pytest.mark.slow
@by_name("op", OPS, lambda op: op.name)
def test_a_trace_on_shapes_alone_is_the_trace_on_values_in_every_dtype(op):
    run_each(declared.shapes_alone_give_the_same_graph, every(op))


@by_name("case", cases(OPS, KINDS))
def test_memory_is_shared_as_declared_and_pure_ops_are_pure(case):
    declared.memory_is_shared_as_declared(case)
    declared.pure_op_gives_the_same_again(case)


LOWERED = [op for op in OPS if not isinstance(op.lowering, Opaque)]


@by_name("case", cases(LOWERED, KINDS) + cases(LOWERED, dtypes=["float32", "complex64", "int32"]))
def test_what_an_op_is_lowered_to_gives_what_its_kernel_gives(case):
    declared.lowering_is_the_kernel(case)


def test_an_elementwise_op_is_lowered_or_says_why_not():
    assert not [op.name for op in OPS if op.kind == ELEMENTWISE and isinstance(op.lowering, Opaque) and not op.lowering.why]

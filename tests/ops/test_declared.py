"""What declarations say of results, memory, purity and lowering is what runs: of every op, in every dtype."""

from __future__ import annotations

import pytest

from chainrule.core.op.lowering import OPAQUE
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


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_results_are_as_declared(op):
    for case in every(op):
        declared.result_is_as_declared(case)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_a_trace_on_shapes_alone_is_the_trace_on_values(op):
    for case in every(op):
        declared.shapes_alone_give_the_same_graph(case)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_memory_is_shared_as_declared_and_pure_ops_are_pure(op):
    for case in cases([op], KINDS):
        declared.memory_is_shared_as_declared(case)
        declared.pure_op_gives_the_same_again(case)


@pytest.mark.parametrize("op", [op for op in OPS if op.lowering is not OPAQUE], ids=lambda op: op.name)
def test_what_an_op_is_lowered_to_gives_what_its_kernel_gives(op):
    for case in cases([op], KINDS) + cases([op], dtypes=["float32", "complex64", "int32"]):
        declared.lowering_is_the_kernel(case)

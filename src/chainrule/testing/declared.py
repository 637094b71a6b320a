"""Laws of what a declaration says: the shape and dtype of results, what shares memory, what is pure, how an op is lowered.

A compiler and a trace without values believe the declaration; here it is held against what the kernel does.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import promoted
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.op.lowering import Expansion, Expression, evaluate
from chainrule.core.op.results import DYNAMIC, described, joined
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.func import ShapeDtype, trace
from chainrule.testing.case import Case, filled, tensor_of
from chainrule.testing.compare import first_gap
from chainrule.testing.law import Silent, law
from chainrule.testing.planted import is_planted, plantings
from chainrule.testing.values import layouts, on_arrays, promoted_arrays, results
from chainrule.transforms.blame import TraceError

UNTRACED = Silent("the op refuses these integers, or asks for values")


def _raw(operands: Any) -> list:
    return [innermost(a) if isinstance(a, Tensor) else a for a in operands]


def said(op: Op, operands: list, params: dict) -> list:
    """Return (shape, dtype) of each result, as the declaration says."""
    found = op.result(*described(operands), params)
    return found if found.__class__ is list else [found]


def _differs(declared: list, actual: list) -> str | None:
    if len(declared) != len(actual):
        return f"the rule says {len(declared)} results against {len(actual)}"
    for i, ((shape, dtype), found) in enumerate(zip(declared, actual, strict=True)):
        if shape is not DYNAMIC and (shape.__class__ is not tuple or shape != found.shape):
            return f"result {i}: the rule says shape {shape} against {found.shape}"
        if dtype != found.dtype:
            return f"result {i}: the rule says dtype {dtype} against {found.dtype}"
    return None


@law("the result is what the declaration says")
def result_is_as_declared(case: Case) -> str | None:
    """Check the shape and dtype rules on arrays and on tensors; an op without them fails."""
    wrong = _differs(said(case.op, promoted_arrays(case), case.params), on_arrays(case))
    if wrong is not None:
        return wrong
    tensors = case.tensors()
    try:
        out = case.call(tensors)
    except (RuntimeError, NotImplementedError):  # of integers that the op refuses
        return None
    outs = [np.asarray(o) for o in _raw(out if isinstance(out, (tuple, list)) else (out,))]
    given = [tensors]
    if case.op.kind == ELEMENTWISE:  # as the kernel gets them; of one dtype, the rule knows what becomes of it
        alike = len({getattr(t, "dtype", None) for t in tensors}) == 1
        given = [list(promoted(case.op, tuple(tensors))), *([tensors] if alike else [])]
    wrong = next(filter(None, [_differs(said(case.op, _raw(operands), case.params), outs) for operands in given]), None)
    return None if wrong is None else f"on tensors, {wrong}"


@law("a trace on shapes alone is the trace on values")
def shapes_alone_give_the_same_graph(case: Case) -> str | None:
    """Check that the op is traced from `ShapeDtype` arguments to the same graph, or refused if values decide its shape."""
    places = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray)]
    f = lambda *values: case.op.call(*filled(case.args, values, places), **case.params)
    inputs = [tensor_of(case.args[i]) for i in places]
    try:
        graph = trace(f)(*inputs)
    except RuntimeError:
        return UNTRACED
    try:
        shaped = trace(f)(*[ShapeDtype(tuple(x.shape), x.dtype) for x in inputs])
    except TraceError as error:
        is_dynamic = any([shape is DYNAMIC for shape, _ in said(case.op, case.args, case.params)])
        name, _, words = str(error).partition("(): ")
        refused = words.startswith("values decide the shape of its result") and name in TABLE
        return None if is_dynamic and refused else f"raised {error}"
    return None if str(shaped) == str(graph) else f"on shapes {shaped} against {graph}"


# -- memory ------------------------------------------------------------------------------------------------------------


@law("memory is shared as declared")
def memory_is_shared_as_declared(case: Case) -> str | None:
    """Check that the results share the first input's memory if the op is a view, may if it says so, and no other's."""
    args = case.args
    variants = [args] + [[x, *args[1:]] for x in (layouts(args[0]) if isinstance(args[0], np.ndarray) and args[0].ndim else ())]
    for given in variants:
        try:
            out = case.call(given)
        except RuntimeError:
            continue  # of integers that the op refuses
        for i, found in enumerate(out if isinstance(out, (tuple, list)) else (out,)):
            for k, x in enumerate(given):
                if isinstance(x, np.ndarray) and isinstance(found, np.ndarray) and x.size and found.size:
                    wrong = _wrongly_shared(case.op, k, np.shares_memory(found, x), given is args)
                    if wrong is not None:
                        return f"result {i} and input {case.input_name(k)}: {wrong}"
    return None


def _wrongly_shared(op: Op, k: int, shared: bool, dense: bool) -> str | None:
    aliasing = op.aliasing if k == 0 else None
    if shared and aliasing is None:
        return "they share memory, and the declaration does not say so"
    copied = aliasing == "view" and not shared and dense  # of other layouts some views do not exist
    return "they share no memory, but the op is declared a view" if copied else None


# -- purity ------------------------------------------------------------------------------------------------------------


@law("an op changes no input, and a pure one gives the same again")
def pure_op_gives_the_same_again(case: Case) -> str | None:
    """Check two runs on the same arrays, which must be as they were."""
    before = [np.array(a) if isinstance(a, np.ndarray) else a for a in case.args]
    try:
        first = [np.array(r) for r in results(case.call(case.args))]
        second = results(case.call(case.args))
    except RuntimeError:  # of integers that the op refuses
        return None
    for i, (a, b) in enumerate(zip(case.args, before, strict=True)):
        if isinstance(a, np.ndarray) and a.tobytes() != b.tobytes():
            return f"input {case.input_name(i)} was changed"
    different = first_gap(second, first, 0) if case.op.pure else None
    return None if different is None else f"result {different[0]} of a second run: {different[1]}"


# -- lowering ----------------------------------------------------------------------------------------------------------

_STRANGE = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e-310, 1.0, -1.0, 0.5, -2.0, 3.0)


@law("lowering = kernel")
def lowering_is_the_kernel(case: Case) -> str | None:
    """Check a scalar expression, or an expansion, against the kernel, on special values too."""
    lowering = case.op.lowering
    if isinstance(lowering, Expansion):
        planted = plantings(case) if is_planted(case) and case.dtype == np.float64 else ()
        for where, args in itertools.chain([("", case.args)], planted):
            wrong = _expansion_gap(case, args)
            if wrong is not None:
                return f"{where}: {wrong}" if where else wrong
        return None
    if not isinstance(lowering, Expression):
        return None
    wrong = _expression_gap(case, promoted_arrays(case))
    if wrong is None and case.dtype == np.float64 and all(isinstance(a, np.ndarray) for a in case.args):
        n = len(case.args)
        wrong = _expression_gap(case, [np.array(_STRANGE).reshape([-1 if k == i else 1 for k in range(n)]) for i in range(n)])
        return None if wrong is None else f"on special values: {wrong}"
    return wrong


def _expansion_gap(case: Case, args: list) -> str | None:
    with np.errstate(all="ignore"):
        out = case.op.lowering.f(*map(tensor_of, args), **case.params)
    found = [np.asarray(o) for o in _raw(out if isinstance(out, (tuple, list)) else (out,))]
    return _gap_to(found, results(case.call([tensor_of(a) for a in args])), case)


def _expression_gap(case: Case, args: list) -> str | None:
    try:
        expected = results(case.call(args))
    except RuntimeError:  # of integers that the op refuses
        return None
    shapes, dtypes = described(args)
    scalar = case.op.lowering.scalar(dtypes, case.params)
    shape, dtype = case.op.result(shapes, dtypes, case.params)
    with np.errstate(all="ignore"):
        found = evaluate(scalar, args, joined(*dtypes))
    return _gap_to([np.broadcast_to(np.asarray(found).astype(dtype), shape)], expected, case)


def _gap_to(found: list, expected: list, case: Case) -> str | None:
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.dtype != b.dtype:
            return f"result {i}: dtype {a.dtype} against {b.dtype}"
    precise = all([b.dtype.kind not in "fcV" or b.dtype.itemsize // (1 + (b.dtype.kind == "c")) == 8 for b in expected])
    different = first_gap(found, expected, 1e-11 if precise else 1e-5)
    return None if different is None else f"result {different[0]}: {different[1]}"

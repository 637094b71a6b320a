"""``out=``: every function that takes it in PyTorch takes it, with PyTorch's values, warnings and refusals."""

from __future__ import annotations

import inspect
import operator
import warnings

import numpy as np
import pytest
from tests.each import by_name, of_function
from tests.ops.test_torch import Call, array, on_kwargs, on_leaves, translated

import chainrule as cr
from chainrule.core.tensor.tensor import wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.compare import gap


def first_call(function):
    """Return the first sample that is a plain call."""
    for index, sample in enumerate(function.samples()):
        kinds = sample.kinds or function.kinds
        if sample.error is None and sample.args[0].__class__ is tuple:
            return Call(function, index, sample, "float64" if "f" in kinds else "int64" if "i" in kinds else "bool")
    return None


CALLS = [call for call in map(first_call, FUNCTIONS.values()) if call is not None]


def result_and_out(lib, function, make, call, translate):
    """Return what a call gives, and what it gives into ``out=``."""
    args, kwargs = call.draw()
    args = [translate(a) for a in on_leaves(make, args, [])]
    kwargs = {k: translate(v) for k, v in on_kwargs(make, kwargs).items()}
    with lib.no_grad():
        plain = function(*args, **kwargs)
        several = isinstance(plain, tuple)
        outs = tuple(lib.empty(0, dtype=p.dtype) for p in (plain if several else (plain,)))
        given = function(*args, **kwargs, out=outs if several else outs[0])
    assert all(a is b for a, b in zip(given, outs, strict=True)) if several else given is outs[0]
    return plain, given


@by_name("call", CALLS, of_function)
def test_a_function_writes_into_out_where_pytorchs_does(torch, call):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = operator.attrgetter(call.function.name)(torch)
            _, expected = result_and_out(torch, theirs, torch.as_tensor, call, lambda v: translated(torch, v))
    except (TypeError, AttributeError, RuntimeError, NotImplementedError):
        pytest.skip("PyTorch's does not take out=")
    plain, found = result_and_out(cr, call.function.call, wrap, call, lambda v: v)
    for a, b, c in zip(*[t if isinstance(t, tuple) else (t,) for t in (found, plain, expected)], strict=True):
        assert a.dtype is b.dtype
        assert gap(array(a), array(b), 0) is None
        assert a.shape == c.shape or call.function.name == "fft.ihfftn"  # of a vector PyTorch leaves it empty


def outcome(lib, program):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = program(lib)
        except (RuntimeError, TypeError) as error:
            found = (type(error), str(error))
    return found, [str(w.message).partition(" (Triggered")[0] for w in caught]


def ones(lib, **options):
    return lib.ones(2, 3, **options)


# Programs that PyTorch refuses, warns of, or does in a way worth pinning.
PROGRAMS = [
    lambda lib: lib.add(ones(lib, requires_grad=True), 1, out=lib.empty(0)),
    lambda lib: lib.add(ones(lib), 1, out=ones(lib, requires_grad=True)),
    lambda lib: lib.sin(ones(lib, requires_grad=True), out=lib.empty(0)),
    lambda lib: lib.matmul(ones(lib), ones(lib, requires_grad=True).t(), out=lib.empty(0)),
    lambda lib: lib.cat([ones(lib), ones(lib, requires_grad=True)], out=lib.empty(0)),
    lambda lib: lib.add(ones(lib), 1, out=lib.empty(0, dtype=lib.int64)),
    lambda lib: lib.exp(ones(lib), out=lib.empty(0, dtype=lib.int64)),
    lambda lib: lib.sqrt(ones(lib), out=lib.empty(0, dtype=lib.float64)).tolist(),
    lambda lib: lib.mul(ones(lib), 2, out=lib.empty(5)).tolist(),
    lambda lib: lib.sum(ones(lib), 0, out=lib.empty(2)).tolist(),
    lambda lib: lib.mul(ones(lib), 2, out=lib.zeros(4, 3)[1:3])._version,
    lambda lib: lib.mul(ones(lib), 2, out=lib.zeros(1, 3).expand(2, 3)),
    lambda lib: lib.func.grad(lambda x: lib.sin(x, out=lib.empty(())) + x)(lib.tensor(1.0)),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_refusals_and_warnings_are_pytorchs(torch, program):
    assert outcome(cr, program) == outcome(torch, program)


def test_out_writes_through_a_view_and_counts_as_a_write():
    base = cr.zeros(4, 3)
    y = cr.ones(2, 3, requires_grad=True) * base[1:3]
    cr.add(cr.ones(2, 3), 1, out=base[1:3])
    assert base.tolist() == [[0.0] * 3, [2.0] * 3, [2.0] * 3, [0.0] * 3]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_products_want_the_dtype_of_the_result():
    x = cr.ones(2, 2)
    for name in ("mm", "matmul"):
        with pytest.raises(RuntimeError, match="Expected out tensor to have dtype float32, but got float64 instead"):
            getattr(cr, name)(x, x, out=cr.empty(2, 2, dtype=cr.float64))


def test_out_of_several_results_is_a_tuple():
    values, indices = cr.empty(0), cr.empty(0, dtype=cr.int64)
    found = cr.max(cr.tensor([[1.0, 3.0], [2.0, 0.0]]), 1, out=(values, indices))
    assert found.values is values
    assert (values.tolist(), indices.tolist()) == ([3.0, 2.0], [1, 0])
    with pytest.raises(TypeError, match="out= must be a tuple of 2 tensors"):
        cr.max(cr.ones(2, 2), 1, out=values)
    np.add(np.ones(2), 1, out=values.numpy())
    assert values.tolist() == [2.0, 2.0]


def test_least_squares_have_out_and_joint_histograms_have_none():
    A, B = cr.tensor([[1.0], [1.0]]), cr.tensor([[1.0], [3.0]])
    outs = tuple(cr.empty(0, dtype=dtype) for dtype in (cr.float32, cr.float32, cr.int64, cr.float32))
    found = cr.linalg.lstsq(A, B, driver="gelsd", out=outs)
    assert all(a is b for a, b in zip(found, outs, strict=True))
    assert found.solution.item() == pytest.approx(2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        cr.histogramdd(cr.ones(3, 2), bins=[2, 2], out=outs[:2])


def test_out_is_given_by_name_alone():
    x, y = cr.ones(2), cr.zeros(2)
    for call in (lambda: cr.sin(x, y), lambda: x.sin(y), lambda: cr.mul(x, x, y), lambda: cr.maximum(x, x, y)):
        with pytest.raises(TypeError, match="positional argument"):
            call()
    assert y.tolist() == [0.0, 0.0]
    for name, function in FUNCTIONS.items():
        out = inspect.signature(function.call).parameters.get("out")
        assert out is None or out.kind is out.KEYWORD_ONLY, name

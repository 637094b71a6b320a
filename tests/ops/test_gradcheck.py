"""A second opinion on the rule book and all that is composed of it: `gradcheck`, `gradgradcheck`, every mode, batched."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from tests.each import by_name, of_function
from tests.ops.matrices import GAUGED

from chainrule.autograd import gradcheck, gradgradcheck
from chainrule.core.op.samples import Matrices
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing import cases
from chainrule.testing.case import load_modules

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:There is a performance drop")]

CASES = cases(differentiable=True)
SMALL = 12  # the elements up to which whole Jacobians of second derivatives are taken; of more, random projections of them
FIRST = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True, "check_grad_dtypes": True}
SECOND = {"check_fwd_over_rev": True, "check_fwd_over_fwd": True, "check_rev_over_fwd": True, "check_batched_grad": True}


def inputs_of(case):
    return [wrap(np.array(case.args[i])).requires_grad_() for i in case.moving]


def function_of(case):
    """Return the op as a function of any matrices where it is one of Hermitian matrices."""
    specs = [case.sample.args[i] for i in case.moving]
    f = case.function(case.moving)
    return lambda *xs: f(*[s.direction(x) if isinstance(s, Matrices) else x for s, x in zip(specs, xs, strict=True)])


@by_name("case", CASES, share=3)
def test_first_derivatives_of_an_op(case):
    assert gradcheck(function_of(case), inputs_of(case), **FIRST)


@by_name("case", CASES, share=3)
def test_second_derivatives_of_an_op(case):
    inputs = inputs_of(case)
    fast = sum(x.numel() for x in inputs) > SMALL
    assert gradgradcheck(function_of(case), inputs, fast_mode=fast, **SECOND)


# -- public functions that are no op themselves -------------------------------------------------------------------------


class Call:
    """A public function on one of its samples, as a function of the drawn floating arrays."""

    def __init__(self, function, index, sample, dtype):
        self.function, self.index, self.sample, self.dtype = function, index, sample, dtype

    def inputs(self):
        self.args, self.kwargs = self.sample.draw(np.random.default_rng(self.index), self.dtype, self.function.domain)
        found = []
        self._map(lambda a: found.append(wrap(a.copy()).requires_grad_()) if a.dtype == self.dtype else None)
        return found

    def _map(self, f):
        def each(value):
            if isinstance(value, (list, tuple)):
                return type(value)(each(v) for v in value) if not hasattr(value, "_fields") else value
            return f(value) if isinstance(value, np.ndarray) else value

        return [each(a) for a in self.args], {k: each(v) for k, v in self.kwargs.items()}

    def __call__(self, *tensors):
        moving = iter(tensors)
        args, kwargs = self._map(lambda a: next(moving) if a.dtype == self.dtype else wrap(a.copy()))
        args = [s.direction(a) if isinstance(s, Matrices) else a for s, a in zip(self.sample.args, args, strict=True)]
        out = self.function.call(*args, **kwargs)
        found = []
        stack = [out]
        while stack:
            value = stack.pop()
            if isinstance(value, Tensor):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                stack += reversed(value)
        return tuple(t for t in found if t.is_floating_point() or t.is_complex())

    def __repr__(self):
        return f"{self.function.name}-{self.index}-{self.dtype}"


# Whose derivative raises, as PyTorch's.
UNDERIVED = {"histogram", "histogramdd", "linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve"}
# Singular values that count as 0 are taken to be 0, as in PyTorch: of others that are cut off no difference quotient tells so.
CUT = {("linalg.pinv", 7), ("linalg.pinv", 8), ("linalg.pinv", 10)}


def calls():
    load_modules("chainrule")  # some declare their functions only when they are used
    found = []
    for function in FUNCTIONS.values():
        if hasattr(function.call, "op") or function.name == "detach" or function.name in GAUGED | UNDERIVED:
            continue
        if "generator" in inspect.signature(function.call).parameters:
            continue
        for index, sample in enumerate(function.samples()):
            if (function.name, index) in CUT:
                continue
            kinds = function.kinds if sample.kinds is None else sample.kinds
            if sample.error is None and not any(isinstance(a, np.ndarray) for a in sample.args):  # given: ties, kinks, NaN
                found += [Call(function, index, sample, {"f": "float64", "c": "complex128"}[k]) for k in kinds if k in "fc"]
    return [call for call in found if call.inputs()]


CALLS = calls()


def defined(call):
    """Return a call's inputs, unless it has no value there: the variance of one number, the mean of none."""
    inputs = call.inputs()
    if not all(np.isfinite(t.detach().resolve_conj().numpy()).all() for t in call(*inputs)):
        pytest.skip("NaN has no derivative")
    return inputs


@by_name("call", CALLS, of_function, share=3)
def test_first_derivatives_of_a_function(call):
    inputs = defined(call)
    assert gradcheck(call, inputs, **FIRST)


@by_name("call", CALLS, of_function, share=3)
def test_second_derivatives_of_a_function(call):
    inputs = defined(call)
    assert gradgradcheck(call, inputs, fast_mode=True, **SECOND)

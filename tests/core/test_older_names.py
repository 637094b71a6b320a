"""PyTorch's older spellings, and the settings of the process: constructors by dtype, in-place functions, predicates."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.functions import in_place
from chainrule.functions.creation import legacy

CALLS = [
    lambda t: t.FloatTensor(2, 3).shape == (2, 3),
    lambda t: t.FloatTensor([1, 2]),
    lambda t: t.FloatTensor(t.ones(2)),
    lambda t: t.FloatTensor(t.ones(2, dtype=t.float64)),
    lambda t: t.FloatTensor(t.Size([2, 3])).shape == (2, 3),
    lambda t: t.Tensor(t.Size([2, 3])).shape == (2, 3),
    lambda t: t.Tensor(t.ones(2, dtype=t.float64)),
    lambda t: t.FloatTensor((2, 3)),
    lambda t: t.FloatTensor(),
    lambda t: t.FloatTensor(2.5),
    lambda t: t.Tensor(2.5),
    lambda t: t.FloatTensor([[1, 2], [3]]),
    lambda t: t.FloatTensor(2, requires_grad=True),
    lambda t: t.FloatTensor(2, [3]),
    lambda t: t.FloatTensor(2, device="cpu").shape == (2,),
    lambda t: t.LongTensor([1.7]),
    lambda t: t.LongTensor(np.ones(2)),
    lambda t: t.BoolTensor([1, 0]),
    lambda t: (
        isinstance(t.ones(2), t.FloatTensor),
        isinstance(t.ones(2).double(), t.FloatTensor),
        isinstance(2, t.FloatTensor),
    ),
    lambda t: isinstance(t.nn.Parameter(t.ones(2)), t.FloatTensor),
    lambda t: (t.FloatTensor.__name__, t.FloatTensor.is_cuda, type(t.FloatTensor([1])) is t.Tensor),
    lambda t: t.ones(2).type(t.DoubleTensor),
    lambda t: t.ones(2).type(f"{t.__name__}.LongTensor"),
    lambda t: t.ones(2).new([1, 2]),
    lambda t: t.ones(2).long().new([1, 2]),
    lambda t: t.ones(2).new(2, 3).shape == (2, 3),
    lambda t: t.range(0, 1, 0.3),
    lambda t: t.range(1, 4),
    lambda t: t.range(3, 1, -0.5),
    lambda t: t.range(3, 1),
    lambda t: t.range(0, 3, 0),
    lambda t: t.range(0, 2.5, dtype=t.int64),
    lambda t: t.range(0, float("inf")),
    lambda t: t.abs_(3),
    lambda t: t.relu_(t.tensor([-1.0, 2.0])),
    lambda t: t.clamp_(t.tensor([-1.0, 2.0]), max=1),
    lambda t: t.fill_(t.zeros(2), 3),
    lambda t: t.sin_(t.ones(2, requires_grad=True)),
    lambda t: t.is_nonzero(t.ones(2)),
    lambda t: t.is_nonzero(t.tensor([])),
    lambda t: (t.is_nonzero(t.tensor([[2.0]])), t.tensor(0).is_nonzero()),
    lambda t: t.is_nonzero(2),
    lambda t: (t.is_same_size(t.ones(2), t.ones(3)), t.is_signed(t.ones(2)), t.is_storage(3), t.get_device(t.ones(2))),
    lambda t: t.typename(t.ones(2)).rpartition(".")[2],
    lambda t: (t.typename(3), t.typename(t.float32).rpartition(".")[2], t.typename(t.FloatTensor).rpartition(".")[2]),
    lambda t: t.newaxis is None,
    lambda t: t.zeros(2, layout=t.strided, pin_memory=False),
    lambda t: t.zeros(2, layout="strided"),
    lambda t: t.zeros(2, pin_memory=True),
    lambda t: t.tensor(1.0, pin_memory=False),
    lambda t: t.tensor(1.0, pin_memory=True),
    lambda t: t.ones_like(t.zeros(2), layout=t.strided, pin_memory=False),
    lambda t: t.arange(2, layout=t.strided, pin_memory=False),
    lambda t: t.ones(2).new_zeros(2, layout=t.strided, pin_memory=False),
    lambda t: t.randperm(1, layout=t.strided, pin_memory=False),
    lambda t: t.full((2,), 1.0, pin_memory=False),
    lambda t: t.hann_window(4, layout=t.strided),
    lambda t: t.signal.windows.hann(3, sym=True, layout=t.strided),
    lambda t: t.ones(2).layout is t.strided and isinstance(t.strided, t.layout),
    lambda t: t.set_default_tensor_type(t.LongTensor),
    lambda t: t.set_default_tensor_type(3),
    lambda t: t.use_deterministic_algorithms(3),
    lambda t: t.set_deterministic_debug_mode(5),
    lambda t: t.set_deterministic_debug_mode("x"),
    lambda t: t.get_default_device().type,
    lambda t: (t.get_float32_matmul_precision(), t.get_deterministic_debug_mode()),
]


def outcome(f, t):
    try:
        found = f(t)
    except (RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__
    return (str(found.dtype).rpartition(".")[2], found.tolist()) if isinstance(found, t.Tensor) else found


@pytest.mark.filterwarnings("ignore:.*range is deprecated:UserWarning")
@pytest.mark.parametrize("n", range(len(CALLS)))
def test_an_older_call_does_what_pytorchs_does(n, torch):
    assert outcome(CALLS[n], cr) == outcome(CALLS[n], torch)


def test_in_place_functions_are_the_methods_and_recorded():
    for name in in_place.__all__:
        assert getattr(cr, name).__name__ == name
        assert hasattr(cr.Tensor, name)
    x = cr.tensor([0.5, 1.0], requires_grad=True)
    cr.exp_(cr.sin_(x * 1)).sum().backward()
    np.testing.assert_allclose(x.grad, (cr.sin(x).exp() * cr.cos(x)).detach(), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(legacy.__all__) - {"range", "BFloat16Tensor"}))
def test_a_class_makes_tensors_of_its_dtype(name):
    made = getattr(cr, name)([1, 0])
    assert made.dtype is getattr(cr, name).dtype
    assert isinstance(made, getattr(cr, name))
    assert made.type().endswith(name)


def test_the_default_type_may_be_set_by_class_or_name():
    try:
        for given in (cr.DoubleTensor, "chainrule.DoubleTensor", "torch.DoubleTensor"):
            cr.set_default_tensor_type(given)
            assert cr.ones(1).dtype is cr.float64
            cr.set_default_tensor_type("chainrule.FloatTensor")
            assert cr.ones(1).dtype is cr.float32
    finally:
        cr.set_default_dtype(cr.float32)


def test_determinism_is_what_was_asked_for():
    try:
        cr.use_deterministic_algorithms(True, warn_only=True)
        assert cr.are_deterministic_algorithms_enabled()
        assert cr.is_deterministic_algorithms_warn_only_enabled()
        assert cr.get_deterministic_debug_mode() == 1
        cr.set_deterministic_debug_mode("error")
        assert cr.get_deterministic_debug_mode() == 2
        assert not cr.is_deterministic_algorithms_warn_only_enabled()
    finally:
        cr.use_deterministic_algorithms(False)
    assert not cr.are_deterministic_algorithms_enabled()


def test_only_the_cpu_may_be_the_default_device():
    with cr.device("cpu") as entered:
        assert entered == cr.get_default_device()
    cr.set_default_device(None)
    with pytest.raises(AssertionError, match="CPU only"):
        cr.set_default_device("cuda")
    with pytest.raises(ValueError, match="'highest'"):
        cr.set_float32_matmul_precision("low")
    assert cr.set_flush_denormal(True) is False

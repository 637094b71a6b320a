"""Laws that were once broken: one test for each, named for what must hold."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr


def test_retained_gradient_is_that_of_the_value_after_an_in_place_write() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0, 24.0]
    assert x.grad.tolist() == [72.0, 144.0]


def test_retained_gradient_follows_a_write_through_a_view() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y[0].mul_(3)
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0, 8.0]


def test_view_goes_on_retaining_its_gradient_after_a_write_to_its_base() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    view = y[0]
    view.retain_grad()
    y.mul_(3)
    (view * view).sum().backward()
    assert view.grad.item() == 12.0


def test_input_given_twice_to_backward_gets_its_gradient_once() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward(inputs=[x, x])
    assert x.grad.tolist() == [2.0, 4.0]


def test_gradient_through_one_of_several_outputs_shares_no_memory_with_the_cotangent() -> None:
    x = cr.tensor(3.0, requires_grad=True)
    cotangent = cr.from_numpy(np.array(1.0, np.float32))
    values, _ = cr.sort(x)
    values.backward(cotangent)
    x.grad.add_(4)
    assert cotangent.item() == 1.0
    assert x.grad.item() == 5.0


def test_cotangent_of_integers_is_cast() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    x.backward(cr.tensor([1, 3]))
    assert x.grad.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(("dtype", "number", "wanted"), [("int8", 300, 45), ("uint8", -2, 255), ("int16", 2**40 + 1, 2)])
def test_integer_out_of_a_dtypes_range_wraps_around(dtype: str, number: int, wanted: int) -> None:
    t = cr.tensor([1], dtype=getattr(cr, dtype))
    assert (t + number).tolist() == [wanted]
    assert (t + number).dtype is t.dtype


def test_integer_beyond_64_bits_is_an_overflow_error() -> None:
    with pytest.raises(OverflowError, match="int too big to convert"):
        cr.tensor([1]) + 2**70


def test_write_to_a_leaf_view_is_refused_in_its_own_words() -> None:
    view = cr.zeros(4)[:2].requires_grad_()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used"):
        view.mul_(2)


def test_no_grad_around_a_transform_keeps_it_constant_for_the_outer_one() -> None:
    def f(x: cr.Tensor) -> cr.Tensor:
        with cr.no_grad():
            slope, value = cr.func.grad_and_value(lambda z: z * x * x)(x)
        return x**3 - slope + value

    assert cr.func.grad(f)(cr.tensor(1.5)).item() == 6.75


def test_transform_differentiates_in_inference_mode() -> None:
    with cr.inference_mode():
        w = cr.tensor(2.0)
        assert cr.func.grad(lambda x: x**3 * w)(cr.tensor(2.0)).item() == 24.0


def test_saved_indices_that_were_written_to_raise_and_values_may_be_written_to() -> None:
    weights = cr.tensor([1.0, 5.0])
    x = cr.tensor([2.0, 1.0], requires_grad=True)
    values, indices = cr.sort(x)
    indices.zero_()
    with pytest.raises(RuntimeError, match="one of the variables needed for gradient computation has been modified"):
        (values * weights).sum().backward()
    for create_graph in (False, True):
        values, indices = cr.sort(x)
        values.mul_(2)
        (gradient,) = cr.autograd.grad((values * weights).sum(), x, create_graph=create_graph)
        assert gradient.tolist() == [10.0, 2.0]


def test_leaf_may_be_written_to_in_a_transform_under_no_grad() -> None:
    w = cr.tensor(2.0, requires_grad=True)

    def f(x: cr.Tensor) -> cr.Tensor:
        w.add_(1)
        return x * w

    with cr.no_grad():
        assert cr.func.grad(f)(cr.tensor(2.0)).item() == 3.0
    assert w.is_leaf
    assert w.requires_grad


def test_no_grad_around_a_transform_leaves_its_values_without_history() -> None:
    w = cr.tensor(3.0, requires_grad=True)
    with cr.no_grad():
        gradient, value = cr.func.grad_and_value(lambda x: x * x * w)(cr.tensor(2.0))
        _, aux = cr.func.grad(lambda x: (x * x, w * 2), has_aux=True)(cr.tensor(2.0))
    assert not gradient.requires_grad
    assert not value.requires_grad
    assert not aux.requires_grad
    assert gradient.item() == 12.0
    gradient, value = cr.func.grad_and_value(lambda x: x * x * w)(cr.tensor(2.0))
    assert gradient.requires_grad
    assert value.requires_grad


def test_forward_over_reverse_goes_through_a_write_to_a_view() -> None:
    def f(x: cr.Tensor) -> cr.Tensor:
        y = x.clone()
        y.mul_(x)
        y[0].mul_(x[1])
        return (y * y).sum()

    x = cr.tensor([3.0, 2.0])
    gradient, tangent = cr.func.jvp(cr.func.grad(f), (x,), (cr.ones(2),))
    assert gradient.tolist() == [432.0, 356.0]
    assert tangent.tolist() == [864.0, 642.0]


def test_vjp_takes_cotangents_in_the_outputs_dtype() -> None:
    _, pull = cr.func.vjp(lambda x: x * x, cr.ones(2))
    assert pull(cr.ones(2, dtype=cr.float64))[0].dtype is cr.float32
    with pytest.raises(RuntimeError, match="For complex Tensors, both grad_output and output are required"):
        pull(cr.ones(2, dtype=cr.complex64))


def test_transform_of_a_number_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Thing passed to transform API must be Tensor"):
        cr.func.grad(lambda x: x)(1.0)


_OVERFLOWING = """
import numpy as np
{}
import chainrule as cr
big = cr.tensor([3e38])
big * 10, big + big, cr.tensor(3e38) * 10, cr.tensor([0.0]) / 0, cr.tensor(2**63 - 1) + 1
for zero in (cr.zeros(2), cr.tensor(0.0), cr.zeros(2, dtype=cr.float64), cr.zeros(2, dtype=cr.int64)):
    zero**-0.5, zero ** cr.tensor(-1.5), zero ** cr.tensor([-1.5, -2.5])
0.0 ** cr.tensor([-1, -2]), 0 ** cr.tensor([-0.5]), cr.zeros(2).pow_(-1), cr.tensor(-1.0) ** 0.5, big**20
for shape in ((), (1,)):
    x = cr.full(shape, 3e38, requires_grad=True)
    for _ in range(4):
        (x * 3e38).backward(cr.ones(shape))
    x.grad
    (x * 3e38).backward(cr.ones(shape))
"""


@pytest.mark.parametrize("setup", ["", "np.seterr(all='raise')"])
@pytest.mark.parametrize("flags", [(), ("-W", "error")])
def test_overflow_is_silent_in_every_mode_of_numpy(flags: tuple, setup: str) -> None:
    done = subprocess.run(
        [sys.executable, *flags, "-c", _OVERFLOWING.format(setup)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_large_elementwise_work_runs_while_the_interpreter_shuts_down() -> None:
    code = """
import atexit
import chainrule as cr
cr.set_num_threads(2)
atexit.register(lambda: print(cr.zeros(1 << 19).exp()[-1].item()))
cr.zeros(1 << 19).exp()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1.0\n", "")


@pytest.mark.parametrize(
    "shuffled", [lambda x: cr.channel_shuffle(x, 1), lambda x: cr.channel_shuffle(x, 4), lambda x: cr.pixel_shuffle(x, 1),
                 lambda x: cr.pixel_unshuffle(x, 1)]
)  # fmt: skip
def test_what_is_shuffled_by_one_shares_no_memory(shuffled):
    x = cr.ones(1, 4, 2, 2)
    y = shuffled(x)
    x *= 2
    assert y.eq(1).all()
    assert y._base is None


def test_a_complex_power_of_real_elements_is_complex():
    assert (cr.tensor([1.0, 2.0]) ** (1 + 2j)).tolist() == pytest.approx([1, 2 ** (1 + 2j)])
    assert (cr.zeros(0) ** 1j).dtype is cr.complex64


def test_negative_powers_of_no_integers_are_refused_too():
    with pytest.raises(RuntimeError, match="Integers to negative integer powers are not allowed"):
        cr.tensor([], dtype=cr.int64) ** -1

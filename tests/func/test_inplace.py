"""Writing in place inside transforms: tensors made inside take the transform's values, tensors from outside refuse them."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.autograd import forward_ad
from chainrule.func import grad, jacfwd, jvp


def filled_in(x):
    y = cr.zeros(3)
    part = y[1:]
    y[0] = x[0]
    y[1:] = x[:2] * x[1]
    part.mul_(2)
    return (y * y).sum()


def point():
    return cr.tensor([1.0, 2.0, 3.0])


def recorded_gradient(f):
    x = point().requires_grad_()
    return cr.autograd.grad(f(x), x)[0]


def test_a_plain_tensor_made_inside_takes_values_of_the_transform():
    assert grad(filled_in)(point()).tolist() == recorded_gradient(filled_in).tolist()
    value, tangent = jvp(filled_in, (point(),), (cr.ones(3),))
    assert value.item() == filled_in(point()).item()
    assert tangent.item() == recorded_gradient(filled_in).sum().item()


def test_nested_transforms_write_in_place():
    over_reverse = grad(lambda x: grad(filled_in)(x).sum())(point())
    _, over_forward = jvp(grad(filled_in), (point(),), (cr.ones(3),))
    assert over_reverse.tolist() == over_forward.tolist() == [66.0, 232.0, 0.0]


def test_a_captured_tensor_refuses_values_of_the_transform():
    outside = cr.zeros(3)
    for write in (lambda x: outside.copy_(x), lambda x: outside[1:].add_(x[1:])):
        with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
            grad(lambda x, write=write: write(x).sum())(point())
    assert outside.tolist() == [0.0, 0.0, 0.0]

    def inner_write(x):
        made = cr.zeros(3)
        return grad(lambda y: made.copy_(y * x).sum())(x).sum()

    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        grad(inner_write)(point())


def test_a_dual_written_in_place_leaves_a_plain_tensor_when_its_level_ends():
    buffer = cr.zeros(2)
    view = buffer[1:]
    with forward_ad.dual_level():
        x = forward_ad.make_dual(cr.tensor(3.0), cr.tensor(1.0))
        buffer[1] = x * x
        assert forward_ad.unpack_dual(buffer).tangent.tolist() == [0.0, 6.0]
        assert forward_ad.unpack_dual(view).tangent.tolist() == [6.0]
    assert type(buffer) is type(view) is cr.Tensor
    assert buffer.tolist() == [0.0, 9.0]


def test_recorded_leaves_stay_differentiable_inside_a_transform():
    w = cr.tensor(2.0, requires_grad=True)

    def f(x):
        y = cr.zeros(1) + w * w  # level 0, inside the transform
        return (x * y).sum()

    g = grad(f)(cr.tensor([3.0]))
    assert g.item() == 4.0
    assert cr.autograd.grad(g.sum(), w)[0].item() == 4.0


def test_an_argument_written_in_place_is_the_callers_tensor():
    def doubled(x):
        x[1:].mul_(2)
        return x * x

    x = point()
    assert jvp(doubled, (x,), (cr.ones(3),))[1].tolist() == [2.0, 16.0, 24.0]
    assert x.tolist() == [1.0, 4.0, 6.0]
    assert x._version == 1
    for chunk_size in (1, None):  # runs the function several times, from the same place
        x = point()
        assert jacfwd(doubled, chunk_size=chunk_size)(x).sum(1).tolist() == [2.0, 16.0, 24.0]
        assert x.tolist() == [1.0, 2.0, 3.0]
    leaf = point().requires_grad_()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        jvp(doubled, (leaf,), (cr.ones(3),))
    x = point()
    assert grad(lambda w: jvp(lambda x: doubled(x).sum() * w, (x,), (cr.ones(3),))[1])(cr.tensor(1.0)).item() == 42.0
    assert x.tolist() == [1.0, 4.0, 6.0]

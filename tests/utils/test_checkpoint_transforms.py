"""Checkpoints under every transform: the derivative is that of the plain call, random numbers are drawn again."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from tests.utils.programs import TRANSFORMS, Counted, F, T, X, close, kept, layers, leaf, scalar

import chainrule as cr
from chainrule.utils.checkpoint import (
    checkpoint,
)

pytestmark = pytest.mark.usefixtures("small_heap")


@pytest.mark.parametrize("style", [False, True])
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_give_the_derivative_of_the_plain_call(name, style):
    take = TRANSFORMS[name]
    close(take(lambda x: checkpoint(layers, x, use_reentrant=style)), take(layers))


@pytest.mark.parametrize("name", ["grad", "vjp", "grad of grad"])
def test_reverse_levels_call_again_and_forward_levels_do_not(name):
    g = Counted(layers)
    TRANSFORMS[name](lambda x: kept(g, x))
    assert g.calls > 1
    g = Counted(layers)
    TRANSFORMS["jvp"](lambda x: kept(g, x))
    assert g.calls == 1


@pytest.mark.parametrize("style", [True, False])
def test_captured_values_of_transforms_get_derivatives(style):
    def f(w, call):
        return call(lambda x: (x * w).exp() * w, X).sum()

    call = functools.partial(checkpoint, use_reentrant=style)
    close(F.grad(lambda w: f(w, call))(T), F.grad(lambda w: f(w, lambda g, x: g(x)))(T))


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("style", [True, False])
def test_second_derivatives_by_a_leaf_that_checkpoints_share_and_their_arguments_are_made_of(style):
    def run(call):
        w, x = leaf(), leaf()
        h = cr.tanh(w * x)
        for _ in range(2):
            h = call(lambda h: (w * h).sin() * w * h, h)
        h.sum().backward(create_graph=True)
        first, w.grad, x.grad = [w.grad, x.grad], None, None
        (first[0].square() + first[1].square()).sum().backward()
        return [g.detach() for g in (*first, w.grad, x.grad)]

    close(run(functools.partial(checkpoint, use_reentrant=style)), run(lambda f, x: f(x)))


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("style", [True, False])
def test_a_recorded_backward_can_be_differentiated(style):
    # PyTorch's reentrant checkpoints drop this gradient's history without a word.
    def run(call):
        x, w = leaf(), leaf(1.0, 2.0, 3.0)
        y = (call(lambda a: (a * w).sin() * w, x * x)).sum()
        y.backward(create_graph=True)
        first, x.grad = x.grad, None
        other, w.grad = w.grad, None
        (first.sum() + (other * other).sum()).backward()
        return first, other, x.grad, w.grad

    close(run(functools.partial(checkpoint, use_reentrant=style)), run(lambda f, x: f(x)))


def test_leaves_outside_a_transform_get_gradients_through_one():
    def run(call):
        w = leaf()
        y = F.grad(lambda x: call(lambda x: (x * w).sin() * w, x).sum())(X).sum()
        y.backward()
        return w.grad

    close(run(kept), run(lambda g, x: g(x)))


def test_memory_written_inside_a_transform():
    def f(x):
        y = cr.zeros(3, dtype=cr.float64)
        y[0] = x[1] * x[0]
        y[1] = x.sin()[2] + y[0]
        return y * x

    close(F.grad(scalar(lambda x: kept(f, x)))(X), F.grad(scalar(f))(X))


def test_functional_call():
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 1))
    x = cr.ones(2, 3)
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, call):
        return call(lambda x: F.functional_call(model, p, (x,)), x).sum()

    ours, plain = F.grad(lambda p: loss(p, kept))(params), F.grad(lambda p: loss(p, lambda f, x: f(x)))(params)
    close(list(ours.values()), list(plain.values()))


class ExpTimes(cr.autograd.Function):
    """Reads what it saved twice, as checkpoints outside of transforms refuse."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(x, y)
        return y * x

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        _, y = ctx.saved_tensors
        return g * (y * x + y)


@pytest.mark.parametrize("style", [True, False])
@pytest.mark.parametrize("name", ["vjp", "vjp twice", "grad of grad"])
def test_functions_inside(name, style):
    def f(x):
        return ExpTimes.apply(x.sin()).cos()

    close(TRANSFORMS[name](lambda x: checkpoint(f, x, use_reentrant=style)), TRANSFORMS[name](f))


def test_gradcheck_passes_with_every_option():
    def f(x):
        return kept(lambda x: (x.sin() * x).exp(), x)

    assert cr.autograd.gradcheck(f, (leaf(),), check_forward_ad=True, check_batched_grad=True)
    assert cr.autograd.gradgradcheck(f, (leaf(),))


def test_complex_values():
    z = cr.tensor([1 + 2j, 0.5j], dtype=cr.complex128, requires_grad=True)
    f = lambda z: (z * z.exp()).abs().sum()
    close(cr.autograd.grad(kept(f, z), z), cr.autograd.grad(f(z), z))


def test_a_tangent_pulled_back_after_its_level_closed():
    fwd = cr.autograd.forward_ad

    def run(call):
        x = leaf()
        with fwd.dual_level():
            tangent = fwd.unpack_dual(call(layers, fwd.make_dual(x, T))).tangent
        tangent.sum().backward()
        return x.grad

    close(run(kept), run(lambda f, x: f(x)))


def test_hooks_inside_see_each_gradient_once():
    seen = []

    def f(x):
        y = x.exp()
        y.register_hook(lambda g: seen.append(1) or g * 2)
        with cr.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
            return y.sin()

    x = leaf()
    kept(f, x).sum().backward()
    assert seen == [1]
    found, x.grad = x.grad, None
    f(x).sum().backward()
    close(found, x.grad)


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
def test_anomaly_mode_sees_what_is_computed_again():
    x = cr.zeros(2, requires_grad=True)
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values"):
        kept(lambda x: (x * 0).sqrt() * 0, x).sum().backward()


# -- random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [True, False])
def test_random_numbers_are_drawn_again_and_the_stream_goes_on(style):
    mine = cr.Generator().manual_seed(3)

    def f(x):
        x = cr.nn.functional.dropout(x, 0.5) * cr.rand(3, dtype=cr.float64)
        return x * x * cr.rand(3, generator=mine, dtype=cr.float64)

    def run(call):
        cr.manual_seed(0)
        mine.manual_seed(1)
        x = leaf()
        y = call(f, x)
        between = cr.rand(2)
        y.sum().backward()
        return y, x.grad, between, cr.rand(2), cr.rand(2, generator=mine)

    close(run(functools.partial(checkpoint, use_reentrant=style)), run(lambda f, x: f(x)))


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_numbers_under_vmap(randomness):
    def f(x):
        return cr.nn.functional.dropout(x * x, 0.5) * x

    def run(call, take):
        cr.manual_seed(0)
        return take(lambda x: call(f, x))

    for take in (
        lambda f: F.vmap(F.grad(scalar(f)), randomness=randomness)(cr.stack([X, T])),
        lambda f: F.grad(scalar(F.vmap(f, randomness=randomness)))(cr.stack([X, T])),
    ):
        close(run(kept, take), run(lambda f, x: f(x), take))


def test_preserve_rng_state_false_draws_anew():
    x = leaf(1.0, 1.0)
    y = kept(lambda x: x * cr.rand(2, dtype=cr.float64), x, preserve_rng_state=False)
    y.sum().backward()
    assert not np.allclose(x.grad.numpy(), y.detach().numpy())


def test_seeding_inside_is_undone_after_the_second_run():
    def f(x):
        cr.manual_seed(7)
        return x * cr.rand(3, dtype=cr.float64) * x

    x = leaf()
    y = kept(f, x)
    cr.manual_seed(11)
    expected = cr.rand(2)
    cr.manual_seed(11)
    y.sum().backward()
    close(cr.rand(2), expected)

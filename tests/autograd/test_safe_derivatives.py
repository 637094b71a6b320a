"""`autograd.safe_derivatives`: the traps give their true derivatives every way, and a zero that is not absent stays a zero."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.autograd.where_traps import TRAPS

import chainrule as cr
from chainrule.autograd import forward_ad, safe_derivatives
from chainrule.func import grad, jacfwd, jacrev, jvp, linearize, vjp, vmap

ALL = pytest.mark.parametrize("trap", TRAPS, ids=[t.name for t in TRAPS])
BATCHED = pytest.mark.parametrize("trap", [t for t in TRAPS if t.name != "picked"], ids=lambda t: t.name)  # of one shape each
EXACT = {"rtol": 1e-11, "atol": 1e-12}


def _each(x):
    return [cr.tensor(e.reshape(tuple(x.shape))) for e in np.eye(x.numel())]


def _backward(f, x):
    x = x.clone().requires_grad_()
    f(x).backward()
    return x.grad


def _dual(f, x):
    with forward_ad.dual_level():
        return cr.stack([forward_ad.unpack_dual(f(forward_ad.make_dual(x, e))).tangent for e in _each(x)])


def _recorded_twice(f, x):
    x = x.clone().requires_grad_()
    (g,) = cr.autograd.grad(f(x), x, create_graph=True)
    return cr.stack([cr.autograd.grad((g * e).sum(), x, retain_graph=True)[0] for e in _each(x)])


FIRST = {
    "backward": _backward,
    "grad": lambda f, x: grad(f)(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jvp": lambda f, x: cr.stack([jvp(f, (x,), (e,))[1] for e in _each(x)]),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "dual": _dual,
    "linearize": lambda f, x: cr.stack([linearize(f, x)[1](e) for e in _each(x)]),
}
SECOND = {
    "reverse over reverse": lambda f, x: jacrev(jacrev(f))(x),
    "forward over reverse": lambda f, x: jacfwd(jacrev(f))(x),
    "reverse over forward": lambda f, x: jacrev(jacfwd(f))(x),
    "forward over forward": lambda f, x: jacfwd(jacfwd(f))(x),
    "create_graph": _recorded_twice,
    "hessian": lambda f, x: cr.func.hessian(f)(x),
}


def _ways(ways, slow):
    return [pytest.param(way, marks=pytest.mark.slow) if way in slow else way for way in ways]


@pytest.mark.parametrize("way", _ways(FIRST, ("jacrev", "jacfwd", "dual")))
@ALL
def test_first_derivatives_are_the_true_ones(trap, way):
    with safe_derivatives():
        found = FIRST[way](lambda x: trap.f(cr, x), cr.tensor(trap.at))
    np.testing.assert_allclose(found.numpy().reshape(trap.at.shape), trap.gradient(trap.at), **EXACT)


@pytest.mark.parametrize("way", _ways(SECOND, ("create_graph", "hessian")))
@ALL
def test_second_derivatives_are_the_true_ones(trap, way):
    want = trap.hessian(trap.at)
    with safe_derivatives():
        found = SECOND[way](lambda x: trap.f(cr, x), cr.tensor(trap.at))
    np.testing.assert_allclose(found.detach().numpy().reshape(want.shape), want, **EXACT)


@BATCHED
def test_examples_of_a_batch_have_the_true_ones(trap):
    f, points = lambda x: trap.f(cr, x), np.stack([trap.at, trap.free])
    want = [trap.gradient(p) for p in points]
    with safe_derivatives():
        first = vmap(grad(f))(cr.tensor(points))
        moved = vmap(lambda x: jacfwd(f)(x))(cr.tensor(points))
        second = vmap(jacfwd(jacrev(f)))(cr.tensor(points))
    np.testing.assert_allclose(first.numpy(), want, **EXACT)
    np.testing.assert_allclose(moved.numpy(), want, **EXACT)
    np.testing.assert_allclose(second.numpy().reshape(2, points[0].size, -1), [trap.hessian(p) for p in points], **EXACT)


@pytest.mark.slow
@ALL
def test_off_the_traps_are_pytorchs(trap):
    torch = pytest.importorskip("torch")
    ours, theirs = grad(lambda x: trap.f(cr, x)), torch.func.grad(lambda x: trap.f(torch, x))
    np.testing.assert_allclose(ours(cr.tensor(trap.at)).numpy(), theirs(torch.tensor(trap.at)).numpy(), rtol=1e-12)


# -- zeros that are no absent ones -------------------------------------------------------------------------------------

INFINITE_TIMES_ZERO = {
    "the square of a root": lambda x: cr.sqrt(x) * cr.sqrt(x),
    "by the op": lambda x: cr.sqrt(x).square(),
    "by a power": lambda x: cr.sqrt(x) ** 2,
    "a number": lambda x: cr.sqrt(x) * 0,
    "a mask of numbers": lambda x: cr.sqrt(x) * (x > 0).double(),
    "a difference": lambda x: cr.sqrt(x) * (x - x),
    "cancelling cotangents": lambda x: (lambda r: r - r)(cr.sqrt(x)),
    "a flat place": lambda x: cr.sin(cr.sqrt(x) + np.pi / 2).square() * 0,
    "a kink": lambda x: abs(cr.sqrt(x)),
    "a norm": lambda x: cr.linalg.vector_norm(cr.sqrt(x)[None], dim=0),
    "an angle": lambda x: cr.atan2(cr.sqrt(x), x),
    "a deviation": lambda x: cr.std(cr.stack([cr.sqrt(x), cr.sqrt(x)]), 0),
    "the sign copied": lambda x: cr.copysign(cr.sqrt(x), x),
    "a product with a logarithm": lambda x: cr.special.xlogy(cr.sqrt(x), x),
    "differences": lambda x: cr.diff(cr.sqrt(x[None]).expand(2, 2), dim=0)[0],
}


@pytest.mark.parametrize("name", INFINITE_TIMES_ZERO)
def test_a_zero_that_something_gave_is_not_absent(name):
    f = INFINITE_TIMES_ZERO[name]
    x = cr.tensor([0.0, 4.0], dtype=cr.float64)
    with safe_derivatives():
        back, forth = grad(lambda x: f(x).sum())(x), jvp(f, (x,), (cr.ones(2, dtype=cr.float64),))[1]
    assert cr.isnan(back[0])
    assert np.isfinite(back[1].item())
    assert cr.isnan(forth[0])
    assert np.isfinite(forth[1].item())


def test_a_seed_of_zeros_that_is_differentiated_is_present():
    x, v = cr.tensor([1.0, 4.0], dtype=cr.float64), cr.tensor([3.0, 5.0], dtype=cr.float64)
    with safe_derivatives():
        x = x.requires_grad_()
        seed = cr.zeros(2, dtype=cr.float64, requires_grad=True)
        (back,) = cr.autograd.grad(cr.sqrt(x), x, seed, create_graph=True)
        (forth,) = cr.autograd.grad(back, seed, v)  # Jv by differentiating the pullback in its seed
        moved = jvp(lambda s: vjp(cr.sqrt, x.detach())[1](s)[0], (cr.zeros(2, dtype=cr.float64),), (v,))[1]
    np.testing.assert_allclose(forth.numpy(), [1.5, 1.25])
    np.testing.assert_allclose(moved.numpy(), [1.5, 1.25])


def test_a_write_to_a_dual_s_tangent_makes_it_present():
    x, t = cr.tensor([1.0, 4.0]), cr.zeros(2)
    with safe_derivatives(), forward_ad.dual_level():
        d = forward_ad.make_dual(x, t)
        t[1] = 1
        moved = forward_ad.unpack_dual(cr.sqrt(d)).tangent
    assert moved.tolist() == [0, 0.25]


def test_a_constant_seed_s_zeros_are_absent():
    x = cr.tensor([0.0, 4.0], dtype=cr.float64)
    with safe_derivatives():
        want = np.array([[np.inf, 0], [0, 0.25]])
        np.testing.assert_array_equal(jacrev(cr.sqrt)(x).numpy(), want)
        np.testing.assert_array_equal(jacfwd(cr.sqrt)(x).numpy(), want)
        np.testing.assert_array_equal(vjp(cr.sqrt, x)[1](cr.tensor([0.0, 1.0], dtype=cr.float64))[0].numpy(), [0, 0.25])


@pytest.mark.parametrize("other", [lambda r: r[0] * 2, lambda r: r.sum(), lambda r: -r.sum()], ids=["part", "all", "minus all"])
@pytest.mark.parametrize("first", [True, False])
def test_what_meets_something_present_is_present(other, first):
    def f(x):
        r = cr.sqrt(x)
        terms = [cr.where(x > 0, r, 0).sum(), other(r)]
        return terms[not first] + terms[first]

    x = cr.tensor([0.0, 4.0], dtype=cr.float64)
    with safe_derivatives():
        assert np.isinf(grad(f)(x)[0].item())
        assert np.isinf(jacfwd(f)(x)[0].item())


# -- selections, and listed values -------------------------------------------------------------------------------------

DROPPED = {
    "maximum": lambda r: cr.maximum(r, cr.full_like(r, -3.0)),
    "fmax": lambda r: cr.fmax(r, cr.full_like(r, -3.0)),
    "clamp": lambda r: cr.clamp(r, min=-3),
    "relu": cr.relu,
    "hardtanh": lambda r: cr.nn.functional.hardtanh(r, -3, 5),
    "max": lambda r: cr.max(r, 0).values,
    "amax": lambda r: cr.amax(r, 0),
    "max of all": cr.max,
    "topk": lambda r: cr.topk(r, 1).values,
    "sorted": lambda r: cr.sort(r).values[1:],
    "nansum": lambda r: cr.nansum(cr.where(cr.isinf(r), float("nan"), r)),
    "nan_to_num": lambda r: cr.nan_to_num(r, neginf=-7.0),
    "slice": lambda r: r[1:],
    "number": lambda r: r[1],
    "select": lambda r: r.index_select(0, cr.tensor([1])),
    "take": lambda r: cr.take_along_dim(r, cr.tensor([1]), 0),
    "split": lambda r: cr.split(r, 1)[1],
    "unbind": lambda r: r.unbind()[1],
    "masked_select": lambda r: cr.masked_select(r, cr.tensor([False, True])),
    "put": lambda r: r.index_put((cr.tensor([0]),), cr.tensor(1.0, dtype=r.dtype)),
    "filled in place": lambda r: r.clone().masked_fill_(cr.isinf(r), 0.0),
    "written in place": lambda r: _written(r.clone()),
    "loss": lambda r: -cr.nn.functional.nll_loss(r[None], cr.tensor([1])),
    "pool": lambda r: cr.nn.functional.max_pool1d(r[None, None], 2),
    "rounded": lambda r: cr.round(r)[1] + cr.floor(cr.exp(r)).sum(),
    "scatter": lambda r: r.scatter(0, cr.tensor([0]), cr.tensor([2.0], dtype=r.dtype)),
    "differences": lambda r: cr.diff(r[:, None].expand(2, 2), dim=1)[1] + r[1],
    "spectrum": lambda r: cr.fft.fft(cr.stack([r, r], 1), dim=1).real[1, 0] / 2,
    "product of matrices": lambda r: (cr.diag(r) @ cr.tensor([[float("nan")], [1.0]], dtype=r.dtype))[1],
    "padded away": lambda r: cr.nn.functional.pad(r, (-1, 2)),
}


def _written(r):
    r[0] = 2.0
    return r


@pytest.mark.parametrize("name", DROPPED)
def test_what_a_selection_drops_is_absent(name):
    f = lambda x: DROPPED[name](cr.log(x)).sum()
    x = cr.tensor([0.0, 2.0], dtype=cr.float64)
    want = 0.0 if name == "rounded" else 0.5
    with safe_derivatives():
        np.testing.assert_array_equal(grad(f)(x).numpy(), [0, want])
        np.testing.assert_array_equal(jacfwd(f)(x).numpy(), [0, want])


@pytest.mark.parametrize("f", [cr.linalg.vector_norm, lambda x: cr.atan2(x[0], x[1]), lambda x: cr.linalg.vector_norm(x, 3)])
def test_a_norm_and_an_angle_at_0_have_the_derivative_0_in_every_order(f):
    x = cr.zeros(2, dtype=cr.float64)
    with safe_derivatives():
        for one in (jacfwd, jacrev):
            for two in (jacfwd, jacrev):
                assert not one(two(f))(x).any()
                assert not one(two(one(f)))(x).any()


def test_a_batch_of_normalised_rows_is_finite_with_a_row_of_zeros():
    x = cr.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=cr.float64)
    with safe_derivatives():
        found = grad(lambda x: cr.nn.functional.normalize(x, dim=1)[1].sum())(x)
    np.testing.assert_allclose(found.numpy(), [[0, 0], [0.032, -0.024]], atol=1e-15)


# -- what else is there ------------------------------------------------------------------------------------------------


def _trap(x):
    return cr.where(x > 0, cr.sqrt(x), 0).sum()


def test_it_is_on_in_its_block_and_as_a_decorator_and_off_inside_with_false():
    x = cr.tensor([0.0, 4.0])
    safe = safe_derivatives()(lambda: grad(_trap)(x))
    assert np.isnan(grad(_trap)(x)[0].item())
    assert safe()[0].item() == 0
    with safe_derivatives():
        assert cr.autograd.is_safe_derivatives_enabled()
        with safe_derivatives(False):
            assert not cr.autograd.is_safe_derivatives_enabled()
            assert np.isnan(grad(_trap)(x)[0].item())
        with cr.no_grad(), cr.enable_grad():
            assert grad(_trap)(x)[0].item() == 0
    assert not cr.autograd.is_safe_derivatives_enabled()


def test_it_is_of_its_thread():
    found = []
    with safe_derivatives():
        t = threading.Thread(target=lambda: found.append(cr.autograd.is_safe_derivatives_enabled()))
        t.start()
        t.join()
    assert found == [False]


def test_hooks_see_plain_cotangents_and_what_they_put_in_is_present():
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    seen = []
    r = cr.sqrt(x)
    r.retain_grad()
    r.register_hook(lambda g: seen.append(g))
    x.register_hook(lambda g: seen.append(g))
    with safe_derivatives():
        cr.where(x > 0, r, 0).sum().backward()
    assert [type(g) for g in seen] == [cr.Tensor, cr.Tensor]
    assert seen[0].tolist() == [0, 1]
    assert seen[1].tolist() == [0, 0.25]
    assert r.grad.tolist() == [0, 1]

    x = cr.tensor([0.0, 4.0], requires_grad=True)
    r = cr.sqrt(x)
    r.register_hook(lambda g: g + 1)
    with safe_derivatives():
        cr.where(x > 0, r, 0).sum().backward()
    assert x.grad.tolist() == [np.inf, 0.5]


def test_gradients_accumulate_and_the_graph_may_be_kept():
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    loss = _trap(x)
    with safe_derivatives():
        loss.backward(retain_graph=True)
        loss.backward()
    assert x.grad.tolist() == [0, 0.5]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_mode_finds_nothing_to_say():
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    with safe_derivatives(), cr.autograd.detect_anomaly():
        _trap(x).backward()
    assert x.grad.tolist() == [0, 0.25]


def test_many_rows_of_a_large_matrix_stay_absent_where_none_was_taken():
    x = cr.zeros(50, 40, dtype=cr.float64)
    x[3] = 4
    with safe_derivatives():
        found = grad(lambda x: (lambda r: r[3].sum() + r[3, 1])(cr.sqrt(x)))(x)
    want = np.zeros((50, 40))
    want[3], want[3, 1] = 0.25, 0.5
    np.testing.assert_array_equal(found.numpy(), want)


def test_a_batch_of_cotangents_is_pulled_back_safely():
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    y = cr.where(x > 0, cr.sqrt(x), 0)
    with safe_derivatives():
        (found,) = cr.autograd.grad(y, x, cr.eye(2), is_grads_batched=True)
    assert found.tolist() == [[0, 0], [0, 0.25]]


def test_complex_values_have_absent_elements_too():
    z = cr.tensor([0j, 4 + 0j], dtype=cr.complex128)
    with safe_derivatives():
        found = grad(lambda z: cr.where(abs(z) > 0, cr.sqrt(z), 0).real.sum())(z)
    assert found.tolist() == [0, 0.25]


SEEN: list = []


class _Doubled(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        SEEN.append(g)
        return g * 2


def test_a_function_with_rules_of_its_own_sees_zeros_and_gives_what_is_present():
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    with safe_derivatives():
        (found,) = cr.autograd.grad(cr.where(x > 0, _Doubled.apply(cr.sqrt(x)), 0).sum(), x)
        assert type(SEEN[-1]) is cr.Tensor
        assert SEEN[-1].tolist() == [0, 1]
        assert np.isnan(found[0].item())
        assert found[1].item() == 0.5
        (found,) = cr.autograd.grad(_Doubled.apply(cr.where(x > 0, cr.sqrt(x), 0)).sum(), x)
    assert found.tolist() == [0, 0.5]


def test_checkpoints_run_again_in_the_mode():
    from chainrule.utils.checkpoint import checkpoint

    x = cr.tensor([0.0, 4.0], requires_grad=True)
    with safe_derivatives():
        for reentrant in (True, False):
            (found,) = cr.autograd.grad(checkpoint(_trap, x, use_reentrant=reentrant), x) if not reentrant else (None,)
            if found is None:
                checkpoint(_trap, x, use_reentrant=True).backward()
                found = x.grad
            assert found.tolist() == [0, 0.25]


def test_compiled_functions_run_as_they_are():
    f = cr.compile(lambda x: cr.where(x > 0, cr.sqrt(x), 0).sum())
    x = cr.tensor([0.0, 4.0], requires_grad=True)
    for _ in range(3):
        assert np.isnan(cr.autograd.grad(f(x), x)[0][0].item())
        with safe_derivatives():
            assert cr.autograd.grad(f(x), x)[0].tolist() == [0, 0.25]
            assert cr.compile(grad(_trap))(x.detach()).tolist() == [0, 0.25]


def test_the_mode_may_be_entered_in_a_compiled_function():
    def step(x):
        with safe_derivatives():
            return grad(_trap)(x)

    f = cr.compile(step)
    for at in ([0.0, 4.0], [0.0, 4.0], [0.0, 9.0], [16.0, 0.0], [16.0, 0.0]):
        np.testing.assert_allclose(f(cr.tensor(at)).numpy(), [0.5 / np.sqrt(v) if v else 0 for v in at])


@pytest.mark.slow
def test_the_figure_of_the_guide_shows_what_is_found(tmp_path):
    pytest.importorskip("matplotlib")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, str(root / "scripts" / "write_safe_figure.py"), str(tmp_path)], check=True)
    drawn, kept = (folder / "safe-bump.svg" for folder in (tmp_path, root / "docs" / "figures"))
    titles = [re.findall(r">([a-zA-Z_ ]+: \d+ NaN)<", file.read_text()) for file in (drawn, kept)]
    assert [title.rpartition(": ")[2] for title in titles[0]] == ["82 NaN", "0 NaN"]
    assert titles[0] == titles[1], "run: python scripts/write_safe_figure.py"

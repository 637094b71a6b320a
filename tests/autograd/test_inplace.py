"""Writes in place: every method, every form of square brackets, every refusal: the same programs under both libraries."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr


def leaf(lib, *shape):
    return (lib.arange(float(np.prod(shape)), dtype=lib.float64).reshape(shape) / 7 + 0.3).detach().clone().requires_grad_()


def name(x):
    return None if x.grad_fn is None else x.grad_fn.name().rpartition("::")[2]


def rounded(g):
    return None if g is None else np.round(g.detach().numpy(force=True), 7).tolist()


# -- methods -----------------------------------------------------------------------------------------------------------

METHODS = {
    "abs_": (), "acos_": (), "add_": "o", "addcdiv_": "oo", "addcmul_": "oo", "asin_": (), "atan_": (), "atan2_": "o",
    "ceil_": (),
    "clamp_": (0.1, 0.5), "clamp_max_": (0.5,), "clamp_min_": "o", "copy_": "o", "copysign_": "o", "cos_": (), "cosh_": (),
    "cumprod_": (0,), "cumsum_": (0,), "deg2rad_": (), "digamma_": (), "div_": "o", "erf_": (), "erfc_": (), "erfinv_": (),
    "exp_": (), "exp2_": (), "expm1_": (), "fill_": (0.5,), "floor_": (), "fmod_": "o", "frac_": (), "hypot_": "o",
    "lerp_": "oo", "lgamma_": (), "log_": (), "log10_": (), "log1p_": (), "log2_": (), "logit_": (), "mul_": "o",
    "multiply_": "o",
    "nan_to_num_": (), "neg_": (), "negative_": (), "pow_": "o", "reciprocal_": (), "relu_": (), "remainder_": "o",
    "round_": (),
    "rsqrt_": (), "sigmoid_": (), "sign_": (), "sgn_": (), "sin_": (), "sinc_": (), "sinh_": (), "sqrt_": (), "square_": (),
    "sub_": "o", "tan_": (), "tanh_": (), "trunc_": (), "xlogy_": "o", "zero_": (), "eq_": "o", "ne_": "o",
    "lt_": "o", "le_": "o",
    "gt_": "o", "ge_": "o", "i0_": (), "true_divide_": "o", "subtract_": "o", "float_power_": (2,),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_method_writes_records_and_keeps_requires_grad(torch, method):
    found = []
    for lib in (torch, cr):
        x, o = leaf(lib, 3), leaf(lib, 3).detach() * 0.5
        given = METHODS[method]
        args = [o + 0.1 * k for k in range(len(given))] if isinstance(given, str) else given
        y = x * 1
        result = getattr(y, method)(*args)
        (g,) = lib.autograd.grad(y.sum(), x, allow_unused=True)
        z = leaf(lib, 4) * 1
        getattr(z[1:], method)(*args)
        found.append((result is y, rounded(y), y._version, y.requires_grad, name(y).rstrip("0123456789"), rounded(g)))
        found.append((rounded(z), name(z)))
    assert str(found[:2]) == str(found[2:])  # as text, where nan is nan


def test_every_in_place_method_of_pytorch_is_there(torch):
    missing = {
        n
        for n in dir(torch.Tensor)
        if n.endswith("_") and not n.startswith("_") and not hasattr(cr.Tensor, n) and hasattr(cr.Tensor, n[:-1])
    }
    assert not missing
    absent = {n for n in dir(torch.Tensor) if n.endswith("_") and not n.startswith("_") and not hasattr(cr.Tensor, n)}
    assert absent == {"resize_as_sparse_", "sparse_resize_", "sparse_resize_and_clear_"}


@pytest.mark.parametrize("method", ["uniform_", "normal_", "exponential_", "cauchy_", "log_normal_", "random_", "bernoulli_"])
def test_random_numbers_end_the_gradient(method):
    x = leaf(cr, 3)
    y = x * 1
    getattr(y, method)()
    assert (y.requires_grad, y._version) == (True, 1)
    assert cr.autograd.grad(y.sum(), x)[0].tolist() == [0.0, 0.0, 0.0]


# -- square brackets ---------------------------------------------------------------------------------------------------

KEYS = [
    ..., slice(None), (slice(None), slice(None)), 0, -1, (0,), (0, 0), slice(1, 2), (..., 0), None, (None, 0), [0, 1], (0, [0]),
    [[True, False, True], [False, True, False]], True, (slice(None), [0, 2]), ([0], [1]), ([0], slice(None, None, 2)),
    (..., None, 0), (0, ...), (slice(None, None, 2), ...), slice(0, 0), [-1, 0],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("computed", [True, False])
def test_writing_to_square_brackets(torch, key, computed):
    found = []
    for lib in (torch, cr):
        for kind in ("number", "leaf", "row"):
            x = leaf(lib, 2, 3)
            y = x * 1 if computed else x.detach().clone()
            row = y[1]
            at = lib.tensor(key) if isinstance(key, list) and isinstance(key[0], list) else key
            w = {"number": 2.0, "leaf": leaf(lib), "row": leaf(lib, 1) * 2}[kind]
            y[at] = w
            said = [rounded(y), rounded(row), y._version, y.requires_grad, (name(y) or "").rstrip("0123456789")]
            if y.requires_grad:
                targets = [t for t in (x, w) if getattr(t, "requires_grad", False)]
                said.append([rounded(g) for g in lib.autograd.grad((y * y).sum(), targets, allow_unused=True)])
            found.append(said)
    assert found[:3] == found[3:]


def test_augmented_assignment(same):
    def program(lib, say):
        x, w = leaf(lib, 3), leaf(lib, 3).detach()
        for operate in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__", "__imod__"):
            y = x * 1
            z = getattr(y, operate)(w)
            say(z is y, y, lib.autograd.grad(y.sum(), x))
        y = x * 1
        y[1:] += w[1:]
        y[0] *= 3
        say(y, lib.autograd.grad(y.sum(), x), y._version)

    same(program)


# -- refusals ----------------------------------------------------------------------------------------------------------


def of_leaves(lib, say):
    x = leaf(lib, 2, 2)
    for write in (
        lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.__setitem__(..., 1.0), lambda: x.__setitem__((0, 0), 1.0),
        lambda: x.zero_(), lambda: x.fill_(1), lambda: x.copy_(x), lambda: x.t_(), lambda: x.transpose_(0, 1),
        lambda: x.squeeze_(),
        lambda: x.unsqueeze_(0), lambda: x.uniform_(), lambda: x.__setitem__(x > 0, 1.0), lambda: x[0].add_(1),
        lambda: x.view(4).mul_(2), lambda: x.t()[0].zero_(), lambda: x.masked_fill_(x > 0, 1), lambda: x.exp_(),
        lambda: x.index_put_((lib.tensor([0]),), lib.ones(2, dtype=lib.float64)), lambda: x.clamp_(0, 1),
        lambda: x.bernoulli_(),
        lambda: x.as_strided_((2,), (1,)), lambda: x.fill_diagonal_(1.0), lambda: x.__iadd__(1),
    ):  # fmt: skip
        say.error(write)
    say(x, x.detach()[0].add_(1)._version, x._version)
    c = lib.zeros(2, 2, dtype=lib.float64)
    say(c.add_(x[0]).requires_grad)


def of_dtypes(lib, say):
    i, f, b, c = lib.tensor([1, 2]), lib.tensor([1.5, 2.0]), lib.tensor([True, False]), lib.tensor([1j, 2])
    for write in (
        lambda: i.add_(1.5), lambda: i.add_(f), lambda: i.mul_(2.0), lambda: i.div_(2), lambda: i.exp_(), lambda: i.sqrt_(),
        lambda: b.add_(1), lambda: b.mul_(i), lambda: f.add_(c), lambda: f.add_(1j), lambda: f.fill_(1j),
        lambda: f.__setitem__(0, 1j), lambda: i.__iadd__(1.5), lambda: i.clamp_(0.5), lambda: i.sigmoid_(),
        lambda: i.true_divide_(2),
    ):  # fmt: skip
        say.error(write, 50)
    say(i.copy_(f), i.fill_(2.7), f.mul_(i), i.pow_(2), f.eq_(f), f.logical_and_(f), i.abs_(), i.floor_divide_(2))
    say(lib.tensor([1, 2]).masked_fill_(b, 7), lib.zeros(2).copy_(c.abs()), b.__iand__(b), i.bitwise_and_(3))


def of_shapes(lib, say):
    x, y = lib.zeros(3), lib.zeros(2, 3)
    for write in (
        lambda: x.add_(y), lambda: x.copy_(y), lambda: x.mul_(lib.zeros(4)), lambda: x.clamp_(y, y), lambda: x.pow_(y),
        lambda: x.__setitem__(5, 1.0), lambda: x.__setitem__((0, 0), 1.0), lambda: x.addcmul_(y, y),
    ):  # fmt: skip
        say.error(write, 40)
    for write in (
        lambda: x.__setitem__(slice(0, 2), x), lambda: y.__setitem__(0, lib.zeros(2)), lambda: x.fill_(x),
        lambda: x.index_put_((lib.tensor([5]),), lib.ones(1)), lambda: x.masked_scatter_(x == 0, lib.zeros(2)),
        lambda: x.__setitem__(lib.tensor([0, 1]), lib.zeros(3)), lambda: x.__setitem__(x > 5, lib.zeros(3)),
    ):  # fmt: skip
        say.error(write, 12)


def of_expanded_tensors(lib, say):
    y = lib.zeros(1).expand(3)
    say(y.fill_(2), y.zero_(), y._version)
    y[0] = 3.0
    say(y)
    for write in (lambda: y.add_(1), lambda: y.copy_(lib.ones(3)), lambda: y.exp_(), lambda: y.uniform_(), lambda: y.neg_()):
        say.error(write)
    w = leaf(lib, 1)
    z = (w * 1).expand(3)
    z.fill_(2)
    say(z, z._base, name(z))
    if lib is cr:  # PyTorch's backward raises
        v = leaf(lib)
        assert lib.autograd.grad(z.sum(), w, retain_graph=True)[0].tolist() == [0.0]
        z.fill_(v)
        assert [g.tolist() for g in lib.autograd.grad((z * z).sum(), (w, v))] == [[0.0], 6 * v.item()]


def of_detaching_and_flags(lib, say):
    x = leaf(lib, 4)
    y = x * 2
    v = y[1:]
    say.error(lambda: v.detach_(), 28)
    say.error(lambda: y.requires_grad_(False))
    say.error(lambda: v.requires_grad_(False))
    say.error(lambda: setattr(y, "requires_grad", False))
    say.error(lambda: lib.arange(3).requires_grad_())
    say.error(lambda: setattr(lib.arange(3), "requires_grad", True))
    y.detach_()
    say(y.requires_grad, y.is_leaf, v.requires_grad, name(v))
    (v * 2).sum().backward()
    say(x.grad, x.detach_().requires_grad)


def of_copies(lib, say):
    x, c = leaf(lib, 3), lib.zeros(4)
    y = x * 2
    (x * 3).sum().backward()
    say.error(lambda: copy.deepcopy(y), 60)
    say.error(lambda: copy.deepcopy(x[1:]), 60)
    for t in (
        copy.deepcopy(x),
        copy.deepcopy(c[1:]),
        copy.copy(x),
        copy.copy(y),
        *map(pickle.loads, map(pickle.dumps, (x, y))),
    ):
        say(t, t.requires_grad, t.is_leaf)
    a, b = copy.deepcopy((c, c[1:]))
    a.add_(1)
    say(copy.deepcopy(x).grad, b)


@pytest.mark.parametrize(
    "program",
    [of_leaves, of_dtypes, of_shapes, of_expanded_tensors, of_detaching_and_flags, of_copies],
    ids=lambda p: p.__name__,
)
def test_refusals_are_pytorchs(same, program):
    same(program)


SAVED = {
    "result": (lambda lib, y: y.exp(), lambda y, z: z.mul_(2)), "operand": (lambda lib, y: y * y, lambda y, z: y.mul_(2)),
    "twice": (lambda lib, y: y.sin(), lambda y, z: (y.mul_(2), y.add_(1))),
    "unused": (lambda lib, y: y + 1, lambda y, z: y.mul_(2)),
    "view": (lambda lib, y: y[1:] ** 2, lambda y, z: y.mul_(2)),
    "through a view": (lambda lib, y: y @ y, lambda y, z: y[0].mul_(2)),
    "joined": (lambda lib, y: lib.cat([y, y]), lambda y, z: y.mul_(2)),
    "summed": (lambda lib, y: y.sum(), lambda y, z: y.mul_(2)),
    "detached": (lambda lib, y: y.tanh(), lambda y, z: z.detach().zero_()),
    "max": (lambda lib, y: y.max(0)[0], lambda y, z: y.mul_(2)),
    "quotient": (lambda lib, y: y / y, lambda y, z: y.mul_(2)),
    "softmax": (lambda lib, y: y.softmax(0), lambda y, z: z.mul_(2)),
    "float": (lambda lib, y: y.float().exp(), lambda y, z: z.mul_(2)),
    "data": (lambda lib, y: y.exp(), lambda y, z: z.data.mul_(2)),
    "complex": (lambda lib, y: (y * 1j).exp().abs(), lambda y, z: z.mul_(2)),
    "where": (lambda lib, y: lib.where(y > 0, y, y), lambda y, z: y.mul_(2)),
}  # fmt: skip


@pytest.mark.parametrize("case", SAVED)
def test_a_saved_value_that_was_written_to_is_found(same, case):
    compute, write = SAVED[case]

    def program(lib, say):
        y = leaf(lib, 3) * 1
        z = compute(lib, y)
        write(y, z)
        say.error(lambda: z.sum().backward(), 130)
        x = leaf(lib, 3)
        z = compute(lib, x)
        with lib.no_grad():
            write(x, z)
        say.error(lambda: z.sum().backward(), 100)

    same(program)


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradients_of_what_was_there_before_and_after(same):
    def program(lib, say):
        x = leaf(lib, 3)
        y = x * 2
        before = (y * y).sum()
        edge = y.clone()
        y.add_(edge)
        say.error(lambda: lib.autograd.grad(before, y, retain_graph=True), 60)
        say(lib.autograd.grad(y.sum(), y, retain_graph=True), lib.autograd.grad(y.sum(), (x, edge)))

    same(program)


def test_accumulation_in_place_and_into_new_tensors(same):
    def program(lib, say):
        x = leaf(lib, 3)
        (g,) = lib.autograd.grad((x**3).sum(), x, create_graph=True)
        x.grad = g
        (x**2).sum().backward()
        say(x.grad is g, g.requires_grad, g, g._version)
        x.grad = None
        (x**2).sum().backward()
        g = x.grad
        with_graph = g * x
        (x**2).sum().backward()
        say(x.grad is g, g)
        say.error(lambda: with_graph.sum().backward(), 60)

    same(program)


def test_retained_gradients_follow_the_newest_values(same):
    def program(lib, say):
        x = leaf(lib, 3)
        y = x * 2
        v = y[1:]
        y.retain_grad()
        v.retain_grad()
        v.mul_(3)
        ((y * y).sum() + v.sum()).backward()
        say(y.grad, v.grad, x.grad)

    same(program)


def written(lib, x, w):
    """A chain of writes through views and to the whole, of which every order is right or raises."""
    y = x * w
    rows = y.view(2, 3)
    rows[0].mul_(w)
    y[::2] = (x * x)[:3]
    rows.t()[1].sin_()
    y.add_(rows.reshape(-1) * 2)
    return (y * y * y).sum() + rows.diagonal().sum()


def test_first_and_second_derivatives_of_written_tensors(torch):
    found = []
    for lib in (torch, cr):
        x, w = leaf(lib, 6), leaf(lib)
        gs = lib.autograd.grad(written(lib, x, w), (x, w), create_graph=True)
        seconds = lib.autograd.grad(sum((g * g).sum() for g in gs), (x, w))
        found.append([g.detach().numpy() for g in (*gs, *seconds)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_every_mode_agrees_on_written_tensors():
    x, w = leaf(cr, 6).detach(), leaf(cr).detach()

    def f(x, w):
        return written(cr, x, w)

    plain_x, plain_w = leaf(cr, 6), leaf(cr)
    gx, gw = cr.autograd.grad(f(plain_x, plain_w), (plain_x, plain_w))
    for a, b in zip(cr.func.grad(f, argnums=(0, 1))(x, w), (gx, gw), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    tx, tw = cr.cos(x), cr.tensor(0.7, dtype=cr.float64)
    _, tangent = cr.func.jvp(f, (x, w), (tx, tw))
    np.testing.assert_allclose(tangent.item(), ((gx * tx).sum() + gw * tw).item(), rtol=1e-12)
    with cr.autograd.forward_ad.dual_level():
        dual = f(cr.autograd.forward_ad.make_dual(x, tx), cr.autograd.forward_ad.make_dual(w, tw))
        np.testing.assert_allclose(cr.autograd.forward_ad.unpack_dual(dual).tangent.item(), tangent.item(), rtol=1e-12)
    over = cr.func.jvp(cr.func.grad(f), (x, w), (tx, tw))[1]
    under = cr.func.grad(lambda x, w: cr.func.jvp(f, (x, w), (tx, tw))[1])(x, w)
    np.testing.assert_allclose(over.numpy(), under.numpy(), rtol=1e-10)
    xs = cr.stack([x, x * 2, x - 1])
    batched = cr.func.vmap(cr.func.grad(f), in_dims=(0, None))(xs, w)
    for row, g in zip(xs, batched, strict=True):
        np.testing.assert_allclose(g.numpy(), cr.func.grad(f)(row, w).numpy(), rtol=1e-12)

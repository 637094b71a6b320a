"""Views: what shares memory, what a view knows of its base, where PyTorch refuses: the same programs under both libraries."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr


def leaf(lib, *shape):
    return (lib.arange(float(np.prod(shape)), dtype=lib.float64).reshape(shape) / 7 + 0.3).detach().clone().requires_grad_()


def name(x):
    return None if x.grad_fn is None else x.grad_fn.name().rpartition("::")[2]


def seen(x):
    """Return what can be seen of a tensor."""
    return x.requires_grad, x.is_leaf, name(x), x._version, x._is_view(), x.output_nr, x.detach().tolist()


VIEWS = {
    "index": lambda y: y[0], "slice": lambda y: y[:, 1:], "whole": lambda y: y[...], "new axis": lambda y: y[None],
    "t": lambda y: y.t(), "T": lambda y: y.T, "mT": lambda y: y.mT, "H": lambda y: y.H,
    "transpose": lambda y: y.transpose(0, 1),
    "swapaxes": lambda y: y.swapaxes(0, 1), "permute": lambda y: y.permute(1, 0), "movedim": lambda y: y.movedim(0, 1),
    "view": lambda y: y.view(6), "view_as": lambda y: y.view_as(y), "reshape": lambda y: y.reshape(6),
    "reshape of transposed": lambda y: y.t().reshape(6), "flatten": lambda y: y.flatten(), "ravel": lambda y: y.ravel(),
    "unflatten": lambda y: y.unflatten(1, (3, 1)), "expand": lambda y: y.expand(2, 2, 3), "squeeze": lambda y: y.squeeze(),
    "unsqueeze": lambda y: y.unsqueeze(0), "narrow": lambda y: y.narrow(0, 0, 1), "select": lambda y: y.select(0, 0),
    "diagonal": lambda y: y.diagonal(), "unfold": lambda y: y.unfold(1, 2, 1), "as_strided": lambda y: y.as_strided((2,), (1,)),
    "unbind": lambda y: y.unbind()[1], "split": lambda y: y.split(1)[1], "chunk": lambda y: y.chunk(2)[1],
    "tensor_split": lambda y: y.tensor_split(2)[1], "hsplit": lambda y: y.hsplit(3)[2], "detach": lambda y: y.detach(),
    "data": lambda y: y.data, "real": lambda y: y.real, "contiguous": lambda y: y.contiguous(), "conj": lambda y: y.conj(),
    "to": lambda y: y.to(y.dtype), "mask": lambda y: y[y > 0.5], "array": lambda y: y[[0, 1]],
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("computed", [True, False])
def test_a_view_and_its_base(torch, view, computed):
    found = []
    for lib in (torch, cr):
        y = leaf(lib, 2, 3) * 1 if computed else lib.arange(6.0).reshape(2, 3) * 1
        v = VIEWS[view](y)
        offset = v.data_ptr() - y.data_ptr()
        steps = [step for step, n in zip(v.stride(), v.shape, strict=True) if n > 1]
        before = seen(v), v._base is y, offset if 0 <= offset < 6 * 8 else None, steps
        y.mul_(2)
        d = y.detach()
        d.add_(1)
        multiple = view in ("unbind", "split", "chunk", "tensor_split", "hsplit")  # PyTorch may refuse its grad_fn now
        found.append((before, seen(y), v.detach().tolist(), v._version, None if multiple else seen(v)))
    assert found[0] == found[1]


COMPLEX = {
    "real": lambda lib, z: z.real, "imag": lambda lib, z: z.imag, "view_as_real": lambda lib, z: lib.view_as_real(z),
    "part": lambda lib, z: lib.view_as_real(z)[..., 0], "row": lambda lib, z: z[0].imag,
    "transposed": lambda lib, z: z.t().real,
}  # fmt: skip


@pytest.mark.parametrize("view", COMPLEX)
def test_writes_through_real_views_of_complex_numbers(torch, view):
    found = []
    for lib in (torch, cr):
        x, w = leaf(lib, 2, 3), leaf(lib)
        z = x * (1 + 2j)
        v = COMPLEX[view](lib, z)
        v.mul_(w)
        gs = lib.autograd.grad((z * z.conj()).real.sum() + (v * v).sum(), (x, w))
        found.append((seen(v), seen(z), [np.round(g.numpy(), 9).tolist() for g in gs]))
    assert found[0] == found[1]


def test_writes_through_a_complex_view_of_pairs(torch):
    found = []
    for lib in (torch, cr):
        x = leaf(lib, 3, 2)
        y = x * 1
        lib.view_as_complex(y).mul_(2j)
        (g,) = lib.autograd.grad((y * y * y).sum(), x)
        found.append((seen(y), np.round(g.numpy(), 9).tolist()))
    assert found[0] == found[1]


def test_bytes_read_as_another_dtype(torch):
    found = []
    for lib in (torch, cr):
        y = leaf(lib, 4) * 1
        bits = y.view(lib.int64)
        found.append((bits.requires_grad, bits.is_leaf, bits.data_ptr() == y.data_ptr(), bits.tolist()))
    assert found[0] == found[1]


def test_versions_are_shared_by_views_and_detached_tensors_but_not_by_data(torch):
    found = []
    for lib in (torch, cr):
        y = lib.zeros(4)
        family = y, y[1:], y.detach(), y.detach()[0], y.data
        for t in family:
            t.add_(1)
            found.append([m._version for m in family])
    assert found[:5] == found[5:]
    assert found[:5] == [[1, 1, 1, 1, 0], [2, 2, 2, 2, 0], [3, 3, 3, 3, 0], [4, 4, 4, 4, 0], [4, 4, 4, 4, 1]]


# -- views made while nothing is recorded ------------------------------------------------------------------------------


def no_grad_view(lib, base):
    with lib.no_grad():
        return base[1:]


def of_a_result(lib, say):
    v = no_grad_view(lib, leaf(lib, 4) * 1)
    say(*seen(v), *seen(v[1:]))
    say.error(lambda: v.mul_(2))
    say.error(lambda: v[1:].mul_(2))
    say.error(lambda: v.numpy())
    say(v.requires_grad_(False).requires_grad, v.retain_grad(), v.is_leaf)


def no_gradient_passes(lib, say):
    x = leaf(lib, 4)
    v = no_grad_view(lib, x * 1)
    (v * 2).sum().backward()
    say(x.grad, v.grad)
    say(lib.autograd.grad((v * 2).sum(), v, allow_unused=True))
    say.error(lambda: lib.autograd.grad((v * 2).sum(), x))
    say.error(lambda: v.backward(lib.ones(3, dtype=lib.float64)))
    v.requires_grad_()
    (v * 2).sum().backward()
    say(v.grad, x.grad)


def its_base_is_written(lib, say):
    y = leaf(lib, 4) * 1
    v = no_grad_view(lib, y)
    y.mul_(2)
    say(v.requires_grad)
    say.error(lambda: v.grad_fn)
    say.error(lambda: v.is_leaf)
    say.error(lambda: (v * 2).sum().backward())
    with lib.no_grad():
        say(v * 2)


def it_is_written_under_no_grad(lib, say):
    y = leaf(lib, 4) * 1
    v = no_grad_view(lib, y)
    with lib.no_grad():
        v.mul_(2)
    say(*seen(y))
    say.error(lambda: v.grad_fn)


def of_a_constant(lib, say):
    y = lib.zeros(4, dtype=lib.float64)
    v = no_grad_view(lib, y)
    v.mul_(2)
    say(*seen(v))
    say.error(lambda: v.add_(leaf(lib, 3)))
    y.add_(leaf(lib, 4))
    say.error(lambda: v.grad_fn)


def several_under_no_grad(lib, say):
    y = leaf(lib, 3) * 1
    with lib.no_grad():
        a, _, _ = y.unbind()
        a.mul_(2)
    say(*seen(y))
    say.error(lambda: a.mul_(2))


def a_base_that_requires_grad_later(lib, say):
    y = lib.zeros(4)
    v, d = y[1:], y.detach()
    y.requires_grad_()
    say(v.requires_grad, v.is_leaf, d.requires_grad, (v * 2).requires_grad)
    say.error(lambda: v.mul_(2))
    y.requires_grad_(False)
    say(v.requires_grad)


def a_view_that_requires_grad_itself(lib, say):
    y = lib.zeros(4, dtype=lib.float64)
    v = y[1:].requires_grad_()
    say(*seen(v), *seen(y))
    (v * 3).sum().backward()
    say(v.grad)
    say.error(lambda: v.mul_(2))


PROGRAMS = [
    of_a_result, no_gradient_passes, its_base_is_written, it_is_written_under_no_grad, of_a_constant, several_under_no_grad,
    a_base_that_requires_grad_later, a_view_that_requires_grad_itself,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_views_made_while_nothing_is_recorded(same, program):
    same(program)


# -- several views at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [lambda y: y.unbind(), lambda y: y.split(1), lambda y: y.chunk(3), lambda y: tuple(y)])
def test_one_of_several_views_may_not_be_written_to(same, split):
    def program(lib, say):
        a, b, c = split(leaf(lib, 3) * 1)
        for v in (a, b, c, a[...]):
            say.error(lambda v=v: v.mul_(2), 30)
        a, b, c = split(lib.zeros(3, dtype=lib.float64))
        a.add_(1)
        say(a)
        say.error(lambda: b.mul_(leaf(lib)))

    same(program)


def test_one_of_several_views_sees_writes_to_its_base_with_the_right_gradient():
    """PyTorch refuses to use the view then; what it means is no less clear than for a slice."""
    x = leaf(cr, 3)
    y = x * 1
    a, b, _ = y.unbind()
    y.mul_(x)
    assert cr.autograd.grad(a * b, x)[0].tolist() == pytest.approx(
        [2 * x[0].item() * x[1].item() ** 2, 2 * x[1].item() * x[0].item() ** 2, 0]
    )


# -- as_strided --------------------------------------------------------------------------------------------------------


def test_as_strided_reads_the_memory_behind_a_view(torch):
    found = []
    for lib in (torch, cr):
        y = lib.arange(12.0).reshape(3, 4)
        views = y[1:], y.t(), y[:, 1:3], y[2, 3], y.t()[1:], (y.t() + 0)
        found.append([v.as_strided((2,), (3,), k).tolist() for v in views for k in (0, 1, 2)])
        found.append([v.as_strided((1,), (2,)).tolist() for v in views])
    assert found[:2] == found[2:]


def test_as_strided_sends_gradients_to_all_that_it_shows():
    """PyTorch drops those of elements that the view it is taken of does not show."""
    x = leaf(cr, 6)
    y = x * 2
    y[4:].as_strided((3,), (2,), 0).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 2.0, 0.0, 2.0, 0.0]


def test_as_strided_of_a_transforms_value():
    assert cr.func.grad(lambda x: (x[1:].as_strided((2,), (1,), 0) * x[:2]).sum())(leaf(cr, 4).detach()).tolist() == (
        cr.autograd.grad((x := leaf(cr, 4)).as_strided((2,), (1,)).square().sum(), x)[0].tolist()
    )


# -- changes of shape in place -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["t_()", "transpose_(0, 1)", "squeeze_()", "squeeze_(1)", "unsqueeze_(0)", "swapaxes_(0, 1)"]
)
@pytest.mark.parametrize("target", ["base", "view"])
def test_a_tensor_changes_its_shape_under_live_views(torch, change, target):
    method, _, given = change.partition("(")
    args = [int(a) for a in given.strip(")").split(",") if a]
    found = []
    for lib in (torch, cr):
        x, w = leaf(lib, 2, 1), leaf(lib)
        y = x * 1
        v = y[:1]
        changed = y if target == "base" else v
        getattr(changed, method)(*args)
        shapes = tuple(y.shape), tuple(v.shape), y._version, v._base is y
        v.mul_(w)
        y.mul_(w)
        gs = lib.autograd.grad((y * y).sum() + v.sum(), (x, w))
        found.append((shapes, y.detach().tolist(), v.detach().tolist(), [np.round(g.numpy(), 9).tolist() for g in gs]))
    assert found[0] == found[1]


def test_a_tensor_that_changed_its_shape_is_differentiated_under_no_grad_too():
    x = leaf(cr, 2, 3)
    y = x * 2
    with cr.no_grad():
        y.t_()
        x.unsqueeze_(0)
    assert (y.shape, x.shape, x.is_leaf, y.requires_grad) == ((3, 2), (1, 2, 3), True, True)


def test_memory_is_swapped_and_resized(same):
    def program(lib, say):
        x, y = lib.arange(6.0), lib.zeros(2)
        y.set_(x)
        y.add_(1)
        say(x, y, y.resize_(2, 2), y.resize_as_(lib.zeros(3)), lib.zeros(3, 3).fill_diagonal_(2), y.apply_(lambda v: v * 2))
        say(lib.zeros(7, 3).fill_diagonal_(1, wrap=True), lib.zeros(2).map_(lib.ones(2), lambda a, b: a + b))
        w = leaf(lib, 4)
        for f in (lambda: w.resize_(2), lambda: (w * 1).resize_(2), lambda: w.set_(w), lambda: w.apply_(lambda v: v)):
            say.error(f)

    same(program)

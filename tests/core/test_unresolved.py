"""Conjugate and negative bits: ``conj()`` is a view, written and read through, at every level; in PyTorch's words."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.said import Error, check

import chainrule as cr


def z_of(lib, **options):
    return lib.tensor([1 + 2j, 3 - 4j], **options)


def what_conj_is(lib):
    z = z_of(lib)
    c = z.conj()
    return c.is_conj(), z.is_conj(), lib.is_conj(c), c._is_view(), c._base is z, c.data_ptr() == z.data_ptr(), c, repr(c)


def writes_reach_both(lib):
    z = z_of(lib)
    c = z.conj()
    z[0] = 5 + 6j
    before = c.tolist()
    c[1] = 1 + 1j
    return before, z, c, z._version, c._version


def in_place(lib):
    found = []
    for write in (
        lambda c: c.mul_(2j),
        lambda c: c.fill_(1 + 5j),
        lambda c: c.copy_(lib.tensor([7 + 1j, 8 + 2j])),
        lambda c: c.conj_physical_(),
        lambda c: c.real.mul_(5),
        lambda c: c.imag.add_(10),
        lambda c: c.detach().mul_(2),
        lambda c: c.zero_(),
        lambda c: c.add_(1j),
        lambda c: setattr(c, "imag", lib.tensor([5.0, 6.0])),
        lambda c: c.imag.__setitem__(0, 9),
        lambda c: c.t().neg_(),
        lambda c: c.data.mul_(3),
        lambda c: c.unbind()[0].mul_(2),
        lambda c: lib.add(c, c, out=c),
        lambda c: c.masked_fill_(lib.tensor([True, False]), 2j),
        lambda c: c.view(2, 1)[1].mul_(3),
        lambda c: c.conj().mul_(2j),
        lambda c: c.conj().imag.mul_(2),
    ):
        z = z_of(lib)
        c = z.conj()
        write(c)
        found.append((z, c, c.is_conj()))
    return found


def bits(lib):
    c = z_of(lib).conj()
    keep = [
        c.detach(),
        c[0],
        c.view(2),
        c.reshape(1, 2),
        c.contiguous(),
        c.t(),
        c.unsqueeze(0),
        c.expand(3, 2),
        c.data,
        c[..., None],
        c.unbind()[0],
        c.split(1)[0],
        c.as_strided((1,), (1,)),
        c.resolve_neg(),
        c.to(lib.complex64),
    ]
    lose = [
        c.sin(),
        c.clone(),
        c.neg(),
        c * 2,
        c + c,
        lib.conj_physical(c),
        lib.zeros_like(c),
        c.to(lib.complex128),
        c.conj(),
        c.resolve_conj(),
        c.real,
        c.imag,
        copy.deepcopy(c),
    ]
    return [t.is_conj() for t in keep], [t.is_conj() for t in lose], pickle.loads(pickle.dumps(c)).is_conj()


def negative(lib):
    i = z_of(lib).conj().imag
    r = i.resolve_neg()
    return (
        i.is_neg(),
        i,
        i._is_view(),
        i.neg().is_neg(),
        i.view(2, 1).is_neg(),
        i[0].is_neg(),
        i[0].item(),
        i.sum(),
        r.is_neg(),
        r,
        r._is_view(),
        i.detach().is_neg(),
        z_of(lib).conj().real.is_neg(),
        z_of(lib).imag.is_neg(),
        i + i,
        i.is_contiguous(),
        i.stride(),
    )


def twice(lib):
    z = z_of(lib)
    b = z.conj().conj()
    b.mul_(2)
    return b.is_conj(), b._base is z, b is z, z, lib.view_as_real(b)


def of_real(lib):
    x = lib.tensor([1.0, 2.0])
    return x.conj() is x, x.is_conj(), x.resolve_conj() is x, x.resolve_neg() is x, lib.tensor([1]).is_neg()


def of_matrices(lib):
    z = z_of(lib).reshape(1, 2)
    return z.mH.is_conj(), z.H.is_conj(), z.adjoint().is_conj(), z.mH, z @ z.mH, lib.adjoint(z)


def reads(lib):
    z = z_of(lib)
    c = z.conj()
    return (
        c == z,
        c.sum(),
        lib.dot(c, z),
        lib.stack([c, z]),
        lib.cat([c, z]),
        c.stride(),
        c.is_contiguous(),
        c[0].item(),
        complex(c[0]),
        len(c),
    )


def written_with_gradients(lib):
    found = []
    for write in (lambda c: c.mul_(2j), lambda c: c.imag.mul_(2), lambda c: c[0].mul_(3), lambda c: c.real.copy_(c.imag)):
        z = z_of(lib, requires_grad=True)
        w = z * 1
        c = w.conj()
        write(c)
        (w * w * c).real.sum().backward()
        found.append((z.grad, type(w.grad_fn).__name__))
    return found


def saved_and_written(lib):
    z = z_of(lib, requires_grad=True)
    c = z.conj()
    y = c * c
    z.detach().mul_(2)
    y.abs().sum().backward()


def in_transforms(lib):
    bits = []

    def f(a):
        a = a * 1
        c = a.conj()
        bits.append((c.is_conj(), c.conj().is_conj(), c.real.is_neg(), (c * 1).is_conj(), c[..., None].is_conj()))
        c.mul_(2j)
        return (a * a).real.sum()

    z = z_of(lib)
    back = lib.func.grad(f)(z)
    forth = lib.func.jvp(f, (z,), (z * 1j,))
    rows = lib.func.vmap(f)(lib.stack([z, 2 * z]))
    of_rows = lib.func.vmap(lib.func.grad(f))(lib.stack([z, 2 * z]))
    return back, forth, rows, of_rows, bits


def an_argument_with_the_bit(lib):
    bits = []

    def f(a):
        bits.append(a.is_conj())
        return (a * a * (1 + 1j)).real.sum()

    c = z_of(lib).conj()
    return lib.func.grad(f)(c), lib.func.vmap(f)(c.reshape(2, 1)), lib.func.jvp(f, (c,), (c,)), bits


def a_leaf_with_the_bit(lib):
    z = z_of(lib)
    c = z.conj().requires_grad_()
    (c * (1 + 2j)).real.sum().backward()
    return c.grad, c.is_leaf, z.requires_grad


COMPLEX = "Can't call numpy() on Tensor that has conjugate bit set. Use tensor.resolve_conj().numpy() instead."
PROGRAMS = {
    "what conj is": (what_conj_is, [True, False, True, True, True, True, [1 - 2j, 3 + 4j], "tensor([1.-2.j, 3.+4.j])"]),
    "writes reach both": (writes_reach_both, [[5 - 6j, 3 + 4j], [5 + 6j, 1 - 1j], [5 - 6j, 1 + 1j], 2, 2]),
    "writes through it": (
        in_place,
        [
            [[(4 - 2j), (-8 - 6j)], [(4 + 2j), (-8 + 6j)], True],
            [[(1 - 5j), (1 - 5j)], [(1 + 5j), (1 + 5j)], True],
            [[(7 - 1j), (8 - 2j)], [(7 + 1j), (8 + 2j)], True],
            [[(1 - 2j), (3 + 4j)], [(1 + 2j), (3 - 4j)], True],
            [[(5 + 2j), (15 - 4j)], [(5 - 2j), (15 + 4j)], True],
            [[(1 - 8j), (3 - 14j)], [(1 + 8j), (3 + 14j)], True],
            [[(2 + 4j), (6 - 8j)], [(2 - 4j), (6 + 8j)], True],
            [[-0j, -0j], [0j, 0j], True],
            [[(1 + 1j), (3 - 5j)], [(1 - 1j), (3 + 5j)], True],
            [[(1 - 5j), (3 - 6j)], [(1 + 5j), (3 + 6j)], True],
            [[(1 - 9j), (3 - 4j)], [(1 + 9j), (3 + 4j)], True],
            [[(-1 - 2j), (-3 + 4j)], [(-1 + 2j), (-3 - 4j)], True],
            [[(3 + 6j), (9 - 12j)], [(3 - 6j), (9 + 12j)], True],
            [[(2 + 4j), (3 - 4j)], [(2 - 4j), (3 + 4j)], True],
            [[(2 + 4j), (6 - 8j)], [(2 - 4j), (6 + 8j)], True],
            [[-2j, (3 - 4j)], [2j, (3 + 4j)], True],
            [[(1 + 2j), (9 - 12j)], [(1 - 2j), (9 + 12j)], True],
            [[(-4 + 2j), (8 + 6j)], [(-4 - 2j), (8 - 6j)], True],
            [[(1 + 4j), (3 - 8j)], [(1 - 4j), (3 + 8j)], True],
        ],
    ),
    "bits": (bits, [[True] * 15, [False] * 13, True]),
    "negative": (
        negative,
        [
            True,
            [-2.0, 4.0],
            True,
            False,
            True,
            True,
            -2.0,
            2.0,
            False,
            [-2.0, 4.0],
            False,
            True,
            False,
            False,
            [-4.0, 8.0],
            False,
            [2],
        ],
    ),
    "twice": (twice, [False, True, False, [2 + 4j, 6 - 8j], [[2, 4], [6, -8]]]),
    "of real numbers": (of_real, [True, False, True, True, False]),
    "of matrices": (of_matrices, [True, True, True, [[1 - 2j], [3 + 4j]], [[30]], [[1 - 2j], [3 + 4j]]]),
    "reads": (
        reads,
        [
            [False, False],
            (4 + 2j),
            (30 + 0j),
            [[(1 - 2j), (3 + 4j)], [(1 + 2j), (3 - 4j)]],
            [(1 - 2j), (3 + 4j), (1 + 2j), (3 - 4j)],
            [1],
            True,
            (1 - 2j),
            (1 - 2j),
            2,
        ],
    ),
    "writes with gradients": (
        written_with_gradients,
        [
            [[(32 + 104j), (-192 + 456j)], "CopySlices"],
            [[(19 + 16j), (91 - 96j)], "CopySlices"],
            [[(189 + 108j), (43 - 24j)], "CopySlices"],
            [[-24j, -96j], "CopySlices"],
        ],
    ),
    "saved and written": (
        saved_and_written,
        Error(RuntimeError, "modified by an inplace operation", "which is output 0 of Conj"),
    ),
    "in transforms": (
        in_transforms,
        [
            [(-8 + 16j), (-24 - 32j)],
            [40.0, -160.0],
            [40.0, 160.0],
            [[(-8 + 16j), (-24 - 32j)], [(-16 + 32j), (-48 - 64j)]],
            [
                [True, False, False, False, True],
                [True, False, False, False, True],
                [True, False, False, False, True],
                [True, False, False, False, True],
            ],
        ],
    ),
    "an argument": (
        an_argument_with_the_bit,
        [[(6 + 2j), (-2 - 14j)], [1.0, -31.0], [-30.0, -60.0], [True, True, True]],
    ),
    "a leaf": (a_leaf_with_the_bit, [[1 - 2j, 1 - 2j], True, False]),
    "numpy": (lambda t: z_of(t).conj().numpy(), Error(RuntimeError, COMPLEX)),
    "asarray": (lambda t: np.asarray(z_of(t).conj()), Error(RuntimeError, COMPLEX)),
    "numpy of a negative": (
        lambda t: z_of(t).conj().imag.numpy(),
        Error(RuntimeError, "has negative bit set. Use tensor.resolve_neg().numpy()"),
    ),
    "numpy by force": (lambda t: z_of(t).conj().numpy(force=True).tolist(), [1 - 2j, 3 + 4j]),
    "view_as_real": (
        lambda t: t.view_as_real(z_of(t).conj()),
        Error(RuntimeError, "view_as_real doesn't work on unresolved conjugated tensors."),
    ),
    "view of another dtype": (
        lambda t: z_of(t).conj().view(t.float32),
        Error(RuntimeError, "view is not supported for conjugate view tensors"),
    ),
}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_program_says_what_it_should(name):
    check(cr, *PROGRAMS[name])


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_pytorch_says_so_too(name, torch):
    check(torch, *PROGRAMS[name])


def test_the_negative_bit_inside_transforms():
    found = []

    def f(a):
        c = a.conj()
        found.append((c.imag.is_neg(), c.imag[..., None].is_neg(), (c.imag * 1).is_neg()))
        return (c.imag * a.real).sum()

    z = z_of(cr)
    for d in (cr.func.grad(f), cr.func.vmap(lambda row: f(row)), lambda z: cr.func.jvp(f, (z,), (z,))):
        d(z)
    assert found == [(True, True, False)] * 3


def test_a_gradient_that_would_share_the_memory_of_another_tensor_is_a_copy():
    z = cr.tensor([1 + 2j], requires_grad=True)
    other = cr.tensor([1j])
    z.grad = other.conj()
    (z * 1).real.sum().backward()
    assert (z.grad.tolist(), other.tolist()) == ([1 - 1j], [1j])
    cotangent = cr.tensor([2 + 1j])
    (g,) = cr.autograd.grad(z.conj(), z, cotangent, create_graph=True)
    g.detach().numpy()[0] = 0
    assert cotangent.tolist() == [2 + 1j]


def test_a_write_that_would_be_lost_raises():
    c = z_of(cr).conj()
    array = c.numpy(force=True)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1

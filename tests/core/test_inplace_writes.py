"""Writes in place, through views and square brackets: the same programs under PyTorch and chainrule give the same values,
gradients, requires_grad flags and errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")


def leaf(lib, *shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values, requires_grad=True)


def constant(lib, *shape, seed=7):
    return lib.tensor(np.random.default_rng(seed).normal(size=shape))


# Each program returns (result to sum and differentiate, leaves).


def write_through_slice(lib):
    x, w = leaf(lib, 4), leaf(lib, 2, seed=1)
    y = x * 1
    y[1:3].mul_(w)
    return y * y, (x, w)


def write_through_select_of_matrix(lib):
    x, w = leaf(lib, 3, 4), leaf(lib, 4, seed=1)
    y = x * 2
    y[1].add_(w * w)
    return y * y, (x, w)


def write_through_view_of_view(lib):
    x, w = leaf(lib, 3, 4), leaf(lib, 2, seed=1)
    y = x * 2
    v = y[1:]
    v.t()[1:3, 0].mul_(w)
    return y * y, (x, w)


def view_taken_before_sees_write_to_base(lib):
    x, w = leaf(lib, 4), leaf(lib, 4, seed=1)
    y = x * 1
    v = y[:2]
    y.mul_(w)
    return v * v, (x, w)


def sibling_view_sees_write(lib):
    x, w = leaf(lib, 4), leaf(lib, 2, seed=1)
    y = x * 1
    a, b = y[:3], y[1:]
    a[:2].mul_(w)
    return (b * b).sum() + (a * a * a).sum() + (y * y).sum(), (x, w)


def write_twice(lib):
    x, w = leaf(lib, 4), leaf(lib, 4, seed=1)
    y = x * 1
    v = y[1:]
    v.mul_(w[1:])
    v[0].mul_(w[0])
    y.add_(w)
    return y * y, (x, w)


def write_through_transpose(lib):
    x, w = leaf(lib, 3, 3), leaf(lib, 3, seed=1)
    y = x * 1
    y.t()[0].mul_(w)
    y.transpose(0, 1)[2].add_(w)
    return y * y, (x, w)


def write_through_reshape(lib):
    x, w = leaf(lib, 2, 6), leaf(lib, 3, 4, seed=1)
    y = x * 1
    y.view(3, 4).mul_(w)
    y.reshape(-1)[::2].mul_(2.0)
    return y * y, (x, w)


def write_through_diagonal(lib):
    x, w = leaf(lib, 3, 3), leaf(lib, 3, seed=1)
    y = x * 1
    y.diagonal().copy_(w * w)
    return y * y, (x, w)


def write_through_unsqueeze_and_squeeze(lib):
    x, w = leaf(lib, 3), leaf(lib, 3, 1, seed=1)
    y = x * 1
    y.unsqueeze(1).mul_(w)
    y.unsqueeze(0).squeeze(0).mul_(3.0)
    return y * y, (x, w)


def write_to_element(lib):
    x, w = leaf(lib, 3), leaf(lib, seed=1)
    y = x * 1
    y[1].mul_(w)
    return y * y, (x, w)


def write_to_0d(lib):
    x, w = leaf(lib), leaf(lib, seed=1)
    y = x * 1
    v = y.view(1)
    v.mul_(w)
    return y * y, (x, w)


def write_to_constant_base(lib):
    w = leaf(lib, 2, seed=1)
    y = constant(lib, 4)
    y[1:3] = w * w
    return y * y, (w,)


def write_to_view_of_constant(lib):
    w = leaf(lib, 2, seed=1)
    y = constant(lib, 4)
    v = y[1:3]
    v.mul_(w)
    return (y * y).sum() + (v * 3).sum(), (w,)


def write_leaf_as_value(lib):
    w = leaf(lib, 4, seed=1)
    y = constant(lib, 4)
    y.copy_(w)
    y.mul_(2.0)
    return y * y, (w,)


def write_leaf_as_value_into_view(lib):
    w = leaf(lib, 2, seed=1)
    y = constant(lib, 4)
    y[2:].copy_(w)
    y.mul_(2.0)
    return y * y, (w,)


def copy_constant_keeps_requires_grad(lib):
    x = leaf(lib, 3)
    y = x * 1
    y.copy_(constant(lib, 3))
    return y * y, (x,)


def copy_casts_and_broadcasts(lib):
    x = leaf(lib, 3)
    y = (x * 1).expand(2, 3).contiguous()
    w = leaf(lib, 1, 3, seed=2)
    y.copy_(w.float())
    return y * y, (w,)


def fill_and_zero(lib):
    x, w = leaf(lib, 4), leaf(lib, seed=1)
    y = x * 1
    y[:1].zero_()
    y[1:2].fill_(w)
    y[2:3].fill_(2.0)
    return y * y, (x, w)


def zero_all(lib):
    x = leaf(lib, 3)
    y = x * 1
    y.zero_()
    y.add_(x)
    return y * y, (x,)


def set_number(lib):
    x = leaf(lib, 3, 4)
    y = x * 1
    y[1] = 2.0
    y[:, 2] = 3
    return y * y, (x,)


def set_row(lib):
    x, w = leaf(lib, 3, 4), leaf(lib, 4, seed=1)
    y = x * 1
    y[0] = w
    y[1:] = w * 2
    y[2, 1:3] = w[:2] * w[2:]
    return y * y, (x, w)


def set_by_mask(lib):
    x, w = leaf(lib, 3, 4), leaf(lib, 2, seed=1)
    y = x * 1
    mask = lib.tensor([[True, False, False, False], [False] * 4, [False, False, True, False]])
    y[mask] = w
    y[y > 10] = 0.0
    return y * y, (x, w)


def set_by_index(lib):
    x, w = leaf(lib, 4, 3), leaf(lib, 2, 3, seed=1)
    y = x * 1
    y[lib.tensor([2, 0])] = w
    y[lib.tensor([1, 3]), lib.tensor([0, 2])] = w[0, 0]
    y[:, [1]] = w[:1, :1] * 2
    return y * y, (x, w)


def set_by_index_of_view(lib):
    x, w = leaf(lib, 4, 3), leaf(lib, 2, seed=1)
    y = x * 1
    y[1:, 0][lib.tensor([2, 0])] = w
    y[1, lib.tensor([1, 2])] = w * w
    return y * y, (x, w)


def set_self_overlapping(lib):
    x = leaf(lib, 4)
    y = x * 1
    y[1:] = y[:-1].clone()
    y[:2] = y[2:]
    return y * y, (x,)


def set_then_read_earlier_view(lib):
    x, w = leaf(lib, 4), leaf(lib, seed=1)
    y = x * 1
    v = y[1:]
    y[2] = w
    return v * v, (x, w)


def index_put_accumulates(lib):
    x, w = leaf(lib, 4), leaf(lib, 3, seed=1)
    y = x * 1
    y.index_put_((lib.tensor([1, 1, 3]),), w, accumulate=True)
    return y * y, (x, w)


def scatter_family(lib):
    x, w = leaf(lib, 3, 4), leaf(lib, 3, 4, seed=1)
    y = x * 1
    index = lib.tensor([[0, 2, 1, 1]])
    y.scatter_(0, index, w[:1])
    y.scatter_add_(1, lib.tensor([[0, 0], [1, 2]]), w[:2, :2])
    y[1:].index_add_(1, lib.tensor([3, 0]), w[1:, :2])
    y.index_copy_(0, lib.tensor([2]), w[:1])
    y.index_fill_(1, lib.tensor([1]), 2.0)
    y.masked_scatter_(lib.tensor([True, False, False, True]), w)
    return y * y, (x, w)


def detached_base_shares_memory(lib):
    x = leaf(lib, 3)
    y = x * 1
    d = y.detach()
    with lib.no_grad():
        d.mul_(2.0)
    return y * d, (x,)


def write_under_no_grad_to_leaf(lib):
    x = leaf(lib, 3)
    with lib.no_grad():
        x.mul_(2.0)
        x[0] = 5.0
    return x * x, (x,)


def write_to_unbind_output_of_constant(lib):
    w = leaf(lib, 3, seed=1)
    y = constant(lib, 2, 3)
    for row in y:
        row += 1.0
    for row in y.split(1):
        row.mul_(2.0)
    return y * w, (w,)


def shape_changed_in_place(lib):
    x, w = leaf(lib, 2, 3), leaf(lib, 3, 2, seed=1)
    y = x * 1
    y.t_()
    y.mul_(w)
    y.unsqueeze_(0)
    y.transpose_(0, 2)
    y.squeeze_()
    return y * y, (x, w)


def augmented_assignment_of_item(lib):
    x, w = leaf(lib, 3, 2), leaf(lib, 2, seed=1)
    y = x * 1
    y[1] += w
    y[2] *= w
    return y * y, (x, w)


PROGRAMS = [
    write_through_slice, write_through_select_of_matrix, write_through_view_of_view, view_taken_before_sees_write_to_base,
    sibling_view_sees_write, write_twice, write_through_transpose, write_through_reshape, write_through_diagonal,
    write_through_unsqueeze_and_squeeze, write_to_element, write_to_0d, write_to_constant_base, write_to_view_of_constant,
    write_leaf_as_value, write_leaf_as_value_into_view, copy_constant_keeps_requires_grad, copy_casts_and_broadcasts,
    fill_and_zero, zero_all, set_number, set_row, set_by_mask, set_by_index, set_by_index_of_view, set_self_overlapping,
    set_then_read_earlier_view, index_put_accumulates, scatter_family, detached_base_shares_memory,
    write_under_no_grad_to_leaf, write_to_unbind_output_of_constant, shape_changed_in_place, augmented_assignment_of_item,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_values_and_gradients_are_pytorchs(program):
    (theirs, their_leaves), (ours, our_leaves) = program(torch), program(cr)
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
    theirs.sum().backward()
    ours.sum().backward()
    for a, b in zip(our_leaves, their_leaves, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_second_derivatives_are_pytorchs(program):
    found = []
    for lib in (torch, cr):
        out, leaves = program(lib)
        gs = lib.autograd.grad((out * out).sum(), leaves, create_graph=True, allow_unused=True)
        total = sum((g * g).sum() for g in gs if g is not None)
        if not getattr(total, "requires_grad", False):
            total = (leaves[0] * 0).sum()
        second = lib.autograd.grad(total, leaves, allow_unused=True)
        found.append([0.0 if g is None else g.detach().numpy() for g in second])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


# -- errors ------------------------------------------------------------------------------------------------------------


def error_leaf(lib):
    leaf(lib, 3).mul_(2.0)


def error_leaf_item(lib):
    leaf(lib, 3)[0] = 1.0


def error_view_of_leaf(lib):
    leaf(lib, 3)[1:].mul_(2.0)


def error_unbind(lib):
    (leaf(lib, 2, 3) * 1).unbind()[0].mul_(2.0)


def error_split(lib):
    (leaf(lib, 2, 3) * 1).split(1)[1].zero_()


def error_view_of_unbind(lib):
    (leaf(lib, 2, 3) * 1).unbind()[0][1:].mul_(2.0)


def error_unbind_of_constant_with_grad(lib):
    constant(lib, 2, 3).unbind()[0].mul_(leaf(lib, 3))


def error_no_grad_view(lib):
    y = leaf(lib, 3) * 1
    with lib.no_grad():
        v = y[1:]
    v.mul_(2.0)


def error_saved_value_modified(lib):
    y = leaf(lib, 3).exp()
    z = y * 2
    y.mul_(3.0)
    (y + z).sum().backward()


def error_saved_base_modified_through_view(lib):
    y = leaf(lib, 3).exp()
    y[0] = 1.0
    y.sum().backward()


def error_saved_value_modified_through_detach(lib):
    y = leaf(lib, 3).exp()
    y.detach().mul_(2.0)
    y.sum().backward()


def error_expanded(lib):
    constant(lib, 1).expand(3).add_(1.0)


def error_shape(lib):
    constant(lib, 3).copy_(constant(lib, 4))


def error_detach_view(lib):
    (leaf(lib, 3) * 1)[1:].detach_()


def error_result_type(lib):
    lib.tensor([1, 2]).add_(1.5)


ERRORS = [
    (error_leaf, "a leaf Variable that requires grad"), (error_leaf_item, "a view of a leaf Variable that requires grad"),
    (error_view_of_leaf, "a view of a leaf Variable that requires grad"), (error_unbind, "Output 0 of Unbind is a view"),
    (error_split, "Output 1 of Split is a view"), (error_view_of_unbind, "Output 0 of"),
    (error_unbind_of_constant_with_grad, ""),
    (error_no_grad_view, "A view was created in no_grad mode and is being modified inplace"),
    (error_saved_value_modified, "one of the variables needed for gradient computation has been modified"),
    (error_saved_base_modified_through_view, "one of the variables needed for gradient computation has been modified"),
    (error_saved_value_modified_through_detach, "one of the variables needed for gradient computation has been modified"),
    (error_expanded, "unsupported operation: more than one element of the written-to tensor refers to a single memory"),
    (error_shape, ""), (error_detach_view, "Can't detach"), (error_result_type, "result type Float can't be cast"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "words"), ERRORS, ids=lambda p: getattr(p, "__name__", ""))
def test_errors_are_pytorchs(program, words):
    for lib in (torch, cr):
        with pytest.raises(RuntimeError) as caught:
            program(lib)
        assert str(caught.value).startswith(words), lib.__name__


def test_base_and_view_nodes_after_a_write():
    y = cr.ones(4, requires_grad=True) * 1
    v = y[1:]
    v.mul_(2.0)
    assert y.grad_fn.name() == "CopySlices"
    assert v._base is y
    assert y._version == v._version == 1
    assert y.detach()._version == 1


def test_a_view_keeps_its_place_when_the_base_changes_its_shape():
    w = cr.tensor([2.0, 3.0, 4.0], requires_grad=True)
    y = cr.ones(2, 3)
    v = y[0]
    y.t_().unsqueeze_(0)
    v.mul_(w)
    assert y.tolist() == [[[2.0, 1.0], [3.0, 1.0], [4.0, 1.0]]]
    assert cr.autograd.grad((y * y).sum(), w)[0].tolist() == [4.0, 6.0, 8.0]


# Not these: writes to a leaf itself or through detached memory (a transform's argument is no leaf), and leaves that are not
# among the program's results.
OUTSIDE = [write_under_no_grad_to_leaf, detached_base_shares_memory, copy_casts_and_broadcasts]


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p not in OUTSIDE], ids=lambda p: p.__name__)
def test_writes_inside_transforms_agree_with_plain_gradients(program):
    """The same program with its leaves given by func.grad and func.jvp instead of as leaves."""
    out, leaves = program(cr)
    plain = cr.autograd.grad(out.sum(), leaves, allow_unused=True)
    values = [x.detach() for x in leaves]

    def run(*xs):
        return program(_with_leaves(iter(xs)))[0].sum()

    argnums = tuple(range(len(values)))
    for a, b in zip(cr.func.grad(run, argnums=argnums)(*values), plain, strict=True):
        np.testing.assert_allclose(a.numpy(), 0 if b is None else b.numpy(), rtol=1e-12)
    directions = tuple(constant(cr, *x.shape, seed=11 + k) for k, x in enumerate(values))
    _, tangent = cr.func.jvp(run, tuple(values), directions)
    expected = sum((d * b).sum().item() for d, b in zip(directions, plain, strict=True) if b is not None)
    np.testing.assert_allclose(tangent.item(), expected, rtol=1e-10)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p not in OUTSIDE], ids=lambda p: p.__name__)
def test_writes_inside_a_trace_and_in_taylor_mode_agree(program):
    """The graph of the program, traced for other values, and of its gradient; its second derivative along a line."""
    out, leaves = program(cr)
    plain = cr.autograd.grad(out.sum(), leaves, allow_unused=True)
    values = tuple(x.detach() for x in leaves)

    def run(*xs):
        return program(_with_leaves(iter(xs)))[0].sum()

    graph = cr.func.trace(run)(*[v * 0.5 + 0.1 for v in values])
    np.testing.assert_allclose(graph(*values).numpy(), out.sum().detach().numpy(), rtol=1e-12)
    of_gradient = cr.func.grad(run, argnums=tuple(range(len(values))))
    found = cr.func.trace(of_gradient)(*[v * 0.5 + 0.1 for v in values])(*values)
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a.numpy(), 0 if b is None else b.numpy(), rtol=1e-12)
    along = tuple(constant(cr, *x.shape, seed=11 + k) for k, x in enumerate(values))
    second = cr.func.jvp(lambda *x: cr.func.jvp(run, x, along)[1], values, along)[1]
    np.testing.assert_allclose(cr.func.directional(run, values, along, 2).numpy(), second.numpy(), rtol=1e-10, atol=1e-10)


def _with_leaves(given):
    """Return chainrule with `tensor` giving the next of these values where a program asks for a leaf."""

    class Library:
        def __getattr__(self, name):
            return getattr(cr, name)

        def tensor(self, data, requires_grad=False):
            return next(given) if requires_grad else cr.tensor(data)

    return Library()

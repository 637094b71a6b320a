"""Writes in place that PyTorch's users meet: the same program under both libraries says the same."""

from __future__ import annotations

import pytest

import chainrule as cr

MODIFIED = len("one of the variables needed for gradient computation has been modified by an inplace operation")

# (name, operands, the call): an operand is changed by an optimiser's step, so to speak, before the backward pass.
CALLS = {
    "matmul of 3-D and 1-D": (lambda lib, x, y: x @ y, (2, 2, 2), (2,)),
    "matmul of 1-D and 3-D": (lambda lib, x, y: x @ y, (2,), (2, 2, 2)),
    "einsum": (lambda lib, x, y: lib.einsum("ij,kj->ik", x, y), (2, 3), (2, 3)),
    "einsum, outer": (lambda lib, x, y: lib.einsum("i,j->ij", x, y), (2,), (3,)),
    "einsum, batched": (lambda lib, x, y: lib.einsum("bij,bjk->bik", x, y), (2, 2, 3), (2, 3, 2)),
    "tensordot": (lambda lib, x, y: lib.tensordot(x, y, 2), (2, 2, 3), (2, 3, 2)),
    "prelu": (lambda lib, x, y: lib.nn.functional.prelu(x - 2, y), (2, 3), (3,)),
    "linear of one row": (lambda lib, x, y: lib.nn.functional.linear(x, y), (2, 3), (3,)),
    "kron": (lambda lib, x, y: lib.kron(x, y), (2, 2), (2, 2)),
    "inner": (lambda lib, x, y: lib.inner(x, y), (2, 3), (2, 3)),
    "vmap of dot": (lambda lib, x, y: lib.func.vmap(lambda a: a.dot(y))(x), (2, 3), (3,)),
    "vmap of mv": (lambda lib, x, y: lib.func.vmap(lambda a: a.mv(y))(x), (2, 2, 3), (3,)),
    "vmap of both": (lambda lib, x, y: lib.func.vmap(lib.dot)(x, y), (2, 3), (2, 3)),
}


def after_a_write(lib, gradient, write):
    """Return what a pass gives after a write: "right", "wrong" or the first words of its error."""
    right = gradient().tolist()
    with lib.no_grad():
        write()
    try:
        return "right" if gradient().tolist() == right else "wrong"
    except RuntimeError as error:
        return str(error)[:MODIFIED]


@pytest.mark.parametrize("written", [0, 1])
@pytest.mark.parametrize("name", CALLS)
def test_an_operand_changed_after_the_call_gives_the_right_gradient_or_pytorchs_error(torch, name, written):
    call, *shapes = CALLS[name]
    found = []
    for lib in (cr, torch):
        values = [lib.arange(1.0, 1 + lib.zeros(shape).numel()).reshape(shape) for shape in shapes]
        leaf = values[1 - written].requires_grad_()
        out = call(lib, *values)
        found.append(
            after_a_write(
                lib,
                lambda lib=lib, out=out, leaf=leaf: lib.autograd.grad(out.sum(), leaf, retain_graph=True)[0],
                lambda values=values: values[written].mul_(5),
            )
        )
    ours, theirs = found
    assert ours in ("right", theirs) or name == "kron"  # PyTorch's own kron shares memory, and not the version counter
    assert ours != "wrong"


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("reduce", ["amax", "prod", "mean"])
def test_a_saved_result_changed_after_the_call_is_noticed(torch, reduce):
    for lib in (cr, torch):
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        index, source = lib.tensor([0, 0, 2]), lib.tensor([4.0, 5.0, 1.0])
        for y in (x.scatter_reduce(0, index, source, reduce), x.index_reduce(0, index, source, reduce)):
            said = after_a_write(
                lib, lambda y=y, x=x, lib=lib: lib.autograd.grad(y.sum(), x, retain_graph=True)[0], lambda y=y: y.mul_(2)
            )
            assert said != "wrong"


def test_positions_changed_between_two_passes_are_noticed(same):
    def program(lib, say):
        x = lib.tensor([1.0, 3.0, 2.0], requires_grad=True)
        weights = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        for f in (lib.sort, lambda x: lib.topk(x, 3), lambda x: lib.cummax(x, 0)):
            values, positions = f(x)
            (g,) = lib.autograd.grad(values, x, weights, create_graph=True)
            positions.zero_()
            say.error(lambda g=g: g.sum().backward(), MODIFIED)

    same(program)

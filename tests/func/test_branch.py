"""`cond`: a branch chosen by a tensor, under every transform what a Python branch is for each example alone."""

from __future__ import annotations

import pytest

import chainrule as cr

X = cr.tensor([[1.0, 2.0], [3.0, 4.0], [0.5, 0.1]])


def f(x):
    return cr.cond(x.sum() > 4, lambda x: {"a": x.sin(), "b": x}, lambda x: {"a": x * 2, "b": -x}, (x,))


def g(x):
    return f(x)["a"].sum()


def test_one_branch_runs_for_a_tensor_of_one_value():
    ran = []
    for pred, name in ((True, "t"), (0, "f"), (cr.tensor(True), "t"), (cr.tensor([0]), "f")):
        cr.cond(pred, lambda x: ran.append("t"), lambda x: ran.append("f"), (X,))
        assert ran.pop() == name
        assert not ran


def test_derivatives_are_those_of_the_branch():
    assert cr.allclose(cr.func.grad(g)(X[1]), X[1].cos())
    assert cr.func.grad(g)(X[0]).tolist() == [2, 2]
    x = X[1].clone().requires_grad_()
    f(x)["a"].sum().backward()
    assert cr.allclose(x.grad, X[1].cos())
    _, dot = cr.func.jvp(g, (X[1],), (cr.ones(2),))
    assert cr.allclose(dot, X[1].cos().sum())
    assert cr.allclose(cr.func.hessian(g)(X[1]), cr.diag(-X[1].sin()))


def test_examples_of_a_batch_each_take_their_own():
    found = cr.vmap(f)(X)
    for i, x in enumerate(X):
        assert all(cr.allclose(found[k][i], f(x)[k]) for k in "ab")
    assert cr.allclose(cr.vmap(cr.func.grad(g))(X), cr.stack([cr.func.grad(g)(x) for x in X]))
    traced = cr.func.trace(g)(X[0])
    assert all(cr.allclose(traced(x), g(x)) for x in X)


BAD = [
    (("a", abs, abs, (X,)), "Expected pred to be bool or tensor, but got a."),
    ((X, abs, abs, (X,)), "Expected pred to be bool or single-element tensor, but got"),
    ((cr.tensor(True), 3, abs, (X,)), "Expect both branches to be callable."),
    ((cr.tensor(True), abs, abs, (3,)), "Expect operands to be a tuple of possibly nested dict/list/tuple that only"),
    ((cr.tensor(True), abs, abs, X), "Expect operands to be a tuple of possibly nested dict/list/tuple that only"),
]


@pytest.mark.parametrize(("args", "words"), BAD, ids=range(len(BAD)))
def test_errors_are_pytorchs(args, words):
    with pytest.raises(RuntimeError) as found:
        cr.cond(*args)
    assert str(found.value).startswith(words)


def test_branches_that_differ_are_told_of_where_both_run():
    for other in (lambda x: x.sum(), lambda x: x.double(), lambda x: (x, x)):
        with pytest.raises(RuntimeError, match="both branches are to return"):
            cr.vmap(lambda x, other=other: cr.cond(x.sum() > 4, lambda x: x, other, (x,)))(X)

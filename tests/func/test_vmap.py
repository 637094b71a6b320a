"""`func.vmap`: arguments, results, nesting and errors as PyTorch's; what it does beyond."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.mode.watch import Watcher
from chainrule.func import grad, jvp, vjp, vmap


def same(a, b):
    np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-6, atol=1e-7)


X = np.arange(12.0).reshape(3, 4) / 7 - 0.5
W = np.array([0.3, -1.0, 2.0, 0.7])

# Each is run under both libraries: (function of the module and the arrays as tensors).
PROGRAMS = {
    "one argument": lambda t, v, x, w: v(lambda a: a.sin().sum())(x),
    "shared argument": lambda t, v, x, w: v(lambda a, b: (a * b).sum(), in_dims=(0, None))(x, w),
    "captured": lambda t, v, x, w: v(lambda a: a @ w)(x),
    "negative in_dim": lambda t, v, x, w: v(lambda a: a * 2, in_dims=-1)(x),
    "out_dims": lambda t, v, x, w: v(lambda a: a * w, out_dims=1)(x),
    "negative out_dims": lambda t, v, x, w: v(lambda a: a[:, None] * w, out_dims=-2)(x),
    "pytree in": lambda t, v, x, w: v(lambda d: d["a"] * d["b"][0], in_dims=({"a": 0, "b": [None]},))({"a": x, "b": [w]}),
    "pytree out": lambda t, v, x, w: v(lambda a: {"s": a.sum(), "p": (a, -a)}, out_dims={"s": 0, "p": (1, 0)})(x)["p"][0],
    "nested": lambda t, v, x, w: v(v(lambda a: a * a + 1))(x),
    "nested, both captured": lambda t, v, x, w: v(lambda a: v(lambda b: (a * b).sum())(x))(x),
    "result that does not depend on the example": lambda t, v, x, w: v(lambda a: w * 2)(x),
    "out_dims None": lambda t, v, x, w: v(lambda a: w * 2, out_dims=None)(x),
    "keyword arguments are shared": lambda t, v, x, w: v(lambda a, b: a * b)(x, b=x[0]),
    "chunks": lambda t, v, x, w: v(lambda a: a.exp(), chunk_size=2)(x),
    "chunks along other axes": lambda t, v, x, w: v(lambda a: a.exp(), in_dims=1, out_dims=1, chunk_size=3)(x),
    "empty batch": lambda t, v, x, w: v(lambda a: (a * w).sum())(x[:0]),
    "broadcast of examples of unlike rank": lambda t, v, x, w: v(lambda a, b: a + b)(x, x[:, 0]),
    "index by a batched number": lambda t, v, x, w: v(lambda a, i: a[i])(x, t.tensor([3, 0, 1])),
    "gather rows of a shared table": lambda t, v, x, w: v(lambda i: x[i])(t.tensor([[0, 1], [2, 2], [1, 0]])),
    "matrix of one example": lambda t, v, x, w: v(lambda a: t.outer(a, a) @ w)(x),
    "write in place": lambda t, v, x, w: v(lambda a: a.clone().add_(1).mul_(a))(x),
    "write into a view": lambda t, v, x, w: v(lambda a: _set(a.clone(), 1, a[0] * 2))(x),
    "write into a view of a view": lambda t, v, x, w: v(lambda a: _set(a.clone().view(2, 2).t()[1], 0, a[3]))(x),
    "a number into a mask": lambda t, v, x, w: v(lambda a: t.where(a > 0, a, w))(x),
    "loops and shapes": lambda t, v, x, w: v(lambda a: sum(a[i] * i for i in range(len(a))) + a.shape[0] + a.numel())(x),
    "sort": lambda t, v, x, w: v(lambda a: a.sort(descending=True).values)(x),
    "softmax": lambda t, v, x, w: v(lambda a: t.softmax(a * w, 0))(x),
    "reductions": lambda t, v, x, w: v(lambda a: a.mean() + a.max() - a.var() + a.norm())(x),
    "0-d examples": lambda t, v, x, w: v(lambda a: a.sum(0) + a.cumsum(0) + a.max(0).values)(x[:, 0]),
    "stack and cat": lambda t, v, x, w: v(lambda a: t.cat([t.stack([a, w]), a[None]]))(x),
}


def _set(a, i, value):
    a[i] = value
    return a


@pytest.mark.parametrize("program", list(PROGRAMS.values()), ids=list(PROGRAMS))
def test_programs_give_what_they_give_in_pytorch(torch, program):
    expected = program(torch, torch.func.vmap, torch.tensor(X), torch.tensor(W))
    found = program(cr, vmap, cr.tensor(X), cr.tensor(W))
    assert tuple(found.shape) == tuple(expected.shape)
    same(found, expected.numpy())


ERRORS = {
    "sizes": lambda t, v, x: v(t.add)(x, x[:2]),
    "input that is no tensor": lambda t, v, x: v(lambda a, b: a)(x, 3),
    "output that is no tensor": lambda t, v, x: v(lambda a: 3)(x),
    "no output": lambda t, v, x: v(lambda a: None)(x),
    "no inputs": lambda t, v, x: v(lambda: x)(),
    "in_dims None": lambda t, v, x: v(lambda a: a, in_dims=None)(x),
    "nothing to map over": lambda t, v, x: v(lambda a, b: a, in_dims=(None, None))(x, x),
    "in_dims of another type": lambda t, v, x: v(lambda a: a, in_dims="a")(x),
    "in_dims a list": lambda t, v, x: v(lambda a: a, in_dims=[0])(x),
    "in_dims too many": lambda t, v, x: v(lambda a: a, in_dims=(0, 0))(x),
    "in_dims not an int": lambda t, v, x: v(lambda a: a, in_dims=(0.5,))(x),
    "in_dims out of range": lambda t, v, x: v(lambda a: a, in_dims=2)(x),
    "in_dims out of range below": lambda t, v, x: v(lambda a: a, in_dims=-3)(x),
    "0-d input": lambda t, v, x: v(lambda a: a)(t.tensor(1.0)),
    "out_dims out of range": lambda t, v, x: v(lambda a: a, out_dims=2)(x),
    "out_dims of another type": lambda t, v, x: v(lambda a: a, out_dims="q")(x),
    "out_dims of another structure": lambda t, v, x: v(lambda a: a, out_dims=(0, 0))(x),
    "out_dims None for a batched result": lambda t, v, x: v(lambda a: a, out_dims=None)(x),
    "randomness": lambda t, v, x: v(lambda a: a, randomness="x")(x),
    "chunk_size": lambda t, v, x: v(lambda a: a, chunk_size=0)(x),
    "item": lambda t, v, x: v(lambda a: a.sum().item())(x),
    "float": lambda t, v, x: v(lambda a: float(a.sum()))(x),
    "a branch": lambda t, v, x: v(lambda a: a if a.sum() > 0 else -a)(x),
    "tolist": lambda t, v, x: v(lambda a: a.tolist())(x),
    "numpy": lambda t, v, x: v(lambda a: a.numpy())(x),
    "asarray": lambda t, v, x: v(lambda a: np.asarray(a))(x),
    "data_ptr": lambda t, v, x: v(lambda a: a.data_ptr())(x),
    "list index": lambda t, v, x: v(lambda i: [1, 2, 3][i])(t.tensor([0, 1, 2])),
    "nonzero": lambda t, v, x: v(lambda a: a.nonzero())(x),
    "unique": lambda t, v, x: v(lambda a: a.unique())(x),
    "mask": lambda t, v, x: v(lambda a: a[a > 0])(x),
    "masked_select": lambda t, v, x: v(lambda a: a.masked_select(a > 0))(x),
    "requires_grad_": lambda t, v, x: v(lambda a: a.requires_grad_())(x),
    "write into a captured tensor": lambda t, v, x: v(lambda a: x.new_zeros(4).copy_(a) if t is not cr else x.copy_(a))(x),
}


@pytest.mark.parametrize("program", list(ERRORS.values()), ids=list(ERRORS))
def test_errors_are_pytorchs(torch, program):
    with pytest.raises(Exception) as theirs:
        program(torch, torch.func.vmap, torch.tensor(X))
    with pytest.raises(type(theirs.value)) as ours:
        program(cr, vmap, cr.tensor(X))
    assert str(ours.value)[:40] == str(theirs.value)[:40]


def test_vmap_is_public_as_in_pytorch():
    assert cr.vmap is vmap


def test_a_tensor_made_inside_takes_batched_values_in_place():
    def f(a):
        out = cr.zeros(4)
        out[0] = a[0]
        out += a
        return out

    x = cr.tensor(X)
    expected = X.copy()
    expected[:, 0] *= 2
    same(vmap(f)(x), expected)


def test_a_write_to_an_argument_reaches_the_callers_tensor(torch):
    for t, v in ((cr, vmap), (torch, torch.func.vmap)):
        x = t.ones(3, 2)
        v(lambda a: a.mul_(2), in_dims=1)(x)
        assert x.tolist() == [[2.0, 2.0]] * 3
    leaf = cr.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        vmap(lambda a: a.mul_(2))(leaf)


def test_a_shape_changes_in_place_only_of_what_is_made_inside():
    x = cr.tensor(X.reshape(3, 2, 2))
    same(vmap(lambda a: a.clone().t_().mul_(2))(x), 2 * X.reshape(3, 2, 2).swapaxes(1, 2))
    with pytest.raises(RuntimeError, match=r"t_\(\) of an argument would change the shape of the caller's tensor"):
        vmap(lambda a: a.t_())(x)


IDENTITIES = {
    "the argument": (lambda a: a, 0, 0, True),
    "written in place": (lambda a: a.mul_(2), 0, 0, True),
    "along another axis": (lambda a: a.add_(1), 1, 1, True),
    "moved": (lambda a: a, 0, 1, False),
    "a copy": (lambda a: a.clone(), 0, 0, False),
}


@pytest.mark.parametrize("name", list(IDENTITIES))
@pytest.mark.parametrize("peer", [False, True])
def test_an_argument_that_is_returned_is_the_tensor_of_the_caller(name, peer, request):
    lib = request.getfixturevalue("torch") if peer else cr
    f, in_dim, out_dim, itself = IDENTITIES[name]
    x = lib.tensor(X)
    assert (lib.func.vmap(f, in_dim, out_dim)(x) is x) is itself


@pytest.mark.parametrize("peer", [False, True])
def test_a_view_of_an_argument_is_a_view_of_the_tensor_of_the_caller(peer, request):
    lib = request.getfixturevalue("torch") if peer else cr
    for f, in_dim in ((lambda a: a[1:], 0), (lambda a: a.view(3, 1), 1), (lambda a: a.unsqueeze(0)[0], 0)):
        x = lib.tensor(X)
        r = lib.func.vmap(f, in_dim)(x)
        assert r._is_view()
        assert r._base is x
        r.mul_(2)
        assert x._version == 1
        same(x, np.where(np.isin(X, X[:, :1]) & (r.numel() < X.size), 1, 2) * X)


def test_a_saved_argument_that_is_written_to_later_is_found():
    x, w = cr.ones(3), cr.ones((), requires_grad=True)
    y = vmap(lambda a: a * w)(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_gradients_pass_through_to_captured_tensors():
    w = cr.tensor(W, requires_grad=True)
    vmap(lambda a: (a * w).sum())(cr.tensor(X)).sum().backward()
    same(w.grad, X.sum(0))


def test_per_example_gradients():
    x, w = cr.tensor(X), cr.tensor(W)
    same(vmap(grad(lambda w, a: ((a * w) ** 2).sum()), in_dims=(None, 0))(w, x), 2 * X * X * W)


def test_levels_do_not_mix():
    x, w = cr.tensor(X), cr.tensor(W)
    inner = lambda a: vmap(lambda b: jvp(lambda c: a.sum() * c * b, (w,), (w,))[1])(x)
    expected = X.sum(1)[:, None, None] * X[None] * W
    same(vmap(inner)(x), expected)
    same(
        grad(lambda s: vmap(lambda a: grad(lambda b: (s * b * a).sum())(a))(x).sum())(cr.tensor(2.0, dtype=cr.float64)), X.sum()
    )


def test_cotangents_of_a_function_can_be_batched():
    _, pull = vjp(lambda a: a * a * a, cr.tensor(W))
    same(vmap(pull)(cr.eye(4, dtype=cr.float64))[0], np.diag(3 * W**2))


def test_batched_cotangents_of_autograd_grad():
    w = cr.tensor(W, requires_grad=True)
    y = w * w * w
    identity = cr.eye(4, dtype=cr.float64)
    (jacobian,) = cr.autograd.grad(y, w, identity, is_grads_batched=True, create_graph=True)
    same(jacobian.detach(), np.diag(3 * W**2))
    (second,) = cr.autograd.grad(jacobian.sum(), w)
    same(second, 6 * W)


def test_autograd_grad_takes_the_cotangents_of_a_transform():
    w = cr.tensor(W, requires_grad=True)
    y = w * w * w
    pull = lambda v: cr.autograd.grad(y, w, v, retain_graph=True)[0]
    identity = cr.eye(4, dtype=cr.float64)
    same(vmap(pull)(identity), np.diag(3 * W**2))
    same(jvp(pull, (w.detach(),), (w.detach(),))[1], 3 * W**3)
    same(grad(lambda v: pull(v).sum())(cr.tensor(X[0])).detach(), 3 * W**2)
    assert not vmap(pull)(identity).requires_grad


def test_no_backward_accumulates_example_by_example():
    w = cr.tensor(W, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"backward\(\) called inside"):
        vmap(lambda a: (a * w).sum().backward())(cr.tensor(X))


def test_an_op_without_a_rule_loops_and_says_so_once():
    from chainrule.core.op import batching

    batching._WARNED.discard("histc")
    x = cr.tensor(X)
    f = vmap(lambda a: cr.histc(a, 4, -1.0, 1.0))
    with pytest.warns(UserWarning, match="histc has no batching rule"):
        found = f(x)
    same(f(x), found)
    cr.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match="histc has no batching rule"):
            f(x)
    finally:
        cr.set_warn_always(False)
    with pytest.raises(RuntimeError, match="expects a bool"):
        cr.set_warn_always(1)
    same(found, [cr.histc(row, 4, -1.0, 1.0).numpy() for row in x])


def test_a_batched_value_prints_as_in_pytorch():
    shown = []
    vmap(lambda a: shown.append(repr(a)) or a)(cr.ones(2, 2))
    assert shown == ["BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[1., 1.],\n            [1., 1.]])\n)"]


# -- random numbers ----------------------------------------------------------------------------------------------------

RANDOM = {
    "rand": lambda t, a: t.rand(4),
    "randn": lambda t, a: t.randn(2, 2),
    "randint": lambda t, a: t.randint(0, 1000, (4,)),
    "randperm": lambda t, a: t.randperm(20),
    "normal": lambda t, a: t.normal(0.0, 1.0, (3,)),
    "rand_like": lambda t, a: t.rand_like(a),
    "randn_like of what is shared": lambda t, a: t.randn_like(t.ones(3)),
    "dropout": lambda t, a: t.nn.functional.dropout(t.ones(40)),
    "dropout of an example": lambda t, a: t.nn.functional.dropout(t.ones_like(a).expand(10, 4)),
    "normal_": lambda t, a: a.clone().normal_(),
    "bernoulli of a number": lambda t, a: t.bernoulli(t.ones(40), 0.5),
    "bernoulli_": lambda t, a: a.clone().expand(10, 4).clone().bernoulli_(0.5),
    "multinomial of what is shared": lambda t, a: t.multinomial(t.ones(30), 20),
    "poisson of what is shared": lambda t, a: t.poisson(t.ones(20) * 3),
    "multinomial": lambda t, a: t.multinomial(t.ones(30) + a[0] ** 2, 20),
    "poisson": lambda t, a: t.poisson(t.ones(20) * 3 + a[0] ** 2),
    "bernoulli": lambda t, a: t.bernoulli(t.ones(40) * 0.5 + a[0] * 0),
}
OF_EXAMPLES = ("multinomial", "poisson", "bernoulli")


@pytest.mark.parametrize("name", list(RANDOM))
def test_random_numbers_are_refused_shared_or_drawn_for_each_example(torch, name):
    draw, x = RANDOM[name], cr.tensor(X)
    with pytest.raises(RuntimeError) as theirs:
        torch.func.vmap(lambda a: draw(torch, a))(torch.tensor(X))
    with pytest.raises(RuntimeError) as ours:
        vmap(lambda a: draw(cr, a))(x)
    assert str(ours.value)[:60] == str(theirs.value)[:60]
    each = vmap(lambda a: draw(cr, a), randomness="different")(x).numpy()
    assert not np.array_equal(each[0], each[1])
    assert tuple(each.shape) == tuple(torch.func.vmap(lambda a: draw(torch, a), randomness="different")(torch.tensor(X)).shape)
    if name in OF_EXAMPLES[:2]:
        with pytest.raises(RuntimeError, match="Vmap does not currently support same randomness with a batched tensor input"):
            vmap(lambda a: draw(cr, a), randomness="same")(x)
    else:
        shared = vmap(lambda a: draw(cr, a), randomness="same")(x).numpy()
        np.testing.assert_array_equal(shared[0], shared[1])


def test_nested_vmaps_have_randomness_of_their_own():
    def draws(outer, inner):
        return vmap(lambda a: vmap(lambda b: cr.rand(5), randomness=inner)(a), randomness=outer)(cr.ones(2, 3)).numpy()

    found = draws("different", "same")
    assert found.shape == (2, 3, 5)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert not np.array_equal(found[0, 0], found[1, 0])
    found = draws("same", "different")
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0, 0], found[0, 1])
    found = draws("different", "different")
    assert len(np.unique(found)) == 30
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        draws("error", "different")


def test_rates_of_nested_vmaps_each_have_draws():
    inner, outer = cr.tensor([0.0, 1e6, 1e6]), cr.tensor([0.0, 1e6])
    nested = vmap(
        lambda a: vmap(lambda b: cr.poisson(cr.stack([a + b, a, b])), randomness="different")(inner), randomness="different"
    )
    cr.manual_seed(0)  # two of the twelve draws coincide for one seed in fifty
    found = nested(outer).numpy()
    assert found.shape == (2, 3, 3)
    assert (found[0, 0] == 0).all()
    assert (found[0, :, 1] == 0).all()
    assert (found[:, 0, 2] == 0).all()
    drawn = found[found > 0]
    assert len(np.unique(drawn)) == len(drawn) == 12  # a rate shared by several examples is drawn for each


def test_random_numbers_inside_of_a_gradient_inside_of_vmap():
    x = cr.tensor(X)
    f = lambda a: (a * cr.randn(4, dtype=cr.float64)).sum()
    found = vmap(grad(f), randomness="different")(x).numpy()
    assert not np.array_equal(found[0], found[1])
    found = vmap(grad(f), randomness="same")(x).numpy()
    np.testing.assert_array_equal(found[0], found[1])


def test_chunks_share_what_all_examples_share():
    found = vmap(lambda a: cr.rand(2), randomness="same", chunk_size=2)(cr.ones(5)).numpy()
    assert (found == found[0]).all()
    assert not (cr.rand(2).numpy() == found[0]).all()


def test_gradients_flow_through_batched_means():
    m = cr.zeros(3, requires_grad=True)
    vmap(lambda a: cr.normal(a, 1.0), randomness="different")(m).sum().backward()
    same(m.grad, np.ones(3))


def test_what_watches_kernels_sees_those_of_batching_rules():
    class Seen(Watcher):
        def __init__(self):
            super().__init__()
            self.seen = []

        def around(self, op, payloads, params, run):
            self.seen.append(op.name)
            return run()

    from chainrule.core.mode.grad_mode import modes, set_modes

    watcher, before = Seen(), modes()
    set_modes(before.having(watchers=(watcher,)))
    try:
        found = vmap(lambda a: (a * 2).cumsum(0) @ cr.tensor(W))(cr.tensor(X))
    finally:
        set_modes(before)
    same(found, np.cumsum(2 * X, 1) @ W)
    assert {"mul", "cumsum", "mv"} <= set(watcher.seen)

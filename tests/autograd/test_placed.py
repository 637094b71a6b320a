"""Cotangents of parts stay in their places until a buffer takes them: the same gradients as where each is made whole."""

from __future__ import annotations

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr
from chainrule.core.record import placed
from chainrule.core.record.placed import Placed
from chainrule.testing import cases, interface, passes

ALWAYS, NEVER = -1, float("inf")

STEPS = {
    "row": lambda x: x[1],
    "rows": lambda x: x[1:3],
    "last axis": lambda x: x[..., 0],
    "every other, backwards": lambda x: x.flip(0)[::2],
    "element": lambda x: x[(-1,) * x.ndim],
    "diagonal": lambda x: x.diagonal() if x.ndim > 1 else x[:2],
    "transpose": lambda x: x.transpose(0, -1),
    "t": lambda x: x.t() if x.ndim < 3 else x.mT,
    "permute": lambda x: x.permute(*range(1, x.ndim), 0),
    "flat": lambda x: x.reshape(-1),
    "flat view of a transpose": lambda x: x.transpose(0, -1).contiguous().view(-1),
    "new axis": lambda x: x.unsqueeze(0),
    "squeeze": lambda x: x.unsqueeze(-1).squeeze(-1),
    "narrow": lambda x: x.narrow(0, 0, 2),
    "select": lambda x: x.select(-1, 0),
    "one of a split": lambda x: x.split(1)[1],
    "one of unbind": lambda x: x.unbind(-1)[1],
    "two of a split": lambda x: (lambda a: a[0] * a[-1])(x.chunk(2)) if x.shape[0] == 4 else x[0],
    "alias": lambda x: x.view_as(x),
}


def part(x, names):
    for name in names:
        if x.ndim == 0 or min(x.shape) < 2:
            break
        x = STEPS[name](x)
    return x


def program(seed):
    """Return a scalar function of parts of a tensor of 4 by 4 by 3, of the whole, and of both together."""
    rng = np.random.default_rng(seed)
    chains = [list(rng.choice(list(STEPS), rng.integers(1, 4))) for _ in range(rng.integers(2, 8))]
    dense = rng.integers(3)  # not at all, first, last

    def f(x):
        y = x * 1.5 if seed % 2 else x
        total = (y * y * 0.1).sum() if dense == 1 else 0.0
        for k, chain in enumerate(chains):
            p = part(y, chain)
            total = total + ((p * p * (0.3 + 0.1 * k)).sin() if k % 3 else p * (k + 1.0)).sum()
        return total + (y.sin().sum() if dense == 2 else 0.0)

    return f


WAYS = {
    "backward": lambda f, x: backward(f, x, 1),
    "backward twice": lambda f, x: backward(f, x, 2),
    "grad": lambda f, x: cr.autograd.grad(f(x), x)[0],
    "create_graph": lambda f, x: cr.autograd.grad(f(x), x, create_graph=True)[0].detach(),
    "second order": lambda f, x: second(f, x),
    "func.grad": lambda f, x: cr.func.grad(f)(x.detach()),
    "grad of grad": lambda f, x: cr.func.grad(lambda x: (cr.func.grad(f)(x) ** 2).sum())(x.detach()),
    "jvp of grad": lambda f, x: cr.func.jvp(cr.func.grad(f), (x.detach(),), (x.detach().cos(),))[1],
    "vmap of grad": lambda f, x: cr.func.vmap(cr.func.grad(f))(cr.stack([x.detach(), x.detach() * 2])),
    "vmap of second": lambda f, x: cr.func.vmap(cr.func.grad(lambda x: cr.func.grad(f)(x).sin().sum()))(
        cr.stack([x.detach(), x.detach() * 2])),
    "batched cotangents": lambda f, x: cr.autograd.grad(f(x), x, cr.tensor([1.0, 2.0], dtype=cr.float64),
        is_grads_batched=True)[0],
    "hooks": lambda f, x: hooked(f, x),
    "a trace on shapes alone": lambda f, x: cr.func.trace(cr.func.grad(f))(cr.func.ShapeDtype((4, 4, 3), cr.float64))(
        x.detach()),
    "a trace": lambda f, x: cr.func.trace(cr.func.grad(f))(x.detach())(x.detach()),
}  # fmt: skip


def backward(f, x, times):
    for _ in range(times):
        f(x).backward()
    g, x.grad = x.grad, None
    return g


def second(f, x):
    (g,) = cr.autograd.grad(f(x), x, create_graph=True)
    return cr.autograd.grad((g * g).sum(), x)[0]


def hooked(f, x):
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.clone()))
    f(x).backward()
    handle.remove()
    np.testing.assert_array_equal(seen[0].numpy(), x.grad.numpy())
    return x.grad


@pytest.mark.parametrize("way", WAYS)
@by_name("seed", range(12), str)
def test_placed_cotangents_give_the_same_gradient(seed, way, monkeypatch):
    f = program(seed)
    array = np.random.default_rng(seed).standard_normal((4, 4, 3))
    found = []
    for small in (NEVER, ALWAYS):
        monkeypatch.setattr(placed, "SMALL", small)
        found.append(WAYS[way](f, cr.tensor(array, requires_grad=True)).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-12)


OF_PARTS = ("clone", "add", "stack", "cat", "assemble")


@by_name("case", [case for case in cases(differentiable=True) if case.op.selects is not None or case.op.name in OF_PARTS])
def test_laws_hold_where_all_parts_are_placed(case, monkeypatch):
    monkeypatch.setattr(placed, "SMALL", ALWAYS)
    interface.rules_return_fresh_arrays(case)
    interface.backward_gives_the_vjp(case)
    passes.watched_pass_gives_the_same(case)
    passes.pass_writes_into_its_own_buffers(case)


def test_an_op_that_selects_says_so_truly():
    for case in cases(kinds="f", differentiable=True):
        if case.op.selects in ("part", "all"):
            x = np.arange(float(np.prod(case.args[0].shape))).reshape(case.args[0].shape)
            out = case.op.kernel(x, **case.params)
            assert len(set(out.reshape(-1))) == out.size  # no element twice
            assert case.op.selects == "part" or out.size == x.size


def counted(monkeypatch):
    """Return a list that grows by the shape of each whole that is made of parts."""
    made, before = [], Placed.whole

    def whole(self):
        made.append(self.shape)
        return before(self)

    monkeypatch.setattr(Placed, "whole", whole)
    return made


@pytest.mark.parametrize("use", [
    lambda x, i: x[i], lambda x, i: x[i, 2], lambda x, i: x[i][2], lambda x, i: x[i : i + 1], lambda x, i: x.t()[:, i],
    lambda x, i: x.select(0, i), lambda x, i: x.narrow(0, i, 1), lambda x, i: x.view(-1)[3 * i],
    lambda x, i: x.split([i + 1, 400 - i])[0][i], lambda x, i: x.unbind()[i], lambda x, i: x.diagonal()[i % 8],
    lambda x, i: x.unsqueeze(0)[0, i],
])  # fmt: skip
def test_a_loop_over_parts_makes_one_whole(use, monkeypatch):
    made = counted(monkeypatch)
    x = cr.ones(401, 8, requires_grad=True)
    total = sum(use(x, i).sum() for i in range(100))
    total.backward()
    assert made.count((401, 8)) == 1
    assert made.count((8, 401)) + made.count((3208,)) + made.count((1, 401, 8)) == 0
    assert x.grad.sum() == total.item()
    made.clear()
    (use(x, 1).sum() + use(x, 2).sum()).backward()
    assert made.count((401, 8)) == 0  # they are added into the gradient that is there


@pytest.mark.parametrize("use", [lambda x, i: x[i], lambda x, i: x[i][2], lambda x, i: x.t()[:, i]])
def test_a_recorded_loop_over_parts_makes_one_whole(use, monkeypatch):
    made = counted(monkeypatch)
    x = cr.full((401, 8), 0.5, requires_grad=True)
    total = sum((use(x, i) ** 3).sum() for i in range(100))
    (g,) = cr.autograd.grad(total, x, create_graph=True)
    assert made.count((401, 8)) == 2  # of tensors, which is one op, and its kernel's
    (h,) = cr.autograd.grad((g * g).sum(), x)
    assert made.count((401, 8)) == 3
    np.testing.assert_allclose(h.numpy(), np.where(g.detach().numpy() == 0, 0, 2 * 0.75 * 3.0))


def test_many_parts_become_a_buffer_before_they_outgrow_it():
    parts = [Placed((2000,), [(((cr.core.op.declaration.TABLE["getitem"], {"index": (slice(0, 1500), ...)}, None, (2000,)),),
                               np.ones(1500))], True) for _ in range(3)]  # fmt: skip
    total, owned = placed.joined(parts[0], parts[1], False)
    assert owned
    assert isinstance(total, np.ndarray)
    total, owned = placed.joined(total, parts[2], owned)
    assert owned
    assert total.sum() == 4500


def test_parts_of_a_result_that_others_use_whole_first_and_last():
    for first in (True, False):
        x = cr.ones(50, 50, requires_grad=True)
        y = x * 2
        total = (y * y).sum() if first else cr.zeros(())
        for i in range(50):
            total = total + y[i].sum()
        total = total if first else total + (y * y).sum()
        total.backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full((50, 50), 10.0))


def test_parts_of_one_of_several_results():
    x = cr.ones(60, 50, requires_grad=True)
    a, _ = (x * 2).split([40, 20])
    sum([a[i].sum() * (i + 1.0) for i in range(40)]).backward()
    np.testing.assert_array_equal(x.grad.numpy()[:, 0], [2.0 * (i + 1) for i in range(40)] + [0.0] * 20)


def test_a_gradient_in_a_result_that_is_used_in_parts():
    x = cr.ones(60, 50, requires_grad=True)
    y = x * 2
    total = sum([(y[i] * y[i]).sum() for i in range(60)])
    gy, gx = cr.autograd.grad(total, [y, x])
    np.testing.assert_array_equal(gy.numpy(), np.full((60, 50), 4.0))
    np.testing.assert_array_equal(gx.numpy(), np.full((60, 50), 8.0))


def test_hooks_and_retained_gradients_of_a_result_that_is_used_in_parts():
    x = cr.ones(60, 50, requires_grad=True)
    y = x * 2
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: seen.append(g.clone()))
    rows = [y[i] for i in range(60)]
    rows[3].register_hook(lambda g: g * 10)
    rows[3].grad_fn.register_hook(lambda grad_inputs, grad_outputs: seen.append(grad_inputs[0].clone()))
    sum([r.sum() for r in rows]).backward()
    assert seen[0][3].tolist() == [10.0] * 50
    assert seen[0].sum() == 500
    assert y.grad[3].tolist() == [10.0] * 50
    assert y.grad.sum() == 59 * 50 + 500
    assert seen[1].tolist() == y.grad.tolist()


def test_complex_parts():
    x = cr.tensor(np.arange(3000).reshape(60, 50) * (1 + 2j), requires_grad=True)
    total = sum([(x[i].real * 2 + x.t()[:, i].imag).sum() for i in range(60)])
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((60, 50), 2 + 1j))


def test_parts_in_half_precision():
    for d in (cr.float16, cr.bfloat16):
        x = cr.ones(60, 50, dtype=d, requires_grad=True)
        sum([(x[i] * 2.0).sum() for i in range(60)]).backward()
        assert x.grad.dtype is d
        assert x.grad.float().sum() == 6000


def test_parts_are_not_added_into_a_cotangent_that_somebody_else_holds():
    x = cr.zeros(60, 50, requires_grad=True)
    row = x[1]
    copy = x.clone()  # later, so that its cotangent comes first
    w = cr.ones(60, 50)
    cr.autograd.backward([copy, row], [w, cr.full((50,), 5.0)])
    assert w.sum() == 3000
    assert x.grad.sum() == 3250


def test_parts_of_a_flat_view_are_added_into_a_buffer_in_another_order():
    x = cr.zeros(60, 50, requires_grad=True)
    element = x.view(-1)[57]
    turned = x.t()
    w = cr.zeros(50, 60)
    cr.autograd.backward([turned, element], [w, cr.tensor(5.0)])
    assert x.grad[1, 7] == 5
    assert x.grad.sum() == 5


def test_parts_added_into_a_gradient_count_as_a_write_to_it():
    x = cr.zeros(60, 50, requires_grad=True)
    x.sum().backward()
    held = x.grad
    version = held._version
    x[3].sum().backward()
    assert held is x.grad
    assert held._version == version + 1
    assert held[3].tolist() == [2] * 50


def test_a_gradient_that_is_a_lazy_conjugate_takes_another():
    x = cr.zeros(60, 50, dtype=cr.complex128, requires_grad=True)
    x.grad = cr.full((60, 50), 1 + 2j, dtype=cr.complex128).conj()
    (x[3] * 1j).real.sum().backward()
    (x.clone() * 1j).real.sum().backward()
    assert x.grad[3].tolist() == [1 - 4j] * 50
    assert x.grad[4].tolist() == [1 - 3j] * 50

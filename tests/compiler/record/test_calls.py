"""What a function may do while it is recorded: results, arguments and random numbers are its own, and so are a replay's."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.record.recorded import alike, drawn, same, values_of

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import func, nn
from chainrule.autograd import forward_ad
from chainrule.compiler.record import record, replay
from chainrule.compiler.record.recording import Argument, Captured, Computed, Input, SetGradient, View, Write
from chainrule.utils.checkpoint import checkpoint

W = cr.tensor([0.3, -1.2, 0.7], dtype=cr.float64)


def _leaf(x):
    return x.detach().requires_grad_()


def _double(x):
    x = _leaf(x)
    (g,) = cr.autograd.grad((x**3 * W).sum(), x, create_graph=True)
    return cr.autograd.grad((g**2).sum(), x)


def _dual(x):
    with forward_ad.dual_level():
        made = forward_ad.make_dual(x, W)
        return tuple(forward_ad.unpack_dual(cr.sin(made) * made))


def _checkpointed(use_reentrant):
    def f(x):
        x = _leaf(x)
        checkpoint(lambda t: cr.tanh(t * W).sin(), x, use_reentrant=use_reentrant).sum().backward()
        return x.grad

    return f


class Cube(cr.autograd.Function):
    """A function with a backward of its own, which is not the cube's."""

    @staticmethod
    def forward(ctx, x):
        """Return the cube."""
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        """Return something else than the gradient."""
        (x,) = ctx.saved_tensors
        return 7 * g * x


def _custom(x):
    x = _leaf(x)
    y = Cube.apply(x)
    (y * y).sum().backward()
    return x.grad, y.detach()


def _hooked(x):
    x = _leaf(x)
    x.register_hook(lambda g: g * 2)
    y = cr.sin(x)
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    return x.grad


def _unrecorded(x):
    with cr.no_grad():
        a = x * 2
        a += 1
        a[0] = x.sum()
    return a


def _passes(x):
    x = _leaf(x)
    for _ in range(2):
        (x * x * W).sum().backward()
    kept = x.grad
    (x * W).sum().backward()
    return x.grad, kept is x.grad


CALLS = {
    "hessian": lambda x: func.hessian(lambda y: (cr.sin(y) * y * W).sum())(x),
    "jacrev": func.jacrev(lambda y: cr.sin(y) * W),
    "jacfwd": func.jacfwd(lambda y: cr.sin(y) * W),
    "grad of grad": func.grad(lambda y: func.grad(lambda z: (cr.sin(z) * y).sum())(y).sum()),
    "jvp": lambda x: func.jvp(lambda y: cr.sin(y) * W, (x,), (W,)),
    "vjp": lambda x: func.vjp(lambda y: cr.sin(y) * W, x)[1](W),
    "captured": lambda x: func.grad(lambda y: (cr.sin(y) * x).sum())(W),
    "linearize": lambda x: func.linearize(lambda y: cr.sin(y) * W, x)[1](W),
    "jet": lambda x: func.jet(cr.sin, (x,), ((W, W),)),
    "trace": lambda x: func.trace(lambda y: cr.sin(y) * x)(x)(x * 2),
    "double backward": _double,
    "forward_ad": _dual,
    "checkpoint": _checkpointed(False),
    "checkpoint, reentrant": _checkpointed(True),
    "Function": _custom,
    "hooks": _hooked,
    "no_grad": _unrecorded,
    "passes": _passes,
    "random": lambda x: x + cr.randn(3) + cr.rand_like(x) + F.dropout(x, 0.5) + cr.bernoulli(cr.sigmoid(x)),
    "random in place": lambda x: (x.clone().normal_(), cr.empty(4).uniform_(), cr.randperm(5), cr.multinomial(x.abs(), 2)),
    "constants": lambda x: (cr.arange(3) * x + cr.tensor([1.0, 2.0, 3.0]), cr.ones(2)),
    "arguments back": lambda x: (x, x[:2], x),
    "out": lambda x: cr.add(x, 1, out=cr.empty(3, dtype=cr.float64)),
    "index": lambda x: (x[cr.tensor([0, 1])], x[..., 0], x[None], x[:2]),
    "chunks": lambda x: cr.outer(x, x).split(1, 1),
    "sort": cr.sort,
    "reshape": lambda x: cr.outer(x, W).T.reshape(-1) + cr.zeros_like(cr.outer(x, W)).flatten(),
    "einsum": lambda x: cr.einsum("i,j->ij", x, W),
    "cat": lambda x: cr.cat([x, W, x]).reshape(3, 3).T.contiguous(),
    "scatter": lambda x: cr.zeros(3, dtype=cr.float64).scatter_add_(0, cr.tensor([0, 1, 0]), x),
    "solve": lambda x: cr.linalg.solve(cr.outer(x, x) + cr.eye(3, dtype=cr.float64), W),
    "fields": lambda x: {"a": x * 2, "b": [None, 3, (x.sum(), True)]},
}


@pytest.mark.parametrize("f", CALLS.values(), ids=CALLS)
def test_a_recorded_call_and_its_replays_are_the_functions(f):
    alike(f, *drawn((3,)))


def _viewed(x):
    v = x.view(2, 3)[:, 1:]
    v.mul_(2)
    x.view(2, 3).t()[0] = 1.0
    u = x[:2]
    u += u * x.sum()
    return x * 2, v.clone()


def _detached(x):
    x.detach().add_(1)
    x.data[0] = 4.0
    return x * 1


def _saved(x):
    y = (_leaf(x) * W[:1]).exp()
    z = y * 2
    z[1:3].mul_(3)
    (g,) = cr.autograd.grad(z.sum() + y.sum(), y)
    return z.detach(), g


def _saved_number(x):
    y = _leaf(x)
    z = (y * W[:1]).sum().exp()
    z *= 3
    v = y.sum().tanh().view(1)
    v += 1
    return cr.autograd.grad((z + v).sum(), y), z.detach()


WRITES = {
    "saved number": _saved_number,
    "views": _viewed,
    "detached": _detached,
    "saved": _saved,
    "view of a result": lambda x: (y := x * 2, y[1:]),
    "view of an argument": lambda x: x[2:4],
    "masks": lambda x: (x.masked_fill_(x > 0, 0.0), x.__setitem__(x < -1, 5.0)),
    "index_put": lambda x: x.index_put_((cr.tensor([1, 2]),), cr.ones(2, dtype=cr.float64)),
    "fill": lambda x: (x.fill_(2.0), x[:2].zero_(), x[3].copy_(x[4] + 1)),
    "diagonal": lambda x: x.view(2, 3).fill_diagonal_(0.5) is None,
    "clamp": lambda x: x.clamp_(min=0),
    "swap": lambda x: (t := x[0].clone(), x[0].copy_(x[1]), x[1].copy_(t))[0],
    "strided": lambda x: x.as_strided((2, 2), (2, 1), 1).mul_(3),
}


@pytest.mark.parametrize("f", WRITES.values(), ids=WRITES)
def test_writes_in_place_are_recorded_and_repeated(f):
    alike(f, *drawn((6,)))


def test_results_share_memory_as_the_functions_do():
    def f(x):
        y = x * 2
        return x, x[1:], y, y[0], y.detach()

    (x,) = (cr.arange(3.0),)
    recording = record(f, (x,))
    kinds = [type(o) for o in recording.outputs]
    assert kinds == [Input, View, Computed, View, View]
    for result, argument in ((recording.result, x), (replay(recording, [z := cr.arange(3.0)]), z)):
        assert result[0] is argument
        result[1].add_(1)
        assert argument.tolist() == [0.0, 2.0, 3.0]
        result[2].zero_()
        assert result[3].item() == 0.0
        assert result[4].tolist() == [0.0] * 3


def test_leaves_and_captured_tensors_get_their_gradients():
    w = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def f(x):
        (x * w).sum().backward()

    x = cr.ones(3, requires_grad=True)
    recording = record(f, (x,))
    assert x.grad.tolist() == [1, 2, 3]
    assert w.grad.tolist() == [1, 1, 1]
    assert [e.of for e in recording.effects if isinstance(e, SetGradient)] == [Argument(0), Captured(w)]
    held, w.grad, x.grad = w.grad, None, None
    assert recording.replayable
    assert recording.state.holds([x])
    replay(recording, [cr.full((3,), 2.0, requires_grad=True)])
    assert w.grad.tolist() == [2, 2, 2]
    assert held.tolist() == [1, 1, 1]
    assert not recording.state.holds([x])  # there is a gradient now, to which a pass would add
    again = record(f, (x,))
    assert w.grad.tolist() == [3, 3, 3]
    assert [type(e) for e in again.effects] == [Write, SetGradient]


def test_a_module_with_buffers_is_recorded_as_it_trains():
    cr.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    recording = None
    for k in range(4):
        x = cr.randn(5, 3, dtype=cr.float64)
        expected = nets[0](x)
        if k == 0:
            recording = record(nets[1], (x,))
        found = recording.result if k == 0 else replay(recording, [x])
        same(found, expected)
        same(list(nets[1].buffers()), list(nets[0].buffers()))
    assert recording.replayable


def test_a_result_of_the_recorded_call_has_its_history():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    (y,) = (record(lambda x: (w * x).exp().sigmoid(), (cr.ones(2),)).result,)
    y.sum().backward()
    z = (w * cr.ones(2)).exp().sigmoid()
    (expected,) = cr.autograd.grad(z.sum(), w)
    same(w.grad, expected, 1e-6)
    assert all(e.__class__ is np.ndarray for e in (y._data, w.grad._data))


def test_an_error_leaves_what_was_written_until_then():
    x = cr.ones(2)
    w = cr.ones(2, requires_grad=True)

    def f(x):
        x.mul_(3)
        (w * x).sum().backward()
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        record(f, (x,))
    assert x.tolist() == [3, 3]
    assert x._version == 1
    assert w.grad.tolist() == [3, 3]
    assert x._data.__class__ is np.ndarray


def test_pytorchs_error_for_a_saved_value_that_is_written_to_is_raised():
    def f(x):
        y = x.exp()
        y.add_(1)
        y.sum().backward()

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        record(f, (cr.ones(2, requires_grad=True),))


def test_what_cannot_be_recorded_runs_as_it_is_and_says_why():
    def f(x):
        x.add_(1)
        y = cr.randn(2)
        x.data = x.data * 2
        return x + y

    state = cr.get_rng_state()
    ours, theirs = cr.ones(2), cr.ones(2)
    recording = record(f, (ours,))
    cr.set_rng_state(state)
    same(recording.result, f(theirs))
    assert not recording.replayable
    assert ".data" in recording.why
    assert ours.tolist() == theirs.tolist() == [4, 4]


def test_results_that_overlap_in_a_hidden_tensor_are_refused():
    found = record(lambda x: ((y := x * 2)[:2], y[1:]), (cr.ones(3),))
    assert not found.replayable
    assert "share memory" in found.why


def test_two_inputs_in_one_memory_are_refused_where_one_is_written():
    base = cr.ones(4)
    found = record(lambda x, y: x.add_(y), (base[:3], base[1:]))
    assert not found.replayable
    assert "share memory" in found.why
    assert base.tolist() == [2, 2, 2, 1]


def test_gradients_of_one_cotangent_have_memory_of_their_own():
    def f(x, y):
        x, y = _leaf(x), _leaf(y)
        (g,) = cr.autograd.grad((x + y).sigmoid().sum(), x)
        (x + y).backward(g)
        return x.grad, y.grad, g

    found = record(f, (cr.ones(2), cr.ones(2))).result
    before = found[1].tolist()
    found[0].zero_()
    assert found[1].tolist() == found[2].tolist() == before


def test_a_tensor_made_inside_shares_memory_with_what_is_detached_of_it():
    def f(x):
        y = cr.zeros(2)
        z = y.detach()
        z += x
        return y, y.data

    (y, z) = record(f, (cr.ones(2),)).result
    assert y.tolist() == [1, 1]
    z.add_(1)
    assert y.tolist() == [2, 2]


def test_a_recording_inside_of_another_is_an_error():
    with pytest.raises(RuntimeError, match="inside of a function that is being recorded"):
        record(lambda x: record(cr.sin, (x,)), (cr.ones(2),))


def test_values_of_the_recorded_call_are_no_one_elses():
    """Neither a constant of the graph nor an input may be changed by writing to a result."""
    recording = record(lambda x: (cr.ones(2), x.reshape(2), x.to(cr.float32)), (cr.zeros(2),))
    for result in (recording.result, replay(recording, [cr.zeros(2)])):
        result[0].add_(5)
    assert values_of(replay(recording, [cr.zeros(2)]))[0].tolist() == [1, 1]

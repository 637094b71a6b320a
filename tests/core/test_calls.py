"""Calls in PyTorch's own forms: keywords, formats, ``out=``, numbers out of tensors, and nodes that are called."""

from __future__ import annotations

import math
import operator
import pickle

import numpy as np
import pytest
from tests.oracle import agree, outcome

import chainrule as cr
from chainrule import func

NAMES = {"math": math, "operator": operator, "np": np, "nan": math.nan, "inf": math.inf}


def run(lib, program):
    """Return the value of a program's last expression; `t` is the library."""
    names = {"t": lib, "F": lib.nn.functional, "func": lib.func, **NAMES}
    *lines, last = program.split("; ")
    exec("\n".join(lines), names)
    return eval(last, names)


def shown(value):
    """Return a result without its class: numbers, lists of them, or the words of a type."""
    if isinstance(value, (tuple, list)):
        return [shown(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


# program, result
VALUES = [
    ("math.floor(t.tensor(2.7))", 2), ("math.ceil(t.tensor(2.2))", 3), ("math.floor(t.tensor(True))", 1),
    ("list(range(math.floor(t.tensor(2.7))))", [0, 1]), ("math.floor(t.tensor([-1.5]))", -2),
    ("func.grad(lambda x: x * math.floor(x))(t.tensor(2.5))", 2.0),
    ("operator.index(t.tensor([[3]]))", 3), ("[5, 6][t.tensor(True)]", 6), ("hex(t.tensor(10, dtype=t.uint8))", "0xa"),
    ("int(t.tensor(1 + 0j))", 1), ("float(t.tensor(2 + 0j))", 2.0),
    ("t.diff(t.ones(3), n=0, prepend=t.ones(2))", [1.0, 1.0, 1.0]),
    ("t.diff(t.ones(3, dtype=t.int64), n=0, append=t.ones(2), prepend=t.ones(1))", [1, 1, 1]),
    ("t.diff(t.tensor([True, False]), n=0, prepend=t.tensor([True]))", [True, False]),
    ("t.flip(t.arange(4).reshape(2, 2), dims=[0])", [[2, 3], [0, 1]]), ("t.arange(2).flip(dims=(-1,))", [1, 0]),
    ("t.arange(4).reshape(2, 2).flip(0, 1)", [[3, 2], [1, 0]]),
    ("t.gradient(t.arange(4.0) ** 2, spacing=None)", [[1.0, 2.0, 4.0, 5.0]]),
    ("t.gradient(t.arange(4.0) ** 2, spacing=None, dim=0, edge_order=2)", [[0.0, 2.0, 4.0, 6.0]]),
    *[(f"t.gather(t.ones(3), 0, t.zeros(0, dtype=t.{d}))", []) for d in ("int16", "uint8", "bool", "float32", "complex64")],
    ("t.gather(t.ones(2, 3), 1, t.zeros((0, 2), dtype=t.int8)).shape", [0, 2]),
    ("t.scatter(t.ones(3), 0, t.zeros(0), t.ones(0))", [1.0, 1.0, 1.0]),
    ("t.take_along_dim(t.arange(3.0), t.tensor([-1, 0, -4, 3]), 0)", [2.0, 0.0, 2.0, 0.0]),
    ("t.take_along_dim(t.arange(6.0).reshape(2, 3), t.tensor([[-1], [0]]), dim=-1)", [[2.0], [3.0]]),
    ("x = t.arange(3.0, requires_grad=True); t.take_along_dim(x, t.tensor([-1, -1]), 0).sum().backward(); x.grad",
     [0.0, 0.0, 2.0]),
    ("t.logcumsumexp(t.tensor([5 - 3.1j, 2 + 20j], dtype=t.complex128), 0).imag.round(decimals=4)", [-3.1, -3.1455]),
    ("t.logcumsumexp(t.tensor([-inf + 0j, -inf + 0j, 1 + 2j], dtype=t.complex128), 0).real", [-math.inf, -math.inf, 1.0]),
    ("t.ones(2).to(t.float64, memory_format=t.preserve_format).dtype.itemsize", 8),
    ("t.ones(2, 3).t().double(memory_format=t.contiguous_format).stride()", [2, 1]),
    ("t.ones(2, 3).t().double().stride()", [1, 3]),
    ("t.ones(2, 3, 4, 5).to(memory_format=t.channels_last).stride()", [60, 1, 15, 3]),
    ("t.ones(2, 3, 4, 5).half(memory_format=t.channels_last).is_contiguous(memory_format=t.channels_last)", True),
    ("t.ones(2, 3, 4, 5).contiguous(memory_format=t.channels_last).is_contiguous()", False),
    ("t.ones(1, 2, 3, 4, 5).contiguous(memory_format=t.channels_last_3d).stride()", [120, 1, 40, 10, 2]),
    ("t.empty(2, 3, 4, 5, memory_format=t.channels_last).stride()", [60, 1, 15, 3]),
    ("t.ones(2, 3).t().clone(memory_format=t.contiguous_format).stride()", [2, 1]),
    ("t.zeros_like(t.ones(2, 3).t(), memory_format=t.contiguous_format).stride()", [2, 1]),
    ("t.randn_like(t.ones(2, 3, 4, 5), memory_format=t.channels_last).stride()", [60, 1, 15, 3]),
    ("x = t.ones(2, 3, requires_grad=True); (x.t().double(memory_format=t.contiguous_format) * 3).sum().backward(); x.grad",
     [[3.0] * 3] * 2),
    ("o = t.zeros(2); [t.ones(2, out=o) is o, o]", [True, [1.0, 1.0]]),
    ("o = t.zeros(2); [t.full((2,), 3, out=o) is o, o]", [True, [3.0, 3.0]]),
    ("o = t.ones(0); [t.arange(3, out=o) is o, o]", [True, [0.0, 1.0, 2.0]]),
    ("o = t.ones(2, 2); [t.eye(2, out=o) is o, o]", [True, [[1.0, 0.0], [0.0, 1.0]]]),
    ("o = t.ones(3); [t.linspace(0, 1, 3, out=o) is o, o]", [True, [0.0, 0.5, 1.0]]),
    ("o = t.ones(2); [t.logspace(0, 1, 2, out=o) is o, o]", [True, [1.0, 10.0]]),
    ("o = t.zeros(3); t.ones(3, out=o, requires_grad=True).requires_grad", True),
    *[(f"o = t.full((3,), 9.0); [t.{call}, out=o) is o, bool((o < 8).all())]", [True, True]) for call in (
        "rand(3", "randn(size=(3,)", "randint(2, (3,)", "normal(t.zeros(3), t.ones(3)", "normal(0.0, 1.0, (3,)",
        "bernoulli(t.ones(3)",
    )],
    ("o = t.full((3,), 9); t.randperm(3, out=o); o.sort().values", [0, 1, 2]),
    ("o = t.full((2,), 9); t.multinomial(t.tensor([0.0, 1.0]), 2, True, out=o); o", [1, 1]),
    ("o = t.zeros(2); [F.softplus(t.zeros(2), 1, out=o) is o, o > 0.6]", [True, [True, True]]),
    ("o = t.zeros(2); [F.gelu(t.full((2,), 9.0), out=o) is o, o]", [True, [9.0, 9.0]]),
    ("o = t.zeros(2); [F.logsigmoid(t.full((2,), 999.0), out=o) is o, o]", [True, [0.0, 0.0]]),
    ("o = t.zeros(2); [F.softshrink(t.full((2,), 9.0), out=o) is o, o]", [True, [8.5, 8.5]]),
    ("o = t.zeros(2); [F.linear(t.ones(2), t.ones(2, 2), out=o) is o, o]", [True, [2.0, 2.0]]),
    ("f = (t.ones(2, requires_grad=True) * 2).grad_fn; f(t.ones(2))", [[2.0, 2.0], None]),
    ("a = t.ones(2, requires_grad=True); f = (a * a).grad_fn; f(t.ones(2))[0].grad_fn.name()", "MulBackward0"),
    ("a = t.ones(2, requires_grad=True); f = a.exp().log().grad_fn; [f(t.ones(2)).requires_grad, callable(f)]", [True, True]),
    ("f = t.ones(2, requires_grad=True).sum().grad_fn; [f(t.tensor(2.0)), f(None)]", [[2.0, 2.0], None]),
    ("a = t.ones(2, requires_grad=True); n = (a * 2).grad_fn.next_functions[0][0]; [n(t.ones(2)), n(t.ones(2)), a.grad]",
     [[], [], [2.0, 2.0]]),
    ("f = t.ones(4, requires_grad=True).split(2)[0].grad_fn; f(t.ones(2), None)", [1.0, 1.0, 0.0, 0.0]),
    ("func.vmap(func.grad(lambda x: (t.as_strided(x, (2, 2), (1, 1)) ** 2).sum()))(t.arange(6.0).reshape(2, 3))",
     [[0.0, 4.0, 4.0], [6.0, 16.0, 10.0]]),
    ("func.vmap(lambda x: func.jvp(lambda x: t.as_strided(x, (2,), (2,)), (x,), (x,))[1])(t.arange(6.0).reshape(2, 3))",
     [[0.0, 2.0], [3.0, 5.0]]),
    ("func.vmap(lambda x: t.as_strided_copy(x, (2,), (1,)))(t.arange(6.0).reshape(2, 3))", [[0.0, 1.0], [3.0, 4.0]]),
    ("[n for n in dir(t.ones(2)) if n in ('_data', '_meta', '_node', '_ver', '_view', '_lv', '_tangent')]", []),
    ("n = dir(t.ones(2)); ['sum' in n, 'grad_fn' in n, '_version' in n, '__add__' in n]", [True] * 4),
]  # fmt: skip

# program, type and opening words of the error
ERRORS = [
    ("math.floor(t.tensor(nan))", ValueError, "cannot convert float NaN to integer"),
    ("math.ceil(t.tensor(inf))", OverflowError, "cannot convert float infinity to integer"),
    ("math.floor(t.tensor([1.5, 2.5]))", ValueError, "only one element tensors can be converted to Python scalars"),
    ("float(t.tensor(1 + 1j))", RuntimeError, "value cannot be converted to type double without overflow"),
    ("range(t.tensor(3.0))", TypeError, "only integer tensors of a single element can be converted to an index"),
    ("func.vmap(lambda x: math.floor(x))(t.tensor([1.5, 2.5]))", RuntimeError, "vmap: It looks like you're calling .item()"),
    ("t.flip(t.arange(3), dims=0)", TypeError, "flip(): argument 'dims' must be tuple of ints, not int"),
    ("t.gather(t.ones(3), 0, t.zeros(1))", RuntimeError, "gather(): Expected dtype int32/int64 for index"),
    ("t.ones(2, 3).double(memory_format=t.channels_last)", RuntimeError, "required rank 4 tensor to use channels_last format"),
    ("t.ones(3, out=t.zeros(3), dtype=t.float64)", RuntimeError, "dtype Double does not match dtype of out parameter (Float)"),
    ("t.randn(3, out=t.zeros(3), dtype=t.float64)", RuntimeError, "dtype Double does not match dtype of out parameter (Float)"),
    ("t.ones(2, requires_grad=True).sum().grad_fn()", TypeError, "expected 1 arguments, got 0 instead"),
    ("t.ones(2, requires_grad=True).sum().grad_fn(2.0)", TypeError, "argument 0 is not a Variable"),
    ("a = t.ones(2, requires_grad=True); y = (a * a).sum(); y.backward(); y.grad_fn.next_functions[0][0](t.ones(2))",
     RuntimeError, "Trying to backward through the graph a second time"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Converting a tensor", "ignore:An output with one or more elements")
@pytest.mark.parametrize(("program", "expected"), VALUES, ids=[p for p, _ in VALUES])
def test_value(program, expected):
    found = run(cr, program)
    assert shown(found) == expected


@pytest.mark.parametrize(("program", "kind", "words"), ERRORS, ids=[p for p, _, _ in ERRORS])
def test_error(program, kind, words):
    with pytest.raises(kind) as caught:
        run(cr, program)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("program", [p for p, *_ in VALUES + ERRORS])
def test_pytorch_gives_the_same(torch, program):
    ours, _ = outcome(run_shown, cr, program)
    theirs, _ = outcome(run_shown, torch, program)
    if hasattr(theirs, "kind"):
        assert ours.kind.__name__ == theirs.kind.__name__
        assert ours.text[:40] == theirs.text[:40]
    else:
        agree(ours, theirs)


def run_shown(_, lib, program):
    return shown(run(lib, program))


def test_trunc_is_an_int_and_round_a_tensor():
    """PyTorch has neither; trunc is Python's protocol, as floor and ceil are, and round NumPy's of arrays."""
    assert math.trunc(cr.tensor(-2.7)) == -2
    assert isinstance(math.trunc(cr.tensor(-2.7)), int)
    assert round(cr.tensor([2.567]), 2).tolist() == pytest.approx([2.57])


COPIES = {
    "alias_copy": (), "as_strided_copy": ((2, 2), (1, 1)), "diagonal_copy": (), "expand_copy": ((2, 2, 3),),
    "narrow_copy": (0, 0, 1), "permute_copy": ((1, 0),), "select_copy": (0, 1), "squeeze_copy": (), "t_copy": (),
    "transpose_copy": (0, 1), "unfold_copy": (0, 2, 1), "unsqueeze_copy": (0,), "view_copy": ((3, 2),),
    "split_with_sizes_copy": ((1, 1),), "unbind_copy": (),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_views_take_out(name):
    x = cr.arange(6.0).reshape(2, 3)
    expected = getattr(cr, name)(x, *COPIES[name])
    several = isinstance(expected, tuple)
    outs = tuple([cr.zeros_like(e) for e in (expected if several else (expected,))])
    getattr(cr, name)(x, *COPIES[name], out=outs if several else outs[0])
    for o, e in zip(outs, expected if several else (expected,), strict=True):
        assert o.tolist() == e.tolist()


def kept_of(transform):
    """Return a value of a transform's level, kept after it has ended."""
    kept = []

    def f(x):
        kept.append(x * 2)
        return (x * 3).sum()

    transform(f)
    return kept[0]


ENDED = {
    "grad": lambda f: func.grad(f)(cr.tensor([1.0, 2.0])),
    "jvp": lambda f: func.jvp(f, (cr.tensor([1.0, 2.0]),), (cr.ones(2),)),
    "vjp": lambda f: func.vjp(f, cr.tensor([1.0, 2.0])),
    "hessian": lambda f: func.hessian(lambda x: f(x) * f(x))(cr.tensor([1.0, 2.0])),
}


@pytest.mark.parametrize("name", [n for n in ENDED if n != "hessian"])
def test_numpy_of_a_value_whose_transform_has_ended(name):
    kept = kept_of(ENDED[name]).detach()
    assert kept.tolist() == [2.0, 4.0]
    assert kept.numpy().tolist() == [2.0, 4.0]
    assert np.asarray(kept).dtype == np.float32


def test_numpy_inside_a_transform_raises():
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        func.grad(lambda x: x.detach().numpy().sum())(cr.ones(2))


def test_memory_formats_are_themselves_when_copied():
    assert pickle.loads(pickle.dumps(cr.channels_last)) is cr.channels_last
    assert repr(cr.preserve_format) == "chainrule.preserve_format"
    with pytest.raises(TypeError, match="memory_format"):
        cr.ones(2).double(memory_format="channels_last")


OLDER = {
    "add": lambda L: L.add(L.ones(3), 3, L.ones(3)),
    "Tensor.add": lambda L: L.ones(3).add(3, L.ones(3)),
    "add_": lambda L: L.ones(3).add_(3, L.ones(3)),
    "sub": lambda L: L.ones(3).sub(3, L.ones(3)),
    "sub_": lambda L: L.ones(3).sub_(3, L.ones(3)),
    "addcmul": lambda L: L.addcmul(L.ones(3), 2, L.ones(3), L.ones(3)),
    "addcmul_": lambda L: L.ones(3).addcmul_(2, L.ones(3), L.ones(3)),
    "addcdiv_": lambda L: L.ones(3).addcdiv_(2, L.ones(3), L.ones(3)),
    "addmm": lambda L: L.addmm(2, L.ones(2, 2), 3, L.ones(2, 2), L.ones(2, 2)),
    "addmm, one factor": lambda L: L.addmm(2, L.ones(2, 2), L.ones(2, 2), L.ones(2, 2)),
    "Tensor.addmm": lambda L: L.ones(2, 2).addmm(2, 3, L.ones(2, 2), L.ones(2, 2)),
    "addmm_": lambda L: L.ones(2, 2).addmm_(2, 3, L.ones(2, 2), L.ones(2, 2)),
    "addmm_, one factor": lambda L: L.ones(2, 2).addmm_(2, L.ones(2, 2), L.ones(2, 2)),
    "addmv_": lambda L: L.ones(2).addmv_(2, 3, L.ones(2, 2), L.ones(2)),
    "torch.addmv_": lambda L: L.addmv_(2, L.ones(2), 3, L.ones(2, 2), L.ones(2)),
    "addr_": lambda L: L.ones(2, 2).addr_(2, 3, L.ones(2), L.ones(2)),
    "baddbmm_": lambda L: L.ones(1, 2, 2).baddbmm_(2, 3, L.ones(1, 2, 2), L.ones(1, 2, 2)),
    "addbmm_": lambda L: L.ones(2, 2).addbmm_(2, 3, L.ones(1, 2, 2), L.ones(1, 2, 2)),
    "out=": lambda L: L.add(L.ones(3), 3, L.ones(3), out=L.empty(3)),
    "no factor": lambda L: L.add(L.ones(3), L.ones(3), L.ones(3)),
    "too many": lambda L: L.addmm(2, L.ones(2, 2), 3, L.ones(2, 2), L.ones(2, 2), 1),
}


@pytest.mark.parametrize("form", OLDER)
def test_factors_may_stand_where_they_stood_before(torch, form):
    ours, theirs = (outcome(lib, OLDER[form])[0] for lib in (cr, torch))
    agree(ours, theirs, full_text=False)


def test_the_older_form_is_told_of(monkeypatch):
    monkeypatch.setattr("chainrule.core.call.older._told", False)
    with pytest.warns(UserWarning, match=r"This overload of addcmul is deprecated:\n\taddcmul\(Tensor input, Number value, "):
        cr.ones(2).addcmul_(2, cr.ones(2), cr.ones(2))
    x = cr.ones(2, requires_grad=True)
    cr.add(x, 3, x).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]

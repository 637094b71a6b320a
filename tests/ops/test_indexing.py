"""Square brackets in all their forms, and the methods that only tensors have: values, gradients and errors are PyTorch's."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr

torch = pytest.importorskip("torch")


class Array:
    """An index array that each library makes its own tensor of."""

    def __init__(self, values):
        self.values = values

    def __repr__(self):
        return f"array({self.values})".replace(" ", "")


def key_for(lib, key):
    if isinstance(key, tuple):
        return tuple(key_for(lib, k) for k in key)
    return lib.tensor(key.values) if isinstance(key, Array) else key


A = Array
ROWS = A([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
CASES = [
    ((3, 4), k) for k in [
        0, -1, slice(1, 3), slice(None), slice(None, None, 2), slice(-2, None), None, Ellipsis, (), (0, 1), (slice(None), 0),
        (slice(1, 3), slice(0, 4, 3)), (Ellipsis, 1), (None, 0), (slice(None), None, 2), (0, slice(1, 2)), (Ellipsis, None),
        np.int64(1), A(1), [0, 2], A([0, 2, 2]), A([-1, 0]), A([[0, 1], [2, 2]]), (slice(None), A([1, 1, 3])),
        (A([0, 1]), A([2, 3])), (A([[0], [1]]), A([2, 3])), (0, A([2, 3])), (A([2, 0]), 1), (A([0, 2]), slice(1, 3)),
        (A([0, 2]), None), (None, A([0, 2])), (slice(0, 2), A([1, 2])), ROWS, A([True, False, True]),
        (slice(None), A([True, False, True, False])), (A([True, False, True]), 0), (A([True, True, False]), A([0, 3])),
        True, False, [True, False, True], [], (Ellipsis, A([0, 1])), np.array([1, 2]),
        (slice(5, 9), 0), slice(2, 1),
    ]
] + [
    ((2, 3, 4), k) for k in [
        (0, slice(None), A([0, 2])), (A([0, 1]), slice(None), A([1, 3])), (slice(None), A([0, 2]), A([1, 3])),
        (A([0, 1]), None, A([1, 2])), (Ellipsis, A([0, 2]), slice(0, 2)), (slice(None), ROWS), (1, ROWS),
        (A([0, 1]), 1, A([3, 2])),
        (None, A([0, 1]), Ellipsis, 0), (A([[0, 1], [1, 0]]), 0), (slice(None), slice(None), A([True, False, True, True])),
    ]
] + [((), None), ((), Ellipsis), ((), ()), ((), True), ((0, 3), slice(None)), ((0, 3), (slice(None), 1))]  # fmt: skip


def ids(case):
    return f"{case[0]}[{case[1]!r}]".replace(" ", "")


@by_name("case", CASES, ids)
def test_reading_is_pytorchs(case):
    shape, key = case
    values = np.random.default_rng(0).normal(size=shape)
    found = []
    for lib in (torch, cr):
        x = lib.tensor(values, requires_grad=True)
        out = x[key_for(lib, key)]
        (g,) = lib.autograd.grad((out * out * out).sum(), x, create_graph=True)
        (h,) = lib.autograd.grad((g * g).sum(), x)
        found.append((out, g, h))
    (out, g, h), (ours, our_g, our_h) = found
    assert tuple(ours.shape) == tuple(out.shape)
    assert ours.grad_fn.name() == out.grad_fn.name()
    assert ours._is_view() == out._is_view()
    for a, b in ((ours, out), (our_g, g), (our_h, h)):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


@by_name("case", CASES, ids)
def test_reading_is_linear_in_forward_mode(case):
    shape, key = case
    rng = np.random.default_rng(1)
    x, t = (cr.tensor(rng.normal(size=shape)) for _ in "xt")
    key = key_for(cr, key)
    _, tangent = cr.func.jvp(lambda x: x[key], (x,), (t,))
    np.testing.assert_array_equal(tangent.numpy(), t[key].numpy())


@by_name("case", CASES, ids)
@pytest.mark.parametrize("given", ["number", "0-d", "full", "row"])
def test_writing_is_pytorchs(case, given):
    shape, key = case
    if isinstance(key, tuple) and any(isinstance(k, Array) for k in key) and key[0] is None and given != "number":
        pytest.skip("PyTorch broadcasts the value before it sees the new axis")
    values = np.random.default_rng(0).normal(size=shape)
    place = np.empty(shape)[key_for(_Numpy, key)] if not _mixed(key) else torch.empty(shape)[key_for(torch, key)].numpy()
    sizes = {"full": place.shape, "row": place.shape[-1:], "0-d": ()}.get(given)
    found = []
    for lib in (torch, cr):
        leaf = lib.tensor(values, requires_grad=True)
        x = leaf * 1
        source = None if sizes is None else lib.tensor(np.random.default_rng(2).normal(size=sizes), requires_grad=True)
        if _repeats(key) and given in ("full", "row"):
            return  # which of the values for one place wins is not defined
        x[key_for(lib, key)] = 2.5 if source is None else source
        leaves = [leaf] if source is None else [leaf, source]
        (x * x).sum().backward()
        found.append([x.detach().numpy()] + [0.0 if t.grad is None else t.grad.numpy() for t in leaves])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12)


class _Numpy:
    tensor = staticmethod(np.asarray)


def _mixed(key):
    return isinstance(key, tuple)


def _repeats(key):
    arrays = [k for k in (key if isinstance(key, tuple) else (key,)) if isinstance(k, Array)]
    return any(np.unique(np.abs(a.values)).size < np.size(a.values) for a in arrays if np.asarray(a.values).dtype != bool)


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
        (-4, IndexError, "index -4 is out of bounds for dimension 0 with size 3"),
        ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (slice(None, None, 0), ValueError, ""),
        (Array([0, 7]), IndexError, "index 7 is out of bounds for dimension 0 with size 3"),
        (Array([0.5]), IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
        (
            Array([True, False]),
            IndexError,
            "The shape of the mask [2] at index 0 does not match the shape of the indexed tensor",
        ),
        ((Array([0, 1]), Array([0, 1, 2])), IndexError, "shape mismatch: indexing tensors could not be broadcast together"),
    ],
)
def test_errors_are_pytorchs(key, error, words):
    for lib in (torch, cr):
        with pytest.raises(error) as caught:
            lib.zeros(3, 4)[key_for(lib, key)]
        assert str(caught.value).startswith(words), lib.__name__


def test_a_0d_tensor_has_no_elements_to_index():
    for lib in (torch, cr):
        with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
            lib.tensor(1.0)[0]
        with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
            iter(lib.tensor(1.0))


def test_iteration_containment_reversal():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x
    assert a.grad_fn.name() == "UnbindBackward0"
    assert b.tolist() == [3.0, 4.0]
    assert 3.0 in x
    assert cr.tensor(5.0) not in x
    assert [r.tolist() for r in reversed(x)] == [[3.0, 4.0], [1.0, 2.0]]


METHODS = [
    lambda x: x.view(4, 3), lambda x: x.view(-1), lambda x: x.view((2, 6)), lambda x: x.reshape_as(x.t()),
    lambda x: x.view_as(x.reshape(12)), lambda x: x.expand(2, 3, 4), lambda x: x[:, :1].expand(-1, 5),
    lambda x: x.t().expand_as(x.t()), lambda x: x.repeat(2, 1, 2), lambda x: x.unfold(1, 2, 2), lambda x: x.unfold(0, 3, 1),
    lambda x: x.sum_to_size(1, 4), lambda x: x.sum_to_size(3, 4), lambda x: x.T, lambda x: x.mT, lambda x: x.H, lambda x: x.mH,
    lambda x: x.t().contiguous(), lambda x: x.swapaxes(0, 1), lambda x: x.swapdims(0, -1), lambda x: x.moveaxis(0, 1),
    lambda x: x.t().reshape(12), lambda x: x.t().flatten(), lambda x: x[::2].view(2, 2, 2),
    lambda x: x.as_strided((2, 2), (4, 1), 1),
    lambda x: x[1:].as_strided((2, 2), (4, 1)), lambda x: x.type_as(x), lambda x: x.clone(), lambda x: x.diagonal(1),
    lambda x: x.float(), lambda x: x.to(x.dtype, copy=True), lambda x: x.half().double(), lambda x: x.cfloat().real,
    lambda x: x.cdouble(), lambda x: x.tile(2), lambda x: x.tensor_split(3, 1)[2], lambda x: x.hsplit(2)[1],
    lambda x: x.unflatten(1, (2, -1)), lambda x: x.split([1, 2])[1], lambda x: x.chunk(2, 1)[0], lambda x: x.permute(1, 0),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=range(len(METHODS)))
def test_methods_are_pytorchs(method):
    values = np.random.default_rng(0).normal(size=(3, 4))
    found = []
    for lib in (torch, cr):
        x = lib.tensor(values, requires_grad=True)
        out = method(x * 1)
        lib.autograd.backward((out * out).sum().abs())
        found.append((out, x.grad))
    (theirs, g), (ours, our_g) = found
    assert ours.grad_fn.name() == theirs.grad_fn.name()
    assert ours.is_contiguous() == theirs.is_contiguous()
    assert str(ours.dtype).partition(".")[2] == str(theirs.dtype).partition(".")[2]
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(our_g.numpy(), g.numpy(), rtol=1e-5)


def test_view_wants_compatible_strides():
    for lib in (torch, cr):
        with pytest.raises(RuntimeError, match=r"view size is not compatible .* Use .reshape\(...\) instead"):
            lib.zeros(3, 4).t().view(12)


@pytest.mark.parametrize(
    "make", [lambda x: x.view(1), lambda x: x[None], lambda x: x[...], lambda x: x.detach(), lambda x: x.t()]
)
def test_views_of_scalars_share_memory(make):
    x = cr.tensor(1.0) * 2
    v = make(x)
    v.fill_(7.0)
    assert x.item() == 7.0


def test_detach_has_no_derivative_in_any_mode():
    def f(x):
        return x.detach() * x

    x = cr.tensor(3.0)
    assert cr.func.grad(f)(x).item() == 3.0
    assert cr.func.jvp(f, (x,), (cr.tensor(1.0),))[1].item() == 3.0
    assert cr.func.grad(cr.func.grad(f))(x).item() == 0.0


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
def test_scatter_reduce_has_second_derivatives_with_zeros_and_ties(reduce):
    x, y = np.array([0.0, 2.0, 1.0]), np.array([0.0, 3.0, 2.0, 2.0])
    index = cr.tensor([0, 0, 1, 1])

    def f(x, y):
        out = x.scatter_reduce(0, index, y, reduce)
        return (out * out * out).sum()

    def gradient(x, y):
        return cr.func.grad(f, argnums=(0, 1))(x, y)

    args = (cr.tensor(x), cr.tensor(y))
    directions = (cr.tensor(np.array([0.3, -1.0, 2.0])), cr.tensor(np.array([1.0, 0.5, -2.0, -2.0])))
    _, forward = cr.func.jvp(gradient, args, directions)
    leaves = [a.clone().requires_grad_() for a in args]
    gs = cr.autograd.grad(f(*leaves), leaves, create_graph=True)
    total = sum((g * d).sum() for g, d in zip(gs, directions, strict=True))
    for a, b in zip(forward, cr.autograd.grad(total, leaves), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    if reduce == "prod":
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, y)]
        out = theirs[0].scatter_reduce(0, torch.tensor([0, 0, 1, 1]), theirs[1], "prod")
        for a, b in zip(gs, torch.autograd.grad((out * out * out).sum(), theirs), strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=1e-12)


def test_rows_of_windows_are_taken_without_the_windows_memory():
    windows = cr.arange(1 << 20).unfold(0, 64, 1)  # 512 MB, were they copied
    tracemalloc.start()
    try:
        rows = windows[cr.tensor([5, -1])], cr.index_select(windows, 0, cr.tensor([5, 7]))
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert [r[:, 0].tolist() for r in rows] == [[5, (1 << 20) - 64], [5, 7]]
    assert all(r.is_contiguous() for r in rows)

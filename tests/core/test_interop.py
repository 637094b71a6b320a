"""NumPy's functions on tensors, DLPack, pickling and copying."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.each import by_name

import chainrule as cr

A = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.5]])

RECORDED = """
np.exp(x)
np.subtract(x, 1)
np.multiply(2, x)
np.true_divide(1, x)
np.power(x, 3)
np.negative(x)
np.absolute(x)
np.arctan2(x, 2.0)
np.arctan(x)
np.log1p(x)
np.sqrt(x)
np.maximum(x, 2.2)
np.matmul(x, x.T)
np.hypot(x, 1.0)
np.add.reduce(x)
np.add.reduce(x, axis=None)
np.add.reduce(x, axis=1, keepdims=True)
np.multiply.reduce(x, axis=1)
np.maximum.reduce(x, axis=0)
np.add.accumulate(x, axis=1)
np.multiply.outer(x[0], x[1])
np.ones((2, 3)) * x
np.ones(3) + x
np.float64(2) / x
np.ones((2, 2)) @ x
x - np.ones(3)
np.sum(x)
np.sum(x, axis=0)
np.mean(x, axis=1, keepdims=True)
np.mean(x)
np.max(x, axis=1)
np.min(x)
np.prod(x)
np.prod(x, axis=1)
np.var(x)
np.var(x, axis=0, ddof=1)
np.std(x, axis=1)
np.cumsum(x)
np.cumsum(x, axis=0)
np.concatenate([x, np.ones((1, 3))])
np.concatenate([x, x], axis=1)
np.concatenate([x, x], axis=None)
np.stack([x, x], axis=2)
np.vstack([x, x])
np.hstack([x, x])
np.where(np.array([True, False, True]), x, 0)
np.dot(x, x.T)
np.dot(x[0], x[1])
np.dot(x, 2.0)
np.reshape(x, (3, 2))
np.reshape(x, -1)
np.ravel(x)
np.transpose(x)
np.transpose(x, (1, 0))
np.swapaxes(x, 0, 1)
np.moveaxis(x, 0, 1)
np.expand_dims(x, 1)
np.squeeze(x[:1])
np.clip(x, 1.2, 3.2)
np.flip(x)
np.flip(x, 0)
np.roll(x, 1, axis=1)
np.repeat(x, 2, axis=0)
np.tile(x, (2, 1))
np.tril(x)
np.triu(x, 1)
np.diag(x)
np.diagonal(x)
np.trace(x)
np.outer(x[0], x)
np.einsum("ij,kj->ik", x, x)
np.tensordot(x, x.T, axes=1)
np.kron(x, x)
np.inner(x, x)
np.sort(x)
np.broadcast_to(x, (2, 2, 3))
np.array_split(x, 2, axis=1)[1]
np.copy(x)
np.round(x * 0 + 1.26, 1)
np.nan_to_num(x)
np.cbrt(x)
np.diff(x)
np.diff(x, 2, 1, prepend=0.0)
np.diff(x, axis=0, append=np.ones((1, 3)))
np.gradient(x, axis=1)
np.gradient(x, 0.5, axis=1, edge_order=2)
np.gradient(x)[0]
np.gradient(x, 2.0, np.array([0.0, 1.0, 4.0]))[1]
np.trapezoid(x)
np.trapezoid(x, np.array([0.0, 1.0, 3.0]), axis=1)
np.trapezoid(x, dx=0.5, axis=0)
np.interp(x, np.array([0.0, 1.5, 3.5]), np.array([1.0, 2.0, 0.0])) + x * 0
np.interp(np.array([0.2, 0.7, 2.0]), np.array([0.0, 0.5, 1.0]), x[0])
np.interp(x[1], np.array([0.0, 3.5]), np.array([1.0, 2.0]), right=5.0)
np.median(x)
np.median(x, axis=0)
np.quantile(x, 0.3, axis=1)
np.percentile(x, 75)
np.average(x)
np.average(x, axis=1, weights=np.array([1.0, 2.0, 3.0]))
np.ptp(x, axis=1)
np.cross(x, np.array([1.0, 2.0, 3.0]))
np.append(x, np.ones((1, 3)), axis=0)
np.append(x, 1.0)
np.take(x, np.array([0, 2]), axis=1)
np.take(x, np.array([5, 0]))
np.vdot(x, x)
np.split(x, 3, axis=1)[1]
np.vsplit(x, 2)[1]
np.hsplit(x, [1])[1]
np.meshgrid(x[0], x[1])[0]
np.cov(x)
np.cov(x, rowvar=False, bias=True)
np.corrcoef(x)
np.fft.fft(x)
np.fft.ifft(x, n=4, axis=0, norm="ortho")
np.fft.rfft(x, 5)
np.fft.irfft(x)
np.fft.hfft(x)
np.fft.ihfft(x)
np.fft.fft2(x, (2, 4))
np.fft.ifft2(x)
np.fft.rfft2(x)
np.fft.irfft2(x, (2, 5), norm="forward")
np.fft.fftn(x, axes=(0,))
np.fft.rfftn(x)
np.fft.irfftn(x)
np.fft.fftshift(x)
np.fft.ifftshift(x, axes=1)
""".strip().splitlines()


@by_name("text", RECORDED, str)
def test_numpy_functions_on_tensors_are_recorded_and_right(text):
    x = cr.tensor(A, requires_grad=True)
    out = eval(text, {"np": np, "x": x})
    assert isinstance(out, cr.Tensor)
    assert out.requires_grad
    expected = eval(text, {"np": np, "x": A})
    assert tuple(out.shape) == np.shape(expected)
    np.testing.assert_allclose(out.detach().resolve_conj().numpy(), expected, atol=1e-14)
    abs(out).sum().backward()
    assert x.grad is not None


def test_the_derivative_flows_through_numpy_functions():
    x = cr.tensor(A, requires_grad=True)
    np.sum(np.sin(x) * np.float64(2)).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos(A))
    _, dot = cr.func.jvp(lambda y: np.sin(y), (x.detach(),), (cr.ones_like(x),))
    np.testing.assert_allclose(dot.numpy(), np.cos(A))


PLAIN = [
    "np.less(x, 2)", "np.isnan(x)", "np.argmax(x)", "np.argmax(x, axis=1)", "np.shape(x)", "np.ndim(x)", "np.size(x)",
    "np.allclose(x, x)", "np.array_equal(x, x)", "np.iscomplexobj(x)", "np.argsort(x)", "np.any(x > 3)",
    "np.all(x > 0, axis=0)", "np.searchsorted(np.arange(5.0), x)", "np.argwhere(x > 1)", "np.nonzero(x > 1)[1]",
    "np.flatnonzero(x > 1)", "np.count_nonzero(x > 1, axis=1)", "np.isin(x, [1.0, 4.0])",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_questions_are_answered_as_numpy_does(text):
    out = eval(text, {"np": np, "x": cr.tensor(A)})
    np.testing.assert_array_equal(out.numpy() if isinstance(out, cr.Tensor) else out, eval(text, {"np": np, "x": A}))


def test_scipy_ufuncs_are_recorded():
    special = pytest.importorskip("scipy.special")
    x = cr.tensor(A, requires_grad=True)
    for f in (special.erf, special.expit, special.gammaln):
        np.testing.assert_allclose(f(x).detach().numpy(), f(A), rtol=1e-12)
    with pytest.raises(TypeError, match="gdtr has no counterpart"):
        special.gdtr(1.0, 2.0, x)
    with pytest.raises(TypeError, match="of a degree that is not whole has no counterpart"):
        special.eval_legendre(1.5, x)


BY_SCIPY = """
ndtr(x)
ndtri(x / 8)
log_ndtr(x)
gamma(x)
gammaln(x)
psi(x)
beta(x, 2.0)
betaln(x, x)
gammainc(x, 1.5)
gammaincc(1.5, x)
betainc(1.5, 2.5, x / 8)
erf(x)
erfc(x)
erfinv(x / 8)
erfcx(x)
erfi(x)
expit(x)
logit(x / 8)
log_expit(x)
xlogy(x, x)
xlog1py(2.0, x)
entr(x)
jv(1, x)
yv(0.5, x)
iv(2, x)
kv(1.5, x)
j0(x)
y1(x)
k0(x)
k1e(x)
i0(x)
i1e(x)
airy(x)[2]
zeta(x + 1, 2.0)
zeta(x + 1)
lambertw(x)
lambertw(-x / 16, -1)
expn(2, x)
spence(x)
ellipk(x / 8)
ellipe(x / 8)
cbrt(x)
eval_chebyt(3, x)
eval_legendre(2, x)
""".strip().splitlines()


@pytest.mark.parametrize("text", BY_SCIPY)
def test_scipy_special_functions_on_tensors_have_values_and_derivatives(text):
    special = pytest.importorskip("scipy.special")
    x = cr.tensor(A, requires_grad=True)
    out, (expected, after, before) = eval(f"special.{text}", {"special": special, "x": x}), [
        eval(f"special.{text}", {"special": special, "x": A + h}) for h in (0, 1e-6, -1e-6)]  # fmt: skip
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-12)
    (slope,) = cr.autograd.grad(out.real.sum() if out.is_complex() else out.sum(), x)
    np.testing.assert_allclose(slope.numpy(), np.real(after - before) / 2e-6, rtol=1e-6, atol=1e-7)


REFUSED = {
    "np.spacing(x)": "numpy.spacing has no counterpart",
    "np.histogram_bin_edges(x)": "numpy.histogram_bin_edges has no counterpart",
    "np.add.at(x, 0, 1)": "numpy.add.at has no counterpart",
    "np.add(x, 1, out=np.ones((2, 3)))": "numpy.add: out= cannot take the result",
    "np.sum(x, out=np.ones(()))": "numpy.sum: out= cannot take the result",
    "np.add(x, 1, where=np.ones(3, bool))": "numpy.add: on a Tensor the argument where= is not supported",
    "np.sum(x, where=np.ones(3, bool))": "numpy.sum: on a Tensor some of the given arguments are not supported",
    "np.reshape(x, 6, order='F')": "only order='C'",
    "np.ones((2, 3)).__iadd__(x)": "numpy.add: out= cannot take the result",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_recorded_is_refused_by_name(text):
    with pytest.raises(TypeError, match=REFUSED[text]):
        eval(text, {"np": np, "x": cr.tensor(A, requires_grad=True)})


COMPUTED = {
    "np.spacing(x)": cr.Tensor,
    "special.gdtr(1.0, 2.0, x)": cr.Tensor,
    "np.add(x, 1, where=x > 2, out=np.ones((2, 3)))": np.ndarray,
    "np.add(x, 1, out=np.ones((2, 3)))": np.ndarray,
    "np.histogram_bin_edges(x)": np.ndarray,
    "np.union1d(x, [9.0])": np.ndarray,
}


@pytest.mark.parametrize("text", COMPUTED)
def test_what_cannot_be_recorded_is_computed_of_tensors_that_nothing_records(text):
    special = pytest.importorskip("scipy.special")
    names = {"np": np, "special": special}
    found = eval(text, names | {"x": cr.tensor(A)})
    assert type(found) is COMPUTED[text]
    np.testing.assert_array_equal(np.asarray(found), eval(text, names | {"x": A}))
    with pytest.raises(TypeError):
        eval(text, names | {"x": cr.tensor(A, requires_grad=True)})
    with pytest.raises(TypeError):
        cr.func.jvp(lambda x: cr.as_tensor(eval(text, names | {"x": x})), (cr.tensor(A),), (cr.tensor(A),))
    with pytest.raises(TypeError):
        np.add(cr.tensor(A), 1, where=np.ones(3, bool), out=cr.tensor(A))


def test_asarray_of_a_recorded_tensor_raises():
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        np.asarray(cr.tensor(A, requires_grad=True))
    t = cr.tensor(A)
    assert np.shares_memory(np.asarray(t), t.numpy())
    assert not np.shares_memory(np.array(t), t.numpy())


# -- DLPack ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "complex64", "bool"])
def test_dlpack_shares_memory_both_ways_with_torch(dtype):
    torch = pytest.importorskip("torch")
    theirs = torch.zeros(3, dtype=getattr(torch, dtype))
    ours = cr.from_dlpack(theirs)
    theirs[0] = 1
    assert ours.dtype is getattr(cr, dtype)
    assert ours.tolist() == theirs.tolist()
    ours[1] = 1
    assert ours.tolist() == theirs.tolist()
    back = torch.from_dlpack(cr.zeros(3, dtype=getattr(cr, dtype)))
    assert back.dtype is theirs.dtype
    t = cr.zeros(3, dtype=getattr(cr, dtype))
    again = torch.from_dlpack(t)
    t[2] = 1
    assert again.tolist() == t.tolist()


def test_dlpack_shares_memory_with_numpy():
    t = cr.zeros(3)
    a = np.from_dlpack(t)
    t[0] = 5
    assert a[0] == 5
    b = np.zeros(2)
    s = cr.from_dlpack(b)
    b[0] = 2
    assert s.tolist() == [2, 0]
    assert not np.shares_memory(cr.from_dlpack(b, copy=True).numpy(), b)
    assert cr.asarray(t).data_ptr() == t.data_ptr()


def test_capsules_are_taken_and_given():
    torch = pytest.importorskip("torch")
    t = cr.zeros(3)
    torch.from_dlpack(cr.to_dlpack(t))[0] = 5
    cr.from_dlpack(torch.to_dlpack(torch.from_numpy(t.numpy())))[1] = 6
    assert t.tolist() == [5, 6, 0]
    assert cr.from_dlpack(cr.to_dlpack(cr.ones(2, requires_grad=True))).tolist() == [1, 1]
    with pytest.raises(BufferError):
        cr.func.jvp(lambda y: cr.to_dlpack(y), (cr.ones(2),), (cr.ones(2),))
    with pytest.raises(TypeError, match="argument 'data' .position 1. must be Tensor, not int"):
        cr.to_dlpack(3)


def test_dlpack_keeps_strides_and_scalars():
    torch = pytest.importorskip("torch")
    t = cr.arange(6).reshape(2, 3).T
    assert torch.from_dlpack(t).stride() == (1, 3)
    assert torch.from_dlpack(cr.tensor(2.5)).item() == 2.5
    assert cr.from_dlpack(torch.tensor(2.5)).item() == 2.5


def test_dlpack_outlives_its_source():
    torch = pytest.importorskip("torch")
    t = cr.from_dlpack(torch.arange(1000.0))
    assert t.sum().item() == 499500
    theirs = torch.from_dlpack(cr.arange(1000.0))
    assert theirs.sum().item() == 499500


def test_dlpack_refuses_what_would_lose_a_derivative():
    torch = pytest.importorskip("torch")
    x = cr.ones(2, requires_grad=True)
    with pytest.raises(BufferError, match="Can't export tensors that require gradient, use tensor.detach"):
        torch.from_dlpack(x)
    with pytest.raises(BufferError):
        cr.func.jvp(lambda y: np.from_dlpack(y), (cr.ones(2),), (cr.ones(2),))
    with pytest.raises(BufferError):
        cr.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="expected an object with __dlpack__"):
        cr.from_dlpack(3)


# -- pickling and copying ----------------------------------------------------------------------------------------------


class Marked(cr.Tensor):
    pass


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("dtype", [cr.float32, cr.int64, cr.bool, cr.complex128, cr.float16])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_copies_keep_everything_but_memory(copied, dtype, shape):
    t = cr.ones(shape, dtype=dtype)
    if dtype.is_floating_point:
        t.requires_grad_()
    made = copied(t)
    assert made.dtype is t.dtype
    assert made.shape == t.shape
    assert made.requires_grad == t.requires_grad
    assert made.tolist() == t.tolist()
    assert not np.shares_memory(made.detach().numpy(), t.detach().numpy())


def test_copies_keep_class_sharing_and_gradient():
    from chainrule.core.tensor.tensor import wrap

    x = wrap(np.ones(2, np.float32), Marked).requires_grad_()
    (x * x).sum().backward()
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert type(a) is Marked
    assert a.grad.tolist() == [2, 2]
    assert a.grad is not x.grad
    a, b = pickle.loads(pickle.dumps([x, x]))
    assert a is b
    assert type(a) is Marked
    assert a.requires_grad
    assert type(copy.copy(x)) is Marked


def test_a_result_is_pickled_without_its_history_and_not_copied_deeply():
    y = cr.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(y)
    z = pickle.loads(pickle.dumps(y))
    assert z.is_leaf
    assert z.requires_grad
    assert z.tolist() == [2.0, 2.0]


def test_deep_copies_share_memory_as_their_sources():
    x = cr.zeros(4)
    y, part = copy.deepcopy((x, x[1:].t()))
    y.add_(1)
    assert part.tolist() == [1.0, 1.0, 1.0]
    assert x.tolist() == [0.0] * 4


def test_a_pickled_view_takes_only_its_own_elements():
    x = cr.zeros(100_000)
    assert len(pickle.dumps(x[:3])) < 1000

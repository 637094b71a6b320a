"""NumPy's functions on tensors: every one that has a counterpart is answered, as NumPy answers it, and recorded."""

from __future__ import annotations

import types

import numpy as np
import pytest

import chainrule as cr
from chainrule.functions.interop import numpy as interop

A = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.5]])
S = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
N = np.array([[np.nan, 2.0, 0.5], [3.0, np.nan, 1.5]])
X, T = np.array([1.0, 4.0, 2.0, 0.5, 3.0]), np.arange(16.0).reshape(2, 2, 2, 2) ** 2 + np.eye(4).reshape(2, 2, 2, 2)
NAMES = {"np": np, "a": A, "s": S, "n": N, "x": X, "t": T}

RECORDED = """
np.linalg.qr(a).R
np.linalg.qr(a, mode="r")
np.linalg.qr(s, mode="complete")[0] @ np.linalg.qr(s).R
np.linalg.svd(a).S
np.linalg.svd(a, full_matrices=False).Vh ** 2
np.linalg.svd(a, compute_uv=False)
np.linalg.svd(s, hermitian=True).S
np.linalg.eigh(s).eigenvalues
np.linalg.eigh(s, UPLO="U")[0]
np.linalg.slogdet(s).logabsdet
np.linalg.lstsq(a, a)[0]
np.linalg.lstsq(a.T, x[:3], rcond=None)[0]
np.linalg.lstsq(a.T, x[:3])[1]
np.linalg.solve(s, x[:3])
np.linalg.solve(np.stack([s, s]), a.T)
np.linalg.solve(t[0] + 9 * np.eye(2), a[:, :2])
np.linalg.cond(s)
np.linalg.cond(s, 1)
np.linalg.matrix_norm(a)
np.linalg.matrix_norm(a, ord="nuc", keepdims=True)
np.linalg.vector_norm(a, axis=1, ord=1)
np.linalg.norm(a, axis=0)
np.linalg.norm(a, "nuc")
np.linalg.multi_dot([a, s, a.T])
np.linalg.tensorinv(t)
np.linalg.tensorsolve(t, s[:2, :2])
np.linalg.cross(a, s[:2])
np.linalg.diagonal(t)
np.linalg.diagonal(s, offset=1)
np.linalg.trace(t)
np.linalg.matmul(a, s)
np.linalg.outer(x, x)
np.linalg.tensordot(a, s, axes=1)
np.linalg.vecdot(a, a)
np.linalg.vecdot(a, a, axis=0)
np.linalg.matrix_transpose(a)
np.matrix_transpose(t)
np.linalg.pinv(a)
np.linalg.matrix_power(s, 3)
np.linalg.cholesky(s, upper=True)
np.matvec(a, x[:3])
np.vecmat(x[:2], a)
np.modf(a)[0]
np.divmod(a, 0.7)[1]
np.nanmax(n)
np.nanmax(n, axis=1)
np.nanmin(n, axis=0, keepdims=True)
np.nanprod(n, axis=1)
np.nanprod(n)
np.nancumsum(n)
np.nancumprod(n, axis=1)
np.nanvar(n)
np.nanvar(n, axis=0, ddof=0, keepdims=True)
np.nanstd(n, axis=1)
np.nansum(n, axis=1)
np.nanmean(n)
np.around(a, 1) + a
np.fix(a) + a
np.astype(a, np.float32)
np.einsum("ij,kj->ik", a, a, optimize=True)
np.cumulative_sum(a, axis=1)
np.cumulative_sum(x, include_initial=True)
np.cumulative_prod(a, axis=0, include_initial=True)
np.linspace(a, 2 * a, 5)
np.linspace(x[0], x[1], 4, endpoint=False, axis=0)
np.linspace(a, 7, 3, axis=-1)
np.linspace(a, 2 * a, 5, retstep=True)[1]
np.logspace(x[0], x[2], 4)
np.geomspace(x[0], x[1], 4)
np.polyval(x, a)
np.polyval([1.0, 2.0, 3.0], a)
np.ediff1d(a, to_end=[9.0], to_begin=0)
np.unwrap(3 * x)
np.unwrap(a, axis=0, period=2.0)
np.pad(a, 1)
np.pad(a, ((1, 0), (2, 3)), constant_values=((1, 2), (3, 4)))
np.pad(a, (1, 2), mode="edge")
np.pad(a, {1: (1, 2)}, mode="wrap")
np.pad(x, 3, mode="reflect")
np.pad(a, 4, mode="symmetric")
np.delete(a, 1, axis=1)
np.delete(a, [0, -1])
np.insert(a, 1, 5.0, axis=1)
np.insert(a, -1, x[:2], axis=1)
np.insert(x, 2, [7.0, 8.0])
np.rollaxis(t, 3, 1)
np.unstack(a, axis=1)[2]
np.select([a > 2, a > 1], [a, a * 2], 7)
np.compress([True, False, True], a, axis=1)
np.extract(a > 1, a)
np.broadcast_arrays(a, x[:3])[1]
np.diagflat(x, 1)
np.vander(x, 3)
np.vander(x, increasing=True)
np.convolve(x, x[:3])
np.convolve(x[:2], x, "same")
np.convolve(x, x[:2], mode="valid")
np.correlate(x, x[:2])
np.correlate(x[:2], x)
np.correlate(x, x[:3], "full")
np.correlate(x, x[:3], "same")
np.correlate(x[:2], x, "same")
np.correlate(x + 1j, (x * 1j)[:3], "full")
np.correlate((x * 1j)[:2], x + 1j)
np.correlate((x * 1j)[:2], x + 1j, "same")
""".strip().splitlines()


@pytest.mark.parametrize("text", RECORDED)
def test_they_are_recorded_and_right(text):
    given = {k: cr.tensor(v, requires_grad=True) if isinstance(v, np.ndarray) else v for k, v in NAMES.items()}
    out, expected = eval(text, given), eval(text, NAMES)
    assert out.requires_grad
    assert tuple(out.shape) == np.shape(expected)
    if "qr(" in text and "@" not in text:
        out, expected = abs(out), abs(expected)  # up to the signs that LAPACK chooses
    found = out.detach().resolve_conj().numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    abs(out).sum().backward()
    assert any(v.grad is not None for v in given.values() if isinstance(v, cr.Tensor))


I = np.array([3, 1, 2, 1, 0])
PLAIN = """
np.linalg.matrix_rank(s)
np.linalg.matrix_rank(s, 2.5)
np.linalg.matrix_rank(s, rtol=0.6)
np.linalg.lstsq(a.T, x[:3])[2]
np.linalg.qr(a, mode="raw")[1].shape
np.nanargmax(n)
np.nanargmin(n, axis=1)
np.nansum(n > 1)
np.bincount(i)
np.bincount(i, x, 6)
np.digitize(a, [0.0, 1.0, 2.0])
np.digitize(a, [3.0, 2.0, 1.0], right=True)
np.histogram(a)[0]
np.histogram(a, 4, (0.0, 4.0))[1]
np.histogram(x, [0.0, 1.0, 2.0, 9.0], density=True)[0]
np.histogram(i, 3)[0]
np.histogram2d(x, x, 3)[0]
np.histogramdd(a, (2, 2, 3), ((0, 4), (0, 5), (0, 2)))[0]
np.unique(i)
np.unique(i, return_inverse=True, return_counts=True)[1]
np.sort(np.unique_values(i))
np.unravel_index(i, (2, 2))[1]
np.ravel_multi_index((i, i), (4, 4))
np.tril_indices_from(a)[1]
np.triu_indices_from(a, 1)[0]
np.diag_indices_from(s)[1]
np.iscomplex(a)
np.array_equiv(a, a[:1])
np.array_equiv(a, a[:, :2])
np.can_cast(a, np.float32)
np.result_type(a, np.float32)
np.common_type(a, i)
np.shares_memory(a, a[0])
np.may_share_memory(a, x)
np.array_repr(a)
np.array_str(x)
np.array2string(x, precision=1)
np.divmod(i, 2)[0]
np.partition(x, 2)[2]
np.argpartition(x, [1, 3])[1]
np.matvec(np.ones((2, 5), int), i)
np.convolve(i, i)
np.correlate(i, i[:2])
np.nanmax(i)
""".strip().splitlines()


@pytest.mark.parametrize("text", PLAIN)
def test_questions_are_answered_as_numpy_answers_them(text):
    out = eval(text, {k: cr.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**NAMES, "i": I}.items()})
    np.testing.assert_array_equal(out.numpy() if isinstance(out, cr.Tensor) else out, eval(text, {**NAMES, "i": I}))


WRITES = """
np.copyto(y, 2.5)
np.copyto(y, x[:3] + 9, where=y > 1)
np.putmask(y, y > 1, x + 9)
np.place(y, y > 1, x[:2])
np.put(y, [0, 4], x[:2] + 9)
np.put_along_axis(y, np.array([[0], [2]]), x[:2].reshape(2, 1) + 9, axis=1)
np.fill_diagonal(y, 7.0)
""".strip().splitlines()


@pytest.mark.parametrize("text", WRITES)
def test_writes_go_into_tensors_and_are_recorded(text):
    array = A.copy()
    eval(text, {"np": np, "y": array, "x": X})
    leaf, x = cr.tensor(A, requires_grad=True), cr.tensor(X, requires_grad=True)
    y = leaf * 1
    assert eval(text, {"np": np, "y": y, "x": x}) is None
    np.testing.assert_array_equal(y.detach().numpy(), array)
    y.sum().backward()
    moved = array != A
    assert not leaf.grad.numpy()[moved].any()
    if "x" in text.partition("(")[2]:
        assert x.grad.sum() == moved.sum()


# What has no counterpart in PyTorch, of which it could be made; what is of files, dates and objects; what makes no array.
WITHOUT = {
    "sets and sorts that PyTorch has not": "intersect1d setdiff1d setxor1d union1d unique_all unique_counts unique_inverse "
    "lexsort sort_complex trim_zeros",
    "the algebra of polynomials, but for their values": "poly polyadd polyder polydiv polyfit polyint polymul polysub roots",
    "Python functions along an axis": "apply_along_axis apply_over_axes piecewise",
    "bits, dates, floats as they are stored": "bitwise_count busday_count busday_offset is_busday isnat datetime_as_string "
    "packbits unpackbits spacing min_scalar_type",
    "files": "save savetxt savez savez_compressed",
    "pieces by nested lists and by their own rules": "block choose ix_ resize real_if_close einsum_path histogram_bin_edges",
}


def functions(module):
    for name in dir(module):
        f = getattr(module, name)
        if name[0] != "_" and callable(f) and not isinstance(f, (type, types.ModuleType)):
            yield name, f


def is_answered(prefix, name, f):
    if isinstance(f, np.ufunc):
        ours = interop._UFUNCS.get(f.__name__, f.__name__)
        return f.__name__ in interop._MADE or interop._find(ours) is not None
    return {f"{prefix}{f.__name__}"} <= interop.adapters().keys() | interop.SAME


def test_every_function_of_numpy_is_answered_or_has_its_reason():
    left = set()
    for module, prefix in ((np, ""), (np.linalg, "linalg."), (np.fft, "fft.")):
        for name, f in functions(module):
            asks = isinstance(f, np.ufunc) or hasattr(f, "_implementation")
            if asks and not is_answered(prefix, name, f):
                left.add(prefix + name)
    assert left == set(" ".join(WITHOUT.values()).split())


REFUSED = {
    "np.linalg.lstsq(t, t)": (np.linalg.LinAlgError, "4-dimensional array given"),
    "np.linalg.matrix_rank(s, 1, rtol=1)": (ValueError, "can't be both set"),
    "np.pad(a, -1)": (ValueError, "index can't contain negative values"),
    "np.pad(a, 1, mode='linear_ramp')": (TypeError, "mode='linear_ramp' with these arguments is not supported"),
    "np.pad(a, 1, mode='reflect', reflect_type='odd')": (TypeError, "is not supported"),
    "np.insert(a, 9, 1.0, axis=1)": (IndexError, "index 9 is out of bounds for axis 1 with size 3"),
    "np.insert(a, [0, 1], 1.0)": (TypeError, "only one place"),
    "np.nanargmax(n * np.nan)": (ValueError, "All-NaN slice encountered"),
    "np.unique(x, return_index=True)": (TypeError, "return_index= is not supported"),
    "np.select([a > 1], [])": (ValueError, "must be same length"),
    "np.partition(x, 9)": (ValueError, "out of bounds"),
    "np.geomspace(x[0] * 0, x[0])": (ValueError, "Geometric sequence cannot include zero"),
    "np.cumulative_sum(a)": (ValueError, "``axis`` argument is required"),
    "np.copyto(np.ones(5), x)": (TypeError, "cannot take the values of a Tensor"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused_in_words(text):
    kind, words = REFUSED[text]
    given = {k: cr.tensor(v) if isinstance(v, np.ndarray) else v for k, v in NAMES.items()}
    with pytest.raises(kind, match=words):
        eval(text, given)


def test_slices_of_nan_alone_give_nan_and_a_warning():
    for f in (np.nanmax, np.nanmin):
        with pytest.warns(RuntimeWarning, match="All-NaN slice encountered"):
            assert np.isnan(f(cr.tensor([[np.nan, np.nan], [1.0, 2.0]]), axis=1)).tolist() == [True, False]
    with pytest.warns(RuntimeWarning, match="Degrees of freedom <= 0"):
        assert np.isnan(np.nanvar(cr.tensor([np.nan, 1.0]), ddof=1))

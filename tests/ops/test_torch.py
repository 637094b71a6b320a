"""Every public function on its samples gives what PyTorch's gives: values, dtypes, shapes, gradients, grad_fn, errors."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest
from tests.each import by_name, of_function

import chainrule as cr
from chainrule.core.op.samples import Matrices
from chainrule.core.tensor.tensor import wrap
from chainrule.core.tensor.value import innermost
from chainrule.core.types.dtype import dtype
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules
from chainrule.testing.compare import gap

KINDS = {"b": ["bool"], "i": ["int64"], "f": ["float64", "float32"], "c": ["complex128"]}
TOLERANCE = {"float64": 1e-7, "complex128": 1e-7, "float32": 2e-4, "int64": 1e-5, "bool": 1e-5}
HOMES = ("", "nn.functional", "linalg", "special", "fft", "Tensor")

# The last node's name says how a function is composed; these are composed otherwise than in PyTorch.
COMPOSED = {
    "a where, of one piece or another": ("hardshrink", "masked_fill", "threshold"),
    "elu, selu and celu are one op": ("celu",),
    "contractions without the views around them": ("chain_matmul", "einsum", "inner", "tensordot"),
    "one bound alone is clamp_min or clamp_max": ("clamp", "clip"),
    "one op for each way of reducing": ("index_reduce", "scatter_reduce"),
    "copies and views in another order": ("diff", "fill", "index_select", "meshgrid", "repeat_interleave", "roll"),
    "windows and frames without the views around them": ("istft", "stft"),
    "a derivative, where PyTorch has none": ("special.zeta",),
    "one op, where PyTorch composes": ("special.ndtr",),
    "norms of the axes as they lie": ("frobenius_norm", "norm_except_dim"),
    "scattered, where PyTorch has a kernel": ("segment_reduce",),
    "products and sums in another order": ("cumulative_trapezoid", "ldexp", "mvlgamma", "polar", "renorm", "rsub", "trapezoid",
                                           "trapz"),
    "products in another order": ("linalg.matrix_power", "linalg.multi_dot", "linalg.vander", "matrix_power", "vander"),
    "vectors as columns, and systems from the right": ("linalg.solve", "linalg.solve_ex", "linalg.solve_triangular",
                                                       "linalg.tensorsolve", "linalg.tensorinv", "triangular_solve"),
    "parts of factors that are ops": ("linalg.cholesky_ex", "linalg.lu", "linalg.lu_solve", "linalg.qr", "linalg.svd",
                                      "linalg.householder_product", "linalg.lstsq", "linalg.cond", "linalg.matrix_norm",
                                      "cholesky", "cholesky_inverse", "cholesky_solve", "lu_solve", "lu_unpack", "lu", "orgqr",
                                      "ormqr", "nuclear_norm", "pinverse", "qr", "svd", "logdet", "norm", "cdist"),
}  # fmt: skip
COMPOSED["a permutation between views"] = ("channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle")
COMPOSED["pooled over one axis, without an axis of size 1 beside it"] = (
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "max_pool1d", "max_pool1d_with_indices",
)  # fmt: skip
COMPOSED["a bias is added apart, and an axis of one example is left out by another view"] = (
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
)  # fmt: skip
OTHER_NODE = {name for names in COMPOSED.values() for name in names}
# PyTorch raises in the backward pass of these; so do ours, but for bincount, which is linear in its weights.
UNDERIVED = {
    "bincount", "floor_divide", "geqrf", "heaviside", "histogram", "histogramdd", "linalg.ldl_factor", "linalg.ldl_factor_ex",
    "linalg.ldl_solve", "unique", "unique_consecutive",
}  # fmt: skip
# Of these PyTorch has no derivative, and drops or refuses it; ours are judged by the laws.
BEYOND = {f"special.{name}" for name in (
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "hermite_polynomial_h", "hermite_polynomial_he",
    "laguerre_polynomial_l", "legendre_polynomial_p", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0", "zeta",
    *[f"{way}chebyshev_polynomial_{kind}" for way in ("", "shifted_") for kind in "tuvw"],
)}  # fmt: skip
# Of these PyTorch's values have but six digits, beside SciPy's and mpmath's.
IMPRECISE = {"special.airy_ai": 1e-5, "special.bessel_y1": 1e-5}
# Results of which only a part is determined: the linalg tests compare the rest, up to that freedom.
UNREAD = {"cholesky_inverse", "cholesky_solve"}  # PyTorch's gradients have parts for the triangle that is not read
UNDETERMINED: dict[str, str] = {
    **dict.fromkeys(("linalg.eig", "linalg.eigh"), "eigenvectors up to their length and phase"),
    **dict.fromkeys(("linalg.svd", "svd"), "singular vectors up to their phase"),
}


class Call:
    """A public function, one of its samples, a dtype."""

    def __init__(self, function, index, sample, name):
        self.function, self.index, self.sample, self.name = function, index, sample, name

    def draw(self):
        rng = np.random.default_rng(self.index)
        args, kwargs = self.sample.draw(rng, self.name, self.function.domain)
        return args, kwargs

    def __repr__(self):
        return f"{self.function.name}-{self.index}-{self.name}"


load_modules("chainrule")  # some declare their functions only when they are used


def calls(errors=False):
    found = []
    for function in FUNCTIONS.values():
        for index, sample in enumerate(function.samples()):
            kinds = function.kinds if sample.kinds is None else sample.kinds
            if (sample.error is not None) == errors:
                names = [name for k in kinds for name in KINDS[k]]
                found += [Call(function, index, sample, name) for name in (names[-1:] if errors else names)]
    return found


def theirs(torch, name):
    for home in HOMES:
        try:
            return operator.attrgetter(f"{home}.{name}" if home else name)(torch)
        except AttributeError:
            continue
    pytest.skip(f"PyTorch has no {name}")


def on_leaves(make, value, leaves):
    """Return arguments with arrays made tensors; floating ones require grad and are added to `leaves`."""
    if isinstance(value, (list, tuple)):
        return type(value)(on_leaves(make, v, leaves) for v in value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    tensor = make(np.array(value))
    if value.dtype.kind in "fc":
        leaves.append(tensor.requires_grad_())
    return tensor


def translated(torch, value):
    """Return a keyword argument as PyTorch takes it."""
    return getattr(torch, value.name) if isinstance(value, dtype) else value


def ours(call, leaves):
    args, kwargs = call.draw()
    return call.function.call(*on_leaves(wrap, args, leaves), **on_kwargs(wrap, kwargs))


def pytorchs(torch, call, leaves):
    args, kwargs = call.draw()
    f = theirs(torch, call.function.name)
    args = [translated(torch, a) for a in on_leaves(torch.as_tensor, args, leaves)]
    kwargs = {k: translated(torch, v) for k, v in on_kwargs(torch.as_tensor, kwargs).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **kwargs)


def both(torch, call):
    """Return (results, leaves) of chainrule and of PyTorch."""
    our_leaves, their_leaves = [], []
    try:
        expected = flat(pytorchs(torch, call, their_leaves))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        pytest.skip(f"PyTorch does not take this: {error}")
    return (flat(ours(call, our_leaves)), our_leaves), (expected, their_leaves)


def on_kwargs(make, kwargs):
    return {k: make(v.copy()) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}


def flat(out):
    if isinstance(out, (tuple, list)):
        return [leaf for o in out for leaf in flat(o)]
    return [out]


def name_of(d):
    return str(d).split(".")[-1]


def array(t):
    return np.asarray(innermost(t)) if isinstance(t, cr.Tensor) else t.numpy(force=True)


def check_value(torch, call):
    """Raise AssertionError where a call's results are not PyTorch's in value, shape and dtype."""
    (found, _), (expected, _) = both(torch, call)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if not isinstance(a, cr.Tensor):
            assert a == (b if not isinstance(b, torch.dtype) else name_of(b))
            continue
        assert tuple(a.shape) == tuple(b.shape)
        assert name_of(a.dtype) == name_of(b.dtype)
        assert a.requires_grad == b.requires_grad or call.function.name in BEYOND
        if call.function.name not in UNDETERMINED:
            tolerance = max(TOLERANCE[call.name], IMPRECISE.get(call.function.name, 0))
            assert gap(array(a), array(b), tolerance) is None


@by_name("call", sorted(calls(), key=lambda call: call.name != "float64"), of_function, fast=2)
def test_values_shapes_and_dtypes_are_pytorchs(torch, call):
    check_value(torch, call)


def is_determined(call):
    return not {call.function.name} & {*UNDETERMINED, *UNDERIVED, *UNREAD}


WITH_GRADIENTS = [c for c in calls() if c.name in ("float64", "complex128") and is_determined(c)]


@by_name("call", WITH_GRADIENTS, of_function, fast=1)
def test_gradients_are_pytorchs(torch, call):
    (found, leaves), (expected, their_leaves) = both(torch, call)
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if isinstance(b, torch.Tensor) and b.requires_grad]
    if not pairs:
        return
    rng = np.random.default_rng(call.index)
    gs = [np.asarray(rng.normal(size=tuple(b.shape)) + (1j * rng.normal(size=tuple(b.shape)) if b.is_complex() else 0))
          for _, b in pairs]  # fmt: skip
    their_gs, our_gs = [torch.as_tensor(g) for g in gs], [wrap(g) for g in gs]
    try:
        expected = torch.autograd.grad([b for _, b in pairs], their_leaves, their_gs, allow_unused=True)
    except NotImplementedError:
        if call.function.name in BEYOND:
            return
        with pytest.raises(NotImplementedError):
            cr.autograd.grad([a for a, _ in pairs], leaves, our_gs, allow_unused=True)
        return
    except RuntimeError as error:
        pytest.skip(f"PyTorch cannot: {error}")
    found = cr.autograd.grad([a for a, _ in pairs], leaves, our_gs, allow_unused=True)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a is None or b is None:
            present = b if a is None else a
            assert present is None or not array(present).any(), f"gradient {i}: {a} against {b}"
        else:
            assert name_of(a.dtype) == name_of(b.dtype), f"gradient {i}"
            a, b = array(a), array(b)
            spec = call.sample.args[i] if i < len(call.sample.args) else None
            if isinstance(spec, Matrices):  # a gradient among Hermitian ones is its Hermitian part
                a, b = spec.direction(a), spec.direction(b)
            assert gap(a, b, TOLERANCE[call.name]) is None, f"gradient {i}"


NAMED = [c for c in calls() if c.name == "float64" and is_determined(c) and c.function.name not in OTHER_NODE]


@by_name("call", NAMED, of_function, fast=1)
def test_grad_fn_bears_pytorchs_name(torch, call):
    (found, _), (expected, _) = both(torch, call)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, torch.Tensor) and b.grad_fn is not None:
            assert a.grad_fn.name() == b.grad_fn.name()


@by_name("call", calls(errors=True), of_function)
def test_errors_are_pytorchs(torch, call):
    kind, words = call.sample.error
    for run in (lambda: ours(call, []), lambda: pytorchs(torch, call, [])):
        with pytest.raises(kind) as found:
            run()
        assert str(found.value).startswith(words)

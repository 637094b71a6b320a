"""Drawn calls: shapes, axes, indices and dtypes that no list of samples foresees, against PyTorch.

Each law holds for every drawn call: value, dtype, shape and gradients are PyTorch's; where PyTorch raises, chainrule
raises, and the other way round; in float64 the transpose of forward mode is reverse mode.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("hypothesis")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

ERRORS = (RuntimeError, IndexError, ValueError, TypeError)
FLOATS = ("float64", "float32", "complex128", "float16")
DTYPES = (*FLOATS, "int64", "bool")
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-9, "complex128": 1e-9, "complex64": 1e-4}

drawn = settings(max_examples=250, derandomize=True, deadline=None, database=None)

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(DTYPES)
floats = st.sampled_from(FLOATS)


# -- running under both libraries --------------------------------------------------------------------------------------


def values(rng, shape, dtype):
    """Random values of a NumPy dtype by name."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "int64":
        return np.asarray(rng.integers(-3, 4, shape))
    x = rng.uniform(-2, 2, shape)
    if dtype == "complex128":
        x = x + 1j * rng.uniform(-2, 2, shape)
    return np.asarray(x).astype(dtype)


def array(x):
    """A tensor of either library as an array; of PyTorch's complex numbers of half precision, which NumPy lacks, the next."""
    if str(x.dtype) == "torch.complex32":
        x = x.cfloat()
    return np.asarray(x.detach().resolve_conj().numpy() if hasattr(x, "resolve_conj") else x.detach().numpy())


def listed(out):
    return list(out) if isinstance(out, (tuple, list)) else [out]


def outcome(lib, call, arrays, seed):
    """Return ("error", the error) or ("value", results, gradients or the error of the pass)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaves = [lib.tensor(a) for a in arrays]
        for leaf in leaves:
            if array(leaf).dtype.kind in "fc":
                leaf.requires_grad_()
        try:
            outs = listed(call(lib, *leaves))
        except ERRORS as error:
            return "error", error
        rng = np.random.default_rng(seed)
        active = [out for out in outs if out.requires_grad and array(out).dtype.kind in "fc"]
        cotangents = [lib.tensor(values(rng, tuple(out.shape), array(out).dtype.name)) for out in active]
        inputs = [leaf for leaf in leaves if leaf.requires_grad]
        try:
            grads = lib.autograd.grad(active, inputs, cotangents, allow_unused=True) if active else None
        except ERRORS as error:
            grads = error
        return "value", outs, grads


def assert_equal(ours, theirs, what, tolerance=0.0):
    if theirs is None or ours is None:
        assert ours is None, f"{what}: PyTorch has none"
        assert theirs is None, f"{what}: chainrule has none"
        return
    a, b = array(ours), array(theirs)
    if str(theirs.dtype) == "torch.complex32":  # which NumPy lacks: ours is complex64, and exact where theirs is rounded
        tolerance = max(tolerance, 4e-3)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), what
    if b.dtype.kind in "fc":
        tolerance = max(tolerance, TOLERANCE[b.dtype.name])
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=what)
    else:
        np.testing.assert_array_equal(a, b, err_msg=what)


def agree(torch, call, *arrays, seed=0):
    """Check that a call has the same outcome under both libraries."""
    with np.errstate(all="ignore"):
        kind, *theirs = outcome(torch, call, arrays, seed)
        our_kind, *ours = outcome(cr, call, arrays, seed)
    if kind == "error":
        if "not implemented for" in str(theirs[0]):  # no kernel for the dtype: chainrule may have one
            return
        assert our_kind == "error", f"PyTorch raises {theirs[0]!r}, chainrule gives {ours}"
        return
    if our_kind == "error" and "not implemented for" in str(ours[0]) and not all(a.size for a in arrays):
        return  # PyTorch asks for the kernel only where there are elements
    assert our_kind == "value", f"chainrule raises {ours[0]!r}, PyTorch gives {theirs}"
    assert len(ours[0]) == len(theirs[0])
    for a, b in zip(ours[0], theirs[0], strict=True):
        assert_equal(a, b, "value")
        assert a.requires_grad == b.requires_grad or array(b).dtype.kind == "i"  # PyTorch's filled integers do
    if not isinstance(theirs[1], Exception):  # PyTorch fails to go back through some empty results
        assert not isinstance(ours[1], Exception), f"the backward pass raises {ours[1]!r}"
        assert (ours[1] is None) == (theirs[1] is None)
        same_gradients(ours[1] or (), theirs[1] or (), max([TOLERANCE.get(a.dtype.name, 0) for a in arrays]))
    transpose(call, arrays, seed)


def same_gradients(ours, theirs, tolerance):
    """Compare gradients; `tolerance` is the coarsest input's, because PyTorch computes in it in places."""
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert_equal(a, b, f"gradient {k}", tolerance)


def transpose(call, arrays, seed):
    """Check that <g, J t> = <transposed J g, t> in float64."""
    if not arrays or any(a.dtype != np.float64 for a in arrays):
        return
    rng = np.random.default_rng(seed + 1)
    primals = tuple(cr.tensor(a) for a in arrays)
    tangents = tuple(cr.tensor(values(rng, a.shape, "float64")) for a in arrays)

    def f(*xs):
        return tuple(out for out in listed(call(cr, *xs)) if out.dtype is cr.float64)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if not f(*primals):
            return
        outs, pushed = cr.func.jvp(f, primals, tangents)
        cotangents = tuple(cr.tensor(values(rng, tuple(out.shape), "float64")) for out in outs)
        _, pull = cr.func.vjp(f, *primals)
        pulled = pull(cotangents)
        left = sum(np.sum(array(g) * array(t)) for g, t in zip(cotangents, pushed, strict=True))
        right = sum(np.sum(array(g) * array(t)) for g, t in zip(pulled, tangents, strict=True))
    if np.isfinite(left) and np.isfinite(right):
        np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-8)


# -- what is drawn -----------------------------------------------------------------------------------------------------


@st.composite
def partners(draw, shape):
    """A shape that mostly broadcasts with `shape`."""
    kept = list(shape[draw(st.integers(0, len(shape))) :])
    kept = [1 if draw(st.booleans()) and draw(st.booleans()) else n for n in kept]
    if len(kept) == len(shape) and draw(st.booleans()):
        kept = [draw(st.integers(1, 2)), *kept]
    if kept and draw(st.integers(0, 9)) == 0:
        kept[0] = draw(st.integers(0, 4))
    return tuple(kept[-4:])


def axis_of(ndim):
    """An axis: mostly one that exists, from either end."""
    return st.integers(-ndim, ndim - 1) if ndim else st.sampled_from((0, -1))


def any_axis(ndim):
    return st.one_of(axis_of(ndim), axis_of(ndim), axis_of(ndim), st.integers(-ndim - 2, ndim + 1))


@st.composite
def axes_of(draw, ndim):
    """No axis argument, an axis, or a tuple of axes (sometimes with one twice)."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return None
    if kind == 1:
        return draw(any_axis(ndim))
    some = draw(st.lists(axis_of(ndim), max_size=3, unique_by=lambda a: a % max(ndim, 1)))
    if some and draw(st.integers(0, 9)) == 0:
        some.append(some[0])
    return tuple(some)


@st.composite
def indices(draw, shape, arrays=True):
    """An index expression as a plain value: ints, slices, None, Ellipsis, masks, integer arrays."""
    rng = np.random.default_rng(draw(seeds))
    items, axis = [], 0
    for _ in range(draw(st.integers(0, len(shape) + 1))):
        kind = draw(st.sampled_from(("int", "slice", "slice", "none", "dots", *(("mask", "array") if arrays else ()))))
        if kind == "none":
            items.append(None)
            continue
        if kind == "dots":
            if Ellipsis in [i for i in items if not isinstance(i, np.ndarray)]:
                continue
            items.append(...)
            axis = max(axis, len(shape) - draw(st.integers(0, 1)))
            continue
        if axis >= len(shape) and draw(st.integers(0, 5)):
            continue
        n = shape[axis] if axis < len(shape) else 1
        if kind == "int":
            items.append(draw(st.integers(-n - 1, n) if draw(st.integers(0, 9)) == 0 or not n else st.integers(-n, n - 1)))
        elif kind == "slice":
            ends = st.one_of(st.none(), st.integers(-5, 5))
            step = draw(st.sampled_from((None, 1, 2, 3, None, 1, 2, 0, -1)))
            items.append(slice(draw(ends), draw(ends), step))
        elif kind == "mask":
            width = draw(st.integers(1, 2)) if axis + 1 < len(shape) else 1
            items.append(rng.integers(0, 2, shape[axis : axis + width] or (1,)).astype(bool))
            axis += width - 1
        else:
            where = draw(st.sampled_from(((2,), (2,), (), (2, 1), (0,))))
            items.append(rng.integers(-n, n, where) if n else np.zeros(where, np.int64))
        axis += 1
    return tuple(items)


def index_in(lib, key):
    return tuple(lib.tensor(item) if isinstance(item, np.ndarray) else item for item in key)


# -- the laws ----------------------------------------------------------------------------------------------------------

BINARY = {
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x * y,
    "div": lambda lib, x, y: x / y,
    "pow": lambda lib, x, y: x**y,
    "maximum": lambda lib, x, y: lib.maximum(x, y),
    "minimum": lambda lib, x, y: lib.minimum(x, y),
    "greater": lambda lib, x, y: x > y,
}


@pytest.mark.parametrize("name", list(BINARY))
@settings(drawn, max_examples=120)
@given(data=st.data(), shape=shapes, seed=seeds, first=dtypes, second=dtypes)
def test_elementwise_pairs_broadcast_and_promote_as_pytorch(torch, name, data, shape, seed, first, second):
    rng = np.random.default_rng(seed)
    x, y = values(rng, shape, first), values(rng, data.draw(partners(shape)), second)
    agree(torch, BINARY[name], x, y, seed=seed)


NUMBERS = (2, 0, -1, 3.0, 0.5, -2.0, True, 1 + 2j)


@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("maximum", "minimum")])
@settings(drawn, max_examples=60)
@given(shape=shapes, seed=seeds, dtype=dtypes, number=st.sampled_from(NUMBERS), left=st.booleans())
def test_python_numbers_are_weak_as_in_pytorch(torch, name, shape, seed, dtype, number, left):
    x = values(np.random.default_rng(seed), shape, dtype)
    f = BINARY[name]
    assume(not (dtype == "float16" and number.__class__ is complex))  # PyTorch's ComplexHalf
    assume(
        not (dtype == "complex128" and name == "pow" and number.__class__ is int and number == 0)
    )  # PyTorch's gradient is NaN
    assume(not (dtype == "bool" and name == "pow" and number is True))  # bool in PyTorch, int8 here
    assume(not (name == "sub" and number is True))  # chainrule computes, PyTorch refuses
    agree(torch, (lambda lib, x: f(lib, number, x)) if left else (lambda lib, x: f(lib, x, number)), x, seed=seed)


@drawn
@given(data=st.data(), shape=shapes, seed=seeds, first=dtypes, second=dtypes)
def test_where_agrees(torch, data, shape, seed, first, second):
    rng = np.random.default_rng(seed)
    x, y = values(rng, shape, first), values(rng, data.draw(partners(shape)), second)
    c = values(rng, data.draw(partners(shape)), "bool")
    agree(torch, lambda lib, c, x, y: lib.where(c, x, y), c, x, y, seed=seed)


REDUCTIONS = ("sum", "mean", "amax", "amin", "logsumexp", "var", "std")


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(drawn, max_examples=120)
@given(data=st.data(), shape=shapes, seed=seeds, dtype=dtypes, keepdim=st.booleans())
def test_reductions_agree(torch, name, data, shape, seed, dtype, keepdim):
    x = values(np.random.default_rng(seed), shape, dtype)
    dim = data.draw(axes_of(len(shape)))
    if dim is None:
        agree(torch, lambda lib, x: getattr(lib, name)(x), x, seed=seed)
    else:
        # For no axes PyTorch fails in logsumexp and gives infinite gradients in var
        assume(not (dim == () and name in ("logsumexp", "var", "std")))
        agree(torch, lambda lib, x: getattr(lib, name)(x, dim, keepdim=keepdim), x, seed=seed)


SCANS = {
    "prod": lambda lib, x, dim: lib.prod(x, dim),
    "cumsum": lambda lib, x, dim: lib.cumsum(x, dim),
    "cumprod": lambda lib, x, dim: lib.cumprod(x, dim),
    "logcumsumexp": lambda lib, x, dim: lib.logcumsumexp(x, dim),
    "softmax": lambda lib, x, dim: lib.softmax(x, dim),
    "log_softmax": lambda lib, x, dim: lib.log_softmax(x, dim),
    "argmax": lambda lib, x, dim: lib.argmax(x, dim),
    "max": lambda lib, x, dim: tuple(lib.max(x, dim)),
    "sort": lambda lib, x, dim: tuple(lib.sort(x, dim=dim, stable=True)),
    "flip": lambda lib, x, dim: lib.flip(x, (dim,)),
    "unbind": lambda lib, x, dim: lib.unbind(x, dim),
    "squeeze": lambda lib, x, dim: lib.squeeze(x, dim),
    "unsqueeze": lambda lib, x, dim: lib.unsqueeze(x, dim),
}


@pytest.mark.parametrize("name", list(SCANS))
@settings(drawn, max_examples=80)
@given(data=st.data(), shape=shapes, seed=seeds, dtype=dtypes)
def test_functions_of_one_axis_agree(torch, name, data, shape, seed, dtype):
    x = values(np.random.default_rng(seed), shape, dtype)
    dim = data.draw(any_axis(len(shape)))
    if name in ("max", "argmax") and dtype in ("int64", "bool"):
        x = np.unique(x)[: x.size].reshape(-1) if x.ndim == 1 else np.arange(x.size).reshape(x.shape)
    agree(torch, lambda lib, x: SCANS[name](lib, x, dim), x, seed=seed)


@pytest.mark.parametrize("name", [*SCANS, *REDUCTIONS])
@settings(drawn, max_examples=40)
@given(data=st.data(), shape=shapes, seed=seeds)
def test_results_share_memory_with_the_input_only_where_pytorchs_do(torch, name, data, shape, seed):
    array_ = values(np.random.default_rng(seed), shape, "float64")
    dim = data.draw(axis_of(len(shape)))
    assume(array_.size)

    def write(lib, x):
        x = x.detach().clone().zero_()  # written to, so that a 0-d payload is an array
        out = listed(SCANS[name](lib, x, dim) if name in SCANS else getattr(lib, name)(x, dim))
        x.fill_(7)
        return tuple(part.clone() for part in out)

    agree(torch, write, array_, seed=seed)


@st.composite
def shape_calls(draw, shape):
    """A shape function with drawn arguments, mostly valid ones."""
    ndim, size = len(shape), int(np.prod(shape))
    kind = draw(
        st.sampled_from(
            (
                "reshape",
                "permute",
                "expand",
                "transpose",
                "flip",
                "roll",
                "split",
                "chunk",
                "narrow",
                "flatten",
                "movedim",
                "diagonal",
                "repeat",
                "squeeze",
                "unfold",
                "tril",
                "select",
            )
        )
    )
    axis, other = draw(any_axis(ndim)), draw(any_axis(ndim))
    if kind == "reshape":
        target = draw(st.permutations(shape)) if shape else []
        if draw(st.booleans()):
            target = draw(
                st.sampled_from(([size], [-1], [1, size], [*target, 1], [-1, *target[1:]], [2, -1], [-1, -1], [size + 1]))
            )
        return lambda lib, x: lib.reshape(x, tuple(target))
    if kind == "permute":
        order = list(draw(st.permutations(range(ndim))))
        if draw(st.booleans()):
            order = [a - ndim for a in order]
        if order and draw(st.integers(0, 9)) == 0:
            order[0] = order[-1]
        return lambda lib, x: lib.permute(x, tuple(order))
    if kind == "expand":
        target = [draw(st.sampled_from((n, -1, 3) if n == 1 else (n, n, -1, 2))) for n in shape]
        target = draw(st.lists(st.integers(0, 2), max_size=1)) + target
        return lambda lib, x: x.expand(target)
    if kind == "roll":
        shift = draw(st.integers(-5, 5))
        if draw(st.booleans()):
            return lambda lib, x: lib.roll(x, shift)
        if not size:  # PyTorch does not look at the axes of nothing
            axis = other = 0
        return lambda lib, x: lib.roll(x, (shift, 1), (axis, other))
    if kind == "flip":
        return lambda lib, x: lib.flip(x, (axis, other))
    if kind == "split":
        n = draw(st.one_of(st.integers(-1, 4), st.lists(st.integers(0, 3), max_size=3)))
        return lambda lib, x: lib.split(x, n, axis)
    if kind == "chunk":
        n = draw(st.integers(0, 4))
        return lambda lib, x: lib.chunk(x, n, axis)
    if kind == "narrow":
        start, length = draw(st.integers(-4, 4)), draw(st.integers(-1, 4))
        return lambda lib, x: lib.narrow(x, axis, start, length)
    if kind == "select":
        i = draw(st.integers(-4, 4))
        return lambda lib, x: lib.select(x, axis, i)
    if kind == "diagonal":
        offset = draw(st.integers(-3, 3))
        return lambda lib, x: lib.diagonal(x, offset, axis, other)
    if kind == "tril":
        offset = draw(st.integers(-3, 3))
        return lambda lib, x: lib.tril(x, offset) + lib.triu(x, -offset)
    if kind == "repeat":
        times = draw(st.lists(st.integers(0, 2), min_size=max(ndim - draw(st.integers(0, 1)), 0), max_size=4))
        return lambda lib, x: x.repeat(times)
    if kind == "unfold":
        n, step = draw(st.integers(-1, 4)), draw(st.integers(0, 3))
        return lambda lib, x: x.unfold(axis, n, step)
    if kind == "squeeze":
        return lambda lib, x: lib.squeeze(x, (axis, other))
    return lambda lib, x: getattr(lib, kind)(x, axis, other)


@settings(drawn, max_examples=1000)
@given(data=st.data(), shape=shapes, seed=seeds, dtype=st.sampled_from((*DTYPES, "float64", "float64")))
def test_shape_functions_agree(torch, data, shape, seed, dtype):
    agree(torch, data.draw(shape_calls(shape)), values(np.random.default_rng(seed), shape, dtype), seed=seed)


@drawn
@given(
    data=st.data(),
    shape=shapes,
    seed=seeds,
    kinds=st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3),
    stacked=st.booleans(),
)
def test_joins_agree(torch, data, shape, seed, kinds, stacked):
    rng = np.random.default_rng(seed)
    axis = data.draw(any_axis(len(shape) + stacked))
    parts = []
    for kind in kinds:
        part = list(shape)
        if part and data.draw(st.integers(0, 4)) == 0:
            part[axis % len(part)] = data.draw(st.integers(0, 3))
        parts.append(values(rng, tuple(part), kind))
    agree(torch, lambda lib, *xs: (lib.stack if stacked else lib.cat)(xs, axis), *parts, seed=seed)


@settings(drawn, max_examples=800)
@given(data=st.data(), shape=shapes, seed=seeds, dtype=st.sampled_from((*DTYPES, "float64", "float64")))
def test_reading_an_index_agrees(torch, data, shape, seed, dtype):
    key = data.draw(indices(shape))
    agree(torch, lambda lib, x: x[index_in(lib, key)].clone(), values(np.random.default_rng(seed), shape, dtype), seed=seed)


@settings(drawn, max_examples=800)
@given(
    data=st.data(),
    shape=shapes,
    seed=seeds,
    dtype=st.sampled_from((*FLOATS, "int64")),
    source=st.sampled_from(("float64", "int64")),
)
def test_writing_an_index_agrees(torch, data, shape, seed, dtype, source):
    rng = np.random.default_rng(seed)
    x, key = values(rng, shape, dtype), data.draw(indices(shape))
    try:
        part = x[key].shape
    except (IndexError, ValueError):
        part = ()
    # Positions written twice hold either value, in both libraries
    try:
        places = np.arange(x.size).reshape(shape)[key]
        assume(np.unique(places).size == places.size)
    except (IndexError, ValueError):
        pass
    y = values(rng, data.draw(partners(part)), source)

    def write(lib, x, y):
        out = x * 1
        out[index_in(lib, key)] = y
        return out

    agree(torch, write, x, y, seed=seed)


@pytest.mark.parametrize(
    "name", ["gather", "index_select", "index_add", "scatter_add", "take_along_dim", "index_copy", "index_fill"]
)
@settings(drawn, max_examples=120)
@given(data=st.data(), shape=shapes, seed=seeds, dtype=dtypes)
def test_selections_along_an_axis_agree(torch, name, data, shape, seed, dtype):
    rng = np.random.default_rng(seed)
    x, axis = values(rng, shape, dtype), data.draw(any_axis(len(shape)))
    n = shape[axis] if -len(shape) <= axis < len(shape) else 1
    low, high = (0, max(n, 1)) if data.draw(st.integers(0, 9)) else (0, n + 2)
    if name == "take_along_dim":  # PyTorch reads past the end
        high = max(n, 1)
    if name in ("gather", "scatter_add", "take_along_dim"):
        where = tuple(data.draw(st.integers(0, max(m, 1))) for m in shape)
        if data.draw(st.integers(0, 9)) == 0:
            where = (*where, 1)
        i = rng.integers(low, high, where)
    else:
        length = data.draw(st.integers(0, 4))
        if name == "index_copy":  # a position written twice holds either value
            i = rng.permutation(max(n, 1))[:length]
        else:
            i = rng.integers(low, high, (length,))
    # PyTorch does not look at all indices into nothing
    assume(name in ("gather", "take_along_dim", "scatter_add") or x.size or not i.size or i.max() < n)
    source = list(shape)
    if source and name in ("index_add", "index_copy"):
        source[axis if -len(shape) <= axis < len(shape) else 0] = len(i)
    y = values(rng, tuple(i.shape) if name == "scatter_add" else tuple(source), dtype)
    if name in ("gather", "take_along_dim"):
        call = lambda lib, x, i: getattr(lib, name)(x, **{"dim": axis, "index" if name == "gather" else "indices": i})
        agree(torch, call, x, i, seed=seed)
    elif name == "index_select":
        agree(torch, lambda lib, x, i: lib.index_select(x, axis, i), x, i, seed=seed)
    elif name == "index_fill":
        agree(torch, lambda lib, x, i: lib.index_fill(x, axis, i, 2), x, i, seed=seed)
    else:
        agree(torch, lambda lib, x, i, y: getattr(lib, name)(x, axis, i, y), x, i, y, seed=seed)


@settings(drawn, max_examples=500)
@given(data=st.data(), seed=seeds, first=dtypes, other=dtypes, same=st.integers(0, 4))
def test_matmul_agrees_for_every_pair_of_dimensions(torch, data, seed, first, other, same):
    rng = np.random.default_rng(seed)
    sizes = st.integers(0, 3)
    inner = data.draw(sizes)
    lead = data.draw(st.lists(sizes, max_size=2).map(tuple))
    a = data.draw(st.sampled_from(((inner,), (2, inner), (3, inner), (*lead, 2, inner), ())))
    b = data.draw(st.sampled_from(((inner,), (inner, 2), (*lead, inner, 3), (*[1 for _ in lead], inner, 1), (inner + 1, 2))))
    second = first if same else other
    agree(torch, lambda lib, x, y: x @ y, values(rng, a, first), values(rng, b, second), seed=seed)


EQUATIONS = (
    "ij,jk->ik", "ij,jk", "i,j->ij", "i,i->", "ii->i", "ii->", "ij->ji", "bij,bjk->bik", "bij,bkj->bik", "...ij,...jk->...ik",
    "i...->...", "ij,j->i", "ij,ij->", "ij,ij->ij", "abc,c->ab", "abc,cb->a", "i,ij,j->", "ij->", "ij->j", "ij,kl->ijkl",
    "iij->j", "ij,jk,kl->il", "ij->k", "ij,k", "i j, j k -> i k", "iij,j->i",
)  # fmt: skip


@settings(drawn, max_examples=400)
@given(data=st.data(), seed=seeds, equation=st.sampled_from(EQUATIONS), dtype=floats)
def test_einsum_agrees(torch, data, seed, equation, dtype):
    rng = np.random.default_rng(seed)
    sizes = {letter: data.draw(st.integers(0, 3)) for letter in sorted(set(equation) - set(" ,.->"))}
    lead = data.draw(st.lists(st.integers(1, 2), max_size=1).map(tuple))
    operands = []
    for term in equation.replace(" ", "").split("->")[0].split(","):
        before, dots, after = term.partition("...")
        shape = [*[sizes[c] for c in before], *(lead if dots else ()), *[sizes[c] for c in after]]
        if shape and data.draw(st.integers(0, 14)) == 0:
            shape[0] += 1
        operands.append(values(rng, tuple(shape), dtype))
    agree(torch, lambda lib, *xs: lib.einsum(equation, *xs), *operands, seed=seed)

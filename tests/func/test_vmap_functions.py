"""Every public function on its samples under vmap gives what it gives for one example after the other."""

from __future__ import annotations

import itertools
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.each import by_name, of_function

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.core.tensor.tensor import wrap
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.func import vmap
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules
from chainrule.testing.compare import gap

load_modules("chainrule")
EXAMPLES = 3
DTYPE = {"f": "float64", "c": "complex128", "i": "int64", "b": "bool"}
MOST_SUBSETS = 7


class Call:
    """A public function, one of its samples, a kind of numbers."""

    def __init__(self, function, index, sample, kind):
        self.function, self.index, self.sample, self.kind = function, index, sample, kind

    def draw(self, example):
        rng = np.random.default_rng([example, self.index, zlib.crc32(self.function.name.encode())])
        return self.sample.draw(rng, DTYPE[self.kind], self.function.domain)

    def __repr__(self):
        return f"{self.function.name}-{self.index}-{DTYPE[self.kind]}"


def calls():
    found = []
    for function in FUNCTIONS.values():
        for index, sample in enumerate(function.samples()):
            kinds = function.kinds if sample.kinds is None else sample.kinds
            if sample.error is None and kinds:
                kind = "f" if "f" in kinds else kinds[-1]
                found.append(Call(function, index, sample, kind))
    return found


def _is_array(x):
    return isinstance(x, (np.ndarray, np.generic))


def _flat(call, example):
    (args, kwargs) = call.draw(example)
    leaves, spec = tree_flatten((args, kwargs))
    return leaves, spec


def _varied(call, k, leaves):
    """Return an array argument for each example: drawn anew, or a fixed one with its elements in another order."""
    columns = [np.asarray(_flat(call, e)[0][k]) for e in range(EXAMPLES)]
    if all(np.array_equal(c, columns[0], equal_nan=c.dtype.kind in "fc") for c in columns) and columns[0].size > 1:
        columns = [np.roll(c.reshape(-1), i).reshape(c.shape) for i, c in enumerate(columns)]
    return columns


# What must know the numbers to know the shape of its result says so (histc: where it is given no bounds), or whether there is
# one (istft: a window without gaps).
REFUSE = {
    "argwhere", "histc", "index_put", "istft", "nonzero", "repeat_interleave", "segment_reduce", "unique", "unique_consecutive",
}  # fmt: skip
READS = ("vmap: ", "Cannot access data pointer")


def differs(call):
    """Return how a function under vmap differs from the loop, over subsets of its arguments batched."""
    leaves, spec = _flat(call, 0)
    positions = [k for k, leaf in enumerate(leaves) if _is_array(leaf)]
    subsets = [s for n in (1, len(positions), 2) if positions for s in itertools.combinations(positions, n)]
    refused = []
    for batched in list(dict.fromkeys(subsets))[:MOST_SUBSETS]:
        columns = [_varied(call, k, leaves) for k in batched]

        def f(*xs, batched=batched):
            filled = [wrap(leaf.copy()) if _is_array(leaf) else leaf for leaf in leaves]
            for k, x in zip(batched, xs, strict=True):
                filled[k] = x
            args, kwargs = tree_unflatten(filled, spec)
            return tree_flatten(call.function.call(*args, **kwargs))[0]

        try:
            rows = [f(*[wrap(c[e].copy()) for c in columns]) for e in range(EXAMPLES)]
            expected = [np.stack([o.numpy() for o in column]) for column in zip(*rows, strict=True)]
        except (ValueError, RuntimeError, IndexError, AttributeError):
            continue  # examples that are not for this function, or results of unlike shapes, or no tensors
        try:
            found = vmap(f)(*[wrap(np.stack(c)) for c in columns])
        except RuntimeError as error:
            if str(error).startswith(READS):
                refused.append(batched)
                continue
            raise
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            if a.dtype.numpy != b.dtype:
                return f"{batched}: result {i}: dtype {a.dtype} against {b.dtype}", refused
            wrong = gap(a.numpy(), b, 1e-9)
            if wrong is not None:
                return f"{batched}: result {i}: {wrong}", refused
    return None, refused


@by_name("call", calls(), of_function, fast=1)
def test_a_function_under_vmap_is_a_loop(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong, refused = differs(call)
    assert wrong is None
    assert not refused or call.function.name in REFUSE, f"arguments {refused} of {call} cannot be batched"


# -- what is not among the public functions with samples: losses, layers, methods, writes in place ---------------------

N = 3


def _reals(*shape):
    return lambda rng: rng.normal(size=(N, *shape))


def _shares(*shape):
    return lambda rng: rng.uniform(0.1, 0.9, size=(N, *shape))


def _ints(high, *shape):
    return lambda rng: rng.integers(0, high, size=(N, *shape))


def _written(x, key, value):
    y = x.clone()
    y[key] = value
    return y


W5 = cr.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=cr.float64)
OTHERS = {
    "cross entropy": (F.cross_entropy, _reals(4, 5), _ints(5, 4)),
    "cross entropy of one sample": (F.cross_entropy, _reals(5), _ints(5)),
    "cross entropy, smoothed, ignoring": (
        lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1, ignore_index=1), _reals(4, 5), _ints(5, 4)),
    "cross entropy, weighted, smoothed": (
        lambda x, t: F.cross_entropy(x, t, weight=W5, label_smoothing=0.1), _reals(4, 5), _ints(5, 4)),
    "nll of images": (lambda x, t: F.nll_loss(x, t, reduction="none"), _reals(4, 5, 2), _ints(5, 4, 2)),
    "binary cross entropy": (F.binary_cross_entropy, _shares(4), _shares(4)),
    "linear": (F.linear, _reals(2, 4), _reals(5, 4), _reals(5)),
    "prelu": (F.prelu, _reals(4), _reals(1)),
    "like": (lambda x: x + x.new_ones(4) * 2 + cr.zeros_like(x) + cr.full_like(x, 3) + cr.empty_like(x).fill_(1), _reals(4)),
    "casts": (lambda x: x.float().double() + x.to(cr.float32), _reals(4)),
    "detach and data": (lambda x: x.detach() * x.data, _reals(4)),
    "transposes": (lambda x: x.T.contiguous() @ x.mT.mT, _reals(4, 2)),
    "iteration and chunks": (lambda x: sum(list(x)) + x.chunk(2)[1].sum(), _reals(4)),
    "write of a column": (lambda x: _written(x, (slice(None), 0), x[:, 1]), _reals(4, 2)),
    "write of a number by a mask": (lambda x: _written(x, x > 0, 0.0), _reals(4, 2)),
    "write of one's own number by a mask": (lambda x, y: _written(x, x > 0, y), _reals(4, 2), _reals()),
    "write by indices": (lambda x, i: _written(x, i, x[0]), _reals(4, 2), _ints(4, 3)),
    "read by two index arrays apart": (lambda x, i: x[i, :, i], _reals(4, 2, 4), _ints(4, 3)),
    "read by a slice, an index array, None": (lambda x, i: x[1:, i, None], _reals(4, 4, 4), _ints(4, 3)),
    "write through a view of a view": (lambda x: x.view(-1)[2:].add_(1).sum() + x.sum(), _reals(4, 2)),
    "write into a diagonal made inside": (lambda x: _diagonal(x), _reals(4)),
    "write into windows": (lambda x: _windows(x.clone()), _reals(5)),
    "write into a real part": (lambda x: _real(x * (1 + 2j)), _reals(4)),
    "scatter in place": (lambda x, i: x.clone().scatter_(0, i, 9.0), _reals(4), _ints(4, 2)),
    "index_add in place": (lambda x, i: x.clone().index_add_(0, i, x[:2]), _reals(4, 2), _ints(4, 2)),
    "einsum": (lambda a, b: cr.einsum("ij,jk->ik", a, b), _reals(2, 3), _reals(3, 2)),
    "vector times matrices": (lambda a, b: a @ b, _reals(3), _reals(5, 3, 2)),
    "bounds that depend on the example": (lambda a: a.clamp(min=a.mean()), _reals(4)),
    "as_strided of a view": (lambda a: a[1:].as_strided((2, 2), (1, 2)), _reals(6)),
}  # fmt: skip


def _diagonal(x):
    y = cr.zeros(4, 4, dtype=cr.float64)
    y.diagonal().copy_(x)
    return y


def _windows(x):
    x.unfold(0, 2, 2)[:, 0].mul_(2)
    return x


def _real(x):
    x.real.mul_(2)
    return x


@pytest.mark.parametrize("name", list(OTHERS))
def test_losses_methods_and_writes_under_vmap_are_a_loop(name):
    f, *drawn = OTHERS[name]
    rng = np.random.default_rng(3)
    arrays = [draw(rng) for draw in drawn]
    for dims in itertools.product((0, None), repeat=len(arrays)):
        if dims == (None,) * len(arrays):
            continue
        given = [[wrap(np.array(a[k if d == 0 else 0])) for a, d in zip(arrays, dims, strict=True)] for k in range(N)]
        expected = np.stack([f(*row).numpy() for row in given])
        found = vmap(f, in_dims=dims)(*[wrap(np.array(a if d == 0 else a[0])) for a, d in zip(arrays, dims, strict=True)])
        assert found.dtype.numpy == expected.dtype
        assert gap(found.numpy(), expected, 1e-9) is None


def test_public_functions_ask_tensors_for_their_shapes():
    """The payload of a batched value has one more axis: whoever asks it gets another example's shape."""
    root = Path(cr.__file__).parent
    asked = re.compile(r"\._data\.(shape|ndim|size|strides)\b")
    found = []
    for path in [*root.glob("functions/**/*.py"), *root.glob("nn/**/*.py")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if asked.search(line) and ".__class__ is Tensor" not in line:
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


GAPS = {  # examples with gaps in memory: (in_dim, as_strided's arguments, the examples, PyTorch's result)
    "columns": (1, ((2,), (2,), 0), lambda x: x.reshape(6, 2), [[0, 2], [1, 3]]),
    "over others": (1, ((2, 2), (2, 1), 0), lambda x: x.reshape(6, 2), [[[0, 1], [2, 3]], [[1, 2], [3, 4]]]),
    "from an offset": (1, ((2, 2), (2, 4), 2), lambda x: x.reshape(6, 2), [[[2, 6], [4, 8]], [[3, 7], [5, 9]]]),
    "every second row": (0, ((2,), (1,), 1), lambda x: x.reshape(4, 3)[::2], [[1, 2], [7, 8]]),
    "every second column": (0, ((2,), (2,), 0), lambda x: x.reshape(2, 6)[:, ::2], [[0, 2], [6, 8]]),
    "all from the second": (0, ((2,), (2,)), lambda x: x.reshape(2, 6)[1:, 1::2], [[7, 9]]),
    "a transpose of rows": (2, ((2,), (4,), 0), lambda x: x.reshape(2, 3, 2), [[0, 4], [1, 5]]),
}


@pytest.mark.parametrize(("dim", "args", "shape", "expected"), GAPS.values(), ids=GAPS)
def test_as_strided_of_examples_with_gaps_goes_by_the_memory_of_all(dim, args, shape, expected):
    x = shape(cr.arange(12.0))
    assert vmap(lambda x: x.as_strided(*args), dim)(x).tolist() == expected
    assert vmap(lambda x: cr.as_strided_copy(x, *args), dim)(x).tolist() == expected

    def squares(x):
        return (vmap(lambda x: x.as_strided(*args), dim)(shape(x)) ** 2).sum()

    counts = np.zeros(12)
    np.add.at(counts, np.array(expected, dtype=int).reshape(-1), 1)
    assert cr.func.grad(squares)(cr.arange(12.0)).tolist() == (2 * np.arange(12) * counts).tolist()
    pushed = cr.func.jvp(squares, (cr.arange(12.0),), (cr.ones(12),))[1]
    assert pushed.item() == (2 * np.arange(12) * counts).sum()


def test_as_strided_of_an_example_made_inside_goes_by_its_memory():
    x = cr.arange(12.0).reshape(6, 2)
    assert vmap(lambda x: (x * 2).as_strided((2,), (2,), 0), 1)(x).tolist() == [[0, 4], [2, 6]]


def test_as_strided_stays_within_the_example():
    with pytest.raises(RuntimeError, match=r"result = tensor\.as_strided\(\[2, 2\], \[2, 4\], 9\) can access memory outside"):
        vmap(lambda x: x.as_strided((2, 2), (2, 4), 9))(cr.ones(2, 6))
    with pytest.raises(RuntimeError, match="`tensor` has no storage but the passed-in"):
        vmap(lambda x: x.as_strided((1,), (1,), 0))(cr.ones(2, 0))


def test_a_view_by_places_in_the_memory_of_all_is_not_written_through():
    x = cr.arange(12.0).reshape(6, 2)
    with pytest.raises(RuntimeError, match="neither this view nor what it shows can be written to"):
        vmap(lambda x: x.as_strided((2,), (2,), 0).mul_(2), 1)(x)

    def kept(x):
        seen = x.as_strided((2,), (2,), 0)
        x.mul_(2)
        return seen

    with pytest.raises(RuntimeError, match="neither this view nor what it shows can be written to"):
        vmap(kept, 1)(x)


def test_is_contiguous_asks_for_the_format_of_an_example():
    x = cr.ones(2, 3, 4, 2, 2)
    found = []
    vmap(lambda x: found.append(x.is_contiguous(memory_format=cr.channels_last)) or x)(x)
    vmap(lambda x: found.append(x.clone(memory_format=cr.channels_last).is_contiguous(memory_format=cr.channels_last)) or x)(x)
    assert found == [False, True]


def test_no_examples_of_a_window_have_no_signals():
    x = cr.ones(5, 6, dtype=cr.complex64)
    found = cr.func.vmap(lambda window: cr.istft(x, 8, window=window))(cr.ones(0, 8))
    assert tuple(found.shape) == (0, *cr.istft(x, 8, window=cr.ones(8)).shape)

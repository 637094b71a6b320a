"""Every public function on its samples under vmap gives what it gives for one example after the other."""

from __future__ import annotations

import itertools
import warnings
import zlib

import numpy as np
import pytest

from chainrule.core.tensor import wrap
from chainrule.core.tree import tree_flatten, tree_unflatten
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


# What must know the numbers to know its result's shape, or to check them, says so under vmap.
READS = ("vmap: ", "Cannot access data pointer")


def differs(call):
    """Return how a function under vmap differs from the loop, over subsets of its arguments batched."""
    leaves, spec = _flat(call, 0)
    positions = [k for k, leaf in enumerate(leaves) if _is_array(leaf)]
    subsets = [s for n in (1, len(positions), 2) for s in itertools.combinations(positions, n)]
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


@pytest.mark.parametrize("call", calls(), ids=repr)
def test_a_function_under_vmap_is_a_loop(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong, refused = differs(call)
    assert wrong is None
    assert not refused or call.function.name in REFUSE, f"arguments {refused} of {call} cannot be batched"


REFUSE: set[str] = set()

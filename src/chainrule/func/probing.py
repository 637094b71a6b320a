"""Probing: one random direction beside the colours, in the same sweep, which tells whether a pattern still holds.

An entry outside of the pattern disturbs others and is itself in none of them: the derivative along random numbers is then not
the product of the entries and those numbers.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.dtype import float32, float64
from chainrule.func.assembly import supported
from chainrule.func.basis import bottom
from chainrule.func.colouring import Colouring
from chainrule.func.recovery import Block
from chainrule.func.seeds import MOST


def probes_for(tensors: list) -> list | None:
    """Return random numbers for each tensor's elements, none near 0; None if there are none."""
    draw = np.random.default_rng(tensors[0].numel())
    return [draw.uniform(0.5, 1.5, t.numel()) for t in tensors] if any([t.numel() for t in tensors]) else None


def weights_for(colours: Colouring, blocks: list[list[Block]], probes: list, outs: list, ins: list) -> list[Tensor] | None:
    """Return what the sums of one kind of lines are to be multiplied with, so that they add up to what the probes give.

    Each element of a sum is one entry, or none, so that no sums over rows are needed. None where that is not so (sums of both
    kinds, symmetric ones), for complex numbers, half precision, and where the weights would be large.
    """
    forward = not colours.reverse
    if colours.kind != ("columns" if forward else "rows") or {t.dtype for t in (*outs, *ins)} - {float32, float64}:
        return None
    ends, count = (outs, colours.forward) if forward else (ins, colours.reverse)
    if count * sum([t.numel() * t.dtype.itemsize for t in ends]) > MOST:
        return None
    found = [np.zeros(count * t.numel(), t.dtype.numpy) for t in ends]
    for k, row in enumerate(blocks):
        for j, block in enumerate(row):
            (read,) = block.reads
            found[read.stack][read.places[0]._data] = probes[j][block.columns] if forward else probes[k][block.rows]
    return [wrap(w.reshape(count, *t.shape)) for w, t in zip(found, ends, strict=True)]


def is_disturbed(stack: Tensor, weights: Tensor) -> Tensor:
    """Tell whether the last of some sums, along the probes, is another than the others times their weights add up to."""
    with no_grad():
        count = weights.shape[0]
        terms = stack[:count] * weights
        tolerance = float(np.finfo(weights.dtype.numpy).eps ** 0.5)
        return (abs(stack[count] - terms.sum(0)) > tolerance * abs(terms).sum(0)).any()


def agrees(probes: list, given: list, forward: bool, matrices: list[list]) -> bool:
    """Tell whether what the direction gave is the product of the Jacobian and the probes.

    Parameters
    ----------
    probes : list of ndarray
    given : list of Tensor
        The results' tangents, or where not `forward` the inputs' cotangents.
    forward : bool
    matrices : list of list of SciPy sparse array
        The Jacobian's blocks, by result and by input.
    """
    acting = matrices if forward else [[_pulling(m) for m in column] for column in zip(*matrices, strict=True)]
    arrays = [np.asarray(bottom(found)).reshape(-1) for found in given]
    return all([_is_product(found, of, probes) for found, of in zip(arrays, acting, strict=True)])


def _pulling(matrix: Any) -> Any:
    """Return the matrix that pulls back real cotangents: of a complex result they take the real part's derivatives."""
    return matrix.T.conj() if matrix.dtype.kind == "c" else matrix.T


def _is_product(given: np.ndarray, matrices: list, probes: list) -> bool:
    """Tell whether a vector is the sum of the products of matrices and probes, as far as rounding allows, in each element."""
    expected = reduce(np.add, [m @ p for m, p in zip(matrices, probes, strict=True)])
    half = given.dtype.itemsize < 4 or given.dtype.kind not in "fc"
    tolerance, given = 0.1 if half else np.finfo(given.dtype).eps ** 0.5, supported(given)
    with np.errstate(invalid="ignore", over="ignore"):
        error = abs(given - (expected if given.dtype.kind == "c" else expected.real))
        if (error <= tolerance * abs(expected)).all():
            return True
        # Only where much cancels out is it looked at how large the terms are.
        scale = reduce(np.add, [abs(m) @ p for m, p in zip(matrices, probes, strict=True)])
        return not (error > tolerance * scale).any()

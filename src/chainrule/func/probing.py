"""Probing: one random direction beside the colours, in the same sweep, which tells whether a pattern still holds.

An entry outside of the pattern disturbs others and is itself in none of them: the derivative along random numbers is then not
the product of the entries and those numbers.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from chainrule.func.assembly import supported
from chainrule.func.basis import bottom


def probes_for(tensors: list) -> list | None:
    """Return random numbers for each tensor's elements, none near 0; None if there are none."""
    draw = np.random.default_rng(tensors[0].numel())
    return [draw.uniform(0.5, 1.5, t.numel()) for t in tensors] if any([t.numel() for t in tensors]) else None


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

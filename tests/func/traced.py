"""What the tests of `func.trace` share: tracing with values and without, and comparison."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.core.types.tree import tree_map
from chainrule.func import ShapeDtype

F64 = cr.float64


def shape_of(leaf):
    return ShapeDtype(leaf.shape, leaf.dtype) if isinstance(leaf, (cr.Tensor, np.ndarray)) else leaf


def trace(f):
    """Trace a function, also on shapes and dtypes alone: the graphs of this file are all made both ways, and equal."""

    def traced(*args, **kwargs):
        graph = cr.func.trace(f)(*args, **kwargs)
        shaped = cr.func.trace(f)(*tree_map(shape_of, args), **tree_map(shape_of, kwargs))
        assert str(shaped) == str(graph)
        return graph

    return traced


def t(*values, **kwargs):
    return cr.tensor(values[0] if len(values) == 1 else list(values), dtype=F64, **kwargs)


def close(a, b):
    np.testing.assert_allclose(np.asarray(a.detach()), np.asarray(b.detach()), rtol=1e-12)

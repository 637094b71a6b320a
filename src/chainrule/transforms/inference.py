"""What an op gives where a trace has no values: the shape and dtype that its declaration says, and where they would lie.

A watcher takes the place of the kernels of what runs one level below the trace. Nothing here computes: of a view, NumPy's own
view of an array without content tells the strides, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.call.dispatch import explained
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.results import DYNAMIC, described
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import numpy_dtype
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.absent import Absent, memory_order, packed
from chainrule.core.types.shape import sizes
from chainrule.transforms.blame import TraceError, at

LIKE_OPERANDS = frozenset(("clone", "copy"))  # besides elementwise ops: whose results lie as their operands


class ShapeDtype:
    """The shape and dtype of an array that need not exist, as an argument of a function to trace.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype, optional
        The default dtype if not given.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.func.trace(lambda x: cr.sin(x).sum(0))(cr.func.ShapeDtype((3, 4)))
    graph(a: float32[3, 4]):
        b: float32[3, 4] = sin(a)
        c: float32[4] = sum(b, axis=(0,), keepdims=False)
        return c
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Sequence[int], dtype: Any = None):
        self.shape: tuple[int, ...] = sizes((tuple(shape),))
        if min(self.shape, default=0) < 0:
            raise RuntimeError(f"ShapeDtype: negative dimension in {list(self.shape)}")
        self.dtype = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)

    @classmethod
    def of(cls, leaf: Any) -> ShapeDtype | None:
        """Return the shape and dtype of an argument that has both, and is no array or tensor; None for any other."""
        if leaf.__class__ is cls:
            return leaf
        if isinstance(leaf, Tensor) or hasattr(leaf, "__array__"):
            return None
        shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
        return cls(shape, dtype) if isinstance(shape, tuple) and isinstance(dtype, (dtypes.dtype, np.dtype)) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtype) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"ShapeDtype({self.shape}, {self.dtype})"


def absent(value: Any) -> Any:
    """Return what stands for a tensor or array in a trace without values; anything else as it is."""
    if isinstance(value, Tensor):
        d = numpy_dtype(value)
        return Absent(tuple(value.shape), d, lambda: tuple([step * d.itemsize for step in value.stride()]))
    if isinstance(value, (np.ndarray, np.generic)):
        return Absent(value.shape, value.dtype, value.strides)
    return value


class Inferring(Watcher):
    """Has every op give, instead of running its kernel, what its declaration says of the result."""

    sees_draws = True

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Return what stands for the result."""
        if op.shape is None or op.dtype is None:
            raise TraceError(f"{op.name}(): its declaration does not say what its result is: give it shape= and dtype=")
        try:
            out = inferred(op, payloads, params)
        except (ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError) as error:
            raise explained(op, tuple([wrap(x) if x.__class__ is Absent else x for x in payloads]), error) from error
        for result in out if out.__class__ is tuple else (out,):
            if result.shape is DYNAMIC:
                raise TraceError(
                    f"{op.name}(): values decide the shape of its result{at()}, and a trace of ShapeDtype has none. Trace with "
                    "tensors, or use an op whose result has a shape of its own, such as where."
                )
        return out


INFERRING = Inferring()


def inferred(op: Op, operands: list, params: dict) -> Any:
    """Return what stands for an op's result, a tuple for several; operands that are arrays stand for themselves.

    Raises
    ------
    RuntimeError, ValueError, IndexError
        From a rule: the operands' shapes do not fit.
    """
    operands = [absent(x) for x in operands]
    found = op.result(*described(operands), params)
    if found.__class__ is list:
        return tuple([_result(op, operands, params, i, *each) for i, each in enumerate(found)])
    return _result(op, operands, params, None, *found)


def _result(op: Op, operands: list, params: dict, index: int | None, shape: Any, dtype: np.dtype) -> Absent:
    """Return what stands for one result; of an op of several, that of an index."""
    arrays = [x for x in operands if isinstance(x, Absent)]

    def as_view() -> tuple:
        try:
            shown = op.backend.kernel(arrays[0].stand_in(), **params)
        except MemoryError:
            return packed(shape, dtype.itemsize, range(len(shape)))
        return (shown if index is None else shown[index]).strides

    def as_operands() -> tuple:
        return packed(shape, dtype.itemsize, memory_order(shape, arrays))

    if op.view:
        return Absent(shape, dtype, as_view, arrays[:1])
    if op.kind == ELEMENTWISE or op.name in LIKE_OPERANDS:
        return Absent(shape, dtype, as_operands, arrays)
    return Absent(shape, dtype)

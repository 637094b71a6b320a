"""What a function and its derivatives will cost, without running them: operations, and the most memory that lives at once.

The function is traced on shapes: its own Python runs, and so does the engine that differentiates it, on arrays without memory.
Each of these stands for the bytes that the real one would hold for as long as something refers to it: a variable of the
user's, a node that saved it, the pass that pulls it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from chainrule.core.op.declaration import Op
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.absent import Absent
from chainrule.core.types.dtype import FLOAT
from chainrule.core.types.tree import tree_flatten, tree_map
from chainrule.func.arguments import expect_function
from chainrule.func.hessians import hessian
from chainrule.func.pullbacks import grad
from chainrule.func.pushforwards import jvp
from chainrule.transforms.inference import Inferring, ShapeDtype
from chainrule.transforms.operations import operations
from chainrule.transforms.trace import Tracer, graph_of
from chainrule.transforms.workspace import workspace

__all__ = ["Cost", "Estimate", "estimate"]

_OBJECTS = 400  # bytes of the objects around an array: NumPy's, the tensor's, half a node's


class Cost:
    """What one computation takes.

    Attributes
    ----------
    operations : int
        Additions, multiplications and values of functions.
    by_op : dict
        Of each op, by name.
    peak : int
        The most bytes that live at once beyond what lived before the call: results, temporaries, what the graph saves.
    result : int
        Bytes of the result.
    """

    __slots__ = ("by_op", "operations", "peak", "result")

    def __init__(self, by_op: dict[str, int], peak: int, result: int):
        self.by_op, self.peak, self.result = by_op, peak, result
        self.operations = sum(by_op.values())

    def __repr__(self) -> str:
        return f"{self.operations:,} operations, peak {_readable(self.peak)}"


class Estimate:
    """What a function and its derivatives take; each is predicted when it is first looked at.

    Attributes
    ----------
    value, jvp : Cost
        Of the function, and of one directional derivative along with it.
    gradient, hessian : Cost or None
        None where the function does not return one real number.
    """

    def __init__(self, f: Callable, shapes: tuple, places: int | tuple[int, ...]):
        self._f, self._shapes, self._places = f, shapes, places

    @cached_property
    def _run(self) -> tuple[Cost, bool]:
        cost, outs = _measured(self._f, self._shapes)
        return cost, len(outs) == 1 and outs[0].shape in ((), (1,)) and outs[0].dtype.category == FLOAT

    @property
    def value(self) -> Cost:
        """Of the function."""
        return self._run[0]

    @cached_property
    def gradient(self) -> Cost | None:
        """Of its gradient."""
        return _measured(grad(self._f, self._places), self._shapes)[0] if self._run[1] else None

    @cached_property
    def jvp(self) -> Cost:
        """Of a directional derivative, which keeps a copy of its tangents."""
        places = (self._places,) if isinstance(self._places, int) else self._places

        def pushed(tangents: tuple, *xs: Any) -> Any:
            def along(*chosen: Any) -> Any:
                moved = list(xs)
                for i, x in zip(places, chosen, strict=True):
                    moved[i] = x
                return self._f(*moved)

            return jvp(along, tuple([xs[i] for i in places]), tangents)

        tangents = tuple([self._shapes[i] for i in places])
        return _measured(pushed, (tangents, *self._shapes), _size(tangents))[0]

    @cached_property
    def hessian(self) -> Cost | None:
        """Of its Hessian, taken whole."""
        return _measured(hessian(self._f, self._places), self._shapes)[0] if self._run[1] else None

    def __repr__(self) -> str:
        return "\n".join([f"{name:9}{getattr(self, name)}" for name in ("value", "gradient", "jvp")])


def estimate(f: Callable, *args: Any, argnums: int | tuple[int, ...] = 0, **kwargs: Any) -> Estimate:
    """Predict operations and peak memory of a function, its gradient, jvp and Hessian, without running them.

    Parameters
    ----------
    f : callable
        Takes pytrees and returns a tensor.
    *args, **kwargs
        Its arguments; a :class:`~chainrule.func.ShapeDtype` may stand for a tensor that need not exist.
    argnums : int or tuple of int
        In which arguments to differentiate, as in :func:`chainrule.func.grad`.

    Returns
    -------
    Estimate
        `value`, `gradient`, `jvp` and `hessian`, each with `operations`, `by_op` and `peak`.

    Raises
    ------
    TypeError
        If `f` cannot be called.
    TraceError
        From what is looked at, as :func:`chainrule.func.trace` on shapes: if values decide a branch, or the shape of a result.

    Notes
    -----
    `f` runs on shapes alone, once under each transform. What lives is counted by what refers to it while the function runs, so
    that what Python's variables and the graph hold on to is counted as it is. Arguments and captured tensors live already and
    are not counted; captured ones are constants: pass parameters as an argument, with :func:`chainrule.func.functional_call`.
    Arguments count as tensors that do not require grad: `value` is what a call takes that records nothing. The memory that
    kernels take while they run is modelled for those that take much (convolutions, pooling, NumPy's buffers); what BLAS and
    LAPACK take is not. The Hessian's is the dense one. Programs whose arrays are no larger than Python's objects, some
    hundred bytes each, take more than is said.

    Examples
    --------
    >>> import chainrule as cr
    >>> found = cr.autograd.estimate(lambda w, x: (x @ w).tanh().sum(), cr.ones(1000, 500), cr.ones(200, 1000))
    >>> found.value.by_op["mm"], found.gradient.by_op["mm"]
    (200000000, 400000000)
    >>> 200 * 500 * 4 <= found.value.peak < found.gradient.peak
    True
    """
    expect_function(f, "estimate")
    shapes, named = tree_map(_shape_of, args), tree_map(_shape_of, kwargs)
    return Estimate(lambda *xs: f(*xs, **named), shapes, argnums)


def _readable(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.4g} GB"


def _shape_of(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return ShapeDtype(tuple(leaf.shape), leaf.dtype)
    return ShapeDtype(leaf.shape, leaf.dtype) if isinstance(leaf, np.ndarray) else leaf


def _size(tree: Any) -> int:
    leaves = [t for t in tree_flatten(tree)[0] if isinstance(t, (Tensor, ShapeDtype))]
    return sum([prod(t.shape) * t.dtype.itemsize for t in leaves])


def _measured(f: Callable, args: tuple, held: int = 0) -> tuple[Cost, list]:
    """Return what a call takes that holds so many bytes besides, and its results' shapes and dtypes."""
    meter = Meter(held)

    def run(*xs: Any) -> Any:
        result = f(*xs)
        meter.result = _size(result)
        return result

    graph = graph_of(run, args, tracer_of=partial(Tracer, kernels=meter))
    return Cost(dict(meter.by_op), meter.peak, meter.result), [o for o in graph.outputs if hasattr(o, "shape")]


class Meter(Inferring):
    """Takes the place of kernels, and counts operations and the bytes that would live.

    Attributes
    ----------
    live, peak, result : int
        Bytes.
    by_op : Counter
        Operations by the op's name.
    """

    def __init__(self, held: int = 0) -> None:
        super().__init__()
        self.live = self.peak = held
        self.result = 0
        self.by_op: Counter[str] = Counter()

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Return what stands for the result."""
        out = super().around(op, payloads, params, proceed)
        made = out if out.__class__ is tuple else (out,)
        for result in made:
            self._let(op, payloads, result)
        self.peak = max(self.peak, self.live + workspace(op, payloads, params, made))
        arrays = [x for x in payloads if hasattr(x, "dtype") and hasattr(x, "shape")]
        dtypes = [getattr(x, "dtype", x.__class__) for x in payloads]
        count = operations(op, [tuple(x.shape) for x in arrays], params, [r.shape for r in made], dtypes)
        if count:
            self.by_op[op.name] += count
        return out

    def _let(self, op: Op, payloads: list, result: Absent) -> None:
        """Count a result's bytes for as long as something refers to it, or to a view of it."""
        result.strides  # noqa: B018 - found now, lest finding them later keep the operands alive
        first = next((x for x in payloads if isinstance(x, Absent)), None)
        shown = first is not None and (op.view or (op.shares and first.c_contiguous))
        size = _OBJECTS + (0 if shown else result.size * result.itemsize)
        result.lease = Lease(self, size, first.lease if shown else None)  # type: ignore[union-attr]


class Lease:
    """Bytes that are in use for as long as something refers to this; `whole` are those that a view is of."""

    __slots__ = ("meter", "size", "whole")

    def __init__(self, meter: Meter, size: int, whole: Lease | None):
        self.meter, self.size, self.whole = meter, size, whole
        meter.live += size
        meter.peak = max(meter.peak, meter.live)

    def __del__(self) -> None:
        self.meter.live -= self.size

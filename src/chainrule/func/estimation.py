"""What a function and its derivatives will cost, without running them: operations, and the most memory that lives at once.

The function is traced on shapes: its own Python runs, and so does the engine that differentiates it, on arrays without memory.
Each of these stands for the bytes that the real one would hold for as long as something refers to it: a variable of the
user's, a node that saved it, the pass that pulls it back.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from copy import copy
from functools import cached_property
from math import prod
from typing import Any
from weakref import finalize, ref

import numpy as np

from chainrule.core.graph.nodes import Node
from chainrule.core.mode.grad_mode import modes
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import Op
from chainrule.core.record.placed import shown
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, meta_of, root_of, version_of
from chainrule.core.types.absent import Absent
from chainrule.core.types.dtype import FLOAT
from chainrule.core.types.tree import tree_flatten, tree_map
from chainrule.core.write.views import chain_of, views_of
from chainrule.func.arguments import expect_function
from chainrule.func.hessians import hessian
from chainrule.func.pullbacks import grad
from chainrule.func.pushforwards import jvp
from chainrule.transforms.equations import Equation, Variable
from chainrule.transforms.inference import Inferring, ShapeDtype, absent
from chainrule.transforms.operations import operations
from chainrule.transforms.trace import Tracer, graph_of
from chainrule.transforms.workspace import pull_workspace, workspace

__all__ = ["Cost", "Estimate", "estimate"]

# Bytes of Python's objects: a tensor and its array, what a view knows of its base, a node with edges and parameters.
_TENSOR = sys.getsizeof(np.empty(0)) + Tensor.__basicsize__ + 16 + 48
_VIEW = sys.getsizeof((0,) * 4) + sys.getsizeof(ref(Tensor)) + sys.getsizeof({"index": 0}) + 2 * sys.getsizeof((0,)) + 80
_NODE = Node.__basicsize__ + 16 + sys.getsizeof((0, 0)) + 32
# And what taking a derivative of x*x holds beside that: transforms, modes, closures, frames (`tests/func/test_estimation.py`).
_CALLS = {"value": 0, "gradient": 3000, "jvp": 4000, "hessian": 15000}


_STATE = ("_data", "_lv", "_meta", "_node", "_tangent", "_ver", "_view")  # of a tensor


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

    def __init__(self, f: Callable, shapes: tuple, named: dict, places: int | tuple[int, ...]):
        self._f, self._shapes, self._named, self._places = f, shapes, named, places

    @cached_property
    def _run(self) -> tuple[Cost, bool]:
        cost, outs = self._measured("value", lambda f: f)
        return cost, len(outs) == 1 and outs[0].shape in ((), (1,)) and outs[0].dtype.category == FLOAT

    @property
    def value(self) -> Cost:
        """Of the function."""
        return self._run[0]

    @cached_property
    def gradient(self) -> Cost | None:
        """Of its gradient."""
        return self._measured("gradient", lambda f: grad(f, self._places))[0] if self._run[1] else None

    @cached_property
    def jvp(self) -> Cost:
        """Of a directional derivative, which keeps a copy of its tangents."""
        places = (self._places,) if isinstance(self._places, int) else self._places

        def pushing(f: Callable) -> Callable:
            def pushed(tangents: tuple, *xs: Any) -> Any:
                def along(*chosen: Any) -> Any:
                    moved = list(xs)
                    for i, x in zip(places, chosen, strict=True):
                        moved[i] = x
                    return f(*moved)

                return jvp(along, tuple([xs[i] for i in places]), tangents)

            return pushed

        tangents = tuple([self._shapes[i] for i in places])
        return self._measured("jvp", pushing, tangents)[0]

    @cached_property
    def hessian(self) -> Cost | None:
        """Of its Hessian, taken whole."""
        return self._measured("hessian", lambda f: hessian(f, self._places))[0] if self._run[1] else None

    def _measured(self, way: str, transform: Callable[[Callable], Callable], *held: Any) -> tuple[Cost, list]:
        """Return what a transform of the function takes that is given copies of `held` besides, and its results' shapes."""

        def run(*xs: Any, **named: Any) -> Any:
            return transform(lambda *ys: self._f(*ys, **named))(*xs)

        return _measured(way, run, (*held, *self._shapes), self._named, _size(held))

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
        From what is looked at, as :func:`chainrule.func.trace` on shapes: if values decide a branch, or the shape of a result;
        or if the function writes to a tensor from outside through a view.

    Notes
    -----
    `f` runs on shapes alone, once under each transform. What lives is counted by what refers to it while the function runs, so
    that what Python's variables and the graph hold on to is counted as it is. Arguments and captured tensors live already and
    are not counted; captured ones are constants: pass parameters as an argument, with :func:`chainrule.func.functional_call`.
    A write to a captured tensor goes to a copy. Arguments count as tensors that do not require grad: `value` is what a call
    takes that records nothing. The memory that kernels take while they run is modelled, but for what NumPy's own linear
    algebra takes. The Hessian's is the dense one. Programs whose arrays are no larger than Python's objects, some kilobytes
    together, take more than is said.

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
    return Estimate(f, shapes, named, argnums)


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


def _objects(value: Any) -> int:
    """Return the bytes of parameters, and of what they hold."""
    held = value.values() if value.__class__ is dict else value if value.__class__ is tuple else ()
    return sys.getsizeof(value) + sum([_objects(v) for v in held if v.__class__ in (tuple, dict)])


def _measured(way: str, f: Callable, args: tuple, kwargs: dict, held: int) -> tuple[Cost, list]:
    """Return what a call takes that holds so many bytes besides, and its results' shapes and dtypes."""
    meter = Meter(way, held)

    def run(*xs: Any, **named: Any) -> Any:
        with _Pulls(meter):
            result = f(*xs, **named)
        meter.result = _size(result)
        return result

    tracers: list[Metered] = []

    def tracer_of(*given: Any) -> Metered:
        tracers.append(Metered(*given, kernels=meter))
        return tracers[0]

    try:
        graph = graph_of(run, args, kwargs, tracer_of=tracer_of)
    finally:
        for tracer in tracers:
            tracer.forget()
    return Cost(dict(meter.by_op), meter.peak, meter.result), [o for o in graph.outputs if hasattr(o, "shape")]


class Metered(Tracer):
    """A trace that keeps nothing: neither what was done, nor the constants that it was done to."""

    kernels: Meter

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._borrowed: list[tuple[Tensor, type, dict, tuple]] = []

    def before_write(self, target: Tensor) -> None:
        """Have a write to a tensor from outside, as to a running mean, go to a copy until the trace ends."""
        base = root_of(target)
        if base._level or self.is_inside(base):
            return
        if target is not base:  # through a view
            super().before_write(target)
        array = array_of(base).copy()
        for t in (base, *views_of(base)):
            state = {name: getattr(t, name) for name in _STATE if hasattr(t, name)}
            self._borrowed.append((t, t.__class__, state, (version_of(t).count, version_of(t).stamp, version_of(t).history)))
            t._meta = copy(meta_of(t))
            t._meta.made = sys.maxsize  # whatever the level of what is written there
            t._data = shown(array, chain_of(t))

    def forget(self) -> None:
        """Give the tensors from outside their values back."""
        super().forget()
        while self._borrowed:
            t, cls, state, (count, stamp, history) = self._borrowed.pop()
            t.__class__ = cls  # type: ignore[assignment]
            for name, value in state.items():
                setattr(t, name, value)
            version = version_of(t)
            version.count, version.stamp, version.history = count, stamp, history

    def _append(self, equation: Equation) -> None:
        pass

    def constant(self, value: Any) -> Variable:
        """Return a variable for a value from outside, or one made inside."""
        t = value if isinstance(value, Tensor) else wrap(value)
        return Variable(tuple(t.shape), t.dtype)

    def stand_in(self, value: Any) -> Any:
        """Return what stands for a value; the memory of one that the function made itself is in use as long as it is."""
        found = absent(value)
        if isinstance(value, Tensor) and found is not value and self.is_inside(value):
            found.lease = self.kernels.lease_of(array_of(value))
        return found


class Meter(Inferring):
    """Takes the place of kernels, and counts operations and the bytes that would live.

    Attributes
    ----------
    live, peak, result : int
        Bytes.
    by_op : Counter
        Operations by the op's name.
    recorded, pulling : bool
        Whether ops leave nodes; whether a node is pulling back.
    """

    def __init__(self, way: str, held: int = 0) -> None:
        super().__init__()
        self.live = self.peak = held + _CALLS[way]
        self.recorded = way in ("gradient", "hessian")
        self.pulling = False
        self.result = 0
        self.by_op: Counter[str] = Counter()
        self._leases: dict[int, Lease] = {}  # by the `id` of an array that the function made

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Return what stands for the result."""
        out = super().around(op, payloads, params, proceed)
        made = out if out.__class__ is tuple else (out,)
        for result in made:
            self._let(op, payloads, params, result)
        self.peak = max(self.peak, self.live + workspace(op, payloads, params, made, self.pulling))
        arrays = [x for x in payloads if hasattr(x, "dtype") and hasattr(x, "shape")]
        dtypes = [getattr(x, "dtype", x.__class__) for x in payloads]
        count = operations(op, [tuple(x.shape) for x in arrays], params, [r.shape for r in made], dtypes)
        if count:
            self.by_op[op.name] += count
        return out

    def _let(self, op: Op, payloads: list, params: dict, result: Absent) -> None:
        """Count a result's bytes for as long as something refers to it, or to a view of it."""
        result.strides  # noqa: B018 - found now, lest finding them later keep the operands alive
        first = next((x for x in payloads if isinstance(x, Absent)), None)
        shown = first is not None and (op.view or (op.shares and first.c_contiguous))
        size = _TENSOR + (_VIEW if op.view else 0) + (0 if shown else result.size * result.itemsize)
        if self.recorded and modes().record:
            size += _NODE + _objects(params)
        result.lease = Lease(self, size, first.lease if shown else None)  # type: ignore[union-attr]

    def lease_of(self, array: np.ndarray) -> Lease:
        """Return what counts an array's memory until it is let go."""
        while isinstance(array.base, np.ndarray):
            array = array.base
        key = id(array)
        if key not in self._leases:
            self._leases[key] = Lease(self, _TENSOR + array.nbytes, None)
            finalize(array, self._leases.pop, key, None)
        return self._leases[key]


class _Pulls(Watcher):
    """Has the pulls of nodes that raw arrays have a way of their own for take what that takes."""

    def __init__(self, meter: Meter):
        super().__init__()
        self.meter = meter

    def pulled(self, node: Any, proceed: Callable[[], Any]) -> Any:
        """Return what a node pulls."""
        meter = self.meter
        taken = pull_workspace(node)
        before, live, outer = meter.peak, meter.live, meter.pulling
        meter.pulling = True
        try:
            found = proceed()
        finally:
            meter.pulling = outer
        if taken is not None:
            meter.peak = max(before, live + taken, meter.live)
        return found


class Lease:
    """Bytes that are in use for as long as something refers to this; `whole` are those that a view is of."""

    __slots__ = ("meter", "size", "whole")

    def __init__(self, meter: Meter, size: int, whole: Lease | None):
        self.meter, self.size, self.whole = meter, size, whole
        meter.live += size
        meter.peak = max(meter.peak, meter.live)

    def __del__(self) -> None:
        self.meter.live -= self.size

"""Laws of the hot path: whatever it takes on itself, its result and node are those of `dispatch.run`, field by field.

Inputs are dressed in all that the hot path tells apart: payloads that are NumPy scalars, Parameters, results of other ops,
tensors that hold a gradient, that were made in inference mode; and they are called in every mode.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from chainrule.autograd.anomaly_mode import set_detect_anomaly
from chainrule.autograd.saved_tensors import saved_tensors_hooks
from chainrule.core.call.dispatch import GENERAL, promoted, run
from chainrule.core.graph.nodes import LEAF, NOTHING, Node, Port
from chainrule.core.mode.grad_mode import inference_mode, no_grad, recording
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.op.samples import Fixed
from chainrule.core.record.saved import PACKED
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.core.tensor.value import meta_of
from chainrule.functions.pointwise.complex import conj, imag
from chainrule.nn.parameter import Parameter
from chainrule.testing.case import Case, is_floating
from chainrule.testing.law import law
from chainrule.transforms.forward import dual

# -- inputs ------------------------------------------------------------------------------------------------------------


def _plain(array: Any, grad: bool) -> Tensor:
    t = wrap(np.array(array))
    return t.requires_grad_() if grad else t


def _scalar(array: Any, grad: bool) -> Tensor:
    t = _plain(array, grad)
    t._data = t._data[()]
    return t


def _parameter(array: Any, grad: bool) -> Tensor:
    t = wrap(np.array(array), Parameter)
    return t.requires_grad_(grad)


def _result(array: Any, grad: bool) -> Tensor:
    return TABLE["clone"].call(_plain(array, grad))


def _with_gradient(array: Any, grad: bool) -> Tensor:
    t = _plain(array, grad)
    meta_of(t).grad = wrap(np.array(array))
    return t


def _of_inference(array: Any, grad: bool) -> Tensor:
    if grad:
        return _plain(array, grad)
    with inference_mode():
        return wrap(np.array(array))


def _leaf_of_inference(array: Any, grad: bool) -> Tensor:
    with inference_mode():
        return wrap(np.array(array)).requires_grad_(grad)


def _of_another_dtype(array: Any, grad: bool) -> Tensor:
    narrow = {"d": "float16", "D": "complex64"}.get(array.dtype.char)
    return _plain(array if grad or narrow is None else array.astype(narrow), grad)


def _half(array: Any, grad: bool) -> Tensor:
    return _plain(array.astype("float16") if array.dtype.kind == "f" else array, grad)


def _number(array: Any, grad: bool) -> Any:
    if grad or array.dtype.kind not in "ifc":
        return _plain(array, grad)
    return 2.5 if array.dtype.kind == "i" else array.dtype.type(2).item()


def _of_another_kind(array: Any, grad: bool) -> Tensor:
    """Return whole numbers for floating ones, and complex ones where gradients are to be."""
    if array.dtype.kind != "f":
        return _plain(array, grad)
    return _plain(array.astype("complex128"), grad) if grad else _plain(array.astype("int64"), grad)


def _lazy(array: Any, grad: bool) -> Tensor:
    """Return values that are those in memory conjugated, or negated."""
    if array.dtype.kind not in "fc":
        return _plain(array, grad)
    if array.dtype.kind == "c":
        return conj(_plain(array.conj(), grad))
    return imag(conj(_plain(-1j * array, grad)))


DRESSES: dict[str, Callable[[Any, bool], Tensor]] = {
    "tensors": _plain, "scalars": _scalar, "parameters": _parameter, "results": _result, "holding a gradient": _with_gradient,
    "made in inference mode": _of_inference, "leaves made in inference mode": _leaf_of_inference,
    "of another dtype": _of_another_dtype, "in half precision": _half, "of another kind": _of_another_kind, "numbers": _number,
    "conjugated or negated lazily": _lazy,
}  # fmt: skip
MODES: dict[str, Callable[[], AbstractContextManager]] = {
    "plain": nullcontext,
    "no_grad": no_grad,
    "inference_mode": inference_mode,
    "anomaly mode": lambda: set_detect_anomaly(True, check_nan=False),
    "saved-tensor hooks": lambda: saved_tensors_hooks(lambda t: t, lambda t: t),
}


class Scene:
    """One way to call an op: what its inputs are, which of them require grad, and in which mode.

    Parameters
    ----------
    name : str
        As errors tell it.
    dress : callable
        (array, whether it requires grad) → the input.
    mode : callable
        Returns the context of the call.
    on : sequence of int
        The inputs that require grad.
    level : int
        That of a transform; its values are the inputs at `on`, and all others are captured. 0 for none.
    nested : bool
        Whether the transform's values lie in tensors that require grad, and not in arrays.
    staggered : bool
        Whether each further input at `on` is of the level above.
    """

    def __init__(
        self, name: str, dress: Callable, mode: Callable, on: Sequence[int], level: int = 0, nested: bool = False,
        staggered: bool = False,
    ):  # fmt: skip
        self.name, self.dress, self.mode, self.on, self.level = name, dress, mode, on, level
        self.nested, self.staggered = nested, staggered

    def inputs(self, case: Case) -> list:
        """Return fresh inputs."""
        made = []
        for i, a in enumerate(case.args):
            if not isinstance(a, (np.ndarray, np.generic)):
                made.append(a)
            elif self.level and i in self.on:
                payload = np.array(a)
                level = self.level + (self.on.index(i) if self.staggered else 0)
                t = wrap_at(level, _plain(payload, True) if self.nested else payload)
                t._node = LEAF
                made.append(t)
            else:
                made.append(self.dress(a, i in self.on and not self.level))
        if made and not any([isinstance(x, Tensor) for x in made]) and isinstance(case.args[0], (np.ndarray, np.generic)):
            made[0] = _plain(case.args[0], False)  # numbers alone have no path
        return made


@contextmanager
def _nested(outer: AbstractContextManager, inner: AbstractContextManager) -> Iterator[None]:
    with outer, inner:
        yield


def scenes(case: Case) -> Iterator[Scene]:
    """Return the ways to call a case's op: every dress for every choice of inputs, every mode where all or none are chosen."""
    floats = tuple([i for i, (a, spec) in enumerate(zip(case.args, case.sample.args, strict=True)) if _may_move(a, spec)])
    for on in itertools.chain.from_iterable(itertools.combinations(floats, n) for n in range(len(floats) + 1)):
        all_or_none = len(on) in (0, len(floats))
        for (dressed, dress), (mode, context) in itertools.product(DRESSES.items(), MODES.items()):
            if mode == "plain" or (all_or_none and (dressed == "tensors" or mode == "no_grad")):
                yield Scene(f"{dressed}, {mode}, {on} require grad", dress, context, on)
        if on:
            yield from _of_transforms(on, all_or_none)


def _may_move(a: Any, spec: Any) -> bool:
    return is_floating(a) and not isinstance(spec, Fixed)


def _of_transforms(on: tuple[int, ...], all_of_them: bool) -> Iterator[Scene]:
    """Return the scenes in which some inputs are values of a gradient."""
    for dressed, dress in DRESSES.items():
        level = fresh_level()
        yield Scene(f"{dressed} captured in a gradient with respect to {on}", dress, lambda at=level: recording(at), on, level)
    for mode, context in MODES.items() if all_of_them else ():
        level = fresh_level()
        inside = lambda at=level, context=context: _nested(recording(at), context())
        outside = lambda at=level, context=context: _nested(context(), recording(at))
        yield Scene(f"{mode} inside a gradient with respect to {on}", _plain, inside, on, level)
        yield Scene(f"{mode} around a gradient with respect to {on}", _plain, outside, on, level)
    level = fresh_level()
    below = lambda at=level: _nested(recording(at), _nested(no_grad(), recording(at + 1)))
    yield Scene(f"below a gradient that no_grad keeps from being recorded, {on} tracked", _plain, below, on, level)
    level = fresh_level()
    recorded = lambda a, _: _plain(a, is_floating(a))
    yield Scene("captured, and recorded outside", recorded, lambda at=level: recording(at), on, level)
    under, level = fresh_level(), fresh_level()
    moving = lambda a, _: dual(under, np.array(a), np.ones_like(a)) if is_floating(a) else _plain(a, False)
    yield Scene("captured, and a value of forward mode outside", moving, lambda at=level: recording(at), on, level)
    level = fresh_level()
    yield Scene("nested gradients", _plain, lambda at=level: recording(at), on, level, nested=True)
    if len(on) > 1:
        level, _ = fresh_level(), fresh_level()
        each = lambda at=level: _nested(recording(at), recording(at + 1))
        yield Scene("values of several gradients", _plain, each, on, level, staggered=True)


# -- what is compared --------------------------------------------------------------------------------------------------


def _array(value: Any) -> tuple:
    """Return what tells an array, NumPy scalar or tensor from another."""
    if isinstance(value, Tensor):
        return (
            value.__class__,
            value._level,
            _array(value._data),
            _edge(value._node, ()),
            _array(getattr(value, "_tangent", None)),
        )
    if not isinstance(value, (np.ndarray, np.generic)):
        return (value.__class__, repr(value))
    return (value.__class__ is np.ndarray, value.dtype, value.shape, value.tobytes())


def _edge(edge: Any, args: Sequence[Any]) -> Any:
    for i, a in enumerate(args):
        if edge is a or (isinstance(a, Tensor) and edge is a._node and edge is not None and edge is not LEAF):
            return ("input itself" if edge is a else "input's node", i)
    if edge is None or edge is LEAF:
        return edge
    if isinstance(edge, Tensor):
        return "another leaf"
    return (edge.node.plan, edge.index) if edge.__class__ is Port else edge.plan


def _saved(value: Any, node: Node, args: Sequence[Any]) -> Any:
    for i, a in enumerate(args):
        if value is a:
            return ("input", i)
    if value.__class__ in PACKED:
        return ("packed", _array(value.tensor(node)))
    return None if value is None else _array(value)


def _version(version: Any, args: Sequence[Any], made: Sequence[Tensor]) -> Any:
    if version is None:
        return None
    owners = [("input", i) for i, a in enumerate(args) if isinstance(a, Tensor) and a._ver is version]
    owners += [("result", i) for i, t in enumerate(made) if t._ver is version]
    return owners or type(version)


def _fields_of_node(node: Any, args: Sequence[Any], made: Sequence[Tensor]) -> dict[str, Any]:
    plan = node.plan
    found = {"class": node.__class__, "plan": plan, "edges": [_edge(e, args) for e in node.edges], "hooks": node.hooks}
    found["noted"] = hasattr(node, "_note")
    if plan.op.params:
        found["params"] = {k: _array(v) for k, v in node.params.items()}
    if plan.wants_shapes:
        found["shapes"] = node.shapes
    if plan.keeps:
        kept = (node.saved, node.saved2) if plan.pair else (node.saved,) if plan.single else node.saved
        found["saved"] = ["nothing" if v is NOTHING else _saved(v, node, args) for v in kept]  # None is what was freed
    if plan.saves_out:
        outs = node.out if node.out.__class__ is tuple else (node.out,)
        found["out"] = [next((i for i, t in enumerate(made) if t._data is o), _saved(o, node, args)) for o in outs]
        found["version"] = _version(node.version, args, made)
    return found


def fields(result: Any, args: Sequence[Any]) -> dict[str, Any]:
    """Return all that an op's result and its node consist of, by name; what is an input, by its place."""
    made = result if isinstance(result, tuple) else (result,)
    found: dict[str, Any] = {"results": len(made)}
    for i, t in enumerate(made):
        if not isinstance(t, Tensor):
            found[f"result {i}"] = _array(t)
            continue
        edge = t._node
        node = edge.node if edge.__class__ is Port else edge
        meta = t._meta
        found |= {
            f"class of result {i}": t.__class__,
            f"level of result {i}": t._level,
            f"payload of result {i}": _array(t._data),
            f"marks of result {i}": None if meta is None else (meta.inference, meta.made, getattr(meta, "frozen", None)),
            f"version of result {i}": _version(t._ver, args, ()),
            f"view of result {i}": t._view and (_edge(t._view[0], args), t._view[1], t._view[3]),
        }
        if isinstance(node, Node):
            found[f"port of result {i}"] = edge.__class__ is Port and edge.index
            found |= {f"{name} of the node of result {i}": v for name, v in _fields_of_node(node, args, made).items()}
        else:
            found[f"node of result {i}"] = _edge(node, args)
    return found


def _outcome(call: Callable, scene: Scene, case: Case) -> dict[str, Any]:
    with np.errstate(all="ignore"):  # NaN as a whole number
        args = scene.inputs(case)
    try:
        with scene.mode(), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call(*args, **case.params)
    except Exception as error:
        return {"error": (type(error), str(error))}
    return fields(result, args)


def generally(op: Op, args: tuple, params: dict) -> Any:
    """Run an op by the general path alone."""
    return run(op, promoted(op, args) if op.kind == ELEMENTWISE else args, params)


@law("the hot path gives what the general path gives")
def hot_path_is_the_general_path(case: Case) -> str | None:
    """Compare result, node and error of both paths for all inputs and modes."""
    op = case.op
    for scene in scenes(case):
        wanted = _outcome(lambda *args, **params: generally(op, args, params), scene, case)
        found = _outcome(op.call, scene, case)
        for name in {**wanted, **found}:
            if wanted.get(name) != found.get(name):
                return f"{scene.name}: {name} is {found.get(name)!r}, by the general path {wanted.get(name)!r}"
    return None


@law("the hot path is taken")
def hot_path_is_taken(case: Case) -> str | None:
    """Check by a counter, not by a clock, that ordinary calls are not left to the general path.

    They are calls on tensors, and Nones after the first, of one dtype where the op promotes; elementwise ops take numbers, too.
    """
    op = case.op
    dtypes = {a.dtype for a in case.args if hasattr(a, "dtype")}
    others = {a.__class__ for a in case.args if not hasattr(a, "dtype")}
    elementwise = op.kind == ELEMENTWISE
    if not dtypes or others - ({int, float} if elementwise else {None.__class__}):
        return None
    if elementwise and op.promotion != "free" and len(dtypes) > 1:
        return None
    for scene in scenes(case):
        if not scene.name.startswith(("tensors, plain", "parameters, plain", "tensors captured")):
            continue
        if scene.level and not op.is_differentiable:
            continue
        args = scene.inputs(case)
        before = GENERAL[op.name]
        with scene.mode(), np.errstate(all="ignore"):
            op.call(*args, **case.params)
        if GENERAL[op.name] != before:
            return f"{scene.name}: left to the general path"
    return None

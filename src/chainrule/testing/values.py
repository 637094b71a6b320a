"""Laws of an op's values: the same on arrays and tensors, in every memory layout, of the declared shape and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.core.types.dtype import get_default_dtype
from chainrule.testing.case import Case, filled, is_floating, tensor_of
from chainrule.testing.compare import first_gap, gap
from chainrule.testing.derive import at_of, payload, pulled, pushed
from chainrule.testing.law import Silent, law


def results(out: Any) -> list:
    """Return an op's results as a list of arrays."""
    return [np.asarray(innermost(o)) for o in (out if isinstance(out, (tuple, list)) else (out,))]


def promoted_arrays(case: Case) -> list:
    """Return the arguments as a tensor call promotes them: integers to the default dtype for an op on floats."""
    if case.dtype.kind == "V" and case.op.kind == ELEMENTWISE:
        return [case.dtype.type(a) if isinstance(a, (int, float)) else a for a in case.args]
    if case.op.promotion != "float" or case.dtype.kind not in "biu":
        return case.args
    return [a.astype(get_default_dtype().numpy) if isinstance(a, np.ndarray) else a for a in case.args]


def on_arrays(case: Case) -> list:
    """Return an op's results on arrays; on integers that it refuses, those on ones."""
    try:
        return results(case.call(promoted_arrays(case)))
    except (ValueError, RuntimeError):
        if case.dtype.kind not in "biu":
            raise
        return results(case.call([np.ones_like(a) if isinstance(a, np.ndarray) else a for a in case.args]))


@law("tensors give what arrays give")
def tensors_give_what_arrays_give(case: Case) -> str | None:
    """Check values, and where no promotion comes in also dtypes."""
    try:
        raw = results(case.call(promoted_arrays(case)))
    except (ValueError, RuntimeError) as error:
        return _is_refused(case, error)
    out = case.call(case.tensors())
    outs = out if isinstance(out, (tuple, list)) else (out,)
    for i, o in enumerate(outs):
        if not isinstance(o, Tensor):
            return f"result {i} is a {type(o).__name__}, not a Tensor"
    promotes = case.op.promotion in ("float", "bool") or case.dtype.kind in "biu"
    for i, (a, b) in enumerate(zip(results(out), raw, strict=True)):
        if not promotes and a.dtype != b.dtype:
            return f"result {i}: dtype {a.dtype} against {b.dtype}"
    different = first_gap(results(out), raw, 1e-5 if promotes and case.dtype.kind in "biu" else 1e-12)
    return None if different is None else f"result {different[0]}: {different[1]}"


def _is_refused(case: Case, error: Exception) -> str | None:
    """Check that what arrays of integers refuse (negative powers, division by 0), tensors refuse."""
    if case.dtype.kind not in "biu":
        return f"on arrays it raised {error}"
    try:
        case.call(case.tensors())
    except RuntimeError:
        return None
    return f"on arrays it raised {error}, on tensors nothing"


NO_REFERENCE = Silent("its declaration gives no reference")


@law("value = reference")
def value_is_the_reference(case: Case) -> str | None:
    """Check the kernel against the reference that the declaration gives, if it gives one."""
    reference = case.op.about.reference
    return NO_REFERENCE if reference is None else differs_from(reference, case)


def differs_from(reference: Callable, case: Case) -> str | None:
    """Return where the kernel's results are not those of another function of the same arrays, and how."""
    with np.errstate(all="ignore"):
        expected = results(reference(*case.args, **case.params))
    found = results(case.call(case.args))
    if len(found) != len(expected):
        return f"{len(found)} results against {len(expected)}"
    different = first_gap(found, expected, 1e-9)
    return None if different is None else f"result {different[0]}: {different[1]}"


def _is_as_precise(case: Case, found: np.dtype) -> bool:
    """Tell whether a result has the inputs' precision; there are no complex numbers of half precision."""
    given = {a.dtype for a in case.args if is_floating(a)} - {case.dtype}
    half_to_complex = case.dtype.itemsize == 2 and found == np.complex64
    return bool(given) or half_to_complex or np.finfo(found).dtype == np.finfo(case.dtype).dtype


@law("precision is kept")
def precision_is_kept(case: Case) -> str | None:
    """Check that tangents and cotangents have their primal's shape and dtype, and results the inputs' precision."""
    if "dtype" in case.op.params:
        return None
    for i, raw in enumerate(case.raw()):
        if not _is_as_precise(case, raw.dtype):
            return f"result {i}: dtype {raw.dtype} from {case.dtype}"
    at = at_of(case, case.moving)
    if not at:
        return None
    f = case.function(case.moving)
    outs, tangents = pushed(f, at, case.directions(case.moving))
    for i, (out, tangent) in enumerate(zip(outs, tangents, strict=True)):
        if (tangent.shape, tangent.dtype) != (out.shape, out.dtype):
            return f"tangent of result {i}: {tangent.dtype} {tuple(tangent.shape)} against {out.dtype} {tuple(out.shape)}"
    if case.dtype.itemsize == 2 and any(raw.dtype == np.complex64 for raw in case.raw()):
        return None
    for i, x, g in zip(case.moving, at, pulled(f, at, case.weights()), strict=True):
        if (tuple(g.shape), g.dtype.numpy) != (x.shape, x.dtype):
            return f"cotangent of input {case.input_name(i)}: {g.dtype} {tuple(g.shape)} against {x.dtype} {x.shape}"
    return None


def layouts(x: Any) -> Iterator[np.ndarray]:
    """Yield an array's values in other memory layouts: with gaps, backwards, in Fortran's order."""
    gaps = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::2]
    gaps[...] = x
    yield gaps
    yield x[..., ::-1].copy()[..., ::-1]
    yield np.asfortranarray(x)


@law("memory layout does not matter")
def layout_does_not_matter(case: Case) -> str | None:
    """Check value, tangent and cotangents on non-contiguous inputs."""
    raw = results(case.call(case.args))
    for i, x in enumerate(case.args):
        if not isinstance(x, np.ndarray) or not x.ndim:
            continue
        for other in layouts(x):
            different = first_gap(results(case.call(filled(case.args, [other], [i]))), raw, 1e-9)
            if different is not None:
                return f"input {case.input_name(i)}, strides {other.strides}: result {different[0]}: {different[1]}"
            if i in case.moving:
                wrong = _derivatives_on(case, i, x, other)
                if wrong is not None:
                    return f"input {case.input_name(i)}, strides {other.strides}: {wrong}"
    return None


def _derivatives_on(case: Case, i: int, x: np.ndarray, other: np.ndarray) -> str | None:
    f, along, weights = case.function((i,)), case.directions((i,)), case.weights()
    for what, take in (("tangent", lambda x: pushed(f, [x], along)[1]), ("cotangent", lambda x: pulled(f, [x], weights))):
        different = first_gap([payload(t) for t in take(other)], [payload(t) for t in take(x)], 1e-9)
        if different is not None:
            return f"{what}: {different[1]}"
    return None


@law("NaN and infinity stay where they are")
def strange_values_stay_where_they_are(case: Case) -> str | None:
    """Check that a NaN or infinite element of an elementwise op changes no other element's value, tangent or cotangent."""
    positions = [i for i, a in enumerate(case.args) if isinstance(a, np.ndarray) and a.dtype.kind in "fc"]
    out = results(case.call(case.args))[0]
    if case.op.kind != ELEMENTWISE or not out.ndim or not out.size:
        return None
    for i in positions:
        if case.args[i].shape != out.shape:
            continue
        for strange in (np.nan, np.inf, -np.inf):
            x = case.args[i].copy()
            x.flat[0] = strange
            args = filled(case.args, [x], [i])
            wrong = gap(results(case.run(*[tensor_of(a) for a in args]))[0].flat[1:], out.flat[1:], 1e-9)
            if wrong is None and i in case.moving:
                wrong = _others(case, i, x)
            if wrong is not None:
                return f"input {case.input_name(i)}[0] = {strange}: {wrong}"
    return None


def _others(case: Case, i: int, x: np.ndarray) -> str | None:
    f, along, weights = case.function((i,)), case.directions((i,)), case.weights()
    for what, take in (("tangent", lambda x: pushed(f, [x], along)[1]), ("cotangent", lambda x: pulled(f, [x], weights))):
        wrong = gap(payload(take(x)[0]).flat[1:], payload(take(case.args[i])[0]).flat[1:], 1e-9)
        if wrong is not None:
            return f"{what}: {wrong}"
    return None


@law("declared error")
def declared_error_is_raised(case: Case) -> str | None:
    """Check that a sample with an error raises it, on tensors, in the declared opening words."""
    kind, words = case.sample.error  # type: ignore[misc]
    try:
        case.call(case.tensors())
    except kind as error:
        return None if str(error).startswith(words) else f"{str(error)!r} against {words!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error} against {kind.__name__}: {words}"
    return f"nothing was raised; expected {kind.__name__}: {words}"

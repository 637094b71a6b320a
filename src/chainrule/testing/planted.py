"""Laws at special values of ops that look at several elements: reductions, scans, products, sorting, losses, assembly.

NaN, infinities, zeros of both signs, subnormal and largest numbers are planted among an op's inputs. There the whole Jacobian
is taken in both modes. An infinite factor meets the zeros of a direction, and 0 * inf is NaN: a NaN of forward mode is held
against the op only where its row of the reverse Jacobian is finite, one of reverse mode where its column of the forward one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule import func
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.testing.batched import mapped, refuses
from chainrule.testing.case import Case, filled, floating, is_floating
from chainrule.testing.compare import first_gap
from chainrule.testing.derive import payload
from chainrule.testing.extremes import ROUNDING, differing
from chainrule.testing.law import law

Plant = Callable[[np.ndarray], None]


def _put(places: Any, *values: float) -> Plant:
    def plant(flat: np.ndarray) -> None:
        part = flat[places]
        part[...] = np.resize(np.array(values), part.shape)

    return plant


def _every_second(size: Callable[[np.finfo], float], *signs: int) -> Plant:
    def plant(flat: np.ndarray) -> None:
        value = size(np.finfo(flat.dtype))
        _put(slice(None, None, 2), *[value * sign for sign in signs])(flat)

    return plant


def _half(*values: float) -> Plant:
    return lambda flat: _put(slice((len(flat) + 1) // 2), *values)(flat)


ALL, FIRST, LAST = slice(None), slice(1), slice(-1, None)
nan, inf = np.nan, np.inf
# Each writes into an array's elements, in C order. Half of them are a whole row or more of most samples, and lead the others.
# Products of large ones stay finite: where those overflow, the order of sums decides.
PLANTS: dict[str, Plant] = {
    "one NaN": _put(FIRST, nan), "one inf": _put(LAST, inf), "one -inf": _put(FIRST, -inf),
    "inf and -inf": _put(slice(2), inf, -inf), "NaN and inf": _put(slice(2), nan, inf),
    "half inf": _half(inf), "half -inf": _half(-inf), "half NaN": _half(nan),
    "all inf": _put(ALL, inf), "all -inf": _put(ALL, -inf), "all NaN": _put(ALL, nan),
    "one 0": _put(LAST, 0.0), "half 0": _half(0.0, -0.0), "all 0": _put(ALL, 0.0, -0.0), "all ones": _put(ALL, 1.0),
    "subnormal": _every_second(lambda of: float(of.smallest_subnormal), 1, -1),
    "large": _every_second(lambda of: float(of.max) ** 0.25, 1),
}  # fmt: skip


def is_planted(case: Case) -> bool:
    """Tell whether these laws speak of a case: an op of real numbers that is not elementwise, nor factors matrices."""
    if getattr(case.op.kernel, "factors", False):
        return False
    return case.op.kind != ELEMENTWISE and case.dtype.kind == "f" and any(is_floating(a) and a.size for a in case.args)


def plantings(case: Case) -> Iterator[tuple[str, list]]:
    """Yield (name, arguments) with special values in one floating input or another, and in all of them."""
    places = [i for i, a in enumerate(case.args) if is_floating(a) and a.size]
    for name, plant in PLANTS.items():
        changed = []
        for i in places:
            x = np.array(case.args[i])
            flat = x.reshape(-1)
            plant(flat)
            changed.append(x)
            yield f"{name} in {case.input_name(i)}", filled(case.args, [x], [i])
        if len(places) > 1:
            yield f"{name} everywhere", filled(case.args, changed, places)


def _computes(case: Case, args: list) -> bool:
    """Tell whether the kernel takes these values; a factorisation may refuse NaN."""
    try:
        case.call(args)
    except (np.linalg.LinAlgError, RuntimeError, ValueError):
        return False
    return True


def _results(case: Case, args: list, i: int) -> Callable:
    """Return the op as a function of a tensor at place `i`: its floating results, flat, one behind the other."""

    def f(x: Any) -> tuple:
        outs = case.run(*filled([wrap(a) if isinstance(a, np.ndarray) else a for a in args], [x], [i]))
        return tuple(floating(outs))

    return f


def _rows(f: Callable, shapes: list[tuple], dtype: np.dtype) -> np.ndarray:
    """Return what a linear function makes of arrays that are 1 at one element and 0 elsewhere, a row for each element.

    Under `vmap`, which is 5 to 10 times faster than one after the other; that both are one is a law of its own.
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    parts = np.split(np.eye(sum(sizes), dtype=dtype), np.cumsum(sizes)[:-1], axis=1)
    units = [part.reshape(sum(sizes), *shape) for part, shape in zip(parts, shapes, strict=True)]
    try:
        found = [payload(v) for v in mapped(f, (0,) * len(units), list(map(wrap, units)))]
    except RuntimeError as error:
        if not str(error).startswith("vmap: "):
            raise
        each = [[payload(v) for v in f(*map(wrap, row))] for row in zip(*units, strict=True)]
        found = [np.stack(column) for column in zip(*each, strict=True)]
    return np.concatenate([v.reshape(sum(sizes), -1) for v in found], axis=1)


def jacobians(f: Callable, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Jacobians of the results of `f`, as matrices, by forward and by reverse mode."""
    outs, pull = func.vjp(f, wrap(x))
    forward = _rows(lambda t: func.jvp(f, (wrap(x),), (t,))[1], [x.shape], x.dtype)
    reverse = _rows(lambda *gs: pull(gs), [tuple(o.shape) for o in outs], payload(outs[0]).dtype)
    return forward.T, reverse


def conflict(forward: np.ndarray, reverse: np.ndarray, tolerance: float) -> str | None:
    """Return where two Jacobians differ, and how, beyond what 0 * inf explains; None if nowhere."""
    bad = differing(forward, reverse, tolerance)
    rows, columns = np.isfinite(reverse).all(1, keepdims=True), np.isfinite(forward).all(0, keepdims=True)
    bad &= ~((np.isnan(forward) & ~rows) | (np.isnan(reverse) & ~columns))
    if not bad.any():
        return None
    i, j = map(int, np.argwhere(bad)[0])
    return (
        f"d out[{i}] / d x[{j}] is {forward[i, j]} forward, {reverse[i, j]} in reverse; {int(bad.sum())} of {bad.size} differ"
    )


@law("one Jacobian at special values")
def one_jacobian_at_special_values(case: Case) -> str | None:
    """Check that both modes give one Jacobian where special values are planted."""
    if not is_planted(case) or not case.moving or any(r.dtype.kind == "c" for r in case.raw()):
        return None
    with np.errstate(all="ignore"):
        for name, args in plantings(case):
            if not _computes(case, args):
                continue
            for i in case.moving:
                if args[i].size and all(o.size for o in case.raw(args, range(len(args)))):
                    wrong = conflict(*jacobians(_results(case, args, i), args[i]), ROUNDING[case.dtype.name])
                    if wrong is not None:
                        return f"{name}: input {case.input_name(i)}: {wrong}"
    return None


# -- one gradient ------------------------------------------------------------------------------------------------------


class _Answers:
    """The floating results of an op and the cotangents of its inputs, as a function of tensors at some places."""

    def __init__(self, case: Case):
        self.case = case
        self.places = [i for i, a in enumerate(case.args) if is_floating(a) and a.size]
        self.moving = [i for i in self.places if i in case.moving]

    def __call__(self, *xs: Tensor) -> tuple:
        given = filled(self.case.tensors(), xs, self.places)

        def f(*moved: Tensor) -> tuple:
            return tuple(floating(self.case.run(*filled(given, moved, self.moving))))

        outs, pull = func.vjp(f, *[given[i] for i in self.moving])
        weights = [np.linspace(1, 2, o.numel()).reshape(tuple(o.shape)).astype(o.dtype.numpy) for o in outs]
        return *outs, *pull(tuple(map(wrap, weights)))

    def at(self, args: list, grad: bool = False) -> list[np.ndarray]:
        """Return the answers on arrays; `grad`: those of rules on tensors, as for a second derivative."""
        xs = [wrap(np.array(args[i])).requires_grad_(grad) for i in self.places]
        return [payload(t.detach()) for t in self(*xs)]


@law("one gradient at special values")
def one_gradient_at_special_values(case: Case) -> str | None:
    """Check that values and gradients are the same by rules on arrays, by rules on tensors, and under `vmap`."""
    if not is_planted(case) or not case.moving or any(r.dtype.kind == "c" for r in case.raw()):
        return None
    answers, tolerance = _Answers(case), ROUNDING[case.dtype.name]
    with np.errstate(all="ignore"):
        tried = [(name, args) for name, args in plantings(case) if _computes(case, args)]
        rows = [answers.at(args) for _, args in tried]
        for (name, args), row in zip(tried, rows, strict=True):
            raw = case.raw(args, range(len(args)))
            for what, found, expected in (
                ("value of tensors, and of arrays", row[: len(raw)], raw),
                ("rules on tensors, and on arrays", answers.at(args, grad=True), row),
            ):
                wrong = first_gap(found, expected, tolerance)
                if wrong is not None:
                    return f"{name}: {what}: answer {wrong[0]}: {wrong[1]}"
        xs = [wrap(np.stack([args[i] for _, args in tried])) for i in answers.places]
        try:
            batched = mapped(answers, (0,) * len(xs), xs)
        except RuntimeError as error:
            if refuses(case, answers.places, error):
                return None
            raise
    for k, ((name, _), row) in enumerate(zip(tried, rows, strict=True)):
        wrong = first_gap([payload(t)[k] for t in batched], row, tolerance)
        if wrong is not None:
            return f"{name}: under vmap, and alone: answer {wrong[0]}: {wrong[1]}"
    return None

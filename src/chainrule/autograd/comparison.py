"""Analytical Jacobians against numeric ones, mode by mode: the heart of `gradcheck`.

The numeric derivative of every output is taken once along directions in each input: the unit vectors, or in fast mode one
random vector. Reverse mode is compared after pulling back the unit vectors (a random vector) of each output, forward mode
after pushing the same directions forward. A complex output counts as two real functions, a complex input as two real variables.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.forward_ad import dual_level, make_dual, unpack_dual
from chainrule.autograd.gradients import grad
from chainrule.autograd.numeric import GradcheckError, differences
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, innermost
from chainrule.transforms.paths import edge_of
from chainrule.transforms.reverse import gradients

_NOT_REENTRANT = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different values, "
    "although analytical gradient matches numerical gradient. The tolerance for nondeterminism was {}.\n\n"
    "NOTE: If the function relies on non-deterministic operations, this failure might be expected: pass `nondet_tol=<tol>` to "
    "gradcheck/gradgradcheck."
)
_IN_FAST_MODE = (
    "\nThe above quantities relating the numerical and analytical jacobians are computed \nin fast mode: they are one random "
    "projection of each. Below, we recompute numerical and analytical jacobians in slow mode:\n\n"
    "Numerical:\n {}\nAnalytical:\n{}\n\nThe max per-element difference (slow mode) is: {}.\n"
)
_SLOW_PASSES = (
    "\nFast gradcheck failed but element-wise differences are small. This means that the test might've passed in slow_mode! "
    "Pass `fast_mode=False` to gradcheck/gradgradcheck."
)


def as_tuple(x: Any) -> tuple:
    """Return a tuple or list as a tuple, anything else as one of one element."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def is_moving(x: Any) -> bool:
    """Tell whether a value is a tensor that requires grad."""
    return isinstance(x, Tensor) and x.requires_grad


class Comparison:
    """A function, its inputs and outputs, tolerances; and the comparisons that :func:`gradcheck` makes.

    Attributes
    ----------
    moving : list of int
        Positions of the inputs that require grad. Messages number the inputs among these.
    outputs : list of Tensor
        Those that require grad, at positions `kept` among all.
    """

    def __init__(
        self, func: Callable, inputs: Any, eps: float, atol: float, rtol: float, nondet_tol: float, dtypes: bool, fast: bool
    ):
        self.func, self.inputs = func, as_tuple(inputs)
        self.eps, self.atol, self.rtol, self.nondet_tol, self.dtypes, self.fast = eps, atol, rtol, nondet_tol, dtypes, fast
        check_inputs(self.inputs)
        self.moving = [i for i, x in enumerate(self.inputs) if is_moving(x)]
        outs = as_tuple(func(*self.inputs))
        self.kept = [j for j, out in enumerate(outs) if is_moving(out)]
        self.outputs = [outs[j] for j in self.kept]
        rng = np.random.default_rng(0)  # of its own: the user's random state stays, and a failure repeats
        draw = lambda t: _unit(rng.random(t.numel()))
        self.along = {(i, unit): draw(x) for i, x in enumerate(self.tensors()) for unit in (1, 1j)} if fast else {}
        self.weights = [draw(out) for out in self.outputs] if fast else []
        self._numeric: dict[tuple, list[np.ndarray]] = {}
        self._pulled: dict[tuple, list[np.ndarray]] = {}

    def tensors(self) -> list[Tensor]:
        """Return the inputs that require grad."""
        return [self.inputs[i] for i in self.moving]

    def check_backward(self) -> None:
        """Compare the Jacobians that reverse mode gives."""
        if not self.outputs:
            self._check_constant()
        for unit in _parts(self.outputs):
            for j, out in enumerate(self.outputs):
                if unit == 1 or out.is_complex():
                    for i in range(len(self.moving)):
                        self._compare(self._backward_pair, i, j, unit, _part_of("outputs", unit, out))

    def check_forward(self) -> None:
        """Compare the Jacobians that forward mode gives."""
        if not self.outputs:
            self._check_constant()
            return
        for unit in _parts(self.tensors()):
            for i, x in enumerate(self.tensors()):
                if unit == 1 or x.is_complex():
                    pushed = self._pushed(i, unit)
                    take = lambda i, j, unit, pushed=pushed: self._forward_pair(i, j, unit, pushed)
                    for j in range(len(self.outputs)):
                        self._compare(take, i, j, unit, _part_of("inputs", unit, x), "computed with forward mode ")

    def _compare(self, pair: Callable, i: int, j: int, unit: complex, prefix: str, mode: str = "") -> None:
        analytical, numerical, atol = pair(i, j, unit)
        if _close(analytical, numerical, self.rtol, atol):
            return
        text = (
            f"{prefix}Jacobian {mode}mismatch for output {j} with respect to input {i},\n"
            f"numerical:{_shown(numerical)}\nanalytical:{_shown(analytical)}\n"
        )
        if self.fast:
            slow = Comparison(self.func, self.inputs, self.eps, self.atol, self.rtol, np.inf, False, False)
            found = slow._forward_pair(i, j, unit, slow._pushed(i, unit)) if mode else slow._backward_pair(i, j, unit)
            text += _IN_FAST_MODE.format(_shown(found[1]), _shown(found[0]), np.max(np.abs(found[0] - found[1]), initial=0))
            text += _SLOW_PASSES if _close(found[0], found[1], self.rtol, found[2]) else ""
        raise GradcheckError(text)

    # -- numeric -------------------------------------------------------------------------------------------------------

    def values(self) -> list[np.ndarray]:
        """Return the values of the outputs that count (of all, if none requires grad), computed anew."""
        outs = as_tuple(self.func(*self.inputs))
        return [np.array(innermost(outs[j])) for j in (self.kept or range(len(outs)))]

    def directions(self, i: int, unit: complex) -> Iterator[np.ndarray]:
        """Yield flat directions in an input, real or imaginary."""
        if self.fast:
            yield unit * self.along[i, unit]
        else:
            yield from unit * np.eye(self.tensors()[i].numel())

    def numeric(self, i: int, unit: complex) -> list[np.ndarray]:
        """Return the derivatives of all outputs along the directions in an input, of shape (directions, elements)."""
        if (i, unit) not in self._numeric:
            memory = array_of(self.tensors()[i])
            self._numeric[i, unit] = differences(self.values, memory, self.directions(i, unit), self.eps)
        return self._numeric[i, unit]

    def _check_constant(self) -> None:
        """Check that a function none of whose outputs requires grad does not depend on its inputs."""
        for i, x in enumerate(self.tensors()):
            for unit in _parts([x]):
                for slope in self.numeric(i, unit):
                    if np.any(np.abs(slope) > (self.nondet_tol if self.fast else 0)):
                        raise GradcheckError("Numerical gradient for function expected to be zero")

    # -- reverse -------------------------------------------------------------------------------------------------------

    def _backward_pair(self, i: int, j: int, unit: complex) -> tuple[np.ndarray, np.ndarray, float]:
        """Return analytical and numeric Jacobian of an output's real or imaginary part, and the absolute tolerance."""
        part = (lambda a: a.imag) if unit == 1j else (lambda a: a.real)
        numerical = part(self.numeric(i, 1)[j])
        if self.tensors()[i].is_complex():
            numerical = numerical + 1j * part(self.numeric(i, 1j)[j])
        pulled = self._backward(j, unit)[i]
        if not self.fast:
            return pulled.T, numerical, self.atol
        v, u = self.weights[j], self.along[i, 1]
        analytical = pulled.real @ u
        size = u.sum()
        if pulled.dtype.kind == "c":
            analytical = analytical + 1j * (pulled.imag @ self.along[i, 1j])
            size += self.along[i, 1j].sum()
        return analytical, numerical @ v, float(self.atol * size * v.sum())

    def _backward(self, j: int, unit: complex) -> list[np.ndarray]:
        """Return the gradients in every input of an output's cotangents, of shape (cotangents, elements), once checked."""
        if (j, unit) not in self._pulled:
            out, xs = self.outputs[j], self.tensors()
            cotangents = [unit * w for w in ([self.weights[j]] if self.fast else np.eye(out.numel()))]
            first, second = pulled(out, xs, cotangents), pulled(out, xs, cotangents)
            if self.dtypes and not dtypes_agree(out, xs):
                raise GradcheckError("Gradient has dtype mismatch")
            if not sizes_agree(first, xs):
                raise GradcheckError("Analytical gradient has incorrect size")
            if not are_near(first, second, self.nondet_tol):
                raise GradcheckError(_NOT_REENTRANT.format(self.nondet_tol))
            self._pulled[j, unit] = [_stacked(rows, x) for rows, x in zip(first, xs, strict=True)]
        return self._pulled[j, unit]

    # -- forward -------------------------------------------------------------------------------------------------------

    def _forward_pair(self, i: int, j: int, unit: complex, pushed: list) -> tuple[np.ndarray, np.ndarray, float]:
        atol = self.atol * self.along[i, unit].sum() if self.fast else self.atol
        return pushed[j], self.numeric(i, unit)[j], float(atol)

    def _pushed(self, i: int, unit: complex) -> list[np.ndarray]:
        """Return the tangents of all outputs along the directions in an input, of shape (directions, elements)."""
        rows = []
        for direction in self.directions(i, unit):
            row = []
            for primal, tangent in self.pushed({i: direction}):
                if tangent is not None and self.dtypes and tangent.dtype is not primal.dtype:
                    raise GradcheckError("Forward AD gradient has dtype mismatch.")
                row.append(np.zeros(primal.numel()) if tangent is None else np.array(innermost(tangent)).reshape(-1))
            rows.append(row)
        return [np.stack(column) if column else np.zeros(0) for column in zip(*rows, strict=True)] or [
            np.zeros((0, out.numel())) for out in self.outputs
        ]

    def pushed(self, along: dict[int, Any], plain: Sequence[int] = ()) -> list[tuple[Tensor, Tensor | None]]:
        """Return the primal and tangent of each output that counts, for tangents of some inputs.

        Tangents are flat arrays, or tensors. The other moving inputs get zeros, but for those at `plain`, which get none.
        """
        with dual_level():
            duals = [x.detach() if isinstance(x, Tensor) else x for x in self.inputs]
            for i, (place, x) in enumerate(zip(self.moving, self.tensors(), strict=True)):
                if i not in plain:
                    t = along.get(i, np.zeros(x.numel()))
                    if not isinstance(t, Tensor):
                        t = wrap(np.reshape(np.asarray(t, x.dtype.numpy), tuple(x.shape)))
                    duals[place] = make_dual(x.detach(), t)
            outs = as_tuple(self.func(*duals))
            unpacked = [unpack_dual(outs[j]) for j in self.kept]
            return [(p.detach(), None if t is None else t.detach()) for p, t in unpacked]


def check_inputs(inputs: tuple) -> None:
    """Raise where inputs cannot be checked; warn where they lack precision."""
    found = False
    for i, x in enumerate(inputs):
        if not is_moving(x):
            continue
        found = True
        if x.dtype.name not in ("float64", "complex128"):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will likely "
                "fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if x.numel() and any(step == 0 and n > 1 for step, n in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to be "
                "able to compute the numerical gradients correctly. You should call .contiguous on the input before passing it "
                "to gradcheck."
            )
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


# -- gradients, as raw arrays ------------------------------------------------------------------------------------------


def pulled(out: Tensor, xs: Sequence[Tensor], cotangents: Sequence[np.ndarray]) -> list[list]:
    """Return for each input its gradients, one for each flat cotangent of an output; None where there is none."""
    rows = []
    for g in cotangents:
        weight = wrap(np.reshape(np.asarray(g, out.dtype.numpy), tuple(out.shape)))
        found = grad(out, xs, weight, retain_graph=True, allow_unused=True)
        rows.append([None if t is None else np.array(innermost(t)) for t in found])
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in xs]


def dtypes_agree(out: Tensor, xs: Sequence[Tensor]) -> bool:
    """Tell whether the rules give gradients of the inputs' dtypes; `grad` would cast them."""
    one = np.ones(tuple(out.shape), out.dtype.numpy)
    found = gradients([(edge_of(out), one)], [edge_of(x) for x in xs], 0, False, True)
    return all(g is None or g.dtype == x.dtype.numpy for g, x in zip(found, xs, strict=True))


def sizes_agree(rows: list[list], xs: Sequence[Tensor]) -> bool:
    """Tell whether gradients have the inputs' shapes."""
    return all(g is None or g.shape == tuple(x.shape) for column, x in zip(rows, xs, strict=True) for g in column)


def are_near(first: list[list], second: list[list], tolerance: float) -> bool:
    """Tell whether two passes gave the same gradients."""
    for a, b in zip(first, second, strict=True):
        for g, h in zip(a, b, strict=True):
            if (g is None) is not (h is None):
                return False
            if g is not None and g.shape == h.shape and g.size:
                with np.errstate(invalid="ignore"):
                    gap = np.abs(g - h)
                if np.any(gap > tolerance):
                    return False
    return True


def numeric_jacobians(run: Callable, x: Tensor, eps: float, real_for: str | None) -> list[Tensor]:
    """Return the numeric Jacobian of each output of a computation that reads `x`; `real_for` refuses complex ones."""
    outs = run()
    if real_for is not None and any(out.is_complex() for out in outs):
        raise ValueError(
            f"Expected output to be non-complex. {real_for} no longer supports functions that return complex outputs."
        )
    values = lambda: [np.array(innermost(out)) for out in run()]
    unit_vectors = np.eye(x.numel())
    found = differences(values, array_of(x), unit_vectors, eps)
    if x.is_complex():
        imaginary = differences(values, array_of(x), 1j * unit_vectors, eps)
        found = [a + 1j * b for a, b in zip(found, imaginary, strict=True)]
    return [wrap(a) for a in found]


def analytic_jacobians(xs: Sequence[Tensor], out: Tensor, nondet_tol: float) -> tuple:
    """Return the Jacobians of an output, and whether passes agree, sizes and dtypes are right."""
    unit_vectors = list(np.eye(out.numel()))
    first, second = pulled(out, xs, unit_vectors), pulled(out, xs, unit_vectors)
    jacobians = tuple(wrap(_stacked(rows, x).T) for rows, x in zip(first, xs, strict=True))
    return jacobians, are_near(first, second, nondet_tol), sizes_agree(first, xs), dtypes_agree(out, xs)


def _stacked(rows: list, x: Tensor) -> np.ndarray:
    zeros = np.zeros(x.numel(), x.dtype.numpy)
    return np.stack([zeros if g is None else g.reshape(-1) for g in rows]) if rows else np.zeros((0, x.numel()))


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v) if v.size else v


def _parts(tensors: Sequence[Tensor]) -> tuple[complex, ...]:
    """Return the units along which to look: imaginary and real where something is complex."""
    return (1j, 1) if any(t.is_complex() for t in tensors) else (1,)


def _part_of(what: str, unit: complex, t: Tensor) -> str:
    part = "imaginary" if unit == 1j else "real"
    return f"While considering the {part} part of complex {what} only, " if t.is_complex() else ""


def _close(a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all((np.abs(a - b) <= atol + rtol * np.abs(b)) | (a == b)))


def _shown(a: np.ndarray) -> Tensor:
    return wrap(np.asarray(a))

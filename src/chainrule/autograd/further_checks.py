"""What `gradcheck` checks beside the Jacobians: batches, zero cotangents, and those that are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.autograd.comparison import Comparison, as_tuple, is_moving
from chainrule.autograd.gradients import grad
from chainrule.autograd.numeric import GradcheckError
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import innermost
from chainrule.transforms.batch import mapped

_BATCH_FAILED = (
    "gradcheck or gradgradcheck failed while testing batched gradient computation: the derivatives along two directions at "
    "once are not those along each. The most common cause is an op in the rule that has no right batching rule. To leave this "
    "check out pass `check_batched_grad=False`, in forward mode `check_batched_forward_grad=False`."
)


def check_batched_cotangents(comparison: Comparison) -> None:
    """Check that two cotangents pulled back as a batch give what they give one by one."""
    xs, rng = comparison.tensors(), np.random.default_rng(1)
    for j, out in enumerate(comparison.outputs):
        weights = [_normal(rng, out) for _ in range(2)]
        options: dict[str, Any] = {"retain_graph": True, "allow_unused": True}
        alone = [[_array(g, x) for g, x in zip(grad(out, xs, wrap(w), **options), xs, strict=True)] for w in weights]
        try:
            together = grad(out, xs, wrap(np.stack(weights)), is_grads_batched=True, **options)
        except RuntimeError as error:
            raise GradcheckError(f"While computing batched gradients, got: {error}\n\n{_BATCH_FAILED}") from error
        for i, (x, *expected) in enumerate(zip(xs, *alone, strict=True)):
            found = np.zeros((2, *x.shape)) if together[i] is None else np.asarray(innermost(together[i]))
            _check_batch(j, i, found, np.stack(expected))


def check_batched_tangents(comparison: Comparison) -> None:
    """Check that two tangents pushed forward as a batch give what they give one by one."""
    rng = np.random.default_rng(2)
    for i, x in enumerate(comparison.tensors()):

        def tangents(t: Tensor, i: int = i) -> tuple:
            found = comparison.pushed({i: t})
            return tuple(wrap(np.zeros(tuple(p.shape), p.dtype.numpy)) if d is None else d for p, d in found)

        directions = wrap(np.stack([_normal(rng, x) for _ in range(2)]))
        expected = [
            np.stack([np.asarray(innermost(t)) for t in column]) for column in zip(*map(tangents, directions), strict=True)
        ]
        try:
            found = mapped(tangents, directions)
        except RuntimeError as error:
            raise GradcheckError(f"While computing batched gradients, got: {error}\n\n{_BATCH_FAILED}") from error
        for j, (a, b) in enumerate(zip(found, expected, strict=True)):
            _check_batch(j, i, np.zeros(b.shape) if a is None else np.asarray(innermost(a)), b)


def _check_batch(j: int, i: int, found: np.ndarray, expected: np.ndarray) -> None:
    if found.shape != expected.shape or not np.allclose(found, expected, 1e-5, 1e-8):
        raise GradcheckError(f"For output {j} and input {i}:\n\n{_BATCH_FAILED}\n\nGot:\n{found}\n\nExpected:\n{expected}")


def check_zero_cotangents(comparison: Comparison) -> None:
    """Check that cotangents of zeros give gradients of zeros, of the inputs' dtypes and shapes."""
    xs = comparison.tensors()
    if not comparison.outputs:
        return
    for g, x in zip(_pull_zeros(comparison.outputs, xs), xs, strict=True):
        if g is None:
            continue
        if np.any(np.asarray(innermost(g)) != 0):
            raise GradcheckError("backward not multiplied by grad_output")
        if g.dtype is not x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")


def check_undefined_cotangents(comparison: Comparison) -> None:
    """Check that an output which nothing used counts as one with a cotangent of zeros.

    A rule meets an absent cotangent only where another result of its op has one, so it is left out of each output in turn.
    """
    for j in range(len(comparison.outputs)):
        outputs = [out for out in as_tuple(comparison.func(*comparison.inputs)) if is_moving(out)]
        used = [*outputs[:j], *outputs[j + 1 :]]
        if not used:
            return
        try:
            found = _pull_zeros(used, comparison.tensors())
        except (RuntimeError, TypeError, AttributeError) as error:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads. A rule gets None for the cotangent of an output "
                f"that nothing used; with that of output {j} absent it raised {type(error).__name__}: {error}"
            ) from error
        if any(g is not None and np.any(np.asarray(innermost(g)) != 0) for g in found):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero. A rule gets "
                f"None for the cotangent of an output that nothing used; here that of output {j} was absent."
            )


def check_undefined_tangents(comparison: Comparison) -> None:
    """Check that an input without a tangent counts as one with a tangent of zeros."""
    rng = np.random.default_rng(3)
    along = {i: rng.random(x.numel()) for i, x in enumerate(comparison.tensors())}
    for i in along if len(along) > 1 else ():
        others = {k: t for k, t in along.items() if k != i}
        pairs = zip(comparison.pushed(others), comparison.pushed(others, plain=[i]), strict=True)
        for j, ((p, with_zeros), (_, without)) in enumerate(pairs):
            expected, found = (
                np.zeros(tuple(p.shape)) if t is None else np.asarray(innermost(t)) for t in (with_zeros, without)
            )
            if not np.allclose(found, expected, 1e-5, 1e-8, equal_nan=True):
                raise GradcheckError(
                    f"Mismatch in tangent values for output with index: {j} when input {i} has an undefined tangent value. "
                    f"Got: {found} but expected: {expected}"
                )


def _pull_zeros(outputs: Sequence[Tensor], xs: Sequence[Tensor]) -> tuple:
    zeros = [wrap(np.zeros(tuple(out.shape), out.dtype.numpy)) for out in outputs]
    return grad(outputs, xs, zeros, allow_unused=True)


def _normal(rng: np.random.Generator, t: Tensor) -> np.ndarray:
    drawn = rng.normal(size=tuple(t.shape)) + (1j * rng.normal(size=tuple(t.shape)) if t.is_complex() else 0)
    return np.asarray(drawn, t.dtype.numpy)


def _array(g: Tensor | None, x: Tensor) -> np.ndarray:
    return np.zeros(tuple(x.shape), x.dtype.numpy) if g is None else np.asarray(innermost(g))

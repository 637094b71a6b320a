"""What ``autograd.functional`` checks: its arguments, what the function returns, and independence in strict mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor, wrap


def tensors(given: Any, what: str, name: str) -> tuple[bool, tuple]:
    """Return whether a tuple was given, and what was given as a tuple of tensors."""
    many = isinstance(given, tuple)
    elements = given if many else (given,)
    for i, t in enumerate(elements):
        if not isinstance(t, Tensor):
            which = f"value at index {i}" if many else f"given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the {which} has type {type(t)}."
            )
    return many, elements


def watched(tensors: tuple, create_graph: bool, need_graph: bool = True) -> tuple:
    """Return fresh tensors of the same values, apart from those that the function captures."""
    return tuple(_watched(t, create_graph, need_graph) for t in tensors)


def _watched(t: Tensor, create_graph: bool, need_graph: bool) -> Tensor:
    if t._level or (create_graph and t.requires_grad):
        fresh = t.view_as(t)  # a value of a transform stays one: what is computed from it is that transform's to differentiate
        return fresh.requires_grad_() if need_graph and not fresh.requires_grad else fresh
    return t.detach().requires_grad_(need_graph)


def inside(tensors: tuple) -> bool:
    """Tell whether there are values of a transform among tensors: its results must keep their history."""
    return any(t._level for t in tensors)


def variables(like: tuple) -> tuple:
    """Return zeros to differentiate with respect to, each at the level of a tensor."""
    made = []
    for t in like:
        zero = t.clone().zero_() if t._level else zeros(t)
        made.append(zero if zero.requires_grad else zero.requires_grad_())
    return tuple(made)


def vector(v: Any, fitting: tuple, many: bool, name: str, create_graph: bool) -> tuple:
    """Return a vector as a tuple of fresh tensors; raise where it does not fit."""
    _, v = tensors(v, "v", name)
    v = watched(v, create_graph, need_graph=False)
    if len(v) != len(fitting):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(fitting)} but got {len(v)}."
            if many
            else "The given v should contain a single Tensor."
        )
    for i, (t, other) in enumerate(zip(v, fitting, strict=True)):
        if t.shape != other.shape:
            entry = f"Entry {i} in " if many else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {other.shape} but got {t.shape}.")
    return v


def direction(v: Any, inputs: tuple, many: bool, name: str, create_graph: bool) -> tuple | None:
    """Return `v` as a tuple that fits the inputs; None stands for 1 in one input of one element."""
    if v is not None:
        return vector(v, inputs, many, name, create_graph)
    if len(inputs) != 1 or inputs[0].numel() != 1:
        raise RuntimeError(
            "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
        )
    return None


def called(func: Callable, inputs: Sequence, name: str, strict: bool) -> tuple[bool, tuple]:
    """Return whether the function returns a tuple, and its outputs as one."""
    several, outputs = tensors(func(*inputs), "outputs of the user-provided function", name)
    level = max([x._level for x in inputs], default=0)
    if any(out._level > level and out._records for out in outputs):
        raise RuntimeError(
            f"The function given to {name} uses a value of func.grad or func.vjp that it captured: its derivative would be "
            "lost. Pass the value as an input, or use func.jacrev, func.hessian, func.vjp or func.jvp, which nest."
        )
    if strict:
        for i, out in enumerate(outputs):
            if not out.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The outputs must be computed in a "
                    "differentiable manner from the input when running in strict mode."
                )
    return several, outputs


def scalar(called: tuple[bool, tuple], name: str) -> Tensor:
    """Return the one output of a scalar function, as `called` gives it."""
    several, outputs = called
    if several:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
    return outputs[0]


def zeros(t: Tensor, shape: tuple | None = None) -> Tensor:
    """Return zeros of a tensor's dtype, and its shape or another."""
    return wrap(np.zeros(tuple(t.shape) if shape is None else shape, t.dtype.numpy))


# By stage of the computation: what turned out to be independent, of what, and why it matters
_STAGES = {
    "back": ("The output of the user-provided function", "input {}", ""),
    "back_trick": (
        "The gradient with respect to the input",
        "entry {} in the grad_outputs when using the double backward trick to compute forward mode gradients",
        "",
    ),
    "double_back": ("The jacobian of the user-provided function", "input {}", ""),
    "double_back_trick": (
        "The hessian of the user-provided function",
        "entry {} in the grad_jacobian",
        " as it prevents from using the double backward trick to replace forward mode AD",
    ),
}


def independent(what: str, of: str, when: str = "") -> RuntimeError:
    """Return strict mode's error."""
    return RuntimeError(f"{what} is independent of {of}. This is not allowed in strict mode{when}.")


def filled(found: tuple, like: tuple, strict: bool, create_graph: bool, stage: str) -> tuple:
    """Return gradients with zeros for those that are absent; in strict mode raise for them."""
    filled = []
    for i, (g, t) in enumerate(zip(found, like, strict=True)):
        if g is None:
            if strict:
                what, of, why = _STAGES[stage]
                raise independent(what, of.format(i), why)
            g = zeros(t)
        elif strict and create_graph and not g.requires_grad:
            which = "hessian" if stage.startswith("double") else "jacobian"
            raise independent(f"The {which} of the user-provided function", f"input {i}", " when create_graph=True")
        filled.append(g)
    return tuple(filled)


def check_gradient(gradient: tuple, strict: bool) -> None:
    """Raise in strict mode where the gradient of a scalar function does not depend on the inputs."""
    if not strict:
        return
    for i, g in enumerate(gradient):
        if g is None:
            raise independent("The output of the user-provided function", f"input {i}")
        if not g.requires_grad:
            raise RuntimeError(
                "While computing the hessian, found that the jacobian of the user-provided function with respect to input "
                f"{i} is independent of the input. This is not allowed in strict mode. You should ensure that your function "
                "is twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear "
                "function for example)."
            )

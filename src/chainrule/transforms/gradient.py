"""Gradients of values of any level: what is asked of the pass over a plain graph, and what of the transforms above it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap, wrap_at
from chainrule.core.tensor.value import disabled_torch_function, is_complex, memory_of
from chainrule.transforms.accumulate import in_dtype
from chainrule.transforms.paths import edge_of
from chainrule.transforms.reverse import gradients


class Unseen(Tensor):
    """What stands for an edge to a value of which nothing is known, not even the shape: its tensor was not looked at."""

    __slots__ = ()
    __torch_function__ = disabled_torch_function


def pulled_back(roots: list, wanted: list, given: list | None, retain: bool, create_graph: bool) -> list:
    """Return what :func:`gradients_of` does, for roots of transforms that may have ended; all inputs must require grad."""
    check_wanted(wanted)
    return gradients_of([t if t.__class__ is Tensor else settled(t) for t in roots], wanted, given, retain, create_graph)


def check_wanted(wanted: list) -> None:
    """Raise PyTorch's error for an input that does not require grad."""
    for t in wanted:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")


def gradients_of(roots: list, wanted: list, given: Any, retain: bool, create_graph: bool, inner: bool = False) -> list:
    """Return the gradients of roots of any level, as values of the highest; None where a root does not depend on an input.

    `given` are the roots' cotangents, None for 1, or altogether None. `inner` says that the pass is part of another (`Paths`).
    """
    if not roots:
        return [None] * len(wanted)
    top: Any = max((*roots, *wanted), key=_level_of)
    if not top._records:
        return top._gradients(roots, wanted, given, retain, create_graph)
    cotangents = cotangents_of(roots, given, create_graph)
    level = roots[0]._level
    found = gradients(cotangents, [edge_of(t) for t in wanted], level, create_graph, retain, inner)
    if create_graph:
        return [g if g is None or t.__class__ is Unseen else in_dtype(g, t) for g, t in zip(found, wanted, strict=True)]
    if not level and modes().compiling is not None:  # tensors, which others may hold
        return [g if g is None or g._level else _alone(g, t) for g, t in zip(found, wanted, strict=True)]
    made = []
    for g, t in zip(found, wanted, strict=True):
        is_whole = isinstance(g, Tensor) and (not level or g._level > level)  # a value of the cotangents' transform
        made.append(g if g is None or is_whole else wrap_at(level, g if t.__class__ is Unseen else in_dtype(g, t)))
    return made


def _alone(g: Tensor, t: Tensor) -> Tensor:
    """Return a gradient of a pass that is recorded under level 0 as a tensor that nobody else holds."""
    return wrap(memory_of(g if t.__class__ is Unseen else in_dtype(g, t)).copy())


def _level_of(t: Tensor) -> int:
    return t._level


def settled(t: Any) -> Any:
    """Return a value that escaped from a transform which has ended as what it is below: its own level is nobody's now."""
    scope = modes().scope
    while t._level > scope and t._records:
        t = as_tensor(t._data)
    return t


def cotangents_of(roots: list, given: Any, create_graph: bool) -> list[tuple[Any, Any]]:
    """Return (edge, cotangent) per root that requires grad, the cotangents checked and in the roots' dtypes."""
    if given is None:
        given = [None] * len(roots)
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    pairs = []
    for i, (root, g) in enumerate(zip(roots, given, strict=True)):
        if not root._records:
            raise RuntimeError(
                f"element {i} of tensors is a value inside another transform ({type(root).__name__}), which records no "
                "backward pass; differentiate there with func.grad or func.vjp"
            )
        g = one_of(root) if g is None and root.requires_grad else g
        if g is not None:
            g = checked_cotangent(g, root, i)
        if not root.requires_grad or (root.is_leaf and root._node is not LEAF and not root._level):
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        if not create_graph:
            g = g._data if g._level == root._level and (g._level or modes().compiling is None) else g
        pairs.append((edge_of(root), g))
    return pairs


def one_of(root: Tensor) -> Tensor:
    """Return the cotangent 1 of a real scalar."""
    if root.__class__ is Unseen:
        raise RuntimeError(
            "the shape of this GradientEdge's value is not known, so its gradient cannot be created implicitly: give it, or "
            "take the edge with get_gradient_edge(tensor)"
        )
    if root.numel() != 1:
        raise RuntimeError(f"grad can be implicitly created only for scalar outputs, not for one of shape {list(root.shape)}")
    if is_complex(root):
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype}")
    return wrap(np.ones(tuple(root.shape), root.dtype.numpy)[()])


def checked_cotangent(g: Tensor, root: Tensor, i: int) -> Tensor:
    """Return the cotangent of a root in its dtype; raise PyTorch's error where it does not fit the root."""
    if root.__class__ is Unseen:
        return g
    if g.shape != root.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of {root.shape}."
        )
    if is_complex(g) != is_complex(root):
        raise RuntimeError(
            f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{i}] has a dtype of {g.dtype} and output[{i}] has a dtype of {root.dtype}."
        )
    if g.dtype is not root.dtype:
        g = TABLE["to"].call(g, dtype=root.dtype.numpy, source=g.dtype.numpy)
    return g


def as_tensor(value: Any) -> Tensor:
    """Return a payload as a tensor."""
    return value if isinstance(value, Tensor) else wrap(value)

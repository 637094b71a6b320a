"""How a custom function's node pulls cotangents back: it calls `backward`, and checks what that returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.transforms.accumulate import is_alone
from chainrule.transforms.custom.context import ContextView, lowered, lowering, raised


class Pull:
    """The plan (``core.record.plans.Plan``) of a custom function's node: which of its edges a pass wants."""

    __slots__ = ("mask",)
    single = pair = places = saves_out = keeps_more = wants_shapes = conjugate = False
    keeps = True
    lone = op = None
    saves: tuple = ()
    steps: tuple = ()

    def __init__(self, mask: tuple | None):
        self.mask = mask

    def restrict(self, mask: tuple) -> Pull:
        """Return the plan that pulls to some edges only."""
        return Pull(mask)

    def pull(self, node: Any, g: Any, level: int) -> list:
        """Return one cotangent per edge; see `Plan`."""
        return pull(node, g, level, self.mask)


PULL_ALL = Pull(None)


def pull(node: Any, g: Any, view: int, mask: tuple | None) -> list:
    """Call a node's `backward`; return its gradients as the pass wants them: payloads, or tensors under `create_graph`."""
    recorded, level, ctx = view < 0, node.level, node._public()
    gs = g if g.__class__ is list else [g]
    grads = _materialized(ctx, [x if x is None else raised(x) for x in gs], node.outputs)
    if not recorded and not level:
        with no_grad():
            found = node.rules.backward(ctx, grads)
    else:
        found = node.rules.backward(ctx if recorded else ContextView(ctx, lowering(level)), grads)
    found = list(_counted(node, found))
    made: list = []
    for k, (i, edge) in enumerate(zip(node.positions, node.edge, strict=True)):
        if found[i] is None or edge is None or (mask is not None and not mask[k]):
            made.append(None)
            continue
        box = [_fitted(node, k, found[i])]
        found[i] = None
        made.append(box[0] if recorded else _payload(box, level))
    return made


def _materialized(ctx: Any, gs: list, described: tuple) -> tuple:
    if not ctx.materialize_grads:
        return tuple(gs)
    filled = []
    for g, out in zip(gs, described, strict=True):
        if g is None and out is not None and (out[2] or ctx._materialize_non_diff_grads):
            g = wrap(np.zeros(out[0], out[1].numpy))
        filled.append(g)
    return tuple(filled)


def _counted(node: Any, found: Any) -> tuple:
    if not isinstance(found, tuple):
        found = (found,)
    count, name = node.count, node.name()
    if len(found) > count and all(r is None for r in found[count:]):
        found = found[:count]
    if len(found) != count:
        raise RuntimeError(f"function {name} returned an incorrect number of gradients (expected {count}, got {len(found)})")
    for i, r in enumerate(found):
        if r is not None and i not in node.positions:
            raise RuntimeError(
                f"function {name} returned a gradient different than None at position {i + 1}, but the corresponding forward "
                "input was not a Variable"
            )
        if r is not None and not isinstance(r, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(r).__name__})")
    return found


def _fitted(node: Any, k: int, r: Tensor) -> Tensor:
    """Return a gradient in the shape and dtype of its input; raise PyTorch's error if it fits neither."""
    shape, d = node.inputs[k]
    if tuple(r.shape) != shape:
        r = summed(node.name(), k, r, shape)
    if r.dtype is not d:
        if r.dtype.category == 3 and d.category != 3:
            raise RuntimeError(
                f"Function {node.name()} returned an invalid gradient at index {k} - expected a real gradient of type "
                f"{d.old_name} but got {r.dtype.old_name}"
            )
        r = TABLE["to"].call(r, dtype=d.numpy, source=r.dtype.numpy)
    return r


def summed(name: str, k: int, r: Tensor, shape: tuple) -> Tensor:
    """Return a gradient summed to its input's shape; raise PyTorch's error if that was not broadcast to the gradient's."""
    got = tuple(r.shape)
    fits = len(shape) <= len(got) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(got), strict=False))
    if not fits:
        raise RuntimeError(
            f"Function {name} returned an invalid gradient at index {k} - got {list(got)} but expected shape compatible with "
            f"{list(shape)}"
        )
    return TABLE["sum_to"].call(r, shape=shape)


def _payload(box: list, level: int) -> Any:
    """Return the gradient in a box one level down.

    An array that somebody else may hold is returned as a view, which the pass does not take for a buffer of its own.
    """
    box[0] = box[0]._data if box[0]._level == level else lowered(box[0])
    if box[0].__class__ is not np.ndarray or is_alone(box):
        return box[0]
    return box[0].view()

"""`backward` and `grad`: the public entries to the reverse pass, with PyTorch's arguments and errors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

import chainrule.core.record.inspection  # nodes that a user looks at show what they saved
import chainrule.transforms.node_calls  # noqa: F401 - makes nodes callable
from chainrule import transforms
from chainrule.autograd.edge import GradientEdge, tensor_at
from chainrule.core.call.asking import ask_once, asking, asks_once, call_of, is_silent
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import OWN, Meta
from chainrule.core.types import spelling
from chainrule.transforms.accumulate import in_dtype
from chainrule.transforms.gradient import check_wanted, cotangents_of, gradients_of, one_of, settled
from chainrule.transforms.paths import Paths, edge_of
from chainrule.transforms.reverse import gradients, run_pass

Tensors = Tensor | Sequence[Tensor]


@asks_once()
def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of the given tensors to the `.grad` of the leaves they were computed from.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        The roots, of any shape.
    grad_tensors : Tensor, None or a sequence of them, optional
        The cotangent of each root, of its shape; None means 1 for a real scalar.
    retain_graph : bool, optional
        Keep the saved values for another pass; as `create_graph` by default.
    create_graph : bool
        Record the pass, so that the gradients can be differentiated.
    inputs : Tensor, sequence or mapping of Tensor, optional
        Accumulate into these alone, leaves or not.

    Raises
    ------
    RuntimeError
        If a root does not require grad, is not a scalar and has no cotangent, or its graph was freed.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> cr.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    roots = [t if t.__class__ is Tensor else settled(t) for t in _sequence(tensors)]
    if modes().tracer is not None:
        modes().tracer.refuse_pass(roots)
    wanted = None
    if inputs is not None:
        wanted = list(inputs.values()) if isinstance(inputs, Mapping) else _sequence(inputs)
        if not wanted:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        wanted = list({id(t): t for t in wanted}.values())  # a tensor given twice gets its gradient once
        for t in wanted:
            t.retain_grad()  # as PyTorch does: the gradient of a result among the inputs is kept from now on
    if create_graph:
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
            "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
            "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
            "the cycle and avoid the leak.",
            UserWarning,
            stacklevel=3,
        )
    retain = create_graph if retain_graph is None else retain_graph
    if not roots:
        return
    if modes().scope or any([t is not None and t._read is not None for t in (*roots, *_sequence(grad_tensors))]):
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use func.grad or func.vjp instead "
            "or call backward() outside of functorch transforms."
        )
    given = None if grad_tensors is None else _sequence(grad_tensors)
    top: Any = max(roots, key=lambda t: t._level)
    if not top._records:
        top._backward(roots, given, retain, create_graph, wanted)
        return
    cotangents = cotangents_of(roots, given, create_graph)
    level = roots[0]._level
    if wanted is None:
        run_pass(cotangents, level, create_graph, retain)
        return
    paths = Paths([edge for edge, _ in cotangents], [edge_of(t) for t in wanted], accumulates=True)
    run_pass(cotangents, level, create_graph, retain, paths)


@overload
def grad(outputs: Tensors, inputs: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> dict[str, Tensor]: ...
@overload
def grad(
    outputs: Tensors, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False, materialize_grads: bool = False,
) -> tuple[Tensor, ...]: ...  # fmt: skip
def grad(
    outputs: Tensors,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the gradients of outputs with respect to inputs, leaving every `.grad` alone.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate; their contributions are summed.
    inputs : Tensor, sequence or mapping of Tensor
        With respect to what; leaves or results of recorded operations.
    grad_outputs : Tensor, None or a sequence of them, optional
        The cotangent of each output; None means 1 for a real scalar.
    retain_graph, create_graph : bool
        As in :func:`backward`.
    only_inputs : bool
        Without effect but a warning, as in PyTorch.
    allow_unused : bool, optional
        Return None for an input that the outputs do not depend on, instead of raising. Default: `materialize_grads`.
    is_grads_batched : bool
        The cotangents carry a leading batch axis, and so do the gradients.
    materialize_grads : bool
        Return zeros instead of None; they require grad if `create_graph`.

    Returns
    -------
    tuple of Tensor, or dict for a mapping of inputs
        Gradients with the shapes and dtypes of the inputs.

    Raises
    ------
    RuntimeError
        If an input does not require grad or is not used, or as in :func:`backward`; if zeros are wanted for an unused edge.
    ValueError
        If `materialize_grads` is given with ``allow_unused=False``.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> (dy,) = cr.autograd.grad(x**3, x, create_graph=True)
    >>> cr.autograd.grad(dy, x)
    (tensor(18.),)
    """
    if asking.on and not is_silent():
        return ask_once(grad, *call_of(grad, locals()))
    asks_more = create_graph or is_grads_batched or materialize_grads or grad_outputs is not None or not only_inputs
    if outputs.__class__ is Tensor and not asks_more:
        found = _of_plain(outputs, inputs, retain_graph, allow_unused)
        if found is not None:
            return found
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other parts "
            f"of the graph, please use {spelling.library}.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    allow = bool(allow_unused) or materialize_grads
    if isinstance(inputs, Mapping):
        keys = list(inputs)
        found = grad(
            outputs, list(inputs.values()), grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
            is_grads_batched, materialize_grads,
        )  # fmt: skip
        return dict(zip(keys, found, strict=True))
    asked = _listed(inputs)
    roots = [t if t.__class__ is Tensor else settled(t) for t in _sequence(outputs)]
    wanted = _sequence(asked)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if modes().tracer is not None:
        modes().tracer.refuse_pass(roots)
    retain = create_graph if retain_graph is None else retain_graph
    given = None if grad_outputs is None else _sequence(grad_outputs)
    check_wanted(wanted)
    take = transforms.batch.gradients_of_batch if is_grads_batched else gradients_of
    results = take(roots, wanted, given, retain, create_graph)
    for i, (g, t) in enumerate(zip(results, wanted, strict=True)):
        if g is None and not allow:
            raise _unused(i)
        if g is None and materialize_grads:
            if isinstance(asked[i], GradientEdge):
                raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
            results[i] = wrap(np.zeros(tuple(t.shape), t.dtype.numpy)).requires_grad_(bool(create_graph))
    return tuple(results)


def _unused(i: int) -> RuntimeError:
    return RuntimeError(
        f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set allow_unused=True "
        "if this is the desired behavior."
    )


def _of_plain(root: Tensor, inputs: Any, retain_graph: bool | None, allow_unused: bool | None) -> tuple | None:
    """Return the gradients of one plain scalar in plain tensors; None where there is more to look at.

    What :func:`grad` looks at otherwise costs three times the pass over a graph of two nodes.
    """
    wanted = (inputs,) if isinstance(inputs, Tensor) else inputs
    one = _ONES.get(root._data.__class__)
    edge = root._node
    if one is None or edge is None or modes().tracer is not None or not (wanted.__class__ is tuple or wanted.__class__ is list):
        return None
    targets = []
    for t in wanted:
        if not isinstance(t, Tensor) or t._level or t._node is None:
            return None
        targets.append(t if t._node is LEAF else edge_of(t))
    if not targets:
        return None
    found = gradients(((root if edge is LEAF else edge, one),), targets, 0, False, bool(retain_graph))
    for i, g in enumerate(found):
        if g is not None:
            t = wanted[i]
            own = g.dtype is t._data.dtype and (t._meta is None or t._meta.__class__ is not Meta or t._meta.grad_dtype is OWN)
            found[i] = wrap(g if own else in_dtype(g, t))
        elif not allow_unused:
            raise _unused(i)
    return tuple(found)


def _listed(tensors: Any) -> list:
    return [] if tensors is None else [tensors] if isinstance(tensors, (Tensor, GradientEdge)) else list(tensors)


def _sequence(tensors: Any) -> list:
    if isinstance(tensors, Tensor):
        return [tensors]
    if isinstance(tensors, GradientEdge):
        return [tensor_at(tensors)]
    if tensors is None:
        return []
    found = [tensor_at(t) if isinstance(t, GradientEdge) else t for t in tensors]
    for t in found:
        if t is not None and not isinstance(t, Tensor):
            raise TypeError(f"expected a Tensor or a sequence of Tensors, got an element of type {type(t).__name__}")
    return found


_ONES = {cls: cls(1) for cls in (np.float32, np.float64, np.float16)}


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of this tensor to the `.grad` of the leaves it was computed from: see :func:`backward`."""
    if gradient is not None and not isinstance(gradient, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(gradient).__name__}")
    if (
        gradient is None
        and inputs is None
        and not create_graph
        and self.__class__ is Tensor
        and self._node is not None
        and not modes().scope
        and modes().tracer is None
    ):
        one = _ONES.get(self._data.__class__)
        root = (self if self._node is LEAF else self._node, one_of(self)._data if one is None else one)
        run_pass((root,), 0, False, bool(retain_graph))
        return
    backward([self], [gradient], retain_graph, create_graph, inputs)


Tensor.backward = tensor_backward  # type: ignore[assignment]

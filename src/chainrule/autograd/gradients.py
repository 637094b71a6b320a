"""`backward` and `grad`: the public entries to the reverse pass, with PyTorch's arguments and errors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.edge import GradientEdge, Unseen, tensor_at
from chainrule.core.call.asking import ask_once, asking, asks_once, call_of, is_silent
from chainrule.core.graph.nodes import LEAF, LEAF_EDGE
from chainrule.core.mode.grad_mode import enable_grad, modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor, Tracked, wrap, wrap_at
from chainrule.core.tensor.value import Meta, is_complex
from chainrule.transforms import node_calls  # noqa: F401 - makes nodes callable
from chainrule.transforms.accumulate import in_dtype
from chainrule.transforms.batch import Batched, batched_at, unbatched
from chainrule.transforms.forward import Dual, dual
from chainrule.transforms.hook_calls import PRIMALS, TANGENTS, accumulated, pass_of_duals
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
    roots = [t if t.__class__ is Tensor else _settled(t) for t in _sequence(tensors)]
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
    if modes().scope or any(isinstance(t, Batched) for t in (*roots, *_sequence(grad_tensors))):
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use func.grad or func.vjp instead "
            "or call backward() outside of functorch transforms."
        )
    if any(t.__class__ is Dual for t in roots):
        _backward_dual(roots, grad_tensors, retain, create_graph, wanted)
        return
    cotangents = _cotangents(roots, grad_tensors, create_graph)
    level = roots[0]._level
    if wanted is None:
        run_pass(cotangents, level, create_graph, retain)
        return
    paths = Paths([edge for edge, _ in cotangents], [edge_of(t) for t in wanted], accumulates=True)
    run_pass(cotangents, level, create_graph, retain, paths)


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
        Return zeros instead of None.

    Returns
    -------
    tuple of Tensor, or dict for a mapping of inputs
        Gradients with the shapes and dtypes of the inputs.

    Raises
    ------
    RuntimeError
        If an input does not require grad or is not used, or as in :func:`backward`.
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
            "of the graph, please use chainrule.autograd.backward.",
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
    if materialize_grads and any(isinstance(t, GradientEdge) for t in _listed(inputs)):
        raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
    roots = [t if t.__class__ is Tensor else _settled(t) for t in _sequence(outputs)]
    wanted = _sequence(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if modes().tracer is not None:
        modes().tracer.refuse_pass(roots)
    retain = create_graph if retain_graph is None else retain_graph
    for t in wanted:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    if is_grads_batched:
        results = _grad_of_batch(roots, wanted, grad_outputs, retain, create_graph)
    else:
        results = _gradients(roots, wanted, grad_outputs, retain, create_graph)
    for i, (g, t) in enumerate(zip(results, wanted, strict=True)):
        if g is None and not allow:
            raise _unused(i)
        if g is None and materialize_grads:
            results[i] = wrap(np.zeros(tuple(t.shape), t.dtype.numpy))
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
    if one is None or root._node is None or modes().tracer is not None or wanted.__class__ not in (tuple, list) or not wanted:
        return None
    targets = []
    for t in wanted:
        if not isinstance(t, Tensor) or t._level or t._node is None:
            return None
        targets.append(t if t._node is LEAF else edge_of(t))
    found = gradients(((root if root._node is LEAF else root._node, one),), targets, 0, False, bool(retain_graph))
    for i, (g, t) in enumerate(zip(found, wanted, strict=True)):
        if g is not None:
            found[i] = wrap(g if g.dtype is t._data.dtype and t._meta.__class__ is not Meta else in_dtype(g, t))
        elif not allow_unused:
            raise _unused(i)
    return tuple(found)


def _gradients(roots: list, wanted: list, grad_outputs: Any, retain: bool, create_graph: bool) -> list:
    if not roots:
        return [None] * len(wanted)
    top = max((*roots, *wanted), key=_level_of)
    if top.__class__ is Dual:
        return _gradients_of_duals(roots, wanted, grad_outputs, retain, create_graph)
    if top.__class__ is Batched:
        return _gradients_of_examples(top, roots, wanted, grad_outputs, retain, create_graph)
    cotangents = _cotangents(roots, grad_outputs, create_graph)
    level = roots[0]._level
    found = gradients(cotangents, [edge_of(t) for t in wanted], level, create_graph, retain)
    if create_graph:
        return [g if g is None or t.__class__ is Unseen else in_dtype(g, t) for g, t in zip(found, wanted, strict=True)]
    made = []
    for g, t in zip(found, wanted, strict=True):
        is_whole = isinstance(g, Tensor) and (not level or g._level > level)  # a value of the cotangents' transform
        made.append(g if g is None or is_whole else wrap_at(level, g if t.__class__ is Unseen else in_dtype(g, t)))
    return made


def _settled(t: Any) -> Any:
    """Return a value that escaped from a transform which has ended as what it is below: its own level is nobody's now."""
    scope = modes().scope
    while t.__class__ is Tracked and t._level > scope:
        t = _tensor(t._data)
    return t


def _level_of(t: Tensor) -> int:
    return t._level


def _grad_of_batch(roots: list, wanted: list, grad_outputs: Any, retain: bool, create_graph: bool) -> list:
    """Pull back cotangents with a leading batch axis, all examples in one pass."""
    batches = [None] * len(roots) if grad_outputs is None else _sequence(grad_outputs)
    for i, (g, root) in enumerate(zip(batches, roots, strict=False)):
        if g is None and root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if g is not None:
            _check_batched_cotangent(i, g, root)
    sizes = [g.shape[0] for g in batches if g is not None]
    if not sizes:
        raise RuntimeError("is_grads_batched=True needs grad_outputs with a leading batch axis")
    if len(set(sizes)) != 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    size = sizes[0]
    level = fresh_level()
    with scope(level):
        cotangents = [None if g is None else batched_at(level, g) for g in batches]
        found = _gradients(roots, wanted, cotangents, retain, create_graph)
    return [None if g is None else _tensor(unbatched(level, g, size)) for g in found]


def _check_batched_cotangent(i: int, g: Tensor, root: Tensor) -> None:
    """Raise PyTorch's error unless a cotangent is one of the root's shape for each example."""
    if not g.ndim:
        raise IndexError(
            "invalid index of a 0-dim tensor. With is_grads_batched=True the first axis of a grad_output is the batch's."
        )
    if g.shape[1:] != root.shape:
        raise RuntimeError(
            "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The "
            "sizes of the remaining dimensions are expected to match the shape of corresponding output, but a mismatch was "
            f"detected: grad_output[{i}] has a shape of {g.shape[1:]} and output[{i}] has a shape of {root.shape}. If you only "
            "want some tensors in `grad_output` to be considered batched, consider using vmap."
        )


def _gradients_of_examples(top: Tensor, roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
    """Return the gradients of each example's roots, inside of `vmap`.

    An example's roots depend on its own part of batched inputs, so that one pass on the payloads serves those. In a shared
    input each example has a gradient of its own: a batch of passes, each with the cotangents of one example alone.
    """
    level, size = top._level, top._data.shape[0]
    given = [None] * len(roots) if given is None else _sequence(given)
    values, weights = [], []
    for i, (root, g) in enumerate(zip(roots, given, strict=True)):
        g = checked_cotangent(_one(root) if g is None else g, root, i)
        values.append(_tensor(unbatched(level, root, size)))
        weights.append(_tensor(unbatched(level, g, size)))
    own = [t.__class__ is Batched and t._level == level for t in wanted]
    found: list = [None] * len(wanted)
    if True in own:
        targets = [t._data for t, on in zip(wanted, own, strict=True) if on]
        kept = retain or False in own
        pulled = iter(grad(values, targets, weights, kept, create_graph, allow_unused=True))
        found = [next(pulled) if on else None for on in own]
    if False in own:
        targets = [t for t, on in zip(wanted, own, strict=True) if not on]
        alone = [_spread(w, size) for w in weights]
        pulled = iter(grad(values, targets, alone, retain, create_graph, allow_unused=True, is_grads_batched=True))
        found = [g if on else next(pulled) for g, on in zip(found, own, strict=True)]
    return [None if g is None else batched_at(level, g) for g in found]


def _spread(weights: Tensor, size: int) -> Tensor:
    """Return a batch of cotangents, the k-th with that of example k and zeros for the others."""
    eye = wrap(np.eye(size, dtype=weights.dtype.numpy).reshape(size, size, *(1,) * (weights.ndim - 1)))
    return eye * weights  # type: ignore[operator]


def _listed(tensors: Any) -> list:
    return [tensors] if isinstance(tensors, (Tensor, GradientEdge)) else list(tensors)


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


def _cotangents(roots: list, given: Any, create_graph: bool) -> list[tuple[Any, Any]]:
    """Return (edge, cotangent) per root that requires grad, the cotangents checked and in the roots' dtypes."""
    if given is None:
        given = [None] * len(roots)
    else:
        given = _sequence(given) if not isinstance(given, Tensor) else [given]
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    pairs = []
    for i, (root, g) in enumerate(zip(roots, given, strict=True)):
        if root._level and root.__class__ is not Tracked:
            raise RuntimeError(
                f"element {i} of tensors is a value inside another transform ({type(root).__name__}), which records no "
                "backward pass; differentiate there with func.grad or func.vjp"
            )
        g = _one(root) if g is None and root.requires_grad else g
        if g is not None:
            g = checked_cotangent(g, root, i)
        if not root.requires_grad or (root.is_leaf and root._node is not LEAF and not root._level):
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        if not create_graph:
            g = g._data if g._level == root._level else g
        pairs.append((edge_of(root), g))
    return pairs


def _one(root: Tensor) -> Tensor:
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


_ONES = {cls: cls(1) for cls in (np.float32, np.float64, np.float16)}


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


# -- duals: a gradient taken at a forward level is itself a dual -------------------------------------------------------


def _gradients_of_duals(roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
    """Return the duals of the gradients.

    The tangent of a gradient is the gradient of the tangent: with L = <v, f(x)>, d/de grad L(x + e t) is the gradient
    of <v, df(x)[t]> + <dv, f(x)>, because second derivatives commute.
    """
    level = max(t._level for t in (*roots, *wanted) if t.__class__ is Dual)
    given = [None] * len(roots) if given is None else _sequence(given)
    values, dots, g_values, g_dots = [], [], [], []
    for root, g in zip(roots, given, strict=True):
        at_level = root._level == level
        value = root._data if at_level else root
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        g = checked_cotangent(_one(root) if g is None else g, root, 0)
        g_value, g_dot = (g._data, g._tangent) if g._level == level else (g, None)  # type: ignore[attr-defined]
        values.append(value)
        g_values.append(_tensor(g_value))
        if at_level and isinstance(root._tangent, Tensor) and root._tangent.requires_grad:
            dots.append(root._tangent)
            g_dots.append(_tensor(g_value))
        if g_dot is not None:
            dots.append(value)
            g_dots.append(_tensor(g_dot))
    targets = [t._data if t._level == level else t for t in wanted]
    tangents: list = [None] * len(targets)
    if dots:
        with enable_grad(), pass_of_duals(TANGENTS):
            tangents = list(grad(dots, targets, g_dots, True, create_graph, allow_unused=True))
    with pass_of_duals(PRIMALS if dots else None):
        primals = grad(values, targets, g_values, retain, create_graph, allow_unused=True)
    return [
        None
        if p is None and t is None
        else _dual_under(level, wrap(np.zeros(tuple(x.shape), x.dtype.numpy)) if p is None else p, t)
        for p, t, x in zip(primals, tangents, targets, strict=True)
    ]


def _dual_under(level: int, primal: Tensor, tangent: Tensor | None) -> Tensor:
    """Return a dual of a level whose values may be of levels above, which cotangents have brought: it goes inside of those."""
    if tangent is None and primal._level <= level:
        return primal if primal._level == level else dual(level, primal, None)
    top = primal if tangent is None or primal._level >= tangent._level else tangent
    above = top._level
    if above > level and isinstance(top, Batched):
        size = top._data.shape[0]
        parts: list[Any] = [None if v is None else _tensor(unbatched(above, v, size)) for v in (primal, tangent)]
        return batched_at(above, _dual_under(level, parts[0], parts[1]))
    if above > level and isinstance(top, Dual):
        (p, p_dot), (t, t_dot) = _split(primal, above), _split(tangent, above)
        moved = None
        if p_dot is not None or t_dot is not None:
            moved = _dual_under(level, _zeros(p) if p_dot is None else p_dot, t_dot)
        return dual(above, _dual_under(level, p, t), moved)
    (p, p_dot), (t, _) = _split(primal, level), _split(tangent, level)  # what moved with the cotangent itself is there already
    return dual(level, p, t if p_dot is None else p_dot if t is None else p_dot + t)


def _split(value: Tensor | None, level: int) -> tuple[Any, Any]:
    """Return primal and tangent of a value at a level."""
    if isinstance(value, Dual) and value._level == level:
        return _tensor(value._data), None if value._tangent is None else _tensor(value._tangent)
    return value, None


def _zeros(t: Tensor) -> Tensor:
    return wrap(np.zeros(tuple(t.shape), t.dtype.numpy))


def _backward_dual(roots: list, given: Any, retain: bool, create_graph: bool, wanted: list | None) -> None:
    """Accumulate dual gradients into the leaves of duals' primals."""
    if wanted is None:
        wanted = _leaves_under(roots)
    level = max(t._level for t in roots if t.__class__ is Dual)
    for t, g in zip(wanted, _gradients_of_duals(roots, wanted, given, retain, create_graph), strict=True):
        if g is None:
            continue
        target = t._data if t._level == level and t.__class__ is Dual else t
        target.grad = g if target.grad is None else target.grad + g
        accumulated(target)


def _leaves_under(roots: list) -> list:
    seen, leaves = set(), {}
    stack = [edge_of(_tracked(t)) for t in roots]
    while stack:
        edge = stack.pop()
        if edge._kind == LEAF_EDGE:
            leaves[id(edge)] = edge
            continue
        node = getattr(edge, "node", edge)
        if node.id not in seen:
            seen.add(node.id)
            stack += [e for e in node.edges if e is not None]
    return list(leaves.values())


def _tracked(t: Tensor) -> Tensor:
    while t.__class__ is Dual:
        t = t._data
    return t


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else wrap(value)


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
    ):
        one = _ONES.get(self._data.__class__)
        root = (self if self._node is LEAF else self._node, _one(self)._data if one is None else one)
        run_pass((root,), 0, False, bool(retain_graph))
        return
    backward([self], [gradient], retain_graph, create_graph, inputs)


Tensor.backward = tensor_backward  # type: ignore[assignment]

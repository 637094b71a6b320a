"""Batching: a batched value carries many examples along a batch axis through each op at once.

Each use of `vmap` takes a fresh level. The payload of a batched value is the value one level down with the batch axis first;
to the function under `vmap` it is a tensor of one example's shape. Values of other levels are the same for every example.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NoReturn, Self

import numpy as np

from chainrule.core.call.dispatch import compute, explained, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.mode.grad_mode import modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.batching import Batch, looped, reshaped
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import link_view, shared_version
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import carried, on_memory_of, root_of
from chainrule.core.types.shape import Size, axis_index
from chainrule.core.write.views import chain_of, follow
from chainrule.transforms.custom.call import Examples, Outcome, Rules
from chainrule.transforms.custom.context import raised
from chainrule.transforms.custom.examples import run_batched
from chainrule.transforms.gradient import as_tensor, check_wanted, checked_cotangent, gradients_of, one_of, pulled_back

ndarray = np.ndarray

_READ = {
    "item": "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, "
    "please try to rewrite what you're doing with other operations, or compute it outside of vmap.",
    "bool": "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support that "
    "yet: each example may take another branch. Use chainrule.where instead.",
    "equal": "Batching rule not implemented for aten::equal. We could not generate a fallback: whether all elements are "
    "equal may differ between examples. Use chainrule.eq, or compute it outside of vmap.",
    "allclose": "vmap over chainrule.allclose isn't supported yet: each example may give another answer. "
    "Use chainrule.isclose.",
    "out": "Batching rule not implemented for aten::{}.out; the fallback path doesn't work on out= or view ops.",
    "read": "Cannot access data pointer of Tensor that doesn't have storage: it has a value for each example of a vmap. "
    "Rewrite what you're doing with chainrule's operations, or compute it outside of vmap.",
}
# What PyTorch's error calls the writes: by name, by the name of its fallback, and all others by one name.
_WRITES = frozenset(("fill_", "index_add_", "index_fill_", "index_put_", "scatter_add_"))
_FALLBACKS = frozenset(("addcdiv_", "addcmul_", "addmm_", "clamp_", "index_copy_", "lerp_", "scatter_"))


class Batched(Level):
    """The values of a tensor for every example at one level of `vmap`.

    `_data` has the batch axis first; shape and all else that the user sees are one example's. What reverse mode knows of it is
    what it knows of its payload.
    """

    __slots__ = ()

    def _process(self, op: Op, args: tuple, params: dict) -> Any:
        level = self._level
        m = modes()
        payloads, on, raw, recorded, traced = [], [], True, m.record, m.tracer is not None
        for a in args:
            batched = False
            if isinstance(a, Tensor):
                if a._level == level:
                    a, batched = a._data, True
                if isinstance(a, Tensor) and (a._level or traced or op.view or (recorded and a._node is not None)):
                    raw = False  # a view of a tensor of the caller's is to share its version counter
            payloads.append(a)
            on.append(batched)
        if raw:
            payloads = [a._data if isinstance(a, Tensor) else a for a in payloads]
        else:  # what is below may be recorded, and is to notice writes to what it saves
            payloads = [
                on_memory_of(a, p) if p.__class__ is ndarray and p is not a else p for a, p in zip(args, payloads, strict=True)
            ]
        if op.kind is ELEMENTWISE:
            if len(args) > 1:
                _align(payloads, on)
            out = compute(op, payloads, params, args) if raw else run(op, tuple(payloads), params)
            return batched_at(level, out)
        if raw and m.watchers:  # they see the ops of the rule, which run on tensors
            payloads, raw = [wrap(a) if isinstance(a, (np.ndarray, np.generic)) else a for a in payloads], False
        return self._by_rule(op, args, params, payloads, tuple(on), raw)

    def _by_rule(self, op: Op, args: tuple, params: dict, payloads: list, on: tuple, raw: bool) -> Any:
        level = self._level
        rule = op.batch or looped
        if raw:
            payloads = [np.asarray(a) if isinstance(a, np.generic) else a for a in payloads]
        token = hush()
        try:
            out = rule(Batch(op, self._data.shape[0], on, args), *payloads, **params)
        except (ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError) as error:
            raise (explained(op, args, error) if raw else error) from error
        finally:
            unhush(token)
        if out.__class__ is not tuple and out.__class__ is not list:
            made = batched_at(level, out)
            if op.view:
                link_view(made, args[0], op, params, None)
            elif op.shares and made.__class__ is Batched:
                made._ver = shared_version(made._data, args[0])
            return made
        several = tuple([batched_at(level, o) for o in out])
        if op.view:
            for i, t in enumerate(several):
                link_view(t, args[0], op, params, i)
        return several

    def _custom(self, rules: Rules, args: tuple, above: int) -> Outcome:
        """Run a call: by the function's own rule for a batch, or in its batched form."""
        level, size = self._level, self._data.shape[0]
        on = tuple([isinstance(a, Tensor) and a._level == level for a in args])
        lower = tuple([carried(a) if batched else a for a, batched in zip(args, on, strict=True)])
        dims = tuple([getattr(a._meta, "dim", 0) if batched else None for a, batched in zip(args, on, strict=True)])
        examples = Examples(on, size, _randomness(level), partial(batched_at, level), dims)
        found = rules.batched(lower, args, examples)
        return run_batched(rules, lower, args, level, examples, batched_at, above) if found is None else found

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as one of this: the same for every example. It is a copy: a place to write to."""
        counts = (self._data.shape[0], *(1,) * value.ndim)
        return batched_at(self._level, TABLE["repeat"].call(value, counts=counts))

    def _captured(self, name: str) -> RuntimeError:
        what = name if name in _WRITES else f"aten::{name}" if name in _FALLBACKS else "inplace arithmetic"
        return RuntimeError(
            f"vmap: {what}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has "
            "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over in a "
            f"vmap. Please try to use out-of-place operators instead of {what}, or write into a tensor that is made inside of "
            "the function."
        )

    def _gradients(self, roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
        """Return the gradients of each example's roots, inside of `vmap`.

        An example's roots depend on its own part of batched inputs, so that one pass on the payloads serves those. In a shared
        input each example has a gradient of its own: a batch of passes, each with the cotangents of one example alone.
        """
        level, size = self._level, self._data.shape[0]
        given = [None] * len(roots) if given is None else given
        values, weights = [], []
        for i, (root, g) in enumerate(zip(roots, given, strict=True)):
            g = checked_cotangent(one_of(root) if g is None else g, root, i)
            values.append(as_tensor(unbatched(level, root, size)))
            weights.append(as_tensor(unbatched(level, g, size)))
        own = [t.__class__ is Batched and t._level == level for t in wanted]
        found: list = [None] * len(wanted)
        if True in own:
            targets = [t._data for t, on in zip(wanted, own, strict=True) if on]
            kept = retain or False in own
            pulled = iter(pulled_back(values, targets, weights, kept, create_graph))
            found = [next(pulled) if on else None for on in own]
        if False in own:
            targets = [t for t, on in zip(wanted, own, strict=True) if not on]
            alone = [_each_alone(w, size) for w in weights]
            check_wanted(targets)
            pulled = iter(gradients_of_batch(values, targets, alone, retain, create_graph))
            found = [g if on else next(pulled) for g, on in zip(found, own, strict=True)]
        return [None if g is None else batched_at(level, g) for g in found]

    def _within(self, f: Callable, *values: Any) -> Any:
        """Apply a linear function to all examples at once."""
        level, size = self._level, self._data.shape[0]
        return batched_at(level, f(*[None if v is None else as_tensor(unbatched(level, v, size)) for v in values]))

    def _rebuilt(self, f: Callable) -> Tensor:
        """Return the batched value of what `f` makes of all examples at once."""
        return batched_at(self._level, f(self._data))

    def _read(self, use: str) -> RuntimeError | None:
        return None if use == "check" else RuntimeError(_READ[use])

    # -- one example's shape ---------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Sizes of one example's axes."""
        return Size(self._data.shape[1:])

    @property
    def ndim(self) -> int:
        """Number of one example's axes."""
        return self._data.ndim - 1

    def dim(self) -> int:
        """Return the number of one example's axes."""
        return self._data.ndim - 1

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """Return the shape of one example, or the size of one of its axes."""
        return self.shape if dim is None else self.shape[_checked(dim, self.ndim)]

    def numel(self) -> int:
        """Return the number of one example's elements."""
        return self.shape.numel()

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """Return the step in elements along each axis of an example, or along one."""
        data = self._data
        steps = data.stride() if isinstance(data, Tensor) else tuple([s // data.itemsize for s in data.strides])
        return steps[1:] if dim is None else steps[1:][dim]

    def storage_offset(self) -> int:
        """Return the elements before the first element in the memory of all examples, or of the example made inside."""
        if isinstance(self._data, Tensor):
            return self._data.storage_offset()
        chain = chain_of(self)
        if not chain:
            return 0
        base = root_of(self)
        places = follow(np.arange(base.numel()).reshape(base.shape), chain)
        return int(places.flat[0]) if places.size else 0

    def _check_strided(self, size: tuple, stride: tuple, offset: int) -> None:
        own = self.storage_offset()
        shown, here = _end(size, stride, offset), _end(self.shape, self.stride(), own)
        if shown is None or (here is not None and shown <= here and own <= offset):
            return
        if here is None:
            why = "`tensor` has no storage but the passed-in (size, stride, storage_offset) imply a result with some storage."
        else:
            why = (
                f"`result` can access some memory in range [{offset}, {shown}], but `tensor` can only access some memory in "
                f"range [{own}, {here}]."
            )
        raise RuntimeError(
            f"result = tensor.as_strided({list(size)}, {list(stride)}, {offset}) can access memory outside of `tensor`. {why} "
            "This is not supported inside of vmap, please try to rewrite the `as_strided` call as a sequence of view operations"
        )

    def _strided(self, as_strided: Callable, size: tuple, stride: tuple, offset: int) -> Any:
        data = self._data
        base = data if isinstance(data, Tensor) else carried(root_of(self))
        step = data.stride(0) if isinstance(data, Tensor) else data.strides[0] // data.itemsize
        made = batched_at(self._level, as_strided(base, (data.shape[0], *size), (step, *stride), offset))
        link_view(made, self, GAPS, {}, None)
        return made

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Tell whether the examples lie in C order, or that of a memory format, without gaps."""
        if memory_format is not None and memory_format.order is not None:
            return super().is_contiguous(memory_format)
        data = self._data
        return data.is_contiguous() if isinstance(data, Tensor) else data.flags.c_contiguous

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[1]

    # -- autograd state: the payload's -----------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Raise PyTorch's error: a batched value is no leaf."""
        raise RuntimeError(
            "You are attempting to call Tensor.requires_grad_() (or perhaps using torch.autograd.functional.* APIs) inside of "
            "a function being transformed by vmap. This is unsupported, please attempt to use func.grad, vjp, jacrev, jacfwd "
            "or hessian, or call requires_grad_() outside of a function being transformed instead."
        )

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Have `hook` called with the gradients of all examples at once, as a batched value of one example's shape."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        level = self._level

        @wraps(hook)
        def of_each(g: Tensor) -> Any:
            found = hook(batched_at(level, g))
            if not isinstance(found, Tensor):
                return found
            made = unbatched(level, found, g.shape[0])
            return made if isinstance(made, Tensor) else wrap(made)

        return self._data.register_hook(of_each)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> NoReturn:
        """Raise: no gradient is accumulated in a batched value."""
        raise RuntimeError("post accumulate grad hooks cannot be registered inside of vmap: a batched value has no .grad")

    def retain_grad(self) -> NoReturn:
        """Raise: a batched value has no `.grad`."""
        raise RuntimeError("retain_grad() is not possible inside of vmap: a batched value has no .grad; use autograd.grad")

    @property
    def data(self) -> Tensor:
        """The values without history."""
        return self.detach()  # type: ignore[attr-defined]

    @data.setter
    def data(self, value: Tensor) -> None:
        raise RuntimeError("mutating directly with `.data` under vmap transform is not allowed.")


def _end(size: tuple, stride: tuple, offset: int) -> int | None:
    """Return the place in memory behind the last element of sizes and steps; None if there is no element."""
    return None if 0 in size else offset + sum([(n - 1) * step for n, step in zip(size, stride, strict=True)]) + 1


class _Gaps:
    """The step to a view by places in the memory of all examples, which no step of one example's gives."""

    name = "as_strided"
    dtype = bit = batch = None
    computes = False

    def call(self, x: Any, **params: Any) -> Any:
        """Raise: the step cannot be taken again."""
        raise RuntimeError(
            "as_strided() inside of vmap, of examples that have gaps in memory: neither this view nor what it shows can be "
            "written to in place, nor be viewed by places again, while both are in use. Write to a clone()."
        )

    kernel = shape = call


GAPS: Any = _Gaps()


def _checked(dim: int, ndim: int) -> int:
    if not ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return axis_index(dim, ndim)


def _randomness(level: int) -> str:
    """Return what a running `vmap` of this level does about random numbers."""
    return next((call.randomness for call in modes().mapped if call.level == level), "error")


def batched_at(level: int, payload: Any) -> Any:
    """Return the batched value of a payload, batch axis first; what is one at that level already as it is."""
    if payload.__class__ is Batched and payload._level == level:
        return payload
    t = wrap(payload, Batched)
    t._lv = level  # type: ignore[attr-defined]
    return t


def unbatched(level: int, value: Any, size: int) -> Any:
    """Return a value with the batch axis of a level first; of what is the same for every example, repeated."""
    if value.__class__ is Batched and value._level == level:
        return carried(value) if value._ver is not None else value._data
    return TABLE["broadcast_to"].call(value, shape=(size, *value.shape))


def _align(payloads: list, on: list) -> None:
    """Give the examples of an elementwise op's batched inputs the rank of the largest: new axes go behind the batch axis."""
    ranks = [len(shape_of(a)) - batched for a, batched in zip(payloads, on, strict=True)]
    rank = max(ranks)
    for i, batched in enumerate(on):
        if batched and ranks[i] < rank:
            a = payloads[i]
            payloads[i] = reshaped(a, (a.shape[0], *(1,) * (rank - ranks[i]), *a.shape[1:]))


def mapped(f: Callable, batch: Tensor) -> list:
    """Return what a function of one example gives for a batch of them, all at once; None where it gives None."""
    level, size = fresh_level(), batch.shape[0]
    with scope(level):
        outs = f(batched_at(level, batch))
    return [None if out is None else raised(unbatched(level, out, size)) for out in outs]


# -- gradients of a batch -----------------------------------------------------------------------------------------------


def gradients_of_batch(roots: list, wanted: list, given: Any, retain: bool, create_graph: bool) -> list:
    """Pull back cotangents with a leading batch axis, all examples in one pass."""
    batches = [None] * len(roots) if given is None else given
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
        found = gradients_of(roots, wanted, cotangents, retain, create_graph)
    return [None if g is None else as_tensor(unbatched(level, g, size)) for g in found]


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


def _each_alone(weights: Tensor, size: int) -> Tensor:
    """Return a batch of cotangents, the k-th with that of example k and zeros for the others."""
    eye = wrap(np.eye(size, dtype=weights.dtype.numpy).reshape(size, size, *(1,) * (weights.ndim - 1)))
    return eye * weights  # type: ignore[operator]

"""Batching: a batched value carries many examples along a batch axis through each op at once.

Each use of `vmap` takes a fresh level. The payload of a batched value is the value one level down with the batch axis first;
to the function under `vmap` it is a tensor of one example's shape. Values of other levels are the same for every example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NoReturn

import numpy as np

from chainrule.core.call.dispatch import compute, explained, run
from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.mode.grad_mode import Mapped, modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.batching import Batch, looped, reshaped
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import link_view
from chainrule.core.tensor.level import Level
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import is_inexact, root_of
from chainrule.core.types.shape import Size, axis_index
from chainrule.core.write.views import chain_of, follow
from chainrule.transforms.custom.call import Examples, Outcome, Rules
from chainrule.transforms.custom.call import run as run_custom
from chainrule.transforms.custom.context import Boxed, ContextView, lowered, mapped, raised
from chainrule.transforms.custom.pull import summed

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
_WRITES = frozenset(("fill_", "index_add_", "index_copy_", "index_fill_", "index_put_", "scatter_", "scatter_add_"))


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
                if isinstance(a, Tensor) and (a._level or traced or (recorded and a._node is not None)):
                    raw = False
            payloads.append(a)
            on.append(batched)
        if raw:
            payloads = [a._data if isinstance(a, Tensor) else a for a in payloads]
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
        lower = tuple([raised(a._data) if batched else a for a, batched in zip(args, on, strict=True)])
        found = rules.batched(lower, args, Examples(on, size, randomness_at(level), partial(batched_at, level)))
        return run_batched(rules, lower, args, level, on, size, above) if found is None else found

    def _lift(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as one of this: the same for every example. It is a copy: a place to write to."""
        counts = (self._data.shape[0], *(1,) * value.ndim)
        return batched_at(self._level, TABLE["repeat"].call(value, counts=counts))

    def _captured(self, name: str) -> RuntimeError:
        what = name if name in _WRITES else "inplace arithmetic"
        return RuntimeError(
            f"vmap: {what}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has "
            "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over in a "
            f"vmap. Please try to use out-of-place operators instead of {what}, or write into a tensor that is made inside of "
            "the function."
        )

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
        """Return the elements between an example's first element and that of the tensor that it is a view of."""
        chain = chain_of(self)
        if not chain:
            return 0
        base = root_of(self)
        places = follow(np.arange(base.numel()).reshape(base.shape), chain)
        return int(places.flat[0]) if places.size else 0

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Tell whether the examples lie in C order without gaps."""
        data = self._data
        return data.is_contiguous() if isinstance(data, Tensor) else data.flags.c_contiguous

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[1]

    # -- autograd state: the payload's -----------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
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


def _checked(dim: int, ndim: int) -> int:
    if not ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return axis_index(dim, ndim)


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
        return value._data
    return TABLE["broadcast_to"].call(value, shape=(size, *value.shape))


def _align(payloads: list, on: list) -> None:
    """Give the examples of an elementwise op's batched inputs the rank of the largest: new axes go behind the batch axis."""
    ranks = [len(shape_of(a)) - batched for a, batched in zip(payloads, on, strict=True)]
    rank = max(ranks)
    for i, batched in enumerate(on):
        if batched and ranks[i] < rank:
            a = payloads[i]
            payloads[i] = reshaped(a, (a.shape[0], *(1,) * (rank - ranks[i]), *a.shape[1:]))


# -- functions that bring their own rules ---------------------------------------------------------------------------


def run_batched(rules: Rules, lower: tuple, args: tuple, level: int, on: tuple, size: int, above: int) -> Outcome:
    """Run the batched form of a function on payloads, and make batched values of what it gave."""
    form = BatchedForm(rules, level, on, size)
    inner = run_custom(form, lower, above)
    known = {id(b): a for b, a, batched in zip(lower, args, on, strict=True) if batched}
    outs = []
    for o, i, batched in zip(inner.outs, inner.same, form.out_on, strict=True):
        if i is not None and on[i] and o is lower[i]:  # written to in place
            args[i]._data = lowered(o)
            outs.append(args[i])
        else:
            outs.append(batched_at(level, lowered(o)) if batched else o)
    known |= {id(b): a for b, a, batched in zip(inner.raw, outs, form.out_on, strict=True) if batched}

    def lifted(box: Boxed) -> Any:
        if box.owner is not form:
            return box
        found = known.get(id(box.value))
        if found is None:
            found = known[id(box.value)] = batched_at(level, lowered(box.value))
        return found

    requests = inner.requests and {k: mapped(_itself, v, lifted) for k, v in inner.requests.items()}
    return Outcome(tuple(outs), inner.single, tuple(outs), inner.same, requests)


def randomness_at(level: int) -> str:
    """Return what a running `vmap` of this level does about random numbers."""
    return next((call.randomness for call in modes().mapped if call.level == level), "error")


def _itself(value: Any) -> Any:
    return value


class BatchedForm(Rules):
    """A function's batched form: it takes payloads, batch axis first, and runs the function's methods on batched values.

    What the methods save is kept as payloads, and is batched again for the rule that reads it (at a level of its own: rules
    run later than the function, and among values of transforms that began in between).
    """

    def __init__(self, inner: Rules, level: int, on: tuple, size: int):
        self.inner, self.on, self.size = inner, on, size
        self.name, self.separate = inner.name, inner.separate
        self.face = inner.face  # type: ignore[method-assign]
        self.level, self.randomness = level, randomness_at(level)
        self.shapes: tuple = ()
        self.out_on: tuple = ()

    def forward(self, ctx: Any, args: tuple) -> Any:
        """Run `forward` on batched values."""
        return self._run(self.inner.forward, ctx, args)

    def openly(self, ctx: Any, args: tuple) -> Any:
        """Do so on values that transforms watch."""
        return self._run(self.inner.openly, ctx, args)

    def no_jvp(self) -> Exception | None:
        """Return the function's."""
        return self.inner.no_jvp()

    def _run(self, forward: Callable, ctx: Any, args: tuple) -> Any:
        level = fresh_level()
        known: dict = {}
        self.shapes = tuple(
            [tuple(a.shape)[batched:] if isinstance(a, Tensor) else None for a, batched in zip(args, self.on, strict=True)]
        )
        values = self._lift(level, args, self.on, known)
        with self._under(level):
            out = forward(self._view(ctx, level, known), values)
        for a, v, batched in zip(args, values, self.on, strict=True):
            if batched and v._version:
                a.copy_(raised(v._data))
        single = not isinstance(out, tuple)
        outs = (out,) if single else out
        # A result that all examples share gets a batch axis too: each example's part of its gradient must come alone, for
        # `backward` mixes it with theirs before the sum over the batch.
        made, on = [], []
        for o in outs:
            here = isinstance(o, Tensor) and o._level == level
            if here:
                o = _lower(o, known)
            elif isinstance(o, Tensor) and is_inexact(o) and not any(o is a and a._version for a in args):
                o, here = _spread(o, self.size), True
            made.append(o)
            on.append(here)
        self.out_on = tuple(on)
        return made[0] if single else tuple(made)

    def setup(self, ctx: Any, args: tuple, output: Any) -> None:
        """Run `setup_context` on batched values."""
        level = fresh_level()
        known: dict = {}
        values = self._lift(level, args, self.on, known)
        single = not isinstance(output, tuple)
        outs = self._lift(level, (output,) if single else output, self.out_on, known)
        with self._under(level):
            self.inner.setup(self._view(ctx, level, known), values, outs[0] if single else outs)

    def backward(self, ctx: Any, grads: tuple) -> Any:
        """Run `backward` on batched gradients; sum over the batch for an input that all examples share."""
        level = fresh_level()
        known: dict = {}
        with self._under(level):
            found = self.inner.backward(
                self._view(ctx, level, known), self._lift(level, grads, self.out_on, known)
            )  # fmt: skip
            if not isinstance(found, tuple):
                found = (found,)
            made = []
            for i, r in enumerate(found):
                if isinstance(r, Tensor) and i < len(self.on) and self.shapes[i] is not None:
                    r = self._gradient(r, i, level)
                made.append(r)
        return tuple(made)

    def _gradient(self, r: Tensor, i: int, level: int) -> Tensor:
        if tuple(r.shape) != self.shapes[i]:
            r = summed(f"{self.name}Backward", i, r, self.shapes[i])
        if r._level != level:
            return _spread(r, self.size) if self.on[i] else r
        r = raised(r._data)
        return r if self.on[i] else TABLE["sum"].call(r, axis=(0,), keepdims=False)

    def jvp(self, ctx: Any, tangents: tuple) -> Any:
        """Run `jvp` on batched tangents."""
        level = fresh_level()
        known: dict = {}
        with self._under(level):
            found = self.inner.jvp(
                self._view(ctx, level, known), self._lift(level, tangents, self.on, known)
            )  # fmt: skip
        single = not isinstance(found, tuple)
        made = []
        for k, t in enumerate((found,) if single else found):
            if isinstance(t, Tensor) and k < len(self.out_on):
                if t._level == level:
                    t = raised(t._data)
                    if not self.out_on[k]:
                        raise RuntimeError(f"{self.name}: jvp returned a tangent per example, of a result that all share")
                elif self.out_on[k]:
                    t = _spread(t, self.size)
            made.append(t)
        return made[0] if single else tuple(made)

    def _lift(self, level: int, values: Sequence, on: tuple, known: dict) -> tuple:
        """Return payloads as batched values of a level; `known` maps either's id to (value, payload)."""
        made = []
        for p, batched in zip(values, on, strict=True):
            if batched and isinstance(p, Tensor):
                if id(p) not in known:
                    v = batched_at(level, lowered(p))
                    known[id(p)] = known[id(v)] = (v, p)
                p = known[id(p)][0]
            made.append(p)
        return tuple(made)

    def _under(self, level: int) -> scope:
        """Run the methods as `vmap` runs a function, random numbers included."""
        call = Mapped(level, self.size, self.randomness, lambda payload: batched_at(level, payload))
        outside = [c for c in modes().mapped if c.level != self.level]
        return scope(level, mapped=(*outside, call))

    def _view(self, ctx: Any, level: int, known: dict) -> ContextView:
        """Return the `ctx` that shows and takes batched values of a level."""

        def lifted(box: Boxed) -> Any:
            return self._lift(level, (box.value,), (True,), known)[0] if box.owner is self else box

        def put(value: Any) -> Any:
            return mapped(lambda t: Boxed(_lower(t, known), self) if t._level == level else t, value)

        return ContextView(ctx, lambda value: mapped(_itself, value, lifted), put)


def _lower(t: Tensor, known: dict) -> Tensor:
    """Return the payload of a batched value, the same tensor each time."""
    found = known.get(id(t))
    if found is None:
        p = raised(t._data)
        found = known[id(t)] = known[id(p)] = (t, p)
    return found[1]


def _spread(t: Tensor, size: int) -> Tensor:
    return TABLE["broadcast_to"].call(t, shape=(size, *t.shape))

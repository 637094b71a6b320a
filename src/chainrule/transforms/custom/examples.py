"""A function's batched form: its methods run on the values of a batched level, whatever those are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.mode.grad_mode import Mapped, modes, scope
from chainrule.core.mode.levels import fresh_level
from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import is_inexact, is_written
from chainrule.transforms.custom.call import Examples, Outcome, Rules, run_rules
from chainrule.transforms.custom.context import Boxed, ContextView, lowered, mapped, raised
from chainrule.transforms.custom.pull import summed


def run_batched(
    rules: Rules, lower: tuple, args: tuple, level: int, examples: Examples, at: Callable[[int, Any], Tensor], above: int
) -> Outcome:
    """Run the batched form of a function on payloads, and make batched values of what it gave, by ``at(level, payload)``."""
    form, on = BatchedForm(rules, level, examples, at), examples.on
    inner = run_rules(form, lower, above)
    known = {id(b): a for b, a, batched in zip(lower, args, on, strict=True) if batched}
    outs = []
    for o, i, batched in zip(inner.outs, inner.same, form.out_on, strict=True):
        if i is not None and on[i] and o is lower[i]:  # written to in place
            args[i]._data = lowered(o)
            outs.append(args[i])
        else:
            outs.append(at(level, lowered(o)) if batched else o)
    known |= {id(b): a for b, a, batched in zip(inner.raw, outs, form.out_on, strict=True) if batched}

    def lifted(box: Boxed) -> Any:
        if box.owner is not form:
            return box
        found = known.get(id(box.value))
        if found is None:
            found = known[id(box.value)] = at(level, lowered(box.value))
        return found

    requests = inner.requests and {k: mapped(_itself, v, lifted) for k, v in inner.requests.items()}
    return Outcome(tuple(outs), inner.single, tuple(outs), inner.same, requests)


def _itself(value: Any) -> Any:
    return value


class BatchedForm(Rules):
    """A function's batched form: it takes payloads, batch axis first, and runs the function's methods on batched values.

    What the methods save is kept as payloads, and is batched again for the rule that reads it (at a level of its own: rules
    run later than the function, and among values of transforms that began in between).
    """

    def __init__(self, inner: Rules, level: int, examples: Examples, at: Callable[[int, Any], Tensor]):
        self.inner, self.on, self.size, self.at = inner, examples.on, examples.size, at
        self.name, self.separate = inner.name, inner.separate
        self.face = inner.face  # type: ignore[method-assign]
        self.level, self.randomness = level, examples.randomness
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
            if batched and is_written(v):
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
            elif isinstance(o, Tensor) and is_inexact(o) and not any(o is a and is_written(a) for a in args):
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
                    v = self.at(level, lowered(p))
                    known[id(p)] = known[id(v)] = (v, p)
                p = known[id(p)][0]
            made.append(p)
        return tuple(made)

    def _under(self, level: int) -> scope:
        """Run the methods as `vmap` runs a function, random numbers included."""
        call = Mapped(level, self.size, self.randomness, lambda payload: self.at(level, payload))
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

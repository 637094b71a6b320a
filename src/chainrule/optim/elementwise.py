"""Optimizers whose step changes each element by its own gradient and history: how any such step is carried out.

A subclass gives a rule for each parameter and step: a function of values, gradients and what is kept of them (moments, for
example) that changes what is kept in place and returns by how much the values shrink. Rules are written with operators and
NumPy's functions. They run on blocks of flat arrays that stay in the cache, or on tensors: for ``differentiable=True``, where
autograd records them, and in a call that is recorded to be compiled.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes, no_grad, set_grad_enabled
from chainrule.core.op.native import NATIVE, into_native
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import array_of, version_of
from chainrule.core.types.dtype import get_default_dtype
from chainrule.core.write.inplace import about_to_write
from chainrule.functions.pointwise.complex import view_as_complex, view_as_real
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import number

ndarray = np.ndarray
BLOCK = 1 << 15  # elements; twelve passes of Adam over ten million float32 take 33 ms in such blocks, 53 ms without
Rule = Callable[..., Any]


class Elementwise(Optimizer):
    """Base of the optimizers that treat each element alone."""

    def _rule(self, p: Tensor, group: dict[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        """Return this step's rule for a parameter and the names of the state that it takes; the first call makes the state."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any]) -> None:
        carry_out = _record if group["differentiable"] else _compute if modes().compiling is None else _write_down
        decay = option(group, "weight_decay") if "weight_decay" in group else 0
        shrink = None
        if group.get("decoupled_weight_decay"):
            decay, shrink = 0, 1 - option(group, "lr") * decay
        for p in group["params"]:
            grad = p.grad
            if grad is not None:
                rule, names = self._rule(p, group)
                carry_out(p, grad, self.state[p] if names else {}, names, rule, group["maximize"], decay, shrink)


def _compute(
    p: Tensor, grad: Tensor, state: dict, names: tuple[str, ...], rule: Rule, maximize: bool, decay: Any, shrink: Any
) -> None:
    """Carry out a rule on a parameter's memory, block by block."""
    changed = [p, *[state[name] for name in names]]
    x, *kept = flats = [flat(t) for t in changed]
    vectors = [x, flat(grad), *kept]
    done = x.size >= NATIVE and _in_one_pass(rule, vectors, maximize, decay, shrink)
    for start in range(0, 0 if done else x.size, BLOCK):
        x_, g, *moments = vectors if x.size <= BLOCK else [v[start : start + BLOCK] for v in vectors]
        if maximize:
            g = -g
        if decay:
            g = g + x_ * decay
        if shrink is not None:
            x_ *= shrink
        x_ -= rule(x_, g, *moments)
    for t, vector in zip(changed, flats, strict=True):
        written(t, vector)


def _in_one_pass(rule: Rule, vectors: list[ndarray], maximize: bool, decay: Any, shrink: Any) -> bool:
    """Carry out a rule by native code; tell whether there is some.

    Floats that the rule refers to differ from step to step: they are operands, and the code serves all of them.
    """
    if not rule.__module__.startswith(f"{__package__}."):  # others' rules may be of any kind
        return False
    numbers = [decay or None, shrink, *[cell.cell_contents for cell in rule.__closure__ or ()]]
    if not all([x is None or x.__class__ in (float, int, bool) for x in numbers]):
        return False
    operands = [np.float64(x) if x.__class__ is float else x for x in numbers]
    step = _step(rule.__code__, rule.__module__, len(vectors))
    return into_native([vectors[0], *vectors[2:]], step, *vectors, *operands, maximize=maximize)


@functools.lru_cache(256)
def _step(code: CodeType, module: str, count: int) -> Callable:
    """Return a rule's step as a function of tensors, so many of them vectors, and of numbers, which gives what is changed."""

    def step(*xs: Any, maximize: bool) -> tuple:
        x, g, *kept = xs[:count]
        decay, shrink, *referred = xs[count:]
        rule = FunctionType(code, vars(sys.modules[module]), closure=tuple(map(CellType, referred)))
        if maximize:
            g = -g
        if decay is not None:
            g = g + x * decay
        if shrink is not None:
            x = x * shrink
        kept = [m.clone() for m in kept]
        return (x - rule(x, g, *kept), *kept)

    step.elements = f"{module} {code.co_firstlineno} {count}"  # type: ignore[attr-defined]
    return step


def _record(
    p: Tensor, grad: Tensor, state: dict, names: tuple[str, ...], rule: Rule, maximize: bool, decay: Any, shrink: Any
) -> None:
    """Carry out a rule on tensors, on the record: what earlier steps saved is not written to."""
    pair, whole = (view_as_real, view_as_complex) if p.is_complex() else (lambda t: t, lambda t: t)
    with set_grad_enabled(True):
        x, g = pair(p.clone()), pair(grad)
        kept = [pair(state[name].clone()) for name in names]
        if maximize:
            g = -g
        if decay:
            g = g + x * decay
        if shrink is not None:
            x = x * shrink
        p.copy_(whole(x - rule(x, g, *kept)))
    state.update((name, whole(value)) for name, value in zip(names, kept, strict=True))


def _write_down(
    p: Tensor, grad: Tensor, state: dict, names: tuple[str, ...], rule: Rule, maximize: bool, decay: Any, shrink: Any
) -> None:
    """Carry out a rule on tensors, in place, in a call that is recorded."""
    pair = view_as_real if p.is_complex() else lambda t: t
    with no_grad():
        x, g = pair(p.detach()), pair(grad)
        if maximize:
            g = -g
        if decay:
            g = g + x * decay
        kept = [pair(state[name]) for name in names]
        shrunk = x if shrink is None else x * shrink
        x.copy_(shrunk - rule(shrunk, g, *kept))  # one write, as on arrays


def option(group: dict[str, Any], name: str) -> Any:
    """Return an option: a number, or the tensor that it is where the step is recorded.

    What schedules change is a tensor, too, in a call that is recorded to be compiled.
    """
    value = group[name]
    if (recorder := modes().compiling) is not None and name in _SCHEDULED:
        if value.__class__ is float and value:
            return recorder.number(group, name)
        if value.__class__ is tuple and all([v.__class__ is float and v for v in value]):
            return tuple([recorder.number(group, name, i) for i in range(len(value))])
        if isinstance(value, Tensor):
            return value.detach().reshape(())
    if value.__class__ is float or group.get("differentiable"):
        return value
    return tuple(map(number, value)) if isinstance(value, (tuple, list)) else number(value)


_SCHEDULED = ("lr", "momentum", "betas")


def kept(state: dict[str, Any], name: str) -> Any:
    """Return a number among the state: as a tensor of double precision in a call that is recorded."""
    value = state[name]
    return value.item() if modes().compiling is None else value.double()


def keep(state: dict[str, Any], name: str, value: Any) -> None:
    """Change a number among the state."""
    state[name].copy_(value) if isinstance(value, Tensor) else state[name].fill_(value)


def scale(state: dict[str, Any], name: str, factor: Any) -> None:
    """Multiply a number among the state, in its precision."""
    state[name].mul_(factor.to(state[name].dtype) if isinstance(factor, Tensor) else factor)


def count(state: dict[str, Any]) -> Any:
    """Count a step of a parameter, and return how many there were with it: a number, or a tensor as `kept` does."""
    if modes().compiling is not None:
        state["step"].add_(1)
        return kept(state, "step")
    steps = array_of(state["step"])
    steps += 1
    return steps.item()


def largest(value: Any, least: float) -> Any:
    """Return the larger of a number, or a tensor that stands for one, and another number."""
    return value.clamp(min=least) if isinstance(value, Tensor) else max(value, least)


def smaller(x: Any, y: Any) -> Any:
    """Return the smaller of two numbers, or of tensors that stand for them."""
    return y.clamp(max=x) if isinstance(y, Tensor) else min(x, y)


def like(p: Tensor, value: float = 0.0) -> Tensor:
    """Return a tensor of a parameter's shape and dtype, full of one number (of a complex parameter, in both parts)."""
    d = p.dtype.numpy
    return wrap(np.full(tuple(p.shape), complex(value, value) if d.kind == "c" else value, d))


def scalar(value: float = 0.0) -> Tensor:
    """Return a number as state: PyTorch keeps such numbers as tensors of floats, of single precision if that is the default."""
    wide = get_default_dtype().name == "float64"
    return wrap(np.full((), value, np.float64 if wide else np.float32))


def flat(t: Tensor) -> ndarray:
    """Return a tensor's values as a real vector, sharing memory where it is contiguous; complex ones as pairs."""
    if (recorder := modes().compiling) is not None:
        recorder.refuse("makes the step of an optimizer that works on arrays")
    about_to_write(t)
    array = array_of(t).reshape(-1)
    return array.view(array.real.dtype) if array.dtype.kind == "c" else array


def written(t: Tensor, vector: ndarray) -> None:
    """Note that a tensor was written to through `flat`, and bring the values back if that was a copy."""
    array = array_of(t)
    if not array.flags.c_contiguous:
        array[...] = vector.view(array.dtype).reshape(array.shape)
    version_of(t).bump()

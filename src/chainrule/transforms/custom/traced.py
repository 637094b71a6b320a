"""How a call of a custom function passes through a trace: as one equation, which runs the function again."""

from __future__ import annotations

from typing import Any

from chainrule.core.mode.grad_mode import modes, set_modes
from chainrule.core.tensor.tensor import Tensor
from chainrule.transforms.custom.call import Outcome, Rules, run
from chainrule.transforms.custom.context import lowered, mapped, raised
from chainrule.transforms.equations import Equation, Variable


class CallOp:
    """What stands for a custom function where an equation has its op."""

    kind = "call"
    view = nondiff = False
    is_differentiable = pure = True
    params: tuple = ()

    def __init__(self, rules: Rules):
        self.rules, self.name = rules, rules.name

    def __repr__(self) -> str:
        return f"<custom function {self.name}>"


class CallEquation(Equation):
    """A call of a custom function. Its results are the tensors it returned, and those its `forward` kept on `ctx` besides."""

    __slots__ = ()

    def evaluate(self, operands: tuple) -> tuple:
        """Run the function again."""
        op: Any = self.op
        inner = run(op.rules, operands, self.params["above"])
        return (*_tensors(inner), *(_kept(operands, inner) if self.params["above"] else ()))


def on_traced(tracer: Any, rules: Rules, args: tuple, above: int) -> Outcome:
    """Run a call one level down, and record it."""
    level = tracer.level
    lower = tuple([raised(a._data) if isinstance(a, Tensor) and a._level == level else a for a in args])
    operands = [
        (a._tangent if a._level == level else tracer.constant(a)) if isinstance(a, Tensor) else a  # type: ignore[attr-defined]
        for a in args
    ]
    mode = modes()
    set_modes(tracer._below(mode))
    try:
        inner = run(rules, lower, above)
    finally:
        set_modes(mode)
    if any(i is not None and o is lower[i] for o, i in zip(inner.outs, inner.same, strict=True)):
        raise RuntimeError(
            f"{rules.name}: a function that writes to its arguments in place cannot be traced; have it return new tensors"
        )
    kept = _kept(lower, inner) if above else []
    values = [*_tensors(inner), *kept]
    made = [tracer.traced(lowered(t), Variable(tuple(t.shape), t.dtype)) for t in values]
    results = tuple([t._tangent for t in made])
    op: Any = CallOp(rules)
    tracer.equations.append(CallEquation(op, tuple(operands), {"above": above}, results, True, mode.record))
    upper = iter(made)
    outs = tuple([next(upper) if isinstance(o, Tensor) else o for o in inner.outs])
    known = {id(b): a for b, a in zip((*lower, *inner.raw), (*args, *outs), strict=True) if isinstance(b, Tensor)}
    known |= {id(t): next(upper) for t in kept}
    requests = inner.requests and {k: mapped(lambda t: known.get(id(t), t), v) for k, v in inner.requests.items()}
    return Outcome(outs, inner.single, outs, (None,) * len(outs), requests)


def _tensors(inner: Outcome) -> list:
    return [o for o in inner.outs if isinstance(o, Tensor)]


def _kept(args: tuple, inner: Outcome) -> list:
    """Return the tensors that `forward` left on its `ctx`, other than arguments and results."""
    known = {id(t) for t in (*args, *inner.raw)}
    found: dict[int, Tensor] = {}

    def note(t: Tensor) -> Tensor:
        if id(t) not in known:
            found[id(t)] = t
        return t

    mapped(note, inner.requests or {})
    return list(found.values())

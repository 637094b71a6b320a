"""L-BFGS, with or without a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.core.mode.grad_mode import enable_grad, no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.like import zeros_like
from chainrule.functions.pointwise.complex import view_as_complex, view_as_real
from chainrule.functions.shaping.join import cat
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.options import check_lr, check_numbers, number

__all__ = ["LBFGS"]

DECREASE, CURVATURE = 1e-4, 0.9  # the constants of the Wolfe conditions
TRIALS = 25  # of one line search


class LBFGS(Optimizer):
    """L-BFGS (Nocedal & Wright, *Numerical Optimization*, 2nd ed., algorithms 7.4 and 7.5).

    Each step makes up to `max_iter` iterations. It needs a closure that clears the gradients, computes the loss, calls
    ``backward()`` and returns the loss. All parameters are in one group.

    Parameters
    ----------
    params : iterable
        Parameters.
    lr : float or Tensor
        Scales each iteration's first trial.
    max_iter : int
        Iterations a step.
    max_eval : int, optional
        Calls of the closure a step; ``max_iter * 5 / 4`` by default.
    tolerance_grad : float
        Stop where no component of the gradient is larger.
    tolerance_change : float
        Stop where neither the loss nor a parameter changes by more.
    history_size : int
        How many updates the approximation of the Hessian is made of.
    line_search_fn : str, optional
        ``"strong_wolfe"``, or None for steps of length `lr`.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([-1.2, 1.0], dtype=cr.float64, requires_grad=True)
    >>> opt = cr.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> _ = opt.step(closure)
    >>> x.detach().round(decimals=4)
    tensor([1., 1.], dtype=chainrule.float64)
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_numbers("LBFGS", lr=lr)
        check_lr(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to `max_iter` iterations; return the loss before them.

        Raises
        ------
        RuntimeError
            Without a closure, and for a line search of another name.
        """
        if closure is None:
            raise RuntimeError("LBFGS needs a closure that clears the gradients, computes the loss and calls backward()")
        (group,) = self.param_groups
        evaluate = enable_grad()(closure)
        with no_grad():
            return self._iterate(group, self.state[group["params"][0]], evaluate)

    def _iterate(self, group: dict[str, Any], state: dict[str, Any], evaluate: Callable[[], Any]) -> Any:
        search, smallest = group["line_search_fn"], group["tolerance_change"]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = evaluate()
        loss, evaluations = float(number(first)), 1
        state["func_evals"] += 1
        grad = self._gradient(group)
        if grad.abs().max() <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = self._direction(state, grad, group["history_size"])
            state["d"], state["prev_flat_grad"], state["prev_loss"] = d, grad.clone(), loss
            state["t"] = t = number(group["lr"]) * (min(1.0, 1.0 / grad.abs().sum().item()) if state["n_iter"] == 1 else 1)
            slope = grad.dot(d).item()
            if slope > -smallest:
                break
            used = 0
            if search is None:
                self._move(group, t, d)
                if iteration < group["max_iter"]:
                    loss, used = float(number(evaluate())), 1
                    grad = self._gradient(group)
            elif search == "strong_wolfe":
                found, used = self._search(group, evaluate, _Trial(0.0, loss, grad, slope), t, d)
                t, loss, grad = found.t, found.loss, found.grad
                state["t"] = t
                self._move(group, t, d)
            else:
                raise RuntimeError("only 'strong_wolfe' is supported")
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or grad.abs().max() <= group["tolerance_grad"]
                or (d * t).abs().max() <= smallest
                or abs(loss - state["prev_loss"]) < smallest
            ):
                break
        return first

    def _direction(self, state: dict[str, Any], grad: Tensor, history: int) -> Tensor:
        """Return the direction of descent: minus the gradient times the approximate inverse of the Hessian."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(changes) == history:
                for kept in (changes, steps, inverses):
                    kept.pop(0)
            changes.append(y)
            steps.append(s)
            inverses.append(1.0 / curvature)
            state["H_diag"] = curvature / y.dot(y)
        q = -grad
        shares: list[Any] = [None] * len(changes)
        for i in reversed(range(len(changes))):
            shares[i] = steps[i].dot(q) * inverses[i]
            q = q - changes[i] * shares[i]
        r = q * state["H_diag"]
        for i in range(len(changes)):
            r = r + steps[i] * (shares[i] - changes[i].dot(r) * inverses[i])
        state["al"] = shares + [None] * (history - len(shares))
        return r

    def _search(
        self, group: dict[str, Any], evaluate: Callable[[], Any], start: _Trial, t: float, d: Tensor
    ) -> tuple[_Trial, int]:
        """Return a point on the line that meets the strong Wolfe conditions, and how often the loss was computed."""
        before = [p.clone() for p in group["params"]]

        def trial(t: float) -> _Trial:
            self._move(group, t, d)
            loss = float(number(evaluate()))
            grad = self._gradient(group)
            for p, value in zip(group["params"], before, strict=True):
                p.copy_(value)
            return _Trial(t, loss, grad, grad.dot(d).item())

        return _strong_wolfe(trial, start, t, d.abs().max().item(), group["tolerance_change"])

    def _gradient(self, group: dict[str, Any]) -> Tensor:
        """Return the gradients of all parameters as one real vector."""
        return cat([_real(zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in group["params"]])

    def _move(self, group: dict[str, Any], t: float, d: Tensor) -> None:
        """Add t times a direction to the parameters."""
        start = 0
        for p in group["params"]:
            size = p.numel() * (1 + p.is_complex())
            part = d[start : start + size]
            p.add_(view_as_complex(part.view(*p.shape, 2)) if p.is_complex() else part.view(p.shape), alpha=t)
            start += size


class _Trial(NamedTuple):
    """A point on the line: how far, the loss, its gradient, and its slope along the line."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def _strong_wolfe(
    trial: Callable[[float], _Trial], start: _Trial, t: float, longest: float, smallest: float
) -> tuple[_Trial, int]:
    """Search a line for the strong Wolfe conditions (Nocedal & Wright, algorithms 3.5 and 3.6).

    The bracketing phase goes on while the loss falls steeply; the other narrows the bracket by cubic interpolation, away from
    its ends. `longest` is the largest component of the direction: a bracket whose width times that is below `smallest` will do.
    """

    def falls_enough(new: _Trial) -> bool:
        return not new.loss > start.loss + DECREASE * new.t * start.slope

    def is_flat(new: _Trial) -> bool:
        return abs(new.slope) <= -CURVATURE * start.slope

    last, new = start, trial(t)
    tried = 0
    while tried < TRIALS:
        if not falls_enough(new) or (tried > 1 and new.loss >= last.loss):
            break
        if is_flat(new):
            return new, tried + 1
        if new.slope >= 0:
            break
        further = _cubic_minimum(last, new, new.t + 0.01 * (new.t - last.t), new.t * 10)
        last, new = new, trial(further)
        tried += 1
    else:
        last = start
    ends = [last, new]
    low = 0 if last.loss <= new.loss else 1
    was_near = False
    while tried < TRIALS and not abs(ends[1].t - ends[0].t) * longest < smallest:
        least, most = sorted(end.t for end in ends)
        t = _cubic_minimum(ends[0], ends[1], least, most)
        margin = 0.1 * (most - least)
        is_near = min(most - t, t - least) < margin
        if is_near and (was_near or t >= most or t <= least):
            t = most - margin if abs(t - most) < abs(t - least) else least + margin
            is_near = False
        was_near = is_near
        new = trial(t)
        tried += 1
        if not falls_enough(new) or new.loss >= ends[low].loss:
            ends[1 - low] = new
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        if is_flat(new):
            return new, tried + 1
        if new.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = new
    return ends[low], tried + 1


def _cubic_minimum(a: _Trial, b: _Trial, least: float, most: float) -> float:
    """Return where the cubic through two points with their slopes is least, within bounds (Nocedal & Wright, eq. 3.59)."""
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)), least), most)


def _real(t: Tensor) -> Tensor:
    return view_as_real(t) if t.is_complex() else t

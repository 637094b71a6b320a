"""The mode in which derivatives leave absent what a `where`, a mask or an index drops."""

from __future__ import annotations

from typing import Any

from chainrule.core.mode.grad_mode import Decorator, Mode, back, modes, set_modes

__all__ = ["is_safe_derivatives_enabled", "safe_derivatives"]


class safe_derivatives(Decorator):  # noqa: N801 - a context manager like the other modes
    """Leave absent, instead of zero, what a `where`, a mask or an index drops: no 0 * inf makes a NaN of it.

    At 0 the derivative of ``where(x > 0, sqrt(x), 0)`` is NaN in PyTorch and JAX: `where` sends 0 to the branch that was not
    taken, whose derivative there is infinite. In this mode nothing is sent there, and the derivative is 0. Absent elements
    stay absent through every rule, in reverse and forward mode, in derivatives of derivatives and under `vmap`. A zero that a
    product or a difference gives is none of them: ``sqrt(x) * sqrt(x)`` at 0 still has the derivative NaN.

    A context manager and a decorator, of this thread and context. It is to be on where derivatives are taken: around
    `backward` or `grad` in reverse mode, around the function's run in forward mode (`func.jvp`, `dual_level`).

    Parameters
    ----------
    mode : bool, default: True
        On; or off, inside of a block in which it is on.

    Notes
    -----
    What it changes: elements of derivatives that are absent are exactly 0, where they would be 0 times something. Absent are

    - in reverse mode, what `where`, `maximum`, `clamp`, `relu`, an index, a mask, a slice or a gather does not take;
    - in forward mode, constants that a `where`, `cat`, `pad` or a write in place puts beside what moves;
    - in either, the exact zeros of a constant seed: a basis vector's derivative is a row or column of the Jacobian;
    - what is made of absent elements alone.

    The rest is as PyTorch has it, ties and kinks too. Functions with rules of their own (`autograd.Function`) see plain zeros,
    and what they compute of them is present (passes that they run know what is absent), as is what ops give of which it is
    not known which elements reach which. `func.jet` is as it is without the mode. Compiled functions run uncompiled in it;
    what a compiled call recorded before runs once more. See docs/safe-derivatives.md.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([0.0, 4.0])
    >>> f = lambda x: cr.where(x > 0, cr.sqrt(x), 0).sum()
    >>> cr.func.grad(f)(x)
    tensor([   nan, 0.2500])
    >>> with cr.autograd.safe_derivatives():
    ...     cr.func.grad(f)(x)
    tensor([0.0000, 0.2500])
    """

    __slots__ = ("_saved", "mode")

    def __init__(self, mode: bool = True) -> None:
        self.mode = bool(mode)
        self._saved: list[tuple[Mode, Mode]] = []

    def __enter__(self) -> None:
        before = modes()
        entered = before.having(safe=self.mode and (before.safe or True))  # in a rule, with what is known of its cotangents
        self._saved.append((entered, before))
        set_modes(entered)

    def __exit__(self, *exc: object) -> None:
        back(*self._saved.pop(), "safe")

    def _fresh(self) -> Any:
        return safe_derivatives(self.mode)


def is_safe_derivatives_enabled() -> bool:
    """Tell whether :class:`safe_derivatives` is on in this thread and context."""
    return bool(modes().safe)

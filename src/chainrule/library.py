"""Your own operations: the constructors that chainrule's are declared with, and what goes with them.

An op is declared once: its kernel on NumPy arrays, the derivative in each input, the samples that test it. Every mode and
transform follows from that. ``docs/add-an-op.md`` is the guide; :func:`chainrule.testing.check_op` checks a declaration.

For a function that need not be an op, there are lighter ways to give it derivatives of your own: `func.custom_jvp`,
`func.custom_vjp`, `autograd.Function`.

Examples
--------
>>> import numpy as np
>>> import chainrule as cr
>>> from chainrule import library
>>> from chainrule.testing import check_op
>>> bump = library.elementwise("bump(x)", lambda x: np.exp(-x * x), dtype="float", x=lambda g, x, out: -2 * x * out * g)
>>> cr.func.grad(bump)(cr.tensor(1.0))
tensor(-0.7358)
>>> check_op(bump)
True
"""

from __future__ import annotations

from typing import Any

from chainrule.core.call.dispatch import as_tensor
from chainrule.core.op.declaration import TABLE, bilinear, elementwise, linear, op
from chainrule.core.op.samples import Bools, Fixed, Ints, Sample
from chainrule.functions.adapt import public, public_op

__all__ = [
    "Bools",
    "Fixed",
    "Ints",
    "Sample",
    "as_tensor",
    "bilinear",
    "elementwise",
    "linear",
    "op",
    "ops",
    "public",
    "public_op",
]


class _Ops:
    """The declared ops by name, as rules call them: on arrays and on tensors, with normalised static parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule.library import ops
    >>> ops.sum(np.ones((2, 3)), axis=(1,), keepdims=False)
    array([3., 3.])
    """

    def __getattr__(self, name: str) -> Any:
        found = TABLE.get(name)
        if found is None:
            raise AttributeError(f"no op is named {name!r}; dir(chainrule.library.ops) lists them")
        return found.call

    def __dir__(self) -> list[str]:
        return sorted(TABLE)


ops = _Ops()

"""What stands in for an op's kernel or rule on large arrays: native code, which makes one pass over memory on all threads.

The compiler makes it, and fills the slot; nothing here knows of that. Kernels ask themselves (`in_native`), the backward pass
asks for rules of several operations. Whoever asks computes with NumPy where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NATIVE = 1 << 16
"""Elements from which native code is asked for: to find and call it takes 6 us, NumPy's exponential of so many float32 30."""

code: Callable | None = None
"""Returns what a kernel or rule returns for (function, operands, params), or None where it has no code for it.

Given arrays as a fourth argument, it writes the results to them. Beside kernels and rules it takes functions of tensors that
have an attribute `elements` or `rows`, the text that tells them from others: they treat each element alone, or each row.
"""


def offer(asked: Callable | None) -> None:
    """Set what is asked for native code."""
    global code
    code = asked


def in_native(f: Callable, *operands: Any, **params: Any) -> Any:
    """Return what a kernel or a rule returns, by native code; None where there is none for it. Asked for `NATIVE` elements."""
    return None if code is None else code(f, operands, params)


def into_native(outs: Sequence[np.ndarray], f: Callable, *operands: Any, **params: Any) -> bool:
    """Write what a function returns to arrays, operands perhaps, by native code; tell whether there is some for it."""
    return code is not None and code(f, operands, params, outs) is not None


def is_large(a: Any) -> bool:
    """Tell whether native code is asked for an array's work."""
    return a.__class__ is np.ndarray and a.size >= NATIVE and a.dtype.kind in "fc"


def in_one_pass(rule: Callable, otherwise: Callable) -> Callable:
    """Return a rule of large arrays, by native code where there is some."""

    def pulled(*operands: Any, **params: Any) -> Any:
        out = in_native(rule, *operands, **params)
        return otherwise(*operands, **params) if out is None else out

    return pulled

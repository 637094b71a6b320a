"""Which argument a call failed of: looked for only once it has failed, by the types that the function declares.

A function need not check its arguments' types one by one, and no call that succeeds pays for it: what it raises deep inside,
in NumPy's words, is replaced by PyTorch's, which name the function, the argument and the type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor

FAILURES = (TypeError, ValueError, RuntimeError, AttributeError, MemoryError)


class OutOfMemoryError(RuntimeError, MemoryError):
    """More memory was asked for than there is: PyTorch's RuntimeError, and Python's own MemoryError.

    Examples
    --------
    >>> import chainrule as cr
    >>> try:
    ...     cr.zeros(2**45)
    ... except RuntimeError as error:
    ...     print(str(error)[:43])
    DefaultCPUAllocator: can't allocate memory:
    """


_TOO_BIG = ("array is too big", "Maximum allowed size", "Maximum allowed dimension", "maximum supported dimension")


def oversized(error: Exception) -> OutOfMemoryError | None:
    """Return PyTorch's error for NumPy's of memory that is not there, or of sizes beyond any; None for others."""
    if isinstance(error, OutOfMemoryError):
        return None
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"DefaultCPUAllocator: can't allocate memory: {error}")
    if isinstance(error, ValueError) and str(error).startswith(_TOO_BIG):
        return OutOfMemoryError(f"Storage size calculation overflowed: {error}")
    return None


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__")


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") or isinstance(value, complex)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic)) or _is_number(value)


def _are_ints(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, (tuple, list)) and all(map(_are_ints, value)))


# By how a parameter is annotated: what fits, and PyTorch's word for it.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_int, "int"), "float": (_is_number, "Number"), "Tensor": (_is_tensor, "Tensor"),
}  # fmt: skip


def misfit(f: Callable, name: str, args: tuple, kwargs: dict[str, Any], error: Exception | None = None) -> Exception | None:
    """Return PyTorch's error for the first argument that is not of its parameter's type, or for want of memory; else None.

    Examples
    --------
    >>> def narrow(input: Tensor, dim: int, start: int) -> None: ...
    >>> misfit(narrow, "narrow", (1.0, 0, "a"), {})
    TypeError("narrow(): argument 'start' (position 3) must be int, not str")
    """
    found = None if error is None else oversized(error)
    if found is not None:
        return found
    code = getattr(f, "__wrapped__", f).__code__
    names = code.co_varnames[: code.co_argcount]
    for parameter, value in (*zip(names, args, strict=False), *kwargs.items()):
        annotated = f.__annotations__.get(parameter, "")
        optional = annotated.endswith(" | None")
        fits, wanted = _KINDS.get(annotated.removesuffix(" | None"), (None, ""))
        if fits is None and parameter in ("dim", "dims"):
            fits, wanted, optional = _are_ints, "int or tuple of ints", True
        if fits is None or (optional and value is None) or fits(value):
            continue
        if wanted != "int" and isinstance(value, (tuple, list)) and parameter in ("dim", "dims"):
            value = next(v for v in value if not _are_ints(v))
        place = f" (position {names.index(parameter) + 1})" if parameter not in kwargs else ""
        return TypeError(f"{name}(): argument {parameter!r}{place} must be {wanted}, not {type(value).__name__}")
    return None

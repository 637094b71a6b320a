"""Functions of lists of tensors, one call for each: PyTorch's ``_foreach_add`` and its kin, with which optimisers are written.

Each calls the method of its name on every tensor; other arguments are lists as long, or one for all. With an underscore at the
end they write in place and return the list, else they return a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core.tensor.tensor import Tensor

UNARY = """
    abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt
    sigmoid sign sin sinh sqrt tan tanh trunc
""".split()  # noqa: SIM905 - a list of words
BINARY = ["add", "clamp_max", "clamp_min", "div", "lerp", "mul", "pow", "sub"]
METHODS = {name: name for name in (*UNARY, *BINARY, "addcdiv", "addcmul")} | {"maximum": "clamp_min", "minimum": "clamp_max"}
METHODS |= {f"{name}_": f"{method}_" for name, method in METHODS.items()}
METHODS |= {name: name for name in ("clone", "copy_", "max", "mm", "norm", "zero_")}
NAMES = [f"_foreach_{name}" for name in (*METHODS, "powsum")]


def _calls(tensors: Sequence[Tensor], *arguments: Any) -> list[tuple]:
    """Return the arguments of each call."""
    if not len(tensors):
        raise RuntimeError("Tensor list must have at least one tensor.")
    columns: list[Sequence] = [tensors]
    for given in arguments:
        if not isinstance(given, (list, tuple)):
            given = [given] * len(tensors)
        elif len(given) != len(tensors):
            if given and not isinstance(given[0], Tensor):
                raise RuntimeError("Tensor list must have same number of elements as scalar list.")
            raise RuntimeError(f"Tensor lists must have the same number of tensors, got {len(tensors)} and {len(given)}")
        columns.append(given)
    return list(zip(*columns, strict=True))


def _each(name: str, method: str) -> Callable[..., Any]:
    """Return the function of lists that calls a method."""

    def f(self: Any, *arguments: Any, value: Any = None, **keywords: Any) -> Any:
        if name[:4] == "addc":  # the factor, which the method takes by its name
            tensor1, tensor2, *rest = arguments
            factors = rest[0] if rest else 1 if value is None else value
            factors = factors.tolist() if isinstance(factors, Tensor) else factors
            calls = _calls(self, tensor1, tensor2, factors)
            done = [getattr(t, method)(a, b, value=factor) for t, a, b, factor in calls]
        elif name == "norm":
            power = keywords.pop("ord", 2)
            done = [t.norm(*rest, **keywords) for t, *rest in _calls(self, *(arguments or (power,)))]  # type: ignore[attr-defined]
        elif name == "pow" and not isinstance(self, (list, tuple)):  # of a number, to powers
            return tuple(self**exponent for (exponent,) in _calls(*arguments))
        else:
            done = [getattr(t, method)(*rest, **keywords) for t, *rest in _calls(self, *arguments)]
        return self if name[-1] == "_" else tuple(done)

    f.__name__ = f.__qualname__ = f"_foreach_{name}"
    f.__doc__ = f"Call {method} of each tensor."
    return f


globals().update({f"_foreach_{name}": _each(name, method) for name, method in METHODS.items()})


def _foreach_powsum(self: Sequence[Tensor], ord: float = 2, dtype: Any = None) -> tuple[Tensor, ...]:
    """Return the sum of powers of sizes of each tensor."""
    return tuple((t.abs() ** ord).sum(dtype=dtype) for (t,) in _calls(self))

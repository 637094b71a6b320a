"""The ``out=`` argument: the result of a function written into tensors that are given. Nothing of it is recorded."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.core.mode.grad_mode import modes, no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import as_stored, memory_of, version_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.write.inplace import check_writable, write


def into(out: Any, name: str, f: Callable, args: tuple, kwargs: dict, exact: bool = False) -> Any:
    """Write what `f` returns into `out`, a tensor or a tuple of them, and return `out`.

    Parameters
    ----------
    exact : bool
        The dtypes must agree; else a result may be cast up a category.

    Raises
    ------
    RuntimeError
        If an argument requires grad or belongs to a transform, a result cannot be cast, or memory is shown twice.
    TypeError
        If `out` is not what the function needs.
    """
    outs = out if isinstance(out, (tuple, list)) else (out,)
    for o in outs:
        if not isinstance(o, Tensor):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(o).__name__}")
    for t in _tensors((*outs, *args, *kwargs.values())):
        if t._read is not None and t._read("check") is None:
            raise RuntimeError(str(t._read("out")).format(name))
        if t._level or (modes().record and t.requires_grad):
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                "arguments requires grad."
            )
    with no_grad():
        results = f(*args, **kwargs)
        several = isinstance(results, (tuple, list))
        found = tuple(results) if several else (results,)
        if len(found) != len(outs) or several is not isinstance(out, (tuple, list)):
            raise TypeError(f"{name}(): out= must be {'a tuple of ' * several}{len(found)} tensor{'s' * (len(found) > 1)}")
        for o, r in zip(outs, found, strict=True):
            _put(o, r, exact)
    if not several:
        return out
    return type(results)(*outs) if hasattr(results, "_fields") else tuple(outs)


def _tensors(values: Iterable) -> Iterable[Tensor]:
    for v in values:
        if isinstance(v, Tensor):
            yield v
        elif isinstance(v, (tuple, list)):
            yield from _tensors(v)


def _put(out: Tensor, value: Tensor, exact: bool) -> None:
    d, wanted = value.dtype, out.dtype
    if exact and d is not wanted:
        raise RuntimeError(f"Expected out tensor to have dtype {d.name}, but got {wanted.name} instead")
    if not dtypes.can_cast(d, wanted):
        raise RuntimeError(f"result type {d.old_name} can't be cast to the desired output type {wanted.old_name}")
    check_writable(out)
    shape = tuple(value.shape)
    if tuple(out.shape) != shape:
        if out.numel():
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match "
                f"the required output shape {list(shape)}. This behavior is deprecated, and in a future PyTorch release "
                "outputs will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by "
                "resizing it, inplace, to zero elements with t.resize_(0).",
                UserWarning,
                stacklevel=4,
            )
        out._data = np.empty(shape, wanted.numpy)
    if modes().compiling is not None:
        write(out, value, "out")
        return
    memory_of(out)[...] = as_stored(out, value._data)
    version_of(out).bump()

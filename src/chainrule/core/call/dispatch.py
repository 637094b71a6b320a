"""How an op is called: one look at the arguments' classes, the kernel, and a node if something requires grad.

`run` handles every op at every level. The hot paths of ``call.template`` do the same for plain tensors in a third of the
time, and leave all else (mixed dtypes, other levels, errors) to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from sys import modules
from typing import Any

import numpy as np

from chainrule.core.call.misfits import oversized
from chainrule.core.call.silence import hush, unhush
from chainrule.core.call.threads import large
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import ELEMENTWISE, TABLE, Op
from chainrule.core.op.native import NATIVE
from chainrule.core.op.raw import shape_of
from chainrule.core.record.plans import finish
from chainrule.core.tensor.subclass import overrides
from chainrule.core.tensor.tensor import GradTracking, Tensor, wrap
from chainrule.core.tensor.unresolved import with_bit
from chainrule.core.tensor.value import memory_of, numpy_dtype, on_memory_of
from chainrule.core.types import dtype as dtypes
from chainrule.core.types import shape as shapes_

ndarray = np.ndarray
complex64, complex128 = np.complex64, np.complex128
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
COMMON: frozenset[Any] = frozenset((dtypes.float32, dtypes.float64))
NUMBERS: frozenset[Any] = frozenset((float, int, bool, complex))
# Those that `explained` explains.
KERNEL_ERRORS = (ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError, MemoryError)
OPERANDS = (Tensor, ndarray, np.generic, int, float, complex)


GENERAL: Counter[str] = Counter()  # how often an op came to `run`: a test's proof that a hot path was taken, or was not


def run(op: Op, args: tuple, params: dict) -> Any:
    """Run an op at the highest level among its arguments; on raw values alone, just its kernel."""
    level, top = -1, None
    for a in args:
        if isinstance(a, Tensor) and a._level > level:
            level, top = a._level, a
    if level < 0:
        return op.backend.kernel(*args, **params)
    GENERAL[op.name] += 1
    tracer = modes().tracer
    if tracer is not None and level <= tracer.level and tracer.takes(args):
        return tracer.process(op, args, params)
    if level:
        return top._process(op, args, params)  # type: ignore[union-attr]
    if op.view and (args[0]._bit or op.computes):
        return view_of_stored(op, args[0], params)
    payloads = [a._data if isinstance(a, Tensor) else a for a in args]
    if op.view and payloads[0].__class__ is not ndarray:
        payloads[0] = memory_of(args[0])
    return finish(op, args, params, 0, compute(op, payloads, params, args))


def view_of_stored(op: Op, x: Tensor, params: dict) -> Any:
    """Run a view of a plain tensor on its memory, and have the result's values read from that as its bit says."""
    bit = x._bit if op.bit is None else op.bit(x._bit)
    if bit is None or modes().watchers:  # a copy: it needs the values, or who watches does
        x = TABLE["clone"].call(x)
        return (TABLE["conj"] if op.computes else op).call(x, **params)
    outs = _compute(op, [memory_of(x)], params, (x,), op.stored)
    made = finish(op, (x,), params, 0, outs)
    for t in made if made.__class__ is tuple else (made,):
        with_bit(t, bit)
    return made


def compute(op: Op, payloads: list, params: dict, args: tuple) -> Any:
    """Run an op's kernel on the raw payloads of `args`, silently; explain its errors."""
    watchers = modes().watchers
    return seen(watchers, op, payloads, params, args) if watchers else _compute(op, payloads, params, args)


def seen(watchers: tuple, op: Op, payloads: list, params: dict, args: tuple, kernel: Callable | None = None) -> Any:
    """Run an op's kernel, or another for it, where watchers see it and whose payloads it gets."""
    for watcher in watchers:
        watcher.given(op, args)
    return watched(watchers, op, payloads, params, args, kernel)


def watched(watchers: tuple, op: Op, payloads: list, params: dict, args: tuple, kernel: Callable | None = None) -> Any:
    """Run an op's kernel inside the watchers, each of which may do without it."""
    if not watchers:
        return _compute(op, payloads, params, args, kernel)
    return watchers[-1].around(op, payloads, params, lambda: watched(watchers[:-1], op, payloads, params, args, kernel))


def _compute(op: Op, payloads: list, params: dict, args: tuple, kernel: Callable | None = None) -> Any:
    token = hush()
    try:
        if op.kind == ELEMENTWISE and kernel is None and payloads[0].__class__ is ndarray and payloads[0].size >= NATIVE:
            return large(op.backend, *payloads, **params)
        return (kernel or op.backend.kernel)(*payloads, **params)
    except KERNEL_ERRORS as error:
        raise explained(op, args, error) from error
    finally:
        unhush(token)


def process_recorded(self: Tensor, op: Op, args: tuple, params: dict) -> Any:
    """Run an op at a reverse-mode level above 0: on the payloads one level down, then record."""
    level = self._level
    payloads = [a._data if isinstance(a, Tensor) and a._level == level else a for a in args]
    raw = payloads
    if modes().clear:  # nothing looks at what is done with captured tensors; those that are recorded themselves stay
        raw = [p._data if isinstance(p, Tensor) and p._plain and p._node is None else p for p in payloads]
    if any([isinstance(p, Tensor) for p in raw]):
        # What is below may be recorded, and is to notice writes to what it saves.
        lower = [
            on_memory_of(a, p) if p.__class__ is ndarray and p is not a else p for a, p in zip(args, payloads, strict=True)
        ]
        outs = run(op, tuple(lower), params)
    else:
        outs = compute(op, raw, params, args)
    return finish(op, args, params, level, outs)


GradTracking._process = process_recorded  # type: ignore[attr-defined]


def explained(op: Op, args: tuple, error: Exception) -> Exception:
    """Return the error to raise for a kernel's: PyTorch's type, naming op, shapes and dtypes."""
    if op.kind == ELEMENTWISE:
        shapes_.broadcast(*[shape_of(a) for a in args])
    if (found := oversized(error)) is not None:
        return found
    if isinstance(error, OverflowError):
        return OverflowError(f"int too big to convert: {error} (in {op.name})")
    if isinstance(error, TypeError) and str(error).startswith("ufunc"):  # NumPy's, of a dtype that it does not take
        named = next((a.dtype.old_name for a in args if isinstance(a, Tensor)), "Float")
        return NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{named}'")
    given = ", ".join(f"{a.dtype} {list(a.shape)}" if isinstance(a, Tensor) else type(a).__name__ for a in args)
    kind = IndexError if isinstance(error, IndexError) else RuntimeError
    return kind(f"{op.name}(): {error} (called with {given})")


# -- promotion ---------------------------------------------------------------------------------------------------------


def lift(value: Any, op_name: str = "op", position: int = 0) -> Any:
    """Return a tensor or a Python number for anything a public function accepts.

    Raises
    ------
    TypeError
        For other types, in PyTorch's words.
    """
    if isinstance(value, Tensor) or value.__class__ in NUMBERS:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, ndarray):
        dtypes.of(value.dtype)
        return wrap(value)
    if isinstance(value, (bool, int, float, complex)):
        return value
    declined(value)
    names = ("input", "other")
    raise TypeError(
        f"{op_name}(): argument '{names[position] if position < 2 else f'argument {position}'}' (position {position + 1}) "
        f"must be Tensor, not {type(value).__name__}"
    )


def declined(value: Any) -> Any:
    """Return NotImplemented for a foreign operand.

    Raises
    ------
    TypeError
        If its type has ``__torch_function__``, and nothing has had public functions look for that yet.
    """
    if "chainrule.overrides" not in modules and overrides(type(value)):
        import_module("chainrule.overrides")
        raise TypeError(
            f"{type(value).__name__} overrides functions by __torch_function__, which chainrule only looks for once it is "
            "asked to: import chainrule.overrides before the first such call (it has been imported now)"
        )
    return NotImplemented


def as_tensor(value: Any, op_name: str = "op", position: int = 0) -> Tensor:
    """Return a tensor for anything a public function accepts; Python numbers take their default dtype."""
    if isinstance(value, Tensor):
        return value
    value = lift(value, op_name, position)
    if value.__class__ in NUMBERS or not isinstance(value, Tensor):
        return wrap(dtypes.of_number(value).numpy.type(value))
    return value


def in_full(value: Any, op_name: str = "op", position: int = 0) -> Tensor:
    """Return a tensor as :func:`as_tensor` does, of a Python number in full precision: of what is cast to a dtype next."""
    value = lift(value, op_name, position)
    if value.__class__ is float:
        return wrap(np.float64(value))
    if value.__class__ is complex:
        return wrap(np.complex128(value))
    return as_tensor(value, op_name, position)


def common_dtype(args: Any) -> dtypes.dtype:
    """Return the dtype that tensors and Python numbers compute in together (PyTorch's `result_type`)."""
    if agree(args):
        return next(a for a in args if isinstance(a, Tensor)).dtype
    dimensioned: list[dtypes.dtype] = []
    zero_dim: list[dtypes.dtype] = []
    numbers: list[dtypes.dtype] = []
    for a in args:
        if isinstance(a, Tensor):
            (dimensioned if a.ndim else zero_dim).append(a.dtype)
        else:
            numbers.append(dtypes.of_number(a))
    return dtypes.result_type(dimensioned, zero_dim, numbers)


def cast(t: Any, d: dtypes.dtype) -> Any:
    """Return a tensor in another dtype, recorded; Python numbers stay weak."""
    if isinstance(t, Tensor) and t.dtype is not d:
        return TABLE["to"].call(t, dtype=d.numpy, source=t.dtype.numpy)
    return t


def promoted(op: Op, args: tuple) -> tuple:
    """Return the arguments of an elementwise op, all tensors among them cast to the dtype it computes in."""
    if op.check is None:
        if agree(args):
            return args
        if len(args) == 2 and op.promotion != "free" and (found := _beside_a_number(*args)) is not None:
            return found
    lifted = [lift(a, op.name, i) for i, a in enumerate(args)]
    if not any(isinstance(a, Tensor) for a in lifted):
        lifted = [as_tensor(a) for a in lifted]
    if op.check is not None:
        op.check(*lifted)
    if op.promotion == "free":
        return tuple(lifted)
    d = common_dtype(lifted)
    if op.promotion == "float" and d.category < dtypes.FLOAT:
        d = dtypes.get_default_dtype()
    if d.category >= dtypes.FLOAT and "bifc"[d.category] not in op.kinds:
        raise NotImplementedError(f"\"{op.name}\" not implemented for '{d.old_name}'")
    if d.numpy.isbuiltin != 1:  # NumPy's own dtypes take Python numbers as weak; ml_dtypes' bfloat16 would widen
        return tuple([cast(a, d) if isinstance(a, Tensor) else d.numpy.type(a) for a in lifted])
    if d.category == dtypes.INT and op.promotion == "same":
        return tuple([cast(a, d) if isinstance(a, Tensor) else wrapped(a, d) for a in lifted])
    return tuple([cast(a, d) for a in lifted])


def _beside_a_number(x: Any, y: Any) -> tuple | None:
    """Return two tensors of the common dtypes, of which one has no axis and so takes the other's; None for other operands."""
    if isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype in COMMON and y.dtype in COMMON:
        if not x.ndim and y.ndim:
            return cast(x, y.dtype), y
        if not y.ndim and x.ndim:
            return x, cast(y, x.dtype)
    return None


def wrapped(number: Any, d: dtypes.dtype) -> Any:
    """Return a Python integer as an integer dtype holds it: modulo its range, as C converts it, where 64 bits hold it."""
    if number.__class__ is not int or not -(1 << 63) <= number < 1 << 63:
        return number
    bits = 8 * d.itemsize
    kept = number & ((1 << bits) - 1)
    return kept - (1 << bits) if d.is_signed and kept >> (bits - 1) else kept


def agree(args: tuple) -> bool:
    """Tell whether the arguments are tensors of one of the two common dtypes, and Python floats and ints."""
    d = None
    for a in args:
        if isinstance(a, Tensor):
            found = numpy_dtype(a)
            if d is None:
                d = found
            if d is not found:
                return False
        elif a.__class__ is not float and a.__class__ is not int:
            return False
    return d is float32 or d is float64

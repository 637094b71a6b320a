"""How an op is called: one look at the arguments' classes, the kernel, and a node if something requires grad.

`run` handles every op at every level. The closures of `make_call` do the same for elementwise ops on plain tensors
in a third of the time, and leave all else (mixed dtypes, other levels, errors) to the slow path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core import dtype as dtypes
from chainrule.core import shape as shapes_
from chainrule.core.graph import LEAF, Node, new, next_id
from chainrule.core.mode import STATE
from chainrule.core.op import ELEMENTWISE, TABLE, Op
from chainrule.core.quiet import hush, unhush
from chainrule.core.record import finish, is_complex, plan_for, refuse_inference, shape_of
from chainrule.core.tensor import Tensor, Tracked, array_of, version_of, wrap

ndarray = np.ndarray
NUMBERS = frozenset((float, int, bool, complex))


def run(op: Op, args: tuple, params: dict) -> Any:
    """Run an op at the highest level among its arguments; on raw values alone, just its kernel."""
    level, top = -1, None
    for a in args:
        if isinstance(a, Tensor) and a._level > level:
            level, top = a._level, a
    if level < 0:
        return op.kernel(*args, **params)
    if level:
        return top._process(op, args, params)  # type: ignore[union-attr]
    payloads = [a._data if isinstance(a, Tensor) else a for a in args]
    if op.view and payloads[0].__class__ is not ndarray:
        payloads[0] = array_of(args[0])
    token = hush()
    try:
        outs = op.kernel(*payloads, **params)
    except (ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError) as error:
        raise explained(op, args, error) from error
    finally:
        unhush(token)
    return finish(op, args, params, 0, outs)


def process_tracked(self: Tensor, op: Op, args: tuple, params: dict) -> Any:
    """Run an op at a reverse-mode level above 0: on the payloads one level down, then record."""
    level = self._level
    payloads = tuple([a._data if isinstance(a, Tensor) and a._level == level else a for a in args])
    return finish(op, args, params, level, run(op, payloads, params))


Tracked._process = process_tracked  # type: ignore[attr-defined]


def explained(op: Op, args: tuple, error: Exception) -> Exception:
    """Return the error to raise for a kernel's: PyTorch's type, naming op, shapes and dtypes."""
    if op.kind == ELEMENTWISE:
        shapes_.broadcast(*[shape_of(a) for a in args])
    if isinstance(error, OverflowError):
        return RuntimeError(f"value cannot be converted to the tensor's dtype without overflow: {error} (in {op.name})")
    given = ", ".join(
        f"{a.dtype} {list(a.shape)}" if isinstance(a, Tensor) else type(a).__name__ for a in args
    )
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
    names = ("input", "other")
    raise TypeError(
        f"{op_name}(): argument '{names[position] if position < 2 else f'argument {position}'}' (position {position + 1}) "
        f"must be Tensor, not {type(value).__name__}"
    )


def as_tensor(value: Any, op_name: str = "op", position: int = 0) -> Tensor:
    """Return a tensor for anything a public function accepts; Python numbers take their default dtype."""
    if isinstance(value, Tensor):
        return value
    value = lift(value, op_name, position)
    if value.__class__ in NUMBERS or not isinstance(value, Tensor):
        return wrap(dtypes.of_number(value).numpy.type(value))
    return value


def common_dtype(args: Any) -> dtypes.dtype:
    """Return the dtype that tensors and Python numbers compute in together (PyTorch's `result_type`)."""
    dimensioned, zero_dim, numbers = [], [], []
    for a in args:
        if isinstance(a, Tensor):
            (dimensioned if a.ndim else zero_dim).append(a.dtype)
        else:
            numbers.append(dtypes.of_number(a))
    return dtypes.result_type(dimensioned, zero_dim, numbers)


def cast(t: Any, d: dtypes.dtype) -> Any:
    """Return a tensor in another dtype, recorded; Python numbers stay weak."""
    if isinstance(t, Tensor) and t.dtype is not d:
        return TABLE["to"].call(t, dtype=d.numpy)
    return t


def promoted(op: Op, args: tuple) -> tuple:
    """Return the arguments of an elementwise op, all tensors among them cast to the dtype it computes in."""
    lifted = [lift(a, op.name, i) for i, a in enumerate(args)]
    if not any(isinstance(a, Tensor) for a in lifted):
        lifted = [as_tensor(a) for a in lifted]
    d = common_dtype(lifted)
    if op.dtype == "float" and d.category < dtypes.FLOAT:
        d = dtypes.get_default_dtype()
    if d.category == dtypes.COMPLEX and "c" not in op.kinds:
        raise RuntimeError(f'"{op.name}" not implemented for \'{d.old_name}\'')
    return tuple([cast(a, d) for a in lifted])


# -- calls -------------------------------------------------------------------------------------------------------------


def make_call(op: Op, public: bool = False) -> Callable:
    """Return the function that calls an op.

    The rule book's function (`public` False) maps raw arrays to raw arrays. The public one makes tensors of them first.
    Both map tensors to tensors, with promotion for elementwise ops.
    """
    if op.kind != ELEMENTWISE:

        def call(*args: Any, **params: Any) -> Any:
            return run(op, args, params)

        return call

    def slow(*args: Any, **params: Any) -> Any:
        if not public and not any([isinstance(a, Tensor) for a in args]):
            return op.kernel(*args, **params)
        return run(op, promoted(op, args), params)

    if op.params or op.variadic or len(op.inputs) > 2 or op.dtype == "free":
        return slow
    return (_unary if len(op.inputs) == 1 else _binary)(op, slow)


def _unary(op: Op, slow: Callable) -> Callable:
    kernel = op.kernel
    same = op.dtype != "bool"
    real_only = "c" not in op.kinds
    plans: list = [None, None]
    differentiable = op.is_differentiable

    def call(x: Any) -> Any:
        if x.__class__ is not Tensor:
            return slow(x)
        a = x._data
        token = hush()
        try:
            out = kernel(a)
        except TypeError:
            return slow(x)
        finally:
            unhush(token)
        d = out.dtype
        if (same and d is not a.dtype) or (real_only and a.dtype.kind == "c"):
            return slow(x)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        t._meta = STATE.meta
        n = x._node
        if n is None or not differentiable or not STATE.record:
            t._node = None
            return t
        plan = plans[d.kind == "c"]
        if plan is None:
            plan = plans[d.kind == "c"] = plan_for(op, (True,), d.kind == "c")
        node = new(Node)
        node.id = next_id()
        node.op = op
        node.plan = plan
        node.edges = (x if n is LEAF else n,)
        node.saved = (x,) if plan.saves[0] else _NOTHING[1]
        node.hooks = node.shapes = node.version = None
        node.params = _NO_PARAMS
        if d.kind == "c":
            node.shapes = (shape_of(a),)
        if plan.saves_out:
            node.out = out
            if out.__class__ is ndarray:
                node.version = version_of(t)
        else:
            node.out = None
        t._node = node
        return t

    call.__name__ = call.__qualname__ = op.name
    return call


_NOTHING = ((), (None,), (None, None))
_NO_PARAMS: dict = {}


def _binary(op: Op, slow: Callable) -> Callable:
    kernel = op.kernel
    same = op.dtype != "bool"
    real_only = "c" not in op.kinds
    plans: list = [None] * 8
    differentiable = op.is_differentiable
    has_x, has_y = (rule is not None for rule in op.rules)

    def call(x: Any, y: Any) -> Any:
        ny = None
        if x.__class__ is Tensor:
            a = x._data
            nx = x._node if has_x else None
            if y.__class__ is Tensor:
                b = y._data
                if a.dtype is not b.dtype:
                    return slow(x, y)
                if has_y:
                    ny = y._node
            elif y.__class__ in NUMBERS:
                b = y
            else:
                return slow(x, y)
        elif x.__class__ in NUMBERS and y.__class__ is Tensor:
            a = x
            b = y._data
            nx = None
            if has_y:
                ny = y._node
        else:
            return slow(x, y)
        token = hush()
        try:
            out = kernel(a, b)
        except (ValueError, TypeError, OverflowError, ZeroDivisionError):
            return slow(x, y)
        finally:
            unhush(token)
        d = out.dtype
        if (same and d is not (b.dtype if a is x else a.dtype)) or (
            real_only and (d.kind == "c" if same else is_complex(a) or is_complex(b))
        ):
            return slow(x, y)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        t._meta = STATE.meta
        if (nx is None and ny is None) or not differentiable or not STATE.record:
            t._node = None
            return t
        code = (nx is not None) + 2 * (ny is not None) + 4 * (d.kind == "c")
        plan = plans[code]
        if plan is None:
            plan = plans[code] = plan_for(op, (nx is not None, ny is not None), d.kind == "c")
        node = new(Node)
        node.id = next_id()
        node.op = op
        node.plan = plan
        node.edges = (x if nx is LEAF else nx, y if ny is LEAF else ny)
        if plan.keeps:
            sx, sy = plan.saves
            node.saved = (x if sx else None, y if sy else None)
            if code != 3:
                refuse_inference(node.saved)
        else:
            node.saved = _NOTHING[2]
        node.hooks = node.version = None
        node.params = _NO_PARAMS
        if a is x or b is y:
            node.shapes = None if code < 4 else (shape_of(a), shape_of(b))
        else:
            sa, sb = a.shape, b.shape
            node.shapes = None if sa == sb and code < 4 else (sa, sb)
        if plan.saves_out:
            node.out = out
            if out.__class__ is ndarray:
                node.version = version_of(t)
        else:
            node.out = None
        t._node = node
        return t

    call.__name__ = call.__qualname__ = op.name
    return call

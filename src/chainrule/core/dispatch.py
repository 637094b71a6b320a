"""How an op is called: one look at the arguments' classes, the kernel, and a node if something requires grad.

`run` handles every op at every level. The closures of `make_call` do the same for elementwise ops on plain tensors
in a third of the time, and leave all else (mixed dtypes, other levels, errors) to the slow path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core import dtype as dtypes
from chainrule.core import shape as shapes_
from chainrule.core.graph import LEAF, Node, new, next_id
from chainrule.core.mode import STATE
from chainrule.core.op import ELEMENTWISE, IN, LINEAR, OUT, TABLE, Op
from chainrule.core.parallel import LARGE, blockwise
from chainrule.core.quiet import hush, unhush
from chainrule.core.record import finish, plan_for, refuse_inference, shape_of
from chainrule.core.tensor import Tensor, Tracked, array_of, innermost, version_of, wrap

ndarray = np.ndarray
complex64, complex128 = np.complex64, np.complex128
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
NUMBERS: frozenset[Any] = frozenset((float, int, bool, complex))
OPERANDS = (Tensor, ndarray, np.generic, int, float, complex)


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
    return finish(op, args, params, 0, compute(op, payloads, params, args))


def compute(op: Op, payloads: list, params: dict, args: tuple) -> Any:
    """Run an op's kernel on the raw payloads of `args`, silently; explain its errors."""
    token = hush()
    try:
        return op.kernel(*payloads, **params)
    except (ValueError, TypeError, OverflowError, IndexError, ZeroDivisionError) as error:
        raise explained(op, args, error) from error
    finally:
        unhush(token)


def process_tracked(self: Tensor, op: Op, args: tuple, params: dict) -> Any:
    """Run an op at a reverse-mode level above 0: on the payloads one level down, then record."""
    level = self._level
    payloads = [a._data if isinstance(a, Tensor) and a._level == level else a for a in args]
    if any([isinstance(p, Tensor) for p in payloads]):
        outs = run(op, tuple(payloads), params)
    else:
        outs = compute(op, payloads, params, args)
    return finish(op, args, params, level, outs)


Tracked._process = process_tracked  # type: ignore[attr-defined]


def explained(op: Op, args: tuple, error: Exception) -> Exception:
    """Return the error to raise for a kernel's: PyTorch's type, naming op, shapes and dtypes."""
    if op.kind == ELEMENTWISE:
        shapes_.broadcast(*[shape_of(a) for a in args])
    if isinstance(error, OverflowError):
        return RuntimeError(f"value cannot be converted to the tensor's dtype without overflow: {error} (in {op.name})")
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
        return TABLE["to"].call(t, dtype=d.numpy, source=t.dtype.numpy)
    return t


def promoted(op: Op, args: tuple) -> tuple:
    """Return the arguments of an elementwise op, all tensors among them cast to the dtype it computes in."""
    if op.check is None and _agree(args):
        return args
    lifted = [lift(a, op.name, i) for i, a in enumerate(args)]
    if not any(isinstance(a, Tensor) for a in lifted):
        lifted = [as_tensor(a) for a in lifted]
    if op.check is not None:
        op.check(*lifted)
    if op.dtype == "free":
        return tuple(lifted)
    d = common_dtype(lifted)
    if op.dtype == "float" and d.category < dtypes.FLOAT:
        d = dtypes.get_default_dtype()
    if d.category >= dtypes.FLOAT and "bifc"[d.category] not in op.kinds:
        raise NotImplementedError(f"\"{op.name}\" not implemented for '{d.old_name}'")
    if d.numpy.isbuiltin != 1:  # NumPy's own dtypes take Python numbers as weak; ml_dtypes' bfloat16 would widen
        return tuple([cast(a, d) if isinstance(a, Tensor) else d.numpy.type(a) for a in lifted])
    return tuple([cast(a, d) for a in lifted])


def _agree(args: tuple) -> bool:
    """Tell whether the arguments are tensors of one of the two common dtypes, and Python floats and ints."""
    d = None
    for a in args:
        if isinstance(a, Tensor):
            found = innermost(a).dtype
            if d is None:
                d = found
            if d is not found:
                return False
        elif a.__class__ is not float and a.__class__ is not int:
            return False
    return d is float32 or d is float64


# -- calls -------------------------------------------------------------------------------------------------------------


def make_call(op: Op) -> Callable:
    """Return the rule book's function for an op: raw arrays in, raw array out; tensors in, tensor out."""
    if op.kind == LINEAR and len(op.inputs) == 1 and op.rules[0] is not None and not (op.view or op.variadic):
        return _linear(op)
    if op.kind != ELEMENTWISE:
        if len(op.inputs) > 1 and op.is_differentiable and not (op.view or op.variadic):
            return _fixed(op)
        return lambda *args, **params: run(op, args, params)

    fast = make_public(op)

    def call(*args: Any, **params: Any) -> Any:
        for a in args:
            if isinstance(a, Tensor):
                return fast(*args, **params)
        return op.kernel(*args, **params)

    return call


def make_public(op: Op) -> Callable:
    """Return the public function of an elementwise op: tensors, arrays or numbers in, tensor out, with promotion."""

    def slow(*args: Any, **params: Any) -> Any:
        return run(op, promoted(op, args), params)

    one_sided = len(op.inputs) == 2 and op.rules.count(None) == 1
    if op.params or op.variadic or len(op.inputs) > 2 or op.dtype == "free" or one_sided:
        return slow
    return (_unary if len(op.inputs) == 1 else _binary)(op, slow)


def make_operator(op: Op) -> Callable:
    """Return the method behind a binary operator: as the public function, but NotImplemented for foreign operands."""

    def slow(x: Any, y: Any) -> Any:
        if isinstance(x, OPERANDS) and isinstance(y, OPERANDS):
            return run(op, promoted(op, (x, y)), {})
        return NotImplemented

    return _binary(op, slow)


def make_reflected(op: Op) -> Callable:
    """Return the method behind a reflected binary operator."""
    call = make_operator(op)
    return lambda self, other: call(other, self)


def _linear(op: Op) -> Callable:
    """Return the rule book's function for a linear op of one array that is no view: `run` in half the time."""
    kernel = op.kernel
    plans: list = [None, None]

    def call(x: Any, **params: Any) -> Any:
        if x.__class__ is ndarray:
            return kernel(x, **params)
        if x.__class__ is not Tensor or not STATE.plain:
            return run(op, (x,), params)
        a, n = x._data, x._node
        token = hush()
        try:
            out = kernel(a, **params)
        except (ValueError, TypeError, ArithmeticError, IndexError) as error:
            raise explained(op, (x,), error) from error
        finally:
            unhush(token)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = t._meta = t._node = None
        if n is None:
            return t
        kind = out.dtype.kind
        if kind in "biu":
            return t
        is_c = kind == "c"
        node = new(Node)
        node.id = next_id()
        plan = node.plan = plans[is_c] or first_plan(op, plans, is_c, (True,), is_c)
        node.edge = (x if n is LEAF else n,)
        node.params = params
        node.hooks = node.out = node.version = None
        node.saved = (x if plan.saves[0] else None,)
        node.shapes = (a.shape,) if plan.wants_shapes else None
        t._node = node
        return t

    return call


def _fixed(op: Op) -> Callable:
    """Return the rule book's function for an op of several arrays that is no view: `run` in half the time."""
    kernel = op.kernel
    rules = op.rules
    plans: dict[tuple, Any] = {}

    def call(*args: Any, **params: Any) -> Any:
        data = []
        for a in args:
            if a.__class__ is not Tensor:
                return run(op, args, params)
            data.append(a._data)
        if not STATE.plain:
            return run(op, args, params)
        token = hush()
        try:
            out = kernel(*data, **params)
        except (ValueError, TypeError, ArithmeticError, IndexError) as error:
            raise explained(op, args, error) from error
        finally:
            unhush(token)
        if out.__class__ is tuple or out.__class__ is list:
            return finish(op, args, params, 0, out)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = t._meta = t._node = None
        edges = [a if a._node is LEAF else a._node for a in args]
        nodes = tuple([None if r is None else e for e, r in zip(edges, rules, strict=True)])
        kind = out.dtype.kind
        if kind in "biu" or nodes.count(None) == len(nodes):
            return t
        key = (*[n is not None for n in nodes], kind == "c")
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = plan_for(op, key[:-1], key[-1])
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = nodes
        node.params = params
        node.hooks = node.out = node.version = None
        node.saved = tuple([a if keep else None for a, keep in zip(args, plan.saves, strict=True)])
        for a in args:
            if a._meta is not None:
                refuse_inference(node.saved)
                break
        node.shapes = tuple([d.shape for d in data]) if plan.wants_shapes else None
        if plan.saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
        t._node = node
        return t

    return call


def _unary(op: Op, slow: Callable) -> Callable:
    kernel, calm = op.kernel, op.calm
    keeps_dtype = op.dtype != "bool"
    real_only = "c" not in op.kinds
    rule = op.rules[0]
    saves_x = rule is not None and rule.uses(IN, 0)
    saves_out = rule is not None and rule.uses(OUT)
    plans: list = [None, None]

    def call(input: Any) -> Any:
        if input.__class__ is not Tensor:
            return slow(input)
        a = input._data
        c = a.__class__
        token = None if calm else hush()
        try:
            out = kernel(a) if c is not ndarray or a.size < LARGE else blockwise(kernel, a)
        except (TypeError, ArithmeticError, RuntimeWarning):
            return slow(input)
        finally:
            if token is not None:
                unhush(token)
        if c is ndarray:
            d = a.dtype
            if keeps_dtype and out.dtype is not d:
                return slow(input)
            is_c = d is not float32 and d is not float64 and d.kind == "c"
        else:
            if keeps_dtype and out.__class__ is not c:
                return slow(input)
            is_c = c is complex64 or c is complex128
        if is_c and real_only:
            return slow(input)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        n = input._node
        if STATE.plain:
            t._meta = None
            if n is None or rule is None:
                t._node = None
                return t
        else:
            t._meta = STATE.meta
            t._node = None
            return t
        node = new(Node)
        node.id = next_id()
        node.plan = plans[is_c] or first_plan(op, plans, is_c, (True,), is_c)
        node.edge = input if n is LEAF else n
        node.hooks = None
        if saves_x:
            node.saved = input
        if saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
            if not saves_x:
                node.saved = ()
        t._node = node
        return t

    return call


def first_plan(op: Op, plans: list, slot: int, mask: tuple, conjugate: bool) -> Any:
    """Return an op's plan, and keep it in the closure's own list."""
    plan = plans[slot] = plan_for(op, mask, bool(conjugate))
    return plan


_NOTHING = (None, None)


def _binary(op: Op, slow: Callable) -> Callable:
    kernel, calm = op.kernel, op.calm
    keeps_dtype = op.dtype != "bool"
    real_only = "c" not in op.kinds
    nondiff = not op.is_differentiable
    plans: list = [None] * 8

    def call(input: Any, other: Any) -> Any:
        if input.__class__ is Tensor:
            a = input._data
            nx = input._node
            d = a.dtype
            if other.__class__ is Tensor:
                b = other._data
                if d is not b.dtype:
                    return slow(input, other)
                ny = other._node
            elif other.__class__ in NUMBERS:
                b = other
                ny = None
            else:
                return slow(input, other)
        elif input.__class__ in NUMBERS and other.__class__ is Tensor:
            a = input
            b = other._data
            nx = None
            ny = other._node
            d = b.dtype
        else:
            return slow(input, other)
        token = None if calm else hush()
        try:
            out = kernel(a, b)
        except (ValueError, TypeError, ArithmeticError, RuntimeWarning):
            return slow(input, other)
        finally:
            if token is not None:
                unhush(token)
        if keeps_dtype and out.dtype is not d:
            return slow(input, other)
        is_c = d is not float32 and d is not float64 and d.kind == "c"
        if real_only and (is_c or a.__class__ is complex or b.__class__ is complex):
            return slow(input, other)
        t = new(Tensor)
        t._data = out
        t._ver = t._view = None
        if STATE.plain:
            t._meta = None
            if (nx is None and ny is None) or nondiff:
                t._node = None
                return t
        else:
            t._meta = STATE.meta
            t._node = None
            return t
        code = 4 * is_c
        if nx is not None:
            code += 1
            if nx is LEAF:
                nx = input
        if ny is not None:
            code += 2
            if ny is LEAF:
                ny = other
        plan = plans[code] or first_plan(op, plans, code, (nx is not None, ny is not None), is_c)
        node = new(Node)
        node.id = next_id()
        node.plan = plan
        node.edge = (nx, ny)
        node.hooks = None
        if plan.keeps:
            sx, sy = plan.saves
            node.saved = (input if sx else None, other if sy else None)
            if code & 3 != 3:
                for value in node.saved:
                    if value.__class__ is Tensor and value._meta is not None:
                        refuse_inference(node.saved)
        else:
            node.saved = _NOTHING
        if a.__class__ is ndarray and b.__class__ is ndarray:
            sa, sb = a.shape, b.shape
            node.shapes = None if sa == sb else (sa, sb)
        elif a is input or b is other or (a.__class__ is not ndarray and b.__class__ is not ndarray):
            node.shapes = None
        else:
            node.shapes = (a.shape, b.shape)
        if plan.saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
        t._node = node
        return t

    return call

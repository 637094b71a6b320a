"""The hot path: what runs and records an op in a third of the time of `dispatch.run`, made for each op from one template.

Read `HOT_PATH`: look once at the arguments, call the kernel, wrap the result, make the node. It is filled in for each form of
op, for plain tensors and for values inside ``func.grad`` whose payloads are raw arrays (`GradTracking`). Whatever is out of the
ordinary (other levels, mixed dtypes, modes, foreign operands) is left to `slow`: from the path of plain tensors to that of
tracked ones, from there to `dispatch.run`, which does the same for everything. A law (``testing.paths``) holds results and
nodes of all paths equal, field by field.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.core.call.dispatch import KERNEL_ERRORS, NUMBERS, explained
from chainrule.core.call.silence import hush, unhush
from chainrule.core.call.threads import large
from chainrule.core.graph.nodes import LEAF, NOTHING, Node, new, next_id
from chainrule.core.mode.grad_mode import modes
from chainrule.core.op.declaration import ELEMENTWISE, Op
from chainrule.core.op.native import NATIVE
from chainrule.core.op.source import Template, Written, compiled, copied
from chainrule.core.record.plans import UNRECORDED, Plan, finish, needs_of, plan_for, shared_version
from chainrule.core.tensor.tensor import GradTracking, Tensor, wrap
from chainrule.core.tensor.value import array_of, marked_as, version_of

# Of argument number 0: a0 is its payload, n0 what recorded it (None, LEAF, a node or a port), s0 whether a rule needs it.
# An elementwise op of several inputs is `mixed`: some may be Python numbers. Those of other ops, but the first, may be None.
HOT_PATH = Template(
    """
def call({signature}):
    % if takes_out:
    if out is not None:
        return general({args}, out=out{given})
    % end
    % if tracked:
    level = 0
    % end
    % for i, x in inputs:
    % if tracked:
    if {x}.__class__ is GradTracking and (not level or {x}._lv == level):
        level = {x}._lv
    % else:
    if {x}.__class__ is Tensor:
    % end
        a{i} = {x}._data
        n{i} = {x}._node
    % if mixed and i < len(inputs) - 1:
    elif {x}.__class__ in numbers:
        a{i} = {x}
        n{i} = None
    % elif mixed:
    elif {x}.__class__ in numbers and ({has_tensor}):
        a{i} = {x}
        n{i} = None
    % elif i and not elementwise:
    elif {x} is None:
        a{i} = n{i} = None
    % end
    % if tracked:
    elif isinstance({x}, Tensor) and {x}._plain and {x}._node is None:  # captured, and not recorded below as well
    % elif view:
    elif isinstance(x0, Tensor) and x0._plain and not x0._bit:
    % else:
    elif isinstance({x}, Tensor) and {x}._plain:
    % end
        a{i} = {x}._data
        n{i} = {x}._node
    else:
        return {slow}
    % end
    m = modes()
    % if tracked:
    if not level or not m.clear or m.floor > level:
    % else:
    if m.detour:
    % end
        return {slow}
    % if tracked:
    % for i, x in inputs:
    if isinstance(a{i}, Tensor):  # a value of a lower transform
        return {slow}
    % end
    % end
    % if mixed and typed and len(inputs) > 2:
    d = None
    % for i, x in inputs:
    if a{i} is not {x}:
        if d is None:
            d = a{i}.dtype
        elif a{i}.dtype is not d:
            return {slow}
    % end
    % elif mixed and typed:
    d = a1.dtype if a0 is input else a0.dtype
    if a1 is not {inputs[1][1]} and a1.dtype is not d:
        return {slow}
    % elif view:
    if a0.__class__ is not ndarray:
    % if tracked:
        return {slow}
    % else:
        a0 = array_of(x0)
    % end
    % end
    % if typed:
    % if single:
    code = 1
    % else:
    is_complex = False
    % end
    % if mixed:
    if d is not float32 and d is not float64:
    % else:
    c = a0.__class__
    d = c if c is single or c is double else a0.dtype  # a scalar's class stands for its dtype, which takes 30 ns to read
    if d is not c and d is not float32 and d is not float64:
    % end
        if d.kind in refused:
            return {slow}
        % if single:
        if d.kind == "c":
            code = 3
        % else:
        is_complex = d.kind == "c"
        % end
    % end

    % if not view:
    token = None if calm else hush()
    % end
    try:
        % if typed and single:
        out = large(backend, {payloads}) if fuses and c is ndarray and a0.size >= NATIVE else kernel({payloads})
        % elif elementwise:
        out = large(backend, {payloads}) if fuses and a0.__class__ is ndarray and a0.size >= NATIVE else kernel({payloads})
        % else:
        out = kernel({payloads})
        % end
    % if elementwise:
    except (ValueError, TypeError, ArithmeticError, MemoryError, RuntimeWarning):
        return {slow}
    % else:
    except KERNEL_ERRORS as error:
        raise explained(op, ({args},), error) from error
    % end
    % if not view:
    finally:
        if token is not None:
            unhush(token)
    % end
    % if mixed and typed:
    if keeps_dtype and out.dtype is not d:
        return {slow}
    % elif typed:
    if keeps_dtype and (out.__class__ if d is c else out.dtype) is not d:
        return {slow}
    % else:
    if out.__class__ is {"not ndarray" if view else "tuple or out.__class__ is list"}:
        return finish(op, ({args},), {params}, {"level" if tracked else "0"}, out)
    % end

    % if tracked:
    t = new(GradTracking)
    t._lv = level
    % else:
    t = new(Tensor)
    % end
    t._data = out
    t._meta = m.meta
    % if view:
    if x0._meta is not None{"" if tracked else " or t._meta is not None"}:
        % if tracked:
        marked_as(t, x0)
        % else:
        if marked_as(t, x0).is_inference():  # nothing of whose writes is recorded
            t._ver = t._view = t._node = None
            return t
        % end
    version = t._ver = x0._ver or version_of(x0)
    t._view = (x0, op, {params}, None)
    version.members.add(ref(t, version.members.discard))
    % if not tracked:
    if not m.record:
        t._node = None
        for told in UNRECORDED:
            told(t)
        return t
    % end
    % elif elementwise:
    t._ver = t._view = None
    % else:
    t._ver = shared_version(out, {inputs[0][1]}) if shares else None
    t._view = None
    % end

    % if single:
    if n0 is None or not slope0{"" if tracked or view else " or not m.plain"}:
        t._node = None
        return t
    if n0 is LEAF:
        n0 = {inputs[0][1]}
    % else:
    code = 0
    % for i, x in inputs:
    if n{i} is not None:
        if not slope{i}:
            n{i} = None
        else:
            code += {1 << i}
            if n{i} is LEAF:
                n{i} = {x}
    % end
    if not code{"" if tracked else " or not m.plain"}:
        t._node = None
        return t
    % end
    % if not typed:
    kind = out.dtype.kind
    if kind not in "fcV":
        t._node = None
        return t
    % if single:
    code = 3 if kind == "c" else 1
    % else:
    is_complex = kind == "c"
    % end
    % end
    % if not single:
    if is_complex:
        code += {1 << len(inputs)}
    % end
    % if not tracked and not view:
    if {of_inference}:
        return finish(op, ({args},), {params}, 0, out)
    % end
    plan = plans[code] or first_plan(op, plans, code)
    node = new(Node)
    node.id = next_id()
    node.plan = plan
    node.hooks = None
    % if given:
    node.params = params
    % end
    % for place, edge in edges:
    node.{place} = {edge}
    % end
    % if single:
    if saves:  # all its plans save the same
        node.saved = {inputs[0][1]}
    if saves_more:
        if saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
            if not saves:
                node.saved = NOTHING
        if wants_shapes:
            node.shapes = (a0.shape,)
    % else:
    if plan.keeps:
        {needs} = plan.saves
        % for place, value in saved:
        node.{place} = {value}
        % end
        if plan.saves_out:
            node.out = out
            node.version = version_of(t) if out.__class__ is ndarray else None
    % end
    % if mixed and len(inputs) == 2:
    if out.__class__ is not ndarray or a0 is input or a1 is {inputs[1][1]} or a0.shape == a1.shape:
        node.shapes = None
    else:
        node.shapes = (a0.shape, a1.shape)
    % elif not single:
    if plan.wants_shapes:
        node.shapes = ({shapes},)
    % end
    t._node = node
    return t
""",
    "tracked, elementwise, typed, view, mixed, single, takes_out, signature, inputs, has_tensor, given_at, args, given, "
    "payloads, params, shapes, slow, edges, needs, saved, of_inference",
)


class Form(NamedTuple):
    """What the template asks of an op: ops of one form share their source.

    Attributes
    ----------
    tracked : bool
        Whether it is the path of tracked values, and not that of plain tensors.
    elementwise, typed, view : bool
        The kind of op; whether its operands are to have one dtype.
    inputs : int
        How many there are.
    takes_params, takes_out : bool
        Whether the function takes static parameters, and ``out=``.
    second : str
        The keyword of an elementwise op's second operand.
    """

    tracked: bool
    elementwise: bool
    typed: bool
    view: bool
    inputs: int
    takes_params: bool
    takes_out: bool
    second: str = "other"


@functools.cache
def source_of(form: Form) -> str:
    """Return the source of the hot path of ops of a form."""
    tracked, elementwise, typed, view, count, takes_params, takes_out, second = form
    names = ("input", second, "third")[:count] if elementwise else tuple([f"x{i}" for i in range(count)])
    args, given = ", ".join(names), ", **params" if takes_params else ""
    mixed = elementwise and count > 1
    # What is asked of an argument before its tensor is: numbers are their own payloads, None has none.
    given_at = [f"a{i} is not {x} and " if mixed else f"{x} is not None and " if i else "" for i, x in enumerate(names)]
    shapes = [f"a{i}.shape" if not given_at[i] else f"a{i}.shape if {given_at[i][:-5]} else ()" for i in range(count)]
    edges = [f"n{i}" for i in range(count)]
    kept = [f"{x} if s{i}{f' and {x} is not None' if i and not mixed else ''} else NOTHING" for i, x in enumerate(names)]
    if count > 2:
        edges, kept = [f"({', '.join(edges)})"], [f"({', '.join(kept)})"]
    return HOT_PATH(
        tracked, elementwise, typed, view, mixed, count == 1, takes_out,
        f"{args}{'' if elementwise else ', /'}{', *, out=None' if takes_out else ''}{given}",
        list(enumerate(names)),
        " or ".join([f"a{i} is not {x}" for i, x in enumerate(names[:-1])]),
        given_at,
        args,
        given,
        ", ".join([f"a{i}" for i in range(count)]) + given,
        "params" if takes_params else "{}",
        ", ".join(shapes),
        f"slow({args}{given})",
        list(zip(("edge", "edge2"), edges, strict=False)),
        ", ".join([f"s{i}" for i in range(count)]),
        list(zip(("saved", "saved2"), kept, strict=False)),
        " or ".join([f"{given_at[i]}{x}._meta is not None and {x}._meta.inference" for i, x in enumerate(names)]),
    )  # fmt: skip


# The forms that ops are given at import: to compile them takes 6 ms. Others are compiled when an op first needs one.
_FIRST = [
    Form(False, True, True, False, n, params, out) for n, outs in ((1, (False, True)), (2, (False, True)), (3, (False,)))
    for params in (False, True) for out in outs
] + [
    Form(False, False, False, view, n, params, False) for view, most in ((True, 1), (False, 4)) for n in range(1, most + 1)
    for params in (False, True)
] + [
    Form(False, True, False, False, 3, False, False),
    *[Form(False, True, True, False, 2, False, True, second) for second in ("exponent", "values")],
]  # fmt: skip


def _text_of_first() -> str:
    return "\n\n\n".join([source_of(form).replace("def call", f"def path{i}", 1) for i, form in enumerate(_FIRST)])


_defined = Written("hot paths of tensors", (__file__,), _text_of_first).names()
_FUNCTIONS: dict[Form, FunctionType] = {form: _defined[f"path{i}"] for i, form in enumerate(_FIRST)}


def unrecorded(op: Op, slow: Callable) -> Callable:
    """Return the hot path of a variadic op, for plain tensors none of which is recorded; the rest is left to `slow`."""
    kernel = op.backend.kernel

    def call(*xs: Any, **params: Any) -> Any:
        m = modes()
        if m.detour:
            return slow(*xs, **params)
        payloads = []
        for x in xs:
            if not (x.__class__ is Tensor or (isinstance(x, Tensor) and x._plain)) or (x._node is not None and m.record):
                return slow(*xs, **params)
            payloads.append(x._data)
        token = hush()
        try:
            out = kernel(*payloads, **params)
        except KERNEL_ERRORS as error:
            raise explained(op, xs, error) from error
        finally:
            unhush(token)
        return finish(op, xs, params, 0, out) if out.__class__ is tuple or out.__class__ is list else wrap(out)

    return call


def _of_form(form: Form, name: str, space: dict[str, Any]) -> FunctionType:
    """Return the hot path of a form with the name and globals of an op."""
    function = _FUNCTIONS.get(form)
    if function is None:
        kind = "tracked values" if form.tracked else "tensors"
        function = _FUNCTIONS[form] = compiled(source_of(form), f"hot path of {kind}")
    return copied(function, name, space)


def hot_path(op: Op, general: Callable, takes_out: bool = False) -> Callable:
    """Return the hot path of an op, which leaves to `general` what is out of the ordinary, and ``out=`` if it takes that."""
    complex_too, checked = "c" in op.kinds, op.check is not None
    elementwise = op.kind == ELEMENTWISE
    typed, second = elementwise and op.promotion != "free", op.second if takes_out else "other"
    form = Form(False, elementwise, typed, op.view, len(op.inputs), bool(op.params), takes_out, second)
    space: dict[str, Any] = {
        **SPACE,
        "op": op,
        "kernel": op.backend.kernel,
        "calm": op.backend.calm,
        "backend": op.backend,
        "fuses": op.backend.native or op.backend.costly,
        "shares": op.shares,
        "keeps_dtype": op.promotion != "bool",
        "refused": _REFUSED[op.promotion == "float", complex_too],
        "numbers": _NUMBERS[checked, complex_too],
        "plans": [None] * (2 << len(op.inputs)),
        "general": general,
        "slow": general,
    }
    for i, rule in enumerate(op.rules):
        space[f"slope{i}"] = rule is not None
    if len(op.inputs) == 1:
        (saves,), saves_out, wants_shapes = needs_of(op, (True,))
        space["saves"], space["saves_out"], space["wants_shapes"] = saves, saves_out, wants_shapes
        space["saves_more"] = saves_out or wants_shapes
    if op.is_differentiable:
        space["slow"] = _tracked_path(form, op.name, space)
    return _of_form(form, op.name, space)


# By whether integers become floating, and whether the op takes complex numbers: the kinds of dtypes that promotion is for.
_REFUSED = {(up, takes): "biu" * up + "c" * (not takes) for up in (False, True) for takes in (False, True)}
# By whether an op checks its operands, which is for bools and off the hot path, and whether it takes complex numbers.
_NUMBERS = {
    (checked, takes): NUMBERS - {bool if checked else None, None if takes else complex}
    for checked in (False, True)
    for takes in (False, True)
}


def _tracked_path(form: Form, name: str, plain: dict[str, Any]) -> Callable:
    """Return what makes the path of tracked values when the path of plain tensors first leaves something to it."""

    def first(*args: Any, **params: Any) -> Any:
        space = {**plain, "slow": plain["general"]}
        plain["slow"] = path = _of_form(form._replace(tracked=True, takes_out=False, second="other"), name, space)
        return path(*args, **params)

    return first


def first_plan(op: Op, plans: list[Plan | None], code: int) -> Plan:
    """Return the plan for the inputs that require grad, and keep it; `code` has a bit for each, and one for complex results."""
    count = len(op.inputs)
    plan = plans[code] = plan_for(op, tuple([bool(code >> i & 1) for i in range(count)]), bool(code >> count))
    return plan


SPACE = {
    "__name__": __name__, "KERNEL_ERRORS": KERNEL_ERRORS, "LEAF": LEAF, "NATIVE": NATIVE, "NOTHING": NOTHING, "Node": Node,
    "GradTracking": GradTracking, "Tensor": Tensor, "UNRECORDED": UNRECORDED, "array_of": array_of, "double": np.float64,
    "explained": explained, "finish": finish,
    "first_plan": first_plan, "float32": np.dtype(np.float32), "float64": np.dtype(np.float64), "hush": hush,
    "marked_as": marked_as, "modes": modes, "ndarray": np.ndarray, "new": new, "next_id": next_id, "ref": ref,
    "shared_version": shared_version, "single": np.float32, "large": large,
    "unhush": unhush, "version_of": version_of,
}  # fmt: skip

# Ops declared `calm` run without `hush`; this keeps their rare overflow, and a kernel's that is Python, as silent as PyTorch's.
for _place in (re.escape(__name__), r"chainrule\.ops\."):
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=_place)

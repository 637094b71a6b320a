"""What of chainrule looks for overrides, and under which names; how Tensor's attributes come to.

Public functions look by themselves (`core.call.asking`). Methods, operators and properties of Tensor do not, so that they cost
nothing before somebody needs it: :func:`switch_on` puts in their places ones that ask and then do what these did.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

from chainrule.core.call.asking import NAMES, PLAIN, UNASKED, answer, asked, asking, nobody, overriding, relevant, silently
from chainrule.core.tensor.subclass import STATE
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions import adapt, late

_NAMESPACES = ("chainrule", "chainrule.autograd", "chainrule.nn.functional")
# Public functions that are no operations on tensors: PyTorch does not ask anyone about these either.
_IGNORED = frozenset((
    "can_cast", "from_file", "frombuffer", "get_default_dtype", "get_num_threads", "get_printoptions", "get_rng_state",
    "initial_seed", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled",
    "is_storage", "is_tensor", "is_warn_always_enabled", "manual_seed", "printoptions", "promote_types", "seed",
    "set_default_dtype", "set_num_threads", "set_printoptions", "set_rng_state", "set_warn_always", "typename",
))  # fmt: skip
_ASKING = ("chainrule.functions", "chainrule.nn.functional")  # whose functions look, of those that are imported late
_AUTOGRAD = ("backward", "grad")
_METHODS_IGNORED = frozenset((
    "__hash__", "__init_subclass__", "__iter__", "__new__", "as_subclass",
))  # fmt: skip
_PRIVATE = frozenset(("_base", "_grad", "_grad_fn", "_is_view", "_version"))
# The method that an operator asks about.
_OPERATORS = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__isub__": "sub_", "__mul__": "mul",
    "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div", "__itruediv__": "div_", "__ifloordiv__": "floor_divide_",
    "__mod__": "remainder", "__imod__": "remainder_", "__pow__": "pow", "__ipow__": "pow_", "__matmul__": "matmul",
    "__rand__": "bitwise_and", "__ror__": "bitwise_or", "__rxor__": "bitwise_xor", "__neg__": "neg", "__abs__": "abs",
    "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__invert__": "bitwise_not",
}  # fmt: skip
_BINARY = frozenset((
    "add", "and", "eq", "floordiv", "ge", "gt", "le", "lshift", "lt", "matmul", "mod", "mul", "ne", "or", "pow", "rshift",
    "sub", "truediv", "xor",
))  # fmt: skip

ignored: set = set()
overridable: dict[Any, list] = {}  # what looks for overrides, by the module, class or property that has it
methods: set = set()
_made: dict[Any, Callable] = {}  # what a method was -> what stands in its place


def _method(name: str, inner: Callable) -> Callable:
    """Return what stands in the place of a method: it asks, then does what the method did."""
    stem = name.strip("_")
    operator = name.startswith("__") and any(stem in (b, f"r{b}", f"i{b}") for b in _BINARY)
    silent = name == "backward"

    @functools.wraps(inner)
    def method(*args: Any, **kwargs: Any) -> Any:
        found = asked(func, args, kwargs, operator=operator)
        if found is not UNASKED:
            return found
        return silently(inner, *args, **kwargs) if silent else inner(*args, **kwargs)

    if not hasattr(Tensor, method.__name__):
        method.__name__ = name
    method.__qualname__ = f"Tensor.{method.__name__}"
    func = getattr(Tensor, _OPERATORS.get(name, name)) if name in _OPERATORS else method
    return method


def _accessor(name: str, kind: str, inner: Callable) -> Callable:
    """Return what a property's getter, setter or deleter becomes: it asks about ``Tensor.<name>.__get__`` and its like."""

    @functools.wraps(inner)
    def accessor(*args: Any) -> Any:
        state = STATE.get()
        found = overriding(relevant(args)) if state.subclasses else []
        if not (found or state.modes):
            return inner(*args)
        func = getattr(Tensor.__dict__[name], kind)
        result = answer(func, found, args, {})
        if result is NotImplemented:
            raise nobody(func, found)
        return result

    if kind != "__get__":
        return accessor

    @functools.wraps(inner)
    def get(self: Any) -> Any:
        state = STATE.get()
        if state.modes or (state.subclasses and self.__class__ not in PLAIN):
            return accessor(self)
        return inner(self)  # three times as fast: there is hardly a line that reads no dtype or shape

    return get


def _switch_property(name: str, value: property) -> None:
    parts = ((value.fget, "__get__"), (value.fset, "__set__"), (value.fdel, "__delete__"))
    fget, fset, fdel = [part and _accessor(name, kind, part) for part, kind in parts]
    made: Any = property(fget, fset, fdel, value.__doc__)
    setattr(Tensor, name, made)
    NAMES[made.__get__], NAMES[made.__set__] = f"chainrule.Tensor.{name}.__get__", f"chainrule.Tensor.{name}.__set__"
    overridable[made] = [made.__get__]


def _switch_method(name: str, value: Callable) -> None:
    made = _made.get(value)
    if made is None:
        made = _made[value] = _method(name, value)
        NAMES[made] = f"chainrule.Tensor.{name}"
        methods.add(made)
        overridable.setdefault(Tensor, []).append(made)
    setattr(Tensor, name, made)


def _note(namespace: Any, name: str, function: Any) -> None:
    """Note the name of a public function, which looks for overrides by itself."""
    NAMES[function] = f"{namespace.__name__}.{name}"
    if name in _IGNORED or not late.FUNCTIONS.get(name, "chainrule.functions").startswith(_ASKING):
        ignored.add(function)
    else:
        overridable.setdefault(namespace, []).append(function)


def _declared(function: adapt.Function) -> None:
    """Note a function that is declared from now on, and have its methods look for overrides."""
    _note(import_module("chainrule"), function.name, function.call)
    for name in (function.name, f"{function.name}_"):
        if (function.method, function.inplace)[name != function.name]:
            _switch_method(name, vars(Tensor)[name])


def _functions() -> dict[Any, tuple]:
    """Return the public functions, each with the namespace and name that it is first found under."""
    found: dict[Any, tuple] = {}
    for module in _NAMESPACES:
        namespace = import_module(module)
        for name, value in {**vars(namespace), **_late(namespace)}.items():
            if value.__class__ is not FunctionType or name.startswith("_") or not value.__module__.startswith("chainrule"):
                continue
            if namespace.__name__ == "chainrule.autograd" and name not in _AUTOGRAD:
                continue
            if name in getattr(namespace, "__all__", (name,)):
                found.setdefault(value, (namespace, name))
    for function in adapt.FUNCTIONS.values():
        found.setdefault(function.call, (import_module("chainrule"), function.name))
    return found


def _late(namespace: Any) -> dict[str, Any]:
    """Return the functions of the top level that are imported when they are asked for, whether they were by now or not."""
    names = late.FUNCTIONS.items() if namespace.__name__ == "chainrule" else ()
    return {name: getattr(namespace, name) for name, module in names if module.startswith(_ASKING)}


def _attributes() -> dict[str, Any]:
    """Return the methods and properties of Tensor that look for overrides; operators, which ask about methods, come last."""
    found = {name: value for cls in reversed(Tensor.__mro__[:-1]) for name, value in vars(cls).items()}
    return {
        name: found[name]
        for name in sorted(found, key=lambda name: name in _OPERATORS)
        if (isinstance(found[name], property) or found[name].__class__ is FunctionType)
        and name not in _METHODS_IGNORED
        and (not name.startswith("_") or name in _PRIVATE or name.endswith("__"))
    }


def switch_on() -> None:
    """Have all that is public look for overrides, what is declared later too."""
    late.load()
    for name, value in _attributes().items():
        if isinstance(value, property):
            _switch_property(name, value)
        else:
            _switch_method(name, value)
    for function, (namespace, name) in _functions().items():
        _note(namespace, name, function)
    ignored.update([getattr(Tensor, name) for name in _METHODS_IGNORED])
    adapt.LISTENERS.append(_declared)
    asking.on = True

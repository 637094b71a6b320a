"""Write the stubs that type checkers and editors read of what chainrule makes as it is imported.

``chainrule/__init__.pyi`` has the public names, ``core/tensor/methods.pyi`` what is attached to Tensor, ``return_types.pyi``
the named tuples, ``fft/__init__.pyi`` and its like the functions of a namespace that are made. All is read from the running
library: its functions' signatures and annotations, and the op table for those that an op makes. What an annotation leaves open
(Any) the parameter's name decides: PyTorch's names mean the same everywhere. A test sees that the stubs are up to date. Run it
after adding a public function: ``python scripts/write_stubs.py``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import chainrule
from chainrule import return_types
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.dtype import dtype
from chainrule.functions import late
from chainrule.functions.adapt import FUNCTIONS
from chainrule.functions.shaping import shape

ROOT = Path(__file__).parents[1] / "src" / "chainrule"
assert Path(chainrule.__file__).parent == ROOT, f"{chainrule.__file__} is of another tree"
# Public names shadow builtins, in the module and in the class.
HEAD = '''"""{text} Written by scripts/write_stubs.py."""

from builtins import bool as _bool, complex as _complex, float as _float, int as _int, object as _object
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias, overload

import numpy as np

from chainrule import return_types as return_types
from chainrule.core.generator import Generator as Generator
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.tensor.tensor import Tensor as Tensor
from chainrule.core.types.device import device as device
from chainrule.core.types.dtype import dtype as dtype
from chainrule.core.types.layout import layout as layout
from chainrule.core.types.shape import Size as Size
from chainrule.explanation.entry import Explanation, Explanations
from chainrule.functions.pointwise.rounding import Frexp

_Number: TypeAlias = _complex | np.generic
_Like: TypeAlias = Tensor | np.ndarray[Any, Any] | _Number
_Sizes: TypeAlias = _int | Tensor | Sequence[_int]
_Axes: TypeAlias = _int | Sequence[_int] | None
_Out: TypeAlias = Tensor | Sequence[Tensor] | None
_DType: TypeAlias = dtype | type[_complex] | np.dtype[Any] | None
_Device: TypeAlias = device | str | None
'''
# What a parameter takes whose annotation says Any.
NAMED = {
    "size": "_Sizes | None", "sizes": "_Sizes", "shape": "_Sizes", "dims": "_Axes", "dim": "_Axes", "other": "_Like",
    "dtype": "_DType", "device": "_Device", "out": "_Out", "alpha": "_Number", "beta": "_Number", "value": "_Like | None",
    "fill_value": "_Like", "start": "_Like", "end": "_Like | None", "step": "_Like", "min": "_Like | None",
    "max": "_Like | None", "exponent": "_Like", "weight": "_Like | None", "input": "_Like", "ndigits": "_int",
    "low": "_int", "high": "_int | None", "mean": "_Like", "std": "_Like", "q": "_Like", "tensors": "_Like | Sequence[_Like]",
}  # fmt: skip
# As it does where the annotation is right for values alone: tensors, arrays and numbers are all taken.
VALUES = {"Tensor": "_Like", "Sequence[Tensor]": "Sequence[_Like]"}
# What depends on the arguments: a result of one tensor, or of several.
_WHOLE = "(input: _Like) -> Tensor"
_OTHER = "(input: _Like, other: Tensor, *, out: _Out = ...) -> Tensor"


def _pair(name: str) -> tuple[str, str]:
    """Return the signatures of a function that gives values and indices along an axis, by PyTorch's name of it and NumPy's."""
    return (
        f"(input: _Like, dim: _int, keepdim: _bool = ..., *, out: _Out = ...) -> return_types.{name}",
        f"(input: _Like, *, axis: _int, keepdims: _bool = ..., out: _Out = ...) -> return_types.{name}",
    )


def _unique(order: str) -> tuple[str, str, str]:
    """Return the signatures of a function that gives a tensor, unless it is asked for more."""
    no, yes, dim = "Literal[False]", "Literal[True]", "dim: _int | None = ..."
    return (
        f"(input: _Like, {order}return_inverse: {no} = ..., return_counts: {no} = ..., {dim}) -> Tensor",
        f"(input: _Like, *, {order}return_inverse: {yes}, return_counts: _bool = ..., {dim}) -> tuple[Tensor, ...]",
        f"(input: _Like, *, {order}return_inverse: _bool = ..., return_counts: {yes}, {dim}) -> tuple[Tensor, ...]",
    )


OVERLOADS = {
    "explain": (
        "(what: Any, inputs: Tensor, *, element: Sequence[_int] | _int | None = ..., gradient: Any = ...) -> Explanation",
        "(what: Any, inputs: Any = ..., *, element: Sequence[_int] | _int | None = ..., gradient: Any = ...) -> Explanation | "
        "Explanations",
    ),
    "atleast_1d": (
        "(input: _Like, /) -> Tensor",
        "(tensors: Sequence[_Like], /) -> tuple[Tensor, ...]",
        "(first: _Like, second: _Like, /, *tensors: _Like) -> tuple[Tensor, ...]",
    ),
    "max": (_WHOLE, _OTHER, *_pair("max")),
    "min": (_WHOLE, _OTHER, *_pair("min")),
    "median": (_WHOLE, *_pair("median")),
    "nanmedian": (_WHOLE, *_pair("nanmedian")),
    "nonzero": (
        "(input: _Like, *, out: _Out = ..., as_tuple: Literal[False] = ...) -> Tensor",
        "(input: _Like, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]",
    ),
    "unique": _unique("sorted: _bool = ..., "),
    "unique_consecutive": _unique(""),
    "where": (
        "(condition: _Like) -> tuple[Tensor, ...]",
        "(condition: _Like, input: _Like, other: _Like, *, out: _Out = ...) -> Tensor",
    ),
}
OVERLOADS |= dict.fromkeys(("atleast_2d", "atleast_3d"), OVERLOADS["atleast_1d"])
# Generic classes without arguments, which strict checkers refuse.
BARE = {
    "Callable": "Callable[..., Any]", "dict": "dict[str, Any]", "tuple": "tuple[Any, ...]", "list": "list[Any]",
    "type": "type[Any]", r"np\.ndarray": "np.ndarray[Any, Any]",
}  # fmt: skip
KNOWN = {
    *re.findall(r"\w+", HEAD), "np.ndarray", "np.ufunc", "str", "dict", "tuple", "list", "type", "None", "...", "slice",
}  # fmt: skip
# What Python asks of its methods' results; all other operators give tensors.
CONVERSIONS = {
    "__array_function__": "Any", "__array_ufunc__": "Any", "__ceil__": "_int", "__contains__": "_bool", "__dlpack__": "Any",
    "__dlpack_device__": "tuple[_int, _int]", "__floor__": "_int", "__iter__": "Iterator[Tensor]", "__setitem__": "None",
    "__trunc__": "_int",
}  # fmt: skip
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
MADE = ("fft", "special")  # namespaces whose functions are made
UNSTUBBED = ("__annotations__", "__slots__", "__module__", "_level", "_kind", "_plain", "__array_priority__")


def aliased(text: str) -> str:
    """Return an annotation with builtins by the names that the stubs have for them; Any if it names what they do not know."""
    text = text.replace("dtypes.", "")
    for bare, full in BARE.items():
        text = re.sub(rf"\b{bare}\b(?!\[)", full, text)
    text = re.sub(r"\b(int|float|complex|bool|object)\b", r"_\1", text)
    return text if all(word in KNOWN for word in re.findall(r"[\w.]+", text)) else "Any"


def taken(name: str, annotation: Any) -> str:
    """Return the type of a parameter."""
    text = "Any" if annotation is inspect.Parameter.empty else str(annotation)
    if text == "Any":
        return NAMED.get(name, "Any")
    for values, like in VALUES.items():
        text = text.replace(values, like) if text.removesuffix(" | None") == values else text
    return aliased(text)


def returned(function: Any) -> str:
    """Return the type of a function's result."""
    text = getattr(inspect.unwrap(function), "__annotations__", {}).get("return")
    if getattr(function, "op", None) is not None:  # made from an op, whose results are tensors
        return "Tensor"
    known = re.search(r"return (?:_|return_types\.)(\w+)\(", source(function)) if text == "Any" else None
    if known and known[1] in return_types.DECLARED:
        return f"return_types.{known[1]}"
    text = re.sub(r"^Iterator\[None\]$", "AbstractContextManager[None]", str(text or "Any"))
    return "tuple[Tensor, ...]" if text == "tuple" else aliased(text)


def source(function: Any) -> str:
    """Return the source of a function."""
    return inspect.getsource(inspect.unwrap(function))


def parameters(function: Any, first: str | None = None) -> str:
    """Return the parameters as a stub writes them; `first` stands for the first of a method."""
    function = inspect.unwrap(function)
    given = list(inspect.signature(function).parameters.values())
    parts, starred = ([first], False) if first else ([], False)
    for p in given[1:] if first else given:
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: {taken(p.name, p.annotation)}")
            starred = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: {taken(p.name, p.annotation)}")
        else:
            if p.kind is p.KEYWORD_ONLY and not starred:
                parts.append("*")
                starred = True
            parts.append(f"{p.name}: {taken(p.name, p.annotation)}{'' if p.default is p.empty else ' = ...'}")
    return ", ".join(parts)


def adapted(name: str, function: Any, given: str) -> str:
    """Return parameters with those that ``functions.adapt`` adds: NumPy's keyword names, and ``out=``."""
    if not hasattr(function, "__wrapped__"):
        return given
    if hasattr(function, "placed"):
        return given + (", " if "*" in given else ", *, ") + "layout: layout | None = ..., pin_memory: _bool = ..."
    added = [f"{numpy}: {NAMED['dim'] if numpy == 'axis' else '_bool'} = ..."
             for numpy, ours in (("axis", "dim"), ("keepdims", "keepdim")) if re.search(rf"\b{ours}: ", given)]  # fmt: skip
    if takes_out(function) and "out: " not in given:
        added.append("out: _Out = ...")
    if not added or "**" in given:
        return given
    return given + (", " if "*" in given else ", *, ") + ", ".join(added)


def takes_out(function: Any) -> bool:
    """Tell whether the adapter of a function takes ``out=``."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return bool("out" in cells and cells["out"].cell_contents)


def definitions(name: str, function: Any, first: str | None = None, indent: str = "") -> Iterator[str]:
    """Yield the lines of a function's stub, or of a method's if `first` is given."""
    if name in OVERLOADS:
        for signature in OVERLOADS[name]:
            signature = re.sub(r"^\((input|condition): _Like", f"({first}", signature) if first else signature
            yield from (f"{indent}@overload", f"{indent}def {name}{signature}: ...")
        return
    if name == "alias_copy":
        function = FUNCTIONS["clone"].call
    elif name == "slice_copy":  # whose view is written with brackets
        function, first = shape.part_along, "input: _Like"
    elif name.endswith("_copy"):  # takes what the view takes
        known = FUNCTIONS.get(name.removesuffix("_copy"))
        function = known.call if known else getattr(Tensor, name.removesuffix("_copy"), function)
        first = first or "input: _Like"
    elif name.endswith("_") and "kwargs" in inspect.signature(function).parameters:
        known = FUNCTIONS.get(name[:-1])
        function = known.call if known else getattr(Tensor, name)
        first = first or "input: Tensor"
    result = returned(function)
    given = adapted(name, function, parameters(function, first))
    if first in ("self", "input: Tensor"):  # PyTorch's methods take no `out=`
        given = re.sub(r"(, \*)?, out: _Out = \.\.\.$", "", given).replace("out: _Out = ..., ", "")
        result = "Tensor" if name.endswith("_") else result
    yield f"{indent}def {name}({given}) -> {result}: ..."


# -- the stubs ---------------------------------------------------------------------------------------------------------


def attached() -> dict[str, Any]:
    """Return what is attached to Tensor after its class and those that it is made of."""
    late.load()
    typed = {name for cls in Tensor.__mro__[1:-1] for name in vars(cls)}
    found = {}
    for name, value in sorted(vars(Tensor).items()):
        f = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        inside = getattr(f, "__module__", None) == Tensor.__module__ and getattr(f, "__qualname__", "").startswith("Tensor.")
        if not (inside or name in typed or name in UNSTUBBED or (name in vars(object) and name not in COMPARISONS)):
            found[name] = value
    return found


ATTACHED = attached()  # before `names` imports chainrule.overrides, which puts others in their places


def methods() -> str:
    """Return the stub of what is attached to Tensor."""
    lines = ["", "class Methods:"]
    for name, value in ATTACHED.items():
        if isinstance(value, property):
            result = aliased(str(value.fget.__annotations__.get("return", "Any")))
            lines += ["    @property", f"    def {name}(self) -> {result}: ..."]
            if value.fset is not None:
                lines += [f"    @{name}.setter", f"    def {name}(self, value: {result}) -> None: ..."]
        elif name == "__torch_function__":  # subclasses make it a class method or a function
            lines.append(f"    {name}: ClassVar[Any]")
        elif isinstance(value, staticmethod):
            lines += ["    @staticmethod", f"    def {name}({parameters(value.__func__)}) -> {returned(value.__func__)}: ..."]
        elif name in CONVERSIONS:
            given = parameters(value, "self").replace(", *, out: _Out = ...", "")
            lines.append(f"    def {name}({given}) -> {CONVERSIONS[name]}: ...")
        elif name.startswith("__"):  # an operator is its function, and `out=` cannot be given to it
            given = parameters(value, "self").replace(", *, out: _Out = ...", "")
            if name in ("__eq__", "__ne__"):
                lines.append(f"    def {name}(self, other: _object) -> Tensor: ...  # type: ignore[override]")
            else:
                lines.append(f"    def {name}({given}) -> Tensor: ...")
        elif callable(value):
            lines += definitions(name, value, "self", "    ")
    return HEAD.format(text="What declaring public functions attaches to Tensor.") + "\n".join(lines) + "\n"


def names() -> str:
    """Return the stub of the public names."""
    modules, classes, values, functions = [], [], [], []
    for name in dir(chainrule):
        if name.startswith("_") or name == "return_types":  # the latter is in the head
            continue
        value = dtype if name == "bfloat16" else getattr(chainrule, name)  # its dtype needs a package that may be absent
        if name == "bfloat16":
            values.append("bfloat16: Final[dtype]")
        elif isinstance(value, ModuleType):
            modules.append(f"from {value.__name__.rpartition('.')[0]} import {name} as {name}")
        elif isinstance(value, type) and value.__module__ == "chainrule":  # stands for tensors of one dtype
            values.append(f"{name}: Final[type[Tensor]]")
        elif isinstance(value, type) and f" as {name}\n" not in HEAD:
            classes.append(f"from {value.__module__} import {value.__name__} as {name}")
        elif isinstance(value, FunctionType):
            if value.__module__.startswith("chainrule.func."):
                classes.append(f"from {value.__module__} import {name} as {name}")
            else:
                functions += definitions(name, value)
        elif not isinstance(value, type):
            values.append(f"{name}: Final[{'dtype' if isinstance(value, dtype) else aliased(type(value).__name__)}]")
    head = HEAD.format(text="The public names of chainrule.")
    values.append("__version__: Final[str]")
    lines = [*modules, *classes, "", *values, "", *functions]
    return head + "\n" + "\n".join(lines) + "\n"


def namespace(name: str) -> str:
    """Return the stub of a lazy module of functions that are made of ops and tables."""
    module = importlib.import_module(f"chainrule.{name}")
    lines = [line for public in module.__all__ for line in definitions(public, getattr(module, public))]
    return HEAD.format(text=f"The public functions of chainrule.{name}.") + "\n" + "\n".join(lines) + "\n"


def results() -> str:
    """Return the stub of the named tuples that functions with several results return."""
    lines = ['"""Named tuples that functions with several results return. Written by scripts/write_stubs.py."""', ""]
    lines += ["from typing import Any, Final, NamedTuple", "", "from chainrule.core.tensor.tensor import Tensor", ""]
    lines += ["DECLARED: Final[dict[str, type]]", "", "def named_result(name: str, *fields: str) -> Any: ...", ""]
    for name, made in sorted(return_types.DECLARED.items()):
        lines += [f"class {name}(NamedTuple):", *[f"    {field}: Tensor" for field in made._fields], ""]  # type: ignore[attr-defined]
    return "\n".join(lines).rstrip() + "\n"


STUBS: dict[Path, Callable[[], str]] = {
    ROOT / "__init__.pyi": names,
    ROOT / "core" / "tensor" / "methods.pyi": methods,
    ROOT / "return_types.pyi": results,
    **{ROOT / name / "__init__.pyi": functools.partial(namespace, name) for name in MADE},
}

if __name__ == "__main__":
    for path, text in STUBS.items():
        path.write_text(text())

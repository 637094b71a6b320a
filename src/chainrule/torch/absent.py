"""Modules of PyTorch that have no counterpart here: they import, and what is used of them says what there is instead.

Packages import such names at their tops to ask later whether a value is of such a kind, or to use them on other machines. So a
class can be named and subclassed, and nothing is an instance of it; a function can be named; an enumeration is one. To make an
object of such a class, or to call such a function, raises. PyTorch's names are in ``absent.txt``, which
``scripts/write_absent_names.py`` writes.
"""

from __future__ import annotations

import enum
import functools
import re
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

__all__ = ["module", "name_of"]

_ONE_PROCESS = "chainrule runs in one process, and distributed.is_available() is False"
_NO_COMPILER = "compile makes native code in its own way, which has no such part"
REASONS = {
    "_custom_ops": "library.custom_op has an op of your own",
    "_dynamo": _NO_COMPILER,
    "_export": _NO_COMPILER,
    "_higher_order_ops": _NO_COMPILER,
    "_inductor": _NO_COMPILER,
    "_subclasses": "func.eval_shape tells shapes and dtypes without computing",
    "ao": "chainrule computes in the dtypes of NumPy and bfloat16; it does not quantise",
    "distributed": _ONE_PROCESS,
    "export": "func.trace(f)(x) records a function as a graph, which is not PyTorch's",
    "fx": "func.trace(f)(x) records a function as a graph, which is not PyTorch's",
    "mtia": "chainrule computes on the CPU",
    "nested": "chainrule has no nested tensors; pad, or use nn.utils.rnn's packed sequences",
    "nn.parallel": _ONE_PROCESS,
    "onnx": "chainrule writes no ONNX; func.trace(f)(x) records a function as a graph",
    "package": "save and load write and read files",
    "quantization": "chainrule computes in the dtypes of NumPy and bfloat16; it does not quantise",
    "sparse": "chainrule's tensors are dense",
    "utils.cpp_extension": "chainrule is Python, and has no extensions in C++; library.op declares an op of your own",
    "utils.data.datapipes": "utils.data has datasets and loaders",
    "utils.mobile_optimizer": _NO_COMPILER,
}  # fmt: skip
"""What there is instead, by the names that modules begin with."""


@functools.cache
def names() -> dict[str, dict[str, str]]:
    """Return the names of each module, each → ``":"`` a class, ``"!"`` an exception, ``"()"`` a function, ``"=…"`` members."""
    table: dict[str, dict[str, str]] = {}
    for line in Path(__file__).with_name("absent.txt").read_text("utf-8").splitlines():
        path, _, found = line.partition(":")
        table[path] = dict(re.fullmatch(r"(\w+)(.+)", word).groups() for word in found.split())  # type: ignore[misc, union-attr]
    return table


def reason(path: str) -> str:
    """Return what there is instead of a module."""
    return next(REASONS[root] for root in sorted(REASONS, key=len, reverse=True) if f"{path}.".startswith(f"{root}."))


def module(path: str) -> ModuleType | None:
    """Return the module that answers to a name within torch that has no counterpart; None if PyTorch has none either."""
    return _listed(path) if path in names() else None


@functools.cache
def _listed(path: str) -> ModuleType:
    made = ModuleType(f"chainrule.torch.{path}", f"PyTorch's ``{path}``: {reason(path)}.")
    made.__path__ = []
    made.__getattr__ = functools.partial(name_of, path)  # type: ignore[method-assign]
    return made


def name_of(path: str, name: str) -> Any:
    """Return what answers to a name of a module, for its ``__getattr__``."""
    if (part := module(f"{path}.{name}")) is not None:
        return part
    kind = names().get(path, {}).get(name)
    if kind is None:
        raise AttributeError(f"module 'torch.{path}' has no attribute {name!r} here: {reason(path)}")
    return _made(f"torch.{path}", name, kind)


@functools.cache
def _made(path: str, name: str, kind: str) -> Any:
    """Return a class, a function or an enumeration of this name."""
    if kind[0] == "=":
        return enum.Enum(name, kind[1:].split(","), module=path)
    if kind == "!":
        return type(name, (Exception,), {"__module__": path})

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{path}.{name}: {reason(path.removeprefix('torch.'))}")

    if kind == ":":
        return type(name, (), {"__module__": path, "__new__": refuse, "__doc__": f"PyTorch's; {reason(path[6:])}."})
    refuse.__name__, refuse.__qualname__, refuse.__module__ = name, name, path
    return refuse

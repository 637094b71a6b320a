"""Write ``src/chainrule/core/tensor/methods.pyi``: the methods that declaring public functions attaches to Tensor.

Type checkers and editors read it; a test sees that it is up to date. Run it after adding a public function:
``python scripts/write_stubs.py``.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import chainrule
from chainrule.core.tensor.tensor import Tensor

TARGET = Path(chainrule.__file__).parent / "core" / "tensor" / "methods.pyi"
HEAD = '''"""Methods attached to Tensor where its public functions are declared. Written by scripts/write_stubs.py."""

from typing import Any

from chainrule.core.tensor.tensor import Tensor

class Methods:
'''
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_CONVERSIONS = {"__iter__": "Any", "__contains__": "Any", "__array_ufunc__": "Any", "__array_function__": "Any"}


def declared_here(value: object) -> bool:
    """Tell whether an attribute of Tensor stands in its class body."""
    f = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return getattr(f, "__module__", None) == Tensor.__module__ and getattr(f, "__qualname__", "").startswith("Tensor.")


def returned(f: object) -> str:
    """Return a return annotation that a stub can name."""
    text = str(getattr(f, "__annotations__", {}).get("return", "Tensor"))
    return text if text in ("Tensor", "int", "float", "None", "str", "tuple[Tensor, ...]") else "Any"


def parameters(f: object) -> str:
    """Return the parameters of a method as a stub writes them."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return "self, *args: Any, **kwargs: Any"
    parts, starred = ["self"], False
    for p in list(signature.parameters.values())[1:]:
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            starred = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
        else:
            if p.kind is p.KEYWORD_ONLY and not starred:
                parts.append("*")
                starred = True
            parts.append(f"{p.name}: Any{'' if p.default is p.empty else ' = ...'}")
    return ", ".join(parts)


def stub() -> str:
    """Return the text of the stub."""
    lines = []
    typed = {name for cls in Tensor.__mro__[1:-1] for name in vars(cls)}  # in the classes that Tensor is made of
    for name, value in sorted(vars(Tensor).items()):
        if declared_here(value) or name in typed or (name in vars(object) and name not in COMPARISONS):
            continue
        if name in ("__annotations__", "__slots__", "__module__", "_level", "_kind", "__array_priority__"):
            continue
        if isinstance(value, property):
            lines += ["    @property", f"    def {name}(self) -> Any: ..."]
            if value.fset is not None:
                lines += [f"    @{name}.setter", f"    def {name}(self, value: Any) -> None: ..."]
        elif callable(value):
            given = parameters(value)
            if name.startswith("__"):  # an operator is its function, and `out=` cannot be given to it
                given = given.replace(", *, out: Any = ...", "")
            result = _CONVERSIONS.get(name, "Any" if name.startswith("__") else returned(value))
            ignored = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            lines.append(f"    def {name}({given}) -> {result}: ...{ignored}")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(stub())

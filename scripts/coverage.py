"""List which of PyTorch's public names chainrule has, by module; for each that it lacks, why. Run it with PyTorch installed.

python scripts/coverage.py [--missing]     --missing lists each name that is not here, with its reason, not only counts

What another module of PyTorch's lends to one (``torch.fft.Tensor``) is not a name of that module's, and not counted.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
import typing
from collections import defaultdict
from typing import Any

from chainrule.core.missing import out_of_scope

MODULES = (
    "", "Tensor", "linalg", "fft", "special", "signal.windows", "masked", "nn.functional", "nn", "nn.init", "optim",
    "optim.lr_scheduler", "autograd", "func", "testing", "distributions", "distributions.constraints",
    "distributions.transforms",
)  # fmt: skip
TO_DO = {"nn": "LinearCrossEntropyOptions"}
"""What is in scope and not here yet. A name that neither is here, nor has a reason or a place in this list, fails a test."""
LENDERS = ("typing", "collections.abc", "torch.overrides", "torch._jit_internal")


def public(module: Any) -> list[str]:
    """Return a module's or class's own public names, without the modules in it."""
    of_module = isinstance(module, types.ModuleType)
    listed = getattr(module, "__all__", None) if of_module and module.__name__ != "torch" else None
    names = [name for name in listed or dir(module) if not name.startswith("_")]
    return sorted(
        [name for name in names if not of_module or _is_own(module.__name__, inspect.getattr_static(module, name, None))]
    )


def _is_own(module: str, value: Any) -> bool:
    """Tell whether a value in a module is not lent to it: a module, a class with another home, help of PyTorch's."""
    home = getattr(value, "__module__", None) or ""
    if isinstance(value, types.ModuleType) or home in LENDERS or value is typing.TYPE_CHECKING:
        return False
    return not isinstance(value, type) or home.startswith((module, "torch._C"))


def found_in(name: str, library: str) -> Any:
    """Return a module of a library, or its class Tensor; None if there is none."""
    try:
        root = importlib.import_module(library)
        return root.Tensor if name == "Tensor" else importlib.import_module(f"{library}.{name}") if name else root
    except ImportError:
        return None


def reason(module: str, name: str) -> str:
    """Return why a name of a module is not here; "" if nobody has said."""
    return out_of_scope(name) or ("to do" if name in TO_DO.get(module, "").split() else "")


def missing(module: str) -> dict[str, str]:
    """Return the names of a module of PyTorch's that are not here, with their reasons."""
    ours = found_in(module, "chainrule")
    return {name: reason(module, name) for name in public(found_in(module, "torch")) if not hasattr(ours, name)}


def main(listed: bool) -> None:
    """Print the table, and the names that are missing by reason."""
    if found_in("", "torch") is None:
        sys.exit("coverage.py counts beside an installed PyTorch, which is not here: pip install torch")
    left: dict[str, list[str]] = defaultdict(list)
    print(f"{'module':20} {'here':>6} {'of':>6}   to do   out of scope")
    for module in MODULES:
        count, lacking = len(public(found_in(module, "torch"))), missing(module)
        to_do = sum(why in ("", "to do") for why in lacking.values())
        print(f"{module or 'torch':20} {count - len(lacking):6} {count:6} {to_do:7} {len(lacking) - to_do:14}")
        for name, why in lacking.items():
            left[why or "no reason given"].append(f"{module}.{name}" if module else name)
    print()
    for why, names in sorted(left.items(), key=lambda item: (item[0] != "to do", item[0])):
        print(f"{why}: {len(names)}")
        if listed:
            print(*[f"    {name:44} {why}" for name in names], sep="\n")


if __name__ == "__main__":
    main("--missing" in sys.argv[1:])

"""Write the list of PyTorch's modules that ``chainrule.torch.absent`` answers for; run it with PyTorch installed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

TARGET = Path(__file__).parent.parent / "src" / "chainrule" / "torch" / "absent.txt"
WHOLE = (
    *("ao.quantization", "distributed", "export", "fx", "nested", "onnx", "package", "quantization", "sparse"),
    *("nn.parallel", "utils.data.datapipes"),
)  # fmt: skip
ALONE = (
    *("_dynamo", "_dynamo.eval_frame", "_dynamo.exc", "_export", "_higher_order_ops", "_inductor", "_subclasses"),
    *("_subclasses.fake_tensor", "ao", "ao.nn", "mtia", "utils.cpp_extension"),
    *("utils.mobile_optimizer", "_custom_ops", "_dynamo.utils"),
)  # fmt: skip


def modules() -> Iterator[str]:
    """Give the modules to be written of: those of packages whole but for private parts, and some by themselves."""
    yield from ALONE
    for root in WHOLE:
        yield root
        package = importlib.import_module(f"torch.{root}")
        for found in pkgutil.walk_packages(getattr(package, "__path__", ()), f"torch.{root}.", onerror=lambda name: None):
            if not any(part[0] == "_" for part in found.name.split(".")[1:]):
                yield found.name.removeprefix("torch.")


def names(module: ModuleType) -> Iterator[str]:
    """Give what a module has of PyTorch's, each with its kind: class, exception, function, enumeration with its members."""
    for name in sorted({*dir(module), *getattr(module, "__all__", ())}):
        value = inspect.getattr_static(module, name, None)
        home = str(getattr(value, "__module__", ""))
        shown = home == module.__name__ or hasattr(module, "__path__") or name in getattr(module, "__all__", ())
        if name[0] == "_" or not home.startswith("torch") or not shown:
            continue
        if isinstance(value, type) and (members := getattr(value, "__members__", None)):
            yield f"{name}={','.join(members)}"
        elif isinstance(value, type):
            yield name + ("!" if issubclass(value, BaseException) else ":")
        elif callable(value):
            yield f"{name}()"


def text() -> str:
    """Return the file: a line for each module, its name and then its names."""
    lines = set()
    for name in modules():
        try:
            module = importlib.import_module(f"torch.{name}")
        except Exception:  # needs what is not installed
            continue
        lines.add(f"{name}: {' '.join(names(module))}".rstrip())
    return "\n".join(sorted(lines)) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    TARGET.write_text(text(), encoding="utf-8")

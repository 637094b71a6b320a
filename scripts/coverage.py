"""List which of PyTorch's public names chainrule has, by module; for each that it lacks, why. Run it with PyTorch installed.

python scripts/coverage.py [--missing]     --missing lists every name, not only counts
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
from collections import defaultdict
from typing import Any

MODULES = (
    "", "Tensor", "linalg", "fft", "special", "signal.windows", "masked", "nn.functional", "nn", "nn.init", "optim",
    "optim.lr_scheduler", "autograd", "func",
)  # fmt: skip
# What is out of scope, by the reason; the first pattern that a name matches decides.
REASONS = {
    "first-class dimensions (functorch.dim)": r"^index$",
    "quantisation": r"quant|^q_|^q(u?int|scheme)|^QU?Int|int_repr|fbgemm|^per_(channel|tensor)|choose_qparams",
    "sparse, masked and nested tensors": r"sparse|coalesce|(crow|col|row|ccol)_indices|^indices_copy|^values_copy|h?spmm|"
    r"[dhs]?smm$|sspaddmm|saddmm|jagged|padded_tensor|[mM]asked_?[tT]ensor",
    "storages": r"[Ss]torage",
    "number formats that NumPy lacks": r"^float[48]_|^bit|^u?int[1-7]$|complex32|chalf",
    "other devices and their libraries": r"cuda|cudnn|miopen|mkldnn|vulkan|xpu|ipu|mtia|Accelerator|DeviceObj|^Stream|^Event|"
    r"get_device_module|prepare_multiprocessing|compiled_with|^has_(mkl|lapack|openmp|spectral)|native_|init_num_threads|"
    r"batch_norm_(stats|elemt|gather|backward|update)|OutOfMemory|SyncBatchNorm|DataParallel|grouped_mm|scaled_(grouped_)?mm|"
    r"SwizzleType|ScalingType|DispatchKey|autocast|GradScaler|tf32_notes",
    "JIT, export, and the types of their programs": r"^(Script|LiteScript|Schema|Graph|Block|Node|Value|Use|Code|CallStack|"
    r"Capsule|Argument|Compil|Complete|Concrete|DeepCopy|Error|Execution|File|Function|IOD|JIT|Logger|LockingLogger|Noop|"
    r"Operator|PyTorchFile|Serial|Deserial|Static|Throughput|Tracing|Alias|Benchmark|Exclude|Aggregation|AVG|SUM|PRIVATE_OPS|"
    r"Tag|Future|PyObject|Sym[BFI]|USE_|Fatal|classproperty|BufferDict|ModuleDict|ParameterDict|Gradient|Disable|Type)|"
    r"Type$|^sym_|^parse_|^import_ir|merge_type|unify_type|^fork$|^wait$|^while_loop$|^thread_safe",
    "help for PyTorch's own modules": r"^(DType|BroadcastingList\d|TYPE_CHECKING|assert_int|boolean_dispatch|has_torch|"
    r"handle_torch|get_file_path|module_load|slice_inverse|factory_kwargs|common_notes|\w+_notes|GRID_SAMPLE|Container|Tensor$)",
}


def public(module: Any) -> list[str]:
    """Return a module's or class's public names, without the modules in it."""
    listed = getattr(module, "__all__", None) if isinstance(module, types.ModuleType) and module.__name__ != "torch" else None
    found = []
    for name in listed or dir(module):
        value = inspect.getattr_static(module, name, None)
        foreign = isinstance(value, types.ModuleType) or getattr(value, "__module__", None) in ("typing", "collections.abc")
        if not name.startswith("_") and not foreign:
            found.append(name)
    return sorted(found)


def found_in(name: str, library: str) -> Any:
    """Return a module of a library, or its class Tensor; None if there is none."""
    try:
        root = importlib.import_module(library)
        return root.Tensor if name == "Tensor" else importlib.import_module(f"{library}.{name}") if name else root
    except ImportError:
        return None


def reason(name: str) -> str:
    """Return why a name is out of scope, "" if it is not."""
    return next((why for why, pattern in REASONS.items() if re.search(pattern, name)), "")


def main(listed: bool) -> None:
    """Print the table, and the names that are missing by reason."""
    left: dict[str, list[str]] = defaultdict(list)
    print(f"{'module':20} {'here':>6} {'of':>6}   to do   out of scope")
    for module in MODULES:
        theirs, ours = public(found_in(module, "torch")), found_in(module, "chainrule")
        missing = [name for name in theirs if not hasattr(ours, name)]
        out = [name for name in missing if reason(name)]
        print(
            f"{module or 'torch':20} {len(theirs) - len(missing):6} {len(theirs):6} {len(missing) - len(out):7} {len(out):14}"
        )
        for name in missing:
            left[reason(name) or "to do"].append(f"{module}.{name}" if module else name)
    print()
    for why, names in sorted(left.items(), key=lambda item: (item[0] != "to do", item[0])):
        print(f"{why}: {len(names)}" + (f"\n    {' '.join(names)}" if listed or why == "to do" else ""))


if __name__ == "__main__":
    main("--missing" in sys.argv[1:])

"""What a module says of a name that it does not have: the name that was meant, or that PyTorch has it and chainrule does not.

PyTorch's names are in a file beside this one, which ``scripts/write_torch_names.py`` writes; it is read at the first miss.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

_OUT_OF_SCOPE = {
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
"""Reasons, each with the names of PyTorch's that are not here for it; the first pattern that a name matches decides."""


@functools.cache
def torch_names() -> dict[str, frozenset[str]]:
    """Return PyTorch's public names by module, ``""`` for the package itself."""
    place = os.path.join(os.path.dirname(__file__), "torch_names.txt")  # by pathlib it would take 3 ms of every import
    with open(place, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return {module: frozenset(names.split()) for module, _, names in (line.partition(":") for line in lines)}


def out_of_scope(name: str) -> str:
    """Return what a name of PyTorch's is for that chainrule has not; "" if it is for none of that.

    Examples
    --------
    >>> out_of_scope("sparse_coo_tensor")
    'sparse, masked and nested tensors'
    """
    return next((why for why, pattern in _OUT_OF_SCOPE.items() if re.search(pattern, name)), "")


def missing(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module lacks.

    Examples
    --------
    >>> str(missing("chainrule.nn", "Lineear"))
    "module 'chainrule.nn' has no attribute 'Lineear'. Did you mean: 'Linear'?"
    >>> str(missing("chainrule.nn", "LinearCrossEntropyOptions"))[68:]
    'PyTorch has it, chainrule not yet; dir(chainrule.nn) lists what there is'
    """
    text = f"module {module!r} has no attribute {name!r}"
    if name[:1] == "_":  # what Python and its tools look for
        return AttributeError(text)
    theirs = torch_names().get(module.partition(".")[2], frozenset())
    lists = f"dir({module}) lists what there is"
    if name in theirs:
        why = out_of_scope(name)
        text += (
            f": PyTorch has it, and out of chainrule's scope are: {why}"
            if why
            else f": PyTorch has it, chainrule not yet; {lists}"
        )
    elif (meant := _like(name, [n for n in dir(sys.modules[module]) if n[0] != "_"])) is not None:
        text += f". Did you mean: {meant!r}?"
    elif (meant := _like(name, theirs)) is not None:
        text += f"; PyTorch's {meant!r} is not in chainrule: {out_of_scope(meant) or lists}"
    else:
        text += f", and neither has PyTorch's; {lists}"
    return AttributeError(text, name=name, obj=object())  # of a module Python would add a name of its own choice


def _like(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was meant: one in other letters' cases, or the nearest."""
    found = next((n for n in names if n.lower() == name.lower()), None)
    if found is not None:
        return found
    from difflib import get_close_matches  # of 8 ms to import, and of use here alone

    return next(iter(get_close_matches(name, names, 1, 0.7)), None)  # type: ignore[arg-type]


def tell_of_missing(module: str, late: dict[str, str] | None = None) -> None:
    """Have a module tell of names that it lacks. Set, and not declared, so that type checkers still flag such names.

    Parameters
    ----------
    module : str
        Its name.
    late : dict, optional
        Names that it has from other modules, which are read when one is first asked for: name → module, which may be a
        submodule of that name itself.
    """
    here, late = sys.modules[module], late or {}

    def look_up(name: str) -> Any:
        if name in late:
            source = import_module(late[name])
            found = source if late[name] == f"{module}.{name}" else getattr(source, name)
            setattr(here, name, found)
            return found
        if name == "__all__" and late:  # what a star takes
            return [public for public in here.__dir__() if public[0] != "_" and public != "annotations"]
        raise missing(module, name)

    here.__getattr__ = look_up  # type: ignore[method-assign]
    if late:
        here.__dir__ = lambda: sorted({*vars(here), *late})  # type: ignore[method-assign]

"""PyTorch's database of its operators, its entries made programs of chainrule.

The database gives each operator as a callable, often a lambda over PyTorch's functions, with samples and expected errors. Here
callables and arguments are translated: a function of PyTorch is found by what it is and looked up in chainrule by its name, a
lambda runs its own code over translated names. Nothing here knows a single operator.
"""

from __future__ import annotations

import functools
import itertools
import operator
import random
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import chainrule as cr
import chainrule.func
import chainrule.nn.functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

HOMES = ("", "nn.functional", "linalg", "fft", "special", "signal.windows", "masked", "nn", "Tensor")
SAMPLES = 12  # of an entry and dtype, evenly spaced among its first
WIDE = ("float64", "complex128", "int64", "bool")  # dtypes of which there are so many; of the others two
MOST = 50_000  # elements of a sample, where there are smaller ones


class Missing(Exception):
    """What PyTorch has, and chainrule has not."""


def found(path: str) -> Any:
    """Return what chainrule has under PyTorch's name."""
    try:
        return operator.attrgetter(path)(cr)
    except AttributeError:
        raise Missing(f"torch.{path}") from None


@functools.cache
def paths() -> dict[int, str]:
    """Return the names of PyTorch's public functions, by identity."""
    table: dict[int, str] = {}
    for home in HOMES:
        space = operator.attrgetter(home)(torch) if home else torch
        for name in sorted(dir(space), key=lambda name: name.startswith("_")):  # a public name before a private one
            if callable(value := getattr(space, name, None)):
                table.setdefault(id(value), f"{home}.{name}" if home else name)
    return table


def names_of(code: types.CodeType) -> Iterator[str]:
    """Yield the global names that a function's code may use, those of functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_of(constant)


def masked_out(op: Callable, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a masked operation's result with zeros where everything is masked out, as PyTorch differentiates it."""
    out, mask = op(x, *args, **kwargs), kwargs.get("mask")
    if mask is None:
        return out
    if tuple(out.shape) != tuple(x.shape) or op.__name__ not in SAME_MASK:
        mask = out.detach().isfinite()
    return cr.where(mask, out, out.new_zeros([]))


def both_masked_out(op: Callable, x: Any, y: Any, **kwargs: Any) -> Any:
    """Return the same of an operation of two, where both masks are given."""
    out, masks = op(x, y, **kwargs), (kwargs.get("input_mask"), kwargs.get("other_mask"))
    return out if None in masks else cr.where(masks[0] & masks[1], out, out.new_zeros([]))


SAME_MASK = ("cumsum", "cumprod", "softmax", "log_softmax", "softmin", "normalize")  # their results' masks are the inputs'
OURS = {
    "wrapper_set_seed": lambda op, *args, **kwargs: op(*args, **kwargs),
    "gradcheck_wrapper_masked_operation": masked_out,
    "gradcheck_wrapper_masked_pointwise_operation": both_masked_out,
}


@functools.cache
def program(f: Callable) -> Callable:
    """Return a callable of PyTorch's, or of its database, as one of chainrule's."""
    if (path := paths().get(id(f))) is not None:
        return found(path)
    if (ours := OURS.get(getattr(f, "__name__", ""))) is not None:
        return ours
    if isinstance(f, functools.partial):
        return functools.partial(program(f.func), *translated(f.args, {}), **translated(f.keywords, {}))
    if not isinstance(f, types.FunctionType) or not f.__module__.startswith("torch.testing"):
        raise Missing(str(f))
    used = {n: f.__globals__[n] for n in names_of(f.__code__) if n in f.__globals__}
    scope = {n: f if v is f else translated(v, {}) for n, v in used.items()}
    cells = tuple(types.CellType(translated(c.cell_contents, {})) for c in f.__closure__ or ())
    made = types.FunctionType(f.__code__, scope, f.__name__, f.__defaults__, cells)
    made.__kwdefaults__ = f.__kwdefaults__
    return made


def translated(value: Any, made: dict) -> Any:
    """Return an argument, or whatever a lambda holds, as chainrule takes it; `made` keeps what one tensor became."""
    if isinstance(value, torch.Tensor):
        if id(value) not in made:
            made[id(value)] = tensor(value)
        return made[id(value)]
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return found(str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return cr.device(str(value))
    if isinstance(value, torch.Size):
        return cr.Size(value)
    if isinstance(value, torch.Generator):
        return cr.Generator()
    if isinstance(value, torch.nn.Module):
        return found(f"nn.{type(value).__name__}")()
    if isinstance(value, (list, tuple)):
        return type(value)(translated(v, made) for v in value)
    if isinstance(value, dict):
        return {k: translated(v, made) for k, v in value.items()}
    if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] == "torch":
        return cr if value is torch else found(value.__name__.removeprefix("torch."))
    is_theirs = isinstance(value, types.FunctionType) and value.__module__.startswith("torch.testing")
    return program(value) if is_theirs or isinstance(value, functools.partial) or id(value) in paths() else value


def tensor(value: torch.Tensor) -> Any:
    """Return a tensor of the same layout, bit of conjugation and leafness."""
    memory = value.detach()
    if value.is_conj():
        return tensor(memory.conj()).conj().detach().requires_grad_(value.requires_grad)
    whole = memory.as_strided((memory.untyped_storage().nbytes() // memory.element_size(),), (1,), 0)
    if whole.dtype == torch.bfloat16:
        ours = cr.from_numpy(whole.float().numpy()).to(cr.bfloat16)
    else:
        ours = cr.from_numpy(whole.clone().numpy())  # of a copy: memory that NumPy shares PyTorch resizes no more
    ours = ours.as_strided(tuple(value.shape), value.stride(), value.storage_offset())
    return ours.detach().requires_grad_(value.requires_grad)


def tensors(value: Any) -> list:
    """Return the tensors of either library in a nest of lists, tuples and dicts."""
    if isinstance(value, (torch.Tensor, cr.Tensor)):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [t for v in value for t in tensors(v)]


def replaced(value: Any, given: dict[int, Any]) -> Any:
    """Return a nest with tensors replaced by those given for them."""
    if isinstance(value, (torch.Tensor, cr.Tensor)):
        return given.get(id(value), value)
    if isinstance(value, dict):
        return {k: replaced(v, given) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(replaced(v, given) for v in value)
    return value


class Call:
    """Arguments of an entry, under one of the libraries."""

    def __init__(self, lib: types.ModuleType, sample: Any):
        self.lib, self.process = lib, sample.output_process_fn_grad
        self.args, self.kwargs = (sample.input, *sample.args), dict(sample.kwargs)

    def translated(self) -> Call:
        """Return the same of chainrule."""
        ours, made = object.__new__(Call), {}
        ours.lib, ours.process = cr, program(self.process)
        ours.args, ours.kwargs = translated(self.args, made), translated(self.kwargs, made)
        return ours

    def given(self, changed: dict[int, Any]) -> Call:
        """Return the call with some of its tensors replaced."""
        other = object.__new__(Call)
        other.lib, other.process = self.lib, self.process
        other.args, other.kwargs = replaced(self.args, changed), replaced(self.kwargs, changed)
        return other

    def tensors(self) -> list:
        """Return its tensors."""
        return tensors((self.args, self.kwargs))

    def size(self) -> int:
        """Return how many elements its tensors have."""
        return sum(t.numel() for t in self.tensors())

    def leaves(self) -> list:
        """Return those that require grad."""
        return [t for t in self.tensors() if t.requires_grad]

    def __repr__(self) -> str:
        return f"({', '.join([*map(said, self.args), *(f'{k}={said(v)}' for k, v in self.kwargs.items())])})"


def said(value: Any) -> str:
    """Return an argument in few words."""
    if isinstance(value, (torch.Tensor, cr.Tensor)):
        return f"{str(value.dtype).split('.')[-1]}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(said, value))})"
    return repr(value)[:60]


class Entry:
    """One operator of the database: PyTorch's callable, ours, and its samples."""

    def __init__(self, op: Any):
        self.op, self.theirs = op, op.op
        self.name = f"{op.name}[{op.variant_test_name}]" if op.variant_test_name else op.name
        self.kept: dict = {}

    @functools.cached_property
    def ours(self) -> Callable:
        """Return the operator in chainrule, or raise Missing."""
        return program(self.theirs)

    def dtypes(self, *names: str) -> list[torch.dtype]:
        """Return which of these dtypes the operator takes."""
        return [d for n in names if (d := getattr(torch, n)) in self.op.supported_dtypes("cpu")]

    def is_differentiable(self, dtype: torch.dtype) -> bool:
        """Return whether PyTorch differentiates it."""
        return self.op.supports_autograd and dtype in self.op.supported_backward_dtypes("cpu")

    def calls(self, dtype: torch.dtype, *, grad: bool = False, most: int = SAMPLES) -> list[Call]:
        """Return some of its samples, at most so many, evenly spaced among the first."""
        if (dtype, grad) not in self.kept:
            torch.manual_seed(0), np.random.seed(0), random.seed(0)
            count = SAMPLES if dtype in self.dtypes(*WIDE) else 2
            # Not through `sample_inputs`, which looks at the stack for each: under pytest that takes longer than all else.
            drawn = itertools.islice(self.op.sample_inputs_func(self.op, "cpu", dtype, grad), 8 * count)
            calls = [Call(torch, s) for s in drawn]
            calls = [c for c in calls if c.size() <= MOST] or sorted(calls, key=Call.size)[:1]
            self.kept[dtype, grad] = spaced(calls, count)
        chosen = spaced(self.kept[dtype, grad], most)
        return [c.given({id(t): t.detach().requires_grad_(t.requires_grad) for t in c.tensors()}) for c in chosen]


def spaced(items: list, most: int) -> list:
    """Return at most so many of a list, evenly spaced, its first and last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


ENTRIES = [Entry(op) for op in op_db]
TOLERANCE = {"float64": 1e-7, "complex128": 1e-7, "float32": 2e-4, "complex64": 5e-4, "float16": 2e-2, "bfloat16": 1e-1}


def array(t: Any) -> np.ndarray:
    """Return the values of a tensor of either library."""
    if isinstance(t, torch.Tensor):
        t = t.detach().resolve_conj().resolve_neg()
        return (t.float() if t.dtype == torch.bfloat16 else t).numpy(force=True)
    t = t.detach()
    return np.asarray((t.to(cr.float32) if t.dtype == cr.bfloat16 else t).resolve_conj().resolve_neg().numpy())


def difference(theirs: Any, ours: Any, *, values: bool = True, factor: float = 1) -> str | None:
    """Return in what two results differ; their types, shapes and dtypes alone if not their values."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, cr.Tensor):
            return f"{type(ours).__name__}, not Tensor"
        if tuple(ours.shape) != tuple(theirs.shape):
            return f"shape {list(ours.shape)}, not {list(theirs.shape)}"
        name = str(theirs.dtype).removeprefix("torch.")
        if str(ours.dtype).split(".")[-1] != name:
            return f"dtype {ours.dtype}, not {name}"
        x, y = array(theirs), array(ours)
        if not values or x.size == 0:
            return None
        tolerance = TOLERANCE.get(name, 0) * factor
        with np.errstate(all="ignore"):
            scale = np.abs(x[np.isfinite(x)]).max(initial=0) if tolerance else 0
            close = np.isclose(y, x, rtol=tolerance, atol=tolerance * (1 + scale / 100), equal_nan=True)
        if close.all():
            return None
        at = tuple(int(i) for i in np.argwhere(~close)[0])
        return f"{y[at]!r}, not {x[at]!r}, at {list(at)}, and {np.count_nonzero(~close) - 1} more of {x.size}"
    if isinstance(theirs, (list, tuple)) and not isinstance(theirs, torch.Size):
        if not isinstance(ours, (list, tuple)) or len(ours) != len(theirs):
            return f"{type(ours).__name__} of {len(ours) if hasattr(ours, '__len__') else 1}, not {len(theirs)}"
        parts = [difference(a, b, values=values, factor=factor) for a, b in zip(theirs, ours, strict=True)]
        return next((f"[{i}] {d}" for i, d in enumerate(parts) if d), None)
    if isinstance(theirs, torch.dtype):
        theirs, ours = str(theirs).split(".")[-1], str(ours).split(".")[-1]
    if isinstance(theirs, (float, complex)):
        return None if not values or np.isclose(ours, theirs, rtol=1e-7, atol=1e-7, equal_nan=True) else f"{ours}, not {theirs}"
    return None if not values or ours == theirs else f"{ours!r}, not {theirs!r}"

"""Large eager work by the compiler's kernels: what fills the slot that ``core.op.native`` offers.

An op, or a derivative rule of an elementwise op, becomes one loop nest: over elements, those of operands that broadcast read
again, or over the rows of its last axis. Its code serves every length of the first axis, is made once (``making``), and kept on
disk. It makes one pass over memory, on all threads, where NumPy makes one for each ufunc. What has no such nest (arrays that
lie apart, other dtypes, opaque ops) is left to the kernels.

What the disk keeps runs without what made it: neither llvmlite nor most of the compiler is imported for it.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import cache
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.compiler.cache import cache as disk
from chainrule.compiler.llvm import engine
from chainrule.compiler.llvm.executor import Table, address, grain_of, runner
from chainrule.core.op.declaration import ELEMENTWISE, IN, OUT, TABLE

MOST_COLUMNS = 1 << 16  # of a row: rows are not split over threads
MOST_AXES = 4  # of elementwise work, after those that are alike to all operands were merged
VARIANTS = 64  # of a kernel or rule: numbers, parameters and sizes for which code is made; NumPy computes further ones
KEPT = 512  # kernels, after which all are forgotten
NUMBER, ABSENT = "number", "absent"  # operands that are no arrays; of arrays there is told which axes they have

ndarray = np.ndarray
_DTYPES = {np.dtype(name): name for name in ("float32", "float64", "bool")}
_NUMBERS = (float, int, bool)


class Subject(NamedTuple):
    """What code is made of: an op, its derivative rule for an input, or a function of tensors.

    Attributes
    ----------
    name : str
        Which tells it from others.
    function : callable
        Of tensors.
    by_elements : bool
        Whether elements are computed each on its own.
    """

    name: str
    function: Callable
    by_elements: bool


class Recipe(NamedTuple):
    """What there is to know of a kernel in order to run it.

    Attributes
    ----------
    text, name : str
        A module of LLVM IR and its function.
    order : list of int
        Which of operands and results each parameter is.
    cost : float
        Additions that a point takes.
    makes : list of (str, bool)
        Of each result the dtype, and whether it has the shape of the operands; else it has one element a row.
    """

    text: str
    name: str
    order: list
    cost: float
    makes: list


class Kernel:
    """Code for arrays of some dtypes, for any number of elements or rows."""

    def __init__(self, recipe: Recipe):
        self._code, self.cost = engine.load(recipe.text, [recipe.name]), recipe.cost
        self.makes = [(np.dtype(name), whole) for name, whole in recipe.makes]
        table = Table()
        table.call(self._code.address(recipe.name), 0, 0, 0, [(k, 0) for k in recipe.order])
        self._size = 8 * len(table)
        self._bases = self._size + 8 * table.widest
        self._words = array("q", table.array().tobytes() + bytes(8 * table.widest))

    def run(self, arrays: Sequence[ndarray], points: int) -> None:
        """Run on operands and results."""
        shared, words = runner(), self._words[:]  # the table, room for parameters, then where the arrays are
        words[4], words[5] = points, grain_of(points, self.cost)
        words.extend(map(address, arrays))
        first = words.buffer_info()[0]
        pool = shared.pool
        helpers = pool.helpers() if words[5] else 0
        shared.run(first, first + self._size, first + self._bases, first + self._size, pool.address, helpers)


_kernels: dict[tuple, Kernel | None] = {}
_variants: dict[Callable, int] = {}
_subjects: dict[Callable, Subject] = {}
_known = 0  # ops among the subjects


def native(f: Callable, operands: tuple, params: dict, outs: Sequence[ndarray] | None = None) -> Any:
    """Return what an op's kernel, or a rule of an op, gives for arrays, by native code; None where there is none for it.

    Results are written to `outs`, if given, which may be operands of their shape.
    """
    shape = next((a.shape for a in operands if a.__class__ is ndarray and a.ndim), None)
    subject = _subject(f)
    if shape is None or subject is None:
        return None
    arrays: list[ndarray] = []
    others: list[Any] = []
    for a in operands:
        if a.__class__ is ndarray or isinstance(a, np.generic):
            a = np.asarray(a)
            if a.dtype not in _DTYPES or not a.flags.aligned:
                return None
            arrays.append(a)
            others.append(None)
        elif a is None or a.__class__ in _NUMBERS:
            others.append((ABSENT, "") if a is None else (NUMBER, repr(a)))
        else:
            return None
    floats = {a.dtype for a in arrays if a.dtype.kind == "f"}
    if not floats or (len(floats) > 1 and f in _subjects):  # of several NumPy makes what they promote to
        return None
    if subject.by_elements:
        placed = _placed(shape, arrays)
    else:
        placed = _in_rows(shape, arrays) if params.get("axis") == (len(shape) - 1,) else None
    if placed is None:
        return None
    sizes, masks = placed
    given = iter([(mask, _DTYPES[a.dtype]) for mask, a in zip(masks, arrays, strict=True)])
    roles = [next(given) if other is None else other for other in others]
    key = (f, *sizes[1:], *roles, *[repr(item) for item in params.items()])
    try:
        found = _kernels[key]
    except KeyError:
        found = _remembered(key, subject, sizes[1:], roles, params)
    if found is None:
        return None
    if outs is None:
        outs = [np.empty(shape if whole else (*shape[:-1], 1), dtype) for dtype, whole in found.makes]
    elif [(out.dtype, out.shape) for out in outs] != [(dtype, shape) for dtype, _ in found.makes]:
        return None
    found.run([*arrays, *outs], prod(sizes) if subject.by_elements else sizes[0])
    return outs[0] if len(outs) == 1 else tuple(outs)


def _placed(shape: tuple, arrays: Sequence[ndarray]) -> tuple[list, list] | None:
    """Return axes that stand for those of a shape, and for each array which of them it has, "1" or "0"; None if one lies apart.

    An array's elements are to follow each other in C order, along the axes that it has.
    """
    if all([a.shape == shape and a.flags.c_contiguous for a in arrays]):
        return [prod(shape)], ["1"] * len(arrays)
    columns = []
    for a in arrays:
        step, column = a.itemsize, []
        missing = len(shape) - a.ndim
        if missing < 0:
            return None
        for n, m, stride in zip(
            shape[: missing - 1 : -1] if missing else shape[::-1], a.shape[::-1], a.strides[::-1], strict=True
        ):
            has = m == n and stride != 0
            if (has and n > 1 and stride != step) or m not in (1, n):
                return None
            step *= n if has else 1
            column.append(has)
        columns.append([*column, *[False] * missing])
    sizes: list[int] = []
    held: list[list] = []
    for n, *has in zip(shape[::-1], *columns, strict=True):
        if n == 1:
            continue
        if held and held[-1] == has:
            sizes[-1] *= n
        else:
            sizes.append(n)
            held.append(has)
    if not 0 < len(sizes) <= MOST_AXES:
        return None
    return sizes[::-1], ["".join(["01"[has[k]] for has in held[::-1]]) for k in range(len(arrays))]


def _in_rows(shape: tuple, arrays: Sequence[ndarray]) -> tuple[list, list] | None:
    """Return the number of rows and columns, and for each array which of both it has."""
    rows, columns = prod(shape[:-1]), shape[-1]
    if not 1 < columns <= MOST_COLUMNS:
        return None
    masks = []
    for a in arrays:
        if not a.ndim or (a.shape == shape and not any(a.strides)):
            masks.append("00")
        elif not a.flags.c_contiguous:
            return None
        elif a.shape == shape:
            masks.append("11")
        elif a.shape == shape[-1:]:
            masks.append("01")
        elif a.shape == (*shape[:-1], 1):
            masks.append("10")
        else:
            return None
    return [rows, columns], masks


def _remembered(key: tuple, subject: Subject, sizes: list, roles: list, params: dict) -> Kernel | None:
    """Return a kernel, made and kept under a key; None for more than `VARIANTS` of one function."""
    f = key[0]
    if len(_kernels) >= KEPT:
        _kernels.clear()
        _variants.clear()
    if _variants.get(f, 0) >= VARIANTS:
        return None
    _variants[f] = _variants.get(f, 0) + 1
    found = _kernels[key] = _made(subject, sizes, roles, params)
    return found


def _subject(f: Callable) -> Subject | None:
    """Return what a function is, the kernel of an op, a rule that needs values alone, or one that says what it is."""
    global _known
    if _known != len(TABLE):
        _known = len(TABLE)
        for op in list(TABLE.values()):
            by_elements = op.kind == ELEMENTWISE
            _subjects[op.backend.kernel] = Subject(op.name, op.call, by_elements)
            for i, rule in enumerate(op.rules if by_elements else ()):
                if rule is not None and all([kind in (IN, OUT) for kind, _ in rule.sources]):
                    _subjects[rule.f] = Subject(f"{op.name} {i}", rule.f, True)
    if f in _subjects:
        return _subjects[f]
    for kind in ("elements", "rows"):
        if (name := getattr(f, kind, None)) is not None:
            return Subject(name, f, kind == "elements")
    return None


def _made(subject: Subject, sizes: list, roles: list, params: dict) -> Kernel | None:
    """Return a kernel, from what the disk keeps or made anew."""
    kept, stamp = disk(), _stamp()
    asked = f"eager\n{engine.host()}\n{stamp}\n{subject.name} {sizes} {roles} {params}".encode()
    told = kept.get(asked) if stamp else None
    if told is not None:
        recipe = json.loads(told)
    else:
        make = import_module("chainrule.compiler.making").recipe  # which imports all of the compiler
        recipe = Context().run(make, subject, sizes, roles, params)  # in ordinary modes
        if stamp:
            kept.put(asked, json.dumps(recipe).encode())
    return None if recipe is None else Kernel(Recipe(*recipe))


@cache
def _stamp() -> str | None:
    """Return what changes where a file does that has a part in how code is made; None where files cannot be looked at."""
    found = []
    try:
        folders = [Path(__file__).parents[1] / name for name in ("compiler", "core", "functions", "ops", "optim", "transforms")]
        while folders:
            for entry in os.scandir(folders.pop()):
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.name.endswith((".py", ".ll")):
                    about = entry.stat()
                    found.append((entry.path, about.st_mtime_ns, about.st_size))
    except OSError:
        return None
    return str(sorted(found))

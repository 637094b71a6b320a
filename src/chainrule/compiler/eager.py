"""Large eager work by the compiler's kernels: what fills the slot that ``core.op.native`` offers.

An op, or a derivative rule of an elementwise op, becomes one loop nest over all elements, or over the rows of its last axis;
its code serves every number of elements or rows, is made once (``making``), and kept on disk. It makes one pass over memory, on
all threads, where NumPy makes one for each ufunc. What has no such nest (arrays that broadcast in other ways or lie apart,
other dtypes) is left to the kernels.

What the disk keeps runs without what made it: neither llvmlite nor most of the compiler is imported for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.compiler.cache import cache as disk
from chainrule.compiler.llvm import engine
from chainrule.compiler.llvm.executor import Table, address, grain_of, runner
from chainrule.core.op.declaration import ELEMENTWISE, IN, OUT, TABLE, Op

MOST_COLUMNS = 1 << 16  # of a row: rows are not split over threads
KEPT = 512  # kernels, after which all are forgotten
WHOLE, ROW, COLUMN, ONE, NUMBER, ABSENT = "whole", "row", "column", "one", "number", "absent"
"""Operands: of the shape of the result, one row for all, one element a row, one element for all, a Python number, none."""

ndarray = np.ndarray
_DTYPES = {np.dtype(name): name for name in ("float32", "float64", "bool")}
_NUMBERS = (float, int, bool)


class Subject(NamedTuple):
    """What code is made of: an op, or its derivative rule for an input."""

    op: Op
    rule: int | None

    @property
    def by_elements(self) -> bool:
        """Whether elements are computed each on its own."""
        return self.op.kind == ELEMENTWISE


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
        self._table, self._params = table.array(), table.widest

    def run(self, arrays: Sequence[ndarray], points: int) -> None:
        """Run on operands and results."""
        shared, words = runner(), self._table.copy()
        words[4], words[5] = points, grain_of(points, self.cost)
        bases = np.array([address(a) for a in arrays], np.int64)
        params = np.empty(self._params, np.int64)
        first = address(words)
        helpers = shared.pool.helpers() if words[5] else 0
        shared.run(first, first + words.nbytes, address(bases), address(params), shared.pool.address, helpers)


_kernels: dict[tuple, Kernel | None] = {}
_subjects: dict[Callable, Subject] = {}
_known = 0  # ops among the subjects


def native(f: Callable, operands: tuple, params: dict) -> Any:
    """Return what an op's kernel, or a rule of an op, gives for arrays, by native code; None where there is none for it."""
    shape = next((a.shape for a in operands if a.__class__ is ndarray and a.ndim), None)
    subject = _subject(f)
    if shape is None or subject is None:
        return None
    columns = None
    if not subject.by_elements:
        if params.get("axis") != (len(shape) - 1,) or not 1 < shape[-1] <= MOST_COLUMNS:
            return None
        columns = shape[-1]
    roles, arrays = [], []
    for a in operands:
        if a.__class__ is ndarray or isinstance(a, np.generic):
            a = np.asarray(a)
            role = _role(a, shape, columns)
            if role is None:
                return None
            arrays.append(a)
        elif a is None or a.__class__ in _NUMBERS:
            role = (ABSENT, "") if a is None else (NUMBER, repr(a))
        else:
            return None
        roles.append(role)
    key = (f, columns, *roles, *[repr(item) for item in params.items()])
    try:
        found = _kernels[key]
    except KeyError:
        if len(_kernels) >= KEPT:
            _kernels.clear()
        found = _kernels[key] = _made(subject, columns, roles, params)
    if found is None:
        return None
    outs = [np.empty(shape if whole else (*shape[:-1], 1), dtype) for dtype, whole in found.makes]
    size = outs[0].size if found.makes[0][1] else outs[0].size * shape[-1]
    found.run([*arrays, *outs], size if columns is None else size // columns)
    return outs[0] if len(outs) == 1 else tuple(outs)


def _role(a: ndarray, shape: tuple, columns: int | None) -> tuple[str, str] | None:
    """Return what an operand is to the others, and its dtype; None for one that code is not made for."""
    name = _DTYPES.get(a.dtype)
    if name is None or not a.flags.aligned:
        return None
    if not a.ndim:
        return ONE, name
    if a.shape == shape and a.flags.c_contiguous:
        return WHOLE, name
    if a.shape == shape and not any(a.strides):
        return ONE, name
    if columns is not None and a.flags.c_contiguous:
        if a.shape == shape[-1:]:
            return ROW, name
        if a.shape == (*shape[:-1], 1):
            return COLUMN, name
    return None


def _subject(f: Callable) -> Subject | None:
    """Return what a function is, the kernel of an op or a rule that needs values alone."""
    global _known
    if _known != len(TABLE):
        _known = len(TABLE)
        for op in list(TABLE.values()):
            _subjects[op.backend.kernel] = Subject(op, None)
            for i, rule in enumerate(op.rules if op.kind == ELEMENTWISE else ()):
                if rule is not None and all([kind in (IN, OUT) for kind, _ in rule.sources]):
                    _subjects[rule.f] = Subject(op, i)
    return _subjects.get(f)


def _made(subject: Subject, columns: int | None, roles: list, params: dict) -> Kernel | None:
    """Return a kernel, from what the disk keeps or made anew."""
    kept, stamp = disk(), _stamp()
    asked = f"eager\n{engine.host()}\n{stamp}\n{subject.op.name} {subject.rule} {columns} {roles} {params}".encode()
    told = kept.get(asked) if stamp else None
    if told is not None:
        recipe = json.loads(told)
    else:
        make = import_module("chainrule.compiler.making").recipe  # which imports all of the compiler
        recipe = Context().run(make, subject, columns, roles, params)  # in ordinary modes
        if stamp:
            kept.put(asked, json.dumps(recipe).encode())
    return None if recipe is None else Kernel(Recipe(*recipe))


@cache
def _stamp() -> str | None:
    """Return what changes where a file does that has a part in how code is made; None where files cannot be looked at."""
    found = []
    try:
        folders = [Path(__file__).parents[1] / name for name in ("compiler", "core", "ops", "transforms")]
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

"""The native entry of a call: a function with CPython's calling convention that reads tensors, runs a plan, makes tensors.

A built-in function of the plan's own takes the arguments as C pointers, compares what the plan was made for (classes, modes,
dtypes, shapes, strides, alignment), fills the array of buffers, runs the table, and makes results by NumPy's C functions. It
returns ``NotImplemented`` on any difference, so that Python finds out what to do, and an int where a guard does not hold.
The offsets of what it reads are found from real objects when the first plan is made, and checked; where anything is not
as expected (another implementation, a debug or free-threaded build) there is no entry, and plans are called by ctypes.

A call of one 0-d tensor takes 0.2 us beside the plan's own work. A hundred operations on it: 1.6 us this way, 42 where Python
fills the array of buffers and calls by ctypes.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.compiler.llvm import engine
from chainrule.compiler.llvm.arenas import Block
from chainrule.core.mode import state
from chainrule.core.tensor.tensor import Tensor

METH_FASTCALL = 0x80
NPY_ALIGNED = 0x100
PLAIN = 0x501  # in C order, aligned, to be written to
PY_TP_NEW = 65
NEW_FROM_DESCR, SCALAR, ARRAY_VERSION = 94, 60, 0  # in NumPy's table of functions

# the words of a plan's head
HEAD = (
    "inputs", "input_specs", "outputs", "output_specs", "first", "end", "template", "slots", "arena", "arena_bytes",
    "release", "pool", "helpers", "params", "context", "mode_a", "mode_b", "tensor", "single",
    "ndarray", "new_array", "new_scalar", "object_new", "none", "empty", "refused",
)  # fmt: skip
INPUT = (
    "source",
    "class",
    "node",
    "slot",
    "scalar",
    "number",
    "descr",
    "nd",
    "sizes",
)  # sizes: pointer to nd shapes, then nd strides
OUTPUT = ("slot", "descr", "nd", "shape", "strides", "target", "bytes")  # strides: 0 for C order
ANY: Any = object()  # of an input: its `_node` is not looked at
BASE = 48  # where an array has what owns its memory
DIRECT = 16  # bytes kept for a 0-d result on the stack


class Offsets(NamedTuple):
    """Where objects have what the entry reads, in bytes."""

    table: int
    data: int
    node: int
    ver: int
    view: int
    meta: int


class Holder:
    """What a built-in function of a plan is bound to: its head, and what must live as long as it."""

    __slots__ = ("keeps", "table")
    table: np.ndarray
    keeps: tuple

    def __init__(self, table: np.ndarray, keeps: tuple):
        self.table, self.keeps = table, keeps


def word(at: int) -> int:
    """Return the word at an address."""
    return ctypes.c_size_t.from_address(at).value


def offset(cls: type, name: str, sample: Any) -> int:
    """Return where instances of a class have a slot, found from a sample whose slot holds something of its own."""
    held = id(getattr(sample, name))
    size = cls.__basicsize__
    found = [at for at in range(16, size, 8) if word(id(sample) + at) == held]
    if len(found) != 1:
        raise UnexpectedError
    return found[0]


class UnexpectedError(Exception):
    """Objects of this interpreter are laid out in another way."""


@cache
def offsets() -> Offsets | None:
    """Return the offsets; None where the entry cannot be used."""
    try:
        return _found_offsets()
    except (UnexpectedError, AttributeError, TypeError, ValueError):
        return None


def _found_offsets() -> Offsets:
    ordinary = sys.implementation.name == "cpython" and struct.calcsize("P") == 8 and object.__basicsize__ == 16
    if not ordinary or not getattr(sys, "_is_gil_enabled", lambda: True)() or "t" in getattr(sys, "abiflags", ""):
        raise UnexpectedError
    if word(id(3.5) + 8) != id(float):
        raise UnexpectedError
    _check_arrays()
    holder = Holder(np.zeros(3), ())
    made = Tensor._wrap(np.zeros(2))
    marks = {name: object() for name in ("_data", "_node", "_ver", "_view", "_meta")}
    for name, mark in marks.items():
        setattr(made, name, mark)
    found = [offset(Tensor, name, made) for name in marks]
    return Offsets(offset(Holder, "table", holder), *found)


def _check_arrays() -> None:
    """Raise unless arrays and scalars are laid out as NumPy 2's C interface has them."""
    array = np.arange(24.0).reshape(2, 3, 4)[:, ::2, 1:]
    for a in (array, array.T, np.zeros((), np.float32), np.zeros((0, 5), np.int8)):
        at = id(a)
        sizes = [ctypes.c_ssize_t.from_address(word(at + place) + 8 * k).value for place in (32, 40) for k in range(a.ndim)]
        expected = (a.__array_interface__["data"][0], a.ndim, [*a.shape, *a.strides], id(a.dtype))
        if expected != (word(at + 16), ctypes.c_int.from_address(at + 24).value, sizes, word(at + 56)):
            raise UnexpectedError
        flags = ctypes.c_int.from_address(at + 64).value
        plain = a.flags.c_contiguous and a.flags.writeable
        if not flags & NPY_ALIGNED or (flags & PLAIN == PLAIN) != plain or word(at + 8) != id(np.ndarray):
            raise UnexpectedError
    bytes_ = np.zeros(17, np.uint8)[1:].view(np.float64)
    if ctypes.c_int.from_address(id(bytes_) + 64).value & NPY_ALIGNED:
        raise UnexpectedError
    for x in (np.float32(1.5), np.float64(2.5), 3.5, np.int64(-3), np.int8(5), np.bool_(True)):
        content = np.asarray(x).tobytes()
        if ctypes.string_at(id(x) + 16, len(content)) != content:
            raise UnexpectedError
    version = ctypes.CFUNCTYPE(ctypes.c_uint)(_numpy(ARRAY_VERSION))()
    if version >> 24 != 2:
        raise UnexpectedError


@cache
def _api() -> int:
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, None)


def _numpy(number: int) -> int:
    """Return the address of a function of NumPy's C interface."""
    return word(_api() + 8 * number)


def _get(name: str, kind: str, base: str, index: int, unit: str = "i64") -> str:
    """Return IR that loads a word: ``%name`` of ``%base[index]``."""
    return f"  %{name}.at = getelementptr {unit}, ptr %{base}, i64 {index}\n  %{name} = load {kind}, ptr %{name}.at\n"


def words(names: Sequence[str], kinds: dict[str, str], base: str, prefix: str) -> str:
    """Return IR that loads the words of a record, pointers unless `kinds` says otherwise."""
    return "".join([_get(f"{prefix}{n}", kinds.get(n, "ptr"), base, i) for i, n in enumerate(names)])


def text() -> str | None:
    """Return the IR of ``cr_call``; None where the entry cannot be used."""
    at = offsets()
    if at is None:
        return None
    whole = dict.fromkeys(
        ("inputs", "outputs", "slots", "arena_bytes", "release", "helpers", "params", "single", "source", "slot",
         "nd", "bytes"), "i64",
    )  # fmt: skip
    return engine.template(
        "entry",
        HEAD=words(HEAD, whole, "table", "h."),
        INPUT=words(INPUT, whole, "spec", "i."),
        OUTPUT=words(OUTPUT, whole, "ospec", "o."),
        RESULT=words(OUTPUT, whole, "rspec", "r."),
        WRITTEN=words(OUTPUT, whole, "wspec", "w."),
        PLAIN=str(PLAIN),
        INPUT_WORDS=str(len(INPUT)),
        OUTPUT_WORDS=str(len(OUTPUT)),
        ALIGNED=str(NPY_ALIGNED),
        DIRECT=str(DIRECT),
        **{name.upper(): str(offset) for name, offset in at._asdict().items()},
    )


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("method", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Input(NamedTuple):
    """What the entry expects of an argument: an array in a slot, or a tensor that has it.

    Attributes
    ----------
    slot : int
    dtype : numpy.dtype
    shape, strides : tuple of int
        Strides in bytes.
    cls : type, optional
        Of the tensor; None for an array.
    node : object
        What its `_node` is, or `ANY`.
    """

    slot: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    cls: type | None = None
    node: Any = None


class Output(NamedTuple):
    """What the entry makes: an array that a slot's buffer becomes.

    With `target`, a tensor of this shape, its values are written into that tensor's memory at the end, and None is returned in
    its place. That must lie in C order.
    """

    slot: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    target: Any = None


class Run(NamedTuple):
    """What the entry runs: a table, which has `size` bytes of a block's memory for what is temporary."""

    table: np.ndarray
    template: np.ndarray
    params: int
    arena: Block
    size: int
    release: bool
    pool: int
    helpers: int
    keeps: tuple


def function(
    address: int, inputs: Sequence[Input], outputs: Sequence[Output], run: Run, tensors: bool, single: bool
) -> Callable:
    """Return the built-in function of a plan.

    Parameters
    ----------
    address : int
        Of ``cr_call``.
    inputs, outputs : sequence of Input, Output
        `outputs` are buffers of their own, each in one place.
    run : Run
    tensors : bool
        Whether arguments and results are tensors, not arrays.
    single : bool
        Whether the one result is returned by itself, not in a tuple.
    """
    keeps: list[Any] = [run, inputs, outputs]

    def array(words: Sequence[int]) -> int:
        made = np.array([word & (2**64 - 1) for word in words] or [0], np.uint64)
        keeps.append(made)
        return made.ctypes.data

    specs: list[int] = []
    for i, x in enumerate(inputs):
        scalar = id(x.dtype.type) if not x.shape else 0
        cls, node = (id(x.cls), 0 if x.node is ANY else id(x.node)) if x.cls is not None else (0, 0)
        number = id(float) if scalar == id(np.float64) else 0  # which lies in memory as a float does
        specs += [i, cls, node, x.slot, scalar, number, id(x.dtype), len(x.shape), array((*x.shape, *x.strides))]
    made: list[int] = []
    for o in outputs:
        made += [o.slot, id(o.dtype), len(o.shape), array(o.shape), 0 if o.strides is None else array(o.strides)]
        made += [0 if o.target is None else id(o.target), prod(o.shape) * o.dtype.itemsize]
    new = ctypes.pythonapi.PyType_GetSlot
    new.restype, new.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_int]
    empty: tuple = ()
    values = {
        "inputs": len(inputs), "input_specs": array(specs), "outputs": len(outputs), "output_specs": array(made),
        "first": run.table.ctypes.data, "end": run.table.ctypes.data + run.table.nbytes, "template": run.template.ctypes.data,
        "slots": len(run.template), "arena": run.arena.words.ctypes.data, "arena_bytes": run.size,
        "release": run.release, "pool": run.pool, "helpers": run.helpers, "params": run.params,
        "context": id(state._current) if tensors else 0, "mode_a": id(state._ORDINARY[True, False]),
        "mode_b": id(state._ORDINARY[False, False]), "tensor": id(Tensor) if tensors else 0, "single": single,
        "ndarray": id(np.ndarray), "new_array": _numpy(NEW_FROM_DESCR), "new_scalar": _numpy(SCALAR),
        "object_new": new(object, PY_TP_NEW), "none": id(None), "empty": id(empty), "refused": id(NotImplemented),
    }  # fmt: skip
    head = [values[name] for name in HEAD]
    keeps += [empty, state._current]
    return bound(b"plan", address, head, keeps)


def bound(name: bytes, address: int, head: Sequence[int], keeps: Sequence[Any]) -> Callable:
    """Return the built-in function at an address, which finds a table of words in what it is bound to.

    It has CPython's fast calling convention. `keeps` are objects that must live as long as it.
    """
    definition = _MethodDef(name, address, METH_FASTCALL, None)
    holder = Holder(np.array(head, np.uint64).view(np.int64), (*keeps, definition))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return make(ctypes.addressof(definition), holder, None)


def set_helpers(plan: Callable, helpers: int, pool: int) -> None:
    """Tell a built-in function of a plan how many threads may help, and from which pool."""
    table = plan.__self__.table  # type: ignore[attr-defined]
    table[HEAD.index("helpers")], table[HEAD.index("pool")] = helpers, pool

"""Unpickling what PyTorch's files hold: from a list of harmless names, or from anything.

`PlainUnpickler` has the opcodes that data needs and no others, calls what it knows and nothing else, and writes attributes of
what it made only. PyTorch's ``weights_only`` has the same purpose: a file that passes can make tensors, numbers, texts and
containers.
"""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.unresolved import CONJ, NEG, with_bit
from chainrule.core.types.device import device
from chainrule.core.types.dtype import dtype
from chainrule.core.types.shape import Size
from chainrule.nn.parameter import Buffer, Parameter
from chainrule.serialization.names import StorageKind, plain

UNSAFE = (
    "Weights only load failed: {}. A file of data alone holds no such thing. Only if you trust its source, allow the name by "
    "`torch.serialization.add_safe_globals`, or load with `weights_only=False`, which can run any code that the file holds."
).replace("torch.", "chainrule.")


class Storage:
    """The memory of a file's storage, and a tensor of it for those that are views of it."""

    __slots__ = ("array", "tensor")

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.tensor = array, wrap(array)

    def checked(self, d: np.dtype, numel: int) -> Storage:
        """Return this if it is what another reference to it says, too."""
        if self.array.dtype != d or self.array.size != numel:
            raise pickle.UnpicklingError(f"a storage is {self.array.size} of {self.array.dtype} here, {numel} of {d} there")
        return self

    def part(self, start: int, size: int) -> Storage:
        """Return a part of the memory."""
        part = object.__new__(Storage)
        part.array, part.tensor = self.array[start : start + size], self.tensor[start : start + size]
        return part


def rebuilt(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any = None,
    metadata: Any = None,
    kind: Any = None,
) -> Tensor:
    """Return the tensor of a size and strides at a place of a storage."""
    if not isinstance(storage, Storage) or not all(
        isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)
    ):  # and not bool, which does no harm
        raise pickle.UnpicklingError(f"a tensor of size {size}, stride {stride} at {offset} of {type(storage).__name__}")
    whole = storage.tensor if kind is None else storage.tensor.view(kind)
    if len(size) != len(stride):
        raise pickle.UnpicklingError(f"a tensor of size {size} has stride {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= whole.numel():
        raise pickle.UnpicklingError(
            f"a tensor of size {tuple(size)}, stride {tuple(stride)} at {offset} is not within a storage of {whole.numel()}"
        )
    with no_grad():
        if 0 in size:
            made = whole[:0].new_empty(size)
        else:
            made = whole.as_strided(size, stride, offset).detach()
    for name, bit in (("conj", CONJ), ("neg", NEG)):
        if isinstance(metadata, dict) and metadata.get(name):
            made = with_bit(made, bit)
    return made.requires_grad_() if requires_grad else made


def _rebuilt_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, kind: Any, meta: Any = None
) -> Any:
    if not isinstance(kind, dtype):
        raise pickle.UnpicklingError(f"{kind!r} is not a dtype")
    return rebuilt(storage, offset, size, stride, requires_grad, hooks, meta, kind)


def _parameter(data: Any, requires_grad: Any, hooks: Any = None, state: Any = None) -> Parameter:
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError(f"a parameter's data is a {type(data).__name__}")
    made = Parameter(data, bool(requires_grad))
    return _with_attributes(made, state)


def _with_attributes(made: Any, state: Any) -> Any:
    """Set the attributes that a program gave a tensor, or its class has slots for, which were saved with it."""
    kinds = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    slots = {name for base in type(made).__mro__[: -len(Tensor.__mro__)] for name in getattr(base, "__slots__", ())}
    for name, value in (pair for kind in kinds if isinstance(kind, dict) for pair in kind.items()):
        if name.startswith("__") or (hasattr(type(made), name) and name not in slots):
            raise pickle.UnpicklingError(f"attribute {name!r} is not for a file to set")
        setattr(made, name, value)
    return made


def _of_type(rebuild: Any, cls: Any, args: Any, state: Any) -> Any:
    """Return a tensor of a subclass, or one with attributes."""
    if rebuild not in (_REBUILD["_rebuild_tensor_v2"], _REBUILD["_rebuild_tensor_v3"], *_PARAMETERS.values()):
        raise pickle.UnpicklingError(f"a tensor is rebuilt by {rebuild!r}")
    made = rebuild(*args)
    if cls.__class__ is _Type:
        cls = cls.type
    if isinstance(state, dict) and state.pop("_is_buffer", False):
        return Buffer(made, persistent=bool(state.pop("persistent", True)))
    if cls not in (Tensor, Parameter):
        made = made.as_subclass(cls)
    if hasattr(cls, "__setstate__"):  # of a class that the user allows
        made.__setstate__(state)
        return made
    return _with_attributes(made, state) if state else made


def _encoded(text: Any, encoding: Any) -> bytes:
    """Return bytes, which pickles of protocol 2 hold as a text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


class _Call:
    """Something that a file may call and do nothing else with."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _Type:
    """A type that a file may name, but not call."""

    __slots__ = ("type",)

    def __init__(self, cls: type) -> None:
        self.type = cls


_REBUILD = {"_rebuild_tensor_v2": _Call(rebuilt), "_rebuild_tensor_v3": _Call(_rebuilt_v3)}
_PARAMETERS = {"_rebuild_parameter": _Call(_parameter), "_rebuild_parameter_with_state": _Call(_parameter)}
_KNOWN: dict[tuple[str, str], Any] = {
    **{("torch._utils", name): call for name, call in (_REBUILD | _PARAMETERS).items()},
    ("torch._tensor", "_rebuild_from_type_v2"): _Call(_of_type),
    ("torch", "Tensor"): _Type(Tensor),
    ("torch.nn.parameter", "Parameter"): _Type(Parameter),
    ("torch", "Size"): _Call(Size),
    ("_codecs", "encode"): _Call(_encoded),
    **{(module, kind.__name__): _Call(kind) for module in ("builtins", "__builtin__") for kind in (set, frozenset, complex)},
    ("torch", "device"): _Call(device),
}
_allowed: dict[tuple[str, str], Any] = {}  # what the user added


def known(module: str, name: str) -> Any:
    """Return what a name means in any file; None for names that need trust."""
    found = _KNOWN.get((module, name))
    return plain(module, name) if found is None else found


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files of data alone name more: classes and functions, or pairs of one and the name that the file has for it.

    Parameters
    ----------
    safe_globals : list
        What is allowed. A file can call it with any arguments, and set attributes of what it returns.

    Examples
    --------
    >>> import chainrule as cr
    >>> from decimal import Decimal
    >>> cr.serialization.add_safe_globals([Decimal])
    >>> cr.serialization.get_safe_globals()
    [<class 'decimal.Decimal'>]
    >>> cr.serialization.clear_safe_globals()
    """
    for given in safe_globals:
        if isinstance(given, tuple):
            obj, path = given
            module, _, name = path.rpartition(".")
        else:
            obj, module, name = given, given.__module__, given.__qualname__
        _allowed[module, name] = obj


def get_safe_globals() -> list[Any]:
    """Return what was allowed by `add_safe_globals`."""
    return list(_allowed.values())


def clear_safe_globals() -> None:
    """Take back what was allowed by `add_safe_globals`."""
    _allowed.clear()


class safe_globals:  # noqa: N801 - PyTorch's public name
    """Allow more names, as `add_safe_globals` does, within a ``with`` block.

    Examples
    --------
    >>> import chainrule as cr
    >>> from decimal import Decimal
    >>> with cr.serialization.safe_globals([Decimal]):
    ...     len(cr.serialization.get_safe_globals())
    1
    """

    def __init__(self, safe_globals: list[Any]) -> None:
        self._given = safe_globals

    def __enter__(self) -> None:
        self._before = dict(_allowed)
        add_safe_globals(self._given)

    def __exit__(self, *exc: object) -> None:
        _allowed.clear()
        _allowed.update(self._before)


Find = Callable[[StorageKind, str, str, int, Any], Storage]


def _found(storage: Find, pid: Any) -> Storage:
    """Return the storage that a pickle refers to."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
        raise pickle.UnpicklingError(f"persistent_load: {str(pid)[:80]} is no storage")
    _, kind, key, location, numel, *view = pid
    is_right = isinstance(kind, StorageKind) and isinstance(key, str) and isinstance(location, str)
    if not is_right or not isinstance(numel, int) or numel < 0:
        raise pickle.UnpicklingError(f"persistent_load: {str(pid)[:80]} is no storage")
    return storage(kind, key, location, numel, view[0] if view else None)


_DATA = (
    "PROTO", "STOP", "FRAME", "MARK", "POP", "POP_MARK", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET",
    "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT",
    "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST",
    "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET", "BINPERSID",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
)  # fmt: skip


_Unpickler: Any = pickle._Unpickler  # the one in Python: the other allocates what an opcode claims


class PlainUnpickler(_Unpickler):
    """Unpickles data: see the module."""

    dispatch: ClassVar[dict[int, Any]] = {
        code: _Unpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in _DATA)
    }

    def __init__(self, file: Any, storage: Find) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def load(self) -> Any:
        """Return the object."""
        try:
            return super().load()
        except (pickle.UnpicklingError, RuntimeError, EOFError, MemoryError):
            raise
        except KeyError as error:
            opcode = error.args[0] if error.args else None
            what = f"opcode {bytes([opcode])!r} is not one of data" if isinstance(opcode, int) and opcode < 256 else repr(error)
            raise pickle.UnpicklingError(UNSAFE.format(what)) from error
        except Exception as error:  # a pickle that makes no sense can fail in any way
            raise pickle.UnpicklingError(f"the pickle is corrupt: {type(error).__name__}: {error}") from error

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name means."""
        found = _allowed.get((module, name))
        if found is None:
            found = known(module, name)
        if found is None:
            raise pickle.UnpicklingError(UNSAFE.format(f"Unsupported global: GLOBAL {module}.{name} was not an allowed global"))
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage."""
        return _found(self._storage, pid)

    def load_reduce(self) -> None:
        """Call what may be called."""
        args, function = self.stack.pop(), self.stack.pop()
        if not self._may_call(function) or not isinstance(args, tuple):
            raise pickle.UnpicklingError(UNSAFE.format(f"it calls a {type(function).__name__}"))
        self.stack.append(function(*args))

    def load_newobj(self) -> None:
        """Make an object of a class that is allowed."""
        args, cls = self.stack.pop(), self.stack.pop()
        if not self._may_call(cls) or not isinstance(cls, type):
            raise pickle.UnpicklingError(UNSAFE.format(f"it makes a {cls!r}"))
        self.stack.append(cls.__new__(cls, *args))

    def load_build(self) -> None:
        """Set the state of an object that may have one."""
        state, made = self.stack.pop(), self.stack[-1]
        if type(made) is OrderedDict and isinstance(state, dict):  # the metadata of a state dict
            made.__dict__.update(state)
        elif type(made) in _allowed.values():
            self.stack.append(state)
            _Unpickler.load_build(self)
        else:
            raise pickle.UnpicklingError(UNSAFE.format(f"it sets attributes of a {type(made).__name__}"))

    @staticmethod
    def _may_call(function: Any) -> bool:
        return function.__class__ is _Call or function in (OrderedDict, Counter) or function in _allowed.values()

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build


class FullUnpickler(pickle.Unpickler):
    """Unpickles anything, running what code it names; PyTorch's names are chainrule's."""

    def __init__(self, file: Any, storage: Find) -> None:
        super().__init__(file)
        self._storage = storage

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage."""
        return _found(self._storage, pid)

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name means."""
        found = known(module, name)
        if found is not None:
            return found.type if found.__class__ is _Type else found
        top, _, rest = module.partition(".")
        if top != "torch":
            return super().find_class(module, name)
        while True:  # PyTorch's module of that name, or the nearest above it that has the name
            try:
                return getattr(import_module(f"chainrule.{rest}" if rest else "chainrule"), name)
            except (ImportError, AttributeError):
                if not rest:
                    raise pickle.UnpicklingError(f"the file holds a {module}.{name}, which chainrule has not") from None
                rest = rest.rpartition(".")[0]

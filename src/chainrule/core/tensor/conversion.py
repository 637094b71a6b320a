"""What a tensor becomes: Python numbers and lists, NumPy arrays, pickles and copies."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.core.mode.state import modes
from chainrule.core.tensor.state import AutogradState
from chainrule.core.tensor.value import Value, array_of, innermost, memory_of, meta_of
from chainrule.core.types import dtype as dtypes

ndarray = np.ndarray
_NUMBERS = frozenset((float, int, bool, complex))


def _runs(t: Any) -> bool:
    """Tell whether one of the transforms whose value this is still runs."""
    scopes = modes().scopes
    while isinstance(t, Value):
        if t._level in scopes:
            return True
        t = t._data
    return False


_SHOWN = frozenset(("_base", "_is_view", "_version"))  # PyTorch's names that begin with an underscore; the others are ours


class Conversions(AutogradState):
    """A tensor as other things."""

    __slots__ = ()

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name[0] != "_" or name[:2] == "__" or name in _SHOWN]

    def item(self) -> Any:
        """Return the value of a one-element tensor as a Python number.

        Raises
        ------
        RuntimeError
            If there is not exactly one element.
        """
        data = innermost(self, "item")
        if data.size != 1:
            raise RuntimeError(f"a Tensor with {data.size} elements cannot be converted to Scalar")
        value = data.item()
        return value if value.__class__ in _NUMBERS else float(value)

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers; a number for a 0-d tensor."""
        data = innermost(self)
        if dtypes.of(data.dtype).name == "bfloat16":
            data = data.astype(np.float32)
        return data.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Return the values as a NumPy array that shares their memory.

        Parameters
        ----------
        force : bool
            Detach first if the tensor requires grad.

        Raises
        ------
        RuntimeError
            If the tensor requires grad, grad mode is on and `force` is not given.
        """
        if self._node is not None and not force and modes().record:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self._level:
            array = innermost(self)
            if not _runs(self):
                return np.asarray(array)
            raise RuntimeError(
                "Can't call numpy() on a value inside a transform: its derivative would be lost. Use chainrule's own ops, "
                "or take the value out of the function."
            )
        if self._bit and not force:
            what, how = ("conjugate", "conj") if self.is_complex() else ("negative", "neg")  # type: ignore[attr-defined]
            raise RuntimeError(
                f"Can't call numpy() on Tensor that has {what} bit set. Use tensor.resolve_{how}().numpy() instead."
            )
        return array_of(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype, copy=copy) if dtype is not None or copy else array

    def __float__(self) -> float:
        return float(self._real())

    def __int__(self) -> int:
        return int(self._real())

    __trunc__ = __int__  # math.floor and math.ceil take the float

    def _real(self) -> Any:
        value = self._number()
        if value.__class__ is not complex:
            return value
        if value.imag:
            raise RuntimeError("value cannot be converted to type double without overflow")
        return value.real

    def __complex__(self) -> complex:
        return complex(self._number())

    def _number(self) -> Any:
        """Return the one element for a conversion to a Python number."""
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        if self._node is not None:
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior. "
                "Consider using tensor.detach() first.",
                UserWarning,
                stacklevel=3,
            )
        return self.item()

    def __index__(self) -> int:
        if self.dtype.category > dtypes.INT or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __bool__(self) -> bool:
        data = innermost(self, "bool")
        if data.size != 1:
            if data.size:
                raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        return bool(data)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._memory.shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        if not self.ndim and not self._level:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        reduced = (rebuild, (type(self), memory_of(self), self.requires_grad))
        state = state_of(self)
        return (*reduced, state) if state else reduced

    def __deepcopy__(self, memo: dict) -> Any:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
                "If you were attempting to deepcopy a module, this may be because of a weight that was computed: "
                "store its leaf, or detach it."
            )
        done = memo.get(id(self))
        if done is not None:
            return done
        if (recorder := modes().compiling) is not None:
            recorder.refuse("makes a deep copy of a tensor")
        made = rebuild(type(self), _copied(memory_of(self), memo), self.requires_grad)
        if self._bit:
            made._data = array_of(self).copy()
        memo[id(self)] = made
        from copy import deepcopy  # which whoever copies has read; import is half a millisecond shorter

        for name in _own_slots(type(self)):  # type: ignore[arg-type]
            if hasattr(self, name):
                setattr(made, name, deepcopy(getattr(self, name), memo))
        if attributes := self.__dict__:
            made.__dict__.update(deepcopy(attributes, memo))
        if self.grad is not None:
            meta_of(made).grad = self.grad.__deepcopy__(memo)
        return made


@lru_cache(256)
def _own_slots(cls: type) -> tuple[str, ...]:
    """Return the slots that subclasses declare, and no tensor has."""
    slots: Any = [vars(base).get("__slots__", ()) for base in cls.__mro__ if base is not Value]
    return tuple(name for names in slots for name in ((names,) if isinstance(names, str) else names) if name[:2] != "__")


def state_of(t: Any) -> Any:
    """Return what a program or a subclass gave a tensor, as pickling takes it: a dict, a pair of that and slots, nothing."""
    cls = type(t)
    if cls.__getstate__ is not object.__getstate__:
        return t.__getstate__()
    attributes = dict(t.__dict__) or None
    slots = {name: getattr(t, name) for name in _own_slots(cls) if hasattr(t, name)}  # type: ignore[arg-type]
    return (attributes, slots) if slots else attributes


def rebuild(cls: Any, data: np.ndarray, requires_grad: bool) -> Any:
    """Return a leaf from its pickled parts."""
    made = cls._wrap(data, cls)
    if cls._bit:
        made.__class__ = cls
        meta_of(made)
    return made.requires_grad_() if requires_grad else made


def _copied(array: ndarray, memo: dict) -> ndarray:
    """Return a copy of an array; of arrays that share memory, copies that share memory."""
    owner = array
    while isinstance(owner.base, ndarray):
        owner = owner.base
    if owner is array and id(owner) not in memo:
        memo[id(owner)] = made = array.copy(order="K")
        return made
    copy = memo.get(id(owner))
    if copy is None:
        if not (owner.flags.c_contiguous or owner.flags.f_contiguous):
            return array.copy()
        copy = memo[id(owner)] = owner.copy(order="A")
    offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return np.ndarray(array.shape, array.dtype, copy, offset, array.strides)

"""Parameter and Buffer: tensors that a module registers when they are assigned to it, also before their shapes are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import (
    array_of,
    check_differentiable,
    disabled_torch_function,
    marked_as,
    memory_of,
    not_a_flag,
)
from chainrule.core.types.dtype import get_default_dtype
from chainrule.functions.creation.fill import empty

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]


def _shared(data: Any, cls: type) -> Any:
    """Return a fresh leaf of a subclass on the memory of `data`."""
    if data is None:
        return wrap(Tensor()._data, cls)
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__}: data must be a Tensor, not {type(data).__name__}")
    if data._level:
        raise RuntimeError(
            f"{cls.__name__}: a value inside a transform cannot become a {cls.__name__.lower()}; make it outside, and pass its "
            "value to the function that is transformed"
        )
    return marked_as(wrap(array_of(data).copy() if data._bit else memory_of(data), cls), data)


class Parameter(Tensor):
    """A tensor that a :class:`chainrule.nn.Module` lists among its parameters once it is assigned as an attribute.

    Parameters
    ----------
    data : Tensor, optional
        Its memory is shared; an empty tensor by default.
    requires_grad : bool
        Record operations on it (unlike a Tensor's, True by default).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.Parameter(cr.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __torch_function__ = disabled_torch_function

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """Return a parameter that shares the memory of `data`."""
        if requires_grad.__class__ is not bool:
            raise not_a_flag(requires_grad, "Parameter(): argument 'requires_grad' (position 2)")
        made = _shared(data, cls)
        if requires_grad:
            check_differentiable(made.dtype)
            made.requires_grad_()
        return made  # type: ignore[return-value]

    @property
    def data(self) -> Tensor:
        """The same memory as a plain tensor, without history and with a version counter of its own."""
        return marked_as(wrap(memory_of(self)), self)

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.fset(self, value)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        made = memo.get(id(self))
        if made is None:  # as in PyTorch, the copy has no gradient yet, and not the user's attributes
            made = memo[id(self)] = type(self)(wrap(array_of(self).copy()), self.requires_grad)
        return made


class Buffer(Tensor):
    """A tensor that a :class:`chainrule.nn.Module` lists among its buffers once it is assigned: state that is not optimised.

    Parameters
    ----------
    data : Tensor, optional
        Its memory is shared; an empty tensor by default.
    persistent : bool
        Whether it belongs to the module's ``state_dict``.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.Module()
    >>> m.mean = cr.nn.Buffer(cr.zeros(2))
    >>> [name for name, _ in m.named_buffers()]
    ['mean']
    """

    persistent: bool
    __torch_function__ = disabled_torch_function

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        """Return a buffer that shares the memory of `data`."""
        made = _shared(data, cls)
        made.persistent = persistent
        return made


# -- before the shape is known -----------------------------------------------------------------------------------------


class _Nothing:
    """What an uninitialised tensor has in place of an array: a dtype; everything else raises."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__array") and name not in ("__array_ufunc__", "__array_function__", "__array__"):
            raise AttributeError(name)  # with which NumPy asks what it has before it
        self._refuse()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            "Attempted to use an uninitialized parameter. This error happens when you are using a `LazyModule` or explicitly "
            "manipulating `nn.parameter.UninitializedParameter` objects. When using LazyModules Call `forward` with a dummy "
            "batch to initialize the parameters before calling functions"
        )

    __array_ufunc__ = __array_function__ = __array__ = __getitem__ = __len__ = __iter__ = _refuse


def _of_empty(name: str) -> Callable:
    """Return a method that does what an empty tensor's does; where that is a tensor, it is uninitialised, too."""

    def method(self: UninitializedTensorMixin, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self.data, name)(*args, **kwargs)
        if not isinstance(found, Tensor):
            return found
        made = _uninitialized(type(self), found.dtype, None)
        made.__dict__.update(self.__dict__)
        return made

    method.__name__ = name
    method.__doc__ = f"Return what `{name}` of an empty tensor is."
    return method


class UninitializedTensorMixin:
    """What uninitialised parameters and buffers share: a dtype, and that they can be given a shape."""

    cls_to_become: type
    _data: Any
    requires_grad: bool
    dtype: Any

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become a parameter or buffer of a shape, of unspecified values, and if given of another dtype."""
        self._data = array_of(empty(tuple(shape), dtype=dtype or self.dtype, device=device))
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def data(self) -> Any:
        """An empty tensor of the dtype."""
        return empty(0, dtype=self.dtype)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._data = _Nothing(value.dtype.numpy)

    @property
    def shape(self) -> NoReturn:
        """Raise: there is none."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` "
            "when trying to load an uninitialized parameter into an initialized one. Call `forward` to initialize the "
            "parameters before accessing their attributes."
        )

    def share_memory_(self) -> NoReturn:
        """Raise: there is none."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters before "
            "calling `module.share_memory()`."
        )

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Copy nothing from another uninitialised tensor."""
        if not is_lazy(src):
            self._data._refuse()
        return self

    bfloat16, double, float, half, to = map(_of_empty, ("bfloat16", "double", "float", "half", "to"))
    char, short, int, long = map(_of_empty, ("char", "short", "int", "long"))
    cpu, cuda, is_complex, is_floating_point, size = map(_of_empty, ("cpu", "cuda", "is_complex", "is_floating_point", "size"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict) -> Any:
        made = memo.get(id(self))
        if made is None:
            kind: Any = type(self)
            made = memo[id(self)] = kind(self.requires_grad, dtype=self.dtype)
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return type(self), (self.requires_grad, None, self.dtype)


def _uninitialized(cls: type, dtype: Any, device: Any) -> Any:
    blank = empty(0, dtype=dtype or get_default_dtype(), device=device)  # which checks both
    return wrap(_Nothing(blank.dtype.numpy), cls)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet; lazy modules have them until their first call.

    Parameters
    ----------
    requires_grad : bool
        Record operations on it, once it has a shape.
    device, dtype
        Of what it becomes.

    Examples
    --------
    >>> import chainrule as cr
    >>> p = cr.nn.UninitializedParameter()
    >>> p
    <UninitializedParameter>
    >>> p.materialize((2, 3))
    >>> type(p), p.shape
    (<class 'chainrule.nn.parameter.Parameter'>, chainrule.Size([2, 3]))
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        """Return a parameter without a shape."""
        made = _uninitialized(cls, dtype, device)
        return made.requires_grad_() if requires_grad else made


class UninitializedBuffer(UninitializedTensorMixin, Buffer):  # type: ignore[misc]
    """A buffer whose shape is not known yet.

    Parameters
    ----------
    requires_grad : bool
        Record operations on it, once it has a shape.
    device, dtype
        Of what it becomes.
    persistent : bool
        Whether it belongs to the module's ``state_dict``.

    Examples
    --------
    >>> import chainrule as cr
    >>> b = cr.nn.UninitializedBuffer()
    >>> b.materialize((2,))
    >>> b.shape
    chainrule.Size([2])
    """

    cls_to_become = Buffer

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> UninitializedBuffer:
        """Return a buffer without a shape."""
        made = _uninitialized(cls, dtype, device)
        made.persistent = persistent
        return made.requires_grad_() if requires_grad else made


def is_lazy(param: Any) -> bool:
    """Return whether a parameter or buffer has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)

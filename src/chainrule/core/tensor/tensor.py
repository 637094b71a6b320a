"""Tensor: the one public value class. This module owns its storage, its autograd state and its conversions.

Ops are not known here; the rule book attaches them as methods when it declares them (``ops.public``). A tensor of
level 0 holds a NumPy array or scalar; tensors of higher levels (subclasses, one per transform) hold the value of the
level below.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, NODE, InputMetadata, Port, Version, dress, hooks_of, new
from chainrule.core.mode.grad_mode import Mark, modes
from chainrule.core.tensor import dtype as dtypes
from chainrule.core.tensor.device import CPU, device
from chainrule.core.tensor.dtype import COMPLEX, FLOAT, dtype
from chainrule.core.tensor.shape import Size

if TYPE_CHECKING:
    from chainrule.core.tensor.methods import Methods
else:
    Methods = object

ndarray = np.ndarray


OWN: Any = "its own"


class Meta:
    """What few tensors have: a gradient, hooks, marks."""

    grad: Any = None  # a tensor; or its payload, until someone asks for it
    grad_dtype: Any = OWN  # the dtype that a leaf's gradient has; None for any
    retains = False
    inference = False
    made = 0  # the level of the transform inside which the tensor was made
    frozen: str | None = None  # why this view may not be written to in place, if so
    name: str | None = None
    tangent: Any = None  # on a dual that make_dual made: the tensor that it was given
    hooks: OrderedDict | None = None  # on a leaf: called with the gradient that arrives
    after: OrderedDict | None = None  # on a leaf: called with the leaf when its gradient is accumulated
    accumulator: Any = None  # a weak reference to the leaf's `AccumulateGrad`


def disabled_torch_function(func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """Call a function as it is: the ``__torch_function__`` of classes that take no part in the protocol."""
    return func(*args, **(kwargs or {}))


class Tensor(Methods):
    """A NumPy array that remembers how it was computed.

    Make one with :func:`chainrule.tensor`; calling ``Tensor(data)`` is PyTorch's older form and gives the default
    dtype. Attributes and methods are PyTorch's.

    Examples
    --------
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # The last two are unset in plain tensors: the level classes read them, and share this layout, so that a write in place
    # can make a plain tensor a value of a transform.
    __slots__ = ("__weakref__", "_data", "_lv", "_meta", "_node", "_tangent", "_ver", "_view")
    _level = 0
    _kind = LEAF_EDGE
    _unreadable: Any = None  # a level class whose payload is not the tensor's own values: (use) -> the error to raise, or None
    __array_priority__ = 1000

    _data: Any
    _node: Any
    _ver: Version | None
    _view: tuple | None
    _meta: Any
    _lv: int
    _tangent: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__torch_function__ is not disabled_torch_function:  # type: ignore[attr-defined]
            import_module("chainrule.overrides")  # public functions look for overrides from now on

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        """Build a tensor of the default dtype from data, or an uninitialised one from sizes, as ``torch.Tensor`` does."""
        if kwargs:
            raise TypeError("Tensor() takes data or sizes; use chainrule.tensor for dtype= and requires_grad=")
        numpy = dtypes.get_default_dtype().numpy
        if not args:
            return wrap(np.empty(0, numpy), cls)
        if all(hasattr(a, "__index__") and not isinstance(a, (Tensor, ndarray)) for a in args):
            return wrap(np.empty(args, numpy), cls)
        (data,) = args
        if isinstance(data, Tensor):
            made = data.detach()  # type: ignore[attr-defined]
            return made if made.__class__ is cls else made.as_subclass(cls)
        return wrap(np.array(data, numpy), cls)

    # -- shape and dtype -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Sizes of the axes."""
        return Size(self._data.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def dtype(self) -> dtype:
        """Element type."""
        found = self._data.dtype
        return found if found.__class__ is dtype else dtypes.of(found)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    @property
    def device(self) -> device:
        """Where the values live: always the CPU."""
        return CPU

    @property
    def is_cuda(self) -> bool:
        """False: chainrule computes on the CPU."""
        return False

    @property
    def is_sparse(self) -> bool:
        """False: tensors are dense."""
        return False

    @property
    def layout(self) -> str:
        """``"strided"``: tensors are dense."""
        return "strided"

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one axis."""
        if dim is None:
            return self.shape
        from chainrule.core.tensor.shape import axis_index

        if not self.ndim:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        return self._data.shape[axis_index(dim, self.ndim)]

    def dim(self) -> int:
        """Return the number of axes."""
        return self._data.ndim

    ndimension = dim

    def numel(self) -> int:
        """Return the number of elements."""
        return Size(self._data.shape).numel()

    nelement = numel

    def element_size(self) -> int:
        """Return the bytes of one element."""
        return self.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Return the step in elements along each axis, or along one."""
        if isinstance(self._data, Tensor):
            return self._data.stride(dim)
        data = self._data
        steps = tuple(s // data.itemsize for s in data.strides)
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Return the elements between the start of the memory and this tensor's first element."""
        data = innermost(self)
        root = data
        while isinstance(root.base, ndarray):
            root = root.base
        start = data.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return start // data.itemsize

    def data_ptr(self) -> int:
        """Return the address of the first element."""
        return array_of(self).__array_interface__["data"][0]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Tell whether the elements lie in C order without gaps."""
        data = self._data
        if isinstance(data, Tensor):
            return data.is_contiguous(memory_format)
        return data.__class__ is not ndarray or data.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Tell whether the dtype is real floating point."""
        return self.dtype.category == FLOAT

    def is_complex(self) -> bool:
        """Tell whether the dtype is complex."""
        return self.dtype.category == COMPLEX

    def is_signed(self) -> bool:
        """Tell whether the dtype has negative values."""
        return self.dtype.is_signed

    # -- autograd state --------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded for `backward`."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if flag and self.dtype.category < FLOAT:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start or stop recording operations on this leaf, in place; return it.

        Raises
        ------
        RuntimeError
            If the dtype is not floating point or complex, or the tensor is the result of a recorded operation.
        """
        if not self.is_leaf:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                    "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
        elif not requires_grad:
            if self._node is LEAF:
                self._node = None
        else:
            if self.dtype.category < FLOAT:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if self._meta is not None and self._meta.inference and not modes().inference:
                raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
            self._node = LEAF
            if self._meta is not None and self._meta.made:
                self._join_transform()
        if self._ver is not None and self._ver.members and self._view is None:
            from chainrule.core.write.views import follow_base

            follow_base(self)
        return self

    def _join_transform(self) -> None:
        """Make a plain leaf that was made inside a reverse-mode transform a leaf of that transform, which records its use."""
        level = modes().recorder
        if level and self._meta.made >= level and self.__class__ is Tensor and not has_views(self):
            self.__class__ = Tracked  # type: ignore[assignment]
            self._lv = level

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor; gradients accumulate in leaves that require them."""
        node = self._node
        return node is None or node is LEAF or node._kind == LEAF_EDGE

    @property
    def grad_fn(self) -> Any:
        """The node of the operation that made this tensor; None for a leaf."""
        if self.is_leaf:
            return None
        node = self._node
        if self._view is not None and node.__class__ is not Port and self._ver.stamp > node.id:  # type: ignore[union-attr]
            from chainrule.core.write.views import current

            node = current(self)
        number, node = (0, node) if node._kind == NODE else (node.index, node.node)
        known = getattr(node, "_results", None)
        if known is None:
            known = node._results = {}
        known[number] = InputMetadata(self.shape, self.dtype, self._level)
        return dress(node)

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        return self._node.index if self._node.__class__ is Port else 0

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by `backward`; None before."""
        meta = self._meta
        if meta.__class__ is Meta and (meta.grad is not None or meta.retains):
            if meta.grad is not None and not isinstance(meta.grad, Tensor):
                meta.grad = wrap(meta.grad)
            return meta.grad
        if not self.is_leaf:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't "
                "be populated during autograd.backward(). If you indeed want the .grad field to be populated for a "
                "non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            if self._meta.__class__ is Meta:
                self._meta.grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if value.shape != self.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same size"
            )
        allowed = allowed_grad_dtype(self)
        if value.dtype is not allowed and allowed is not None:
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor with grad_dtype '{allowed}'. The "
                "gradient must match the tensor's grad_dtype (defaults to the tensor's dtype). You can set the tensor's "
                "grad_dtype attribute with a specific dtype, or None to allow any dtype. Set grad_dtype with caution. "
                "Diverging the dtypes of a tensor and its gradient may break downstream systems that assume they match."
            )
        meta_of(self).grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def grad_dtype(self) -> dtypes.dtype | None:
        """The dtype of a leaf's gradient, which is cast to it: the leaf's own unless set; None leaves gradients as they come.

        Raises
        ------
        RuntimeError
            For a result of a recorded operation, or if there is a gradient of another dtype already.
        """
        if not self.is_leaf:
            raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
        return allowed_grad_dtype(self)

    @grad_dtype.setter
    def grad_dtype(self, value: dtypes.dtype | None) -> None:
        if not self.is_leaf:
            raise RuntimeError("grad_dtype can only be set on leaf tensors.")
        if value is not None and not isinstance(value, dtype):
            raise RuntimeError(f"grad_dtype must be a chainrule.dtype or None, but got {type(value).__name__}")
        old = None if value is None else self.grad
        if old is not None and old.dtype is not value:
            raise RuntimeError(
                f"Cannot set grad_dtype to '{value.old_name}' because there is already a gradient with dtype "  # type: ignore[union-attr]
                f"'{old.dtype}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure the new "
                "grad_dtype matches the existing gradient's dtype."
            )
        meta_of(self).grad_dtype = value

    @property
    def retains_grad(self) -> bool:
        """Whether `backward` keeps this non-leaf's gradient."""
        return self._meta.__class__ is Meta and self._meta.retains

    def retain_grad(self) -> None:
        """Keep this non-leaf's gradient in `grad` when `backward` passes it.

        Raises
        ------
        RuntimeError
            If the tensor does not require grad.
        """
        if self._node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf or self.retains_grad:
            return
        if self._view is not None:
            _ = self.grad_fn  # taken anew if the memory was written to since
        meta_of(self).retains = True
        keep_gradient(self._node, ref(self))

    @property
    def data(self) -> Tensor:
        """The same memory without history and with a version counter of its own: writes to it go unseen."""
        return marked_as(wrap(array_of(self) if self._level == 0 else self._data, type(self)), self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data expected to be a Tensor, not {type(value).__name__}")
        self._data = array_of(value)
        marked_as(self, value)

    @property
    def _version(self) -> int:
        if self._meta is not None and self._meta.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if self._ver is None else self._ver.count

    @property
    def _base(self) -> Tensor | None:
        return None if self._view is None else root_of(self)

    def _is_view(self) -> bool:
        return self._view is not None

    def is_inference(self) -> bool:
        """Tell whether this tensor was made in inference mode."""
        return self._meta is not None and self._meta.inference

    @property
    def name(self) -> None:
        """None: PyTorch's tensors had names once."""
        return None

    @property
    def _grad(self) -> Tensor | None:
        return self.grad

    @_grad.setter
    def _grad(self, value: Tensor | None) -> None:
        self.grad = value

    @property
    def _grad_fn(self) -> Any:
        return self.grad_fn

    def _captured(self, name: str) -> RuntimeError:
        """Return PyTorch's error for a write of this transform's value into a tensor from outside the transform."""
        return RuntimeError(
            "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation "
            f"({name}) that would mutate a captured Tensor. This is not supported; please rewrite the function being "
            "transformed to explicitly accept the mutated Tensor(s) as inputs."
        )

    # -- conversions -----------------------------------------------------------------------------------------------

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
            innermost(self)
            raise RuntimeError(
                "Can't call numpy() on a value inside a transform: its derivative would be lost. Use chainrule's own ops, "
                "or take the value out of the function."
            )
        return array_of(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype, copy=copy) if dtype is not None or copy else array

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

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
        return self._data.shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        if not self.ndim and not self._level:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __repr__(self) -> str:
        from chainrule.core.tensor.printing import tensor_text

        return tensor_text(self)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        reduced = (rebuild, (type(self), array_of(self), self.requires_grad))
        attributes = getattr(self, "__dict__", None)  # a subclass's
        return (*reduced, dict(attributes)) if attributes else reduced

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
                "If you were attempting to deepcopy a module, this may be because of a weight that was computed: "
                "store its leaf, or detach it."
            )
        done = memo.get(id(self))
        if done is not None:
            return done
        made = rebuild(type(self), _copied(array_of(self), memo), self.requires_grad)
        memo[id(self)] = made
        for name, value in getattr(self, "__dict__", {}).items():  # a subclass's
            setattr(made, name, deepcopy(value, memo))
        if self.grad is not None:
            meta_of(made).grad = self.grad.__deepcopy__(memo)
        return made


_NUMBERS = frozenset((float, int, bool, complex))


def wrap(data: Any, cls: type = Tensor) -> Tensor:
    """Return a fresh tensor around a payload, which it then owns; not recorded."""
    t: Tensor = new(cls)
    t._data = data
    t._node = t._ver = t._view = None
    t._meta = modes().meta
    return t


def rebuild(cls: type, data: np.ndarray, requires_grad: bool) -> Tensor:
    """Return a leaf from its pickled parts."""
    made = wrap(data, cls)
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


def marked_as(t: Tensor, source: Tensor) -> Tensor:
    """Return a tensor, made an inference tensor or a normal one as the tensor whose memory it shares."""
    if t._meta is not source._meta and t.is_inference() is not source.is_inference():
        meta_of(t).inference = source.is_inference()
    return t


def meta_of(t: Tensor) -> Meta:
    """Return the tensor's own `Meta`, made at first need."""
    mark = t._meta
    if mark.__class__ is not Meta:
        t._meta = Meta()
        if mark.__class__ is Mark:
            t._meta.inference, t._meta.made = mark.inference, mark.made
    return t._meta


def has_views(t: Tensor) -> bool:
    """Tell whether a tensor is a view, or has views that are alive."""
    return t._view is not None or (t._ver is not None and bool(t._ver.members))


def root_of(t: Tensor) -> Tensor:
    """Return the base that a view is a view of; the tensor itself if it is none."""
    while t._view is not None:
        t = t._view[0]
    return t


def version_of(t: Tensor) -> Version:
    """Return the tensor's version counter, made at first need."""
    if t._ver is None:
        t._ver = Version()
    return t._ver


def array_of(t: Tensor) -> np.ndarray:
    """Return a level-0 tensor's payload as an array that the tensor shares (a scalar becomes a 0-d array for good)."""
    if t._unreadable is not None:
        raise t._unreadable("read")
    data = t._data
    if data.__class__ is ndarray:
        return data
    if isinstance(data, Tensor):
        return array_of(data)
    t._data = data = np.array(data)
    return data


def take(target: Tensor, value: Tensor) -> None:
    """Give a tensor the level, payloads and history of another; its identity, version and place among views stay."""
    level = value._level
    if level != target._level:
        target.__class__ = value.__class__
        if level:
            target._lv = level  # type: ignore[attr-defined]
    target._data, target._node = value._data, value._node
    if hasattr(value, "_tangent"):
        target._tangent = value._tangent  # type: ignore[attr-defined]
    elif hasattr(target, "_tangent"):
        del target._tangent


def innermost(t: Any, use: str = "read") -> Any:
    """Return the NumPy array or scalar at the bottom of a value of any level.

    Raises
    ------
    RuntimeError
        If the value is not one array's: it has many examples', or none yet. `use` says what is done with it: "item", "bool",
        "read", or "check", for which the values of all examples at once will do.
    """
    while isinstance(t, Tensor):
        if t._unreadable is not None:
            error = t._unreadable(use)
            if error is not None:
                raise error
        t = t._data
    return t


def is_batched_at(t: Any, level: int) -> bool:
    """Tell whether a value has a number for each example of the `vmap` of a level."""
    while isinstance(t, Tensor):
        if t._level == level and t._unreadable is not None:
            return True
        t = t._data
    return False


def numpy_dtype(t: Any) -> np.dtype:
    """Return the NumPy dtype at the bottom of a value of any level."""
    while isinstance(t, Tensor):
        t = t._data
    return t.dtype


def check_differentiable(d: dtype) -> None:
    """Raise PyTorch's error for a dtype that cannot require gradients."""
    if d.category < FLOAT:
        raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients, not {d}")


def allowed_grad_dtype(t: Tensor) -> dtype | None:
    """Return the dtype that a tensor's gradient must have; None for any."""
    found = t._meta.grad_dtype if t._meta.__class__ is Meta else OWN
    return t.dtype if found is OWN else found


def keep_gradient(edge: Any, tensor: ref) -> None:
    """Have the pass store the gradient it finds at `edge` in the tensor."""
    node, index = (edge.node, edge.index) if edge.__class__ is Port else (edge, 0)
    hooks = hooks_of(node)
    hooks.retains = (*hooks.retains, (index, tensor))


class Tracked(Tensor):
    """A tensor of a reverse-mode level above 0; its payload is a value of any lower level."""

    __slots__ = ()
    _level = Tensor._lv  # type: ignore[attr-defined]
    __torch_function__ = disabled_torch_function

    def _lifted(self, value: Tensor) -> Tensor:
        """Return a value of a lower level as a constant of this one."""
        return wrap_at(self._level, value)


def wrap_at(level: int, data: Any, cls: type = Tensor) -> Tensor:
    """Return a fresh reverse-mode tensor of the given level around a payload."""
    if not level:
        return wrap(data, cls)
    t = wrap(data, Tracked)
    t._level = level
    return t

"""What autograd knows of a tensor: whether it is recorded, its history, its gradient."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, NODE, Port, dress, next_id
from chainrule.core.mode.state import modes
from chainrule.core.tensor.layout import Layout
from chainrule.core.tensor.value import (
    Meta,
    Value,
    aliased,
    allowed_grad_dtype,
    array_of,
    keep_gradient,
    marked_as,
    meta_of,
    not_a_flag,
    root_of,
)
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.device import CPU
from chainrule.core.types.dtype import FLOAT, dtype

if TYPE_CHECKING:
    from chainrule.core.tensor.tensor import Tensor


class InputMetadata:
    """What is known of one result of a node."""

    __slots__ = ("dtype", "level", "shape")

    def __init__(self, shape: tuple, dtype: Any, level: int):
        self.shape, self.dtype, self.level = shape, dtype, level

    device = CPU
    is_nested_tensor = is_cpp_nested_tensor = False


class AutogradState(Layout):
    """A tensor's place in the graph. Its views' side of it is attached by ``core.write.views``."""

    __slots__ = ()

    if TYPE_CHECKING:  # what later rooms give to tensors

        def _join_transform(self) -> None: ...
        def _follow_base(self) -> None: ...
        def _current(self) -> Any: ...

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded for `backward`."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if flag.__class__ is not bool:
            raise RuntimeError("requires_grad must be a bool")
        if flag and self.dtype.category < FLOAT:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording operations on this leaf, in place; return it.

        Raises
        ------
        RuntimeError
            If the dtype is not floating point or complex, or the tensor is the result of a recorded operation.
        TypeError
            If `requires_grad` is no bool.
        """
        if requires_grad.__class__ is not bool:
            raise not_a_flag(requires_grad, "requires_grad_(): argument 'requires_grad' (position 1)")
        if not self.is_leaf:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                    "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
        elif not requires_grad:
            if self._node is LEAF:
                self._born = getattr(self, "_born", 0)  # nodes made until now may lead here
                self._node = None
        else:
            if self.dtype.category < FLOAT:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if self._meta is not None and self._meta.inference and not modes().inference:
                raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
            if self._node is None and not hasattr(self, "_born"):
                self._born = next_id()
            self._node = LEAF
            if self._meta is not None and self._meta.made:
                self._join_transform()
        if self._ver is not None and self._ver.members and self._view is None:
            self._follow_base()
        return self

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
            node = self._current()
        number, node = (0, node) if node._kind == NODE else (node.index, node.node)
        known = getattr(node, "_results", None)
        if known is None:
            known = node._results = {}
        known[number] = self._described()
        return dress(node)

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        return self._node.index if self._node.__class__ is Port else 0

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by `backward`; None before."""
        meta = self._meta
        if (recorder := modes().compiling) is not None:
            recorder.note_gradient(self)
        if meta.__class__ is Meta and (meta.grad is not None or meta.retains):
            if meta.grad is not None and not isinstance(meta.grad, Value):
                meta.grad = self._wrap(meta.grad)
            return meta.grad  # type: ignore[return-value]
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
        if (recorder := modes().compiling) is not None:
            recorder.note_gradient(self)
        if value is None:
            if self._meta.__class__ is Meta:
                self._meta.grad = None
            return
        if not isinstance(value, Value):
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
        meta_of(self).grad = value.clone() if value._bit else value  # type: ignore[attr-defined]  # passes add to it in place

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
        if self._level:
            return marked_as(self._wrap(self._data, type(self)), self)
        return aliased(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if (recorder := modes().compiling) is not None:
            recorder.refuse("sets a tensor's .data")
        if not isinstance(value, Value):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and value.dtype.category < FLOAT:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        self._data = array_of(value).copy() if value._bit else array_of(value)
        marked_as(self, value)

    @data.deleter
    def data(self) -> None:
        raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")

    @property
    def _version(self) -> int:
        if self._meta is not None and self._meta.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if self._ver is None else self._ver.count

    @property
    def _base(self) -> Tensor | None:
        root = root_of(self)
        if root._meta.__class__ is Meta and root._meta.of is not None:
            return root_of(root._meta.of)
        return None if root is self else root

    def _is_view(self) -> bool:
        return self._base is not None

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

    def _described(self) -> InputMetadata:
        """Return what is known of the tensor as the result of its node."""
        return InputMetadata(self.shape, self.dtype, self._level)

    def _captured(self, name: str) -> RuntimeError:
        """Return PyTorch's error for a write of this transform's value into a tensor from outside the transform."""
        return RuntimeError(
            "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation "
            f"({name}) that would mutate a captured Tensor. This is not supported; please rewrite the function being "
            "transformed to explicitly accept the mutated Tensor(s) as inputs."
        )

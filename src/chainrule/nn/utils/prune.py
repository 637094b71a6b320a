"""Pruning: elements of a parameter held at 0 by a mask, which a hook applies before each call."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from chainrule.functions.creation.fill import zeros
from chainrule.functions.linalg.size import vector_norm
from chainrule.functions.random.tensors import rand
from chainrule.nn.utils.convert_parameters import parameters_to_vector

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer", "RandomStructured",
    "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured",
    "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def _assert_same_shape(scores: Any, tensor: Any, what: str) -> None:
    if scores.shape != tensor.shape:
        raise AssertionError(f"importance_scores should have the same shape as {what}, got {scores.shape} vs {tensor.shape}")


class BasePruningMethod(ABC):
    """A way to choose what is pruned: a subclass says its ``PRUNING_TYPE`` and defines `compute_mask`.

    Its instances are the hooks. A module with a pruned ``weight`` has the parameter ``weight_orig``, the buffer
    ``weight_mask``, and their product as the attribute ``weight``.
    """

    PRUNING_TYPE: ClassVar[str]
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        """Set the module's attribute to what the mask leaves."""
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return a mask of the shape of `t`, the elements' importance, which is 0 also where the one before is."""

    def apply_mask(self, module: Any) -> Any:
        """Return the original times the mask."""
        mask, original = getattr(module, f"{self._tensor_name}_mask"), getattr(module, f"{self._tensor_name}_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> BasePruningMethod:
        """Prune a module's tensor, further if it is pruned already; return the hook.

        Parameters
        ----------
        module : Module
            Whose tensor it is.
        name : str
            Of the tensor.
        importance_scores : Tensor, optional
            What decides, of the tensor's shape, in place of its elements.
        *args, **kwargs
            Of the method.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        before = _taken_hook(module, name)
        if before is not None:
            container = before if isinstance(before, PruningContainer) else PruningContainer(before)
            container.add_pruning_method(method)
            method = container  # type: ignore[assignment]
        original = getattr(module, name)
        if importance_scores is not None:
            _assert_same_shape(importance_scores, original, f"parameter {name} of {module}")
        if before is None:
            module.register_parameter(f"{name}_orig", original)
            del module._parameters[name]
            mask = original.detach().new_ones(original.shape)
        else:
            mask = getattr(module, f"{name}_mask").detach().clone()
        try:
            mask = method.compute_mask(original if importance_scores is None else importance_scores, default_mask=mask)
            module.register_buffer(f"{name}_mask", mask.detach())
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if before is None:
                original = module._parameters.pop(f"{name}_orig")
                module.register_parameter(name, original)
            raise
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """Return a tensor times the mask for it."""
        if importance_scores is not None:
            _assert_same_shape(importance_scores, t, "tensor t")
        mask = t.detach().new_ones(t.shape) if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, default_mask=mask)

    def remove(self, module: Any) -> None:
        """Make the tensor a parameter again, with 0 where it is pruned."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(f"{name}_orig")
        original.data = weight.data
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


def _taken_hook(module: Any, name: str) -> BasePruningMethod | None:
    """Return the hook that prunes a module's tensor, and take it off."""
    hooks = module._forward_pre_hooks
    keys = [k for k, hook in hooks.items() if isinstance(hook, BasePruningMethod) and hook._tensor_name == name]
    if len(keys) > 1:
        raise AssertionError(
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer."
        )
    return hooks.pop(keys[0]) if keys else None


class PruningContainer(BasePruningMethod):
    """Methods applied to one tensor one after the other, each to what those before have left."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add a method, for the same tensor."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer {self}. "
                f"Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the mask of the last method, applied to what the mask before leaves."""
        method: Any = self._pruning_methods[-1]
        left = _left(method, t, default_mask)
        mask = default_mask.to(t.dtype).clone()
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(mask.dtype)
        return mask


def _left(method: Any, t: Any, mask: Any) -> Any:
    """Return the index of what a method may choose from: elements or slices that are not all pruned, or everything."""
    kind = method.PRUNING_TYPE
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return (slice(None),) * t.ndim
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.ndim if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.ndim}")
    return (*(slice(None),) * dim, mask.sum([d for d in range(t.ndim) if d != dim]) != 0)


def _checked_amount(amount: Any) -> Any:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if float(amount) < 0 or (float(amount) > 1 and not isinstance(amount, numbers.Integral)):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
    return amount


def _count(amount: Any, size: int) -> int:
    """Return how many of some elements an amount means."""
    count = int(amount) if isinstance(amount, numbers.Integral) else round(amount * size)
    if count > size:
        raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
    return count


class Identity(BasePruningMethod):
    """Prune nothing, yet have the parameter, the mask and the attribute of a pruned tensor."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the mask before."""
        return default_mask

    @classmethod
    def apply(cls, module: Any, name: str) -> BasePruningMethod:  # type: ignore[override]
        """Prune nothing of a module's tensor; return the hook."""
        return super().apply(module, name)


class _Unstructured(BasePruningMethod):
    """Prune so many elements, or so large a part of them: the least important ones."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        self.amount = _checked_amount(amount)

    def _importance(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the mask before, with 0 for the chosen elements."""
        count, mask = _count(self.amount, t.numel()), default_mask.clone()
        if count:
            mask.view(-1)[self._importance(t).reshape(-1).topk(count, largest=False).indices] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prune elements chosen at random: so many, or so large a part of them."""

    def _importance(self, t: Any) -> Any:
        return rand(t.shape)

    @classmethod
    def apply(cls, module: Any, name: str, amount: float) -> BasePruningMethod:  # type: ignore[override]
        """Prune a module's tensor; return the hook."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prune the elements of least absolute value: so many, or so large a part of them."""

    def _importance(self, t: Any) -> Any:
        return t.detach().abs()

    @classmethod
    def apply(cls, module: Any, name: str, amount: float, importance_scores: Any = None) -> BasePruningMethod:  # type: ignore[override]
        """Prune a module's tensor; return the hook."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(BasePruningMethod):
    """Prune so many slices along an axis, or so large a part of them: the least important ones."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        self.amount, self.dim = _checked_amount(amount), dim

    def _importance(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the mask before, with 0 for the chosen slices."""
        if t.ndim <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{t.shape} with {t.ndim} dims"
            )
        if self.dim >= t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        count = _count(self.amount, size)
        if not count:
            return default_mask
        kept = zeros(size, dtype=t.dtype)
        kept[self._importance(t).topk(size - count).indices] = 1
        return default_mask.to(t.dtype) * kept.reshape([size if d == self.dim % t.ndim else 1 for d in range(t.ndim)])


class RandomStructured(_Structured):
    """Prune slices along an axis chosen at random: so many, or so large a part of them."""

    def _importance(self, t: Any) -> Any:
        return rand(t.shape[self.dim])

    @classmethod
    def apply(cls, module: Any, name: str, amount: float, dim: int = -1) -> BasePruningMethod:  # type: ignore[override]
        """Prune a module's tensor; return the hook."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prune the slices along an axis of least norm, of order `n`: so many, or so large a part of them."""

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _importance(self, t: Any) -> Any:
        axes = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        return vector_norm(t.detach(), 2 if self.n == "fro" else self.n, axes)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Any, name: str, amount: float, n: Any, dim: int, importance_scores: Any = None
    ) -> BasePruningMethod:
        """Prune a module's tensor; return the hook."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prune where a mask is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Return the product of both masks."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}")
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module: Any, name: str, mask: Any) -> BasePruningMethod:  # type: ignore[override]
        """Prune a module's tensor; return the hook."""
        return super().apply(module, name, mask=mask)


def identity(module: Any, name: str) -> Any:
    """Prune nothing of a module's tensor, yet give it a mask; return the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: float) -> Any:
    """Prune elements of a module's tensor at random: so many, or so large a part; return the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: float, importance_scores: Any = None) -> Any:
    """Prune the elements of least absolute value: so many, or so large a part; return the module.

    Examples
    --------
    >>> import chainrule as cr
    >>> prune = cr.nn.utils.prune
    >>> m = cr.nn.Linear(3, 1)
    >>> with cr.no_grad():
    ...     m.weight.copy_(cr.tensor([[3.0, -1.0, 2.0]]))
    Parameter containing:
    tensor([[ 3., -1.,  2.]], requires_grad=True)
    >>> prune.l1_unstructured(m, "weight", amount=1).weight.detach()
    tensor([[3., -0., 2.]])
    >>> m.weight_mask
    tensor([[1., 0., 1.]])
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: float, dim: int) -> Any:
    """Prune slices of a module's tensor along an axis at random: so many, or so large a part; return the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: float, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Prune the slices along an axis of least norm of order `n`: so many, or so large a part; return the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune elements of many tensors as if they were one.

    Parameters
    ----------
    parameters : iterable of (Module, str)
        The tensors, each by its module and name.
    pruning_method : type
        A method of single elements, such as :class:`L1Unstructured`.
    importance_scores : dict, optional
        (module, name) → what decides, in place of the tensor's elements.
    **kwargs
        Of the method, such as `amount`.

    Raises
    ------
    TypeError
        If the tensors are not iterable, the scores no dictionary, or the method not one of single elements.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    given = [(module, name, getattr(module, name)) for module, name in parameters]
    importance = parameters_to_vector([scores.get((m, name), t) for m, name, t in given])
    masks = [getattr(m, f"{name}_mask", t.detach().new_ones(t.shape)) for m, name, t in given]
    container = PruningContainer()
    method = pruning_method(**kwargs)
    container._tensor_name = method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    container.add_pruning_method(method)
    parts = container.compute_mask(importance, parameters_to_vector(masks)).split([t.numel() for _, _, t in given])
    for (module, name, t), mask in zip(given, parts, strict=True):
        custom_from_mask(module, name, mask=mask.view_as(t))


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prune a module's tensor where a mask is 0; return the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Any, name: str) -> Any:
    """Make a pruned tensor a parameter again, with 0 where it is pruned; return the module.

    Raises
    ------
    ValueError
        If it is not pruned.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Any) -> bool:
    """Return whether a tensor of a module, or of one inside, is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())

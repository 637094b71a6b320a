"""Modules that read the sizes of their inputs from the first input, and then become the plain ones."""

from __future__ import annotations

from typing import Any, ClassVar

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import tensor
from chainrule.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from chainrule.nn.modules.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from chainrule.nn.modules.instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from chainrule.nn.modules.linear import Linear
from chainrule.nn.modules.module import Module
from chainrule.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d",
    "LazyConvTranspose2d", "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d",
    "LazyLinear",
]  # fmt: skip


class LazyModuleMixin(Module):
    """What lazy modules share: a hook that gives the parameters their shapes before the first call.

    A subclass has it before the class that it becomes among its bases, creates :class:`UninitializedParameter` and
    :class:`UninitializedBuffer`, and defines ``initialize_parameters(*args, **kwargs)``, which gives them shapes and values.

    Attributes
    ----------
    cls_to_become : type or None
        The class of the module after the first call.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyLinear(2)
    >>> layer.weight
    <UninitializedParameter>
    >>> layer(cr.ones(4, 3)).shape, layer
    (chainrule.Size([4, 2]), Linear(in_features=3, out_features=2, bias=True))
    """

    cls_to_become: ClassVar[type | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give parameters and buffers their shapes and first values, from the arguments of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Return whether a parameter or buffer has no shape yet."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars or is_lazy(t) else t.detach()  # type: ignore[attr-defined]

    def _lazy_load_hook(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if given is not None and isinstance(t, (UninitializedParameter, UninitializedBuffer)) and not is_lazy(given):
                with no_grad():
                    t.materialize(given.shape)

    def _infer_parameters(self, module: Any, args: tuple, kwargs: dict | None = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        for name in ("_initialize_hook", "_load_hook"):
            getattr(module, name).remove()
            delattr(module, name)
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become


class _LazyLayer(LazyModuleMixin):
    """A layer whose parameters are drawn once they have their shapes."""

    def _take_uninitialized(self, names: tuple[str, ...], device: Any, dtype: Any) -> None:
        for name in names:
            setattr(self, name, UninitializedParameter(device=device, dtype=dtype))

    def _is_known(self) -> bool:
        """Return whether there are sizes to draw for."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, once they have their shapes."""
        if not self.has_uninitialized_params() and self._is_known():
            super().reset_parameters()  # type: ignore[misc]

    def _materialize(self, weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
        for t, shape in ((self._parameters.get("weight"), weight), (self._parameters.get("bias"), bias)):
            if isinstance(t, UninitializedParameter):
                t.materialize(shape)


class LazyLinear(_LazyLayer, Linear):
    """A :class:`Linear` that reads `in_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LazyLinear(2)(cr.ones(4, 3)).shape
    chainrule.Size([4, 2])
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self._take_uninitialized(("weight", "bias")[: 1 + bias], device, dtype)

    def _is_known(self) -> bool:
        return self.in_features != 0

    def initialize_parameters(self, input: Any) -> None:  # type: ignore[override]
        """Read `in_features` from the input and draw the parameters."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self._materialize((self.out_features, self.in_features), (self.out_features,))
            self.reset_parameters()
        if self.in_features == 0:  # the weight was loaded
            if input.shape[-1] != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {input.shape[-1]} is not equal to in_features from self.weight: "
                    f"{self.weight.shape[-1]}"
                )
            self.in_features = input.shape[-1]


class _LazyConvXdMixin(_LazyLayer):
    space: ClassVar[int]
    transposed: ClassVar[bool]
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, ...]

    def _is_known(self) -> bool:
        return self.in_channels != 0

    def _take_channels(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.out_channels = out_channels
        self._take_uninitialized(("weight", "bias")[: 1 + bias], device, dtype)

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Read `in_channels` from the input and draw the parameters."""
        if not self.has_uninitialized_params():
            return
        least = self.space + 1
        if input.ndim not in (least, least + 1):
            raise RuntimeError(
                f"Expected {least}D (unbatched) or {least + 1}D (batched) input to {type(self).__name__}, but got input of "
                f"size: {input.shape}"
            )
        self.in_channels = input.shape[input.ndim - least]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        first, second = (self.in_channels, self.out_channels)[:: 1 if self.transposed else -1]
        self._materialize((first, second // self.groups, *self.kernel_size), (self.out_channels,))
        self.reset_parameters()


class _LazyForward(_LazyConvXdMixin):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._take_channels(out_channels, bias, device, dtype)


class _LazyTransposed(_LazyConvXdMixin):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
        bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode)
        self._take_channels(out_channels, bias, device, dtype)


class _LazyNormBase(_LazyLayer):
    num_features: int

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(0, eps, momentum, False, False, device, dtype, bias=False)
        self.affine, self.track_running_stats = affine, track_running_stats
        if affine:
            self._take_uninitialized(("weight", "bias")[: 1 + bias], device, dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = tensor(0, dtype=dtypes.int64, device=device)

    def _is_known(self) -> bool:
        return self.num_features != 0

    def initialize_parameters(self, input: Any) -> None:  # type: ignore[override]
        """Read `num_features` from the input; set the parameters and the running statistics."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        self._materialize((self.num_features,), (self.num_features,))
        for t in (self.running_mean, self.running_var):
            if isinstance(t, UninitializedBuffer):
                t.materialize((self.num_features,))
        self.reset_parameters()


class LazyConv1d(_LazyForward, Conv1d):
    """A :class:`Conv1d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConv1d(4, 1)
    >>> layer(cr.ones(2, 3, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """A :class:`Conv2d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConv2d(4, 1)
    >>> layer(cr.ones(2, 3, 8, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """A :class:`Conv3d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConv3d(4, 1)
    >>> layer(cr.ones(2, 3, 8, 8, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """A :class:`ConvTranspose1d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConvTranspose1d(4, 1)
    >>> layer(cr.ones(2, 3, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """A :class:`ConvTranspose2d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConvTranspose2d(4, 1)
    >>> layer(cr.ones(2, 3, 8, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """A :class:`ConvTranspose3d` that reads `in_channels` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyConvTranspose3d(4, 1)
    >>> layer(cr.ones(2, 3, 8, 8, 8)).shape[1], layer.in_channels
    (4, 3)
    """

    cls_to_become = ConvTranspose3d


class LazyBatchNorm1d(_LazyNormBase, BatchNorm1d):
    """A :class:`BatchNorm1d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyBatchNorm1d()
    >>> layer(cr.ones(2, 3, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNormBase, BatchNorm2d):
    """A :class:`BatchNorm2d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyBatchNorm2d()
    >>> layer(cr.ones(2, 3, 8, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNormBase, BatchNorm3d):
    """A :class:`BatchNorm3d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyBatchNorm3d()
    >>> layer(cr.ones(2, 3, 8, 8, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNormBase, InstanceNorm1d):
    """An :class:`InstanceNorm1d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyInstanceNorm1d()
    >>> layer(cr.ones(2, 3, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNormBase, InstanceNorm2d):
    """An :class:`InstanceNorm2d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyInstanceNorm2d()
    >>> layer(cr.ones(2, 3, 8, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNormBase, InstanceNorm3d):
    """An :class:`InstanceNorm3d` that reads `num_features` from its first input.

    Examples
    --------
    >>> import chainrule as cr
    >>> layer = cr.nn.LazyInstanceNorm3d()
    >>> layer(cr.ones(2, 3, 8, 8, 8)).shape[1], layer.num_features
    (3, 3)
    """

    cls_to_become = InstanceNorm3d

"""Normalisation layers as modules; each calls the function of its kind in `chainrule.nn.functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import as_tensor, tensor
from chainrule.functions.creation.fill import ones, zeros
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.modules.linear import new_parameter
from chainrule.nn.modules.module import Module

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "CrossMapLRN2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "LayerNorm", "LocalResponseNorm", "RMSNorm",
]  # fmt: skip


class _Affine(Module):
    """A layer with a weight that starts as ones and a bias that starts as zeros, each of which may be absent."""

    def _take(self, shape: tuple, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            self.register_parameter(name, new_parameter(shape, device, dtype) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight and bias to ones and zeros."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self._parameters.get("bias") is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """Standardise over the last axes; see :func:`chainrule.nn.functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last axes.
    eps : float
        Added to the variance.
    elementwise_affine, bias : bool
        Whether there is a weight, and a bias with it.
    device, dtype
        Of the parameters.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LayerNorm(2)
    LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=True)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._take(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Return the standardised input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Divide by the root mean square over the last axes; see :func:`chainrule.nn.functional.rms_norm`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.RMSNorm(2)
    RMSNorm((2,), eps=None, elementwise_affine=True)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter("weight", new_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return the input divided."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Standardise groups of channels; see :func:`chainrule.nn.functional.group_norm`.

    Raises
    ------
    ValueError
        If the channels cannot be divided into the groups.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.GroupNorm(2, 4)
    GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._take((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Return the standardised input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Divide by the squares of neighbouring channels; see :func:`chainrule.nn.functional.local_response_norm`.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.LocalResponseNorm(2)
    LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """Return the input divided."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """Divide by the squares of neighbouring channels, as Lua Torch did; `LocalResponseNorm` is the later form.

    ``y_c = x_c / (k + alpha / size * s_c) ** beta``, where ``s_c`` sums the squares of the channels closer to c than
    ``(size + 1) / 2``, and from the channel on that is so far from the first one that one, too: PyTorch never takes it out of
    its running sum again. The gradient is that of this function.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.CrossMapLRN2d(3, alpha=3.0, beta=1.0)(cr.ones(1, 3, 1, 1)).flatten()
    tensor([0.3333, 0.2500, 0.2500])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Tensor:
        """Return the input divided."""
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        reach, channels = int((self.size - 1) / 2 + 1), np.arange(input.shape[1])
        near = abs(channels[:, None] - channels) < reach
        near[reach:, :1] = True
        summed = as_tensor(near).to(input.dtype) @ (input**2).flatten(2)
        return input * (self.k + self.alpha / self.size * summed.reshape(input.shape)) ** -self.beta

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Running(_Affine):
    """A layer of channels that keeps running statistics."""

    axes: tuple[int, ...]
    _version = 2

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool, device: Any,
        dtype: Any, bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._take((num_features,), affine, affine and bias, device, dtype)
        given = {"device": device, "dtype": dtype or dtypes.get_default_dtype()}
        self.register_buffer("running_mean", zeros(num_features, **given) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **given) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=dtypes.int64) if track_running_stats else None)

    def reset_parameters(self) -> None:
        """Set weight and bias to ones and zeros, and forget the running statistics."""
        if "running_mean" in self._buffers:
            self.reset_running_stats()
        super().reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in self.axes:
            expected = " or ".join(f"{n}D" for n in self.axes)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        """Load; a state from before PyTorch 0.4.1 has no number of batches."""
        key = prefix + "num_batches_tracked"
        if (local_metadata.get("version") or 0) < 2 and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_Running):
    """Standardise channels over the batch; see :func:`chainrule.nn.functional.batch_norm`.

    With ``momentum=None`` the running statistics are the plain means over all batches.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the standardised input; in training, move the running statistics."""
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        from_batch = self.training or self.running_mean is None
        kept = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if kept else None,
            self.running_var if kept else None,
            self.weight,
            self.bias,
            from_batch,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Standardise channels over a batch of shape (N, C) or (N, C, L).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.BatchNorm1d(1)(cr.tensor([[1.0], [3.0]])).flatten().detach()
    tensor([-1.0000,  1.0000])
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Standardise channels over a batch of shape (N, C, H, W).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Standardise channels over a batch of shape (N, C, D, H, W).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.BatchNorm3d(3, momentum=None)
    BatchNorm3d(3, eps=1e-05, momentum=None, affine=True, bias=True, track_running_stats=True)
    """

    axes = (5,)


class _InstanceNorm(_Running):
    """Standardise each channel of each sample; see :func:`chainrule.nn.functional.instance_norm`."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        """Load; tell what is meant where a state from before PyTorch 0.4 has running statistics."""
        keys = [prefix + k for k in ("running_mean", "running_var") if prefix + k in state_dict]
        if local_metadata.get("version") is None and not self.track_running_stats and keys:
            names, kind = " and ".join(f'"{k}"' for k in keys), type(self).__name__
            rest[-1].append(
                f"Unexpected running stats buffer(s) {names} for {kind} with track_running_stats=False. If state_dict is a "
                f"checkpoint saved before 0.4.0, this may be expected because {kind} does not track running stats by default "
                "since 0.4.0. Please remove these keys from state_dict. If the running stats are actually needed, instead set "
                f"track_running_stats=True in {kind} to enable them. See the documentation of {kind} for details."
            )
            for key in keys:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def forward(self, input: Any) -> Tensor:
        """Return the standardised input, which may be one sample alone."""
        self._check_input_dim(input)
        single = input.ndim == self.axes[0]
        channels = input.shape[0 if single else 1]
        if channels != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim={0 if single else 1} to match num_features ({self.num_features}), but got: "
                f"{channels}."
            )
        y: Any = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Standardise each channel of inputs of shape (N, C, L) or (C, L).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.InstanceNorm1d(1)(cr.tensor([[1.0, 3.0]]))
    tensor([[-1.0000,  1.0000]])
    """

    axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Standardise each channel of inputs of shape (N, C, H, W) or (C, H, W).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.InstanceNorm2d(3)
    InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    axes = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Standardise each channel of inputs of shape (N, C, D, H, W) or (C, D, H, W).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.InstanceNorm3d(3)
    InstanceNorm3d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    axes = (4, 5)

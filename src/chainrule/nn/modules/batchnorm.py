"""Normalisation over batches as modules, and the running statistics that they and normalisation of instances keep."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.functions.creation.create import tensor
from chainrule.functions.creation.fill import ones, zeros
from chainrule.nn import functional as F
from chainrule.nn.modules.normalization import _Affine

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"]


class _NormBase(_Affine):
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


class _BatchNorm(_NormBase):
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


class SyncBatchNorm(_BatchNorm):
    """Standardise channels over the batches of several processes on GPUs: here in evaluation alone, as in PyTorch on the CPU.

    Programs ask whether a layer is one, and have models made for it converted.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        As :class:`BatchNorm1d` takes them.
    process_group
        Kept for the program.

    Raises
    ------
    ValueError
        When it is called in training.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.SyncBatchNorm.convert_sync_batchnorm(cr.nn.Sequential(cr.nn.BatchNorm1d(2)))
    >>> net.eval()(cr.ones(3, 2)).shape
    chainrule.Size([3, 2])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    def forward(self, input: Tensor) -> Tensor:
        """Return the input standardised by the running statistics."""
        if self.training:
            raise ValueError("SyncBatchNorm expected input tensor to be on GPU: chainrule computes on the CPU")
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """Return a module with one in place of every batch norm, with its parameters and statistics."""
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group
            )
            made.__dict__.update({k: v for k, v in module.__dict__.items() if k != "process_group"})
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made

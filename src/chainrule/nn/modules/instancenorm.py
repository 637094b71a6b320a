"""Normalisation of each channel of each sample as modules."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.modules.batchnorm import _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


class _InstanceNorm(_NormBase):
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

"""Wrappers with which programs spread a model over devices: on the CPU alone, one passes on, the other says what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from chainrule.nn.modules.module import Module

__all__ = ["DataParallel", "DistributedDataParallel"]
__path__: list[str] = []  # modules beneath it are the look-alike's


class DataParallel(Module):
    """A model spread over GPUs; where there is none, as here, it passes everything on, as PyTorch's does.

    Parameters
    ----------
    module : Module
        The model; its names in the state begin with ``module.``.
    device_ids, output_device, dim
        Of GPUs, of which there are none.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.DataParallel(cr.nn.Linear(2, 1))
    >>> net(cr.ones(3, 2)).shape, list(net.state_dict())
    (chainrule.Size([3, 1]), ['module.weight', 'module.bias'])
    """

    def __init__(self, module: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Return the model's result."""
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """A model trained by several processes, which chainrule has not: programs may ask whether one is of this kind."""

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "Default process group has not been initialized, please make sure to call init_process_group: chainrule trains in "
            "one process; call the module itself"
        )

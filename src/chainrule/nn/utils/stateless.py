"""Calling a module with other parameters, under the name of before `func.functional_call`."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.func import functional_call as call

__all__ = ["functional_call"]


def functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module as :func:`chainrule.func.functional_call`, the newer name, does; warn of that.

    Examples
    --------
    >>> import warnings
    >>> import chainrule as cr
    >>> net = cr.nn.Linear(1, 1, bias=False)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     cr.nn.utils.stateless.functional_call(net, {"weight": cr.tensor([[3.0]])}, cr.ones(1))
    tensor([3.])
    """
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future version of "
        "PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)

"""Weight normalisation by a hook before each call (Salimans & Kingma 2016, arXiv 1602.07868): ``g * v / ||v||``."""

from __future__ import annotations

import warnings
from typing import Any

from chainrule.functions.reduction.norm import norm
from chainrule.nn.parameter import Parameter, is_lazy

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


def norm_except(v: Any, dim: int) -> Any:
    """Return the norms of the slices of a tensor at the places along an axis, with all axes kept; of all of it for -1."""
    if dim == -1:
        return norm(v)
    axes = [i for i in range(v.ndim) if i != dim % v.ndim]
    return norm(v, dim=axes, keepdim=True) if axes else v.abs()


def normed(v: Any, g: Any, dim: int) -> Any:
    """Return the tensor of directions `v` and norms `g`."""
    return v * (g / norm_except(v, dim))


class WeightNorm:
    """The hook of `weight_norm`."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Any) -> Any:
        """Return the weight of the norms and directions that a module has."""
        return normed(getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    @staticmethod
    def apply(module: Any, name: str, dim: int | None) -> WeightNorm:
        """Put a hook on a module."""
        warnings.warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        fn = WeightNorm(name, dim)
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy forward "
                "before applying weight normalization"
            )
        del module._parameters[name]
        module.register_parameter(f"{name}_g", Parameter(norm_except(weight, fn.dim).data))
        module.register_parameter(f"{name}_v", Parameter(weight.data))
        setattr(module, name, fn.compute_weight(module))
        module.register_forward_pre_hook(fn)
        return fn

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"], module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Any, inputs: Any) -> None:
        """Compute the weight anew."""
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Express a module's parameter by norms, ``<name>_g``, and directions, ``<name>_v``; it is computed before each call.

    `nn.utils.parametrizations.weight_norm` is the newer form.

    Parameters
    ----------
    module : Module
        Whose parameter it is.
    name : str
        Of the parameter.
    dim : int, optional
        The norms are those of the slices along this axis, with None of the whole.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    RuntimeError
        If the parameter has such norms already.

    Examples
    --------
    >>> import warnings
    >>> import chainrule as cr
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     m = cr.nn.utils.weight_norm(cr.nn.Linear(20, 40))
    >>> m.weight_g.shape, m.weight_v.shape
    (chainrule.Size([40, 1]), chainrule.Size([40, 20]))
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make a parameter one again that `weight_norm` has divided; return the module.

    Raises
    ------
    ValueError
        If it is not so divided.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")

"""Spectral normalisation by a hook before each call (Miyato et al. 2018, arXiv 1802.05957), its norm by power iteration."""

from __future__ import annotations

from typing import Any

from chainrule.core.mode.grad_mode import no_grad
from chainrule.functions.linalg.contract import mv
from chainrule.nn import functional as F
from chainrule.nn.modules.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from chainrule.nn.parameter import Parameter, is_lazy

__all__ = [
    "SpectralNorm", "SpectralNormLoadStateDictPreHook", "SpectralNormStateDictHook", "remove_spectral_norm", "spectral_norm",
]  # fmt: skip


def outputs_axis(module: Any, dim: int | None) -> int:
    """Return the axis of a weight's outputs, if it is not given that of its module's kind."""
    transposed = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
    return dim if dim is not None else 1 if isinstance(module, transposed) else 0


def as_matrix(weight: Any, dim: int) -> Any:
    """Return a weight as a matrix whose rows are along an axis."""
    return weight.movedim(dim, 0).flatten(1)


def unit(x: Any, eps: float) -> Any:
    """Return a vector divided by its norm."""
    return F.normalize(x, dim=0, eps=eps)


def checked(iterations: int) -> int:
    """Return a number of power iterations; raise PyTorch's error unless it is positive."""
    if iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={iterations}")
    return iterations


class SpectralNorm:
    """The hook of `spectral_norm`."""

    _version = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        self.name, self.dim, self.eps = name, dim, eps
        self.n_power_iterations = checked(n_power_iterations)

    def reshape_weight_to_matrix(self, weight: Any) -> Any:
        """Return a weight as a matrix whose rows are along the axis of outputs."""
        return as_matrix(weight, self.dim)

    def compute_weight(self, module: Any, do_power_iteration: bool) -> Any:
        """Return the weight divided by its largest singular value, which an iteration brings nearer before."""
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(unit(mv(matrix.t(), u), self.eps))
                    u.copy_(unit(mv(matrix, v), self.eps))
                u, v = u.clone(), v.clone()  # what the next call overwrites is not what this one saves
        return weight / u.dot(mv(matrix, v))

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for end in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + end)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Any, inputs: Any) -> None:
        """Compute the weight anew."""
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def _solve_v_and_rescale(self, matrix: Any, u: Any, sigma: Any) -> Any:
        """Return v with ``u @ matrix @ v = sigma`` in the direction that the iteration would have from u."""
        v = (matrix.t() @ matrix).pinverse() @ (matrix.t() @ u)
        return v * (sigma / u.dot(mv(matrix, v)))

    @staticmethod
    def apply(module: Any, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Put a hook on a module."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        fn = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `SpectralNorm` can't have uninitialized parameters. Make sure to run the dummy forward "
                "before applying spectral normalization"
            )
        with no_grad():
            height, width = fn.reshape_weight_to_matrix(weight).shape
            u, v = (unit(weight.new_empty(n).normal_(0, 1), eps) for n in (height, width))
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(fn)
        module._register_state_dict_hook(SpectralNormStateDictHook(fn))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(fn))
        return fn


class SpectralNormLoadStateDictPreHook:
    """What gives a state of before PyTorch 1.0, which has the weight and not v, its v."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool, missing_keys: list, *rest: Any
    ) -> None:
        """Change the state where it is an old one."""
        fn, key = self.fn, prefix + self.fn.name
        version = local_metadata.get("spectral_norm", {}).get(f"{fn.name}.version")
        if version is not None and version >= 1:
            return
        if version is None and all(key + end in state_dict for end in ("_orig", "_u", "_v")) and key not in state_dict:
            return
        lacking = [key + end for end in ("_orig", "", "_u") if key + end not in state_dict]
        if lacking:
            missing_keys.extend(lacking if strict else ())
            return
        with no_grad():
            weight, u = state_dict[f"{key}_orig"], state_dict[f"{key}_u"]
            sigma = (weight / state_dict.pop(key)).mean()
            state_dict[f"{key}_v"] = fn._solve_v_and_rescale(fn.reshape_weight_to_matrix(weight), u, sigma)


class SpectralNormStateDictHook:
    """What notes the version of the hook in a state."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Any, state_dict: dict, prefix: str, local_metadata: dict) -> None:
        """Note it."""
        versions, key = local_metadata.setdefault("spectral_norm", {}), f"{self.fn.name}.version"
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.fn._version


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Divide a module's parameter by its largest singular value before each call.

    The value is brought nearer by power iteration in training. `nn.utils.parametrizations.spectral_norm` is the newer form.

    Parameters
    ----------
    module : Module
        Whose parameter it is.
    name : str
        Of the parameter.
    n_power_iterations : int
        How many iterations a call in training makes.
    eps : float
        The least norm by which vectors are divided.
    dim : int, optional
        The axis of outputs; 1 for transposed convolutions, else 0, if not given.

    Returns
    -------
    Module
        `module`.

    Examples
    --------
    >>> import chainrule as cr
    >>> m = cr.nn.utils.spectral_norm(cr.nn.Linear(20, 40))
    >>> m.weight_u.shape
    chainrule.Size([40])
    """
    SpectralNorm.apply(module, name, n_power_iterations, outputs_axis(module, dim), eps)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make a parameter one again that `spectral_norm` divides; return the module.

    Raises
    ------
    ValueError
        If it is not so divided.
    """
    found = [(k, hook) for k, hook in module._forward_pre_hooks.items() if isinstance(hook, SpectralNorm) and hook.name == name]
    if not found:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for key, hook in found:
        hook.remove(module)
        del module._forward_pre_hooks[key]
    for hooks, kind in (
        (module._state_dict_hooks, SpectralNormStateDictHook),
        (module._load_state_dict_pre_hooks, SpectralNormLoadStateDictPreHook),
    ):
        for key in [k for k, hook in hooks.items() if isinstance(hook, kind) and hook.fn.name == name]:
            del hooks[key]
    return module

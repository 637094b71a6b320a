"""Modules as functions of their parameters: calling one with other tensors in their place, stacking those of several.

What a module is, is known only by what it has: named modules, parameters, buffers. So `nn` may use `func`, and this knows no
`nn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.shaping.join import stack

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]

Module = Any


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module as a function of its parameters and buffers.

    Parameters
    ----------
    module : Module
        What to call; it is left as it was.
    parameter_and_buffer_dicts : dict or sequence of dict
        Dotted name → tensor to use in its place. Names left out keep their tensors; a name that a module lacks is a buffer of
        it during the call.
    args : tuple or object, optional
        Positional arguments of the call; anything but a tuple is the one argument.
    kwargs : dict, optional
        Keyword arguments of the call.
    tie_weights : bool
        A tensor that the module has under several names is replaced under all of them when one is given.
    strict : bool
        Raise unless the names are exactly the module's.

    Returns
    -------
    object
        The module's result.

    Raises
    ------
    ValueError
        If a name is given twice, or tied names are given different tensors.
    RuntimeError
        If `strict` and the names differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.Linear(1, 1, bias=False)
    >>> cr.func.functional_call(net, {"weight": cr.tensor([[3.0]])}, cr.ones(1))
    tensor([3.])
    """
    given = _merged(parameter_and_buffer_dicts)
    places = _places(module)
    if strict:
        _check_names(module, given, places)
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{value} is not an instance of chainrule.Tensor")
        if name not in places:
            places[name] = _new_place(module, name)
    values = _tied(given, places) if tie_weights else given
    before = [(*places[name], value) for name, value in values.items()]
    originals = [register.get(key, _ABSENT) for register, key, _ in before]
    for register, key, value in before:
        register[key] = value
    try:
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for (register, key, value), original in zip(before, originals, strict=True):
            if register[key] is not value:  # a buffer that the call replaced: the caller's dict gets the new one
                _update(parameter_and_buffer_dicts, value, register[key])
            if original is _ABSENT:
                del register[key]
            else:
                register[key] = original


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, Sequence) or not all(isinstance(d, dict) for d in dicts):
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}")
    merged: dict[str, Tensor] = {}
    for d in dicts:
        for name, value in d.items():
            if name in merged:
                raise ValueError(f"{name} appeared in multiple dictionaries; behavior of functional call is ambiguous")
            merged[name] = value
    return merged


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Return where each parameter and buffer lives: dotted name → (register of its module, name in it)."""
    places = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        for register in (inner._parameters, inner._buffers):
            for key, t in register.items():
                if t is not None:
                    places[f"{path}.{key}" if path else key] = (register, key)
    return places


_ABSENT: Any = object()


def _new_place(module: Module, name: str) -> tuple[dict, str]:
    """Return where a tensor goes under a name that the module has none for: a parameter that is None, or a new buffer."""
    path, _, key = name.rpartition(".")
    if not key:
        raise KeyError('tensor name can\'t be empty string ""')
    inner = module
    for step in path.split(".") if path else ():
        if step not in inner._modules:
            raise AttributeError(f"{type(inner).__name__} has no attribute `{step}`")
        inner = inner._modules[step]
    if key in inner._parameters:
        return inner._parameters, key
    found = getattr(inner, key, None)
    if key not in inner._buffers and found is not None:
        raise TypeError(f"attribute `{name}`: {found} is not an instance of chainrule.Tensor")
    return inner._buffers, key


def _tied(given: dict[str, Tensor], places: dict[str, tuple[dict, str]]) -> dict[str, Tensor]:
    """Return the values for all names that share a tensor with a given one."""
    chosen: dict[int, tuple[str, Tensor]] = {}
    alone: dict[str, Tensor] = {}
    for name, value in given.items():
        register, key = places[name]
        if register.get(key) is None:
            alone[name] = value
            continue
        other, other_value = chosen.setdefault(id(register[key]), (name, value))
        if other_value is not value:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted((other, name))}, which are tied. "
                "Consider using tie_weights=False"
            )
    tied = {n: chosen[id(r.get(k))][1] for n, (r, k) in places.items() if id(r.get(k)) in chosen}
    return {**tied, **alone}


def _check_names(module: Module, given: dict[str, Tensor], places: dict) -> None:
    unexpected = [name for name in given if name not in places]
    missing = [name for name in places if name not in given]
    if unexpected or missing:
        said = [f"Error(s) in reparametrizing for {type(module).__name__}:"]
        for what, names in (("Unexpected", unexpected), ("Missing", missing)):
            said += [f"{what} key(s): {', '.join(map(repr, sorted(names)))}."] * bool(names)
        raise RuntimeError("\n\t".join(said))


def _update(dicts: Any, old: Tensor, value: Any) -> None:
    for d in (dicts,) if isinstance(dicts, dict) else dicts:
        for name in d:
            if d[name] is old:
                d[name] = value


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the parameters and the buffers of several modules of one architecture, stacked: an ensemble for `vmap`.

    Parameters
    ----------
    models : sequence of Module
        Of one class, in one mode (training or not), with tensors of the same names and shapes.

    Returns
    -------
    params, buffers : dict
        Dotted name → tensor with the modules along its first axis. The parameters are new leaves.

    Raises
    ------
    RuntimeError
        If there is no module, or they differ.

    Examples
    --------
    >>> import chainrule as cr
    >>> nets = [cr.nn.Linear(2, 1) for _ in range(3)]
    >>> params, buffers = cr.func.stack_module_state(nets)
    >>> call = lambda p, x: cr.func.functional_call(nets[0], p, (x,))
    >>> cr.func.vmap(call, (0, None))(params, cr.ones(4, 2)).shape
    chainrule.Size([3, 4, 1])
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({bool(m.training) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {name: _stacked([p[name] for p in params], name) for name in params[0]},
        {name: _stacked([b[name] for b in buffers], name) for name in buffers[0]},
    )


def _stacked(tensors: list[Tensor], name: str) -> Tensor:
    required = {t.requires_grad for t in tensors}
    if len(required) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    stacked = stack(tensors)
    return stacked.detach().requires_grad_() if True in required else stacked


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Have every batch norm in a module use the statistics of its batch alone, in place: running ones are no function's.

    Parameters
    ----------
    root : Module
        Its batch norms, itself included, lose ``running_mean``, ``running_var`` and ``num_batches_tracked``.

    Returns
    -------
    Module
        `root`.

    Examples
    --------
    >>> import chainrule as cr
    >>> net = cr.nn.Linear(1, 1)
    >>> cr.func.replace_all_batch_norm_modules_(net) is net
    True
    """
    for module in root.modules():
        is_batch_norm = any("BatchNorm" in base.__name__ for base in type(module).__mro__)
        if is_batch_norm and getattr(module, "track_running_stats", False):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root

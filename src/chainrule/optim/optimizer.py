"""Optimizer: parameter groups, per-parameter state, saving and loading, all as PyTorch has them.

How a step is carried out on the parameters is the subclasses': see `elementwise` for the most of them.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import wraps
from itertools import chain
from typing import Any

from chainrule.core.call.silence import hush, unhush
from chainrule.core.graph.handle import RemovableHandle, register
from chainrule.core.mode.grad_mode import enable_grad, no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Hook = Callable[..., Any]
_before_all: OrderedDict[int, Hook] = OrderedDict()
_after_all: OrderedDict[int, Hook] = OrderedDict()
ParamsT = Any  # what PyTorch's annotations call parameters, groups of them, or pairs with names


class _RequiredParameter:
    """What older programs give as the default of an option that each group must have."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimizer; it may return other arguments.

    Examples
    --------
    >>> import chainrule as cr
    >>> steps = []
    >>> handle = cr.optim.optimizer.register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: steps.append(optimizer))
    >>> cr.optim.SGD([cr.ones(1, requires_grad=True)]).step()
    >>> handle.remove()
    >>> len(steps)
    1
    """
    return register(_before_all, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimizer: see `register_optimizer_step_pre_hook`."""
    return register(_after_all, hook)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a class's `step` with the hooks around it."""

    @wraps(step)
    def with_hooks(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        if not (_before_all or _after_all or self._step_hooks) or type(self).step is not with_hooks:
            return step(self, *args, **kwargs)
        for hook in [*_before_all.values(), *self._hooks("step_pre").values()]:
            given = hook(self, args, kwargs)
            if given is None:
                continue
            if not (isinstance(given, tuple) and len(given) == 2):
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {given}.")
            args, kwargs = given
        result = step(self, *args, **kwargs)
        for hook in [*self._hooks("step_post").values(), *_after_all.values()]:
            hook(self, args, kwargs)
        return result

    return with_hooks


class Optimizer:
    """Base of all optimizers: a subclass calls ``super().__init__(params, defaults)`` and defines `step` or `_update`.

    Parameters
    ----------
    params : iterable
        Tensors, (name, Tensor) pairs, or dicts with ``"params"`` and options of that group.
    defaults : dict
        Options of groups that do not give their own.

    Notes
    -----
    Where PyTorch's optimizers take them, ``foreach`` and ``fused`` may be True or False, and are kept: there is one
    implementation, which makes one pass over memory in blocks that stay in the cache. With ``differentiable=True`` a step
    is recorded, so the parameters must not be leaves. ``capturable=True`` raises.

    Attributes
    ----------
    param_groups : list of dict
        The groups: ``"params"`` and options.
    state : dict
        What the optimizer remembers of each parameter.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or some are no tensors, no leaves, or in two groups.
    """

    _loaded = False  # whether state was loaded since the last step
    _shaped: tuple[str, ...] = ()  # state that has its parameter's shape
    _opt_called = False  # whether a step was made, of which schedulers ask
    _step_hooks: dict[str, OrderedDict[int, Hook]] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {_typename(params)}"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``"params"``, and options that differ from the defaults.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                "change between runs. Please use a list instead."
            )
        entries = [given] if isinstance(given, Tensor) else list(given)
        names = [e[0] for e in entries if isinstance(e, tuple)]
        params = [e[1] if isinstance(e, tuple) else e for e in entries]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_typename(p)}")
            if not (p.is_leaf or p.retains_grad or self.defaults.get("differentiable")):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                UserWarning,
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                how = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    f"all optimizer param groups should be with/without names. cannot add param group {how} to the optimizer"
                )
            if not set(group["params"]).isdisjoint(params):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # -- stepping --------------------------------------------------------------------------------------------------

    @_hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew, before the update.

        Returns
        -------
        object
            What the closure returned; None without one.
        """
        if self._loaded:
            self._check_loaded()
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        token = hush()
        try:
            for group in self.param_groups:
                self._update(group)
        finally:
            unhush(token)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Update the parameters of a group that have a gradient."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                    continue
                if grad.requires_grad:
                    p.grad = grad = grad.detach()
                with no_grad():
                    grad.zero_()

    # -- hooks -----------------------------------------------------------------------------------------------------

    def _hooks(self, when: str) -> OrderedDict[int, Hook]:
        if self._step_hooks is None:
            self._step_hooks = {}
        return self._step_hooks.setdefault(when, OrderedDict())

    def _register(self, when: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
        hooks = self._hooks(when)
        handle = register(hooks, hook)
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle

    def _patch_step_function(self) -> None:
        """Do nothing: a class's `step` calls hooks since the class was made. Packages call it that do not call ``__init__``."""

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return other arguments, as (args, kwargs)."""
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before `state_dict` is made."""
        return self._register("state_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` when `state_dict` is made; it may return another."""
        return self._register("state_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before `load_state_dict` reads it; it may return another."""
        return self._register("load_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after `load_state_dict`."""
        return self._register("load_post", hook, prepend)

    # -- saving and loading ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return state and options, with the parameters replaced by their positions.

        Returns
        -------
        dict
            ``"state"``: position → state; ``"param_groups"``: the groups, with positions as ``"params"``.
        """
        for hook in self._hooks("state_pre").values():
            hook(self)
        positions: dict[Tensor, int] = {}
        for p in chain.from_iterable(group["params"] for group in self.param_groups):
            positions.setdefault(p, len(positions))
        groups = [
            {**{k: v for k, v in group.items() if k != "params"}, "params": [positions[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {positions[k] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        made = {"state": state, "param_groups": groups}
        for hook in self._hooks("state_post").values():
            made = made if (other := hook(self, made)) is None else other
        return made

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state and options that `state_dict` returned: tensors in the parameters' dtypes.

        As in PyTorch, tensors that have it already are shared with `state_dict` and whatever else has loaded it, and the next
        step writes into them; load a ``copy.deepcopy`` to go on with several optimizers. The options are copied.

        Raises
        ------
        ValueError
            If the groups do not match in number or size.
        """
        state_dict = state_dict.copy()
        for hook in self._hooks("load_pre").values():
            state_dict = state_dict if (other := hook(self, state_dict)) is None else other
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(s["params"]) != len(g["params"]) for s, g in zip(saved, self.param_groups, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        params = dict(
            zip(
                chain.from_iterable(s["params"] for s in saved),
                chain.from_iterable(g["params"] for g in self.param_groups),
                strict=True,
            )
        )
        in_single = {i for s in state_dict["param_groups"] if s.get("capturable") or s.get("fused") for i in s["params"]}
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _for_param(value, params[key], key in in_single)
            else:
                state[key] = value
        for s, g in zip(saved, self.param_groups, strict=True):
            s["params"] = g["params"]
            if "param_names" in g:
                s.setdefault("param_names", g["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        self._loaded = True
        for hook in self._hooks("load_post").values():
            hook(self)

    def _check_loaded(self) -> None:
        """Raise for state that was loaded for parameters of other shapes; where they would broadcast, it would go unnoticed."""
        for i, group in enumerate(self.param_groups):
            for k, p in enumerate(group["params"]):
                for key in self._shaped:
                    value = self.state[p].get(key) if p in self.state else None
                    if isinstance(value, Tensor) and value.shape != p.shape:
                        named = f" ({group['param_names'][k]})" if "param_names" in group else ""
                        raise RuntimeError(
                            f"{_differing(tuple(value.shape), tuple(p.shape))}: the state that was loaded has the {key!r} of "
                            f"another parameter for parameter {k}{named} of group {i}. Load the state of an optimizer of these "
                            "parameters, in their order."
                        )
        self._loaded = False

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for group in self.param_groups:  # saved before there were all of these options, perhaps
            for name, default in self.defaults.items():
                group.setdefault(name, default)

    def __repr__(self) -> str:
        text = ""
        for i, group in enumerate(self.param_groups):
            options = "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
            text += f"\nParameter Group {i}\n{options}"
        return f"{type(self).__name__} ({text})"


def _differing(a: tuple, b: tuple) -> str:
    """Return PyTorch's words for two shapes that should be one."""
    for axis, (n, m) in enumerate(zip(a, b, strict=False)):
        if n != m:
            return f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension {axis}"
    return f"The number of axes of tensor a ({len(a)}) must match that of tensor b ({len(b)})"


def _for_param(value: Any, param: Tensor, counts_in_single: bool, key: Any = None) -> Any:
    """Return saved state in the dtype of its parameter, except the step count; tensors that have it are shared."""
    if isinstance(value, Tensor):
        if key == "step":
            return value.to(dtype=dtypes.float32) if counts_in_single else value
        return value.to(dtype=param.dtype) if param.is_floating_point() else value
    if isinstance(value, dict):
        return {k: _for_param(v, param, counts_in_single, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_for_param(v, param, counts_in_single) for v in value)  # type: ignore[call-arg]
    return value


def _typename(value: Any) -> str:
    return f"chainrule.{value.dtype.old_name}Tensor" if isinstance(value, Tensor) else type(value).__name__

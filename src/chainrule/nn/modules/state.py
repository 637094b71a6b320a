"""A module's state as a flat dictionary of tensors, and back: `state_dict` and `load_state_dict`.

Keys, order, strictness and error texts are PyTorch's, so that a checkpoint of either library names the same things.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chainrule.core.graph.handle import RemovableHandle, register
from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.modules.hook_dictionaries import HookDictionary
from chainrule.nn.parameter import Parameter, is_lazy


class _IncompatibleKeys(NamedTuple):
    """What a `load_state_dict` did not find, and what it did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __str__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"

    def __repr__(self) -> str:
        return str(self)


class _StateDict(OrderedDict):
    """An OrderedDict that carries `_metadata`: the version of each module that wrote to it."""

    _metadata: OrderedDict


_EXTRA = "_extra_state"


class Stateful:
    """What :class:`Module` has of saving and loading."""

    _version = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_pre_hooks = HookDictionary(called=False)
    _state_dict_hooks = HookDictionary(called=False)
    _load_state_dict_pre_hooks = HookDictionary(called=False)
    _load_state_dict_post_hooks = HookDictionary(called=False)

    def get_extra_state(self) -> Any:
        """Return state beyond parameters and buffers, for `state_dict`; a subclass may define it."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called. "
            "Define get_extra_state() in the module."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take the state that `get_extra_state` returned."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called. "
            "Define set_extra_state() in the module."
        )

    def _has_extra(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Stateful, method)

    def _own_state(self) -> dict[str, Tensor]:
        state = {name: p for name, p in self._parameters.items() if p is not None}
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                state[name] = b
        return state

    # -- saving ----------------------------------------------------------------------------------------------------

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own state into a dictionary; a subclass may do it otherwise."""
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars else t.detach()  # type: ignore[attr-defined]
        if self._has_extra("get_extra_state"):
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Return all parameters and persistent buffers by name.

        Parameters
        ----------
        destination : dict, optional
            Fill this instead of a new dictionary.
        prefix : str
            Put before every name.
        keep_vars : bool
            Return the tensors themselves instead of detached ones on the same memory.

        Returns
        -------
        OrderedDict
            Names with dots for nesting, in order of registration.

        Examples
        --------
        >>> import chainrule as cr
        >>> list(cr.nn.Linear(2, 3).state_dict())
        ['weight', 'bias']
        """
        if args:  # as in PyTorch's older signature
            warnings.warn("Positional args are being deprecated, use kwargs instead.", FutureWarning, stacklevel=2)
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = _StateDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            given = hook(self, destination, prefix, metadata)
            if given is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = given
        return destination

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the state is saved."""
        return register(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` when the state is saved; it may change the dictionary.

        Examples
        --------
        >>> import chainrule as cr
        >>> layer = cr.nn.Linear(1, 1)
        >>> handle = layer.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.pop("bias") and None)
        >>> list(layer.state_dict())
        ['weight']
        """
        hook._from_public_api = True
        return register(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook as `register_state_dict_post_hook` does; what it returns is the dictionary for the outermost module."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return register(self._state_dict_hooks, hook)

    # -- loading ---------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy tensors into the parameters and buffers of the same names.

        Parameters
        ----------
        state_dict : mapping
            As `state_dict` returns it.
        strict : bool
            Raise unless the names match exactly.
        assign : bool
            Put the given tensors in place of the module's instead of copying into them.

        Returns
        -------
        _IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        TypeError
            If it is no mapping.
        RuntimeError
            If shapes differ, or names do and `strict`; the text lists all of them.

        Examples
        --------
        >>> import chainrule as cr
        >>> a, b = cr.nn.Linear(2, 3), cr.nn.Linear(2, 3)
        >>> b.load_state_dict(a.state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        given = _StateDict(state_dict)  # which the modules may change
        metadata: Any = getattr(state_dict, "_metadata", None) or {}
        if metadata:
            given._metadata = metadata
        self._load(given, "", metadata, assign, _IncompatibleKeys(missing, unexpected), errors)
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return _IncompatibleKeys(missing, unexpected)

    def _load(
        self, given: dict, prefix: str, metadata: Mapping, assign: bool, keys: _IncompatibleKeys, errors: list[str]
    ) -> None:
        """Load the entries under `prefix` into this module and its children; note what does not fit."""
        local = {**metadata.get(prefix[:-1], {}), **({"assign_to_params_buffers": True} if assign else {})}
        self._load_from_state_dict(given, prefix, local, True, keys.missing_keys, keys.unexpected_keys, errors)
        for name, child in self._modules.items():
            if child is not None:
                inner = f"{prefix}{name}."
                part = {k: v for k, v in given.items() if k.startswith(inner)}
                child._load(part, inner, metadata, assign, keys, errors)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, if "
                    "incompatible_keys need to be modified, it should be done inplace."
                )

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool, missing_keys: list, unexpected_keys: list,
        error_msgs: list,
    ) -> None:  # fmt: skip
        """Load this module's own entries; a subclass may change the dictionary before, or the lists of what does not fit."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        state = self._own_state()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, t in state.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, t, key, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA
        if self._has_extra("set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        for key in state_dict if strict else ():
            if key.startswith(prefix) and key != extra:
                head, dot, _ = key[len(prefix) :].partition(".")
                if head not in (self._modules if dot else state):
                    unexpected_keys.append(key)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook before the module's own entries are loaded.

        Parameters
        ----------
        hook : callable
            ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``, which may
            change the dictionary and the lists.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        return register(self._load_state_dict_pre_hooks, functools.partial(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` when the module and what is inside are loaded; it may change the lists."""
        return register(self._load_state_dict_post_hooks, hook)

    def _load_one(self, name: str, t: Tensor, key: str, value: Any, assign: bool, errors: list) -> None:
        if not isinstance(value, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected chainrule.Tensor or Tensor-like object from checkpoint '
                f"but received {type(value)}"
            )
            return
        if not is_lazy(t) and t.ndim == 0 and tuple(value.shape) == (1,):
            value = value.reshape(())  # type: ignore[attr-defined]
        if not is_lazy(t) and value.shape != t.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {t.shape}."
            )
            return
        try:
            if assign:
                if isinstance(t, Parameter):
                    if isinstance(value, Parameter):
                        value.requires_grad_(t.requires_grad)
                    else:
                        value = Parameter(value, requires_grad=t.requires_grad)
                setattr(self, name, value)
            else:
                with no_grad():
                    t.copy_(value)  # type: ignore[attr-defined]
        except Exception as error:  # all that is wrong is reported together
            errors.append(
                f'While copying the parameter named "{key}", whose dimensions in the model are {t.shape} and whose dimensions '
                f"in the checkpoint are {value.shape}, an exception occurred : {error.args}."
            )


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)

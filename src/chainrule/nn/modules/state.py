"""A module's state as a flat dictionary of tensors, and back: `state_dict` and `load_state_dict`.

Keys, order, strictness and error texts are PyTorch's, so that a checkpoint of either library names the same things.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.parameter import Parameter


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

    def _own_state(self) -> dict[str, Tensor]:
        state = {name: p for name, p in self._parameters.items() if p is not None}
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                state[name] = b
        return state

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
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
        if destination is None:
            destination = _StateDict()
            destination._metadata = OrderedDict()
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars else t.detach()  # type: ignore[attr-defined]
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

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
        self._load(dict(state_dict), "", assign, missing, unexpected, errors)
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            lines = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        return _IncompatibleKeys(missing, unexpected)

    def _load(self, given: dict, prefix: str, assign: bool, missing: list, unexpected: list, errors: list) -> None:
        """Load the entries under `prefix` into this module and its children; note what does not fit."""
        state = self._own_state()
        for name, t in state.items():
            key = prefix + name
            if key in given:
                self._load_one(name, t, key, given[key], assign, errors)
            else:
                missing.append(key)
        if type(self).set_extra_state is not Stateful.set_extra_state:
            if prefix + _EXTRA in given:
                self.set_extra_state(given[prefix + _EXTRA])
            else:
                missing.append(prefix + _EXTRA)
        elif prefix + _EXTRA in given:
            unexpected.append(prefix + _EXTRA)
        for key in given:
            if key.startswith(prefix) and key != prefix + _EXTRA:
                head, dot, _ = key[len(prefix) :].partition(".")
                if head not in (self._modules if dot else state):
                    unexpected.append(key)
        for name, child in self._modules.items():
            if child is not None:
                inner = f"{prefix}{name}."
                child._load({k: v for k, v in given.items() if k.startswith(inner)}, inner, assign, missing, unexpected, errors)

    def _load_one(self, name: str, t: Tensor, key: str, value: Any, assign: bool, errors: list) -> None:
        if not isinstance(value, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected chainrule.Tensor or Tensor-like object from checkpoint '
                f"but received {type(value)}"
            )
            return
        if t.ndim == 0 and tuple(value.shape) == (1,):
            value = value.reshape(())  # type: ignore[attr-defined]
        if value.shape != t.shape:
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

"""Module: a callable that owns parameters, buffers and other modules.

Registration happens on assignment; traversal follows the order of registration. Saving and loading are
`chainrule.nn.modules.state`'s.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import spelling
from chainrule.nn.modules.conversions import Convertible, typename
from chainrule.nn.modules.module_hooks import (
    Hooked,
)
from chainrule.nn.modules.module_hooks import (
    register_module_backward_hook as register_module_backward_hook,
)
from chainrule.nn.modules.module_hooks import (
    register_module_forward_hook as register_module_forward_hook,
)
from chainrule.nn.modules.module_hooks import (
    register_module_forward_pre_hook as register_module_forward_pre_hook,
)
from chainrule.nn.modules.module_hooks import (
    register_module_full_backward_hook as register_module_full_backward_hook,
)
from chainrule.nn.modules.module_hooks import (
    register_module_full_backward_pre_hook as register_module_full_backward_pre_hook,
)
from chainrule.nn.modules.registration import (
    buffer_hooks,
    module_hooks,
    parameter_hooks,
    registered,
)
from chainrule.nn.modules.registration import (
    register_module_buffer_registration_hook as register_module_buffer_registration_hook,
)
from chainrule.nn.modules.registration import (
    register_module_module_registration_hook as register_module_module_registration_hook,
)
from chainrule.nn.modules.registration import (
    register_module_parameter_registration_hook as register_module_parameter_registration_hook,
)
from chainrule.nn.modules.state import Stateful
from chainrule.nn.modules.state import _IncompatibleKeys as _IncompatibleKeys
from chainrule.nn.parameter import Buffer, Parameter

__all__ = ["Module"]

_Self = TypeVar("_Self", bound="Module")
_REGISTERS = ("_parameters", "_buffers", "_modules")
_PARAMETERS: Callable = lambda module: module._parameters.items()
_BUFFERS: Callable = lambda module: module._buffers.items()


class Module(Convertible, Hooked, Stateful):
    """Base of all neural network modules: subclass it, call ``super().__init__()``, define `forward`.

    Attributes
    ----------
    training : bool
        True in training mode, False in evaluation mode; see `train` and `eval`.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Scale(cr.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = cr.nn.Parameter(cr.tensor(3.0))
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(cr.tensor(2.0))
    tensor(6., grad_fn=<MulBackward0>)
    """

    training: bool
    call_super_init = False
    dump_patches = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        put = super().__setattr__
        put("training", True)
        for name in _REGISTERS:
            put(name, {})
        put("_non_persistent_buffers_set", set())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_non_persistent_buffers_set", set())  # which modules of older versions lack
        if any(name.endswith("_hooks") for name in state):
            self.__dict__["_hooked"] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # -- registration ----------------------------------------------------------------------------------------------

    def _check_name(self, kind: str, name: Any, register: dict) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if name not in register and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None registers the name without one.

        Raises
        ------
        AttributeError, TypeError, KeyError, ValueError
            Before ``super().__init__()``; for no Parameter; for an unfit or taken name; for a non-leaf.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    f"({spelling.library}.nn.Parameter or None required)"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                    f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
                )
        self._parameters[name] = None if param is None else registered(parameter_hooks, self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; with `persistent` it belongs to the ``state_dict``."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{typename(tensor)}' object to buffer '{name}' (chainrule Tensor or None required)")
        self._buffers[name] = registered(buffer_hooks, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            if isinstance(module, type):
                hint = f": give an instance, such as {module.__name__}(...)" if issubclass(module, Module) else ""
                raise TypeError(f"{module.__module__}.{module.__qualname__} is not a Module subclass{hint}")
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = registered(module_hooks, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name; the same as `add_module`."""
        self.add_module(name, module)

    def __getattr__(self, name: str) -> Any:
        for register in _REGISTERS:
            found = self.__dict__.get(register)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in d:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif name in d.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    f"({spelling.library}.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            if "_modules" not in d:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            self._modules[name] = registered(module_hooks, self, name, value)
        elif name in d.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    f"({spelling.library}.nn.Module or None expected)"
                )
            self._modules[name] = registered(module_hooks, self, name, None)
        elif isinstance(value, Buffer) or name in d.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    f"({spelling.library}.nn.Buffer, {spelling.library}.Tensor or None expected)"
                )
            known = name not in d.get("_non_persistent_buffers_set", ())
            persistent = value.persistent if isinstance(value, Buffer) else known
            self.register_buffer(name, value, *(() if persistent else (False,)))  # which may be a subclass's, without it
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, kept: str) -> None:
        """Drop a name from wherever else it was assigned."""
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        for register in _REGISTERS:
            if register != kept:
                self.__dict__[register].pop(name, None)

    def __delattr__(self, name: str) -> None:
        for register in _REGISTERS:
            if name in self.__dict__[register]:
                del self.__dict__[register][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        keys = {*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules}
        return sorted(k for k in keys if not k[0].isdigit())

    # -- traversal -------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for this module and all inside it, depth first, each once.

        Examples
        --------
        >>> from chainrule import nn
        >>> [name for name, _ in nn.Sequential(nn.Sequential(nn.ReLU())).named_modules()]
        ['', '0', '0.0']
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all inside it, each once if `remove_duplicate`."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly inside, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the modules directly inside, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, get_members_fn: Callable, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, value) for what a function gives of each module: (name, value) pairs."""
        seen: set[Any] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, t in get_members_fn(module):
                if t is not None and t not in seen:
                    if remove_duplicate:
                        seen.add(t)
                    yield (f"{path}.{name}" if path else name), t

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), with `recurse` those of all modules inside too; a shared one once.

        Examples
        --------
        >>> from chainrule import nn
        >>> [(name, tuple(p.shape)) for name, p in nn.Linear(2, 3).named_parameters()]
        [('weight', (3, 2)), ('bias', (3,))]
        """
        return self._named_members(_PARAMETERS, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, with `recurse` those of all modules inside too; a shared one once."""
        for _, p in self._named_members(_PARAMETERS, "", recurse, True):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, buffer), with `recurse` those of all modules inside too."""
        return self._named_members(_BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, with `recurse` those of all modules inside too."""
        for _, b in self._named_members(_BUFFERS, "", recurse, True):
            yield b

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path such as ``"encoder.0"``; ``""`` is this module.

        Raises
        ------
        AttributeError
            If there is no such attribute, or it is no module.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path such as ``"encoder.0"``; with `strict` only in place of one that is there.

        Raises
        ------
        ValueError
            If the path is empty, or it is no module.
        AttributeError
            If the path leads to nothing, or to what is no module.

        Examples
        --------
        >>> from chainrule import nn
        >>> net = nn.Sequential(nn.Sequential(nn.ReLU()))
        >>> net.set_submodule("0.0", nn.Tanh())
        >>> net[0]
        Sequential(
          (0): Tanh()
        )
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if hasattr(parent, name):
            if not isinstance(getattr(parent, name), Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        elif strict:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path such as ``"encoder.0.weight"``."""
        return self._member(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path."""
        return self._member(target, "_buffers", "a buffer")

    def _member(self, target: str, register: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in module.__dict__[register]:
            raise AttributeError(f"`{name}` is not {what}")
        return module.__dict__[register][name]

    # -- modes and conversions -------------------------------------------------------------------------------------

    def train(self: _Self, mode: bool = True) -> _Self:
        """Switch this module and all inside it to training mode, or to evaluation mode with False; return it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: _Self) -> _Self:
        """Switch to evaluation mode; return the module."""
        return self.train(False)

    def requires_grad_(self: _Self, requires_grad: bool = True) -> _Self:
        """Set `requires_grad` of all parameters; return the module."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for p in self.parameters():
            clear_grad(p, set_to_none)

    def apply(self: _Self, fn: Callable[[Module], Any]) -> _Self:
        """Call `fn` on every module inside, children first, then on this one; return it."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Have calls of this module compiled, with the options of :func:`chainrule.compile`; it stays the object it is.

        Examples
        --------
        >>> import chainrule as cr
        >>> layer = cr.nn.Linear(3, 2)
        >>> layer.compile()
        >>> layer(cr.ones(3)).shape
        chainrule.Size([2])
        """
        compiler = import_module("chainrule.compiler")  # which few programs need
        self._compiled_call_impl = compiler.compile(self._call_impl, *args, **kwargs)
        self._hooked = True

    def _compiled(self, compiled: Callable) -> Module:
        """Return this module with its calls compiled, as `chainrule.compile` returns it; `compiled` compiles a function."""
        return import_module("chainrule.nn.modules.optimized").OptimizedModule(self, compiled)

    def __getstate__(self) -> dict:
        state = self.__dict__
        if "_compiled_call_impl" in state:  # it belongs to this very object
            state = {k: v for k, v in state.items() if k != "_compiled_call_impl"}
        return state

    # -- text ------------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the module's text, before its children."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{self._get_name()}({extra})"
        lines += [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]
        body = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
        return f"{self._get_name()}({body})"


def indented(text: str) -> str:
    """Indent all lines of a module's text but the first."""
    first, newline, rest = text.partition("\n")
    return first + newline + textwrap.indent(rest, "  ", lambda line: True)


def clear_grad(p: Tensor, set_to_none: bool) -> None:
    """Drop a tensor's gradient, or fill it with zeros and cut it from its history."""
    grad = p.grad
    if grad is None:
        return
    if set_to_none:
        p.grad = None
        return
    with no_grad():
        if grad.requires_grad:
            p.grad = grad = grad.detach()  # type: ignore[attr-defined]
        grad.zero_()  # type: ignore[attr-defined]

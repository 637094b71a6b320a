"""Module: a callable that owns parameters, buffers and other modules.

Registration happens on assignment; traversal follows the order of registration. Saving and loading are
`chainrule.nn.modules.state`'s.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, TypeVar

import numpy as np

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types import dtype as dtypes
from chainrule.core.types.device import device
from chainrule.core.types.memory_format import memory_format
from chainrule.nn.modules.module_hooks import Hooked
from chainrule.nn.modules.state import Stateful
from chainrule.nn.parameter import Buffer, Parameter

__all__ = ["Module"]

_Self = TypeVar("_Self", bound="Module")
_REGISTERS = ("_parameters", "_buffers", "_modules")


def typename(value: Any) -> str:
    """Return PyTorch's name of a value's type: a tensor's tells its dtype."""
    if isinstance(value, Tensor):
        return f"chainrule.{value.dtype.old_name}Tensor"
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_DEVICE = (str, int, device, NoneType)
_DTYPE = (dtypes.dtype, type, np.dtype, NoneType)
_REST = {"non_blocking": (bool,), "copy": (bool,), "memory_format": (memory_format, NoneType)}


def _asked(args: tuple, kwargs: dict) -> tuple[dtypes.dtype | None, memory_format | None]:
    """Return the dtype and memory format that the arguments of `Module.to` name; raise PyTorch's error unless they fit."""
    first = args[0] if args else kwargs.get("tensor")
    form: dict[str, tuple] = {"device": _DEVICE, "dtype": _DTYPE, **_REST}
    if isinstance(first, Tensor):
        form = {"tensor": (Tensor,), **_REST}
    elif args and first is not None and isinstance(first, _DTYPE):
        del form["device"]
    names = list(form)[:-1]  # the memory format is given by keyword alone
    given = dict(zip(names, args, strict=False))
    fits = len(args) <= len(names) and not given.keys() & kwargs.keys() and kwargs.keys() <= form.keys()
    given |= kwargs
    if not fits or not all(
        isinstance(a, form[name]) and (a.__class__ is bool) <= (bool in form[name]) for name, a in given.items()
    ):
        got = ", ".join([typename(a) for a in args] + [f"{name}={typename(a)}" for name, a in kwargs.items()])
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({got}), but expected one of: (device, dtype, "
            "non_blocking, copy), (dtype, non_blocking, copy), (tensor, non_blocking, copy), and memory_format by keyword"
        )
    if given.get("device") is not None:
        device(given["device"])
    asked = given.get("dtype", first if isinstance(first, Tensor) else None)
    found = asked.dtype if isinstance(asked, Tensor) else None if asked is None else dtypes.as_dtype(asked)
    return found, given.get("memory_format")


class Module(Hooked, Stateful):
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

    def __init__(self) -> None:
        put = super().__setattr__
        put("training", True)
        for name in _REGISTERS:
            put(name, {})
        put("_non_persistent_buffers_set", set())

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
                    f"cannot assign '{typename(param)}' object to parameter '{name}' (chainrule.nn.Parameter or None required)"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                    f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; with `persistent` it belongs to the ``state_dict``."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{typename(tensor)}' object to buffer '{name}' (chainrule Tensor or None required)")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = module

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
                    f"cannot assign '{typename(value)}' as parameter '{name}' (chainrule.nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif isinstance(value, Module):
            if "_modules" not in d:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            self._modules[name] = value
        elif name in d.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' (chainrule.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif isinstance(value, Buffer) or name in d.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    "(chainrule.nn.Buffer, chainrule.Tensor or None expected)"
                )
            known = name not in d.get("_non_persistent_buffers_set", ())
            self.register_buffer(name, value, value.persistent if isinstance(value, Buffer) else known)
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

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it, each once."""
        for _, module in self.named_modules():
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

    def _named(self, register: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[Tensor] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, t in module.__dict__[register].items():
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
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, with `recurse` those of all modules inside too; a shared one once."""
        for _, p in self._named("_parameters", "", recurse, True):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, buffer), with `recurse` those of all modules inside too."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, with `recurse` those of all modules inside too."""
        for _, b in self._named("_buffers", "", recurse, True):
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

    def _apply(self: _Self, fn: Callable[[Tensor], Tensor]) -> _Self:
        """Replace the values of all parameters, their gradients and the buffers by `fn` of them."""
        for module in self.modules():
            for p in module._parameters.values():
                if p is not None:
                    grad = p.grad
                    p.grad = None
                    with no_grad():
                        p.data = fn(p.data)
                        if grad is not None:
                            p.grad = fn(grad)
            for name, b in module._buffers.items():
                if b is not None:
                    module._buffers[name] = fn(b)
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """Convert floating point and complex parameters and buffers to a dtype, given itself or by a tensor; return the module.

        A device is accepted if it is the CPU. ``memory_format=`` lays parameters and buffers of 4 and 5 axes out in memory.

        Raises
        ------
        TypeError
            If the dtype is neither floating point nor complex, or the arguments fit none of PyTorch's three forms:
            ``to(device, dtype, non_blocking)``, ``to(dtype, non_blocking)``, ``to(tensor, non_blocking)``.
        RuntimeError
            For a device other than the CPU, or a memory format that is not for the axes of a parameter or buffer.
        """
        found, form = _asked(args, kwargs)
        if found is not None and found.category < dtypes.FLOAT:
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={found}")
        if found is None and form is None:
            return self
        return self._apply(
            lambda t: t.to(  # type: ignore[attr-defined]
                found if t.dtype.category >= dtypes.FLOAT else None, memory_format=form if t.ndim in (4, 5) else None
            )
        )

    def type(self: _Self, dst_type: Any) -> _Self:
        """Convert all parameters and buffers to a dtype; return the module."""
        d = dtypes.as_dtype(dst_type)
        return self._apply(lambda t: t.to(d))  # type: ignore[attr-defined]

    def _floats_to(self: _Self, d: dtypes.dtype) -> _Self:
        return self._apply(lambda t: t.to(d) if t.is_floating_point() else t)  # type: ignore[attr-defined]

    def float(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float32``; return the module."""
        return self._floats_to(dtypes.float32)

    def double(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float64``; return the module."""
        return self._floats_to(dtypes.float64)

    def half(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``float16``; return the module."""
        return self._floats_to(dtypes.float16)

    def bfloat16(self: _Self) -> _Self:
        """Convert floating point parameters and buffers to ``bfloat16``; return the module."""
        return self._floats_to(dtypes.bfloat16())

    def cpu(self: _Self) -> _Self:
        """Return the module: it is on the CPU."""
        return self

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

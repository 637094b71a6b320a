"""Parameters that are functions of others: the module then has the function's result under the parameter's name.

The class of such a module is one of its own, which has the names as properties; the parameters themselves are in
``module.parametrizations``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chainrule.core.mode.grad_mode import no_grad
from chainrule.core.tensor.tensor import Tensor
from chainrule.nn.modules.container import ModuleDict, ModuleList
from chainrule.nn.modules.module import Module
from chainrule.nn.parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip

_cache: dict[tuple[int, str], Any] = {}
_depth = 0  # how many `cached` blocks we are in


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once within the block, however often it is used.

    Examples
    --------
    >>> import chainrule as cr
    >>> P = cr.nn.utils.parametrize
    >>> m = P.register_parametrization(cr.nn.Linear(2, 2), "weight", cr.nn.Tanh())
    >>> with P.cached():
    ...     m.weight is m.weight
    True
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


def _register(module: Module, name: str, value: Any) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _not_the_same(what: str, name: str, before: Any, label: str, after: Any) -> ValueError:
    return ValueError(f"{what}\n{name}: {before}\n{label}: {after}")


class ParametrizationList(ModuleList):
    """Functions applied one after the other to what a tensor was before, which is `original`.

    If the first function's ``right_inverse`` returns several tensors, they are `original0`, `original1`, ...
    `register_parametrization` makes it.

    Parameters
    ----------
    modules : sequence of Module
        The functions.
    original : Tensor
        What the tensor is now; it becomes what gives it, as far as the functions have a ``right_inverse``.
    unsafe : bool
        Do not ask whether shape and dtype stay as they are.
    """

    original: Any
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:  # as good as if there was none
                        continue
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            if new.dtype is not dtype:
                what = "When `right_inverse` outputs one tensor, it may not change the dtype."
                raise _not_the_same(what, "original.dtype", dtype, "right_inverse(original).dtype", new.dtype)
            _set(original, new)
            _register(self, "original", original)
        else:
            self._take(new, original)
        if not unsafe:
            self._check(self(), shape, dtype)

    def _take(self, values: Sequence, original: Any) -> None:
        for i, value in enumerate(values):
            if not isinstance(value, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got element "
                    f"{i} of the sequence with type {type(value).__name__}."
                )
            one: Any = Parameter(value, original.requires_grad) if isinstance(original, Parameter) else value
            _register(self, f"original{i}", one.requires_grad_(original.requires_grad))

    def _check(self, made: Any, shape: Any, dtype: Any) -> None:
        if not isinstance(made, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
        for kind, before, after in (("dtype", dtype, made.dtype), ("shape", shape, made.shape)):
            if before != after:
                what = (
                    f"Registering a parametrization may not change the {kind} of the tensor, unless `unsafe` flag is enabled."
                )
                raise _not_the_same(what, f"unparametrized {kind}", before, f"parametrized {kind}", after)

    def right_inverse(self, value: Any) -> None:
        """Set what is before the functions so that they give a value, by their ``right_inverse``, the last one's first.

        Raises
        ------
        RuntimeError
            If one has none.
        ValueError
            If they return what does not fit.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
                if value.dtype is not self.original.dtype:
                    raise ValueError(
                        f"The tensor returned by `right_inverse` has dtype {value.dtype} while `original` has dtype "
                        f"{self.original.dtype}"
                    )
                _set(self.original, value)
            else:
                self._set_all(value)

    def _set_all(self, values: Any) -> None:
        if not isinstance(values, Sequence):
            raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(values).__name__}.")
        if len(values) != self.ntensors:
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of length "
                f"{len(values)}."
            )
        for i, value in enumerate(values):
            one = getattr(self, f"original{i}")
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors. Got element {i} of type {type(value).__name__}."
                )
            if one.dtype is not value.dtype:
                raise ValueError(
                    f"Tensor {i} returned by `right_inverse` has dtype {value.dtype} while `original{i}` has dtype {one.dtype}"
                )
            _set(one, value)

    def forward(self) -> Any:
        """Return the tensor."""
        first, *others = self
        if self.is_tensor:
            x = first(self.original)
        else:
            x = first(*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for module in others:
            x = module(x)
        return x


def _set(tensor: Any, value: Any) -> None:
    """Make a tensor share the memory of another, which may have another shape."""
    if value is not tensor:
        tensor.data = value.detach()


def _make_class(module: Module) -> None:
    """Give a module a class of its own, which may have properties."""
    cls = type(module)

    def __deepcopy__(self: Any, memo: dict) -> Any:  # noqa: N807
        made = memo.get(id(self))
        if made is None:
            made = memo[id(self)] = self.__new__(type(self))
            made.__dict__ = copy.deepcopy(self.__dict__, memo)
        return made

    def __getstate__(self: Any) -> Any:  # noqa: N807
        raise RuntimeError("Serialization of parametrized modules is only supported through state_dict().")

    methods: dict[str, Any] = {"__getstate__": __getstate__}
    if not hasattr(cls, "__deepcopy__"):
        methods["__deepcopy__"] = __deepcopy__
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), methods)


def _make_property(module: Module, name: str) -> None:
    if hasattr(module, name):
        raise AssertionError(f"Module already has an attribute named '{name}'")

    def get(self: Any) -> Any:
        made = self.parametrizations[name]
        if not _depth:
            return made()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = made()
        return _cache[key]

    def put(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(module: Any, tensor_name: str, parametrization: Any, *, unsafe: bool = False) -> Any:
    """Have a module's parameter or buffer be a function of what it was.

    ``module.weight`` is then ``parametrization(module.parametrizations.weight.original)``, computed whenever it is asked for.
    Assigning to it sets the original by the function's ``right_inverse``.

    Parameters
    ----------
    module : Module
        Whose tensor it is.
    tensor_name : str
        Of the tensor. If it is parametrized already, the function is applied to what it gives.
    parametrization : Module
        The function. With a method ``right_inverse(value)``, the original starts as what gives the present value; where that
        returns several tensors, the function takes as many.
    unsafe : bool
        Allow that the function changes shape or dtype.

    Returns
    -------
    Module
        `module`, which is of a new class that has the tensor as a property.

    Raises
    ------
    ValueError
        If there is no such tensor, or the function's results do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> P = cr.nn.utils.parametrize
    >>> class Symmetric(cr.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> m = P.register_parametrization(cr.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((m.weight == m.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        module.parametrizations[tensor_name].append(parametrization)
        module.parametrizations[tensor_name].unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _make_class(module)
            module.parametrizations = ModuleDict()
        _make_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    return module


def _check_next(module: Any, name: str, parametrization: Any) -> None:
    """Raise PyTorch's errors unless a further function, and its inverse, keep dtype and shape."""
    y = getattr(module, name)
    x = parametrization(y)
    if not isinstance(x, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(x).__name__}.")
    for kind in ("dtype", "shape"):
        before, after = getattr(y, kind), getattr(x, kind)
        if before != after:
            what = (
                f"Registering a parametrization may not change the {kind} of the tensor, unless the `unsafe` flag is enabled."
            )
            raise _not_the_same(what, f"module.{name}.{kind}", before, f"parametrization(module.{name}).{kind}", after)
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        z = parametrization.right_inverse(x)
    except NotImplementedError:
        return
    if not isinstance(z, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(z).__name__}")
    for kind in ("dtype", "shape"):
        before, after = getattr(y, kind), getattr(z, kind)
        if before != after:
            what = (
                f"The tensor returned by parametrization.right_inverse must have the same {kind} as module.{name}, unless the "
                "`unsafe` flag is enabled."
            )
            raise _not_the_same(what, f"module.{name}.{kind}", before, f"returned {kind}", after)


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Return whether a module's tensor is parametrized, without a name whether any is."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make a parametrized tensor a parameter or buffer again.

    Parameters
    ----------
    module : Module
        Whose tensor it is.
    tensor_name : str
        Of the tensor.
    leave_parametrized : bool
        With what the functions give, not with the original.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If it is not parametrized, or the original is to be left and is several tensors.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    if made.is_tensor:
        original = made.original
        if leave_parametrized:
            with no_grad():
                _set(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of "
            "tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Any) -> type:
    """Return the class that a module had before a tensor of it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Any, to_module: Any, tensor_name: str | None = None) -> Any:
    """Give a module the parametrizations of another, and what they are functions of.

    Parameters
    ----------
    from_module, to_module : Module
        The modules. Tensors that the second lacks are created.
    tensor_name : str, optional
        One tensor; all parametrized ones if not given.

    Returns
    -------
    Module
        `to_module`.
    """
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        made = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for function in made:
            register_parametrization(to_module, name, function)
        for key in (*made._parameters, *made._buffers):
            setattr(to_module.parametrizations[name], key, getattr(made, key))
    return to_module

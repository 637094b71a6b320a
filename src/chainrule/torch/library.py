"""PyTorch's ``library``: functions of a program's own under names, with derivatives and batching rules that it registers.

``torch.ops.NAMESPACE.NAME`` has them. What is registered for compilers and for other devices has no use here, and is kept.
Ops of chainrule itself are declared by :mod:`chainrule.library`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.autograd.function import Function
from chainrule.core.mode.grad_mode import no_grad

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "impl_abstract", "register_autograd",
    "register_fake", "register_kernel", "register_vmap",
]  # fmt: skip

REGISTRY: dict[str, CustomOpDef] = {}
_HERE = ("cpu", "CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "default", None)
"""Kinds of devices, and of PyTorch's dispatch keys, whose kernels run on the CPU."""


class CustomOpDef:
    """A function under a name: what `custom_op` returns, called as the function is.

    Examples
    --------
    >>> import chainrule as cr
    >>> from chainrule.torch.library import custom_op
    >>> @custom_op("mine::cube", mutates_args=())
    ... def cube(x: cr.Tensor) -> cr.Tensor:
    ...     return x**3
    >>> cube.register_autograd(
    ...     lambda ctx, g: 3 * ctx.saved_tensors[0] ** 2 * g,
    ...     setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    ... )
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """

    def __init__(self, name: str, fn: Callable[..., Any] | None, mutates: Iterable[str]) -> None:
        namespace, _, rest = name.partition("::")
        if not rest:
            raise ValueError(
                f"Invalid operator name {name!r}: expected it to be of the form 'namespace::name', such as 'mine::{name}'"
            )
        self._qualname, self._namespace, self._name, self.mutates = name, namespace, rest, tuple(mutates)
        self.kernel = fn
        self.backward: Callable[..., Any] | None = None
        self.setup: Callable[..., Any] | None = None
        self.batched: Callable[..., Any] | None = None
        self.kept: dict[Any, Callable[..., Any]] = {}
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __getattr__(self, name: str) -> CustomOpDef:
        """Return the op itself for the name of an overload."""
        if name[:1] == "_":
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; its result is recorded with the derivative registered."""
        if self.kernel is None:
            raise NotImplementedError(f"{self._qualname}: no kernel for the CPU was registered")
        names, args = self._bound(args, kwargs)
        if self.mutates:
            with no_grad():
                return self.kernel(**dict(zip(names, args, strict=True)))
        return self._function(names).apply(*args)

    def _bound(self, args: tuple, kwargs: dict[str, Any]) -> tuple[list[str], tuple]:
        """Return the names of all arguments, and their values."""
        assert self.kernel is not None
        bound = inspect.signature(self.kernel).bind(*args, **kwargs)
        bound.apply_defaults()
        return list(bound.arguments), tuple(bound.arguments.values())

    def _function(self, names: list[str]) -> Any:
        """Return the autograd function that one call is."""
        op, keyword_only = self, self._keyword_only()

        def forward(*args: Any) -> Any:
            assert op.kernel is not None
            given = dict(zip(names, args, strict=True))
            return op.kernel(*[v for n, v in given.items() if n not in keyword_only], **{n: given[n] for n in keyword_only})

        def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
            if op.setup is None:
                return
            given = dict(zip(names, inputs, strict=True))
            positional = tuple(v for n, v in given.items() if n not in keyword_only)
            more = {"keyword_only_inputs": {n: given[n] for n in keyword_only}} if keyword_only else {}
            op.setup(ctx=ctx, inputs=positional, output=output, **more)

        def backward(ctx: Any, *grads: Any) -> Any:
            if op.backward is None:
                raise RuntimeError(
                    f"Trying to backward through {op._qualname}.default but no autograd formula was registered. "
                    "If one is needed, please use register_autograd."
                )
            found = op.backward(ctx, *grads)
            found = found if isinstance(found, tuple) else (found,)
            return (*found, *[None] * (len(names) - len(found)))

        members: dict[str, Any] = {
            "forward": staticmethod(forward), "setup_context": staticmethod(setup_context), "backward": staticmethod(backward),
        }  # fmt: skip
        if op.batched is not None:
            members["vmap"] = staticmethod(op.batched)
        return type(self._name, (Function,), members)

    def _keyword_only(self) -> list[str]:
        assert self.kernel is not None
        found = inspect.signature(self.kernel).parameters.values()
        return [p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY]

    def register_autograd(self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None) -> None:
        """Register the derivative: ``backward(ctx, *grads)``, and what ``setup_context(ctx, inputs, output)`` keeps for it."""
        if self.mutates:
            raise RuntimeError(
                f"Cannot register autograd formula for non-functional operator {self!r}: it mutates its arguments"
            )
        self.backward, self.setup = backward, setup_context

    def register_kernel(self, device_types: Any, fn: Callable[..., Any] | None = None, /) -> Any:
        """Register what computes it on devices; that of the CPU is called."""
        if fn is None:
            return lambda fn: self.register_kernel(device_types, fn)
        for device in [device_types] if device_types is None or isinstance(device_types, str) else device_types:
            if device in _HERE:
                self.kernel = fn
            else:
                self.kept[device] = fn
        return fn

    def register_vmap(self, func: Callable[..., Any] | None = None, /) -> Any:
        """Register ``func(info, in_dims, *args)``, which returns the result of a batch and its batched axis."""
        if func is None:
            return self.register_vmap
        self.batched = func
        return func

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Register what gives shapes alone, which compilers ask and nothing here does."""
        self.kept["fake"] = fn
        return fn


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Have a function under a name, a decorator.

    Parameters
    ----------
    name : str
        ``"namespace::name"``.
    fn : callable
        The function, of tensors and other values, by positions and names.
    mutates_args : iterable of str
        Arguments that it writes into; such a function has no derivative.
    device_types, schema, tags
        Kinds of devices that the function is for; and what only compilers ask.

    Returns
    -------
    CustomOpDef

    Raises
    ------
    ValueError
        If the name has no namespace.
    """
    if fn is None:
        return lambda fn: custom_op(name, fn, mutates_args=mutates_args, device_types=device_types)
    made = CustomOpDef(name, None, (mutates_args,) if isinstance(mutates_args, str) else mutates_args)
    made.register_kernel(device_types, fn)
    made.__doc__ = fn.__doc__
    return made


def _op(op: Any) -> CustomOpDef:
    """Return a registered op, given itself or its name."""
    if isinstance(op, CustomOpDef):
        return op
    if op not in REGISTRY:
        raise RuntimeError(f"operator {op} does not exist: custom_op() or define() makes one")
    return REGISTRY[op]


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Have an op under a name, whose kernels `impl` registers; ``schema`` is such as ``"(Tensor x, int n) -> Tensor"``."""
    CustomOpDef(qualname, None, re.findall(r"\(\w!\)\S* (\w+)", schema))


def impl(qualname: str, types: Any, func: Callable[..., Any] | None = None, *, lib: Any = None) -> Any:
    """Register what computes an op on kinds of devices, a decorator."""
    return _op(qualname).register_kernel(types, func)


def register_autograd(op: Any, backward: Callable[..., Any], /, *, setup_context: Any = None, lib: Any = None) -> None:
    """Register the derivative of an op: see :meth:`CustomOpDef.register_autograd`."""
    _op(op).register_autograd(backward, setup_context=setup_context)


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Register what computes an op on kinds of devices."""
    return _op(op).register_kernel(device_types, func)


def register_vmap(op: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Register how an op is batched: see :meth:`CustomOpDef.register_vmap`."""
    return _op(op).register_vmap(func)


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, _stacklevel: int = 1, allow_override: bool = True) -> Any:
    """Register what gives an op's shapes alone, which nothing here asks; a decorator.

    An op that only PyTorch's compiled libraries have is let be: packages register theirs before they know whether it is there.
    """
    if func is None:
        return lambda func: register_fake(op, func)
    return _op(op).register_fake(func) if isinstance(op, CustomOpDef) or op in REGISTRY else func


impl_abstract = register_fake


class Library:
    """Ops of one namespace, defined and given kernels one by one.

    Parameters
    ----------
    ns : str
        The namespace.
    kind : str
        ``"DEF"``, ``"FRAGMENT"`` or ``"IMPL"``.
    dispatch_key : str
        For which kernels are, if `impl` says nothing.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Have an op, and return its name; ``schema`` is such as ``"cube(Tensor x) -> Tensor"``."""
        name, _, rest = schema.partition("(")
        define(f"{self.ns}::{name.strip()}", f"({rest}")
        return name.strip()

    def impl(self, op_name: Any, fn: Callable[..., Any], dispatch_key: str = "", **options: Any) -> None:
        """Register what computes an op."""
        name = op_name if isinstance(op_name, str) else op_name._name
        _op(name if "::" in name else f"{self.ns}::{name}").register_kernel(dispatch_key or self.dispatch_key or None, fn)

"""PyTorch's ``autograd.Function``: operations whose derivatives the user writes, usable under every transform.

Examples
--------
>>> import chainrule as cr
>>> class Cube(cr.autograd.Function):
...     @staticmethod
...     def forward(ctx, x):
...         ctx.save_for_backward(x)
...         return x**3
...
...     @staticmethod
...     def backward(ctx, grad):
...         (x,) = ctx.saved_tensors
...         return grad * 3 * x**2
>>> x = cr.tensor(2.0, requires_grad=True)
>>> y = Cube.apply(x)
>>> y.backward()
>>> x.grad
tensor(12.)
>>> cr.func.grad(cr.func.grad(Cube.apply))(cr.tensor(2.0))
tensor(12.)
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.core.mode.grad_mode import is_grad_enabled, no_grad
from chainrule.core.op.batching import moved
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.types.tree import tree_flatten, tree_unflatten
from chainrule.transforms import custom
from chainrule.transforms.custom import BackwardCFunction, FunctionCtx
from chainrule.transforms.custom.context import lowered

__all__ = [
    "BackwardCFunction",
    "Function",
    "FunctionCtx",
    "FunctionMeta",
    "InplaceFunction",
    "NestedIOFunction",
    "once_differentiable",
]

_MORE = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


class VmapInfo(NamedTuple):
    """What a function's `vmap` is told about the batch."""

    batch_size: int
    randomness: str


class _UserRules(custom.Rules):
    """A `Function` subclass, as the interpreters call it."""

    def __init__(self, cls: Any):
        self.cls = cls
        self.name = cls.__name__

    @property
    def separate(self) -> bool:  # type: ignore[override]
        return self.cls.setup_context is not Function.setup_context

    def face(self) -> Any:
        """Return a fresh `ctx`."""
        return self.cls._backward_cls()

    def forward(self, ctx: Any, args: tuple) -> Any:
        return self.cls.forward(*args) if self.separate else self.cls.forward(ctx, *args)

    def setup(self, ctx: Any, args: tuple, output: Any) -> None:
        self.cls.setup_context(ctx, args, output)

    def backward(self, ctx: Any, grads: tuple) -> Any:
        cls = self.cls
        rule = cls.backward
        if cls.vjp is not Function.vjp:
            if rule is not Function.backward:
                raise RuntimeError(
                    "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
                    "one of them."
                )
            rule = cls.vjp
        return rule(ctx, list(grads)) if cls.boxed_grads_call else rule(ctx, *grads)

    def jvp(self, ctx: Any, tangents: tuple) -> Any:
        return self.cls.jvp(ctx, *tangents)

    def batched(self, lower: tuple, args: tuple, examples: custom.Examples) -> custom.Outcome | None:
        cls, overridden = self.cls, self.cls.vmap is not Function.vmap
        if cls.generate_vmap_rule:
            if overridden:
                raise RuntimeError(
                    f"You tried to vmap over {self.name}, but it has both generate_vmap_rule=True and an overridden vmap "
                    "staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid "
                    f"ambiguity. {_MORE}"
                )
            return None
        if not overridden:
            raise RuntimeError(
                f"You tried to vmap over {self.name}, but it does not have vmap support. Please override and implement the "
                f"vmap staticmethod or set generate_vmap_rule=True. {_MORE}"
            )
        info, dims = VmapInfo(examples.size, examples.randomness), examples.dims
        given = tuple([moved(a, 0, dim) if dim else a for a, dim in zip(lower, dims, strict=True)])
        return _from_vmap(self.name, cls.vmap(info, dims, *given), given, args, examples, self.separate)


def _from_vmap(name: str, found: Any, given: tuple, args: tuple, examples: custom.Examples, separate: bool) -> custom.Outcome:
    """Make batched values of what a `vmap` staticmethod returned."""
    told = (
        "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible with the "
        "output. "
    )
    if not isinstance(found, tuple):
        raise RuntimeError(f"{told}Got a {type(found)} instead")
    if len(found) != 2:
        raise RuntimeError(f"{told}Got {len(found)} returns instead")
    output, out_dims = found
    single = not isinstance(output, tuple)
    outs = (output,) if single else output
    dims = (out_dims,) if single else out_dims
    if out_dims is None or isinstance(out_dims, int):
        dims = (out_dims,) * len(outs)
    fits = isinstance(dims, tuple) and len(dims) == len(outs) and all(d is None or isinstance(d, int) for d in dims)
    if not fits:
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected "
            f"out_dims={out_dims} to be compatible with the structure of `output`. out_dims has structure "
            f"{tree_flatten(out_dims)[1]} but output has structure {tree_flatten(output)[1]}. {_MORE}"
        )
    made, same = [], []
    for o, dim in zip(outs, dims, strict=True):
        i = next((k for k, a in enumerate(given) if a is o and isinstance(o, Tensor) and examples.dims[k] == dim), None)
        same.append(i)
        if i is not None:
            made.append(args[i])
        elif isinstance(o, Tensor) and dim is not None:
            made.append(examples.lift(lowered(moved(o, dim % o.ndim))))
        else:
            made.append(o)
    if not separate:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override "
            f"the setup_context staticmethod: {name}.vmap has no ctx, on which its forward could keep anything. {_MORE}"
        )
    return custom.Outcome(tuple(made), single, tuple(made), tuple(same), None)


class FunctionMeta(type):
    """The class of `Function` subclasses: gives each a class for its `ctx`, named after it."""

    def __init__(cls, name: str, bases: tuple, attrs: dict):
        named = {"_forward_cls": cls, "_function_name": name, "__module__": cls.__module__}
        cls._backward_cls = type(f"{name}Backward", (BackwardCFunction,), named)
        cls._rules = _UserRules(cls)
        super().__init__(name, bases, attrs)


class Function(FunctionCtx, metaclass=FunctionMeta):
    """An operation whose derivatives you write: subclass it, and call the subclass through `apply`.

    All methods are static. `forward` computes the result, on plain tensors and unrecorded, in one of two styles:

    - ``forward(ctx, *args)`` keeps on `ctx` what the rules will need;
    - ``forward(*args)`` leaves that to ``setup_context(ctx, inputs, output)``.

    `backward` (or its other name, `vjp`) takes the gradients of the results and returns those of the arguments; `jvp` takes
    tangents of the arguments and returns those of the results; `vmap`, or ``generate_vmap_rule = True``, says how a batch is
    computed. Each is needed only for its transform. Rules written with chainrule's operations can be differentiated again.

    Attributes
    ----------
    generate_vmap_rule : bool
        Under `vmap`, run the methods on batched values; right if they are written with chainrule's operations.
    clear_saved_tensors_on_access : bool
        Free what was saved when `backward` reads ``ctx.saved_tensors``, which it can then do once.
    boxed_grads_call : bool
        `backward` gets its gradients in one list, so that it can drop each when it is done with it.

    Examples
    --------
    A rounding that passes gradients straight through:

    >>> import chainrule as cr
    >>> class Round(cr.autograd.Function):
    ...     @staticmethod
    ...     def forward(x):
    ...         return x.round()
    ...
    ...     @staticmethod
    ...     def setup_context(ctx, inputs, output):
    ...         pass
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return grad
    >>> cr.func.grad(lambda x: (Round.apply(x) ** 2).sum())(cr.tensor([0.6, 1.7]))
    tensor([2., 4.])
    """

    generate_vmap_rule = False
    clear_saved_tensors_on_access = False
    boxed_grads_call = False
    _rules: _UserRules
    _backward_cls: type[BackwardCFunction]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            "them on the class itself. Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise: functions are called through the class, ``MyFunction.apply(...)``."""
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function "
            "with static forward method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result: ``forward(ctx, *args)``, or ``forward(*args)`` beside `setup_context`."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Keep on `ctx` what the rules will need of the arguments and the result of `forward`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each argument (None for what is not differentiated), given those of the results."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward "
            "mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Return the tangent of each result (None for what has none), given those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """Return ``(output, out_dims)`` for a batch: ``in_dims`` says which axis of each argument is the batch's, or None."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Parameters
        ----------
        *args, **kwargs
            `forward`'s; those that are tensors are differentiated in. Keyword arguments take their places among `forward`'s
            parameters, in the order of which `backward` returns gradients.

        Returns
        -------
        Any
            What `forward` returned; tensors in it, alone or in a tuple, have a history.
        """
        rules = cls._rules
        if rules.separate:
            args = _bound(cls.forward, args, kwargs)
        elif kwargs:
            args = _bound(functools.partial(cls.forward, None), args, kwargs)
        return custom.call(rules, *args)


def _bound(forward: Callable, args: tuple, kwargs: dict) -> tuple:
    """Return arguments in the order of `forward`'s parameters, defaults filled in."""
    code = getattr(forward, "__code__", None)
    if not kwargs and code is not None and len(args) == code.co_argcount and not code.co_kwonlyargcount:
        return args
    import inspect

    bound = inspect.signature(forward).bind(*args, **kwargs)
    if code is not None:
        bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"forward() got an unexpected keyword argument {next(iter(bound.kwargs))!r}: backward could not return its gradient"
        )
    return bound.args


def once_differentiable(fn: Callable) -> Callable:
    """Decorate a `backward` that cannot be differentiated: it runs unrecorded, and differentiating its results raises.

    Examples
    --------
    >>> import chainrule as cr
    >>> class Sine(cr.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x.sin()
    ...
    ...     @staticmethod
    ...     @cr.autograd.function.once_differentiable
    ...     def backward(ctx, grad):
    ...         return grad * ctx.saved_tensors[0].cos()
    >>> x = cr.tensor(0.0, requires_grad=True)
    >>> (g,) = cr.autograd.grad(Sine.apply(x), x, create_graph=True)
    >>> g.backward()
    Traceback (most recent call last):
    RuntimeError: trying to differentiate twice a function that was marked with @once_differentiable
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        kept = ctx._kept()
        with no_grad():
            outputs = fn(ctx, *args, **kwargs)
        if not is_grad_enabled():
            return outputs
        # PyTorch looks at the gradients alone, and so drops what saved tensors would have contributed.
        moving = [t for t in (*args, *kept) if isinstance(t, Tensor) and t.requires_grad]
        if not moving:
            return outputs
        single = not isinstance(outputs, tuple)
        made = [
            _Once.apply(o, *moving) if isinstance(o, Tensor) and o.dtype.category >= 2 else o
            for o in ((outputs,) if single else outputs)
        ]
        return made[0] if single else tuple(made)

    return wrapper


class _Once(Function):
    """Its first argument, and an error for whoever differentiates it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, *moving: Tensor) -> Tensor:
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    @staticmethod
    def jvp(ctx: Any, t: Tensor, *moving: Tensor) -> Any:
        return t


# -- PyTorch's old bases, kept for old code -----------------------------------------------------------------------------


class InplaceFunction(Function):
    """PyTorch's old base class of functions that may work in place; use `Function` with ``ctx.mark_dirty``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """A function of nested lists and tuples of tensors, which it may also return; an old form, kept for old code.

    Subclasses have ``forward_extended(ctx, *args)`` and ``backward_extended(ctx, *grads)``, which get and return the nested
    values; None stands for an absent gradient.
    """

    @staticmethod
    def forward(ctx: Any, nesting: Any, *flat: Any) -> Any:
        """Call `forward_extended` on the nested values."""
        ctx._nesting = nesting
        leaves, nesting.outputs = tree_flatten(nesting.cls.forward_extended(ctx, *tree_unflatten(list(flat), nesting.inputs)))
        return tuple(leaves)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Call `backward_extended` on the nested gradients."""
        nested = tree_unflatten(list(grads), ctx._nesting.outputs)
        found = ctx._nesting.cls.backward_extended(ctx, *(nested if isinstance(nested, tuple) else (nested,)))
        return (None, *tree_flatten(found)[0])

    @staticmethod
    def forward_extended(ctx: Any, *args: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("You must implement forward_extended for your NestedIOFunction.")

    @staticmethod
    def backward_extended(ctx: Any, *grads: Any) -> Any:
        """Return the gradients of the arguments, nested as they are."""
        raise NotImplementedError("You must implement backward_extended for your NestedIOFunction.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function; see `Function.apply`."""
        flat, spec = tree_flatten(args)
        nesting = _Nesting(cls, spec)
        return tree_unflatten(list(super().apply(nesting, *flat, **kwargs)), nesting.outputs)


class _Nesting:
    """The structures of a nested function's arguments and, once it has run, of its results."""

    def __init__(self, cls: Any, inputs: Any):
        self.cls, self.inputs = cls, inputs
        self.outputs: Any = None

"""Hooks on modules: called before and after `forward`, and when the gradients of a module's inputs are there.

A module without hooks pays one look at an attribute. Backward hooks stand on the nodes of two identities, one around the
inputs and one around the outputs, so that what lies between may be anything.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from chainrule.autograd.function import Function
from chainrule.core.graph.handle import RemovableHandle
from chainrule.core.mode.grad_mode import modes
from chainrule.core.tensor.tensor import Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class Hooks:
    """The hooks of one module, in the order in which they are called."""

    __slots__ = ("backward", "backward_pre", "forward", "forward_pre")

    def __init__(self) -> None:
        self.forward_pre: OrderedDict = OrderedDict()  # id → (hook, whether it takes keyword arguments)
        self.forward: OrderedDict = OrderedDict()  # id → (hook, whether it takes keyword arguments, whether always called)
        self.backward_pre: OrderedDict = OrderedDict()  # id → hook
        self.backward: OrderedDict = OrderedDict()


class _Forward(Protocol[_P, _R]):
    """What type checkers read of a module: its call takes and gives what its own `forward` does."""

    _hooks: Hooks | None

    def forward(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...


class Hooked:
    """What :class:`Module` has of hooks: calling, and registering them."""

    _hooks: Hooks | None = None
    forward: Callable

    def __call__(self: _Forward[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Return what `forward` does, hooks called."""
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return _call(self, self._hooks, args, kwargs)  # type: ignore[arg-type]

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call a hook before `forward`.

        Parameters
        ----------
        hook : callable
            ``hook(module, args)``, which may return other arguments: a tuple, or one. With `with_kwargs`
            ``hook(module, args, kwargs)``, which may return ``(args, kwargs)``.
        prepend : bool
            Call it before those there are.
        with_kwargs : bool
            Pass keyword arguments too.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer = cr.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
        >>> layer(cr.tensor([-2.0, 0.0]))
        tensor([0., 1.])
        """
        return _added(_hooks_of(self).forward_pre, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call a hook after `forward`.

        Parameters
        ----------
        hook : callable
            ``hook(module, args, output)``, with `with_kwargs` ``hook(module, args, kwargs, output)``; it may return another
            output.
        prepend, with_kwargs : bool
            As in `register_forward_pre_hook`.
        always_call : bool
            Call it also where `forward` or another hook raises, with None for the output.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, shapes = cr.nn.Linear(2, 3), []
        >>> with layer.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape))):
        ...     out = layer(cr.ones(4, 2))
        >>> shapes
        [(4, 3)]
        """
        return _added(_hooks_of(self).forward, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call a hook when the gradients of the module's outputs are there.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_outputs)``, which may return others.
        prepend : bool
            Call it before those there are.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, x = cr.nn.Tanh(), cr.zeros(2, requires_grad=True)
        >>> handle = layer.register_full_backward_pre_hook(lambda module, gs: (gs[0] * 3,))
        >>> layer(x).sum().backward()
        >>> x.grad
        tensor([3., 3.])
        """
        return _added(_hooks_of(self).backward_pre, hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call a hook when the gradients of the module's inputs are there.

        Parameters
        ----------
        hook : callable
            ``hook(module, grad_inputs, grad_outputs)``, tuples with None for what is no tensor; it may return other gradients
            of the inputs.
        prepend : bool
            Call it before those there are.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import chainrule as cr
        >>> layer, x = cr.nn.Tanh(), cr.zeros(2, requires_grad=True)
        >>> handle = layer.register_full_backward_hook(lambda module, gi, go: (gi[0] + go[0],))
        >>> layer(x).sum().backward()
        >>> x.grad
        tensor([2., 2.])
        """
        return _added(_hooks_of(self).backward, hook, prepend)


def _hooks_of(module: Hooked) -> Hooks:
    if module._hooks is None:
        object.__setattr__(module, "_hooks", Hooks())
    return module._hooks  # type: ignore[return-value]


def _added(hooks: OrderedDict, entry: Any, prepend: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = entry
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


# -- forward -----------------------------------------------------------------------------------------------------------


def _call(module: Hooked, hooks: Hooks, args: tuple, kwargs: dict) -> Any:
    called: set = set()
    try:
        return _forward(module, hooks, args, kwargs, called)
    except Exception:
        for key, (hook, with_kwargs, always) in list(hooks.forward.items()):
            if always and key not in called:
                try:
                    hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced as another error "
                        f"was raised in forward: {error}",
                        stacklevel=3,
                    )
        raise


def _forward(module: Hooked, hooks: Hooks, args: tuple, kwargs: dict, called: set) -> Any:
    for hook, with_kwargs in list(hooks.forward_pre.values()):
        if with_kwargs:
            given = hook(module, args, kwargs)
            if given is not None:
                if not (isinstance(given, tuple) and len(given) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {given}."
                    )
                args, kwargs = given
        else:
            given = hook(module, args)
            if given is not None:
                args = given if isinstance(given, tuple) else (given,)
    backward = None
    if hooks.backward or hooks.backward_pre:
        backward = _Backward(module, list(hooks.backward.values()), list(hooks.backward_pre.values()))
        args = backward.around_inputs(args)
    result = module.forward(*args, **kwargs)
    for key, (hook, with_kwargs, _) in list(hooks.forward.items()):
        called.add(key)
        given = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if given is not None:
            result = given
    return result if backward is None else backward.around_outputs(result)


# -- backward ----------------------------------------------------------------------------------------------------------


class BackwardHookFunction(Function):
    """The identity of several tensors, whose node sees all their gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Return the arguments."""
        return args

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        """Return the gradients."""
        return gs


class _Backward:
    """One call of a module with backward hooks: what links the gradients of its outputs to those of its inputs."""

    def __init__(self, module: Hooked, hooks: list, pre_hooks: list):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_outputs: tuple | None = None
        self.inputs_at: list[int] | None = None  # positions of the inputs that require grad; None if none does
        self.inputs = 0

    def around_inputs(self, args: tuple) -> tuple:
        """Return the inputs behind a node that calls the hooks."""
        self.inputs = len(args)
        args, self.inputs_at, node = _behind_a_node(args)
        if node is not None:
            node.register_hook(self._inputs_arrived)
        return args

    def around_outputs(self, result: Any) -> Any:
        """Return the outputs behind a node that keeps their gradients for the hooks."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        outputs = result if isinstance(result, tuple) else (result,)
        made, at, node = _behind_a_node(outputs)
        if node is not None:
            node.register_hook(lambda _, gs: self._outputs_arrived(gs, at, len(outputs)))
        return made if isinstance(result, tuple) else made[0]

    def _outputs_arrived(self, gs: tuple, at: Sequence[int], count: int) -> tuple:
        self.grad_outputs = _spread(gs, at, count)
        for hook in self.pre_hooks:
            given = hook(self.module, self.grad_outputs)
            if given is not None:
                _check_number("Backward pre hook returned an invalid number of grad_output", given, self.grad_outputs)
                self.grad_outputs = given
        kept = self.grad_outputs
        if self.inputs_at is None:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
                "require gradients. See Module.register_full_backward_hook for more details.",
                stacklevel=5,
            )
            for hook in self.hooks:
                given = hook(self.module, (None,) * self.inputs, kept)
                if given is not None and not (isinstance(given, tuple) and all(g is None for g in given)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None for all "
                        "gradients."
                    )
            self.grad_outputs = None
        return tuple(kept[i] for i in at)  # type: ignore[index]

    def _inputs_arrived(self, gs: tuple, _: tuple) -> tuple | None:
        if self.grad_outputs is None:  # the gradient came to the inputs by another way than through the outputs
            return None
        found = _spread(gs, self.inputs_at or (), self.inputs)
        for hook in self.hooks:
            given = hook(self.module, found, self.grad_outputs)
            if given is not None:
                given = given if isinstance(given, tuple) else (given,)
                _check_number("Backward hook returned an invalid number of grad_input", given, found)
                found = given
        self.grad_outputs = None
        return tuple(found[i] for i in self.inputs_at or ())


def _behind_a_node(values: tuple) -> tuple[tuple, Any, Any]:
    """Return values, those that require grad behind one identity; their positions, and its node, or None for both."""
    at = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not at or not modes().record:
        return values, None, None
    made = list(values)
    for i, t in zip(at, BackwardHookFunction.apply(*[values[i] for i in at]), strict=True):
        made[i] = t
    kept = type(values)(*made) if hasattr(values, "_fields") else tuple(made)
    return kept, at, made[at[0]].grad_fn


def _spread(gs: Sequence, at: Sequence[int], count: int) -> tuple:
    found: list = [None] * count
    for i, g in zip(at, gs, strict=True):
        found[i] = g
    return tuple(found)


def _check_number(what: str, given: Sequence, expected: Sequence) -> None:
    if len(given) != len(expected):
        raise RuntimeError(f"{what}, got {len(given)}, but expected {len(expected)}")
